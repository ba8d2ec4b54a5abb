"""Published figures of the split that was scored: of recipes that are here, and of the file ``published.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import splits, store
from ..training import recipe
from ..utils.errors import InputError
from .task import Task

FILE = Path(__file__).with_name("published.toml")
NEAR = 0.01  # share by which the number of clips may differ from the published one


class Figure(NamedTuple):
    """A published figure: whose, of which ``PROTOCOL METRIC``, in percent, where it was read."""

    method: str
    metric: str
    percent: float
    source: str


class Published(NamedTuple):
    """What is known of the split that was scored.

    Attributes:
        title: of the published set and split, or nothing where it is none.
        figures: of it; none where the clips here are not those that were published.
        why: why there are none, else nothing.
    """

    title: str
    figures: list[Figure]
    why: str


def of(task: Task) -> Published:
    """The figures that were published for the test clips of a task.

    Examples:
        >>> from kineme.evaluation import published, task
        >>> published.of(task.make_task(None, store, "random")).why
        'No published figure applies: none is known for this data set and split.'
    """
    names, tables = set(store.datasets(task.store)), tomllib.loads(FILE.read_text(encoding="utf-8"))
    reasons = []
    for key, known in tables["sets"].items():
        if names != {known["dataset"]} or not _same_clips(task, known["split"]):
            continue
        if differs := _differs(task, known):
            reasons.append(f"{known['title']} was published with {differs}")
            continue
        here = [
            Figure(each["method"], each["metric"], each[key], each["source"])
            for each in tables["figures"]
            if key in each
        ]
        return Published(known["title"], sorted(_of_recipes(known["recipes"]) + here), "")
    why = "; ".join(reasons) or "none is known for this data set and split"
    return Published("", [], f"No published figure applies: {why}.")


def _same_clips(task: Task, name: str) -> bool:
    """Whether a split of the store has the test clips of the task."""
    try:
        rows = splits.split(task.store, name).test
    except InputError:
        return False
    return np.array_equal(rows[task.labels[rows] >= 0], task.test)


def _differs(task: Task, known: Mapping[str, Any]) -> str:
    """In what the clips are not the published ones."""
    here = (len(task.train), len(task.test))
    if "clips" in known and any(abs(n - m) > NEAR * m for n, m in zip(here, known["clips"])):
        return "{:,} training and {:,} test clips, not {:,} and {:,}".format(*known["clips"], *here)
    classes = len(np.unique(task.labels[np.concatenate([task.train, task.test])]))
    if "classes" in known and classes != known["classes"]:
        return f"{known['classes']} classes, not {classes}"
    return ""


def _of_recipes(endings: list[str]) -> list[Figure]:
    """Figures that recipes know of themselves."""
    found = []
    for name, path in recipe.known().items():
        ending = next((each for each in endings if name.endswith(each)), None)
        if ending is None:
            continue
        table = dict(tomllib.loads(path.read_text(encoding="utf-8")).get("reproduce", {}).get("published", {}))
        source = " ".join(str(table.pop("source", "")).split())
        found += [Figure(name.removesuffix(ending), metric, percent, source) for metric, percent in table.items()]
    return found
