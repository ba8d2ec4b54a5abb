"""The package keeps its order: what is imported stands above what imports it, subpackages and files alike."""

import ast
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

SRC = Path(__file__).parents[1] / "src" / "kineme"
# subpackages in import order, and the files of each in the order in which they may import each other
# (one-file-per-plugin folders list only files that import siblings, or are imported by them)
ORDER = {
    "utils": [
        "threads",
        "errors",
        "registry",
        "files",
        "plain_pickle",
        "settings",
        "progress",
        "hardware",
        "distributed",
        "ray_cluster",
        "buffers",
    ],
    "motion": [
        "layout",
        "joint_map",
        "units",
        "windows",
        "kinematics",
        "motion",
        "camera",
        "size",
        "clean",
        "normalise",
        "fit",
        "places",
    ],
    "io": [
        "_text",
        "_mat",
        "_hdf5",
        "_detections",
        "_frame_names",
        "_bodies",
        "_following",
        "_tracking",
        "_frame_files",
        "_coco_writer",
        "_landmarks",
        "_tables",
        "_unread",
        "_video",
        "ntu",
        "pyskl",
    ],
    "data": [
        "array_file",
        "pictures",
        "clip_table",
        "store",
        "near_duplicates",
        "conform",
        "store_writer",
        "names",
        "splits",
        "benchmark",
        "labels",
        "name_pattern",
        "kinds",
        "video",
        "options",
        "shards",
        "plan",
        "report",
        "workers",
        "prepare",
        "from_memory",
        "synth",
    ],
    "views": [
        "batch",
        "source",
        "augment",
        "video_clips",
        "streams",
        "body_frame",
        "keypoints",
        "random_cameras",
        "pose_pairs",
        "motion_image",
        "masks",
    ],
    "nn": [
        "init",
        "batch_norm",
        "depthwise",
        "dropout",
        "matmul",
        "conv3d",
        "transformer",
        "precision",
        "rnn",
        "temporal_conv",
        "momentum",
        "heads",
        "contrastive",
        "mutual_information",
        "hallucination",
        "spherical_kmeans",
        "prototypes",
        "sinkhorn",
        "swapped",
        "finch",
    ],
    "encoders": [
        "_multi_stream",
        "_video",
        "recurrent",
        "bidirectional",
        "hierarchical",
        "temporal",
        "pose_mlp",
        "fused",
        "skeleton_transformer",
        "motion_image",
        "_video_pose",
    ],
    "methods": ["moco", "cmd", "halp", "hico", "_cv_mim_variants", "cv_mim", "simclr", "p_hlvc", "mamp"],
    "training": [
        "recipe",
        "card",
        "bundled",
        "trained_on",
        "clips",
        "run",
        "checkpoint",
        "optim",
        "finetune",
        "log",
        "watch",
        "published",
        "pickled",
        "import_weights",
        "public_weights",
        "loop",
    ],
    "inference": [
        "cache",
        "memory_clips",
        "long_takes",
        "taken",
        "rebuild",
        "model",
        "ensemble",
        "spread",
        "embed",
        "nearest",
        "windows",
        "approximate",
        "index_files",
        "exact",
        "index",
        "index_table",
        "indexing",
        "rerank",
        "search",
        "model_card",
        "export",
        "hub",
        "estimators",
        "pieces",
        "classifier",
        "recogniser",
        "clusters",
        "duplicates",
    ],
    "viz": ["stick_figure", "strips", "plots", "svg", "videos"],
    "evaluation": [
        "task",
        "hand_crafted",
        "baselines",
        "sealed",
        "marginals",
        "robustness",
        "leaks",
        "groups",
        "agreement",
        "protocols",
        "scores",
        "few_labels",
        "plan",
        "run",
        "predictions",
        "compare",
        "published",
        "sections",
        "report",
        "results",
        "reproduce",
    ],
    "apps": ["explorer", "demo", "demo_video", "cli"],
}
INNER = {
    "apps.explorer": [
        "container",
        "guard",
        "clips",
        "maps",
        "gathering",
        "workspace",
        "reading",
        "uploads",
        "teaching",
        "recording",
        "comparing",
        "answers",
        "server",
        "routes",
        "launch",
    ],
    "data.synth": [
        "body",
        "performance",
        "actions",
        "stage",
        "sensor",
        "figure",
        "raster",
        "scene",
        "looks",
        "shot",
        "detector",
        "render",
        "two_domains",
    ],
    "io.estimators": ["_mediapipe_pose", "_onnx", "mediapipe", "rtmpose", "yolo_pose"],
    "evaluation.protocols": [
        "_camera_pairs",
        "knn",
        "linear",
        "finetune",
        "svm",
        "fusion",
        "sequence",
        "cross_view",
        "viewpoint",
    ],
}
LIGHT = ("numpy", "torch", "sklearn", "pyarrow", "scipy", "matplotlib", "rich")
PLUGINS = {"io", "io.estimators", "encoders", "methods", "evaluation.protocols", "apps.cli"}


def module(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(SRC).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path) -> list[tuple[str, ...]]:
    """Every module of the package that a file imports, also inside functions."""
    found = []
    here = path.relative_to(SRC).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(a.name.split(".")[0] == "kineme" for a in node.names), f"{path}: import by relative names"
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = here[: len(here) - node.level + 1]
        words = base + tuple((node.module or "").split(".") if node.module else ())
        for name in node.names:
            whole = (*words, name.name)
            is_module = (SRC.joinpath(*whole).with_suffix(".py")).exists() or SRC.joinpath(*whole).is_dir()
            if is_module or words:
                found.append(whole if is_module else words)
    return found


FILES = sorted(p for p in SRC.rglob("*.py") if p.parent != SRC)
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))


def place(order: list[str], name: str) -> int | None:
    return order.index(name) if name in order else None


def test_every_subpackage_has_its_place():
    entries = {p.name for p in SRC.iterdir() if p.name != "__pycache__"}
    assert entries == {*ORDER, "__init__.py", "__main__.py", "py.typed"}
    assert len(entries) <= 16


def test_every_listed_file_exists():
    for folder, files in (ORDER | INNER).items():
        there = {p.stem for p in SRC.joinpath(*folder.split(".")).iterdir()}
        assert set(files) <= there, f"{folder}: {set(files) - there}"
        if folder not in PLUGINS:
            assert there - {"__init__", "__pycache__"} <= {
                *files,
                "layouts",
                "recipes",
                "benchmarks",
                "weights",
                "static",
            }, f"{folder} has unlisted files"


@each_file
def test_imports_run_downwards(path):
    here = module(path)
    for other in imported(path):
        if other[0] != here[0]:
            assert list(ORDER).index(other[0]) < list(ORDER).index(here[0]), (
                f"{path.relative_to(SRC)} imports {'.'.join(other)}, which stands below it"
            )
            continue
        for folder, order in (ORDER | INNER).items():
            depth = len(folder.split("."))
            if ".".join(here[:depth]) == ".".join(other[:depth]) == folder and len(here) > depth and len(other) > depth:
                mine, its = place(order, here[depth]), place(order, other[depth])
                if here[depth] == other[depth]:
                    continue
                if mine is not None and its is not None:
                    assert its < mine, f"{path.relative_to(SRC)} imports {'.'.join(other)}, which stands below it"
                else:
                    assert folder not in PLUGINS or its is not None, (
                        f"{'.'.join(other)} is imported: list it in its order"
                    )


@each_file
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, "split it: a file is one noun"


@pytest.mark.parametrize(
    "command",
    [
        "import kineme",
        "from kineme.apps.cli import main; main(['methods'])",
        "from kineme.apps.cli import parser; parser().format_help()",
    ],
)
def test_light_words_import_nothing_heavy(command):
    assert loaded(command, LIGHT) == "[]"


def test_workers_that_prepare_load_no_torch():
    assert loaded("import kineme.data.prepare", ("torch", "sklearn", "scipy", "matplotlib")) == "[]"


def loaded(command: str, heavy: tuple[str, ...]) -> str:
    """Which of the heavy modules a command loads."""
    code = f"import sys; {command}; print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.strip()


def test_subpackages_resolve_after_a_plain_import():
    code = f"import kineme; print([getattr(kineme, name).__name__ for name in {list(ORDER)}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([f"kineme.{name}" for name in ORDER])


def test_verbs_are_plain_functions():
    import kineme.data.prepare
    import kineme.evaluation.run

    assert type(kineme.evaluate) is type(kineme.prepare) is FunctionType


@each_file
def test_nothing_is_pickled_or_moved_by_hand(path):
    """No unpickling, no `.cuda()`, and no `.item()` where views and losses are made."""
    text = path.read_text(encoding="utf-8")
    calls = {
        n.func.attr for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    assert "cuda" not in calls
    if module(path)[0] in ("views", "nn", "encoders", "methods"):
        assert "item" not in calls
    assert "import pickle" not in text
    assert "allow_pickle=True" not in text
