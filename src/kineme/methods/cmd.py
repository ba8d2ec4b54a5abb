"""CMD: joint, motion and bone streams of MoCo that teach each other which earlier clips are alike (Mao et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn.matmul import linear
from ..nn.precision import full_precision
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.augment import ViewSettings
from . import THREE_STREAMS, Released, StepContext
from .moco import MoCo

STREAMS = ("joint", "motion", "bone")
# what stands beside the query encoders in the authors' checkpoints
ASIDE = r"(encoder_k(?:_motion|_bone)?)\..+|((?:queue|queue_ptr|prototypes)(?:_motion|_bone)?)"


def distil(
    queries: dict[str, Tensor],
    keys: dict[str, Tensor],
    queues: dict[str, Tensor],
    top: int,
    teacher: float = 0.05,
    student: float = 0.1,
) -> Tensor:
    """Cross-modal mutual distillation (Mao et al. 2022).

    Every stream v is a teacher: its key's similarities to the entries of its queue, of which the ``top`` largest are
    kept (indices I), become ``p = softmax(k_v.Q_v[I] / teacher)``. Every other stream w is its student:
    ``r = softmax(q_w.Q_w[I] / student)``. The loss is KL(p || r), mean over the batch, sum over the ordered pairs.
    The same index in the queues must be the same earlier clip.

    Args:
        queries, keys: unit vectors ``[B, D]`` by stream; keys receive no gradient.
        queues: ``[K, D]`` unit vectors by stream.
        top: at most K, which gives the full divergence.
        teacher, student: temperatures.
    """
    learned = {name: linear(query, queues[name]) / student for name, query in queries.items()}
    terms = []
    for name, key in keys.items():
        near, entries = (linear(key.detach(), queues[name]) / teacher).topk(top, dim=1)
        wanted = near.log_softmax(1)
        for other in (each for each in learned if each != name):  # not a set: its order changes between processes
            given = learned[other].gather(1, entries).log_softmax(1)
            terms.append(F.kl_div(given, wanted, reduction="batchmean", log_target=True))
    return torch.stack(terms).sum()


def neighbours(top: int | None, queue: int) -> int:
    """How many entries a teacher shows: ``top``, by default half of the queue (8192 of 16384 as published).

    Raises:
        InputError: more than the queue holds.
    """
    chosen = queue // 2 if top is None else top
    if not 1 <= chosen <= queue:
        raise InputError("method.top", f"{chosen} of a queue of {queue}", f"1 to {queue}")
    return chosen


class CMD(MoCo):
    """MoCo on three streams, and each stream learns from the other two: ``L = sum_v L_CL^v + weight * L_CMD``."""

    RELEASED = Released("recurrent", THREE_STREAMS, every=True, aside=ASIDE)

    @dataclass(frozen=True)
    class Settings:
        """Published values. ``top`` is half of the queue where it is left open."""

        dim: int = 128
        queue: int = 16384
        temperature: float = 0.07
        momentum: float = 0.999
        top: int | None = None
        teacher: float = 0.05
        student: float = 0.1
        weight: float = 1.0
        views: ViewSettings = field(default_factory=ViewSettings)
        faithful: bool = False

        def __post_init__(self) -> None:
            positive(self, "method", "dim", "queue", "temperature", "teacher", "student")
            neighbours(self.top, self.queue)

    @property
    def streams(self) -> tuple[str, ...]:
        return STREAMS

    @full_precision
    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """InfoNCE of the streams and the distillation between them."""
        losses, log = super().objective(queries, keys, step)
        s = self.settings
        queues = {name: self.branch(name).queue.keys for name in self.streams}
        term = distil(queries, keys, queues, neighbours(s.top, s.queue), s.teacher, s.student)
        return {"loss": losses["loss"] + s.weight * term}, {**log, "cmd": term.detach()}
