"""Batches of clips of one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Batch:
    """Clips of one length. It never carries labels.

    Attributes:
        joints: float32 ``[B, T, M, V, C]``: clip, frame, person, joint, coordinate; 0 where a joint is missing.
        confidence: float32 ``[B, T, M, V]``; 0 = missing; an absent person is all 0.
        index: int64 ``[B]`` rows of the clip table.
        frames: pictures, of stores that have them: uint8 ``[B, T, 3, H, W]`` as they were read, float32 once they are
            augmented and normalised (:mod:`kineme.views.video_clips`), which is what encoders take.
        sizes: float32 ``[B, 2]``, width and height of the image in whose pixels 2-D joints lie; NaN where they are not
            known, None where joints are no pixels.
        group: int64 ``[B]``: which of several origins each clip is of (:meth:`ClipLoader.groups`), for losses that
            compare clips of one origin only; None: all are of one.
        uniforms: float32 ``[B, M, L]`` on [0, 1), one for every token of every person, of methods that hide tokens
            (:mod:`kineme.views.masks`).
    """

    joints: Tensor
    confidence: Tensor
    index: Tensor
    frames: Tensor | None = None
    sizes: Tensor | None = None
    group: Tensor | None = None
    uniforms: Tensor | None = None

    def __len__(self) -> int:
        return self.joints.shape[0]

    def __getitem__(self, which: slice | Tensor | Sequence[int]) -> Batch:
        """Some of the clips: a slice, a boolean mask ``[B]`` or positions; for one clip ``batch[i:i + 1]``."""
        if isinstance(which, int):
            raise TypeError("a Batch is cut by a slice, a mask or positions; for one clip write batch[i:i + 1]")
        return self._each(lambda tensor: tensor[which])

    def to(self, device: str | torch.device) -> Batch:
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        optional = (self.frames, self.sizes, self.group, self.uniforms)
        rest = (None if each is None else change(each) for each in optional)
        return Batch(change(self.joints), change(self.confidence), change(self.index), *rest)
