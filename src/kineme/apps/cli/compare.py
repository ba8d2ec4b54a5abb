"""Compare two runs on the same test clips: the difference, paired over clips and seeds, and how sure it is."""

from __future__ import annotations

import argparse

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    for name, which in (("one", "RUN_A"), ("other", "RUN_B")):
        parser.add_argument(name, metavar=which, help="a run, several joined by commas, or a folder of runs (seeds)")
    parser.add_argument("store", metavar="STORE", help="labelled clips, prepared as those of the runs")
    parser.add_argument("--protocols", default="knn,linear", help="comma-separated (default: %(default)s)")
    parser.add_argument("--split", required=True, help="see `kineme info STORE`")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the probe (default: %(default)s)")
    parser.add_argument(
        "--drop-copies", action="store_true", help="without test clips that are copies of training clips, or nearly"
    )
    _shared.add_set(parser, "PROTOCOL.NAME=VALUE", "knn.k=1,5 or linear.C=0.1")
    parser.add_argument("--json", metavar="FILE", help="write every row")


def run(args: argparse.Namespace) -> None:
    """Compare, print the table, write the rows."""
    _shared.choose_threads()
    from ...data import store
    from ...evaluation import compare
    from ...inference import ensemble
    from ...utils import settings
    from ...utils.files import write_json

    clips = store.open(args.store)
    sides = []
    for side in (args.one, args.other):
        found = compare.runs(side)
        sides.append([ensemble.load_any(each) for each in (found if isinstance(found, list) else [found])])
    if {model.path for model in sides[0]} & {model.path for model in sides[1]}:
        raise InputError("compare", f"{args.one} on either side", "two different runs")
    rows = compare.compare(
        sides[0],
        sides[1],
        clips,
        protocols=[name.strip() for name in args.protocols.split(",") if name.strip()],
        split=args.split,
        seeds=args.seeds,
        settings=settings.override({}, args.set),
        copies=not args.drop_copies,
        progress=True,
    )
    _shared.print_table(compare.table(rows, (args.one, args.other)))
    if args.json:
        write_json(args.json, rows)
        print(f"Rows written to {args.json}")
