"""Write a run's encoder as an ONNX file, with a model card beside it."""

from __future__ import annotations

import argparse

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", metavar="RUN", help="a run, or base: the encoder that comes along")
    parser.add_argument("--onnx", metavar="OUT.onnx", required=True, help="file to write; the model card is OUT.md")
    parser.add_argument("--scores", metavar="ROWS.json", help="what `kineme evaluate --json` wrote, for the model card")


def run(args: argparse.Namespace) -> None:
    """Export, compare with torch, and say how equal the vectors are."""
    _shared.choose_threads()
    from ...inference import export

    made = export.onnx(args.run, args.onnx, args.scores)
    axes = [f"batch {made.batch or 'free'}", f"frames {made.frames or 'free'}"]
    print(f"{made.path}: opset {export.OPSET}, axes: {', '.join(axes)}; model card {made.card}")
    print(
        f"largest difference to torch under onnxruntime: {made.difference:.2g}, of values up to {made.scale:.2g} "
        "(random movements of several lengths)"
    )
