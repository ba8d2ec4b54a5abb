"""Motion: validation, and the geometry of its verbs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kineme.motion import normalise
from kineme.motion.joint_map import joint_map
from kineme.motion.layout import free, layout, layouts
from kineme.motion.motion import UNSURE, Motion
from kineme.utils.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(1, 40)
NTU, CHAIN = layout("ntu25"), free(["a", "b", "c"], [-1, 0, 1])


def made(seed=0, frames=12, persons=2, body=NTU, coords=3, hidden=0.0, **more) -> Motion:
    """A random motion, a share of its joints missing."""
    rng = np.random.default_rng(seed)
    shape = (frames, persons, len(body))
    confidence = rng.uniform(0.1, 1, shape) * (rng.random(shape) >= hidden)
    return Motion(rng.normal(size=(*shape, coords)), body, confidence, **more)


def line(values, confidence=None, **more) -> Motion:
    """One person, one joint that moves along x with these values."""
    joints = np.zeros((len(values), 1, 1, 3))
    joints[:, 0, 0, 0] = values
    return Motion(joints, free(["a"], [-1]), None if confidence is None else np.reshape(confidence, (-1, 1, 1)), **more)


def x_of(motion: Motion) -> list[float]:
    return motion.joints[:, 0, 0, 0].tolist()


# ------------------------------------------------------------------------------------------------------ construction


def test_what_is_given_is_kept_and_made_plain():
    motion = made(
        frames=3,
        coords=2,
        fps=np.float32(30),
        up="-y",
        unit="px",
        image_size=(np.int64(640), 480),
        label="walk",
        subject=np.int16(4),
        camera="L",
        source="a.npz#1",
        extra={"setup": np.int64(2), "style": np.str_("old"), "slow": np.bool_(True), "gap": None},
    )
    assert motion.joints.dtype == motion.confidence.dtype == np.float32
    assert motion.joints.flags.c_contiguous
    assert (len(motion), motion.persons, motion.coords) == (3, 2, 2)
    assert motion.fps == 30.0
    assert type(motion.fps) is float
    assert motion.image_size == (640, 480)
    assert type(motion.subject) is type(motion.image_size[0]) is int
    assert {name: type(value) for name, value in motion.extra.items()} == {
        "setup": int,
        "style": str,
        "slow": bool,
        "gap": type(None),
    }
    assert "walk" in repr(motion)
    assert "3 frames" in repr(motion)


def test_without_confidence_all_is_seen():
    assert (Motion(np.ones((2, 1, 3, 3)), CHAIN).confidence == 1).all()


def test_missing_joints_are_zero_whatever_is_given():
    joints = np.full((2, 1, 3, 3), 7.0)
    joints[0, 0, 1] = np.nan
    confidence = np.ones((2, 1, 3))
    confidence[0, 0, 1] = 0
    motion = Motion(joints, CHAIN, confidence)
    assert (motion.joints[0, 0, 1] == 0).all()
    assert (motion.joints[1] == 7).all()
    assert np.isnan(joints[0, 0, 1]).all()  # what was given is untouched


def test_what_is_unsure_can_be_left_out():
    confidence = np.array([[[1, UNSURE, 0]], [[0.002, UNSURE / 2, 1]]])
    motion = Motion(np.ones((2, 1, 3, 3)), CHAIN, confidence)
    assert motion.joints[0, 0, 1].tolist() == [1, 1, 1]
    sure = motion.without_unsure()
    np.testing.assert_array_equal(sure.confidence, np.where(confidence > UNSURE, confidence, 0).astype(np.float32))
    assert not sure.joints[0, 0, 1].any()
    assert sure.without_unsure() is sure
    made = normalise.describe("none", CHAIN) | {"unsure": "drop"}
    np.testing.assert_array_equal(normalise.apply(motion, made).confidence, sure.confidence)
    np.testing.assert_array_equal(
        normalise.apply(motion, normalise.describe("none", CHAIN)).confidence, motion.confidence
    )


def test_with_validates_again():
    with pytest.raises(InputError, match="fps"):
        made().with_(fps=-1)
    assert made().with_(label="run").label == "run"


INFINITE, HUGE = np.ones((2, 1, 3, 3)), np.full((2, 1, 3, 3), 1e300)
INFINITE[1, 0, 2, 0] = np.inf


@pytest.mark.parametrize("confidence", [None, 0.5])
def test_nan_means_missing(confidence):
    joints = np.ones((4, 2, 3, 3))
    joints[1, 0, 2, 1] = np.nan  # one coordinate of a joint
    joints[2, 1] = np.nan  # a whole person
    given = None if confidence is None else np.full((4, 2, 3), confidence)
    if given is not None:
        given[3, 0, 0] = np.nan
    motion = Motion(joints, CHAIN, given)
    missing = np.zeros((4, 2, 3), bool)
    missing[1, 0, 2] = missing[2, 1] = True
    missing[3, 0, 0] = given is not None
    assert motion.notes == {"joints that are no number (NaN), taken as missing": missing.sum()}
    assert motion.with_(fps=30).notes == motion.slice(0, 2).notes == motion.notes
    np.testing.assert_array_equal(motion.confidence, np.where(missing, 0, confidence or 1))
    np.testing.assert_array_equal(motion.joints, np.where(missing[..., None], 0, np.ones(3)))


@pytest.mark.parametrize(("change", "found", "expected"), [
    ({"joints": np.ones((3, 3))}, "(3, 3)", "frames, persons, joints"),
    ({"joints": np.ones((2, 1, 3, 4))}, "(2, 1, 3, 4)", "2 or 3"),
    ({"joints": np.ones((0, 1, 3, 3))}, "(0, 1, 3, 3)", "at least one frame"),
    ({"joints": np.ones((2, 0, 3, 3))}, "(2, 0, 3, 3)", "one person"),
    ({"joints": np.ones((2, 1, 5, 3))}, "5 joints", "3 joints of layout free"),
    ({"joints": INFINITE}, "frame 1, person 0, joint c", "at most 3.4e38"),
    ({"joints": HUGE}, "infinite or too large", "at most 3.4e38"),
    ({"joints": [[1], [1, 2]]}, "different lengths", "numbers"),
    ({"joints": np.full((2, 1, 3, 3), "x")}, "<U1", "real numbers"),
    ({"joints": np.full((2, 1, 3, 3), None)}, "object", "real numbers"),
    ({"joints": np.ones((2, 1, 3, 3), complex)}, "complex", "real numbers"),
    ({"layout": 25}, "type int", "a Layout"),
    ({"confidence": np.ones((2, 1, 4))}, "(2, 1, 4)", "(2, 1, 3)"),
    ({"confidence": np.full((2, 1, 3), 1.5)}, "1.5", "0 for missing"),
    ({"confidence": np.full((2, 1, 3), -0.5)}, "-0.5", "0 for missing"),
    ({"confidence": "all"}, "<U3", "real numbers"),
    ({"fps": 0}, "fps 0", "above 0"),
    ({"fps": float("nan")}, "fps nan", "above 0"),
    ({"fps": float("inf")}, "fps inf", "above 0"),
    ({"fps": "30"}, "fps = '30' of type str", "int, float or None"),
    ({"fps": True}, "True of type bool", "int, float or None"),
    ({"up": "y"}, "'y'", "+x, -x, +y, -y, +z, -z, or None"),
    ({"up": 1}, "up axis 1", "+y"),
    ({"up": "+z", "joints": np.ones((2, 1, 3, 2))}, "'+z'", "+x, -x, +y, -y, or None"),
    ({"unit": "furlong"}, "'furlong'", "m, dm, cm, mm"),
    ({"unit": 3}, "3", "m, dm, cm, mm"),
    ({"image_size": (640,)}, "(640,)", "(width, height)"),
    ({"image_size": (640, 0)}, "(640, 0)", "(width, height)"),
    ({"image_size": (640.5, 480)}, "640.5", "whole pixels"),
    ({"image_size": 640}, "640", "(width, height)"),
    ({"label": 3}, "label = 3 of type int", "str or None"),
    ({"subject": 1.5}, "subject = 1.5 of type float", "int, str or None"),
    ({"camera": True}, "camera = True of type bool", "int, str or None"),
    ({"source": None}, "NoneType", "a str"),
    ({"extra": [1]}, "extra [1]", "column names"),
    ({"extra": {1: 2}}, "{1: 2}", "column names"),
    ({"extra": {"boxes": [1, 2]}}, "extra column 'boxes' = [1, 2] of type list", "str, int, float, bool or None"),
    ({"extra": {"boxes": np.ones(2)}}, "type ndarray", "str, int, float, bool or None"),
])  # fmt: skip
def test_every_wrong_argument_is_named(change, found, expected):
    with pytest.raises(InputError) as error:
        Motion(**{"joints": np.ones((2, 1, 3, 3)), "layout": CHAIN, "source": "walk.bvh", **change})
    assert found in str(error.value)
    assert expected in str(error.value)
    assert ("walk.bvh" in str(error.value)) == ("source" not in change)


# ------------------------------------------------------------------------------------------------------------ slice


def test_slice_is_half_open():
    motion = made(frames=9, label="walk", extra={"start": 5})
    part = motion.slice(2, 5)
    assert (part.joints == motion.joints[2:5]).all()
    assert (part.confidence == motion.confidence[2:5]).all()
    assert part.label == "walk"
    assert part.extra == {"start": 5}


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (4, 3), (0, 10), (0, 2.5), (None, 3)])
def test_slice_outside_is_refused(start, end):
    with pytest.raises(InputError, match=rf"frames {start} to {end}.*<= 9"):
        made(frames=9).slice(start, end)


# ------------------------------------------------------------------------------------------------ resample and resize


@given(SEEDS, COUNTS, COUNTS)
def test_resize_is_exact_for_steady_movement(seed, frames, wanted):
    rng = np.random.default_rng(seed)
    start, pace = rng.normal(size=(2, 2, 25, 3))
    steady = Motion(start + np.arange(frames)[:, None, None, None] * pace, layout("ntu25"))
    at = np.clip((np.arange(wanted) + 0.5) * frames / wanted - 0.5, 0, frames - 1)
    expected = start + at[:, None, None, None] * pace
    np.testing.assert_allclose(steady.resize(wanted).joints, expected, atol=1e-4, rtol=1e-5)


@settings(max_examples=50)
@given(SEEDS, COUNTS, COUNTS)
def test_resize_is_that_of_torch(seed, frames, wanted):
    motion = made(seed, frames)
    flat = torch.from_numpy(motion.joints.reshape(frames, -1).T.copy())[None]  # torch's frame numbers are float32
    other = torch.nn.functional.interpolate(flat, size=wanted, mode="linear", align_corners=False)[0].T
    np.testing.assert_allclose(motion.resize(wanted).joints.reshape(wanted, -1), other.numpy(), atol=1e-4)


@given(SEEDS, COUNTS, COUNTS, st.sampled_from([0.0, 0.5, 0.9]))
def test_resize_neither_invents_nor_leaves_the_range(seed, frames, wanted, hidden):
    motion = made(seed, frames, hidden=hidden, fps=25)
    new = motion.resize(wanted)
    assert np.isclose(len(new) / new.fps, len(motion) / motion.fps)
    seen, before = new.confidence > 0, motion.confidence > 0
    for side, start in ((np.min, np.inf), (np.max, -np.inf)):  # between the extremes of the joints that were seen
        limit = side(np.where(before[..., None], motion.joints, start), axis=0)
        inside = new.joints - limit if side is np.min else limit - new.joints
        assert (inside[seen] >= -1e-6).all()
    assert not seen[:, ~before.any(axis=0)].any()
    assert (new.confidence <= motion.confidence.max(axis=0)).all()


def test_resize_to_the_same_number_changes_nothing():
    motion = made(hidden=0.3, fps=30)
    same = motion.resize(len(motion))
    assert (same.joints == motion.joints).all()
    assert (same.confidence == motion.confidence).all()
    assert same.fps == 30


def test_between_a_seen_and_a_missing_joint_the_seen_one_stays_where_it_is():
    motion = line([4, 8, 0, 6], [1, 0.5, 0, 1], fps=10).resample(40)
    assert x_of(motion) == [4, 5, 6, 7, 8, 8, 8, 8, 0, 6, 6, 6, 6]
    np.testing.assert_allclose(
        motion.confidence.ravel(), [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0.25, 0.5, 0.75, 1]
    )


@given(SEEDS, COUNTS, st.floats(5, 240), st.floats(5, 240))
def test_resample_keeps_the_duration_and_the_first_frame(seed, frames, fps, wanted):
    motion = made(seed, frames, fps=fps, hidden=0.2)
    new = motion.resample(wanted)
    before, after = (frames - 1) / fps, (len(new) - 1) / wanted
    assert new.fps == wanted
    assert before - 1 / wanted < after + 1e-6
    assert after <= before + 1e-6
    assert (new.joints[0] == motion.joints[0]).all()
    assert (new.confidence[0] == motion.confidence[0]).all()


@given(SEEDS, COUNTS, st.integers(1, 7), st.sampled_from([24, 29.97, 30, 59.94, 120]))
@example(0, 2, 6, 12.99)  # rounding: the last frame would get lost
@example(0, 40, 15, 43.91)  # rounding: missing joints would come back from the frame before
@example(0, 40, 14, 39.56)
def test_whole_factors_keep_the_frames_they_meet(seed, frames, factor, fps):
    motion = made(seed, frames, persons=1, hidden=0.3, fps=fps)
    fine = motion.resample(fps * factor)
    assert len(fine) == (frames - 1) * factor + 1
    for other in (fine.with_(joints=fine.joints[::factor], confidence=fine.confidence[::factor]), fine.resample(fps)):
        assert (other.joints == motion.joints).all()
        assert (other.confidence == motion.confidence).all()
    assert (motion.resample(fps / factor).joints == motion.joints[::factor]).all()


def test_resample_needs_a_rate():
    with pytest.raises(InputError, match=r"no frames per second.*with_"):
        made(source="a").resample(30)
    for wrong in (0, -1, None, "30", float("inf")):
        with pytest.raises(InputError, match="resample"):
            made(fps=30).resample(wrong)
    with pytest.raises(InputError, match=r"5e.08 frames at 30"):
        made(frames=51, fps=3e-6).resample(30)
    for wrong in (0, 2.5, True, None, 10**9):
        with pytest.raises(InputError, match=rf"resize: {wrong} frames.*above 0"):
            made().resize(wrong)


# ----------------------------------------------------------------------------------------------------------- centre


@given(SEEDS, st.sampled_from(layouts()), st.integers(2, 3))
def test_centre_puts_the_root_at_the_origin_and_keeps_the_shape(seed, name, coords):
    motion = made(seed, frames=5, body=layout(name), coords=coords)
    root = list(layout(name).root)
    centred = motion.centre()
    np.testing.assert_allclose(centred.joints[:, 0, root].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(centred.joints, axis=2), np.diff(motion.joints, axis=2), atol=1e-5)
    gap = motion.joints[:, 1] - motion.joints[:, 0]
    np.testing.assert_allclose(centred.joints[:, 1] - centred.joints[:, 0], gap, atol=1e-5)
    np.testing.assert_allclose(centred.centre().joints, centred.joints, atol=1e-6)


@given(SEEDS)
def test_centre_of_the_first_frame_keeps_the_travel(seed):
    motion = made(seed)
    centred = motion.centre(per_frame=False)
    assert (centred.joints[0, 0, 0] == 0).all()
    np.testing.assert_allclose(np.diff(centred.joints, axis=0), np.diff(motion.joints, axis=0), atol=1e-5)


def test_a_root_that_is_hidden_for_a_while_does_not_jump():
    joints = np.zeros((5, 1, 3, 3))
    joints[:, 0, :, 0] = np.arange(5)[:, None] + [0, 10, 20]
    confidence = np.ones((5, 1, 3))
    confidence[[0, 2, 4], 0, 0] = 0
    centred = Motion(joints, CHAIN, confidence).centre()
    assert centred.joints[:, 0, 1, 0].tolist() == [9, 10, 10, 10, 11]  # held, seen, between, seen, held
    assert (centred.joints[[0, 2, 4], 0, 0] == 0).all()
    first = Motion(joints, CHAIN, confidence).centre(per_frame=False)
    assert first.joints[:, 0, 1, 0].tolist() == [9, 10, 11, 12, 13]


def test_centre_on_the_second_person_where_the_first_is_absent():
    joints, confidence = np.full((3, 2, 3, 3), 5.0), np.ones((3, 2, 3))
    confidence[:, 0] = 0
    centred = Motion(joints, CHAIN, confidence).centre()
    assert (centred.joints == 0).all()
    assert (centred.confidence == confidence).all()


def test_centre_without_any_root_is_refused():
    confidence = np.ones((3, 2, 13))
    confidence[:, :, 7] = 0  # one of the two hips
    with pytest.raises(InputError, match=r"root is missing.*left_hip, right_hip"):
        Motion(np.ones((3, 2, 13, 2)), layout("penn13"), confidence).centre()


# ----------------------------------------------------------------------------------------------------------- mirror


@given(SEEDS, st.sampled_from(layouts()), st.integers(2, 3), st.sampled_from([0.0, 0.3]))
def test_mirrored_twice_is_the_motion_itself(seed, name, coords, hidden):
    motion = made(seed, frames=3, body=layout(name), coords=coords, hidden=hidden)
    there = motion.mirror()
    back = there.mirror()
    assert (back.joints == motion.joints).all()
    assert (back.confidence == motion.confidence).all()
    assert not (there.joints == motion.joints).all()


def test_mirror_swaps_sides_and_negates_x():
    motion = made(body=layout("kinect20"))
    there, index = motion.mirror(), layout("kinect20").joints.index
    left, right = index("left_wrist"), index("right_wrist")
    assert (there.joints[:, :, left] == motion.joints[:, :, right] * [-1, 1, 1]).all()
    assert (there.confidence[:, :, left] == motion.confidence[:, :, right]).all()
    assert (there.joints[:, :, index("head"), 1:] == motion.joints[:, :, index("head"), 1:]).all()


def test_mirror_keeps_bone_lengths():
    motion, partner = made(body=layout("coco17")), list(layout("coco17").mirror)
    before, after = (np.linalg.norm(m.bones(), axis=3) for m in (motion, motion.mirror()))
    np.testing.assert_allclose(after, before[:, :, partner], rtol=1e-5)


def test_mirror_of_a_joint_without_partner_is_missing():
    body = free(["pelvis", "left_hand", "right_hand", "left_sword"], [-1, 0, 0, 1])
    there = made(body=body).mirror()
    assert (there.confidence[:, :, 3] == 0).all()
    assert (there.confidence[:, :, :3] > 0).all()


@pytest.mark.parametrize("up", ["+x", "-x"])
def test_mirror_where_x_points_up_is_refused(up):
    with pytest.raises(InputError, match=rf"up axis '\{up}'"):
        made(up=up).mirror()


# ------------------------------------------------------------------------------------------------------------ bones


@given(SEEDS, st.sampled_from(layouts()))
def test_bones_add_up_along_the_chain(seed, name):
    motion, body = made(seed, frames=2, body=layout(name)), layout(name)
    bones, start = motion.bones(), body.parents.index(-1)
    assert (bones[:, :, start] == 0).all()
    for joint in range(len(body)):
        total, at = np.zeros((2, 2, 3)), joint
        while at >= 0:
            total, at = total + bones[:, :, at], body.parents[at]
        np.testing.assert_allclose(total, motion.joints[:, :, joint] - motion.joints[:, :, start], atol=1e-5)


def test_a_bone_with_a_missing_end_is_zero():
    joints = np.arange(9.0).reshape(1, 1, 3, 3) + 1
    bones = Motion(joints, CHAIN, np.array([[[1, 0, 1]]])).bones()
    assert (bones == 0).all()
    assert (Motion(joints, CHAIN).bones()[0, 0, 1:] == 3).all()


# -------------------------------------------------------------------------------------------------------- to_layout


@given(SEEDS, st.sampled_from(layouts()))
def test_to_its_own_layout_nothing_changes(seed, name):
    motion = made(seed, frames=2, body=layout(name), hidden=0.2, label="walk", fps=30)
    same = motion.to_layout(joint_map(layout(name), layout(name)))
    assert (same.joints == motion.joints).all()
    assert (same.confidence == motion.confidence).all()
    assert (same.label, same.fps, same.layout) == ("walk", 30, layout(name))


@given(SEEDS, st.sampled_from(layouts()), st.sampled_from(layouts()))
def test_mapped_joints_are_means_of_what_was_seen(seed, source, target):
    motion = made(seed, frames=2, body=layout(source), hidden=0.2)
    mapping = joint_map(layout(source), layout(target))
    mapped = motion.to_layout(mapping)
    for i, row in enumerate(mapping.weights):
        joints = np.flatnonzero(row)
        least = motion.confidence[:, :, joints].min(axis=2) if len(joints) else np.zeros((2, 2))
        assert (mapped.confidence[:, :, i] == least).all()
        wanted = (motion.joints[:, :, joints] * row[joints, None]).sum(axis=2) * (least > 0)[..., None]
        np.testing.assert_allclose(mapped.joints[:, :, i], wanted, atol=1e-6)


def test_a_map_from_another_layout_is_refused():
    with pytest.raises(InputError, match=r"layout ntu25.*layout coco17"):
        made().to_layout(joint_map(layout("coco17"), layout("pose13")))


def test_real_bandai_motion_stands_upright_in_the_kinect_layouts(data_dir):
    folder = data_dir / "bandai_2"
    said = json.loads((folder / "bandai_2.json").read_text())
    with np.load(folder / "bandai_2.npz") as arrays:
        joints = arrays["joints"][: int(arrays["offsets"][1])]
    motion = Motion(joints[:, None], free(said["joint_names"], said["parents"]), fps=15, up="+y", unit="m")
    for name in ("kinect20", "ntu25"):
        mapped = motion.to_layout(joint_map(motion.layout, layout(name)))
        upwards = ("left_foot", "left_ankle", "left_knee", "left_hip", "pelvis", "spine", "chest", "head")
        heights = mapped.joints[:, 0, [mapped.layout.find(word) for word in upwards], 1].mean(axis=0)
        assert (np.diff(heights) > 0).all()
        hands = mapped.layout.joints.index("left_hand")
        assert (mapped.confidence[:, :, hands] == 0).all()
        assert (mapped.joints[:, :, hands] == 0).all()


def test_notes_stay_with_a_motion_and_are_shown():
    motion = made(notes={"joints mended": np.int64(3), "frames mended": 0})
    assert motion.notes == {"joints mended": 3}
    assert motion.slice(0, 1).notes == motion.notes
    assert "joints mended" in repr(motion)
    assert "notes" not in repr(made())
    for bad in ("text", {1: 1}, {"joints mended": -1}, {"joints mended": 1.5}):
        with pytest.raises(InputError, match="notes"):
            made(notes=bad)
