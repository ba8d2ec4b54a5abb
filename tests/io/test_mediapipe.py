"""MediaPipe landmarks: figures of real files, json equal to csv, image or world, several people, prepare."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.sample import attempt
from helpers.samples import SAMPLES
from helpers.training import kineme
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.data.store import Store
from kineme.motion import layout
from kineme.utils.errors import InputError

JOINTS = layout.layout("mediapipe33").joints
FIGURES = {"ta_chi": (300, (0.5267, 0.4984)), "skateboarding": (246, (0.5118, 0.4505))}
IMAGE = {"image": True}


def marks(seed: int, frames: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 0.95, (frames, 33, 4)).round(6)


def as_json(path: Path, body: np.ndarray, nobody: tuple = (), world: np.ndarray | None = None, **about) -> Path:
    frames = [{"frame": k, "landmarks": [] if k in nobody else one.tolist()} for k, one in enumerate(body)]
    if world is not None:
        for k, frame in enumerate(frames):
            frame["world_landmarks"] = [] if k in nobody else world[k].tolist()
    path.write_text(json.dumps({**about, "frames": frames}))
    return path


def as_csv(
    path: Path,
    body: np.ndarray,
    nobody: tuple = (),
    parts: tuple = ("x", "y", "z", "visibility"),
    numbers: list[int] | None = None,
    delimiter: str = ",",
) -> Path:
    with open(path, "w", newline="") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerow([*(["frame"] if numbers else []), *(f"{joint}_{part}" for joint in JOINTS for part in parts)])
        for k, one in enumerate(body):
            cells = one[:, ["xyzv".index(part[0]) for part in parts]].ravel().tolist()
            rows.writerow([*([numbers[k]] if numbers else []), *([""] * len(cells) if k in nobody else cells)])
    return path


@pytest.mark.parametrize("name", FIGURES)
def test_real_files(name, data_dir):
    folder = data_dir / "formats" / "mediapipe"
    there, mean = FIGURES[name]
    content = json.loads((folder / f"{name}.json").read_text())
    found = [k for k, frame in enumerate(content["frames"]) if frame["landmarks"]]
    world = readers.read(folder / f"{name}.json")
    assert (world.joints.shape, world.layout.name, world.unit, world.up) == ((300, 1, 33, 3), "mediapipe33", "m", "-y")
    assert world.fps == pytest.approx(29.97, abs=1e-3)
    assert (world.extra["landmarks"], world.extra["coordinates"], world.image_size) == ("world", "m", None)
    assert np.flatnonzero((world.confidence[:, 0] > 0).any(1)).tolist() == found
    assert len(found) == there
    stored = np.array([content["frames"][k]["world_landmarks"] for k in found], np.float32)
    np.testing.assert_array_equal(world.joints[found, 0], np.where(stored[..., 3:] > 0, stored[..., :3], 0))
    hips = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
    assert np.abs(world.joints[found, 0][:, hips].mean(1)).max() < 0.02  # the origin lies between them
    image = readers.read(folder / f"{name}.json", **IMAGE)
    assert (image.joints.shape, image.unit, image.image_size) == ((300, 1, 33, 2), "px", (340, 256))
    assert (image.extra["landmarks"], image.extra["coordinates"]) == ("image", "px")
    np.testing.assert_allclose((image.joints / [340, 256])[found].mean((0, 1, 2)), mean, atol=6e-5)
    table = readers.read(folder / f"{name}.csv")
    assert (table.unit, table.extra["coordinates"], table.image_size, table.fps) == ("1", "0..1", None, None)
    np.testing.assert_allclose(table.joints * [340, 256], image.joints, atol=1e-4)
    np.testing.assert_array_equal(table.confidence, image.confidence)
    np.testing.assert_allclose(table.joints[found].mean((0, 1, 2), dtype=float), mean, atol=6e-5)


def test_the_csv_beside_a_json_is_passed_over(data_dir):
    folder = data_dir / "formats" / "mediapipe"
    assert list(readers.sources(folder)) == [folder / "skateboarding.json", folder / "ta_chi.json"]
    assert readers.detect(folder / "ta_chi.csv") == "mediapipe"  # asked for by name it is read


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    frames=st.integers(2, 6),
    step=st.integers(1, 5),
    first=st.integers(0, 10**9),
    delimiter=st.sampled_from(",;\t"),
    parts=st.sampled_from([("x", "y"), ("x", "y", "visibility"), ("x", "y", "z", "visibility")]),
)
def test_round_trip_through_a_table(tmp_path_factory, seed, frames, step, first, delimiter, parts):
    body = marks(seed, frames)
    numbers = [first + step * k for k in range(frames)]
    path = as_csv(tmp_path_factory.mktemp("marks") / "pose.csv", body, (1,), parts, numbers, delimiter)
    motion = readers.read(path)
    expected = body.astype(np.float32)
    expected[1] = 0
    np.testing.assert_array_equal(motion.joints[:, 0], expected[..., :2])
    visible = expected[..., 3] if "visibility" in parts else np.repeat(np.arange(frames)[:, None] != 1, 33, 1)
    np.testing.assert_array_equal(motion.confidence[:, 0], visible)
    assert (motion.extra["first_frame"], motion.extra["frame_step"]) == (first, step)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), frames=st.integers(1, 6), width=st.integers(1, 5000), spatial=st.booleans())
def test_round_trip_through_json(tmp_path_factory, seed, frames, width, spatial):
    body, world = marks(seed, frames), marks(seed + 1, frames) - 0.5
    world[..., 3] = body[..., 3]
    path = as_json(
        tmp_path_factory.mktemp("marks") / "pose.json",
        body,
        world=world if spatial else None,
        width=width,
        height=100,
        fps=25,
    )
    motion = readers.read(path)
    if spatial:
        np.testing.assert_array_equal(motion.joints[:, 0], world[..., :3].astype(np.float32))
        motion = readers.read(path, **IMAGE)
    expected = body[..., :2].astype(np.float32) * np.array([width, 100], np.float32)
    np.testing.assert_array_equal(motion.joints[:, 0], expected)
    np.testing.assert_array_equal(motion.confidence[:, 0], body[..., 3].astype(np.float32))
    assert (motion.fps, motion.unit, motion.image_size) == (25, "px", (width, 100))


def test_a_list_of_frames_without_numbers_and_size(tmp_path):
    body = marks(0, 3)
    path = tmp_path / "pose.json"
    path.write_text(
        json.dumps([{"pose_landmarks": [dict(zip("xyz", point)) for point in one.tolist()]} for one in body])
    )
    motion = readers.read(path)
    np.testing.assert_array_equal(motion.joints[:, 0], body[..., :2].astype(np.float32))
    assert (motion.confidence == 1).all()
    assert (motion.unit, motion.extra["coordinates"], motion.fps) == ("1", "0..1", None)


def test_pixels_stay_pixels(tmp_path):
    body = marks(1, 3) * [640, 480, 1, 1]
    motion = readers.read(as_json(tmp_path / "pose.json", body, width=640, height=480))
    np.testing.assert_array_equal(motion.joints[:, 0], body[..., :2].astype(np.float32))
    assert motion.unit == "px"


def test_several_people_are_followed_in_the_image(tmp_path):
    """Two people whose order changes; in the world both stand at the origin, only the image tells them apart."""
    left, right = np.array([[0.2, 0.5]]), np.array([[0.8, 0.5]])
    body = marks(2, 1)[0]
    world = np.stack([marks(3, 1)[0], marks(4, 1)[0]])
    image = np.stack(
        [
            np.concatenate([left + 0.1 * body[:, :2], body[:, 2:]], 1),
            np.concatenate([right + 0.1 * body[:, :2], body[:, 2:]], 1),
        ]
    )
    frames = [{"pose_landmarks": image[::s].tolist(), "pose_world_landmarks": world[::s].tolist()} for s in (1, -1, 1)]
    path = tmp_path / "pose.json"
    path.write_text(json.dumps({"frames": frames}))
    motion = readers.read(path)
    assert motion.joints.shape == (3, 2, 33, 3)
    np.testing.assert_array_equal(motion.joints[0], motion.joints[1])
    np.testing.assert_array_equal(motion.joints[0], motion.joints[2])


def test_frames_that_were_left_out_slow_the_rate(tmp_path):
    path = as_json(tmp_path / "pose.json", marks(5, 3), fps=30)
    path.write_text(path.read_text().replace('"frame": 1', '"frame": 5').replace('"frame": 2', '"frame": 10'))
    motion = readers.read(path)
    assert (len(motion), motion.fps, motion.extra["frame_step"]) == (3, 6, 5)


CSV_FAULTS = {
    "NaN": lambda text: text.replace(text.split("\n")[1].split(",")[0], "nan", 1),
    "infinity": lambda text: text.replace(text.split("\n")[1].split(",")[0], "-inf", 1),
    "too large": lambda text: text.replace(text.split("\n")[1].split(",")[0], "1e39", 1),
    "text": lambda text: text.replace(text.split("\n")[1].split(",")[0], "x", 1),
    "an empty cell": lambda text: text.replace(text.split("\n")[1].split(",")[0], "", 1),
    "a row too short": lambda text: text[: text.rindex(",")],
    "no row": lambda text: text.split("\n")[0],
    "no landmark": lambda text: text.replace("right_knee_x", "knee_x"),
    "a column twice": lambda text: text.replace("right_knee_x", "left_knee_x"),
    "nothing": lambda text: "",
    "NUL": lambda text: text + "\0",
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_bad_tables(fault, tmp_path):
    path = as_csv(tmp_path / "pose.csv", marks(6, 3))
    text = path.read_text()
    path.write_text(CSV_FAULTS[fault](text))
    assert path.read_text() != text
    with pytest.raises(InputError, match=r"pose\.csv") as caught:
        readers.read(path, "mediapipe")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("numbers", [[0, 1, 1], [0, 1, -1], [0, 1, 10**12], [0, 1, 10**30], [0, 1, 1.5]])
def test_bad_numbers_of_frames(numbers, tmp_path):
    with pytest.raises(InputError, match=r"pose\.csv"):
        readers.read(as_csv(tmp_path / "pose.csv", marks(6, 3), numbers=numbers))


@given(
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 9),
            st.sampled_from(['"', ",", "\n", "nan", "", "1e400", "9" * 25, "x", ";", "\r", "-"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_tables_changed_at_random(tmp_path_factory, edits):
    path = as_csv(tmp_path_factory.mktemp("marks") / "pose.csv", marks(7, 3), (1,), numbers=[0, 1, 2])
    text = path.read_text()
    for where, removed, put in edits:
        at = int(where * len(text))
        text = text[:at] + put + text[at + removed :]
    path.write_text(text)
    attempt(path, lambda path: readers.read(path, "mediapipe"))


def test_which_landmarks(tmp_path):
    path = SAMPLES["mediapipe"].write(tmp_path)
    with pytest.raises(InputError, match=r"pose\.json: no world landmarks"):
        readers.read(path, table={"landmarks": "world"})
    with pytest.raises(InputError, match="landmarks: 'both'"):
        readers.read(path, table={"landmarks": "both"})


def test_prepare_end_to_end(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    as_csv(src / "a.csv", marks(8, 4))
    as_json(src / "b.json", marks(9, 5), (2,), width=320, height=240)
    as_json(src / "bad.json", marks(9, 5)[:, :21])
    done = kineme("prepare", src, tmp_path / "flat", "--layout", "pose13")
    assert "1 skipped" in done.stdout
    store = Store(tmp_path / "flat")
    assert (store.clips["id"].to_pylist(), store.coords, store.layout.name) == (["a.csv", "b.json"], 2, "pose13")
    as_json(tmp_path / "walk.json", marks(10, 4), world=marks(11, 4) - 0.5, fps=25)
    kineme("prepare", tmp_path / "walk.json", tmp_path / "deep", "--layout", "coco17")
    store = Store(tmp_path / "deep")
    assert (len(store), store.coords, store.layout.name) == (1, 3, "coco17")
    assert np.isfinite(store.frames).all()
