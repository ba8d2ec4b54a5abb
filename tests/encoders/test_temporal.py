"""Convolutions over time: "same" padding, clips of different lengths side by side, first weights, the encoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.training import make_store
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import encoders
from kineme.encoders.temporal import NETS, Temporal
from kineme.motion.layout import layout
from kineme.nn.batch_norm import BatchNorm
from kineme.nn.temporal_conv import Classifier, Conv, same, windows
from kineme.training import loop
from kineme.utils.errors import InputError
from kineme.views.batch import Batch

LENGTHS = torch.tensor([1, 7, 24, 2, 25, 16])
TOTAL = {"convnet": 8, "resnet": 4, "restcn": 4}  # stride of the whole network

each_net = pytest.mark.parametrize("net", NETS)


def classifier(net: str, dropout: float = 0.5) -> Classifier:
    """A small one, whose norms have seen something."""
    torch.manual_seed(0)
    made = Classifier(net, 5, 4, (6, 8, 10), dropout)
    for norm in made.modules():
        if isinstance(norm, BatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return made


def clips(lengths=LENGTHS) -> list[torch.Tensor]:
    gen = torch.Generator().manual_seed(1)
    return [torch.randn(int(length), 5, generator=gen) for length in lengths]


# ------------------------------------------------------------------------------------------------------------- padding


def by_hand(x: torch.Tensor, conv: Conv) -> torch.Tensor:
    """TensorFlow's rule, tap by tap: ``[T, C]`` -> ``[steps, outputs]``."""
    frames, steps = len(x), -(-len(x) // conv.stride)
    left = max((steps - 1) * conv.stride + conv.kernel - frames, 0) // 2
    out = conv.bias.repeat(steps, 1)
    for step in range(steps):
        for tap in range(conv.kernel):
            place = step * conv.stride - left + tap
            if 0 <= place < frames:
                out[step] += conv.weight[:, :, tap] @ x[place]
    return out


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 3))
def test_padding_by_hand(frames, kernel, stride):
    conv = Conv(2, 3, kernel, stride).double()
    torch.manual_seed(frames)
    for weight in conv.parameters():
        torch.nn.init.normal_(weight)
    x = torch.randn(2, frames, 2, dtype=torch.float64)
    expected = torch.stack([by_hand(each, conv) for each in x])
    whole, none = conv(x, None)
    assert none is None
    torch.testing.assert_close(whole, expected)
    rows, lengths = conv(x.flatten(0, 1), torch.tensor([frames, frames]))
    torch.testing.assert_close(rows, expected.flatten(0, 1))
    assert lengths.tolist() == [expected.shape[1]] * 2


def test_the_odd_zero_stands_on_the_right():
    assert same(332, 7, 2) == (166, 2, 3)
    assert same(25, 7, 2) == (13, 3, 3)
    assert same(10, 8, 1) == (10, 3, 4)
    assert same(9, 1, 2) == (5, 0, 0)
    taps, steps = windows(torch.tensor([4, 1]), 3, 2)  # 4 frames: nothing to the left, one zero to the right
    assert taps.tolist() == [[0, 1, 2], [2, 3, 5], [5, 4, 5]]
    assert steps.tolist() == [2, 1]


@each_net
@pytest.mark.parametrize("frames", [1, 2, 24, 25, 332])
def test_steps(net, frames):
    """Spec, section 7, 13: ceil(T / 2) again and again."""
    body = classifier(net).net.eval()
    steps, _ = body(torch.randn(1, frames, 5), None)
    assert steps.shape == (1, -(-frames // TOTAL[net]), 10)
    if net == "convnet" and frames == 332:
        x, seen = torch.randn(1, frames, 5), []
        for layer in body.layers:
            x, _ = layer(x, None)
            seen.append(x.shape[1])
        assert seen == [166, 83, 42]


# -------------------------------------------------------------------------------------------------- different lengths


@each_net
@torch.no_grad()
def test_every_clip_is_seen_as_if_alone(net):
    """In company, with rubbish behind it or packed: the logits of the clip by itself."""
    made, some = classifier(net).eval(), clips()
    alone = torch.cat([made(clip[None]) for clip in some])
    padded = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=1e3)
    torch.testing.assert_close(made(padded, LENGTHS), alone, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(made(torch.cat(some), LENGTHS), alone, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(made(padded.clamp(-5, 5))[:4], alone[:4], atol=1e-2)  # without lengths padding counts


@each_net
def test_both_ways_train_alike(net):
    """Clips of one length: the same loss, gradients and running statistics with their lengths as without."""
    x, wanted, found = torch.randn(4, 13, 5), torch.tensor([0, 1, 2, 3]), []
    for lengths in (None, torch.full((4,), 13)):
        made = classifier(net, dropout=0.0).train()
        F.cross_entropy(made(x, lengths), wanted).backward()
        found.append({**{name: p.grad for name, p in made.named_parameters()}, **dict(made.named_buffers())})
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-5, rtol=1e-3, msg=name)


@each_net
def test_everything_learns(net):
    made = classifier(net).train()
    F.cross_entropy(made(torch.cat(clips()), LENGTHS), torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    still = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still
    logits = made(torch.cat(clips()), LENGTHS)
    assert not torch.allclose(logits.sum(1), torch.ones(6))  # logits, and no softmax


def test_dropout_acts_in_training_only():
    made, x = classifier("convnet"), torch.randn(3, 20, 5)
    assert torch.equal(made.eval()(x), made(x))
    made.train()
    assert not torch.equal(made(x), made(x))


# ------------------------------------------------------------------------------------------------------- first weights


def test_first_weights_are_he_normal_biases_too():
    torch.manual_seed(0)
    made = Classifier("resnet", 60, 1500, (64, 128, 256))
    for name, weight in made.named_parameters():
        fan = len(weight) if name.endswith("bias") else weight[0].numel()
        if "norm" in name:
            assert weight.unique().numel() == 1, name
        elif weight.numel() > 1000:
            deviation = (2 / fan) ** 0.5
            assert weight.std().item() == pytest.approx(deviation, rel=0.06), name
            assert weight.abs().max() <= 2 * deviation / 0.8796 + 1e-6, name  # cut at two deviations


def test_penalty_of_the_kernels():
    made = classifier("restcn").net
    kernels = [conv.weight for conv in made.modules() if isinstance(conv, Conv)]
    assert len(kernels) == 12  # the stem, nine units, two skips where the width changes
    assert made.penalty().item() == pytest.approx(1e-4 * sum(weight.abs().sum().item() for weight in kernels), rel=1e-5)
    assert [unit.conv.stride for unit in made.units] == [1, 1, 1, 2, 1, 1, 2, 1, 1]


# ------------------------------------------------------------------------------------------------------------- encoder


def batch_of(seen: torch.Tensor) -> Batch:
    joints = torch.randn(*seen.shape, 2, 25, 3, generator=torch.Generator().manual_seed(2))
    return Batch(joints, seen[..., None, None].expand(joints.shape[:-1]).clone(), torch.arange(len(seen)))


def encoder(**settings) -> encoders.Encoder:
    torch.manual_seed(0)
    return encoders.build("temporal", Temporal.Settings(width=4, **settings), layout("ntu25"), 3, 2).eval()


@each_net
def test_frames_after_the_last_that_is_seen(net):
    """They are no part of the clip; a gap inside is."""
    seen = torch.ones(3, 20)
    seen[0, 11:], seen[1, 5:8] = 0, 0
    whole, cut = batch_of(seen), batch_of(seen[:, :11])
    cut.joints = whole.joints[:, :11]
    features = encoder(net=net)(whole)
    assert features.clip.shape == (3, 16)
    torch.testing.assert_close(features.clip[:1], encoder(net=net)(cut[:1]).clip, atol=2e-5, rtol=1e-4)
    assert (features.frame[0, -(-11 // TOTAL[net]) :] == 0).all()
    counted = encoder(net=net, mask_padding=False)(whole)
    assert not torch.allclose(counted.clip[:1], features.clip[:1], atol=1e-3)
    torch.testing.assert_close(counted.clip[1:], features.clip[1:], atol=2e-5, rtol=1e-4)


def test_nobody_is_seen_at_all():
    assert encoder()(batch_of(torch.zeros(2, 9))).clip.isfinite().all()


def test_settings_that_cannot_be():
    with pytest.raises(InputError, match=r"encoder\.width"):
        Temporal.Settings(width=0)


def test_it_serves_a_method_of_clips(tmp_path):
    store = make_store(tmp_path / "swing", clips=16)
    overrides = ["encoder.name=temporal", "encoder.width=4", "method.views.frames=8", "method.queue=20", "loop.batch=8"]
    run = loop.pretrain("moco", store, tmp_path / "run", epochs=1, settings=overrides)
    assert (run / "model.safetensors").exists()
