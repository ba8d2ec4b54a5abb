"""Small stores and models for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion


class FakeModel:
    """Gives prepared features ``[N, D]`` and writes down what it was asked for."""

    def __init__(self, features: np.ndarray, name: str = "runs/fake", before: FakeModel | None = None):
        self.all, self.path, self.before = np.asarray(features, np.float32), name, before
        self.asked: list[tuple[int | None, tuple | None]] = []

    def embed(self, what, rows=None, *, crop=None, batch=256):
        self.asked.append((None if rows is None else len(rows), crop))
        features = self.all if rows is None else self.all[np.asarray(rows)]
        return features if crop is None else features + np.float32(1e-3) * crop[2]

    def untrained(self) -> FakeModel:
        assert self.before is not None
        return self.before


@pytest.fixture
def fake_model():
    return FakeModel


@pytest.fixture
def write_store(tmp_path: Path):
    """``write_store(labels)``: a store of short kinect20 clips with these labels; or of given motions."""

    def write(labels=None, motions=None, seed: int = 0) -> Store:
        rng = np.random.default_rng(seed)
        layout = skeleton.layout("kinect20")
        motions = motions or [
            Motion(
                rng.normal(size=(int(rng.integers(3, 40)), 1, 20, 3)),
                layout,
                up="+y",
                unit="m",
                label=label,
                source=f"clip{i}",
            )
            for i, label in enumerate(labels)
        ]
        with Writer(tmp_path / f"store{len(list(tmp_path.iterdir()))}", motions[0].layout) as writer:
            for motion in motions:
                writer.add(motion)
        return Store(writer.path)

    return write


@pytest.fixture
def halves():
    """``halves(n)``: a split whose even rows train and odd rows test."""
    return lambda n: SimpleNamespace(name="halves", train=np.arange(0, n, 2), test=np.arange(1, n, 2))
