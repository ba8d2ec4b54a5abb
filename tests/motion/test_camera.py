"""Rotations and projection: what must hold for any input, in numpy and in torch, with gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kineme.motion import camera

finite = st.floats(-1e3, 1e3, allow_subnormal=False)
shapes = hnp.array_shapes(min_dims=1, max_dims=2, max_side=4).map(lambda shape: (*shape, 3))
vectors = hnp.arrays(np.float64, shapes, elements=finite)
angles = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-7, 7))


def is_rotation(r, tolerance=1e-9):
    r = np.asarray(r)
    np.testing.assert_allclose(r @ r.swapaxes(-1, -2), np.broadcast_to(np.eye(3), r.shape), atol=tolerance)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=tolerance)


@given(angles)
def test_euler_is_a_rotation_and_composes_its_factors(a):
    r = camera.euler(a)
    is_rotation(r)
    by_hand = np.stack(
        [
            camera.rotation_matrix(z, "z") @ camera.rotation_matrix(y, "y") @ camera.rotation_matrix(x, "x")
            for z, y, x in a
        ]
    )
    np.testing.assert_allclose(r, by_hand, atol=1e-12)
    np.testing.assert_allclose(camera.euler(torch.tensor(a)).numpy(), r, atol=1e-12)


def test_euler_as_published():
    """azimuth 90, elevation -90, roll 180 degrees."""
    turned = camera.euler(np.radians([[90.0, -90, 180]]))[0]
    np.testing.assert_allclose(turned, [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(camera.euler(np.zeros((1, 3)))[0], np.eye(3))


@given(vectors)
def test_axis_angle_turns_about_the_vector_by_its_length(v):
    r = camera.axis_angle(v)
    is_rotation(r, 1e-7)
    np.testing.assert_allclose(camera.rotate(v[..., None, :], r)[..., 0, :], v, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.trace(r, axis1=-2, axis2=-1), 1 + 2 * np.cos(np.linalg.norm(v, axis=-1)), atol=1e-6)
    np.testing.assert_allclose(camera.axis_angle(torch.tensor(v)).numpy(), r, atol=1e-9)


@given(vectors, st.integers(0, 3))
def test_between_is_the_smallest_turn(a, case):
    rng = np.random.default_rng(case)
    b = (rng.normal(size=a.shape), a, -a, 0 * a)[case]
    r = camera.between(a, b)
    is_rotation(r)
    ua, ub = camera.unit(a), camera.unit(b)
    known = (np.abs(ua).sum(-1) > 0) & (np.abs(ub).sum(-1) > 0)
    np.testing.assert_allclose(camera.rotate(ua[..., None, :], r)[..., 0, :][known], ub[known], atol=1e-5)
    np.testing.assert_allclose(r[~known], np.broadcast_to(np.eye(3), r[~known].shape), atol=1e-12)
    turned = np.arccos(np.clip((np.trace(r, axis1=-2, axis2=-1)[known] - 1) / 2, -1, 1))
    np.testing.assert_allclose(turned, np.arccos(np.clip((ua * ub).sum(-1)[known], -1, 1)), atol=1e-4)


@given(st.floats(-3.1, 3.1), st.floats(-1.4, 1.4), st.floats(0.5, 20), st.floats(-1, 1), st.floats(0.1, 3))
def test_points_on_the_optical_axis_fall_on_the_principal_point(azimuth, elevation, distance, roll, along):
    target = np.array([[0.3, 1.0, -0.2]])
    eye = camera.orbit(np.array([azimuth]), np.array([elevation]), np.array([distance]), target, np.array([roll]))
    is_rotation(eye.rotation)
    points = eye.position[:, None] + along * (target - eye.position)[:, None]
    seen = camera.see(points, eye)
    np.testing.assert_allclose(seen, [[[0, 0, along * distance]]], atol=1e-9)
    np.testing.assert_allclose(camera.pixels(seen, 1000.0, (1920, 1080)), [[[960, 540]]], atol=1e-6)


def test_the_sensor_frame_is_the_kinects():
    """Facing a camera, the left hand is at smaller x, up is y, z is the depth; the image is not mirrored."""
    eye = camera.orbit(np.zeros(1), np.zeros(1), np.full(1, 3.0), np.zeros((1, 3)))
    body = np.array([[[0.5, 0.0, 0.0], [0.0, 0.7, 0.0]]])  # left hand and head of a body that faces +z: its left is +x
    left_hand, head = camera.see(body, eye)[0]
    np.testing.assert_allclose(left_hand, [-0.5, 0, 3], atol=1e-12)
    np.testing.assert_allclose(head, [0, 0.7, 3], atol=1e-12)
    columns, rows = camera.pixels(np.stack([left_hand, head]), 900.0, (640, 480)).T
    assert columns[0] > 320
    assert rows[1] < 240


def test_torch_gives_the_same_and_gradients():
    v = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(camera.axis_angle, (torch.randn(4, 3, dtype=torch.float64, requires_grad=True),))
    camera.axis_angle(v).square().sum().backward()
    assert torch.isfinite(v.grad).all()
    a = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    pose = torch.randn(5, 17, 3, dtype=torch.float64)

    def picture(angle):
        return camera.perspective(camera.default_camera(camera.rotate(pose, camera.euler(angle)), 9.0))

    assert torch.autograd.gradcheck(picture, (a,))
    eye = camera.orbit(*torch.rand(3, 2), torch.zeros(2, 3))
    other = camera.Camera(*(part.numpy() for part in eye))
    points = pose[:2].float()
    np.testing.assert_allclose(camera.see(points, eye), camera.see(points.numpy(), other), atol=1e-6)


@pytest.mark.parametrize("make", [np.random.default_rng, lambda seed: torch.Generator().manual_seed(seed)])
def test_angles_are_drawn_within_their_ranges(make):
    drawn = np.asarray(camera.draw_angles(4000, make(1)))
    assert drawn.shape == (4000, 3)
    high = np.array([np.pi, np.pi / 6, np.pi / 6])
    assert (np.abs(drawn) <= high).all()
    np.testing.assert_allclose(drawn.std(0), high / np.sqrt(3), rtol=0.05)
    np.testing.assert_array_equal(drawn, np.asarray(camera.draw_angles(4000, make(1))))
    assert np.abs(drawn - np.asarray(camera.draw_angles(4000, make(2)))).max() > 0.1


def test_perspective_as_published():
    """(1, 2, 3) turned by 90, -90, 180 degrees, seen from distance 2."""
    turned = camera.rotate(np.array([[[1.0, 2, 3]]]), camera.euler(np.radians([[90.0, -90, 180]])))
    np.testing.assert_allclose(camera.perspective(camera.default_camera(turned))[0, 0], [-1 / 5, 2 / 5], atol=1e-12)
    assert np.isfinite(camera.perspective(np.array([[1.0, 1.0, 0.0]]))).all()
