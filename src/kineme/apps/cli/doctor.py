"""Say what this machine offers: torch, threads, bf16, matmul speed, GPU."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> None:
    """Print what was found and measured."""
    from ...utils import hardware

    found = hardware.describe()
    for name, value in found.items():
        print(f"{name:{max(map(len, found))}}  {value}")
