"""The loop's Adagrad against the reference trajectory."""

import numpy as np
import torch

from kineme.methods.cv_mim import CVMIM
from kineme.training import optim, recipe


def test_trajectory(golden):
    arrays = {name: torch.from_numpy(np.asarray(value)) for name, value in golden("cv_mim_adagrad").items()}
    loop = recipe.Loop(**{**recipe.preset(CVMIM, "published")["loop"], "lr": float(arrays["lr"])})
    weight = arrays["p0"].clone().requires_grad_()
    optimiser = optim.build_optimiser([weight], loop)
    assert optimiser.defaults["initial_accumulator_value"] == float(arrays["initial_accumulator"])
    for gradient, wanted in zip(arrays["grads"], arrays["trajectory"]):
        weight.grad = gradient.clone()
        optimiser.step()
        torch.testing.assert_close(weight.detach(), wanted, rtol=1e-7, atol=1e-8)
