"""How a case of the benchmark is measured, compared with what was recorded, and shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.table import Table
from threadpoolctl import threadpool_limits

from kineme.nn import matmul
from kineme.utils import hardware
from kineme.utils.files import write_json

RECORD = Path(__file__).parent / "recorded.json"  # {processor: {case: ratio}}
DROP = 0.7  # a ratio below this share of the recorded one is marked
SHORTEST = 0.05  # seconds: quicker work is done several times between two looks at the clock
FP32, BF16 = "fp32", "bf16"  # types of what is multiplied


@dataclass
class Case:
    """The same work by both sides: one row of the table.

    Attributes:
        name: what ``recorded.json`` knows it by, together with the threads.
        ours, reference: one call of either side.
        difference: the largest between their results, on equal input; ``bound`` is what is allowed.
        units: how many of ``unit`` one call makes.
        flops: of one call, in matmuls; 0 where these are not the work.
        path: the type of what is multiplied; the limit is its rate by the faster way that this machine has.
        step: a training step, of which ``ours`` is to be a small share.
        peaks: most memory of a process that does nothing else, in MB, ours and the reference's.
    """

    name: str
    threads: int
    ours: Callable[[], object]
    reference: Callable[[], object]
    difference: float
    bound: float
    unit: str
    units: int = 1
    flops: float = 0.0
    path: str = FP32
    step: Callable[[], object] | None = None
    peaks: tuple[float, float] | None = None


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Let the sides take turns; a row of results, times in seconds for one call."""
    sides = {"ours": case.ours, "reference": case.reference, **({"step": case.step} if case.step else {})}
    way = f"fp32, {matmul.path()}" if case.path == FP32 else case.path
    multiply, rates = hardware.paths()[way], []
    times: dict[str, list[float]] = {side: [] for side in sides}
    with threads(case.threads):
        calls = {side: calls_for(work) for side, work in sides.items()}
        for i in range(rounds):
            for side in list(sides)[:: -1 if i % 2 else 1]:
                times[side].append(clock(sides[side], calls[side]))
            rates.append(hardware.gflops(multiply, rounds=3))
    ours, rate = times["ours"], median(rates)
    return {
        "name": case.name,
        "threads": case.threads,
        "rounds": rounds,
        "unit": case.unit,
        "units": case.units,
        **{side: spread(seconds) for side, seconds in times.items()},
        "ratio": spread([theirs / own for theirs, own in zip(times["reference"], ours)]),
        "difference": case.difference,
        "bound": case.bound,
        "equal": case.difference <= case.bound,
        "product_gflops": rate,
        "share_of_limit": case.flops / median(ours) / rate / 1e9 if case.flops else None,
        "share_of_step": median(own / whole for own, whole in zip(ours, times["step"])) if case.step else None,
        "peaks_mb": case.peaks,
    }


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many for torch and for the BLAS of numpy."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def clock(work: Callable[[], object], calls: int = 1) -> float:
    """Seconds for one call."""
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - begin) / calls


def calls_for(work: Callable[[], object]) -> int:
    """Warm up; how many calls it takes to be long enough for the clock."""
    first = clock(work)
    return 1 if first > SHORTEST else int(SHORTEST / clock(work)) + 1


def spread(values: Sequence[float]) -> list[float]:
    return [median(values), min(values), max(values)]


def compare(row: dict[str, Any], processor: str) -> None:
    """Add what was recorded on this processor, and whether the measured ratio has dropped."""
    row["recorded"] = _recorded().get(processor, {}).get(_key(row))
    row["dropped"] = row["recorded"] is not None and row["ratio"][0] < DROP * row["recorded"]


def record(rows: Sequence[dict[str, Any]], processor: str) -> None:
    """Keep the ratios of these rows; those of other cases and processors stay."""
    kept = _recorded()
    kept[processor] = {**kept.get(processor, {}), **{_key(row): round(row["ratio"][0], 2) for row in rows}}
    write_json(RECORD, kept)


def _key(row: dict[str, Any]) -> str:
    return f"{row['name']}, threads {row['threads']}"


def _recorded() -> dict[str, dict[str, float]]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def table() -> Table:
    """Without rows; :func:`cells` makes them."""
    made = Table(
        "what",
        "threads",
        "ms for one",
        "ours",
        "reference",
        "ratio",
        "difference",
        "GFLOP/s",
        "of limit",
        "",
        highlight=False,
    )
    for column in made.columns:
        column.no_wrap = True
    for column in made.columns[1:9]:
        column.justify = "right"
    return made


def cells(row: dict[str, Any]) -> list[str]:
    """A row as the table shows it."""
    notes = [f"{row['share_of_step']:.1%} of a step of {row['step'][0]:.3g} s"] if row["share_of_step"] else []
    notes += ["peak memory {:.0f} against {:.0f} MB".format(*row["peaks_mb"])] if row["peaks_mb"] else []
    notes += [] if row["equal"] else [f"[bold red]DIFFERS, allowed {row['bound']:.0e}[/]"]
    notes += [f"[bold yellow]DROPPED from {row['recorded']:.3g}[/]"] if row["dropped"] else []
    times = [_shown([1000 * seconds / row["units"] for seconds in row[side]]) for side in ("ours", "reference")]
    share = f"{row['share_of_limit']:.0%}" if row["share_of_limit"] else "-"
    return [
        row["name"],
        str(row["threads"]),
        row["unit"],
        *times,
        f"[bold]{_shown(row['ratio'])}[/]",
        f"{row['difference']:.1e}",
        f"{row['product_gflops']:.0f}",
        share,
        "; ".join(notes),
    ]


def _shown(values: Sequence[float]) -> str:
    middle, low, high = (f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in values)
    return f"{middle} \\[{low}..{high}]"
