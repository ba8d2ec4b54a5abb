"""Make an index of a store, to be searched; add clips to it or remove some."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("store", metavar="STORE|FILES", nargs="?", help="a store, or motion files, which are prepared")
    parser.add_argument(
        "--run", metavar="RUN", help="a run, or weights that come along (default: base, for 2-D base_2d)"
    )
    parser.add_argument("--out", metavar="INDEX", required=True, help="folder of the index")
    parser.add_argument("--window", type=float, default=2.0, help="seconds of a window (default: %(default)s)")
    parser.add_argument("--step", type=float, default=0.5, help="seconds between windows (default: %(default)s)")
    parser.add_argument("--no-windows", action="store_true", help="whole clips only, however long they are")
    parser.add_argument(
        "--kind",
        choices=("exact", "hnsw", "ivf"),
        help="how it is searched: all vectors compared (exact), or candidates of faiss (hnsw, ivf; extra `search`); of "
        "an index that is there: from now on (default: exact)",
    )
    parser.add_argument(
        "--to",
        nargs=2,
        metavar=("parquet|lancedb", "PLACE"),
        help="write entries and vectors of an index as a table: a parquet file, or a LanceDB (extra `lancedb`)",
    )
    parser.add_argument("--add", action="store_true", help="add the clips of STORE to an index that is there")
    parser.add_argument(
        "--remove",
        metavar="ID",
        action="append",
        default=[],
        help="remove clips by id, or by a pattern such as 'walk*'",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE.csv|folder|PATTERN",
        help="of motion files: their labels, as `kineme prepare` takes them",
    )
    _shared.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Make, add or remove, and say what there is now."""
    _check(args)
    if not args.store:
        _change(args)
        return
    _shared.choose_threads()
    from ...inference import indexing
    from ...inference.index import Index

    if args.add:
        index = Index(args.out)
        kind = args.kind or _kind(index)
        indexing.add(index, args.store, args.run, progress=True)
        index.approximate(kind)
    else:
        asked = (
            {} if (Path(args.store) / "card.json").is_file() else {"labels": args.labels, "jobs": _shared.jobs(args)}
        )
        window = None if args.no_windows else args.window
        how = {"window": window, "step": args.step, "kind": args.kind or "exact", "progress": True} | asked
        if args.run:
            index = indexing.write(args.store, args.run, args.out, **how)
        else:
            index = indexing.by_default(lambda name: indexing.write(args.store, name, args.out, **how))
    print(_said(index))
    print(f"Next: {_shared.command_line(args, 'search', args.out, 'QUERY')} (a motion file, or an id)")


def _change(args: argparse.Namespace) -> None:
    """Remove clips of an index that is there, search it otherwise, or write it as a table."""
    from ...inference import index_table
    from ...inference.index import Index

    index = Index(args.out)
    kind = args.kind or _kind(index)
    removed = f"Removed {index.remove(args.remove)} clips; " if args.remove else ""
    if kind != _kind(index):
        index.approximate(kind)
    print(removed + _said(index))
    if args.to:
        print(f"{index_table.write(index, *args.to)} entries with their vectors: {args.to[1]}")


def _kind(index) -> str:  # type: ignore[no-untyped-def]
    return (index.card.get("approximate") or {"kind": "exact"})["kind"]


def _check(args: argparse.Namespace) -> None:
    if args.remove and (args.store or args.add):
        raise InputError("--remove", "beside a store to add", "one of both", "Remove first, then add")
    if not args.store and not (args.remove or args.kind or args.to):
        raise InputError(
            "kineme index", "no store", "a store, --remove ID, --kind KIND or --to", "See kineme index --help"
        )
    if args.store and args.to:
        raise InputError("--to", "beside a store", "an index that is there", "Make the index first, then --to")


def _said(index) -> str:  # type: ignore[no-untyped-def]
    clips = len(index.ids())
    windows = len(index) - clips
    of = f"{clips} clips" + (f" and {windows} windows of long recordings" if windows else "")
    made = index.card.get("approximate")
    how = f"; {made['kind']}: of the ten nearest of 200 entries {made['recall']:.3f} are found" if made else ""
    return f"{of} of {index.dim} dimensions in {index.path}, by the run {index.card['run']['name']}{how}"
