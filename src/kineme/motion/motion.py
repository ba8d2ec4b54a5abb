"""Motion: one recorded movement, joints over time, with what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..utils.errors import InputError
from . import layout as layouts
from . import units
from .joint_map import JointMap, joint_map
from .kinematics import Kinematics
from .layout import Layout

UPS = ("+x", "-x", "+y", "-y", "+z", "-z")
UNSURE = 2.0**-10  # confidence of a joint that has a place, but for which its source vouches in no way
GAPS = "joints that are no number (NaN), taken as missing"  # a note
MAX_FRAMES = 10_000_000  # more than this, asked of resample or resize, is a slip


@dataclass(frozen=True, eq=False, repr=False)
class Motion(Kinematics):
    """One movement of one or more people, validated when it is made.

    Its verbs (:meth:`resample`, :meth:`slice`, :meth:`centre`, ...) return a new one. Arrays are shared where nothing
    has to change, so treat them as read-only. Speeds, angles, steps: :class:`kineme.motion.kinematics.Kinematics`.

    Attributes:
        joints: float32 ``[T, M, V, C]``: frame, person, joint, coordinate (C is 2 or 3; of one person ``[T, V, C]`` may
            be given); finite everywhere, 0 where a joint is missing (whatever is given for such a joint is replaced by
            0). A joint that is given with NaN is missing.
        layout: the V joints; may be given by name.
        confidence: float32 ``[T, M, V]`` in [0, 1]; 0 or NaN = missing; an absent person is all 0. None means all
            seen. What a sensor places but does not vouch for (*inferred*, score 0) has :data:`UNSURE`, not 0.
        fps: frames per second, or None where the source does not say.
        up: the axis that points up, e.g. ``"+y"``; ``"-y"`` for image rows; None if unknown.
        unit: ``m``, ``dm``, ``cm``, ``mm``, ``in``, ``ft``, ``px`` or ``1`` (normalised or unknown); any usual spelling
            is understood (``Millimeters``).
        image_size: (width, height) in pixels, for 2-D motion.
        label: name of the action, or None.
        subject, camera: who and from where; None if unknown.
        source: where it came from: file name and, inside it, the clip; unique within a folder.
        extra: further columns of the clip table under their own names (setup, repetition, performance, dataset,
            start, end, ...): plain str, int, float, bool or None. They describe the source and stay as they are
            when a motion is cut or resampled.
        notes: what was mended, skipped or taken for granted when it was read, and how often:
            ``{"joints that are no finite number, taken as missing": 3}``. ``prepare`` adds them up and says so.

    Raises:
        InputError: wrong shape or type, infinite coordinates, an unknown axis or unit.

    Examples:
        >>> import numpy as np, kineme
        >>> still = kineme.Motion(np.zeros((60, 25, 3)), "ntu25", fps=30, label="stand")  # one person: [T, V, C]
        >>> len(still), still.persons, still.coords
        (60, 1, 3)
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
    notes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise InputError("motion", f"source of type {type(self.source).__name__}", "a str")
        where = self.source or "motion"
        layout = layouts.layout(self.layout) if isinstance(self.layout, str) else self.layout
        joints, confidence, gaps = _arrays(where, self.joints, self.confidence, layout)
        clean = {
            "layout": layout,
            "joints": joints,
            "confidence": confidence,
            "fps": _fps(where, self.fps),
            "unit": units.unit(self.unit, where),
            "image_size": _size(where, self.image_size),
            "extra": _extra(where, self.extra),
            "notes": _counts(where, self.notes, gaps),
            "label": _plain(where, "label", self.label, (str,)),
            "subject": _plain(where, "subject", self.subject, (int, str)),
            "camera": _plain(where, "camera", self.camera, (int, str)),
        }
        axes = tuple(up for up in UPS if joints.shape[3] == 3 or up[1] != "z")
        if self.up is not None and self.up not in axes:
            raise InputError(where, f"up axis {self.up!r}", f"one of {', '.join(axes)}, or None")
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return self.joints.shape[0]

    def __getitem__(self, frames: slice | int) -> Motion:
        """Some frames, as of a list: ``motion[10:50]``, ``motion[-30:]``, ``motion[7]``; a step divides ``fps``.

        Raises:
            InputError: no such frames (IndexError: no such single one); anything but whole numbers.

        Examples:
            >>> len(motion[10:30]), len(motion[-5:]), len(motion[3]), motion[::2].fps
            (20, 5, 1, 15.0)
        """
        where = self.source or "motion"
        if not isinstance(frames, slice) and _whole(frames):
            if not -len(self) <= frames < len(self):
                raise IndexError(f"{where}: frame {frames} of {len(self)}")
            frames = slice(frames, frames + 1 or None)
        ends = (frames.start, frames.stop, frames.step) if isinstance(frames, slice) else (frames, 0, 0)
        if not isinstance(frames, slice) or ends[2] == 0 or not all(end is None or _whole(end) for end in ends):
            raise InputError(where, f"frames {frames!r}", "motion[10:50] or motion[7]; seconds: motion.between(1.5, 3)")
        if not len(range(*frames.indices(len(self)))):
            raise InputError(where, f"no frame in {frames.start}:{frames.stop}", f"some of its {len(self)} frames")
        fps = None if self.fps is None else self.fps / abs(frames.step or 1)
        return self.with_(joints=self.joints[frames], confidence=self.confidence[frames], fps=fps)

    def __repr__(self) -> str:
        frames, persons, joints, coords = self.joints.shape
        known = [
            f"{name}={value!r}"
            for name in ("fps", "up", "unit", "image_size", "label", "subject", "camera", "notes")
            if (value := getattr(self, name)) not in (None, {})
        ]
        return (
            f"Motion({self.source!r}: {frames} frames, {persons} persons, {joints} joints of {self.layout.name}, "
            f"{coords} coordinates, {', '.join(known)})"
        )

    @property
    def persons(self) -> int:
        return self.joints.shape[1]

    @property
    def coords(self) -> int:
        return self.joints.shape[3]

    def with_(self, **changes: Any) -> Motion:
        """A copy with some fields replaced, validated again.

        Examples:
            >>> motion.with_(label="greet").label
            'greet'
        """
        return replace(self, **changes)

    def without_unsure(self) -> Motion:
        """Without the joints that their source places but does not vouch for (:data:`UNSURE`): these are missing.

        Examples:
            >>> bool((motion.without_unsure().confidence > UNSURE).sum() == (motion.confidence > UNSURE).sum())
            True
        """
        unsure = (self.confidence > 0) & (self.confidence <= UNSURE)
        return self.with_(confidence=np.where(unsure, np.float32(0), self.confidence)) if unsure.any() else self

    # ---------------------------------------------------------------------------------------------------- in time

    def slice(self, start: int, end: int) -> Motion:
        """Frames ``start`` up to, not including, ``end``.

        Raises:
            InputError: not ``0 <= start < end <= len(motion)``.

        Examples:
            >>> len(motion.slice(10, 30))
            20
        """
        if not (_whole(start) and _whole(end) and 0 <= start < end <= len(self)):
            raise InputError(
                self.source or "motion", f"frames {start} to {end}", f"whole numbers 0 <= start < end <= {len(self)}"
            )
        return self.with_(joints=self.joints[start:end], confidence=self.confidence[start:end])

    def between(self, start: float, end: float) -> Motion:
        """The frames from ``start`` up to, not including, ``end``, both in seconds.

        Raises:
            InputError: no ``fps``, or no frame between them.

        Examples:
            >>> len(motion.between(0.5, 1.0)), motion.fps
            (15, 30.0)
        """
        where = self.source or "motion"
        if self.fps is None:
            raise InputError(where, "no frames per second are known", "a motion with fps, or frames: motion[9:50]")
        ends = (start, end) if 0 <= start < end else (0, 0)
        first, last = (int(np.ceil(min(second * self.fps, len(self)) - 1e-6)) for second in ends)
        if first >= last:
            raise InputError(where, f"no frame from {start:g} to {end:g} seconds", f"its {len(self) / self.fps:.2f} s")
        return self[first:last]

    def resample(self, fps: float) -> Motion:
        """At another number of frames per second, linear in time.

        Frame j stands at the time j / ``fps`` after the first frame, up to the time of the last frame and never
        beyond, so the first frame stays, the duration is kept to within one new frame, and half the rate takes
        every second frame. There is no low-pass filter. Missing joints: see :meth:`resize`.

        Args:
            fps: the new rate.

        Raises:
            InputError: the motion has no ``fps``, the new one is no positive number, or gives over ten million frames.

        Examples:
            >>> motion.fps, motion.resample(10).fps
            (30.0, 10.0)
        """
        where = self.source or "motion"
        if self.fps is None:
            raise InputError(
                where,
                "no frames per second are known",
                "a motion with fps to resample",
                "Give them with motion.with_(fps=30), or use resize(frames)",
            )
        if (wanted := _fps("resample", fps)) is None:
            raise InputError("resample", "fps None", "frames per second")
        step = self.fps / wanted
        last = (len(self) - 1) * (wanted / self.fps) + 1e-9
        if last >= MAX_FRAMES:
            raise InputError(
                where,
                f"{last:.3g} frames at {wanted:g} instead of {self.fps:g} frames per second",
                f"at most {MAX_FRAMES}",
            )
        return self._at(np.minimum(np.arange(int(last) + 1) * step, len(self) - 1), wanted)

    def resize(self, frames: int) -> Motion:
        """To a number of frames, linear in time, as ``torch.nn.functional.interpolate(..., align_corners=False)``.

        New frame j stands at (j + 0.5) * T / ``frames`` - 0.5 old frames, held inside 0..T-1; ``fps`` changes so that
        the motion lasts as long as before. Between a seen and a missing joint the seen one is taken where it is, not
        half-way to zero; confidence is linear, so it fades towards the missing side. A new frame that falls
        exactly on an old one keeps its joints and confidence.

        Raises:
            InputError: ``frames`` is not a whole number from 1 to ten million.

        Examples:
            >>> motion.resize(64).joints.shape
            (64, 1, 25, 3)
        """
        if not _whole(frames) or not 1 <= frames <= MAX_FRAMES:
            raise InputError("resize", f"{frames!r} frames", f"a whole number above 0, at most {MAX_FRAMES}")
        step = len(self) / int(frames)
        at = np.clip((np.arange(frames) + 0.5) * step - 0.5, 0, len(self) - 1)
        return self._at(at, None if self.fps is None else self.fps / step)

    def _at(self, at: np.ndarray, fps: float | None) -> Motion:
        """The motion at fractional frame numbers ``at`` [T'] within 0..T-1."""
        at = np.round(at, 9)  # so that 2.9999999999 is frame 3
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, len(self) - 1)
        late = (at - low)[:, None, None]
        before, after = self.confidence[low], self.confidence[high]
        confidence = before * (1 - late) + after * late
        share_before, share_after = (before > 0) * (1 - late), (after > 0) * late
        share = (share_after / np.maximum(share_before + share_after, 1e-12))[..., None]  # of seen joints only
        joints = self.joints[low] * (1 - share) + self.joints[high] * share
        return self.with_(joints=joints, confidence=confidence, fps=fps)

    # --------------------------------------------------------------------------------------------------- in space

    def centre(self, per_frame: bool = True) -> Motion:
        """With the root of the first person at the origin, in every frame or (``per_frame=False``) in the first.

        The root is the mean of ``layout.root``. In frames in which it is not seen it is taken linearly between the
        frames in which it is (held before the first and after the last), so nobody jumps; if it is never seen on
        person 0, the first person on whom it is seen takes that place.

        Raises:
            InputError: the root is not seen in any frame.

        Examples:
            >>> root = motion.centre().joints[:, 0, list(motion.layout.root)].mean(1)
            >>> bool(abs(root).max() < 1e-6)
            True
        """
        root = list(self.layout.root)
        seen = np.all(self.confidence[:, :, root] > 0, axis=2)  # [T, M]
        if not seen.any():
            raise InputError(
                self.source or "motion",
                "the root is missing in every frame",
                f"joints {', '.join(self.layout.joints[i] for i in root)} seen at least once",
            )
        person = int(seen.any(axis=0).argmax())
        frames = np.flatnonzero(seen[:, person])
        track = self.joints[frames, person][:, root].mean(axis=1, dtype=np.float64)  # [seen frames, C]
        wanted = np.arange(len(self) if per_frame else 1)
        origin = np.stack([np.interp(wanted, frames, axis) for axis in track.T], axis=1)
        return self.with_(joints=self.joints - origin[:, None, None])

    def mirror(self) -> Motion:
        """Seen in a mirror: left and right joints change places, the lateral axis x changes its sign.

        A joint of one side whose layout has no partner for it is missing afterwards.

        Raises:
            InputError: x points up.

        Examples:
            >>> bool((motion.mirror().mirror().joints == motion.joints).all())
            True
        """
        if self.up in ("+x", "-x"):
            raise InputError(self.source or "motion", f"up axis {self.up!r}", "an up axis across x, which is mirrored")
        order = list(self.layout.mirror)
        alone = [
            i
            for i, partner in enumerate(order)
            if i == partner and self.layout.canonical_names[i].startswith(("left_", "right_"))
        ]
        joints, confidence = self.joints[:, :, order], self.confidence[:, :, order]
        joints[..., 0] = 0 - joints[..., 0]  # not -x: a missing joint stays +0
        confidence[:, :, alone] = 0
        return self.with_(joints=joints, confidence=confidence)

    def to_layout(self, mapping: JointMap | Layout | str) -> Motion:
        """In another layout: its name, or a map (:func:`kineme.motion.joint_map.joint_map`) that says more.

        A joint made from several has the least of their confidences, so it is missing where one of them is;
        joints without a source are missing throughout.

        Raises:
            InputError: the map starts from another layout.

        Examples:
            >>> motion.to_layout("coco17").joints.shape[2]
            17
        """
        if not isinstance(mapping, JointMap):
            mapping = joint_map(self.layout, mapping)
        if self.layout.joints != mapping.source.joints:
            raise InputError(
                self.source or "motion",
                f"joints of layout {self.layout.name}",
                f"those of layout {mapping.source.name}, from which the map starts",
            )
        weights = mapping.weights
        used = int(max(1, (weights > 0).sum(axis=1).max()))
        order = np.argsort(-weights, axis=1, kind="stable")[:, :used]  # sources of each target, heaviest first
        order = np.where(np.take_along_axis(weights, order, axis=1) > 0, order, order[:, :1])
        confidence = self.confidence[:, :, order].min(axis=3) * weights.any(axis=1)
        joints = np.moveaxis(np.tensordot(self.joints, weights, axes=(2, 1)), -1, 2)
        return self.with_(joints=joints, confidence=confidence, layout=mapping.target)


# ------------------------------------------------------------------------------------------------------- checks


def _arrays(where: str, joints: Any, confidence: Any, layout: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Joints and confidence as contiguous float32, joints that are missing set to 0; how many NaN made missing."""
    if not isinstance(layout, Layout):
        raise InputError(where, f"layout of type {type(layout).__name__}", "a Layout or its name, e.g. 'ntu25'")
    joints = _floats(where, "joints", joints)
    if joints.ndim == 3:  # one person
        joints = joints[:, None]
        confidence = None if confidence is None else _floats(where, "confidence", confidence)
        confidence = confidence[:, None] if confidence is not None and confidence.ndim == 2 else confidence
    if joints.ndim != 4 or joints.shape[3] not in (2, 3):
        raise InputError(
            where, f"joints of shape {joints.shape}", "[frames, persons, joints, 2 or 3], or without persons"
        )
    if joints.shape[0] == 0 or joints.shape[1] == 0:
        raise InputError(where, f"joints of shape {joints.shape}", "at least one frame and one person")
    if joints.shape[2] != len(layout):
        raise InputError(where, f"{joints.shape[2]} joints", f"{len(layout)} joints of layout {layout.name}")
    if confidence is None:
        confidence = np.ones(joints.shape[:3], np.float32)
    confidence = _floats(where, "confidence", confidence)
    if confidence.shape != joints.shape[:3]:
        raise InputError(where, f"confidence of shape {confidence.shape}", f"shape {joints.shape[:3]}")
    gaps = 0
    if np.isnan(joints).any() or np.isnan(confidence).any():
        unknown = (np.isnan(confidence) | np.isnan(joints).any(axis=3)) & (confidence != 0)
        gaps, confidence = int(unknown.sum()), np.where(unknown, np.float32(0), confidence)
    if not (confidence.min() >= 0 and confidence.max() <= 1):
        raise InputError(
            where, f"confidence from {confidence.min():g} to {confidence.max():g}", "0 for missing up to 1 for certain"
        )
    missing = confidence == 0
    if joints[missing].any():  # NaN counts as well
        joints = np.where(missing[..., None], np.float32(0), joints)
    if not np.isfinite(joints).all():
        frame, person, joint = np.argwhere(~np.isfinite(joints))[0][:3]
        place = f"frame {frame}, person {person}, joint {layout.joints[joint]}"
        hint = "Mark missing joints with NaN or with confidence 0"
        found = f"a coordinate that is infinite or too large at {place}"
        raise InputError(where, found, "numbers of at most 3.4e38", hint)
    return joints, confidence, gaps


def _floats(where: str, what: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(where, f"{what} with rows of different lengths", "one array of numbers") from None
    if array.dtype.kind not in "fiub":
        raise InputError(where, f"{what} of type {array.dtype}", "an array of real numbers")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is reported as such
        return np.ascontiguousarray(array, dtype=np.float32)


def _fps(where: str, fps: Any) -> float | None:
    rate = _plain(where, "fps", fps, (int, float))
    if rate is not None and not 0 < rate < np.inf:
        raise InputError(where, f"fps {fps!r}", "a finite number above 0, or None")
    return None if rate is None else float(rate)


def _size(where: str, size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    if not (isinstance(size, (tuple, list)) and len(size) == 2 and all(_whole(side) and side > 0 for side in size)):
        raise InputError(where, f"image_size {size!r}", "(width, height) in whole pixels")
    return int(size[0]), int(size[1])


def _extra(where: str, extra: Any) -> dict[str, Any]:
    if not (isinstance(extra, Mapping) and all(isinstance(name, str) for name in extra)):
        raise InputError(where, f"extra {extra!r}", "a dict with column names as keys")
    return {
        name: _plain(where, f"extra column {name!r}", value, (str, int, float, bool)) for name, value in extra.items()
    }


def _counts(where: str, notes: Any, gaps: int) -> dict[str, int]:
    """Notes as plain numbers, zeros left out, and among them the joints that NaN made missing."""
    if not (isinstance(notes, Mapping) and all(isinstance(k, str) and _whole(n) and n >= 0 for k, n in notes.items())):
        raise InputError(where, f"notes {notes!r}", "a dict: what happened, and how often")
    counts = dict(notes)
    counts[GAPS] = counts.get(GAPS, 0) + gaps
    return {words: int(count) for words, count in counts.items() if count}


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _plain(where: str, what: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """The value as a plain Python one of these kinds or None; numpy scalars are unwrapped."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
        return value
    raise InputError(
        where,
        f"{what} = {value!r} of type {type(value).__name__}",
        f"{', '.join(kind.__name__ for kind in kinds)} or None",
    )
