"""Two runs, or two sets of runs, on the same test clips: how far they are apart, paired over clips and seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.errors import InputError
from . import plan as plans
from .groups import differences, paired
from .run import Rows, evaluate
from .scores import Row

if TYPE_CHECKING:
    from rich.table import Table

    from ..data.splits import Split
    from ..data.store import Store


def compare(
    one: Any,
    other: Any,
    store: Store | str | os.PathLike,
    protocols: str | Sequence[str] = plans.DEFAULT,
    split: str | Split = "random",
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    copies: bool = True,
    progress: bool = False,
) -> list[Row]:
    """Score two runs by the same protocols on the same clips, and say how sure the difference is.

    The interval (95 %) is a bootstrap over test clips and, where either side has several, over its runs and seeds. If
    both sides have the same ones, each is compared with its like: seed 0 with seed 0, whatever both have in common
    drops out. Else runs are drawn on either side by themselves.

    Args:
        one, other: a run, its folder, a folder of runs (``runs/moco`` with ``seed-0``, ``seed-1``, ...), or a list.
        store: labelled clips.
        protocols: those that tell what became of each test clip are compared; see :func:`kineme.evaluate`.
        split: as there.
        seeds: as there.
        settings: as there.
        copies: as there.
        progress: show a bar.

    Returns:
        A row for each protocol and metric: ``one``, ``other`` (the means), ``difference``, ``low``, ``high``,
        ``only_one``, ``only_other`` (how many clips come out better on one side), ``test`` (clips), ``runs`` (of
        either side), ``paired``, ``notes``.

    Raises:
        InputError: as :func:`kineme.evaluate`; protocols that tell nothing of single clips.

    Examples:
        >>> from kineme.evaluation.compare import compare
        >>> (row, _) = compare(model, model.untrained(), store, ["knn"])
        >>> row["metric"], row["low"] <= row["difference"] <= row["high"]
        ('1-NN', True)
    """
    how: dict[str, Any] = {"split": split, "seeds": seeds, "settings": settings, "copies": copies, "progress": progress}
    sides = [evaluate(runs(side), store, protocols, untrained=False, baseline=False, **how) for side in (one, other)]
    first, second = map(_units, sides)
    rows = [
        _apart(protocol, metric, first[protocol, metric], second[protocol, metric], sides)
        for protocol, metric in first
        if (protocol, metric) in second
    ]
    if not rows:
        names = ", ".join(dict.fromkeys(row["protocol"] for row in sides[0]))
        raise InputError("compare", f"protocols that tell nothing of single clips: {names}", "such as knn or linear")
    return rows


def runs(what: Any) -> Any:
    """A folder of runs as these, in the order of their names; anything else as it is.

    Examples:
        >>> runs(run) == run
        True
    """
    if not isinstance(what, (str, os.PathLike)) or (Path(what) / "card.json").exists():
        return what
    inner = sorted(path.parent for path in Path(what).glob("*/card.json"))
    return inner or what


def verdict(row: Row, names: Sequence[str] = ("the first", "the second")) -> str:
    """What a row says, as a sentence."""
    counts = " and ".join(f"{count} run{'s' if count > 1 else ''}" for count in row["runs"])
    figure = (
        f"{row['protocol']} {row['metric']}: {row['difference']:+.3f}, 95 % interval {row['low']:+.3f} to "
        f"{row['high']:+.3f} over {row['test']} test clips, {counts}"
    )
    if row["higher_is_better"] is None:
        return f"{figure}."
    if row["low"] <= 0 <= row["high"]:
        return f"{figure}: undecided."
    better = (row["difference"] > 0) == row["higher_is_better"]
    ahead = f"{figure}: {names[0] if better else names[1]} is ahead"
    return f"{ahead} on these clips; another seed may differ." if min(row["runs"]) == 1 else f"{ahead}."


def table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The comparison as a table for people, the sentences beneath it."""
    from rich.table import Table

    said = [verdict(row, names) for row in rows] + list(dict.fromkeys(f"{n}." for row in rows for n in row["notes"]))
    made = Table(title=f"{names[0]} against {names[1]} on {rows[0]['split']}", caption="\n".join(said))
    made.caption_justify = "left"
    for heading in ("protocol", "metric"):
        made.add_column(heading)
    for heading in (*names, "difference", "95 % interval", "clips better / worse"):
        made.add_column(heading, justify="right")
    for row in rows:
        made.add_row(
            row["protocol"],
            row["metric"],
            f"{row['one']:.3f}",
            f"{row['other']:.3f}",
            f"{row['difference']:+.3f}",
            f"[{row['low']:+.3f}, {row['high']:+.3f}]",
            f"{row['only_one']} / {row['only_other']}",
        )
    return made


Units = dict[tuple[str, str], dict[tuple[Any, int], np.ndarray]]
"""(protocol, metric) -> (seed of the run, seed of the probe) -> what became of each clip."""


def _units(rows: Rows) -> Units:
    found: Units = {}
    order: dict[str, int] = {}  # of runs that do not say their seed
    for row, outcome in rows.told:
        own = order.setdefault(row["training"], len(order)) if row["run_seed"] is None else row["run_seed"]
        units = found.setdefault((row["protocol"], row["metric"]), {})
        units[own if (own, row["seed"]) not in units else row["training"], row["seed"]] = outcome.values
    return found


def _apart(protocol: str, metric: str, one: dict, other: dict, sides: Sequence[Rows]) -> Row:
    """The row of one metric."""
    same = one.keys() == other.keys()
    stacks = [np.stack(list(one.values())), np.stack([other[key] for key in (one if same else other)])]
    alike = same or len(one) == len(other) == 1
    if alike:
        apart, (low, high) = paired(*stacks)
    else:
        each = {side: {str(k): row for k, row in enumerate(stack)} for side, stack in zip(("one", "other"), stacks)}
        (found,) = differences(each)
        low, high = found["low"], found["high"]
        counted = np.isfinite(np.concatenate(stacks)).all(0)
        apart = (stacks[0].mean(0) - stacks[1].mean(0))[counted]
    row = next(row for row in sides[0] if (row["protocol"], row["metric"]) == (protocol, metric))
    means = [float(np.nanmean(stack)) for stack in stacks]
    better = apart if row["higher_is_better"] is not False else -apart
    return {
        **{name: row[name] for name in ("protocol", "probe", "metric", "split", "higher_is_better")},
        "one": means[0],
        "other": means[1],
        "difference": float(apart.mean()),
        "low": low,
        "high": high,
        "only_one": int((better > 1e-9).sum()),
        "only_other": int((better < -1e-9).sum()),
        "test": len(apart),
        "runs": [len({row["training"] for row in side}) for side in sides],
        "paired": alike,
        "notes": list(dict.fromkeys(note for side in sides for note in side[0]["notes"])),
    }
