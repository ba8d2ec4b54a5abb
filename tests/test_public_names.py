"""What a user imports: names that an editor sees are those that resolve, and there is one version."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import kineme

SOURCE = ast.parse(Path(kineme.__file__).read_text(encoding="utf-8"))


def seen_by_an_editor() -> dict[str, tuple[str, str]]:
    """Public name -> (module, name there), from the imports under ``if TYPE_CHECKING``."""
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_an_editor_sees_what_resolves():
    seen = seen_by_an_editor()
    assert set(seen) == set(kineme._PUBLIC) == set(kineme.__all__) - {"__version__"}
    for name, (module, attribute) in kineme._PUBLIC.items():
        there, word = seen[name]
        assert (f"{there}.{word}" if attribute is None else there) == module
        assert attribute in (None, word)


@pytest.mark.parametrize("name", kineme.__all__)
def test_every_public_name_resolves(name):
    assert getattr(kineme, name) is not None
    assert name in dir(kineme)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        kineme.pretrian  # noqa: B018


def test_one_version():
    done = subprocess.run([sys.executable, "-m", "kineme", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"kineme {kineme.__version__}"
    assert version("kineme") == kineme.__version__
