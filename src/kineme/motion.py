"""Motion: one recorded movement, joints over time, with what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .errors import InputError
from .skeleton import Layout

UPS = ("+x", "-x", "+y", "-y", "+z", "-z")
UNITS = ("m", "cm", "mm", "in", "px", "1")


@dataclass(frozen=True)
class Motion:
    """One movement of one or more people, validated when it is made.

    Attributes:
        joints: float32 ``[T, M, V, C]``: frame, person, joint, coordinate (C is 2 or 3); finite everywhere,
            0 where a joint is missing.
        layout: the V joints.
        confidence: float32 ``[T, M, V]`` in [0, 1]; 0 = missing; an absent person is all 0. None means all seen.
        fps: frames per second, or None where the source does not say.
        up: the axis that points up, e.g. ``"+y"``; ``"-y"`` for image rows; None if unknown.
        unit: ``m``, ``cm``, ``mm``, ``in``, ``px`` or ``1`` (normalised or unknown).
        image_size: (width, height) in pixels, for 2-D motion.
        label: name of the action, or None.
        subject, camera: who and from where; None if unknown.
        source: where it came from: file name and, inside it, the clip; unique within a folder.
        extra: further columns of the clip table under their own names (setup, repetition, performance, dataset,
            start, end, ...): plain str, int, float, bool or None.

    Raises:
        InputError: wrong shape or type, values that are not finite, an unknown axis or unit.
    """

    joints: np.ndarray
    layout: Layout
    confidence: np.ndarray = None  # type: ignore[assignment]
    fps: float | None = None
    up: str | None = None
    unit: str = "1"
    image_size: tuple[int, int] | None = None
    label: str | None = None
    subject: int | str | None = None
    camera: int | str | None = None
    source: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        where = self.source or "motion"
        joints = np.ascontiguousarray(self.joints, dtype=np.float32)
        if joints.ndim != 4 or joints.shape[3] not in (2, 3):
            raise InputError(where, f"joints of shape {joints.shape}", "[frames, persons, joints, 2 or 3]")
        if joints.shape[0] == 0 or joints.shape[1] == 0:
            raise InputError(where, f"joints of shape {joints.shape}", "at least one frame and one person")
        if joints.shape[2] != len(self.layout):
            raise InputError(where, f"{joints.shape[2]} joints", f"{len(self.layout)} joints of layout {self.layout.name}")
        if not np.isfinite(joints).all():
            frame, person, joint = np.argwhere(~np.isfinite(joints))[0][:3]
            raise InputError(where, f"a coordinate that is not finite (frame {frame}, person {person}, joint {joint})",
                             "finite numbers", "Mark missing joints with confidence 0")
        seen = np.ones(joints.shape[:3], np.float32) if self.confidence is None else np.ascontiguousarray(self.confidence, np.float32)
        if seen.shape != joints.shape[:3]:
            raise InputError(where, f"confidence of shape {seen.shape}", f"{joints.shape[:3]}")
        if not (np.isfinite(seen).all() and seen.min() >= 0 and seen.max() <= 1):
            raise InputError(where, "confidence outside 0..1", "0 for missing up to 1 for certain")
        if self.fps is not None and not (np.isfinite(self.fps) and 0 < self.fps <= 100_000):
            raise InputError(where, f"{self.fps} frames per second", "a positive number")
        if self.up is not None and self.up not in UPS:
            raise InputError(where, f"up axis {self.up!r}", f"one of {', '.join(UPS)}, or None")
        if self.unit not in UNITS:
            raise InputError(where, f"unit {self.unit!r}", f"one of {', '.join(UNITS)}")
        if self.image_size is not None and (len(self.image_size) != 2 or min(self.image_size) <= 0):
            raise InputError(where, f"image size {self.image_size}", "(width, height) in pixels")
        object.__setattr__(self, "joints", joints)
        object.__setattr__(self, "confidence", seen)
        object.__setattr__(self, "extra", dict(self.extra))

    def __len__(self) -> int:
        return self.joints.shape[0]

    @property
    def persons(self) -> int:
        return self.joints.shape[1]

    @property
    def coords(self) -> int:
        return self.joints.shape[3]

    def with_(self, **changes) -> Motion:
        """A copy with some fields replaced, validated again."""
        return replace(self, **changes)
