"""From raw files to a published figure: prepare, pretrain, score; re-run to resume."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("name", metavar="NAME", help="a recipe with a table [reproduce] (see `kineme methods`)")
    parser.add_argument("--raw", metavar="DIR", required=True, help="folder of raw files")
    parser.add_argument("--out", metavar="FOLDER", default="reproduced", help="folder to write (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the training runs (default: %(default)s)")
    parser.add_argument("--labels", metavar="FOLDER", help="folder of label files, where it lies elsewhere")
    _shared.add_device(parser)
    _shared.add_jobs(parser)
    _shared.add_set(
        parser, "NAME=VALUE", "loop.epochs=3 (every training run), reproduce.init_epochs=1, linear.epochs=3"
    )


def run(args: argparse.Namespace) -> None:
    """Reproduce, and print the figures beside the published ones."""
    _shared.choose_threads()
    from ...evaluation import reproduce

    result = reproduce.reproduce(
        args.name,
        args.raw,
        args.out,
        seed=args.seed,
        settings=args.set,
        labels=args.labels,
        device=args.device,
        jobs=_shared.jobs(args),
        progress=True,
    )
    _shared.print_table(reproduce.table(result))
    print(f"Figures written to {Path(args.out) / result['recipe']}-s{result['seed']}.json")


def resume_hint(args: argparse.Namespace) -> str:
    """The same command."""
    words = ["reproduce", args.name, "--raw", args.raw, "--out", args.out, "--seed", args.seed]
    more = {"--labels": [args.labels], "--device": [args.device], "--set": args.set}
    words += [word for flag, values in more.items() for value in values if value for word in (flag, value)]
    return _shared.command_line(args, *words)
