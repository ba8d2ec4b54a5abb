"""CV-MIM's encoder: its anchor, its initial weights, what it sees of a pose and what its options change."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kineme import encoders
from kineme.encoders.pose_mlp import PoseMLP, limit
from kineme.motion.layout import layout
from kineme.utils import settings
from kineme.utils.errors import InputError
from kineme.views import keypoints
from kineme.views.batch import Batch


def build(joints="pose13", coords=2, seed=0, **more):
    torch.manual_seed(seed)
    table = {"width": 16, "dim": 4, **more}
    return encoders.build("pose_mlp", settings.make(PoseMLP.Settings, table), layout(joints), coords, 1)


def batch(rows=6, frames=3, joints="pose13", coords=2, seed=0):
    x = torch.randn(rows, frames, 1, len(layout(joints)), coords, generator=torch.Generator().manual_seed(seed))
    return Batch(x, torch.ones(x.shape[:-1]), torch.arange(rows))


def test_anchor_of_the_release():
    """Spec, 2.1: width 2, three blocks, no batch norm, weights and biases one, input (1, 2, 3) -> 1937 everywhere."""
    encoder = build(width=2, blocks=3, norm=False).eval()
    encoder.first.linear = nn.Linear(3, 2)
    for weight in encoder.parameters():
        nn.init.ones_(weight)
    codes = encoder.codes(encoder.stem(torch.tensor([[1.0, 2, 3]])))
    assert torch.cat(codes[:2], 1).tolist() == [[1937.0] * 8]


def test_initial_weights_and_biases_are_truncated_normals():
    encoder = build(width=512)
    layers = [m for m in encoder.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 6
    for layer in layers:
        for weight, fan in ((layer.weight.detach(), layer.in_features), (layer.bias.detach(), layer.out_features)):
            wanted = math.sqrt(2 / fan)
            if weight.numel() > 100:
                assert float(weight.std()) == pytest.approx(wanted, rel=0.15)
            assert float(weight.abs().max()) <= 2 * wanted / 0.8796 + 1e-6
            assert weight.any()


def test_published_size():
    """26 -> 1024, four layers of 1024, 64; batch norm; biases before it take no part in training."""
    encoder = PoseMLP(PoseMLP.Settings(), layout("pose13"), 2)
    sizes = [tuple(m.weight.shape) for m in encoder.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(1024, 26), *[(1024, 1024)] * 4, (64, 1024)]
    assert encoder.dim == 32
    norms = [m for m in encoder.modules() if type(m).__name__ == "BatchNorm"]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    inert = [name for name, weight in encoder.named_parameters() if not weight.requires_grad]
    assert len(inert) == len(norms) == 5
    assert all(name.endswith("linear.bias") for name in inert)


def test_a_bias_before_batch_norm_is_inert():
    encoder = build(dropout=0).train()
    before = encoder(batch()).frame
    with torch.no_grad():
        encoder.rest.blocks[0][0].linear.bias += 3.0
    torch.testing.assert_close(encoder(batch()).frame, before, atol=1e-4, rtol=1e-4)


def test_codes_are_cut_into_pose_and_view():
    encoder, view = build().eval(), batch()
    features = encoder(view)
    assert features.parts["pose"].shape == features.parts["view"].shape == (6, 3, 4)
    torch.testing.assert_close(features.frame, features.parts["pose"])
    torch.testing.assert_close(features.clip, features.frame.mean(1))
    whole = encoder.rest(encoder.stem(encoder.input(view)))
    torch.testing.assert_close(torch.cat([features.parts["pose"], features.parts["view"]], -1), whole)
    alone = build(view=False).eval()(view)
    assert list(alone.parts) == ["pose"]


def test_place_and_size_of_a_pose_do_not_matter():
    encoder, view = build().eval(), batch()
    moved = Batch(100 * view.joints + 7, view.confidence, view.index)
    torch.testing.assert_close(encoder(moved).frame, encoder(view).frame, atol=1e-4, rtol=1e-4)


def test_it_sees_rows_before_columns():
    """Columns of the first layer as released: (row, column) of the nose first."""
    encoder, view = build(), batch()
    seen = encoder.input(view).unflatten(-1, (13, 2))
    made = keypoints.normalise(view.joints[:, :, 0], keypoints.FLAT).points
    torch.testing.assert_close(seen, made.flip(-1))


def test_frames_without_anybody_say_nothing_and_do_not_count():
    encoder, view = build().eval(), batch()
    view.confidence[0, 1] = 0
    view.confidence[1] = 0
    features = encoder(view)
    assert not features.frame[0, 1].any()
    assert not features.parts["view"][1].any()
    torch.testing.assert_close(features.clip[0], features.frame[0, [0, 2]].mean(0))
    assert not features.clip[1].any()


def test_layouts_with_the_same_joints_give_the_same_codes():
    encoder, other = build().eval(), build("coco17").eval()
    other.load_state_dict(encoder.state_dict())
    coco = batch(joints="coco17")
    taken = keypoints.taken(layout("coco17"), 2)
    joints, seen = taken(coco.joints[:, :, 0], coco.confidence[:, :, 0])
    small = Batch(joints[:, :, None], seen[:, :, None].float(), coco.index)
    torch.testing.assert_close(other(coco).clip, encoder(small).clip)


def test_visibility_and_nose():
    view = batch()
    view.confidence[:, :, 0, 5] = 0
    plain, told = build(), build(visibility=True)
    assert told.inputs == 13 * 3
    shown = told.input(view).unflatten(-1, (13, 3))
    torch.testing.assert_close(shown[..., :2].flatten(-2), plain.input(view))
    assert shown[..., 2].mean((0, 1)).tolist() == [1.0] * 5 + [0.0] + [1.0] * 7
    without = build(nose=False).input(view).unflatten(-1, (13, 2))
    assert not without[..., 0, :].any()
    torch.testing.assert_close(without[..., 1:, :].flatten(-2), plain.input(view)[..., 2:])


def test_gaussian_codes():
    encoder, view = build(embedder="gaussian", dropout=0).train(), batch()
    stem = encoder.stem(encoder.input(view))
    one, two = encoder.codes(stem), encoder.codes(stem)
    assert not torch.equal(one.pose, two.pose)
    assert float(one.kl.min()) > 0
    encoder.eval()
    mean, raw = encoder.rest(stem).chunk(2, -1)
    torch.testing.assert_close(torch.cat(encoder.codes(stem)[:2], -1), mean)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, (5 * raw.tanh()).exp()), normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(encoder.codes(stem).kl, divergence, rtol=1e-4, atol=1e-4)
    assert not build().codes(stem).kl.any()


def test_limit_cuts_the_weights_of_every_unit():
    encoder = build()
    before = encoder.rest.head.weight.detach().clone()
    limit(encoder, 0.5)
    after = encoder.rest.head.weight.detach()
    assert float(after.norm(dim=1).max()) <= 0.5 + 1e-5
    torch.testing.assert_close(after / after.norm(dim=1, keepdim=True), before / before.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("bad", [{"width": 0}, {"dropout": 1.0}, {"max_norm": -1}, {"embedder": "line"}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(InputError, match=r"encoder|settings"):
        build(**bad)
