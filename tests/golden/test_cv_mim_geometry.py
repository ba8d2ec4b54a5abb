"""Rotations, cameras, keypoint profiles and pose errors of CV-MIM against the reference vectors."""

import numpy as np
import pytest
import torch

from kineme.motion import camera
from kineme.views import keypoints, random_cameras

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(scope="module")
def arrays(golden):
    return {name: torch.from_numpy(np.asarray(value)) for name, value in golden("cv_mim_geometry").items()}


def close(found, wanted):
    torch.testing.assert_close(found, wanted, **CLOSE)


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_rotation_and_projection(golden, library):
    vectors = golden("cv_mim_geometry")
    rotation = camera.euler(library(vectors["angles_azi_ele_roll"]))
    np.testing.assert_allclose(rotation, vectors["rotation"], **CLOSE)
    turned = camera.rotate(library(vectors["kp3d_normalized"]), rotation)
    np.testing.assert_allclose(camera.perspective(camera.default_camera(turned)), vectors["proj17"], **CLOSE)


def test_views_between_two_angles(arrays):
    key = next(key for key in arrays if key.startswith("seq_rotation"))
    steps = int(key.removeprefix("seq_rotation"))
    angles = random_cameras.sweep(arrays["seq_start_angles"], arrays["seq_end_angles"], steps)
    close(random_cameras.rotation_matrices(angles), arrays[key])


def test_profiles(arrays):
    cases = {"proj13": keypoints.FLAT, "det2d": keypoints.FLAT, "kp3d_13": keypoints.SOLID["pose13"]}
    for name, profile in cases.items():
        for seen in (None, torch.ones(arrays[name].shape[:-1])):  # which of them are there goes by a longer way
            found = keypoints.normalise(arrays[name], profile, seen)
            for word, value in zip(("normalized", "offset", "scale"), found):
                close(value, arrays[f"{name}_{word}"])
    found = keypoints.normalise(arrays["kp3d_h36m17"], keypoints.SOLID["pose17"])
    for word, value in zip(("normalized", "offset", "scale"), found):
        close(value, arrays[f"kp3d_{word}"])


def test_what_a_camera_sees_from_body_to_encoder(arrays):
    angles, profile = arrays["angles_azi_ele_roll"], keypoints.SOLID["pose17"]
    cameras = random_cameras.Cameras(angles, angles.new_full((len(angles),), 2.0))
    close(random_cameras.project(arrays["kp3d_normalized"], cameras), arrays["proj17"])
    seen = random_cameras.look(
        arrays["kp3d_h36m17"], profile, cameras, axis=2
    )  # the stored points: third axis up, right-handed
    close(random_cameras.image(seen), arrays["proj13"])
    close(random_cameras.image(keypoints.normalise(seen, keypoints.FLAT).points), arrays["proj13_normalized"])


def test_pose_errors(arrays):
    target = arrays["kp3d_normalized"]
    close(keypoints.mpjpe(target.roll(1, 0), target), arrays["mpjpe"])
    close(keypoints.pa_mpjpe(target.roll(1, 0), target), arrays["pa_mpjpe"])
