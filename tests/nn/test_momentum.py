"""The key queue, against a plain list, and the momentum copy."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.nn.momentum import KeyQueue, MomentumEncoder
from kineme.utils.distributed import ProcessGroup
from kineme.utils.errors import InputError


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 9), pushes=st.lists(st.integers(0, 23), max_size=8))
def test_queue_is_first_in_first_out_for_any_batch_size(size, pushes):
    queue = KeyQueue(size, 2)
    start = queue.keys.clone()
    history, value = [], 0
    for count in pushes:
        rows = torch.arange(value, value + count, dtype=torch.float32)[:, None].expand(-1, 2).contiguous()
        value += count
        queue.push(rows)
        history += rows.tolist()
    expected = start.tolist()
    for i, row in enumerate(history):
        expected[i % size] = row
    assert queue.keys.tolist() == expected
    assert int(queue.pointer) == len(history) % size
    assert int(queue.filled) == min(len(history), size)
    newest = min(size, len(history))
    assert queue.newest(newest).tolist() == history[len(history) - newest :]


def test_queue_starts_with_unit_vectors():
    torch.testing.assert_close(KeyQueue(50, 16).keys.norm(dim=1), torch.ones(50))


def test_newest_straddles_the_wrap():
    queue = KeyQueue(5, 1)
    queue.push(torch.arange(7.0)[:, None])
    assert queue.newest(4).flatten().tolist() == [3, 4, 5, 6]


def test_the_momentum_encoder_moves_parameters_and_leaves_buffers():
    query = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    key = MomentumEncoder(query, 0.9)
    assert not any(p.requires_grad for p in key.parameters())
    before = [p.clone() for p in key.parameters()]
    with torch.no_grad():
        for p in query.parameters():
            p.add_(1.0)
        query[1].running_mean.fill_(5)
    key.update()
    for old, new in zip(before, key.parameters()):
        torch.testing.assert_close(new, old + 0.1)
    assert key.state_dict()["1.running_mean"].eq(0).all()


def test_the_momentum_encoder_has_the_names_of_its_query_and_nothing_of_its_weights():
    query = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))
    owner = torch.nn.ModuleDict({"query": query, "key": MomentumEncoder(query, 0.5)})
    assert list(owner["key"].state_dict()) == list(query.state_dict())
    assert len(list(owner.parameters())) == 2 * len(list(query.parameters()))
    twin = copy.deepcopy(owner)  # copies hold together: the copy's key follows the copy's query
    with torch.no_grad():
        twin["query"][0].weight.fill_(7)
        twin["key"].update()
    assert not torch.equal(twin["key"].state_dict()["0.weight"], owner["key"].state_dict()["0.weight"])
    x = torch.randn(4, 3)
    owner.eval()
    torch.testing.assert_close(owner["key"](x), query(x))
    assert not owner["key"](x).requires_grad
    owner.train()
    assert not torch.equal(owner["key"](x), owner["key"](x))  # dropout acts again
    double = owner.double()
    assert double["key"](x.double()).dtype == torch.float64


def test_staged_keys_are_read_by_nobody_until_they_are_committed():
    queue = KeyQueue(6, 2)
    start, keys = queue.keys.clone(), torch.arange(8.0).view(2, 2, 2)
    queue.stage(keys)
    assert torch.equal(queue.keys, start)
    assert queue.commit(ProcessGroup()) == 2  # clips, of two keys each
    assert torch.equal(queue.newest(4), keys.flatten(0, 1))
    assert queue.commit(ProcessGroup()) == 0


def test_a_queue_that_the_batch_must_divide():
    queue = KeyQueue(6, 2, divisible=True)
    queue.stage(torch.ones(3, 2))
    queue.commit(ProcessGroup())
    queue.stage(torch.ones(4, 2))
    with pytest.raises(InputError, match="a multiple of those of a batch"):
        queue.commit(ProcessGroup())
