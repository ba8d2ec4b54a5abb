"""Generate motion, pretrain, score and draw: five minutes, no data needed."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--out", default="kineme-demo", help="folder to write (default: %(default)s)")
    parser.add_argument("files", metavar="FILES", nargs="?", help="the same on your own motion files (or --data FILES)")
    _shared.add_preparation(parser)
    parser.add_argument("--seeds", type=int, default=3, help="how many training runs (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds instead of minutes; the scores mean nothing"
    )
    _shared.add_renamed(parser, "--mine", "--data")


def run(args: argparse.Namespace) -> None:
    """Run it."""
    _shared.choose_threads()
    from .. import demo

    if args.files is not None and args.data is not None:
        raise InputError("--data", f"files named twice, {args.files} and {args.data}", "one of them")
    demo.run(
        Path(args.out),
        data=args.files if args.data is None else args.data,
        seeds=args.seeds,
        quick=args.quick,
        **_shared.preparation(args),
    )
