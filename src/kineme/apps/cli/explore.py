"""Look at a set of movements in the browser: a map, a player, movements that are alike."""

from __future__ import annotations

import argparse

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
    """Serve until Ctrl-C; what is due before is done meanwhile."""
    from ..explorer import launch

    launch.explore(
        args.where,
        args.run,
        against=args.against,
        predictions=args.predictions,
        labels=args.labels,
        finest=args.map,
        cache=args.cache,
        jobs=_shared.jobs(args),
        port=args.port,
        host=args.host,
        allowed=args.allow_host,
        token=not args.no_token,
        browser=not args.no_browser,
        before=_shared.choose_threads,
    )
