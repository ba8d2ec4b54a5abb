"""PYSKL pickles: figures of real files, layouts, people, splits, names of NTU RGB+D, prepare."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.detectors import detections
from helpers.pose_results import pickled_clips
from helpers.training import kineme

from kineme import io as readers
from kineme import synth
from kineme.data import splits
from kineme.data.store import Store
from kineme.motion.motion import UNSURE
from kineme.utils.errors import InputError

FOLDER = Path("formats") / "pyskl_pickle"


def write(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def test_real_poses_in_images(data_dir):
    path = data_dir / FOLDER / "penn_action_2d_30.pkl"
    motions = list(readers.read_all(path))
    assert (len(motions), sum(map(len, motions))) == (30, 2133)
    assert {(m.layout.name, m.coords, m.persons, m.unit, m.up) for m in motions} == {("penn13", 2, 1, "px", "-y")}
    first = motions[0]
    assert (first.source, first.label, len(first), first.image_size) == (f"{path.name}#0001", "0", 151, (480, 360))
    with path.open("rb") as file:  # of the project's own data
        content = pickle.load(file)
    np.testing.assert_array_equal(first.joints[:, 0], content["annotations"][0]["keypoint"][0].astype(np.float32))
    assert {len(rule["in"]) for rule in readers.carried_splits(path)["official"].values()} == {15}


def test_real_poses_in_space(data_dir):
    path = data_dir / FOLDER / "pku_mmd_3d_20.pkl"
    motions = list(readers.read_all(path))
    assert (len(motions), sum(map(len, motions))) == (20, 765)
    assert {(m.layout.name, m.coords, m.unit, m.up) for m in motions} == {("ntu25", 3, "m", "+y")}
    assert {m.persons for m in motions} == {2}
    rules = readers.carried_splits(path)["official"]
    assert [len(rules[part]["in"]) for part in ("train", "test")] == [16, 4]


def test_a_table_of_contents_says_so(data_dir):
    path = data_dir / FOLDER / "k400_table_of_contents_sample.pkl"
    with pytest.raises(InputError, match=r"a table of contents: 100 clips without keypoint"):
        list(readers.read_all(path))


@pytest.mark.parametrize(
    ("joints", "coords", "layout"),
    [
        (17, 2, "coco17"),
        (13, 2, "penn13"),
        (15, 2, "jhmdb15"),
        (26, 2, "halpe26"),
        (133, 2, "coco_wholebody133"),
        (25, 3, "ntu25"),
        (20, 3, "kinect20"),
        (19, 3, "panoptic19"),
    ],
)
def test_layouts_by_number_and_dimensions(joints, coords, layout, tmp_path):
    chance = np.random.default_rng(0)
    keypoint = chance.uniform(100, 300, (2, 1, joints, coords)) + chance.normal(0, 2, (2, 6, joints, coords))
    keypoint = keypoint.astype(np.float16)
    clips = [{"frame_dir": "a", "label": 3, "keypoint": keypoint}]
    motion = readers.read(write(tmp_path / "one.pkl", clips))
    assert (motion.layout.name, motion.label, motion.source, motion.extra["frame_dir"]) == (layout, "3", "one.pkl", "a")
    np.testing.assert_array_equal(motion.joints, keypoint.swapaxes(0, 1).astype(np.float32))
    assert (motion.confidence == 1).all()


def test_scores_as_a_third_number(tmp_path):
    found = detections(1, 4, 1, 17).astype(np.float32)
    motion = readers.read(write(tmp_path / "a.pkl", [{"frame_dir": "a", "keypoint": found.swapaxes(0, 1)}]))
    assert (motion.coords, motion.unit) == (2, "px")
    np.testing.assert_array_equal(motion.confidence, found[..., 2])


def test_absent_people_and_unsure_joints(tmp_path):
    clip = pickled_clips()["annotations"][0]
    clip["keypoint"] = np.stack([detections(3, 17)[:, :2] + 500 * m for m in (0, 1)])[:, None].repeat(5, 1)
    clip["keypoint"][1, 2:] = 0  # nobody there
    clip["keypoint_score"] = np.ones((2, 5, 17))
    clip["keypoint_score"][0, 0, 3] = 0  # placed, not vouched for
    motion = readers.read(write(tmp_path / "a.pkl", [clip]))
    assert motion.confidence[0, 0, 3] == np.float32(UNSURE)
    assert (motion.confidence[2:, 1] == 0).all()
    assert (motion.confidence[:2, 1] == 1).all()


def test_people_who_change_places_are_put_back(tmp_path):
    a, b = detections(2, 2, 25)[..., :2]
    keypoint = np.stack([[a, a, b, b], [b, b, a, a]])
    clips = [{"frame_dir": "x", "keypoint": keypoint}]
    motion = readers.read(write(tmp_path / "a.pkl", clips))
    np.testing.assert_array_equal(motion.joints[:, 0], np.stack([a] * 4).astype(np.float32))
    listed = readers.read(tmp_path / "a.pkl", people="listed")
    np.testing.assert_array_equal(listed.joints[2, 0], b.astype(np.float32))


def test_names_of_ntu_tell_who_and_where(tmp_path):
    clip = next(synth.generate(1, cameras=1))
    content = {"annotations": [{"frame_dir": "S001C002P003R002A013", "label": 12, "keypoint": clip.joints[None, :, 0]}]}
    motion = readers.read(write(tmp_path / "ntu.pkl", content))
    assert (motion.label, motion.subject, motion.camera, motion.extra["dataset"]) == ("A013", 3, 2, "ntu")
    assert (motion.unit, motion.up) == ("m", "+y")


def test_one_bad_clip_costs_itself(tmp_path):
    content = pickled_clips()
    content["annotations"][0]["keypoint"] = np.zeros((1, 0, 17, 2))
    found = list(readers.read_each(write(tmp_path / "a.pkl", content)))
    assert [type(each).__name__ for each in found] == ["InputError", "Motion"]
    assert "a.pkl#a: keypoint of shape [1, 0, 17, 2]" in str(found[0])


def test_prepare_end_to_end(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    content = pickled_clips()
    content["annotations"] += [{**clip, "frame_dir": f"{clip['frame_dir']}2"} for clip in content["annotations"]]
    content["split"] = {"xsub_train": ["a", "a2"], "xsub_val": ["b", "../../b2"]}
    write(src / "set.pkl", content)

    class Call:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    write(src / "evil.pkl", {"annotations": [{"frame_dir": "x", "keypoint": Call()}]})
    done = kineme("prepare", src, tmp_path / "store")
    assert "1 skipped" in done.stdout
    assert "a pickle with a call of 'pathlib" in (tmp_path / "store" / "skipped.jsonl").read_text()
    assert not (tmp_path / "executed").exists()
    store = Store(tmp_path / "store")
    assert store.clips["label"].to_pylist() == ["0", "1", "0", "1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src", "store"]
    split = splits.split(store, "xsub")
    assert (len(split.train), len(split.test)) == (2, 1)
