"""Joint layouts and maps from one layout to another by joint name.

The data stand in ``layouts.toml``: the layouts, the spellings of joint names, where a joint of a name really is,
and the joints that can be made from others. This file only reads them.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError
from ..utils.registry import did_you_mean

PARTS = ("trunk", "left_arm", "right_arm", "left_leg", "right_leg")
SIDES = {"left": "left_", "l": "left_", "right": "right_", "r": "right_"}
TOKEN = re.compile(r"[A-Z]+(?![^\W\d_A-Z])\d*|[A-Z]?[^\W\d_A-Z]+\d*|\d+")  # Left|Arm, UPPER, l5, letters of any script
SEPARATOR = re.compile(r"[\s_:.|/-]+")
BONE = re.compile(r"[\s_.-](joint|jnt|jt|bone|bn)(?=(_end(_\d+)?)?$)", re.IGNORECASE)  # what rigs call every joint
MAX_JOINTS = 4096


@dataclass(frozen=True)
class Layout:
    """A named set of joints, validated when it is made.

    Attributes:
        name: e.g. ``"ntu25"``; free layouts that a file brings along are called ``"free"``.
        joints: joint names as the field spells them, in file order; their number is V.
        parents: per joint the index of its parent, -1 where the tree begins. This is the tree of the bone stream;
            for ``ntu25`` it begins at the spine between the shoulders, as published.
        root: the joints whose mean is the body's centre (one pelvis joint, or both hips where there is none).
        parts: body part (``trunk, left_arm, right_arm, left_leg, right_leg``) -> joint indices, every joint in
            exactly one. Inferred from names and tree where it is not given.

    Raises:
        InputError: no joints, a name twice, parents that are no tree, a root or part that points nowhere.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    root: tuple[int, ...] = (0,)
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where, count = f"layout {self.name!r}", len(self.joints)
        if not all(isinstance(joint, str) for joint in self.joints):
            raise InputError(where, f"joints = {_short(self.joints)}", "names")
        for key in ("parents", "root"):
            if not all(isinstance(joint, Integral) for joint in getattr(self, key)):
                raise InputError(where, f"{key} = {_short(getattr(self, key))}", "joint numbers")
            object.__setattr__(self, key, tuple(int(joint) for joint in getattr(self, key)))
        object.__setattr__(self, "joints", tuple(self.joints))
        if not 0 < count <= MAX_JOINTS:
            raise InputError(where, f"{count} joints", f"1 to {MAX_JOINTS} joints")
        if len(set(self.joints)) != count:
            twice = next(name for name in self.joints if self.joints.count(name) > 1)
            raise InputError(where, f"joint {twice!r} twice", "every joint name once")
        if len(self.parents) != count:
            raise InputError(where, f"{len(self.parents)} parents", f"one for each of {count} joints")
        if not all(-1 <= parent < count for parent in self.parents):
            raise InputError(where, f"parents {_short(self.parents)}", f"joint numbers from 0 to {count - 1}, or -1")
        if (_ends(self.parents) >= 0).any():
            raise InputError(where, "joints whose parents form a ring", "a tree, -1 where it begins")
        if not self.root or not all(0 <= joint < count for joint in self.root):
            raise InputError(where, f"root {_short(self.root)}", f"one or more joint numbers from 0 to {count - 1}")
        if not self.parts:
            object.__setattr__(self, "parts", _parts(self.canonical_names, self.parents))
        held = sorted(joint for part in self.parts.values() for joint in part)
        if set(self.parts) != set(PARTS) or held != list(range(count)):
            raise InputError(
                where, f"parts {_short(dict(self.parts))}", f"{', '.join(PARTS)}, every joint in exactly one"
            )

    def __len__(self) -> int:
        return len(self.joints)

    @functools.cached_property
    def canonical_names(self) -> tuple[str, ...]:
        """Canonical name of every joint, each at most once: where the joint is, not what its file calls it.

        A name alone does not always tell. ``LeftShoulder`` is the shoulder in Kinect data, but the collar bone in a
        rig that also has ``LeftArm`` and ``LeftForeArm``. So the rules of ``layouts.toml`` look at what else the
        same side of the layout has; for the built-in layouts the word is stated there where the spelling misleads
        (the neck of OpenPose is the middle of the shoulders, ``chest``). A joint that is none of the known
        ones keeps its own name in lower_snake spelling; the second of two such names gets ``_2``.
        """
        return _stated(self.joints) or _canonical(self.joints)

    @functools.cached_property
    def mirror(self) -> tuple[int, ...]:
        """Index of each joint's left/right partner; its own index for joints of the middle."""
        where = {name: i for i, name in enumerate(self.canonical_names)}
        return tuple(where.get(_other_side(name), i) for i, name in enumerate(self.canonical_names))

    @functools.cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(joint, parent) for every joint that has a parent."""
        return tuple((i, p) for i, p in enumerate(self.parents) if p >= 0)

    def find(self, *names: str) -> int | None:
        """Index of the first of these canonical names that the layout has, or None."""
        for name in names:
            if name in self.canonical_names:
                return self.canonical_names.index(name)
        return None

    def as_dict(self) -> dict:
        """Plain containers for a card; :func:`from_dict` reads them back."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "parents": list(self.parents),
            "root": list(self.root),
            "parts": {k: list(v) for k, v in self.parts.items()},
        }


# ------------------------------------------------------------------------------------------------------- layouts


def layouts() -> tuple[str, ...]:
    """Names of the built-in layouts.

    Examples:
        >>> "coco17" in layouts()
        True
    """
    return tuple(_data()["layout"])


def layout(name: str | Layout) -> Layout:
    """The built-in layout of that name. A layout is given back.

    Raises:
        InputError: no such layout; the message lists those that exist.

    Examples:
        >>> ntu = kineme.layout("ntu25")
        >>> len(ntu), ntu.joints[:2]
        (25, ('spine_base', 'spine_mid'))
    """
    if isinstance(name, Layout):
        return name
    if not isinstance(name, str) or name not in layouts():
        raise InputError(
            f"layout {name!r}", "no such layout", f"one of {', '.join(layouts())}", did_you_mean(str(name), layouts())
        )
    return _built_in(name)


@functools.cache
def _built_in(name: str) -> Layout:
    joints, parents, _ = zip(*_rows(name))
    index = {joint: i for i, joint in enumerate(joints)}
    root = tuple(index[joint] for joint in _data()["layout"][name]["root"])
    return Layout(name, joints, tuple(index.get(parent, -1) for parent in parents), root)


def free(joints: Sequence[str], parents: Sequence[int], name: str = "free") -> Layout:
    """A layout that a file brings along.

    Args:
        joints: names as they stand in the file, without what stands before or behind all of them
            (:func:`own_names`); a name that comes twice gets ``_2``, ``_3``, ...
        parents: per joint the index of its parent, -1 where the tree begins.
        name: what the layout is to be called.

    Returns:
        Its root is the pelvis where a joint of that word exists, else both hips, else where the tree begins;
        its parts follow from the words, unknown joints go with their parents.

    Raises:
        InputError: no joints, or parents that are no tree.

    Examples:
        >>> free(["hips", "chest", "head"], [-1, 0, 1]).parents
        (-1, 0, 1)
    """
    joints, parents = _distinct(own_names([str(joint) for joint in joints])), tuple(parents)
    found = {word: i for i, word in enumerate(_stated(joints) or _canonical(joints))}
    if "pelvis" in found:
        root: tuple[int, ...] = (found["pelvis"],)
    elif "left_hip" in found and "right_hip" in found:
        root = (found["left_hip"], found["right_hip"])
    else:
        root = (parents.index(-1) if -1 in parents else 0,)
    return Layout(name, joints, parents, root)


def tree(joints: Sequence[str]) -> list[int]:
    """Parents for joints that come without a tree, by their names: the nearest joint towards the pelvis that is there.

    A joint whose name tells nothing, such as a marker on the skin, begins a tree of its own.

    Examples:
        >>> tree(["pelvis", "left_wrist", "left_shoulder", "LASI"])
        [-1, 2, 0, -1]
    """
    where = {word: i for i, word in reversed(list(enumerate(_stated(tuple(joints)) or _canonical(tuple(joints)))))}
    above = _data()["tree"]

    def parent(word: str) -> int:
        side, base = _split(word)
        inwards = above.get(base, "").split()
        return next((where[name] for near in inwards for name in (side + near, near) if name in where), -1)

    return [parent(word) for word in _stated(tuple(joints)) or _canonical(tuple(joints))]


def from_dict(data: Mapping[str, Any]) -> Layout:
    """Read back what :meth:`Layout.as_dict` wrote.

    Raises:
        InputError: a field is missing or of the wrong kind.
    """
    if not isinstance(data, Mapping):
        raise InputError("layout", f"a {type(data).__name__}", "name, joints, parents, root and parts")
    where = f"layout {data.get('name')!r}"
    for key, kind in (("name", str), ("joints", list), ("parents", list), ("root", list), ("parts", Mapping)):
        if not isinstance(data.get(key), kind):
            raise InputError(where, f"{key} = {_short(data.get(key))}", f"a {kind.__name__.lower()}")
    held = data["parts"].values()
    if not all(isinstance(part, list) and all(isinstance(joint, int) for joint in part) for part in held):
        raise InputError(where, f"parts = {_short(data['parts'])}", "lists of joint numbers")
    return Layout(
        data["name"],
        tuple(data["joints"]),
        tuple(data["parents"]),
        tuple(data["root"]),
        {part: tuple(joints) for part, joints in data["parts"].items()},
    )


def identify(joint_names: Sequence[str]) -> Layout | None:
    """The built-in layout that has these joints in this order, in any spelling; None if there is none."""
    words = _canonical(tuple(str(name) for name in joint_names))
    return next((layout(name) for name in layouts() if _canonical(layout(name).joints) == words), None)


def reordered(joint_names: Sequence[str]) -> tuple[Layout, list[int]] | None:
    """The built-in layout that has these joints in another order, in any spelling; None if there is none.

    Returns:
        The layout, and where each of its joints stands among ``joint_names``: ``joints[..., order, :]`` are in its
        order.

    Examples:
        >>> made, order = reordered(kineme.layout("coco17").joints[::-1])
        >>> made.name, order[:3]
        ('coco17', [16, 15, 14])
    """
    words = _canonical(tuple(str(name) for name in joint_names))
    for name in layouts():
        wanted = _canonical(layout(name).joints)
        if len(wanted) == len(words) and set(wanted) == set(words):
            return layout(name), [words.index(word) for word in wanted]
    return None


# --------------------------------------------------------------------------------------------------------- words


def canonical_name(name: str) -> str:
    """Canonical name of a joint name on its own: ``"mixamorig:LeftForeArm"`` -> ``"left_elbow"``.

    Case, separators, a namespace before a colon and the prefixes of ``layouts.toml`` do not count; a side may
    stand anywhere in the name. A name that is unknown, or whose place depends on what else the layout has
    (``LeftArm``), comes back in lower_snake spelling, its side in front. For the joints of a layout use
    :attr:`Layout.canonical_names`, which sees them together.
    """
    return _canonical((name,))[0]


def own_names(names: Sequence[str]) -> list[str]:
    """Joint names without the word that stands before all of them, an actor's or a program's, and without ``_joint``.

    The word ends with a separator (``Robot_Hips``, ``Skeleton 001:Hips``); the first joint may lack it. It is no part
    of the names if as many of them are known without it, three at least, or if it ends with a colon. A side, or the
    name of a part of the body, is none.

    Examples:
        >>> own_names(["Bob_Hips", "Bob_LeftUpLeg", "Bob_LeftLeg", "Bob_LeftFoot"])
        ['Hips', 'LeftUpLeg', 'LeftLeg', 'LeftFoot']
    """
    return list(_own_names(tuple(names)))


@functools.lru_cache(maxsize=256)
def _own_names(names: tuple[str, ...]) -> tuple[str, ...]:
    ends = [BONE.search(name) for name in names]
    if len(names) > 2 and all(ends[1:]):
        names = tuple(name[: end.start()] + name[end.end() :] if end else name for name, end in zip(names, ends))
    shared = os.path.commonprefix(names[1:])  # noqa: RUF071  (by characters, as it is meant here)
    for end in sorted((match.end() for match in SEPARATOR.finditer(shared)), reverse=True):
        prefix = shared[:end]
        if any(token.lower() in SIDES or _spell(token)[1] in _vocabulary() for token in TOKEN.findall(prefix)):
            continue
        bare = tuple(name.removeprefix(prefix).strip() or name for name in names)
        known, before = (sum(base in _vocabulary() for _, base in map(_spell, some)) for some in (bare, names))
        if len(names) > 1 and len(set(bare)) == len(set(names)) and (known >= max(before, 3) or ":" in prefix[-1]):
            return bare
    return names


def _canonical(joints: tuple[str, ...]) -> tuple[str, ...]:
    """Words by spelling and rules, each at most once; a joint that is spelled like its word has first claim on it."""
    spelled = [_spell(name) for name in _own_names(joints)]
    beside: dict[str, set[str]] = {side: {b for s, b in spelled if s == side} for side in ("left_", "right_")}
    beside[""] = {base for _, base in spelled}
    words = [side + _place(base, beside[side]) for side, base in spelled]
    own = [side + base for side, base in spelled]
    taken = {meant for meant, plain in zip(words, own) if meant == plain}
    claims = []
    for meant, plain in zip(words, own):
        claims.append(plain if meant in taken else meant)
        taken.add(meant)
    return _distinct(claims)


def _place(base: str, beside: set[str]) -> str:
    """Where a joint of this name is, by the first rule that applies; ``beside``: names on the same side."""
    for rule in _data()["rule"]:
        if base not in rule["means"] or beside.intersection(rule.get("unless", ())):
            continue
        if "when" not in rule or any(beside.issuperset(group.split()) for group in rule["when"]):
            return rule["means"][base]
    return base


@functools.lru_cache(maxsize=4096)
def _spell(name: str) -> tuple[str, str]:
    """Side (``"left_"``, ``"right_"`` or ``""``) and base name in its usual spelling."""
    plain = name.rsplit(":", 1)[-1]
    plain = re.sub(r"^([LR])(?=[A-Z][A-Za-z]*[a-z])", r"\1_", plain)  # LHipJoint, RThumb
    tokens = _bare([token.lower() for token in TOKEN.findall(plain)])
    at = next((i for i, token in enumerate(tokens) if token in SIDES), None)
    if at is not None and len(tokens) > 1:
        side = SIDES[tokens.pop(at)]
    else:
        side, tokens = _glued(tokens)
    base = re.sub(r"_?(?<!\d)0*(\d+)", r"\1", "_".join(tokens))  # spine_01 -> spine1
    base = re.sub(r"\W+", "_", base or name.strip().lower()) or "joint"
    squashed = base.replace("_", "")
    return side, _spellings(bool(side)).get(squashed, base)


def _bare(tokens: list[str]) -> list[str]:
    """Without the prefix that a program puts in front of every joint."""
    joined = "_".join(tokens)
    return next((joined[len(p) + 1 :].split("_") for p in _prefixes() if joined.startswith(p + "_")), tokens)


def _glued(tokens: list[str]) -> tuple[str, list[str]]:
    """Side of names such as ``leftarm`` or ``lshoulder``; the short form only in front of a known joint."""
    first = tokens[0] if tokens else ""
    for mark in ("left", "right"):
        if first.startswith(mark) and first != mark:
            return SIDES[mark], [first[len(mark) :], *tokens[1:]]
    if first[:1] in ("l", "r") and "".join(tokens)[1:] in _spellings(True):
        return SIDES[first[0]], [first[1:], *tokens[1:]]
    return "", tokens


def _split(word: str) -> tuple[str, str]:
    """Side and the rest of a word."""
    side = next((side for side in ("left_", "right_") if word.startswith(side)), "")
    return side, word[len(side) :]


def _other_side(word: str) -> str:
    side, base = _split(word)
    return {"left_": "right_", "right_": "left_", "": ""}[side] + base


# ---------------------------------------------------------------------------------------------------------- maps


# ------------------------------------------------------------------------------------------------ small helpers


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _ends(steps: Sequence[int]) -> np.ndarray:
    """Where each joint ends that climbs from ``i`` to ``steps[i]`` until -1 or a joint that points to itself."""
    up = np.append(np.asarray(steps, np.int64), -1)  # index -1 stays at -1
    for _ in range(len(up).bit_length()):  # each round steps twice as far
        up = up[up]
    return up[:-1]


def _parts(words: Sequence[str], parents: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Body part of every joint by its word; joints that the words do not settle go with their parents."""
    limbs = {base: limb for limb, bases in _data()["part"].items() for base in bases.split()}

    def part(word: str) -> str | None:
        side, base = _split(word)
        limb = limbs.get(base)
        return limb if limb in (None, "trunk") else side + limb if side else None

    own = [part(word) for word in words]
    ends = _ends([parent if limb is None else i for i, (limb, parent) in enumerate(zip(own, parents))])
    of = [own[end] if end >= 0 else "trunk" for end in ends]
    return {name: tuple(i for i, limb in enumerate(of) if limb == name) for name in PARTS}


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Every name once: the second and later ones get ``_2``, ``_3``, ..."""
    names, distinct, numbers = list(names), dict[str, None](), dict[str, Iterator[int]]()
    used = set(names)
    for name in names:
        new = name
        while new in distinct or (new != name and new in used):
            new = f"{name}_{next(numbers.setdefault(name, itertools.count(2)))}"
        distinct[new] = None
    return tuple(distinct)


# ---------------------------------------------------------------------------------------------------- the data


@functools.cache
def _data() -> dict:
    return tomllib.loads((Path(__file__).parent / "layouts.toml").read_text(encoding="utf-8"))


def _rows(name: str) -> list[tuple[str, str, str]]:
    """(joint, parent, stated word or "") of a built-in layout."""
    lines = (line.split() for line in _data()["layout"][name]["joints"].strip().splitlines())
    return [(line[0], line[1], line[2] if len(line) > 2 else "") for line in lines]


@functools.lru_cache(maxsize=256)
def _stated(joints: tuple[str, ...]) -> tuple[str, ...] | None:
    """Words of a built-in layout, with those that ``layouts.toml`` states; None for other joints."""
    for name in layouts():
        names, _, stated = zip(*_rows(name))
        if names == joints:
            return tuple(said or spelled for said, spelled in zip(stated, _canonical(joints)))
    return None


@functools.cache
def _prefixes() -> tuple[str, ...]:
    return tuple(sorted(_data()["spelling"]["prefixes"].split(), key=len, reverse=True))


@functools.cache
def _vocabulary() -> frozenset[str]:
    """All spellings that mean a joint."""
    tables = (_data()["spelling"]["side"], _data()["spelling"]["middle"])
    return frozenset(word for table in tables for word in table)


@functools.cache
def _spellings(sided: bool) -> dict[str, str]:
    """Spelling without underscores -> usual spelling, for joints with or without a side."""
    table = _data()["spelling"]["side" if sided else "middle"]
    return {other.replace("_", ""): usual for usual, others in table.items() for other in [usual, *others.split()]}
