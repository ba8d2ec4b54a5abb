"""A training that diverges is noticed, and its likely cause named."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..utils.distributed import ProcessGroup
from ..views.source import Clips
from .recipe import Loop

WINDOW, FEWEST = 20, 5  # steps by whose median loss a divergence is judged
FACTOR = 100.0  # times its start: then it diverges
LEAST = 0.01  # that a start is taken for, however small
FAR = 50.0  # from the origin: no body of size about 1 reaches there
SOME = 2000  # frames that are looked at


class Watch:
    """Notices a training that diverges: a loss that is not finite, or ``FACTOR`` times its start.

    The start is the largest median of the steps until the loss is settled (see :meth:`kineme.methods.Method.settled`):
    while a queue fills, an InfoNCE rises from next to nothing although all is well. Until then the loss before the
    first update, or 1, stands for it.

    Args:
        here: the processes that train together; they judge the same mean.
        start: what an earlier process found, where a run is resumed.
    """

    def __init__(self, here: ProcessGroup, start: float | None = None):
        self.here, self.start = here, start
        self._new: list[Tensor] = []
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._first: float | None = None
        self._largest = 0.0

    def add(self, losses: Iterable[Tensor]) -> None:
        """The losses of one step; nothing waits for the device."""
        self._new.append(torch.stack([loss.detach().float() for loss in losses]).sum())

    def fault(self, settled: bool) -> str:
        """What is wrong with the steps since the last call, in words; empty if nothing is. All processes take part."""
        if not self._new:
            return ""
        values = self.here.mean_(torch.stack(self._new)).tolist()
        self._new = []
        odd = next((value for value in values if not math.isfinite(value)), None)
        if odd is not None:
            return f"the loss is {odd}"
        self._first = abs(values[0]) if self._first is None else self._first
        self._recent.extend(abs(value) for value in values)
        if len(self._recent) < FEWEST:
            return ""
        median = sorted(self._recent)[len(self._recent) // 2]
        start = max(self._first, 1.0) if self.start is None else self.start
        if median > FACTOR * start:
            return f"the loss has risen to {median:.4g}, from {start:.4g}"
        if self.start is None:
            self._largest = max(self._largest, median)
            self.start = max(self._largest, LEAST) if settled else None
        return ""


def likely_cause(data: Clips, loop: Loop) -> str:
    """Why a training on these clips diverges, most likely, and what to do."""
    some = np.linspace(0, len(data.frames) - 1, min(len(data.frames), SOME)).astype(int)
    values = np.abs(data.frames[some][data.confidence[some] > 0])
    large = float(np.quantile(values, 0.99)) if values.size else 0.0
    rate = (
        f"the learning rate, {loop.lr:g}. Lower it (--set loop.lr={loop.lr / 10:.3g}) or bound gradients "
        "(--set loop.clip=1.0)"
    )
    if not math.isfinite(large):
        return "Likely cause: the data, which hold values that are not finite. Prepare them again"
    if large > FAR:
        return (
            f"Likely cause: the scale of the data, whose joints are up to {large:.0f} from the origin. Prepare them in "
            f"metres or with --normalise general. If not: {rate}"
        )
    if loop.precision != "fp32":
        return f"Likely cause: the precision, {loop.precision} (--set loop.precision=fp32), or {rate}"
    return f"Likely cause: {rate}, or look at the data with kineme info"
