"""YOLO-pose: label files of a video with and without confidence and tracks, json, several videos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.detectors import detections
from helpers.training import kineme
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.data.store import Store

SIDE = 640


def shares(*shape: int, seed: int = 0) -> np.ndarray:
    found = detections(seed, *shape)
    found[..., :2] /= SIDE
    return found.astype(np.float32)


def line(body: np.ndarray, *more: object) -> str:
    return " ".join(["0", "0.5", "0.5", "0.25", "0.5", *(f"{value:.9g}" for value in body.ravel()), *map(str, more)])


def write(folder: Path, frames: np.ndarray, name: str = "clip_{}.txt", first: int = 1, *more: list) -> Path:
    """A file for each frame of ``[T, M, V, 3]``; ``more``: what stands behind the joints of each person."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, bodies in enumerate(frames):
        lines = [line(body, *(values[m] for values in more)) for m, body in enumerate(bodies)]
        (folder / name.format(first + k)).write_text("\n".join(lines) + "\n")
    return folder


def points(motion) -> np.ndarray:
    return np.concatenate([motion.joints, motion.confidence[..., None]], -1)


def expected(bodies: np.ndarray) -> np.ndarray:
    return np.where(bodies[..., 2:] > 0, bodies, 0)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 999),
    frames=st.integers(1, 5),
    joints=st.sampled_from([17, 26, 133]),
    first=st.integers(0, 10**6),
    more=st.sampled_from([[], [[0.9]], [[1]], [[0.9], [1]]]),
)
def test_round_trip(tmp_path_factory, seed, frames, joints, first, more):
    bodies = shares(frames, 1, joints, seed=seed)
    folder = write(tmp_path_factory.mktemp("yolo") / "labels", bodies, "clip_{}.txt", first, *more)
    assert readers.detect(folder) == "yolo_pose"
    motion = readers.read(folder)
    np.testing.assert_allclose(points(motion), expected(bodies), atol=1e-6)
    assert (motion.extra["first_frame"], motion.unit, motion.extra["coordinates"]) == (first, "1", "0..1")
    assert len(motion.layout) == joints


def test_tracks_go_before_position(tmp_path):
    a, b = shares(2, 17)
    frames = np.stack([[a, b], [a, b], [b, a]])
    motion = readers.read(write(tmp_path / "labels", frames, "clip_{}.txt", 1, [3, 8]))
    assert motion.extra["followed"] == "id"
    np.testing.assert_array_equal(motion.joints[0], motion.joints[2][::-1])


def test_without_confidence_of_joints(tmp_path):
    bodies = shares(3, 1, 17, seed=2)
    bodies[1, 0, 4] = 0
    bodies[..., 2] = bodies[..., :2].any(-1)
    folder = tmp_path / "labels"
    folder.mkdir()
    for k, body in enumerate(bodies):
        (folder / f"{k}.txt").write_text(line(body[0, :, :2]) + "\n")
    np.testing.assert_allclose(points(readers.read(folder)), expected(bodies), atol=1e-6)


def test_several_videos_gaps_and_one_file(tmp_path):
    one, two = shares(4, 1, 17, seed=3), shares(3, 1, 17, seed=4)
    folder = write(write(tmp_path / "labels", one, "a_{}.txt"), two, "b_{}.txt", 5)
    (folder / "a_3.txt").unlink()  # nobody
    found = list(readers.read_all(folder))
    assert [(m.source, m.extra["recording"], len(m)) for m in found] == [("labels#a", "a", 4), ("labels#b", "b", 3)]
    assert (found[0].confidence > 0).any((1, 2)).tolist() == [True, True, False, True]
    assert len(readers.read(folder / "a_1.txt")) == 1


@pytest.mark.parametrize("as_text", [False, True])
def test_json(as_text, tmp_path):
    bodies = detections(5, 3, 2, 17).astype(np.float32)
    frames = [
        [
            {
                "name": "person",
                "class": 0,
                "confidence": 0.9,
                "box": {"x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0},
                "track_id": m + 1,
                "keypoints": dict(zip(("x", "y", "visible"), body.T.tolist())),
            }
            for m, body in enumerate(persons)
        ]
        for persons in bodies
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps([json.dumps(frame) for frame in frames] if as_text else frames))
    motion = readers.read(path, "yolo_pose")
    assert (motion.unit, motion.extra["followed"], len(motion)) == ("px", "id", 3)
    np.testing.assert_array_equal(np.sort(points(motion), 1), np.sort(expected(bodies), 1))
    path.write_text(json.dumps(frames[0]))
    assert readers.detect(path) == "yolo_pose"
    assert len(readers.read(path)) == 1


def test_other_joints_by_name(tmp_path):
    bodies = shares(3, 1, 13, seed=6)
    folder = write(tmp_path / "labels", bodies)
    assert readers.read(folder, "yolo_pose", keypoints="penn13").layout.name == "penn13"


def test_prepare_end_to_end(tmp_path):
    write(tmp_path / "src" / "wave" / "labels", shares(4, 2, 17), "take_{}.txt")
    (tmp_path / "src" / "wave" / "labels" / "take_2.txt").write_text("0 0.5 0.5 x\n")
    done = kineme("prepare", tmp_path / "src", tmp_path / "store", "--labels", "folder")
    assert "frame files that cannot be read, taken as frames with nobody in them: 1" in done.stdout
    assert Store(tmp_path / "store").clips["label"].to_pylist() == ["wave"]
