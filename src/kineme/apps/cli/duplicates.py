"""Find clips that are nearly the same: equal numbers, copies under another name, parts of one another."""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import _shared

if TYPE_CHECKING:
    from ...data.store import Store
    from ...inference.duplicates import Group

SHOWN = 20  # groups on the terminal
DRAWN = 8  # clips of a group on its picture
COLUMNS = ("group", "id", "kind", "of", "shift", "error")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a run, or `base`, the weights that come along")
    parser.add_argument("store", metavar="STORE", help="the clips, of `kineme prepare`")
    parser.add_argument("--csv", metavar="OUT", help=f"write {', '.join(COLUMNS)} of every clip of a group")
    parser.add_argument("--pictures", metavar="FOLDER", help="draw each group, one strip for each clip")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="relative difference of the distances between joints (default: %(default)s)",
    )
    _shared.add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Find, show, write, draw."""
    _shared.choose_threads()
    from ...data import store
    from ...inference import duplicates, model
    from ...utils import files
    from ...utils.progress import Bar

    pictures = files.unused(args.pictures) if args.pictures else None
    clips = store.open(args.store)
    vectors = model.load(args.run, args.device).embed(clips, progress=True)
    with Bar("compare", 0) as bar:
        groups = duplicates.find(clips, vectors, args.tolerance, lambda done, total: bar.update(done, "", total))
    print(*(_line(group, clips) for group in groups[:SHOWN]), sep="\n", end="\n" if groups else "")
    if len(groups) > SHOWN:
        print(f"and {len(groups) - SHOWN} more groups; --csv OUT writes all")
    kinds = Counter(copy.kind for group in groups for copy in group.copies)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "none"
    print(f"{sum(kinds.values())} of {len(clips)} clips repeat another, in {len(groups)} groups: {said}")
    if args.csv:
        _write(groups, clips, args.csv)
        print(f"Written: {args.csv}")
    if pictures is not None:
        _draw(groups, clips, pictures)
        print(f"Drawn: {len(groups)} groups in {pictures}")


def _line(group: Group, clips: Store) -> str:
    """A group: its first clip, and what the others are to it."""
    others = [
        f"{clips.ids[copy.row]} ({copy.kind}{f' from frame {copy.shift}' if copy.shift else ''})"
        for copy in group.copies
    ]
    return f"{clips.ids[group.first]}: {', '.join(others)}"


def _write(groups: Sequence[Group], clips: Store, path: str) -> None:
    """A CSV file with a row for each clip of a group, whole or not at all."""
    from ...utils import files

    with files.atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for number, group in enumerate(groups, 1):
            first = clips.ids[group.first]
            table.writerow((number, first, "first", "", "", ""))
            for copy in group.copies:
                table.writerow((number, clips.ids[copy.row], copy.kind, first, copy.shift, f"{copy.error:.6f}"))


def _draw(groups: Sequence[Group], clips: Store, folder: Path) -> None:
    """A picture of each group; the folder appears whole or not at all."""
    from ...utils import files
    from ...utils.progress import Bar
    from ...viz import strips

    width = len(str(len(groups)))
    with files.atomic_folder(folder) as temporary, Bar("draw", len(groups)) as bar:
        for number, group in enumerate(groups, 1):
            rows = [group.first, *(copy.row for copy in group.copies)][:DRAWN]
            kinds = ["first", *(copy.kind for copy in group.copies)]
            titles = [[clips.ids[row], kind] for row, kind in zip(rows, kinds)]
            strips.grid(clips[rows], temporary / f"group-{number:0{width}}.png", titles)
            bar.update(number)
