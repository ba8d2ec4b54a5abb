"""The ResNet on per-frame codes against the reference vectors."""

from __future__ import annotations

import re

import pytest
import torch

from kineme.nn.temporal_conv import Classifier

BATCH_NORM = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
PARTS = {"c7": "layers.0", "c5": "layers.1", "c3": "layers.2", "short": "short"}


def loaded(vectors) -> Classifier:
    blocks = sum(re.fullmatch(r"block\d+_c7_w", key) is not None for key in vectors)
    widths = [len(vectors[f"block{i}_c7_w"]) for i in range(blocks)]
    net = Classifier("resnet", vectors["stem_w"].shape[1], len(vectors["fc_w"]), widths).eval()
    places = {"stem": "net.stem"}
    places |= {f"block{i}_{key}": f"net.blocks.{i}.{part}" for i in range(blocks) for key, part in PARTS.items()}
    state = {"linear.weight": vectors["fc_w"], "linear.bias": vectors["fc_b"]}
    for key, place in places.items():
        state |= {f"{place}.conv.weight": vectors[f"{key}_w"], f"{place}.conv.bias": vectors[f"{key}_b"]}
        state |= {f"{place}.norm.{name}": vectors[f"{key}_bn_{part}"] for part, name in BATCH_NORM.items()}
    lacking = net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
    assert not lacking.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in lacking.missing_keys)
    return net


@pytest.mark.parametrize("told", [False, True], ids=["whole", "with lengths"])
@torch.no_grad()
def test_logits(golden, told):
    vectors = golden("cv_mim_resnet1d")
    x = torch.from_numpy(vectors["x"])
    found = loaded(vectors)(x, torch.full((len(x),), x.shape[1]) if told else None)
    torch.testing.assert_close(found, torch.from_numpy(vectors["logits"]), rtol=1e-5, atol=2e-5)
