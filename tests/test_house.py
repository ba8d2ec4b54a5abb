"""The house keeps its order: a room imports only rooms listed above it, and the light words stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "kineme"
ORDER = [
    "errors",
    "registry",
    "files",
    "settings",
    "progress",
    "machine",
    "skeleton",
    "motion",
    "readers",
    "camera",
    "normalise",
    "synth_body",
    "synth_act",
    "synth_actions",
    "synth_files",
    "synth",
    "table",
    "frames",
    "store",
    "splits",
    "labels",
    "shards",
    "prepare",
    "world",
    "batch",
    "augment",
    "poses",
    "pairs",
    "norm",
    "encoders",
    "contrast",
    "mutual",
    "memory",
    "sphere",
    "methods",
    "recipe",
    "runs",
    "checkpoint",
    "train",
    "embed",
    "released",
    "weights",
    "figures",
    "draw",
    "evaluate",
    "reproduce",
    "demo",
    "cli",
]
SIBLINGS = {
    "methods": ["moco", "cmd", "halp", "hico", "cv_mim"],
    "encoders": ["recurrent", "bidirectional", "hierarchical", "temporal", "pose_mlp"],
    "evaluate": ["knn", "linear", "fusion", "sequence", "cross_view", "viewpoint", "pose_retrieval"],
}  # one way only, in this order
LIGHT = ("torch", "sklearn", "pyarrow", "scipy", "matplotlib", "rich")


def room(path: Path) -> str:
    parts = path.relative_to(SRC).parts
    return parts[0].removesuffix(".py")


def imported(path: Path) -> list[tuple[str, str]]:
    """(room, file inside it) of every import of the package, also those inside functions."""
    found = []
    depth = len(path.relative_to(SRC).parts) - 1
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            assert not (isinstance(node, ast.Import) and any(a.name.startswith("kineme.") for a in node.names)), (
                f"{path}: import by relative names"
            )
            continue
        words = (node.module or "").split(".") if node.module else []
        if node.level - 1 < depth:  # from . import x inside a room
            found += [(room(path), w) for w in (words[:1] or [a.name for a in node.names])]
        elif words:
            found.append((words[0], words[1] if len(words) > 1 else ""))
            if len(words) == 1:
                found += [(words[0], a.name) for a in node.names if (SRC / words[0] / f"{a.name}.py").exists()]
        else:
            found += [(a.name, "") for a in node.names if a.name != "__version__"]
    return found


FILES = sorted(p for p in SRC.rglob("*.py") if p != SRC / "__init__.py")


def test_every_room_has_its_place():
    assert {room(p) for p in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_rooms_import_only_rooms_above(path):
    here = room(path)
    for other, file in imported(path):
        if other == here:
            order = SIBLINGS.get(here, [])
            if path.stem in order and file in order:
                assert order.index(file) < order.index(path.stem), f"{path.name} imports its younger sibling {file}"
        else:
            assert ORDER.index(other) < ORDER.index(here), (
                f"{path.relative_to(SRC)} imports {other}, which stands below it"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 560, "split it: a file is one noun"


@pytest.mark.parametrize(
    "command",
    [
        "import kineme",
        "from kineme.cli import main; main(['methods'])",
        "from kineme.cli import parser; parser().format_help()",
    ],
)
def test_light_words_import_nothing_heavy(command):
    code = f"import sys; {command}; print([m for m in {LIGHT} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_nothing_is_pickled_or_moved_by_hand():
    """No unpickling, no `.cuda()`, and no `.item()` where views and losses are made."""
    for path in FILES:
        calls = {
            n.func.attr
            for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
        }
        assert "cuda" not in calls, path
        if room(path) in ("augment", "batch", "methods", "contrast", "memory", "sphere", "encoders"):
            assert "item" not in calls, path
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        assert "allow_pickle=True" not in text, path
