"""Turn a folder of motion files into a store."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...utils.errors import InputError
from . import _shared

PICTURE_SIDE = 144


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("src", metavar="SRC", nargs="?", help="folder or file (or --data SRC)")
    parser.add_argument("dest", metavar="DEST", nargs="?", help="store to write; a folder of stores for several kinds")
    _shared.add_preparation(parser)
    parser.add_argument(
        "--normalise", metavar="MODE", help="none, general, ... (default: general; with --faithful as published)"
    )
    parser.add_argument("--map", metavar="FILE", help="TOML or JSON: joint of the layout -> joint of the files")
    _shared.add_poses(parser)
    parser.add_argument(
        "--picture-side",
        metavar="PIXELS",
        type=int,
        default=PICTURE_SIDE,
        help=f"short side to which pictures of videos are scaled down (default {PICTURE_SIDE})",
    )
    _shared.add_jobs(parser)
    _shared.add_ray(parser)
    parser.add_argument(
        "--unsure",
        choices=("keep", "drop"),
        default="keep",
        help="joints with a place but no confidence (inferred by the sensor, score 0): keep (default) or drop them",
    )
    _shared.add_cleaning(parser)
    _shared.add_windows(parser)
    parser.add_argument("--faithful", action="store_true", help="cut and read clips as in the authors' release")


def run(args: argparse.Namespace) -> None:
    """Prepare, with a bar, and say what came of it: what was read, what was not, labels and splits, the next step."""
    from ...data import prepare
    from ...utils.progress import Bar

    address = _shared.ray(args)
    src, dest = _places(args)
    with Bar("prepare", 0) as bar:

        def report(done: int, total: int, note: str = "") -> None:
            bar.update(done, note, total)

        made = prepare.prepare_each(
            src,
            dest,
            normalise=args.normalise,
            table=args.map,
            jobs=args.jobs if address else _shared.jobs(args),
            ray=address,
            faithful=args.faithful,
            unsure=args.unsure,
            poses=args.poses,
            picture_side=args.picture_side,
            clean=_shared.cleaning(args),
            window=args.window,
            step=args.step,
            fps=args.fps,
            progress=report,
            **_shared.preparation(args),
        )
    if len(made) > 1:
        print(f"{len(made)} kinds of motion, a store for each (--only takes one):")
    for name, store in made.items():
        place = str(Path(dest) / name)
        print(f"{place}: {prepare.report(store)}")
        print(_shared.next_step(args, store, place))


def _places(args: argparse.Namespace) -> tuple[str, str]:
    """SRC and DEST; SRC may be said with --data."""
    if args.data is not None and args.dest is not None:
        raise InputError("--data", f"files named twice, {args.data} and {args.src}", "SRC DEST, or --data SRC DEST")
    src, dest = (args.src, args.dest) if args.data is None else (args.data, args.src)
    if src is None or dest is None:
        raise InputError("kineme prepare", "no store to write is named" if src else "nothing is named", "SRC DEST")
    return src, dest


def resume_hint(args: argparse.Namespace) -> str:
    """The same command: it goes on where it was interrupted."""
    given = {
        "normalise": args.normalise,
        "map": args.map,
        "jobs": args.jobs,
        "ray": args.ray,
        "poses": args.poses,
        "window": args.window,
        "step": args.step,
        "fps": args.fps,
        **_shared.preparation(args),
    }
    given["picture-side"] = args.picture_side if args.picture_side != PICTURE_SIDE else None
    given["unsure"] = args.unsure if args.unsure != "keep" else None
    words = [word for name, value in given.items() if value and name != "reading" for word in (f"--{name}", value)]
    words += [word for setting in args.read for word in ("--read", setting)]
    words += [word for setting in args.set for word in ("--set", setting)]
    flags = [f"--{name}" for name in ("clean", "faithful") if getattr(args, name)]
    return _shared.command_line(args, "prepare", *_places(args), *words, *flags)
