"""Bodies of one size and one up axis: within a store, between stores, and between a store and a run."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..motion import size, units
from ..motion.fit import Target
from ..motion.motion import Motion
from ..motion.size import Measure, Sizes
from .store import Store

METRES = {"how": "metres"}  # what stores are joined in
AGREE = 0.9  # so many of the bodies that stand have to do so along one axis before it is taken for up
Size = Mapping[str, Any]


class Body(NamedTuple):
    """What is known of a 3-D clip before it is normalised.

    Attributes:
        torso, seen, stands: see :class:`kineme.motion.size.Measure`; in metres if ``unit`` is a length.
        unit: as stated; ``1`` where none is.
        up: as stated by the file or its format, or None.
        name: of the clip.
    """

    torso: float
    seen: bool
    stands: str | None
    unit: str
    up: str | None
    name: str

    @classmethod
    def of(cls, motion: Motion) -> Body:
        """Of a motion as it was read."""
        torso, seen, stands = size.measure(motion)
        return cls(torso * units.METRES.get(motion.unit, 1.0), seen, stands, motion.unit, motion.up, motion.source)


@dataclass(frozen=True)
class Settled:
    """What becomes of the clips of a new store.

    Attributes:
        matrices: float32 ``[N, 3, 3]``, by which they are multiplied; None if nothing changes.
        factors: float64 ``[N]``, coordinates of the store by coordinates of the file.
        unit, up: of the store; up is None where it is not known.
        size: entry of the card.
        notes: what the report says.
    """

    matrices: np.ndarray | None
    factors: np.ndarray
    unit: str
    up: str | None
    size: dict[str, Any]
    notes: list[str]

    def of(self, begin: int, end: int) -> dict[str, Any]:
        """What :meth:`kineme.data.store_writer.Writer.extend` is told of the clips ``begin .. end - 1``."""
        column = {size.COLUMN: self.factors[begin:end].tolist()} if (self.factors != 1).any() else None
        changes = None if self.matrices is None else self.matrices[begin:end]
        return {"changes": changes, "unit": self.unit, "up": self.up, "columns": column}


def settle(
    bodies: Sequence[Body], ups: Sequence[str | None], torso: bool = False, turned: bool = True, asked: bool = False
) -> Settled:
    """One size and one up axis for the clips of a new store.

    Args:
        bodies: of every clip; lengths that were stated have been turned into metres.
        ups: the axis that is up in each clip now.
        torso: scale every body by its torso.
        turned: whether normalisation has turned bodies upright.
        asked: whether the user said the unit.
    """
    stated, names = [body.unit in units.METRES for body in bodies], [body.name for body in bodies]
    measures = [Measure(*body[:3]) for body in bodies]
    sizes = size.decide(measures, stated, torso=torso)
    own = entry(sizes, measures)
    guess = None if turned else _standing([body for body, up in zip(bodies, ups) if up is None])
    known = [up or guess for up in ups]
    usual = collections.Counter(filter(None, known)).most_common(1)
    up = usual[0][0] if usual else None
    axes = set(filter(None, known))
    matrices = None
    if (sizes.factors != 1).any() or len(axes) > 1:
        turns = {axis: _matrix(size.turn(axis, up, 3), 3) for axis in (None, *axes)}
        matrices = (sizes.factors[:, None, None] * np.stack([turns[axis] for axis in known])).astype(np.float32)
    factors = sizes.factors * [units.METRES.get(body.unit, 1.0) for body in bodies]
    notes = [_said(sizes, names, asked), *_odd(bodies, sizes, asked), *_upright(bodies, guess)]
    if len(axes) > 1:
        notes.append(f"clips of several up axes ({', '.join(sorted(axes))}) were turned to {up}")
    return Settled(
        matrices,
        factors,
        "m" if own["how"] == "metres" else "1",
        up if None not in known else None,
        own,
        [note for note in notes if note],
    )


def entry(sizes: Sizes, measures: Sequence[Measure]) -> dict[str, Any]:
    """The entry ``size`` of a card.

    Returns:
        ``how``: ``metres``, or ``torso`` (every body scaled to ``size.BODY``); ``unit``: the one unit of lengths that
        no file states, or None; ``torso``: median length of the torsos, in the store's unit, or None; ``clips``: how
        many clips had a ``stated`` unit, each unit that torsos told, were ``scaled``.
    """
    lengths = [m.torso * factor for m, factor in zip(measures, sizes.factors) if m.seen]
    return {
        "how": "metres" if sizes.metres else "torso",
        "unit": sizes.unit,
        "torso": round(float(np.median(lengths)), 4) if lengths else None,
        "clips": dict(sorted(collections.Counter(sizes.how).items())),
    }


def size_of(store: Store) -> Size | None:
    """What a store's card says of the size of its bodies; None in 2-D, and where normalisation has scaled them.

    Stores of earlier versions say it by their unit alone: where that is no length, ``how`` is ``unknown``.
    """
    if store.coords == 2 or store.card["normalise"].get("options", {}).get("scale"):
        return None
    known = {"how": "metres" if store.card["unit"] in units.METRES else "unknown"}
    return store.card.get("size", known)


def changes(store: Store, wanted: Size | None, up: str | None, odd: bool = True) -> np.ndarray | None:
    """Matrices that make the bodies of a store of one size, and of one up axis, with others.

    Args:
        store: any; of 2-D and of unknown sizes are only turned.
        wanted: the entry ``size`` of the others' card.
        up: their up axis, or None.
        odd: scale bodies that fit no unit; else they stay.

    Returns:
        float32 ``[N, C, C]``, one for each clip, or None if nothing changes.
    """
    factors = np.ones(len(store), np.float32)
    own = size_of(store)
    if own is not None and wanted is not None and wanted.get("how") in ("metres", "torso"):
        factors *= np.float32(_factors(store, own, wanted, odd))
    matrix = size.turn(store.card["up"], up, store.coords)
    if matrix is None and (factors == 1).all():
        return None
    return factors[:, None, None] * _matrix(matrix, store.coords)


def apply(joints: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Frames ``[F, M, V, C]``, each turned and scaled by its matrix of ``[F, C, C]``."""
    frames, persons, joints_, coords = joints.shape
    flat = joints.reshape(frames, persons * joints_, coords) @ matrices.swapaxes(1, 2)
    return (flat + np.float32(0)).reshape(joints.shape)  # no -0 where joints are missing


def per_frame(store: Store, matrices: np.ndarray, begin: int, end: int) -> np.ndarray:
    """The clips' matrices for the frames ``begin`` to ``end`` of a store."""
    return matrices[np.searchsorted(store.offsets, np.arange(begin, end), side="right") - 1]


def fitted(store: Store, target: Target, first: int = 0, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The clips of a store as a run takes them, whatever their layout, size and normalisation are.

    Args:
        store: with as many coordinates as the run.
        target: what the run takes.
        first, last: the clips ``first .. last - 1`` alone (default: all).

    Returns:
        float32 ``[F, M, V, C]`` and confidence ``[F, M, V]``, frames of these clips as in the store.
    """
    offsets = store.offsets[first : None if last is None else last + 1]
    part = slice(offsets[0], offsets[-1])
    whole = Motion(np.asarray(store.frames[part]), store.layout, np.asarray(store.confidence[part]))
    mapping = target.map(store.layout)
    whole = whole if mapping is None else whole.to_layout(mapping)
    joints, seen = np.zeros_like(whole.joints), np.zeros_like(whole.confidence)
    unit, up = store.card["unit"], store.card["up"]
    dataset = store.column("dataset").tolist() if "dataset" in store.clips.column_names else None
    for i, (begin, end) in enumerate(itertools.pairwise((offsets - offsets[0]).tolist()), first):
        extra = {"dataset": dataset[i]} if dataset and dataset[i] is not None else {}
        clip = target.fit(
            Motion(whole.joints[begin:end], whole.layout, whole.confidence[begin:end], up=up, unit=unit, extra=extra)
        )
        joints[begin:end, : clip.persons], seen[begin:end, : clip.persons] = clip.joints, clip.confidence
    return joints, seen


def joined(stores: Sequence[Store]) -> Size | None:
    """The entry ``size`` of several stores as one."""
    sizes = [own for store in stores if (own := size_of(store)) is not None]
    if not sizes:
        return None
    torsos, clips = [own["torso"] for own in sizes if own.get("torso")], collections.Counter[str]()
    for own in sizes:
        clips.update(own.get("clips", {}))
    found = {own.get("unit") for own in sizes} - {None}
    return {
        "how": "torso" if all(own["how"] == "torso" for own in sizes) else "metres",
        "unit": found.pop() if len(found) == 1 else None,
        "torso": float(np.median(torsos)) if torsos else None,
        "clips": dict(sorted(clips.items())),
    }


def _matrix(turn: np.ndarray | None, coords: int) -> np.ndarray:
    return np.eye(coords, dtype=np.float32) if turn is None else turn


def _factors(store: Store, own: Size, wanted: Size, odd: bool) -> np.ndarray | float:
    if own["how"] == "torso":
        return 1.0
    metres = units.METRES.get(store.card["unit"], 1.0)
    if own["how"] == wanted["how"]:
        return metres
    measures = [_measure(store, i, metres) for i in range(len(store))]
    stated = [own["how"] == "metres"] * len(store)
    return metres * size.decide(measures, stated, wanted.get("unit"), wanted["how"] == "torso", odd).factors


def _measure(store: Store, i: int, factor: float) -> Measure:
    part = slice(store.offsets[i], store.offsets[i + 1])
    joints = np.asarray(store.frames[part]) * np.float32(factor)
    return size.measure(Motion(joints, store.layout, np.asarray(store.confidence[part])))


# ------------------------------------------------------------------------------------------------------ in words


def _said(sizes: Sizes, names: Sequence[str], asked: bool) -> str:
    """How lengths became what they are."""
    by_word = collections.Counter(sizes.how)
    if len(by_word) == 1 and (asked or "stated" in by_word or sizes.unit):  # all alike: see `in_words`
        return ""
    stated, told = by_word.pop("stated", 0), {word: n for word, n in by_word.items() if word in size.PLAIN}
    parts = [f"{_clips(stated)} with a stated unit"] if stated else []
    if told:
        listed = ", ".join(
            f"{n} in {units.SPOKEN.get(word, word)} ({_first(sizes.how, word, names)})"
            for word, n in sorted(told.items())
        )
        parts.append(f"no unit is stated, the length of the torso tells: {listed}")
    if scaled := by_word.get("scaled"):
        first = _first(sizes.how, "scaled", names)
        why = "" if asked else "no unit is stated, and no torso tells one; "
        parts.append(f"{_clips(scaled)} scaled to a torso of {size.BODY:g} ({why}the first is {first})")
    if unsized := by_word.get("nothing"):
        parts.append(f"{_clips(unsized)} in which nothing has a length")
    what = "lengths are in metres" if sizes.metres else "bodies are of one size"
    return f"{what}: {'; '.join(parts)}" + ("" if asked else ". --unit says otherwise")


def in_words(card: Mapping[str, Any]) -> str:
    """The unit of a store, and what told it."""
    how = set((card.get("size") or {}).get("clips", {}))
    if (card.get("prepared") or {}).get("unit") and card.get("size"):
        return f"unit {card['unit']} (--unit {card['prepared']['unit']})"
    if len(how) == 1 and how <= set(size.PLAIN):
        word = units.SPOKEN.get(word := how.pop(), word)
        return f"unit {card['unit']} (files in {word}, by the length of the torso; --unit says otherwise)"
    return f"unit {card['unit']}"


def _odd(bodies: Sequence[Body], sizes: Sizes, asked: bool) -> list[str]:
    """Torsos that differ by more than people's do, or that nobody has."""
    rows = [i for i, body in enumerate(bodies) if body.seen and body.torso > 0]
    if not rows:
        return []
    lengths = np.array([bodies[i].torso for i in rows]) * sizes.factors[rows]
    middle, why = float(np.median(lengths)), f"by the unit that {'--unit says' if asked else 'the files state'}"
    many = int(((lengths > size.SPREAD * middle) | (lengths < middle / size.SPREAD)).sum())
    if many:
        least, most = (rows[int(at)] for at in (lengths.argmin(), lengths.argmax()))
        low, high = (f"{lengths[rows.index(i)]:.3g} m ({bodies[i].name})" for i in (least, most))
        ends = f"torsos from {low} to {high}, the median is {middle:.3g} m, {why}"
        mend = "A column unit of the labels says the unit of each, --unit torso scales every body"
        return [f"{_clips(many)} with bodies of another size than the others': {ends}. {mend}"]
    if not size.FIGURES[0] <= middle <= size.FIGURES[1]:
        return [f"torsos are {middle:.3g} m long, {why}; --unit says another"]
    return []


def _upright(bodies: Sequence[Body], guess: str | None) -> list[str]:
    """Which way is up, and what tells."""
    notes = []
    if guess:
        notes.append(f"up is {guess}, for so the bodies stand: the files do not say. --up says otherwise")
    stand = [body for body in bodies if body.up and body.stands]
    below = [body.name for body in stand if body.stands == _opposite(str(body.up))]
    across = [body for body in stand if body.stands not in (body.up, _opposite(str(body.up)))]
    if below:
        notes.append(
            f"{len(below)} of {_clips(len(bodies))} with the head below the hips in most frames (the first is "
            f"{below[0]}): is up what the files or their format say? --up says otherwise"
        )
    if len(across) > len(stand) / 2:
        body = across[0]
        notes.append(
            f"{len(across)} of {_clips(len(bodies))} in which bodies stand across the axis that is called up: "
            f"{body.name} along {body.stands}, not {body.up}. --up says otherwise"
        )
    return notes


def _standing(bodies: Sequence[Body]) -> str | None:
    """The axis along which nearly all bodies stand that do so along any."""
    axes = collections.Counter(body.stands for body in bodies if body.stands)
    if not axes:
        return None
    axis, many = axes.most_common(1)[0]
    return axis if many >= AGREE * axes.total() else None


def _opposite(up: str) -> str:
    return {"+": "-", "-": "+"}[up[0]] + up[1]


def _clips(count: int) -> str:
    return f"{count} clip{'s' if count != 1 else ''}"


def _first(how: Sequence[str], word: str, names: Sequence[str]) -> str:
    return names[how.index(word)]
