"""AlphaPose results: figures of a real file, one recording per file, names that are times, ids, other forms."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.detectors import detections
from helpers.training import kineme
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.utils.errors import InputError


def results(bodies: np.ndarray, names: list[str], ids: list | None = None) -> list[dict]:
    """An entry for each body of ``[images, persons, joints, 3]``."""
    return [
        {
            "image_id": names[k],
            "category_id": 1,
            "keypoints": body.ravel().tolist(),
            "score": 1.2,
            "box": [0.0, 0.0, 1.0, 1.0],
            "idx": [0.0] if ids is None else ids[m],
        }
        for k, persons in enumerate(bodies)
        for m, body in enumerate(persons)
    ]


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    assert readers.detect(path) == "alphapose"
    return path


def points(motion) -> np.ndarray:
    return np.concatenate([motion.joints, motion.confidence[..., None]], -1)


def expected(bodies: np.ndarray) -> np.ndarray:
    bodies = bodies.astype(np.float32)
    return np.where(bodies[..., 2:] > 0, bodies, 0)


def test_real_results(data_dir):
    path = data_dir / "formats" / "alphapose" / "alphapose-results.json"
    content = json.loads(path.read_text())
    assert readers.detect(path) == "alphapose"
    motion = readers.read(path)
    assert (len(motion), motion.layout.name, motion.unit, motion.image_size) == (149, "coco17", "px", None)
    assert (motion.extra["first_frame"], motion.extra["followed"], motion.source) == (1, "position", path.name)
    there = (motion.confidence > 0).any(2)
    assert there.sum() == len(content) == 153
    assert there.any(1).sum() == len({entry["image_id"] for entry in content}) == 111
    assert there.sum(1).max() == 4
    assert motion.joints[..., 0][there].mean() == pytest.approx(238.601, abs=5e-4)
    assert np.mean([entry["score"] for entry in content]) == pytest.approx(1.1532, abs=5e-5)
    number = Counter(int(entry["image_id"].split(".")[0]) for entry in content)
    assert there.sum(1).tolist() == [number.get(k, 0) for k in range(1, 150)]
    assert motion.notes["recordings whose idx tells nobody apart, people followed by position"] == 1


def test_real_results_under_times_as_names(data_dir, tmp_path):
    """The same file as if its images had been named by when they were taken, with a clock that is not quite even."""
    source = data_dir / "formats" / "alphapose" / "alphapose-results.json"
    plain = readers.read(source)
    content = json.loads(source.read_text())
    chance = np.random.default_rng(0)
    for entry in content:
        at = 1_700_000_000_000 + 40 * int(entry["image_id"].split(".")[0])
        entry["image_id"] = f"{at + (7 * int(entry['image_id'].split('.')[0])) % 5}.jpg"
    content = [content[i] for i in chance.permutation(len(content))]
    motion = readers.read(write(tmp_path / "alphapose-results.json", content))
    assert len(motion) == len(plain)
    np.testing.assert_array_equal((motion.confidence > 0).any(2).sum(1), (plain.confidence > 0).any(2).sum(1))
    assert not any("photographs" in words for words in motion.notes)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 999),
    images=st.integers(1, 6),
    joints=st.sampled_from([17, 26, 136]),
    name=st.sampled_from(["{}.jpg", "{:06d}.png", "frame-{:04d}.jpg", "a/{:04d}.png"]),
    first=st.integers(0, 10**5),
)
def test_round_trip(tmp_path_factory, seed, images, joints, name, first):
    bodies = detections(seed, images, 1, joints)
    entries = results(bodies, [name.format(first + k) for k in range(images)])
    order = np.random.default_rng(seed).permutation(images)
    path = tmp_path_factory.mktemp("alpha") / "alphapose-results.json"
    motion = readers.read(write(path, [entries[i] for i in order]))
    np.testing.assert_array_equal(points(motion), expected(bodies))
    assert len(motion.layout) == joints
    assert motion.source == path.name


@pytest.mark.parametrize(
    "name",
    [
        lambda k: f"{1_700_000_000 + 0.04 * k:.6f}.png",
        lambda k: f"cam_{1_700_000_000_000 + 40 * k}.jpg",
        lambda k: f"{1_700_000_000_000_000_000 + 40_000_000 * k}.jpg",
        lambda k: f"20240131_1200{k // 25:02d}_{40 * (k % 25):03d}.jpg",
    ],
    ids=["seconds", "thousandths", "billionths", "date"],
)
def test_images_named_by_times_with_gaps_are_one_recording(name, tmp_path):
    """Images without people are not in the file: most of the gaps are long."""
    bodies = detections(1, 9, 1, 17)
    at = [0, 1, 2, 3, 40, 41, 90, 91, 92]
    motion = readers.read(write(tmp_path / "alphapose-results.json", results(bodies, [name(k) for k in at])))
    there = np.flatnonzero((motion.confidence > 0).any((1, 2)))
    assert there.tolist() == at
    np.testing.assert_array_equal(points(motion)[there], expected(bodies))


def test_frames_of_a_video_with_few_people(tmp_path):
    at = [7, 300, 301, 377]  # of 100 images one, at least
    bodies = detections(2, 4, 1, 17)
    motion = readers.read(write(tmp_path / "r.json", results(bodies, [f"{k}.jpg" for k in at])))
    assert (motion.extra["first_frame"], motion.extra["frame_step"], len(motion)) == (7, 1, 371)
    assert np.flatnonzero((motion.confidence > 0).any((1, 2))).tolist() == [k - 7 for k in at]


def test_photographs_and_several_cameras(tmp_path):
    bodies = detections(3, 6, 1, 17)
    path = write(tmp_path / "r.json", results(bodies[:3], ["anna.jpg", "ben.jpg", "cleo.jpg"]))
    motions = list(readers.read_all(path))
    assert [motion.extra["image"] for motion in motions] == ["anna.jpg", "ben.jpg", "cleo.jpg"]
    assert motions[0].notes["images taken as photographs, each a clip of one frame"] == 1
    joined = readers.read(path, images="video")
    np.testing.assert_array_equal(points(joined), expected(bodies[:3]))
    cameras = write(tmp_path / "r.json", results(bodies, [f"cam{c}_{k:04d}.jpg" for c in (1, 2) for k in range(3)]))
    assert [motion.source for motion in readers.read_all(cameras)] == ["r.json#cam1", "r.json#cam2"]
    assert len(list(readers.read_all(cameras, options=readers.Options(table={"images": "photos"})))) == 6


@pytest.mark.parametrize("ids", [[1, 2], [[1.0], [2.0]], [[[1]], [[2]]], ["1", "2"]])
def test_ids_go_before_position_however_nested(ids, tmp_path):
    a, b = detections(4, 2, 17)
    frames = np.stack([[a, b], [a, b], [b, a]])
    names = [f"{k}.jpg" for k in range(3)]
    motion = readers.read(write(tmp_path / "r.json", results(frames, names, ids)))
    assert motion.extra["followed"] == "id"
    np.testing.assert_array_equal(motion.joints[0], motion.joints[2][::-1])
    same = readers.read(write(tmp_path / "r.json", results(frames, names, [[[0.0], [0.0]], [0.0]])))
    assert same.extra["followed"] == "position"
    np.testing.assert_array_equal(same.joints[0], same.joints[2])


@pytest.mark.parametrize(("people", "joints"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_forms_for_other_programs(people, joints, tmp_path):
    bodies = detections(5, 4, 2, 18)
    content = {
        f"{k}.jpg": {"version": "AlphaPose v0.3", people: [{joints: body.ravel().tolist()} for body in persons]}
        for k, persons in enumerate(bodies)
    }
    content["1.jpg"][people] = []
    motion = readers.read(write(tmp_path / "r.json", content))
    assert motion.layout.name == "openpose18"
    bodies[1] = 0
    assert (motion.confidence > 0).any(2).sum(1).tolist() == [2, 0, 2, 2]
    for frame in (0, 2, 3):
        found = {tuple(body.ravel()) for body in points(motion)[frame]}
        assert found == {tuple(body.ravel()) for body in expected(bodies[frame])}
    empty = write(tmp_path / "e.json", {"1.jpg": {"version": "AlphaPose v0.3", people: []}})
    with pytest.raises(InputError, match=r"e\.json: nobody in any of 1 images"):
        readers.read(empty)


def test_prepare_end_to_end(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    write(src / "alphapose-results.json", results(detections(0, 4, 2, 17), [f"{k}.jpg" for k in range(4)]))
    (src / "bad.json").write_text('[{"image_id": "1.jpg", "keypoints": [1, 2], "idx": 0, "box": []}]')
    done = kineme("prepare", src, tmp_path / "store")
    assert "1 skipped" in done.stdout
    assert "bad.json, entry 0: numbers of shape [2]" in done.stdout
