"""What several commands share: common arguments, tables, a store in words."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError

if TYPE_CHECKING:
    from ...data.store import Store


def add_set(parser: argparse.ArgumentParser, metavar: str, examples: str) -> None:
    """``--set``, given once for each setting."""
    parser.add_argument("--set", action="append", default=[], metavar=metavar, help=f"e.g. {examples}")


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: CUDA where there is one)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """``--jobs``; :func:`jobs` reads it."""
    parser.add_argument("--jobs", type=int, default=0, help="processes that prepare (default: one per core)")


def jobs(args: argparse.Namespace) -> int:
    """How many processes."""
    return args.jobs or os.cpu_count() or 1


def add_renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Refuse an option of an earlier version by the name that it has now."""
    parser.add_argument(old, action=_Renamed, nargs="?", help=argparse.SUPPRESS, metavar=new)


class _Renamed(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise InputError(str(option_string), f"this option is now called {self.metavar}")


def command_line(args: argparse.Namespace, *words: object) -> str:
    """A command with the plug-ins of this one, to be copied into a shell."""
    plugins = [word for path in args.plugin for word in ("--plugin", path)]
    return shlex.join(["kineme", *plugins, *map(str, words)])


def print_table(table: Any) -> None:
    """Print a table of rich, as wide as the terminal or, into a file, 140 columns."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 140).print(table)


def print_store(data: Store) -> None:
    """Say what a store holds."""
    from ...data import splits

    card = data.card
    print(
        f"layout {data.layout.name} ({len(data.layout)} joints), {data.coords} coordinates, "
        f"up to {data.persons} persons"
    )
    print(
        f"up {card.get('up')}, unit {card.get('unit')}, normalised: {card['normalise'].get('how')}, "
        f"hash {data.hash[:12]}"
    )
    print(f"columns: {', '.join(data.clips.column_names)}")
    labels = [x for x in data.column("label") if x is not None]
    if labels:
        counts = {name: labels.count(name) for name in sorted(set(labels))}
        shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:24])
        print(f"labels ({len(counts)}): {shown}{' ...' if len(counts) > 24 else ''}")
    print(f"splits: {', '.join(splits.names(data))}")
