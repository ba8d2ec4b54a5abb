"""The protocols of an evaluation with their settings, and what hand-crafted features are scored by beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError
from .scores import Row
from .task import Outcome, Task

PROTOCOLS = "evaluation.protocols"
DEFAULT = ("knn", "linear")
ALL = "all"  # in the place of names: all that apply


class Found(NamedTuple):
    """One score: its metric, what else its row is to say, and what became of each test clip where a protocol tells."""

    metric: str
    score: float
    more: Row
    outcome: Outcome | None


@dataclass(frozen=True)
class Entry:
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

    def score(self, task: Task) -> list[Found]:
        """Every metric with its score."""
        found = self.module.score(task, self.config)
        more, outcomes = getattr(found, "more", {}), getattr(found, "outcomes", {})
        return [Found(name, float(score), more.get(name, {}), outcomes.get(name)) for name, score in found.items()]

    def row(self, metric: str, score: float, seed: int, features: str, run: str) -> Row:
        """One score."""
        return {
            "protocol": self.name,
            "probe": getattr(self.config, "probe", self.name),
            "metric": metric,
            "features": features,
            "score": score,
            "seed": seed,
            "run": run,
            "higher_is_better": self.higher(metric),
        }

    def refusal(self, base: Task) -> str:
        """Why a rival that nobody asked for is left out, or nothing."""
        return self.module.refuses(base) if self.rivals and hasattr(self.module, "refuses") else ""


def asked(protocols: str | Sequence[str]) -> tuple[list[str], bool]:
    """The names of protocols, and whether all that apply are meant: then one that does not is left out.

    Examples:
        >>> asked("knn"), asked("all")[1]
        ((['knn'], False), True)
    """
    names = [protocols] if isinstance(protocols, str) else list(protocols)
    return (list(registry.names(PROTOCOLS)), True) if ALL in names else (names, False)


def made(
    protocols: Sequence[str], settings: Mapping[str, Any], base: Task, skipped: dict[str, str] | None = None
) -> dict[str, Entry]:
    """The protocols with their settings, in which what follows from model and store is put in.

    Args:
        protocols: their names.
        settings: protocol -> its Settings, or a table of some of their fields.
        base: the task.
        skipped: takes up why a protocol does not apply; None: then that is an error.

    Raises:
        InputError: no such protocol or setting; one that does not apply.
    """
    modules = {name: registry.load(PROTOCOLS, name) for name in protocols}
    plan = {}
    for name, config in _settings(modules, settings).items():
        try:
            resolved = getattr(modules[name], "resolve", lambda given, _: given)(config, base)
        except InputError as error:
            if skipped is None:
                raise
            skipped[name] = str(error)
            continue
        plan[name] = Entry(name, modules[name], resolved)
    return plan


def beside(plan: Mapping[str, Entry]) -> dict[str, Entry]:
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
    for name, others in rivals.items():
        if name not in plan:
            module = registry.load(PROTOCOLS, name)
            form, config = module.baseline(module.Settings())
            found[name] = Entry(name, module, config, form, tuple(others))
    return found


def pictures(rows: Sequence[Row], folder: str | os.PathLike) -> list[Path]:
    """Draw what the protocols of an evaluation have to show, each into ``FOLDER/PROTOCOL.png``.

    Returns:
        the pictures' paths.
    """
    drawn = []
    for name in dict.fromkeys(row["protocol"] for row in rows):
        module = registry.load(PROTOCOLS, name)
        if hasattr(module, "picture"):
            path = Path(folder) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            module.picture([row for row in rows if row["protocol"] == name], path)
            drawn.append(path)
    return drawn


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
    tables = {name: given.get(name, {}) for name in modules}
    return {
        name: plain.make(modules[name].Settings, values, name) if isinstance(values, Mapping) else values
        for name, values in tables.items()
    }
