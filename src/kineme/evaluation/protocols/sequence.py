"""Accuracy of a small network over time on frozen per-frame codes, as CV-MIM recognises actions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...data import splits
from ...encoders.temporal import Nets
from ...nn.temporal_conv import WIDTHS, Classifier
from ...utils.errors import InputError
from ...utils.registry import did_you_mean
from ..task import Outcome, Scores, Task

TOP1, TOP5, BEST = "top-1", "top-5", "top-1 at the best test checkpoint"
TESTED = 256  # test clips at a time


@dataclass(frozen=True)
class Training:
    """What the classifier is given and how it is trained (Zhao et al. 2021).

    Attributes:
        net: ``convnet``, ``resnet`` or ``restcn``.
        width: channels of its first stage; the next have twice and four times as many.
        every: every n-th frame of a clip is kept, from the first.
        frames: recorded frames of a clip that count, the first ones; None: all. Published: Penn Action 663, NTU 300.
        steps: of training. The released code trains up to 1,000,000; ours were chosen on held-out training clips of
            Penn Action, for all inputs alike.
        batch: clips of a step.
        lr: of Adam, constant, epsilon 1e-7.
        average: rate of the exponential average of the weights that are scored; 0: the last weights themselves.
        drop: names of classes that are left out on both sides, e.g. ``strum_guitar`` in the published Penn Action.
        fraction: share of the labels of the training side that is used; the rest of its clips is left out.
        stratified: take that share of every class, at least one clip of each.
        part: which code of a frame.
        mask_padding: a clip ends with its last frame. Off, clips are filled up with zeros to the longest, and what
            stands there is counted as if it had been recorded, as released.
    """

    net: Nets = "convnet"
    width: int = WIDTHS[0]
    every: int = 2
    frames: int | None = None
    steps: int = 1500
    batch: int = 64
    lr: float = 5e-3
    average: float = 0.99
    drop: tuple[str, ...] = ()
    fraction: float = 1.0
    stratified: bool = False
    part: str = "pose"
    mask_padding: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "every", "frames", "steps", "batch", "lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"classifier setting {name}", str(value), "a number above 0")
        if not 0 <= self.average < 1:
            raise InputError("classifier setting average", str(self.average), "a number from 0 to below 1")


@dataclass(frozen=True)
class Settings(Training):
    """Those of the training, and

    Attributes:
        faithful: padding counts (``mask_padding`` off), and the best figure over the checkpoints, which the released
            evaluation reports, is also given. It is chosen on the test side.
        checkpoint: steps between two of them.
    """

    faithful: bool = False
    checkpoint: int = 100


class Sequences(NamedTuple):
    """Kept frames of clips, one clip after the other.

    Attributes:
        rows: float32 ``[F, D]``, on the device of training.
        lengths: int64 ``[n]``, from 1 up, on the CPU.
    """

    rows: Tensor
    lengths: Tensor

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The frames of some clips ``[N, D]`` and these clips' lengths ``[len(index)]``."""
        lengths = self.lengths[index]
        begin = (self.lengths.cumsum(0) - self.lengths)[index] - (lengths.cumsum(0) - lengths)
        at = torch.arange(int(lengths.sum())) + begin.repeat_interleave(lengths)
        return self.rows[at.to(self.rows.device)], lengths


def score(task: Task, settings: Settings) -> Scores:
    """Share of test clips that the classifier, after its last step, gets right, and whose label is among its five best.

    Raises:
        InputError: a model without a code for each frame; a class to drop that there is not; a training side of one
            class.
    """
    if settings.faithful:
        settings = dataclasses.replace(settings, mask_padding=False)
    asked, task = task, narrowed(task, settings)
    train, test = (sequences(task, rows, settings) for rows in (task.train, task.test))
    looks = classify(task, train, test, settings, settings.checkpoint if settings.faithful else settings.steps)
    truth, scores = task.labels[task.test], Scores()
    for metric, k in ((TOP1, 1), (TOP5, 5)):
        values = np.full(len(asked.test), np.nan)  # of classes that are dropped
        values[np.isin(asked.test, task.test)] = among(looks[-1], truth, k)
        scores.tell(metric, Outcome(values))
    if settings.faithful:
        scores.add(BEST, max(hits(logits, truth, 1) for logits in looks))
    return scores


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The keypoints of every frame, normalised as the encoder's input, under the same network."""
    return "keypoints", dataclasses.replace(settings, part="pose")


def narrowed(task: Task, how: Training) -> Task:
    """The task without the classes that are to be dropped, and with a share of its training labels.

    Raises:
        InputError: a class that there is not, a share out of range, nothing left to learn or to test.
    """
    for name in how.drop:
        if name not in task.classes:
            raise InputError(
                "drop", f"no class {name!r}", f"some of {', '.join(task.classes)}", did_you_mean(name, task.classes)
            )
    dropped = np.isin(task.labels, [task.classes.index(name) for name in how.drop])
    train, test = (rows[~dropped[rows]] for rows in (task.train, task.test))
    if how.fraction != 1 and len(train):
        train = splits.fraction(train, task.labels, how.fraction, task.seed, how.stratified)
    if not len(test) or len(np.unique(task.labels[train])) < 2:
        raise InputError(
            "classifier over time",
            f"{len(train)} training clips of {len(np.unique(task.labels[train]))} classes, {len(test)} test clips",
            "at least two classes and one test clip",
            "Drop fewer classes, or take a larger fraction",
        )
    return dataclasses.replace(task, train=train, test=test)


def sequences(task: Task, rows: np.ndarray, how: Training) -> Sequences:
    """The codes of the kept frames of clips, ready for training.

    With ``mask_padding`` off all clips are as long as the longest of the task.

    Raises:
        InputError: a model without a code for each frame, or codes that are not finite.
    """
    found, offsets = task.codes(rows, how.part)
    most = how.frames or int(task.store.lengths[np.concatenate([task.train, task.test])].max())
    kept = -(-np.minimum(np.diff(offsets), most) // how.every)
    length = kept if how.mask_padding else np.full(len(kept), -(-most // how.every))
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    there = step < np.repeat(kept, length)
    at = (np.repeat(offsets[:-1], length) + how.every * step)[there]
    table = np.zeros((len(step), found.shape[1]), np.float32)
    table[there] = found[at]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Sequences(torch.from_numpy(table).to(device), torch.from_numpy(length))


def classify(task: Task, train: Sequences, test: Sequences, how: Training, look: int) -> list[np.ndarray]:
    """Train the network on the task's training clips, cross-entropy, everything drawn from the task's seed.

    Args:
        train, test: the frames of ``task.train`` and ``task.test``.
        look: steps between two looks at the test clips.

    Returns:
        float32 ``[m, K]`` of every look and after the last step: column c is the logit of label c, minus infinity for
        labels that training does not have.
    """
    known, labels = np.unique(task.labels[task.train], return_inverse=True)
    wanted, device, found = torch.from_numpy(labels), train.rows.device, list[np.ndarray]()
    rounds = -(-how.steps * how.batch // len(labels))
    gen = torch.Generator().manual_seed(task.seed)
    order = torch.cat([torch.randperm(len(labels), generator=gen) for _ in range(rounds)])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # of first weights and of dropout
        torch.manual_seed(task.seed)
        net = Classifier(how.net, train.rows.shape[1], len(known), [how.width * n for n in (1, 2, 4)]).to(device)
        averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(how.average))
        optimiser = torch.optim.Adam(net.parameters(), how.lr, eps=1e-7, fused=True)
        penalty = getattr(net.net, "penalty", lambda: 0.0)
        for step, index in enumerate(order[: how.steps * how.batch].view(how.steps, how.batch), 1):
            net.train()
            optimiser.zero_grad()
            (cross_entropy(net(*train.batch(index)), wanted[index].to(device)) + penalty()).backward()
            optimiser.step()
            averaged.update_parameters(net)
            if step % look == 0 or step == how.steps:
                logits = np.full((len(test.lengths), int(task.labels.max()) + 1), -np.inf, np.float32)
                logits[:, known] = _logits(averaged, test).cpu().numpy()
                found.append(logits)
    return found


def hits(logits: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Share of rows whose label has one of the k highest logits."""
    return float(np.mean(among(logits, truth, k)))


def among(logits: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Whether each row's label has one of its k highest logits, bool ``[m]``; none that is minus infinity counts."""
    own = np.take_along_axis(logits, truth[:, None], 1)
    return ((logits > own).sum(1) < k) & np.isfinite(own[:, 0])


@torch.inference_mode()
def _logits(net: AveragedModel, clips: Sequences) -> Tensor:
    net.eval()
    return torch.cat([net(*clips.batch(index)) for index in torch.arange(len(clips.lengths)).split(TESTED)])
