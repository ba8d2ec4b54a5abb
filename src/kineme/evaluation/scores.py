"""Rows of scores become a summary, verdicts and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table

LEARNED, RANDOM, FLOOR = "learned", "random", "hand-made"


Row = dict[str, Any]


def summary(rows: Sequence[Row]) -> list[Row]:
    """Mean and spread of the scores over runs and seeds.

    Returns:
        One row for each (protocol, probe, metric, split, who): ``mean``, ``spread`` (largest minus smallest), ``std``
        (of the sample; 0 for a single score), ``n`` (number of scores), ``train``, ``test``, ``classes``, ``wants``.
    """
    names = ("protocol", "probe", "metric", "split", "who", "train", "test", "classes", "wants")
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple({"wants": 1, **row}[name] for name in names), []).append(row["score"])
    return [
        dict(zip(names, key))
        | {
            "mean": float(np.mean(scores)),
            "spread": max(scores) - min(scores),
            "std": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
            "n": len(scores),
        }
        for key, scores in groups.items()
    ]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """What was won and what was not, in sentences, and which clips are not what they seem.

    Learned features win against random weights only if the means differ by more than the larger of the two spreads.
    Where less is better, the figures are only named.
    """
    means = summary(rows)
    said = []
    for learned in (mean for mean in means if mean["who"] == LEARNED and mean["wants"]):
        figure = f"{learned['protocol']} {learned['metric']} on {learned['split']}: learned {learned['mean']:.3f}"
        if learned["wants"] < 0:
            others = {"random weights": RANDOM, "hand-made features": FLOOR}
            beside = [
                f"{name} {mean['mean']:.3f}" for name, who in others.items() if (mean := _beside(means, learned, who))
            ]
            said.append(f"{figure}; the less the better{''.join(f', {figure}' for figure in beside)}.")
            continue
        if rival := _beside(means, learned, RANDOM):
            said.append(f"{figure} {_against(learned, rival)}.")
        if (hand := _beside(means, learned, FLOOR)) and learned["mean"] <= hand["mean"]:
            said.append(f"{figure} does NOT beat the hand-made features ({hand['mean']:.3f}).")
    sides = dict.fromkeys((row["split"], row["unlabelled"], tuple(row["unseen"])) for row in rows)
    for split, missing, unseen in sides:
        if missing:
            said.append(f"{split}: {missing} clips without a label were left out.")
        if unseen:
            said.append(f"{split}: no training clip shows {', '.join(unseen)}; test clips of these count as errors.")
    return said


def table(rows: Sequence[Row]) -> Table:
    """The scores as a table for people, the verdicts beneath it."""
    from rich.table import Table

    means = summary(rows)
    sides = dict.fromkeys(
        "{split}: {train} training clips, {test} test clips, {classes} classes".format(**mean) for mean in means
    )
    result = Table(title="\n".join(sides), caption="\n".join(verdicts(rows)), caption_justify="left")
    for heading in ("protocol", "probe", "metric", "split"):
        result.add_column(heading)
    for heading in (LEARNED, RANDOM, FLOOR):
        result.add_column(heading, justify="right")
    for mean in (mean for mean in means if mean["who"] == LEARNED):
        scores = (mean, _beside(means, mean, RANDOM), _beside(means, mean, FLOOR))
        result.add_row(*(mean[name] for name in ("protocol", "probe", "metric", "split")), *map(_cell, scores))
    return result


def _beside(means: Sequence[Row], learned: Row, who: str) -> Row | None:
    """The figure that stands beside a learned one: same protocol, metric and split; the floor has its own probe."""
    keys = ("protocol", "metric", "split") if who == FLOOR else ("protocol", "metric", "split", "probe")
    return next((mean for mean in means if mean["who"] == who and all(mean[key] == learned[key] for key in keys)), None)


def _against(learned: Row, rival: Row) -> str:
    gain, spread = learned["mean"] - rival["mean"], max(learned["spread"], rival["spread"])
    other, n = f"random weights ({rival['mean']:.3f})", min(learned["n"], rival["n"])
    if gain <= 0:
        return f"does NOT beat {other}"
    if n == 1:
        return f"is {gain:.3f} above {other}; one score has no spread: only more runs can tell whether that is chance"
    if gain <= spread + 1e-9:  # equal but for rounding
        return f"does NOT beat {other} by more than the spread: {gain:.3f} against {spread:.3f}"
    return f"beats {other} by {gain:.3f}, more than the spread of {spread:.3f} ({n} scores each)"


def _cell(mean: Row | None) -> str:
    if mean is None:
        return "-"
    return f"{mean['mean']:.3f}" + (f" (spread {mean['spread']:.3f}, n = {mean['n']})" if mean["n"] > 1 else "")
