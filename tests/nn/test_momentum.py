"""The key queue, against a plain list, and the momentum copy."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.nn.momentum import KeyQueue, follow, momentum_copy


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


def test_follow_moves_parameters_and_leaves_buffers():
    fast = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    slow = momentum_copy(fast)
    assert not any(p.requires_grad for p in slow.parameters())
    before = [p.clone() for p in slow.parameters()]
    with torch.no_grad():
        for p in fast.parameters():
            p.add_(1.0)
        fast[1].running_mean.fill_(5)
    follow(slow, fast, 0.9)
    for old, new in zip(before, slow.parameters()):
        torch.testing.assert_close(new, old + 0.1)
    assert slow[1].running_mean.eq(0).all()
