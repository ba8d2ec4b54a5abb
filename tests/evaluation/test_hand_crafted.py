"""Hand-crafted features: what they do not see, and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.clips import DEEP, FLAT, clips, some
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.evaluation import hand_crafted
from kineme.motion import layout as skeleton
from kineme.motion.motion import UNSURE
from kineme.utils.errors import InputError


def features(store, upright: bool = False) -> np.ndarray:
    return hand_crafted.HandCrafted(upright).embed(store)


def rotation(angles: np.ndarray) -> np.ndarray:
    turn = np.eye(3)
    for axis, (cos, sin) in enumerate(zip(np.cos(angles), np.sin(angles))):
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[i, i] = one[j, j] = cos
        one[i, j], one[j, i] = -sin, sin
        turn = turn @ one
    return turn


angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3).map(np.array)
shifts = st.tuples(*[st.floats(-5, 5)] * 3).map(np.array)


@settings(max_examples=25, deadline=None)
@given(angles, shifts)
def test_place_and_direction_are_not_seen(turn, shift):
    plain, moved = some(persons=2), [clip @ rotation(turn).T + shift for clip in some(persons=2)]
    np.testing.assert_allclose(features(clips(plain)), features(clips(moved)), atol=2e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3.1, 3.1), shifts, st.sampled_from("xyz"))
def test_upright_form_turns_about_the_stores_up_axis(angle, shift, axis):
    about = np.eye(3)["xyz".index(axis)] * angle
    plain, moved = some(), [clip @ rotation(about).T + shift for clip in some()]
    first, second = (features(clips(joints, up=f"-{axis}"), upright=True) for joints in (plain, moved))
    np.testing.assert_allclose(first, second, atol=2e-4)


def test_upright_form_sees_a_lean():
    leaning = [clip @ rotation(np.array([0.5, 0, 0])).T for clip in some()]
    assert np.abs(features(clips(some()), True) - features(clips(leaning), True)).max() > 0.1


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 100), st.tuples(st.floats(-500, 500), st.floats(-500, 500)).map(np.array))
def test_size_and_place_in_the_picture_are_not_seen(scale, shift):
    plain, moved = some(coords=2), [scale * clip + shift for clip in some(coords=2)]
    np.testing.assert_allclose(features(clips(plain, layout=FLAT)), features(clips(moved, layout=FLAT)), atol=0.02)


def test_first_frame_stands_upright_at_the_origin_and_travel_stays():
    still = np.repeat(some(1)[0][:1], 40, axis=0)
    walking = still + np.linspace(0, 3, 40)[:, None, None, None] * np.array([0.0, 0, 1])
    placed = features(clips([still, walking])).reshape(2, 32, 20, 3)
    words = DEEP.canonical_names
    root, head = placed[:, :, words.index("pelvis")], placed[:, 0, words.index("head")]
    np.testing.assert_allclose(root[0], 0, atol=1e-5)
    np.testing.assert_allclose(head[:, [0, 2]], 0, atol=1e-5)
    assert (head[:, 1] > 0).all()
    across = placed[:, 0, words.index("left_shoulder")] - placed[:, 0, words.index("right_shoulder")]
    np.testing.assert_allclose(across[:, 2], 0, atol=1e-5)
    assert (across[:, 0] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(root[1], axis=-1), np.linspace(0, 3, 32), atol=1e-4)


def test_moments_of_a_clip():
    """32 frames stay, others are taken on straight lines between frames, first and last among them."""
    line = np.linspace(0, 1, 100)[:, None, None, None] * np.ones((1, 1, 20, 3)) + some(1, seed=1)[0][:1]
    clip = some(1, seed=2)[0]
    clip = np.concatenate([clip] * 40)[:32]
    joints, there = hand_crafted._sampled(clips([clip, line, line[:1]]), np.array([2, 1, 0]))
    np.testing.assert_allclose(joints[2], clip, atol=1e-6)
    moments = np.linspace(0, 1, 32)[:, None, None, None] * np.ones((1, 20, 3))
    np.testing.assert_allclose(joints[1] - line[:1], moments, atol=1e-6)
    np.testing.assert_allclose(joints[0], np.repeat(line[:1], 32, axis=0), atol=1e-6)
    assert there.all()


@pytest.mark.parametrize("coords", [2, 3])
def test_missing_joints_are_interpolated_inside_their_clip(coords):
    """Straight motion is restored exactly, whatever stands in the gaps and in the clips beside it."""
    layout = DEEP if coords == 3 else FLAT
    rng = np.random.default_rng(0)
    start, speed = rng.normal(size=(2, 1, 1, len(layout), coords))
    whole = start + np.arange(20)[:, None, None, None] * speed
    seen = rng.random((20, 1, len(layout))) > 0.4
    seen[[0, -1]] = True
    broken = np.where(seen[..., None], whole, 0)
    noise = [rng.normal(size=whole.shape) * 100 for _ in range(2)]
    flags = [rng.random(seen.shape) > 0.5, seen, rng.random(seen.shape) > 0.5]
    found = features(clips([noise[0], broken, noise[1]], flags, layout))[1]
    np.testing.assert_allclose(found, features(clips([whole], layout=layout))[0], rtol=1e-4, atol=2e-3)


def test_before_the_first_and_after_the_last_sight_a_joint_rests():
    joints = np.arange(6.0)[:, None, None, None] * np.ones((6, 1, 1, 1))
    seen = np.array([0, 0, 1, 0, 1, 0], bool)[:, None, None]
    filled = hand_crafted._filled(joints, seen, np.zeros(6, int), np.full(6, 6))
    assert filled.ravel().tolist() == [2, 2, 2, 3, 4, 4]


def test_joints_and_people_that_never_appear_are_zero():
    joints, seen = some(3, persons=2), [np.ones(clip.shape[:3]) for clip in some(3, persons=2)]
    seen[0][:, 1] = 0  # the second person is absent
    seen[1][:, 0] = 0  # the first
    seen[2][:, :, 7] = 0  # one joint
    found = features(clips(joints, seen)).reshape(3, 32, 2, 20, 3)
    assert not found[0, :, 1].any()
    assert found[0, :, 0].any()
    assert not found[1, :, 0].any()
    np.testing.assert_allclose(found[1, 0, 1, 0], 0, atol=1e-6)  # the second one's root is the origin then
    assert not found[2, :, :, 7].any()
    alone = features(clips([clip[:, :1] for clip in joints[:1]]))
    np.testing.assert_allclose(found[0, :, 0].ravel(), alone[0], atol=1e-5)


@pytest.mark.parametrize("up", ["+y", "-z", None])
@pytest.mark.parametrize("upright", [False, True])
def test_bodies_without_directions(up, upright):
    """All joints in one place, on the up axis, or unseen: nothing to turn by, no division by zero."""
    point, line, nothing = np.zeros((5, 1, 20, 3)), np.zeros((5, 1, 20, 3)), np.zeros((5, 1, 20, 3))
    line[..., 1] = np.arange(20)
    seen = [np.ones((5, 1, 20)), np.ones((5, 1, 20)), np.zeros((5, 1, 20))]
    found = features(clips([point, line, nothing], seen, up=up), upright)
    assert np.isfinite(found).all()
    assert not found[[0, 2]].any()
    distance = np.linalg.norm(found[1].reshape(32, 20, 3), axis=-1)
    np.testing.assert_allclose(distance, np.tile(np.arange(20), (32, 1)), rtol=1e-5)


@pytest.mark.parametrize("name", skeleton.layouts())
def test_every_layout(name):
    layout = skeleton.layout(name)
    rng = np.random.default_rng(0)
    for coords in (2, 3):
        store = clips([rng.normal(size=(9, 2, len(layout), coords)) for _ in range(3)], layout=layout)
        found = features(store)
        assert found.shape == (3, 32 * 2 * len(layout) * coords)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_blocks_and_rows(monkeypatch):
    store = clips(some(9))
    whole = features(store)
    monkeypatch.setattr(hand_crafted, "BLOCK", 50)
    np.testing.assert_array_equal(features(store), whole)
    rows = np.array([7, 0, 3, 3])
    np.testing.assert_array_equal(hand_crafted.HandCrafted(False).embed(store, rows), whole[rows])


@settings(max_examples=25, deadline=None)
@given(angles, shifts)
def test_where_each_frame_has_its_own_origin_travel_is_not_seen(turn, shift):
    walk = [np.linspace(0, 1, len(clip))[:, None, None, None] * shift for clip in some()]
    plain, moved = clips(some()), clips([clip + step for clip, step in zip(some(), walk)])
    for form in ({"each_frame": True}, {"each_frame": True, "turned": False}):
        first, second = (hand_crafted.HandCrafted(**form).embed(store) for store in (plain, moved))
        np.testing.assert_allclose(first, second, atol=2e-4)
    turned = clips([clip @ rotation(turn).T for clip in some()])
    placed = hand_crafted.HandCrafted(turned=False).embed(turned).reshape(4, 32, 1, 20, 3)
    expected = hand_crafted.HandCrafted(turned=False).embed(plain).reshape(4, 32, 1, 20, 3) @ rotation(turn).T
    np.testing.assert_allclose(placed, expected, atol=2e-4)  # bodies stay as they stand


def test_in_a_picture_each_frame_has_its_own_centre():
    walk = [np.linspace(0, 9, len(clip))[:, None, None, None] for clip in some(coords=2)]
    moved = clips([clip + step for clip, step in zip(some(coords=2), walk)], layout=FLAT)
    found = hand_crafted.HandCrafted(each_frame=True).embed(moved).reshape(4, 32, 13, 2)
    np.testing.assert_allclose(found.mean(2), 0, atol=1e-5)
    assert np.abs(hand_crafted.HandCrafted().embed(moved).reshape(4, 32, 13, 2).mean(2)).max() > 0.1


def test_joints_that_nobody_vouches_for_can_be_taken_as_missing():
    whole, seen = some(1), [np.ones(some(1)[0].shape[:3])]
    seen[0][1:-1, :, 5] = UNSURE
    gone = [np.where(seen[0] == UNSURE, 0, 1)]
    plain, doubted, missing = clips(whole), clips(whole, seen), clips(whole, gone)
    np.testing.assert_array_equal(features(doubted), features(plain))
    np.testing.assert_array_equal(hand_crafted.HandCrafted(vouched=True).embed(doubted), features(missing))
    assert np.abs(features(missing) - features(plain)).max() > 0.01


def test_what_is_refused():
    with pytest.raises(InputError, match="random crops"):
        hand_crafted.HandCrafted(False).embed(clips(some()), crop=(0.5, 1.0, 0))
