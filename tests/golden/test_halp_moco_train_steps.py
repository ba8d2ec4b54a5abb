"""Whole training steps of MoCo against the authors' code: momentum order, batch norm of both encoders, queue,
optimiser.
"""

import itertools

import numpy as np
import torch

from kineme.encoders.recurrent import Recurrent, from_released
from kineme.methods import StepContext
from kineme.methods.moco import MoCo
from kineme.motion.layout import Layout
from kineme.views.augment import ViewSettings
from kineme.views.batch import Batch


def released_state(arrays, prefix, persons, joints, coords):
    """The stored state under this package's names."""
    values = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
    state = {"branches.joint.queue.keys": values["queue"].T, "branches.joint.queue.pointer": values["queue_ptr"][0]}
    for side, encoder, head in (
        ("encoder_q.", "branches.joint.encoder.", "branches.joint.head."),
        ("encoder_k.", "branches.joint.key_encoder.", "branches.joint.key_head."),
    ):
        own = {k.removeprefix(side): v for k, v in values.items() if k.startswith(side)}
        state |= {encoder + k: v for k, v in from_released(own, persons, joints, coords).items()}
        state |= {head + k.removeprefix("fc."): v for k, v in own.items() if k.startswith("fc.")}
    return state


def test_training_steps(golden):
    arrays = golden("halp_moco_train_steps")
    lr, momentum, decay, key_momentum, temperature = arrays["hyper_lr_sgdmomentum_weightdecay_keymomentum_T"]
    _, coords, frames, joints, persons = arrays["s0_view1"].shape
    weights = {k: v for k, v in arrays.items() if k.startswith("before/encoder_q.encoder.")}
    recurrent = next(v for k, v in weights.items() if k.endswith("weight_hh_l0"))
    layers = sum(".weight_ih_l" in k and not k.endswith("_reverse") for k in weights)
    cell = {3: "gru", 4: "lstm"}[recurrent.shape[0] // recurrent.shape[1]]
    dim, queue = arrays["before/queue"].shape
    layout = Layout("free", tuple(f"j{i}" for i in range(joints)), (-1,) + (0,) * (joints - 1))

    def new_encoder():
        return Recurrent(Recurrent.Settings(cell, recurrent.shape[1], layers, persons), layout, coords)

    method = MoCo(
        MoCo.Settings(dim, queue, temperature, key_momentum, "joint", ViewSettings(frames=frames), faithful=True),
        new_encoder,
    )
    missing = method.load_state_dict(released_state(arrays, "before/", persons, joints, coords), strict=False)
    assert missing.missing_keys == ["branches.joint.queue.filled"]
    assert not missing.unexpected_keys
    optimiser = torch.optim.SGD(method.groups()["loss"], lr=lr, momentum=momentum, weight_decay=decay)

    losses = []
    for step in itertools.takewhile(lambda k: f"s{k}_view1" in arrays, itertools.count()):
        views = tuple(torch.from_numpy(arrays[f"s{step}_view{i}"]).permute(0, 2, 4, 3, 1).contiguous() for i in (1, 2))
        views = tuple(Batch(v, torch.ones(v.shape[:-1]), torch.arange(len(v))) for v in views)
        method.train()
        loss = method.losses(views, StepContext(number=step))[0]["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.after_step(StepContext(number=step))
        losses.append(loss.item())
    np.testing.assert_allclose(losses, arrays["losses"], atol=1e-3)
    state = method.state_dict()
    for name, value in released_state(arrays, "after/", persons, joints, coords).items():
        if name.endswith("pointer"):
            # the released pointer may stand at K where ours has wrapped to 0
            assert int(state[name]) == int(value) % queue
        else:
            np.testing.assert_allclose(state[name].numpy(), value.numpy(), atol=1e-3, err_msg=name)
