"""Which runs may be averaged: one group for each method with its settings; and how far two groups are apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..utils import settings

DRAWS, FEW = 2000, 200  # of the bootstrap; where a figure has to be computed anew each time
BLOCK = 1 << 22  # of clips and draws at a time
KEYS = ("method", "encoder", "recipe", "split", "stores", "clips", "layout", "coords", "persons", "normalise", "crop")
IDLE = ("recipe.preset", "recipe.loop.save_seconds")  # they change no weight


def training(model: Any) -> str:
    """What tells one training from another: the hash of its weights, else its folder."""
    parts = getattr(model, "models", None)
    if parts:
        return "+".join(map(training, parts))
    return str(getattr(model, "hash", None) or getattr(model, "path", None) or id(model))


def labels(models: Sequence[Any]) -> list[str]:
    """The group of each model: runs that differ in nothing but the seed (and where they were trained) are one group.

    Returns:
        The method's name, with settings in which groups of one method differ (three at most, then a number).
    """
    facts = [_facts(model) for model in models]
    keys = [json.dumps(each, sort_keys=True, default=str) for each in facts]
    distinct = dict.fromkeys(keys)
    of_key = dict(zip(keys, facts))
    differ = [name for name in dict.fromkeys(n for f in of_key.values() for n in f) if _values(of_key, name) > 1]
    shown = [name for name in differ if name not in ("method", "encoder")] if len(distinct) > 1 else []
    named: dict[str, str] = {}
    for key in distinct:
        own = [name for name in shown if name in of_key[key]]
        same_method = [f for f in of_key.values() if f.get("method") == of_key[key].get("method")]
        own = [name for name in own if len({json.dumps(f.get(name), default=str) for f in same_method}) > 1]
        words = [f"{name.removeprefix('recipe.')}={_short(of_key[key][name])}" for name in own[:3]]
        label = " ".join([str(of_key[key].get("method", "")), *words]).strip()
        taken = list(named.values())
        named[key] = label if label not in taken else f"{label} ({len(taken) + 1})"
    return [named[key] for key in keys]


def differences(values: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """How far every two groups are apart on the same test clips, with a 95 % interval.

    The interval is a bootstrap over test clips and, where a group has several trainings, over these as well: it holds
    for other clips of this kind and, only then, for other seeds.

    Args:
        values: group -> training -> what became of each test clip, ``[m]`` (:class:`kineme.evaluation.task.Outcome`).

    Yields:
        ``group``, ``other``, ``score`` (the difference of the means), ``low``, ``high``, ``runs`` (of either),
        ``test`` (clips that count in both).
    """
    names = list(values)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            sides = _counted([np.stack(list(values[name].values())) for name in (one, other)])
            low, high = _apart(*sides)
            yield {
                "group": one,
                "other": other,
                "score": float(sides[0].mean() - sides[1].mean()),
                "low": low,
                "high": high,
                "runs": [len(side) for side in sides],
                "test": sides[0].shape[1],
            }


def interval(values: np.ndarray) -> list[float]:
    """95 % interval of a mean over test clips, a bootstrap (Efron 1979, percentiles).

    Args:
        values: ``[n, m]`` of n trainings or seeds, which are averaged for each clip; NaN where one does not count.

    Returns:
        low and high.

    Examples:
        >>> low, high = interval(np.array([[1.0, 1, 1, 1, 0, 0]]))
        >>> low < 4 / 6 < high
        True
    """
    (counted,) = _counted([np.asarray(values, np.float64)])
    distinct, counts = np.unique(counted.mean(0), return_counts=True)  # drawn together: as good, and soon done
    gen, block = np.random.default_rng(0), max(1, BLOCK // len(distinct))
    clips, sizes = counts.sum(), [min(block, DRAWS - first) for first in range(0, DRAWS, block)]
    means = [gen.multinomial(clips, counts / clips, size) @ distinct / clips for size in sizes]
    return list(_percentiles(np.concatenate(means)))


def resampled(figure: Callable[[np.ndarray], float], units: int, least: float = 0.0, most: float = 1.0) -> list[float]:
    """95 % interval of a figure that is no mean over clips, such as mutual information: 1.96 standard errors to either
    side, these from a bootstrap (Efron and Tibshirani 1993, chapter 13). Percentiles would not do: clips that are drawn
    twice agree with themselves, which lifts such figures.

    Args:
        figure: gives it for rows that were drawn, int64 ``[units]``, some of them more than once.
        units: how many rows there are, two or more.
        least, most: what it can be.

    Examples:
        >>> values = np.array([1.0, 1, 1, 1, 0, 0])
        >>> low, high = resampled(lambda rows: values[rows].mean(), 6)
        >>> low < 4 / 6 < high
        True
    """
    gen, whole = np.random.default_rng(0), figure(np.arange(units))
    reach = 1.96 * float(np.std([figure(gen.integers(units, size=units)) for _ in range(FEW)], ddof=1))
    return [max(least, whole - reach), min(most, whole + reach)]


def paired(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Differences ``[m]`` of two groups, mean over seeds, and the 95 % interval of their mean: a bootstrap over test
    clips and, where there are several, over the seeds, each of which is one pair.

    Args:
        one, other: ``[s, m]``: row i of both is the same seed, column j the same clip.
    """
    one, other = _counted([one, other])
    apart, gen = one - other, np.random.default_rng(1)
    found = []
    for drawn in _draws(apart.shape[1]):
        weights = gen.multinomial(len(apart), np.full(len(apart), 1 / len(apart)), len(drawn)) / len(apart)
        found.append(((drawn @ apart.T) * weights).sum(1))
    return apart.mean(0), list(_percentiles(np.concatenate(found)))


def _counted(sides: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The clips that count on all sides."""
    counted = np.logical_and.reduce([np.isfinite(side).all(0) for side in sides])
    return [side[:, counted].astype(np.float64) for side in sides]


def _draws(clips: int) -> Iterator[np.ndarray]:
    """How often each clip was drawn, as shares: ``[draws, clips]``, ``DRAWS`` of them in blocks."""
    gen, block = np.random.default_rng(0), max(1, BLOCK // clips)
    for first in range(0, DRAWS, block):
        yield gen.multinomial(clips, np.full(clips, 1 / clips), min(block, DRAWS - first)) / clips


def _apart(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the difference, ``[a, m]`` against ``[b, m]``: the same clips, trainings by
    themselves.
    """
    gen, found = np.random.default_rng(1), []
    for drawn in _draws(one.shape[1]):
        parts = []
        for side in (one, other):
            weights = gen.multinomial(len(side), np.full(len(side), 1 / len(side)), len(drawn)) / len(side)
            parts.append((drawn @ side.T * weights).sum(1))
        found.append(parts[0] - parts[1])
    return _percentiles(np.concatenate(found))


def _percentiles(found: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _facts(model: Any) -> dict[str, Any]:
    """What decides how a run came about, but for its seed, flat."""
    parts = getattr(model, "models", None)
    if parts:
        each = [_facts(part) for part in parts]
        return {"method": " + ".join(str(f.get("method", "")) for f in each), "parts": each}
    card = getattr(model, "card", None) or {}
    begun = card.get("init") or {}
    facts = {name: card[name] for name in KEYS if name in card} | {"init": begun.get("epochs")}
    if "stores" in facts:
        facts["stores"] = [store.get("hash") for store in facts["stores"] if isinstance(store, Mapping)]
    if isinstance(facts.get("layout"), Mapping):
        facts["layout"] = facts["layout"].get("joints")
    return {name: value for name, value in settings.flat(facts).items() if name not in IDLE}


def _values(facts: Mapping[str, Mapping[str, Any]], name: str) -> int:
    return len({json.dumps(each.get(name), default=str) for each in facts.values()})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 24 else f"{text[:21]}..."
