"""Generate motion, pretrain, score and draw: five minutes, no data needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--out", default="kineme-demo", help="folder to write (default: %(default)s)")
    parser.add_argument("files", metavar="FILES", nargs="?", help="the same on your own motion files (or --data FILES)")
    _shared.add_preparation(parser)
    parser.add_argument(
        "--video", action="store_true", help="the same on motion drawn as video, from one domain to another (P-HLVC)"
    )
    parser.add_argument("--seeds", type=int, help="how many training runs (default: 2, with --video 1)")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds instead of minutes; the scores mean nothing"
    )
    parser.add_argument(
        "--serve",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="end with the address of a page that shows it all, until Ctrl-C (default: where the output is a terminal)",
    )
    _shared.add_renamed(parser, "--mine", "--data")


def run(args: argparse.Namespace) -> None:
    """Run it."""
    _shared.choose_threads()
    if args.video:
        _with_videos(args)
        return
    from .. import demo

    if args.files is not None and args.data is not None:
        raise InputError("--data", f"files named twice, {args.files} and {args.data}", "one of them")
    demo.run(
        Path(args.out),
        data=args.files if args.data is None else args.data,
        seeds=2 if args.seeds is None else args.seeds,
        quick=args.quick,
        serve=_serves(args),
        **_shared.preparation(args),
    )


def _with_videos(args: argparse.Namespace) -> None:
    asked = {"FILES": args.files, "--data": args.data}
    asked |= {f"--{'read' if name == 'reading' else name}": said for name, said in _shared.preparation(args).items()}
    if named := [name for name, said in asked.items() if said]:
        raise InputError(
            "--video",
            f"{named[0]} beside it",
            "nothing of one's own: the videos are drawn",
            "For your own: kineme prepare VIDEOS STORE --poses FOLDER, then kineme pretrain p_hlvc STORE",
        )
    from .. import demo_video

    seeds = 1 if args.seeds is None else args.seeds
    demo_video.run(Path(args.out), seeds=seeds, quick=args.quick, serve=_serves(args))


def _serves(args: argparse.Namespace) -> bool:
    """Whether it ends with the page."""
    return sys.stdout.isatty() if args.serve is None else args.serve
