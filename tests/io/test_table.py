"""Tables with named columns: every layout there and back, Parquet, several people, times, hostile files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.sample import attempt
from helpers.samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.data import synth
from kineme.io import _tables, table
from kineme.motion.layout import layouts
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError


def columns(motion: Motion, form: str = "{}_{}") -> dict[str, np.ndarray]:
    return {
        form.format(joint, axis): motion.joints[:, 0, i, k]
        for i, joint in enumerate(motion.layout.joints)
        for k, axis in enumerate("xyz"[: motion.coords])
    }


@pytest.mark.parametrize("name", layouts())
def test_there_and_back(name, tmp_path):
    """All joints, confidence and what else is known; MediaPipe's landmarks come in their own format."""
    for clip in synth.generate(2, layout=name, dropout=0.1, fps=25):
        table.write(tmp_path, [clip])
        motion = readers.read(tmp_path / f"{clip.source}.csv", "table")
        assert (motion.layout, motion.fps, motion.unit, motion.up, motion.image_size) == (
            clip.layout,
            clip.fps,
            clip.unit,
            clip.up,
            clip.image_size,
        )
        assert (motion.label, motion.subject, motion.camera) == (clip.label, clip.subject, clip.camera)
        gone = clip.confidence == 0
        np.testing.assert_array_equal(motion.confidence == 0, gone)
        np.testing.assert_array_equal(motion.joints, clip.joints)
        np.testing.assert_array_equal(motion.confidence, clip.confidence)


def test_two_people(tmp_path):
    clip = next(synth.generate(1, ["shake_hands"], cameras=0))
    table.write(tmp_path, [clip])
    motion = readers.read(tmp_path / f"{clip.source}.csv")
    assert motion.extra["followed"] == "id"
    order = [0, 1] if np.array_equal(motion.joints[:, 0], clip.joints[:, 0]) else [1, 0]
    np.testing.assert_array_equal(motion.joints[:, order], clip.joints)


def test_parquet_and_what_is_not_said(tmp_path):
    clip = next(synth.generate(1, ["walk"], cameras=0, fps=50))
    path = tmp_path / "walk.parquet"
    cells = {"time_ms": np.arange(len(clip)) * 20, "text": ["x"] * len(clip), **columns(clip, "{}.{}")}
    pq.write_table(pa.table(cells), path)
    motion = readers.read(path)
    assert (motion.layout.name, motion.fps, motion.unit, motion.up) == ("ntu25", 50, "m", "+y")
    np.testing.assert_array_equal(motion.joints, clip.joints)
    assert any("unit is taken to be m" in words for words in motion.notes)
    pq.write_table(pa.table({**cells, "left_hip.x": ["a"] * len(clip)}), path)
    assert (readers.read(path).confidence[:, 0, motion.layout.find("left_hip")] == 0).all()


def test_parquet_that_is_damaged_or_too_large(tmp_path, monkeypatch):
    path = tmp_path / "walk.parquet"
    pq.write_table(pa.table(columns(next(synth.generate(1, ["walk"], cameras=0)))), path)
    good = path.read_bytes()
    for bad in (good[:-9], good[:100], b"PAR1", b"", good[:4] + bytes(len(good) - 8) + good[-4:]):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"walk\.parquet"):
            readers.read(path)
    path.write_bytes(good)
    monkeypatch.setattr(_tables, "MAX_POINTS", 1000)
    with pytest.raises(InputError, match="rows of 75 columns"):
        readers.read(path)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
def test_parquet_changed_at_random(edits):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walk.parquet"
        cells = {f"{joint}_{axis}": np.arange(5.0) + k for k, joint in enumerate("ab") for axis in "xyz"}
        pq.write_table(pa.table(cells), path)
        data = path.read_bytes()
        for where, put in edits:
            at = int(where * len(data))
            data = data[:at] + put + data[at + len(put) :]
        path.write_bytes(data)
        attempt(path, lambda each: list(readers.read_all(each, "table")))


def test_tables_of_other_things_are_not_taken(tmp_path):
    for name, text in {
        "labels.csv": "file,label,subject\na.bvh,walk,1\n",
        "points.csv": "frame,x,y\n1,2,3\n",
        "numbers.csv": "1,2,3\n4,5,6\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="of no known format"):
            readers.read(tmp_path / name)


def test_flat_joints_and_a_size(tmp_path):
    path = tmp_path / "walk.csv"
    path.write_text(
        "frame,x_head,y_head,x_tail,y_tail,width,height,label\n3,0.5,0.5,0.1,0.2,640,480,007\n4,0.5,0.4,,,,,\n"
    )
    motion = readers.read(path)
    assert (motion.coords, motion.unit, motion.up, motion.image_size, motion.label) == (2, "1", "-y", (640, 480), "007")
    assert motion.confidence[:, 0].tolist() == [[1, 1], [1, 0]]
    assert motion.extra["first_frame"] == 3


def test_likelihood_is_confidence(tmp_path):
    path = tmp_path / "walk.csv"
    path.write_text("head_x,head_y,head_likelihood,tail_x,tail_y,tail_likelihood\n10,20,0.9,30,40,0.5\n")
    np.testing.assert_allclose(readers.read(path).confidence[0, 0], [0.9, 0.5])


def test_a_row_too_short_and_a_frame_twice(tmp_path):
    path = SAMPLES["table"].write(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "2,0.08,ok,1", *lines[4:]]))
    motion = readers.read(path)
    assert len(motion) == 5
    assert motion.confidence[:, 0].any(1).tolist() == [True, True, False, True, True]
    assert motion.notes["rows of a table that cannot be read, left out"] == 1
    path.write_text("\n".join([*lines, lines[-1]]))
    motion = readers.read(path)
    assert (len(motion), motion.notes["frames without a number of their own, left out"]) == (5, 1)
