"""HiCo's five losses over several steps against the authors' code: logits, losses, gradients, queues, pointers."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kineme.encoders.hierarchical import Hierarchical
from kineme.methods import StepContext
from kineme.methods.hico import HiCo
from kineme.motion.layout import Layout

NAMES = {"c": "clip", "p": "part", "t": "temporal", "s": "spatial", "i": "instance"}  # as stored -> ours


@pytest.mark.parametrize("faithful", [True, False])
def test_steps(golden, faithful):
    arrays = {name: torch.from_numpy(np.asarray(value)) for name, value in golden("hico_objective").items()}
    rows, granularities, dim, size, temperature, steps = arrays["hyper_N_G_C_K_T_steps"].tolist()
    tokens = 1 << int(granularities) - 1  # the encoder takes no part: the smallest that there is
    layout = Layout("free", tuple(f"j{i}" for i in range(tokens)), (-1,) + (0,) * (tokens - 1))
    encoder = Hierarchical.Settings(hidden=2, granularities=int(granularities), frames=tokens)
    settings = HiCo.Settings(dim=int(dim), queue=int(size), temperature=temperature, faithful=faithful)
    method = HiCo(settings, lambda: Hierarchical(encoder, layout, 3))
    for end, name in NAMES.items():
        method.queue(name).keys.copy_(arrays[f"queue_{end}_init"].T)

    exact = 0
    for k in itertools.takewhile(lambda k: f"s{k}_loss_total" in arrays, itertools.count()):
        raw = {name: arrays[f"s{k}_q_{end}"].clone().requires_grad_() for end, name in NAMES.items()}
        queries = {name: F.normalize(q, dim=-1) for name, q in raw.items()}
        keys = {name: F.normalize(arrays[f"s{k}_k_{end}"], dim=-1) for end, name in NAMES.items()}
        if k == 0:
            _logits(arrays, method, queries, keys, temperature)
        losses, log = method.objective(queries, keys, StepContext(number=k))
        losses["loss"].backward()
        method.after_step(StepContext(number=k))
        # the released pointer turns back at K: until it has done so once, nothing differs
        same = faithful or k <= math.ceil(size / (rows * granularities))
        exact += same
        for number, (end, name) in enumerate(NAMES.items()):
            if same or end in "tsi":
                loss, grad, where = arrays[f"s{k}_losses_cptsi"][number], arrays[f"s{k}_grad_q_{end}"], f"{k} {name}"
                np.testing.assert_allclose(log[f"loss {name}"], loss, atol=2e-5, rtol=1e-5, err_msg=where)
                np.testing.assert_allclose(raw[name].grad, grad, atol=1e-5, err_msg=where)
            if faithful or end in "tsi":
                assert int(method.queue(name).pointer) == int(arrays[f"s{k}_ptr_after_cptsi"][number])
        if same:
            np.testing.assert_allclose(losses["loss"].detach(), arrays[f"s{k}_loss_total"], atol=2e-5, rtol=1e-5)
    assert k + 1 == steps
    assert exact == steps if faithful else exact > 0
    for end, name in NAMES.items():
        if faithful or end in "tsi":
            final = arrays[f"queue_{end}_final_as_released"].T
            np.testing.assert_allclose(method.queue(name).keys, final, atol=1e-6)


def _logits(arrays, method, queries, keys, temperature):
    """That queries, keys and queues stand in the stored order, and that the positives come first."""
    for end, name in NAMES.items():
        other = {"temporal": "spatial", "spatial": "temporal"}.get(name, name)  # the level domain crosses them
        key, queue = keys[other], method.queue(other).keys
        query, key = (queries[name][:, 0], key) if end in "cp" else (queries[name], key[:, None])
        logits = torch.cat([torch.einsum("bd,bgd->bg", query, key), query @ queue.T], 1) / temperature
        np.testing.assert_allclose(logits.detach(), arrays[f"s0_logits_{end}"], atol=2e-5, rtol=1e-5)
        if end in "cp":
            positive = torch.arange(logits.shape[1]) < key.shape[1]
            np.testing.assert_array_equal(arrays[f"mask_{end}"], positive.float().expand_as(logits))
