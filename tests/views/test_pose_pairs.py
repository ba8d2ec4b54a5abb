"""Pairs of views: two cameras for one 3-D pose, the partner in another camera for 2-D ones, and what a sensor saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kineme.data import synth
from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.utils.errors import InputError
from kineme.views import keypoints
from kineme.views.pose_pairs import Pairs, partners
from kineme.views.random_cameras import CameraSettings
from kineme.views.source import ClipLoader


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def made(path, **options):
    """A store of synthetic motions, three cameras to each performance."""
    motions = list(synth.generate(9, actions=["walk", "kick"], subjects=2, cameras=3, **options))
    with Writer(path, motions[0].layout, 1, motions[0].coords, normalise={"how": "none"}) as writer:
        for motion in motions:
            writer.add(motion)
    return Store(path)


@pytest.fixture(scope="module")
def solid(tmp_path_factory):
    return made(tmp_path_factory.mktemp("pairs") / "solid", layout="ntu25")


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    return made(tmp_path_factory.mktemp("pairs") / "flat", layout="coco17")


def test_partners_are_the_other_cameras_of_a_performance(flat):
    found, performance = partners(ClipLoader(flat)), flat.column("performance")
    for clip, row in enumerate(found.tolist()):
        wanted = {i for i in range(9) if performance[i] == performance[clip] and i != clip}
        assert {i for i in row if i >= 0} == wanted
        assert len(wanted) == 2


def test_partners_come_from_the_training_clips_only(flat):
    training = np.flatnonzero(flat.column("camera") != flat.column("camera")[2])
    found = partners(ClipLoader(flat, rows=training))
    assert set(found[found >= 0].tolist()) == set(training.tolist())
    assert bool((found[2] < 0).all())


def test_both_views_of_a_2d_pair_are_of_one_moment(flat):
    source = ClipLoader(flat)
    pairs = Pairs(source, CameraSettings())
    numbers = torch.arange(0, len(flat.frames), 7)
    numbers = numbers[pairs.usable(numbers)]
    assert len(numbers) > 20
    draw = pairs.draw(numbers, gen())
    clip = torch.searchsorted(torch.from_numpy(flat.offsets), draw.numbers, right=True) - 1
    place = draw.numbers - torch.from_numpy(flat.offsets)[clip]
    anchor, positive = clip.chunk(2)
    assert torch.equal(*place.chunk(2))
    assert bool((anchor != positive).all())
    performance, camera = flat.column("performance"), flat.column("camera")
    assert (performance[anchor.numpy()] == performance[positive.numpy()]).all()
    assert len({(camera[a], camera[p]) for a, p in zip(anchor, positive)}) == 6  # every other camera gets its turn
    views = pairs.views(draw)
    joints, seen = pairs.person(draw.numbers)
    torch.testing.assert_close(views.joints[:, 0, 0], joints)
    assert torch.equal(views.confidence[:, 0, 0] > 0, seen)


def test_2d_poses_with_y_upwards_are_turned_over(tmp_path, flat):
    with Writer(tmp_path / "up", flat.layout, 1, 2, normalise={"how": "none"}) as writer:
        for i in range(3):
            motion = flat.motion(i)
            writer.add(motion.with_(joints=motion.joints * np.array([1, -1], np.float32), up="+y"))
    numbers = torch.arange(5)
    one, two = (
        pairs.views(pairs.draw_views(numbers, gen()))
        for pairs in (Pairs(ClipLoader(store), CameraSettings()) for store in (flat, Store(tmp_path / "up")))
    )
    torch.testing.assert_close(one.joints, two.joints)


def test_a_single_camera_makes_no_2d_pairs(flat):
    alone = ClipLoader(flat, rows=np.flatnonzero(flat.column("camera") == flat.column("camera")[0]))
    pairs = Pairs(alone, CameraSettings())
    assert not bool(pairs.usable(torch.arange(20)).any())


def test_views_of_3d_poses_follow_the_generator_and_differ(solid):
    pairs = Pairs(ClipLoader(solid), CameraSettings())
    numbers = torch.arange(10)
    one, same, other = (pairs.views(pairs.draw(numbers, gen(s))) for s in (0, 0, 1))
    assert one.joints.shape == (20, 1, 1, 13, 2)
    assert torch.equal(one.joints, same.joints)
    assert not torch.equal(one.joints, other.joints)
    assert not torch.equal(one.joints[:10], one.joints[10:])
    assert torch.equal(one.index[:10], one.index[10:])


def test_what_the_sensor_saw(solid):
    """Two views of one moment through the sensors that recorded it: their own projections, not mirrored."""
    source = ClipLoader(solid)
    pairs = Pairs(source, CameraSettings(), sensor=1.0)
    numbers = torch.arange(0, 60, 3)
    assert bool(pairs.usable(numbers).all())
    draw = pairs.draw(numbers, gen())
    assert not bool((draw.numbers[:20] == draw.numbers[20:]).any())
    joints, _ = pairs.person(draw.numbers)
    wanted = keypoints.pick(-joints[..., :2] / joints[..., 2:], pairs.profile, -2)
    torch.testing.assert_close(pairs.views(draw).joints[:, 0, 0], wanted)
    half = Pairs(source, CameraSettings(), sensor=0.5).draw(torch.arange(200), gen())
    assert 150 < int(half.own.sum()) < 250


def test_hidden_joints_lose_their_seen(solid, flat):
    for store in (solid, flat):
        pairs = Pairs(ClipLoader(store), CameraSettings(joint_dropout=0.5))
        views = pairs.views(pairs.draw_views(torch.arange(200), gen()))
        assert float(views.confidence.mean()) == pytest.approx(0.5, abs=0.05)


def test_frames_without_a_trunk_are_left_out(tmp_path, solid):
    motion = solid.motion(0)
    hip = solid.layout.canonical_names.index("pelvis")
    confidence = motion.confidence.copy()
    confidence[3:6, 0, hip] = 0
    with Writer(tmp_path / "holes", solid.layout, 1, 3, normalise={"how": "none"}) as writer:
        writer.add(motion.with_(confidence=confidence))
    usable = Pairs(ClipLoader(Store(tmp_path / "holes")), CameraSettings()).usable(torch.arange(9))
    assert usable.tolist() == [True] * 3 + [False] * 3 + [True] * 3


def test_what_does_not_fit_is_refused(tmp_path, solid):
    with Writer(tmp_path / "aloft", solid.layout, 1, 3, normalise={"how": "none"}) as writer:
        writer.add(solid.motion(0).with_(up=None))
        writer.add(solid.motion(1))
    with pytest.raises(InputError, match="vertical axis"):
        Pairs(ClipLoader(Store(tmp_path / "aloft")), CameraSettings())
    behind = solid.motion(0)
    with Writer(tmp_path / "behind", solid.layout, 1, 3, normalise={"how": "none"}) as writer:
        writer.add(behind.with_(joints=behind.joints - np.float32(9)))
    with pytest.raises(InputError, match="no sensor"):
        Pairs(ClipLoader(Store(tmp_path / "behind")), CameraSettings(), 0.5).usable(torch.arange(4))


def test_bodies_are_normalised(solid):
    pairs = Pairs(ClipLoader(solid), CameraSettings())
    body = pairs.bodies(torch.arange(4)).joints[:, 0, 0]
    torch.testing.assert_close(body, keypoints.normalise(body, pairs.profile).points)
