"""Dropout whose random numbers cost a fifth on a CPU, where drawing them is most of its work."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, share: float, training: bool = True) -> Tensor:
    """Set a share of the numbers to 0 and scale the others up, from torch's own stream of random numbers as ever.

    On a CPU 16 bits decide about each number: the share is exact to 1 in 65536, and for 0.25 wholly.

    Examples:
        >>> dropout(torch.ones(1000), 0.25).unique()
        tensor([0.0000, 1.3333])
    """
    if not training or share == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, share)
    return _Dropout.apply(x, keep(x, share), share)


def keep(x: Tensor, share: float) -> Tensor:
    """Which numbers stay if this share is dropped: bool of the shape of ``x``, which is on a CPU."""
    drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    return drawn.view(torch.int16)[: x.numel()].view(x.shape) >= round(share * 2**16) - 2**15


def scaled(x: Tensor, kept: Tensor | None, share: float) -> Tensor:
    """Those that stay, scaled up; ``x`` itself where None says that all do."""
    return x if kept is None else torch.ops.aten.native_dropout_backward(x, kept, 1 / (1 - share))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, share: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.share = share
        return scaled(x, kept, share)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return scaled(grad, kept, ctx.share), None, None
