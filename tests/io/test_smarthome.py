"""Toyota Smarthome: poses in space and in the image, in the order of LCR-Net, names, the benchmark's splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers.training import kineme

from kineme import io as readers
from kineme import synth
from kineme.data import splits
from kineme.data.store import Store
from kineme.motion import layout as skeleton

ORDER = [
    f"{side}_{joint}" for joint in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder") for side in ("right", "left")
]
ORDER += ["head"]
NAME = "Cook.Cut_p03_r01_v07_c02_pose3d.json"


def write(path: Path, number: int = 0, space: bool = True, flat: bool = True, more: tuple[str, ...] = ()) -> np.ndarray:
    """The poses of a synthetic person, in metres and pixels; gives the former ``[T, 13, 3]`` in the order of penn13."""
    words = [*ORDER, *more]
    clip = list(synth.generate(number + 1, layout=skeleton.free(words, [-1] * len(words)), cameras=1, coords=3))[number]
    joints = clip.joints[:20, 0] * (1, -1, 1)  # downwards, as in an image
    frames = [
        [
            {
                **({"pose3d": body.T.ravel().tolist()} if space else {}),
                **({"pose2d": (300 + 200 * body[:, :2]).T.ravel().tolist()} if flat else {}),
                "cumscore": 1.0,
            }
        ]
        for body in joints
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"K": 13, "njts": len(words), "frames": [[], *frames]}))
    return joints


def test_poses_in_space_and_in_the_image(tmp_path):
    path = tmp_path / NAME
    joints = write(path)
    assert readers.detect(path) == "smarthome"
    motion = readers.read(path)
    assert (motion.layout.name, motion.joints.shape, motion.unit, motion.up) == ("penn13", (21, 1, 13, 3), "m", "-y")
    assert (motion.label, motion.subject, motion.camera, motion.fps) == ("Cook.Cut", 3, 2, 20.0)
    assert not motion.confidence[0].any()
    for i, name in enumerate(motion.layout.joints):
        np.testing.assert_allclose(motion.joints[1:, 0, i], joints[:, ORDER.index(name)], rtol=1e-6)
    flat = readers.read(path, image=True)
    assert (flat.coords, flat.unit, flat.extra["coordinates"]) == (2, "px", "px")
    np.testing.assert_allclose(flat.joints[1:], 300 + 200 * motion.joints[1:, ..., :2], rtol=1e-5)


def test_only_the_image(tmp_path):
    write(tmp_path / "a.json", space=False)
    motion = readers.read(tmp_path / "a.json")
    assert (motion.coords, motion.label, motion.subject) == (2, None, None)


def test_seventeen_joints(tmp_path):
    write(tmp_path / NAME, more=("pelvis", "spine", "chest", "neck"))
    motion = readers.read(tmp_path / NAME)
    assert (len(motion.layout), motion.layout.root) == (17, (13,))
    assert motion.layout.parents[motion.layout.joints.index("left_wrist")] == motion.layout.joints.index("left_elbow")


def test_labels_and_splits_of_the_benchmark(tmp_path):
    names = ("Cook.Cut_p03_r00_v07_c01", "Walk_p02_r00_v01_c02", "Walk_p04_r00_v01_c01")
    for k, name in enumerate(names):
        write(tmp_path / "src" / f"{name}.json", k)
    kineme("prepare", tmp_path / "src", tmp_path / "store", "--labels", "smarthome")
    store = Store(tmp_path / "store")
    assert store.clips["label"].to_pylist() == ["Cook.Cut", "Walk", "Walk"]
    assert "xsub" in splits.names(store)
