"""Views of clips: temporal crops and spatial augmentations of whole batches, on any device.

Drawing random parameters and applying them are two steps. Parameters are drawn on the CPU from an explicit generator,
so every device sees the same views; nothing loops over samples. Matrices act on row vectors, ``x @ A``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from ..motion.layout import Layout
from ..utils.errors import InputError
from .batch import Batch
from .source import ClipLoader

TOGETHER = 512  # views made in one go; more do not pay, and on a CPU their blocks outgrow what the allocator keeps


class Crop(NamedTuple):
    """A segment of each clip: frames ``start .. start + length - 1``, both int64 ``[B]``."""

    start: Tensor
    length: Tensor


@dataclass(frozen=True)
class ViewSettings:
    """How views are drawn; the defaults are the published view of HiCo, HaLP and CMD (Dong et al. 2023).

    Attributes:
        frames: T, every view is resized in time to this.
        crop_low, crop_high: the fraction of the clip that is kept is uniform between them.
        min_frames: but no fewer frames than this, where the clip has them.
        shear: amplitude of the shear's off-diagonal entries; 0 = no shear.
        joint_jitter: fraction of the joints that corruption touches (0.6: 15 of 25, 12 of 20). A view is either
            corrupted or sheared, with equal probability; 0 = always sheared.
        mirror: probability of exchanging left and right.
        rotate: largest angle (radians) about the store's up axis; for 2-D motion, in the image plane.
        noise: standard deviation of the noise added to every coordinate of the joints that are there.
        scale: by how much each axis is stretched or shrunk at most (0.15: factors from 0.85 to 1.15).
        tilt: largest angle (radians) about each of the two horizontal axes; for 2-D motion, in the image plane.
        rotate_xyz: largest angle (radians) about each axis, first x, then y, then z (Mao et al. 2023); for 2-D motion,
            in the image plane.

    Raises:
        InputError: a value outside its range.
    """

    RENAMED: ClassVar = {"least": "min_frames", "corrupt": "joint_jitter", "jitter": "noise"}

    frames: int = 64
    crop_low: float = 0.1
    crop_high: float = 1.0
    min_frames: int = 64
    shear: float = 1.0
    joint_jitter: float = 0.6
    mirror: float = 0.0
    rotate: float = 0.0
    noise: float = 0.0
    scale: float = 0.0
    tilt: float = 0.0
    rotate_xyz: float = 0.0

    def __post_init__(self) -> None:
        any_size = math.inf
        ranges = {
            "frames": (1, any_size),
            "crop_high": (0, 1),
            "crop_low": (0, self.crop_high),
            "min_frames": (1, any_size),
            "shear": (0, any_size),
            "joint_jitter": (0, 1),
            "mirror": (0, 1),
            "rotate": (0, any_size),
            "noise": (0, any_size),
            "scale": (0, 1),
            "tilt": (0, any_size),
            "rotate_xyz": (0, any_size),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                wanted = f"{low} or more" if high == any_size else f"{low} to {high}"
                raise InputError(f"views.{name}", str(value), wanted)


class ViewDraw(NamedTuple):
    """All that is random about the views of one batch, on the CPU, in the order in which it is applied.

    Attributes:
        crop: segment of each clip.
        frames: T.
        mirrored: bool ``[B]``, left and right are exchanged; None = nowhere.
        turn: float32 ``[B]`` radians; None = no rotation.
        matrix: float32 ``[B, C, C]``, shear or corruption; None = neither.
        touched: bool ``[B, V]``, the joints on which ``matrix`` acts; None = all.
        noise: float32 ``[B, T, M, V, C]``; None = no jitter.
        angles: float32 ``[B, 3]`` radians about x, y and z, ``[B, 1]`` in 2-D; None = no rotation.
    """

    crop: Crop
    frames: int
    mirrored: Tensor | None = None
    turn: Tensor | None = None
    matrix: Tensor | None = None
    touched: Tensor | None = None
    noise: Tensor | None = None
    angles: Tensor | None = None


# ---- time


def crop_length(lengths: Tensor, scale: Tensor, min_frames: int = 64) -> Tensor:
    """Frames kept of clips of n frames at the fraction s: min(max(floor(n s), min_frames), n), Dong et al. 2023.

    Args:
        lengths: n, int64 ``[B]``.
        scale: s ``[B]``; the product is taken in float64.
        min_frames: no fewer frames than this, where the clip has them.
    """
    return (lengths.double() * scale.double()).floor().long().clamp(min=min_frames).minimum(lengths)


def draw_crop(lengths: Tensor, gen: Generator, low: float = 0.1, high: float = 1.0, min_frames: int = 64) -> Crop:
    """Random segments (Dong et al. 2023): fraction uniform on [low, high), start uniform on the places where it fits.

    Args:
        lengths: int64 ``[B]`` frames of each clip.
        gen: generator on the CPU.
        low, high, min_frames: see :class:`ViewSettings`.
    """
    scale, place = torch.rand(2, len(lengths), generator=gen, dtype=torch.float64)
    return _crop(lengths, low + (high - low) * scale, place, min_frames)


def _crop(lengths: Tensor, scale: Tensor, place: Tensor, min_frames: int) -> Crop:
    length = crop_length(lengths, scale, min_frames)
    return Crop((place * (lengths - length + 1)).long(), length)  # place < 1, so start <= n - length


def centre_crop(lengths: Tensor, ratio: float = 0.95) -> Crop:
    """The middle of each clip, for all evaluation: int((1 - ratio) n / 2) frames go at both ends (Dong et al. 2023)."""
    start = ((1 - ratio) * lengths.double() / 2).long()
    return Crop(start, lengths - 2 * start)


# ---- space


def shears(offdiag: Tensor) -> Tensor:
    """Matrices ``[B, C, C]`` of the shears ``S x`` with unit diagonal (Dong et al. 2023): that is, the transposes of S.

    Args:
        offdiag: ``[B, C (C - 1)]``, the other entries of S, row by row; C is 2 or 3.
    """
    size, coords = len(offdiag), {2: 2, 6: 3}[offdiag.shape[1]]
    matrix = offdiag.new_ones(size, coords * coords)
    between = matrix[:, :-1].view(size, coords - 1, coords + 1)[:, :, 1:]  # C entries follow each entry of the diagonal
    between.copy_(offdiag.reshape(size, coords - 1, coords))
    return matrix.view(size, coords, coords).mT


def rotation_matrices(angle: Tensor, coords: int, axis: int = 1) -> Tensor:
    """Counter-clockwise rotations ``[B, C, C]`` by ``angle`` ``[B]`` radians about an axis, or in the plane (C = 2)."""
    axis = axis if coords == 3 else 2
    first, second = (axis + 1) % 3, (axis + 2) % 3  # `first` turns towards `second`
    matrix = torch.eye(coords, dtype=angle.dtype, device=angle.device).repeat(angle.shape[0], 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second] = angle.sin()
    matrix[:, second, first] = -angle.sin()
    return matrix


def rotations_xyz(angles: Tensor) -> Tensor:
    """Rotations ``[B, C, C]`` about x, then y, then z; of the published form ``R = R_z R_y R_x`` (Mao et al. 2023),
    which turns clockwise, these are the transposes.

    Args:
        angles: ``[B, 3]`` radians, or ``[B, 1]`` in the plane.
    """
    if angles.shape[1] == 1:
        return rotation_matrices(-angles[:, 0], 2)
    about_x, about_y, about_z = (rotation_matrices(-angles[:, axis], 3, axis) for axis in range(3))
    return about_x @ about_y @ about_z


@torch.no_grad()
def transform(joints: Tensor, matrix: Tensor, touched: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Multiply coordinates by the matrix of their sample.

    Args:
        joints: ``[B, T, M, V, C]``.
        matrix: ``[B, C, C]``; a zero matrix gives exact zeros.
        touched: bool ``[B, V]``, the joints to multiply, None = all; the others keep their bits.
        out: contiguous memory for the result, not that of ``joints``.

    Where the user lets torch multiply float32 more coarsely (``torch.set_float32_matmul_precision``), so does this.
    """
    size, time, persons, number, coords = joints.shape
    joints = joints.contiguous()
    out = torch.empty_like(joints) if out is None else out
    # A 3 x 3 product leaves most of a vector unit idle: several joints at once, the matrix repeated along a diagonal.
    several = math.gcd(time * persons * number, 4)
    wide = several * coords
    blocks = matrix.new_zeros(size, several, coords, several, coords)
    blocks.diagonal(dim1=1, dim2=3).copy_(matrix[..., None])
    # With `out` given, autocast leaves the product alone.
    torch.bmm(joints.view(size, -1, wide), blocks.view(size, wide, wide), out=out.view(size, -1, wide))
    if touched is not None:
        kept = (~touched).to(joints.dtype).repeat_interleave(coords, 1)[:, None]
        flat = (size, -1, number * coords)
        out.view(flat).lerp_(joints.view(flat), kept)  # exact at 0 and at 1
    return out


@torch.no_grad()
def mirror(batch: Batch, mirrored: Tensor, layout: Layout) -> Batch:
    """Exchange left and right joints and negate the lateral axis x, in samples where ``mirrored`` ``[B]`` is true."""
    flip = torch.ones(batch.joints.shape[-1], device=batch.joints.device)
    flip[0] = -1
    chosen = mirrored[:, None, None, None]
    joints = _joints(batch.joints, layout.mirror) * flip
    seen = _joints(batch.confidence[..., None], layout.mirror)[..., 0]
    return replace(
        batch,
        joints=torch.where(chosen[..., None], joints, batch.joints),
        confidence=torch.where(chosen, seen, batch.confidence),
    )


@torch.no_grad()
def add_noise(batch: Batch, noise: Tensor) -> Batch:
    """Add ``noise`` ``[B, T, M, V, C]`` to the joints that are there; missing joints and absent persons stay 0."""
    return replace(batch, joints=torch.addcmul(batch.joints, noise, (batch.confidence > 0).to(noise.dtype)[..., None]))


def _joints(joints: Tensor, order: tuple[int, ...]) -> Tensor:
    """``joints[:, :, :, order]`` of ``[B, T, M, V, C]``; as a choice of columns, several times faster on a CPU."""
    coords = joints.shape[-1]
    columns = torch.tensor([coords * i + c for i in order for c in range(coords)])
    columns = columns.to(joints.device, non_blocking=True)  # otherwise the host would wait for the device
    return joints.reshape(-1, joints.shape[3] * coords).index_select(1, columns).view_as(joints)


# ---- views


def draw_view(source: ClipLoader, index: Tensor, settings: ViewSettings, gen: Generator) -> ViewDraw:
    """Draw one view of each clip.

    Each clip takes the same number of draws from the generator whatever the settings (noise, scale, tilt and rotate_xyz
    draw after them), so a change of one setting leaves the rest of the view as it was.

    Args:
        source: where the clips come from.
        index: int64 ``[B]`` rows of the clip table.
        settings: what to draw.
        gen: generator on the CPU.

    Raises:
        InputError: views to be mirrored of a store in which x points up.
    """
    if settings.mirror and source.up == 0:
        raise InputError("views.mirror", "a store in which x points up", "an up axis across x, which is mirrored")
    size, joints, coords = len(index), len(source.layout), source.coords
    parts = [1, 1, 1, 1, 1, 1, joints, coords * coords, coords * (coords - 1)]
    drawn = torch.rand(size, sum(parts), generator=gen, dtype=torch.float64)
    scale, place, side, angle, kind, zero, order, linear, offdiag = drawn.split(parts, 1)

    low, high = settings.crop_low, settings.crop_high
    crop = _crop(source.lengths[index.cpu()], low + (high - low) * scale[:, 0], place[:, 0], settings.min_frames)
    mirrored = side[:, 0] < settings.mirror if settings.mirror else None
    turn = (settings.rotate * (2 * angle[:, 0] - 1)).float() if settings.rotate else None
    matrix = touched = noise = None
    sheared = shears(settings.shear * (2 * offdiag - 1))
    if many := round(settings.joint_jitter * joints):
        corrupted = kind < 0.5
        spoilt = (2 * linear - 1).view(-1, coords, coords) * (zero < 0.5)[..., None]
        matrix = torch.where(corrupted[..., None], spoilt, sheared).float()
        touched = torch.zeros(size, joints, dtype=torch.bool).scatter_(1, order.topk(many).indices, True) | ~corrupted
    elif settings.shear:
        matrix = sheared.float()
    if settings.noise:
        noise = torch.randn(size, settings.frames, source.persons, joints, coords, generator=gen).mul_(settings.noise)
    if settings.scale or settings.tilt:
        bent = _bent(size, coords, source.up, settings, gen)
        matrix = bent if matrix is None else matrix @ bent
        touched = None if touched is None else touched | ~corrupted
    angles = None
    if settings.rotate_xyz:
        drawn = torch.rand(size, 3 if coords == 3 else 1, generator=gen, dtype=torch.float64)
        angles = (settings.rotate_xyz * (2 * drawn - 1)).float()
    return ViewDraw(crop, settings.frames, mirrored, turn, matrix, touched, noise, angles)


def _bent(size: int, coords: int, up: int, settings: ViewSettings, gen: Generator) -> Tensor:
    """Matrices ``[B, C, C]`` that stretch the axes and then tilt about the horizontal ones."""
    factors, angles = 2 * torch.rand(2, size, coords, generator=gen, dtype=torch.float64) - 1
    matrix = torch.diag_embed(1 + settings.scale * factors)
    around = [axis for axis in range(3) if axis != up] if coords == 3 else [2]
    for angle, axis in zip(settings.tilt * angles.T, around):
        matrix = matrix @ rotation_matrices(angle, coords, axis)
    return matrix.float()


@torch.no_grad()
def apply_view(source: ClipLoader, index: Tensor, draw: ViewDraw) -> Batch:
    """Make the views that were drawn: gather and resize, then mirror, rotate, shear or corrupt, add noise.

    ``seen`` is cut and resized with the joints. A joint that corruption zeroed keeps its ``seen``: it is a view of a
    joint that is there, not missing data. Missing joints and absent persons stay 0 through every step.
    """
    batch = source.gather(index, *draw.crop, draw.frames)
    mirrored, turn, matrix, touched, noise, angles = (
        None if drawn is None else drawn.to(source.device, non_blocking=True) for drawn in draw[2:]
    )
    if mirrored is not None:
        batch = mirror(batch, mirrored, source.layout)
    if turn is not None:
        around = rotation_matrices(turn, source.coords, source.up)
        batch.joints = transform(batch.joints, around, out=source.empty(*batch.joints.shape))
    if matrix is not None:
        batch.joints = transform(batch.joints, matrix, touched, out=source.empty(*batch.joints.shape))
    if angles is not None:
        batch.joints = transform(batch.joints, rotations_xyz(angles), out=source.empty(*batch.joints.shape))
    return batch if noise is None else add_noise(batch, noise)


def view(source: ClipLoader, index: Tensor, settings: ViewSettings, gen: Generator) -> Batch:
    """One random view of each clip: :func:`draw_view`, then :func:`apply_view`."""
    return apply_view(source, index, draw_view(source, index, settings, gen))


def views(
    source: ClipLoader, index: Tensor, settings: ViewSettings, gen: Generator, count: int = 2
) -> tuple[Batch, ...]:
    """Several independent views of each clip. Small batches are made in one go: half the calls to the device."""
    size = len(index)
    if size * count > TOGETHER:
        return tuple(view(source, index, settings, gen) for _ in range(count))
    together = view(source, index.repeat(count), settings, gen)
    return tuple(together[i * size : (i + 1) * size] for i in range(count))
