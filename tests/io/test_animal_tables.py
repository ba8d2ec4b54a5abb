"""DeepLabCut and SLEAP tables: individuals and tracks, parts in any order, images in the place of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.pose_results import FLIES, FLIES_TEXT, MICE_TEXT

import kineme
from kineme import io as readers
from kineme.motion.layout import layout


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def deeplabcut(joints: np.ndarray, parts: tuple[str, ...], individuals: tuple[str, ...] = ()) -> str:
    """A table of ``[T, M, V, 3]``."""
    columns = [(one, part, what) for one in individuals or ("",) for part in parts for what in ("x", "y", "likelihood")]
    lines = [["scorer", *["net"] * len(columns)]]
    lines += [["individuals", *(one for one, *_ in columns)]] if individuals else []
    lines += [["bodyparts", *(part for _, part, _ in columns)], ["coords", *(what for *_, what in columns)]]
    lines += [
        [str(k), *(f"{value:.9g}" if value == value else "" for value in row.ravel())] for k, row in enumerate(joints)
    ]
    return "\n".join(map(",".join, lines)) + "\n"


def test_one_individual(tmp_path):
    path = write(tmp_path / "mouseDLC_resnet50.csv", MICE_TEXT)
    assert readers.detect(path) == "deeplabcut"
    motion = kineme.read(path)
    assert (motion.joints.shape, motion.layout.joints, motion.unit) == ((4, 1, 2, 2), ("nose", "tail"), "px")
    np.testing.assert_array_equal(motion.joints[0, 0], [[10.5, 20.25], [30.5, 40.25]])
    np.testing.assert_array_equal(motion.confidence[:, 0], np.float32([[0.9, 0.75], [0.9, 0], [0.5, 0.5], [0.5, 0.25]]))
    assert motion.extra["scorer"] == "DLC"


def test_several_individuals_keep_their_places(tmp_path):
    chance = np.random.default_rng(0)
    joints = chance.uniform(0, 200, (6, 3, 4, 3)).astype(np.float32)
    joints[..., 2] = chance.uniform(0.1, 1, joints.shape[:3])
    joints[2:4, 1] = np.nan
    path = write(tmp_path / "a.csv", deeplabcut(joints, ("snout", "neck", "back", "tail"), ("one", "two", "three")))
    motion = kineme.read(path)
    assert (motion.persons, motion.extra["followed"]) == (3, "id")
    there = np.isfinite(joints[..., 2])
    for m in range(3):  # the order of places is that of how much of each is seen
        place = [k for k in range(3) if np.array_equal(motion.joints[0, k], joints[0, m, :, :2])]
        assert len(place) == 1
        seen = there[:, m]
        np.testing.assert_array_equal(motion.joints[:, place[0]][seen], joints[:, m, :, :2][seen])
        np.testing.assert_array_equal(motion.confidence[:, place[0]] > 0, seen)


def test_parts_called_like_a_known_layout_in_any_order(tmp_path):
    names = layout("coco17").joints[::-1]
    joints = np.random.default_rng(1).uniform(1, 200, (3, 1, 17, 3)).astype(np.float32)
    joints[..., 2] = 1
    motion = kineme.read(write(tmp_path / "a.csv", deeplabcut(joints, names)))
    assert motion.layout is layout("coco17")
    np.testing.assert_array_equal(motion.joints, joints[:, :, ::-1, :2])


def test_labels_made_by_hand(tmp_path):
    rows = "\n".join(f"labeled-data,video1,img{k:03d}.png,{k},{k + 1},,{'' if k == 7 else k}" for k in (5, 7, 9))
    head = "scorer,,,me,me,me,me\nbodyparts,,,nose,nose,tail,tail\ncoords,,,x,y,x,y\n"
    motion = kineme.read(write(tmp_path / "CollectedData_me.csv", head + rows + "\n"))
    assert (len(motion), motion.extra["first_frame"], motion.extra["frame_step"]) == (3, 5, 2)
    np.testing.assert_array_equal(motion.joints[:, 0, 0], [[5, 6], [7, 8], [9, 10]])
    np.testing.assert_array_equal(motion.confidence[:, 0], [[1, 0]] * 3)


def test_tracks_of_sleap(tmp_path):
    path = write(tmp_path / FLIES, FLIES_TEXT)
    assert readers.detect(path) == "sleap"
    motion = kineme.read(path)
    assert (motion.joints.shape, motion.layout.joints) == ((3, 2, 2, 2), ("head", "abdomen"))
    assert (motion.extra["first_frame"], motion.extra["followed"]) == (4, "id")
    one = next(m for m in (0, 1) if motion.joints[0, m, 0, 0] == 10.5)
    np.testing.assert_array_equal(motion.joints[:, one, 0], [[10.5, 20.25], [11.5, 21.25], [12.5, 22.25]])
    assert motion.confidence[1, one].tolist() == [np.float32(0.9), 0]
    assert motion.confidence[2, 1 - one].tolist() == [0, 0]


def test_without_tracks_instances_are_followed_by_position(tmp_path):
    text = FLIES_TEXT.replace("track_0", "").replace("track_1", "")
    assert kineme.read(write(tmp_path / FLIES, text)).extra["followed"] == "position"
