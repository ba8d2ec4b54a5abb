"""Accuracy of a linear classifier on frozen features: logistic regression, or the published SGD probes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ...nn.matmul import Linear
from ...utils.errors import InputError
from ..task import Outcome, Scores, Task

LAST, BEST = "accuracy", "accuracy at the best test epoch"
FEW = "The number of unique classes"  # of small sets, as scikit-learn warns
rivals = ("svm",)


@dataclass(frozen=True)
class Probe:
    """How a linear classifier is trained.

    Attributes:
        probe: ``logistic``: multinomial logistic regression on features standardised by the training side, converged.
            ``halp``, ``cmd``, ``hico``: the published SGD settings (Shah et al. 2023; Dong et al. 2023).
        C: inverse strength of the L2 penalty of ``logistic``, in scikit-learn's meaning.
        views: random crops of each training clip, embedded once, of which ``halp`` and ``cmd`` take one in every epoch.
        lr: learning rate in place of the published one (HaLP has 0.001 for PKU-MMD II).
        epochs: epochs in place of the published 80; the learning rate falls at the same shares of them.
        max_iter: most iterations of ``logistic``, which ends before that where it has converged.
    """

    probe: Literal["logistic", "halp", "cmd", "hico"] = "logistic"
    C: float = 0.05
    views: int = 4
    lr: float | None = None
    epochs: int | None = None
    max_iter: int = 10_000


@dataclass(frozen=True)
class Settings(Probe):
    """Those of the classifier, and ``faithful``: also give the figure that the released code reports. It is chosen on
    the test side.
    """

    faithful: bool = False


@dataclass(frozen=True)
class Descent:
    """A published probe: SGD, momentum 0.9, no weight decay; the learning rate falls to a tenth at each milestone."""

    lr: float
    batch: int
    random_crops: bool
    every: int  # epochs from one look at the test side to the next
    epochs: int = 80
    milestones: tuple[float, ...] = (50 / 80, 70 / 80)  # as shares of the epochs


PUBLISHED = {
    "halp": Descent(lr=0.005, batch=64, random_crops=True, every=5),
    "cmd": Descent(lr=0.1, batch=64, random_crops=True, every=5),
    "hico": Descent(lr=2.0, batch=1024, random_crops=False, every=1),
}


def score(task: Task, settings: Settings) -> Scores:
    """Share of test clips that the classifier, after its last step, gets right.

    Raises:
        InputError: a training side of one class; a setting that is not positive.
    """
    check(task, settings, "linear")
    looks = list(classify(task, settings, crops(task, settings), task.features(task.test)))
    scores, truth = Scores(), task.labels[task.test]
    scores.tell(LAST, named(looks[-1], truth))
    if settings.faithful and settings.probe != "logistic":  # which is looked at only once
        scores.tell(BEST, named(max(looks, key=lambda found: np.mean(found.argmax(1) == truth)), truth))
    return scores


def named(found: np.ndarray, truth: np.ndarray) -> Outcome:
    """What a classifier says: the class of the highest score and its probability.

    Args:
        found: ``[m, K]``, class scores whose softmax is the probability.
        truth: int64 ``[m]``.
    """
    labels = found.argmax(1)
    return Outcome((labels == truth).astype(np.float64), labels, probabilities(found).max(1))


def probabilities(found: np.ndarray) -> np.ndarray:
    """The softmax of class scores ``[m, K]``, float64; minus infinity is probability 0."""
    shifted = np.exp(found.astype(np.float64) - found.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def is_stochastic(settings: Probe) -> bool:
    """Logistic regression draws nothing; the others draw weights, order and crops."""
    return settings.probe != "logistic"


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The best of the hand-crafted features, always under logistic regression with C = 0.05."""
    return "best trained", Settings(max_iter=300)


def check(task: Task, probe: Probe, protocol: str) -> None:
    """Refuse what no classifier can be trained with.

    Raises:
        InputError: a training side of one class; a setting that is not positive.
    """
    for name in ("C", "views", "lr", "epochs", "max_iter"):
        value = getattr(probe, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{protocol}.{name}", str(value), "a positive number")
    if len(np.unique(task.labels[task.train])) < 2:
        raise InputError(protocol, "all training clips have one label", "at least two classes", "Choose another split")


def crops(task: Task, probe: Probe) -> np.ndarray:
    """float32 ``[R, n, D]``, what the classifier is trained on: R random crops of each training clip, or the one that
    is not random.
    """
    random = probe.probe != "logistic" and PUBLISHED[probe.probe].random_crops
    return task.views(task.train, probe.views) if random else task.features(task.train)[None]


def classify(task: Task, probe: Probe, views: np.ndarray, test: np.ndarray) -> Iterator[np.ndarray]:
    """Train a classifier and give its class scores, at every look at the test side; the last are those of the finished
    one.

    Args:
        views: ``[R, n, D]`` of the task's training clips; all of :func:`crops` or some of its columns.
        test: ``[m, D]`` of its test clips.

    Yields:
        ``[m, K]``: column c is the score of label c; the highest wins.
    """
    labels = task.labels[task.train]
    if probe.probe == "logistic":
        yield logistic(views[0], labels, test, probe.C, probe.max_iter, each=not task.weighted)
        return
    how = PUBLISHED[probe.probe]
    how = replace(how, lr=probe.lr or how.lr, epochs=probe.epochs or how.epochs)
    yield from descend(views, labels, test, int(max(labels.max(), task.labels[task.test].max())) + 1, how, task.seed)


def logistic(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    C: float = 0.05,
    max_iter: int = 10_000,
    *,
    each: bool = True,
) -> np.ndarray:
    """Class scores by multinomial logistic regression on standardised features; float64, converged, nothing drawn.

    Args:
        train, test: ``[n, D]``, ``[m, D]``; mean and deviation of ``train`` standardise both.
        labels: int64 ``[n]``, not negative.
        max_iter: most iterations.
        each: standardise each column; else all by the root of their mean variance, so that their scales still count.

    Returns:
        float64 ``[m, K]``, K - 1 the largest label: the decision functions (their softmax is the probability), minus
        infinity for labels that do not occur.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler(with_std=each).fit(train.astype(np.float64))
    seen, asked = (scale.transform(part.astype(np.float64)) for part in (train, test))
    if not each:
        size = max(float(np.sqrt(seen.var(0).mean())), 1e-12)
        seen, asked = seen / size, asked / size
    if seen.shape[1] > len(seen):  # the weights lie in the span of the training clips: the same result in fewer columns
        axes = np.linalg.qr(seen.T)[0]
        seen, asked = seen @ axes, asked @ axes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # whoever gives max_iter wants no more
        warnings.filterwarnings("ignore", FEW, UserWarning)
        model = LogisticRegression(C=C, max_iter=max_iter).fit(seen, labels)
    found = model.decision_function(asked)
    scores = np.full((len(test), int(labels.max()) + 1), -np.inf)
    scores[:, model.classes_] = found if found.ndim == 2 else found[:, None] * [-0.5, 0.5]  # one column for two classes
    return scores


def descend(
    views: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int, how: Descent, seed: int
) -> Iterator[np.ndarray]:
    """Train one linear layer, weights N(0, 0.01) and biases 0, by SGD.

    Args:
        views: float32 ``[R, n, D]``; in every epoch each clip is seen once, in one of its R views.
        labels: int64 ``[n]``, from 0 to ``classes - 1``.
        test: float32 ``[m, D]``.
        classes: outputs of the layer.
        seed: of weights, order and views.

    Yields:
        float32 ``[m, classes]``: outputs on the test side every ``how.every`` epochs; the last are those after the last
        epoch.
    """
    gen = torch.Generator().manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layer = Linear(views.shape[2], classes)
    nn.init.normal_(layer.weight, 0.0, 0.01, generator=gen)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(layer.to(device).parameters(), how.lr, momentum=0.9)
    falls = [round(share * how.epochs) for share in how.milestones]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, falls, gamma=0.1)
    features, wanted, asked = (torch.as_tensor(array, device=device) for array in (views, labels, test))
    for epoch in range(1, how.epochs + 1):
        order = torch.randperm(len(labels), generator=gen).to(device)
        view = torch.randint(len(views), (len(labels),), generator=gen).to(device)
        for part in order.split(how.batch):
            optimiser.zero_grad()
            cross_entropy(layer(features[view[part], part]), wanted[part]).backward()
            optimiser.step()
        schedule.step()
        if epoch % how.every == 0 or epoch == how.epochs:
            with torch.inference_mode():
                scores = layer(asked).cpu().numpy()
            yield scores
