"""VideoPose3D, Human3.6M and SMPL archives: real figures, what the pickles inside may hold, clips and their names."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.mocap import POSES_FILE, SMPL_FILE, npz
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.data import synth
from kineme.io import videopose3d
from kineme.utils.errors import InputError


def body(name: str, action: str = "walk") -> np.ndarray:
    """Joints of a synthetic body ``[T, V, 3]``, +z up, in metres."""
    joints = next(synth.generate(1, [action], cameras=0, layout=name, coords=3)).joints[:, 0]
    return joints[..., [0, 2, 1]] * np.float32([1, -1, 1])


def test_poses_in_the_image(tmp_path):
    motion = readers.read(SAMPLES["videopose3d"].write(tmp_path))
    assert (motion.layout.name, motion.unit, motion.up, motion.image_size) == ("coco17", "px", "-y", (1920, 1080))
    assert (motion.label, motion.subject, motion.source) == (None, None, POSES_FILE)


def test_poses_in_space_by_subject_and_action(tmp_path):
    """Human3.6M's 32 joints, of which 17 count; actions come twice."""
    joints = np.full((60, 32, 3), 7.0, np.float32)
    joints[:, videopose3d.JOINTS] = body("h36m17")[:60]
    path = tmp_path / "data_3d_h36m.npz"
    positions = {"S1": {"Walking 1": joints, "Eating": joints[:9]}, "S11": {"Walking": joints}}
    path.write_bytes(npz({"positions_3d": positions}))
    clips = list(readers.read_all(path))
    assert [clip.source.partition("#")[2] for clip in clips] == ["S1/Walking 1", "S1/Eating", "S11/Walking"]
    assert [(clip.label, clip.subject) for clip in clips] == [("Walking", 1), ("Eating", 1), ("Walking", 11)]
    assert [len(clip) for clip in clips] == [60, 9, 60]
    first = clips[0]
    assert (first.layout.name, first.unit, first.up, first.extra["repetition"]) == ("h36m17", "m", "+z", 1)
    np.testing.assert_array_equal(first.joints[:, 0], joints[:, videopose3d.JOINTS])


def test_several_cameras(tmp_path):
    flat = next(synth.generate(1, ["walk"], layout="h36m17", coords=2)).joints[:, 0]
    path = tmp_path / "data_2d_h36m_gt.npz"
    metadata = {"layout_name": "h36m", "num_joints": 17}
    path.write_bytes(npz({"positions_2d": {"S1": {"Walking": [flat, flat + 1]}}, "metadata": metadata}))
    clips = list(readers.read_all(path))
    assert [(clip.camera, clip.source.partition("#")[2], clip.layout.name) for clip in clips] == [
        (1, "S1/Walking/1", "h36m17"),
        (2, "S1/Walking/2", "h36m17"),
    ]


def test_one_bad_clip_costs_itself(tmp_path):
    path = tmp_path / POSES_FILE
    good = np.random.default_rng(0).uniform(0, 900, (4, 17, 2))
    path.write_bytes(npz({"positions_2d": {"a": {"custom": [good]}, "b": {"custom": [good[:, :5]]}}, "metadata": {}}))
    found = list(readers.read_each(path))
    assert [type(each).__name__ for each in found] == ["Motion", "InputError"]
    assert "5 joints in 2-D" in str(found[1])


def test_nothing_in_a_pickle_is_called(tmp_path):
    path = SAMPLES["videopose3d"].write(tmp_path)
    name, change = SAMPLES["videopose3d"].faults["a pickle that calls"]
    (tmp_path / name).write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=r"system"):
        readers.read(path)


def test_pictures_of_human36m(tmp_path):
    """Folders of images are clips, numbers in their names frames; those that are left out slow the rate."""
    walk = body("h36m17")[:6]
    names = [f"S5/S5_Walking_1.54138969/S5_Walking_1.54138969_{1 + 5 * k:06d}.jpg" for k in range(6)]
    order = [2, 0, 1, 3, 5, 4]
    arrays = {
        "S": np.concatenate([walk, np.ones((6, 17, 1))], -1)[order],
        "part": np.concatenate([walk[..., :2] * 100 + 500, np.ones((6, 17, 1))], -1)[order],
        "imgname": np.array(names)[order],
    }
    path = tmp_path / "h36m_train.npz"
    path.write_bytes(npz(arrays))
    motion = readers.read(path)
    assert (motion.subject, motion.label, motion.camera, motion.extra["frame_step"]) == (5, "Walking", "54138969", 5)
    np.testing.assert_allclose(motion.joints[:, 0], walk)
    flat = readers.read(path, image=True)
    assert (flat.coords, flat.unit) == (2, "px")


VIDEOS = {"006FL.MTS": (288, (1920, 1080), 729.7711), "myvideos": (60, (960, 544), 337.9795)}


@pytest.mark.parametrize("name", VIDEOS)
def test_real_videopose3d(name, data_dir):
    frames, size, mean = VIDEOS[name]
    motion = readers.read(data_dir / "formats" / "videopose3d_npz" / f"data_2d_custom_{name}.npz")
    assert motion.joints.shape == (frames, 1, 17, 2)
    assert (motion.layout.name, motion.image_size, motion.unit) == ("coco17", size, "px")
    assert motion.joints.astype(np.float64).mean() == pytest.approx(mean, rel=2e-7)


def test_real_human36m(data_dir):
    clips = list(readers.read_all(data_dir / "formats" / "h36m_npz" / "test_h36m_body3d.npz"))
    assert [(clip.subject, clip.label, len(clip)) for clip in clips] == [
        (1, "Directions", 1),
        (5, "SittingDown", 1),
        (7, "Greeting", 1),
        (8, "WalkDog", 1),
    ]
    for clip in clips:
        assert (clip.layout.name, clip.unit, clip.up) == ("h36m17", "m", "-y")
        assert 0.35 < np.linalg.norm(clip.joints[0, 0, 8] - clip.joints[0, 0, 0]) < 0.65  # a grown person's trunk


def test_smpl_joints_and_their_hands(tmp_path):
    joints = body("smpl24")
    path = tmp_path / SMPL_FILE
    about = {"poses": np.zeros((len(joints), 72)), "betas": np.zeros(10), "mocap_framerate": 120}
    for count, hands in ((24, True), (45, True), (22, False), (52, False)):
        padded = np.concatenate([joints, np.full((len(joints), 30, 3), 9.0)], 1)[:, :count]
        path.write_bytes(npz({**about, "joints": padded}))
        motion = readers.read(path)
        assert (motion.layout.name, motion.fps, motion.unit, motion.up) == ("smpl24", 120, "m", "+z")
        assert bool(motion.confidence[:, :, 22:].all()) is hands
        np.testing.assert_array_equal(motion.joints[:, 0, :22], joints[:, :22])


def test_a_body_model_without_joints_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / SMPL_FILE
    path.write_bytes(npz({"poses": np.zeros((5, 156)), "trans": np.zeros((5, 3)), "gender": "male"}))
    with pytest.raises(InputError, match=r"walk_poses\.npz: parameters of a body model .* no positions.*smplx"):
        readers.read(path)
