"""Views of clips: temporal crops and spatial augmentations of whole batches, on any device.

Drawing random parameters and applying them are two steps. Draws are made on the CPU from an explicit generator, so every
device sees the same views; nothing loops over samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from .batch import Batch, Source
from .errors import InputError
from .registry import did_you_mean
from .skeleton import Layout

STREAMS = ("joint", "bone", "motion")


class Crop(NamedTuple):
    """A stretch of each clip: frames ``start .. start + length - 1``, both int64 ``[B]``."""

    start: Tensor
    length: Tensor


@dataclass(frozen=True)
class ViewSettings:
    """How views are drawn; the defaults are the published view of HiCo, HaLP and CMD (spec HiCo 2.5 and 3).

    Attributes:
        frames: T, every view is resized in time to this.
        crop_low, crop_high: the fraction of the clip that is kept is uniform between them.
        least: but no fewer frames than this, where the clip has them.
        shear: amplitude of the shear's off-diagonal entries; 0 = no shear.
        corrupt: fraction of the joints that corruption touches (0.6: 15 of 25, 12 of 20); 0 = no corruption, every view
            is sheared; otherwise a view is corrupted or sheared, with equal probability.
        mirror: probability of exchanging left and right.
        rotate: largest angle, in radians, about the up axis y (2-D: in the image plane).
        jitter: standard deviation of the noise added to every coordinate of the joints that are there.
    """

    frames: int = 64
    crop_low: float = 0.1
    crop_high: float = 1.0
    least: int = 64
    shear: float = 1.0
    corrupt: float = 0.6
    mirror: float = 0.0
    rotate: float = 0.0
    jitter: float = 0.0


class ViewDraw(NamedTuple):
    """Everything random about the views of one batch.

    Attributes:
        crop: stretch of each clip.
        frames: T.
        mirrored: bool ``[B]``, left and right exchanged before all else; None = nobody.
        maps: float32 ``[B, V, C, C]``, each joint's coordinates become ``map @ x``; None = as they are.
        noise: float32 ``[B, T, M, V, C]``, added at the end to joints that are there; None = none.
    """

    crop: Crop
    frames: int
    mirrored: Tensor | None = None
    maps: Tensor | None = None
    noise: Tensor | None = None


# ---- time


def crop_length(lengths: Tensor, scale: Tensor, least: int = 64) -> Tensor:
    """Frames kept of clips of ``lengths`` ``[B]`` at fractions ``scale`` ``[B]``: min(max(floor(n s), least), n), spec HiCo 2.5."""
    kept = (lengths.double() * scale.double()).floor().long()
    return kept.clamp(min=least).minimum(lengths)


def draw_crop(lengths: Tensor, gen: Generator, low: float = 0.1, high: float = 1.0, least: int = 64) -> Crop:
    """Random stretches (spec HiCo 2.5): fraction uniform on [low, high), start uniform on the places that it fits.

    Args:
        lengths: int64 ``[B]`` frames of each clip.
        gen: generator on the CPU.
        low, high, least: as in :class:`ViewSettings`.
    """
    u = torch.rand(2, len(lengths), generator=gen, dtype=torch.float64)
    length = crop_length(lengths, low + (high - low) * u[0], least)
    return Crop((u[1] * (lengths - length + 1)).long(), length)  # u < 1, so start <= n - length


def centre_crop(lengths: Tensor, ratio: float = 0.95) -> Crop:
    """The middle of each clip, as used for all evaluation: start = int((1 - ratio) n / 2), as much cut at the end (spec HiCo 2.6)."""
    start = ((1 - ratio) * lengths.double() / 2).long()
    return Crop(start, lengths - 2 * start)


# ---- space: matrices that act on column vectors, x -> A x


def shears(offdiag: Tensor) -> Tensor:
    """Shear matrices ``[B, C, C]`` with unit diagonal from their other entries ``[B, C (C - 1)]``, row by row."""
    coords = 3 if offdiag.shape[1] == 6 else 2
    matrices = torch.eye(coords, dtype=offdiag.dtype, device=offdiag.device).repeat(len(offdiag), 1, 1)
    matrices[:, ~torch.eye(coords, dtype=torch.bool, device=offdiag.device)] = offdiag
    return matrices


def turns(angle: Tensor, coords: int) -> Tensor:
    """Rotation matrices ``[B, C, C]`` by ``angle`` ``[B]`` (radians): about the up axis y (C = 3) or in the plane (C = 2)."""
    matrices = torch.eye(coords, dtype=angle.dtype, device=angle.device).repeat(len(angle), 1, 1)
    a, b = (2, 0) if coords == 3 else (0, 1)
    matrices[:, a, a] = matrices[:, b, b] = angle.cos()
    matrices[:, b, a] = angle.sin()
    matrices[:, a, b] = -angle.sin()
    return matrices


def joint_maps(body: Tensor, touched: Tensor, local: Tensor) -> Tensor:
    """One matrix per joint, ``[B, V, C, C]``: ``local`` ``[B, C, C]`` where ``touched`` ``[B, V]``, else ``body`` ``[B, C, C]``."""
    return torch.where(touched[:, :, None, None], local[:, None], body[:, None])


def transform(joints: Tensor, maps: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply each joint's coordinates by its sample's matrix for that joint.

    Args:
        joints: ``[B, T, M, V, C]``.
        maps: ``[B, V, C, C]`` or, the same for all joints, ``[B, 1, C, C]``.
        out: memory for the result, not that of ``joints``.

    Joints whose matrix is the identity keep their bits; a zero matrix gives exact zeros.
    """
    out = torch.empty_like(joints) if out is None else out
    maps = maps[:, None, None]
    for row in range(joints.shape[-1]):
        torch.mul(joints[..., 0], maps[..., row, 0], out=out[..., row])
        for column in range(1, joints.shape[-1]):
            out[..., row].addcmul_(joints[..., column], maps[..., row, column])
    return out


def mirror(batch: Batch, mirrored: Tensor, layout: Layout) -> Batch:
    """Exchange left and right joints and negate the lateral axis x, in the samples where ``mirrored`` ``[B]`` is true."""
    partner = torch.tensor(layout.mirror, device=batch.joints.device)
    flip = torch.ones(batch.joints.shape[-1], device=batch.joints.device)
    flip[0] = -1
    choose = mirrored[:, None, None, None]
    joints = torch.where(choose[..., None], batch.joints[:, :, :, partner] * flip, batch.joints)
    return replace(batch, joints=joints, seen=torch.where(choose, batch.seen[:, :, :, partner], batch.seen))


def jitter(batch: Batch, noise: Tensor) -> Batch:
    """Add ``noise`` ``[B, T, M, V, C]`` to the joints that are there; missing joints and absent persons stay 0."""
    return replace(batch, joints=torch.addcmul(batch.joints, noise, (batch.seen > 0).to(noise.dtype)[..., None]))


# ---- views


def draw_view(source: Source, index: Tensor, settings: ViewSettings, gen: Generator) -> ViewDraw:
    """Draw one view of each clip.

    Args:
        source: where the clips come from.
        index: int64 ``[B]`` rows of the clip table.
        settings: what to draw.
        gen: generator on the CPU.
    """
    size, joints, coords = len(index), len(source.layout), source.coords
    crop = draw_crop(source.lengths[index.cpu()], gen, settings.crop_low, settings.crop_high, settings.least)
    mirrored = torch.rand(size, generator=gen) < settings.mirror if settings.mirror else None
    maps = _draw_maps(size, joints, coords, settings, gen)
    noise = None
    if settings.jitter:
        noise = torch.randn(size, settings.frames, source.persons, joints, coords, generator=gen).mul_(settings.jitter)
    return ViewDraw(crop, settings.frames, mirrored, maps, noise)


def _draw_maps(size: int, joints: int, coords: int, settings: ViewSettings, gen: Generator) -> Tensor | None:
    touches = round(settings.corrupt * joints)
    if not (touches or settings.shear or settings.rotate):
        return None
    body = shears(settings.shear * _amplitudes(size, coords * (coords - 1), gen=gen))
    maps = body[:, None].expand(-1, joints, -1, -1)
    if touches:
        corrupted, zeroed = (torch.rand(2, size, generator=gen) < 0.5)[:, :, None, None]
        which = torch.rand(size, joints, generator=gen).topk(touches).indices
        touched = torch.zeros(size, joints, dtype=torch.bool).scatter_(1, which, True)
        local = _amplitudes(size, coords, coords, gen=gen).mT.masked_fill(zeroed, 0)  # published for row vectors, so the transpose
        maps = torch.where(corrupted[..., None], joint_maps(torch.eye(coords).expand_as(body), touched, local), maps)
    if settings.rotate:
        maps = maps @ turns(settings.rotate * _amplitudes(size, gen=gen), coords)[:, None]
    return maps


def _amplitudes(*shape: int, gen: Generator) -> Tensor:
    """Uniform on [-1, 1)."""
    return torch.rand(shape, generator=gen).mul_(2).sub_(1)


@torch.no_grad()
def apply_view(source: Source, index: Tensor, draw: ViewDraw) -> Batch:
    """Make the views that were drawn: gather and resize, mirror, map every joint, add noise.

    ``seen`` is cut and resized with the joints. A joint that corruption zeroed keeps its ``seen``: it is a view of a
    joint that is there, not missing data. Missing joints and absent persons stay 0 through every step.
    """
    batch = source.gather(index, *draw.crop, draw.frames)
    if draw.mirrored is not None:
        batch = mirror(batch, draw.mirrored.to(source.device), source.layout)
    if draw.maps is not None:
        batch.joints = transform(batch.joints, draw.maps.to(source.device), source.empty(*batch.joints.shape))
    if draw.noise is not None:
        batch = jitter(batch, draw.noise.to(source.device))
    return batch


def view(source: Source, index: Tensor, settings: ViewSettings, gen: Generator) -> Batch:
    """One random view of each clip: :func:`draw_view`, then :func:`apply_view`."""
    return apply_view(source, index, draw_view(source, index, settings, gen))


@torch.no_grad()
def stream(batch: Batch, name: str, layout: Layout) -> Batch:
    """A batch in another stream (spec HiCo 2.7), to be taken after augmentation.

    ``joint``: coordinates as they are. ``bone``: joint minus its parent, 0 at the root of the tree. ``motion``: next
    frame minus this one, last frame 0. A bone or a motion is as certain as the less certain of its two ends.
    """
    joints, seen = batch.joints, batch.seen
    if name == "joint":
        return batch
    if name == "bone":
        parent = torch.tensor([i if p < 0 else p for i, p in enumerate(layout.parents)], device=joints.device)
        return replace(batch, joints=joints - joints[:, :, :, parent], seen=seen.minimum(seen[:, :, :, parent]))
    if name == "motion":
        motion, both = torch.zeros_like(joints), seen.clone()
        torch.sub(joints[:, 1:], joints[:, :-1], out=motion[:, :-1])
        torch.minimum(seen[:, 1:], seen[:, :-1], out=both[:, :-1])
        return replace(batch, joints=motion, seen=both)
    raise InputError("stream", f"{name!r}", ", ".join(STREAMS), did_you_mean(name, STREAMS))
