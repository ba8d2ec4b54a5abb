"""Bounds of mutual information: against slow hand-written forms, and their invariants."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kineme.nn import mutual_information

LOG2 = math.log(2)
BY_HAND = {
    "JSD": (lambda s: LOG2 - math.log1p(math.exp(-s)), lambda s: math.log1p(math.exp(-s)) + s - LOG2),
    "GAN": (lambda s: -math.log1p(math.exp(-s)), lambda s: math.log1p(math.exp(-s)) + s),
    "KL": (lambda s: s, lambda s: math.exp(s - 1)),
    "RKL": (lambda s: -math.exp(-s), lambda s: s - 1),
    "H2": (lambda s: 1 - math.exp(-s), lambda s: math.exp(s) - 1),
    "W1": (lambda s: s, lambda s: s),
}
SIZES = [(2, 1, 1, 3), (4, 2, 3, 5), (7, 3, 1, 2)]


def sets(rows, locals_, globals_, width, seed=0):
    gen = torch.Generator().manual_seed(seed)
    made = [torch.randn(rows, many, width, generator=gen, dtype=torch.float64) for many in (locals_, globals_)]
    indicator = torch.rand(rows, rows, generator=gen, dtype=torch.float64) < 0.3
    return *made, (indicator | indicator.T | torch.eye(rows, dtype=torch.bool)).double()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("soft", [False, True])
def test_fenchel_by_hand(name, size, soft):
    local, globl, indicator = sets(*size)
    rows, positive, negative = range(size[0]), *BY_HAND[name]
    weight = indicator.tolist() if soft else torch.eye(size[0]).tolist()

    def mean(i, j, f):
        return sum(f(float(x @ y)) for x in local[i] for y in globl[j]) / (size[1] * size[2])

    far = [(1 - weight[i][j], mean(i, j, negative)) for i in rows for j in rows]
    near = [(weight[i][j], mean(i, j, positive)) for i in rows for j in rows]
    wanted = [sum(w * x for w, x in side) / max(1e-12, sum(w for w, _ in side)) for side in (far, near)]
    found = mutual_information.fenchel(local, globl, name, indicator if soft else None)
    assert float(found) == pytest.approx(wanted[0] - wanted[1], abs=1e-10)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("soft", [False, True])
def test_infonce_by_hand(size, soft):
    local, globl, indicator = sets(*size)
    weight = indicator.tolist() if soft else torch.eye(size[0]).tolist()
    each = []
    for i in range(size[0]):
        for x in local[i]:
            for y in globl[i]:
                far = [float(y @ z) / 0.5 for j in range(size[0]) if not weight[i][j] for z in local[j]]
                near = float(x @ y) / 0.5
                each.append(math.log(math.exp(near) + sum(map(math.exp, far))) - near)
    found = mutual_information.local_global_infonce(local, globl, 0.5, indicator if soft else None)
    assert float(found) == pytest.approx(sum(each) / len(each), abs=1e-10)


def test_toy_of_infonce():
    """Spec, 7.6: one local and one global that score 1, against a 0."""
    found = mutual_information.local_global_infonce(
        torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    )
    assert float(found) == pytest.approx(math.log(math.e + 1) - 1)


@given(rows=st.integers(2, 20))
def test_jensen_shannon_of_nothing_is_zero(rows):
    assert float(mutual_information.fenchel(torch.zeros(rows, 4), torch.randn(rows, 4))) == pytest.approx(0, abs=1e-7)


def test_jensen_shannon_has_a_floor_and_a_limit():
    gen = torch.Generator().manual_seed(0)
    for size in (1, 100, 1e4):
        for _ in range(5):
            x, y = torch.randn(2, 6, 4, generator=gen) * size
            assert float(mutual_information.fenchel(x, y)) >= -2 * LOG2 - 1e-6
            assert torch.isfinite(mutual_information.fenchel(x, y))
    orthogonal = torch.eye(5, dtype=torch.float64)
    losses = [float(mutual_information.fenchel(s * orthogonal, s * orthogonal)) for s in (1, 2, 4, 40)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(-LOG2)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_upper_bound_needs_no_pairs(size):
    gen = torch.Generator().manual_seed(size)
    mean, logvar, y = torch.randn(3, size, 6, generator=gen, dtype=torch.float64)
    y = mean + 0.1 * y  # so that the bound is not at its floor
    inputs = [x.requires_grad_() for x in (mean, logvar, y)]
    short, long = (
        mutual_information.club(*inputs),
        mutual_information.club(*inputs, indicator=torch.eye(size, dtype=torch.float64)),
    )
    assert float(short) > 0
    torch.testing.assert_close(short, long)
    for one, other in zip(*(torch.autograd.grad(bound, inputs) for bound in (short, long))):
        torch.testing.assert_close(one, other)


def test_upper_bound_is_zero_for_other_targets_and_positive_for_ones_own():
    gen = torch.Generator().manual_seed(0)
    y = torch.randn(64, 8, generator=gen)
    logvar = torch.full_like(y, -1.0)
    assert float(mutual_information.club(y, logvar, y)) > 0.5
    assert float(mutual_information.club(y, logvar, y.roll(1, 0))) == pytest.approx(0, abs=0.1)
    low = mutual_information.club(y, logvar, -y)  # worse than by chance: cut at 0, and no gradient
    assert float(low) == 0


def test_gradient_penalty_of_a_linear_unit():
    """Spec, 7.8: all weights one, 8 inputs -> 8."""
    unit = nn.Linear(8, 1)
    nn.init.ones_(unit.weight)
    x = torch.randn(5, 8, requires_grad=True)
    penalty = mutual_information.gradient_penalty(x, unit(x))
    assert float(penalty) == pytest.approx(8)
    penalty.backward()
    torch.testing.assert_close(unit.weight.grad, torch.full((1, 8), 2.0))


@given(order=st.permutations(range(6)))
def test_order_of_the_batch_does_not_matter(order):
    local, globl, indicator = sets(6, 2, 1, 4)
    mixed = indicator[order][:, order]
    for name in mutual_information.DIVERGENCES:
        torch.testing.assert_close(
            mutual_information.fenchel(local[order], globl[order], name, mixed),
            mutual_information.fenchel(local, globl, name, indicator),
        )
    y = globl[:, 0]
    torch.testing.assert_close(
        mutual_information.club(local[order, 0], local[order, 1], y[order]),
        mutual_information.club(local[:, 0], local[:, 1], y),
    )
