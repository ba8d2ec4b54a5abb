"""A store of what is in memory: motions, or arrays with their layout."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import clean as cleaning
from ..motion import layout as skeleton
from ..motion import units
from ..motion.clean import Cleaning
from ..motion.layout import Layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import clip_table, kinds, prepare, shards
from .options import Options
from .plan import Plan
from .store import Store

FIELDS = {"label": "labels", "subject": "subjects", "camera": "cameras", "id": "ids"}  # of a table -> argument


def store(
    motions: Iterable[Motion | np.ndarray] | np.ndarray | Motion,
    path: str | os.PathLike | None = None,
    *,
    layout: str | Layout | Sequence[str] | None = None,
    labels: Any = None,
    subjects: Any = None,
    cameras: Any = None,
    ids: Any = None,
    table: Any = None,
    lengths: Sequence[int] | np.ndarray | None = None,
    fps: float | None = None,
    up: str | None = None,
    unit: str | None = None,
    normalise: str | None = None,
    clean: Mapping[str, Any] | Cleaning | bool | None = None,
    window: float | None = None,
    step: float | None = None,
) -> Store:
    """Make a store of motions or arrays, as :func:`kineme.prepare` makes one of files.

    Args:
        motions: a list of :class:`~kineme.motion.motion.Motion`, or of arrays ``[T, V, C]`` or ``[T, M, V, C]``
            (lengths may differ), or one array ``[N, T, V, C]`` or ``[N, T, M, V, C]``. NaN means that a joint is
            missing.
        path: folder of the store; by default a temporary one that is removed when the store is no longer used.
        layout: a name (``kineme.layout``), a Layout, or the names of the joints. Arrays need it; motions of another
            layout are mapped to it by joint name.
        labels, subjects, cameras: one value for each motion (a list, an array, a pandas Series), None or NaN where
            it is not known; they go before those that the motions carry. Numbers among the labels become text.
        ids: a name for each; by default the motions' ``source``, else ``clip0000``, ``clip0001`` ...
        table: a pandas DataFrame, or a dict of columns: ``label``, ``subject``, ``camera``, ``id`` and any further
            column of the clip table. A frame whose index holds the ids is matched by it, any other row by row.
        lengths: frames of each motion, where one array is filled up behind them.
        fps, up, unit: of arrays, and of motions that do not tell. ``unit="torso"`` scales every body in space by its
            torso.
        normalise: as for ``kineme.prepare``: ``none``, ``general``, ``ntu``, ``image``; by default what suits the
            layout.
        clean: as for ``kineme.prepare``: settings of :class:`kineme.motion.clean.Cleaning`, or True for its defaults.
        window, step: seconds: motions become windows of this length, as ``kineme.prepare`` cuts recordings; labels and
            all columns are those of the motion. Motions without a frame rate stay whole (``fps`` says it).

    Raises:
        InputError: no motion, an array without layout, not as many labels as motions, motions of several layouts
            without ``layout``, ``path`` exists.

    Examples:
        >>> import numpy as np
        >>> waving = np.random.default_rng(0).normal(size=(6, 40, 25, 3))  # [N, T, V, C]
        >>> made = kineme.store(waving, layout="ntu25", labels=["wave", "walk"] * 3, subjects=[1, 1, 2, 2, 3, 3])
        >>> len(made), made[0].label, made[0].joints.shape
        (6, 'wave', (40, 1, 25, 3))
        >>> again = kineme.store([motion[:30] for motion in made], normalise="none")
        >>> set(again.lengths.tolist())
        {30}
        >>> parts = kineme.store(waving, layout="ntu25", fps=20, window=1.0)  # 20 frames each, every 10
        >>> len(parts), set(parts.lengths.tolist())
        (18, {20})
    """
    wanted = _layout(layout)
    given = _described(motions, wanted, fps, up, None if unit == "torso" else unit, lengths)
    columns = _columns(given, {"label": labels, "subject": subjects, "camera": cameras, "id": ids}, table)
    given = [_labelled(motion, {name: column[k] for name, column in columns.items()}) for k, motion in enumerate(given)]
    said = unit if unit in (*units.METRES, "torso") else None
    options = Options(
        Path(),
        None,
        normalise,
        layout=None if wanted is None else wanted.as_dict(),
        unit=said,
        clean=cleaning.asked(clean),
        window=window,
        step=step,
    )
    folder = Path(tempfile.mkdtemp(prefix="kineme-")) / "store" if path is None else Path(path)
    try:
        made = _written(given, folder, options)
    except BaseException:
        if path is None:
            shutil.rmtree(folder.parent, ignore_errors=True)
        raise
    if path is None:
        weakref.finalize(made, shutil.rmtree, folder.parent, ignore_errors=True)
    return made


def _layout(layout: Any) -> Layout | None:
    """A layout by its name, by the names of its joints, or as it is."""
    if layout is None or isinstance(layout, Layout):
        return layout
    if isinstance(layout, str):
        return skeleton.layout(layout)
    names = list(layout) if isinstance(layout, Iterable) else []
    if names and all(isinstance(name, str) for name in names):
        return skeleton.identify(names) or skeleton.free(names, [-1] * len(names))
    raise InputError("layout", f"a {type(layout).__name__}", "a name, a Layout, or the names of the joints")


def _described(
    motions: Any, layout: Layout | None, fps: float | None, up: str | None, unit: str | None, lengths: Any
) -> list[Motion]:
    """Motions and arrays as motions of that layout, what they do not tell filled in."""
    if isinstance(motions, Motion) or (isinstance(motions, np.ndarray) and motions.ndim == 3):
        motions = [motions]
    if isinstance(motions, (str, os.PathLike)) or not isinstance(motions, Iterable):
        hint = "Files become a store with kineme.prepare"
        raise InputError("motions", repr(motions)[:200], "a list of motions or arrays", hint)
    given = list(motions)
    if not given:
        raise InputError("motions", "an empty list", "at least one motion or array")
    if lengths is not None and len(lengths) != len(given):
        raise InputError("lengths", f"{len(lengths)} of them", f"one for each of {len(given)} motions")
    made = []
    for k, each in enumerate(given):
        name = f"clip{k:04d}"
        if not isinstance(each, Motion):
            if layout is None:
                raise InputError(f"motions[{k}]", "an array without a layout", "layout=, e.g. layout='ntu25'")
            try:
                array = np.asarray(each, np.float32)
            except (TypeError, ValueError):
                raise InputError(
                    f"motions[{k}]", f"a {type(each).__name__}", "a Motion or an array of numbers"
                ) from None
            each = Motion(array[:, None] if array.ndim == 3 else array, layout, source=name)
        told = {"fps": fps, "up": up, "unit": unit}
        missing = {key: value for key, value in told.items() if value is not None and getattr(each, key) in (None, "1")}
        each = each.with_(**missing, source=each.source or name)
        made.append(each if lengths is None else each.slice(0, int(lengths[k])))
    return made


def _columns(motions: Sequence[Motion], given: Mapping[str, Any], table: Any) -> dict[str, list]:
    """What is said of the motions beside them: name -> one value for each."""
    count = len(motions)
    columns = {name: _values(FIELDS[name], value, count) for name, value in given.items() if value is not None}
    if table is None:
        return columns
    if hasattr(table, "reindex") and hasattr(table, "columns"):  # a frame of pandas
        names = columns.get("id") or [motion.source for motion in motions]
        if len(set(names)) == count and table.index.is_unique and set(names) <= set(table.index):
            table = table.loc[names]
        table = {str(name): table[name] for name in table.columns}
    if not isinstance(table, Mapping):
        raise InputError("table", f"a {type(table).__name__}", "a DataFrame, or a dict of columns")
    return {str(name): _values(f"table[{name!r}]", value, count) for name, value in table.items()} | columns


def _values(what: str, values: Any, count: int) -> list:
    """A column as plain values; None where one is missing."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InputError(what, repr(values)[:200], f"a list of {count} values, one for each motion")
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    if len(plain) != count:
        raise InputError(what, f"{len(plain)} values", f"{count}, one for each motion")
    return [None if _missing(value) else value for value in plain]


def _missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)  # NaN, NaT
    except TypeError:  # pandas.NA says neither
        return True


def _labelled(motion: Motion, values: Mapping[str, Any]) -> Motion:
    """The motion with what is said of it; what is not known there stays as the motion has it."""
    known = {name: value for name, value in values.items() if value is not None}
    fields: dict[str, Any] = {}
    if "label" in known:
        fields["label"] = clip_table.text(known.pop("label"))
    for name in ("subject", "camera"):
        if name in known:
            value = known.pop(name)
            fields[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    if "id" in known:
        fields["source"] = str(known.pop("id"))
    return motion.with_(**fields, extra={**motion.extra, **known})


def _written(motions: Sequence[Motion], folder: Path, options: Options) -> Store:
    """The store of these motions, by the same steps as that of files."""
    notes = shards.Notes()
    for motion in motions:
        notes.mend(motion.source, motion.notes)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as partial:
        layouts = shards.write(shards.recorded(motions, options, notes), Path(partial), notes)
        summary = {"layouts": layouts, **dataclasses.asdict(notes)}
        found = kinds.group([(Path(partial), summary)])
        first = next(iter(notes.skipped), {})
        if not found:
            why = f"{first['file']}: {first['reason']}"
            raise InputError("motions", f"none of {len(motions)} can be used; the first, {why}")
        if len(found) > 1:
            shown = ", ".join(f"{one.layout.name} of {len(one.layout)} joints, {one.coords}-D" for one in found)
            hint = "Map all to one with layout="
            raise InputError("motions", f"{len(found)} kinds: {shown}", "one layout, 2-D or 3-D", hint)
        names = [motion.source for motion in motions]
        plan = Plan(Path("memory"), folder, Path(partial), options, names, [], {}, [], "")
        prepare.join(plan, found[0], [summary], folder)
    if first:
        what = f"{len(notes.skipped)} of {len(motions)} motions are left out"
        warnings.warn(f"{what}; the first, {first['file']}: {first['reason']}", stacklevel=4)
    return Store(folder)
