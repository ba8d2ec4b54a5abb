"""The source that gathers batches of clips from a store, straight onto the training device."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ..data.store import no_pictures, row_numbers
from ..motion.layout import Layout
from ..utils import files
from ..utils.buffers import BufferPool
from ..utils.errors import InputError
from .batch import Batch

TINY = 1e-12
WHERE = ("dataset", "start", "end")  # columns: clips that differ in these do not show one movement
IN_PIXELS = ("none", "image")  # normalisations that leave coordinates in an image as they are
RESIDENT_SHARE = 4  # a store may take one part in four of the device's free memory


class Clips(Protocol):
    """What a source asks of a store; :class:`kineme.data.store.Store` has it."""

    @property
    def frames(self) -> np.ndarray:
        """float32 ``[F, M, V, C]``: the frames of all clips, one clip after the other."""

    @property
    def confidence(self) -> np.ndarray:
        """float32 ``[F, M, V]``."""

    @property
    def lengths(self) -> np.ndarray:
        """int64 ``[N]``: frames of each clip."""

    @property
    def offsets(self) -> np.ndarray:
        """int64 ``[N + 1]``: where each clip begins."""

    @property
    def layout(self) -> Layout: ...


class ClipLoader:
    """The clips of a store, ready to be gathered into batches on a device.

    A store of up to a quarter of the device's free memory is copied there once; a larger one stays in its memory map,
    and only the frames of each batch travel. Both ways give the same batches, bit for bit.

    Args:
        store: a :class:`~kineme.data.store.Store`, or anything with the attributes of :class:`Clips`.
        device: where batches are made.
        rows: rows of the clip table that this source stands for (default all), e.g. the training part of a split.
        resident: force the copy on the device (True) or the memory map (False); None decides by size.
        faithful: as the authors' releases have it, a missing joint is a joint at 0 that counts as seen, in every frame
            of every batch; without it, gaps are never blended into what is seen.

    Attributes:
        store: what it was made of.
        rows: int64 ``[n]`` on the CPU.
        lengths: int64 ``[N]`` on the CPU: frames of every clip of the store.
        layout, persons, coords: of the store.
        up, upward: number of the axis that points up or down, and 1 or -1 for which of these, as the store's card says;
            +y if it does not.
        device, resident: where batches are made; whether the store lies there whole.

    Raises:
        InputError: rows that the store does not have, or frames that do not fit its layout.
    """

    def __init__(
        self,
        store: Clips,
        device: str | torch.device = "cpu",
        rows: Sequence[int] | np.ndarray | Tensor | None = None,
        *,
        resident: bool | None = None,
        faithful: bool = False,
    ):
        self.store, self.device, self.layout = store, torch.device(device), store.layout
        _, self.persons, joints, self.coords = store.frames.shape
        if joints != len(self.layout):
            raise InputError(
                "store", f"frames of {joints} joints", f"{len(self.layout)} joints of layout {self.layout.name}"
            )
        up = getattr(store, "card", {}).get("up") or "+y"
        self.up, self.upward = "xyz".index(up[-1]), -1 if up[0] == "-" else 1
        self.lengths = torch.from_numpy(np.array(store.lengths, np.int64))
        self.rows = torch.from_numpy(row_numbers(rows, len(self.lengths)))
        size = store.frames.nbytes + store.confidence.nbytes
        self.resident = size <= _free_memory(self.device) / RESIDENT_SHARE if resident is None else resident
        home = self.device if self.resident else torch.device("cpu")
        self._offsets = torch.from_numpy(np.array(store.offsets[:-1], np.int64)).to(home)
        self._joints, self._seen = (_table(array, home, self.resident) for array in (store.frames, store.confidence))
        self.faithful = faithful
        # Where a gap begins or ends there is something to restore; a map is not read through to know it.
        edges = _edges(store.confidence) if self.resident else None
        self._gaps = edges is None or bool(edges.any())
        self._edges = None if edges is None else torch.from_numpy(edges).to(home)
        self._sizes = _image_sizes(store, home) if self.coords == 2 else None
        self._memory = BufferPool()
        self._groups: dict[tuple[str, ...], Tensor | None] = {}
        self._companions: dict[tuple[str, ...], tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        """Number of ``rows``."""
        return len(self.rows)

    def groups(self, columns: Sequence[str]) -> Tensor | None:
        """Numbers, int64 ``[N]`` on the CPU, the same for clips that have the same values in these columns.

        Columns that the store lacks are left out; None where that leaves one group.
        """
        if tuple(columns) in self._groups:
            return self._groups[tuple(columns)]
        table = getattr(self.store, "clips", None)
        names = [] if table is None else [name for name in columns if name in table.column_names]
        values = list(zip(*(table[name].to_pylist() for name in names))) if names else []  # type: ignore[index]
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        found = torch.tensor([numbers[value] for value in values]) if len(numbers) > 1 else None
        return self._groups.setdefault(tuple(columns), found)

    def companions(self, index: Tensor, columns: Sequence[str], gen: torch.Generator) -> Tensor:
        """For each clip one of ``rows`` that shows the same movement (:meth:`alike`), evenly drawn, maybe itself.

        Args:
            index: int64 ``[B]`` rows of the clip table, on the CPU.
            columns: of the clip table.
            gen: generator on the CPU.

        Raises:
            InputError: the store has none of these columns.
        """
        order, first, count, group = self._members(tuple(columns))
        own = group[index]
        drawn = (torch.rand(len(index), generator=gen) * count[own]).long()  # in float32: below a million clips
        return torch.where(count[own] > 0, order[(first[own] + drawn).clamp(max=len(order) - 1)], index)

    def alike(self, columns: Sequence[str]) -> Tensor:
        """Numbers, int64 ``[N]`` on the CPU, the same for clips that show one movement: that have the same values in
        these columns and are of one set and of one part of a recording (``dataset``, ``start``, ``end``, where the
        store has them). A clip of which one of these columns knows nothing is alone.

        Raises:
            InputError: the store has none of these columns.
        """
        return self._members(tuple(columns))[3]

    def movements(self, columns: Sequence[str]) -> int:
        """How many movements ``rows`` show, see :meth:`alike`."""
        return int((self._members(tuple(columns))[2] > 0).sum())

    def _members(self, columns: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``rows`` by their movements; where each begins and how many clips it has; the movement of each clip."""
        if columns not in self._companions:
            group, table = torch.arange(len(self.lengths)), getattr(self.store, "clips", None)
            names = [name for name in columns if table is not None and name in table.column_names]
            if table is not None and not names:
                found = f"no column {' or '.join(columns)}"
                raise InputError("clips that show the same", found, f"some of {', '.join(table.column_names)}")
            same = self.groups((*names, *WHERE))
            if same is not None:
                known = np.all([table[name].is_valid().to_numpy() for name in names], axis=0)  # type: ignore[index]
                group = torch.where(torch.from_numpy(known), same, len(group) + group)
            group = torch.unique(group, return_inverse=True)[1]
            own = group[self.rows]
            count = torch.bincount(own, minlength=int(group.max()) + 1)
            order = torch.argsort(own, stable=True)
            self._companions[columns] = (self.rows[order], count.cumsum(0) - count, count, group)
        return self._companions[columns]

    @torch.no_grad()
    def gather(self, index: Tensor, start: Tensor, length: Tensor, frames: int) -> Batch:
        """Cut one segment out of each clip and resize it in time.

        Args:
            index: int64 ``[B]`` rows of the clip table, of any clip of the store.
            start, length: int64 ``[B]``: frames ``start .. start + length - 1`` of the clip.
            frames: T, frames of the result: linear interpolation, half-pixel convention, ends held, no low-pass filter
                (Dong et al. 2023; as ``torch.nn.functional.interpolate(mode="linear", align_corners=False)``). Between
                a seen and a missing joint the seen one is taken where it is and its confidence fades, as in
                :meth:`kineme.Motion.resize`.

        Raises:
            InputError: a segment that leaves its clip. Only arguments on the CPU are looked at; elsewhere it would mean
                waiting for the device.
        """
        self._check(index, start, length)
        index, start, length = (x.to(self._offsets.device, non_blocking=True) for x in (index, start, length))
        first, second, share = resize_plan(length, frames)
        begin = (self._offsets[index] + start)[:, None]
        pairs = torch.stack([first + begin, second + begin], -1).view(-1, 2)
        weights = torch.stack([1 - share, share], -1).view(-1, 2).to(self.device, non_blocking=True)
        shape = (len(index), frames, self.persons, len(self.layout))
        joints = self._blend(self._joints, pairs, weights).view(*shape, self.coords)
        sizes = None if self._sizes is None else self._sizes[index.to(self._sizes.device)].to(self.device)
        index = index.to(self.device, non_blocking=True)
        if self.faithful:
            return Batch(joints, torch.ones(shape, device=self.device), index, sizes=sizes)
        seen = self._blend(self._seen, pairs, weights).view(shape)
        if self._gaps:
            self._restore(joints, pairs, weights)
        return Batch(joints, seen, index, sizes=sizes)

    def pictures(self, index: Tensor, start: Tensor, frames: int, step: int = 1) -> tuple[Tensor, Tensor]:
        """Pictures of the frames ``start, start + step, ...`` of some clips, on the device.

        They are decoded by as many threads as the process has for torch.

        Args:
            index: int64 ``[B]`` rows of the clip table, of any clip of the store, on the CPU.
            start: int64 ``[B]`` first frame, on the CPU.
            frames: T, how many.
            step: one in so many frames. Clips in which so many do not fit are shown from their first to their last
                frame, some of them several times.

        Returns:
            uint8 ``[B, T, 3, H, W]``, and int64 ``[B, 2]``, height and width of each clip's own: smaller pictures stand
            in the upper left corner, with zeros below and right of them.

        Raises:
            InputError: a store without pictures; frames that leave their clip.

        Examples:
            >>> ClipLoader(filmed).pictures(torch.tensor([0, 3]), torch.tensor([0, 5]), 32)[0].shape  # doctest: +SKIP
            torch.Size([2, 32, 3, 144, 191])
        """
        kept = getattr(self.store, "picture_file", None)
        if kept is None:
            raise no_pictures(getattr(self.store, "path", "the clips"))
        length = self.lengths[index]
        shown = length.clamp(max=(frames - 1) * step + 1)
        self._check(index, start, shown)
        begin = torch.from_numpy(np.array(self.store.offsets[:-1], np.int64))[index] + start
        times = torch.arange(frames)
        stretched = (2 * times + 1) * length[:, None] // (2 * frames)
        fits = (shown == (frames - 1) * step + 1)[:, None]
        numbers = (begin[:, None] + torch.where(fits, times * step, stretched)).tolist()
        sizes = torch.tensor([kept.image(first).size[::-1] for first in begin.tolist()]).view(-1, 2)
        height, width = (int(side) for side in (sizes.amax(0) if len(sizes) else (0, 0)))
        pixels = np.zeros((len(numbers), frames, height, width, 3), np.uint8)

        def read(clip: int) -> None:
            rows, columns = sizes[clip].tolist()
            for t, number in enumerate(numbers[clip]):
                pixels[clip, t, :rows, :columns] = kept[number]

        with ThreadPoolExecutor(max(1, min(torch.get_num_threads(), len(numbers)))) as threads:
            list(threads.map(read, range(len(numbers))))  # Pillow decodes without holding the interpreter
        return torch.from_numpy(pixels).to(self.device).permute(0, 1, 4, 2, 3), sizes.to(self.device)

    def frame_numbers(self, rows: Tensor) -> Tensor:
        """Where the frames of some clips stand in the table of all frames, int64 ``[sum of lengths]`` on the CPU.

        Args:
            rows: int64 ``[n]`` rows of the clip table, on the CPU.
        """
        lengths = self.lengths[rows]
        begin = self._offsets.cpu()[rows] - (lengths.cumsum(0) - lengths)
        return torch.arange(int(lengths.sum())) + begin.repeat_interleave(lengths)

    @torch.no_grad()
    def poses(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Single frames by their number: joints ``[B, M, V, C]`` and seen ``[B, M, V]``, on the device."""
        numbers = numbers.to(self._joints.device, non_blocking=True)
        shape = (len(numbers), self.persons, len(self.layout))
        joints, seen = (table[numbers].to(self.device, non_blocking=True) for table in (self._joints, self._seen))
        return joints.view(*shape, self.coords), seen.view(shape)

    def _restore(self, joints: Tensor, pairs: Tensor, weights: Tensor) -> None:
        """Undo, in place, that joints seen in one frame of a pair were blended with the 0 of the other."""
        if self._edges is not None and self.device.type == "cpu":  # elsewhere it would mean waiting for the device
            rows = (self._edges[pairs[:, 0]] & (pairs[:, 0] != pairs[:, 1])).nonzero()[:, 0]
            table = joints.view(len(pairs), self._joints.shape[1])
            table.index_copy_(0, rows, self._unblended(table[rows], pairs[rows], weights[rows]))
        else:
            self._unblended(joints, pairs, weights)

    def _unblended(self, joints: Tensor, pairs: Tensor, weights: Tensor) -> Tensor:
        """What :meth:`_restore` does, in every row."""
        seen = self._seen.index_select(0, pairs.flatten()).to(self.device, non_blocking=True) > 0
        first, second = seen.view(*pairs.shape, seen.shape[1]).unbind(1)
        share = torch.where(first, weights[:, :1], weights[:, 1:])  # of the one that is seen
        share = torch.where((first != second) & (share > 0), share, 1.0)
        joints.view(*share.shape, self.coords).div_(share.unsqueeze(-1))
        return joints

    def _blend(self, table: Tensor, pairs: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum of two rows of the table for every row of ``pairs``, in one pass over memory."""
        if not self.resident:
            table = table.index_select(0, pairs.flatten()).to(self.device, non_blocking=True)
            pairs = torch.arange(pairs.numel(), device=self.device).view_as(pairs)
        return embedding_bag(pairs, table, mode="sum", per_sample_weights=weights)

    def _check(self, index: Tensor, start: Tensor, length: Tensor) -> None:
        if any(x.device.type != "cpu" for x in (index, start, length)):
            return
        if index.dtype == torch.bool or ((index < 0) | (index >= len(self.lengths))).any():
            row_numbers(index, len(self.lengths), "index")  # says what is wrong
            raise InputError("index", "a mask", "row numbers, one for each segment", "Take mask.nonzero()[:, 0]")
        wrong = (start < 0) | (length < 1) | (start + length > self.lengths[index])
        if wrong.any():
            i = int(wrong.nonzero()[0, 0])
            clip, first, many = int(index[i]), int(start[i]), int(length[i])
            raise InputError(
                f"clip {clip}",
                f"a segment of {many} frames from frame {first}",
                f"a segment inside its {int(self.lengths[clip])} frames",
            )

    def empty(self, *shape: int) -> Tensor:
        """float32 tensor on the device with whatever stood in its memory before; see :class:`Memory`."""
        return self._memory.empty(*shape) if self.device.type == "cpu" else torch.empty(shape, device=self.device)


def resize_plan(length: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Between which two frames of a segment, and where, each frame of the segment resized in time lies.

    Args:
        length: int64 ``[B]`` frames of the segment.
        frames: T, frames of the result.

    Returns:
        first, second: int64 ``[B, T]`` frame numbers in ``0 .. length - 1``; share: float32 ``[B, T]`` of the second.
        Frame t lies at ``(t + 1/2) length / T - 1/2``, held at the ends, counted in whole numbers, so that every device
        agrees to the last bit.
    """
    step = 2 * frames
    last = (length - 1)[:, None]
    place = torch.arange(1, step, 2, device=length.device) * length[:, None] - frames  # in units of 1 / (2 T) frames
    place = place.clamp_(min=0).minimum(last * step)
    first = place.div(step, rounding_mode="floor")
    return first, (first + 1).minimum(last), place.sub_(first, alpha=step) / step


def resize(batch: Batch, frames: int) -> Batch:
    """A batch resized in time as :meth:`ClipLoader.gather` resizes clips; pictures (``batch.frames``) are dropped."""
    length = torch.tensor([batch.joints.shape[1]], device=batch.joints.device)
    first, second, share = (x[0] for x in resize_plan(length, frames))
    seen = (batch.confidence > 0).to(batch.joints)
    late = share.to(seen)[:, None, None]
    before, after = seen[:, first] * (1 - late), seen[:, second] * late
    after = (after / (before + after).clamp(min=TINY))[..., None]  # of what is seen only
    joints = batch.joints * seen[..., None]
    joints, confidence = (
        torch.lerp(x[:, first], x[:, second], w.to(x)) for x, w in ((joints, after), (batch.confidence, late))
    )
    return replace(batch, joints=joints, confidence=confidence, frames=None)


def _edges(confidence: np.ndarray, block: int = 1 << 16) -> np.ndarray:
    """Bool ``[F]``: frames after which a joint comes or goes, those of ``confidence`` ``[F, M, V]``."""
    found = np.zeros(len(confidence), bool)
    for begin in range(0, len(confidence) - 1, block):
        seen = confidence[begin : begin + block + 1] > 0
        found[begin : begin + len(seen) - 1] = (seen[1:] != seen[:-1]).reshape(len(seen) - 1, -1).any(1)
    return found


def _table(array: np.ndarray, device: torch.device, copy: bool) -> Tensor:
    """``[F, numbers of one frame]``: a copy on the device, or a window on the memory map."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # a map is opened for reading, and only read
        rows = torch.from_numpy(np.asarray(array)).flatten(1)
    return rows.to(device, copy=True) if copy else rows


def _image_sizes(store: Clips, device: torch.device) -> Tensor | None:
    """Width and height ``[N, 2]`` of the images in whose pixels the clips of a store lie; None where they do not."""
    how = getattr(store, "card", {}).get("normalise", {}).get("how", "none")
    if how not in IN_PIXELS or not hasattr(store, "numbers"):
        return None
    sides = np.stack([store.numbers(name) for name in ("width", "height")], 1)
    return torch.from_numpy(sides).float().to(device)


def _free_memory(device: torch.device) -> int:
    """Bytes that can be had without pushing anything out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return files.free_memory()
