"""BVH: figures of real files, and forward kinematics against one joint of one frame at a time."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.rigs import HUMAN_IK
from helpers.samples import BVH_TEXT
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.io import bvh
from kineme.io._text import LOST
from kineme.io.bvh import Joint
from kineme.utils.errors import InputError

FIGURES = {  # joints, end sites, channels, frames, seconds per frame, order of rotations, mean of joints and end sites
    "01_01": (31, 7, 96, 2752, 0.0083333, "zyx", (9.1274, 15.7196, 14.5732)),
    "sinusoidal": (4, 0, 15, 120, 1 / 60, "xyz", (-5.5, 10.0062, 4.3141)),
    "test_freebvh": (55, 15, 168, 69, 0.0333333, "zyx", (3.7258, 86.2328, 55.7354)),
    "test_mocapbank": (19, 5, 60, 455, 0.033333, "zxy", (-32.2866, 67.16, 237.7914)),
    "dataset-1_bow_active_001": (22, 5, 132, 128, 0.0333333, "zxy", (-1.5899, 77.7792, -3.166)),
}
AXES = "xyz"


# ------------------------------------------------------------------------ written from the definition, one at a time


def turned(point: list[float], axis: int, degrees: float) -> list[float]:
    """A point turned about one axis."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    out = list(point)
    out[a], out[b] = cos * point[a] - sin * point[b], sin * point[a] + cos * point[b]
    return out


def place(joints: list[Joint], row: list[float], which: int) -> list[float]:
    """Position of one joint in one frame: from the joint itself outwards, through the channels of each parent."""
    first = [sum(len(joint.channels) for joint in joints[:k]) for k in range(len(joints))]
    point = [0.0, 0.0, 0.0]
    while which >= 0:
        joint = joints[which]
        values = row[first[which] : first[which] + len(joint.channels)]
        for (kind, axis), value in reversed(list(zip(joint.channels, values))):
            if kind == "rotation":
                point = turned(point, axis, value)
        shift = list(joint.offset)
        for (kind, axis), value in zip(joint.channels, values):
            if kind == "position":
                shift[axis] = value
        point = [p + s for p, s in zip(point, shift)]
        which = joint.parent
    return point


def written(joints: list[Joint], values: np.ndarray, frame_time: float = 0.05) -> str:
    """Text of a BVH file; end sites are the joints called ``..._end``."""

    def tree(k: int, depth: int) -> list[str]:
        joint, indent = joints[k], "  " * depth
        names = " ".join(f"{AXES[axis].upper()}{kind}" for kind, axis in joint.channels)
        head = "End Site" if joint.name.endswith("_end") else f"{'JOINT' if k else 'ROOT'} {joint.name}"
        lines = [head, "{", "  OFFSET " + " ".join(map(repr, joint.offset))]
        lines += [f"  CHANNELS {len(joint.channels)} {names}"] if head != "End Site" else []
        lines = [indent + line for line in lines]
        for child in range(len(joints)):
            if joints[child].parent == k:
                lines += tree(child, depth + 1)
        return [*lines, indent + "}"]

    rows = [" ".join(map(repr, row)) for row in values.tolist()]
    return "\n".join(["HIERARCHY", *tree(0, 0), "MOTION", f"Frames: {len(values)}", f"Frame Time: {frame_time}", *rows])


def check(path: Path, joints: list[Joint], values: np.ndarray) -> None:
    """Every joint of the first, a middle and the last frame; float32 against numbers of the scene's size."""
    motion = readers.read(path)
    scale = max(1.0, np.abs(motion.joints).max())
    for frame in {0, len(values) // 2, len(values) - 1}:
        expected = [place(joints, values[frame].tolist(), k) for k in range(len(joints))]
        np.testing.assert_allclose(motion.joints[frame, 0], expected, atol=2e-6 * scale)


# ------------------------------------------------------------------------------------------------------- real files


@pytest.mark.parametrize("name", FIGURES)
def test_real_files(name, data_dir):
    count, ends, channels, frames, seconds, order, mean = FIGURES[name]
    path = data_dir / "formats" / "bvh" / f"{name}.bvh"
    joints, values, frame_time = bvh.parse(path)
    assert (len(joints), sum(not joint.channels for joint in joints)) == (count + ends, ends)
    assert sum(joint.name.endswith("_end") for joint in joints) >= ends
    assert values.shape == (frames, channels)
    assert frame_time == pytest.approx(seconds, abs=1e-12)
    orders = {"".join(AXES[axis] for kind, axis in joint.channels if kind == "rotation") for joint in joints}
    assert orders - {""} == {order}
    motion = readers.read(path)
    assert motion.joints.shape == (frames, 1, count + ends, 3)
    np.testing.assert_allclose(motion.joints.mean((0, 1, 2), dtype=float), mean, atol=6e-5)
    assert (motion.fps, motion.up, motion.unit, motion.source) == (1 / frame_time, "+y", "1", path.name)
    assert (motion.layout.name, motion.label, motion.subject) == ("free", None, None)
    check(path, joints, values)


def test_first_root_of_01_01(data_dir):
    motion = readers.read(data_dir / "formats" / "bvh" / "01_01.bvh")
    np.testing.assert_allclose(motion.joints[0, 0, 0], (9.3722, 17.8693, -17.3198), atol=1e-5)
    assert motion.layout.joints[:4] == ("Hips", "LHipJoint", "LeftUpLeg", "LeftLeg")
    assert motion.layout.parents[:4] == (-1, 0, 1, 2)


def test_names_with_a_colon(data_dir):
    motion = readers.read(data_dir / "formats" / "bvh" / "test_freebvh.bvh")
    assert motion.layout.joints[:2] == ("Hips", "Spine")  # of mixamorig:, which stands before every joint
    assert motion.layout.canonical_names[0] == "pelvis"


def test_positions_on_every_joint(data_dir):
    joints, _, _ = bvh.parse(data_dir / "formats" / "bvh" / "dataset-1_bow_active_001.bvh")
    assert Counter(len(joint.channels) for joint in joints) == {6: 22, 0: 5}


def test_equal_to_the_curated_set(data_dir):
    """The first clip of bandai_1 is this file, in metres."""
    first = next(iter(readers.read_all(data_dir / "bandai_1" / "bandai_1.npz")))
    motion = readers.read(data_dir / "formats" / "bvh" / f"{first.source}.bvh")
    np.testing.assert_allclose(motion.joints / 100, first.joints, atol=2e-5)
    assert motion.layout.parents == first.layout.parents


# ---------------------------------------------------------------------------------------------------- kinematics


@pytest.mark.parametrize("order", [*itertools.permutations(range(3)), (2, 0, 2), (0, 1, 0), (1,), (2, 1)])
def test_rotations_in_every_order(order, tmp_path):
    turns = tuple(("rotation", axis) for axis in order)
    joints = [
        Joint("hip", -1, (0.0, 1.0, 0.0), turns),
        Joint("knee", 0, (0.5, -1.0, 0.25), turns),
        Joint("knee_end", 1, (0.0, -1.0, 0.5), ()),
    ]
    values = np.random.default_rng(0).uniform(-180, 180, (4, 2 * len(order)))
    path = tmp_path / "turn.bvh"
    path.write_text(written(joints, values))
    check(path, joints, values)


def test_a_quarter_turn_by_hand(tmp_path):
    """Z by 90 degrees takes +x to +y; then X by 90 degrees inside it takes the child's +y to the parent's +z."""
    joints = [
        Joint("a", -1, (0.0, 0.0, 0.0), (("rotation", 2), ("rotation", 0))),
        Joint("b", 0, (1.0, 0.0, 0.0), ()),
        Joint("c", 0, (0.0, 1.0, 0.0), ()),
    ]
    places = bvh.forward(joints, np.array([[90.0, 0.0], [90.0, 90.0]]))
    expected = [[[0, 0, 0], [0, 1, 0], [-1, 0, 0]], [[0, 0, 0], [0, 1, 0], [0, 0, 1]]]
    np.testing.assert_allclose(places, expected, atol=1e-15)


CHANNEL = st.tuples(st.sampled_from(["position", "rotation"]), st.integers(0, 2))
CHANNELS = st.lists(CHANNEL, max_size=6).filter(
    lambda channels: len({c for c in channels if c[0] == "position"}) == sum(c[0] == "position" for c in channels)
)
COORDINATE = st.floats(-100, 100)


@st.composite
def skeletons(draw) -> list[Joint]:
    """Trees in file order, with any subset of channels on any joint, with and without end sites."""
    joints = [Joint("root", -1, draw(st.tuples(*[COORDINATE] * 3)), tuple(draw(CHANNELS.filter(bool))))]

    def grow(parent: int, depth: int) -> None:
        for _ in range(draw(st.integers(0, 2)) if depth < 4 else 0):
            end = draw(st.booleans())
            name = f"{joints[parent].name}_end" if end else f"joint {len(joints)}:x"
            if end and any(joint.name == name for joint in joints):
                return
            joints.append(Joint(name, parent, draw(st.tuples(*[COORDINATE] * 3)), () if end else tuple(draw(CHANNELS))))
            if not end:
                grow(len(joints) - 1, depth + 1)

    grow(0, 0)
    return joints


@settings(max_examples=60, deadline=None)
@given(joints=skeletons(), frames=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_there_and_back(tmp_path_factory, joints, frames, seed):
    values = np.random.default_rng(seed).uniform(-200, 200, (frames, sum(len(joint.channels) for joint in joints)))
    path = tmp_path_factory.mktemp("bvh") / "any.bvh"
    path.write_text(written(joints, values))
    back, numbers, frame_time = bvh.parse(path)
    assert (back, frame_time) == (joints, 0.05)
    np.testing.assert_array_equal(numbers, values)
    check(path, joints, values)


@settings(max_examples=60, deadline=None)
@given(joints=skeletons(), frames=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_rotations_keep_lengths(joints, frames, seed):
    """Without position channels a bone is as long as its offset, whatever turns."""
    joints = [Joint(j.name, j.parent, j.offset, tuple(c for c in j.channels if c[0] == "rotation")) for j in joints]
    width = sum(len(joint.channels) for joint in joints)
    places = bvh.forward(joints, np.random.default_rng(seed).uniform(-1e4, 1e4, (frames, width)))
    for k, joint in enumerate(joints):
        start = places[:, joint.parent] if joint.parent >= 0 else 0
        lengths = np.linalg.norm(places[:, k] - start, axis=1)
        np.testing.assert_allclose(lengths, np.linalg.norm(joint.offset), atol=1e-9)


def test_one_frame_does_not_depend_on_the_others():
    joints = [Joint("a", -1, (0.0, 0.0, 0.0), (("position", 1), ("rotation", 2))), Joint("b", 0, (1.0, 2.0, 3.0), ())]
    values = np.random.default_rng(1).uniform(-90, 90, (7, 2))
    together = bvh.forward(joints, values)
    np.testing.assert_allclose(together, np.concatenate([bvh.forward(joints, row[None]) for row in values]), rtol=1e-14)


# -------------------------------------------------------------------------------------------------------- the text


def test_names_as_they_stand(tmp_path):
    path = tmp_path / "walk.bvh"
    path.write_text(BVH_TEXT)
    layout = readers.read(path).layout
    assert layout.joints == ("mixamorig:Hips", "left up leg", "left up leg_end")  # not before every joint
    path.write_bytes(BVH_TEXT.encode().replace(b"left up leg", "Hüfte".encode("latin-1")))
    assert readers.read(path).layout.joints[1:] == ("Hüfte", "Hüfte_end")


def test_two_end_sites_and_a_name_twice(tmp_path):
    path = tmp_path / "walk.bvh"
    end = re.search(r"\t\tEnd Site.*?\}\n", BVH_TEXT, re.DOTALL)[0]
    path.write_text(BVH_TEXT.replace(end, end + end).replace("left up leg", "mixamorig:Hips"))
    joints = readers.read(path).layout.joints
    assert len(joints) == len(set(joints)) == 4


def test_known_by_content_under_another_name(tmp_path):
    path = tmp_path / "motion.txt"
    path.write_text(BVH_TEXT)
    assert readers.detect(path) == "bvh"
    assert len(readers.read(path)) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OFFSET 1.5 -2.25 0.5", "OFFSET 1.5", r"walk\.bvh, line 8: OFFSET 1\.5\. Expected three numbers"),
        ("CHANNELS 3 Z", "CHANNELS 3 Q", r"line 9: CHANNELS 3 Qrotation"),
        ("0.0333333", "-1", r"line 18: frame time '-1'"),
        ("61.25", "inf", r"walk\.bvh: inf at frame 1, joint left up leg\. Expected numbers of at most 3\.4"),
        (BVH_TEXT[BVH_TEXT.index("1.0 2.0 3.0") :], "1.0 2.0\n", r"line 18: 0 whole rows for 3 joints"),
        (" 30.0 -40.0", "", r"line 19: 7 values\. Expected 9"),
        ("-2.25", "-2,25", r"walk\.bvh, line 4: '0\.00' in a file of numbers with commas.*decimal points"),
        ("1.5 -2.25 0.5", "1,-2,0", r"walk\.bvh, line 8: '1,-2,0' in a file of numbers with commas"),
    ],
)
def test_errors_name_the_line(old, new, message, tmp_path):
    path = tmp_path / "walk.bvh"
    text = BVH_TEXT.replace(old, new)
    path.write_text(text.replace("11.0 21.0 31.0 ", "") if "7 values" in message else text)
    with pytest.raises(InputError, match=message):
        readers.read(path)


@pytest.mark.parametrize("before", ["Robot_", "Bob:", "Skeleton 001_", "a|b:", ""])
def test_a_word_before_every_joint_is_no_part_of_the_names(before, tmp_path):
    """Case 23."""
    (tmp_path / "walk.bvh").write_text(rig_text([f"{before}{name}" for name in HUMAN_IK[:14]]))
    layout = readers.read(tmp_path / "walk.bvh").layout
    assert layout.joints[:14] == tuple(HUMAN_IK[:14])


def rig_text(names: list[str]) -> str:
    """A chain of joints of these names."""
    lines = ["HIERARCHY"]
    for k, name in enumerate(names):
        channels = "CHANNELS 3 Zrotation Xrotation Yrotation"
        lines += [f"{'JOINT' if k else 'ROOT'} {name}", "{", "OFFSET 0 1 0", channels]
    rows = ["MOTION", "Frames: 1", "Frame Time: 0.1", "0 " * 3 * len(names)]
    return "\n".join([*lines, "End Site\n{\nOFFSET 0 1 0\n}", *["}"] * len(names), *rows])


def bvh_of(tmp_path: Path, change) -> Path:
    (tmp_path / "walk.bvh").write_text(change(BVH_TEXT))
    return tmp_path / "walk.bvh"


@pytest.mark.parametrize("announced", ["2", "4", "0", "1000000000", "x"])
def test_the_rows_count_not_what_is_announced(announced, tmp_path):
    """Case 22: a widely used program announces one frame too few."""
    whole = readers.read(bvh_of(tmp_path, str))
    motion = readers.read(bvh_of(tmp_path, lambda text: text.replace("Frames: 3", f"Frames: {announced}")))
    np.testing.assert_array_equal(motion.joints, whole.joints)
    assert motion.notes == {f"announces {announced} frames, has 3": 1}
    assert not whole.notes


@pytest.mark.parametrize("on_one_line", [False, True])
def test_only_a_broken_last_row_is_left_out(on_one_line, tmp_path):
    def change(text: str) -> str:
        head, rows = text.replace(" 151.0 -161.25", "").split("0.0333333\n")
        return head + "0.0333333\n" + (rows.replace("\n", " ") if on_one_line else rows)

    whole, cut = readers.read(bvh_of(tmp_path, str)), readers.read(bvh_of(tmp_path, change))
    np.testing.assert_array_equal(cut.joints, whole.joints[:2])
    assert cut.notes == {"announces 3 frames, has 2": 1, bvh.TORN: 1}


def test_a_bad_number_or_row_costs_itself(tmp_path):
    """What hangs on a joint whose turn is no number is missing in that frame; a short row is a frame of nobody."""
    text = BVH_TEXT.replace("-40.0 50.0 60.0", "-40.0 x 60.0").replace(" 51.0 61.25", " 61.25")
    whole = readers.read(bvh_of(tmp_path, str))
    motion = readers.read(bvh_of(tmp_path, lambda _: text))
    np.testing.assert_array_equal(motion.confidence[:, 0], [[1, 1, 0], [0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(motion.joints[motion.confidence > 0], whole.joints[motion.confidence > 0])
    assert motion.notes == {LOST: 1, "joints that are no number (NaN), taken as missing": 1}


def test_decimal_commas(tmp_path):
    # case 22-bvh-rows-and-commas of the public reports
    """Case 22: throughout, exponents and names with commas among them."""
    text = BVH_TEXT.replace("left up leg", "leg 1,5").replace("-2.25", "-2.25E-1")
    whole = readers.read(bvh_of(tmp_path, lambda _: text))
    head, tail = text.replace(".", ",").split("MOTION")
    motion = readers.read(bvh_of(tmp_path, lambda _: head.replace("\t", " ") + "MOTION" + tail))
    np.testing.assert_array_equal(motion.joints, whole.joints)
    assert motion.layout == whole.layout
    assert motion.notes == {bvh.COMMAS: 1}
    names_only = readers.read(bvh_of(tmp_path, lambda _: text))
    assert not names_only.notes


def test_more_positions_than_anybody_has(tmp_path):
    """Many end sites times many frames of one channel: refused before anything is allocated."""
    ends = "End Site\n{\nOFFSET 0 0 0\n}\n" * 1000
    path = tmp_path / "bomb.bvh"
    path.write_text(
        f"HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 1 Xposition\n{ends}}}\nMOTION\nFrames: 100000\n"
        f"Frame Time: 0.1\n{'0 ' * 100000}\n"
    )
    with pytest.raises(InputError, match=r"100000 whole rows for 1001 joints.*at most"):
        readers.read(path)


@pytest.mark.parametrize(
    "hierarchy",
    [
        "ROOT a\n{\n" + "JOINT a\n{\n" * 5000 + "}\n" * 5001,
        "ROOT a\n{\n" + "End Site {\n" * 100_000 + "}\n" * 100_001,
    ],
)
def test_skeletons_that_nobody_has(hierarchy, tmp_path):
    path = tmp_path / "bomb.bvh"
    path.write_text(f"HIERARCHY\n{hierarchy}MOTION\nFrames: 1\nFrame Time: 0.1\n0\n")
    with pytest.raises(InputError, match=r"more than 1024 joints|nothing in those of an End Site"):
        readers.read(path)
