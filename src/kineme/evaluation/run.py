"""Score models on a store: every protocol, every seed, beside the untrained encoder and the baselines."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import store as stores
from ..training import trained_on
from ..utils.errors import InputError
from ..utils.progress import Bar
from . import baselines, leaks
from . import plan as plans
from .groups import differences, interval, labels, training
from .plan import Entry, Found
from .scores import DIFFERENCE, HAND_CRAFTED, TRAINED, UNTRAINED, Row
from .task import Outcome, Task, make_task

if TYPE_CHECKING:
    from ..data.splits import Split
    from ..data.store import Store


def evaluate(
    models: Any,
    store: Store | str | os.PathLike,
    protocols: str | Sequence[str] = plans.DEFAULT,
    split: str | Split = "random",
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    untrained: bool = True,
    baseline: bool = True,
    copies: bool = True,
    progress: bool = False,
) -> Rows:
    """Score models by protocols, each beside its untrained encoder and beside hand-crafted features.

    Args:
        models: one opened run or its folder, or several. Runs that differ in nothing but the seed are one group and
            give a spread; groups are never averaged, but compared clip by clip.
        store: labelled clips, prepared as the runs' own store; or its folder.
        protocols: names of files in ``evaluation/protocols``, one of them, or ``all``: all that apply, each on the same
            features; which ones do not, and why, stands in the ``notes`` of the rows.
        split: its name (``kineme info STORE`` lists them), or an object with ``name``, ``train``, ``test``.
        seeds: how many seeds (0, 1, ...) a probe that draws is run with. The split itself does not vary.
        settings: protocol -> its Settings, or a table of some of their fields.
        untrained: also score ``model.untrained()``.
        baseline: also score the hand-crafted features (:func:`baseline`), once, where the protocol has a baseline.
        copies: False leaves out test clips that are training clips once more, overlap one in time or hardly differ
            from one (:mod:`kineme.evaluation.leaks`).
        progress: show a bar.

    Returns:
        Plain rows: ``protocol``, ``probe``, ``metric``, ``split``, ``features`` (trained, untrained, hand-crafted),
        ``score``, ``seed``, ``run`` (the run's folder), ``training`` (the hash of its weights), ``run_seed`` (its own
        seed), ``group`` (method and the settings in which groups differ), ``higher_is_better`` (None: the figure is
        only reported), ``interval`` (95 %, a bootstrap over test clips of the mean over the group's runs, where a
        protocol tells what became of each clip), ``train`` and ``test`` (labelled clips), ``classes`` (in these clips),
        ``unlabelled`` (clips left out), ``unseen`` (classes of the test side that training does not have), ``leaks``
        (how many test clips share what with training clips, :mod:`kineme.evaluation.leaks`), ``notes`` (on the split,
        on leaks, and on protocols that ``all`` left out). Those of hand-crafted features have
        ``form``, the best one, and ``forms``, the scores of all. With several groups there are rows with the
        ``features`` *difference* (see :func:`kineme.evaluation.groups.differences`). Those of trained runs have
        ``seen``, how many test clips the run, or one that it began with, was trained on, and ``seen_is_known``.

    Raises:
        InputError: an unknown protocol, setting or split; an empty side; what a protocol refuses.

    Examples:
        >>> rows = kineme.evaluate(model, store, ["knn"])
        >>> sorted({row["features"] for row in rows})
        ['hand-crafted', 'trained', 'untrained']
        >>> kineme.evaluate(run, store.path, "knn", untrained=False, baseline=False)[0]["protocol"]
        'knn'
    """
    models, store = _opened(models), stores.opened(store)
    names, lenient = plans.asked(protocols)
    if not models or not names or seeds < 1:
        raise InputError(
            "evaluate", f"{len(models)} models, {len(names)} protocols, {seeds} seeds", "at least one of each"
        )
    base = _kept(make_task(models[0], store, split), copies)
    skipped: dict[str, str] | None = {} if lenient else None
    plan = plans.made(names, settings or {}, base, skipped)
    beside = plans.beside(plan) if baseline else {}
    common = _common(base, split)
    rows = Rows(base, plan)
    groups = labels(models)
    with Bar("evaluate", len(models) * (2 if untrained else 1) * len(plan) + len(beside), progress) as bar:
        done = 0
        for model, group in zip(models, groups):
            name = str(getattr(model, "path", None) or getattr(model, "hash", "the model"))
            seed_of = (getattr(model, "card", None) or {}).get("seed")
            who = {"group": group, "training": training(model), "run_seed": seed_of}
            known = _seen(model, base)
            for features in (TRAINED, UNTRAINED) if untrained else (TRAINED,):
                scored = model if features == TRAINED else model.untrained()
                given = replace(base, model=scored, name=name, _known={})
                own = who | common | (known if features == TRAINED else {})
                for entry in plan.values():
                    tell = functools.partial(_tell, bar, done, f"{entry.name}: {features}")
                    tell()
                    for seed in entry.seeds(seeds):
                        for found in _found(entry, replace(given, seed=seed, tell=tell), skipped):
                            row = entry.row(found.metric, found.score, seed, features, name) | own | found.more
                            rows.add(row, found.outcome)
                    done += 1
        rows.extend(_paired(rows, plan, common))
        _hand_crafted(rows, beside, seeds, common, lambda k, what: bar.update(done + k, what), skipped)
    return rows.finished(skipped or {})


def baseline(
    store: Store | str | os.PathLike,
    split: str | Split = "random",
    protocols: str | Sequence[str] = plans.DEFAULT,
    settings: Mapping[str, Any] | None = None,
    seeds: int = 1,
    copies: bool = True,
    progress: bool = False,
) -> Rows:
    """Score hand-crafted features alone: what a run has to beat, without any training.

    Of all their forms the best counts, chosen on the test side for each figure: an upper bound of what a form chosen
    otherwise would reach, in the opponent's favour.

    Args:
        store: labelled clips, or their folder.
        split: its name, or an object with ``name``, ``train``, ``test``.
        protocols: names of files in ``evaluation/protocols``, or ``all`` as in :func:`evaluate`; those without a
            baseline have no row.
        settings: protocol -> its Settings, or a table of some of their fields.
        seeds: how many seeds a probe that draws is run with.
        copies: as in :func:`evaluate`.
        progress: show a bar.

    Returns:
        Rows as :func:`evaluate` gives them, ``features`` all ``hand-crafted``, each with its best ``form`` and the
        scores of all ``forms``.

    Raises:
        InputError: as :func:`evaluate`.

    Examples:
        >>> rows = kineme.evaluation.baseline(store, protocols=["knn"])
        >>> {row["metric"] for row in rows if row["protocol"] == "knn"} == {"1-NN", "5-NN"}
        True
    """
    store = stores.opened(store)
    names, lenient = plans.asked(protocols)
    if not names or seeds < 1:
        raise InputError("baseline", f"{len(names)} protocols, {seeds} seeds", "at least one of each")
    base = _kept(make_task(None, store, split, HAND_CRAFTED), copies)
    skipped: dict[str, str] | None = {} if lenient else None
    beside = plans.beside(plans.made(names, settings or {}, base, skipped))
    if not beside:
        raise InputError("protocols", ", ".join(names), "one that has a baseline, such as knn or linear")
    rows = Rows(base, beside)
    with Bar("baseline", len(beside), progress) as bar:
        _hand_crafted(rows, beside, seeds, _common(base, split), bar.update, skipped)
    return rows.finished(skipped or {})


class Rows(list[Row]):
    """Plain rows, with what became of each test clip beside them.

    Attributes:
        task: whose test clips they are of.
        told: rows whose protocol tells what became of each clip, with that.
        settings: those of each protocol.
        seconds: that the evaluation took.
    """

    def __init__(self, task: Task, plan: Mapping[str, Entry]):
        super().__init__()
        self.task = task
        self.told: list[tuple[Row, Outcome]] = []
        self.settings = {name: dataclasses.asdict(entry.config) for name, entry in plan.items()}
        self.seconds, self._begun = 0.0, time.monotonic()

    def add(self, row: Row, outcome: Outcome | None) -> None:
        """Enter a row."""
        self.append(row)
        if outcome is not None:
            self.told.append((row, outcome))

    def by_group(self) -> dict[tuple[str, ...], dict[str, list[tuple[Row, Outcome]]]]:
        """(protocol, metric, features, group) -> training -> its rows, one for each seed."""
        found: dict[tuple[str, ...], dict[str, list[tuple[Row, Outcome]]]] = {}
        for row, outcome in self.told:
            key = row["protocol"], row["metric"], row["features"], row.get("group", "")
            found.setdefault(key, {}).setdefault(row.get("training", ""), []).append((row, outcome))
        return found

    def finished(self, skipped: Mapping[str, str]) -> Rows:
        """With intervals, without rows of protocols that turned out not to apply.

        Raises:
            InputError: none applied.
        """
        self.seconds = time.monotonic() - self._begun
        self[:] = [row for row in self if row["protocol"] not in skipped]
        self.told = [(row, outcome) for row, outcome in self.told if row["protocol"] not in skipped]
        if not self and skipped:
            raise InputError("protocols", "none that applies", "one that does", next(iter(skipped.values())))
        for trainings in self.by_group().values():
            each = [(row, outcome) for told in trainings.values() for row, outcome in told]
            means = [np.mean([outcome.values for _, outcome in told], 0) for told in trainings.values()]
            if len({len(mean) for mean in means}) == 1:
                found = interval(np.stack(means))
                for row, _ in each:
                    row.setdefault("interval", found)
        for row in self if skipped else ():
            row["notes"] = [*row["notes"], *(f"{name} is left out: {why}" for name, why in skipped.items())]
        return self


def _found(entry: Entry, task: Task, skipped: dict[str, str] | None) -> list[Found]:
    """The scores of a protocol; none where it turns out not to apply, and need not."""
    if skipped is None:
        return entry.score(task)
    try:
        return [] if entry.name in skipped else entry.score(task)
    except InputError as error:
        skipped[entry.name] = str(error)
        return []


def _tell(bar: Bar, done: int, what: str, note: str = "") -> None:
    bar.update(done, f"{what}, {note}" if note else what)


def _paired(rows: Rows, plan: Mapping[str, Entry], common: Row) -> Iterator[Row]:
    """How far every two groups of trained runs are apart."""
    groups: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = {}
    for (protocol, metric, features, group), trainings in rows.by_group().items():
        if features == TRAINED:
            means = {who: np.mean([outcome.values for _, outcome in told], 0) for who, told in trainings.items()}
            groups.setdefault((protocol, metric), {})[group] = means
    for (protocol, metric), means in groups.items():
        for apart in differences(means):
            yield plan[protocol].row(metric, apart["score"], 0, DIFFERENCE, "") | common | apart


def _kept(base: Task, copies: bool) -> Task:
    """The task, without test clips that are copies of training clips if so asked."""
    if copies:
        return base
    found = [leak.test for leak in leaks.find(base.store, base.train, base.test) if leak.kind in leaks.COPIES]
    gone = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
    kept = np.setdiff1d(base.test, gone)
    if not len(kept):
        raise InputError(base.store.path, "nothing but copies of training clips on the test side", "another split")
    note = f"{len(gone)} test clips that are copies of training clips were left out"
    return replace(base, test=kept, notes=(*base.notes, *([note] if len(gone) else [])))


def _common(base: Task, split: str | Split) -> Row:
    """What all rows of an evaluation share."""
    found = leaks.find(base.store, base.train, base.test)
    shared = leaks.note(base.store, found, len(base.test))
    return {
        "split": split if isinstance(split, str) else split.name,
        "train": len(base.train),
        "test": len(base.test),
        "classes": len(np.unique(base.labels[np.concatenate([base.train, base.test])])),
        "unlabelled": base.unlabelled,
        "unseen": base.unseen,
        "leaks": {leak.kind: len(leak.test) for leak in found},
        "notes": [*base.notes, *filter(None, [shared])],
    }


def _seen(model: Any, base: Task) -> Row:
    """How many test clips a run was trained on, and whether it is known of all of them."""
    runs = [each.path for each in getattr(model, "models", [model]) if isinstance(getattr(each, "path", None), Path)]
    looks = [trained_on.seen(run, base.store, base.test) for run in runs]
    if not looks:
        return {}
    count = int(np.logical_or.reduce([found for found, _ in looks]).sum())
    return {"seen": count, "seen_is_known": all(complete for _, complete in looks)}


def _hand_crafted(
    rows: Rows,
    beside: Mapping[str, Entry],
    seeds: int,
    common: Row,
    tell: Callable[[int, str], None],
    skipped: dict[str, str] | None,
) -> None:
    """Add rows of the best form of hand-crafted features under each protocol."""
    base = rows.task
    notes = [f"{name} {why}" for name, entry in beside.items() if (why := entry.refusal(base))]
    beside = {name: entry for name, entry in beside.items() if not entry.refusal(base)}
    found: dict[tuple[str, str], dict[str, list[Found]]] = {}  # (protocol, metric) -> form -> scores of each seed

    def enter(given: Task, form: str, entries: Iterable[Entry]) -> None:
        for entry in entries:
            for seed in entry.seeds(seeds):
                for one in _found(entry, replace(given, seed=seed), skipped):
                    found.setdefault((entry.name, one.metric), {}).setdefault(form, []).append(one)

    families = {name: entry for name, entry in beside.items() if entry.form in baselines.FAMILIES}
    for form in dict.fromkeys(entry.form for name, entry in beside.items() if name not in families):
        tell(0, f"{HAND_CRAFTED}: {form}")
        made: Any = baselines.make(form, base.store, base.train)
        given = replace(base, model=made, name=HAND_CRAFTED, _known={})
        enter(given, form, [entry for entry in beside.values() if entry.form == form])
    if families:
        notes += [f"large: hand-crafted {left}" for left in [baselines.left_out(base)] if left]
        for contestant in baselines.contestants(base):
            tell(len(beside) - len(families), f"{HAND_CRAFTED}: {contestant.form}")
            enter(contestant.task, contestant.form, [e for e in families.values() if contestant.enters(e.form)])
    for name, entry in beside.items():
        for (protocol, metric), forms in found.items():
            if protocol != name:
                continue
            means = {form: float(np.mean([one.score for one in each])) for form, each in forms.items()}
            best = (min if entry.higher(metric) is False else max)(means, key=lambda form: means[form])
            chosen = {"form": best, "forms": means} | ({"rivals": list(entry.rivals)} if entry.rivals else {})
            for seed, one in enumerate(forms[best]):
                own = common | one.more
                row = entry.row(metric, one.score, seed, HAND_CRAFTED, HAND_CRAFTED) | own | chosen
                rows.add(row | {"notes": [*own["notes"], *notes]}, one.outcome)


def _opened(models: Any) -> list[Any]:
    """Models, runs by their folders (several joined by commas are an ensemble), or a list of these."""
    if hasattr(models, "embed"):
        return [models]
    if isinstance(models, (str, os.PathLike)):
        from ..inference.ensemble import load_any  # only here: it loads torch

        return [load_any(models)]
    if not isinstance(models, Iterable):
        raise InputError("models", f"a {type(models).__name__}", "an opened run, the path of one, or a list of these")
    return [opened for model in models for opened in _opened(model)]
