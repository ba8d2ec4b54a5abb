"""N-UCLA json: figures of real files, equal to the curated set, names and labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.io import nw_ucla
from kineme.io._text import LOST
from kineme.utils.errors import InputError

FIGURES = {
    "a01_s01_e00_v01": (44, 1),
    "a01_s01_e00_v02": (30, 1),
    "a01_s01_e00_v03": (27, 1),
    "a08_s02_e01_v03": (101, 7),
    "a12_s10_e00_v01": (31, 10),
}


@pytest.mark.parametrize("name", FIGURES)
def test_real_files(name, data_dir):
    path = data_dir / "formats" / "nw_ucla_json" / f"{name}.json"
    frames, label = FIGURES[name]
    motion = readers.read(path)
    assert motion.joints.shape == (frames, 1, 20, 3)
    assert (motion.confidence == 1).all()
    assert motion.label == nw_ucla.CLASSES[label - 1]
    _, subject, repetition, camera = (int(part[1:]) for part in name.split("_"))
    assert (motion.subject, motion.camera) == (subject, camera)
    assert motion.extra == {"dataset": "nw_ucla", "repetition": repetition, "performance": name[:-4]}
    assert (motion.layout.name, motion.up, motion.unit, motion.fps, motion.source) == (
        "kinect20",
        "+y",
        "m",
        None,
        path.name,
    )
    content = json.loads(path.read_text())
    np.testing.assert_array_equal(motion.joints[:, 0], np.array(content["skeletons"], np.float32))


def test_equal_to_the_curated_set(data_dir):
    about = json.loads((data_dir / "nw_ucla" / "nw_ucla.json").read_text())
    assert list(nw_ucla.CLASSES) == about["class_names"]
    with np.load(data_dir / "nw_ucla" / "nw_ucla.npz") as file:
        sets = {key: file[key] for key in file.files}
    for name in FIGURES:
        at = list(sets["names"]).index(name)
        motion = readers.read(data_dir / "formats" / "nw_ucla_json" / f"{name}.json")
        expected = sets["joints"][sets["offsets"][at] : sets["offsets"][at + 1]]
        np.testing.assert_array_equal(motion.joints[:, 0], expected)
        assert about["class_names"][sets["labels"][at]] == motion.label


def test_the_layout_has_the_names_of_the_set(data_dir):
    about = json.loads((data_dir / "nw_ucla" / "nw_ucla.json").read_text())
    motion = readers.read(data_dir / "formats" / "nw_ucla_json" / "a01_s01_e00_v01.json")
    assert list(motion.layout.joints) == about["joint_names"]
    assert list(motion.layout.parents) == about["parents"]


def test_a_file_without_label_under_another_name(tmp_path):
    path = SAMPLES["nw_ucla"].write(tmp_path)
    content = json.loads(path.read_text())
    other = tmp_path / "mine.json"
    other.write_text(json.dumps({"file_name": "mine", "skeletons": content["skeletons"]}))
    motion = readers.read(other)
    assert (motion.label, motion.subject, motion.camera, dict(motion.extra)) == (None, None, None, {})
    assert readers.read(path).extra["performance"] == "a08_s02_e01"


def test_a_bad_number_or_frame_costs_itself(tmp_path):
    path = SAMPLES["nw_ucla"].write(tmp_path)
    whole = readers.read(path)
    content = json.loads(path.read_text())
    frames = content["skeletons"]
    frames[0][2][1] = None
    path.write_text(json.dumps(content))
    assert np.argwhere(readers.read(path).confidence == 0).tolist() == [[0, 0, 2]]
    frames[0][3][0] = "x"
    frames[0][4] = [1.0]
    frames[0][5] = [0, 0, 0]
    frames[1].pop()
    path.write_text(json.dumps(content))
    motion = readers.read(path)
    expected = np.ones((4, 1, 20), bool)
    expected[0, 0, 2:6] = expected[1] = False
    np.testing.assert_array_equal(motion.confidence > 0, expected)
    np.testing.assert_array_equal(motion.joints[expected], whole.joints[expected])
    assert motion.notes[LOST] == 1
    for frame in frames[1:3]:
        frame.clear()
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="2 of 4 frames are no table"):
        readers.read(path)


def test_a_recording_of_nobody(tmp_path):
    path = SAMPLES["nw_ucla"].write(tmp_path)
    content = json.loads(path.read_text()) | {"skeletons": [[[0, 0, 0]] * 20] * 3}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"v03\.json: nobody is seen in any of 3 frames"):
        readers.read(path)
