"""CV-MIM's bounds, estimators' losses and discriminator against the reference vectors."""

import numpy as np
import pytest
import torch
from torch import nn

from kineme.nn import mutual_information

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(scope="module")
def arrays(golden):
    return {name: torch.from_numpy(np.asarray(value)) for name, value in golden("cv_mim_losses").items()}


def close(found, wanted):
    torch.testing.assert_close(torch.as_tensor(found).detach(), wanted, **CLOSE)


def cases(arrays, prefix):
    """(the words after the prefix, stored value)."""
    found = [(name.removeprefix(prefix).split("_"), value) for name, value in arrays.items() if name.startswith(prefix)]
    assert found
    return found


def test_element_by_element(arrays):
    for side, number in (("pos_", 0), ("neg_", 1)):
        for (name,), wanted in cases(arrays, side):
            found = mutual_information.DIVERGENCES[name][number](arrays["scores"])
            assert torch.isfinite(found).all()
            close(found, wanted)


def test_fenchel(arrays):
    eye = torch.eye(len(arrays["local"]), dtype=torch.float64)
    for (name, which), wanted in cases(arrays, "fenchel_"):
        for indicator in [None, eye] if which == "eye" else [arrays["indicator"]]:  # the identity goes by a shorter way
            close(mutual_information.fenchel(arrays["local"], arrays["globl"], name, indicator), wanted)


def test_gradient_of_the_default(arrays):
    local, globl = (arrays[name].clone().requires_grad_() for name in ("local", "globl"))
    mutual_information.fenchel(local, globl, "JSD").backward()
    close(local.grad, arrays["grad_local_JSD_eye"])
    close(globl.grad, arrays["grad_globl_JSD_eye"])


def test_infonce(arrays):
    for (which,), wanted in cases(arrays, "infonce_"):
        indicator = arrays["indicator"] if which == "ind" else None
        temperature = float(which.removeprefix("T").replace("p", ".")) if which != "ind" else 1.0
        close(mutual_information.local_global_infonce(arrays["local"], arrays["globl"], temperature, indicator), wanted)


def test_log_likelihood_and_its_bound(arrays):
    estimate = arrays["est_mean"], arrays["est_logvar"]
    close(mutual_information.log_likelihood(*estimate, arrays["est_y"]), arrays["loglik"])
    eye = torch.eye(len(arrays["est_y"]), dtype=torch.float64)
    for indicator, wanted in ((None, "club_eye"), (eye, "club_eye"), (arrays["indicator"], "club_ind")):
        close(mutual_information.club(*estimate, arrays["est_y"], indicator), arrays[wanted])
    assert float(mutual_information.club(*estimate, arrays["est_y_bad"])) == float(arrays["club_clipped"]) == 0


def test_discriminator(arrays):
    sizes = [arrays[f"disc_w{i}"].shape for i in (1, 2, 3)]
    linear = [nn.Linear(inputs, outputs, dtype=torch.float64) for outputs, inputs in sizes]
    for i, layer in enumerate(linear, 1):
        layer.weight.data, layer.bias.data = arrays[f"disc_w{i}"].clone(), arrays[f"disc_b{i}"].clone()
    net = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
    real = arrays["disc_real"].clone().requires_grad_()
    fake = arrays["disc_fake_raw"].clone().requires_grad_().sigmoid()
    true, false = net(real), net(fake)
    close(true, arrays["disc_real_out"])
    close(false, arrays["disc_fake_out"])
    penalties = [mutual_information.gradient_penalty(x, y) for x, y in ((real, true), (fake, false))]
    close(penalties[0], arrays["gp_real"])
    close(penalties[1], arrays["gp_fake"])
    loss = mutual_information.discriminator_loss(true, false, penalties[0] + penalties[1])
    close(loss, arrays["disc_loss"])
    close(torch.autograd.grad(loss, linear[0].weight)[0], arrays["disc_grad_w1"])
    close(mutual_information.generator_loss(false), arrays["gen_NS"])
    close(mutual_information.generator_loss(false, saturating=True), arrays["gen_MM"])
