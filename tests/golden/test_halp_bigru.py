"""The recurrent encoder against the authors' frame-by-frame one."""

import numpy as np
import torch

from kineme.encoders.bidirectional import Bidirectional
from kineme.encoders.recurrent import Recurrent, from_released
from kineme.motion.layout import Layout
from kineme.views.batch import Batch


def tensors(arrays, prefix):
    return {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}


def build(arrays, kind=Recurrent):
    """An encoder with the stored weights. The stored input is one flat row per frame: one person, that many joints,
    one coordinate.
    """
    weights = tensors(arrays, "w/")
    layers = sum(".weight_ih_l" in k and not k.endswith("_reverse") for k in weights)
    recurrent = next(v for k, v in weights.items() if k.endswith("weight_hh_l0"))
    cell = {3: "gru", 4: "lstm"}[recurrent.shape[0] // recurrent.shape[1]]
    inputs = arrays["x"].shape[-1]
    layout = Layout("free", tuple(f"j{i}" for i in range(inputs)), (-1,) + (0,) * (inputs - 1))
    encoder = kind(kind.Settings(cell=cell, hidden=recurrent.shape[1], layers=layers, persons=1), layout, 1)
    return encoder, weights


def batch(x):
    joints = x[:, :, None, :, None]
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(len(x)))


def test_evaluation(golden):
    arrays = golden("halp_bigru")
    encoder, weights = build(arrays)
    encoder.load_state_dict(from_released(weights, 1, arrays["x"].shape[-1], 1))
    encoder.eval()
    feature = encoder(batch(torch.from_numpy(arrays["x"]))).clip
    np.testing.assert_allclose(feature.detach().numpy(), arrays["eval_feature"], atol=2e-5, rtol=1e-5)
    out = torch.nn.functional.linear(feature, weights["fc.weight"], weights["fc.bias"])
    np.testing.assert_allclose(out.detach().numpy(), arrays["eval_out"], atol=2e-5, rtol=1e-5)


def test_training(golden):
    arrays = golden("halp_bigru")
    encoder, weights = build(arrays)
    encoder.load_state_dict(from_released(weights, 1, arrays["x"].shape[-1], 1))
    encoder.train()
    x = torch.from_numpy(arrays["x"]).requires_grad_()
    out = torch.nn.functional.linear(encoder(batch(x)).clip, weights["fc.weight"], weights["fc.bias"])
    out.square().sum().backward()
    np.testing.assert_allclose(out.detach().numpy(), arrays["train_out"], atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), arrays["train_grad_x_of_sum_squares"], atol=1e-4)
    np.testing.assert_allclose(encoder.norm.running_mean.numpy(), arrays["running_mean_after"], atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(encoder.norm.running_var.numpy(), arrays["running_var_after"], atol=2e-5, rtol=1e-5)


def test_the_ordinary_bidirectional_one_is_another(golden):
    """`bidirectional` gives, at the last step, what the README warns of: it must not pass for the published encoder."""
    arrays = golden("halp_bigru")
    encoder, weights = build(arrays, Bidirectional)
    state = from_released(weights, 1, arrays["x"].shape[-1], 1)
    renamed = {}
    for name, value in state.items():
        if name.startswith("layers."):
            layer, stack, rest = name.split(".")[1:]
            name = f"layers.{layer}.{rest}" + ("_reverse" if stack == "1" else "")
        renamed[name] = value
    encoder.load_state_dict(renamed)
    encoder.eval()
    last = encoder(batch(torch.from_numpy(arrays["x"]))).frame[:, -1].detach().numpy()
    np.testing.assert_allclose(last, arrays["not_this_true_bidirectional_last_step"], atol=2e-5, rtol=1e-5)
    assert np.abs(last - arrays["eval_feature"]).max() > 0.05
