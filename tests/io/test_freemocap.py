"""What FreeMoCap writes: tidy and wide tables, arrays, and all of them in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import kineme
from kineme import io as readers
from kineme.io import freemocap
from kineme.motion.layout import layout
from kineme.utils.errors import InputError

NAMES = layout("mediapipe33").joints
HANDS = [f"left_hand_{k:04d}" for k in range(21)]


@pytest.fixture(scope="module")
def body() -> np.ndarray:
    """A person ``[T, 33, 3]`` in millimetres, z up; one point is missing in one frame."""
    motion = next(iter(kineme.synth.generate(1, cameras=0, layout="mediapipe33")))
    places = motion.joints[:20, 0].astype(np.float64)[..., [0, 2, 1]] * (1000, -1000, 1000)
    places[3, 5] = np.nan
    return places.round(6)


def same(motion: kineme.Motion, body: np.ndarray) -> None:
    assert (motion.layout.name, motion.unit, motion.up, motion.persons) == ("mediapipe33", "mm", "+z", 1)
    there = np.isfinite(body).all(-1)
    np.testing.assert_array_equal(motion.confidence[:, 0] > 0, there)
    np.testing.assert_array_equal(motion.joints[:, 0][there], body[there].astype(np.float32))


def table(path: Path, columns: dict[str, list]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.csv.write_csv(pa.table(columns), path)
    return path


def tidy(body: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, list]:
    rows = [(frame, name, *place) for frame, places in enumerate(body.tolist()) for name, place in zip(names, places)]
    columns = dict(zip(("frame", "keypoint", "x", "y", "z"), map(list, zip(*rows))))
    return {key: [None if value != value else value for value in values] for key, values in columns.items()}


def wide(body: np.ndarray, names: list[str], prefix: str = "") -> dict[str, list]:
    columns = {
        f"{prefix}{name}_{axis}": body[:, k, a].tolist() for k, name in enumerate(names) for a, axis in enumerate("xyz")
    }
    return {key: [None if value != value else value for value in values] for key, values in columns.items()}


@pytest.mark.parametrize("name", ["freemocap_data_by_frame.csv", "freemocap_data_by_frame.parquet"])
def test_all_of_version_2_in_one_table(body, tmp_path, name):
    """Body, its rigid copy, a hand and a centre of mass; points between the landmarks; rows in no order."""
    extra = np.concatenate([body, body[:, :2] + 7], 1)
    parts = [
        (tidy(extra, [*NAMES, "head_center", "hips_center"]), "mediapipe.body", "3d_xyz"),
        (tidy(body + 1), "mediapipe.body", "rigid_3d_xyz"),
        (tidy(body[:, :21] + 9, HANDS), "mediapipe.left_hand", "3d_xyz"),
        (tidy(body[:, :1] + 3, ["whole"]), "mediapipe.body", "total_body_center_of_mass"),
    ]
    tables = [
        pa.table({**part, "model": [model] * len(part["x"]), "trajectory": [kind] * len(part["x"])})
        for part, model, kind in parts
    ]
    whole = pa.concat_tables(tables)
    whole = whole.take(np.random.default_rng(0).permutation(len(whole)))
    path = tmp_path / name
    (pa.csv.write_csv if name.endswith("csv") else pa.parquet.write_table)(whole, path)
    assert readers.detect(path) == "freemocap"
    motion = kineme.read(path)
    same(motion, body)
    assert motion.fps is None


def test_the_rigid_body_where_there_is_no_other(body, tmp_path):
    count = body.shape[0] * 33
    columns = {**tidy(body), "model": ["mediapipe_body"] * count, "trajectory": ["rigid_3d_xyz"] * count}
    same(kineme.read(table(tmp_path / "a.csv", columns)), body)


@pytest.mark.parametrize(
    "stamp",
    [
        lambda t: f"2024-01-01 12:00:{t / 50:09.6f}",
        lambda t: f"2024-01-01T12:00:{t / 50:09.6f}+00:00",
        lambda t: t / 50,
        lambda t: t * 20_000_000 + 1_700_000_000_000_000_000,
    ],
)
def test_version_1_by_frame_has_times(body, tmp_path, stamp):
    count = body.shape[0] * 33
    columns = {**tidy(body), "model": ["mediapipe_body"] * count, "timestamp_by_camera": ["{'a': 1, 'b': 2}"] * count}
    columns["timestamp"] = [stamp(frame) for frame in columns["frame"]]
    motion = kineme.read(table(tmp_path / "take_by_frame.csv", columns))
    same(motion, body)
    assert motion.fps == pytest.approx(50, rel=1e-5)


def test_version_1_by_trajectory(body, tmp_path):
    columns = {"timestamp": [t / 30 for t in range(len(body))], "timestamp_by_camera": ["{}"] * len(body)}
    columns |= wide(body, list(NAMES), "body_") | wide(body[:, :21] + 5, HANDS) | wide(body[:, :1], ["com_full"])
    path = table(tmp_path / "take_by_trajectory.csv", columns)
    assert readers.detect(path) == "freemocap"
    motion = kineme.read(path)
    same(motion, body)
    assert motion.fps == pytest.approx(30, rel=1e-5)


@pytest.mark.parametrize("prefix", ["body_", ""])
def test_the_body_alone_wide(body, tmp_path, prefix):
    path = table(tmp_path / "mediapipe_body_3d_xyz.csv", wide(body, list(NAMES), prefix))
    assert readers.detect(path) == "freemocap"
    motion = kineme.read(path)
    same(motion, body)
    assert not any("whose unit" in words for words in motion.notes)  # it is stated


def test_a_row_that_cannot_be_read_keeps_the_others_in_their_frames(body, tmp_path):
    path = table(tmp_path / "mediapipe_body_3d_xyz.csv", wide(body, list(NAMES), "body_"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:8], lines[8] + ",1", *lines[9:]]) + "\n")
    body = body.copy()
    body[7] = np.nan
    same(kineme.read(path), body)


@pytest.mark.parametrize("name", ["mediapipe_skeleton_3d", "mediapipe_body_3d_xyz", "mediaPipeSkel_3d_body_hands_face"])
def test_arrays_are_in_millimetres(body, tmp_path, name):
    """A child, whose size alone would leave the unit open."""
    np.save(tmp_path / f"{name}.npy", np.concatenate([body * 0.4, np.zeros((len(body), 520, 3))], 1))
    same(kineme.read(tmp_path / f"{name}.npy"), body * 0.4)
    np.save(tmp_path / "other.npy", body * 0.4)
    assert any("whose unit" in words for words in kineme.read(tmp_path / "other.npy").notes)


def test_a_tidy_table_of_somebody_else_may_be_in_metres(body, tmp_path):
    motion = kineme.read(table(tmp_path / "mine.csv", tidy(body / 1000)))
    assert (motion.unit, motion.up) == ("m", "+z")


def test_points_of_another_tracker_are_a_layout_of_their_own(tmp_path):
    body = np.random.default_rng(0).normal(0, 300, (4, 3, 3))
    path = table(tmp_path / "a.csv", {**tidy(body, ["a", "b", "c"]), "model": ["x.body"] * 12})
    motion = kineme.read(path)
    assert (motion.layout.joints, motion.unit) == (("a", "b", "c"), "mm")


def test_a_table_of_hands_says_that_there_is_no_body(body, tmp_path):
    path = table(tmp_path / "a.csv", {**tidy(body), "model": ["mediapipe.left_hand"] * body.shape[0] * 33})
    with pytest.raises(InputError, match=r"0 points of a body"):
        kineme.read(path)


def test_of_a_recording_one_file_is_prepared(body, tmp_path):
    """A folder as FreeMoCap leaves it, and two arrays that have nothing to do with each other."""
    output = tmp_path / "sessions" / "take" / "output_data"
    (output / "raw_data").mkdir(parents=True)
    whole = np.concatenate([body, body[:, :20].repeat(26, 1)], 1)
    np.save(output / "mediapipe_skeleton_3d.npy", whole)
    np.save(output / "mediapipe_body_3d_xyz.npy", body)
    np.save(output / "mediapipe_body_rigid_3d_xyz.npy", body)
    np.save(output / "mediapipe_left_hand_3d_xyz.npy", body[:, :21])
    np.save(output / "mediapipe_body_total_body_center_of_mass.npy", body[:, :1])
    np.save(output / "raw_data" / "mediapipe_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy", body[None])
    np.save(output / "raw_data" / "mediapipe_3dData_numFrames_numTrackedPoints_spatialXYZ.npy", whole)
    np.save(output / "raw_data" / "mediapipe_3dData_numFrames_numTrackedPoints_reprojectionError.npy", body[..., 0])
    assert [path.name for path in readers.sources(tmp_path)] == ["mediapipe_body_3d_xyz.npy"]
    table(output / "mediapipe_body_3d_xyz.csv", tidy(body))
    assert [path.name for path in readers.sources(tmp_path)] == ["mediapipe_body_3d_xyz.csv"]
    table(output.parent / "take_by_frame.csv", {**tidy(body), "model": ["mediapipe_body"] * body.shape[0] * 33})
    assert [path.name for path in readers.sources(tmp_path)] == ["take_by_frame.csv"]
    np.save(tmp_path / "walk.npy", body)
    np.save(tmp_path / "run.npy", body)
    assert len(list(readers.sources(tmp_path))) == 3
    store = kineme.prepare(tmp_path, tmp_path / "store")
    assert len(store) == 3
    assert not freemocap.side(tmp_path / "walk.npy", b"")
