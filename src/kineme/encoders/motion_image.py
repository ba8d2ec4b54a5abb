"""A small network on skeleton motion images: how bodies move, whatever they look like (Schneider et al. 2022)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn.batch_norm import BatchNormNd
from ..nn.init import orthogonal
from ..nn.matmul import Linear
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.batch import Batch
from ..views.motion_image import ENTRIES, Image, by_torso, channels, in_image, left_out, motion_image, walk
from ..views.source import resize
from . import Encoder, Features

WIDTHS = (16, 32, 32, 64)
KERNELS = ((3, 3), (3, 3), (3, 5), (3, 3))  # frames, entries; no padding
POOLS = (None, 1, 2, 2)  # stride of the maximum over 3 x 3 after each convolution


class MotionImage(Encoder):
    """Four convolutions and two linear layers on the motion image of each body; a clip is the mean of its bodies.

    Bodies that do not move at all are left out, but one, and absent ones are never looked at: neither their number nor
    their order changes anything. A clip without a body is zeros. ``parts``: ``bodies [B, M, hidden]`` and ``present``,
    bool ``[B, M]``.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published values.

        Attributes:
            hidden: D.
            frames: T of the image. A batch may have as many frames more as the largest distance, so that also the last
                ones of the image know how they go on; one of any other length is resized in time.
            distances: frames between the poses that are compared; each has channels of its own.
            scale_by_torso: whether movements are counted in lengths of the torso. None: in shares of the image where
                joints are pixels of a known one, else in torsos (``faithful``: as they are).
            batch_norm: after every convolution; the published network has none.
            faithful: the magnitude of one distance stands in three channels, as released.

        Raises:
            InputError: numbers that are not above 0, or an image of fewer than 19 frames.
        """

        hidden: int = 512
        frames: int = 32
        distances: tuple[int, ...] = (1,)
        scale_by_torso: bool | None = None
        batch_norm: bool = False
        faithful: bool = False

        def __post_init__(self) -> None:
            positive(self, "encoder", "hidden")
            if not self.distances or min(self.distances) < 1:
                raise InputError("encoder.distances", str(list(self.distances)), "one or more numbers from 1 on")
            if min(shrunk(self.frames, ENTRIES)) < 1:
                raise InputError("encoder.frames", str(self.frames), "at least 19, for the network shrinks it")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.dim = settings, settings.hidden
        self.order, self.body = walk(layout), layout
        if len(layout) > ENTRIES and (missing := left_out(layout, self.order)):
            say = f"layout {layout.name}: {len(missing)} joints have no place in a motion image, such as {missing[0]}"
            warnings.warn(say, stacklevel=2)
        layers: list[nn.Module] = []
        inputs = channels(settings.distances, settings.faithful)
        for width, kernel, pool in zip(WIDTHS, KERNELS, POOLS):
            layers.append(nn.Conv2d(inputs, width, kernel))
            layers += [BatchNormNd(width)] if settings.batch_norm else []
            layers += [nn.MaxPool2d(3, pool)] if pool else []
            layers.append(nn.ReLU())
            inputs = width
        height, width = shrunk(settings.frames, ENTRIES)
        self.flat = inputs * height * width
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.linear = nn.Sequential(
            Linear(self.flat, settings.hidden), nn.ReLU(), Linear(settings.hidden, settings.hidden)
        )
        orthogonal(self)

    def image(self, batch: Batch) -> Image:
        """The motion images ``[B, M, channels, frames, 49]`` of a batch."""
        s = self.settings
        if not s.frames <= batch.joints.shape[1] <= s.frames + max(s.distances):
            batch = resize(batch, s.frames)
        joints = batch.joints
        shares = batch.sizes if s.scale_by_torso is not True else None
        known = joints.new_zeros(len(batch), dtype=torch.bool) if shares is None else shares.isfinite().all(1)
        known = known[:, None, None, None, None]
        if shares is not None:
            joints = torch.where(known, in_image(joints, shares), joints)
        if s.scale_by_torso or (s.scale_by_torso is None and not s.faithful):
            joints = torch.where(known, joints, by_torso(joints, batch.confidence, self.body))
        made = motion_image(joints, batch.confidence, self.order, s.distances, faithful=s.faithful)
        return Image(made.values[..., : s.frames, :], made.magnitude)

    def forward(self, batch: Batch) -> Features:
        """``[B, T, M, V, C]`` -> ``clip [B, hidden]``."""
        image = self.image(batch)
        present = chosen(image.magnitude, (batch.confidence > 0).any(3).any(1))
        rows = present.flatten().nonzero()[:, 0]
        found = self.linear(self.convolutions(image.values.flatten(0, 1)[rows]))
        bodies = found.new_zeros(present.numel(), self.dim).index_copy(0, rows, found).view(*present.shape, self.dim)
        clip = bodies.sum(1) / present.sum(1, keepdim=True).clamp(min=1)
        return Features(clip, parts={"bodies": bodies, "present": present})


def chosen(magnitude: Tensor, seen: Tensor) -> Tensor:
    """Which bodies are looked at, bool ``[B, M]``: those that move; where none does, the first that is there.

    Args:
        magnitude: ``[B, M]``.
        seen: bool ``[B, M]``.
    """
    moving = seen & (magnitude > 0)
    first = seen & (seen.cumsum(1) == 1)
    return moving | (first & ~moving.any(1, keepdim=True))


def shrunk(*sides: int) -> tuple[int, ...]:
    """Frames and entries that the convolutions and pools leave of an image: 4 and 8 of 32 and 49.

    Examples:
        >>> shrunk(32, 49), shrunk(30, 49)
        ((4, 8), (3, 8))
    """
    left = list(sides)
    for kernel, pool in zip(KERNELS, POOLS):
        left = [side - k + 1 for side, k in zip(left, kernel)]
        left = [(side - 3) // pool + 1 for side in left] if pool else left
    return tuple(left)
