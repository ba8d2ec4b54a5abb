"""Whole training steps of HiCo against the authors' code: both encoders, projectors, queues as released, optimiser."""

import itertools

import numpy as np
import torch

from kineme.encoders.hierarchical import Hierarchical
from kineme.methods import StepContext
from kineme.methods.hico import HiCo, from_released
from kineme.motion.layout import Layout
from kineme.views.augment import ViewSettings
from kineme.views.batch import Batch

QUEUES = {"c": "clip", "p": "part", "t": "temporal", "s": "spatial", "i": "instance"}


def released_state(arrays, prefix):
    """The stored state under this package's names."""
    values = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
    state = {}
    for side, ours in (("encoder_q.", "query."), ("encoder_k.", "key.")):
        own = {k.removeprefix(side): v for k, v in values.items() if k.startswith(side)}
        state |= {ours + name: value for name, value in from_released(own).items()}
    for end, name in QUEUES.items():
        state[f"queues.{name}.keys"] = values[f"{end}_queue"].T
        state[f"queues.{name}.pointer"] = values[f"{end}_queue_ptr"].squeeze()
    return state


def test_training_steps(golden):
    arrays = golden("hico_train_steps")
    lr, momentum, decay, key_momentum, temperature = arrays["hyper_lr_sgdmomentum_weightdecay_keymomentum_T"].tolist()
    _, frames, joints, hidden, granularities, dim, size = arrays["hyper_N_T_V_hidden_G_C_K"].tolist()
    persons, coords = arrays["s0_view1_NTMVC"].shape[2], arrays["s0_view1_NTMVC"].shape[4]
    recurrent = next(v for k, v in arrays.items() if k.startswith("before/encoder_q") and k.endswith("weight_hh_l0"))
    cell = {3: "gru", 4: "lstm"}[recurrent.shape[0] // recurrent.shape[1]]
    layout = Layout("free", tuple(f"j{i}" for i in range(joints)), (-1,) + (0,) * (joints - 1))
    encoder = Hierarchical.Settings(cell, hidden, granularities, frames, persons=persons, mask_absent=False)
    settings = HiCo.Settings(dim, size, temperature, key_momentum, "joint", ViewSettings(frames=frames), faithful=True)
    method = HiCo(settings, lambda: Hierarchical(encoder, layout, coords))
    missing = method.load_state_dict(released_state(arrays, "before/"), strict=False)
    assert missing.missing_keys == [f"queues.{name}.filled" for name in method.queues]
    assert not missing.unexpected_keys
    optimiser = torch.optim.SGD(method.groups()["loss"], lr=lr, momentum=momentum, weight_decay=decay)

    losses = []
    for step in itertools.takewhile(lambda k: f"s{k}_view1_NTMVC" in arrays, itertools.count()):
        views = tuple(torch.from_numpy(arrays[f"s{step}_view{i}_NTMVC"]) for i in (1, 2))
        views = tuple(Batch(v, torch.ones(v.shape[:-1]), torch.arange(len(v))) for v in views)
        method.train()
        made, log = method.losses(views, StepContext(number=step))
        optimiser.zero_grad()
        made["loss"].backward()
        optimiser.step()
        method.after_step(StepContext(number=step))
        losses.append([log[f"loss {name}"].item() for name in QUEUES.values()])
        assert abs(made["loss"].item() - sum(losses[-1])) < 1e-4
    np.testing.assert_allclose(losses, arrays["losses_cptsi"], atol=1e-4)
    state = method.state_dict()
    for name, value in released_state(arrays, "after/").items():
        if name.endswith("pointer"):
            assert int(state[name]) == int(value), name
        else:
            np.testing.assert_allclose(state[name], value, atol=1e-4, err_msg=name)
