"""CMD: what mutual distillation must and must not change."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from kineme import encoders
from kineme.encoders.recurrent import Recurrent
from kineme.methods import StepContext
from kineme.methods.cmd import CMD, STREAMS, distil, neighbours
from kineme.motion.layout import layout
from kineme.utils import settings
from kineme.utils.errors import InputError


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def streams(seed=0, rows=5, dim=6, size=14):
    """Queries, keys and queues of three streams."""
    return tuple(
        {name: unit(n, dim, seed=seed + 10 * part + i) for i, name in enumerate(STREAMS)}
        for part, n in enumerate((rows, rows, size))
    )


def by_hand(queries, keys, queues, top, teacher, student):
    """Sample by sample, from the definition."""
    total = 0.0
    for v, w in itertools.permutations(STREAMS, 2):
        for n in range(len(queries[v])):
            similar = queues[v] @ keys[v][n]
            index = similar.argsort(descending=True)[:top]
            p = (similar[index] / teacher).softmax(0)
            r = (queues[w][index] @ queries[w][n] / student).softmax(0)
            total += float((p * (p / r).log()).sum()) / len(queries[v])
    return total


@pytest.mark.parametrize("top", [1, 5, 14])
def test_distillation_by_hand(top):
    queries, keys, queues = streams()
    made = distil(queries, keys, queues, top, 0.05, 0.1)
    assert float(made) == pytest.approx(by_hand(queries, keys, queues, top, 0.05, 0.1))
    assert float(made) >= 0


def test_nothing_to_learn_where_all_agree():
    query, queue = unit(5, 6, seed=1), unit(14, 6, seed=2)
    same = dict.fromkeys(STREAMS, query)
    assert float(distil(same, same, dict.fromkeys(STREAMS, queue), 7, 0.1, 0.1)) == pytest.approx(0, abs=1e-12)


def test_the_shared_index_is_what_binds_the_queues():
    queries, keys, queues = streams()
    order = torch.randperm(14, generator=torch.Generator().manual_seed(0))
    before = distil(queries, keys, queues, 7)
    together = distil(queries, keys, {name: queue[order] for name, queue in queues.items()}, 7)
    torch.testing.assert_close(together, before)
    alone = distil(queries, keys, {**queues, "joint": queues["joint"][order]}, 7)
    assert abs(float(alone - before)) > 1e-3


def test_teachers_receive_no_gradient():
    queries, keys, queues = streams()
    for each in (*queries.values(), *keys.values()):
        each.requires_grad_()
    distil(queries, keys, queues, 7).backward()
    assert all(query.grad is not None for query in queries.values())
    assert all(key.grad is None for key in keys.values())


def test_default_is_half_the_queue():
    assert neighbours(None, 16384) == 8192
    assert neighbours(None, 100) == 50
    assert neighbours(7, 100) == 7
    with pytest.raises(InputError, match=r"method\.top"):
        settings.make(CMD.Settings, {"queue": 10, "top": 11})


def test_streams_share_nothing_and_stay_in_step():
    def new_encoder():
        return encoders.build("recurrent", Recurrent.Settings(hidden=4, layers=1), layout("kinect20"), 3, 1)

    method = CMD(CMD.Settings(dim=6, queue=8), new_encoder)
    encoder = method.encoder()
    assert next(iter(encoder.state_dict())).startswith("encoders.joint.")
    assert encoder.dim == 3 * 8
    addresses = [p.data_ptr() for p in method.parameters()]
    assert len(set(addresses)) == len(addresses)
    keys = {name: unit(3, 6, seed=i).float() for i, name in enumerate(STREAMS)}
    queries = {name: unit(3, 6, seed=9 + i).float() for i, name in enumerate(STREAMS)}
    for _ in range(4):
        method.objective(queries, keys, StepContext())
        method.after_step(StepContext())
    assert {int(method.branch(name).queue.pointer) for name in STREAMS} == {12 % 8}
    for name in STREAMS:
        torch.testing.assert_close(method.branch(name).queue.newest(3), keys[name])
