"""The fused encoder: what must not change its vector, its maxima against loops, and odd input."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from kineme import encoders
from kineme.encoders.fused import Block, Branch, Fused
from kineme.motion import layout as skeleton
from kineme.motion.motion import UNSURE
from kineme.nn.batch_norm import fix_statistics
from kineme.utils.errors import InputError
from kineme.views.augment import rotation_matrices, transform
from kineme.views.batch import Batch

SMALL = Fused.Settings(hidden=8, frames=12)


def build(layout="ntu25", coords=3, persons=2, settings=SMALL, up="+y", seed=0):
    torch.manual_seed(seed)
    encoder = encoders.build("fused", settings, skeleton.layout(layout), coords, persons, up)
    fix_statistics(encoder, [batch_of(layout, coords, persons, rows=16)])
    return encoder.eval()


def batch_of(layout="ntu25", coords=3, persons=2, frames=12, rows=3, seed=1):
    gen = torch.Generator().manual_seed(seed)
    joints = torch.randn(rows, frames, persons, len(skeleton.layout(layout)), coords, generator=gen)
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(rows))


@pytest.mark.parametrize("up", ["+y", "+z", "-y"])
@pytest.mark.parametrize("persons", [1, 2, 3])
def test_a_turn_about_the_vertical_changes_nothing(up, persons):
    encoder, batch = build(persons=persons, up=up), batch_of(persons=persons)
    turned = transform(batch.joints, rotation_matrices(torch.tensor([0.4, 2.0, -3.0]), 3, "xyz".index(up[-1])))
    torch.testing.assert_close(encoder(batch).clip, encoder(replace(batch, joints=turned)).clip, atol=2e-5, rtol=1e-4)
    about_another = transform(batch.joints, rotation_matrices(torch.ones(3), 3, "xyz".index(up[-1]) - 1))
    assert (encoder(batch).clip - encoder(replace(batch, joints=about_another)).clip).abs().max() > 0.1


@pytest.mark.parametrize("persons", [2, 4])
def test_the_order_of_persons_changes_nothing(persons):
    encoder, batch = build(persons=persons), batch_of(persons=persons)
    order = torch.tensor([*range(1, persons), 0])
    other = Batch(batch.joints[:, :, order], batch.confidence[:, :, order], batch.index)
    torch.testing.assert_close(encoder(batch).clip, encoder(other).clip)


def test_where_a_scene_lies_changes_nothing():
    encoder, batch = build(), batch_of()
    moved = replace(batch, joints=batch.joints + torch.tensor([3.0, 0.5, -7.0]))
    torch.testing.assert_close(encoder(batch).clip, encoder(moved).clip, atol=2e-5, rtol=1e-4)


def test_the_partner_matters():
    encoder, batch = build(), batch_of()
    apart = batch.joints.clone()
    apart[:, :, 1] += torch.tensor([1.0, 0, 0])
    assert (encoder(batch).clip - encoder(replace(batch, joints=apart)).clip).abs().max() > 0.1
    alone = build(settings=replace(SMALL, channels=("joint", "pose", "motion", "bone")))
    torch.testing.assert_close(alone(batch).clip, alone(replace(batch, joints=apart)).clip, atol=2e-5, rtol=1e-4)


def test_flat_clips_may_be_moved_and_scaled():
    encoder, batch = build("coco17", 2, 1), batch_of("coco17", 2, 1)
    other = replace(batch, joints=batch.joints * 55 + torch.tensor([320.0, 240.0]))
    torch.testing.assert_close(encoder(batch).clip, encoder(other).clip, atol=1e-4, rtol=1e-3)


def test_flat_clips_tell_what_was_seen():
    encoder, batch = build("coco17", 2, 1), batch_of("coco17", 2, 1)
    there = batch.confidence.clone()
    there[:, 3:9, :, 5] = 0
    line = torch.lerp(batch.joints[:, 2, :, 5], batch.joints[:, 9, :, 5], torch.arange(1, 7)[:, None, None, None] / 7)
    joints = batch.joints.clone()
    joints[:, 3:9, :, 5] = line.transpose(0, 1)
    without = build("coco17", 2, 1, replace(SMALL, channels=("joint", "pose", "motion", "bone")))
    hidden, filled = Batch(joints, there, batch.index), Batch(joints, batch.confidence, batch.index)
    assert not torch.allclose(encoder(hidden).clip, encoder(filled).clip)
    # the mean over what is seen moves a little: standardised by other joints
    assert (without(hidden).clip - without(filled).clip).abs().max() < 0.3


def test_a_flat_joint_that_nobody_vouches_for_is_missing_unless_all_are():
    encoder, batch = build("coco17", 2, 2), batch_of("coco17", 2, 2)
    missing, unsure = batch.confidence.clone(), batch.confidence.clone()
    missing[:, 3:9, 0, 5], unsure[:, 3:9, 0, 5] = 0, UNSURE
    gone, guessed = replace(batch, confidence=missing), replace(batch, confidence=unsure)
    assert torch.equal(encoder(gone).clip, encoder(guessed).clip)
    assert not torch.allclose(encoder(batch).clip, encoder(guessed).clip)
    one = batch.confidence.clone()
    one[:, :, 1] = UNSURE  # of the second person: as good as seen
    torch.testing.assert_close(encoder(batch).clip, encoder(replace(batch, confidence=one)).clip)
    solid, deep = build(), batch_of()  # a depth sensor's guesses are places
    one = torch.full_like(deep.confidence, UNSURE)
    assert torch.equal(solid(deep).clip, solid(replace(deep, confidence=one)).clip)


def test_what_every_level_tells_against_a_loop():
    torch.manual_seed(0)
    groups = ((0, 3), (1, 12))
    branch, tokens = Branch(6, SMALL, halves=True, spread=True, groups=groups), torch.randn(3, 13, 6)
    clip, frame = branch(tokens)
    x, wanted = branch.embedding(tokens), []
    for level in range(4):
        if level:
            x = branch.blocks[level - 1](x)
            if level < 3:
                x = torch.stack([(x[:, 2 * i] + x[:, 2 * i + 1]) / 2 for i in range(x.shape[1] // 2)], 1)
        each = branch.norms[level](x)
        half = math.ceil(each.shape[1] / 2)
        wanted += [each.amax(1), each[:, :half].amax(1), each[:, each.shape[1] // 2 :].amax(1)]
        wanted += [each.std(1, unbiased=False)]
        if not level:
            wanted += [torch.maximum(each[:, one], each[:, other]) for one, other in groups]
    assert [13 // 2, 13 // 4] == [6, 3]
    assert frame.shape == (3, 3, 8)
    torch.testing.assert_close(clip, torch.cat(wanted, 1), atol=2e-5, rtol=1e-5)
    assert branch.dim == clip.shape[1] == 8 * (4 * 4 + 2)
    plain = Branch(6, SMALL)
    assert plain.dim == plain(tokens)[0].shape[1] == 8 * 4


def test_equal_tokens_have_a_gradient():
    branch = Branch(6, SMALL, spread=True)
    tokens = torch.ones(2, 8, 6, requires_grad=True)
    branch(tokens)[0].sum().backward()
    assert tokens.grad.isfinite().all()


def test_every_part_of_the_body_has_its_maxima():
    groups = build("ntu25").space.groups
    assert sorted(joint for group in groups for joint in group) == list(range(25))
    assert len(groups) == 5
    assert build("ntu25", settings=replace(SMALL, parts=False)).space.groups == ()
    hands = skeleton.Layout("hands", ("left_hand", "left_thumb"), (-1, 0), (0,))
    assert len(encoders.build("fused", SMALL, hands, 3, 1, "+y").space.groups) == 1  # no part is empty


def test_a_block_is_its_equation():
    torch.manual_seed(0)
    block, x = Block(4), torch.randn(2, 7, 4)
    wide = torch.zeros(2, 11, 4)
    wide[:, 2:9] = x
    mixed = sum(wide[:, k : k + 7] * block.kernel[:, k] for k in range(5))
    norm, first, _, second = block.mlp
    wanted = x + second(torch.nn.functional.gelu(first(norm(mixed))))
    torch.testing.assert_close(block(x), wanted)


def test_the_published_size():
    encoder = encoders.build("fused", Fused.Settings(), skeleton.layout("kinect20"), 3, 1, "+y")
    assert encoder.dim == 3200
    specified = Fused.Settings(spread=False, parts=False)  # by the recipe's first version
    assert encoders.build("fused", specified, skeleton.layout("kinect20"), 3, 1, "+y").dim == 2048
    assert 0.50e6 < sum(p.numel() for p in encoder.parameters()) < 0.53e6


def test_noise_is_drawn_apart_and_hides_what_it_says():
    encoder, batch = build(settings=replace(SMALL, joint_mask=0.3)).train(), batch_of(rows=400)
    noise = encoder.draw(400, 2, torch.Generator().manual_seed(3))
    again = encoder.draw(400, 2, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(noise, again))
    assert noise.turn.abs().max() <= 0.4
    assert 0.25 < noise.joints.float().mean() < 0.35
    assert 0.1 < noise.frames.float().mean() < 0.2
    torch.testing.assert_close(encoder(batch, noise).clip, encoder(batch, again).clip)
    assert not torch.allclose(encoder(batch).clip, encoder(batch).clip)  # two draws
    hidden = noise._replace(joints=torch.ones_like(noise.joints))
    other = batch_of(rows=400, seed=9)
    torch.testing.assert_close(encoder(batch, hidden).clip, encoder(other, hidden).clip)  # nothing is seen of either
    assert torch.equal(encoder.eval()(batch).clip, encoder(batch).clip)


def test_no_noise_without_settings_for_it():
    encoder, batch = build(settings=replace(SMALL, joint_mask=0, frame_mask=0, turn=0)), batch_of()
    torch.testing.assert_close(encoder.train()(batch).clip, encoder.eval()(batch).clip)


@pytest.mark.parametrize(
    ("layout", "coords", "persons", "frames"),
    [
        (skeleton.free(["a"], [-1]), 3, 1, 1),
        (skeleton.free(["a", "b"], [-1, 0]), 2, 1, 5),
        ("ntu25", 3, 300, 2),
        ("coco17", 2, 1, 10_000),
    ],
    ids=["one joint, one frame", "joints of no known name", "300 people", "10,000 frames"],
)
def test_odd_clips_have_a_vector(layout, coords, persons, frames):
    batch = batch_of(layout, coords, persons, frames, rows=2)
    batch.confidence[1] = 0
    batch.joints[1] = torch.nan
    torch.manual_seed(0)
    encoder = encoders.build("fused", SMALL, skeleton.layout(layout), coords, persons).eval()
    clip = encoder(Batch(batch.joints.nan_to_num(), batch.confidence, batch.index)).clip
    assert clip.shape == (2, encoder.dim)
    assert torch.isfinite(clip).all()


def test_nobody_who_is_absent_counts():
    encoder, batch = build(persons=3), batch_of(persons=3)
    batch.confidence[:, :, 1:] = 0
    one = Batch(batch.joints[:, :, :1], batch.confidence[:, :, :1], batch.index)
    torch.testing.assert_close(encoder(batch).clip, encoder(one).clip)


def test_a_joint_that_nothing_tells_is_hidden_as_in_training():
    """With its own channels and those of the bones that begin or end in it."""
    encoder, batch = build("pose13", persons=1), batch_of("pose13", persons=1)
    wrist, elbow = (skeleton.layout("pose13").joints.index(f"left_{name}") for name in ("wrist", "elbow"))
    seen = batch.confidence.clone()
    seen[..., [wrist, elbow]] = 0
    took = []
    encoder.time.register_forward_pre_hook(lambda _, tokens: took.append(tokens[0]))
    encoder(replace(batch, confidence=seen)), encoder(batch)
    hidden, whole = (each.unflatten(2, (13, -1)) for each in took)
    assert not hidden[:, :, [wrist, elbow]].any()
    others = [joint for joint in range(13) if joint not in (wrist, elbow)]
    torch.testing.assert_close(hidden[:, :, others], whole[:, :, others])


def test_unknown_channels_are_refused():
    with pytest.raises(InputError, match=r"encoder\.channels.*colour.*joint, pose"):
        Fused.Settings(channels=("joint", "colour"))
    with pytest.raises(InputError, match="partner"):
        encoders.build("fused", Fused.Settings(channels=("partner",)), skeleton.layout("ntu25"), 3, 1)
