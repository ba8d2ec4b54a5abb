"""The skeleton Transformer: published size, people by themselves, missing tokens, what its vectors are."""

import pytest
import torch

from kineme import encoders
from kineme.encoders.skeleton_transformer import SkeletonTransformer
from kineme.motion.layout import layout
from kineme.utils.errors import InputError
from kineme.views.batch import Batch
from kineme.views.masks import apply_mask, draw_mask

KINECT = layout("kinect20")


def build(coords=3, **settings):
    torch.manual_seed(0)
    small = {"hidden": 16, "layers": 2, "heads": 4, "frames": 12, "segment": 3}
    chosen = SkeletonTransformer.Settings(**{**small, **settings})
    return encoders.build("skeleton_transformer", chosen, KINECT, coords, 2).eval()


def batch(rows=4, frames=12, persons=2, coords=3, seed=1):
    joints = torch.randn(rows, frames, persons, 20, coords, generator=torch.Generator().manual_seed(seed))
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(rows))


def test_published_size_has_the_published_number_of_weights():
    with torch.device("meta"):
        encoder = SkeletonTransformer(SkeletonTransformer.Settings(), layout("ntu25"), 3)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(6.3, abs=0.05)
    assert (encoder.segments, encoder.dim) == (30, 256)


def test_weights_begin_as_published():
    encoder = build(hidden=64)
    for name, weight in encoder.blocks.named_parameters():
        if weight.dim() == 2:
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.9 * bound < weight.abs().max() <= bound, name
        elif "norm" not in name:
            assert not weight.any(), name
    assert 0 < encoder.embedding.bias.detach().abs().max() <= 9**-0.5  # as torch makes a convolution of nine inputs
    for place in (encoder.time, encoder.joint):
        assert float(place.detach().std()) == pytest.approx(0.02, rel=0.2)


def test_means_are_those_of_the_tokens():
    view = batch()
    with torch.no_grad():
        clip, frame, parts = build()(view)
        tokens = parts["tokens"]
        assert tokens.shape == (4, 2, 4, 20, 16)
        torch.testing.assert_close(clip, tokens.mean((1, 2, 3)))
        torch.testing.assert_close(frame, tokens.mean((1, 3)))
        wide = build(pool="joints")
        assert wide.dim == 320
        torch.testing.assert_close(wide(view).clip, tokens.mean((1, 2)).flatten(1))


def test_people_are_encoded_by_themselves_in_any_order():
    encoder, view = build(), batch()
    swapped = Batch(view.joints.flip(2), view.confidence, view.index)
    with torch.no_grad():
        torch.testing.assert_close(encoder(swapped).clip, encoder(view).clip)
        alone = [encoder(Batch(view.joints[:, :, [m]], view.confidence[:, :, [m]], view.index)) for m in range(2)]
        torch.testing.assert_close(encoder(view).clip, (alone[0].clip + alone[1].clip) / 2)
        order = torch.tensor([2, 0, 3, 1])
        torch.testing.assert_close(encoder(view[order]).clip, encoder(view).clip[order])


@pytest.mark.parametrize("pool", ["mean", "joints"])
def test_tokens_without_a_seen_frame_do_not_count_and_gaps_lie_on_a_line(pool):
    encoder, view = build(pool=pool), batch(persons=1)
    line = torch.linspace(0, 1, 12).view(12, 1, 1, 1) * torch.randn(1, 1, 20, 3)
    view.joints[0] = line
    gap = Batch(view.joints.clone(), view.confidence.clone(), view.index)
    gap.joints[0, 4, 0, 7], gap.confidence[0, 4, 0, 7] = 9.0, 0.0  # one frame of a token
    gap.joints[1, 3:6, 0, 5], gap.confidence[1, 3:6, 0, 5] = 9.0, 0.0  # a whole token
    with torch.no_grad():
        whole, found = encoder(view), encoder(gap)
        torch.testing.assert_close(found.clip[0], whole.clip[0])
        tokens = found.parts["tokens"][1, 0]
        assert not tokens[1, 5].any()
        assert (tokens.abs().sum(2) > 0).sum() == 79
        if pool == "mean":
            torch.testing.assert_close(found.clip[1], tokens.sum((0, 1)) / 79)
        gap.joints[1, 3:6, 0, 5] = -7.0
        assert torch.equal(encoder(gap).clip, found.clip)


def test_nobody_a_single_frame_and_many_people_give_a_vector():
    encoder = build()
    nobody = batch()
    nobody.confidence[:] = 0
    for view in (nobody, batch(frames=1), batch(rows=2, persons=40), batch(rows=1, frames=500)):
        with torch.no_grad():
            clip = encoder(view).clip
        assert clip.shape == (len(view), 16)
        assert clip.isfinite().all()


def test_all_tokens_are_the_visible_ones_where_nothing_is_hidden():
    """Invariant: the encoder on all tokens equals the one on visible tokens of a mask that hides none."""
    encoder, view = build(), batch(persons=1)
    people = encoder.people(view)
    tokens = encoder.embed(people.joints)
    mask = draw_mask(torch.rand(4, 80), 0.0)
    assert not mask.hidden.any()
    with torch.no_grad():
        shuffled = encoder.encode(apply_mask(tokens, mask), mask.valid)
        back = shuffled.gather(1, mask.restore[..., None].expand(-1, -1, 16))
        torch.testing.assert_close(back, encoder.encode(tokens))


def test_two_dimensions_and_other_lengths():
    encoder = build(coords=2)
    with torch.no_grad():
        assert encoder(batch(frames=31, coords=2)).clip.shape == (4, 16)


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"hidden": 18}, "encoder.hidden"), ({"frames": 10}, "encoder.frames"), ({"segment": 0}, "encoder.segment")],
)
def test_settings_that_do_not_fit(settings, word):
    with pytest.raises(InputError, match=word):
        build(**settings)
