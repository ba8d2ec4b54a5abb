"""Clips of video: windows of frames, and augmented views of them with one draw per clip, batched on the device.

Values are those of Pose-based High Level View Contrasting (Schneider et al., CVPR 2022 Workshops) where they are known.
Drawing random parameters and applying them are two steps, as in :mod:`kineme.views.augment`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from ..motion.layout import Layout
from ..utils.errors import InputError
from .augment import mirror
from .batch import Batch
from .source import ClipLoader

MEAN = (0.43216, 0.394666, 0.37645)  # of Kinetics, as the published weights of video networks expect it
DEVIATION = (0.22803, 0.22145, 0.216989)
LUMA = (0.299, 0.587, 0.114)
CENTRE_SPREAD = 1 / 6  # standard deviation of the centre of a crop, in widths and heights of the image
AT_ONCE = 16  # clips that are resampled together: what they take as float32 bounds the memory
CANDIDATES = 64  # starts from which the one of a shifted view is chosen


@dataclass(frozen=True)
class VideoViewSettings:
    """How views of video clips are drawn.

    Attributes:
        frames: T, pictures in a view.
        step: one in so many frames of the store; a window is ``frames * step`` frames long.
        size: height and width of a view in pixels.
        views: V, views of each clip.
        rotate: largest angle in degrees, either way.
        crop_low, crop_high: area of the square crop, as a share of the image's; its side is uniform between the two.
        brightness, contrast, saturation: largest change of these factors from 1.
        hue: largest rotation of the colours about the grey axis, in turns.
        grey: probability of a view without colour.
        flip: probability of exchanging left and right, in all views of a clip and in its pose.
        shifted: views after the first show other frames, which overlap with those before as little as possible.
        faithful: as released: the crop lies anywhere in the canvas that holds the rotated image, corners black;
            without it every pixel of a crop comes from the image.

    Raises:
        InputError: a value outside its range.
    """

    frames: int = 32
    step: int = 1
    size: int = 128
    views: int = 2
    rotate: float = 20.0
    crop_low: float = 0.1
    crop_high: float = 1.0
    brightness: float = 0.8
    contrast: float = 0.4
    saturation: float = 1.0
    hue: float = 0.2
    grey: float = 0.2
    flip: float = 0.0
    shifted: bool = False
    faithful: bool = False

    def __post_init__(self) -> None:
        many = math.inf
        ranges: dict[str, tuple[float, float]] = {
            "frames": (1, many),
            "step": (1, many),
            "size": (1, many),
            "views": (1, many),
            "rotate": (0, 180),
            "crop_high": (0, 1),
            "crop_low": (0, self.crop_high),
            "brightness": (0, 1),
            "contrast": (0, 1),
            "saturation": (0, 1),
            "hue": (0, 0.5),
            "grey": (0, 1),
            "flip": (0, 1),
        }
        for name, (low, high) in ranges.items():
            if not low <= (value := getattr(self, name)) <= high:
                wanted = f"{low} or more" if high == many else f"{low} to {high}"
                raise InputError(f"views.{name}", str(value), wanted)

    @classmethod
    def released(cls, **changes: Any) -> VideoViewSettings:
        """The values of the released code: crops from 5 % of the image, hue of half a turn, nothing on contrast."""
        values = {"crop_low": 0.05, "contrast": 0.0, "hue": 0.5, "grey": 0.0, "faithful": True}
        return cls(**{**values, **changes})

    @property
    def span(self) -> int:
        """Frames of a window."""
        return self.frames * self.step


@dataclass(frozen=True)
class VideoDraw:
    """All that is random about the views of B clips, on the CPU; ``draw[k]`` is the k-th view, without the axis V.

    Attributes:
        angle: float32 ``[B, V]`` radians.
        side: float32 ``[B, V]`` from 0 (the smallest crop) to 1 (the largest).
        centre: float32 ``[B, V, 2]`` of the crop, in widths and heights of the image.
        brightness, contrast, saturation: float32 ``[B, V]`` factors.
        hue: float32 ``[B, V]`` radians.
        grey: bool ``[B, V]``.
        flipped: bool ``[B, V]``, the same in all views of a clip.
    """

    angle: Tensor
    side: Tensor
    centre: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor
    flipped: Tensor

    def __len__(self) -> int:
        return len(self.angle)

    def __getitem__(self, view: int) -> VideoDraw:
        return self._each(lambda tensor: tensor[:, view])

    def clips(self, which: slice) -> VideoDraw:
        """The parameters of some clips."""
        return self._each(lambda tensor: tensor[which])

    def to(self, device: torch.device) -> VideoDraw:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Any) -> VideoDraw:
        return VideoDraw(**{field.name: change(getattr(self, field.name)) for field in dataclasses.fields(self)})


# ---- time


def windows(lengths: Tensor, span: int, gen: Generator) -> Tensor:
    """Random first frames, int64 ``[B]``: uniform on the places where ``span`` frames fit; 0 in shorter clips."""
    place = torch.rand(len(lengths), generator=gen, dtype=torch.float64)
    return (place * (lengths - span + 1).clamp(min=1)).long()


def shifted_windows(lengths: Tensor, start: Tensor, span: int, views: int, gen: Generator) -> Tensor:
    """First frames of several views, int64 ``[B, V]``: ``start``, then such that they overlap as little as possible.

    Each is the best of some random places and the clip's two ends.
    """
    room = (lengths - span).clamp(min=0)
    starts = [start]
    for _ in range(views - 1):
        places = windows(lengths.repeat_interleave(CANDIDATES), span, gen).view(len(lengths), CANDIDATES)
        places = torch.cat([places, torch.zeros_like(room)[:, None], room[:, None]], 1)
        gaps = torch.stack([(places - other[:, None]).abs() for other in starts]).amin(0).clamp(max=span)
        starts.append(places.gather(1, gaps.argmax(1, keepdim=True))[:, 0])  # the first of the best: at random
    return torch.stack(starts, 1)


def test_clips(lengths: Tensor, span: int, count: int = 10) -> Tensor:  # noqa: PT028 - no test
    """Evenly spaced first frames for testing, int64 ``[B, count]``: from the clip's first to its last ``span`` frames.

    Examples:
        >>> test_clips(torch.tensor([132, 32, 8]), 32, 5).tolist()
        [[0, 25, 50, 75, 100], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    """
    room = (lengths - span).clamp(min=0)[:, None]
    if count == 1:
        return room // 2
    return (room * torch.arange(count) * 2 + (count - 1)) // (2 * (count - 1))  # rounded, in whole numbers


# ---- space and colour


def draw_video_views(gen: Generator, n: int, settings: VideoViewSettings) -> VideoDraw:
    """Draw the views of ``n`` clips; each takes the same number of draws whatever the settings.

    Args:
        gen: generator on the CPU.
        n: B.
        settings: what to draw.
    """
    shape = (n, settings.views)
    angle, side, bright, contrast, saturation, hue, grey = torch.rand(*shape, 7, generator=gen).unbind(-1)
    centre = torch.randn(*shape, 2, generator=gen) * CENTRE_SPREAD + 0.5
    flipped = torch.rand(n, 1, generator=gen) < settings.flip

    def factor(place: Tensor, change: float) -> Tensor:
        return 1 + change * (2 * place - 1)

    return VideoDraw(
        angle=math.radians(settings.rotate) * (2 * angle - 1),
        side=side,
        centre=centre,
        brightness=factor(bright, settings.brightness),
        contrast=factor(contrast, settings.contrast),
        saturation=factor(saturation, settings.saturation),
        hue=2 * math.pi * settings.hue * (2 * hue - 1),
        grey=grey < settings.grey,
        flipped=flipped.expand(shape),
    )


def centre_view(n: int) -> VideoDraw:
    """The view for testing: the largest square in the middle, colours as they are. One view, without the axis V."""
    zero, one, never = torch.zeros(n), torch.ones(n), torch.zeros(n, dtype=torch.bool)
    return VideoDraw(zero, one, torch.full((n, 2), 0.5), one, one, one, zero, never, never)


@torch.no_grad()
def apply(pictures: Tensor, sizes: Tensor, draw: VideoDraw, settings: VideoViewSettings) -> Tensor:
    """Rotate, crop, resize, flip and recolour clips; all frames of a clip alike.

    Geometry is one resampling. Brightness, contrast, saturation, hue and grey, in this order, are one matrix for each
    clip, clamped once; contrast is about the clip's mean brightness, and hue rotates about the grey axis (in YIQ, which
    keeps the brightness).

    Args:
        pictures: uint8 ``[B, T, 3, H, W]``, as :meth:`~kineme.views.source.ClipLoader.pictures` gives them.
        sizes: int64 ``[B, 2]``, height and width of each clip's own pictures.
        draw: of one view: ``[B]``.
        settings: ``size``, the crop's range, ``faithful``.

    Returns:
        float32 ``[B, T, 3, size, size]``, normalised by ``MEAN`` and ``DEVIATION``. In memory T and the colours are
        the other way round, as 3-D convolutions take them: ``transpose(1, 2)`` is contiguous.

    Examples:
        >>> pictures, sizes = torch.zeros(2, 4, 3, 40, 60, dtype=torch.uint8), torch.tensor([[40, 60], [30, 20]])
        >>> settings = VideoViewSettings(frames=4, size=32)
        >>> draw = draw_video_views(torch.Generator().manual_seed(0), 2, settings)
        >>> apply(pictures, sizes, draw[0], settings).shape
        torch.Size([2, 4, 3, 32, 32])
    """
    batch, frames, _, height, width = pictures.shape
    size = settings.size
    finer = max(1, math.ceil(min(height, width) / (2 * size)))  # samples a pixel, each way, where it shrinks by over 2
    draw = draw.to(pictures.device)
    grid = _grid(sizes.to(pictures.device), draw, settings, size * finer)
    grid = grid * (2 / torch.tensor([width, height], device=grid.device)) - 1
    out = torch.empty(batch, 3, frames, size, size, device=pictures.device).transpose(1, 2)
    for begin in range(0, batch, AT_ONCE):
        part = slice(begin, min(begin + AT_ONCE, batch))
        planes = pictures[part].float().flatten(0, 1)
        places = grid[part, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        sampled = grid_sample(planes, places, padding_mode="zeros", align_corners=False)
        if finer > 1:
            sampled = avg_pool2d(sampled, finer)
        out[part] = _coloured(sampled.view(-1, frames, 3, size * size), draw.clips(part)).view(-1, *out.shape[1:])
    return out


def _grid(sizes: Tensor, draw: VideoDraw, settings: VideoViewSettings, size: int) -> Tensor:
    """Where in the image, in pixels from its upper left corner, each pixel of a view lies: ``[B, size, size, 2]``."""
    image = sizes.flip(1).float()  # width, height
    cos, sin = draw.angle.cos(), draw.angle.sin()
    turn = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)  # of row vectors
    reach = cos.abs() + sin.abs()
    if settings.faithful:  # the canvas that holds the rotated image
        canvas = image * cos.abs()[:, None] + image.flip(1) * sin.abs()[:, None]
        largest, extent = canvas.amin(1), torch.ones_like(reach)
    else:  # a rotated square inside the image
        canvas = image
        largest, extent = image.amin(1) / reach, reach
    area = canvas.prod(1).sqrt()
    low, high = math.sqrt(settings.crop_low) * area, math.sqrt(settings.crop_high) * area
    if not settings.faithful:  # else the longest are cut down after they are drawn
        low, high = low.minimum(largest), high.minimum(largest)
    side = (low + (high - low) * draw.side).minimum(largest)
    half = (side * extent / 2)[:, None]
    centre = (draw.centre * canvas).maximum(half).minimum(canvas - half)
    if settings.faithful:
        centre = ((centre - canvas / 2)[:, None] @ turn)[:, 0] + image / 2
    line = (torch.arange(size, device=image.device) * 2 + 1) / size - 1
    square = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(1, -1, 2)
    mirrored = torch.stack([1 - 2 * draw.flipped.float(), torch.ones_like(side)], -1)
    grid = (square * (mirrored * side[:, None] / 2)[:, None]) @ turn + centre[:, None]
    if not settings.faithful:  # what lies beyond the last pixels' centres is theirs, not the padding's
        grid = grid.clamp(min=0.5).minimum(image[:, None] - 0.5)
    return grid.view(-1, size, size, 2)


def _coloured(pixels: Tensor, draw: VideoDraw) -> Tensor:
    """Recolour pixels ``[B, T, 3, P]`` of 0 .. 255 and normalise them."""
    luma = torch.tensor(LUMA, device=pixels.device)
    greys = luma.expand(3, 3)
    saturation = torch.where(draw.grey, 0.0, draw.saturation)[:, None, None]
    matrix = saturation * (_hue(draw.hue) - greys) + greys  # both keep grey as it is
    gain = draw.contrast * draw.brightness / 255
    lift = (1 - draw.contrast) * (pixels.mean((1, 3)) @ luma) * draw.brightness / 255
    pixels = (matrix * gain[:, None, None])[:, None] @ pixels
    average, deviation = (torch.tensor(x, device=pixels.device)[:, None] for x in (MEAN, DEVIATION))
    return pixels.add_(lift[:, None, None, None]).clamp_(0, 1).sub_(average).div_(deviation)


def _hue(angle: Tensor) -> Tensor:
    """Matrices ``[B, 3, 3]`` that rotate colours about the grey axis, their brightness kept."""
    yiq = torch.tensor([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)], device=angle.device)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [[torch.ones_like(angle), zero, zero], [zero, cos, -sin], [zero, sin, cos]]
    rotation = torch.stack([torch.stack(row, -1) for row in rows], -2)
    return torch.linalg.inv(yiq) @ rotation @ yiq


# ---- poses and pictures together


def flip_poses(batch: Batch, flipped: Tensor, layout: Layout, width: Tensor) -> Batch:
    """Exchange left and right joints and mirror x about the middle of the image; missing joints stay 0.

    Args:
        batch: poses in coordinates of the image.
        flipped: bool ``[B]``.
        layout: of the poses.
        width: float32 ``[B]`` of the image, in the poses' unit.
    """
    batch = mirror(batch, flipped, layout)
    moved = (batch.confidence > 0) * (flipped * width)[:, None, None, None]
    joints = batch.joints.clone()
    joints[..., 0] += moved
    return replace(batch, joints=joints)


def video_views(source: ClipLoader, index: Tensor, settings: VideoViewSettings, gen: Generator) -> tuple[Batch, ...]:
    """Random views of some clips, each a batch of the poses and pictures of one window.

    Args:
        source: of a store with pictures.
        index: int64 ``[B]`` rows of the clip table, on the CPU.
        settings: what to draw.
        gen: generator on the CPU.

    Returns:
        V batches: joints ``[B, frames * step, M, V, C]``, every frame of the window, and frames float32
        ``[B, frames, 3, size, size]``. Views of the same window share their poses. A clip that is shorter than the
        window is stretched, poses and pictures alike.

    Raises:
        InputError: a store without pictures.
    """
    lengths = source.lengths[index]
    start = windows(lengths, settings.span, gen)
    draw = draw_video_views(gen, len(index), settings)
    if not settings.shifted:
        taken = [_window(source, index, start, settings)] * settings.views
    else:
        starts = shifted_windows(lengths, start, settings.span, settings.views, gen)
        taken = [_window(source, index, each, settings) for each in starts.unbind(1)]
    batches = []
    for view, (poses, pictures, sizes) in enumerate(taken):
        if settings.flip:
            width = _widths(source, index).to(source.device)
            poses = flip_poses(poses, draw.flipped[:, view].to(source.device), source.layout, width)
        batches.append(replace(poses, frames=apply(pictures, sizes, draw[view], settings)))
    return tuple(batches)


def middle_view(source: ClipLoader, index: Tensor, start: Tensor, settings: VideoViewSettings) -> Batch:
    """The windows that begin at ``start`` ``[B]``, poses and the middle of the pictures, nothing at random."""
    poses, pictures, sizes = _window(source, index, start, settings)
    plain = replace(settings, crop_high=1.0, faithful=False)
    return replace(poses, frames=apply(pictures, sizes, centre_view(len(index)), plain))


def _window(
    source: ClipLoader, index: Tensor, start: Tensor, settings: VideoViewSettings
) -> tuple[Batch, Tensor, Tensor]:
    length = source.lengths[index].clamp(max=settings.span)
    poses = source.gather(index, start, length, settings.span)
    return poses, *source.pictures(index, start, settings.frames, settings.step)


def _widths(source: ClipLoader, index: Tensor) -> Tensor:
    """Width of the clips' images, float32 ``[B]``; 0 where it is not known, so that x becomes -x."""
    known = source.store.numbers("width") if hasattr(source.store, "numbers") else np.zeros(len(source.lengths))
    return torch.from_numpy(np.nan_to_num(known)).float()[index]
