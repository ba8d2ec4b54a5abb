"""Turn a checkpoint that a method's authors distribute into a run."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("file", metavar="FILE", help="a .pth.tar file; nothing in it is executed")
    parser.add_argument("--as", dest="kind", metavar="METHOD", required=True, help="the method whose checkpoint it is")
    parser.add_argument("--out", metavar="RUN", help="folder to write (default: runs/METHOD-FILE)")
    parser.add_argument("--layout", default="ntu25", help="joints of its input (default: %(default)s)")
    parser.add_argument("--coords", type=int, default=3, help="coordinates of a joint (default: %(default)s)")
    parser.add_argument(
        "--stream",
        metavar="NAME",
        default="joint",
        help="what a file with one encoder was trained on, which it does not say (default: %(default)s)",
    )
    parser.add_argument(
        "--heads", type=int, default=4, help="of a Transformer, which its file does not say (default: %(default)s)"
    )
    parser.add_argument(
        "--normalise",
        metavar="MODE",
        default="ntu",
        help="how its training data were prepared (default: %(default)s, as published)",
    )


def run(args: argparse.Namespace) -> None:
    """Import, and say what was mapped."""
    from ...training import import_weights

    out = import_weights.import_weights(
        args.file,
        args.kind,
        args.out,
        layout=args.layout,
        coords=args.coords,
        stream=args.stream,
        heads=args.heads,
        normalise=args.normalise,
    )
    print(import_weights.report(out))
    print(f"Run written to {out}. Next: kineme evaluate {out} STORE (kineme info STORE lists its splits)")
