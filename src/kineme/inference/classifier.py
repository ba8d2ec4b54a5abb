"""A classifier for a few labelled vectors, with a confidence that vectors of no known class do not get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FOLDS = 10  # of a cross-validation, at most
PENALTY = 0.1  # of the ridge, in parts of the examples' mean squared length; see docs/results/few-labels.md
TEMPERATURES = np.geomspace(0.02, 2, 60)
USUAL, STRENGTH = 0.2, 5.0  # a temperature that few examples are drawn to, and how strongly: as 2.5 examples would
RIGHT = 0.9  # share of the right answers that the threshold keeps
STEPS = 50  # of Newton's method, at most


@dataclass(frozen=True)
class Folds:
    """Which examples are held out together.

    Attributes:
        by: what tells the folds apart: ``subject``, ``performance``, ``source`` (the recording), or ``clip``.
        numbers: int64 ``[n]``.
    """

    by: str
    numbers: np.ndarray


@dataclass(frozen=True)
class HeldOut:
    """What a cross-validation found: of each example, by a classifier that saw none of its fold.

    Attributes:
        scores: float64 ``[n, K]``.
        near: cosine with the nearest centre, ``[n]``.
        near_others: the same with the centres of all classes but its own: what a clip of a class that the classifier
            does not know would have.
        numbers: int64 ``[n]``, the true classes.
    """

    scores: np.ndarray
    near: np.ndarray
    near_others: np.ndarray
    numbers: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool ``[n]``."""
        return self.scores.argmax(1) == self.numbers


@dataclass(frozen=True)
class Classifier:
    """A ridge regression on standardised vectors, and how near the nearest class is.

    The confidence is the probability that the answer is right, where as many clips are of no known class as of known
    ones: (probability of the class among those known) x (probability that it is one of these). The first is a softmax
    of the scores at a temperature, the second a logistic function of the cosine with the nearest class centre; both
    are fitted to examples that were held out.

    Attributes:
        mean, scale: float32 ``[D]``, of the unlabelled vectors that standardise.
        weights, bias: float32 ``[D, K]``, ``[K]``.
        centres: float32 ``[K, D]``, mean of each class's standardised unit vectors.
        temperature: of the softmax.
        slope, middle: of the logistic function.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    centres: np.ndarray
    temperature: float = USUAL
    slope: float = 0.0
    middle: float = 0.0

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """float64 ``[n, K]`` of vectors ``[n, D]``: the highest wins."""
        return self._standardised(vectors) @ self.weights.astype(np.float64) + self.bias

    def near(self, vectors: np.ndarray) -> np.ndarray:
        """Cosines with the class centres, float64 ``[n, K]``."""
        return _unit(self._standardised(vectors)) @ _unit(self.centres.astype(np.float64)).T

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The class of each vector ``[n, D]`` and how sure that is: int64 ``[n]``, float64 ``[n]`` from 0 to 1."""
        return self.judged(self.scores(vectors), self.near(vectors).max(1))

    def judged(self, scores: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`predict`, from scores ``[n, K]`` and cosines with the nearest centre ``[n]``."""
        likely = _softmax(scores, self.temperature).max(1)
        return scores.argmax(1), likely * _logistic(self.slope * (near - self.middle))

    def _standardised(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors.astype(np.float64) - self.mean) / self.scale


def fit(
    vectors: np.ndarray, numbers: np.ndarray, pool: tuple[np.ndarray, np.ndarray], folds: np.ndarray
) -> tuple[Classifier, HeldOut, float]:
    """Train on all examples; temperature and what counts as near by cross-validation.

    Args:
        vectors: ``[n, D]``, the examples.
        numbers: int64 ``[n]``, their classes, 0 to K - 1, each at least once.
        pool: :func:`spread` of vectors that need no label.
        folds: int64 ``[n]``, see :class:`Folds`.

    Returns:
        The classifier; what was found of the examples held out; and the threshold of confidence that keeps
        nine of ten right answers among these.
    """
    made = train(vectors, numbers, pool, int(numbers.max()) + 1)
    held = cross_validated(vectors, numbers, pool, folds)
    known = np.isfinite(held.near)  # a class of which no example was left is not known to its fold
    temperature = _temperature(held.scores[known], numbers[known])
    slope, middle = _boundary(held.near[known], held.near_others[known])
    made = Classifier(
        made.mean, made.scale, made.weights, made.bias, made.centres, temperature, float(slope), float(middle)
    )
    confidence = made.judged(held.scores, np.where(known, held.near, -1.0))[1]
    right = confidence[held.right & known]
    return made, held, float(np.quantile(right, 1 - RIGHT)) if len(right) else 0.5


def spread(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column ``[N, D]``, float32; 1 where nothing varies."""
    deviation = vectors.std(0, dtype=np.float64)
    varies = deviation > 1e-6 * max(float(deviation.max()), 1e-12)
    return vectors.mean(0, dtype=np.float64).astype(np.float32), np.where(varies, deviation, 1).astype(np.float32)


def cross_validated(
    vectors: np.ndarray, numbers: np.ndarray, pool: tuple[np.ndarray, np.ndarray], folds: np.ndarray
) -> HeldOut:
    """Each example by a classifier that saw none of its fold; arguments as of :func:`fit`."""
    classes = int(numbers.max()) + 1
    scores, near, others = np.empty((len(numbers), classes)), np.empty(len(numbers)), np.empty(len(numbers))
    for fold in np.unique(folds):
        rest, held = folds != fold, folds == fold
        made = train(vectors[rest], numbers[rest], pool, classes)
        there = np.bincount(numbers[rest], minlength=classes) > 0
        scores[held] = np.where(there, made.scores(vectors[held]), -np.inf)
        cosines = np.where(there, made.near(vectors[held]), -np.inf)
        own = np.arange(held.sum()), numbers[held]
        near[held] = np.where(there[numbers[held]], cosines.max(1), -np.inf)
        cosines[own] = -np.inf
        others[held] = cosines.max(1)
    return HeldOut(scores, near, others, numbers)


def choose_folds(groups: Mapping[str, Sequence], numbers: np.ndarray, seed: int = 0) -> Folds:
    """How to hold examples out: by the first of several columns that is known and divides every class, else by clip.

    Args:
        groups: column -> its value for each of n examples, None where nobody knows; the most telling first.
        numbers: int64 ``[n]``, classes.
        seed: of the order in which groups, or clips, are dealt to at most ten folds.
    """
    gen, classes = np.random.default_rng(seed), np.unique(numbers)

    def divides(codes: np.ndarray) -> bool:
        return all(len(np.unique(codes[numbers == each])) > 1 for each in classes)

    for name, values in groups.items():
        if any(value is None for value in values):
            continue
        codes = np.unique(np.array([str(value) for value in values]), return_inverse=True)[1]
        if divides(codes):
            dealt = gen.permutation(codes.max() + 1)[codes] % FOLDS
            return Folds(name, dealt if divides(dealt) else codes)
    mixed = gen.permutation(len(numbers))
    order = mixed[np.argsort(numbers[mixed], kind="stable")]
    counts = np.unique(numbers, return_counts=True)[1]
    dealt = np.empty(len(numbers), np.int64)
    dealt[order] = (np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)) % FOLDS
    return Folds("clip", dealt)


def train(vectors: np.ndarray, numbers: np.ndarray, pool: tuple[np.ndarray, np.ndarray], classes: int) -> Classifier:
    """Ridge regression to one column of zeros and ones for each class, in as many unknowns as there are examples or
    columns, whichever are fewer; class centres. Classes without an example have centre and weights zero.

    Args:
        vectors: ``[n, D]``, the examples.
        numbers: int64 ``[n]``, their classes.
        pool: :func:`spread` of vectors that need no label.
        classes: K.

    Returns:
        A classifier whose confidence is not fitted; :func:`fit` fits it too.
    """
    mean, scale = pool
    points = (vectors.astype(np.float64) - mean) / scale
    middle, wanted = points.mean(0), np.eye(classes)[numbers]
    share = wanted.mean(0)
    centred = points - middle
    penalty = PENALTY * max(float(np.square(centred).sum()) / len(points), 1e-12)
    if len(points) <= points.shape[1]:
        inner = np.linalg.solve(centred @ centred.T + penalty * np.eye(len(points)), wanted - share)
        weights = centred.T @ inner
    else:
        square = centred.T @ centred + penalty * np.eye(points.shape[1])
        weights = np.linalg.solve(square, centred.T @ (wanted - share))
    centres = wanted.T @ _unit(points) / np.maximum(wanted.sum(0), 1)[:, None]
    single = np.float32
    return Classifier(
        mean, scale, weights.astype(single), (share - middle @ weights).astype(single), centres.astype(single)
    )


def _temperature(scores: np.ndarray, numbers: np.ndarray) -> float:
    """The temperature that makes right answers likeliest, drawn to the usual one where examples are few."""
    if not len(scores):
        return USUAL
    own = np.arange(len(numbers)), numbers
    costs = [
        -np.log(_softmax(scores, each)[own] + 1e-12).sum() + STRENGTH * np.log(each / USUAL) ** 2
        for each in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(costs))])


def _boundary(known: np.ndarray, unknown: np.ndarray) -> tuple[float, float]:
    """Slope and middle of the logistic regression of known against unknown by one number, both sides of equal weight.

    Standardised, with a penalty of half the squared slope (scikit-learn's C = 1), so that few examples that are apart
    do not become certainty. Newton's method. Where nothing was held out with its class known, every vector is 0.5.
    """
    unknown = unknown[np.isfinite(unknown)]
    if not len(known) or not len(unknown):
        return 0.0, 0.0
    values = np.concatenate([known, unknown])
    weight = np.concatenate([np.full(len(known), 0.5 / len(known)), np.full(len(unknown), 0.5 / len(unknown))])
    weight *= len(values)
    truth = np.arange(len(values)) < len(known)
    centre, width = float(values.mean()), max(float(values.std()), 1e-9)
    columns = np.stack([(values - centre) / width, np.ones(len(values))], 1)
    penalty, found = np.diag([1.0, 1e-9]), np.zeros(2)
    for _ in range(STEPS):
        likely = _logistic(columns @ found)
        gradient = columns.T @ (weight * (likely - truth)) + penalty @ found
        curvature = (columns * (weight * likely * (1 - likely))[:, None]).T @ columns + penalty
        move = np.linalg.solve(curvature, gradient)
        found -= move
        if np.abs(move).max() < 1e-9:
            break
    slope, offset = found
    if slope <= 0:  # nearness tells nothing here
        return 0.0, 0.0
    return slope / width, centre - offset * width / slope


def _logistic(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))


def _softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    powers = np.exp((scores - scores.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def _unit(points: np.ndarray) -> np.ndarray:
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
