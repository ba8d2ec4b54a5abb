"""What contrast remembers: a queue of keys, and a slowly following copy of the encoder."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """First-in-first-out queue of unit vectors, written around its end; starts as random unit vectors.

    Buffers: ``keys [K, D]``, ``pointer`` (next row to write), ``filled`` (how many real keys have been written, at
    most K).

    Args:
        size: K.
        dim: D.
    """

    keys: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.keys)

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Write ``[n, D]`` keys, n of any size (of more than K the last K stay). Call it after backward: the loss
        reads the queue.
        """
        size, count = len(self.keys), len(keys)
        rows = (self.pointer + torch.arange(max(count - size, 0), count, device=self.keys.device)) % size
        self.keys.index_copy_(0, rows, keys[-size:].to(self.keys.dtype))
        self.pointer.copy_((self.pointer + count) % size)
        self.filled.copy_((self.filled + count).clamp(max=size))

    def newest(self, count: int) -> Tensor:
        """The ``count`` newest rows ``[count, D]``, oldest first."""
        rows = (self.pointer + torch.arange(-count, 0, device=self.keys.device)) % len(self.keys)
        return self.keys[rows]


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy whose parameters receive no gradient."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """``slow <- momentum * slow + (1 - momentum) * fast`` for parameters; buffers (batch-norm statistics) stay its
    own.
    """
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1.0 - momentum)
