"""COCO keypoints: figures of real files, videos and photographs, tracks, names of joints, MMPose's form, prepare."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.detectors import detections
from helpers.sample import attempt
from helpers.training import kineme
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme import synth
from kineme.data.store import Store
from kineme.motion import joint_map
from kineme.motion import layout as skeleton
from kineme.motion.motion import UNSURE
from kineme.utils.errors import InputError


def results(bodies: np.ndarray, name: str = "{}.jpg", first: int = 1, **more: list) -> list[dict]:
    """An entry for each body of ``[images, persons, joints, 3]``."""
    return [
        {
            "image_id": name.format(first + k) if name else first + k,
            "category_id": 1,
            "score": 1.2,
            "keypoints": body.ravel().tolist(),
            **{key: values[m] for key, values in more.items()},
        }
        for k, persons in enumerate(bodies)
        for m, body in enumerate(persons)
    ]


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def points(motion) -> np.ndarray:
    return np.concatenate([motion.joints, motion.confidence[..., None]], -1)


def expected(bodies: np.ndarray) -> np.ndarray:
    bodies = bodies.astype(np.float32)
    return np.where(bodies[..., 2:] > 0, bodies, 0)


def test_real_photographs(data_dir):
    path = data_dir / "formats" / "coco" / "test_coco.json"
    content = json.loads(path.read_text())
    assert readers.detect(path) == "coco"
    motions = list(readers.read_all(path))
    assert [motion.extra["image"] for motion in motions] == [image["file_name"] for image in content["images"]]
    assert [motion.image_size for motion in motions] == [(i["width"], i["height"]) for i in content["images"]]
    assert {(len(m), m.layout.name, m.up, m.unit) for m in motions} == {(1, "coco17", "-y", "px")}
    assert sum((motion.confidence > 0).sum() for motion in motions) == 181
    assert len(content["annotations"]) == 14
    bodies = [entry for entry in content["annotations"] if entry["num_keypoints"]]
    assert sum(motion.persons for motion in motions) == len(bodies) == 12
    for entry in bodies:
        body = np.minimum(np.array(entry["keypoints"], np.float32).reshape(17, 3), [np.inf, np.inf, 1])
        motion = motions[[image["id"] for image in content["images"]].index(entry["image_id"])]
        assert any(np.array_equal(points(motion)[0, m], body) for m in range(motion.persons))


def test_real_tracks_of_posetrack(data_dir):
    motion = readers.read(data_dir / "formats" / "posetrack18" / "003418_mpii_test.json")
    assert (len(motion), motion.persons, motion.image_size) == (1, 1, (1920, 1080))
    assert (motion.confidence > 0).sum() == 11
    assert (motion.extra["video"], motion.extra["followed"], motion.extra["first_frame"]) == ("003418", "id", 0)
    assert motion.layout.name == "free"  # its 17 joints are not those of COCO
    assert motion.layout.joints[1:3] == ("head_bottom", "head_top")
    np.testing.assert_array_equal(motion.joints[0, 0, motion.layout.joints.index("nose")], [621, 471])


def test_real_videos_of_jhmdb(data_dir):
    path = data_dir / "formats" / "jhmdb_json" / "test_jhmdb_sub1.json"
    motions = list(readers.read_all(path))
    assert [motion.source for motion in motions] == [f"{path.name}#{video}" for video in ("00228", "00229", "00230")]
    for motion in motions:
        assert (motion.joints.shape, motion.image_size) == ((1, 1, 15, 2), (320, 240))
        layout = motion.layout
        assert layout.name == "jhmdb15"
        assert layout.joints[:3] == ("neck", "belly", "head")
        assert {layout.joints[i] for i in layout.root} == {"left_hip", "right_hip"}
        assert layout.parents.count(-1) == 1
        made = joint_map.joint_map(layout, skeleton.layout("pose13"))
        assert made.missing == ()
        assert "nose" in made.virtual


@settings(max_examples=30)
@given(
    seed=st.integers(0, 999),
    images=st.integers(1, 6),
    joints=st.sampled_from([17, 26, 133, 136]),
    name=st.sampled_from(["{}.jpg", "cam/{:06d}.png", "a\\frame-{:04d}.jpg", "img_{:012d}", ""]),
    first=st.integers(0, 10**8),
)
def test_round_trip(tmp_path_factory, seed, images, joints, name, first):
    bodies = detections(seed, images, 1, joints)
    entries = results(bodies, name, first)
    order = np.random.default_rng(seed).permutation(len(entries))
    path = write(tmp_path_factory.mktemp("coco") / "results.json", [entries[i] for i in order])
    motion = readers.read(path)
    np.testing.assert_array_equal(points(motion), expected(bodies))
    assert motion.layout.name == {17: "coco17", 26: "halpe26", 133: "coco_wholebody133", 136: "halpe136"}[joints]
    assert motion.extra["first_frame"] == first
    assert motion.source == "results.json"


def test_the_whole_body_in_parts(tmp_path):
    """COCO-WholeBody's own files have feet, face and hands beside the body."""
    bodies = detections(8, 3, 1, 133)
    entries = results(bodies)
    for entry in entries:
        row = entry["keypoints"]
        ends = np.cumsum([0, 17, 6, 68, 21, 21]) * 3
        names = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
        entry |= {name: row[low:high] for name, low, high in zip(names, ends, ends[1:])}
    content = {
        "images": [{"id": k, "file_name": f"{k}.jpg"} for k in (1, 2, 3)],
        "annotations": [{**entry, "image_id": k} for k, entry in enumerate(entries, 1)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.layout("coco17").joints)}],
    }
    for written in (entries, content):
        motion = readers.read(write(tmp_path / "r.json", written))
        assert motion.layout.name == "coco_wholebody133"
        np.testing.assert_array_equal(points(motion), expected(bodies))
    del content["annotations"][1]["face_kpts"]
    content["annotations"][2]["lefthand_kpts"] = "x"
    motion = readers.read(write(tmp_path / "r.json", content))
    bodies[1, 0, 23:91] = bodies[2, 0, 91:112] = 0
    np.testing.assert_array_equal(points(motion), expected(bodies))


def test_the_whole_body_by_the_names_of_mmpose(tmp_path):
    layout = skeleton.layout("coco_wholebody133")
    names = [name.replace("face_", "face-") for name in layout.joints]
    bodies = detections(9, 3, 1, 133)
    content = {
        "meta_info": {"dataset_name": "coco_wholebody", "keypoint_id2name": {str(k): n for k, n in enumerate(names)}},
        "instance_info": [
            {"frame_id": k, "instances": [{"keypoints": b[0, :, :2].tolist(), "keypoint_scores": b[0, :, 2].tolist()}]}
            for k, b in enumerate(bodies, 1)
        ],
    }
    motion = readers.read(write(tmp_path / "r.json", content))
    assert motion.layout is layout
    np.testing.assert_array_equal(points(motion), expected(bodies))


def test_numbers_not_texts_put_images_in_order(tmp_path):
    bodies = detections(1, 12, 1, 17)
    entries = sorted(results(bodies), key=lambda entry: entry["image_id"])  # 1, 10, 11, 12, 2
    np.testing.assert_array_equal(points(readers.read(write(tmp_path / "r.json", entries))), expected(bodies))


@pytest.mark.parametrize("key", ["track_id", "tracking_id", "idx"])
def test_tracks_go_before_position(key, tmp_path):
    a, b = detections(2, 2, 17)
    frames = np.stack([[a, b], [a, b], [b, a]])
    motion = readers.read(write(tmp_path / "r.json", results(frames, **{key: [1, 2]})))
    assert motion.extra["followed"] == "id"
    np.testing.assert_array_equal(motion.joints[0], motion.joints[2][::-1])
    motion = readers.read(write(tmp_path / "r.json", results(frames, **{key: [[0.0], [0.0]]})))
    assert motion.extra["followed"] == "position"
    np.testing.assert_array_equal(motion.joints[0], motion.joints[2])


def test_several_videos_in_a_file(tmp_path):
    one, two = detections(3, 4, 1, 17), detections(4, 3, 1, 17)
    entries = results(one, "x/{:05d}.jpg") + results(two, "y/{:05d}.jpg", first=7)
    motions = list(readers.read_all(write(tmp_path / "r.json", entries)))
    assert [(m.source, m.extra["video"], m.extra["first_frame"]) for m in motions] == [
        ("r.json#x", "x", 1),
        ("r.json#y", "y", 7),
    ]
    np.testing.assert_array_equal(points(motions[1]), expected(two))


@pytest.mark.parametrize(
    "name",
    ["walk/{:04d}_rgb.png", "frame{}_left.jpg", "{}_cam1.png", "clip_mp4-{:04d}_jpg.rf.{hash}.jpg", "{time:.3f}.png"],
)
@pytest.mark.parametrize("annotated", [False, True])
def test_the_number_inside_the_name(name, annotated, tmp_path):
    # case 06-frame-number-inside-the-name of the public reports
    chance = np.random.default_rng(0)
    bodies = detections(1, 12, 1, 17)
    entries = results(bodies)
    for k, entry in enumerate(entries):
        code = "".join(chance.choice(list("0123456789abcdef"), 32))
        entry["image_id"] = name.format(k, hash=code, time=1700000000 + k / 25)
    entries = [entries[i] for i in chance.permutation(12)]
    content: object = entries
    if annotated:
        names = [entry["image_id"] for entry in entries]
        content = {
            "images": [{"id": 500 - k, "file_name": name} for k, name in enumerate(names)],
            "annotations": [{**entry, "image_id": 500 - k} for k, entry in enumerate(entries)],
        }
    motion = readers.read(write(tmp_path / "r.json", content))
    np.testing.assert_array_equal(points(motion), expected(bodies))
    assert not any("photographs" in words for words in motion.notes)
    assert motion.fps == (pytest.approx(25) if "time" in name else None)
    asked = list(readers.read_all(tmp_path / "r.json", options=readers.Options(table={"images": "photos"})))
    assert (len(asked), {len(m) for m in asked}) == (12, {1})
    assert not any("photographs" in words for m in asked for words in m.notes)


def test_photographs_are_counted_and_can_be_joined(tmp_path):
    bodies = detections(5, 4, 1, 17)
    path = write(tmp_path / "src" / "r.json", results(bodies))
    names = [f"day/{name}.jpg" for name in ("anna", "ben", "cleo 10", "dora 9")]
    write(path, [{**entry, "image_id": name} for entry, name in zip(results(bodies), names)])
    done = kineme("prepare", path.parent, tmp_path / "store")
    assert "images taken as photographs, each a clip of one frame: 4 (in r.json)" in done.stdout
    motion = readers.read(path, table={"images": "video"})
    assert (motion.extra["video"], len(motion)) == ("day", 4)
    np.testing.assert_array_equal(points(motion), expected(bodies))
    with pytest.raises(InputError, match=r"images: 'film'. Expected one of video, photos"):
        readers.read(path, table={"images": "film"})


def test_the_number_inside_the_name_of_a_stated_video(tmp_path):
    bodies = detections(6, 12, 1, 17)
    content = {
        "images": [{"id": k * 7919 % 541, "file_name": f"{k}_left.jpg", "vid_id": 3} for k in range(12)],
        "annotations": [{**entry, "image_id": k * 7919 % 541} for k, entry in enumerate(results(bodies))],
    }
    motion = readers.read(write(tmp_path / "r.json", content))
    np.testing.assert_array_equal(points(motion), expected(bodies))


@pytest.mark.parametrize("value", [float("nan"), None, float("inf"), 1e39, "", "x"])
def test_a_joint_that_is_no_number_is_missing(value, tmp_path):
    bodies = detections(7, 5, 1, 17)
    entries = results(bodies)
    entries[2]["keypoints"][3 * 6 + 1] = value
    entries[4]["keypoints"] = [value] * 51
    motion = readers.read(write(tmp_path / "r.json", entries))
    bodies[2, 0, 6] = 0
    bodies[4] = 0
    np.testing.assert_array_equal(points(motion), expected(bodies))
    assert list(motion.notes.values()).count(1) >= 2


def test_keypoints_in_another_order(tmp_path):
    clip = next(synth.generate(1, layout="h36m17", cameras=1))
    bodies = np.concatenate([clip.joints[:6, :1, :, :2] * 500 + 600, clip.confidence[:6, :1, :, None]], -1)
    path = write(tmp_path / "r.json", results(bodies))
    motion = readers.read(path)
    assert motion.layout.name == "h36m17"
    assert any("in the order of h36m17, not coco17" in words for words in motion.notes)
    assert readers.read(path, table={"keypoints": "coco17"}).layout.name == "coco17"


def test_photographs_are_clips_of_their_own(tmp_path):
    bodies = detections(5, 3, 1, 17)
    scattered = [{**entry, "image_id": number} for entry, number in zip(results(bodies), (785, 40083, 196141))]
    named = [{**entry, "image_id": name} for entry, name in zip(results(bodies), ("anna.jpg", "ben.jpg", "cleo.jpg"))]
    for entries, names in ((scattered, ["785", "40083", "196141"]), (named, ["anna.jpg", "ben.jpg", "cleo.jpg"])):
        motions = list(readers.read_all(write(tmp_path / "r.json", entries)))
        assert [motion.extra["image"] for motion in motions] == names
        assert [motion.source for motion in motions] == [f"r.json#{name}" for name in names]
        np.testing.assert_array_equal(np.stack([points(m)[0] for m in motions]), expected(bodies))


def test_images_without_people_are_frames_of_a_video(tmp_path):
    body = detections(6, 1, 1, 17)
    entry = results(body, "")[0]
    images = [{"id": k, "file_name": f"{k:03d}.jpg", "width": 64, "height": 48} for k in range(1, 6)]
    content = {"images": images, "annotations": [{**entry, "image_id": 3}, {"image_id": 4, "bbox": [1, 2, 3, 4]}]}
    motion = readers.read(write(tmp_path / "a.json", content))
    assert (motion.confidence[:, 0] > 0).any(1).tolist() == [False, False, True, False, False]
    assert motion.image_size == (64, 48)
    with pytest.raises(InputError, match=r"a\.json: nobody in any of 5 images"):
        readers.read(write(tmp_path / "a.json", {"images": images, "annotations": []}))


def test_visibility_of_annotations(tmp_path):
    body = np.full((1, 1, 17, 3), 2.0)
    body[..., :2] = 50
    body[0, 0, 3:5, 2] = 1, 0
    motion = readers.read(write(tmp_path / "r.json", results(body)))
    assert motion.confidence[0, 0, :5].tolist() == [1, 1, 1, 1, UNSURE]  # placed, though by a guess


def test_results_that_state_no_confidence(tmp_path):
    body = detections(7, 2, 1, 17)
    body[..., 2] = 0
    body[0, 0, 3] = 0
    motion = readers.read(write(tmp_path / "r.json", results(body)))
    assert (motion.confidence == 0).sum() == 2  # that one, and the one that is (0, 0) in the sample
    np.testing.assert_array_equal(motion.joints, body[..., :2].astype(np.float32))


def test_joints_by_name(tmp_path):
    """Names of another order than COCO's, with a skeleton that has a ring; of a category without keypoints, nothing."""
    names = ["hip", "neck", "head", "left_hand", "tail"]
    body = detections(8, 2, 1, 5)
    content = {
        "images": [{"id": k, "file_name": f"{k}.jpg"} for k in range(2)],
        "annotations": [{**entry, "category_id": 4, "image_id": k} for k, entry in enumerate(results(body))]
        + [{"image_id": 0, "category_id": 9, "keypoints": []}],
        "categories": [
            {"id": 9, "name": "ball"},
            {"id": 4, "name": "dog", "keypoints": names, "skeleton": [[1, 2], [2, 3], [3, 1], [2, 4]]},
        ],
    }
    motion = readers.read(write(tmp_path / "dogs.json", content))
    assert motion.layout.joints == tuple(names)
    assert motion.layout.parents == (-1, 0, 0, 1, -1)
    np.testing.assert_array_equal(points(motion), expected(body))


@pytest.mark.parametrize("wrapped", [True, False])
def test_what_mmpose_writes(wrapped, tmp_path):
    body = detections(9, 3, 2, 17)
    frames = [
        {
            "frame_id": k,
            "instances": [
                {"keypoints": one[:, :2].tolist(), "keypoint_scores": one[:, 2].tolist(), "bbox": [[0, 0, 9, 9]]}
                for one in two
            ],
        }
        for k, two in enumerate(body, 1)
    ]
    names = {str(k): name for k, name in enumerate(skeleton.layout("coco17").joints)}
    content = {"meta_info": {"keypoint_id2name": names, "skeleton_links": [[15, 13]]}, "instance_info": frames}
    path = write(tmp_path / "results.json", content if wrapped else frames)
    assert readers.detect(path) == "coco"
    motion = readers.read(path)
    assert (motion.layout.name, len(motion), motion.extra["first_frame"]) == ("coco17", 3, 1)
    assert sorted(map(tuple, points(motion).reshape(-1, 3))) == sorted(map(tuple, expected(body).reshape(-1, 3)))
    frames[1]["instances"][0]["keypoint_scores"].pop()
    motion = readers.read(write(tmp_path / "results.json", frames))
    assert ((motion.confidence > 0).any(2).sum(1)).tolist() == [2, 1, 2]
    assert 1 in motion.notes.values()
    for frame in frames:
        frame["instances"] = [{"bbox": [1]}]
    with pytest.raises(
        InputError, match=r"results\.json, frame 0: an instance without keypoints \(its keys are bbox\)"
    ):
        readers.read(write(tmp_path / "results.json", frames))


def lifted(layout: str, frames: int = 6) -> np.ndarray:
    """A person in space ``[frames, V, 3]`` in metres, z upwards, as lifting gives it."""
    clip = next(synth.generate(1, layout=layout, cameras=0, coords=3))
    x, y, z = np.moveaxis(clip.joints[:frames, 0], -1, 0)
    return np.stack([x, -z, y], -1).astype(np.float64)


MMPOSE_H36M = [
    *("root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine", "thorax"),
    *("neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
]


@pytest.mark.parametrize("layout", ["h36m17", "coco17"])
@pytest.mark.parametrize("meta", ["names", "data set", "none"])
@pytest.mark.parametrize("nested", [False, True])
def test_predictions_in_space(layout, meta, nested, tmp_path):
    # case 27-predictions-in-space of the public reports
    if layout == "coco17" and meta == "data set":
        pytest.skip("the data set of this name is the other")
    body = lifted(layout)
    scores = [0.5] * 17
    frames = [
        {
            "frame_id": k,
            "instances": [
                {
                    "keypoints": [one.tolist()] if nested else one.tolist(),
                    "keypoint_scores": [scores] if nested else scores,
                }
            ],
        }
        for k, one in enumerate(body)
    ]
    names = MMPOSE_H36M if layout == "h36m17" else skeleton.layout(layout).joints
    about = {
        "names": {"keypoint_id2name": {str(k): names[k] for k in reversed(range(17))}},
        "data set": {"dataset_name": "h36m"},
        "none": None,
    }[meta]
    content = frames if about is None else {"meta_info": about, "instance_info": frames}
    motion = readers.read(write(tmp_path / "results.json", content))
    assert (motion.layout.name, motion.coords, motion.unit, motion.up) == (layout, 3, "m", "+z")
    np.testing.assert_array_equal(motion.joints[:, 0], body.astype(np.float32))
    assert (motion.confidence == 0.5).all()
    assert any("unit is taken to be m" in words for words in motion.notes)
    assert any("up axis is taken to be +z" in words for words in motion.notes)
    frames[2]["instances"][0]["keypoints"] = None
    frames[3]["instances"].append({"keypoints": body[3, :, :2].tolist(), "keypoint_scores": scores})  # of another kind
    del frames[4]["instances"][0]["keypoint_scores"]
    motion = readers.read(write(tmp_path / "results.json", content))
    assert (motion.confidence[:, 0, 0]).tolist() == [0.5, 0.5, 0, 0.5, 1, 0.5]


def test_pixels_with_a_score_are_no_place_in_space(tmp_path):
    body = detections(4, 5, 1, 17)
    frames: list = [{"frame_id": k, "instances": [{"keypoints": one[0].tolist()}]} for k, one in enumerate(body)]
    motion = readers.read(write(tmp_path / "results.json", [None, *frames]))
    np.testing.assert_array_equal(points(motion), expected(body))
    assert motion.coords == 2


def test_a_torn_entry_at_the_head(tmp_path):
    body = detections(4, 5, 1, 17)
    motion = readers.read(write(tmp_path / "r.json", [None, "x", *results(body)]), "coco")
    np.testing.assert_array_equal(points(motion), expected(body))
    assert 2 in motion.notes.values()


def test_scale_and_posture_that_are_not_plain(tmp_path):
    """A body of no known size that lies down: unit and up axis are not known, and that is said."""
    body = np.roll(lifted("coco17"), 1, axis=-1) * 17
    body[..., 1] *= 0.01
    frames = [
        {"frame_id": k, "instances": [{"keypoints": one.tolist(), "keypoint_scores": [1] * 17}]}
        for k, one in enumerate(body)
    ]
    motion = readers.read(write(tmp_path / "results.json", frames))
    assert motion.unit == "1"
    assert any("unit is not known" in words for words in motion.notes)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(data=st.data())
def test_other_contents(tmp_path_factory, data):
    """Any value anywhere is read or refused with the name of the file."""
    content: dict = {
        "images": [{"id": k, "file_name": f"{k}.jpg", "vid_id": "1", "width": 9, "height": 9} for k in range(3)],
        "annotations": [
            {**entry, "category_id": 1, "image_id": k, "track_id": 0}
            for k, entry in enumerate(results(detections(0, 3, 1, 17)))
        ],
        "categories": [{"id": 1, "keypoints": list(skeleton.layout("coco17").joints), "skeleton": [[1, 2]]}],
    }
    part = data.draw(st.sampled_from(sorted(content)))
    key = data.draw(st.sampled_from(sorted(content[part][0])))
    content[part][0][key] = data.draw(VALUES)
    if data.draw(st.booleans()):
        content[data.draw(st.sampled_from(sorted(content)))] = data.draw(VALUES)
    path = write(tmp_path_factory.mktemp("coco") / "entries.json", content)
    attempt(path, lambda path: list(readers.read_all(path, "coco")))


def test_prepare_end_to_end(tmp_path):
    src = tmp_path / "src"
    write(src / "walk.json", results(detections(0, 4, 2, 17), track_id=[0, 1]))
    write(src / "run.json", results(detections(1, 3, 1, 26)))
    write(src / "bad.json", results(detections(2, 3, 1, 5)))
    for layout in ("coco17", "pose13"):
        done = kineme("prepare", src, tmp_path / layout, "--layout", layout)
        assert "1 skipped" in done.stdout
        assert "bad.json, entry 0: numbers of shape [15]" in done.stdout
        store = Store(tmp_path / layout)
        assert (store.clips["id"].to_pylist(), store.clips["length"].to_pylist()) == (["run.json", "walk.json"], [3, 4])
        assert (store.layout.name, store.coords, store.persons) == (layout, 2, 2)
        assert np.isfinite(store.frames).all()
        assert store.frames.any()
