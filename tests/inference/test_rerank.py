"""Dynamic time warping: against the textbook's loops, a warp that is known, and equal movements at other speeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kineme.inference import rerank
from kineme.motion import layout
from kineme.utils.errors import InputError


def loops(a, b, band):
    """Cost of the best path, cell by cell."""
    rows, columns = len(a), len(b)
    wide = max(band, 0.5 / max(min(rows, columns) - 1, 0.5)) + 1e-12
    total = np.full((rows, columns), np.inf)
    for i in range(rows):
        for j in range(columns):
            if abs(i / max(rows - 1, 1) - j / max(columns - 1, 1)) > wide:
                continue
            before = [total[p, q] for p, q in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if p >= 0 and q >= 0]
            total[i, j] = ((a[i] - b[j]) ** 2).sum() / 2 + (min(before) if before else 0)
    return total[-1, -1]


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.1, 0.25, 1.0]), st.integers(0, 2**32 - 1))
def test_the_cost_is_that_of_the_textbook(rows, columns, band, seed):
    rng = np.random.default_rng(seed)
    a, others = rng.normal(size=(rows, 3)), rng.normal(size=(4, columns, 3))
    total, steps = rerank._accumulated(rerank._distances(a, others), band)
    np.testing.assert_allclose(total[:, -1, -1], [loops(a, b, band) for b in others])
    assert ((steps[:, -1, -1] >= max(rows, columns)) & (steps[:, -1, -1] < rows + columns)).all()
    np.testing.assert_allclose(rerank.costs(a, others, band), total[:, -1, -1] / steps[:, -1, -1])
    middle, cost = rerank.path(a, others[0], band)
    assert cost == pytest.approx(rerank.costs(a, others, band)[0])
    assert len(middle) == rows
    assert (np.diff(middle) >= 0).all()
    assert ((middle >= 0) & (middle < columns)).all()


def test_a_known_warp_is_found():
    time = np.linspace(0, 1, 120)
    warp = time + 0.12 * np.sin(2 * np.pi * time) / 2
    track = np.stack([np.sin(5 * time), np.cos(3 * time), time], 1)
    late = np.stack([np.interp(warp, time, axis) for axis in track.T], 1)  # late(t) = track(warp(t))
    found, cost = rerank.path(late, track)
    assert np.abs(found - warp * 119).max() <= 2
    assert cost < 1e-4


def test_a_movement_at_another_speed_is_nearer_than_another_movement():
    time = np.linspace(0, 1, 40)

    def move(speed, phase):
        at = 7 * time**speed + phase
        return rerank.cosine(np.stack([np.sin(at), np.cos(at), 0.3 * np.sin(2 * at)], 1))

    near, far = rerank.costs(move(1.0, 0), np.stack([move(1.4, 0), move(1.0, 2)]))
    straight = 1 - (move(1.0, 0) * move(1.4, 0)).sum(1).mean()
    assert near < 0.1 * straight
    assert near < 0.1 * far


def test_poses_do_not_know_where_a_body_is_or_how_large():
    joints = np.random.default_rng(0).normal(size=(2, 6, 1, 25, 3))
    skeleton = layout.layout("ntu25")
    there = 3 * joints + np.arange(6)[None, :, None, None, None]
    np.testing.assert_allclose(rerank.poses(joints, skeleton), rerank.poses(there, skeleton), atol=1e-9)
    assert rerank.poses(joints, skeleton).shape == (2, 6, 75)


def test_what_cannot_be_aligned_is_refused():
    for a, others in ((np.ones((3, 2)), np.ones((1, 3, 3))), (np.ones((0, 2)), np.ones((1, 3, 2)))):
        with pytest.raises(InputError, match="alignment"):
            rerank.costs(a, others)
