"""The command line: one file per command, imported when that command is given; this file finds, parses and calls.

A command is a file of this folder (or a plug-in): the first line of its docstring is its help. It defines
``arguments(parser)``, ``run(args)`` and, where it can be resumed, ``resume_hint(args) -> str``.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ... import __version__
from ...utils import registry, threads
from ...utils.errors import InputError

DESCRIPTION = "Kineme learns what human movements mean, without labels."
PLUGIN: dict[str, Any] = {
    "action": "append",
    "default": [],
    "metavar": "FILE.py",
    "help": "a method, encoder, format, protocol or command of your own, in a Python file (may be repeated, and stand "
    "before or after the command)",
}


def entry() -> None:
    """What ``kineme`` and ``python -m kineme`` run."""
    threads.wait_quietly(os.environ)
    code = main()
    if (
        "RANK" in os.environ
    ):  # under torchrun threads of gloo may outlive their group, and abort an interpreter that ends
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C."""
    _plain_speech()
    args = argparse.Namespace()
    try:
        plugins, words = _plugins(argv)
        _check_command(words)
        args = parser(complete=False).parse_args(words)
        args.plugin, args.words = plugins, words
        args.module.run(args)
        return 0
    except InputError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        hint = getattr(getattr(args, "module", None), "resume_hint", None)
        kept = f" Finished work is kept; resume with: {hint(args)}" if hint else ""
        print(f"\nInterrupted.{kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _complain("Out of memory. Take a smaller batch (--set loop.batch=16) or a smaller store.")
    except OSError as error:
        return _complain(
            f"{error.filename or 'disk'}: {error.strerror or error}. What was there before is untouched; "
            "free some space or check the path, and run the command again."
        )


def parser(complete: bool = True) -> argparse.ArgumentParser:
    """The command line.

    Args:
        complete: with the arguments of every command; otherwise a command's file is imported when it is chosen.
    """
    root = argparse.ArgumentParser(prog="kineme", description=DESCRIPTION, allow_abbrev=False)
    root.add_argument("--version", action="version", version=f"kineme {__version__}")
    root.add_argument("--plugin", **PLUGIN)
    commands = root.add_subparsers(required=True, metavar="COMMAND", parser_class=_Command)
    for name, text in registry.names("apps.cli").items():
        text = text.replace("%", "%%")
        command: _Command = commands.add_parser(name.replace("_", "-"), help=text, description=text)
        command.name = name
        if complete:
            command.fill()
    return root


class _Command(argparse.ArgumentParser):
    """The arguments of one command, taken from its file when they are needed."""

    name = ""

    def fill(self) -> None:
        """Import the command's file and add what it takes."""
        if self.get_default("module") is None:
            module = registry.load("apps.cli", self.name)
            module.arguments(self)
            self.set_defaults(module=module)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        self.fill()
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            what = "no such option" if unknown[0].startswith("-") else "one word too many"
            near = registry.did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
            raise InputError(unknown[0], what, hint=near or f"See {self.prog} --help")
        return found, unknown


def _plugins(argv: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Add the plug-ins, wherever they stand (they may define the command itself); what is left of the words."""
    first = argparse.ArgumentParser(prog="kineme", add_help=False, allow_abbrev=False)
    first.add_argument("--plugin", **PLUGIN)
    found, words = first.parse_known_args(argv)
    for path in found.plugin:
        registry.add_plugin(path)
    return found.plugin, words


def _check_command(words: Sequence[str]) -> None:
    """Refuse a command that does not exist by the nearest one that does."""
    command = next((word for word in words if not word.startswith("-")), None)
    known = [name.replace("_", "-") for name in registry.names("apps.cli")]
    if command is not None and command not in known:
        near = registry.did_you_mean(command, known)
        raise InputError(f"kineme {command}", "no such command", f"one of {', '.join(known)}", near)


def _plain_speech() -> None:
    """Show what the terminal's encoding lacks in another way (``\\u270b``), and warnings as one line.

    Labels and names of files are data: how a terminal is set must not decide whether a command succeeds.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None under pythonw, anything in a notebook
            stream.reconfigure(errors="backslashreplace")
    told: set[str] = set()

    def once(message: Any, *_: Any, **__: Any) -> str:
        text = f"kineme: note: {message}\n"
        if text in told:
            return ""
        told.add(text)
        return text

    warnings.formatwarning = once


def _complain(text: str) -> int:
    print(f"kineme: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
