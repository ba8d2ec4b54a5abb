"""The ConvNet on per-frame codes against the reference vectors, odd and even lengths."""

from __future__ import annotations

import re

import pytest
import torch

from kineme.nn.temporal_conv import Classifier

CLOSE = {"rtol": 1e-5, "atol": 2e-5}
BATCH_NORM = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}


def loaded(vectors) -> Classifier:
    layers = [vectors[f"conv{i}_w"] for i in range(sum(re.fullmatch(r"conv\d+_w", key) is not None for key in vectors))]
    net = Classifier("convnet", layers[0].shape[1], len(vectors["fc_w"]), [len(weight) for weight in layers]).eval()
    state = {"linear.weight": vectors["fc_w"], "linear.bias": vectors["fc_b"]}
    for i in range(len(layers)):
        state |= {f"net.layers.{i}.conv.weight": vectors[f"conv{i}_w"]}
        state |= {f"net.layers.{i}.conv.bias": vectors[f"conv{i}_b"]}
        state |= {f"net.layers.{i}.norm.{name}": vectors[f"bn{i}_{key}"] for key, name in BATCH_NORM.items()}
    lacking = net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
    assert not lacking.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in lacking.missing_keys)
    return net


@pytest.mark.parametrize("told", [False, True], ids=["whole", "with lengths"])
@torch.no_grad()
def test_logits(golden, told):
    vectors = golden("cv_mim_convnet")
    net, lengths = loaded(vectors), [int(key.removeprefix("x_T")) for key in vectors if re.fullmatch(r"x_T\d+", key)]
    assert lengths
    for length in lengths:
        x = torch.from_numpy(vectors[f"x_T{length}"])
        assert x.shape[1] == length
        each = torch.full((len(x),), length) if told else None
        expected = torch.from_numpy(vectors[f"logits_T{length}"])
        torch.testing.assert_close(net(x, each), expected, **CLOSE)
        if not told and f"act0_T{length}" in vectors:
            first, _ = net.net.layers[0](x, None)
            torch.testing.assert_close(first, torch.from_numpy(vectors[f"act0_T{length}"]), **CLOSE)


@torch.no_grad()
def test_lengths_beside_each_other(golden):
    """Clips of all stored lengths in one batch, with rubbish behind the shorter ones."""
    vectors = golden("cv_mim_convnet")
    keys = [key for key in vectors if re.fullmatch(r"x_T\d+", key)]
    clips = [torch.from_numpy(clip) for key in keys for clip in vectors[key]]
    x = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=99.0)
    expected = torch.cat([torch.from_numpy(vectors[f"logits_T{key.removeprefix('x_T')}"]) for key in keys])
    found = loaded(vectors)(x, torch.tensor([len(clip) for clip in clips]))
    torch.testing.assert_close(found, expected, **CLOSE)
