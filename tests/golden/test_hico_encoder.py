"""The hierarchical encoder against the authors' one: GRU, LSTM and Transformer, every stage, outputs and gradients."""

import numpy as np
import pytest
import torch

from kineme.encoders.hierarchical import Hierarchical, joint_tokens
from kineme.methods.hico import PROJECTORS, Projected, from_released
from kineme.motion.layout import Layout
from kineme.views.batch import Batch

NAMES = {name: f"z_{name}" for name in PROJECTORS.values()}
CLOSE = {"atol": 2e-5, "rtol": 1e-5}


def rearranged(space_major, persons, frames, coords):
    """``[B, M * V, T * C]`` as stored -> ``[B, T, M, V, C]``."""
    return space_major.unflatten(2, (frames, coords)).unflatten(1, (persons, -1)).permute(0, 3, 1, 2, 4)


@pytest.mark.parametrize("vectors", ["hico_encoder_gru", "hico_encoder_lstm", "hico_encoder_transformer"])
def test_encoder(golden, vectors):
    arrays = {name: torch.from_numpy(np.asarray(value)) for name, value in golden(vectors).items()}
    cell = vectors.removeprefix("hico_encoder_")
    granularities, joints, persons, frames, hidden, heads, layers, dim = arrays[
        "hyper_G_V_M_T_hidden_heads_layers_outdim"
    ].tolist()
    coords = arrays["x_time_major"].shape[2] // (persons * joints)
    layout = Layout("free", tuple(f"j{i}" for i in range(joints)), (-1,) + (0,) * (joints - 1))
    settings = Hierarchical.Settings(
        cell, hidden, granularities, frames, layers, heads, persons=persons, mask_absent=False
    )  # nobody is absent; more granularities than one person has joints for are allowed only so
    model = Projected(Hierarchical(settings, layout, coords), dim, list(NAMES))
    model.load_state_dict(from_released({k.removeprefix("w/"): v for k, v in arrays.items() if k.startswith("w/")}))
    model.eval()

    x = arrays["x_time_major"].unflatten(2, (persons, joints, coords)).requires_grad_()
    np.testing.assert_array_equal(joint_tokens(x).detach(), arrays["x_space_major"])
    batch = Batch(x, torch.ones(x.shape[:-1]), torch.arange(len(x)))
    for branch, tokens, end in ((model.encoder.time, x.flatten(2), "t"), (model.encoder.space, joint_tokens(x), "s")):
        embedded = branch.embedding(tokens)
        np.testing.assert_allclose(embedded.detach(), arrays[f"embed_{end}"], **CLOSE)
        np.testing.assert_allclose(branch.down(embedded).detach(), arrays[f"down1_{end}"], **CLOSE)
    features, z = model.encoder(batch), model(batch)
    for name in ("clip", "part"):
        np.testing.assert_allclose(features.parts[name].detach(), arrays[f"v_{name}"], **CLOSE)
    whole = torch.cat([arrays["v_clip"].flatten(1), arrays["v_part"].flatten(1)], 1)
    np.testing.assert_allclose(features.clip.detach(), whole, **CLOSE)
    for name, stored in NAMES.items():
        np.testing.assert_allclose(z[name].detach(), arrays[stored], **CLOSE)

    z["instance"].sum().backward()
    by_time, by_space = (arrays[f"grad_{way}_major_of_sum_z_instance"] for way in ("time", "space"))
    expected = by_time.view_as(x) + rearranged(by_space, persons, frames, coords)
    np.testing.assert_allclose(x.grad, expected, atol=1e-4)
