"""Views: crops, spatial augmentations, streams (Dong et al. 2023-2.7, 3 and invariants 13-16)."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.motion.layout import Layout, layout
from kineme.utils.errors import InputError
from kineme.views.augment import (
    Crop,
    ViewDraw,
    ViewSettings,
    add_noise,
    apply_view,
    centre_crop,
    crop_length,
    draw_crop,
    draw_view,
    mirror,
    rotation_matrices,
    rotations_xyz,
    shears,
    transform,
    view,
    views,
)
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader
from kineme.views.streams import stream

NTU = layout("ntu25")


def chain(joints: int) -> Layout:
    return Layout("free", tuple(f"joint {i}" for i in range(joints)), tuple(range(-1, joints - 1)))


def made(lengths, bones: Layout = NTU, persons=2, coords=3, **card):
    """A store in memory: noise; the second person is absent from clip 0, one joint of clip 1 is missing."""
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    frames = rng.normal(size=(offsets[-1], persons, len(bones), coords)).astype(np.float32)
    seen = np.ones(frames.shape[:3], np.float32)
    seen[: offsets[1], 1:] = 0
    seen[offsets[1] : offsets[2] if len(lengths) > 1 else None, 0, 2] = 0
    frames *= seen[..., None] > 0
    return SimpleNamespace(
        frames=frames, confidence=seen, lengths=np.array(lengths), offsets=offsets, layout=bones, card=card
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def many(settings: ViewSettings, size: int = 20_000, bones: Layout = NTU, coords: int = 3) -> ViewDraw:
    """Draws for many views of one short store."""
    source = ClipLoader(made([200, 200], bones, coords=coords))
    return draw_view(source, torch.zeros(size, dtype=torch.int64), settings, generator())


def random_batch(size=3, time=8, persons=2, bones=NTU, coords=3) -> Batch:
    joints = torch.randn(size, time, persons, len(bones), coords, generator=generator(1))
    seen = torch.rand(size, time, persons, len(bones), generator=generator(2)).gt(0.2).float()
    return Batch(joints * seen[..., None], seen, torch.arange(size))


# ---- time (invariant 13)


@given(st.integers(1, 10_000), st.floats(0, 1), st.integers(1, 200))
def test_the_crop_length_is_the_published_one(n, scale, min_frames):
    assert crop_length(torch.tensor([n]), torch.tensor([scale], dtype=torch.float64), min_frames).item() == min(
        max(math.floor(n * scale), min_frames), n
    )


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), st.integers(0, 100))
def test_random_crops_stay_inside(lengths, seed):
    lengths = torch.tensor(lengths)
    start, length = draw_crop(lengths, generator(seed))
    assert (length >= lengths.clamp(max=64)).all()
    assert (length <= lengths).all()
    assert (start >= 0).all()
    assert (start + length <= lengths).all()
    short = lengths <= 64
    assert torch.equal(length[short], lengths[short])
    assert not start[short].any()


def test_random_crops_are_uniform_in_fraction_and_place():
    n = 1000
    start, length = draw_crop(torch.full((200_000,), n), generator(), 0.2, 0.9, min_frames=1)
    fraction = length / n
    assert fraction.min() >= 0.2
    assert fraction.max() < 0.9
    assert abs(fraction.mean() - 0.55) < 2e-3
    assert abs(fraction.std() - 0.7 / 12**0.5) < 2e-3
    counts = torch.histc(start / (n - length + 1), bins=10, min=0, max=1)
    assert (counts / counts.mean() - 1).abs().max() < 0.04
    start, _ = draw_crop(torch.full((60_000,), 66), generator(), 0, 0, min_frames=64)  # three places
    assert (start.bincount() / 20_000 - 1).abs().max() < 0.03
    assert start.unique().tolist() == [0, 1, 2]


@given(st.integers(1, 100_000), st.floats(0.05, 1))
def test_the_centre_crop_is_the_published_one(n, ratio):
    start, length = centre_crop(torch.tensor([n]), ratio)
    assert start.item() == int((1 - ratio) * n / 2)
    assert length.item() == n - 2 * start.item()


# ---- matrices


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 3), st.integers(1, 8), st.integers(2, 3), st.booleans())
def test_transform_is_a_product_on_the_touched_joints_alone(size, time, persons, joints, coords, some):
    batch = random_batch(size, time, persons, chain(joints), coords)
    matrix = torch.randn(size, coords, coords, generator=generator(3))
    touched = torch.rand(size, joints, generator=generator(4)) < 0.5 if some else None
    before = batch.joints.clone()
    out = transform(batch.joints, matrix, touched)
    assert torch.equal(batch.joints, before)
    wanted = torch.einsum("btmvc,bcd->btmvd", before.double(), matrix.double())
    chosen = torch.ones(size, joints, dtype=torch.bool) if touched is None else touched
    chosen = chosen[:, None, None, :, None].expand_as(before)
    torch.testing.assert_close(out[chosen].double(), wanted[chosen], atol=1e-5, rtol=1e-5)
    assert torch.equal(out[~chosen], before[~chosen])  # bit for bit
    memory = torch.full_like(before, torch.nan)
    assert transform(batch.joints, matrix, touched, out=memory) is memory
    assert torch.equal(memory, out)
    zeroed = transform(batch.joints, torch.zeros_like(matrix), touched)
    assert not zeroed[chosen].any()


def test_transform_takes_joints_that_do_not_lie_in_order():
    joints, matrix = random_batch().joints, torch.randn(3, 3, 3)
    otherwise = joints.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(transform(otherwise, matrix), transform(joints, matrix))


@pytest.mark.parametrize("coords", [2, 3])
def test_shears_have_a_unit_diagonal_and_their_entries_row_by_row(coords):
    entries = torch.randn(4, coords * (coords - 1))
    matrix = shears(entries).mT  # acting on column vectors
    off = ~torch.eye(coords, dtype=torch.bool)
    assert torch.equal(matrix[:, off], entries)
    assert (matrix.diagonal(dim1=1, dim2=2) == 1).all()
    joints = random_batch(4, coords=coords).joints
    assert torch.equal(transform(joints, shears(torch.zeros_like(entries))), joints)  # invariant 14


def test_turns_are_counter_clockwise_rotations():
    quarter = torch.tensor([math.pi / 2])
    x, y, z = torch.eye(3)
    for axis, first, second in ((0, y, z), (1, z, x), (2, x, y)):
        torch.testing.assert_close(first @ rotation_matrices(quarter, 3, axis)[0], second, atol=1e-6, rtol=0)
    torch.testing.assert_close(rotation_matrices(quarter, 3)[0], rotation_matrices(quarter, 3, 1)[0])
    torch.testing.assert_close(
        torch.tensor([1.0, 0]) @ rotation_matrices(quarter, 2)[0], torch.tensor([0.0, 1]), atol=1e-6, rtol=0
    )
    angles = torch.randn(20, dtype=torch.float64)
    for coords in (2, 3):
        matrix = rotation_matrices(angles, coords)
        torch.testing.assert_close(matrix @ matrix.mT, torch.eye(coords).double().expand_as(matrix))
        torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(20).double())
        torch.testing.assert_close(matrix.diagonal(dim1=1, dim2=2).sum(1), coords - 2 + 2 * angles.cos())


# ---- mirror, jitter


def test_mirror_exchanges_the_sides_of_the_chosen_samples():
    batch, chosen = random_batch(), torch.tensor([True, False, True])
    there = mirror(batch, chosen, NTU)
    assert torch.equal(there.joints[1], batch.joints[1])
    flip = torch.tensor([-1.0, 1, 1])
    left, right = NTU.joints.index("left_wrist"), NTU.joints.index("right_wrist")
    assert torch.equal(there.joints[chosen][:, :, :, left], batch.joints[chosen][:, :, :, right] * flip)
    assert torch.equal(there.confidence[chosen][..., left], batch.confidence[chosen][..., right])
    middle = NTU.joints.index("head")
    assert torch.equal(there.joints[chosen][:, :, :, middle, 0], -batch.joints[chosen][:, :, :, middle, 0])
    assert torch.equal(there.joints.eq(0).all(-1), there.confidence.eq(0))  # confidences follow their joints
    back = mirror(there, chosen, NTU)
    assert torch.equal(back.joints, batch.joints)
    assert torch.equal(back.confidence, batch.confidence)


def test_mirror_serves_two_coordinates():
    batch = random_batch(bones=layout("coco17"), coords=2)
    there = mirror(batch, torch.ones(3, dtype=torch.bool), layout("coco17"))
    partner = list(layout("coco17").mirror)
    assert torch.equal(there.joints, batch.joints[:, :, :, partner] * torch.tensor([-1.0, 1]))


def test_jitter_leaves_missing_joints_alone():
    batch = random_batch()
    noise = torch.randn(batch.joints.shape, generator=generator(7))
    noisy = add_noise(batch, noise)
    there = batch.confidence > 0
    torch.testing.assert_close(noisy.joints[there], (batch.joints + noise)[there])
    assert not noisy.joints[~there].any()


# ---- draws


def test_half_of_the_views_are_corrupted_and_the_others_sheared():
    draw = many(ViewSettings())
    assert draw.mirrored is None
    assert draw.turn is None
    assert draw.noise is None
    counts = draw.touched.sum(1)
    corrupted = counts < 25
    assert counts.unique().tolist() == [15, 25]
    assert abs(corrupted.float().mean() - 0.5) < 0.02
    zeroed = ~draw.matrix.flatten(1).any(1)
    assert not zeroed[~corrupted].any()
    assert abs(zeroed[corrupted].float().mean() - 0.5) < 0.02
    assert (draw.touched[corrupted].float().mean(0) - 0.6).abs().max() < 0.02  # every joint equally often
    off = ~torch.eye(3, dtype=torch.bool)
    shear = draw.matrix[~corrupted]
    assert (shear.diagonal(dim1=1, dim2=2) == 1).all()
    linear = draw.matrix[corrupted & ~zeroed].flatten(1)
    for entries in (shear[:, off], linear):  # independent, uniform on [-1, 1]
        assert entries.abs().max() <= 1
        assert entries.abs().max() > 0.99
        assert entries.mean(0).abs().max() < 0.03
        assert (entries.var(0) - 1 / 3).abs().max() < 0.02
        assert (torch.corrcoef(entries.T) - torch.eye(entries.shape[1])).abs().max() < 0.06


@pytest.mark.parametrize(("name", "touched"), [("ntu25", 15), ("kinect20", 12), ("coco17", 10), ("penn13", 8)])
def test_corruption_takes_its_share_of_the_joints(name, touched):
    draw = many(ViewSettings(), 500, layout(name), coords=2 if name == "penn13" else 3)
    assert draw.touched.sum(1).unique().tolist() == [touched, len(layout(name))]


def test_settings_switch_augmentations_on_and_off():
    plain = many(ViewSettings(shear=0, joint_jitter=0), 100)
    assert set(plain[2:]) == {None}
    sheared = many(ViewSettings(joint_jitter=0, shear=0.3))
    assert sheared.touched is None
    assert 0.29 < (sheared.matrix - torch.eye(3)).abs().max() <= 0.3
    corrupted = many(ViewSettings(shear=0), 1000)
    assert torch.equal(corrupted.matrix[corrupted.touched.all(1)].unique(dim=0), torch.eye(3)[None])
    everything = many(ViewSettings(mirror=0.3, rotate=0.5, noise=0.1, frames=4))
    assert abs(everything.mirrored.float().mean() - 0.3) < 0.02
    assert everything.turn.abs().max() <= 0.5
    assert abs(everything.turn.var() - 0.5**2 / 3) < 3e-3
    assert everything.noise.shape == (20_000, 4, 2, 25, 3)
    assert abs(everything.noise.std() - 0.1) < 1e-3


def test_a_changed_setting_leaves_the_rest_of_the_view_as_it_was():
    plain, changed = many(ViewSettings(), 50), many(ViewSettings(mirror=0.5, rotate=1, noise=0.1), 50)
    assert torch.equal(plain.crop.start, changed.crop.start)
    assert torch.equal(plain.crop.length, changed.crop.length)
    assert torch.equal(plain.matrix, changed.matrix)
    assert torch.equal(plain.touched, changed.touched)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"min_frames": 0},
        {"crop_low": 0.9, "crop_high": 0.8},
        {"crop_high": 1.1},
        {"joint_jitter": 1.5},
        {"mirror": -0.1},
        {"shear": -1},
        {"noise": float("nan")},
    ],
)
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(InputError, match=rf"views\.{next(iter(wrong))}.*Expected"):
        ViewSettings(**wrong)


def test_a_store_in_which_x_points_up_is_not_mirrored():
    source = ClipLoader(made([70, 80], up="+x"))
    assert source.up == 0
    draw_view(source, source.rows, ViewSettings(), generator())
    with pytest.raises(InputError, match="x points up"):
        draw_view(source, source.rows, ViewSettings(mirror=0.5), generator())


# ---- views


EVERYTHING = ViewSettings(mirror=0.5, rotate=0.5, noise=0.05)


def test_the_same_generator_gives_the_same_views():
    source = ClipLoader(made([70, 300, 64]))
    one, same, other = (view(source, source.rows, EVERYTHING, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.joints, same.joints)
    assert torch.equal(one.confidence, same.confidence)
    assert not torch.equal(one.joints, other.joints)
    gen = generator(1)
    first, second = (view(source, source.rows, EVERYTHING, gen) for _ in range(2))
    assert torch.equal(first.joints, one.joints)
    assert not torch.equal(first.joints, second.joints)


@pytest.mark.parametrize("size", [3, 300])
def test_views_of_one_step_are_independent(size):
    source = ClipLoader(made([70, 300, 64]))
    index = torch.arange(size) % 3
    pair = views(source, index, ViewSettings(frames=8), generator())
    assert [len(batch) for batch in pair] == [size, size]
    assert all(torch.equal(batch.index, index) for batch in pair)
    assert all(batch.joints.is_contiguous() for batch in pair)
    assert not (pair[0].joints == pair[1].joints).flatten(1).all(1).any()
    again = views(source, index, ViewSettings(frames=8), generator())
    assert all(torch.equal(one.joints, other.joints) for one, other in zip(pair, again))
    assert len(views(source, index, ViewSettings(frames=8), generator(), count=3)) == 3


def test_draws_do_not_depend_on_the_device_nor_is_the_device_asked_for_a_value():
    store = made([70, 300, 64])
    here, elsewhere = ClipLoader(store), ClipLoader(store, device="meta")  # a device that has shapes but no values
    index = torch.tensor([2, 0, 1, 1])
    draws = [draw_view(source, index, EVERYTHING, generator()) for source in (here, elsewhere)]
    for one, other in zip(*([*draw.crop, *filter(torch.is_tensor, draw[2:])] for draw in draws), strict=True):
        assert one.device.type == other.device.type == "cpu"
        assert torch.equal(one, other)
    batch = apply_view(elsewhere, index, draws[1])
    assert batch.joints.device.type == batch.confidence.device.type == batch.index.device.type == "meta"
    assert batch.joints.shape == (4, 64, 2, 25, 3)
    for name in ("joint", "bone", "motion"):
        assert stream(batch, name, NTU).joints.shape == batch.joints.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("resident", [True, False])
def test_views_on_a_gpu_are_those_of_the_cpu(resident):
    store = made([70, 300, 64])
    here, there = ClipLoader(store), ClipLoader(store, device="cuda", resident=resident)
    index = torch.tensor([2, 0, 1, 1])
    one, other = (view(source, index, EVERYTHING, generator()) for source in (here, there))
    torch.testing.assert_close(other.joints.cpu(), one.joints, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other.confidence.cpu(), one.confidence, atol=1e-6, rtol=0)
    assert torch.equal(other.joints.cpu() == 0, one.joints == 0)


def test_a_view_does_not_depend_on_the_rest_of_its_batch():
    source = ClipLoader(made([70, 300, 64]))
    index = torch.tensor([2, 0, 1, 1])
    draw = draw_view(source, index, EVERYTHING, generator())
    batch = apply_view(source, index, draw)
    for i in range(4):
        one = slice(i, i + 1)
        rest = (None if x is None else x[one] for x in draw[2:])
        alone = ViewDraw(Crop(*(x[one] for x in draw.crop)), draw.frames, *rest)
        torch.testing.assert_close(apply_view(source, index[one], alone).joints, batch.joints[one], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("bones", "persons", "coords", "frames"),
    [(NTU, 2, 3, 64), (layout("coco17"), 1, 2, 50), (chain(7), 3, 3, 9), (chain(1), 1, 2, 1)],
)
def test_views_of_any_shape(bones, persons, coords, frames):
    source = ClipLoader(made([70, 1, 64], bones if len(bones) > 2 else chain(3), persons, coords))
    everything = ViewSettings(frames=frames, mirror=0.5, rotate=0.5, noise=0.05, min_frames=3)
    for size in (1, 5):
        batch = view(source, torch.arange(size) % 3, everything, generator())
        assert batch.joints.shape == (size, frames, persons, len(source.layout), coords)
        assert batch.joints.isfinite().all()


def test_corruption_in_a_view():  # invariant 14
    source = ClipLoader(made([100, 100, 100]))
    index = torch.full((64,), 2)
    draw = draw_view(source, index, ViewSettings(), generator())
    batch, plain = apply_view(source, index, draw), source.gather(index, *draw.crop, 64)
    corrupted = draw.touched.sum(1) < 25
    untouched = (batch.joints == plain.joints).all(-1).all(2).all(1)  # over coordinates, persons, frames
    assert (untouched[corrupted].sum(1) == 10).all()
    assert torch.equal(untouched[corrupted], ~draw.touched[corrupted])
    zeroed = corrupted & ~draw.matrix.flatten(1).any(1)
    assert zeroed.any()
    assert (batch.joints[zeroed].eq(0).all(-1).all(1).sum(-1) == 15).all()  # in both persons
    assert torch.equal(batch.confidence, plain.confidence)  # a zeroed joint is not a missing one
    sheared = ~corrupted
    wanted = torch.einsum("btmvc,bcd->btmvd", plain.joints, draw.matrix)
    torch.testing.assert_close(batch.joints[sheared], wanted[sheared], atol=2e-6, rtol=1e-6)


def test_missing_joints_and_absent_persons_stay_zero_in_every_view():
    source = ClipLoader(made([100, 100]))
    for seed in range(10):
        batch = view(source, torch.tensor([0, 1]), EVERYTHING, generator(seed))
        assert not batch.joints[0, :, 1].any()
        assert not batch.confidence[0, :, 1].any()
        assert batch.confidence[1].eq(0).sum() == 64  # one joint, wherever the mirror put it
        assert not batch.joints[batch.confidence == 0].any()


def test_views_are_turned_about_the_axis_that_points_up():
    settings = ViewSettings(rotate=1, shear=0, joint_jitter=0, crop_low=1)
    for up, axis in (("+z", 2), ("-y", 1), (None, 1)):
        source = ClipLoader(made([64, 64], up=up))
        batch = view(source, torch.arange(2), settings, generator())
        plain = source.gather(torch.arange(2), torch.zeros(2, dtype=torch.int64), torch.full((2,), 64), 64)
        torch.testing.assert_close(batch.joints[..., axis], plain.joints[..., axis], atol=1e-6, rtol=0)
        torch.testing.assert_close(batch.joints.norm(dim=-1), plain.joints.norm(dim=-1))
        assert not torch.allclose(batch.joints, plain.joints)


# ---- streams (invariants 15, 16)


def test_bones_add_up_to_the_joints():
    batch = replace(random_batch(), confidence=torch.ones(random_batch().confidence.shape))
    bone = stream(batch, "bone", NTU)
    root = NTU.parents.index(-1)
    assert not bone.joints[:, :, :, root].any()
    for joint in range(25):
        total, at = torch.zeros_like(bone.joints[:, :, :, 0]), joint
        while at != root:
            total, at = total + bone.joints[:, :, :, at], NTU.parents[at]
        torch.testing.assert_close(total, batch.joints[:, :, :, joint] - batch.joints[:, :, :, root], atol=1e-5, rtol=0)


def test_motion_adds_up_to_the_joints():
    batch = replace(random_batch(), confidence=torch.ones(random_batch().confidence.shape))
    motion = stream(batch, "motion", NTU)
    assert not motion.joints[:, -1].any()
    restored = batch.joints[:, :1] + motion.joints[:, :-1].cumsum(1)
    torch.testing.assert_close(restored, batch.joints[:, 1:], atol=1e-5, rtol=0)


def test_a_bone_or_motion_is_as_sure_as_the_less_sure_end_and_0_without_one():
    batch = random_batch()
    bone, motion = (stream(batch, name, NTU) for name in ("bone", "motion"))
    parents = [joint if parent < 0 else parent for joint, parent in enumerate(NTU.parents)]
    assert torch.equal(bone.confidence, batch.confidence.minimum(batch.confidence[..., parents]))
    assert torch.equal(motion.confidence[:, :-1], batch.confidence[:, 1:].minimum(batch.confidence[:, :-1]))
    assert torch.equal(motion.confidence[:, -1], batch.confidence[:, -1])
    for made_of in (bone, motion):
        assert (made_of.confidence == 0).any()
        assert not made_of.joints[made_of.confidence == 0].any()


def test_streams_leave_the_joints_as_they_are():
    batch = random_batch(bones=layout("coco17"), coords=2)
    joints, seen = batch.joints.clone(), batch.confidence.clone()
    assert stream(batch, "joint", layout("coco17")) is batch
    for name in ("bone", "motion"):
        made_of = stream(batch, name, layout("coco17"))
        assert made_of.joints.shape == joints.shape
        assert torch.equal(made_of.index, batch.index)
    assert torch.equal(batch.joints, joints)
    assert torch.equal(batch.confidence, seen)


def test_an_unknown_stream_is_named():
    with pytest.raises(InputError, match="Did you mean 'bone'"):
        stream(random_batch(), "bones", NTU)


@pytest.mark.parametrize("coords", [2, 3])
def test_rotations_about_three_axes_keep_lengths_and_leave_the_other_draws_alone(coords):
    store = made([40, 30, 50], chain(6), coords=coords)
    source, index = ClipLoader(store), torch.arange(3)
    settings = ViewSettings(frames=16, min_frames=8, shear=0.0, joint_jitter=0.0)
    plain = view(source, index, settings, generator())
    turned = view(source, index, replace(settings, rotate_xyz=0.3), generator())
    torch.testing.assert_close(turned.joints.norm(dim=-1), plain.joints.norm(dim=-1), atol=1e-5, rtol=1e-5)
    assert torch.equal(turned.confidence, plain.confidence)
    draw = draw_view(source, torch.arange(3).repeat(200), replace(settings, rotate_xyz=0.3), generator())
    assert draw.angles.shape == (600, {2: 1, 3: 3}[coords])
    assert 0.28 < float(draw.angles.max()) <= 0.3
    assert -0.3 <= float(draw.angles.min()) < -0.28
    for clip in range(3):  # one rotation for all frames and persons of a clip, the one that was drawn
        one = draw_view(source, index, replace(settings, rotate_xyz=0.3), generator()).angles
        torch.testing.assert_close(turned.joints[clip], plain.joints[clip] @ rotations_xyz(one)[clip])


def test_rotations_about_three_axes_are_about_one_after_the_other():
    """x first, then y, then z, each clockwise for the published form."""
    angles = torch.tensor([[0.2, -0.4, 0.1]])
    found = rotations_xyz(angles)[0]
    assert float(torch.linalg.det(found)) == pytest.approx(1.0)
    for axis in range(3):
        one = torch.zeros(1, 3)
        one[0, axis] = angles[0, axis]
        torch.testing.assert_close(rotations_xyz(one), rotation_matrices(-angles[:, axis], 3, axis))
    by_hand = torch.eye(3)
    for axis in range(3):
        by_hand = by_hand @ rotation_matrices(-angles[:, axis], 3, axis)[0]
    torch.testing.assert_close(found, by_hand)
