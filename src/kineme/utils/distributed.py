"""The processes of one training: who am I, and sums and gathers over all of them. One process is the plain case."""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """Rank and number of the processes that train together; with one, every verb returns its argument."""

    rank: int = 0
    size: int = 1

    def gather(self, rows: Tensor) -> Tensor:
        """Concatenate ``[n, ...]`` of every process in rank order -> ``[n * size, ...]``; no gradient."""
        if self.size == 1:
            return rows.detach()
        rows = rows.detach().contiguous()
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    def gather_with_grad(self, rows: Tensor) -> Tensor:
        """:meth:`gather` with gradient. Every process is to compute the same loss from the result: the gradients that
        they have for all rows are added up, so that their average over the processes is the loss' own gradient.
        """
        return _Gathered.apply(rows, self.rank, self.size) if self.size > 1 else rows

    def mean_(self, value: Tensor) -> Tensor:
        """Average over the processes, in place; no gradient."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any of the processes."""
        if self.size == 1:
            return flag
        flags: list[bool] = [False] * self.size
        dist.all_gather_object(flags, flag)
        return max(flags)


def gather_together(group: ProcessGroup, *groups: Sequence[Tensor]) -> list[list[Tensor]]:
    """Rows ``[B, ...]`` of all processes with gradient, all tensors of all groups in one
    collective."""
    if group.size == 1:
        return [list(tensors) for tensors in groups]
    rows = [x for tensors in groups for x in tensors]
    widths = [math.prod(x.shape[1:]) for x in rows]
    flat = group.gather_with_grad(torch.cat([x.reshape(len(x), wide) for x, wide in zip(rows, widths)], 1))
    parts = iter(part.reshape(len(flat), *x.shape[1:]) for part, x in zip(flat.split(widths, 1), rows))
    return [[next(parts) for _ in tensors] for tensors in groups]


def current() -> ProcessGroup:
    """The running process group, or the group of one."""
    if dist.is_available() and dist.is_initialized():
        return ProcessGroup(dist.get_rank(), dist.get_world_size())
    return ProcessGroup()


def start() -> ProcessGroup:
    """Join the process group that ``torchrun`` prepared (environment variables); otherwise the group of one.

    The group lasts as long as the process, for any number of training runs, and is left when Python ends.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not dist.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if cuda else "gloo")
        atexit.register(stop)  # a group whose threads still run when the interpreter goes down aborts the process
    return current()


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """All-reduce (sum) whose gradient is the all-reduced gradient: every process' loss depends on every process'
    rows.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].contiguous().clone()
        dist.all_reduce(grad)
        return grad


class _Gathered(torch.autograd.Function):
    """All-gather whose gradient is the all-reduced gradient of this process' rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.rows = rank, len(rows)
        parts = [torch.empty_like(rows) for _ in range(size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad = grads[0].contiguous().clone()
        dist.all_reduce(grad)
        return grad[ctx.rank * ctx.rows : (ctx.rank + 1) * ctx.rows], None, None


def all_reduce_sum(value: Tensor) -> Tensor:
    """Sum over the processes, with gradient."""
    return _Sum.apply(value) if current().size > 1 else value
