"""Host memory that is used again."""

from __future__ import annotations

import math
import threading
import weakref

import numpy as np
import torch
from torch import Tensor


class BufferPool:
    """Host memory that is used again: fresh blocks of megabytes cost more in page faults than the work done in them.

    A block is lent again only when the tensor that it was lent to, and every view of that tensor (a list, a slice, what
    autograd keeps), is gone; so nobody has to observe how long a batch lives. Safe from several threads.
    """

    KEPT = 8  # blocks, if not told otherwise; older ones are left to the garbage collector

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._blocks: list[tuple[np.ndarray, weakref.ref]] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        return BufferPool, (self._kept,)  # a copy, or what is sent elsewhere, gets memory of its own

    def empty(self, *shape: int) -> Tensor:
        """float32 tensor of this shape with whatever stood in its memory before."""
        size = math.prod(shape)
        with self._lock:
            free = (i for i, (block, lease) in enumerate(self._blocks) if block.size == size and lease() is None)
            found = next(free, None)
            block = _aligned(size) if found is None else self._blocks.pop(found)[0]
            lease = block[:]  # the tensor's storage will hold the only reference to this view
            self._blocks = [*self._blocks, (block, weakref.ref(lease))][-self._kept :]
            return torch.from_numpy(lease).view(shape)


def _aligned(size: int, line: int = 64) -> np.ndarray:
    """float32 memory that begins at a cache line."""
    block = np.empty(size + line // 4, np.float32)
    skip = -block.ctypes.data % line // 4
    return block[skip : skip + size]
