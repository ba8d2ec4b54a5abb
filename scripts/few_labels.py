"""Which classifier needs the fewest labels, and how it meets clips of no known class (docs/results/few-labels.md).

`python scripts/few_labels.py STORE SPLIT [--run base]`: 1, 5 and 20 labelled clips of each class are drawn from the
training side of a split, all clips of the test side are asked; the other training clips count as unlabelled.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.linear_model import LogisticRegression

import kineme
from kineme.data import splits
from kineme.evaluation import baselines
from kineme.inference import classifier

LABELS, DRAWS, FEWEST = (1, 5, 20), 20, 20
Scores = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # examples, their classes, asked -> [m, K]


def unit(points: np.ndarray) -> np.ndarray:
    """Vectors of length 1."""
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


def nearest(points: np.ndarray, numbers: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """Cosine k-NN, each neighbour weighted by its similarity."""
    cosines = unit(asked) @ unit(points).T
    order = np.argsort(-cosines, 1)[:, : min(k, len(points))]
    votes = np.zeros((len(asked), numbers.max() + 1))
    for column in order.T:
        row = np.arange(len(asked))
        np.add.at(votes, (row, numbers[column]), np.exp((cosines[row, column] - 1) / 0.05))
    return votes


def class_mean(points: np.ndarray, numbers: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Cosine with the mean of each class's unit vectors."""
    return unit(asked) @ unit(np.eye(numbers.max() + 1)[numbers].T @ unit(points)).T


def logistic(points: np.ndarray, numbers: np.ndarray, asked: np.ndarray, C: float) -> np.ndarray:
    """Multinomial logistic regression in the span of the examples, their mean squared length 1."""
    middle = points.mean(0)
    axes = np.linalg.qr((points - middle).T)[0]
    seen, others = (points - middle) @ axes, (asked - middle) @ axes
    size = np.sqrt(np.square(seen).sum(1).mean())
    found = LogisticRegression(C=C, max_iter=300).fit(seen / size, numbers).decision_function(others / size)
    return found if found.ndim == 2 else np.stack([-found, found], 1)


def ridge(points: np.ndarray, numbers: np.ndarray, asked: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression to one column per class, the penalty in parts of the mean squared length."""
    middle, wanted = points.mean(0), np.eye(numbers.max() + 1)[numbers]
    square = (points - middle) @ (points - middle).T
    square += penalty * np.trace(square) / len(square) * np.eye(len(square))
    return (asked - middle) @ (points - middle).T @ np.linalg.solve(square, wanted - wanted.mean(0))


def whitened(pool: np.ndarray, vectors: np.ndarray, shrinkage: float) -> np.ndarray:
    """Principal components of unlabelled vectors, brought to equal variance but for the shrinkage."""
    middle = pool.mean(0)
    rows = np.linspace(0, len(pool) - 1, min(1000, len(pool))).astype(int)
    _, values, axes = np.linalg.svd((pool - middle)[rows], full_matrices=False)
    variance = values**2 / len(rows)
    strong = variance > 1e-9 * variance[0]
    scale = np.sqrt(variance[strong] + shrinkage * variance[strong].mean())
    return (vectors - middle) @ axes[strong].T / scale


def candidates() -> Iterator[tuple[str, str, Scores]]:
    """Name, the space that it works in, and the classifier."""
    for k in (1, 5):
        yield f"cosine {k}-NN, centred", "centred", lambda x, y, t, k=k: nearest(x, y, t, k)
    yield "nearest class mean, centred", "centred", class_mean
    for shrinkage in (1, 10):
        yield f"nearest class mean, whitened, shrinkage {shrinkage}", f"white {shrinkage}", class_mean
    for C in (1, 10):
        yield f"logistic, standardised, C = {C}", "standard", lambda x, y, t, C=C: logistic(x, y, t, C)
    yield "logistic, unit vectors, C = 10", "unit", lambda x, y, t: logistic(x, y, t, 10)
    for penalty in (0.01, 0.1, 1):
        yield f"ridge, standardised, {penalty}", "standard", lambda x, y, t, p=penalty: ridge(x, y, t, p)
    yield "ridge, unit vectors, 0.1", "unit", lambda x, y, t: ridge(x, y, t, 0.1)


class Sides:
    """Classes with enough clips on both sides of a split.

    Attributes:
        numbers: int64 ``[N]``, -1 for clips of other classes.
        train, test: rows with a class.
        pool: all training rows.
    """

    def __init__(self, store: kineme.Store, split: str):
        sides, labels = splits.split(store, split), store.column("label")
        enough = {
            label
            for label in set(labels[sides.train].tolist()) & set(labels[sides.test].tolist())
            if (labels[sides.train] == label).sum() >= FEWEST
        }
        self.classes = sorted(enough)
        self.numbers = np.array([self.classes.index(each) if each in enough else -1 for each in labels.tolist()])
        self.pool = sides.train
        self.train, self.test = (rows[self.numbers[rows] >= 0] for rows in (sides.train, sides.test))

    def drawn(self, count: int, seed: int, among: np.ndarray) -> np.ndarray:
        """So many training rows of each of some classes."""
        gen = np.random.default_rng(seed)
        return np.concatenate([gen.permutation(self.train[self.numbers[self.train] == each])[:count] for each in among])


def accuracy(sides: Sides, vectors: np.ndarray, score: Scores, count: int) -> float:
    """Mean over draws."""
    every, right = np.arange(len(sides.classes)), []
    for seed in range(DRAWS):
        rows = sides.drawn(count, seed, every)
        answers = score(vectors[rows], sides.numbers[rows], vectors[sides.test]).argmax(1)
        right.append(np.mean(answers == sides.numbers[sides.test]))
    return float(np.mean(right))


def strangers(sides: Sides, vectors: np.ndarray, subject: np.ndarray, count: int) -> list[float]:
    """Half of the classes, drawn at random, are taught; all are asked.

    Returns:
        Means over draws: accuracy on the known classes; share of right answers kept and of strangers turned away at
        the default threshold; how well confidence tells known from strangers (area under the ROC curve); expected
        calibration error in ten bins, known and strangers in equal numbers.
    """
    from sklearn.metrics import roc_auc_score

    found = []
    for seed in range(DRAWS):
        gen = np.random.default_rng(seed)
        taught = gen.permutation(len(sides.classes))[: len(sides.classes) // 2]
        rows = sides.drawn(count, seed, taught)
        place = np.full(len(sides.classes), -1)
        place[taught] = np.arange(len(taught))
        numbers, truth = place[sides.numbers[rows]], place[sides.numbers[sides.test]]
        folds = classifier.choose_folds({"subject": subject[rows].tolist()}, numbers).numbers
        made, _, least = classifier.fit(vectors[rows], numbers, classifier.spread(vectors[sides.pool]), folds)
        answer, sure = made.predict(vectors[sides.test])
        right, known = answer == truth, truth >= 0
        some = min(known.sum(), (~known).sum())
        equal = np.concatenate([gen.permutation(np.flatnonzero(side))[:some] for side in (known, ~known)])
        bins = np.minimum((10 * sure[equal]).astype(int), 9)
        gaps = [abs((sure[equal] - right[equal])[bins == each].sum()) for each in range(10)]
        found.append(
            [
                right[known].mean(),
                (sure[known & right] >= least).mean(),
                (sure[~known] < least).mean(),
                roc_auc_score(known, sure),
                sum(gaps) / len(equal),
            ]
        )
    return np.mean(found, 0).tolist()


def main() -> None:
    """Print three tables: classifiers, features, strangers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("split", metavar="SPLIT")
    parser.add_argument("--run", default="base")
    args = parser.parse_args()
    store, model = kineme.open(args.store), kineme.load(args.run)
    sides = Sides(store, args.split)
    vectors = model.embed(store).astype(np.float64)
    pool = vectors[sides.pool]
    middle, width = classifier.spread(pool)
    spaces = {"centred": vectors - middle, "unit": unit(vectors), "standard": (vectors - middle) / width}
    spaces |= {f"white {each}": whitened(pool, vectors, each) for each in (1, 10)}
    print(f"{args.store} {args.split}: {len(sides.classes)} classes, {len(sides.test)} test clips, {DRAWS} draws")
    for name, space, score in candidates():
        print(f"| {name} |", " | ".join(f"{accuracy(sides, spaces[space], score, count):.3f}" for count in LABELS))
    print("\nridge, standardised, 0.1")
    learned = {"trained": vectors, "untrained": model.untrained().embed(store).astype(np.float64)}
    features = [(name, each, classifier.spread(each[sides.pool])) for name, each in learned.items()]
    for name, each, (middle, width) in itertools.chain(features, baselines.unlabelled_forms(store, store, sides.pool)):
        standard = (each - middle) / width
        shares = [accuracy(sides, standard, lambda x, y, t: ridge(x, y, t, 0.1), count) for count in LABELS]
        print(f"| {name} |", " | ".join(f"{share:.3f}" for share in shares))
    print("\nlabels: accuracy, right answers kept, strangers turned away, area under the curve, calibration error")
    for count in (2, *LABELS[1:]):
        print(
            f"| {count} |",
            " | ".join(f"{each:.2f}" for each in strangers(sides, vectors, store.column("subject"), count)),
        )


if __name__ == "__main__":
    main()
