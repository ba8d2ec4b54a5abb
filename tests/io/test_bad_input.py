"""Every reader against every kind of bad file; good files in another spelling; files changed at random."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.sample import Change, Sample, attempt
from helpers.samples import SAMPLES, npz
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.motion.motion import Motion
from kineme.utils import registry
from kineme.utils.errors import InputError

FAULTS = (
    "empty",
    "blank",
    "truncated",
    "NUL bytes",
    "binary",
    "infinity",
    "zero frames",
    "10^9 frames",
    "wrong variant",
)
READERS = sorted(registry.names("io"))
POINTS = 20
SECONDS = 2.0  # of this process's time


def sample_of(reader: str) -> Sample:
    assert reader in SAMPLES, f"reader {reader} needs an entry in tests/helpers/samples.py"
    return SAMPLES[reader]


def read(path: Path) -> list[Motion]:
    """All clips, without a warning and in good time."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return list(readers.read_all(path))
    finally:
        assert time.process_time() - start < SECONDS


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert path.stem in message, message
    assert "\n" not in message, message
    assert len(message) < 1000, message
    return caught.value


def mended(unit: Path, name: str, change: Change) -> None:
    """What is wrong costs itself: the rest is there as before, and a note counts what is not."""
    expected = read(unit)
    (unit.parent / name).write_bytes(change((unit.parent / name).read_bytes()))
    found = read(unit)
    assert len(found) == len(expected)
    known = {words for motion in expected for words in motion.notes}
    fresh = {words: count for motion in found for words, count in motion.notes.items() if words not in known}
    assert min(fresh.values(), default=0) == 1, fresh
    for one, whole in zip(found, expected):
        assert (one.layout, one.coords, len(one)) == (whole.layout, whole.coords, len(whole))
        kept, before = int((one.confidence > 0).sum()), int((whole.confidence > 0).sum())
        assert before - 2 * len(one.layout) <= kept <= before


def same(one: list[Motion], other: list[Motion]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a.joints, b.joints)
        np.testing.assert_array_equal(a.confidence, b.confidence)
        assert (a.layout, a.fps, a.up, a.unit, a.image_size, a.label, a.subject, a.camera, a.source, a.extra) == (
            b.layout,
            b.fps,
            b.up,
            b.unit,
            b.image_size,
            b.label,
            b.subject,
            b.camera,
            b.source,
            b.extra,
        )


@pytest.mark.parametrize("reader", READERS)
def test_the_sample_is_good_and_recognised(reader, tmp_path):
    unit = sample_of(reader).write(tmp_path)
    assert readers.detect(unit) == reader
    motions = read(unit)
    assert motions
    same(motions, list(readers.read_all(unit, reader)))
    assert list(readers.sources(tmp_path)) == [unit]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("reader", READERS)
def test_bad_input(reader, fault, tmp_path):
    """A clear error that names the file, whatever is wrong with it; a cut file reads only if a whole one is left."""
    sample = sample_of(reader)
    unit = sample.write(tmp_path)
    if fault in sample.faults:
        name, change = sample.faults[fault]
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
        refused(unit)
        return
    if fault in sample.mended:
        mended(unit, *sample.mended[fault])
        return
    for name, complete in sample.complete.items():
        good = (tmp_path / name).read_bytes()
        noise = np.random.default_rng(0).integers(0, 256, len(good), np.uint8).tobytes()
        cuts = [good[:size] for size in np.linspace(1, len(good) - 1, POINTS).astype(int)]
        for bad in {
            "empty": [b""],
            "blank": [b" \n\t\n"],
            "truncated": cuts,
            "binary": [noise],
            "NUL bytes": [good[:at] + bytes(8) + good[at + 8 :] for at in (0, len(good) // 2, len(good) - 8)],
        }.get(fault, []):
            (tmp_path / name).write_bytes(bad)
            if (fault == "truncated" and complete(good, bad)) or sample.frames:
                assert all(np.isfinite(motion.joints).all() for motion in read(unit))
            else:
                refused(unit)
        (tmp_path / name).write_bytes(good)
        assert read(unit)
    assert fault in ("empty", "blank", "truncated", "NUL bytes", "binary"), f"samples of {reader} lack {fault!r}"


@pytest.mark.parametrize(
    ("reader", "fault"),
    [
        (name, fault)
        for name in READERS
        if name in SAMPLES
        for fault in sorted(SAMPLES[name].faults.keys() - set(FAULTS))
    ],
)
def test_faults_of_one_format(reader, fault, tmp_path):
    unit = SAMPLES[reader].write(tmp_path)
    name, change = SAMPLES[reader].faults[fault]
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    refused(unit)


@pytest.mark.parametrize(
    ("reader", "fault"),
    [
        (name, fault)
        for name in READERS
        if name in SAMPLES
        for fault in sorted(SAMPLES[name].mended.keys() - set(FAULTS))
    ],
)
def test_faults_that_cost_only_themselves(reader, fault, tmp_path):
    mended(SAMPLES[reader].write(tmp_path), *SAMPLES[reader].mended[fault])


@pytest.mark.parametrize(
    ("reader", "variant"),
    [(name, variant) for name in READERS if name in SAMPLES for variant in sorted(SAMPLES[name].variants)],
)
def test_other_spellings_read_equal(reader, variant, tmp_path):
    unit = SAMPLES[reader].write(tmp_path)
    expected = read(unit)
    name, change = SAMPLES[reader].variants[variant]
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(change(good))
    assert change(good) != good
    same(read(unit), expected)


@pytest.mark.parametrize("reader", READERS)
def test_every_way_to_cut_a_file(reader, tmp_path):
    """The end of a file, where cuts are most likely to look whole: all of its last bytes."""
    sample = sample_of(reader)
    unit = sample.write(tmp_path)
    for name, complete in sample.complete.items():
        good = (tmp_path / name).read_bytes()
        for size in range(max(len(good) - 40, 1), len(good)):
            (tmp_path / name).write_bytes(good[:size])
            if complete(good, good[:size]) or sample.frames:
                assert read(unit)
            else:
                refused(unit)
        (tmp_path / name).write_bytes(good)


NASTY = [
    b"nan",
    b"-inf",
    b"1e400",
    b"1e39",
    b"-",
    b".",
    b"1_0",
    b"0x10",
    b"9" * 21,
    b"1" * 400,
    b"-1",
    b"0",
    b"1.5",
    b"",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b" ",
    b"null",
    b"true",
]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(NASTY) | st.binary(max_size=3)),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Bytes removed and others put in their place, here and there."""
    for where, removed, put in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + removed :]
    return data


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS, which=st.integers(0, 3))
@example(edits=[(0.0, 1, b"")], which=0)
def test_files_changed_at_random(reader, edits, which):
    """Motions or a clear error, nothing else."""
    sample = sample_of(reader)
    with tempfile.TemporaryDirectory() as folder:
        unit = sample.write(Path(folder))
        names = sorted(sample.complete)
        victim = Path(folder) / names[which % len(names)]
        victim.write_bytes(edited(victim.read_bytes(), edits))
        attempt(unit, read)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_words_changed_at_random(reader, data):
    """The same with whole words, so that more files come through the first checks."""
    sample = sample_of(reader)
    with tempfile.TemporaryDirectory() as folder:
        unit = sample.write(Path(folder))
        victim = Path(folder) / data.draw(st.sampled_from(sorted(sample.complete)))
        words = victim.read_bytes().split(b" ")
        for _ in range(data.draw(st.integers(1, 3))):
            words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(NASTY))
        victim.write_bytes(b" ".join(words))
        attempt(unit, read)


ARRAYS = st.one_of(
    st.integers(-2, 12).map(np.array),
    st.lists(st.integers(-2, 12), max_size=4).map(np.array),
    st.lists(st.floats(width=32), max_size=4).map(np.array),
    st.lists(st.text(max_size=3), max_size=4).map(np.array),
    st.sampled_from([np.zeros(2, "M8[s]"), np.zeros(2, "S3"), np.zeros((9, 4, 3), complex)]),
    st.sampled_from(
        [(9, 4, 3), (9, 4, 2), (9, 1, 4, 3), (9, 0, 3), (0, 4, 3), (9, 4), (9, 2, 2, 4, 3), (2, 0), (2, 3)]
    ).map(np.ones),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
ARRAY_NAMES = st.sampled_from(
    ["joints", "offsets", "labels", "subjects", "views", "reps", "names", "visibility", "styles", "dimensions", "more"]
)
KEYS = st.sampled_from(
    ["joint_names", "parents", "class_names", "units", "up", "fps", "splits", "style_names", "view_names", "more_names"]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrays=st.dictionaries(ARRAY_NAMES, ARRAYS, max_size=2), about=st.dictionaries(KEYS, VALUES, max_size=2))
def test_arrays_with_other_contents(arrays, about):
    with tempfile.TemporaryDirectory() as folder:
        unit = SAMPLES["arrays"].write(Path(folder))
        with np.load(unit) as file:
            unit.write_bytes(npz({**file, **arrays}))
        description = unit.with_suffix(".json")
        description.write_text(json.dumps(json.loads(description.read_text()) | about))
        attempt(unit, read)
        attempt(unit, readers.carried_splits)
