"""Look at a set of movements in the browser: a map, a player, movements that are alike."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from ...utils.errors import InputError
from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "where",
        metavar="STORE|FOLDER",
        help="a store, a folder of motion files, or an index: indexed once, kept beside",
    )
    parser.add_argument(
        "--run", metavar="RUN", help="the run whose vectors are taken (default: base; of an index its own)"
    )
    parser.add_argument(
        "--against", metavar="RUN", help="a second run to compare with, or `untrained`: the encoder before training"
    )
    parser.add_argument(
        "--predictions", metavar="FILE.csv", help="of kineme evaluate: shows what was taken for what, clip by clip"
    )
    parser.add_argument("--labels", metavar="FOLDER", help="where labels given on the page are kept (default: beside)")
    parser.add_argument("--port", type=int, help="of this machine (default: the first free one from 7860 on)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--map",
        choices=("tsne", "pca"),
        default="tsne",
        help="how clips are laid out (default: %(default)s, when ready)",
    )
    parser.add_argument("--cache", metavar="FOLDER", help="where the index of a folder is kept (default: beside it)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name that the page is asked for by"
    )
    parser.add_argument("--no-token", action="store_true", help="anybody on this machine may look")
    _shared.add_jobs(parser)


def run(args: argparse.Namespace) -> None:
    """Index where that is due, then serve until Ctrl-C."""
    for name in ("fastapi", "uvicorn"):
        try:
            importlib.import_module(name)
        except ImportError:
            hint = "pip install 'kineme[web]'"
            raise InputError("kineme explore", f"{name} is not installed", "the packages of the page", hint) from None
    from ..explorer import launch

    launch.check(args.host, args.allow_host, not args.no_token)
    _shared.choose_threads()
    from ...inference import index_files, search
    from ..explorer import comparing, routes
    from ..explorer.workspace import Workspace

    asked: dict[str, Any] = {} if index_files.is_index(args.where) or _is_store(args.where) else _jobs(args)
    searcher = search.opened(args.where, args.run, args.cache, progress=True, **asked)
    work = Workspace(searcher, launch.name_of(args.where), args.map)
    place = searcher.index.path
    labels = (
        Path(args.labels)
        if args.labels
        else (place if index_files.is_index(args.where) else place.parents[1]) / "labels"
    )
    more = [routes.teach(labels), routes.recordings]
    if args.predictions is not None:
        more.append(routes.confusion(comparing.Predictions(args.predictions, work)))
    if args.against is not None:
        more.append(routes.compare(comparing.other(work, args.where, args.against)))
    launch.serve(
        work,
        *more,
        port=args.port,
        host=args.host,
        allowed=args.allow_host,
        token=not args.no_token,
        browser=not args.no_browser,
    )


def _is_store(where: str) -> bool:
    return (Path(where) / "card.json").is_file()


def _jobs(args: argparse.Namespace) -> dict[str, Any]:
    return {"jobs": _shared.jobs(args)}
