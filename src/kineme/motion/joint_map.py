"""Maps from one layout to another, by joint name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError
from ..utils.registry import did_you_mean
from .layout import Layout, _data, _short, layout

Table = Mapping[str, "str | Sequence[str]"]


@dataclass(frozen=True, eq=False)
class JointMap:
    """How the joints of one layout are made from those of another.

    Attributes:
        source, target: the two layouts.
        weights: float32 ``[V_target, V_source]``; rows sum to 1, rows of joints without a source are 0.
        missing: names of target joints without a source; a mapped motion has confidence 0 there.
        virtual: names of target joints that are not simply the same joint of the source, with the recipe in words.
        unused: names of source joints that no target joint takes.
    """

    source: Layout
    target: Layout
    weights: np.ndarray
    missing: tuple[str, ...]
    virtual: Mapping[str, str]
    unused: tuple[str, ...]


def joint_map(source: Layout | str, target: Layout | str, table: Table | None = None) -> JointMap:
    """How to make the joints of ``target`` from those of ``source``.

    A joint is taken from the joint of the same name (:attr:`Layout.canonical_names`). Where there is none, a recipe of
    ``layouts.toml`` may make it from others (the pelvis from both hips); such joints are listed in ``virtual``.
    What is left is listed in ``missing``: nothing else stands for it.

    Args:
        source, target: the layouts, or their names.
        table: target joint -> source joint, or several to average, or none (an empty list: leave it out). It goes
            before everything else. Joints are named as their layout or their file spells them, or by their word.

    Raises:
        InputError: the table names a joint that its layout does not have.
    """
    source, target = layout(source), layout(target)
    recipes = {**_data()["virtual"], **_data()["layout"].get(target.name, {}).get("virtual", {})}
    weights = np.zeros((len(target), len(source)), np.float32)
    virtual: dict[str, str] = {}
    given = {_joint(target, name, "target"): _sources(source, name, value) for name, value in (table or {}).items()}
    for i, (name, wanted) in enumerate(zip(target.joints, target.canonical_names)):
        row, how = _row(wanted, source, recipes)
        if i in given:
            row, how = _mean([np.eye(len(source))[joint] for joint in given[i]]), "as the table says"
        if row is None:
            continue
        weights[i] = row
        if how:
            virtual[name] = f"{how}: {', '.join(source.joints[j] for j in np.flatnonzero(row))}"
    missing = tuple(name for name, row in zip(target.joints, weights) if not row.any())
    unused = tuple(name for name, column in zip(source.joints, weights.T) if not column.any())
    return JointMap(source, target, weights, missing, virtual, unused)


def read_table(path: str | Path) -> dict[str, str | list[str]]:
    """Read a map file (``--map``), TOML or JSON: ``target_joint = "source joint"`` or a list to average.

    Raises:
        InputError: missing, not readable, or anything but names in it.
    """
    expected = 'TOML or JSON with entries such as left_wrist = "LeftHand" or pelvis = ["LeftHip", "RightHip"]'
    try:
        text = Path(path).read_text(encoding="utf-8")
        data = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(path, "no such file", "a map file") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, not JSON
        raise InputError(path, f"not readable as a map file ({error})", expected) from None
    for name, value in data.items():
        if not all(isinstance(source, str) for source in (value if isinstance(value, list) else [value])):
            raise InputError(path, f"{name} = {value!r}", expected)
    return data


def _row(wanted: str, source: Layout, recipes: Mapping[str, Any]) -> tuple[np.ndarray | None, str]:
    """Weights over the source joints for one word, and the note of the recipe (empty for a plain joint)."""
    if wanted in source.canonical_names:
        return np.eye(len(source))[source.canonical_names.index(wanted)], ""
    recipe = recipes.get(wanted)
    if recipe is not None:
        less = {name: other for name, other in recipes.items() if name != wanted}  # a recipe never calls itself
        for parts in recipe["of"]:
            rows = [_row(part, source, less)[0] for part in parts]
            if all(row is not None for row in rows):
                return _mean([row for row in rows if row is not None]), recipe["note"]
    return None, ""


def _mean(rows: list[np.ndarray]) -> np.ndarray | None:
    return np.mean(rows, axis=0) if rows else None


def _joint(layout: Layout, name: str, role: str) -> int:
    if name in layout.joints:
        return layout.joints.index(name)
    if name in layout.canonical_names:
        return layout.canonical_names.index(name)
    ends = [i for i, joint in enumerate(layout.joints) if re.search(rf"[\s_:.|/-]{re.escape(joint)}$", name)]
    if ends:  # with what stands before every joint of the file, which is no part of the names
        return max(ends, key=lambda i: len(layout.joints[i]))
    raise InputError(
        f"map table, {name!r}",
        f"no {role} joint of that name in layout {layout.name}",
        f"one of {', '.join(layout.joints)}",
        did_you_mean(name, layout.joints),
    )


def _sources(source: Layout, name: str, value: str | Sequence[str]) -> list[int]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(other, str) for other in names):
        raise InputError(f"map table, {name!r}", _short(value), "the name of a source joint, or a list of names")
    joints = [_joint(source, other, "source") for other in names]
    if len(set(joints)) != len(joints):
        raise InputError(f"map table, {name!r}", f"a joint twice in {names}", "every joint once")
    return joints
