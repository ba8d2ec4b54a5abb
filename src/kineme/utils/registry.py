"""Methods, encoders, formats, estimators, protocols and commands: one file each, listed by name without being imported.

A name comes from one of three places: a file of the subpackage (but for those whose name begins with ``_``), a plug-in
file (:func:`add_plugin`, on the command line ``kineme --plugin FILE``), or an entry point of an installed package.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ROOT = Path(__file__).parents[1]
PACKAGE = __name__.split(".")[0]
OPENING = re.compile(r"[rRuU]?(\"{3}|'{3}|\"|')")  # of a docstring


class Kind(NamedTuple):
    """What the files of a subpackage are.

    Attributes:
        word: for one of them, in messages.
        defines: names that each has at top level, the function that does the work last; or
        base: class of the subpackage from which each derives a class with the file's name.
        group: of the entry points.
    """

    word: str
    defines: tuple[str, ...] = ()
    base: str = ""
    group: str = ""


KINDS = {
    "methods": Kind("method", base="Method", group="kineme.methods"),
    "encoders": Kind("encoder", base="Encoder", group="kineme.encoders"),
    "io": Kind("format", ("suffixes", "sniff", "read"), group="kineme.io"),
    "io.estimators": Kind("pose estimator", ("fits", "load"), group="kineme.estimators"),
    "evaluation.protocols": Kind("protocol", ("Settings", "score"), group="kineme.protocols"),
    "apps.cli": Kind("command", ("arguments", "run")),
}
_plugins: dict[str, dict[str, ModuleType]] = {subpackage: {} for subpackage in KINDS}


def names(subpackage: str) -> dict[str, str]:
    """The entries of a subpackage, of the plug-ins and of installed packages.

    Returns:
        ``{name: first line of the docstring}``, sorted by name; nothing is imported.

    Examples:
        >>> names("methods")["moco"].startswith("MoCo")
        True
    """
    installed = {name: f"(from {_package(entry)})" for name, entry in _installed(subpackage).items()}
    added = {name: (module.__doc__ or "").strip().split("\n")[0] for name, module in _plugins[subpackage].items()}
    return dict(sorted({**installed, **added, **_built_in(subpackage)}.items()))


def load(subpackage: str, name: str) -> ModuleType:
    """Import one entry by its name.

    Raises:
        InputError: no such name (the message lists those that exist), a name that two claim, or a file that does not
            define what its kind needs.
    """
    kind, known, installed = KINDS[subpackage], names(subpackage), _installed(subpackage)
    if name not in known:
        hint = did_you_mean(name, known) or f"A {kind.word} of your own is named with --plugin FILE"
        raise InputError(f"{kind.word} {name!r}", "no such name", f"one of {', '.join(known)}", hint)
    if name in installed and (name in _built_in(subpackage) or name in _plugins[subpackage]):
        raise InputError(
            f"{kind.word} {name!r} of {_package(installed[name])}", "the name is taken", "a name of its own"
        )
    if name in _plugins[subpackage]:
        return _plugins[subpackage][name]
    module = installed[name].load() if name in installed else importlib.import_module(f"{PACKAGE}.{subpackage}.{name}")
    if _defined(subpackage, name, module) is None:
        where = f"entry point {installed[name].value}" if name in installed else module.__file__
        raise InputError(where, f"no {kind.word} in it", _wanted(subpackage, name))
    return module


def entry(subpackage: str, name: str) -> Any:
    """The class (encoders, methods) or the function (``read``, ``score``, ``run``) behind a name.

    Raises:
        InputError: as :func:`load`.
    """
    return _defined(subpackage, name, load(subpackage, name))


def add_plugin(path: str | os.PathLike) -> None:
    """Take up the method, encoder, format, protocol or command of a Python file; its name is the file's.

    The file is imported. What it is follows from what it defines: a class with the file's name (case and underscores
    aside) derived from ``Method`` or ``Encoder``; ``suffixes``, ``sniff`` and ``read`` (a format); ``Settings`` and
    ``score`` (a protocol); ``arguments`` and ``run`` (a command). A file that was added before is passed over.

    Raises:
        InputError: no such file, one that cannot be imported or defines none of these, or a name that is taken.
    """
    path = Path(path).resolve()
    if str(path) in plugins():
        return
    if path.suffix != ".py" or not path.is_file():
        raise InputError(path, "not there" if path.suffix == ".py" else "no Python file", "a plug-in (NAME.py)")
    module, name = _import(path), path.stem
    found = [subpackage for subpackage in KINDS if _defined(subpackage, name, module) is not None]
    if not found:
        raise InputError(path, "no plug-in", "; or ".join(_wanted(subpackage, name) for subpackage in KINDS))
    for subpackage in found:
        if name in names(subpackage):
            word = KINDS[subpackage].word
            raise InputError(path, f"there is a {word} called {name!r} already", "a name of its own", "Rename the file")
    for subpackage in found:
        _plugins[subpackage][name] = module


def plugins(*subpackages: str) -> list[str]:
    """Paths of the plug-in files that were added (of all subpackages where none is named), to add them in another
    process.
    """
    return list(dict.fromkeys(str(m.__file__) for name in subpackages or KINDS for m in _plugins[name].values()))


def origin(subpackage: str, name: str) -> dict[str, str] | None:
    """Where an entry comes from, for the card of a run: ``file`` and ``sha256`` of a plug-in, ``package`` of an entry
    point; None for what comes with Kineme.
    """
    if name in _plugins[subpackage]:
        path = Path(str(_plugins[subpackage][name].__file__))
        return {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if name in _built_in(subpackage) or name not in _installed(subpackage):
        return None
    return {"package": _package(_installed(subpackage)[name])}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


@functools.cache
def _built_in(subpackage: str) -> dict[str, str]:
    folder = ROOT.joinpath(*subpackage.split("."))
    return {path.stem: _headline(path) for path in sorted(folder.glob("[!_]*.py"))}


def _headline(path: Path) -> str:
    """First line of a file's docstring; no more of the file is read."""
    quote = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in map(str.strip, file):
            if quote is None:
                opening = OPENING.match(line)
                if opening is None and line and not line.startswith("#"):
                    return ""
                if opening is None:
                    continue
                quote, line = opening[1], line[opening.end() :].strip()
            if line:
                return line.split(quote)[0].strip()
    return ""


@functools.cache
def _installed(subpackage: str) -> dict[str, EntryPoint]:
    if not KINDS[subpackage].group:
        return {}
    from importlib import metadata  # only here: `kineme --help` does without

    return {entry.name: entry for entry in metadata.entry_points(group=KINDS[subpackage].group)}


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _import(path: Path) -> ModuleType:
    """A file as a module under a name that no other file has."""
    name = f"{PACKAGE}_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file may do anything
        del sys.modules[name]
        lines = []
        trace = error.__traceback__
        while trace is not None:
            lines += [trace.tb_lineno] if trace.tb_frame.f_code.co_filename == str(path) else []
            trace = trace.tb_next
        where = f"{path}, line {lines[-1]}" if lines else path
        raise InputError(where, f"not importable ({type(error).__name__}: {error})", "a plug-in") from error
    return module


def _defined(subpackage: str, name: str, module: Any) -> Any:
    """What :func:`entry` gives of a module, None where it does not define all that its kind needs."""
    kind = KINDS[subpackage]
    if not kind.base:
        return getattr(module, kind.defines[-1]) if all(hasattr(module, word) for word in kind.defines) else None
    base = f"{PACKAGE}.{subpackage}", kind.base
    same = (value for word, value in vars(module).items() if word.lower() == name.lower().replace("_", ""))
    classes = (value for value in same if isinstance(value, type))
    return next((c for c in classes if base in ((b.__module__, b.__name__) for b in c.__mro__)), None)


def _wanted(subpackage: str, name: str) -> str:
    kind = KINDS[subpackage]
    if kind.base:
        title = "".join(map(str.capitalize, name.split("_")))
        return f"a class {title}({kind.base}) for {kind.word} {name!r}"
    return f"{', '.join(kind.defines[:-1])} and {kind.defines[-1]} for a {kind.word}"
