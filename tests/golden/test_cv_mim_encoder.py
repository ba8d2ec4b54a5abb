"""CV-MIM's encoder and sub-encoder against the layers of the release: inference, and one step of batch statistics."""

import re

import numpy as np
import pytest
import torch

from kineme.encoders.pose_mlp import PoseMLP
from kineme.methods.cv_mim import CVMIM
from kineme.motion.layout import layout

NAME = re.compile(r"(sub_)?res(\d+)_(\d+)_w")
NORM = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}


@pytest.fixture
def arrays(golden):
    return {name: torch.from_numpy(np.asarray(value)) for name, value in golden("cv_mim_encoder").items()}


@pytest.fixture
def method(arrays):
    blocks = max(int(found[2]) for found in map(NAME.fullmatch, arrays) if found)
    width, dim = arrays["fc0_w"].shape[0], arrays["head_w"].shape[0] // 2
    shape = PoseMLP.Settings(width=width, blocks=blocks, dim=dim, dropout=0)
    made = CVMIM(CVMIM.Settings(faithful=True), lambda: PoseMLP(shape, layout("pose13"), 2))
    stored = {"net.first": "fc0"}
    for room, prefix in (("net.rest", ""), ("sub", "sub_")):
        for number in range(blocks):
            stored |= {f"{room}.blocks.{number}.{i}": f"{prefix}res{number + 1}_{i + 1}" for i in (0, 1)}
    state = {}
    for ours, theirs in stored.items():
        state |= {f"{ours}.linear.weight": arrays[f"{theirs}_w"], f"{ours}.linear.bias": arrays[f"{theirs}_b"]}
        state |= {f"{ours}.norm.{word}": arrays[f"{theirs}_bn_{end}"] for end, word in NORM.items()}
    for ours, theirs in (("net.rest.head", "head"), ("sub.head", "sub_head")):
        state |= {f"{ours}.weight": arrays[f"{theirs}_w"], f"{ours}.bias": arrays[f"{theirs}_b"]}
    left = made.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    assert not [key for key in left.missing_keys if key.startswith(("net", "sub")) and "tracked" not in key]
    return made


def test_inference(arrays, method):
    method.eval()
    stem = method.net.stem(arrays["x"].flatten(1))
    torch.testing.assert_close(stem, arrays["eval_fc0"], atol=2e-5, rtol=0)
    out = stem
    for number, block in enumerate(method.net.rest.blocks, 1):
        out = block(out) + out
        torch.testing.assert_close(out, arrays[f"eval_res{number}"], atol=2e-5, rtol=0)
    codes = method.net.codes(stem)
    for name, found in (("pose", codes.pose), ("view", codes.view), ("sub", method.sub(stem))):
        torch.testing.assert_close(found, arrays[f"eval_{name}"], atol=2e-5, rtol=0)
    torch.testing.assert_close(torch.cat(codes[:2], 1), arrays["eval_embedding"], atol=2e-5, rtol=0)


def test_one_step_of_training(arrays, method):
    method.train()
    stem = method.net.stem(arrays["x"].flatten(1))
    torch.testing.assert_close(stem, arrays["train_fc0"], atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(method.net.codes(stem)[:2], 1), arrays["train_embedding"], atol=1e-4, rtol=0)
    torch.testing.assert_close(method.sub(stem), arrays["train_sub"], atol=1e-4, rtol=0)
    norm = method.net.first.norm
    torch.testing.assert_close(norm.running_mean, arrays["fc0_bn_mean_after"], atol=2e-5, rtol=0)
    torch.testing.assert_close(norm.running_var, arrays["fc0_bn_var_after"], atol=2e-5, rtol=0)
