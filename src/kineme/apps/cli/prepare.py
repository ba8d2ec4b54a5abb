"""Turn a folder of motion files into a store."""

from __future__ import annotations

import argparse

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("src", metavar="SRC", help="folder or file")
    parser.add_argument("dest", metavar="DEST", help="store to write")
    parser.add_argument("--format", help="take every file as this format (see `kineme methods`)")
    parser.add_argument(
        "--normalise", metavar="MODE", help="none, general, ... (default: as published for the layout, else general)"
    )
    parser.add_argument(
        "--labels",
        metavar="FILE.csv|folder|PATTERN",
        help="labels from a table; `folder`: each file's folder is its label; a pattern of the files' names such as "
        "'S{subject}_{label}_{repetition}'; or the label files of a format",
    )
    parser.add_argument("--layout", help="map every clip to this layout")
    parser.add_argument("--map", metavar="FILE", help="TOML or JSON: joint of the layout -> joint of the files")
    _shared.add_jobs(parser)
    parser.add_argument("--faithful", action="store_true", help="cut and read clips as in the authors' release")


def run(args: argparse.Namespace) -> None:
    """Prepare, with a bar, and say what came of it."""
    from ...data import prepare
    from ...utils.progress import Bar

    with Bar("prepare", 0) as bar:

        def report(done: int, total: int, note: str = "") -> None:
            bar.update(done, note, total)

        store = prepare.prepare(
            args.src,
            args.dest,
            format=args.format,
            normalise=args.normalise,
            labels=args.labels,
            layout=args.layout,
            table=args.map,
            jobs=_shared.jobs(args),
            faithful=args.faithful,
            progress=report,
        )
    print(prepare.report(store))
    _shared.print_store(store)
    print(f"\nStore written to {args.dest}. Next: kineme pretrain METHOD {args.dest} (kineme methods lists them)")


def resume_hint(args: argparse.Namespace) -> str:
    """The same command: it goes on where it was interrupted."""
    given = {"format": args.format, "normalise": args.normalise, "labels": args.labels, "layout": args.layout}
    given |= {"map": args.map, "jobs": args.jobs}
    words = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    return _shared.command_line(
        args, "prepare", args.src, args.dest, *words, *(["--faithful"] if args.faithful else [])
    )
