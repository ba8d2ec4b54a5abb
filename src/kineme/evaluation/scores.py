"""Rows of scores become a summary, verdicts and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table

TRAINED, UNTRAINED, HAND_CRAFTED = "trained", "untrained", "hand-crafted"
DIFFERENCE = "difference"  # between two groups of trained runs, on the same test clips
MANY = 12  # figures of trained runs; of more, what was won and what was not is gathered in a sentence or two
SHOWN = ("group", "protocol", "probe", "metric", "split")


Row = dict[str, Any]


class Contestant(NamedTuple):
    """Whose scores are averaged: a group of trained runs, the same before training, or hand-crafted features."""

    features: str
    group: str

    def name(self, several: bool) -> str:
        """For people; ``several``: there are several groups."""
        if not several or not self.group:
            return self.features
        return self.group if self.features == TRAINED else f"{self.group}, {self.features}"


def contestants(rows: Sequence[Row]) -> dict[Contestant, str]:
    """Everybody who was scored, with a name: each group of trained runs, then untrained ones, then the baseline.

    Examples:
        >>> rows = kineme.evaluate(model, store, ["knn"])
        >>> list(contestants(rows).values())
        ['trained', 'untrained', 'hand-crafted']
    """
    found = dict.fromkeys(
        Contestant(kind, row.get("group", ""))
        for kind in (TRAINED, UNTRAINED, HAND_CRAFTED)
        for row in rows
        if row["features"] == kind
    )
    several = len({each.group for each in found if each.features == TRAINED}) > 1
    return {each: each.name(several) for each in found}


def summary(rows: Sequence[Row]) -> list[Row]:
    """Mean and spread of the scores over trainings.

    The seeds of a probe are averaged first: a training is one value, however often it was scored or named. Runs of
    different methods or settings (``group``) are never averaged.

    Returns:
        One row for each (group, protocol, probe, metric, split, features): ``mean``, ``spread`` (max - min), ``std``
        (of the sample; 0 for a single training), ``n`` (number of distinct trainings), ``interval`` (of the mean over
        test clips; None where it is not known), ``train``, ``test``, ``classes``, ``higher_is_better``.
    """
    names = (*SHOWN, "features", "train", "test", "classes", "higher_is_better")
    groups: dict[tuple, dict[str, list[float]]] = {}
    intervals: dict[tuple, list[list[float]]] = {}
    for row in rows:
        if row["features"] != DIFFERENCE:
            key = tuple({"higher_is_better": True, "group": "", **row}[name] for name in names)
            groups.setdefault(key, {}).setdefault(str(row.get("training", row["run"])), []).append(row["score"])
            if row.get("interval"):
                intervals.setdefault(key, []).append(row["interval"])
    found = []
    for key, trainings in groups.items():
        scores = [float(np.mean(each)) for each in trainings.values()]
        told = intervals.get(key, [None])
        found.append(
            dict(zip(names, key))
            | {
                "mean": float(np.mean(scores)),
                "spread": max(scores) - min(scores),
                "std": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
                "n": len(scores),
                # those of trainings that were scored one by one say nothing of their mean
                "interval": told[0] if all(each == told[0] for each in told) else None,
            }
        )
    return found


def verdicts(rows: Sequence[Row]) -> list[str]:
    """What was won and what was not, in sentences, and which clips are not what they seem.

    Trained features win against the untrained encoder only if the means differ by more than the larger of the two
    spreads over trainings; one training wins nothing. Where lower is better, the figures are only named. Of more than
    ``MANY`` figures the sentences only count them and name those that were not won.
    """
    means = summary(rows)
    several = len(_groups(means)) > 1
    rivals = [row for row in rows if row.get("rivals")]
    said = list(_not_unseen(rows))
    compared = [m for m in means if m["features"] == TRAINED and m["higher_is_better"] is not None]
    if len(compared) > MANY:
        said += _gathered(means, compared, several)
        compared = []
    for trained in compared:
        place = f"{trained['protocol']} {trained['metric']} on {trained['split']}"
        figure = f"{place}: {trained['group'] + ' ' if several else ''}trained {trained['mean']:.3f}"
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
        near = [r for r in rivals if trained["protocol"] in r["rivals"] and r["split"] == trained["split"]]
        if near and trained["mean"] <= (best := max(near, key=lambda row: row["score"]))["score"]:
            name = f"{best['protocol']} on hand-crafted features"
            said.append(f"{figure} does NOT beat {name} ({best['score']:.3f}).")
    said += [_apart(row) for row in rows if row["features"] == DIFFERENCE]
    said += _forms(rows)
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
    names = SHOWN if len(_groups(means)) > 1 else SHOWN[1:]
    for heading in ("runs", *names[1:]) if names is SHOWN else names:
        result.add_column(heading)
    trained = [mean for mean in means if mean["features"] == TRAINED]
    kinds = (TRAINED, UNTRAINED, HAND_CRAFTED) if trained else (HAND_CRAFTED,)
    for heading in kinds:
        result.add_column(heading, justify="right")
    for mean in trained:
        scores = (mean, _beside(means, mean, UNTRAINED), _beside(means, mean, HAND_CRAFTED))
        result.add_row(*(mean[name] for name in names), *map(_cell, scores))
    for mean in means:  # what nothing trained stands beside
        if mean["features"] == HAND_CRAFTED and all(_beside([mean], each, HAND_CRAFTED) is None for each in trained):
            result.add_row(*(mean[name] for name in names), *["-"] * (len(kinds) - 1), _cell(mean))
    return result


def _gathered(means: Sequence[Row], compared: Sequence[Row], several: bool) -> Iterator[str]:
    """What was won and what was not, of many figures of each group."""
    for split, group in dict.fromkeys((mean["split"], mean["group"]) for mean in compared):
        own = [mean for mean in compared if (mean["split"], mean["group"]) == (split, group)]
        who = f"{split}: {group + ' ' if several else ''}trained"
        pairs = [(mean, rival) for mean in own if (rival := _beside(means, mean, UNTRAINED))]
        if pairs:
            alone = min(min(mean["n"], rival["n"]) for mean, rival in pairs) == 1
            lost = [mean for mean, rival in pairs if _gain(mean, rival) <= (0 if alone else _spread(mean, rival))]
            much = "" if alone else " by more than the spread"
            chance = "; one run has no spread: only more runs can tell whether that is chance" if alone else ""
            won = f"{len(pairs) - len(lost)} of {len(pairs)} figures"
            yield f"{who} is better than the untrained encoder{much} in {won}{_but(lost, 'not in ')}{chance}."
        hands = [(mean, hand) for mean in own if (hand := _beside(means, mean, HAND_CRAFTED))]
        if lost := [mean for mean, hand in hands if _gain(mean, hand) <= 0]:
            yield f"{who} does NOT beat the hand-crafted features in {len(lost)} of {len(hands)} figures{_but(lost)}."


def _gain(mean: Row, rival: Row) -> float:
    return (mean["mean"] - rival["mean"]) * (1 if mean["higher_is_better"] else -1)


def _spread(mean: Row, rival: Row) -> float:
    return max(mean["spread"], rival["spread"]) + 1e-9  # equal but for rounding


def _but(lost: Sequence[Row], words: str = "") -> str:
    """Which figures were not won."""
    names = [f"{mean['protocol']} {mean['metric']}" for mean in lost]
    return f" ({words}{', '.join(names)})" if names else ""


def _groups(means: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(mean["group"] for mean in means if mean["features"] == TRAINED))


def _beside(means: Sequence[Row], trained: Row, kind: str) -> Row | None:
    """The figure reported with a trained one: same protocol, metric and split; the baseline has its own probe, and is
    of no group.
    """
    keys: tuple[str, ...] = ("protocol", "metric", "split")
    keys += () if kind == HAND_CRAFTED else ("probe", "group")
    return next(
        (mean for mean in means if mean["features"] == kind and all(mean[key] == trained[key] for key in keys)), None
    )


def _against(trained: Row, rival: Row) -> str:
    gain, spread = trained["mean"] - rival["mean"], max(trained["spread"], rival["spread"])
    other, n = f"the untrained encoder ({rival['mean']:.3f})", min(trained["n"], rival["n"])
    alone = "; one run has no spread: only more runs can tell whether that is chance" if n == 1 else ""
    if gain <= 0:
        return f"does NOT beat {other}{alone}"
    if alone:
        return f"is {gain:.3f} above {other}{alone}"
    if gain <= spread + 1e-9:  # equal but for rounding
        return f"does NOT beat {other} by more than the spread: {gain:.3f} against {spread:.3f}"
    return f"beats {other} by {gain:.3f}, more than the spread of {spread:.3f} ({n} training runs each)"


def _not_unseen(rows: Sequence[Row]) -> Iterator[str]:
    """Which runs know the clips that they are tested on."""
    runs = dict.fromkeys(
        (row["split"], row["run"], row["seen"], row["test"], row["seen_is_known"])
        for row in rows
        if row.get("seen") is not None
    )
    for split, run, seen, test, known in runs:
        if seen:
            yield (
                f"{split}: {run}, or a run that it began with, was TRAINED ON {seen} of the {test} test clips: its "
                "scores are not those of a test."
            )
        elif not known:
            yield f"{split}: which clips {run} was trained on is not recorded: they may be among the test clips."


def _apart(row: Row) -> str:
    """What a paired difference of two groups says."""
    ones = [f"{count} run{'s' if count > 1 else ''}" for count in row["runs"]]
    figure = (
        f"{row['protocol']} {row['metric']} on {row['split']}: {row['group']} against {row['other']}: "
        f"{row['score']:+.3f}, 95 % interval {row['low']:+.3f} to {row['high']:+.3f} over {row['test']} test clips"
    )
    if min(row["runs"]) == 1:
        return f"{figure}, {' and '.join(ones)}: another seed may differ, no verdict."
    if row["low"] <= 0 <= row["high"]:
        return f"{figure}, {' and '.join(ones)}: undecided."
    return f"{figure}, {' and '.join(ones)}: {row['group'] if row['score'] > 0 else row['other']} is ahead."


def _forms(rows: Sequence[Row]) -> Iterator[str]:
    """Which form of the hand-crafted features the figures are of."""
    found = [
        row for row in rows if len(row.get("forms", ())) > 1 and row.get("higher_is_better", True) and row["seed"] == 0
    ]
    for split in dict.fromkeys(row["split"] for row in found):
        here = [row for row in found if row["split"] == split]
        many = max(len(row["forms"]) for row in here)
        best = "; ".join(f"{row['protocol']} {row['metric']}: {row['form']}" for row in here)
        best = best if len(here) <= MANY else "the rows say which"
        yield (
            f"{split}: hand-crafted is the best of up to {many} forms, chosen on the test clips in its favour ({best})."
        )


def _cell(mean: Row | None) -> str:
    if mean is None:
        return "-"
    between = " [{:.3f}, {:.3f}]".format(*mean["interval"]) if mean["interval"] else ""
    spread = f" (spread {mean['spread']:.3f}, n = {mean['n']})" if mean["n"] > 1 else ""
    return f"{mean['mean']:.3f}{between}{spread}"
