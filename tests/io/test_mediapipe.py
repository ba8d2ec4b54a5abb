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
from kineme import synth
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


def first_cell(put: str):
    return lambda text: text.replace(text.split("\n")[1].split(",")[0], put, 1)


CSV_FAULTS = {
    "no row": lambda text: text.split("\n")[0],
    "no landmark": lambda text: text.replace("right_knee_x", "knee_x"),
    "a column twice": lambda text: text.replace("right_knee_x", "left_knee_x"),
    "nothing": lambda text: "",
    "NUL": lambda text: text + "\0",
    "most rows too short": lambda text: "\n".join(
        line.rpartition(",")[0] if k else line for k, line in enumerate(text.split())
    ),
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


@pytest.mark.parametrize("put", ["nan", "NaN", "-inf", "1e39", "x", "", "null", "NA", " "])
def test_a_cell_that_is_no_number_costs_its_landmark(put, tmp_path):
    # case 12-one-missing-landmark of the public reports
    path = as_csv(tmp_path / "pose.csv", marks(6, 3))
    whole = readers.read(path)
    path.write_text(first_cell(put)(path.read_text()))
    motion = readers.read(path, "mediapipe")
    expected = whole.confidence.copy()
    expected[0, 0, 0] = 0
    np.testing.assert_array_equal(motion.confidence, expected)
    np.testing.assert_array_equal(motion.joints, np.where(expected[..., None] > 0, whole.joints, 0))
    assert list(motion.notes.values()) == [1]


def test_rows_of_nan_and_rows_that_are_torn(tmp_path):
    """Nobody in a row of NaN; a row of another length is left out, and those behind it stay where they are."""
    path = as_csv(tmp_path / "pose.csv", marks(6, 6))
    whole = readers.read(path)
    lines = path.read_text().split()
    lines[2] = ",".join(["nan"] * 132)
    lines[4] = lines[4].rpartition(",")[0]
    path.write_text("\n".join(lines))
    motion = readers.read(path)
    assert (motion.confidence[:, 0] > 0).any(1).tolist() == [True, False, True, False, True, True]
    np.testing.assert_array_equal(motion.joints[[0, 2, 4, 5]], whole.joints[[0, 2, 4, 5]])
    assert list(motion.notes.values()) == [1]


def test_frames_as_floats(tmp_path):
    """As tables get them as soon as a cell of the column was once empty."""
    path = as_csv(tmp_path / "pose.csv", marks(6, 4), numbers=[3.0, 4.0, 7.0, 8.0])
    assert np.flatnonzero(readers.read(path).confidence[:, 0].any(1)).tolist() == [0, 1, 4, 5]
    path.write_text(path.read_text().replace("\n4.0,", "\n,"))
    motion = readers.read(path)
    assert np.flatnonzero(motion.confidence[:, 0].any(1)).tolist() == [0, 4, 5]
    assert list(motion.notes.values()) == [1]


def test_decimal_commas(tmp_path):
    path = as_csv(tmp_path / "pose.csv", marks(6, 3), delimiter=";")
    whole = readers.read(path)
    path.write_text(path.read_text().replace(".", ","))
    np.testing.assert_array_equal(readers.read(path).joints, whole.joints)


@pytest.mark.parametrize("numbers", [[0, 1, 10**12], [0, 0, 0], [-1, -2, 1], [0.5, 1.5, 2]])
def test_bad_numbers_of_frames(numbers, tmp_path):
    with pytest.raises(InputError, match=r"pose\.csv"):
        readers.read(as_csv(tmp_path / "pose.csv", marks(6, 3), numbers=numbers))


@pytest.mark.parametrize("number", [1, -1, 10**30, 1.5, "x"])
def test_one_bad_number_of_a_frame(number, tmp_path):
    path = as_csv(tmp_path / "pose.csv", marks(6, 3), numbers=[0, 1, number])
    motion = readers.read(path)
    assert len(motion) == 2
    np.testing.assert_array_equal(motion.joints[:, 0], marks(6, 3)[:2, :, :2].astype(np.float32))
    assert list(motion.notes.values()) == [1]


# ---------------------------------------------------------------------------------------------- what landmarks they are


def body_in_space(frames: int = 8) -> np.ndarray:
    """A person in metres, y downwards, the middle of the hips at the origin: ``[frames, 33, 3]``."""
    clip = next(synth.generate(1, layout="mediapipe33", cameras=0, coords=3))
    joints = clip.joints[:frames, 0].astype(np.float64) * [1, -1, -1]
    hips = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
    return (joints - joints[:, hips].mean(1, keepdims=True)).round(5)


XYZ = ("x", "y", "z")
ROOM = {  # metres, y downwards -> as measured in a room
    "mm, z up": (lambda p: p[..., [0, 2, 1]] * [1000, 1000, -1000] + [0, 250, 900], "mm", "+z"),
    "cm, y up": (lambda p: p * [100, -100, -100] + [30, 90, 10], "cm", "+y"),
    "m, x up": (lambda p: p[..., [1, 0, 2]] * [-1, 1, 1] + [1, 3, 2], "m", "+x"),
    "mm around the origin": (lambda p: p * 1000, "mm", "-y"),
}


@pytest.mark.parametrize("room", ROOM)
@pytest.mark.parametrize("form", ["csv", "csv with visibility", "json"])
def test_landmarks_in_space_stay_in_space(room, form, tmp_path):
    # case 07-landmarks-in-space-as-csv of the public reports
    place, unit, up = ROOM[room]
    joints = place(body_in_space())
    body = np.concatenate([joints, np.full((*joints.shape[:2], 1), 0.9)], -1)
    parts = XYZ if form == "csv" else (*XYZ, "visibility")
    path = as_json(tmp_path / "p.json", body) if form == "json" else as_csv(tmp_path / "p.csv", body, parts=parts)
    motion = readers.read(path)
    assert (motion.coords, motion.unit, motion.up, motion.image_size) == (3, unit, up, None)
    np.testing.assert_allclose(motion.joints[:, 0], joints, rtol=1e-6)
    for words in ("taken to be in space", f"unit is taken to be {unit}", f"up axis is taken to be {up}"):
        assert [count for note, count in motion.notes.items() if words in note] == [1]


def test_world_landmarks_as_csv(tmp_path):
    """In metres with the hips at the origin: no other landmarks are."""
    joints = body_in_space()
    path = as_csv(tmp_path / "p.csv", np.concatenate([joints, np.ones((*joints.shape[:2], 1))], -1))
    motion = readers.read(path)
    assert (motion.coords, motion.unit, motion.up, motion.extra["landmarks"]) == (3, "m", "-y", "world")
    assert list(motion.notes.values()) == [1]  # that it was taken for such
    assert readers.read(path, table={"landmarks": "image"}).coords == 2


def test_image_landmarks_as_csv(tmp_path):
    """Shares of the image with visibility, or with a z that begins at the hips; pixels with the size of the image."""
    joints = body_in_space()
    shares = joints * [0.2, 0.4, 0.2] + [0.5, 0.5, 0]
    visible = np.ones((*joints.shape[:2], 1))
    for parts in (XYZ, (*XYZ, "visibility")):
        motion = readers.read(as_csv(tmp_path / "p.csv", np.concatenate([shares, visible], -1), parts=parts))
        assert (motion.coords, motion.unit, motion.notes) == (2, "1", {})
    path = as_csv(tmp_path / "p.csv", np.concatenate([shares * [640, 480, 640], visible], -1))
    lines = path.read_text().split()
    path.write_text("\n".join(["image_width,image_height," + lines[0], *("640,480.0," + line for line in lines[1:])]))
    motion = readers.read(path)
    assert (motion.coords, motion.unit, motion.image_size, motion.notes) == (2, "px", (640, 480), {})


def test_landmarks_that_may_be_anything_have_to_be_named(tmp_path):
    chance = np.random.default_rng(0).uniform(0, 9, (8, 33, 4))
    path = as_csv(tmp_path / "p.csv", chance, parts=XYZ)
    with pytest.raises(InputError, match=r"p\.csv: landmarks with z .* --read landmarks=image"):
        readers.read(path)
    image, world = (readers.read(path, table={"landmarks": kind}) for kind in ("image", "world"))
    assert (image.coords, world.coords) == (2, 3)
    assert any("unit is not known" in words for words in world.notes)
    flat = as_csv(tmp_path / "p.csv", chance, parts=("x", "y"))
    with pytest.raises(InputError, match="no world landmarks"):
        readers.read(flat, table={"landmarks": "world"})


# ------------------------------------------------------------------------------------------------------------ spellings


def objects(body: np.ndarray, *names: str) -> list[dict]:
    return [dict(zip(names or ("x", "y", "z", "visibility"), point)) for point in body.tolist()]


WRAPPED = {
    "plain": objects,
    "several people": lambda body: [objects(body)],
    "landmark": lambda body: {"landmark": objects(body)},
    "landmarks": lambda body: {"landmarks": objects(body)},
    "a list of those": lambda body: [{"landmark": objects(body)}],
    "by name": lambda body: dict(zip(JOINTS, objects(body))),
    "by name, in capitals": lambda body: dict(zip(map(str.upper, JOINTS), body.tolist())),
    "lists by name": lambda body: dict(zip(JOINTS, body.tolist())),
    "capitals": lambda body: objects(body, "X", "Y", "Z", "Visibility"),
    "scores": lambda body: objects(body, "x", "y", "z", "score"),
    "flat": lambda body: body.ravel().tolist(),
}


@pytest.mark.parametrize("form", WRAPPED)
@pytest.mark.parametrize(
    "keys",
    [
        ("landmarks", "worldLandmarks"),
        ("poseLandmarks", "poseWorldLandmarks"),
        ("pose_landmarks", "pose_world_landmarks"),
        ("PoseLandmarks", "PoseWorldLandmarks"),
        ("pose-landmarks", "pose-world-landmarks"),
        ("keypoints", "keypoints3D"),
    ],
)
def test_spellings(form, keys, tmp_path):
    # cases 08-world-landmarks-in-camel-case and 28-landmarks-as-objects of the public reports
    image, world = marks(0, 4), marks(1, 4) - [0.5, 0.5, 0.5, 0]
    entries = [
        {keys[0]: WRAPPED[form](one), keys[1]: WRAPPED[form](two)} if k != 2 else {keys[0]: [], keys[1]: []}
        for k, (one, two) in enumerate(zip(image, world))
    ]
    if keys[0] == "keypoints" and form not in ("by name", "lists by name"):
        entries[0]["names"] = list(JOINTS)  # by which such a file is recognised
    for content in (entries, {"frames": entries}, {"Frames": entries}, {str(k): one for k, one in enumerate(entries)}):
        path = tmp_path / "pose.json"
        path.write_text(json.dumps(content))
        motion = readers.read(path)
        assert (motion.coords, motion.unit, motion.up, motion.notes) == (3, "m", "-y", {})
        expected = world.astype(np.float32)
        expected[2] = 0
        np.testing.assert_array_equal(motion.joints[:, 0], expected[..., :3])
        np.testing.assert_array_equal(motion.confidence[:, 0], expected[..., 3])
        np.testing.assert_array_equal(readers.read(path, image=True).joints[:2, 0], image[:2, :, :2].astype(np.float32))


def test_missing_landmarks_in_json(tmp_path):
    body = marks(2, 5)
    named = [dict(zip(JOINTS, objects(one))) for one in body]
    del named[0]["left_knee"]
    named[1]["left_knee"] = None
    named[2]["left_knee"]["x"] = None
    named[3]["left_knee"]["visibility"] = float("nan")
    path = tmp_path / "pose.json"
    path.write_text(json.dumps([{"pose_landmarks": one} for one in named]))
    motion = readers.read(path)
    knee = JOINTS.index("left_knee")
    assert (motion.confidence[:, 0, knee] > 0).tolist() == [False, False, False, False, True]
    assert (motion.confidence > 0).sum() == 5 * 33 - 4
    assert list(motion.notes.values()) == [4]


def test_visibility_that_is_null_everywhere_is_not_stated(tmp_path):
    path = tmp_path / "pose.json"
    body = [[{**point, "visibility": None} for point in objects(one)] for one in marks(2, 3)]
    path.write_text(json.dumps([{"pose_landmarks": one} for one in body]))
    motion = readers.read(path)
    assert (motion.confidence == 1).all()
    assert motion.notes == {}


@pytest.mark.parametrize(
    ("key", "second"),
    [("timestampMs", 1e3), ("timestamp_ms", 1e3), ("timestamp", 1e6), ("time", 1), ("timestamp_us", 1e6)],
)
def test_times_give_the_rate(key, second, tmp_path):
    """Frames that were left out between them are frames without anybody."""
    body = marks(3, 12)
    kept = [k for k in range(12) if k not in (4, 5)]
    content = [{key: 7 + round(k / 25 * second, 6), "pose_landmarks": objects(body[k])} for k in kept]
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(content))
    motion = readers.read(path)
    assert motion.fps == pytest.approx(25, rel=1e-3)
    assert np.flatnonzero(motion.confidence[:, 0].any(1)).tolist() == kept
    for k, frame in enumerate(content):
        frame["frame"] = k
    path.write_text(json.dumps({"fps": 30, "frames": content}))
    motion = readers.read(path)
    assert (motion.fps, len(motion)) == (30, 10)  # what the file says goes before


def test_times_in_a_table_give_the_rate(tmp_path):
    path = as_csv(tmp_path / "pose.csv", marks(3, 12))
    lines = path.read_text().split()
    kept = [k for k in range(12) if k not in (4, 5)]
    path.write_text("\n".join(["timestamp_ms," + lines[0], *(f"{40 * k + 3},{lines[k + 1]}" for k in kept)]))
    motion = readers.read(path)
    assert motion.fps == pytest.approx(25)
    assert np.flatnonzero(motion.confidence[:, 0].any(1)).tolist() == kept


def test_keys_that_are_not_known_are_shown(tmp_path):
    path = tmp_path / "pose.json"
    for content, words in (
        ({"landmark_names": list(JOINTS), "poses": []}, "an object with landmark_names, poses"),
        ([{"landmarks": {"left": 1, "right": 2}}], "frame 0: landmarks in an object with left, right"),
        ([{"landmarks_2d": []}], "1 frames without landmarks, each an object with landmarks_2d"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=words):
            readers.read(path, "mediapipe")


def test_a_size_that_is_no_size(tmp_path):
    # case 25-image-size-as-a-float of the public reports
    for width, height, size, count in (
        (640.0, 480.0, (640, 480), 0),
        ("640", "480", (640, 480), 1),
        (640.5, 480, None, 1),
        (-640, 480, None, 1),
        (640, None, None, 1),
    ):
        motion = readers.read(as_json(tmp_path / "pose.json", marks(0, 3), width=width, height=height))
        assert (motion.image_size, motion.unit) == (size, "px" if size else "1")
        assert sum(motion.notes.values()) == count


@pytest.mark.parametrize(("fps", "rate", "count"), [(0, None, 0), ("29.97", 29.97, 0), ("0/0", None, 0), (-5, None, 1)])
def test_rates(fps, rate, count, tmp_path):
    motion = readers.read(as_json(tmp_path / "pose.json", marks(0, 3), fps=fps))
    assert motion.fps == rate
    assert sum(motion.notes.values()) == count


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
    as_json(src / "bad.json", marks(9, 5)[:, :21])  # hands
    done = kineme("prepare", src, tmp_path / "flat", "--layout", "pose13")
    assert "1 skipped" in done.stdout
    store = Store(tmp_path / "flat")
    assert (store.clips["id"].to_pylist(), store.coords, store.layout.name) == (["a.csv", "b.json"], 2, "pose13")
    as_json(tmp_path / "walk.json", marks(10, 4), world=marks(11, 4) - 0.5, fps=25)
    kineme("prepare", tmp_path / "walk.json", tmp_path / "deep", "--layout", "coco17")
    store = Store(tmp_path / "deep")
    assert (len(store), store.coords, store.layout.name) == (1, 3, "coco17")
    assert np.isfinite(store.frames).all()
