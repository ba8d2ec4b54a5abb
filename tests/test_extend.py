"""`docs/extend.md` is true: its files and commands run as they stand, as plug-ins, installed, and in the folders."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers import onnx_models, processes
from helpers.processes import Process, finished
from helpers.training import kineme, make_store, one_paragraph

import kineme as package
from kineme import io as readers
from kineme.data import prepare
from kineme.data.store import Store
from kineme.utils import registry

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]
FOLDERS = {
    "mean_pose": "encoders",
    "pull": "methods",
    "xyz": "io",
    "heat_map": "io.estimators",
    "class_mean": "evaluation.protocols",
    "lengths": "apps.cli",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the commands of the page find what they name: the files, a store, a folder of motion."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    store = make_store(tmp_path / "store")
    for i in range(12):
        path = tmp_path / "motion" / f"kind{i % 2}" / f"clip{i}.xyz"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = "\n".join(" ".join(f"{x:.4f}" for x in frame.ravel()) for frame in store.motion(i).joints)
        path.write_text(f"kinect20 30\n{rows}\n")
    (tmp_path / "motion" / "bad.xyz").write_text("kinect20 30\n1 2 x\n")
    onnx_models.heat_maps(tmp_path / "maps.onnx")
    onnx_models.video(tmp_path / "clip.mp4", 6, green=False)
    return tmp_path


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return finished(Process(processes.python_c, code, cwd=folder))


def without_plugins(words: list[str]) -> list[str]:
    return [w for before, w in zip(["", *words], words) if "--plugin" not in (before, w)]


def all_done(folder: Path, said: list[str]) -> None:
    """What the commands of the page leave."""
    assert np.load(folder / "vectors" / "Z.npy").shape == (40, 16)
    rows = json.loads((folder / "rows.json").read_text())
    assert {(row["protocol"], row["features"]) for row in rows} >= {
        ("class_mean", features) for features in ("trained", "untrained", "hand-crafted")
    }
    prepared = Store(folder / "prepared")
    assert (len(prepared), prepared.layout.name, set(prepared.column("label"))) == (12, "kinect20", {"kind0", "kind1"})
    assert [name for name, _ in prepare.report(prepared).skipped] == ["bad.xyz"]
    poses = readers.read(folder / "poses" / "clip.json")
    middles = np.stack([onnx_models.squares(k)[1][0] for k in range(6)])
    np.testing.assert_allclose(poses.joints[:, 0, 0], middles, atol=4)  # cells of 5 pixels
    assert "40 clips of" in said[-1]


def test_the_page_shows_a_whole_file_of_each_kind():
    assert {f"{name}.py" for name in FOLDERS} | {"pyproject.toml"} == FILES.keys()
    assert set(FOLDERS.values()) == set(registry.KINDS)
    assert max(map(len, PAGE.splitlines()[:3])) <= 100
    assert len(FILES["pull.py"].splitlines()) <= 40
    assert len(FILES["mean_pose.py"].splitlines()) <= 25


def test_as_plugins(folder):
    """The page's commands in their order; then the same plug-ins named after the command, and not at all."""
    said = [kineme(*words, cwd=folder).stdout for words in COMMANDS]
    all_done(folder, said)
    card = json.loads((folder / "run" / "card.json").read_text())
    assert card["plugins"]["method"]["file"] == str(folder / "pull.py")
    assert len(card["plugins"]["encoder"]["sha256"]) == 64
    assert "plug-in    method: " in kineme("info", "run", cwd=folder).stdout

    words = ["embed", "run", "store", "--out", "again"]
    kineme(*words, "--plugin", "pull.py", "--plugin=mean_pose.py", cwd=folder)
    np.testing.assert_array_equal(np.load(folder / "again" / "Z.npy"), np.load(folder / "vectors" / "Z.npy"))
    said = kineme(*words[:-1], "third", check=False, cwd=folder)
    one_paragraph(said, "method 'pull'", f"--plugin {folder / 'pull.py'}")
    said = kineme(*words[:-1], "third", "--plugin", "pull.py", check=False, cwd=folder)
    one_paragraph(said, "encoder 'mean_pose'", f"--plugin {folder / 'mean_pose.py'}")
    assert not (folder / "third").exists()

    with (folder / "pull.py").open("a") as file:
        file.write("# edited\n")
    done = kineme(*words[:-1], "third", *("--plugin=pull.py", "--plugin=mean_pose.py"), cwd=folder)
    assert f"{folder / 'pull.py'} has changed since this run's method was trained with it" in done.stderr
    assert "mean_pose.py has changed" not in done.stderr


def test_a_run_resumes_with_its_plugins_to_the_same_bits(folder):
    plugins = ["--plugin", "mean_pose.py", "--plugin", "pull.py"]
    words = [*plugins, "pretrain", "pull", "store", "--set", "loop.batch=8", "--set", "loop.save_seconds=0"]
    kineme(*words, "--epochs", 4, "--out", "whole", cwd=folder)
    stop = f"""
import signal
import sys
from kineme.apps.cli import main
from kineme.utils.progress import Bar
def update(self, done, note="", total=None):
    if "loss" in note and done > 5:
        signal.raise_signal(signal.SIGINT)
Bar.update = update
sys.exit(main({[*words, "--epochs", "4", "--out", "cut"]}))
"""
    cut = python(stop, folder)
    assert cut.returncode == 130, cut.stderr
    hint = cut.stderr.strip().partition("resume with: ")[2]
    assert hint.startswith("kineme --plugin mean_pose.py --plugin pull.py pretrain pull store --out cut")
    said = kineme("pretrain", "pull", "store", "--out", "cut", "--resume", check=False, cwd=folder)
    one_paragraph(said, "method 'pull'", "--plugin")
    kineme(*shlex.split(hint)[1:], cwd=folder)
    whole, again = ((folder / name / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == again


def test_the_processes_of_prepare_know_the_format(folder):
    """Four shards for two workers, and the bytes that one process writes."""
    code = """
import sys
from kineme.apps.cli import main
from kineme.data import plan
plan.SHARD_FILES = 3
sys.exit(main([*"--plugin xyz.py prepare motion jobs --labels folder --jobs 2".split()]))
"""
    assert python(code, folder).returncode == 0
    kineme(*shlex.split("--plugin xyz.py prepare motion one --labels folder --jobs 1"), cwd=folder)
    assert Store(folder / "jobs").hash == Store(folder / "one").hash
    assert len(Store(folder / "jobs")) == 12


@pytest.mark.slow
def test_as_an_installed_package(folder, tmp_path_factory):
    """`my_package` and the metadata that pip writes of the page's pyproject.toml."""
    site = tmp_path_factory.mktemp("site")
    (site / "my_package").mkdir()
    for name in (*FOLDERS, "__init__"):
        (site / "my_package" / f"{name}.py").write_text(FILES.get(f"{name}.py", ""), encoding="utf-8")
    about = site / "my_package-0.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 0.3\n")
    groups = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    assert groups.keys() == {kind.group for kind in registry.KINDS.values() if kind.group}
    (about / "entry_points.txt").write_text(
        "\n".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for group, e in groups.items())
    )
    env = {"PYTHONPATH": f"{site}:{Path(package.__file__).parents[1]}"}
    listed = kineme("methods", env=env).stdout
    for name in ("pull", "mean_pose", "xyz", "heat_map", "class_mean"):
        assert re.search(rf"^  {name} +\(from my-package 0\.3\)$", listed, re.MULTILINE)
    said = [kineme(*without_plugins(words), path=str(site), cwd=folder).stdout for words in COMMANDS[:-1]]
    all_done(folder, [*said, "40 clips of"])
    card = json.loads((folder / "run" / "card.json").read_text())
    assert card["plugins"]["method"] == {"package": "my-package 0.3"}
    said = kineme("embed", "run", "store", "--out", "third", check=False, cwd=folder)
    one_paragraph(said, "method 'pull'", "Install my-package 0.3")


@pytest.mark.slow
def test_dropped_into_the_folders(folder, tmp_path_factory):
    """A copy of the package with the files in it; nothing else is touched."""
    src = tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(package.__file__).parent, src / "kineme", ignore=shutil.ignore_patterns("__pycache__"))
    for name, subpackage in FOLDERS.items():
        (src / "kineme").joinpath(*subpackage.split("."), f"{name}.py").write_text(FILES[f"{name}.py"])
    env = {"PYTHONPATH": str(src)}
    listed = kineme("methods", env=env, cwd=folder).stdout + kineme("--help", env=env, cwd=folder).stdout
    for name in FOLDERS:
        assert FILES[f"{name}.py"].split('"""')[1] in listed
    all_done(folder, [kineme(*without_plugins(words), env=env, cwd=folder).stdout for words in COMMANDS])
    assert "plugins" not in json.loads((folder / "run" / "card.json").read_text())
