"""Pairs of views of one pose: what random cameras see of it, or what synchronous ones recorded.

Source: Zhao et al. 2021.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from ..motion.camera import perspective
from ..utils.errors import InputError
from . import keypoints, random_cameras
from .batch import Batch
from .keypoints import Profile
from .random_cameras import Cameras, CameraSettings
from .source import ClipLoader

MOST = 64  # clips of one performance that are looked at


class Draw(NamedTuple):
    """All that is random about a batch of views, on the CPU.

    Attributes:
        numbers: int64 ``[B]`` frames.
        cameras: that look at 3-D poses; and which joints are hidden.
        own: bool ``[B]``, seen by the sensor that recorded it instead; None = never.
    """

    numbers: Tensor
    cameras: Cameras
    own: Tensor | None = None


class Pairs:
    """The frames of a source as pairs of 2-D views of person 0.

    Of 3-D poses both sides are projections of one frame through cameras of their own. Of 2-D poses, and with
    ``sensor``, the second side is what another camera recorded at the same moment, see :func:`partners`.

    Args:
        source: frames by their number in the table of all frames.
        cameras: how cameras are drawn, and what is hidden.
        sensor: probability that a side of a 3-D pose is what its own sensor saw. A pose that no other sensor recorded
            is paired with itself.

    Raises:
        InputError: a layout without shoulders or hips; 3-D poses of which nobody knows which axis is up.
    """

    def __init__(self, source: ClipLoader, cameras: CameraSettings, sensor: float = 0.0):
        self.source, self.settings = source, cameras
        self.flat = source.coords == 2
        self.sensor = 0.0 if self.flat else sensor
        self.taken = keypoints.taken(source.layout, source.coords, source.device)
        self.up = getattr(source.store, "card", {}).get("up")
        self.where = str(getattr(source.store, "path", "the store"))
        if self.up is None and not self.flat:
            raise InputError(
                self.where,
                "3-D poses without a vertical axis",
                "one, for cameras turn about it",
                "Prepare recordings with different axes apart from each other",
            )

    @property
    def profile(self) -> Profile:
        """What the joints are before a camera looks at them."""
        return self.taken.profile

    def person(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Person 0 in these frames: joints of the profile ``[B, V, C]``, and which are there, bool ``[B, V]``."""
        joints, seen = self.source.poses(numbers)
        return self.taken(joints[:, 0], seen[:, 0])

    def usable(self, numbers: Tensor) -> Tensor:
        """Frames that make a pair: shoulders and hips are seen; 2-D ones also by another camera. bool ``[n]``, CPU.

        Raises:
            InputError: ``sensor`` for poses that lie before no sensor.
        """
        joints, seen = self.person(numbers)
        usable = keypoints.trunk_seen(seen, self.profile).cpu()
        if self.flat:
            usable &= self.partners(numbers)[1].any(1)
        elif self.sensor and (self.up not in ("+y", "-y") or bool((seen & (joints[..., 2] <= 0)).any())):
            raise InputError(
                self.where,
                "method.p_recorded_view for poses that lie before no sensor",
                "joints in the frame of a sensor: y up or down, z away from it",
                "Prepare its recordings with --normalise none",
            )
        return usable

    def draw(self, numbers: Tensor, gen: Generator) -> Draw:
        """Draw both sides of the pairs of the frames ``numbers``, int64 ``[B]``: 2 B views, all anchors first."""
        other = self._partner(numbers, gen) if self.flat or self.sensor else numbers
        return self.draw_views(torch.cat([numbers, other]), gen)

    def draw_views(self, numbers: Tensor, gen: Generator) -> Draw:
        """Draw one view of each frame."""
        cameras = random_cameras.draw_cameras(len(numbers), self.settings, gen)
        return Draw(numbers, cameras, torch.rand(len(numbers), generator=gen) < self.sensor if self.sensor else None)

    @torch.no_grad()
    def views(self, draw: Draw) -> Batch:
        """Make the views: joints ``[B, 1, 1, 13, 2]``, (x, y) with y downwards; hidden joints lose their ``seen``."""
        joints, seen = self.person(draw.numbers)
        cameras = draw.cameras.to(joints.device)
        if self.flat:
            flat = joints * joints.new_tensor([1, -1]) if self.up == "+y" else joints
        else:
            flat = random_cameras.look(joints, self.profile, cameras, self.source.up, self.source.upward, seen)
            seen = keypoints.pick(seen, self.profile)
            if draw.own is not None:
                turned = -1 if self.up == "+y" else 1  # with y up, the x of a right-handed frame points to the left
                recorded = turned * keypoints.pick(perspective(joints), self.profile, -2)
                flat = torch.where(draw.own.to(flat.device)[:, None, None], recorded, flat)
        if cameras.hidden is not None:
            seen = seen & ~cameras.hidden
        return _batch(flat, seen, draw.numbers)

    @torch.no_grad()
    def bodies(self, numbers: Tensor) -> Batch:
        """The 3-D poses themselves, normalised: joints ``[B, 1, 1, V, 3]``."""
        joints, seen = self.person(numbers)
        return _batch(keypoints.normalise(joints, self.profile, seen).points, seen, numbers)

    def partners(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Frames ``[B, K]`` that others recorded at these moments, and which of them are there with the trunk seen."""
        begin, others = self._partners
        clip = torch.searchsorted(begin, numbers, right=True) - 1
        others = others[clip]
        found = begin[others.clamp(min=0)] + (numbers - begin[clip])[:, None]
        found = torch.where(others < 0, numbers[:, None], found)
        _, seen = self.person(found.flatten())
        return found, (others >= 0) & keypoints.trunk_seen(seen, self.profile).cpu().view_as(others)

    def _partner(self, numbers: Tensor, gen: Generator) -> Tensor:
        """One of the partners of each frame, all equally likely; the frame itself where there is none."""
        found, there = self.partners(numbers)
        if not there.shape[1]:
            return numbers
        chosen = (torch.rand(found.shape, generator=gen) + there).argmax(1, keepdim=True)
        return torch.where(there.any(1), found.gather(1, chosen)[:, 0], numbers)

    @functools.cached_property
    def _partners(self) -> tuple[Tensor, Tensor]:
        """Where each clip begins, and :func:`partners`."""
        return torch.from_numpy(np.array(self.source.store.offsets[:-1], np.int64)), partners(self.source)


def partners(source: ClipLoader) -> Tensor:
    """Clips of the same performance that other cameras recorded: rows int64 ``[N, K]``, filled up with -1.

    They share the columns ``performance`` (and ``dataset``) and their number of frames, and differ in ``camera``. Only
    the source's own rows count.
    """
    rows, store = source.rows.numpy(), source.store
    none = torch.full((len(source.lengths), 0), -1)
    if not hasattr(store, "column") or not len(rows):
        return none
    names = [name for name in ("performance", "dataset") if name in store.clips.column_names]  # type: ignore[attr-defined]
    said, camera = [store.column(name)[rows] for name in names], store.column("camera")[rows]
    known = np.array([p is not None and c is not None for p, c in zip(said[0], camera)])
    rows, camera = rows[known], np.unique(camera[known].astype(str), return_inverse=True)[1]
    same = [" ".join(map(str, values)) for values in zip(source.lengths[rows].tolist(), *(x[known] for x in said))]
    if not same:
        return none
    _, group, size = np.unique(same, return_inverse=True, return_counts=True)
    place = np.arange(min(size.max(), MOST))
    inside = place < size[group][:, None]
    begin = (np.cumsum(size) - size)[group][:, None]
    members = np.argsort(group, kind="stable")[np.where(inside, begin + place, 0)]  # of each clip's performance
    inside &= camera[members] != camera[:, None]
    found = np.full((len(source.lengths), len(place)), -1)
    found[rows] = np.where(inside, rows[members], -1)
    return torch.from_numpy(found)


def _batch(joints: Tensor, seen: Tensor, numbers: Tensor) -> Batch:
    return Batch(joints[:, None, None], seen[:, None, None].to(joints), numbers.to(joints.device, non_blocking=True))
