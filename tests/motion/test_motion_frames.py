"""Frames of a motion as in a list, seconds, one person's arrays, layouts by name."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme.utils.errors import InputError

RNG = np.random.default_rng(0)


@pytest.fixture
def motion():
    seen = RNG.uniform(0, 1, size=(40, 2, 20)).astype(np.float32)
    return kineme.Motion(RNG.normal(size=(40, 2, 20, 3)), "kinect20", seen, fps=20, label="wave", source="clip")


@pytest.mark.parametrize(
    "frames",
    [
        slice(10, 30),
        slice(None, 5),
        slice(-5, None),
        slice(30, 99),
        slice(None),
        slice(None, None, 3),
        slice(None, None, -1),
        slice(np.int64(2), np.int64(4)),
    ],
    ids=str,
)
def test_slices_are_those_of_numpy(motion, frames):
    part = motion[frames]
    np.testing.assert_array_equal(part.joints, motion.joints[frames])
    np.testing.assert_array_equal(part.confidence, motion.confidence[frames])
    assert part.fps == 20 / abs(frames.step or 1)
    assert (part.label, part.source, part.layout) == (motion.label, motion.source, motion.layout)


def test_single_frames(motion):
    assert len(motion[7]) == 1
    np.testing.assert_array_equal(motion[-1].joints[0], motion.joints[-1])
    assert [len(frame) for frame in motion] == [1] * 40
    for frame in (40, -41):
        with pytest.raises(IndexError):
            motion[frame]


@pytest.mark.parametrize("frames", [slice(5, 5), slice(40, 50), slice(1.0, 3), slice(0, 9, 0), "a", None, [1, 2], True])
def test_frames_that_are_none(motion, frames):
    with pytest.raises(InputError, match="clip"):
        motion[frames]


@pytest.mark.parametrize(
    ("start", "end", "frames"), [(0, 1, (0, 20)), (0.5, 1.25, (10, 25)), (1.9, 99, (38, 40)), (0.01, 0.06, (1, 2))]
)
def test_seconds(motion, start, end, frames):
    np.testing.assert_array_equal(motion.between(start, end).joints, motion.joints[slice(*frames)])


@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (-1, 1), (2.0, 3.0), (float("nan"), 1)])
def test_seconds_that_are_none(motion, start, end):
    with pytest.raises(InputError, match="seconds"):
        motion.between(start, end)
    with pytest.raises(InputError, match="frames per second"):
        motion.with_(fps=None).between(0, 1)


def test_one_person_and_layout_by_name():
    joints = RNG.normal(size=(6, 25, 3))
    seen = np.ones((6, 25))
    seen[2, 3] = 0
    one = kineme.Motion(joints, "ntu25", seen)
    whole = kineme.Motion(joints[:, None], kineme.layout("ntu25"), seen[:, None])
    np.testing.assert_array_equal(one.joints, whole.joints)
    np.testing.assert_array_equal(one.confidence, whole.confidence)
    assert one.layout == whole.layout
    assert kineme.Motion(joints, "ntu25").confidence.shape == (6, 1, 25)
    with pytest.raises(InputError, match="Did you mean 'ntu25'"):
        kineme.Motion(joints, "ntu26")
    with pytest.raises(InputError, match="confidence of shape"):
        kineme.Motion(joints, "ntu25", np.ones((6, 24)))
    with pytest.raises(InputError, match="or without persons"):
        kineme.Motion(joints[0], "ntu25")
