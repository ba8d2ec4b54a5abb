"""OpenPose: figures of real folders, a plain reader beside it, takes, identity, 3-D, Kinetics-Skeleton, prepare."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.detectors import FRAME, detections
from helpers.samples import SAMPLES
from helpers.training import kineme
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme import synth as kineme_synth
from kineme.data.store import Store
from kineme.motion import layout as skeleton
from kineme.utils.errors import InputError

FIGURES = {  # frames, layout, people per frame, coordinates, frames in which the first person is seen
    "body25_kick_18": (91, "body25", {0: 14, 1: 75, 2: 1, 3: 1}, "px", 77),
    "coco18_26": (56, "openpose18", {1: 56}, "0..1", 56),
    "coco18_4_two_people": (49, "openpose18", {1: 48, 2: 1}, "0..1", 49),
}
KINETICS = {
    "--33Lscn6sk": (189, "flipping pancake", {0: 26, 1: 15, 2: 144, 3: 4}),
    "S004C002P003R001A055_rgb": (76, "hugging other person", {2: 69, 3: 6, 4: 1}),
}


def write(
    folder: Path,
    frames: list[np.ndarray],
    name: str = "walk_{:012d}_keypoints.json",
    first: int = 0,
    key: str = "pose_keypoints_2d",
    ids: list[list[int]] | None = None,
) -> Path:
    """A file for each frame; ``frames[k]`` is ``[persons, joints, 3 or 4]``."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, bodies in enumerate(frames):
        persons = [
            {"person_id": [ids[k][m] if ids else -1], key: body.ravel().tolist()} for m, body in enumerate(bodies)
        ]
        (folder / name.format(first + k)).write_text(json.dumps({"version": 1.3, "people": persons}))
    return folder


def people_per_frame(motion) -> dict[int, int]:
    return dict(Counter((motion.confidence > 0).any(2).sum(1).tolist()))


@pytest.mark.parametrize("name", FIGURES)
def test_real_folders(name, data_dir):
    path = data_dir / "formats" / "openpose" / name
    frames, layout, people, coordinates, first = FIGURES[name]
    assert list(readers.sources(path.parent)) == [path.parent / folder for folder in sorted(FIGURES)]
    assert readers.detect(path) == "openpose"
    motion = readers.read(path)
    assert (len(motion), motion.layout.name, motion.coords, motion.up) == (frames, layout, 2, "-y")
    assert motion.persons == max(people)
    assert people_per_frame(motion) == people
    assert (motion.unit, motion.extra["coordinates"]) == ("px" if coordinates == "px" else "1", coordinates)
    assert (motion.extra["first_frame"], motion.extra["frame_step"], motion.source) == (0, 1, name)
    assert (motion.confidence[:, 0] > 0).any(1).sum() == first  # one and the same person, ghosts beside him
    for k, file in enumerate(sorted(path.glob("*.json"))):  # nothing is lost or made up
        bodies = [
            np.minimum(np.array(p["pose_keypoints_2d"], np.float32).reshape(-1, 3), [np.inf, np.inf, 1])
            for p in json.loads(file.read_text())["people"]
        ]
        here = np.concatenate([motion.joints[k], motion.confidence[k, ..., None]], -1)
        there = [m for m in range(motion.persons) if here[m, :, 2].any()]
        assert len(there) == len(bodies)
        for body in bodies:
            assert any(np.array_equal(here[m], body) for m in there)
    assert not motion.joints[motion.confidence == 0].any()


def test_the_kicker_moves_without_a_jump(data_dir):
    motion = readers.read(data_dir / "formats" / "openpose" / "body25_kick_18")
    hip = motion.layout.find("pelvis")
    frames = np.flatnonzero(motion.confidence[:, 0, hip] > 0)
    steps = np.linalg.norm(np.diff(motion.joints[frames, 0, hip], axis=0), axis=1) / np.diff(frames)
    assert steps.max() < 60  # a body is 220 px tall


@pytest.mark.parametrize("name", KINETICS)
def test_real_clips_of_kinetics(name, data_dir):
    path = data_dir / "formats" / "kinetics_skeleton" / f"{name}.json"
    frames, label, people = KINETICS[name]
    motion = readers.read(path)
    assert (len(motion), motion.label, motion.layout.name) == (frames, label, "openpose18")
    assert (motion.unit, motion.extra["coordinates"], motion.extra["first_frame"]) == ("1", "0..1", 1)
    assert people_per_frame(motion) == people
    content = json.loads(path.read_text())
    poses = np.array([person["pose"] for frame in content["data"] for person in frame["skeleton"]])
    np.testing.assert_allclose(motion.joints.sum((0, 1, 2)), poses.reshape(-1, 2).sum(0), rtol=1e-5)
    if name.startswith("--"):
        assert poses.mean() == pytest.approx(0.4258, abs=5e-5)
    else:  # it states no confidence at all: what is not (0, 0) counts as seen
        assert (motion.confidence > 0).sum() == poses.reshape(-1, 2).any(1).sum()
    assert readers.is_side_file(path.with_name("kinetics_val_label.json"))
    assert path.with_name("kinetics_val_label.json") not in readers.sources(path.parent)


def kinetics(**changes) -> dict:
    """A clip of three frames in the form of Kinetics-Skeleton; ``changes`` go into the first person."""
    frames = [
        {
            "frame_index": k,
            "skeleton": [
                {"pose": (body[:, :2] / 400).ravel().tolist(), "score": body[:, 2].tolist()} for body in bodies
            ],
        }
        for k, bodies in enumerate(detections(5, 3, 2, 18), 1)
    ]
    frames[0]["skeleton"][0] |= changes
    return {"data": frames, "label": "waving", "label_index": 7}


def test_kinetics_round_trip(tmp_path):
    (tmp_path / "clip.json").write_text(json.dumps(kinetics()))
    motion = readers.read(tmp_path / "clip.json")
    body = detections(5, 3, 2, 18)
    expected = np.concatenate([body[..., :2] / 400, body[..., 2:]], -1).astype(np.float32)
    found = np.concatenate([motion.joints, motion.confidence[..., None]], -1)
    assert sorted(found.reshape(-1, 3).tolist()) == sorted(expected.reshape(-1, 3).tolist())
    assert (motion.label, motion.extra["label_index"], motion.extra["first_frame"]) == ("waving", 7, 1)


KINETICS_FAULTS = {
    "data in numbers": lambda: kinetics() | {"data": 10**9},
    "no data": lambda: kinetics() | {"data": []},
    "a label in numbers": lambda: kinetics() | {"label": [1]},
    "a frame twice": lambda: kinetics() | {"data": kinetics()["data"][:1] * 2},
    "10^9 frames": lambda: kinetics() | {"data": [*kinetics()["data"], {"frame_index": 10**9, "skeleton": []}]},
    "a frame in text": lambda: kinetics() | {"data": ["frame_index", "skeleton"]},
    "nobody": lambda: kinetics() | {"data": [{"frame_index": 1, "skeleton": []}]},
}


@pytest.mark.parametrize("fault", KINETICS_FAULTS)
def test_bad_clips_of_kinetics(fault, tmp_path):
    (tmp_path / "clip.json").write_text(json.dumps(KINETICS_FAULTS[fault]()))
    with pytest.raises(InputError, match=r"clip\.json") as caught:
        readers.read(tmp_path / "clip.json", "openpose")
    assert len(str(caught.value)) < 600


KINETICS_MENDED = {  # content, joints that it costs
    "35 numbers": (lambda: kinetics(pose=[0.5] * 35), 18),
    "no pose": (lambda: kinetics(pose=None), 18),
    "NaN": (lambda: kinetics(pose=[float("nan")] * 36), 18),
    "one NaN": (lambda: kinetics(pose=[float("nan")] + [0.5] * 35), 1),
    "nested": (lambda: kinetics(pose=[[0.5, 0.5]] * 18), 18),
    "17 scores": (lambda: kinetics(score=[1] * 17), 18),
    "a score in words": (lambda: kinetics(score=["high"] * 18), 18),
    "an infinite score": (lambda: kinetics(score=[float("inf")] * 18), 18),
    "an empty entry": (lambda: kinetics() | {"data": [*kinetics()["data"], {}]}, 0),
}


@pytest.mark.parametrize("fault", KINETICS_MENDED)
def test_clips_of_kinetics_with_a_fault(fault, tmp_path):
    """It costs itself and is counted."""
    make, cost = KINETICS_MENDED[fault]
    (tmp_path / "good.json").write_text(json.dumps(kinetics()))
    (tmp_path / "clip.json").write_text(json.dumps(make()))
    good, found = readers.read(tmp_path / "good.json"), readers.read(tmp_path / "clip.json", "openpose")
    assert set(found.notes) - set(good.notes)
    lost = int((good.confidence > 0).sum()) - int((found.confidence > 0).sum())
    assert cost - 1 <= lost <= cost  # every second body lacks a joint already


@settings(max_examples=30)
@given(st.data())
def test_round_trip(tmp_path_factory, data):
    joints, seed = data.draw(st.sampled_from([17, 18, 25, 26, 133])), data.draw(st.integers(0, 999))
    frames, first = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 10**12))
    body = detections(seed, frames, 1, joints)
    path = write(tmp_path_factory.mktemp("pose") / "take", list(body), first=first)
    motion = readers.read(path)
    kept = len(motion.layout)
    assert kept == joints
    expected = body[:, :, :kept].astype(np.float32)
    expected[expected[..., 2] == 0] = 0
    np.testing.assert_array_equal(motion.joints, expected[..., :2])
    np.testing.assert_array_equal(motion.confidence, expected[..., 2])
    assert motion.extra["first_frame"] == first


def test_identity_goes_before_position(tmp_path):
    a, b = detections(0, 2, 25)
    frames = [np.stack([a, b]), np.stack([a, b]), np.stack([b, a])]
    by_place = readers.read(write(tmp_path / "one", frames))
    np.testing.assert_array_equal(by_place.joints[0], by_place.joints[2])
    by_name = readers.read(write(tmp_path / "two", frames, ids=[[3, 8], [3, 8], [3, 8]]))
    np.testing.assert_array_equal(by_name.joints[0], by_name.joints[2][::-1])
    assert (by_place.extra["followed"], by_name.extra["followed"]) == ("position", "id")


def test_missing_frames_have_nobody(tmp_path):
    path = write(tmp_path / "take", list(detections(1, 5, 1, 18)))
    (path / "walk_000000000002_keypoints.json").unlink()
    motion = readers.read(path)
    assert (motion.confidence[:, 0] > 0).any(1).tolist() == [True, True, False, True, True]


def test_several_takes_in_a_folder(tmp_path):
    for take, seed in (("a_1", 0), ("b-2", 1), ("", 2)):
        name = f"{take}_" if take else ""
        write(tmp_path / "all", list(detections(seed, 3, 1, 25)), name=name + "{:012d}_keypoints.json")
    motions = list(readers.read_all(tmp_path / "all"))
    assert {motion.source for motion in motions} == {"all#", "all#a_1", "all#b-2"}
    assert {motion.extra.get("recording") for motion in motions} == {None, "a_1", "b-2"}
    one = next(motion for motion in motions if motion.source == "all#a_1")
    np.testing.assert_array_equal(one.joints[:, 0, 0], detections(0, 3, 1, 25)[:, 0, 0, :2].astype(np.float32))


def test_a_bad_take_does_not_stop_the_others(tmp_path):
    for take in "abc":
        write(tmp_path / "all", list(detections(0, 2, 1, 25)), name=take + "_{:012d}_keypoints.json")
    (tmp_path / "all" / "a_000000000001_keypoints.json").write_text("{")
    found = readers.read_all(tmp_path / "all")
    assert [next(found).source, next(found).source] == ["all#b", "all#c"]
    with pytest.raises(InputError, match=r"a_000000000001_keypoints\.json: not readable as JSON"):
        next(found)


def test_files_by_other_tools(tmp_path):
    """Named without ``_keypoints``: recognised by what the first of them holds; other numbered json is not."""
    path = write(tmp_path / "cam1_json", list(detections(3, 3, 1, 26)), name="cam1_{:06d}.json")
    motion = readers.read(path)
    assert (motion.layout.name, len(motion)) == ("halpe26", 3)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "000.json").write_text('{"bodies": []}')
    with pytest.raises(InputError, match="no recording of a known format"):
        readers.detect(tmp_path / "other")


def test_one_frame_alone(tmp_path):
    path = SAMPLES["openpose"].write(tmp_path)
    motion = readers.read(tmp_path / FRAME.format(1))
    whole = readers.read(path)
    assert (len(motion), motion.persons, motion.extra["first_frame"]) == (1, 2, 1)
    assert sorted(motion.joints[0].tolist()) == sorted(whole.joints[1].tolist())


def test_three_dimensions(tmp_path):
    body = np.random.default_rng(0).normal(size=(4, 1, 25, 4))
    body[..., 3] = 1
    body[1, 0, 3] = 0
    motion = readers.read(write(tmp_path / "take", list(body), key="pose_keypoints_3d"))
    assert (motion.coords, motion.up, motion.unit) == (3, None, "1")
    np.testing.assert_array_equal(motion.joints, body[..., :3].astype(np.float32))
    np.testing.assert_array_equal(motion.confidence, body[..., 3])


def test_nobody_at_all(tmp_path):
    with pytest.raises(InputError, match="take: nobody in any of 2 frames"):
        readers.read(write(tmp_path / "take", [np.zeros((0, 25, 3))] * 2))
    with pytest.raises(InputError, match="none: nobody is seen in any of 2 frames"):
        readers.read(write(tmp_path / "none", [np.zeros((1, 25, 3))] * 2))


def test_numbered_files_of_other_kinds_are_no_frames(tmp_path):
    write(tmp_path, list(detections(0, 3, 1, 25)), name="{:06d}.json")
    (tmp_path / "scene_1.json").write_text('{"frames": []}')
    (tmp_path / "000099.json").write_text("{}")
    assert readers.takes(tmp_path) == 1
    units = [tmp_path, tmp_path / "000099.json", tmp_path / "scene_1.json"]
    assert list(readers.sources(tmp_path)) == units
    assert len(readers.read(tmp_path)) == 3


def test_prepare_end_to_end(tmp_path):
    """Two folders of frames, one of them of another layout, a bad one among them, labels by folder."""
    src = tmp_path / "src"
    write(src / "walk" / "a", list(detections(0, 4, 2, 25)))
    write(src / "run" / "b", list(detections(1, 3, 1, 18)))
    write(src / "run" / "bad", list(detections(2, 3, 1, 18)))
    for k in range(2):  # of three
        file = src / "run" / "bad" / f"walk_{k:012d}_keypoints.json"
        file.write_text('{"people": [{"pose_keypoints_2d": [1]}]}')
    done = kineme("prepare", src, tmp_path / "store", "--layout", "pose13", "--labels", "folder", "--normalise", "none")
    assert "1 skipped" in done.stdout
    store = Store(tmp_path / "store")
    assert store.clips["id"].to_pylist() == ["run/b", "walk/a"]
    assert store.clips["label"].to_pylist() == ["run", "walk"]
    assert (store.layout.name, store.coords, store.persons) == ("pose13", 2, 2)
    body = detections(1, 3, 1, 18)[:, 0]
    order = [skeleton.layout("openpose18").joints.index(name) for name in skeleton.layout("pose13").joints]
    expected = np.where(body[..., 2:] > 0, body[..., :2], 0)[:, order].astype(np.float32)
    np.testing.assert_array_equal(store.frames[:3, 0], expected)
    aside = json.loads((tmp_path / "store" / "skipped.jsonl").read_text())
    assert aside["file"] == "run/bad"
    assert "walk_000000000000_keypoints.json" in aside["reason"]


def test_prepare_of_one_recording(tmp_path):
    kineme("prepare", write(tmp_path / "take", list(detections(0, 4, 1, 25))), tmp_path / "store")
    assert Store(tmp_path / "store").clips["id"].to_pylist() == ["take"]


# ------------------------------------------------------------------------------------- what is mended, what is told


def made(layout: str, frames: int = 6, seed: int = 0) -> np.ndarray:
    """People who look like people, as seen by a detector: ``[frames, 1, V, 3]``."""
    clip = next(kineme_synth.generate(1, seed=seed, layout=layout, cameras=1))
    return np.concatenate([clip.joints[:frames, :1, :, :2], clip.confidence[:frames, :1, :, None]], -1).astype(float)


def test_a_broken_frame_costs_itself(tmp_path):
    """Torn, empty, of another kind, of NaN: those frames have nobody in them, the others stay where they are."""
    body = made("body25", 12)
    path = write(tmp_path / "take", list(body))
    whole = readers.read(path)
    names = sorted(file.name for file in path.iterdir())
    for k, content in ((0, '{"people": [{"pose'), (4, ""), (7, "[1, 2]"), (11, '{"people": 3}')):
        (path / names[k]).write_text(content)
    motion = readers.read(path)
    assert len(motion) == 12
    assert np.flatnonzero(~(motion.confidence[:, 0] > 0).any(1)).tolist() == [0, 4, 7, 11]
    kept = [k for k in range(12) if k not in (0, 4, 7, 11)]
    np.testing.assert_array_equal(motion.joints[kept], whole.joints[kept])
    assert list(motion.notes.values()) == [4]
    for name in names[:6]:
        (path / name).write_text("{")
    with pytest.raises(InputError, match=names[0]):
        readers.read(path)


@pytest.mark.parametrize("value", [float("nan"), None, float("inf"), -float("inf"), 1e39, "x", ""])
def test_a_joint_that_is_no_number_is_missing(value, tmp_path):
    # case 11-nan-in-a-frame-file of the public reports
    body = made("body25")
    path = write(tmp_path / "take", list(body))
    file = path / "walk_000000000002_keypoints.json"
    content = json.loads(file.read_text())
    content["people"][0]["pose_keypoints_2d"][3 * 4] = value  # x of the right wrist
    content["people"].append({"pose_keypoints_2d": [value] * 75})
    file.write_text(json.dumps(content))
    motion = readers.read(path)
    assert motion.persons == 1
    assert motion.confidence[2, 0, 4] == 0
    body[2, 0, 4] = 0
    np.testing.assert_array_equal(motion.joints[:, 0], body[:, 0, :, :2].astype(np.float32))
    assert sorted(motion.notes.values()) == [1, 1]  # a joint, a person


@pytest.mark.parametrize("lost", [(), (0, 1, 2, 3, 4), (13, 14, 15, 16), (2, 7, 9)])
def test_the_order_of_body25b_is_seen(lost, tmp_path):
    # case 24-25-keypoints-in-another-order of the public reports
    body = made("body25b")
    body[:, :, list(lost)] = 0
    motion = readers.read(write(tmp_path / "take", list(body)))
    assert motion.layout.name == "body25b"
    np.testing.assert_array_equal(motion.joints[:, 0], body[:, 0, :, :2].astype(np.float32))
    assert [words for words in motion.notes if "body25b" in words]
    asked = readers.read(tmp_path / "take", table={"keypoints": "body25"})
    assert (asked.layout.name, asked.notes) == ("body25", {})


@pytest.mark.parametrize(
    ("layout", "found"),
    [
        ("body25", "body25"),
        ("openpose18", "openpose18"),
        ("coco17", "coco17"),
        ("h36m17", "h36m17"),
        ("ntu25", "ntu25"),
    ],
)
def test_other_orders(layout, found, tmp_path):
    for seed in range(4):
        body = made(layout, seed=seed)
        motion = readers.read(write(tmp_path / f"{seed}", list(body)))
        assert motion.layout.name == found
        assert bool(motion.notes) == (layout in ("h36m17", "ntu25"))


def test_coco_with_a_neck_behind_it(tmp_path):
    body = made("coco17")
    neck = body[:, :, 5:7].mean(2, keepdims=True)
    motion = readers.read(write(tmp_path / "take", list(np.concatenate([body, neck], 2))))
    assert motion.layout.name == "coco17"
    np.testing.assert_array_equal(motion.joints[:, 0], body[:, 0, :, :2].astype(np.float32))


def test_an_order_that_is_asked_for(tmp_path):
    path = write(tmp_path / "take", list(made("body25b")))
    with pytest.raises(InputError, match="at least 33 numbers"):
        readers.read(path, table={"keypoints": "mediapipe33"})
    assert readers.read(path, table={"keypoints": "coco17"}).layout.name == "coco17"  # its 17 stand first


@pytest.mark.parametrize("name", ["{:04d}_rgb_keypoints.json", "frame{}_left_keypoints.json", "{}_cam2_keypoints.json"])
def test_the_number_inside_the_name(name, tmp_path):
    body = made("body25", 12)
    path = write(tmp_path / "take", list(body), name=name)
    assert readers.detect(path) == "openpose"
    assert list(readers.sources(tmp_path)) == [path]
    motion = readers.read(path)
    np.testing.assert_array_equal(motion.joints[:, 0], body[:, 0, :, :2].astype(np.float32))


def test_times_in_names_give_the_rate(tmp_path):
    body = made("body25", 12)
    for k, one in enumerate(body):
        write(tmp_path / "take", [one], name=f"{1700000000000 + 40 * k}_keypoints.json")
    motion = readers.read(tmp_path / "take")
    assert (len(motion), motion.fps) == (12, pytest.approx(25))
    np.testing.assert_array_equal(motion.joints[:, 0], body[:, 0, :, :2].astype(np.float32))


def test_photographs_are_read_one_by_one(tmp_path):
    body = made("body25", 3)
    for one, name in zip(body, ("anna", "ben", "cleo")):
        write(tmp_path / "all", [one], name=f"{name}_keypoints.json")
    assert len(list(readers.sources(tmp_path))) == 3
    done = kineme("prepare", tmp_path / "all", tmp_path / "store")
    assert "3 clips, 3 frames" in done.stdout
    assert "taken as photographs, each a clip of one frame: 3" in done.stdout


def test_three_dimensions_tell_unit_and_up(tmp_path):
    clip = next(kineme_synth.generate(1, layout="coco17", cameras=0, coords=3))
    joints = clip.joints[:6, :1] * 1000
    joints = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], -1)
    body = np.concatenate([joints, np.ones_like(joints[..., :1])], -1)
    motion = readers.read(write(tmp_path / "take", list(body), key="pose_keypoints_3d"))
    assert (motion.coords, motion.unit, motion.up) == (3, "mm", "+z")
    assert len(motion.notes) == 2


def test_what_is_read_can_be_said(tmp_path):
    path = write(tmp_path / "take", list(made("body25b")))
    told = kineme("prepare", path, tmp_path / "told")
    assert "25 keypoints lie in the order of body25b, not body25: 6" in told.stdout
    done = kineme("prepare", path, tmp_path / "said", "--read", "keypoints=body25")
    assert "in the order of" not in done.stdout
    assert Store(tmp_path / "told").layout.name == "body25b"
    assert Store(tmp_path / "said").layout.name == "body25"
    for word, message in (
        ("keypoints", "--read keypoints: no setting. Expected NAME=VALUE"),
        ("keypoints=body26", "keypoints: 'body26'. Expected one of"),
        ("order=body25", "setting 'order': no format knows it"),
    ):
        failed = kineme("prepare", path, tmp_path / "no", "--read", word, check=False)
        assert failed.returncode == 2
        assert message in failed.stderr
    assert not (tmp_path / "no").exists()
