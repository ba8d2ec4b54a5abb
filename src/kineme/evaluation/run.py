"""Score models on a store: every protocol, every seed, beside the untrained encoder and the baselines."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import store as stores
from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.progress import Bar
from . import baselines
from .scores import HAND_CRAFTED, TRAINED, UNTRAINED, Row
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
        models: one opened run or its folder, or several; several training runs of one kind give a spread.
        store: labelled clips, prepared as the runs' own store; or its folder.
        protocols: names of files in ``evaluation/protocols``, or one of them.
        split: its name (``kineme info STORE`` lists them), or an object with ``name``, ``train``, ``test``.
        seeds: how many seeds (0, 1, ...) a probe that draws is run with. The split itself does not vary.
        settings: protocol -> its Settings, or a table of some of their fields.
        untrained: also score ``model.untrained()``.
        baseline: also score the hand-crafted features, once, where the protocol has a baseline.
        progress: show a bar.

    Returns:
        Plain rows: ``protocol``, ``probe``, ``metric``, ``split``, ``features`` (trained, untrained, hand-crafted),
        ``score``, ``seed``, ``run`` (the run's folder), ``higher_is_better`` (None: the figure is only reported),
        ``train`` and ``test`` (labelled clips), ``classes`` (in these clips), ``unlabelled`` (clips left out),
        ``unseen`` (classes of the test side that training does not have), ``notes`` (on the split).

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
    modules = {name: registry.load("evaluation.protocols", name) for name in protocols}
    chosen = _settings(modules, settings or {})
    base = make_task(models[0], store, split)
    chosen = {
        name: modules[name].resolve(config, base) if hasattr(modules[name], "resolve") else config
        for name, config in chosen.items()
    }
    baselined = {
        name: module.baseline(chosen[name])
        for name, module in modules.items()
        if baseline and hasattr(module, "baseline")
    }
    common = {
        "split": split if isinstance(split, str) else split.name,
        "train": len(base.train),
        "test": len(base.test),
        "classes": len(np.unique(base.labels[np.concatenate([base.train, base.test])])),
        "unlabelled": base.unlabelled,
        "unseen": base.unseen,
        "notes": list(base.notes),
    }
    rows: list[Row] = []
    with Bar("evaluate", len(models) * (2 if untrained else 1) * len(modules) + len(baselined), progress) as bar:
        for done, (features, given, name, config) in enumerate(_contests(base, models, chosen, baselined, untrained)):
            bar.update(done, f"{name}: {features}")
            for seed in range(seeds if getattr(modules[name], "is_stochastic", lambda _: True)(config) else 1):
                scores = modules[name].score(dataclasses.replace(given, seed=seed), config)
                higher = getattr(modules[name], "higher_is_better", lambda _: True)
                rows += [
                    {
                        "protocol": name,
                        "probe": getattr(config, "probe", name),
                        "metric": metric,
                        "features": features,
                        "score": float(score),
                        "seed": seed,
                        "run": given.name,
                        "higher_is_better": higher(metric),
                    }
                    | common
                    for metric, score in scores.items()
                ]
            bar.update(done + 1)
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


def _contests(
    base: Task,
    models: Sequence[Any],
    chosen: Mapping[str, Any],
    baselined: Mapping[str, tuple[str, Any]],
    untrained: bool,
) -> Iterator[tuple[str, Task, str, Any]]:
    """(features, task, protocol, settings) of all that is to be scored; one model's features in memory at a time."""
    for model in models:
        name = str(getattr(model, "path", None) or getattr(model, "hash", "the model"))
        for features in (TRAINED, UNTRAINED) if untrained else (TRAINED,):
            scored = model if features == TRAINED else model.untrained()
            given = dataclasses.replace(base, model=scored, name=name, _known={})
            yield from ((features, given, protocol, config) for protocol, config in chosen.items())
    for form in dict.fromkeys(form for form, _ in baselined.values()):
        made: Any = baselines.make(form, base.store, base.train)
        given = dataclasses.replace(base, model=made, name=HAND_CRAFTED, _known={})
        for protocol, (wanted, config) in baselined.items():
            if wanted == form:
                yield HAND_CRAFTED, given, protocol, config


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
