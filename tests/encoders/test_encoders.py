"""The recurrent encoder: equal to the released frame-by-frame form, causal, it feels every frame and their order."""

from __future__ import annotations

import pytest
import torch

from kineme import encoders
from kineme.encoders.bidirectional import Bidirectional
from kineme.encoders.recurrent import Recurrent
from kineme.motion.layout import layout
from kineme.utils import registry
from kineme.views.batch import Batch

KINECT = layout("kinect20")


def build(name="recurrent", cell="gru", layers=3, hidden=6):
    torch.manual_seed(0)
    cls = registry.entry("encoders", name)
    encoder = encoders.build(name, cls.Settings(cell, hidden, layers), KINECT, 3, 2)
    return encoder.eval()


def batch(frames=10, rows=4):
    joints = torch.randn(rows, frames, 2, 20, 3, generator=torch.Generator().manual_seed(1))
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(rows))


def frame_by_frame(encoder, cell, x):
    """The released form: one frame at a time through a bidirectional network, both directions' states carried on."""
    settings = encoder.settings
    kind = torch.nn.GRU if cell == "gru" else torch.nn.LSTM
    network = kind(x.shape[2], settings.hidden, settings.layers, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for number, stacks in enumerate(encoder.layers):
            for stack, ending in zip(stacks, ("", "_reverse")):
                for word in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(network, f"{word}_l{number}{ending}").copy_(getattr(stack, f"{word}_l0"))
    state, outs = None, []
    for t in range(x.shape[1]):
        out, state = network(x[:, t : t + 1], state)
        outs.append(out)
    return torch.cat(outs, 1)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 3])
def test_whole_sequence_equals_frame_by_frame(cell, layers):
    encoder, views = build(cell=cell, layers=layers), batch()
    expected = frame_by_frame(encoder, cell, encoder.norm(views.joints.flatten(2)))
    features = encoder(views)
    torch.testing.assert_close(features.frame, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(features.clip, expected[:, -1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_is_causal_and_feels_every_frame(cell):
    encoder, views = build(cell=cell), batch()
    whole = encoder(views)
    for t in range(10):
        changed = Batch(views.joints.clone(), views.confidence, views.index)
        changed.joints[:, t] += 1.0
        other = encoder(changed)
        torch.testing.assert_close(other.frame[:, :t], whole.frame[:, :t], atol=0, rtol=0)
        assert (other.clip - whole.clip).abs().max() > 1e-6
    backwards = encoder(Batch(views.joints.flip(1), views.confidence, views.index))
    assert (backwards.clip - whole.clip).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["recurrent", "bidirectional"])
@pytest.mark.parametrize("read", ["last", "max", "mean"])
def test_the_vector_of_a_clip_is_read_from_its_frames(name, read):
    cls = registry.entry("encoders", name)
    encoder = encoders.build(name, cls.Settings(hidden=6, layers=2, read=read), KINECT, 3, 2).eval()
    clip, frame, _ = encoder(batch())
    wanted = {"last": frame[:, -1], "max": frame.max(1).values, "mean": frame.mean(1)}[read]
    torch.testing.assert_close(clip, wanted, rtol=0, atol=1e-7)


def test_as_published_the_last_frame_is_the_vector():
    assert Recurrent.Settings().read == "last"  # runs from before `read` have no word of it on their card
    assert Bidirectional.Settings().read == "mean"


def test_bidirectional_is_not_causal():
    encoder, views = build("bidirectional"), batch()
    changed = Batch(views.joints.clone(), views.confidence, views.index)
    changed.joints[:, -1] += 1.0
    assert (encoder(changed).frame[:, 0] - encoder(views).frame[:, 0]).abs().max() > 1e-6


def test_published_size_has_the_published_number_of_parameters():
    """Spec halp.md, section 3: 49.46 M trainable parameters on the query side, head included."""
    with torch.device("meta"):
        encoder = Recurrent(Recurrent.Settings(persons=2), layout("ntu25"), 3)
    head = 2048 * 2048 + 2048 + 2048 * 128 + 128
    assert (sum(p.numel() for p in encoder.parameters()) + head) / 1e6 == pytest.approx(49.46, abs=0.01)


def test_matrices_are_xavier_uniform_and_biases_are_not_zeroed():
    encoder = build(hidden=64)
    for name, weight in encoder.named_parameters():
        if weight.dim() == 2:
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.9 * bound < weight.abs().max() <= bound, name
        elif "bias" in name and "norm" not in name:
            assert 0 < weight.abs().max() <= 64**-0.5, name


def test_more_persons_than_built_for_are_refused():
    encoder = Recurrent(Recurrent.Settings(hidden=4, layers=1, persons=1), KINECT, 3)
    with pytest.raises(encoders.recurrent.InputError, match="2 persons"):
        encoder(batch())
