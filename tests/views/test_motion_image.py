"""Skeleton motion images: what they show, and the walk over the body."""

import itertools

import pytest
import torch

from kineme.motion.layout import Layout, layout, layouts
from kineme.views.motion_image import by_torso, channels, in_image, left_out, motion_image, walk

NTU = layout("ntu25")


def takes(frames=32, coords=3, persons=2, joints=25, seed=0):
    shape = (3, frames, persons, joints, coords)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(0.2).cumsum(1), torch.ones(shape[:-1])


def test_shape_and_a_still_body():
    joints, seen = takes()
    joints[:, :, 0] = joints[:, :1, 0]
    image = motion_image(joints, seen, walk(NTU), faithful=True)
    assert image.values.shape == (3, 2, 6, 32, 49)
    still = torch.tensor([1.1, 1.1, 1.1, 0, 0, 0])[:, None, None].expand(6, 32, 49)
    assert torch.equal(image.values[0, 0], still)
    assert (image.magnitude[:, 0] == 0).all()
    assert (image.magnitude[:, 1] > 0).all()
    assert torch.equal(image.values[:, :, :, -1], image.values[:, :1, :, -1].expand(-1, 2, -1, -1))  # the last frame


def test_place_does_not_matter_and_time_turns_angles_round():
    joints, seen = takes()
    image = motion_image(joints, seen, walk(NTU)).values
    torch.testing.assert_close(motion_image(joints + 4.0, seen, walk(NTU)).values, image, atol=1e-4, rtol=1e-4)
    back = motion_image(joints.flip(1), seen, walk(NTU)).values[..., :-1, :].flip(-2)
    forth = image[..., :-1, :]
    torch.testing.assert_close(back[:, :, 3], forth[:, :, 3])
    angle = (back[:, :, :3] - forth[:, :, :3]).remainder(1)
    torch.testing.assert_close(angle, torch.full_like(angle, 0.5), atol=1e-4, rtol=0)


def test_rows_of_one_joint_are_equal():
    joints, seen = takes()
    order = walk(NTU)
    image = motion_image(joints, seen, order).values
    for joint in range(25):
        rows = [i for i, each in enumerate(order) if each == joint]
        assert all(torch.equal(image[..., rows[0]], image[..., i]) for i in rows)


def test_several_distances_have_angles_and_magnitudes_of_their_own():
    joints, seen = takes()
    image = motion_image(joints, seen, walk(NTU), (1, 5, 10)).values
    assert image.shape[2] == channels((1, 5, 10), False) == 12
    for i, s in enumerate((1, 5, 10)):
        alone = motion_image(joints, seen, walk(NTU), (s,)).values
        assert torch.equal(image[:, :, 3 * i : 3 * i + 3], alone[:, :, :3])
        assert torch.equal(image[:, :, 9 + i], alone[:, :, 3])
    assert (motion_image(joints, seen, walk(NTU), (40,)).magnitude == 0).all()
    assert channels((1,), True) == 6
    assert channels((1,), False) == 4


def test_a_missing_joint_does_not_move():
    joints, seen = takes(persons=1)
    seen[:, 7, :, 3] = 0
    image = motion_image(joints, seen, tuple(range(25))).values
    assert (image[:, :, :3, 6:8, 3] == torch.tensor(1.1)).all()
    assert (image[:, :, 3, 6:8, 3] == 0).all()
    other = joints.clone()
    other[:, 7, :, 3] = 99.0
    assert torch.equal(motion_image(other, seen, tuple(range(25))).values, image)


def test_pixels_become_shares_with_y_upwards():
    joints, seen = takes(coords=2, persons=1, joints=18)
    shares = in_image(joints, torch.tensor([[640.0, 360.0]] * 3))
    torch.testing.assert_close(shares[..., 0] * 640, joints[..., 0])
    torch.testing.assert_close(shares[..., 1] * -360, joints[..., 1])
    angles = motion_image(joints.mul(0.2), seen, walk(layout("openpose18"))).values[:, :, 1:3]
    assert set(angles.unique().tolist()) <= {0.25, 0.5, 0.75, 1.0, torch.tensor(1.1).item()}


def test_torso_takes_the_unit_away():
    joints, seen = takes()
    joints = joints + torch.randn(25, 3)
    torch.testing.assert_close(by_torso(joints * 1000, seen, NTU), by_torso(joints, seen, NTU))
    seen[:, :, :, list(NTU.root)] = 0  # the torso is never seen
    torch.testing.assert_close(by_torso(joints * 1000, seen, NTU), by_torso(joints, seen, NTU))
    assert by_torso(joints, torch.zeros_like(seen), NTU).isfinite().all()
    assert by_torso(torch.zeros_like(joints), seen, NTU).isfinite().all()


@pytest.mark.parametrize("name", layouts())
def test_walks_pass_every_joint(name):
    body = layout(name)
    order = walk(body)
    assert len(order) == 49
    missing = left_out(body, order)
    if name in ("openpose18", "body25", "panoptic19"):  # the published walk leaves these out
        words = ("eye", "ear", "toe", "heel", "mid_hip", "body_center")
        assert all(any(word in joint for word in words) for joint in missing)
    elif len(body) > len(order):  # a face and fingers: as many joints as there is room for, each once
        assert len(set(order)) == len(order)
    else:
        assert not missing


def test_published_walks_are_found_by_name():
    shuffled = tuple(range(24, -1, -1))
    where = {old: new for new, old in enumerate(shuffled)}
    parents = tuple(where.get(NTU.parents[old], -1) for old in shuffled)
    other = Layout("free", tuple(NTU.joints[old] for old in shuffled), parents)
    assert [other.joints[i] for i in walk(other)] == [NTU.joints[i] for i in walk(NTU)]


def test_a_walk_goes_from_neighbour_to_neighbour():
    body = layout("penn13")
    order = walk(body)
    joined = {frozenset(bone) for bone in body.bones}
    for one, other in itertools.pairwise(order):
        assert one == other or frozenset((one, other)) in joined or -1 in (body.parents[one], body.parents[other])


def test_many_joints_and_long_chains():
    chain = Layout("chain", tuple(f"j{i}" for i in range(120)), tuple(range(-1, 119)))
    order = walk(chain)
    assert len(order) == 49
    assert list(order) == sorted(order)
    assert len(left_out(chain, order)) == 71
