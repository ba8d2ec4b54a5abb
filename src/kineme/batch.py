"""Batches of clips, drawn from a store straight onto the training device."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .errors import InputError
from .skeleton import Layout


@dataclass
class Batch:
    """Clips of one length. It never carries labels.

    Attributes:
        joints: float32 ``[B, T, M, V, C]``: clip, frame, person, joint, coordinate; 0 where a joint is missing.
        seen: float32 ``[B, T, M, V]`` confidence; 0 = missing; an absent person is all 0.
        index: int64 ``[B]`` rows of the clip table.
        frames: uint8 ``[B, T, 3, H, W]``, stores with video only.
    """

    joints: Tensor
    seen: Tensor
    index: Tensor
    frames: Tensor | None = None

    def __len__(self) -> int:
        return self.joints.shape[0]

    def __getitem__(self, which: slice | Tensor | Sequence[int]) -> Batch:
        """Some of the clips: a slice, a boolean mask ``[B]`` or positions. (A single clip: ``batch[2:3]``.)"""
        if isinstance(which, int):
            raise TypeError("a Batch is cut by a slice, a mask or positions; for one clip write batch[i:i + 1]")
        return self._each(lambda tensor: tensor[which])

    def to(self, device: str | torch.device) -> Batch:
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change) -> Batch:
        tensors = (getattr(self, field.name) for field in fields(self))
        return Batch(*(None if tensor is None else change(tensor) for tensor in tensors))


class Clips(Protocol):
    """What a source needs of a store; :class:`kineme.store.Store` has it."""

    frames: np.ndarray   # float32 [F, M, V, C], all frames of all clips, one after the other
    seen: np.ndarray     # float32 [F, M, V]
    lengths: np.ndarray  # int64 [N] frames of each clip
    offsets: np.ndarray  # int64 [N + 1] where each clip begins
    layout: Layout


class Source:
    """The clips of a store, ready to be gathered into batches on a device.

    A store up to a quarter of the device's free memory is copied there once; a larger one stays in its memory map, from
    which the rows of each batch are taken. Both ways give the same batches, bit for bit.

    On a CPU the memory of a batch is used again once no tensor refers to it any more, because fresh large blocks cost
    more in page faults than all the arithmetic. Nothing has to be observed: a batch that is still held (a list, autograd,
    a slice of it) keeps its memory. Gathering is safe from several threads.

    Args:
        store: a :class:`~kineme.store.Store`, or anything with the attributes of :class:`Clips`.
        device: where batches are made.
        rows: the rows of the clip table that this source may serve (default all), e.g. the training part of a split.
        resident: force the copy on the device (True) or the memory map (False).

    Attributes:
        rows: int64 ``[n]`` on the CPU.
        lengths: int64 ``[N]`` on the CPU, frames of every clip of the store.
        layout, persons, coords, device: as in the store; where batches are made.
    """

    def __init__(self, store: Clips, device: str | torch.device = "cpu", rows: Sequence[int] | np.ndarray | Tensor | None = None,
                 *, resident: bool | None = None):
        self.device = torch.device(device)
        self.layout = store.layout
        _, self.persons, joints, self.coords = store.frames.shape
        if joints != len(store.layout):
            raise InputError("store", f"frames of {joints} joints", f"{len(store.layout)} joints of layout {store.layout.name}")
        self.lengths = torch.from_numpy(np.array(store.lengths, np.int64))
        self.rows = torch.arange(len(self.lengths)) if rows is None else torch.as_tensor(rows, dtype=torch.int64).cpu()
        if self.rows.ndim != 1 or ((self.rows < 0) | (self.rows >= len(self.lengths))).any():
            raise InputError("rows", "rows that the store does not have", f"a list of numbers from 0 to {len(self.lengths) - 1}")
        if resident is None:
            resident = store.frames.nbytes + store.seen.nbytes <= _free_memory(self.device) / 4
        home = self.device if resident else torch.device("cpu")
        self._offsets = torch.from_numpy(np.array(store.offsets[:-1], np.int64)).to(home)
        self._joints = _table(store.frames, home, copy=resident)
        self._seen = _table(store.seen, home, copy=resident)
        self._pool = Pool()

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def gather(self, index: Tensor, start: Tensor, length: Tensor, frames: int) -> Batch:
        """Cut one stretch out of each clip and resize it in time.

        Args:
            index: int64 ``[B]`` rows of the clip table (not only those of ``rows``).
            start, length: int64 ``[B]``: frames ``start .. start + length - 1`` of the clip.
            frames: T, frames of the result: linear interpolation, half-pixel convention, ends held, no low-pass filter
                (spec HiCo 2.5; equal to ``torch.nn.functional.interpolate(mode="linear", align_corners=False)``).

        Raises:
            InputError: a stretch that leaves its clip.
        """
        self._check(index, start, length)
        home = self._offsets.device
        index, start, length = (x.to(home, non_blocking=True) for x in (index, start, length))
        first, second, weight = resize_plan(length, frames)
        begin = (self._offsets[index] + start)[:, None]
        first, second = (first + begin).flatten(), (second + begin).flatten()
        weight = weight.flatten()[:, None].to(self.device, non_blocking=True)
        joints, seen = (self._blend(table, first, second, weight) for table in (self._joints, self._seen))
        person_joint = (len(index), frames, self.persons, len(self.layout))
        return Batch(joints.view(*person_joint, self.coords), seen.view(person_joint), index.to(self.device))

    def _blend(self, table: Tensor, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        return self._take(table, first).lerp_(self._take(table, second), weight)

    def _take(self, table: Tensor, rows: Tensor) -> Tensor:
        out = self.empty(len(rows), table.shape[1], device=table.device)
        return torch.index_select(table, 0, rows, out=out).to(self.device)

    def empty(self, *shape: int, device: torch.device | None = None) -> Tensor:
        """Uninitialised float32 memory on the device; on a CPU memory that an earlier batch has left."""
        device = self.device if device is None else device
        return self._pool.empty(*shape) if device.type == "cpu" else torch.empty(shape, device=device)

    def _check(self, index: Tensor, start: Tensor, length: Tensor) -> None:
        """On the CPU only: elsewhere the question would stop the device."""
        if any(x.is_cuda for x in (index, start, length)):
            return
        wrong = (start < 0) | (length < 1) | (start + length > self.lengths[index])
        if wrong.any():
            i = int(wrong.nonzero()[0, 0])
            raise InputError(f"clip {int(index[i])}", f"a stretch of {int(length[i])} frames from frame {int(start[i])}",
                             f"at least one of the {int(self.lengths[index[i]])} frames of the clip")


def resize_plan(length: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which two frames, and how much of the second, make each frame of a stretch resized in time.

    Args:
        length: int64 ``[B]`` frames of the stretch.
        frames: T, frames of the result.

    Returns:
        first, second: int64 ``[B, T]`` frame numbers in ``0 .. length - 1``; weight: float32 ``[B, T]`` of the second, in [0, 1).
        Half-pixel convention with the ends held. In whole numbers, so every device agrees to the last bit.
    """
    last = length[:, None] - 1
    place = (2 * torch.arange(frames, device=length.device) + 1) * length[:, None] - frames  # in units of 1 / (2 T) frames
    place = place.clamp_(min=0).minimum(last * (2 * frames))
    first = place.div(2 * frames, rounding_mode="floor")
    weight = (place - first * (2 * frames)).float() / (2 * frames)
    return first, (first + 1).minimum(last), weight


class Pool:
    """Blocks of host memory, each lent again once no tensor refers to it.

    A block is a numpy array; a tensor made from it (and every view of that tensor) holds a reference to the array, so the
    array's reference count says whether it is free.
    """

    KEPT = 12  # blocks, lent or free; more are left to the garbage collector

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._lock = threading.Lock()

    def empty(self, *shape: int) -> Tensor:
        """float32 tensor of this shape with whatever stood in its memory before."""
        size = int(np.prod(shape))
        with self._lock:
            for k in range(len(self._blocks)):
                if self._blocks[k].size == size and sys.getrefcount(self._blocks[k]) == 2:
                    self._blocks.append(self._blocks.pop(k))
                    break
            else:
                self._blocks = [*self._blocks[-self.KEPT + 1:], _aligned(size)]
            return torch.from_numpy(self._blocks[-1]).view(shape)


def _aligned(size: int, boundary: int = 64) -> np.ndarray:
    """float32 memory that begins at a cache line."""
    block = np.empty(size + boundary // 4, np.float32)
    skip = -block.ctypes.data % boundary // 4
    return block[skip:skip + size]


def _table(array: np.ndarray, device: torch.device, copy: bool) -> Tensor:
    """Rows ``[F, numbers of one frame]``: a copy on the device, or a window on the memory map."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # nothing here writes to a table
        rows = torch.from_numpy(np.asarray(array)).flatten(1)
    return rows.to(device, copy=True) if copy else rows


def _free_memory(device: torch.device) -> int:
    """Bytes that a table may take without pushing others out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
