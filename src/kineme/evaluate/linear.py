"""Accuracy of a linear classifier on frozen features: logistic regression, or the published SGD probes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..errors import InputError
from . import Task

LAST, BEST = "accuracy", "accuracy at the best test epoch"


@dataclass(frozen=True)
class Settings:
    """How the classifier is trained.

    Attributes:
        probe: ``logistic``: multinomial logistic regression on features standardised by the training side, converged.
            ``halp``, ``cmd``, ``hico``: the published SGD settings (spec halp.md, section 8; hico.md, section 6).
        C: inverse strength of the L2 penalty of ``logistic``, in scikit-learn's meaning.
        views: random crops of each training clip, embedded once, of which ``halp`` and ``cmd`` take one in every epoch.
        lr: learning rate in place of the published one (HaLP has 0.001 for PKU-MMD II).
        epochs: epochs in place of the published 80; the learning rate falls at the same shares of them.
        faithful: also give the figure that the released code reports. It is chosen on the test side.
    """

    probe: Literal["logistic", "halp", "cmd", "hico"] = "logistic"
    C: float = 0.05
    views: int = 4
    lr: float | None = None
    epochs: int | None = None
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


def score(task: Task, settings: Settings) -> dict[str, float]:
    """Share of test clips that the classifier, after its last step, gets right.

    Raises:
        InputError: a training side of one class; a setting that is not positive.
    """
    _check(task, settings)
    labels, test, truth = task.labels[task.train], task.features(task.test), task.labels[task.test]
    if settings.probe == "logistic":
        return {LAST: float(np.mean(logistic(task.features(task.train), labels, test, settings.C) == truth))}
    how = PUBLISHED[settings.probe]
    how = replace(how, lr=settings.lr or how.lr, epochs=settings.epochs or how.epochs)
    views = task.views(task.train, settings.views) if how.random_crops else task.features(task.train)[None]
    right = descend(views, labels, test, truth, how, task.seed)
    return {LAST: right[-1], BEST: max(right)} if settings.faithful else {LAST: right[-1]}


def seeded(settings: Settings) -> bool:
    """Logistic regression draws nothing; the others draw weights, order and crops."""
    return settings.probe != "logistic"


def floor(settings: Settings) -> tuple[str, Settings]:
    """Reduced hand-made features, always under logistic regression with C = 0.05."""
    return "reduced", Settings()


def logistic(train: np.ndarray, labels: np.ndarray, test: np.ndarray, C: float = 0.05) -> np.ndarray:
    """Labels by multinomial logistic regression on standardised features; float64, converged, nothing drawn.

    Args:
        train, test: ``[n, D]``, ``[m, D]``; mean and deviation of ``train`` standardise both.
        labels: int64 ``[n]``.

    Returns:
        int64 ``[m]``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(train.astype(np.float64))
    model = LogisticRegression(C=C, max_iter=10_000).fit(scale.transform(train.astype(np.float64)), labels)
    return model.predict(scale.transform(test.astype(np.float64)))


def descend(views: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, how: Descent,
            seed: int) -> list[float]:
    """Train one linear layer, weights N(0, 0.01) and biases 0, by SGD.

    Args:
        views: float32 ``[R, n, D]``; in every epoch each clip is seen once, in one of its R views.
        test: float32 ``[m, D]``.
        labels, truth: int64 ``[n]``, ``[m]``, not negative.
        seed: of weights, order and views.

    Returns:
        Accuracy on the test side every ``how.every`` epochs; the last is that after the last epoch.
    """
    gen = torch.Generator().manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layer = nn.Linear(views.shape[2], int(max(labels.max(), truth.max())) + 1)
    nn.init.normal_(layer.weight, 0.0, 0.01, generator=gen)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(layer.to(device).parameters(), how.lr, momentum=0.9)
    falls = [round(share * how.epochs) for share in how.milestones]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, falls, gamma=0.1)
    features, wanted, asked, right = (torch.as_tensor(array, device=device) for array in (views, labels, test, truth))
    accuracy = []
    for epoch in range(1, how.epochs + 1):
        order = torch.randperm(len(labels), generator=gen).to(device)
        view = torch.randint(len(views), (len(labels),), generator=gen).to(device)
        for part in order.split(how.batch):
            optimiser.zero_grad()
            cross_entropy(layer(features[view[part], part]), wanted[part]).backward()
            optimiser.step()
        schedule.step()
        if epoch % how.every == 0 or epoch == how.epochs:
            accuracy.append(_accuracy(layer, asked, right))
    return accuracy


@torch.inference_mode()
def _accuracy(layer: nn.Linear, features: Tensor, labels: Tensor) -> float:
    return float((layer(features).argmax(1) == labels).double().mean())


def _check(task: Task, settings: Settings) -> None:
    for name in ("C", "views", "lr", "epochs"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"linear.{name}", str(value), "a positive number")
    if len(np.unique(task.labels[task.train])) < 2:
        raise InputError("linear", "all training clips have one label", "at least two classes", "Choose another split")
