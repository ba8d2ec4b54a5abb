"""Kinematics: velocity, acceleration, speed, bones, joint angles and steps, read from the joints of a motion.

Lengths are in the motion's own unit (``motion.unit``), times in seconds, angles in degrees. What cannot be known,
because a joint is missing, is NaN.
"""

from __future__ import annotations

import numpy as np

from ..utils.errors import InputError
from .layout import Layout

STILL = 0.5  # leg lengths per second below which a foot stands
LOW = 0.12  # leg lengths above its lowest places up to which a foot may stand
LOWEST = 0.05  # share of the frames that its lowest places are
HOLD = 0.08  # seconds that a foot stands, or is in the air, at least
SOLE = ("ankle", "heel", "foot", "toe", "big_toe", "foot_index")  # joints of a foot, one of which is still
LEG = ("hip", "knee", "ankle")
SIDES = ("left", "right")


class Kinematics:
    """What :class:`kineme.motion.motion.Motion` tells of its movement."""

    joints: np.ndarray
    confidence: np.ndarray
    layout: Layout
    fps: float | None
    up: str | None
    source: str

    def velocity(self) -> np.ndarray:
        """Of every joint, float32 ``[T, M, V, C]``, in units per second (metres per second where the unit is ``m``).

        By central differences; in the first and the last frame, and beside a gap, by the one neighbour that is there.
        NaN where the joint is missing or has no neighbour in time.

        Raises:
            InputError: no ``fps``.

        Examples:
            >>> motion.velocity().shape == motion.joints.shape
            True
        """
        before, after = self._differences()
        one_sided = np.where(np.isnan(before), after, before)
        both = (before + after) / 2
        return (np.where(np.isnan(both), one_sided, both) * self._rate()).astype(np.float32)

    def acceleration(self) -> np.ndarray:
        """Of every joint, float32 ``[T, M, V, C]``, in units per second squared; second differences.

        NaN in the first and the last frame, and where the joint is missing in one of the three frames. Noise of the
        places grows with ``fps`` squared: see :func:`kineme.motion.clean.clean`.

        Raises:
            InputError: no ``fps``.

        Examples:
            >>> bool(np.isnan(motion.acceleration()[0]).all())
            True
        """
        before, after = self._differences()
        return ((after - before) * self._rate() ** 2).astype(np.float32)

    def speed(self) -> np.ndarray:
        """Length of :meth:`velocity`, float32 ``[T, M, V]``, in units per second.

        Raises:
            InputError: no ``fps``.

        Examples:
            >>> motion.speed().shape == motion.confidence.shape
            True
        """
        return np.linalg.norm(self.velocity(), axis=-1)

    def bones(self) -> np.ndarray:
        """Joint minus its parent, float32 ``[T, M, V, C]``; 0 where the tree begins and where either is missing.

        Examples:
            >>> motion.bones().shape == motion.joints.shape
            True
        """
        parents = np.asarray(self.layout.parents)
        parents = np.where(parents < 0, np.arange(len(parents)), parents)
        seen = (self.confidence > 0) & (self.confidence[:, :, parents] > 0)
        return (self.joints - self.joints[:, :, parents]) * seen[..., None]

    def bone_lengths(self) -> np.ndarray:
        """From every joint to its parent, float32 ``[T, M, V]``, in the motion's unit.

        NaN where the tree begins, and where either joint is missing.

        Examples:
            >>> lengths = motion.bone_lengths()
            >>> lengths.shape == motion.confidence.shape
            True
        """
        parents = np.asarray(self.layout.parents)
        seen = (parents >= 0) & (self.confidence > 0) & (self.confidence[:, :, parents] > 0)
        return np.where(seen, np.linalg.norm(self.bones(), axis=-1), np.float32(np.nan))

    def angles(self) -> dict[str, np.ndarray]:
        """Angle at each joint between the bone to its parent and the bone to its child, in degrees from 0 to 180.

        A stretched knee has 180, one bent at a right angle 90. A joint of several children has an angle for each,
        called ``JOINT_CHILD``. In 2-D these are the angles in the image.

        Returns:
            Columns of one length, a row for each frame and person: ``frame``, ``time`` (seconds, where there is an
            ``fps``), ``person``, then float64 angles by the joints' names. NaN where one of the three joints is
            missing, or two are in one place. ``pandas.DataFrame(motion.angles())`` is a table.

        Raises:
            InputError: the layout has no joint with a parent and a child.

        Examples:
            >>> angles = motion.angles()
            >>> list(angles)[:3], angles["left_knee"].shape == (len(motion) * motion.persons,)
            (['frame', 'time', 'person'], True)
        """
        parents = self.layout.parents
        bends = sorted((joint, parents[joint], child) for child, joint in self.layout.bones if parents[joint] >= 0)
        if not bends:
            found = f"layout {self.layout.name}, in which no joint has a parent and a child"
            raise InputError(self.source or "motion", found, "bones that meet")
        joint, parent, child = np.array(bends).T
        places = np.where(self.confidence[..., None] > 0, self.joints.astype(np.float64), np.nan)
        back, forth = places[:, :, parent] - places[:, :, joint], places[:, :, child] - places[:, :, joint]
        lengths = np.linalg.norm(back, axis=-1) * np.linalg.norm(forth, axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            angles = np.degrees(np.arccos(np.clip((back * forth).sum(-1) / lengths, -1, 1)))
        names, meets = self.layout.joints, np.bincount(joint)
        called = [names[j] if meets[j] == 1 else f"{names[j]}_{names[c]}" for j, _, c in bends]
        frame, person = (axis.ravel() for axis in np.indices(self.confidence.shape[:2]))
        time = {} if self.fps is None else {"time": frame / self.fps}
        columns = {name: angles[:, :, k].ravel() for k, name in enumerate(called)}
        return {"frame": frame, **time, "person": person, **columns}

    def contacts(self) -> dict[str, np.ndarray]:
        """When each foot stands: ``left`` and ``right``, bool ``[T, M]``.

        A foot stands while one of its joints (ankle, heel, toes) moves by less than half a leg length per second and,
        where ``up`` is known, is within 0.12 leg lengths of its lowest places; for 0.08 seconds at least. The place
        of the body has to be that in the room: of poses before a moving camera, or relative to the root, it says
        nothing.

        Raises:
            InputError: no ``fps``; a layout without hips, knees and ankles.

        Examples:
            >>> motion.contacts()["left"].shape == (len(motion), motion.persons)
            True
        """
        fps = self._rate()
        speed, places = self.speed().astype(np.float64), self.joints.astype(np.float64)
        seen = self.confidence > 0
        hold = max(1, round(HOLD * fps))
        found = {}
        for side in SIDES:
            hip, knee, ankle = leg(self.layout, side, self.source)
            shown = np.all(seen[:, :, [hip, knee, ankle]], axis=-1)
            ends = ((hip, knee), (knee, ankle))
            legs = sum(np.linalg.norm(places[:, :, a] - places[:, :, b], axis=-1) for a, b in ends)
            stands = np.zeros(seen.shape[:2], bool)
            for person in np.flatnonzero(shown.any(0)).tolist():
                length = float(np.median(legs[shown[:, person], person]))
                for joint in sole(self.layout, side):
                    still = speed[:, person, joint] < STILL * length
                    stands[:, person] |= still & self._low(joint, person, LOW * length)
                stands[:, person] = _held(stands[:, person], hold)
            found[side] = stands
        return found

    def steps(self) -> dict[str, np.ndarray]:
        """When feet come down and leave the ground: columns, one row for each event, by person and time.

        Returns:
            ``person`` (int), ``side`` (``left``, ``right``), ``event`` (``strike``: the first frame of a
            :meth:`contact <contacts>`; ``off``: the first frame after it), ``frame`` and ``time`` in seconds. What
            happens before the first and after the last frame, and beside frames without the foot,
            is no event. ``pandas.DataFrame(motion.steps())``.

        Raises:
            InputError: as :meth:`contacts`.

        Examples:
            >>> list(motion.steps())
            ['person', 'side', 'event', 'frame', 'time']
        """
        rows = []
        for side, stands in self.contacts().items():
            seen = np.any(self.confidence[:, :, sole(self.layout, side)] > 0, axis=-1)
            changes = np.diff(stands.astype(np.int8), axis=0) * (seen[1:] & seen[:-1])
            for event, sign in (("strike", 1), ("off", -1)):
                for frame, person in np.argwhere(changes == sign).tolist():
                    rows.append((person, frame + 1, side, event))
        rows.sort()
        frames = np.array([row[1] for row in rows], np.int64)
        return {
            "person": np.array([row[0] for row in rows], np.int64),
            "side": np.array([row[2] for row in rows], "U5"),
            "event": np.array([row[3] for row in rows], "U6"),
            "frame": frames,
            "time": frames / self._rate(),
        }

    def _differences(self) -> tuple[np.ndarray, np.ndarray]:
        """Place minus that of the frame before, and next place minus this one, float64; NaN where there is none."""
        self._rate()
        places = np.where(self.confidence[..., None] > 0, self.joints.astype(np.float64), np.nan)
        none = np.full_like(places[:1], np.nan)
        steps = np.diff(places, axis=0)
        return np.concatenate([none, steps]), np.concatenate([steps, none])

    def _rate(self) -> float:
        if self.fps is None:
            hint = "Give them with motion.with_(fps=30)"
            raise InputError(self.source or "motion", "no frames per second are known", "a motion with fps", hint)
        return self.fps

    def _low(self, joint: int, person: int, tolerance: float) -> np.ndarray:
        """Where a joint is near its lowest places, bool ``[T]``; everywhere it is seen if up is unknown."""
        seen = self.confidence[:, person, joint] > 0
        if self.up is None or not seen.any():
            return seen
        sign = 1 if self.up[0] == "+" else -1
        height = sign * self.joints[:, person, joint, "xyz".index(self.up[1])].astype(np.float64)
        return seen & (height <= np.quantile(height[seen], LOWEST) + tolerance)


def leg(layout: Layout, side: str, where: str = "") -> tuple[int, int, int]:
    """Hip, knee and ankle of a side.

    Raises:
        InputError: the layout lacks one.
    """
    hip, knee, ankle = (layout.find(f"{side}_{name}") for name in LEG)
    if hip is None or knee is None or ankle is None:
        found = f"layout {layout.name}, which lacks a joint of the {side} leg"
        raise InputError(where or "motion", found, "hips, knees and ankles of both sides")
    return hip, knee, ankle


def sole(layout: Layout, side: str) -> list[int]:
    """The joints of a foot that the layout has, the ankle among them."""
    return [joint for name in SOLE if (joint := layout.find(f"{side}_{name}")) is not None]


def _held(mask: np.ndarray, frames: int) -> np.ndarray:
    """Bool ``[T]``: gaps shorter than ``frames`` closed, then what is shorter taken out; the ends are left alone."""
    for value in (False, True):
        edges = np.flatnonzero(np.diff(mask.astype(np.int8))) + 1
        bounds = np.concatenate([[0], edges, [len(mask)]])
        mask = mask.copy()
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
            if mask[start] == value and end - start < frames and start > 0 and end < len(mask):
                mask[start:end] = not value
    return mask
