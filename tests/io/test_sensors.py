"""Azure Kinect and Xsens MVN: people, rates, segments, subjects, cut and hostile files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.mocap import MVNX_FILE, SEGMENTS, mvnx_text
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.data import synth
from kineme.io import mvnx
from kineme.motion.layout import layout
from kineme.utils.errors import InputError


def test_azure_bodies_are_followed(tmp_path):
    motion = readers.read(SAMPLES["azure_kinect"].write(tmp_path))
    assert (motion.layout.name, motion.unit, motion.up, motion.fps) == ("azure32", "mm", "-y", 30.0003)
    assert motion.persons == 2
    assert motion.confidence.any(2).tolist() == [[True, True], [True, True], [True, False], [True, True], [True, True]]
    assert motion.extra["followed"] == "id"


def test_azure_order_of_the_bodies_does_not_matter(tmp_path):
    path = SAMPLES["azure_kinect"].write(tmp_path)
    expected = readers.read(path)
    content = json.loads(path.read_text())
    for frame in content["frames"][1::2]:
        frame["bodies"].reverse()
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(readers.read(path).joints, expected.joints)


def test_azure_a_joint_at_the_sensor_is_missing(tmp_path):
    path = SAMPLES["azure_kinect"].write(tmp_path)
    content = json.loads(path.read_text())
    content["frames"][0]["bodies"][0]["joint_positions"][9] = [0, 0, 0]
    path.write_text(json.dumps(content))
    assert np.argwhere(readers.read(path).confidence[0] == 0).tolist() == [[0, 9]]


def test_azure_stands_upright(tmp_path):
    """A synthetic body as the sensor sees it: y down, millimetres; mapped to another layout it is a body."""
    clip = next(synth.generate(1, ["wave"], layout="azure32", coords=3))
    joints = clip.joints[:, 0] * [-1000, -1000, 1000]
    frames = [{"bodies": [{"body_id": 1, "joint_positions": frame.tolist()}]} for frame in joints]
    path = tmp_path / "wave.json"
    path.write_text(json.dumps({"bone_list": [], "frames": frames}))
    motion = readers.read(path)
    assert motion.fps is None
    np.testing.assert_allclose(motion.joints[:, 0], joints, rtol=1e-5)
    kinect = motion.to_layout("ntu25")
    assert (kinect.confidence == 1).all()


def test_mvnx_segments_are_joints(tmp_path):
    clip = next(synth.generate(1, ["walk"], cameras=0, layout="mvnx23", coords=3))
    upright = clip.joints[:, 0][..., [0, 2, 1]] * np.float32([1, -1, 1])
    path = tmp_path / MVNX_FILE
    path.write_text(mvnx_text(upright, rate="120"))
    motion = readers.read(path)
    assert len(motion) == len(clip)  # without the frame of type tpose
    assert (motion.layout.name, motion.fps, motion.unit, motion.up) == ("mvnx23", 120, "m", "+z")
    np.testing.assert_allclose(motion.joints[:, 0], upright, atol=1e-6)
    coco = motion.to_layout("coco17")
    wrist, ankle = (layout("coco17").joints.index(name) for name in ("left_wrist", "right_ankle"))
    np.testing.assert_array_equal(coco.joints[:, 0, wrist], motion.joints[:, 0, SEGMENTS.index("LeftHand")])
    np.testing.assert_array_equal(coco.joints[:, 0, ankle], motion.joints[:, 0, SEGMENTS.index("RightFoot")])


def test_mvnx_fingers_and_props_are_passed_over(tmp_path):
    joints = np.random.default_rng(0).normal(size=(3, 26, 3))
    path = tmp_path / MVNX_FILE
    path.write_text(mvnx_text(joints, segments=[*SEGMENTS, "LeftCarpus", "RightCarpus", "Prop1"]))
    motion = readers.read(path)
    assert motion.layout.name == "mvnx23"
    np.testing.assert_allclose(motion.joints[:, 0], joints[:, :23], atol=1e-6)
    path.write_text(mvnx_text(joints[:, :7], segments=SEGMENTS[:7]))
    motion = readers.read(path)
    assert motion.layout.joints == tuple(SEGMENTS[:7])
    assert [motion.layout.parents[i] for i in (0, 3, 5, 6)] == [-1, 0, 3, 5]


def test_mvnx_of_two_subjects(tmp_path):
    joints = np.random.default_rng(1).normal(size=(2, 23, 3))
    one, other = mvnx_text(joints), mvnx_text(joints + 1).replace("Anna", "Ben")
    start, end = other.index("<subject"), other.index("</mvnx>")
    path = tmp_path / MVNX_FILE
    path.write_text(one.replace("</mvnx>", other[start:end] + "</mvnx>"))
    clips = list(readers.read_all(path))
    assert [clip.source for clip in clips] == ["walk.mvnx#Anna", "walk.mvnx#Ben"]
    np.testing.assert_allclose(clips[1].joints - clips[0].joints, 1, atol=1e-5)


def test_mvnx_that_was_cut_short(tmp_path):
    path = SAMPLES["mvnx"].write(tmp_path)
    whole = readers.read(path)
    text = path.read_text()
    path.write_text(text[: text.rindex("</position>")])
    motion = readers.read(path)
    assert (len(motion), motion.notes) == (len(whole) - 1, {mvnx.TORN: 1})


def test_mvnx_expands_no_entities(tmp_path):
    path = SAMPLES["mvnx"].write(tmp_path)
    name, change = SAMPLES["mvnx"].faults["10^9 frames"]
    (tmp_path / name).write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match="a document type of its own"):
        readers.read(path)
