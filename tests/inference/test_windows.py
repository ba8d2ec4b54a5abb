"""Windows of long recordings: they cover it, no moment is said twice, equal hits come once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kineme.inference.windows import Length, distinct, segments
from kineme.motion.windows import asked, cut
from kineme.utils.errors import InputError


@given(st.integers(1, 300), st.integers(1, 60), st.integers(1, 60))
def test_windows_lie_inside_and_end_with_the_recording(frames, window, step):
    spans = cut(frames, window, step)
    assert (spans[:, 0] >= 0).all()
    assert spans[-1, 1] == frames
    assert set(np.diff(spans).ravel()) == {min(window, frames)}
    assert (np.diff(spans[:, 0]) <= step).all()
    covered = np.zeros(frames, bool)
    for start, end in spans:
        covered[start:end] = True
    assert covered.all() or step > window


def test_a_length_follows_the_frame_rate():
    assert Length(30, 1.0).at(60) == 60
    assert Length(30, 0.001).at(30) == 1
    assert Length(30, 1.0).at(None) == Length(30).at(60) == 30


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "two"])
def test_seconds_must_be_a_positive_number(seconds):
    with pytest.raises(InputError, match=r"--window.*seconds above 0"):
        asked("--window", seconds, 30, "a.npz")


def test_seconds_need_a_frame_rate():
    with pytest.raises(InputError, match=r"a\.npz has no frame rate"):
        asked("--window", 2, None, "a.npz")
    assert asked("--window", None, None, "a.npz") is None
    assert asked("--window", 1.5, 20, "a.npz") == 30


def test_a_window_needs_a_frame():
    with pytest.raises(InputError, match="at least one frame"):
        cut(10, 0, 1)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.sampled_from("abc"), st.floats(0, 1)), min_size=1))
def test_segments_say_each_moment_once_and_by_its_surest_window(windows):
    spans = np.array([(start, start + length) for start, length, _, _ in windows])
    labels, scores = [w[2] for w in windows], [w[3] for w in windows]
    found = list(segments(spans, labels, scores))
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(found))
    for moment in range(int(spans.max())):
        here = [i for i, (start, end) in enumerate(spans) if start <= moment < end]
        said = [label for start, end, label, _ in found if start <= moment < end]
        assert len(said) == bool(here)
        if here:
            assert said[0] in {labels[i] for i in here if scores[i] == max(scores[j] for j in here)}


def test_neighbouring_segments_of_one_class_are_one():
    spans = cut(40, 10, 5)
    labels = ["walk"] * 4 + ["sit"] * 3
    found = list(segments(spans, labels, [0.5, 0.9, 0.6, 0.8, 0.7, 0.6, 0.5]))
    assert found == [(0, 25, "walk", 0.9), (25, 40, "sit", 0.7)]


def test_hits_that_share_much_come_once():
    spans = np.array([[0, 10], [4, 14], [6, 16], [20, 30], [0, 10]])
    assert distinct(spans, [0.9, 0.8, 0.7, 0.6, 0.5], list("aaaab")).tolist() == [0, 2, 3, 4]
    assert distinct(spans, [0.9, 0.8, 0.7, 0.6, 0.5], list("aaaab"), overlap=0.3).tolist() == [0, 3, 4]
    assert distinct(np.zeros((0, 2), np.int64), [], []).tolist() == []
