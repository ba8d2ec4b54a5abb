"""Examples in docstrings run as they stand, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import kineme

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FINDER = doctest.DocTestFinder(exclude_empty=True)


def modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages(kineme.__path__, "kineme.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What examples may use without making it: a small store, a clip of it, a run on it."""
    folder = tmp_path_factory.mktemp("doctests")
    store = kineme.prepare(kineme.synth.write(folder / "synthetic", 48, subjects=4), folder / "store")
    run = kineme.pretrain("moco", store, folder / "run", epochs=1, settings={"loop.batch": 16}, device="cpu")
    return {
        "kineme": kineme,
        "np": np,
        "torch": torch,
        "store": store,
        "motion": store.motion(0).with_(fps=30),
        "run": run,
        "model": kineme.load(run, device="cpu"),
    }


def test_examples_run(words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for module in modules():
        for test in FINDER.find(module, extraglobs=words):
            if test.examples:
                runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).attempted > 50
    assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(set(kineme.__all__) - {"__version__"}))
def test_every_public_name_has_an_example(name: str):
    assert ">>> " in (inspect.getdoc(getattr(kineme, name)) or "")


def test_names_in_docstrings_exist():
    """``:func:`kineme.x.y``` becomes a link on the site, where a name that is not there would pass unseen."""
    named = {
        (path.name, name)
        for path in Path(kineme.__path__[0]).rglob("*.py")
        for name in re.findall(r":(?:mod|func|class|meth|attr|data):`~?(kineme\.[\w.]+)`", path.read_text("utf-8"))
    }
    assert len(named) > 10
    assert not [where for where in sorted(named) if not resolves(where[1])]


def resolves(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
