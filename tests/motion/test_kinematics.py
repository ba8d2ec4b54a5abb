"""Velocity, acceleration, speed, bone lengths, angles and steps, on movements whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from kineme import io
from kineme.data import synth
from kineme.motion.layout import free, layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

CHAIN = free(["hip", "knee", "ankle"], [-1, 0, 1])
FPS = 100.0
TIME = np.arange(101) / FPS  # seconds
SEEDS = st.integers(0, 2**32 - 1)


def one_joint(places, **more) -> Motion:
    """One person, one joint at places ``[T, C]``."""
    return Motion(np.asarray(places)[:, None, None], free(["a"], [-1]), **{"fps": FPS, "unit": "m"} | more)


def random(seed: int, name: str = "ntu25", persons: int = 2, coords: int = 3, hidden: float = 0.2) -> Motion:
    rng = np.random.default_rng(seed)
    shape = (12, persons, len(layout(name)))
    return Motion(rng.normal(size=(*shape, coords)), layout(name), rng.random(shape) >= hidden, fps=30)


def test_constant_velocity_is_exact_also_at_the_ends():
    motion = one_joint(np.outer(TIME, [3.0, 0, -4.0]))
    np.testing.assert_allclose(motion.velocity()[:, 0, 0], np.tile([3, 0, -4], (101, 1)), atol=1e-4)
    np.testing.assert_allclose(motion.speed(), 5, atol=1e-4)
    np.testing.assert_allclose(motion.acceleration()[1:-1], 0, atol=1e-2)
    assert np.isnan(motion.acceleration()[[0, -1]]).all()


def test_a_circle_has_its_speed_and_its_pull_to_the_middle():
    turn = 2 * np.pi  # radians per second
    motion = one_joint(0.5 * np.stack([np.cos(turn * TIME), np.sin(turn * TIME)], 1), unit="m")
    inner = slice(1, -1)
    np.testing.assert_allclose(motion.speed()[inner], 0.5 * turn, rtol=1e-3)
    pull = motion.acceleration()[inner, 0, 0]
    np.testing.assert_allclose(pull, -(turn**2) * motion.joints[inner, 0, 0], atol=0.02)


def test_rates_are_per_second_in_the_unit_of_the_motion():
    places = np.outer(TIME, [1.0, 0, 0])
    metres, millimetres = one_joint(places).speed(), one_joint(places * 1000, unit="mm").speed()
    np.testing.assert_allclose(millimetres, 1000 * metres, rtol=1e-5)
    halved = one_joint(places[::2], fps=FPS / 2)
    np.testing.assert_allclose(halved.speed(), 1, rtol=1e-4)


def test_gaps_are_nan_and_what_stands_beside_them_uses_the_other_side():
    places = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [6, 0]])
    places[[3, 5]] = np.nan
    motion = one_joint(places, fps=1)
    assert motion.velocity()[:, 0, 0, 0].tolist()[:3] == [1, 1, 1]
    assert np.isnan(motion.velocity()[3:, 0, 0]).all()  # frames 4 and 6 have no neighbour
    assert np.isfinite(motion.acceleration()[:, 0, 0, 0]).tolist() == [False, True, False, False, False, False, False]
    assert np.isnan(one_joint(places[:1]).velocity()).all()


@pytest.mark.parametrize("name", ["velocity", "acceleration", "speed", "contacts", "steps"])
def test_what_is_per_second_needs_a_rate(name):
    with pytest.raises(InputError, match=r"no frames per second.*with_\(fps=30\)"):
        getattr(random(0).with_(fps=None), name)()


def test_bone_lengths_and_where_there_is_no_bone():
    joints = np.array([[[0, 0, 0], [3, 4, 0], [3, 4, 2]]], float)
    lengths = Motion(joints, CHAIN).bone_lengths()
    np.testing.assert_allclose(lengths[0, 0], [np.nan, 5, 2])
    hidden = Motion(joints, CHAIN, np.array([[1, 0, 1]])).bone_lengths()
    assert np.isnan(hidden).all()


# ------------------------------------------------------------------------------------------------------------ angles


def pendulum(angles, persons=1) -> Motion:
    """A thigh that hangs down and a shank at these angles (degrees) to it, each person in a plane of its own."""
    bend = np.radians(180 - np.asarray(angles))
    knee = np.tile([0, -0.4, 0], (len(bend), 1))
    shank = 0.4 * np.stack([np.sin(bend), -np.cos(bend), 0 * bend], 1)
    body = np.stack([0 * knee, knee, knee + shank], 1)
    return Motion(np.stack([body * [1, 1 + p, 1 + p] for p in range(persons)], 1), CHAIN, fps=FPS, up="+y")


def test_a_pendulum_has_the_angle_it_was_given():
    given = 90 + 80 * np.sin(2 * np.pi * TIME)
    columns = pendulum(given).angles()
    assert list(columns) == ["frame", "time", "person", "knee"]
    np.testing.assert_allclose(columns["knee"], given, atol=1e-3)
    np.testing.assert_allclose(columns["time"], TIME)


def test_straight_folded_and_right_angles():
    found = pendulum([180, 90, 0, 45]).angles()["knee"]
    np.testing.assert_allclose(found, [180, 90, 0, 45], atol=0.02)


def test_rows_are_frames_and_in_them_people():
    pandas = pytest.importorskip("pandas")
    motion = pendulum([90, 120], persons=2)
    frame = pandas.DataFrame(motion.angles())
    assert frame[["frame", "person"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert frame["knee"][0] == pytest.approx(90)
    assert "time" not in motion.with_(fps=None).angles()


def test_missing_joints_and_bones_without_a_length_have_no_angle():
    motion = pendulum([90, 90, 90])
    motion = motion.with_(confidence=np.array([[[1, 1, 0]], [[1, 1, 1]], [[1, 0, 1]]]))
    assert np.isfinite(motion.angles()["knee"]).tolist() == [False, True, False]
    assert np.isnan(Motion(np.zeros((1, 1, 3, 3)), CHAIN).angles()["knee"]).all()


def test_several_children_have_an_angle_each():
    columns = random(0).angles()
    assert {"left_elbow", "right_knee"} <= columns.keys()
    parents = layout("ntu25").parents
    many = next(i for i, p in enumerate(parents) if p >= 0 and parents.count(i) > 1)
    names = [f"{layout('ntu25').joints[many]}_{layout('ntu25').joints[c]}" for c, p in enumerate(parents) if p == many]
    assert set(names) <= columns.keys()
    with pytest.raises(InputError, match="no joint has a parent and a child"):
        one_joint(np.zeros((2, 3))).angles()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(["ntu25", "coco17", "mediapipe33", "smpl24"]))
def test_angles_and_lengths_do_not_know_where_or_how_large(seed, name):
    motion = random(seed, name)
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    moved = motion.with_(joints=2 * motion.joints @ turn.T + np.array([1, 2, 3]))
    np.testing.assert_allclose(moved.bone_lengths(), 2 * motion.bone_lengths(), rtol=2e-3, atol=1e-4)
    for column, values in motion.angles().items():
        np.testing.assert_allclose(moved.angles()[column], values, atol=0.1)
    np.testing.assert_allclose(moved.speed(), 2 * motion.speed(), rtol=2e-3, atol=1e-3)


# ------------------------------------------------------------------------------------------------------------- steps

LEGS = ("hip", "knee", "ankle")
BODY = free([f"{side}_{name}" for side in ("left", "right") for name in LEGS], [-1, 0, 1, -1, 3, 4])
STANCE = [(20, 50), (80, 110)]  # frames in which the left foot stands; the right one does between them


def walker(up="+y") -> Motion:
    """Feet that stand still, and swing forward and up between; hips above them."""
    joints = np.zeros((140, 1, 6, 3))
    for side, stances in ((0, STANCE), (3, [(0, 20), (50, 80), (110, 140)])):
        stands = np.zeros(140, bool)
        for start, end in stances:
            stands[start:end] = True
        forward = np.cumsum(np.where(stands, 0, 0.05))  # 5 m/s at 100 Hz
        joints[:, 0, side + 2, 0] = forward
        joints[:, 0, side + 2, 1] = np.where(stands, 0, 0.2)
    centre = joints[:, 0, [2, 5], 0].mean(1)
    for side in (0, 3):
        joints[:, 0, side, 0], joints[:, 0, side, 1] = centre, 0.9
        joints[:, 0, side + 1] = (joints[:, 0, side] + joints[:, 0, side + 2]) / 2
    return Motion(joints, BODY, fps=FPS, up=up, unit="m")


def test_steps_are_where_the_feet_come_down_and_leave():
    columns = walker().steps()
    left = columns["side"] == "left"
    strikes = columns["frame"][left & (columns["event"] == "strike")]
    offs = columns["frame"][left & (columns["event"] == "off")]
    np.testing.assert_allclose(strikes, [20, 80], atol=1)
    np.testing.assert_allclose(offs, [50, 110], atol=1)
    np.testing.assert_allclose(columns["time"], columns["frame"] / FPS)
    assert (np.diff(columns["frame"]) >= 0).all()


def test_a_foot_held_still_in_the_air_does_not_stand_where_up_is_known():
    motion = walker()
    joints = motion.joints.copy()
    joints[20:50, 0, 2] += [0, 0.4, 0]
    joints[20:50, 0, 1] += [0, 0.2, 0]
    assert not motion.with_(joints=joints).contacts()["left"][22:48].any()
    assert motion.with_(joints=joints, up=None).contacts()["left"][22:48].all()


def test_who_appears_standing_has_not_stepped():
    motion = walker()
    confidence = motion.confidence.copy()
    confidence[:30] = 0
    columns = motion.with_(confidence=confidence).steps()
    assert 30 not in columns["frame"]
    assert len(motion.with_(confidence=0 * confidence).steps()["frame"]) == 0


def test_contacts_do_not_depend_on_the_unit_or_the_place():
    motion = walker()
    far = motion.with_(joints=motion.joints * 1000 + [5, 100, 0], unit="mm")
    for side in ("left", "right"):
        assert (far.contacts()[side] == motion.contacts()[side]).all()


def test_a_layout_without_legs_has_no_steps():
    with pytest.raises(InputError, match="lacks a joint of the left leg"):
        one_joint(np.zeros((5, 3))).steps()


def test_synthetic_walkers_step_with_both_feet_in_turn():
    """The synthetic body is moved by the foot that carries it: feet do not slide."""
    walks = [m for m in synth.generate(48, subjects=2, cameras=0, seed=3) if m.label == "walk"]
    assert walks
    for motion in walks:
        columns = motion.steps()
        strikes = columns["event"] == "strike"
        assert strikes.sum() >= 2
        sides = columns["side"][strikes].tolist()
        assert all(one != other for one, other in itertools.pairwise(sides))


def test_a_recording_of_motion_capture(data_dir):
    """CMU 01_01: bones keep their length, a knee bends as knees do, and nobody moves faster than a person."""
    motion = io.read(data_dir / "formats" / "bvh" / "01_01.bvh", unit="in")[1:]  # the first frame is a T-pose
    lengths = motion.bone_lengths()
    assert np.ptp(lengths[:, :, 1:], axis=0).max() < 1e-3 * np.nanmax(lengths)
    knee = motion.angles()["LeftLeg"]
    assert 60 < knee.min() < 150
    assert 155 < knee.max() <= 180
    assert np.nanmax(motion.speed()) * 0.0254 < 12  # metres per second


@pytest.mark.parametrize(("label", "least", "most"), [("walking", 1.3, 2.2), ("running", 2.0, 3.3)])
def test_real_walkers_and_runners_step_in_turn(label, least, most, data_dir):
    """CMU, 60 frames per second: feet come down one after the other; who runs never stands on both."""
    takes = [m for m in io.read_all(data_dir / "cmu_mocap" / "cmu_mocap.npz") if m.label == label]
    assert len(takes) >= 6
    rates = []
    for motion in takes:
        columns, contacts = motion.steps(), motion.contacts()
        strikes = columns["event"] == "strike"
        sides = columns["side"][strikes].tolist()
        assert all(one != other for one, other in itertools.pairwise(sides)), motion.source
        rates.append(strikes.sum() / (len(motion) / motion.fps))
        both = (contacts["left"] & contacts["right"]).mean()
        assert both == 0 if label == "running" else 0 < both < 0.3
    assert least < np.mean(rates) < most
