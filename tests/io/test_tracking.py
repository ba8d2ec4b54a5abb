"""People followed over frames: one person in one place, whoever is listed first, lost for a while, or made up."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kineme.io import _following, _tracking
from kineme.motion.motion import UNSURE
from kineme.utils.errors import InputError


def crowd(rng: np.random.Generator, frames: int, persons: int, lost: float = 0.0):
    """People who stroll about, 300 px apart: (frame, who, points [D, 17, 3]) in shuffled order within each frame."""
    body = rng.uniform(-60, 60, (persons, 17, 2))
    walk = rng.normal(size=(frames, persons, 1, 2)).cumsum(0) + 300.0 * np.arange(persons)[:, None, None] + 100
    joints = walk + body + rng.normal(size=(frames, persons, 17, 2))
    frame, who = np.nonzero(rng.random((frames, persons)) >= lost)
    order = np.lexsort((rng.random(len(frame)), frame))
    frame, who = frame[order], who[order]
    points = np.concatenate([joints, rng.uniform(0.2, 1, (frames, persons, 17, 1))], -1)[frame, who]
    return frame, who, points.astype(np.float32)


@given(seed=st.integers(0, 10**6), frames=st.integers(2, 12), persons=st.integers(1, 4), lost=st.sampled_from([0, 0.3]))
def test_everybody_stays_in_one_place(seed, frames, persons, lost):
    frame, who, points = crowd(np.random.default_rng(seed), frames, persons, lost)
    if not len(frame):
        return
    track, _, _ = _following.follow(frame, points[..., :2], points[..., 2] > 0)
    assert len(set(zip(track, who))) == len(set(track)) == len(set(who))
    joints, seen, extra = _tracking.clip("x", range(frames), frame, points)
    assert joints.shape[0] == frames
    assert extra["followed"] == "position"
    assert sorted(map(tuple, joints[seen > 0])) == sorted(map(tuple, points[..., :2].reshape(-1, 2)))
    held = {
        name: {
            slot
            for t, body in zip(frame[who == name], points[who == name])
            for slot in range(joints.shape[1])
            if np.array_equal(joints[t, slot], body[:, :2])
        }
        for name in set(who)
    }
    assert all(len(slots) == 1 for slots in held.values())
    most = max(held, key=lambda name: points[who == name, :, 2].astype(float).sum())
    assert held[most] == {0}


@given(seed=st.integers(0, 10**6))
def test_the_order_within_a_frame_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    frame, _, points = crowd(rng, 8, 3, 0.2)
    expected = _tracking.clip("x", range(8), frame, points)
    order = rng.permutation(len(frame))
    found = _tracking.clip("x", range(8), frame[order], points[order])
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_people_who_pass_each_other():
    """They swap places in the picture; by identity, by position, and where the detector lists them left to right."""
    rng = np.random.default_rng(0)
    body = rng.uniform(-40, 40, (2, 17, 2))
    x = np.stack([np.linspace(0, 400, 41), np.linspace(400, 0, 41)], 1)
    joints = body + np.stack([x, np.tile([0.0, 60.0], (41, 1))], -1)[:, :, None]
    order = np.argsort(x, axis=1, kind="stable")
    points = np.concatenate([np.take_along_axis(joints, order[..., None, None], 1), np.ones((41, 2, 17, 1))], -1)
    frame = np.repeat(np.arange(41), 2)
    for ids in (None, order.ravel().tolist()):
        found, _, extra = _tracking.clip("x", range(41), frame, points.reshape(-1, 17, 3).astype(np.float32), ids)
        assert extra["followed"] == ("position" if ids is None else "id")
        first = found[0, 0, 0, 0] == np.float32(joints[0, 0, 0, 0])
        np.testing.assert_array_equal(found, joints[:, :: 1 if first else -1].astype(np.float32))


def test_a_ghost_takes_nobodys_place():
    """Three joints of a ghost lie nearer than the body's own a frame ago, as in the real recording Kick_18."""
    rng = np.random.default_rng(1)
    body = np.concatenate([rng.uniform(0, 200, (25, 2)), np.ones((25, 1))], 1)
    ghost = body.copy()
    ghost[3:] = 0
    later = body + np.array([30, 0, 0])
    ghost[:3, :2] = later[:3, :2]
    points = np.stack([body, body, ghost, later]).astype(np.float32)
    joints, seen, _ = _tracking.clip("x", range(3), [0, 1, 1, 2], points)
    assert (seen[:, 0] > 0).all()
    np.testing.assert_array_equal((seen[:, 1] > 0).sum(1), [0, 3, 0])
    np.testing.assert_array_equal(joints[2, 0], later[:, :2].astype(np.float32))


def test_who_is_always_alone_is_one_person():
    """A cut in a film, or few frames a second: no second place that would be empty half of the time."""
    points = np.ones((6, 17, 3), np.float32)
    points[..., :2] = np.random.default_rng(6).uniform(0, 50, (17, 2)) + 900 * (np.arange(6) % 2)[:, None, None]
    joints, _, _ = _tracking.clip("x", range(6), range(6), points)
    np.testing.assert_array_equal(joints[:, 0], points[..., :2])
    assert _following.follow(np.arange(6), points[..., :2], points[..., 2] > 0)[0].max() == 1


def test_ids_count_where_there_are_any():
    frame, who, points = crowd(np.random.default_rng(2), 5, 2)
    names = np.array(["b", "a"])[who].tolist()
    expected = _tracking.clip("x", range(5), frame, points, names)
    assert expected[2]["followed"] == "id"
    notes: dict[str, int] = {"before": 1}
    found = _tracking.clip("x", range(5), frame, points, [None, *names[1:]], notes=notes)
    assert found[2]["followed"] == "id and position"
    assert notes == {"before": 1, _following.WITHOUT_ID: 1, _following.NEW_ID: 0}
    np.testing.assert_array_equal(found[0], expected[0])
    assert _tracking.clip("x", range(5), frame, points, [None] * len(names))[2]["followed"] == "position"


def test_every_third_frame():
    points = np.ones((4, 17, 3), np.float32)
    joints, seen, extra = _tracking.clip("x", [7, 10, 16, 19], [7, 10, 16, 19], points)
    assert (extra["first_frame"], extra["frame_step"]) == (7, 3)
    assert (seen[:, 0, 0] > 0).tolist() == [True, True, False, True, True]
    assert joints.shape == (5, 1, 17, 2)


def test_what_is_too_much():
    one = np.ones((1, 17, 3), np.float32)
    with pytest.raises(InputError, match=r"take: 3 frames with numbers from 0 to 1000000000"):
        _tracking.clip("take", [0, 1, 10**9], [0], one)
    with pytest.raises(InputError, match="129 people in one frame"):
        _tracking.clip("take", [0], [0] * 129, np.repeat(one, 129, 0))
    with pytest.raises(InputError, match="nobody is seen in any of 2 frames"):
        _tracking.clip("take", [0, 1], [0], one * [1, 1, 0])
    with pytest.raises(InputError, match="no frame"):
        _tracking.clip("take", [], [], one[:0])
    many = np.concatenate([np.zeros(99, int), np.arange(20_000)])
    with pytest.raises(InputError, match="20000 frames of more than 98 people"):
        _tracking.clip("take", np.arange(20_000), many, np.repeat(one, len(many), 0), [*range(99), *["a"] * 20_000])


def test_long_recordings_take_little_time():
    frame, _, points = crowd(np.random.default_rng(4), 3000, 3, 0.1)
    start = time.process_time()
    _tracking.clip("x", range(3000), frame, points)
    assert time.process_time() - start < 3  # 0.3 s on an idle core
    scattered = np.random.default_rng(5).uniform(0, 1e6, (6000, 17, 3)).astype(np.float32)  # nobody is anybody else
    start = time.process_time()
    _tracking.clip("x", range(600), np.repeat(np.arange(600), 10), scattered)
    assert time.process_time() - start < 6


def test_confidence_above_one_and_below_zero():
    points = np.ones((1, 17, 3), np.float32)
    points[0, 0, 2], points[0, 1, 2] = 1.2, -0.1
    _, seen, _ = _tracking.clip("x", [0], [0], points)
    assert (seen[0, 0, :3]).tolist() == [1, UNSURE, 1]


def test_what_has_a_place_but_no_score_is_not_absent():
    points = np.ones((2, 17, 3), np.float32)
    points[0, :3, 2] = 0
    points[0, 0, :2], points[0, 1, :2] = (0, 0), (0, 3)
    points[1, :, 2] = 0  # nobody
    joints, seen, _ = _tracking.clip("x", [0, 1], [0, 1], points)
    assert seen[:, 0, :4].tolist() == [[0, UNSURE, UNSURE, 1], [0, 0, 0, 0]]
    assert joints[0, 0, :3].tolist() == [[0, 0], [0, 3], [1, 1]]
