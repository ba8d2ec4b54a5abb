"""CMU Panoptic: figures of real files, people by id, joints that were not found, single frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.training import kineme

from kineme import io as readers
from kineme.data.store import Store


def write(folder: Path, frames: np.ndarray, ids: list[list[int]], first: int = 0, **more: object) -> Path:
    """A file for each frame of ``[T, M, 19, 4]``."""
    folder.mkdir(parents=True)
    for k, (bodies, names) in enumerate(zip(frames, ids)):
        content = {
            "version": 0.7,
            "univTime": 1.0,
            "fpsType": "hd_29_97",
            **more,
            "bodies": [{"id": name, "joints19": body.ravel().tolist()} for name, body in zip(names, bodies)],
        }
        (folder / f"body3DScene_{first + k:08d}.json").write_text(json.dumps(content))
    return folder


def people(frames: int, persons: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    place = rng.normal(0, 40, (persons, 19, 3)) + rng.normal(0, 0.5, (frames, persons, 19, 3))
    return np.concatenate([place, np.full((frames, persons, 19, 1), 0.5)], -1)


def test_real_frames(data_dir):
    folder = data_dir / "formats" / "panoptic_json"
    assert readers.detect(folder) == "panoptic"
    motion = readers.read(folder)
    assert (motion.joints.shape, motion.unit, motion.up, motion.fps) == ((2, 3, 19, 3), "cm", "-y", 29.97)
    assert (motion.extra["first_frame"], motion.extra["followed"]) == (168, "id")
    said = json.loads((folder / "body3DScene_00000168.json").read_text())["bodies"]
    for body in said:
        values = np.array(body["joints19"], np.float32).reshape(19, 4)
        found = [m for m in range(3) if np.allclose(motion.joints[0, m, 0], values[0, :3])]
        assert len(found) == 1
        seen = values[:, 3] > 0
        assert ((motion.confidence[0, found[0]] > 0) == seen).all()
        np.testing.assert_array_equal(motion.joints[0, found[0]][seen], values[seen, :3])
    points = np.where(motion.confidence[..., None] > 0, motion.joints, np.nan)
    at = {word: points[:, :, i] for i, word in enumerate(motion.layout.canonical_names)}
    for word, pair in (("chest", "shoulder"), ("pelvis", "hip")):  # what the layout says of its neck and centre
        middle = (at[f"left_{pair}"] + at[f"right_{pair}"]) / 2
        assert np.nanmax(np.linalg.norm(at[word] - middle, axis=-1)) < 2.5  # cm
    assert np.nanmin((at["pelvis"] - at["chest"])[..., 1]) > 20  # y runs downwards, one bends


def test_people_are_followed_by_their_id(tmp_path):
    frames = people(3, 2)
    swapped = np.stack([frames[0], frames[1][::-1], frames[2]])
    motion = readers.read(write(tmp_path / "take", swapped, [[4, 9], [9, 4], [4, 9]], first=7))
    assert motion.extra["first_frame"] == 7
    np.testing.assert_allclose(motion.joints, frames[..., :3], rtol=1e-6)


def test_other_rates_and_single_frames(tmp_path):
    folder = write(tmp_path / "take", people(4, 1), [[0]] * 4, fpsType="vga_25")
    assert readers.read(folder).fps == 25
    (folder / "body3DScene_00000001.json").unlink()
    (folder / "body3DScene_00000003.json").unlink()
    motion = readers.read(folder)
    assert (len(motion), motion.fps, motion.extra["frame_step"]) == (2, 12.5, 2)
    alone = readers.read(folder / "body3DScene_00000002.json")
    assert (len(alone), alone.extra["first_frame"]) == (1, 2)
    odd = write(tmp_path / "odd", people(3, 1), [[0]] * 3, fpsType="hd_0")
    assert readers.read(odd).fps is None


def test_prepare_end_to_end(tmp_path):
    write(tmp_path / "src" / "dance" / "hdPose3d_stage1_coco19", people(4, 2), [[0, 1]] * 4)
    kineme("prepare", tmp_path / "src", tmp_path / "store", "--labels", "folder")
    store = Store(tmp_path / "store")
    assert store.clips["label"].to_pylist() == ["dance"]
    assert store.card["layout"]["name"] == "panoptic19"
    assert np.abs(store.frames).max() < 10  # metres


@pytest.mark.parametrize("ids", [[[-1], [-1]], [["a"], [None]]])
def test_ids_that_are_none(ids, tmp_path):
    motion = readers.read(write(tmp_path / "take", people(2, 1), ids))
    assert motion.extra["followed"] == "position"
