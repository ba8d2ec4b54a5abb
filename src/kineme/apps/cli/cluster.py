"""Group clips that look alike, without labels: how many groups, who is in which, an example of each."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils.errors import InputError
from . import _shared

if TYPE_CHECKING:
    from ...data.store import Store
    from ...inference.clusters import Grouping

PICTURES = (".png", ".svg", ".pdf")
SHOWN = 30  # groups in the table and on the picture
COLUMNS = ("id", "group", "example", "label")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a run, or `base`, the weights that come along")
    parser.add_argument("store", metavar="STORE", help="the clips, of `kineme prepare`")
    parser.add_argument(
        "--csv",
        metavar="OUT",
        required=True,
        help=f"write {', '.join(COLUMNS)} of every clip; `kineme label` takes the file once its labels are filled in",
    )
    parser.add_argument("--groups", type=int, metavar="N", help="how many (default: found)")
    parser.add_argument(
        "--by", default="finch", metavar="WAY", help="finch, kmeans or hdbscan, which finds the number (default: finch)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of kmeans (default: %(default)s)")
    parser.add_argument("--picture", metavar="FILE.png", help="draw the example of each group")
    _shared.add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Group, show, write, draw."""
    _shared.choose_threads()
    if args.picture and Path(args.picture).suffix.lower() not in PICTURES:
        raise InputError("--picture", args.picture, f"a name that ends with one of {', '.join(PICTURES)}")
    from ...data import store
    from ...evaluation.agreement import agreement
    from ...inference import clusters, model

    clips = store.open(args.store)
    clusters.check(len(clips), args.groups, args.by)
    vectors = model.load(args.run, args.device).embed(clips, progress=True)
    found = clusters.group(vectors, args.groups, args.by, args.seed)
    if len(found.levels) > 1 and args.groups is None:
        print(f"FINCH finds {', '.join(map(str, found.levels))} groups, from fine to coarse; --groups N takes another")
    _shared.print_table(_table(found, clips))
    if left := int((found.numbers < 0).sum()):
        print(f"{left} of {len(clips)} clips are in no group")
    labels = clips.column("label")
    known = [row for row, label in enumerate(labels.tolist()) if label is not None]
    if known:
        figures = agreement(found.numbers[known], labels[known].astype(str))
        said = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"{said} (each group one class, as well as can be) on {len(known)} labelled clips")
    _write(found, clips, args.csv)
    print(f"Written: {args.csv}")
    if args.picture:
        from ...viz import strips

        rows = found.examples[:SHOWN].tolist()
        titles = [[f"group {k + 1}", f"{found.sizes[k]} clips", clips.ids[row]] for k, row in enumerate(rows)]
        strips.grid(clips[rows], args.picture, titles)
        print(f"Drawn: {args.picture}")


def _table(found: Grouping, clips: Store):  # type: ignore[no-untyped-def]
    """The largest groups, each with its example and, where there are labels, the most frequent."""
    from collections import Counter

    from rich.table import Table

    labels = clips.column("label")
    told = any(label is not None for label in labels.tolist())
    more = f", the largest {SHOWN}" if len(found.examples) > SHOWN else ""
    table = Table(title=f"{len(found.examples)} groups of {len(clips)} clips{more}", title_justify="left")
    for heading in ("group", "clips", "example", *["most frequent label"] * told):
        table.add_column(heading, justify="right" if heading in ("group", "clips") else "left", overflow="fold")
    for number, row in enumerate(found.examples[:SHOWN].tolist()):
        words = [str(number + 1), str(found.sizes[number]), clips.ids[row]]
        if told:
            count = Counter(label for label in labels[found.numbers == number].tolist() if label is not None)
            words += [f"{label} ({times / found.sizes[number]:.0%})" for label, times in count.most_common(1)] or ["-"]
        table.add_row(*words)
    return table


def _write(found: Grouping, clips: Store, path: str) -> None:
    """A CSV file with a row for each clip, whole or not at all; no group is an empty cell."""
    from ...utils import files

    examples, labels = set(found.examples.tolist()), clips.column("label").tolist()
    with files.atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row, (name, number) in enumerate(zip(clips.ids, found.numbers.tolist())):
            example = "yes" if row in examples else ""
            table.writerow((name, number + 1 if number >= 0 else "", example, labels[row] or ""))
