"""Say what this machine offers: torch, threads, bf16, matmul speed and the way taken, GPU."""

from __future__ import annotations

import argparse

from . import _shared


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> None:
    """Print what was found and measured."""
    _shared.choose_threads()
    from ...nn import matmul
    from ...utils import hardware, threads

    found = hardware.describe()
    found["cores that may be used"] = str(threads.usable())
    found["large fp32 matmuls by"] = matmul.path()
    for name, value in found.items():
        print(f"{name:{max(map(len, found))}}  {value}")
