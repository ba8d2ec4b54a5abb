"""Labelled sets as arrays: the figures in the description of every curated set, splits, columns, confidence."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from helpers.samples import SAMPLES, write_arrays

from kineme import io as readers
from kineme.io import Options
from kineme.io import arrays as arrays_reader
from kineme.io._following import LEFT_SO, PUT_BACK
from kineme.motion.layout import layout
from kineme.motion.motion import UNSURE, Motion
from kineme.utils.errors import InputError

SETS = ("nw_ucla", "pku_mmd", "penn_action", "cmu_mocap", "bandai_1", "bandai_2")
LAYOUTS = {"nw_ucla": "kinect20", "pku_mmd": "ntu25", "penn_action": "penn13"}


@pytest.fixture(scope="module")
def curated(data_dir):
    """``curated(name)`` -> (description, clips); read once."""
    cache: dict[str, tuple[dict, list[Motion]]] = {}

    def load(name: str) -> tuple[dict, list[Motion]]:
        if name not in cache:
            path = data_dir / name / f"{name}.npz"
            cache[name] = json.loads(path.with_suffix(".json").read_text()), list(readers.read_all(path))
        return cache[name]

    return load


def selected(motions: list[Motion], rule: dict) -> int:
    """How many clips a rule over columns takes."""

    def value(motion: Motion):
        column = rule["column"]
        return getattr(motion, column) if column in ("subject", "camera", "label") else motion.extra[column]

    tests = {
        "in": lambda v, x: v in x,
        "lt": lambda v, x: v < x,
        "ge": lambda v, x: v >= x,
        "prefix": lambda v, x: v.startswith(x),
    }
    ((test, x),) = ((key, x) for key, x in rule.items() if key != "column")
    return sum(tests[test](value(motion), x) for motion in motions)


@pytest.mark.parametrize("name", SETS)
def test_figures_of_the_description(name, curated):
    about, motions = curated(name)
    joints = np.concatenate([motion.joints for motion in motions])
    seen = np.concatenate([motion.confidence for motion in motions])
    assert (len(motions), len(joints)) == (about["n_sequences"], about["n_frames_total"])
    lengths = [len(motion) for motion in motions]
    assert [min(lengths), float(np.median(lengths)), max(lengths)] == list(about["frames_per_sequence"].values())
    counts = Counter(motion.label for motion in motions)
    assert {label: counts[label] for label in about["class_names"]} == about["sequences_per_class"]
    assert {(motion.fps, motion.up, motion.unit) for motion in motions} == {(about["fps"], about["up"], about["units"])}
    assert {motion.extra["dataset"] for motion in motions} == {name}
    assert {motion.layout.name for motion in motions} == {LAYOUTS.get(name, "free")}
    assert list(motions[0].layout.joints) == about["joint_names"]
    if name == "penn_action":  # unseen joints become 0, so means over all joints are not those of the description
        assert (seen == 1).mean() == pytest.approx(0.780, abs=5e-4)
        assert 0.1 < (seen == UNSURE).mean() < 0.22  # guesses; (1, 1) and (0, 0) are none
        return
    np.testing.assert_allclose(joints.reshape(-1, joints.shape[-1]).mean(0, dtype=float), about["mean_xyz"], atol=1e-4)
    assert (~joints[:, 0].any((1, 2))).sum() == about["all_zero_frames"]
    bones = about.get("mean_bone_length") or about["mean_bone_length_first_body"]
    where = {joint: k for k, joint in enumerate(about["joint_names"])}
    present = joints[joints[:, 0].any((1, 2)), 0]
    for bone, length in bones.items():
        a, b = (where[joint] for joint in bone.split("-"))
        assert np.linalg.norm(present[:, a] - present[:, b], axis=1).mean() == pytest.approx(length, abs=2e-3)


@pytest.mark.parametrize("name", SETS)
def test_carried_splits(name, curated, data_dir):
    about, motions = curated(name)
    splits = readers.carried_splits(data_dir / name / f"{name}.npz")
    assert splits.keys() == {key for key, split in about["splits"].items() if isinstance(split, dict)}
    for key, split in splits.items():
        for part in ("train", "test"):
            if f"{part}_count" in about["splits"][key]:
                assert selected(motions, split[part]) == about["splits"][key][f"{part}_count"]
        assert selected(motions, split["train"]) + selected(motions, split["test"]) == len(motions)


def test_carried_rules(data_dir):
    def splits(name: str) -> dict:
        return readers.carried_splits(data_dir / name / f"{name}.npz")

    assert splits("nw_ucla")["xview"] == {
        "train": {"column": "camera", "in": [1, 2]},
        "test": {"column": "camera", "in": [3]},
    }
    assert splits("pku_mmd")["dev_xvideo"] == {
        "train": {"column": "subject", "lt": 256},
        "test": {"column": "subject", "ge": 256},
    }
    assert splits("pku_mmd")["dev_xview"]["train"] == {"column": "camera", "in": [2, 3]}
    assert splits("penn_action")["official"]["test"] == {"column": "split", "in": [-1]}
    described = readers.described_splits(data_dir / "pku_mmd" / "pku_mmd.npz")
    assert set(described) == {"official"}
    assert described["official"].startswith("all of these videos are in the training part")
    assert splits("cmu_mocap")["official"]["train"] == {"column": "name", "prefix": "train/"}


def test_clips_of_nw_ucla(curated):
    _, motions = curated("nw_ucla")
    assert Counter(motion.camera for motion in motions) == {1: 516, 2: 504, 3: 464}
    assert len({motion.subject for motion in motions}) == 10
    assert sorted(motion.source for motion in motions if len(motion) == 1) == ["a02_s09_e04_v02", "a02_s09_e04_v03"]
    performances = Counter(motion.extra["performance"] for motion in motions)
    assert len(performances) == 548
    assert sum(count == 3 for count in performances.values()) == 433
    first = next(motion for motion in motions if motion.source == "a01_s01_e00_v02")
    assert (first.subject, first.camera) == (1, 2)
    assert (first.extra["repetition"], first.extra["performance"]) == (0, "a01_s01_e00")


def test_clips_of_pku_mmd(curated):
    about, motions = curated("pku_mmd")
    assert {motion.joints.dtype for motion in motions} == {np.dtype(np.float32)}
    assert {motion.persons for motion in motions} == {2}
    assert sum(motion.confidence[:, 1].any() for motion in motions) == about["sequences_with_second_body"]
    first = np.concatenate([motion.confidence[:, 0, 0] for motion in motions])
    assert (first == 0).sum() == 908
    assert len({motion.subject for motion in motions}) == 65  # numbers of videos
    one = next(motion for motion in motions if motion.source == "0105-L#00")
    assert (one.subject, one.camera, one.label) == (105, 1, "punching/slapping other person")
    assert one.extra == {
        "dataset": "pku_mmd",
        "name": "0105-L#00",
        "performance": "0105#00",
        "repetition": 0,
        "start_end_0": 105,
        "start_end_1": 185,
    }


def test_clips_of_penn_action(curated):
    _, motions = curated("penn_action")
    where = {motion.source: motion for motion in motions}
    first = where["0001"]
    assert (first.label, len(first), first.subject, first.camera, first.extra["split"]) == (
        "baseball_pitch",
        151,
        None,
        "back",
        -1,
    )
    assert first.image_size == (480, 360)
    assert {motion.coords for motion in motions} == {2}
    assert not any(motion.joints[motion.confidence == 0].any() for motion in motions)
    assert Counter(motion.camera for motion in motions).keys() == {"back", "front", "left", "right"}
    assert sum(not motion.joints[k].any() for motion in motions for k in range(len(motion))) >= 2
    assert not any(key.startswith("bbox") for key in first.extra)


def test_clips_of_bandai_2(curated):
    about, motions = curated("bandai_2")
    assert {motion.extra["styles"] for motion in motions} == set(about["style_names"])
    assert all(motion.extra["styles"] in motion.source for motion in motions)
    assert all((motion.confidence == 1).all() for motion in motions)  # joint_Root is at the origin, which is a place
    assert {motion.subject for motion in motions} == {None}


def test_sample(tmp_path):
    one, two = readers.read_all(SAMPLES["arrays"].write(tmp_path))
    assert (one.label, one.subject, one.camera, one.source, one.fps) == ("jump", None, 1, "a", 30.0)
    assert (two.label, two.subject, two.camera, two.source) == ("run", 3, 2, "b")
    assert one.extra == {"dataset": "set", "name": "a", "performance": None, "repetition": 1, "styles": "young"}
    assert one.layout.joints == ("Hips", "Spine", "Head", "Tail")
    np.testing.assert_array_equal(two.confidence[:, 0, 0], [0, 1, 1, 1, 1])
    assert readers.is_side_file(tmp_path / "set.json")


def minimal(path, **more) -> None:
    """Two clips of the joints of coco17 without anything else."""
    rng = np.random.default_rng(0)
    arrays = {"joints": rng.normal(size=(5, 2, 17, 2)), "offsets": np.array([0, 2, 5], np.int32)} | more
    write_arrays(path, arrays, {"joint_names": list(layout("coco17").joints)})


def test_the_least_that_a_set_needs(tmp_path):
    minimal(tmp_path / "mine.npz")
    one, two = readers.read_all(tmp_path / "mine.npz")
    assert (one.joints.shape, two.joints.shape) == ((2, 2, 17, 2), (3, 2, 17, 2))
    assert (one.layout.name, one.unit) == ("coco17", "1")
    assert (one.up, one.fps, one.label, one.subject, one.camera) == (None, None, None, None, None)
    assert (one.source, two.source) == ("mine.npz#0", "mine.npz#1")


def test_confidence_per_person(tmp_path):
    given = np.random.default_rng(1).uniform(0, 1, (5, 2, 17)).round(1)
    joints = np.random.default_rng(2).normal(size=(5, 2, 17, 2))
    joints[given == 0] = np.nan  # where nothing was seen anything may stand
    minimal(tmp_path / "mine.npz", joints=joints, confidence=given)
    one, two = readers.read_all(tmp_path / "mine.npz")
    np.testing.assert_array_equal(np.concatenate([one.confidence, two.confidence]), given.astype(np.float32))
    np.testing.assert_array_equal(
        np.concatenate([one.joints, two.joints]), np.where(given[..., None] > 0, joints, 0).astype(np.float32)
    )


def test_nan_is_missing_and_counts_nobody_else(tmp_path):
    # case 10-one-nan-joint of the public reports
    """Case 10: one joint of one frame; a whole frame; a confidence."""
    joints = np.random.default_rng(3).normal(size=(5, 2, 17, 2))
    joints[1, 0, 7, 1] = joints[3, 1] = np.nan
    minimal(tmp_path / "mine.npz", joints=joints)
    seen = np.concatenate([motion.confidence for motion in readers.read_all(tmp_path / "mine.npz")])
    np.testing.assert_array_equal(np.argwhere(seen[:, 0] == 0), [[1, 7]])
    np.testing.assert_array_equal(seen[:, 1].any(1), [True, True, True, False, True])
    given = np.ones((5, 2, 17))
    given[2, 1, 3] = np.nan
    minimal(tmp_path / "mine.npz", joints=joints, confidence=given)
    again = np.concatenate([motion.confidence for motion in readers.read_all(tmp_path / "mine.npz")])
    assert np.argwhere(again != seen).tolist() == [[2, 1, 3]]


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_what_cannot_be_a_gap_sets_aside_that_clip_alone(value, tmp_path):
    joints = np.random.default_rng(3).normal(size=(5, 2, 17, 2))
    joints[1, 1, 7, 0] = value
    minimal(tmp_path / "mine.npz", joints=joints)
    fault, good = readers.read_each(tmp_path / "mine.npz")
    assert isinstance(fault, InputError)
    assert isinstance(good, Motion)
    assert fault.where == "mine.npz#0"
    assert "frame 1, person 1, joint left_elbow" in str(fault)
    with pytest.raises(InputError, match=r"mine\.npz#0: a coordinate that is infinite or too large"):
        list(readers.read_all(tmp_path / "mine.npz"))


def test_clips_of_no_frames_and_of_nobody(tmp_path):
    joints = np.random.default_rng(3).normal(size=(5, 17, 2))
    joints[1:3] = 0
    minimal(tmp_path / "mine.npz", joints=joints, offsets=np.array([0, 1, 1, 3, 5]))
    found = list(readers.read_each(tmp_path / "mine.npz"))
    assert [isinstance(clip, Motion) for clip in found] == [True, False, False, True]
    assert [str(clip) for clip in found if isinstance(clip, InputError)] == [
        "mine.npz#1: no frames. Expected one or more in every clip, and at most 100663296 coordinates.",
        "mine.npz#2: nobody is seen in any of 2 frames. Expected a person, at least once.",
    ]
    with pytest.raises(InputError, match=r"no frames \(1 more clip of it cannot be used\)"):
        list(readers.read_all(tmp_path / "mine.npz"))


def test_a_clip_that_is_too_long_is_not_unpacked_further(tmp_path, monkeypatch):
    minimal(tmp_path / "mine.npz")
    monkeypatch.setattr(arrays_reader, "MAX_SIZE", 2 * 2 * 17 * 2)
    one, fault = readers.read_each(tmp_path / "mine.npz")
    assert len(one) == 2
    assert str(fault).startswith("mine.npz#1: 3 frames. Expected")


def test_a_bad_label_or_confidence_costs_itself(tmp_path):
    joints = np.random.default_rng(3).normal(size=(400, 17, 2))
    given = np.ones((400, 17))
    given[0, 0], given[1, 0], given[2, 0] = 1.001, -0.5, np.inf
    arrays = {"joints": joints, "confidence": given, "offsets": np.array([0, 100, 200, 300, 400])}
    about = {"joint_names": list(layout("coco17").joints), "class_names": ["a", "b"]}

    def labels(given):
        write_arrays(tmp_path / "mine.npz", arrays | {"labels": np.array(given)}, about)
        return [getattr(clip, "label", clip) for clip in readers.read_each(tmp_path / "mine.npz")]

    first, second, fault, none = labels([0.0, 1.0, 7.0, np.nan])
    assert (first, second, none) == ("a", "b", None)
    assert str(fault) == "mine.npz#2: label 7. Expected indices into the 2 class_names of the json, from 0."
    assert next(readers.read_all(tmp_path / "mine.npz")).confidence[:4, 0, 0].tolist() == [1, UNSURE, 1, 1]
    for wrong in ([1, 1, 1, 2], [0, 1, 2, 3], [1, 2, -1, 1]):  # from 1, or half of them
        with pytest.raises(InputError, match=r"mine\.npz: label 2"):
            labels(wrong)


def test_joints_of_a_known_layout_in_another_order(tmp_path):
    """Recognised, in any spelling, and put in order: joints and confidence."""
    known = layout("ntu25")
    order = np.random.default_rng(0).permutation(25)
    joints = np.random.default_rng(1).normal(size=(5, 25, 3))
    given = np.random.default_rng(2).integers(1, 5, (5, 25)) / 4
    arrays = {"joints": joints[:, order], "confidence": given[:, order], "offsets": np.array([0, 2, 5])}
    for spelling in (str, str.upper, lambda name: f"Kinect:{name.title().replace('_', '')}"):
        write_arrays(tmp_path / "mine.npz", arrays, {"joint_names": [spelling(known.joints[i]) for i in order]})
        one, two = readers.read_all(tmp_path / "mine.npz")
        assert one.layout == two.layout == known
        np.testing.assert_array_equal(np.concatenate([one.joints, two.joints])[:, 0], joints.astype(np.float32))
        np.testing.assert_array_equal(np.concatenate([one.confidence, two.confidence])[:, 0], given)
        assert list(one.notes) == ["sets whose joints are those of ntu25 in another order, put in order"]
        assert not two.notes


def test_people_stay_in_their_places_by_id(tmp_path):
    """The file exchanges them from frame 3 on; ``faithful`` leaves it so, and without ids nothing is touched."""
    joints = np.random.default_rng(3).normal(size=(5, 2, 17, 2))
    joints[:, 1] += 100
    ids = np.tile([7, 8], (5, 1))
    joints[3:], ids[3:] = joints[3:, ::-1], ids[3:, ::-1]
    minimal(tmp_path / "mine.npz", joints=joints, track_ids=ids, offsets=np.array([0, 5]))
    motion = readers.read(tmp_path / "mine.npz")
    assert ((motion.joints > 50) == np.array([False, True])[:, None, None]).all()
    assert (motion.extra["followed"], motion.notes[PUT_BACK]) == ("id", 1)
    kept = readers.read(tmp_path / "mine.npz", faithful=True)
    np.testing.assert_array_equal(kept.joints, joints.astype(np.float32))
    assert kept.notes == {LEFT_SO: 1}
    minimal(tmp_path / "mine.npz", joints=joints, offsets=np.array([0, 5]))
    plain = readers.read(tmp_path / "mine.npz")
    np.testing.assert_array_equal(plain.joints, joints.astype(np.float32))
    assert not plain.notes
    minimal(tmp_path / "mine.npz", joints=joints, ids=ids[:, :1])
    with pytest.raises(InputError, match=r"ids of shape \[5, 1\].*Expected \[5, 2\] ids"):
        list(readers.read_all(tmp_path / "mine.npz"))


def test_what_has_a_place_but_no_confidence_is_a_guess(tmp_path):
    """Penn Action, say: visibility 0 stands for a guess, or for (1, 1)."""
    joints = np.full((5, 17, 2), 80.0) + np.arange(17)[:, None]
    joints[:, 1], joints[:, 2], joints[:, 3] = (1, 1), (0, 0), (np.nan, 5)
    given = np.ones((5, 17))
    given[:, :5] = 0
    minimal(tmp_path / "mine.npz", joints=joints, visibility=given)
    for motion in readers.read_all(tmp_path / "mine.npz"):
        np.testing.assert_array_equal(motion.confidence[0, 0, :6], [UNSURE, 0, 0, 0, UNSURE, 1])
        assert motion.joints[0, 0, 4].tolist() == [84, 84]
    for motion in readers.read_all(tmp_path / "mine.npz", options=Options(faithful=True)):
        np.testing.assert_array_equal(motion.confidence[0, 0, :6], [0, 0, 0, 0, 0, 1])


def test_further_arrays_become_columns(tmp_path):
    minimal(
        tmp_path / "mine.npz",
        weight=np.array([61.5, np.nan]),
        ill=np.array([True, False]),
        group=np.array(["x", "y"]),
        box=np.arange(8).reshape(2, 4),
        labels=np.array([-1, -1]),
        views=np.array(["left", "right"]),
        deep=np.zeros((2, 3, 3)),
        per_frame=np.zeros(5),
    )
    one, two = readers.read_all(tmp_path / "mine.npz")
    assert {key: one.extra[key] for key in ("weight", "ill", "group", "box_0", "box_3")} == {
        "weight": 61.5,
        "ill": True,
        "group": "x",
        "box_0": 0,
        "box_3": 3,
    }
    assert two.extra["weight"] is None
    assert (one.label, one.camera, two.camera) == (None, "left", "right")
    assert not {"deep", "per_frame", "labels", "views"} & one.extra.keys()


def test_too_many_joints(tmp_path):
    write_arrays(
        tmp_path / "mine.npz",
        {"joints": np.ones((1, 2000, 3)), "offsets": np.array([0, 1])},
        {"joint_names": ["a"] * 2000, "parents": [-1] + [0] * 1999},
    )
    with pytest.raises(InputError, match=r"2000 joints.*at most 1024"):
        readers.read(tmp_path / "mine.npz")


def test_a_set_without_its_description(tmp_path):
    minimal(tmp_path / "mine.npz")
    (tmp_path / "mine.json").unlink()
    with pytest.raises(InputError, match=r"mine\.npz: mine\.json is missing beside it"):
        readers.read(tmp_path / "mine.npz")


def test_another_npz_is_not_one_of_ours(tmp_path):
    np.savez(tmp_path / "weights.npz", w=np.zeros(3))
    with pytest.raises(InputError, match="of no known format"):
        readers.read(tmp_path / "weights.npz")


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("view 3", {"column": "camera", "in": [3]}),
        ("cameras 1, 2", {"column": "camera", "in": [1, 2]}),
        ("subjects 1,3", {"column": "subject", "in": [1, 3]}),
        ("video number >= 7", {"column": "subject", "ge": 7}),
        ("split == -1", {"column": "split", "in": [-1]}),
        ({"column": "x", "in": ["a"]}, {"column": "x", "in": ["a"]}),
    ],
)
def test_splits_in_words_or_rules(said, rule, tmp_path):
    path = SAMPLES["arrays"].write(tmp_path)
    about = json.loads(path.with_suffix(".json").read_text())
    about["splits"] = {"mine": {"train": said, "test": "view 9"}, "note": "only words"}
    path.with_suffix(".json").write_text(json.dumps(about))
    assert readers.carried_splits(path) == {"mine": {"train": rule, "test": {"column": "camera", "in": [9]}}}


@pytest.mark.parametrize("said", ["every second clip", {"column": "x"}, {"in": [1]}, 7])
def test_splits_that_nobody_understands(said, tmp_path):
    path = SAMPLES["arrays"].write(tmp_path)
    about = json.loads(path.with_suffix(".json").read_text()) | {"splits": {"mine": {"train": said, "test": "view 9"}}}
    path.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"set\.json, split 'mine'"):
        readers.carried_splits(path)


@pytest.mark.parametrize(
    ("subjects", "cameras", "labels"),
    [
        ((None, None, None), (None, None, None), (None, None, None)),
        ((7, None, 3), (1, 2, None), ("walk", None, "kick")),
        (("anna", "bert", None), ("left", "right", "left"), ("walk", "walk", "None")),
        ((40000, 1, 2), (0, 1, 2), ("a", "b", "c")),
    ],
    ids=["nothing known", "some unknown", "names", "large numbers"],
)
def test_written_sets_come_back_with_what_is_known(subjects, cameras, labels, tmp_path):
    joints = np.random.default_rng(0).normal(size=(5, 1, 25, 3)).astype(np.float32)
    clips = [
        Motion(joints, "ntu25", subject=s, camera=c, label=a, source=f"clip {k}", fps=30, up="+y")
        for k, (s, c, a) in enumerate(zip(subjects, cameras, labels))
    ]
    arrays_reader.write(tmp_path, clips, name="set")
    back = list(readers.read_all(tmp_path / "set.npz"))
    assert [(m.subject, m.camera, m.label, m.source) for m in back] == [
        (m.subject, m.camera, m.label, m.source) for m in clips
    ]
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(clips, back))
    for rule in arrays_reader.splits(tmp_path / "set.npz").values():
        known = {each for each in (*subjects, *cameras) if each is not None}
        assert set(rule["train"]["in"]) | set(rule["test"]["in"]) <= known
