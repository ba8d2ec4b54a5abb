"""Plain arrays: every layout there and back, what stands beside them, layouts told by numbers and places."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kineme import io as readers
from kineme.data import synth
from kineme.io import npy
from kineme.motion.layout import free, layouts
from kineme.motion.motion import UNSURE, Motion
from kineme.utils.errors import InputError


def saved(folder, array, name="take.npy"):
    np.save(folder / name, array)
    return folder / name


def same(one: Motion, other: Motion) -> None:
    assert (one.layout.joints, one.fps, one.unit, one.up, one.image_size, one.label, one.subject, one.camera) == (
        other.layout.joints,
        other.fps,
        other.unit,
        other.up,
        other.image_size,
        other.label,
        other.subject,
        other.camera,
    )
    np.testing.assert_array_equal(one.joints, other.joints)
    np.testing.assert_array_equal(one.confidence, other.confidence)


@pytest.mark.parametrize("name", layouts())
def test_there_and_back(name, tmp_path):
    for clip in synth.generate(2, ["shake_hands"], layout=name, dropout=0.1, occlusion=0.5):
        npy.write(tmp_path, [clip])
        same(readers.read(tmp_path / f"{clip.source}.npy"), clip)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float32, (3, 2, 4, 3), elements=st.floats(-1e9, 1e9, width=32)), st.data())
def test_any_numbers_there_and_back(tmp_path_factory, joints, data):
    levels = st.sampled_from([0, UNSURE, 0.5, 1])
    seen = np.array(data.draw(st.lists(levels, min_size=24, max_size=24)), np.float32).reshape(3, 2, 4)
    seen[0, 0, 0] = 1
    clip = Motion(joints, free("abcd", [-1, 0, 1, 1]), seen, source="clip")
    folder = tmp_path_factory.mktemp("npy")
    npy.write(folder, [clip])
    same(readers.read(folder / "clip.npy"), clip)


def test_the_json_is_a_side_file(tmp_path):
    unit = SAMPLES["npy"].write(tmp_path)
    assert list(readers.sources(tmp_path)) == [unit]


@pytest.mark.parametrize(
    "name", ["ntu25", "body25", "h36m17", "coco17", "kinect20", "smpl24", "mvnx23", "azure32", "mediapipe33", "halpe26"]
)
def test_bodies_in_space_tell_what_they_are(name, tmp_path):
    """Layout by number and places, unit by the torso, up by heads and feet; all of it is noted."""
    clip = next(synth.generate(1, ["jump"], cameras=0, layout=name, coords=3))
    motion = readers.read(saved(tmp_path, clip.joints[:, 0] * 1000))
    assert (motion.layout.name, motion.unit, motion.up) == (name, "mm", "+y")
    assert motion.notes["recordings in space whose unit is taken to be mm, by the size of the bodies"] == 1
    assert "recordings in space whose up axis is taken to be +y, by heads and feet" in motion.notes
    said = readers.read(tmp_path / "take.npy", unit="cm", up="+z")
    assert (said.unit, said.up) == ("cm", "+z")
    assert not any("taken to be" in words for words in said.notes)


@pytest.mark.parametrize("name", ["coco17", "openpose18", "body25", "body25b", "penn13", "jhmdb15", "panoptic19"])
def test_bodies_in_the_image_tell_what_they_are(name, tmp_path):
    clip = next(synth.generate(1, ["jump"], layout=name, coords=2))
    motion = readers.read(saved(tmp_path, clip.joints[:, 0]))
    assert (motion.layout.name, motion.unit, motion.up) == (name, "px", "-y")
    assert readers.read(saved(tmp_path, clip.joints[:, 0] / [1920, 1080])).unit == "1"


def test_a_layout_that_is_named(tmp_path):
    clip = next(synth.generate(1, ["jump"], cameras=0, layout="pose16", coords=3))
    path = saved(tmp_path, clip.joints[:, 0])
    with pytest.raises(InputError, match=r"take\.npy: 16 joints in 3-D.*--read keypoints=LAYOUT"):
        readers.read(path)
    assert readers.read(path, keypoints="pose16").layout.name == "pose16"
    with pytest.raises(InputError, match="layout ntu25 of 25 joints"):
        readers.read(path, keypoints="ntu25")


def test_whole_bodies_of_freemocap(tmp_path):
    """[frames, 553, 3] in millimetres, +z up: the body stands first."""
    body = next(synth.generate(1, ["wave"], cameras=0, layout="mediapipe33", coords=3)).joints[:, 0]
    upright = body[..., [0, 2, 1]] * [1000, -1000, 1000]
    whole = np.concatenate([upright, np.full((len(body), 520, 3), np.nan)], 1)
    motion = readers.read(saved(tmp_path, whole, "mediapipe_skeleton_3d.npy"))
    assert (motion.layout.name, motion.unit, motion.up) == ("mediapipe33", "mm", "+z")
    np.testing.assert_allclose(motion.joints[:, 0], upright, rtol=1e-5)
    hands = saved(tmp_path, whole[:, :21], "mediapipe_right_hand_3d_xyz.npy")
    with pytest.raises(InputError, match="21 joints in 3-D"):
        readers.read(hands)


def test_confidence_as_the_fourth_number_and_at_the_origin(tmp_path):
    clip = next(synth.generate(1, ["jump"], cameras=0, coords=3))
    scored = np.concatenate([clip.joints, np.full((*clip.joints.shape[:3], 1), 0.5, np.float32)], -1)
    motion = readers.read(saved(tmp_path, scored))
    assert (motion.confidence == 0.5).all()
    plain = clip.joints.copy()
    plain[3, 0, 4] = 0
    assert np.argwhere(readers.read(saved(tmp_path, plain)).confidence == 0).tolist() == [[3, 0, 4]]


def test_people_that_change_places_are_put_back(tmp_path):
    clip = next(synth.generate(1, ["high_five"], cameras=0))
    joints = clip.joints.copy()
    joints[20:] = joints[20:, ::-1]
    motion = readers.read(saved(tmp_path, joints))
    np.testing.assert_array_equal(motion.joints, clip.joints)
    listed = readers.read(tmp_path / "take.npy", people="listed")
    np.testing.assert_array_equal(listed.joints, joints)


def test_a_json_of_names_only(tmp_path):
    clip = next(synth.generate(1, ["jump"], cameras=0, coords=3))
    path = saved(tmp_path, clip.joints)
    names = ["LeftUpLeg" if name == "left_hip" else name for name in clip.layout.joints]
    (tmp_path / "take.json").write_text(json.dumps({"joint_names": names}))
    motion = readers.read(path)
    assert (motion.unit, motion.up) == ("m", "+y")
    elbow = motion.layout.find("left_elbow")
    assert motion.layout.canonical_names[motion.layout.parents[elbow]] == "left_shoulder"
    (tmp_path / "take.json").write_text(json.dumps({"joint_names": list(clip.layout.joints[::-1])}))
    assert readers.read(path).layout.name == "ntu25"
