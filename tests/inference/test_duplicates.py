"""Near-identical clips: equal numbers, moved, turned and scaled copies, parts; and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme.inference import duplicates
from kineme.inference.duplicates import LINKED, MOTION, NUMBERS, PART, SPEED, find
from kineme.utils.errors import InputError

SOURCES = list(kineme.synth.generate(12, subjects=6, cameras=1, seed=4, noise=0.5))


def moved(motion, scale=1.0, noise=0.0, seed=0):
    """A copy that is turned about the vertical, moved and scaled."""
    turn = np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]])
    joints = scale * (motion.joints @ turn.T + [3, 0, -2])
    joints = joints + noise * np.random.default_rng(seed).normal(size=joints.shape)
    return motion.with_(joints=joints.astype(np.float32))


def stored(motions):
    return kineme.store([m.with_(source=f"clip{i}") for i, m in enumerate(motions)], normalise="none")


def alike(store):
    """Vectors that make every clip a neighbour of every other one."""
    return np.ones((len(store), 2), np.float32)


def test_every_kind_of_copy_is_found():
    a, b, c, d = (SOURCES[i] for i in (0, 1, 2, 3))
    e = SOURCES[4]
    faster = e.with_(joints=e.joints[::2], confidence=e.confidence[::2])
    store = stored([a, b, a, moved(b, 1.3), c, c.slice(10, len(c) - 5), moved(d.slice(0, 40)), d, e, moved(faster)])
    groups = {group.first: group.copies for group in find(store, alike(store))}
    assert {first: [(each.row, each.kind, each.shift) for each in copies] for first, copies in groups.items()} == {
        0: [(2, NUMBERS, 0)],
        1: [(3, MOTION, 0)],
        4: [(5, PART, 10)],
        7: [(6, PART, 0)],
        8: [(9, SPEED, 0)],
    }
    assert all(each.error < 0.01 for copies in groups.values() for each in copies)


def test_parts_of_one_recording_that_overlap():
    whole = max(SOURCES, key=len)
    length = len(whole)
    assert length >= 60
    store = stored([whole.slice(0, 40), whole.slice(15, 55), SOURCES[0] if SOURCES[0] is not whole else SOURCES[1]])
    (group,) = find(store, alike(store))
    assert (group.first, group.copies[0].kind, group.copies[0].shift) == (0, PART, 15)
    store = stored([whole.slice(15, 55), whole.slice(0, 40)])
    (group,) = find(store, alike(store))
    assert group.copies[0].shift == -15


def test_a_chain_of_overlaps_is_one_group():
    whole = max(SOURCES, key=len)
    store = stored([whole.slice(k, k + 24) for k in (0, 11, 22, 33)])
    (group,) = find(store, alike(store))
    assert [(each.row, each.kind) for each in group.copies] == [(1, PART), (2, LINKED), (3, LINKED)]


def test_noise_within_the_tolerance():
    a = SOURCES[0]
    size = float(np.abs(a.joints - a.joints.mean((0, 1, 2))).mean())
    store = stored([a, moved(a, noise=0.002 * size)])
    assert len(find(store, alike(store), tolerance=0.01)) == 1
    assert find(store, alike(store), tolerance=1e-5) == []


def test_other_performances_are_no_copies():
    store = stored(SOURCES)
    assert find(store, alike(store)) == []


def test_very_short_clips_are_compared_by_their_numbers():
    short = [motion.slice(0, 5) for motion in SOURCES[:3]]
    store = stored([*short, short[1], moved(short[2])])
    (group,) = find(store, alike(store))
    assert (group.first, [(each.row, each.kind) for each in group.copies]) == (1, [(3, NUMBERS)])


def test_neighbours_only_are_compared(monkeypatch):
    monkeypatch.setattr(duplicates, "NEIGHBOURS", 1)
    store = stored([SOURCES[0], SOURCES[1], moved(SOURCES[0])])
    far = np.array([[1, 0], [0.99, 0.1], [-1, 0.1]], np.float32)
    near = np.array([[1, 0], [-0.99, 0.1], [1, 0.1]], np.float32)
    assert find(store, far) == []
    assert len(find(store, near)) == 1
    said = []
    find(store, near, tell=lambda done, total: said.append((done, total)))
    assert said[-1][0] == said[-1][1] > 0


def test_a_tolerance_is_above_nothing():
    with pytest.raises(InputError, match="--tolerance"):
        find(stored(SOURCES[:2]), np.ones((2, 1)), tolerance=0.0)
