"""Names of encoders, methods, readers and protocols, read from the files themselves without importing them."""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from .errors import InputError

ROOT = Path(__file__).parents[1]
# what a file of a room must define at top level; None = a class with the file's name (case and underscores aside)
ROOMS = {"io": "read", "evaluation.protocols": "score", "encoders": None, "methods": None}


def names(room: str) -> dict[str, str]:
    """The entries of a room: files that define ``read`` (readers), ``score`` (protocols), or a class with the file's
    name.

    ``halp.py`` may call its class ``HaLP``. Files whose name begins with an underscore do not count.

    Returns:
        ``{name: first line of the docstring}``, sorted by name; nothing is imported.
    """
    found = {}
    for path in sorted((ROOT / room.replace(".", "/")).glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if _defined(room, path.stem, (n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)))):
            found[path.stem] = (ast.get_docstring(tree) or "").strip().split("\n")[0]
    return found


def load(room: str, name: str) -> ModuleType:
    """Import one file of a room by its name.

    Raises:
        InputError: no such name; the message lists those that exist.
    """
    known = names(room)
    if name not in known:
        raise InputError(f"{room} {name!r}", "no such name", f"one of {', '.join(known)}", did_you_mean(name, known))
    return importlib.import_module(f"kineme.{room}.{name}")


def entry(room: str, name: str):
    """The class (encoders, methods) or function (readers, protocols) behind a name."""
    module = load(room, name)
    return getattr(module, _defined(room, name, vars(module)))  # type: ignore[arg-type]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def _defined(room: str, stem: str, defined: Iterable[str]) -> str | None:
    wanted = ROOMS[room] or stem
    same = (lambda n: n == wanted) if ROOMS[room] else (lambda n: n.lower() == wanted.replace("_", ""))
    return next((name for name in defined if same(name)), None)
