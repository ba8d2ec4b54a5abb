"""Score runs on a store, beside the untrained encoder and hand-crafted features."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from ...utils import registry
from ...utils.errors import InputError
from . import _shared

PROTOCOLS = "evaluation.protocols"
OPTIONS = ("probe", "source", "target", "adapt")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run, or several joined by commas, scored as an ensemble"
    )
    parser.add_argument("store", metavar="STORE", help="labelled clips, prepared as those of the runs")
    parser.add_argument(
        "--protocols",
        default="knn,linear",
        help="comma-separated, or `all`: all that apply (default: %(default)s; see `kineme methods`)",
    )
    parser.add_argument("--split", required=True, help="see `kineme info STORE`")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the probe (default: %(default)s)")
    parser.add_argument("--probe", metavar="NAME", help="classifier of the protocols that train one")
    parser.add_argument("--source", metavar="STORE", help="labelled clips to learn from, of protocols across domains")
    parser.add_argument("--target", metavar="STORE", help="labelled clips to transfer to, of the protocol `transfer`")
    parser.add_argument(
        "--adapt",
        choices=("none", "true", "uniform", "estimated"),
        help="adapt to the unlabelled training side of STORE with such proportions of its classes",
    )
    parser.add_argument(
        "--baseline", action=_Alone, metavar="STORE", help="score hand-crafted features alone, without any run"
    )
    parser.add_argument(
        "--drop-copies", action="store_true", help="without test clips that are copies of training clips, or nearly"
    )
    _shared.add_set(parser, "PROTOCOL.NAME=VALUE", "knn.k=1,5 or linear.C=0.1")
    parser.add_argument("--json", metavar="FILE", help="write every row")
    parser.add_argument(
        "--report",
        metavar="FILE",
        action="append",
        default=[],
        help="a page about all of it (.html), or the table (.md); may be given for each",
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE.csv",
        help="write what was predicted for each test clip: clip, true, predicted ...",
    )
    parser.add_argument("--confusion", metavar="FILE.png", help="draw which class was taken for which")
    parser.add_argument(
        "--plots", metavar="FOLDER", help="draw what protocols have to show: reliability, robustness, ..."
    )


class _Alone(argparse.Action):
    """``--baseline STORE``: then no run has to be given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, values)
        for action in parser._actions:
            action.required &= action.dest not in ("runs", "store")


def _given(protocols: Sequence[str], name: str, value: str | None) -> list[str]:
    """An option as settings of the protocols that have one of its name.

    Raises:
        InputError: none has.
    """
    if value is None:
        return []
    having = [each for each in protocols if _has(each, name)]
    if not having:
        found = f"no protocol that has it: {', '.join(protocols)}"
        raise InputError(
            f"--{name}", found, f"one of {', '.join(p for p in registry.names(PROTOCOLS) if _has(p, name))}"
        )
    return [f"{each}.{name}={json.dumps(value)}" for each in having]


def _has(protocol: str, name: str) -> bool:
    settings = registry.load(PROTOCOLS, protocol).Settings
    return name in {field.name for field in dataclasses.fields(settings)}


def run(args: argparse.Namespace) -> None:
    """Score, print the table, write the rows."""
    _shared.choose_threads()
    from ...data import store
    from ...evaluation import plan, predictions, report, scores
    from ...evaluation.run import baseline, evaluate
    from ...inference import ensemble
    from ...utils import settings
    from ...utils.files import write_json

    words = [p.strip() for p in args.protocols.split(",") if p.strip()]
    given = [word for name in OPTIONS for word in _given(plan.asked(words)[0], name, getattr(args, name))]
    how: Any = {
        "split": args.split,
        "protocols": words,
        "seeds": args.seeds,
        "settings": settings.override({}, args.set + given),
        "copies": not args.drop_copies,
        "progress": True,
    }
    if args.baseline and args.runs:
        raise InputError(
            "--baseline", "runs beside it", "the store alone", "Runs are scored beside the baseline anyway"
        )
    for path in args.report:
        report.check(path)
    clips = store.open(args.baseline or args.store)
    models = [ensemble.load_any(run) for run in args.runs or ()]
    rows = baseline(clips, **how) if args.baseline else evaluate(models, clips, **how)
    _shared.print_table(scores.table(rows))
    if args.json:
        write_json(args.json, rows)
        print(f"Rows written to {args.json}")
    if args.predictions:
        print(f"{predictions.write(rows, args.predictions)} predictions written to {args.predictions}")
    if args.confusion:
        from ...viz import plots

        counts, classes, title = predictions.confusion(rows)
        plots.confusion(counts, classes, args.confusion, title)
        print(f"Confusion matrix drawn to {args.confusion}")
    for path in args.report:
        report.write(rows, path, models, _shared.command_line(args, *args.words))
        print(f"Report written to {path}")
    if args.plots:
        drawn = plan.pictures(rows, args.plots)
        print(f"Drawn: {', '.join(map(str, drawn)) or 'nothing, none of these protocols has a picture'}")
