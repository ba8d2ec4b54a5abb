"""How large a body is: its torso, the unit that this tells where none is stated, and one size for all bodies.

A body whose unit is stated is kept in metres. Where no unit is stated, the median length of the torso (root to the
middle of the shoulders) is looked at: in one unit at most it is that of a grown person; in metres also that of a child,
for no other unit has such small numbers. What fits none is in the unit of the other clips of its set, if that makes it
the torso of a child or of a figure, and else is scaled so that its torso is ``BODY`` metres. A body whose torso is
never seen (hands alone, say) has no length that tells: it goes with the others, and alone is scaled by the size of
what is seen of it.

In 2-D sizes are nobody's: there :mod:`kineme.motion.normalise` divides by the torso.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import units
from .layout import Layout
from .motion import Motion

TORSO = (("left_shoulder", "right_shoulder"), ("chest",), ("neck",))
TOP = (("head",), ("left_ear", "right_ear"), ("neck",), *TORSO[:2])
TORSO_SHARE = 0.31  # of the diagonal of the box around the body: median of the 947 Penn Action clips seen whole
PEOPLE = (0.25, 0.63)  # metres; medians of whole sets: 0.28 to 0.51. A wider range would be several units at once
FIGURES = (0.12, 0.9)  # metres: children, giants
SPREAD = 3.0  # people's torsos do not differ by more
BODY = 0.4  # metres
PLAIN = {**{unit: units.METRES[unit] for unit in ("m", "cm", "mm", "in")}, "tenths of an inch": 0.00254}
COLUMN = "size_factor"


class Measure(NamedTuple):
    """What a motion's coordinates tell of its body.

    Attributes:
        torso: median length, in the motion's unit; 0 where nothing has a length.
        seen: whether that is the torso itself, not guessed from the whole body.
        stands: the axis along which the head is above the root in most frames; None where that is no axis.
    """

    torso: float
    seen: bool
    stands: str | None = None


def metric(motion: Motion) -> Motion:
    """The motion in metres if its unit is a length, else as it is."""
    if motion.unit == "m" or motion.unit not in units.METRES:
        return motion
    return motion.with_(joints=motion.joints * units.METRES[motion.unit], unit="m")


def meant(motion: Motion, unit: Any = None, up: str | None = None) -> Motion:
    """The motion with the unit and the up axis that a person says, whatever its file did; None leaves it.

    Args:
        unit: of a motion in 3-D: a name, or how many metres one is.
        up: an axis such as ``+z``; one that a motion in 2-D lacks leaves it.

    Raises:
        InputError: no such unit or axis.
    """
    if unit is not None and motion.coords == 3:
        name, metres = units.asked(unit, motion.source or "unit")
        motion = motion.with_(joints=motion.joints * np.float32(metres) if metres != 1 else motion.joints, unit=name)
    return motion if up is None or (motion.coords == 2 and str(up).endswith("z")) else motion.with_(up=up)


def measure(motion: Motion) -> Measure:
    """Torso and upright axis of the first person who is seen."""
    known = motion.confidence > 0
    person = main_person(motion.layout, known)
    body, known = motion.joints[:, person].astype(np.float64), known[:, person]
    torso = torso_length(motion.layout, body, known)
    return Measure(torso or body_size(body, known), torso > 0, _stands(motion.layout, body, known))


def _stands(layout: Layout, body: np.ndarray, known: np.ndarray) -> str | None:
    tops, topped = track(body, known, first(layout, TOP))
    roots, rooted = track(body, known, layout.root)
    upward = (tops - roots)[topped & rooted]
    lengths = np.linalg.norm(upward, axis=1)
    if not (lengths > 0).any():
        return None
    middle = np.median(upward[lengths > 0] / lengths[lengths > 0, None], axis=0)
    axis = int(np.abs(middle).argmax())
    return f"{'+' if middle[axis] > 0 else '-'}{'xyz'[axis]}" if abs(middle[axis]) > 0.8 else None


# ------------------------------------------------------------------------------------------------------ one size


class Sizes(NamedTuple):
    """What makes bodies one size.

    Attributes:
        factors: float64 ``[N]``, by which each clip's coordinates are multiplied.
        how: for each clip ``stated`` (it was in metres), the unit that its torso tells, ``scaled`` (to ``BODY``), or
            ``nothing`` (nothing has a length).
        unit: the one unit that the torsos without a stated unit tell, or None.
    """

    factors: np.ndarray
    how: list[str]
    unit: str | None

    @property
    def metres(self) -> bool:
        """Whether any clip is in metres, not merely scaled."""
        return any(word not in ("scaled", "nothing") for word in self.how)


def is_entry(value: Any) -> bool:
    """Whether this can be the entry ``size`` of a card: None, or how bodies became one size and in which unit."""
    if value is None:
        return True
    known = isinstance(value, Mapping) and value.get("how") in ("metres", "torso", "unknown")
    torso = value.get("torso") if known else None
    right = torso is None or (type(torso) in (int, float) and 0 < torso < math.inf)
    return known and right and value.get("unit") in (None, *PLAIN)


def decide(
    measures: Sequence[Measure], stated: Sequence[bool], unit: str | None = None, torso: bool = False, odd: bool = True
) -> Sizes:
    """One size for the bodies of a set.

    Args:
        measures: of every clip, stated lengths in metres.
        stated: whether its unit was stated.
        unit: the unit of the others, where they are not all here (those of a run, say).
        torso: scale every body by its torso, whatever is stated.
        odd: scale those that fit no unit; else they stay as they are.
    """
    lengths = np.array([m.torso for m in measures], np.float64)
    seen = np.array([m.seen for m in measures], bool)
    known = np.array(stated, bool)
    how = np.full(len(lengths), "nothing", object)
    factors = np.ones(len(lengths))
    if not torso:
        how[known] = "stated"
        open = seen & ~known
        for name, metres in PLAIN.items():
            how[open & _within(lengths * metres, FIGURES if name == "m" else PEOPLE)] = name
        votes = collections.Counter(word for word in how if word in PLAIN)
        unit = unit or (next(iter(votes)) if len(votes) == 1 else None)
        if unit:
            rest = (how == "nothing") & (~seen | _within(lengths * PLAIN[unit], FIGURES))
            how[rest & (lengths > 0)] = unit
        for name, metres in PLAIN.items():
            factors[how == name] = metres
    rest = (how == "nothing") & (lengths > 0) & (odd | torso)
    how[rest], factors[rest] = "scaled", BODY / lengths[rest]
    return Sizes(factors, how.tolist(), unit)


def fit(motion: Motion, size: Mapping[str, Any] | None, odd: bool = True) -> Motion:
    """A 3-D motion of the size of a run's or a store's bodies.

    Args:
        size: the entry ``size`` of its card; None, or one of unknown size: lengths become metres, all else stays.
        odd: scale a body that fits no unit; else it stays as it is.
    """
    motion = metric(motion)
    if motion.coords == 2 or not size or size.get("how") not in ("metres", "torso"):
        return motion
    sizes = decide([measure(motion)], [motion.unit == "m"], size.get("unit"), size["how"] == "torso", odd)
    if sizes.factors[0] == 1:
        return motion.with_(unit=motion.unit if sizes.how[0] == "nothing" else "m")
    return motion.with_(joints=motion.joints * np.float32(sizes.factors[0]), unit="m")


def differ(torso: float, other: float) -> bool:
    """Whether two torsos are known, and differ by more than people's do."""
    return torso > 0 and other > 0 and not 1 / SPREAD <= torso / other <= SPREAD


def _within(lengths: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (bounds[0] <= lengths) & (lengths <= bounds[1])


def turned(motion: Motion, up: str | None) -> Motion:
    """The motion turned so that this axis is up; as it is where either axis is unknown."""
    matrix = turn(motion.up, up, motion.coords)
    return motion if matrix is None else motion.with_(joints=motion.joints @ matrix.T, up=up)


def turn(given: str | None, wanted: str | None, coords: int) -> np.ndarray | None:
    """Matrix ``[C, C]`` that turns one up axis into another; None where there is nothing to turn, or one is unknown.

    In 3-D a rotation, in 2-D (rows of an image that are counted downwards) a reflection.
    """
    if given is None or wanted is None or given == wanted:
        return None
    (sign, axis), (other_sign, other) = ((1 if up[0] == "+" else -1, "xyz".index(up[1])) for up in (given, wanted))
    matrix = np.eye(coords, dtype=np.float32)
    if axis == other:
        matrix[axis, axis] = -1
        if coords == 3:
            matrix[(axis + 1) % 3, (axis + 1) % 3] = -1
        return matrix
    matrix[[axis, other]] = 0
    matrix[other, axis], matrix[axis, other] = sign * other_sign, -sign * other_sign
    return matrix


# --------------------------------------------------------------------------------------------- places of the body


def torso_length(layout: Layout, body: np.ndarray, known: np.ndarray) -> float:
    """Median length of the torso: root to shoulders, else along one side; 0 where it is never seen.

    Args:
        body: float64 ``[T, V, C]``, one person.
        known: bool ``[T, V]``.
    """
    spans = [(layout.root, first(layout, TORSO))]
    spans += [(first(layout, [(f"{s}_hip",)]), first(layout, [(f"{s}_shoulder",)])) for s in ("left", "right")]
    for low, high in spans:
        (lows, lowed), (highs, highed) = track(body, known, low), track(body, known, high)
        lengths = np.linalg.norm(highs - lows, axis=1)[lowed & highed]
        if len(lengths) and np.median(lengths) > 0:
            return float(np.median(lengths))
    return 0.0


def body_size(body: np.ndarray, known: np.ndarray) -> float:
    """Length of a torso that goes with the size of all that is seen of a body; 0 where nothing has a length."""
    least = np.where(known[..., None], body, np.inf).min(1)[known.any(1)]
    most = np.where(known[..., None], body, -np.inf).max(1)[known.any(1)]
    sizes = np.linalg.norm(most - least, axis=1)
    sizes = sizes[sizes > 0]
    return TORSO_SHARE * float(np.median(sizes)) if len(sizes) else 0.0


def main_person(layout: Layout, seen: np.ndarray) -> int:
    """The first person of whose root something is seen in some frame; else of whom anything is; else 0."""
    rooted = seen[:, :, list(layout.root)].any((0, 2))
    return int((rooted if rooted.any() else seen.any((0, 2))).argmax())


def track(body: np.ndarray, known: np.ndarray, joints: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A place of the body in every frame ``[T, C]``, and where all its joints are seen ``[T]``."""
    if not joints:
        return np.zeros((len(body), body.shape[-1])), np.zeros(len(body), bool)
    return place(body, joints), np.asarray(known[:, list(joints)].all(axis=1))


def place(joints: np.ndarray, index: Sequence[int]) -> np.ndarray:
    """Mean of some joints: ``[..., V, C]`` -> ``[..., C]``."""
    return joints[..., index[0], :] if len(index) == 1 else joints[..., list(index), :].mean(-2)


def first(layout: Layout, choices: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """Joints of the first choice that the layout has whole, or none."""
    for words in choices:
        joints = tuple(joint for word in words if (joint := layout.find(word)) is not None)
        if len(joints) == len(words):
            return joints
    return ()
