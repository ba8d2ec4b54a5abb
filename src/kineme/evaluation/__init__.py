"""Scores of encoders: the task that a protocol is given, runs of many protocols, and a table that says what was won.

A protocol is one file of this room. Its name is the file's name, its description the first line of its docstring, and
it defines

* ``Settings``: a dataclass of plain values, each of which can be set by name (``--set knn.k=1,20``);
* ``score(task, settings) -> {metric: score}``;

and, where they apply,

* ``seeded(settings) -> bool``: whether the seed changes anything. Where it does not, a single seed is run, because a
  repeat is no measurement;
* ``floor(settings) -> (form, settings)``: the form of hand-made features (``_floor.FORMS``) that stands beside, and the
  settings for it. Without this function the protocol has no floor;
* ``fill(settings, task) -> settings``: puts in what follows from the kind of run and store, before anything is scored;
* ``wants(metric) -> int``: 1 where more is better (the default), -1 where less is, 0 for a figure that only stands
  beside, about which nothing is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.progress import Bar

if TYPE_CHECKING:
    from types import ModuleType

    from rich.table import Table

    from ..data.splits import Split
    from ..data.store import Store

LEARNED, RANDOM, FLOOR = "learned", "random", "hand-made"
Row = dict[str, Any]


class Embedder(Protocol):
    """What a task asks of a model; :class:`kineme.embed.Model` and :class:`kineme.embed.Fused` have it.

    One whose vectors are made of several streams also has ``streams``: see :attr:`Task.streams`.
    """

    def embed(self, what: Store, rows: np.ndarray | None = None, *, crop: Any = None) -> np.ndarray:
        """float32 ``[n, D]``, one vector for each of ``rows`` (default all) in their order.

        ``crop=(low, high, seed)`` asks for random crops; without it the crop is deterministic.
        """


class PerFrame(Protocol):
    """What a task asks of a model whose unit is the frame; :class:`kineme.embed.Model` has it for such runs."""

    def frames(self, what: Any, rows: np.ndarray | None = None, *, part: str = "pose") -> tuple[np.ndarray, np.ndarray]:
        """float32 ``[F, D]``, one code for each recorded frame of each of ``rows`` (default all) of a store, or of a
        motion; and where the clips begin, int64 ``[n + 1]``.
        """


@dataclass
class Task:
    """One contestant on one split: what a protocol scores.

    Attributes:
        store: the clips.
        model: gives the features.
        labels: int64 ``[N]`` for all clips of the store, an index into ``classes``; -1 where a clip has no label.
        classes: names, sorted.
        train, test: int64 rows of the two sides; all of them have labels.
        seed: for what a protocol draws.
        unlabelled: clips that were left out of the two sides because they have no label.
        name: of the model, for messages.
    """

    store: Store
    model: Embedder
    labels: np.ndarray
    classes: list[str]
    train: np.ndarray
    test: np.ndarray
    seed: int = 0
    unlabelled: int = 0
    name: str = "the model"
    _known: dict[str, Any] = field(default_factory=dict, repr=False)  # features, shared by one model's protocols

    @property
    def unseen(self) -> list[str]:
        """Classes of the test side that do not occur in training; their clips count as errors."""
        return [self.classes[i] for i in np.setdiff1d(self.labels[self.test], self.labels[self.train])]

    @property
    def streams(self) -> dict[str, slice]:
        """The columns of each stream in the model's features; of a model that does not tell, all are one stream."""
        return getattr(self.model, "streams", None) or {"all": slice(None)}

    def features(self, rows: np.ndarray) -> np.ndarray:
        """float32 ``[len(rows), D]`` of the model's deterministic crop; a clip is embedded once for all protocols.

        Raises:
            InputError: features that are not finite.
        """
        if "clips" not in self._known:
            wanted, asked = self._wanted()
            self._known["clips"] = wanted, self._checked(self.model.embed(self.store, asked), len(wanted))
        known, features = self._known["clips"]
        where = np.searchsorted(known, rows).clip(max=len(known) - 1)
        if not np.array_equal(known[where], rows):
            return self._checked(self.model.embed(self.store, rows), len(rows))
        return features[where]

    def codes(self, rows: np.ndarray, part: str = "pose") -> tuple[np.ndarray, np.ndarray]:
        """One code per recorded frame of each clip: float32 ``[F, D]`` and where the clips begin, int64 ``[n + 1]``; a
        frame is encoded once for all protocols.

        Args:
            part: which of the model's codes.

        Raises:
            InputError: a model without a code for each frame, or codes that are not finite.
        """
        model = coder(self.model)
        if f"frames {part}" not in self._known:
            wanted, asked = self._wanted()
            found, offsets = model.frames(self.store, asked, part=part)
            self._known[f"frames {part}"] = wanted, self._checked(found, offsets[-1]), offsets
        known, found, offsets = self._known[f"frames {part}"]
        where = np.searchsorted(known, rows).clip(max=len(known) - 1)
        if not np.array_equal(known[where], rows):
            found, offsets = model.frames(self.store, rows, part=part)
            return self._checked(found, offsets[-1]), offsets
        ends = np.concatenate([[0], np.cumsum(self.store.lengths[rows])])
        at = np.arange(ends[-1]) + np.repeat(offsets[where] - ends[:-1], self.store.lengths[rows])
        return found[at], ends

    def views(self, rows: np.ndarray, n: int, low: float = 0.5, high: float = 1.0) -> np.ndarray:
        """float32 ``[n, len(rows), D]``: features of ``n`` random crops of each clip, drawn from the task's seed.

        A crop is a share of the clip, uniform on [low, high).
        """
        crops = [(low, high, seed) for seed in range(self.seed * n, (self.seed + 1) * n)]
        return np.stack([self._checked(self.model.embed(self.store, rows, crop=crop), len(rows)) for crop in crops])

    def _wanted(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows that protocols will ask for, and how to ask a model for them: where it is at least half of the store,
        the whole store, whose features it keeps on disk for other splits.
        """
        wanted, clips = np.union1d(self.train, self.test), len(self.store.lengths)
        return (np.arange(clips), None) if 2 * len(wanted) >= clips else (wanted, wanted)

    def _checked(self, features: np.ndarray, n: int) -> np.ndarray:
        where = f"features of {self.name}"
        if features.ndim != 2 or len(features) != n:
            raise InputError(where, f"shape {features.shape}", f"[{n}, D]")
        if not np.isfinite(features).all():
            row = int(np.argmin(np.isfinite(features).all(1)))
            raise InputError(
                where,
                f"values that are not finite (first in row {row})",
                "finite numbers",
                "The training may have diverged: see its log",
            )
        return features


def task(model: Embedder, store: Store, split: str | Split, name: str = "the model") -> Task:
    """The task of a model on a split (its name, or an object with ``name``, ``train`` and ``test``).

    Raises:
        InputError: no labels, or a side without a labelled clip.
    """
    if isinstance(split, str):
        from ..data import splits

        split = splits.split(store, split)
    column = store.column("label")
    known = np.array([label is not None for label in column])
    if not known.any():
        raise InputError(
            store.path,
            "no clip has a label",
            "labels to score against",
            "Give them with: kineme prepare SRC DEST --labels FILE.csv",
        )
    labels = np.full(len(column), -1, np.int64)
    classes, labels[known] = np.unique(column[known].astype(str), return_inverse=True)
    sides = {"train": np.asarray(split.train, np.int64), "test": np.asarray(split.test, np.int64)}
    kept = {side: rows[labels[rows] >= 0] for side, rows in sides.items()}
    for side, rows in kept.items():
        if not len(rows):
            raise InputError(
                f"split {split.name}",
                f"no labelled clip on the {side} side",
                "at least one on either side",
                "Choose another split",
            )
    unlabelled = sum(len(sides[side]) - len(kept[side]) for side in sides)
    return Task(store, model, labels, classes.tolist(), kept["train"], kept["test"], unlabelled=unlabelled, name=name)


def per_frame(model: Any) -> bool:
    """Whether a model has a code for each frame."""
    return hasattr(model, "frames") and getattr(model, "card", {}).get("unit") == "frame"


def coder(model: Any) -> PerFrame:
    """The model, if it has a code for each frame.

    Raises:
        InputError: it has not.
    """
    if not per_frame(model):
        raise InputError(
            str(getattr(model, "path", None) or "the model"),
            "a run that gives one vector per clip, and no code for each frame",
            "a run of a method whose unit is the frame, such as cv_mim",
            "Score clips with knn, linear or cross_view",
        )
    return model


def run(
    models: Any,
    store: Store,
    protocols: Sequence[str] = ("knn", "linear"),
    split: str | Split = "random",
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    random: bool = True,
    floor: bool = True,
    progress: bool = False,
) -> list[Row]:
    """Score models by protocols, each beside its own encoder before training and beside hand-made features.

    Args:
        models: one opened run, or several; several trainings of one kind give a spread.
        store: labelled clips, prepared as the runs' own store.
        protocols: names of files in this room.
        split: its name (``kineme info STORE`` lists them), or an object with ``name``, ``train``, ``test``.
        seeds: how many seeds (0, 1, ...) a probe that draws is run with. The split itself does not vary.
        settings: protocol -> its Settings, or a table of some of their fields.
        random: also score ``model.random()``.
        floor: also score the hand-made features, once, where the protocol has a floor.
        progress: show a bar.

    Returns:
        Plain rows: ``protocol``, ``probe``, ``metric``, ``split``, ``who`` (learned, random, hand-made), ``score``,
        ``seed``, ``run`` (the run's folder), ``wants`` (whether more is better), ``train`` and ``test`` (labelled
        clips), ``classes`` (in these clips), ``unlabelled`` (clips left out), ``unseen`` (classes of the test side that
        training does not have).

    Raises:
        InputError: an unknown protocol, setting or split; an empty side; what a protocol refuses.
    """
    models = [models] if hasattr(models, "embed") else list(models)
    if not models or not protocols or seeds < 1:
        raise InputError(
            "evaluate", f"{len(models)} models, {len(protocols)} protocols, {seeds} seeds", "at least one of each"
        )
    rooms = {name: registry.load("evaluation.protocols", name) for name in protocols}
    chosen = _settings(rooms, settings or {})
    base = task(models[0], store, split)
    chosen = {
        name: rooms[name].fill(how, base) if hasattr(rooms[name], "fill") else how for name, how in chosen.items()
    }
    floors = {name: room.floor(chosen[name]) for name, room in rooms.items() if floor and hasattr(room, "floor")}
    common = {
        "split": split if isinstance(split, str) else split.name,
        "train": len(base.train),
        "test": len(base.test),
        "classes": len(np.unique(base.labels[np.concatenate([base.train, base.test])])),
        "unlabelled": base.unlabelled,
        "unseen": base.unseen,
    }
    rows: list[Row] = []
    with Bar("evaluate", len(models) * (2 if random else 1) * len(rooms) + len(floors), progress) as bar:
        for done, (who, given, name, how) in enumerate(_contests(base, models, chosen, floors, random)):
            bar.update(done, f"{name}: {who}")
            for seed in range(seeds if getattr(rooms[name], "seeded", lambda _: True)(how) else 1):
                scores = rooms[name].score(dataclasses.replace(given, seed=seed), how)
                wants = getattr(rooms[name], "wants", lambda _: 1)
                rows += [
                    {
                        "protocol": name,
                        "probe": getattr(how, "probe", name),
                        "metric": metric,
                        "who": who,
                        "score": float(score),
                        "seed": seed,
                        "run": given.name,
                        "wants": wants(metric),
                    }
                    | common
                    for metric, score in scores.items()
                ]
            bar.update(done + 1)
    return rows


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


def _contests(
    base: Task, models: Sequence[Any], chosen: Mapping[str, Any], floors: Mapping[str, tuple[str, Any]], random: bool
) -> Iterator[tuple[str, Task, str, Any]]:
    """(who, task, protocol, settings) of everything that is to be scored; one model's features in memory at a time."""
    for model in models:
        name = str(getattr(model, "path", None) or getattr(model, "hash", "the model"))
        for who in (LEARNED, RANDOM) if random else (LEARNED,):
            given = dataclasses.replace(base, model=model if who == LEARNED else model.random(), name=name, _known={})
            yield from ((who, given, protocol, how) for protocol, how in chosen.items())
    for form in dict.fromkeys(form for form, _ in floors.values()):
        from . import baselines

        made: Any = baselines.make(form, base.store, base.train)
        given = dataclasses.replace(base, model=made, name=FLOOR, _known={})
        yield from ((FLOOR, given, protocol, how) for protocol, (wanted, how) in floors.items() if wanted == form)


def _settings(rooms: Mapping[str, ModuleType], given: Mapping[str, Any]) -> dict[str, Any]:
    """The Settings of every protocol, from objects or from tables of fields."""
    for name in given:
        if name not in rooms:
            raise InputError(
                f"settings of {name!r}",
                "no protocol of this evaluation",
                f"one of {', '.join(rooms)}",
                registry.did_you_mean(name, rooms),
            )
    made = {name: given.get(name, {}) for name in rooms}
    return {
        name: plain.make(rooms[name].Settings, values, name) if isinstance(values, Mapping) else values
        for name, values in made.items()
    }


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


registry.callable_room(__name__, "run")  # kineme.evaluate(model, store, protocols=["knn", "linear"], split="xview")
