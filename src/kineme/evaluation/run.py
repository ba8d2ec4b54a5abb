"""Score models on a store: every protocol, every seed, beside the untrained encoder and the baselines."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import store as stores
from ..training import trained_on
from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.progress import Bar
from . import baselines
from .groups import differences, labels, training
from .scores import DIFFERENCE, HAND_CRAFTED, TRAINED, UNTRAINED, Row
from .task import Task, make_task

if TYPE_CHECKING:
    from ..data.splits import Split
    from ..data.store import Store


def evaluate(
    models: Any,
    store: Store | str | os.PathLike,
    protocols: str | Sequence[str] = ("knn", "linear"),
    split: str | Split = "random",
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    untrained: bool = True,
    baseline: bool = True,
    progress: bool = False,
) -> list[Row]:
    """Score models by protocols, each beside its untrained encoder and beside hand-crafted features.

    Args:
        models: one opened run or its folder, or several. Runs that differ in nothing but the seed are one group and
            give a spread; groups are never averaged, but compared clip by clip.
        store: labelled clips, prepared as the runs' own store; or its folder.
        protocols: names of files in ``evaluation/protocols``, or one of them.
        split: its name (``kineme info STORE`` lists them), or an object with ``name``, ``train``, ``test``.
        seeds: how many seeds (0, 1, ...) a probe that draws is run with. The split itself does not vary.
        settings: protocol -> its Settings, or a table of some of their fields.
        untrained: also score ``model.untrained()``.
        baseline: also score the hand-crafted features (:func:`baseline`), once, where the protocol has a baseline.
        progress: show a bar.

    Returns:
        Plain rows: ``protocol``, ``probe``, ``metric``, ``split``, ``features`` (trained, untrained, hand-crafted),
        ``score``, ``seed``, ``run`` (the run's folder), ``training`` (the hash of its weights), ``group`` (method and
        the settings in which groups differ), ``higher_is_better`` (None: the figure is only reported), ``train`` and
        ``test`` (labelled clips), ``classes`` (in these clips), ``unlabelled`` (clips left out), ``unseen`` (classes of
        the test side that training does not have), ``notes`` (on the split). Those of hand-crafted features have
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
    protocols = [protocols] if isinstance(protocols, str) else list(protocols)
    if not models or not protocols or seeds < 1:
        raise InputError(
            "evaluate", f"{len(models)} models, {len(protocols)} protocols, {seeds} seeds", "at least one of each"
        )
    base = make_task(models[0], store, split)
    plan = _plan(protocols, settings or {}, base)
    beside = _beside(plan) if baseline else {}
    common = _common(base, split)
    rows: list[Row] = []
    groups = labels(models)
    hits: Hits = {}
    with Bar("evaluate", len(models) * (2 if untrained else 1) * len(plan) + len(beside), progress) as bar:
        done = 0
        for model, group in zip(models, groups):
            name = str(getattr(model, "path", None) or getattr(model, "hash", "the model"))
            who = {"group": group, "training": training(model)}
            known = _seen(model, base)
            for features in (TRAINED, UNTRAINED) if untrained else (TRAINED,):
                scored = model if features == TRAINED else model.untrained()
                given = dataclasses.replace(base, model=scored, name=name, _known={})
                for entry in plan.values():
                    tell = functools.partial(_tell, bar, done, f"{entry.name}: {features}")
                    tell()
                    right = hits.setdefault(entry.name, {}).setdefault(group, {}).setdefault(who["training"], {})
                    kept = right if features == TRAINED else None
                    rows += [
                        entry.row(metric, score, seed, features, name)
                        | who
                        | common
                        | (known if features == TRAINED else {})
                        | more
                        for seed in entry.seeds(seeds)
                        for metric, score, more in entry.score(replace(given, seed=seed, tell=tell), kept)
                    ]
                    done += 1
        rows += _paired(hits, plan, common)
        rows += _hand_crafted(base, beside, seeds, common, lambda k, what: bar.update(done + k, what))
    return rows


def baseline(
    store: Store | str | os.PathLike,
    split: str | Split = "random",
    protocols: str | Sequence[str] = ("knn", "linear"),
    settings: Mapping[str, Any] | None = None,
    seeds: int = 1,
    progress: bool = False,
) -> list[Row]:
    """Score hand-crafted features alone: what a run has to beat, without any training.

    Of all their forms the best counts, chosen on the test side for each figure: an upper bound of what a form chosen
    otherwise would reach, in the opponent's favour.

    Args:
        store: labelled clips, or their folder.
        split: its name, or an object with ``name``, ``train``, ``test``.
        protocols: names of files in ``evaluation/protocols``; those without a baseline have no row.
        settings: protocol -> its Settings, or a table of some of their fields.
        seeds: how many seeds a probe that draws is run with.
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
    protocols = [protocols] if isinstance(protocols, str) else list(protocols)
    if not protocols or seeds < 1:
        raise InputError("baseline", f"{len(protocols)} protocols, {seeds} seeds", "at least one of each")
    base = make_task(None, store, split, HAND_CRAFTED)
    beside = _beside(_plan(protocols, settings or {}, base))
    if not beside:
        raise InputError("protocols", ", ".join(protocols), "one that has a baseline, such as knn or linear")
    with Bar("baseline", len(beside), progress) as bar:
        return _hand_crafted(base, beside, seeds, _common(base, split), bar.update)


@dataclass(frozen=True)
class _Entry:
    """A protocol with its settings: of the evaluation, or what hand-crafted features are scored by.

    Attributes:
        name: of the protocol.
        module: its file.
        config: its Settings.
        form: of the hand-crafted features.
        rivals: protocols of the evaluation beside which this one is scored though nobody asked for it.
    """

    name: str
    module: ModuleType
    config: Any
    form: str = ""
    rivals: tuple[str, ...] = ()

    def seeds(self, seeds: int) -> range:
        """Those that change anything."""
        return range(seeds if getattr(self.module, "is_stochastic", lambda _: True)(self.config) else 1)

    def higher(self, metric: str) -> bool | None:
        """Whether a higher figure is better."""
        return getattr(self.module, "higher_is_better", lambda _: True)(metric)

    def score(self, task: Task, hits: dict[str, list[np.ndarray]] | None = None) -> Iterator[tuple[str, float, Row]]:
        """Every metric with its score and what else its row is to say; also adds to ``hits`` which clips were right,
        where the protocol tells.
        """
        if hits is None or not hasattr(self.module, "correct"):
            found = self.module.score(task, self.config)
            more = getattr(found, "more", {})
            yield from ((metric, score, more.get(metric, {})) for metric, score in found.items())
            return
        for metric, right in self.module.correct(task, self.config).items():
            hits.setdefault(metric, []).append(right)
            yield metric, float(np.mean(right)), {}

    def row(self, metric: str, score: float, seed: int, features: str, run: str) -> Row:
        """One score."""
        return {
            "protocol": self.name,
            "probe": getattr(self.config, "probe", self.name),
            "metric": metric,
            "features": features,
            "score": float(score),
            "seed": seed,
            "run": run,
            "higher_is_better": self.higher(metric),
        }


def _tell(bar: Bar, done: int, what: str, note: str = "") -> None:
    bar.update(done, f"{what}, {note}" if note else what)


Hits = dict[str, dict[str, dict[str, dict[str, list[np.ndarray]]]]]
"""Which test clips were right: protocol -> group -> training -> metric -> ``[m]`` for each seed."""


def _paired(hits: Hits, plan: Mapping[str, _Entry], common: Row) -> Iterator[Row]:
    """How far every two groups of trained runs are apart."""
    for name, groups in hits.items():
        metrics = dict.fromkeys(m for trainings in groups.values() for right in trainings.values() for m in right)
        for metric in metrics:
            found = {
                group: {who: np.mean(right[metric], 0) for who, right in trainings.items() if metric in right}
                for group, trainings in groups.items()
            }
            for apart in differences({group: right for group, right in found.items() if right}):
                yield plan[name].row(metric, apart["score"], 0, DIFFERENCE, "") | common | apart


def _plan(protocols: Sequence[str], settings: Mapping[str, Any], base: Task) -> dict[str, _Entry]:
    """The protocols with their settings, in which what follows from model and store is put in."""
    modules = {name: registry.load("evaluation.protocols", name) for name in protocols}
    return {
        name: _Entry(name, modules[name], getattr(modules[name], "resolve", lambda given, _: given)(config, base))
        for name, config in _settings(modules, settings).items()
    }


def _beside(plan: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """What hand-crafted features are scored by: the protocols that have a baseline, and their rivals."""
    found = {
        name: replace(entry, form=form, config=config)
        for name, entry in plan.items()
        if hasattr(entry.module, "baseline")
        for form, config in [entry.module.baseline(entry.config)]
    }
    rivals: dict[str, list[str]] = {}
    for name, entry in plan.items():
        for rival in getattr(entry.module, "rivals", ()):
            rivals.setdefault(rival, []).append(name)
    for name, beside in rivals.items():
        if name not in plan:
            module = registry.load("evaluation.protocols", name)
            form, config = module.baseline(module.Settings())
            found[name] = _Entry(name, module, config, form, tuple(beside))
    return found


def _common(base: Task, split: str | Split) -> Row:
    """What all rows of an evaluation share."""
    return {
        "split": split if isinstance(split, str) else split.name,
        "train": len(base.train),
        "test": len(base.test),
        "classes": len(np.unique(base.labels[np.concatenate([base.train, base.test])])),
        "unlabelled": base.unlabelled,
        "unseen": base.unseen,
        "notes": list(base.notes),
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
    base: Task, beside: Mapping[str, _Entry], seeds: int, common: Row, tell: Callable[[int, str], None]
) -> list[Row]:
    """Rows of the best form of hand-crafted features under each protocol."""
    notes = [f"{name} {why}" for name, entry in beside.items() if (why := _refusal(entry, base))]
    beside = {name: entry for name, entry in beside.items() if not (_refusal(entry, base))}
    found: dict[tuple[str, str], dict[str, list[float]]] = {}  # (protocol, metric) -> form -> score of each seed
    said: dict[tuple[str, str], Row] = {}  # (protocol, metric) -> what else its rows say

    def enter(given: Task, form: str, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            for seed in entry.seeds(seeds):
                for metric, score, more in entry.score(replace(given, seed=seed)):
                    found.setdefault((entry.name, metric), {}).setdefault(form, []).append(float(score))
                    said[entry.name, metric] = more

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
    rows = []
    for name, entry in beside.items():
        for (protocol, metric), forms in found.items():
            if protocol != name:
                continue
            means = {form: float(np.mean(scores)) for form, scores in forms.items()}
            best = (min if entry.higher(metric) is False else max)(means, key=lambda form: means[form])
            own = common | said[protocol, metric]
            more = {"form": best, "forms": means} | ({"rivals": list(entry.rivals)} if entry.rivals else {})
            rows += [
                entry.row(metric, score, seed, HAND_CRAFTED, HAND_CRAFTED)
                | own
                | more
                | {"notes": [*own["notes"], *notes]}
                for seed, score in enumerate(forms[best])
            ]
    return rows


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


def _refusal(entry: _Entry, base: Task) -> str:
    """Why a rival that nobody asked for is left out, or nothing."""
    return entry.module.refuses(base) if entry.rivals and hasattr(entry.module, "refuses") else ""


def _settings(modules: Mapping[str, ModuleType], given: Mapping[str, Any]) -> dict[str, Any]:
    """The Settings of every protocol, from objects or from tables of fields."""
    for name in given:
        if name not in modules:
            raise InputError(
                f"settings of {name!r}",
                "no protocol of this evaluation",
                f"one of {', '.join(modules)}",
                registry.did_you_mean(name, modules),
            )
    made = {name: given.get(name, {}) for name in modules}
    return {
        name: plain.make(modules[name].Settings, values, name) if isinstance(values, Mapping) else values
        for name, values in made.items()
    }
