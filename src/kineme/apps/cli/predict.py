"""Say what clips show by a recogniser: class and confidence, of long recordings in windows."""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils.errors import InputError
from . import _shared

if TYPE_CHECKING:
    from ...inference.recogniser import Prediction

COLUMNS = ("file", "clip", "start", "end", "unit", "class", "confidence", "nearest")
SHOWN = 50  # lines on the terminal


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("recogniser", metavar="RECOGNISER", help="folder of `kineme label`")
    parser.add_argument("what", metavar="FILE", nargs="+", help="motion files, folders of them, or stores")
    parser.add_argument("--csv", metavar="OUT", help=f"write every clip and window: {', '.join(COLUMNS)}")
    parser.add_argument("--threshold", type=float, help="answers of less confidence are `unknown` (default: its own)")
    parser.add_argument(
        "--window", type=float, metavar="SECONDS", help="of long recordings (default: a median example)"
    )
    parser.add_argument("--step", type=float, metavar="SECONDS", help="between windows (default: half a window)")
    _shared.add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Predict, show, write."""
    _shared.choose_threads()
    from ...inference.recogniser import Recogniser

    recogniser = Recogniser.open(args.recogniser, args.device)
    missing = next((path for path in args.what if not Path(path).exists()), None)
    if missing is not None:
        raise InputError(missing, "no such file or folder", "motion files, folders of them, or stores")
    skipped: list[InputError] = []
    found = recogniser.predict(args.what, args.threshold, args.window, args.step, skipped, progress=True)
    for error in skipped:
        print(f"left out: {error}", file=sys.stderr)
    lines = [line for _, group in itertools.groupby(found, _clip) for line in _lines(list(group))]
    print(*lines[:SHOWN], sep="\n")
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN} more; --csv OUT writes all")
    least = recogniser.threshold if args.threshold is None else args.threshold
    unknown = sum(each.label != each.nearest for each in found)
    print(f"{len(found)} clips and windows, {unknown} of them unknown: confidence below {least:.2f}")
    if args.csv:
        write(found, args.csv)
        print(f"Written: {args.csv}")


def write(found: Sequence[Prediction], path: str) -> None:
    """A CSV file with a row for each clip or window, whole or not at all."""
    from ...utils import files

    with files.atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for each in found:
            span = f"{each.start:.3f}".rstrip("0").rstrip("."), f"{each.end:.3f}".rstrip("0").rstrip(".")
            table.writerow((each.file, each.clip, *span, each.unit, each.label, f"{each.confidence:.4f}", each.nearest))


def _clip(each: Prediction) -> tuple[str, str, bool]:
    return each.file, each.clip, each.whole


def _lines(found: Sequence[Prediction]) -> Iterator[str]:
    """A clip in a line; a long one in a line for each of its segments: at each moment what its surest window says."""
    first = found[0]
    name = first.clip or Path(first.file).name
    if first.whole:
        yield from (f"{name}: {_answer(each.label, each.confidence, each.nearest)}" for each in found)
        return
    import numpy as np

    from ...inference import windows

    edges = np.unique([(each.start, each.end) for each in found])
    spans = np.searchsorted(edges, [(each.start, each.end) for each in found])
    words = [(each.label, each.nearest if each.label == each.nearest else "") for each in found]
    yield f"{name}: {edges[-1]:.1f} {first.unit}, {len(found)} windows"
    for start, end, (label, nearest), sure in windows.segments(spans, words, [each.confidence for each in found]):
        span = f"{edges[start]:.1f}".rjust(8), f"{edges[end]:.1f} {first.unit}".ljust(10)
        yield f"{span[0]} to {span[1]} {_answer(label, sure, nearest or label)}"


def _answer(label: str, confidence: float, nearest: str) -> str:
    return f"{label} {confidence:.2f}" + (f" (nearest: {nearest})" if nearest not in ("", label) else "")
