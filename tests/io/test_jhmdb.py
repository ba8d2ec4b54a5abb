"""J-HMDB: joints of a puppet in pixels, label and clip by the folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.mocap import mat
from helpers.training import kineme

from kineme import io as readers
from kineme.data.store import Store
from kineme.utils.errors import InputError


def write(path: Path, frames: int, seed: int = 0) -> np.ndarray:
    joints = np.random.default_rng(seed).uniform(20, 200, (2, 15, frames))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mat({"pos_img": joints, "pos_world": joints / 320, "scale": np.ones((1, frames))}))
    return joints


@pytest.mark.parametrize("frames", [1, 6])
def test_joints_label_and_clip(frames, tmp_path):
    path = tmp_path / "brush_hair" / "clip_7" / "joint_positions.mat"
    joints = write(path, frames)
    motion = readers.read(path)
    np.testing.assert_allclose(motion.joints[:, 0], joints.transpose(2, 1, 0) - 1, rtol=1e-6)
    assert (motion.layout.name, motion.fps, motion.image_size, motion.unit) == ("jhmdb15", 30.0, (320, 240), "px")
    assert (motion.label, motion.extra["video"], motion.extra["dataset"]) == ("brush_hair", "clip_7", "jhmdb")


def test_other_files(tmp_path):
    (tmp_path / "other.mat").write_bytes(mat({"pos_img": np.ones((2, 15, 4))}))
    motion = readers.read(tmp_path / "other.mat")
    assert (motion.label, len(motion)) == (None, 4)
    (tmp_path / "joint_positions.mat").write_bytes(mat({"pos_img": np.ones((2, 14, 4))}))
    with pytest.raises(InputError, match=r"joint_positions\.mat: pos_img of shape \[2, 14, 4\]"):
        readers.read(tmp_path / "joint_positions.mat")


def test_prepare_end_to_end(tmp_path):
    for k, place in enumerate(("walk/a", "walk/b", "run/a")):
        write(tmp_path / "src" / place / "joint_positions.mat", 5 + k, k)
    kineme("prepare", tmp_path / "src", tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.clips["label"].to_pylist() == ["run", "walk", "walk"]
    assert store.clips["video"].to_pylist() == ["a", "a", "b"]
    assert len(set(store.clips["id"].to_pylist())) == 3
