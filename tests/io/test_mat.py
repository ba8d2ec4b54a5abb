"""MATLAB files: real figures of UTD-MHAD and Penn Action, byte orders, and files that claim more than they hold."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.mocap import PENN_FILE, UTD_FILE, mat
from helpers.sample import attempt
from helpers.samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from kineme import io as readers
from kineme.data import splits
from kineme.data.prepare import prepare
from kineme.io import _mat, utd_mhad
from kineme.motion import layout
from kineme.motion.motion import UNSURE
from kineme.utils.errors import InputError


def test_utd_joints_are_put_in_order(tmp_path):
    path = tmp_path / UTD_FILE
    skeleton = np.random.default_rng(0).normal(size=(20, 3, 4))
    path.write_bytes(mat({"d_skel": skeleton}))
    motion = readers.read(path)
    kinect = layout.layout("kinect20")
    assert sorted(utd_mhad.JOINTS) == sorted(kinect.joints)
    for name, place in (("head", 0), ("hip_center", 3), ("left_hand", 7), ("right_foot", 19)):
        np.testing.assert_array_equal(motion.joints[:, 0, kinect.joints.index(name)], skeleton[place].T.astype("f4"))
    assert (motion.label, motion.subject, motion.extra["repetition"]) == ("arm cross", 2, 3)


def test_a_single_frame(tmp_path):
    (tmp_path / UTD_FILE).write_bytes(mat({"d_skel": np.ones((20, 3))}))
    assert len(readers.read(tmp_path / UTD_FILE)) == 1


def test_a_file_of_another_name_is_known_by_its_variables(tmp_path):
    for name in ("utd_mhad", "penn_action"):
        path = SAMPLES[name].write(tmp_path)
        other = path.rename(tmp_path / f"of_{name}.mat")
        assert readers.detect(other) == name
    (tmp_path / "else.mat").write_bytes(mat({"x": 1}))
    with pytest.raises(InputError, match="of no known format"):
        readers.read(tmp_path / "else.mat")


def test_penn_guesses_and_places_that_are_none(tmp_path):
    path = SAMPLES["penn_action"].write(tmp_path)
    motion, faithful = readers.read(path), next(readers.read_all(path, options=readers.Options(faithful=True)))
    assert (motion.label, motion.camera, motion.extra["split"]) == ("golf_swing", "front", "train")
    assert (motion.image_size, motion.unit, motion.up) == ((480, 272), "px", "-y")
    levels = {frame: set(np.unique(motion.confidence[frame])) for frame in (0, 2)}
    assert levels[0] == {np.float32(UNSURE), 1}
    assert levels[2] == {0, 1}  # at (1, 1)
    assert set(np.unique(faithful.confidence)) == {0, 1}


def test_penn_official_split(tmp_path):
    path = SAMPLES["penn_action"].write(tmp_path)
    variables = dict(_mat.arrays(path, ("x", "y", "visibility", "action", "pose", "dimensions"), ""))
    for k in range(6):
        (tmp_path / f"000{k}.mat").write_bytes(mat({**variables, "train": 1 if k % 3 else -1}))
    path.unlink()
    store = prepare(tmp_path, tmp_path / "store", jobs=1)
    part = splits.split(store, "official")
    assert [store.ids[i] for i in np.arange(len(store))[part.test]] == ["0000.mat", "0003.mat"]


def test_the_other_byte_order(tmp_path):
    """As MATLAB wrote it on big machines: every number turned round."""
    buffer = io.BytesIO()
    values = np.arange(60.0).reshape(20, 3)
    savemat(buffer, {"d_skel": values})
    data = buffer.getvalue()
    big = bytearray(data[:124] + b"\x01\x00MI" + data[128:])
    for at in (128, 132, 136, 140, 144, 148, 152, 156, 160, 164, 168, 172):
        if at not in (176,):
            big[at : at + 4] = data[at : at + 4][::-1]
    name = data.index(b"d_skel") + 8
    for at in (name, name + 4):
        big[at : at + 4] = data[at : at + 4][::-1]
    body = np.frombuffer(data[name + 8 :], "<f8")
    big[name + 8 :] = body.astype(">f8").tobytes()
    (tmp_path / UTD_FILE).write_bytes(bytes(big))
    found = readers.read(tmp_path / UTD_FILE)
    (tmp_path / UTD_FILE).write_bytes(data)
    np.testing.assert_array_equal(found.joints, readers.read(tmp_path / UTD_FILE).joints)


def test_variables_that_nobody_asked_for_cost_nothing(tmp_path):
    path = tmp_path / UTD_FILE
    path.write_bytes(mat({"d_skel": np.ones((20, 3, 2)), "about": {"a": [1, 2]}, "list": np.array([1, "x"], object)}))
    assert len(readers.read(path)) == 2


def test_a_larger_file_than_is_read(tmp_path, monkeypatch):
    path = SAMPLES["utd_mhad"].write(tmp_path)
    monkeypatch.setattr(_mat, "MOST", 100)
    with pytest.raises(InputError, match="at most 100 bytes"):
        readers.read(path)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=5))
def test_uncompressed_files_changed_at_random(edits):
    """Where no checksum stands before SciPy."""
    buffer = io.BytesIO()
    savemat(buffer, {"d_skel": np.ones((20, 3)), "more": {"a": 1}})
    data = bytearray(buffer.getvalue())
    for at, value in edits:
        data[at % len(data)] = value
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / UTD_FILE
        path.write_bytes(bytes(data))
        attempt(path, lambda each: list(readers.read_all(each)))


UTD_FIGURES = {"a1_s1_t1": (48, "swipe left", 1, 1), "a27_s8_t3": (95, "squat", 8, 3)}


@pytest.mark.parametrize("name", UTD_FIGURES)
def test_real_utd_files(name, data_dir):
    frames, label, subject, repetition = UTD_FIGURES[name]
    motion = readers.read(data_dir / "formats" / "utd_mhad_mat" / f"{name}_skeleton.mat")
    assert motion.joints.shape == (frames, 1, 20, 3)
    assert (motion.label, motion.subject, motion.extra["repetition"]) == (label, subject, repetition)
    assert (motion.unit, motion.up, motion.layout.name) == ("m", "+y", "kinect20")
    if name == "a1_s1_t1":
        np.testing.assert_allclose(motion.joints.mean((0, 1, 2)), (-0.0397, -0.286, 2.8467), atol=6e-5)
        moved = dict(zip(motion.layout.joints, motion.joints[:, 0].std(0).sum(-1)))
        assert moved["right_hand"] > 5 * moved["left_hand"]  # a swipe with the right arm


def test_real_utd_names_are_those_of_the_release(data_dir):
    text = (data_dir / "formats" / "utd_mhad_mat" / "Skeleton_joint_order.txt").read_text()
    said = [line.split(".")[1].strip(" ;") for line in text.splitlines() if line[:1].isdigit()]
    assert tuple(said) == utd_mhad.JOINTS


PENN_FIGURES = {"0001": (151, "baseball_pitch", "test"), "0758": (663, "clean_and_jerk", "test")}
PENN_FIGURES |= {"1154": (72, "pullup", "test"), "1865": (73, "squat", "train")}


@pytest.mark.parametrize("name", PENN_FIGURES)
def test_real_penn_files(name, data_dir):
    frames, label, side = PENN_FIGURES[name]
    motion = readers.read(data_dir / "formats" / "penn_action_mat" / f"{name}.mat")
    assert motion.joints.shape == (frames, 1, 13, 2)
    assert (motion.label, motion.extra["split"], motion.layout.name) == (label, side, "penn13")
    if name == "0001":
        np.testing.assert_allclose(motion.joints.mean((0, 1, 2)), (146.473, 183.165), atol=6e-4)


def test_penn_files_equal_the_curated_set(data_dir):
    with np.load(data_dir / "penn_action" / "penn_action.npz") as file:
        sets = {key: file[key] for key in ("joints", "offsets", "names", "visibility")}
    curated = {motion.source: motion for motion in readers.read_all(data_dir / "penn_action" / "penn_action.npz")}
    for name in PENN_FIGURES:
        at = list(sets["names"]).index(name)
        motion = readers.read(data_dir / "formats" / "penn_action_mat" / f"{name}.mat")
        other = curated[name]
        np.testing.assert_allclose(motion.joints, other.joints, atol=0.01)
        np.testing.assert_array_equal(motion.confidence, other.confidence)
        assert (motion.label, motion.camera, motion.image_size) == (other.label, other.camera, other.image_size)
        assert len(motion) == sets["offsets"][at + 1] - sets["offsets"][at]


def test_penn_file_names(tmp_path):
    path = SAMPLES["penn_action"].write(tmp_path)
    assert path.name == PENN_FILE
    assert readers.detect(path) == "penn_action"
