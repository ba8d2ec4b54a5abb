"""Acclaim motion capture (NAME.amc with a skeleton .asf beside it), as the CMU database and HDM05 publish it.

The skeleton gives every bone a direction, a length, axes of its own and degrees of freedom; the motion gives values for
these, frame by frame. Positions come from forward kinematics in float64 over all frames at once (Lander, *Working with
Motion Capture File Formats*, Game Developer 1998). A joint is the *end* of its bone and has the bone's name (the end of
``ltibia`` is the ankle); ``root`` is the root itself. Lengths are inches once they are divided by the ``length`` of the
section ``:units``, as CMU defines it, and come out in metres; where it is 1, or missing, the unit is left open. Up is
+y. The files state no frame rate (CMU recorded most of them at 120 frames per second).

The skeleton of ``SUBJECT_TAKE.amc`` is ``SUBJECT.asf``, else ``SUBJECT_TAKE.asf``, else the only one in the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _text

suffixes = own = (".amc",)

CUT = "The file may be cut short"
WHAT = "AMC (a number for each frame, then a line for each bone: its name and values)"
SKELETON = "ASF (sections :units, :root, :bonedata and :hierarchy)"
MAX_SKELETON = 1 << 24  # bytes
MAX_PLACES = 1 << 26  # frames x joints
MAX_VALUE = float(np.finfo(np.float32).max)
TORN = "broken last frames, left out"  # notes
LOST = "frames whose bones are others than those of the other frames, taken as frames with nobody in them"
JUMPS = "gaps in the numbers of the frames, passed over"
FREEDOMS = {name: (kind, axis) for kind in "tr" for axis, name in enumerate(f"{kind}{each}" for each in "xyz")}
FREEDOMS["l"] = ("l", 0)  # along the bone: its length


@dataclass
class Bone:
    """One bone; the first one of a skeleton is the root, whose offset and axes are 0.

    Attributes:
        name: as in the file.
        parent: index, -1 for the root.
        offset: from its parent's end to its own at rest, in the axes of the world ``[3]``.
        axes: its own axes in those of the world ``[3, 3]``.
        freedoms: (``t``, ``r`` or ``l``, axis) in the order of the values.
    """

    name: str
    parent: int
    offset: np.ndarray
    axes: np.ndarray
    freedoms: tuple[tuple[str, int], ...]


def sniff(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".amc"


def side(path: Path, head: bytes) -> bool:
    """A skeleton."""
    return path.suffix.lower() == ".asf"


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, 1, V, 3]``, V = the root and the ends of all bones in the order of the skeleton."""
    bones, metres, degrees = _skeleton(_skeleton_of(path))
    data = _text.load(path, WHAT)
    if re.search(rb"^\s*:RADIANS\b", data[:4096], re.IGNORECASE | re.MULTILINE):
        degrees = False
    values, lost, notes = _frames(path, bones, data)
    turns = np.concatenate([[kind == "r" for kind, _ in bone.freedoms] for bone in bones])
    values[:, turns.astype(bool)] *= np.pi / 180 if degrees else 1
    with np.errstate(all="ignore"):
        places = forward(bones, values) * (metres or 1)
    layout = skeleton.free([bone.name for bone in bones], [bone.parent for bone in bones])
    seen = np.repeat(~lost[:, None], len(bones), axis=1).astype(np.float32)
    unit = "m" if metres else "1"
    yield Motion(places[:, None], layout, seen[:, None], up="+y", unit=unit, source=path.name, notes=notes)


def forward(bones: list[Bone], values: np.ndarray) -> np.ndarray:
    """Ends of all bones.

    Args:
        bones: parents before their children.
        values: float64 ``[T, freedoms of all bones]``, radians for rotations.

    Returns:
        float64 ``[T, V, 3]``.
    """
    frames, column = len(values), 0
    places, turns = np.empty((len(bones), frames, 3)), np.empty((len(bones), frames, 3, 3))
    for i, bone in enumerate(bones):
        local = np.tile(np.eye(3), (frames, 1, 1))
        shift, longer = np.zeros((frames, 3)), np.zeros(frames)
        for kind, axis in bone.freedoms:
            value = values[:, column]
            column += 1
            if kind == "r":
                local = _rotation(axis, value) @ local
            elif kind == "t":
                shift[:, axis] = value
            else:
                longer = value
        above = turns[bone.parent] if bone.parent >= 0 else np.eye(3)[None]
        turns[i] = above @ (bone.axes @ local @ bone.axes.T)
        length = np.linalg.norm(bone.offset)
        offset = bone.offset * (1 + longer[:, None] / length) if length and longer.any() else bone.offset[None]
        origin = places[bone.parent] if bone.parent >= 0 else bone.offset[None]
        if bone.parent < 0:
            places[i] = origin + shift
        else:
            moved = (above @ shift[..., None])[..., 0] if shift.any() else 0
            places[i] = origin + moved + (turns[i] @ offset[..., None])[..., 0]
    return places.transpose(1, 0, 2)


def _rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """About one axis: radians ``[T]`` -> ``[T, 3, 3]``."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.tile(np.eye(3), (len(angle), 1, 1))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[:, a, a], turn[:, b, b], turn[:, a, b], turn[:, b, a] = cos, cos, -sin, sin
    return turn


# ------------------------------------------------------------------------------------------------------------ motion


def _frames(path: Path, bones: list[Bone], data: bytes) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Values float64 ``[T, freedoms]`` (NaN for what is not given), which frames are lost, and notes."""
    words = _text.words(path, re.sub(rb"^[ \t]*[#:].*$", b"", data, flags=re.MULTILINE))
    first, widths = words.lines()
    alone = first[:-1][widths == 1].tolist()
    starts = np.array([at for at in alone if _text.INTEGER.fullmatch(words.word(at))], np.int64)
    if not len(starts) or starts[0] != 0:
        raise words.error(0, f"{words.shown(0)} where the first frame should begin" if len(words) else "no frame", WHAT)
    sizes = np.diff(starts, append=len(words))
    numbers = words.floats(starts, finite=False)
    counts = np.bincount(sizes)
    usual = len(counts) - 1 - int(counts[::-1].argmax())  # of two that are as usual the longer one
    model = int(np.flatnonzero(sizes == usual)[0])
    columns, named = _columns(words, bones, first, widths, int(starts[model]), usual)
    whole = sizes == usual
    for at, name in named:
        whole[whole] &= words.equal(starts[whole] + at, name)
    torn = len(starts) > 1 and not whole[-1] and sizes[-1] < usual
    if torn:
        starts, whole, numbers = starts[:-1], whole[:-1], numbers[:-1]
    if 2 * (~whole).sum() >= len(whole):
        bad = int(np.argmin(whole))
        raise words.error(int(starts[bad]), f"{sizes[bad] - 1} words for frame {words.shown(int(starts[bad]))}", WHAT)
    if len(starts) * len(bones) > MAX_PLACES:
        raise InputError(path, f"{len(starts)} frames of {len(bones)} bones", f"at most {MAX_PLACES} positions")
    values = np.zeros((len(starts), sum(len(bone.freedoms) for bone in bones)))
    values[whole] = np.nan  # whatever hangs on a bone without values is missing
    given = np.array([column for column, _ in columns], np.int64)
    offsets = np.array([at for _, at in columns], np.int64)
    values[np.ix_(whole, given)] = words.floats(starts[whole][:, None] + offsets, finite=False)
    if (np.abs(values) > MAX_VALUE).any():
        frame, column = np.argwhere(np.abs(values) > MAX_VALUE)[0]
        of = np.repeat([bone.name for bone in bones], [len(bone.freedoms) for bone in bones])[column]
        found = f"{values[frame, column]:g} at frame {words.shown(int(starts[frame]))}, bone {of}"
        raise InputError(path, found, f"numbers of at most {MAX_VALUE:g}")
    jumps = int((np.diff(numbers) != 1).sum())
    return values, ~whole, {TORN: int(torn), LOST: int((~whole).sum()), JUMPS: jumps}


def _columns(
    words: _text.Words, bones: list[Bone], first: np.ndarray, widths: np.ndarray, start: int, size: int
) -> tuple[list[tuple[int, int]], list[tuple[int, bytes]]]:
    """Of a frame: (column, place behind the frame's number) of each value; (place, name) of each bone."""
    before = np.cumsum([0, *(len(bone.freedoms) for bone in bones)])
    index = {bone.name.encode(): i for i, bone in enumerate(bones)}
    columns: list[tuple[int, int]] = []
    named: list[tuple[int, bytes]] = []
    low = int(np.searchsorted(first, start)) + 1
    met: set[bytes] = set()
    for line in range(low, int(np.searchsorted(first, start + size))):
        at, name = int(first[line]), words.word(int(first[line]))
        if name not in index or name in met:
            again = " once more" if name in met else ", which the skeleton does not have"
            raise words.error(
                at, f"bone {words.shown(at)}{again}", f"the bones of the skeleton ({len(bones)}), each once"
            )
        count = len(bones[index[name]].freedoms)
        if widths[line] != count + 1:
            raise words.error(at, f"{widths[line] - 1} values for {words.shown(at)}", f"{count}, as its dof say")
        met.add(name)
        named.append((at - start, name))
        columns += [(int(before[index[name]]) + k, at - start + 1 + k) for k in range(count)]
    return columns, named


# ---------------------------------------------------------------------------------------------------------- skeleton


def _skeleton_of(path: Path) -> Path:
    """The skeleton that belongs to a motion."""
    stem = path.stem
    names = (f"{stem.rsplit('_', 1)[0]}.asf", f"{stem}.asf")
    found = _text.near(path, *names, *(name.upper() for name in names))
    if found is not None:
        return found
    others = sorted(each for each in path.parent.iterdir() if each.suffix.lower() == ".asf" and each.is_file())
    if len(others) != 1:
        several = f"and {len(others)} other skeletons" if others else "and no other skeleton"
        raise InputError(
            path, f"no {names[0]} beside it, {several}", f"its skeleton, {names[0]} or {names[1]}, beside it"
        )
    return others[0]


def _skeleton(path: Path) -> tuple[list[Bone], float | None, bool]:
    """Bones, parents before their children; metres in a unit of length, if known; whether angles are degrees."""
    text = _text.unpack(_text.load(path, SKELETON, MAX_SKELETON))
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].replace("(", " ( ").replace(")", " ) ").split()
        if words and words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        if words:
            current.append((number, words))
    for name in ("root", "bonedata", "hierarchy"):
        if name not in sections:
            raise InputError(path, f"no section :{name}", SKELETON, CUT)
    said = {words[0].lower(): words[1:] for _, words in sections.get("units", ())}
    degrees = [word.lower() for word in said.get("angle", ["deg"])][:1] != ["rad"]
    (scale,) = _numbers(f"{path}, :units", said["length"], 1) if "length" in said else (1.0,)
    if not 1e-6 < scale < 1e6:
        raise InputError(f"{path}, :units", f"length {scale:g}", "a number above 0")
    bones = [_root(path, sections["root"], degrees), *_bones(path, sections["bonedata"], degrees)]
    return _tree(path, bones, sections["hierarchy"]), 0.0254 / scale if scale != 1 else None, degrees


def _root(path: Path, lines: list[tuple[int, list[str]]], degrees: bool) -> Bone:
    said = {words[0].lower(): (f"{path}, line {number}", words[1:]) for number, words in lines}
    where, order = said.get("order", (f"{path}, :root", list(FREEDOMS)[:6]))
    position = _numbers(*said.get("position", (f"{path}, :root", ["0"] * 3)), 3)
    where_axis, axis = said.get("axis", (where, ["XYZ"]))
    turn = _axes(
        where_axis, _numbers(*said.get("orientation", (where, ["0"] * 3)), 3), axis[0] if axis else "", degrees
    )
    return Bone("root", -1, np.array(position), turn, _freedoms(where, order))


def _bones(path: Path, lines: list[tuple[int, list[str]]], degrees: bool) -> Iterator[Bone]:
    """The bones in the order of the file, without parents."""
    said: dict[str, tuple[str, list[str]]] | None = None
    count = 0
    for number, words in lines:
        where, word = f"{path}, line {number}", words[0].lower()
        if word == "begin" and said is None:
            said = {}
        elif word == "end" and said is not None:
            for key in ("name", "direction", "length", "axis"):
                if key not in said:
                    raise InputError(where, f"a bone without {key}", SKELETON)
            direction, (length,) = np.array(_numbers(*said["direction"], 3)), _numbers(*said["length"], 1)
            angles = said["axis"][1]
            axes = _axes(where, _numbers(said["axis"][0], angles[:3], 3), "".join(angles[3:]) or "XYZ", degrees)
            count += 1
            if count >= MAX_JOINTS:
                raise InputError(where, f"more than {MAX_JOINTS} bones")
            name = "_".join(said["name"][1]) or f"bone_{count}"
            yield Bone(name, -1, direction * length, axes, _freedoms(*said.get("dof", (where, []))))
            said = None
        elif said is not None and word != "(":  # further lines of limits
            said.setdefault(word, (where, words[1:]))
        elif said is None:
            raise InputError(where, f"{' '.join(words)[:40]!r} in this place", SKELETON)
    if said is not None or not count:
        raise InputError(
            path, "a bone without end" if count or said else "no bones", SKELETON, "The file may be cut short"
        )


def _tree(path: Path, bones: list[Bone], lines: list[tuple[int, list[str]]]) -> list[Bone]:
    """The bones with their parents, in an order in which these come first."""
    index = {bone.name: i for i, bone in enumerate(bones)}
    if len(index) < len(bones):
        twice = next(bone.name for i, bone in enumerate(bones) if index[bone.name] != i)
        raise InputError(path, f"bone {twice!r} twice", "every name once")
    children: dict[str, list[str]] = {}
    for number, words in lines:
        if words[0].lower() in ("begin", "end"):
            continue
        unknown = next((word for word in words if word not in index), None)
        if unknown is not None:
            raise InputError(f"{path}, line {number}", f"bone {unknown[:40]!r}", "bones of the section :bonedata")
        children.setdefault(words[0], []).extend(words[1:])
    if [word.lower() for word in lines[-1][1]] != ["end"] if lines else True:
        raise InputError(path, "a hierarchy without end", SKELETON, CUT)
    ordered, waiting = [bones[0]], [("root", 0)]
    placed = {"root"}
    while waiting:
        name, at = waiting.pop(0)
        for child in children.get(name, ()):
            if child in placed:
                raise InputError(path, f"bone {child!r} twice in the hierarchy", "a tree")
            placed.add(child)
            bone = bones[index[child]]
            bone.parent = at
            waiting.append((child, len(ordered)))
            ordered.append(bone)
    if len(ordered) < len(bones):
        lost = next(bone.name for bone in bones if bone.name not in placed)
        raise InputError(
            path, f"bone {lost!r} hangs on nothing", "a tree that begins at root", "The file may be cut short"
        )
    return ordered


def _numbers(where: str, words: list[str], count: int) -> list[float]:
    """So many finite numbers."""
    if len(words) < count or not all(_text.NUMBER.fullmatch(word.encode()) for word in words[:count]):
        raise InputError(where, f"{' '.join(words)[:60] or 'nothing'!r}", f"{count} numbers")
    found = [float(word) for word in words[:count]]
    if not all(abs(value) < 1e9 for value in found):
        raise InputError(where, f"{' '.join(words)[:60]!r}", "finite numbers below 1e9")
    return found


def _freedoms(where: str, words: list[str]) -> tuple[tuple[str, int], ...]:
    found = [FREEDOMS.get(word.lower()) for word in words]
    if None in found or len(set(found)) < len(found):
        raise InputError(where, f"{' '.join(words)[:60]!r}", "names out of tx ty tz rx ry rz l, each once")
    return tuple(each for each in found if each)


def _axes(where: str, angles: list[float], order: str, degrees: bool) -> np.ndarray:
    """A rotation about the axes that ``order`` names, the first one first ``[3, 3]``."""
    if sorted(order.upper()) != ["X", "Y", "Z"]:
        raise InputError(where, f"axis {order[:20]!r}", "three angles and their order, such as 0 0 20 XYZ")
    turn = np.eye(3)
    for letter in order.upper():
        axis = "XYZ".index(letter)
        angle = np.radians(angles[axis]) if degrees else angles[axis]
        turn = _rotation(axis, np.array([angle]))[0] @ turn
    return turn
