"""Score models on a store: every protocol, every seed, beside the untrained encoder and the baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.progress import Bar
from . import baselines
from .scores import FLOOR, LEARNED, RANDOM, Row
from .task import Task, make_task

if TYPE_CHECKING:
    from ..data.splits import Split
    from ..data.store import Store


def evaluate(
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
    base = make_task(models[0], store, split)
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
