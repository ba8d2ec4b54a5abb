"""Score runs on a store, beside the untrained encoder and hand-crafted features."""

from __future__ import annotations

import argparse
from typing import Any

from ...utils import registry
from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run, or several joined by commas, scored as an ensemble"
    )
    parser.add_argument("store", metavar="STORE", help="labelled clips, prepared as those of the runs")
    parser.add_argument("--protocols", default="knn,linear", help="comma-separated (default: %(default)s)")
    parser.add_argument("--split", required=True, help="see `kineme info STORE`")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the probe (default: %(default)s)")
    parser.add_argument("--probe", metavar="NAME", help="classifier of the protocols that train one")
    parser.add_argument(
        "--baseline", action=_Alone, metavar="STORE", help="score hand-crafted features alone, without any run"
    )
    _shared.add_set(parser, "PROTOCOL.NAME=VALUE", "knn.k=1,5 or linear.C=0.1")
    parser.add_argument("--json", metavar="FILE", help="write every row")


class _Alone(argparse.Action):
    """``--baseline STORE``: then no run has to be given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, values)
        for action in parser._actions:
            action.required &= action.dest not in ("runs", "store")


def run(args: argparse.Namespace) -> None:
    """Score, print the table, write the rows."""
    _shared.choose_threads()
    from ...data import store
    from ...evaluation import scores
    from ...evaluation.run import baseline, evaluate
    from ...inference import ensemble
    from ...utils import settings
    from ...utils.files import write_json

    protocols = [p.strip() for p in args.protocols.split(",") if p.strip()]
    probed = [
        p for p in protocols if args.probe and hasattr(registry.load("evaluation.protocols", p).Settings, "probe")
    ]
    if args.probe and not probed:
        raise InputError("--probe", "no protocol that trains a classifier", "one, for example --protocols linear")
    how: Any = {
        "split": args.split,
        "protocols": protocols,
        "seeds": args.seeds,
        "settings": settings.override({}, args.set + [f"{name}.probe={args.probe}" for name in probed]),
        "progress": True,
    }
    if args.baseline and args.runs:
        raise InputError(
            "--baseline", "runs beside it", "the store alone", "Runs are scored beside the baseline anyway"
        )
    clips = store.open(args.baseline or args.store)
    rows = baseline(clips, **how) if args.baseline else evaluate(list(map(ensemble.load_any, args.runs)), clips, **how)
    _shared.print_table(scores.table(rows))
    if args.json:
        write_json(args.json, rows)
        print(f"Rows written to {args.json}")
