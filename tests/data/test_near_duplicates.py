"""What counts as a near-duplicate: moved, turned, scaled, shifted and faster copies do, other performances do not."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme.data import near_duplicates
from kineme.data.near_duplicates import TOLERANCE, compared
from kineme.motion.motion import Motion

SOURCES = list(kineme.synth.generate(12, subjects=6, cameras=1, seed=4, noise=0.5))
WALK = max(SOURCES, key=len)


def moved(motion: Motion, scale: float = 1.0, noise: float = 0.0) -> Motion:
    """A copy that is turned about the vertical, moved and scaled."""
    turn = np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]])
    joints = scale * (motion.joints @ turn.T + [3, 0, -2])
    joints = joints + noise * np.random.default_rng(0).normal(size=joints.shape)
    return motion.with_(joints=joints.astype(np.float32))


def at_speed(motion: Motion, speed: float) -> Motion:
    """The same, so many times as fast, between its frames by straight lines."""
    moment = np.arange(0, len(motion) - 1, speed)
    before, part = moment.astype(int), (moment % 1)[:, None, None, None]
    joints = motion.joints[before] * (1 - part) + motion.joints[before + 1] * part
    confidence = motion.confidence[before] * motion.confidence[before + 1]
    return motion.with_(joints=joints.astype(np.float32), confidence=confidence)


def told(*motions: Motion) -> near_duplicates.Compared:
    """The first two, compared."""
    store = kineme.store([m.with_(source=f"clip{i}") for i, m in enumerate(motions)], normalise="none")
    (found,) = compared(store, np.array([[0, 1]]))
    return found


@pytest.mark.parametrize(
    ("other", "shift", "stretched"),
    [
        (WALK, 0, False),
        (moved(WALK, 1.3), 0, False),
        (WALK.slice(10, len(WALK) - 5), 10, False),
        (moved(WALK.slice(0, 40)), 0, False),
        (moved(WALK, noise=0.001), 0, False),
        (at_speed(WALK, 2.0), 0, True),
        (moved(at_speed(WALK, 0.7)), 0, True),
    ],
    ids=["itself", "moved", "part", "moved part", "noise", "twice as fast", "slower, moved"],
)
def test_a_near_duplicate_is_told(other, shift, stretched):
    found = told(WALK, other)
    assert found.error[0] <= TOLERANCE
    assert (found.shift[0], bool(found.stretched[0])) == (shift, stretched)


def test_parts_of_one_recording():
    found = told(WALK.slice(15, 55), WALK.slice(0, 40))
    assert (found.shift[0], found.error[0] <= TOLERANCE) == (-15, True)
    assert told(WALK.slice(0, 40), WALK.slice(25, 65)).error[0] > TOLERANCE  # less than half is shared


def test_other_performances_are_none():
    store = kineme.store([m.with_(source=f"clip{i}") for i, m in enumerate(SOURCES)], normalise="none")
    every = np.stack(np.triu_indices(len(SOURCES), 1), 1)
    errors = np.concatenate([some.error for some in compared(store, every)])
    assert len(errors) == len(every)
    assert errors.min() > 2 * TOLERANCE


def test_the_error_is_the_share_of_noise():
    """Noise of 2 mm in each coordinate: distances of on average half a metre differ by 2 * sqrt(2) mm."""
    error = told(WALK, WALK.with_(joints=moved(WALK, noise=0.002).joints)).error[0]
    assert 0.001 < error < 0.01
    assert told(WALK, moved(WALK, noise=0.004)).error[0] == pytest.approx(2 * error, rel=0.05)


def test_joints_that_one_of_two_lacks_do_not_count():
    confidence = WALK.confidence.copy()
    confidence[5:20, 0, [3, 7, 11]] = 0
    hidden = WALK.with_(joints=np.where(confidence[..., None] > 0, WALK.joints, 0), confidence=confidence)
    assert told(WALK, hidden).error[0] < 1e-6
    assert told(WALK, at_speed(hidden, 2.0)).error[0] <= TOLERANCE


def test_nothing_in_common():
    confidence = np.zeros_like(WALK.confidence)
    confidence[0, 0, 0] = 1
    assert told(WALK, WALK.with_(confidence=confidence)).error[0] == 1


def test_two_people():
    """The same movements a step apart are not the same."""
    pair = next(iter(kineme.synth.generate(1, ["push"], cameras=1, seed=2)))
    nearer = pair.joints.copy()
    nearer[:, 1] += [0.5, 0, 0]
    assert pair.persons == 2
    assert told(pair, moved(pair)).error[0] <= TOLERANCE
    assert told(pair, pair.with_(joints=nearer)).error[0] > TOLERANCE


def test_two_dimensions():
    flat = WALK.with_(joints=WALK.joints[..., :2].copy())
    assert told(flat, flat.with_(joints=2 * flat.joints + 100)).error[0] <= TOLERANCE


def test_clips_that_are_too_short():
    assert told(WALK, WALK.slice(0, 7)).error[0] == 1
    assert told(WALK.slice(0, 8), WALK.slice(0, 8)).error[0] < 1e-6


def test_long_clips_in_blocks(monkeypatch):
    """Batches change nothing; of clips that are longer than the limit every second frame is compared."""
    motions = [WALK, WALK.slice(8, len(WALK)), *SOURCES[1:6]]
    store = kineme.store([m.with_(source=f"clip{i}") for i, m in enumerate(motions)], normalise="none")
    pairs = np.stack(np.triu_indices(len(motions), 1), 1)
    whole = list(compared(store, pairs))
    monkeypatch.setattr(near_duplicates, "CELLS", 1)
    blocks = list(compared(store, pairs))
    assert [some.done for some in blocks] == list(range(1, len(pairs) + 1))
    assert np.allclose(*(np.concatenate([some.error for some in each]) for each in (blocks, whole)))
    assert len(whole) < len(blocks)
    monkeypatch.setattr(near_duplicates, "LONGEST", len(WALK) - 1)
    (some,) = compared(store, pairs[:1])
    assert (some.shift[0], some.error[0] <= TOLERANCE) == (8, True)


def test_no_pairs():
    assert list(compared(kineme.store(SOURCES[:2]), np.empty((0, 2), np.int64))) == []
