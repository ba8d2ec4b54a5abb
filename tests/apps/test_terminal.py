"""What a terminal cannot show is shown in another way: labels never decide whether a command succeeds."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
from helpers.training import TINY, kineme

from kineme.apps.cli import main
from kineme.data import synth

LABELS = ("winken ✋", "歩く", "grüßen")
TWO = ["--epochs", 1, *TINY, "--set", "loop.batch=4"]


def in_encoding(encoding: str, *words: object) -> str:
    """What a command says in a terminal of this encoding."""
    env = {**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    python = [sys.executable, "-m", "kineme", *map(str, words)]
    done = subprocess.run(python, capture_output=True, env=env, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    return (done.stdout + done.stderr).decode(encoding)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings in folders whose names no western encoding has, and a run on them."""
    folder = tmp_path_factory.mktemp("terminal")
    for seed, label in enumerate(LABELS):
        synth.write(folder / "motion" / label, 4, format="bvh", seed=seed, actions=["wave"], cameras=0)
    kineme("prepare", folder / "motion", folder / "store", "--labels", "folder", "--jobs", 1)
    kineme("pretrain", "moco", folder / "store", "--out", folder / "run ✋", *TWO)
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_labels_that_the_encoding_lacks(folder, tmp_path, encoding):
    # case 18-labels-that-the-terminal-cannot-show of the public reports
    prepared = in_encoding(encoding, "prepare", folder / "motion", tmp_path / "s", "--labels", "folder", "--jobs", 1)
    for said in (prepared, in_encoding(encoding, "info", folder / "store")):
        for label in LABELS:
            assert label.encode(encoding, "backslashreplace").decode(encoding) in said


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "moco", "store", "--out", "OUT/r ✋", *TWO],
        ["evaluate", "run ✋", "store", "--split", "random", "--protocols", "knn", "--set", "knn.k=1"],
        ["embed", "run ✋", "store", "--out", "OUT/✋", "--map", "OUT/✋.png"],
        ["embed", "run ✋", "motion", "--out", "OUT/✋ 2"],
        ["info", "run ✋"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_says_a_name(folder, tmp_path, words):
    places = {"store": folder / "store", "motion": folder / "motion", "run ✋": folder / "run ✋"}
    in_encoding("cp1252", *(str(places.get(word, word)).replace("OUT", str(tmp_path)) for word in words))


def test_a_message_that_the_encoding_lacks(tmp_path):
    env = {"PYTHONIOENCODING": "ascii:strict"}
    done = kineme("info", tmp_path / "✋", check=False, env=env)
    assert done.returncode == 2
    assert "\\u270b" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_warning_is_one_line(capsys):
    assert main(["methods"]) == 0
    assert warnings.formatwarning("careful", UserWarning, "x.py", 3) == "kineme: note: careful\n"
