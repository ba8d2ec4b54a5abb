"""Cross references in docstrings lead somewhere, and docstrings and messages use the glossary's words."""

import ast
import importlib
import re
import types
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "kineme"
FILES = sorted(SRC.rglob("*.py"))
REFERENCE = re.compile(r":(mod|func|class|meth|attr|data|exc):`~?(kineme[\w.]*)`")
OLD = re.compile(r"hand-made|random weights|set aside", re.IGNORECASE)


def resolves(name: str, kind: str = "") -> bool:
    """Whether a dotted name is a module or, unless the kind is ``mod``, an attribute of the longest module that it
    begins with.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for i, part in enumerate(parts[end:], end):
            fields = getattr(found, "__annotations__", {})  # of a dataclass: fields without a default
            if not hasattr(found, part) and not (part in fields and i == len(parts) - 1):
                return False
            found = getattr(found, part, None)
        return kind != "mod" or isinstance(found, types.ModuleType)
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_cross_references_resolve(path):
    text = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    wrong = sorted({name for doc in texts for kind, name in REFERENCE.findall(doc) if not resolves(name, kind)})
    assert not wrong, f"{path}: no such thing: {', '.join(wrong)}"


def test_a_wrong_reference_is_found():
    assert resolves("kineme.data.prepare.prepare")
    assert resolves("kineme.motion.layout.Layout.joints")
    assert not resolves("kineme.prepare", "mod")  # a function
    assert not resolves("kineme.readers.text.near")
    assert not resolves("kineme.data.prepare.prepair")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_old_words_are_gone(path):
    assert not OLD.findall(path.read_text(encoding="utf-8"))
