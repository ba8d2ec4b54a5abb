"""Numbers from detectors: tables with gaps, whole numbers, sizes, rates; one fault costs itself."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kineme.io import _detections
from kineme.utils.errors import InputError


@pytest.mark.parametrize(
    ("scale", "expected"), [((0, 1), ("1", "0..1")), ((-1, 1), ("1", "-1..1")), ((0, 640), ("px", "px"))]
)
def test_units(scale, expected):
    points = np.random.default_rng(3).uniform(*scale, (9, 17, 3))
    points[..., 2] = 1
    points[0, 0, :2] = scale[1] * 2.5  # a joint outside of the image changes nothing
    assert _detections.unit(points) == expected
    assert _detections.unit(points * [1, 1, 0]) == ("px", "px")


def test_a_table_keeps_the_rows_that_are_like_most():
    notes = Counter()
    rows = [[1.0] * 6, [2] * 6, [1.0] * 5, {}, [3] * 6, [4] * 6, "x"]
    table, kept = _detections.table(list("abcdefg"), rows, {(6,), (5,)}, "six", notes)
    assert (table.dtype, table.shape, kept.tolist()) == (np.float32, (4, 6), [0, 1, 4, 5])
    assert +notes == {_detections.FORM: 3}
    for rows, words in (
        ([[1.0] * 6, [1.0] * 5], r"second: numbers of shape \[5\]"),
        ([[1.0] * 6, [1.0] * 3], "second: numbers of shape"),
        ([[1.0] * 6, "x"], "second: a row that is no table of numbers"),
    ):
        with pytest.raises(InputError, match=words):
            _detections.table(["first", "second"], rows, {(6,), (3,)}, "six or three", Counter())


@pytest.mark.parametrize("wrong", ["x", "", None, float("nan"), float("inf"), 1e39, 10**400])
def test_one_number_that_is_none_costs_itself(wrong):
    table, kept = _detections.table(["a", "b"], [[1.0] * 6, [1.0] * 5 + [wrong]], {(6,)}, "six", Counter())
    assert kept.tolist() == [0, 1]
    assert np.argwhere(~np.isfinite(table)).tolist() == [[1, 5]]
    notes = Counter()
    points = _detections.gaps(table.reshape(2, 2, 3), notes)
    assert not points[1, 1].any()
    assert (points[0] == 1).all()
    assert +notes == {_detections.GAPS: 1}


def test_numbers_in_text_are_numbers():
    table, _ = _detections.table(["a", "b"], [["1", " 2.5"], [1, 2]], {(2,)}, "two", Counter())
    assert table.tolist() == [[1, 2.5], [1, 2]]


def test_a_person_without_any_number_is_absent():
    notes = Counter()
    points = np.full((2, 3, 3), np.nan, np.float32)
    points[1, :2] = 1
    points = _detections.gaps(points, notes)
    assert points[..., 2].tolist() == [[0, 0, 0], [1, 1, 0]]
    assert +notes == {_detections.EMPTY: 1, _detections.GAPS: 1}


def test_whole_numbers():
    assert [_detections.whole("x", "frame", value) for value in (3, 3.0, "3", " 0007 ")] == [3, 3, 3, 7]
    for wrong in (-1, 3.5, "3.5", "", None, True, [3], 10**18, float("nan"), float("inf"), 1e300):
        with pytest.raises(InputError, match="frame"):
            _detections.whole("x", "frame", wrong)


def test_numbers_of_frames():
    notes = Counter()
    assert _detections.numbering("abc", "frame", [None] * 3, notes) == [0, 1, 2]
    assert not +notes
    assert _detections.numbering("abcde", "frame", [4, "5", None, 4, 8.0], notes) == [4, 5, None, None, 8]
    assert +notes == {_detections.NUMBERS: 2}
    with pytest.raises(InputError, match="b: frame 4 once more"):
        _detections.numbering("abcd", "frame", [4, 4, 5, 5], notes)


def test_sizes_of_images():
    notes = Counter()
    for good in ((1920, 1080), (1920.0, 1080), (1920.0, 1080.0)):
        assert _detections.size(*good, notes) == (1920, 1080)
    assert _detections.size(None, None, notes) is None
    assert not +notes
    assert _detections.size("1920", "1080", notes) == (1920, 1080)
    assert +notes == {_detections.TEXT: 1}
    wrong = [(1920.5, 1080), (-1920, 1080), (0, 0), (1920, None), (float("nan"), 9), ([1], 2), ("wide", 2), (10**9, 2)]
    for size in wrong:
        assert _detections.size(*size, notes) is None
    assert notes[_detections.SIZES] == len(wrong)


def test_rates():
    notes = Counter()
    for given, rate in ((30, 30), (29.97, 29.97), ("29.97", 29.97), ("30000/1001", 29.97003), (" 25 ", 25)):
        assert _detections.rate(given, notes) == pytest.approx(rate, abs=1e-5)
    for unknown in (None, 0, 0.0, "0", "0/0", "", float("nan")):
        assert _detections.rate(unknown, notes) is None
    assert not +notes
    wrong = (-25, "fast", float("inf"), [25], "1/0", True, 1e9, "-1/2")
    for rate in wrong:
        assert _detections.rate(rate, notes) is None
    assert +notes == {_detections.RATES: len(wrong)}
