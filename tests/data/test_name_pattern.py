"""Patterns: what the parts of a file's name are."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from helpers.takes import frames

from kineme import synth
from kineme.data.name_pattern import NamePattern
from kineme.data.prepare import prepare, report
from kineme.utils.errors import InputError


@pytest.mark.parametrize(
    ("pattern", "name", "values"),
    [
        ("S{subject}_{label}_{repetition}", "S7_wave_2", {"subject": 7, "label": "wave", "repetition": 2}),
        ("S{subject}_{label}_{repetition}", "S07_pick_up_2", {"subject": "07", "label": "pick_up", "repetition": 2}),
        (
            "{subject}_{label}_{repetition}",
            "anna_pick_up_12",
            {"subject": "anna", "label": "pick_up", "repetition": 12},
        ),
        ("{label}{repetition}", "wave12", {"label": "wave", "repetition": 12}),
        ("{label}_{style}", "walk_1e1", {"label": "walk", "style": "1e1"}),
        ("{label}", "12", {"label": "12"}),
        ("{Subject}_{LABEL}_{Style}", "1_x_y", {"subject": 1, "label": "x", "Style": "y"}),
        ("{}-{label}-*", "x-wave-", {"label": "wave"}),
        ("{_}-{label}", "x-wave", {"label": "wave"}),
        ("a.{label}(1)", "a.wave(1)", {"label": "wave"}),
        ("{label}/{label}_{subject}", "wave/wave_3", {"label": "wave", "subject": 3}),
        ("{label}/S{subject}/*", "raw/wave/S3/take", {"label": "wave", "subject": 3}),
        ("{subject}/{label}", "deep/below/anna/wave", {"subject": "anna", "label": "wave"}),
        ("{{{label}}}", "{wave}", {"label": "wave"}),
        ("S{setup}C{camera}P{subject}", "S001C2P010", {"setup": "001", "camera": 2, "subject": "010"}),
    ],
)
def test_what_a_name_says(pattern, name, values):
    assert NamePattern(pattern).match([name]) == values


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("S{subject}_{label}", "T1_wave"),
        ("S{subject}_{label}", "S1_"),
        ("{label}/{label}_{subject}", "wave/walk_3"),
        ("{subject}/{label}", "wave"),
        ("a.{label}", "abwave"),
    ],
)
def test_names_that_do_not_fit(pattern, name):
    assert NamePattern(pattern).match([name]) is None


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("{label", "no pattern"),
        ("label}", "no pattern"),
        ("{}_*", "without a field"),
        ("{0}", "field {0}"),
        ("{a b}", "field {a b}"),
        ("{subject:03d}", "field {subject}"),
        ("{length}", "Kineme itself"),
        ("{start}", "Kineme itself"),
    ],
)
def test_what_is_no_pattern(pattern, fault):
    with pytest.raises(InputError, match=re.escape(fault)):
        NamePattern(pattern)


@pytest.fixture
def recording(tmp_path):
    """A function that puts a recording under a name."""
    made = next(synth.write(tmp_path / "made", 1, cameras=0, format="bvh").glob("*.bvh"))

    def put(name):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made, tmp_path / "src" / name)

    return put


def test_columns_by_names_and_what_does_not_fit(recording, tmp_path):
    for name in ("S1_wave_1.bvh", "S1_pick_up_2.bvh", "S2_wave_1.bvh", "below/S2_walk_1.bvh", "calibration.bvh"):
        recording(name)
    pattern = "S{subject}_{label}_{repetition}"
    store = prepare(tmp_path / "src", tmp_path / "store", labels=pattern)
    assert store.column("label").tolist() == ["pick_up", "wave", "wave", "walk", None]
    np.testing.assert_array_equal(store.numbers("subject"), [1, 1, 2, 2, np.nan])
    np.testing.assert_array_equal(store.numbers("repetition"), [2, 1, 1, 1, np.nan])
    found = report(store)
    assert len(found.examples) == 4
    assert "  S1_pick_up_2.bvh: subject 1, label pick_up, repetition 2\n" in str(found)
    (unfit,) = found.notes
    assert unfit == f"1 clip whose name does not fit {pattern}: calibration.bvh"
    assert store.card["prepared"]["labels"] == pattern


def test_the_ending_may_stand_in_the_pattern(recording, tmp_path):
    recording("S1_wave.v2.bvh")
    for k, pattern in enumerate(("S{subject}_{label}", "S{subject}_{label}.bvh")):
        store = prepare(tmp_path / "src", tmp_path / f"store{k}", labels=pattern)
        assert store.column("label").tolist() == ["wave.v2"]


def test_names_of_takes_and_of_clips_in_a_file(tmp_path):
    frames(tmp_path / "src" / "day", "S1_wave")
    frames(tmp_path / "src" / "day", "S2_walk")
    frames(tmp_path / "src" / "alone", "S3_run")
    store = prepare(tmp_path / "src", tmp_path / "store", labels="{day}/S{subject}_{label}")
    assert store.column("label").tolist() == ["run", "wave", "walk"]
    assert store.column("subject").tolist() == [3, 1, 2]
    assert store.column("day").tolist() == ["alone", "day", "day"]


def test_people_called_by_numbers_with_and_without_zeros_stay_apart(recording, tmp_path):
    for name in ("007_a.bvh", "7_a.bvh", "10_a.bvh", "010_a.bvh"):
        recording(name)
    store = prepare(tmp_path / "src", tmp_path / "store", labels="{subject}_{label}")
    assert store.column("subject").tolist() == ["007", "010", "10", "7"]


def test_a_pattern_that_fits_nothing_is_refused(recording, tmp_path):
    recording("wave_1.bvh")
    with pytest.raises(InputError, match=r"none of 1 names fits it: wave_1\.bvh"):
        prepare(tmp_path / "src", tmp_path / "store", labels="S{subject}_{label}")
    assert not (tmp_path / "store").exists()
