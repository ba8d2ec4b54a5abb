"""Draw motion as video in one of two domains, with the poses that a detector would find."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("store", metavar="STORE", help="3-D motion, of `kineme prepare`")
    parser.add_argument("out", metavar="OUT", help="store of pictures and 2-D poses to write")
    parser.add_argument("--domain", required=True, metavar="game|real", help="how bodies, rooms and cameras look")
    parser.add_argument("--size", type=int, default=128, help="pixels of a picture's side (default: %(default)s)")
    parser.add_argument("--layout", help="joints that are found, e.g. openpose18 (default: those of the motion)")
    parser.add_argument("--fps", type=float, help="frames per second (default: those of the motion, at most 30)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--split", help="draw a part of the clips only, such as subject=1,2,3 or label=walk")
    parser.add_argument(
        "--part", choices=("train", "test"), default="train", help="which part of the split (default: %(default)s)"
    )
    parser.add_argument("--mp4", metavar="FILE.mp4", help="also write clips that play side by side, with their poses")
    _shared.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Draw, with a bar; say what was written and what was left out."""
    from ...data import splits, store
    from ...data.synth import render
    from ...utils.progress import Bar

    if args.mp4 is not None and Path(args.mp4).suffix.lower() != ".mp4":
        raise InputError("--mp4", args.mp4, "a name that ends with .mp4")
    data = store.open(args.store)
    rows = None
    if args.split is not None:
        part = splits.split(data, args.split)
        for note in part.notes:
            print(note)
        rows = part.train if args.part == "train" else part.test
    with Bar("render", 0) as bar:

        def report(done: int, total: int, note: str = "") -> None:
            bar.update(done, note, total)

        made = render.render(
            data, args.out, args.domain, args.size, args.seed, rows, args.fps, _shared.jobs(args), report, args.layout
        )
    left = f"; {made.card['skipped']} clips left out, see {args.out}/skipped.jsonl" if made.card["skipped"] else ""
    print(
        f"{args.out}: {len(made)} clips, {len(made.frames)} pictures of {args.size} x {args.size}, "
        f"domain {args.domain}{left}"
    )
    if args.mp4 is not None:
        from ...viz import videos

        videos.mosaic(made, args.mp4)
        print(f"Clips side by side: {args.mp4}")
