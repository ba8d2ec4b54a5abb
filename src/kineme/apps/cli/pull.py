"""Take a run out of a folder that `kineme push` wrote, or a copy of it; nothing in it is executed."""

from __future__ import annotations

import argparse

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("src", metavar="SRC", help="the folder, as it was pushed or downloaded")
    parser.add_argument("run", metavar="RUN", help="a new folder for the run")


def run(args: argparse.Namespace) -> None:
    """Copy, check, and say how it is used."""
    _shared.choose_threads()
    from ...inference import hub

    place = hub.pull(args.src, args.run)
    print(f"A run in {place}. Next: {_shared.command_line(args, 'embed', place, 'STORE', '--out', 'vectors')}")
