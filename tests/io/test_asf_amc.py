"""ASF/AMC: known rotations, the same take as BVH, skeletons found and missed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers.mocap import AMC_FILE, AMC_TEXT, ASF_FILE, ASF_TEXT
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.io import asf_amc
from kineme.motion import layout
from kineme.motion.joint_map import joint_map
from kineme.utils.errors import InputError

INCH = 0.0254 / 0.45


def joint(motion, name):
    return motion.joints[:, 0, motion.layout.joints.index(name)]


def test_forward_kinematics_by_hand(tmp_path):
    """The root turned by 90 degrees about y, one bone with axes of its own, one without."""
    motion = readers.read(SAMPLES["asf_amc"].write(tmp_path))
    assert (motion.unit, motion.up, motion.fps, motion.source) == ("m", "+y", None, AMC_FILE)
    assert motion.layout.joints == ("root", "lfemur", "lowerback", "ltibia")
    assert motion.layout.parents == (-1, 0, 0, 1)
    np.testing.assert_allclose(joint(motion, "root")[0], np.array([1, 2.5, 3]) * INCH, atol=1e-6)
    np.testing.assert_allclose(joint(motion, "lowerback")[0], np.array([1, 5.5, 3]) * INCH, atol=1e-6)

    def about(axis, degrees):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return np.array(
            {
                "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
                "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
                "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
            }[axis]
        )

    own = about("z", 20)
    root = about("y", 90)
    femur = root @ own @ about("z", 30) @ about("y", 20) @ about("x", 10) @ own.T
    knee = np.array([1, 2.5, 3]) + femur @ [0, -2.5, 0]
    ankle = knee + femur @ about("x", 45.5) @ [1.2, -1.6, 0]
    np.testing.assert_allclose(joint(motion, "lfemur")[0], knee * INCH, atol=1e-6)
    np.testing.assert_allclose(joint(motion, "ltibia")[0], ankle * INCH, atol=1e-6)


def test_radians_and_units(tmp_path):
    path = SAMPLES["asf_amc"].write(tmp_path)
    degrees = readers.read(path)
    lines = []
    for line in AMC_TEXT.replace(":DEGREES", ":RADIANS").splitlines():
        name, *values = line.split()
        turns = values[3:] if name == "root" else values if name in ("lfemur", "ltibia") else []
        kept = values[: len(values) - len(turns)]
        lines.append(" ".join([name, *kept, *(f"{np.radians(float(value)):.12f}" for value in turns)]))
    path.write_text("\n".join(lines))
    np.testing.assert_allclose(readers.read(path).joints, degrees.joints, atol=1e-6)
    path.write_text(AMC_TEXT)
    skeleton = tmp_path / ASF_FILE
    skeleton.write_text(ASF_TEXT.replace("length 0.45", "length 1.0"))
    plain = readers.read(path)
    assert plain.unit == "1"
    np.testing.assert_allclose(plain.joints * INCH, degrees.joints, rtol=1e-5)


def test_translations_and_lengths(tmp_path):
    """Bones other than the root may move, and grow along themselves."""
    path = SAMPLES["asf_amc"].write(tmp_path)
    straight = AMC_TEXT.replace("0 90 0", "0 0 0")
    path.write_text(straight)
    before = readers.read(path)
    (tmp_path / ASF_FILE).write_text(ASF_TEXT.replace("dof rx\n", "dof rx tx l\n"))
    path.write_text(straight.replace("ltibia 45.5", "ltibia 45.5 0 1"))
    with pytest.raises(InputError, match="1 values for 'ltibia'"):
        path.write_text(straight)
        readers.read(path)
    path.write_text("\n".join(f"{line} 0 1" if line.startswith("ltibia") else line for line in straight.splitlines()))
    longer = readers.read(path)
    bone = joint(before, "ltibia") - joint(before, "lfemur")
    np.testing.assert_allclose(joint(longer, "ltibia") - joint(longer, "lfemur"), bone * 1.5, atol=1e-5)


def test_the_skeleton_is_found(tmp_path):
    path = SAMPLES["asf_amc"].write(tmp_path)
    expected = readers.read(path)
    skeleton = tmp_path / ASF_FILE
    for name in ("01_02.asf", "any.asf"):
        skeleton = skeleton.rename(tmp_path / name)
        np.testing.assert_array_equal(readers.read(path).joints, expected.joints)
    (tmp_path / "other.asf").write_text(ASF_TEXT)
    with pytest.raises(InputError, match=r"01_02\.amc: no 01\.asf beside it, and 2 other skeletons"):
        readers.read(path)
    for each in tmp_path.glob("*.asf"):
        each.unlink()
    with pytest.raises(InputError, match=r"no 01\.asf beside it, and no other skeleton"):
        readers.read(path)


def test_a_skeleton_is_a_side_file(tmp_path):
    path = SAMPLES["asf_amc"].write(tmp_path)
    assert readers.is_side_file(tmp_path / ASF_FILE)
    assert list(readers.sources(tmp_path)) == [path]
    with pytest.raises(InputError, match="a side file of format asf_amc"):
        readers.read(tmp_path / ASF_FILE)


def test_a_torn_end_costs_its_frame(tmp_path):
    path = SAMPLES["asf_amc"].write(tmp_path)
    path.write_text(AMC_TEXT[: AMC_TEXT.rindex("ltibia")])
    motion = readers.read(path)
    assert len(motion) == 2
    assert motion.notes == {asf_amc.TORN: 1}


FIGURES = {  # of the data's description, in metres
    "ltibia": (0.5615, 0.1478, 0.7981),
    "lhumerus": (0.59, 1.1709, 0.8202),
    "head": (0.502, 1.635, 0.8389),
}


@pytest.fixture
def take(data_dir):
    return readers.read(data_dir / "formats" / "asf_amc" / "01_01.amc")


def test_a_real_take(take):
    assert take.joints.shape == (2751, 1, 31, 3)
    assert (take.unit, take.up) == ("m", "+y")
    assert (take.confidence == 1).all()
    for name, expected in FIGURES.items():
        np.testing.assert_allclose(joint(take, name).mean(0), expected, atol=6e-5)
    lengths = np.linalg.norm(take.bones()[:, 0, 1:], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-5


def test_the_same_take_as_bvh(take, data_dir):
    """BVH frame k + 1 is AMC frame k; the BVH leaves out the thorax, so all above it is 0.1166 m off."""
    other = readers.read(data_dir / "formats" / "bvh" / "01_01.bvh")
    places = other.joints[1:] * INCH
    assert len(places) == len(take)
    below = {"root": "Hips", "lfemur": "LeftLeg", "rfemur": "RightLeg", "ltibia": "LeftFoot", "rtibia": "RightFoot"}
    above = {"lclavicle": "LeftArm", "lhumerus": "LeftForeArm", "rradius": "RightHand", "head": "Head_end"}
    for one, two in (below | above).items():
        apart = np.linalg.norm(joint(take, one) - places[:, 0, other.layout.joints.index(two)], axis=-1)
        if one in below:
            assert apart.max() < 1e-4
        else:
            np.testing.assert_allclose(apart, 0.1166, atol=1e-4)


def test_both_takes_have_the_same_joints(take, data_dir):
    """Mapped by name, knees of one are knees of the other."""
    other = readers.read(data_dir / "formats" / "bvh" / "01_01.bvh")
    for target in ("ntu25", "coco17", "h36m17"):
        one, two = (joint_map(each.layout, target) for each in (take, other))
        assert set(two.missing) - set(one.missing) <= {"left_hand", "right_hand"}
        assert set(one.missing) <= set(two.missing)
    kinect = take.to_layout("kinect20")
    assert {"left_foot", "left_hand", "spine"}.isdisjoint(joint_map(take.layout, "kinect20").missing)
    names = layout.layout("kinect20").joints
    heights = dict(zip(names, kinect.joints[:, 0].mean(0)[:, 1]))
    assert heights["left_ankle"] < heights["left_knee"] < heights["hip_center"] < heights["spine"] < heights["head"]


def test_prepared_with_a_broken_one(data_dir, tmp_path):
    from kineme.data.prepare import prepare

    for name in ("01.asf", "01_01.amc"):
        shutil.copy(data_dir / "formats" / "asf_amc" / name, tmp_path)
    (tmp_path / "01_02.amc").write_text("1\nroot 1 2 3\n")
    store = prepare(tmp_path, tmp_path / "store", jobs=1)
    assert len(store) == 1
    assert "01_02.amc" in (tmp_path / "store" / "skipped.jsonl").read_text()
