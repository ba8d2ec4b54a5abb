"""Rows of scores become a summary, verdicts and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table

TRAINED, UNTRAINED, HAND_CRAFTED = "trained", "untrained", "hand-crafted"


Row = dict[str, Any]


def summary(rows: Sequence[Row]) -> list[Row]:
    """Mean and spread of the scores over runs and seeds.

    Returns:
        One row for each (protocol, probe, metric, split, features): ``mean``, ``spread`` (max - min), ``std``
        (of the sample; 0 for a single score), ``n`` (number of scores), ``train``, ``test``, ``classes``,
        ``higher_is_better``.
    """
    names = ("protocol", "probe", "metric", "split", "features", "train", "test", "classes", "higher_is_better")
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple({"higher_is_better": True, **row}[name] for name in names), []).append(row["score"])
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

    Trained features win against the untrained encoder only if the means differ by more than the larger of the two
    spreads. Where lower is better, the figures are only named.
    """
    means = summary(rows)
    said = []
    for trained in (m for m in means if m["features"] == TRAINED and m["higher_is_better"] is not None):
        figure = f"{trained['protocol']} {trained['metric']} on {trained['split']}: trained {trained['mean']:.3f}"
        if not trained["higher_is_better"]:
            others = {"untrained encoder": UNTRAINED, "hand-crafted features": HAND_CRAFTED}
            beside = [
                f"{name} {mean['mean']:.3f}" for name, kind in others.items() if (mean := _beside(means, trained, kind))
            ]
            said.append(f"{figure}; lower is better{''.join(f', {figure}' for figure in beside)}.")
            continue
        if rival := _beside(means, trained, UNTRAINED):
            said.append(f"{figure} {_against(trained, rival)}.")
        if (hand := _beside(means, trained, HAND_CRAFTED)) and trained["mean"] <= hand["mean"]:
            said.append(f"{figure} does NOT beat the hand-crafted features ({hand['mean']:.3f}).")
    sides = dict.fromkeys((row["split"], row["unlabelled"], tuple(row["unseen"])) for row in rows)
    for split, missing, unseen in sides:
        if missing:
            said.append(f"{split}: {missing} clips without a label were left out.")
        if unseen:
            said.append(f"{split}: no training clip shows {', '.join(unseen)}; test clips of these count as errors.")
    said += dict.fromkeys(f"{row['split']}: {note}." for row in rows for note in row.get("notes", ()))
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
    for heading in (TRAINED, UNTRAINED, HAND_CRAFTED):
        result.add_column(heading, justify="right")
    for mean in (mean for mean in means if mean["features"] == TRAINED):
        scores = (mean, _beside(means, mean, UNTRAINED), _beside(means, mean, HAND_CRAFTED))
        result.add_row(*(mean[name] for name in ("protocol", "probe", "metric", "split")), *map(_cell, scores))
    return result


def _beside(means: Sequence[Row], trained: Row, kind: str) -> Row | None:
    """The figure reported with a trained one: same protocol, metric and split; the baseline has its own probe."""
    keys = ("protocol", "metric", "split") if kind == HAND_CRAFTED else ("protocol", "metric", "split", "probe")
    return next(
        (mean for mean in means if mean["features"] == kind and all(mean[key] == trained[key] for key in keys)), None
    )


def _against(trained: Row, rival: Row) -> str:
    gain, spread = trained["mean"] - rival["mean"], max(trained["spread"], rival["spread"])
    other, n = f"the untrained encoder ({rival['mean']:.3f})", min(trained["n"], rival["n"])
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
