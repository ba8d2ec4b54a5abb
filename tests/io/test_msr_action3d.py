"""MSR Action3D text: figures of real files, order of the joints, guesses, torn ends."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.data import splits
from kineme.data.prepare import prepare
from kineme.io import msr_action3d
from kineme.motion import layout
from kineme.motion.motion import UNSURE


@pytest.fixture
def folder(data_dir):
    return data_dir / "formats" / "msr_action3d_txt"


def test_joints_are_put_in_order(tmp_path):
    path = SAMPLES["msr_action3d"].write(tmp_path)
    motion = readers.read(path)
    rows = np.loadtxt(path).reshape(3, 20, 4)
    kinect = layout.layout("kinect20")
    assert sorted(msr_action3d.JOINTS) == sorted(kinect.joints)
    for file, place in (("head", 19), ("hip_center", 6), ("right_wrist", 10)):
        np.testing.assert_array_equal(motion.joints[0, 0, kinect.joints.index(file)], rows[0, place, :3].astype("f4"))
    seen = motion.confidence[:, 0]
    assert seen[0, kinect.joints.index("spine")] == UNSURE  # confidence 0, but a place
    assert not seen[1].any()
    assert set(np.unique(seen)) == {0, np.float32(UNSURE), 0.5, 1}
    assert (motion.label, motion.subject, motion.fps) == ("forward kick", 3, None)
    assert motion.extra == {"dataset": "msr_action3d", "repetition": 2}
    path.rename(tmp_path / "mine.txt")
    other = readers.read(tmp_path / "mine.txt", "msr_action3d")
    assert (other.label, other.subject, dict(other.extra)) == (None, None, {})


def test_joints_on_the_screen_are_the_same_recording(tmp_path):
    path = SAMPLES["msr_action3d"].write(tmp_path)
    screen = path.with_name(path.name.replace("3D", ""))
    screen.write_bytes(path.read_bytes())
    assert list(readers.sources(tmp_path)) == [path]
    motion = readers.read(screen)
    assert (motion.coords, motion.unit, motion.up) == (2, "px", "-y")
    path.unlink()
    assert list(readers.sources(tmp_path)) == [screen]


def test_confidence_a_little_beyond_one(tmp_path):
    path = SAMPLES["msr_action3d"].write(tmp_path)
    rows = np.loadtxt(path)
    rows = np.tile(rows, (4, 1))
    rows[0, 3] = 1.5
    np.savetxt(path, rows)
    assert readers.read(path).confidence.max() == 1


def test_real_figures(folder):
    motion = readers.read(folder / "a01_s01_e01_skeleton3D.txt")
    assert motion.joints.shape == (54, 1, 20, 3)
    np.testing.assert_allclose(motion.joints.mean((0, 1, 2)), (-0.1798, -0.1604, 2.6472), atol=6e-5)
    stated = np.where(motion.confidence == np.float32(UNSURE), 0, motion.confidence)
    assert stated.mean() == pytest.approx(0.698, abs=6e-4)
    assert (motion.label, motion.subject, motion.unit, motion.up) == ("high arm wave", 1, "m", "+y")
    screen = readers.read(folder / "a01_s01_e01_skeleton.txt")
    np.testing.assert_allclose(screen.joints.mean((0, 1, 2)), (140.9657, 136.3213), atol=6e-5)
    other = readers.read(folder / "a13_s02_e02_skeleton3D.txt")
    assert len(other) == 30
    assert int((~other.confidence.any((1, 2))).sum()) == 12


def test_the_real_arm_that_waves_is_the_right_one(folder):
    """Subjects used their right arm; the order of the joints says which one that is."""
    motion = readers.read(folder / "a01_s01_e01_skeleton3D.txt")
    moved = dict(zip(motion.layout.joints, motion.joints[:, 0].std(0).sum(-1)))
    assert moved["right_hand"] > 5 * moved["left_hand"]
    assert moved["right_wrist"] > moved["right_elbow"] > moved["right_shoulder"]
    heights = dict(zip(motion.layout.joints, motion.joints[:, 0].mean(0)[:, 1]))
    chain = ["head", "shoulder_center", "spine", "hip_center", "left_knee", "left_ankle", "left_foot"]
    assert sorted(chain, key=heights.__getitem__, reverse=True) == chain


def test_published_split(tmp_path):
    path = SAMPLES["msr_action3d"].write(tmp_path)
    for subject in range(1, 5):
        (tmp_path / f"a01_s0{subject}_e01_skeleton3D.txt").write_bytes(path.read_bytes())
    path.unlink()
    store = prepare(tmp_path, tmp_path / "store", jobs=1)
    part = splits.split(store, "xsub")
    assert sorted(store.numbers("subject")[part.train]) == [1, 3]
