"""Cleaning: each step does what it says, to nothing else, and counts it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import kineme
from kineme import io
from kineme.data import synth
from kineme.motion import clean
from kineme.motion.clean import Cleaning
from kineme.motion.layout import free, layout
from kineme.motion.motion import UNSURE, Motion
from kineme.utils.errors import InputError

FPS = 50.0
OFF = {"confidence": 0, "bones": 0, "gap": 0, "smooth": "none"}
CHAIN = free(["a", "b", "c"], [-1, 0, 1])
SEEDS = st.integers(0, 2**32 - 1)


def track(values, confidence=None, fps=FPS) -> Motion:
    """One person, one joint, along x."""
    values = np.asarray(values, float)
    joints = np.stack([values, 0 * values], 1)[:, None, None]
    trust = None if confidence is None else np.reshape(np.asarray(confidence, float), (-1, 1, 1))
    return Motion(joints, free(["a"], [-1]), trust, fps=fps)


def x(motion: Motion) -> np.ndarray:
    return motion.joints[:, 0, 0, 0]


def moving(seed: int = 0, name: str = "ntu25", persons: int = 2, coords: int = 3, frames: int = 40) -> Motion:
    """Smooth motion of bones that keep their length (in 3-D), some joints hidden for a while."""
    rng = np.random.default_rng(seed)
    body, time = layout(name), np.arange(frames)[:, None, None] / FPS
    bones = rng.normal(size=(1, persons, len(body), 3))
    turn = Rotation.from_rotvec(np.outer(np.arange(frames) / FPS, rng.normal(size=3))).as_matrix()
    joints = np.zeros((frames, persons, len(body), 3))
    for joint in sorted(range(len(body)), key=lambda j: depth(body.parents, j)):
        parent = body.parents[joint]
        joints[:, :, joint] = (joints[:, :, parent] if parent >= 0 else 0) + bones[:, :, joint]
    joints = np.einsum("tij,tmvj->tmvi", turn, joints) + time[..., None]
    confidence = np.ones(joints.shape[:3])
    confidence[10:14, 0, 3] = 0
    return Motion(joints[..., :coords], body, confidence, fps=FPS)


def depth(parents, joint: int) -> int:
    return 0 if parents[joint] < 0 else 1 + depth(parents, parents[joint])


# -------------------------------------------------------------------------------------------------- one step at a time


def test_nothing_asked_changes_nothing():
    motion = moving()
    same = kineme.clean(motion, **OFF)
    assert (same.joints == motion.joints).all()
    assert (same.confidence == motion.confidence).all()
    assert dict(same.notes) == {}


def test_joints_of_low_confidence_become_missing():
    cleaned = kineme.clean(track([1, 2, 3, 4], [0.9, 0.29, UNSURE, 0]), **OFF | {"confidence": 0.3})
    assert cleaned.confidence.ravel().tolist() == pytest.approx([0.9, 0, 0, 0])
    assert x(cleaned).tolist() == [1, 0, 0, 0]
    assert dict(cleaned.notes) == {"joints of confidence below 0.3, dropped": 2}


def test_short_gaps_are_filled_in_a_line_and_long_ones_and_ends_stay():
    values, seen = [9, 2, 9, 9, 8, 9, 9, 9, 0, 9], [0, 0.8, 0, 0, 0.5, 0, 0, 0, 1, 0]
    cleaned = kineme.clean(track(values, seen, fps=10), **OFF | {"gap": 0.2})
    np.testing.assert_allclose(x(cleaned), [0, 2, 4, 6, 8, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(cleaned.confidence.ravel(), [0, 0.8, 0.5, 0.5, 0.5, 0, 0, 0, 1, 0])
    assert dict(cleaned.notes) == {"joints filled in gaps of up to 0.2 s": 2}


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(0, 6))
def test_filling_twice_fills_nothing_more(seed, frames):
    rng = np.random.default_rng(seed)
    seen = rng.random((30, 2, 3)) > 0.4
    motion = Motion(rng.normal(size=(30, 2, 3, 3)), CHAIN, seen, fps=10)
    how = OFF | {"gap": frames / 10, "confidence": 0.3}
    once = kineme.clean(motion, **how)
    again = kineme.clean(once.with_(notes={}), **how)
    assert (again.joints == once.joints).all()
    assert dict(again.notes) == {}
    assert (once.joints[seen] == motion.joints[seen]).all()


def test_a_joint_that_leaps_makes_impossible_bones_and_is_the_one_to_go():
    motion = moving(name="coco17", persons=1)
    for name, joint in (("left_elbow", 7), ("left_wrist", 9), ("left_hip", 11)):
        joints = motion.joints.copy()
        joints[20, 0, joint] += 50
        cleaned = kineme.clean(motion.with_(joints=joints), **OFF | {"bones": 0.5})
        gone = np.argwhere((cleaned.confidence == 0) & (motion.confidence > 0)).tolist()
        assert gone == [[20, 0, joint]], name
        assert dict(cleaned.notes) == {"joints at the end of a bone of impossible length, dropped": 1}
        whole = kineme.clean(motion.with_(joints=joints), **OFF | {"bones": 0.5, "gap": 0.1})
        np.testing.assert_allclose(whole.joints[20, 0, joint], motion.joints[20, 0, joint], atol=0.05)


def test_bones_that_keep_their_length_and_those_that_foreshorten_are_left():
    assert not kineme.clean(moving(), **OFF | {"bones": 0.1}).notes
    flat = [m.with_(joints=m.joints[..., :2], up="+y") for m in synth.generate(24, cameras=0)]
    dropped = sum(sum(kineme.clean(m, **OFF | {"bones": 0.5}).notes.values()) for m in flat)
    assert dropped < 0.01 * sum((m.confidence > 0).sum() for m in flat)
    tree = Motion(np.random.default_rng(0).normal(size=(9, 1, 3, 3)), free(["a", "b", "c"], [-1, -1, -1]), fps=FPS)
    assert not kineme.clean(tree, **OFF | {"bones": 0.5}).notes


def test_joints_in_one_place_are_no_impossible_bone():
    motion = moving(name="coco17", persons=1)
    joints = motion.joints.copy()
    joints[:, 0, 7] = joints[:, 0, 5] + np.random.default_rng(0).normal(0, 1e-7, (40, 3))
    assert not kineme.clean(motion.with_(joints=joints), **OFF | {"bones": 0.5}).notes


def test_somebody_else_in_the_same_place_is_neither_filled_nor_filtered_into():
    """A detector gives the place of who has left to who comes: at once, or after a few frames."""
    one, other = moving(1, persons=1), moving(2, persons=1)
    away = other.with_(joints=other.joints + 20)
    for gap in (0, 3):
        joints, confidence = np.concatenate([one.joints, away.joints]), np.ones((80, 1, 25))
        confidence[40 : 40 + gap] = 0
        cleaned = kineme.clean(one.with_(joints=joints, confidence=confidence), bones=0, root=2.0)
        alone = [
            kineme.clean(m[start:].with_(notes={}), bones=0, root=2.0)
            for m, start in ((one.with_(confidence=None), 0), (away.with_(confidence=None), gap))
        ]
        np.testing.assert_allclose(cleaned.joints[:40], alone[0].joints, atol=1e-4)
        np.testing.assert_allclose(cleaned.joints[40 + gap :], alone[1].joints, atol=1e-4)
        assert not cleaned.confidence[40 : 40 + gap].any()
        assert cleaned.notes["leaps of a whole body, across which nothing is filled or filtered"] == 1


# ------------------------------------------------------------------------------------------------------------ filters


def test_a_slow_sine_stays_and_fast_noise_goes():
    time = np.arange(200) / FPS
    slow, fast = np.sin(2 * np.pi * time), 0.3 * np.sin(2 * np.pi * 20 * time)
    cleaned = kineme.clean(track(slow + fast), **OFF | {"smooth": "butterworth", "cutoff": 6})
    inner = slice(15, -15)
    np.testing.assert_allclose(x(cleaned)[inner], slow[inner], atol=0.01)
    assert np.abs(x(cleaned) - slow).max() < 0.2  # also at the ends
    assert dict(cleaned.notes) == {"joints filtered (butterworth, 6 Hz)": 200}


def test_at_the_cutoff_half_of_the_power_is_left():
    for fps, cutoff in ((50.0, 6.0), (200.0, 10.0)):
        time = np.arange(2000) / fps
        cleaned = kineme.clean(
            track(np.sin(2 * np.pi * cutoff * time), fps=fps), **OFF | {"smooth": "butterworth", "cutoff": cutoff}
        )
        power = (x(cleaned)[500:1500] ** 2).mean() / 0.5
        assert power == pytest.approx(0.5, abs=0.02)


def test_what_goes_straight_is_not_changed_and_not_delayed():
    cleaned = kineme.clean(track(np.arange(100) * 0.1), **OFF | {"smooth": "butterworth"})
    np.testing.assert_allclose(x(cleaned), np.arange(100) * 0.1, atol=1e-3)


def test_runs_of_seen_frames_are_filtered_apart():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.1, 40), np.zeros(5), rng.normal(100, 0.1, 40), np.zeros(9), [7, 8, 9]])
    seen = np.concatenate([np.ones(40), np.zeros(5), np.ones(40), np.zeros(9), np.ones(3)])
    cleaned = kineme.clean(track(values, seen), **OFF | {"smooth": "butterworth"})
    first = kineme.clean(track(values[:40]), **OFF | {"smooth": "butterworth"})
    np.testing.assert_allclose(x(cleaned)[:40], x(first), atol=1e-5)
    assert np.abs(x(cleaned)[45:85] - 100).max() < 0.5
    assert x(cleaned)[-3:].tolist() == [7, 8, 9]
    assert (cleaned.confidence == track(values, seen).confidence).all()
    assert dict(cleaned.notes) == {
        "joints filtered (butterworth, 6 Hz)": 80,
        "joints not filtered: seen for too few frames on end": 3,
    }


def test_a_cutoff_just_below_half_the_rate_is_none():
    values = np.random.default_rng(0).normal(size=60)
    cleaned = kineme.clean(
        track(values, fps=30.0), **OFF | {"smooth": "butterworth", "cutoff": float(np.nextafter(15, 0))}
    )
    np.testing.assert_allclose(x(cleaned)[10:-10], values[10:-10], atol=1e-3)


def test_a_rate_that_cannot_hold_the_cutoff_is_counted():
    cleaned = kineme.clean(track(np.arange(30.0), fps=10), **OFF | {"smooth": "butterworth", "cutoff": 6})
    assert x(cleaned).tolist() == list(range(30))
    assert cleaned.notes == {"joints not filtered: a cutoff of 6 Hz is no less than half the frame rate": 30}


def one_euro(values, fps, cutoff, beta) -> list[float]:
    """The published filter, one value after the other (Casiez, Roussel and Vogel 2012, algorithm 1)."""

    def alpha(hertz):
        tau = 1 / (2 * np.pi * hertz)
        return 1 / (1 + tau * fps)

    out, before, slope = [], None, 0.0
    for value in values:
        if before is None:
            out.append(value)
        else:
            slope = alpha(1.0) * (value - before) * fps + (1 - alpha(1.0)) * slope
            share = alpha(cutoff + beta * abs(slope))
            out.append(share * value + (1 - share) * out[-1])
        before = value
    return out


def test_one_euro_is_as_published():
    values = np.cumsum(np.random.default_rng(1).normal(size=60))
    for beta in (0.0, 0.5):
        cleaned = kineme.clean(track(values), **OFF | {"smooth": "one_euro", "cutoff": 1.5, "beta": beta})
        np.testing.assert_allclose(x(cleaned), one_euro(values, FPS, 1.5, beta), atol=1e-4)
    assert dict(cleaned.notes) == {"joints filtered (one_euro, 1.5 Hz)": 60}


@settings(max_examples=25, deadline=None)
@given(
    SEEDS,
    st.sampled_from(["ntu25", "coco17", "mediapipe33"]),
    st.booleans(),
    st.sampled_from(["butterworth", "one_euro"]),
)
def test_cleaning_does_not_know_where_a_body_is(seed, name, flat, smooth):
    """Turned, moved and scaled before is turned, moved and scaled after; counts are the same."""
    motion = moving(seed, name, coords=2 if flat else 3)
    rng = np.random.default_rng(seed)
    joints = motion.joints + rng.normal(0, 0.02, motion.joints.shape)
    motion = motion.with_(joints=joints)
    turn = Rotation.random(rng=rng).as_matrix() if not flat else np.array([[0.6, -0.8], [0.8, 0.6]])
    place = rng.normal(size=motion.coords)
    moved = motion.with_(joints=joints @ turn.T + place)
    one, other = (kineme.clean(m, smooth=smooth) for m in (motion, moved))
    seen = one.confidence > 0
    assert (seen == (other.confidence > 0)).all()
    assert one.notes == other.notes
    np.testing.assert_allclose(other.joints[seen], (one.joints @ turn.T + place)[seen], atol=1e-3)


# ----------------------------------------------------------------------------------------------------- root and feet


def test_the_root_keeps_to_a_smooth_path_and_the_body_goes_along():
    motion = moving(persons=1, frames=200)
    shake = 0.05 * np.sin(2 * np.pi * 8 * np.arange(200) / FPS)
    shaken = motion.with_(joints=motion.joints + shake[:, None, None, None])
    cleaned = kineme.clean(shaken, **OFF | {"root": 2.0})
    root = list(motion.layout.root)
    off = (cleaned.joints - motion.joints)[20:-20, 0][:, root]
    assert np.abs(off - off.mean(0)).max() < 0.01
    np.testing.assert_allclose(cleaned.bones(), shaken.bones(), atol=1e-4)
    assert dict(cleaned.notes) == {"frames in which the root was moved to a path of up to 2 Hz": 200}


def slide(motion: Motion, contacts) -> float:
    """How far feet move, frame by frame, while they stand: the joint of each that rests best."""
    total, count = 0.0, 0
    for side, stands in contacts.items():
        foot = [motion.layout.find(f"{side}_{name}") for name in ("ankle", "foot")]
        for person in range(motion.persons):
            both = stands[1:, person] & stands[:-1, person]
            steps = np.linalg.norm(np.diff(motion.joints[:, person][:, foot], axis=0), axis=-1)[both].min(1)
            total, count = total + steps.sum(), count + len(steps)
    return total / count


def test_feet_that_stand_are_kept_and_legs_keep_their_length():
    walks = [m for m in synth.generate(48, subjects=2, cameras=0, seed=3) if m.label == "walk"]
    rng = np.random.default_rng(0)
    for motion in walks:
        drift = 0.03 * np.sin(2 * np.pi * 0.8 * np.arange(len(motion)) / motion.fps)  # the body slides as a whole
        drifting = motion.with_(
            joints=motion.joints + drift[:, None, None, None] + rng.normal(0, 0.002, motion.joints.shape)
        )
        cleaned = kineme.clean(drifting, **OFF | {"feet": True})
        contacts = drifting.contacts()
        assert slide(cleaned, contacts) < 0.5 * slide(drifting, contacts)
        assert cleaned.notes["frames in which a foot was kept in its place"] > 0
        legs = [motion.layout.find(f"{side}_{name}") for side in ("left", "right") for name in ("knee", "ankle")]
        np.testing.assert_allclose(cleaned.bone_lengths()[:, :, legs], drifting.bone_lengths()[:, :, legs], atol=2e-3)
        others = [
            j
            for j in range(len(motion.layout))
            if motion.layout.canonical_names[j].rsplit("_", 1)[-1] not in ("knee", "ankle", "foot")
        ]
        np.testing.assert_allclose(cleaned.joints[:, :, others], drifting.joints[:, :, others], atol=1e-6)


def test_feet_of_a_layout_without_legs_are_refused():
    with pytest.raises(InputError, match="lacks a joint of the left leg"):
        kineme.clean(track(np.arange(30.0)), feet=True)


# ----------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"gap": -1}, r"clean.gap: -1.0"),
        ({"confidence": 1.5}, r"clean.confidence: 1.5.*0 to 1"),
        ({"smooth": "kalman"}, r"clean.smooth: 'kalman'.*butterworth, one_euro, none"),
        ({"cutoff": 0}, r"clean.cutoff"),
        ({"cutof": 3}, r"clean.cutof: no such setting.*cutoff"),
        ({"gap": float("nan")}, r"clean.gap"),
    ],
)
def test_settings_that_cannot_be(how, fault):
    with pytest.raises(InputError, match=fault):
        kineme.clean(moving(), **how)


def test_seconds_need_a_rate():
    bare = moving().with_(fps=None)
    with pytest.raises(InputError, match=r"no frames per second.*with_\(fps=30\)"):
        kineme.clean(bare)
    assert len(kineme.clean(bare, gap=0, smooth="none")) == len(bare)
    cleaned = clean.timeless(bare, Cleaning())
    assert (cleaned.joints == bare.joints).all()
    assert cleaned.notes == {clean.NO_RATE: 1}


def test_what_a_motion_told_before_is_kept():
    motion = moving().with_(notes={"torn frames": 2})
    assert kineme.clean(motion).notes["torn frames"] == 2


def test_people_who_are_absent_stay_absent():
    motion = moving()
    confidence = motion.confidence.copy()
    confidence[:, 1] = 0
    cleaned = kineme.clean(motion.with_(confidence=confidence), root=1.0, feet=True)
    assert not cleaned.confidence[:, 1].any()


def test_real_recordings_of_every_format(data_dir):
    """Every sample is cleaned: shapes stay, seen joints are finite, no joint is seen that was dropped nowhere."""
    files = list(io.sources(data_dir / "formats"))
    assert len(files) > 30
    cleaned = 0
    for file in files:
        try:
            motions = [m for m in io.read_each(file) if isinstance(m, Motion)][:2]
        except InputError:
            continue  # files that are no recordings
        for motion in motions:
            found = clean.timeless(motion.with_(notes={}), Cleaning(root=1.0))
            assert found.joints.shape == motion.joints.shape
            assert (found.confidence > 0).sum() >= 0.2 * (motion.confidence > 0.3).sum()
            cleaned += 1
    assert cleaned > 30
