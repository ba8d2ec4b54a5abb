"""Assignments by optimal transport: their invariants, and where they could break."""

import pytest
import torch

from kineme.nn.sinkhorn import assign, correct_marginals, sinkhorn
from kineme.utils.errors import InputError


def scores(n=20, k=6, seed=0):
    return torch.rand(n, k, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def slowly(table, eps, rounds):
    """The iteration as Caron et al. write it, with plain exponentials."""
    q = (table.double() / eps).exp()
    for _ in range(rounds):
        q /= q.sum(0, keepdim=True) * q.shape[1]
        q /= q.sum(1, keepdim=True) * q.shape[0]
    return q * q.shape[0]


@pytest.mark.parametrize("rounds", [1, 3, 10])
def test_is_the_plain_iteration(rounds):
    torch.testing.assert_close(sinkhorn(scores().double(), 0.3, rounds), slowly(scores(), 0.3, rounds))


def test_rows_sum_to_one_and_columns_converge():
    q = sinkhorn(scores(), 0.05, 300)
    torch.testing.assert_close(q.sum(1), torch.ones(20))
    torch.testing.assert_close(q.sum(0), torch.full((6,), 20 / 6), atol=1e-3, rtol=0)


def test_constants_of_prototypes_and_samples():
    for rounds in (1, 3):
        moved = sinkhorn(scores() + torch.randn(6), 0.05, rounds)
        torch.testing.assert_close(moved, sinkhorn(scores(), 0.05, rounds), atol=1e-4, rtol=1e-3)
    moved = sinkhorn(scores() + 0.2 * torch.randn(20, 1), 0.2, 1000)
    torch.testing.assert_close(moved, sinkhorn(scores(), 0.2, 1000), atol=1e-4, rtol=1e-3)


def test_order_and_temperature():
    order = torch.randperm(20)
    torch.testing.assert_close(sinkhorn(scores()[order]), sinkhorn(scores())[order])
    torch.testing.assert_close(sinkhorn(scores(), 1e6), torch.full((20, 6), 1 / 6))


def test_views_are_problems_of_their_own():
    both = torch.stack([scores(), scores(seed=1)])
    torch.testing.assert_close(sinkhorn(both)[1], sinkhorn(scores(seed=1)))


@pytest.mark.parametrize(("eps", "prototypes"), [(0.01, 10_000), (0.05, 3)])
def test_stays_finite_where_exponentials_do_not(eps, prototypes):
    table = torch.full((8, prototypes), -1.0)
    table[:, 0] = 1.0  # exp(1 / 0.01) leaves float32
    assert sinkhorn(table, eps).isfinite().all()
    assert sinkhorn(table.half(), eps).dtype == torch.float32


def test_rows_that_are_no_samples_change_nothing():
    table, valid = scores(), torch.arange(20) < 15
    some = sinkhorn(table, valid=valid)[:15]
    torch.testing.assert_close(some, sinkhorn(table[:15]))
    table[15:] = 1e3
    torch.testing.assert_close(sinkhorn(table, valid=valid)[:15], some)
    assert sinkhorn(table, valid=torch.zeros(20, dtype=torch.bool)).isfinite().all()


def test_queue_counts_as_far_as_it_is_filled():
    unit = torch.nn.functional.normalize
    rows, prototypes, queue = (unit(torch.randn(n, 8), dim=1) for n in (5, 12, 9))
    rows.requires_grad_()
    alone = assign(rows, prototypes)
    torch.testing.assert_close(assign(rows, prototypes, queue, filled=torch.zeros(9, dtype=torch.bool)), alone)
    joint = assign(rows, prototypes, queue)
    assert joint.shape == alone.shape
    assert not joint.requires_grad
    assert not torch.allclose(joint, alone)
    assert not torch.allclose(joint, assign(rows, prototypes, queue.flip(1)))
    torch.testing.assert_close(
        assign(rows, prototypes, queue[:4]), assign(rows, prototypes, queue, filled=torch.arange(9) < 4)
    )


def test_groups_are_assigned_each_by_itself():
    unit = torch.nn.functional.normalize
    rows, prototypes, queue = (unit(torch.randn(n, 8), dim=1) for n in (7, 12, 9))
    group, of_queue = torch.tensor([0, 1, 0, 2, 1, 0, 0]), torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 1])
    valid, filled = torch.arange(7) != 5, torch.arange(9) < 7
    found = assign(rows, prototypes, queue, valid=valid, filled=filled, group=group, queue_group=of_queue)
    for g in range(3):
        mine, earlier = (group == g) & valid, (of_queue == g) & filled
        torch.testing.assert_close(found[mine], assign(rows[mine], prototypes, queue[earlier]))
    without = assign(rows, prototypes, group=group)
    torch.testing.assert_close(without[group == 1], assign(rows[group == 1], prototypes))


def test_marginals_of_the_predictions_change_nothing():
    log_p = scores().mul(3).log_softmax(1)
    torch.testing.assert_close(
        correct_marginals(log_p, log_p.exp().mean(0)), log_p.exp().double(), atol=1e-5, rtol=1e-4
    )


def test_marginals_are_met_and_classes_excluded():
    target = torch.tensor([0.4, 0.3, 0.2, 0.1, 0, 0], dtype=torch.float64)
    q = correct_marginals(scores().log_softmax(1), target, eps=0.1)
    torch.testing.assert_close(q.mean(0), target, atol=1e-6, rtol=0)
    assert (q[:, 4:] == 0).all()


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ([0.5, 0.5], "one proportion"),
        ([0.5, 0.5, 0.5, 0, 0, 0], "of sum 1"),
        ([1.5, -0.5, 0, 0, 0, 0], "from 0 on"),
        ([float("nan")] * 6, "from 0 on"),
    ],
)
def test_bad_marginals_cost_a_sentence(target, word):
    with pytest.raises(InputError, match=word):
        correct_marginals(scores().log_softmax(1), torch.tensor(target))


def test_no_convergence_is_said():
    with pytest.raises(InputError, match="after 2 rounds"):
        correct_marginals(
            scores().mul(9).log_softmax(1), torch.tensor([0.9, 0.02, 0.02, 0.02, 0.02, 0.02]), 0.05, most=2
        )
