"""Every term of one step of CV-MIM, from stored codes and estimates, against the reference vectors."""

import numpy as np
import pytest
import torch

from kineme.encoders.pose_mlp import PoseMLP
from kineme.methods.cv_mim import CVMIM, Gaussian, Side
from kineme.motion.layout import layout

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(scope="module")
def arrays(golden):
    return {name: torch.from_numpy(np.asarray(value)) for name, value in golden("cv_mim_objective").items()}


def built(arrays, fusion):
    dim = arrays["pose_a"].shape[1]
    shape = PoseMLP.Settings(width=4, dim=dim)  # the encoder takes no part
    method = CVMIM(CVMIM.Settings(fusion=fusion, faithful=True), lambda: PoseMLP(shape, layout("pose13"), 2)).double()
    for i, layer in enumerate(method.discriminator[::2], 1):
        layer.weight.data, layer.bias.data = arrays[f"disc_w{i}"].clone(), arrays[f"disc_b{i}"].clone()
    return method


def side(arrays, which):
    pose, view, local = (arrays[f"{name}_{which}"].clone().requires_grad_() for name in ("pose", "view", "sub"))
    return Side(pose, view, pose.new_zeros(len(pose)), pose.new_zeros(len(pose), 26), local)


def step(arrays, fusion):
    guesses = [Gaussian(arrays[f"{name}_mean"], arrays[f"{name}_logvar"]) for name in ("intra_a", "intra_p", "inter")]
    noise = torch.stack([arrays["uniform_a"], arrays["uniform_p"]])
    return built(arrays, fusion).objective(side(arrays, "a"), side(arrays, "p"), guesses, noise)


def test_every_term(arrays):
    fusions = [name.removeprefix("representation_") for name in arrays if name.startswith("representation_")]
    assert fusions
    for fusion in fusions:
        losses, log = step(arrays, fusion.lower())
        weights = CVMIM.Settings()
        found = {
            f"representation_{fusion}": log["representation"],
            "view_loss": weights.w_cross * log["cross"],
            "prior_loss": log["prior"],
            "intra": log["intra"],
            "disentangle_loss": weights.w_disentangle * (log["intra"] + log["inter"]),
            "discriminator_total": losses["discriminator"].detach(),
            "estimator_total": losses["estimator"].detach(),
            "inter_bound": log["inter"] / 2,
        }
        wanted = {**arrays, "intra": arrays["intra_bound_a"] + arrays["intra_bound_p"]}
        for name, value in found.items():
            torch.testing.assert_close(value, wanted[name], **CLOSE, msg=name)
        if f"encoder_total_{fusion}" in arrays:
            torch.testing.assert_close(losses["encoder"].detach(), arrays[f"encoder_total_{fusion}"], **CLOSE)
    assert any(f"encoder_total_{fusion}" in arrays for fusion in fusions)
