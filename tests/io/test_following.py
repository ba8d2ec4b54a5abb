"""Who is who: by id where there are any, else by position; as the file has it where everybody keeps his place."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kineme.io import _following, _tracking


def bodies(places: np.ndarray, seed: int = 0, coords: int = 3) -> np.ndarray:
    """A body of 25 joints and about one unit at each of these places ``[D]`` along x: ``[D, 25, C]``."""
    body = np.random.default_rng(seed).uniform(-0.3, 0.3, (25, coords))
    joints = np.repeat(body[None], len(places), 0)
    joints[..., 0] += np.asarray(places, float)[:, None]
    return joints


def follow(at, places, ids=None):
    joints = bodies(places)
    return _following.follow(np.array(at), joints, np.ones(joints.shape[:2], bool), ids)


def plain(at: np.ndarray, joints: np.ndarray, seen: np.ndarray) -> list[int]:
    """By position alone, written from the definition: one frame after the other."""
    track, last = [-1] * len(at), {}
    size = [np.linalg.norm(np.ptp(body[there], axis=0)) for body, there in zip(joints, seen)]
    for now in sorted(set(at.tolist())):
        here = np.flatnonzero(at == now).tolist()
        cost = {}
        for name, old in last.items():
            for new in here if now - at[old] <= 30 else []:
                both, either = seen[old] & seen[new], seen[old] | seen[new]
                apart = np.linalg.norm(joints[old] - joints[new], axis=1) / max(size[old], size[new])
                if both.any():
                    cost[name, new] = np.where(both, apart, 0.5 * either).sum() / either.sum()
        while cost and min(cost.values()) <= 0.5:
            name, new = min(cost, key=cost.get)
            track[new] = name
            cost = {pair: value for pair, value in cost.items() if pair[0] != name and pair[1] != new}
        for new in here:
            if track[new] < 0:
                track[new] = max([-1, *track]) + 1
            last[track[new]] = new
    return track


@given(
    seed=st.integers(0, 10**6),
    persons=st.integers(1, 5),
    lost=st.sampled_from([0, 0.02, 0.3]),
    shuffled=st.booleans(),
    step=st.sampled_from([1, 9, 31]),
)
def test_by_position_as_written_from_the_definition(seed, persons, lost, shuffled, step):
    """Runs of frames that list everybody in the same order are taken at once; the result is the same."""
    rng = np.random.default_rng(seed)
    there = rng.random((25, persons)) >= lost
    at, who = np.nonzero(there)
    if shuffled:
        order = np.lexsort((rng.random(len(at)), at))
        at, who = at[order], who[order]
    walk = rng.normal(0, 0.08, (25, persons)).cumsum(0) + np.arange(persons) * 0.3
    joints = bodies(walk[at, who], seed) + rng.normal(0, 0.01, (len(at), 25, 3))
    seen = rng.random((len(at), 25)) > 0.1
    found, how, counts = _following.follow(at * step, joints, seen)
    assert (how, counts) == ("position", {})
    assert found.tolist() == plain(at * step, joints, seen)


def test_two_who_cross_by_id_with_one_detection_without():
    """Case 15-one-missing-track-id: in frame 0 the second one has no id yet.

    By position they would be exchanged where they meet.
    """
    x = np.stack([np.linspace(0, 2, 21), np.linspace(2, 0, 21)], 1).ravel()
    at, ids = np.repeat(np.arange(21), 2), [1, 2] * 21
    for without in ([], [1], [0, 1], [7], [20, 21, 23]):
        given_ids = [None if d in without else name for d, name in enumerate(ids)]
        track, how, counts = follow(at, x, given_ids)
        assert track.tolist() == [0, 1] * 21, without
        assert how == ("id and position" if without else "id")
        assert counts.get(_following.WITHOUT_ID, 0) == len(without)


@pytest.mark.parametrize("nothing", [None, -1, "", float("nan"), -1.0])
def test_what_is_no_id(nothing):
    assert follow([0, 0, 1, 1], [0, 2, 0, 2], [nothing] * 4)[1] == "position"
    assert follow([0, 0, 1, 1], [0, 2, 0, 2], [0, "b", nothing, "b"])[0].tolist() == [0, 1, 0, 1]


@given(seed=st.integers(0, 10**6), people=st.integers(1, 5), step=st.sampled_from([1, 7, 31]))
def test_who_comes_when_nobody_has_gone_is_followed_by_id_alone(seed, people, step):
    """Taken at once or detection by detection, the result is the same; ids that come and go among them."""
    rng = np.random.default_rng(seed)
    begin = rng.integers(0, 10, people)
    end = np.where(rng.random(people) < 0.5, 20, rng.integers(begin, 20))
    at, who = np.nonzero((np.arange(20)[:, None] >= begin) & (np.arange(20)[:, None] <= end))
    joints = bodies(rng.normal(0, 0.2, people)[who])
    seen = np.ones(joints.shape[:2], bool)
    ids = [f"person {k}" for k in who]
    track, how, counts = _following.follow(at * step, joints, seen, ids)
    slow, new = _following._follow(at * step, joints, seen, list(ids))
    assert track.tolist() == slow.tolist()
    assert (how, counts.get(_following.NEW_ID, 0)) == ("id and position" if new else "id", new)


def test_two_detections_of_one_id():
    """The nearer keeps it, wherever it is listed; the other opens a track of its own, or goes on with one."""
    for second in ([0.1, 3.0], [3.0, 0.1]):
        track, how, counts = follow([0, 1, 1, 2, 2], [0, *second, 0.2, 3.1], [7, 7, 7, 7, None])
        near = second.index(0.1)
        assert track[0] == track[1 + near] == track[3] == 0
        assert track[2 - near] == track[4] == 1
        assert (how, counts[_following.WITHOUT_ID]) == ("id and position", 2)


def test_a_new_id_goes_on_where_the_old_one_was_lost():
    """Lost for ten frames, then there again as 3: still the first. Not while the first is going to come again."""
    at, x = [0, 0, 1, 1, 2, 12, 12, 13, 13], [0, 2, 0, 2, 2, 2, 0, 2, 0]
    track, how, counts = follow(at, x, [1, 2, 1, 2, 2, 2, 3, 2, 3])
    assert track.tolist() == [0, 1, 0, 1, 1, 1, 0, 1, 0]
    assert (how, counts) == ("id and position", {_following.WITHOUT_ID: 0, _following.NEW_ID: 1})
    track, how, _ = follow([0, 1, 2, 2], [0, 0.1, 0.1, 0.2], [1, 3, 1, 3])
    assert track.tolist() == [0, 1, 0, 1]
    assert how == "id"
    assert follow([0, 50], [0, 0], [1, 3])[0].tolist() == [0, 1]  # too long ago


def listed(order: np.ndarray, frames: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two people at -0.6 and 0.6, listed as ``order`` [T, 2] says: joints, seen, ids."""
    joints = np.stack([bodies([-0.6, 0.6])] * frames)
    ids = np.array([[101, 202]] * frames, object)
    rows = np.arange(frames)[:, None]
    return joints[rows, order], np.ones((frames, 2, 25), np.float32), ids[rows, order]


def test_places_in_the_file_that_hold_stay():
    joints, seen, ids = listed(np.tile([1, 0], (8, 1)))
    seen[3:5, 0] = 0
    joints[seen == 0] = 0
    for names, how in ((ids, "id"), (None, "position")):
        found = _following.settle(joints, seen, names)
        assert found[0] is joints
        assert found[2] == {"followed": how}
        assert not any(found[3].values())


@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_people_who_change_places_are_put_back(known):
    """Case 14: from frame 4 on the other one is listed first."""
    order = np.repeat([[0, 1], [1, 0]], 4, axis=0)
    joints, seen, ids = listed(order)
    seen[:, :, 3] = 0.5
    if known == "some":
        ids[[0, 5, 7], [1, 0, 1]] = None
    found, confidence, columns, notes = _following.settle(joints, seen, None if known == "none" else ids)
    expected, _, _ = listed(np.tile([0, 1], (8, 1)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(confidence, seen)
    assert columns["followed"] == {"all": "id", "some": "id and position", "none": "position"}[known]
    assert notes[_following.PUT_BACK] == 1
    kept = _following.settle(joints, seen, None if known == "none" else ids, as_listed=True)
    assert kept[0] is joints
    assert kept[3] == ({} if known == "none" else {_following.LEFT_SO: 1})
    assert _following.settle(*listed(np.tile([0, 1], (8, 1))), as_listed=True)[3] == {_following.LEFT_SO: 0}


@given(seed=st.integers(0, 10**6))
def test_nobody_is_lost_when_places_are_put_back(seed):
    """However often places change and people come and go: as many places as before, everybody in one of them."""
    rng = np.random.default_rng(seed)
    joints, seen, _ = listed(rng.permuted(np.tile([0, 1], (8, 1)), axis=1))
    seen *= (rng.random((8, 2, 1)) > 0.3).astype(np.float32)
    joints[seen == 0] = 0
    found, confidence, _, _ = _following.settle(joints, seen)
    assert found.shape == joints.shape
    for before, after in zip(joints, found):
        assert sorted(before[:, 0, 0]) == sorted(after[:, 0, 0])
    assert confidence.sum() == seen.sum()
    t, place = np.nonzero(confidence[..., 0])
    side = found[t, place, :, 0].mean(1) > 0
    assert len(set(zip(side, place))) == len(set(side))  # each of the two in one place


def test_a_place_that_falls_free_is_taken_again():
    """First one person, long after him another, far away: one place, not two; at one time two."""
    near, far = np.ones((2, 17, 3), np.float32) * np.array([100, 900], np.float32)[:, None, None]
    near[:, :2] += np.arange(17)[:, None]
    far[:, :2] += np.arange(17)[:, None]
    assert _tracking.clip("x", range(90), [0, 1, 80, 81], np.stack([near, near, far, far]))[0].shape[1] == 1
    assert _tracking.clip("x", range(90), [0, 1, 1, 2], np.stack([near, near, far, far]))[0].shape[1] == 2
    for gap, tracks in ((_following.PATIENCE, [0, 0]), (_following.PATIENCE + 1, [0, 1])):
        pair = np.stack([near, near])[..., :2]
        assert _following.follow(np.array([0, gap]), pair, np.ones((2, 17), bool))[0].tolist() == tracks


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 6)), min_size=1, max_size=12))
def test_tracks_in_one_place_do_not_overlap(spans):
    at = np.array([t for a, b in spans for t in (a, a + b)])
    track = np.repeat(np.arange(len(spans)), 2)
    place = _following.arrange("x", at, track, np.arange(len(at), dtype=float), 22)
    assert (place[::2] == place[1::2]).all()
    taken = np.zeros((place.max() + 1, 22), int)
    for slot, (a, b) in zip(place[::2], spans):
        taken[slot, a : a + b + 1] += 1
    assert taken.max() == 1
    assert place[-1] == 0  # the one of most weight
    assert set(place) == set(range(place.max() + 1))


def test_long_recordings_take_little_time():
    """Six thousand frames of two people, of whom one is lost now and then."""
    rng = np.random.default_rng(0)
    there = np.stack([np.ones(6000, bool), np.arange(6000) % 500 > 3], 1)
    at, who = np.nonzero(there)
    joints = bodies(rng.normal(0, 0.001, (6000, 2)).cumsum(0)[at, who] + who)
    start = time.process_time()
    track, _, _ = _following.follow(at, joints, np.ones((len(at), 25), bool))
    assert time.process_time() - start < 2  # 0.3 s on an idle core
    np.testing.assert_array_equal(track, who)


def test_joints_that_do_not_count_may_be_infinite():
    """Found by scripts/fuzz.py: two bodies, the same joint of each infinite. No warning, and nobody changes places."""
    places = [0, 5, 0.1, 5.1, 5.2, 0.2]
    joints, at = bodies(places), np.array([0, 0, 1, 1, 2, 2])
    seen = np.ones(joints.shape[:2], bool)
    joints[:, 3], seen[:, 3] = np.inf, False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        track, how, _ = _following.follow(at, joints, seen)
    assert (track.tolist(), how) == ([0, 1, 0, 1, 1, 0], "position")
