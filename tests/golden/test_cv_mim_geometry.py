"""Rotations and the default camera of CV-MIM against the reference vectors."""

import numpy as np
import pytest
import torch

from kineme import camera

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_rotation_and_projection(golden, library):
    vectors = golden("cv_mim_geometry")
    rotation = camera.euler(library(vectors["angles_azi_ele_roll"]))
    np.testing.assert_allclose(rotation, vectors["rotation"], **CLOSE)
    turned = camera.rotate(library(vectors["kp3d_normalized"]), rotation)
    np.testing.assert_allclose(camera.perspective(camera.default_camera(turned)), vectors["proj17"], **CLOSE)


def test_views_between_two_angles(golden):
    vectors = golden("cv_mim_geometry")
    key = next(key for key in vectors if key.startswith("seq_rotation"))
    steps = np.linspace(vectors["seq_start_angles"], vectors["seq_end_angles"], int(key.removeprefix("seq_rotation")))
    np.testing.assert_allclose(camera.euler(steps), vectors[key], **CLOSE)
