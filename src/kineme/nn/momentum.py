"""What contrast remembers: the encoder's exponential moving average (momentum encoder), and a queue of its keys."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError


class MomentumEncoder(nn.Module):
    """The momentum (EMA) copy of a network (He et al. 2020, equation 2): ``k <- m k + (1 - m) q`` for parameters.

    It has no level of its own in a state dict: its entries are named as those of the network that it copies. Nothing in
    it receives a gradient. Buffers (batch-norm statistics) are its own.

    Args:
        query: the network that is trained; it stays where it is and is not a child of this module.
        momentum: m.

    Examples:
        >>> query = torch.nn.Linear(3, 2)
        >>> key = MomentumEncoder(query, momentum=0.9)
        >>> list(key.state_dict()) == list(query.state_dict())
        True
        >>> key.update()
        >>> key(torch.zeros(1, 3)).requires_grad
        False
    """

    _twin: nn.Module
    _query: nn.Module

    def __init__(self, query: nn.Module, momentum: float):
        super().__init__()
        twin = copy.deepcopy(query).requires_grad_(False)
        self._modules, self._parameters, self._buffers = twin._modules, twin._parameters, twin._buffers
        self._non_persistent_buffers_set = twin._non_persistent_buffers_set
        self.momentum = momentum
        object.__setattr__(self, "_twin", twin)  # what runs; its children are this module's
        object.__setattr__(self, "_query", query)

    def train(self, mode: bool = True) -> MomentumEncoder:
        self._twin.train(mode)
        return super().train(mode)

    @torch.no_grad()
    def restart(self) -> None:
        """Become a copy again, statistics included."""
        self._twin.load_state_dict(self._query.state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """One step of the moving average."""
        torch._foreach_lerp_(list(self.parameters()), list(self._query.parameters()), 1.0 - self.momentum)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        """What the network gives, without gradient."""
        return self._twin(*inputs)


class KeyQueue(nn.Module):
    """First-in-first-out queue of unit vectors, written around its end; starts as random unit vectors.

    Buffers: ``keys [K, D]``, ``pointer`` (next row to write), ``filled`` (how many real keys have been written, at
    most K).

    Args:
        size: K.
        dim: D.
        divisible: refuse batches that do not divide K, as the authors' releases do.
    """

    keys: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int, *, divisible: bool = False):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.divisible = divisible
        self.staged: Tensor | None = None  # keys of the step under way

    def __len__(self) -> int:
        return len(self.keys)

    def stage(self, keys: Tensor) -> None:
        """Remember this process' keys of the step under way, ``[n, ..., D]``: the loss reads the queue without them."""
        self.staged = keys.detach()

    @torch.no_grad()
    def commit(self, dist: ProcessGroup) -> int:
        """After the step: enqueue what all processes staged, in rank order, inner axes first.

        Returns:
            how many clips that were.

        Raises:
            InputError: ``divisible``, and the batch does not divide the queue.
        """
        if self.staged is None:
            return 0
        keys, self.staged = dist.gather(self.staged), None
        rows = keys.flatten(0, -2)
        if self.divisible and len(self) % len(rows):
            raise InputError(
                "method.queue",
                f"{len(self)} keys",
                f"a multiple of those of a batch ({len(rows)})",
                "Without faithful any size will do",
            )
        self.push(rows)
        return len(keys)

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Write ``[n, D]`` keys, n of any size (of more than K the last K stay)."""
        size, count = len(self.keys), len(keys)
        rows = (self.pointer + torch.arange(max(count - size, 0), count, device=self.keys.device)) % size
        self.keys.index_copy_(0, rows, keys[-size:].to(self.keys.dtype))
        self.pointer.copy_((self.pointer + count) % size)
        self.filled.copy_((self.filled + count).clamp(max=size))

    def newest(self, count: int) -> Tensor:
        """The ``count`` newest rows ``[count, D]``, oldest first."""
        rows = (self.pointer + torch.arange(-count, 0, device=self.keys.device)) % len(self.keys)
        return self.keys[rows]
