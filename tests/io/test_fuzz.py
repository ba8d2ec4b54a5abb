"""`scripts/fuzz.py`: good readers come through, and whatever else comes out of one is kept."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kineme import io as readers

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import fuzz

    return fuzz


@pytest.mark.parametrize("name", ["bvh", "c3d"])
def test_a_second_of_random_changes(name, tmp_path):
    command = [sys.executable, str(SCRIPT), name, "--plain", "--seconds", "1", "--faults", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files read" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: sum(range(20_000_000)), "slow"),
        (lambda: np.ones(90_000_000), "large"),
    ],
    ids=["another exception", "too slow", "too large"],
)
def test_a_fault_is_kept(fuzz, tmp_path, monkeypatch, wrong, words):
    target = fuzz.Target("bvh", tmp_path)
    target.one(target.packed()[0])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(fuzz, "SECONDS", 0.05 if words == "slow" else 60.0)

    def read(*args):
        wrong()
        return iter(())

    monkeypatch.setattr(readers, "read_each", read)
    target.one(b"\0HIERARCHY")
    target.one(b"\0HIER")
    (kept,) = tmp_path.iterdir()
    assert words in kept.name
    assert kept.read_bytes() == b"HIER" or words == "large"  # the smaller one; memory is taken once


def test_reading_without_an_end_is_broken_off(fuzz, tmp_path, monkeypatch):
    target = fuzz.Target("bvh", tmp_path)

    def read(*args):
        while True:
            pass

    monkeypatch.setattr(readers, "read_each", read)
    monkeypatch.setattr(fuzz, "HANGS", 0.1)
    target.one(b"\0HIERARCHY")
    (kept,) = tmp_path.iterdir()
    assert "TimeoutError" in kept.name


def test_changes_are_those_of_the_seed(fuzz):
    good = [b"one two\nthree", b"four"]
    draws = [random.Random(seed) for seed in (0, 0, 1)]
    changes = [[fuzz.changed(good[0], good, draw) for _ in range(50)] for draw in draws]
    assert changes[0] == changes[1] != changes[2]
    assert len({*changes[0], *changes[2]}) > 50
