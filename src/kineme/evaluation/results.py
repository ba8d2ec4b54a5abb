"""A comparison of methods over sets: one JSON for every finished run; page and heat maps are drawn from these alone.

A record (``FOLDER/SET/METHOD-sSEED.json``, hand-crafted features in ``FOLDER/SET/baseline.json``) has the entries of
:class:`Record`. Whoever has trained and scored a run elsewhere writes one with :func:`record` and :func:`save`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.files import read_json, write_json
from ..viz import svg
from .scores import HAND_CRAFTED, TRAINED, UNTRAINED, Row

BASELINE = "baseline"  # the method's name in the record of hand-crafted features
NOT_RUN = "not run"


@dataclass(frozen=True)
class Record:
    """One finished run with its scores, or the hand-crafted features of a set.

    Attributes:
        set, method: their names in the plan.
        seed: of the training; None of hand-crafted features.
        scores: ``PROTOCOL METRIC`` -> features (trained, untrained, hand-crafted) -> score, mean over probe seeds.
        split, train, test: what was scored, with the numbers of labelled clips.
        store: SHA-256 of the clips.
        scoring_seconds: that scoring took.
        commands: what to type for it.
        kineme, revision, processor, threads, torch: with what it was made.
        intervals: ``PROTOCOL METRIC`` -> 95 % interval of the trained run over test clips.
        rivals: ``PROTOCOL METRIC`` of a baseline -> protocols that it stands beside, too.
        steps, seconds: of the training, with its initial stage.
        weights: SHA-256 of them.
        seen: how many test clips the run was trained on.
    """

    set: str
    method: str
    seed: int | None
    scores: dict[str, dict[str, float]]
    split: str
    train: int
    test: int
    store: str
    scoring_seconds: float
    commands: tuple[str, ...]
    kineme: str
    revision: str
    processor: str
    threads: int
    torch: str
    intervals: dict[str, tuple[float, ...]] = field(default_factory=dict)
    rivals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    weights: str = ""
    seen: int = 0

    @property
    def file(self) -> str:
        """Its place below the folder of records."""
        return f"{self.set}/{self.method}.json" if self.seed is None else f"{self.set}/{self.method}-s{self.seed}.json"


def record(rows: Any, where: Mapping[str, Any], model: Any = None, seconds: float = 0.0, steps: int = 0) -> Record:
    """The record of one evaluated run.

    Args:
        rows: what :func:`kineme.evaluate` gave of it, or :func:`kineme.evaluation.baseline`.
        where: ``set``, ``method``, ``commands``, ``kineme``, ``revision``, ``processor``, ``threads``, ``torch``.
        model: the run; None of hand-crafted features.
        seconds, steps: of its training with its initial stage.
    """
    kinds = (HAND_CRAFTED,) if model is None else (TRAINED, UNTRAINED)
    own = [row for row in rows if row["features"] in kinds]
    scores: dict[str, dict[str, float]] = {}
    for name, kind in dict.fromkeys((_name(row), row["features"]) for row in own):
        found = [row["score"] for row in own if (_name(row), row["features"]) == (name, kind)]
        scores.setdefault(name, {})[kind] = round(float(np.mean(found)), 6)
    first = own[0]
    between = {_name(row): row["interval"] for row in own if row["features"] != UNTRAINED and row.get("interval")}
    return Record(
        seed=None if model is None else model.card["seed"],
        scores=scores,
        intervals={name: tuple(round(value, 6) for value in each) for name, each in between.items()},
        rivals={_name(row): tuple(row["rivals"]) for row in own if row.get("rivals")},
        split=first["split"],
        train=first["train"],
        test=first["test"],
        store=rows.task.store.hash,
        scoring_seconds=round(rows.seconds, 1),
        steps=steps,
        seconds=round(seconds, 1),
        weights="" if model is None else model.hash,
        seen=first.get("seen", 0),
        **where,
    )


def save(made: Record, folder: str | os.PathLike) -> Path:
    """Write a record to its place below a folder."""
    path = Path(folder) / made.file
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, dataclasses.asdict(made))
    return path


def read(folder: str | os.PathLike) -> list[Record]:
    """All records below a folder, by their names.

    Raises:
        InputError: one that is not a record, lacks an entry, or lies in another place than its entries say.
    """
    found = []
    for path in sorted(Path(folder).glob("*/*.json")):
        table = read_json(path, "a record of a run")
        if not isinstance(table, dict):
            raise InputError(path, f"a {type(table).__name__}", "the record of a run")
        fields = dataclasses.fields(Record)
        missing = [each.name for each in fields if each.name not in table]
        if missing:
            raise InputError(path, f"no {missing[0]}", f"entries {', '.join(each.name for each in fields)}")
        made = plain.make(Record, table, str(path))
        if Path(folder) / made.file != path:
            raise InputError(path, f"the record of {made.file}", "a record in its own place")
        found.append(made)
    return found


# ------------------------------------------------------------------------------------------------ what they say


@dataclass(frozen=True)
class Cell:
    """A method on a set under one metric.

    Attributes:
        mean, spread, n: of the trained runs (spread: largest minus smallest).
        untrained, untrained_spread: of their encoders before training.
        rival: the best baseline: hand-crafted features by this metric or by a rival protocol, or the untrained mean.
    """

    mean: float
    spread: float
    n: int
    untrained: float
    untrained_spread: float
    rival: float

    @property
    def gain(self) -> float:
        """Distance to the best baseline."""
        return self.mean - self.rival

    @property
    def sure(self) -> bool:
        """Whether the distance exceeds the spread, of either; of a single run that cannot be told."""
        return self.n > 1 and abs(self.gain) > max(self.spread, self.untrained_spread)


def cell(records: Sequence[Record], set_: str, method: str, metric: str) -> Cell | None:
    """What is recorded of a method on a set; None where nothing is."""
    runs = [each for each in records if (each.set, each.method) == (set_, method) and metric in each.scores]
    if not runs:
        return None
    trained = [run.scores[metric][TRAINED] for run in runs]
    before = [run.scores[metric][UNTRAINED] for run in runs if UNTRAINED in run.scores[metric]]
    untrained = float(np.mean(before)) if before else float("nan")
    rivals = [*hand_crafted(records, set_, metric).values(), *([untrained] if before else [])]
    if not rivals:
        raise InputError(f"records of {set_}", f"no baseline of {metric}", f"{set_}/{BASELINE}.json")
    return Cell(
        float(np.mean(trained)),
        max(trained) - min(trained),
        len(trained),
        untrained,
        max(before) - min(before) if before else 0.0,
        max(rivals),
    )


def hand_crafted(records: Sequence[Record], set_: str, metric: str) -> dict[str, float]:
    """Scores of hand-crafted features by a metric and by the rivals of its protocol."""
    found = {}
    for each in records:
        if (each.set, each.method) == (set_, BASELINE):
            protocol = metric.partition(" ")[0]
            for name, scores in each.scores.items():
                if name == metric or protocol in each.rivals.get(name, ()):
                    found[name] = scores[HAND_CRAFTED]
    return found


def page(records: Sequence[Record], sets: Mapping[str, str], methods: Mapping[str, str], metrics: Sequence[str]) -> str:
    """A page in Markdown: a table for each set of which something is recorded, the heat maps, what was not run.

    Args:
        records: all that there are.
        sets, methods: name -> what the page calls it, in the order of the page.
        metrics: ``PROTOCOL METRIC``.
    """
    told = [name for name in sets if any(each.set == name for each in records)]
    lines = ["# Methods on every set", "", "<!-- written by `make results`: edit bench/results.toml or records -->", ""]
    lines += [
        "Nothing is chosen on a test part. Mean over runs of different seeds, in brackets the largest minus",
        "the smallest. *Best baseline*: the largest of hand-crafted features, a support vector machine on",
        "them, and the untrained encoder; **bold** where a method is ahead of it by more than the spread,",
        "which one run does not have. Drawn from the records in `docs/results/recorded/`; how to add to",
        "them: [reproduce](../reproduce.md#the-comparison-of-all-methods).",
        "",
    ]
    lines += [f"![Difference to the best baseline, {metric}](methods-{slug(metric)}.svg)\n" for metric in metrics]
    for name in told:
        lines += [f"## {sets[name]}", "", *_table(records, name, methods, metrics), ""]
    if left := [title for name, title in sets.items() if name not in told]:
        lines += ["## Not run", "", *(f"* {title}: nothing has been run." for title in left), ""]
    return "\n".join(lines)


def heat_map(records: Sequence[Record], sets: Mapping[str, str], methods: Mapping[str, str], metric: str) -> str:
    """An SVG: sets by methods, the difference to the best baseline, marked where it exceeds the spread."""
    cells = [[cell(records, name, method, metric) for method in methods] for name in sets]
    values = [[None if each is None else each.gain for each in row] for row in cells]
    marked = [[each is not None and each.sure for each in row] for row in cells]
    label = f"{_title(metric)}: difference to the best baseline; ● more than the spread of the seeds"
    drawn = svg.heat(values, marked, list(sets.values()), list(methods.values()), NOT_RUN, label)
    return svg.standalone(drawn)


def write(
    folder: str | os.PathLike,
    records: Sequence[Record],
    sets: Mapping[str, str],
    methods: Mapping[str, str],
    metrics: Sequence[str],
) -> list[Path]:
    """Write ``methods.md`` and a heat map for each metric into a folder; the paths."""
    made = drawn(records, sets, methods, metrics)
    for name, text in made.items():
        (Path(folder) / name).write_text(text, encoding="utf-8")
    return [Path(folder) / name for name in made]


def drawn(
    records: Sequence[Record], sets: Mapping[str, str], methods: Mapping[str, str], metrics: Sequence[str]
) -> dict[str, str]:
    """The page and the heat maps: name of the file -> its text.

    Raises:
        InputError: a record of a set or a method that is not named.
    """
    for each in records:
        known = {"set": (each.set, sets), "method": (each.method, [*methods, BASELINE])}
        for word, (name, names) in known.items():
            if name not in names:
                raise InputError(f"record {each.file}", f"{word} {name}", f"one of the plan: {', '.join(names)}")
    maps = {f"methods-{slug(metric)}.svg": heat_map(records, sets, methods, metric) for metric in metrics}
    return {"methods.md": page(records, sets, methods, metrics), **maps}


def slug(metric: str) -> str:
    """A metric as part of a file's name.

    Examples:
        >>> slug("knn 1-NN")
        'knn-1-nn'
    """
    return "-".join(metric.lower().replace("@", " ").split())


def _table(records: Sequence[Record], name: str, methods: Mapping[str, str], metrics: Sequence[str]) -> list[str]:
    """The methods on one set."""
    heads = [word for metric in metrics for word in (_title(metric), "untrained")]
    lines = [f"| method | {' | '.join(heads)} | runs | steps | training, s |", f"|---|{'---|' * (len(heads) + 3)}"]
    left = [title for method, title in methods.items() if cell(records, name, method, metrics[0]) is None]
    for method, title in methods.items():
        runs = [each for each in records if (each.set, each.method) == (name, method)]
        if title in left:
            continue
        figures = [_pair(cell(records, name, method, metric)) for metric in metrics]
        steps = " / ".join(dict.fromkeys(f"{run.steps:,}" for run in runs))
        seconds = float(np.mean([run.seconds for run in runs]))
        lines.append(f"| {title} | {' | '.join(figures)} | {len(runs)} | {steps} | {seconds:.0f} |")
    known = [hand_crafted(records, name, metric) for metric in metrics]
    best = " | ".join(f"{found[metric]:.3f} | " if metric in found else "- | " for metric, found in zip(metrics, known))
    lines.append(f"| hand-crafted | {best} | | | |")
    for rival in dict.fromkeys(each for metric, found in zip(metrics, known) for each in found if each != metric):
        figures = [f"{found[rival]:.3f} | " if rival in found else "- | " for found in known]
        lines.append(f"| hand-crafted, {rival} | {' | '.join(figures)} | | | |")
    first = next(each for each in records if each.set == name)
    told = [f"{first.train:,} training clips, {first.test:,} test clips ({first.split})."]
    seen = max(each.seen for each in records if each.set == name)
    told += [f"{seen} test clips are among the clips that encoders were trained on."] if seen else []
    missing = ["", f"{NOT_RUN.capitalize()} on this set: {', '.join(left)}."] if left else []
    return [" ".join(told), "", *lines, *missing]


def _pair(found: Cell | None) -> str:
    """Two cells of a table: trained and untrained."""
    if found is None:
        return "- | -"
    mean = f"**{found.mean:.3f}**" if found.sure and found.gain > 0 else f"{found.mean:.3f}"
    spread, before = (f" ({each:.3f})" if found.n > 1 else "" for each in (found.spread, found.untrained_spread))
    return f"{mean}{spread} | {found.untrained:.3f}{before}"


def _title(metric: str) -> str:
    """A metric for people: the protocol alone, or the metric alone where that says it."""
    protocol, _, name = metric.partition(" ")
    return protocol if name == "accuracy" else name


def _name(row: Row) -> str:
    return f"{row['protocol']} {row['metric']}"
