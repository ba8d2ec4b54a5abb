"""Write a run as a folder that a model hub takes: model card, config, safetensors."""

from __future__ import annotations

import argparse

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a finished run")
    parser.add_argument("dest", metavar="DEST", help="a new folder, to be uploaded as it is or passed on")
    parser.add_argument("--scores", metavar="ROWS.json", help="what `kineme evaluate --json` wrote, for the model card")


def run(args: argparse.Namespace) -> None:
    """Write, and say how it is used."""
    _shared.choose_threads()
    from ...inference import hub

    dest = hub.push(args.run, args.dest, args.scores)
    print(f"Written: {dest} ({', '.join(sorted(path.name for path in dest.iterdir()))})")
    print(f"Whoever has a copy: {_shared.command_line(args, 'pull', dest, 'RUN')}")
