"""Measure speed against plain reference implementations (from a checkout)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...utils.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("names", nargs="*", help="which parts (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each measurement (default: %(default)s)")
    parser.add_argument("--published", action="store_true", help="networks of the published size (minutes per round)")
    parser.add_argument("--record", action="store_true", help="keep the ratios, to be compared with later")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    parser.add_argument("--json", metavar="FILE", help="write the measured rows")


def run(args: argparse.Namespace) -> None:
    """Hand over to ``bench/run.py`` of the checkout."""
    folder = Path(__file__).parents[4] / "bench"
    if not (folder / "run.py").is_file():
        raise InputError(
            "kineme bench",
            "no bench folder beside this installation",
            "a checkout of the project",
            "Clone it and run `make bench`",
        )
    sys.path.insert(0, str(folder))
    from run import main as measure

    words = [f"--{name}" for name in ("published", "record", "quick") if getattr(args, name)]
    if args.json:
        words += ["--json", args.json]
    if measure([*args.names, "--rounds", str(args.rounds), *words]):
        raise InputError("kineme bench", "a result beyond its bound from the reference (in red)", "equal results")
