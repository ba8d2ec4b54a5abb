"""Great circles, hallucinated positives and k-means: their invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.methods import generator
from kineme.nn import hallucination, spherical_kmeans

each = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)


def unit(*shape, seed=0, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1)


def problem(seed, rows=7, dim=8, prototypes=12, count=30, lam=0.8, **options):
    """Anchors, prototypes and their plan."""
    anchors, centres = unit(rows, dim, seed=seed), unit(prototypes, dim, seed=seed + 1)
    draw = hallucination.draw(rows, count, prototypes - 1, lam, generator(seed))
    draw = hallucination.Draw(draw.choice, None if draw.u is None else draw.u.double())
    return anchors, centres, hallucination.plan(anchors, centres, draw, ignore=prototypes, **options)


def similarities(points, anchors, centres, plan):
    """Of positives ``[B, N, D]`` with their own prototype and with their target."""
    own, target = centres[plan.nearest][:, None], centres[plan.target]
    return (points * own).sum(2), (points * target).sum(2)


@each
@given(seeds, st.integers(2, 6), st.integers(3, 20))
def test_positives_are_unit_vectors_on_the_arc(seed, dim, prototypes):
    anchors, centres, plan = problem(seed, dim=dim, prototypes=prototypes)
    points = hallucination.positives(anchors, centres, plan)
    torch.testing.assert_close(points.norm(dim=2), torch.ones(points.shape[:2], dtype=torch.float64))
    assert bool((plan.limit >= 0).all())
    assert bool((plan.limit <= 1).all())
    moved = (points * anchors[:, None]).sum(2).clamp(-1, 1).arccos()
    torch.testing.assert_close(moved, plan.t * plan.omega, atol=1e-5, rtol=0)


@each
@given(seeds)
def test_the_limit_is_where_the_target_becomes_as_near(seed):
    anchors, centres, plan = problem(seed)
    z, p = anchors[:, None].expand(-1, plan.target.shape[1], -1), centres[plan.target]
    own, target = similarities(hallucination.slerp(z, p, plan.limit), anchors, centres, plan)
    torch.testing.assert_close(own, target, atol=1e-6, rtol=0)
    for share in (0.0, 0.3, 0.9):
        own, target = similarities(hallucination.slerp(z, p, share * plan.limit), anchors, centres, plan)
        assert bool((own >= target - 1e-9).all())
    own, target = similarities(hallucination.slerp(z, p, plan.limit + 1e-3), anchors, centres, plan)
    assert bool((own < target).all())


@each
@given(seeds)
def test_the_ends_of_the_path_and_its_middle(seed):
    z, p = unit(9, 5, seed=seed), unit(9, 5, seed=seed + 1)
    torch.testing.assert_close(hallucination.slerp(z, p, torch.zeros(9).double()), z)
    torch.testing.assert_close(hallucination.slerp(z, p, torch.ones(9).double()), p)
    steps = torch.linspace(0, 1, 11).double()
    near = torch.stack([(hallucination.slerp(z, p, t.expand(9)) * p).sum(1) for t in steps])
    assert bool((near[1:] > near[:-1]).all())


def test_no_room_between_two_equally_near_prototypes():
    half = torch.tensor([0.3]).double()
    assert float(hallucination.limit(half, half, torch.tensor([-0.2]).double())) == pytest.approx(0, abs=1e-9)
    near = torch.linspace(0.3, 0.9, 7).double()
    bounds = hallucination.limit(near, half.expand(7), torch.zeros(7).double())
    assert bool((bounds[1:] > bounds[:-1]).all())  # the nearer its own prototype, the farther it may go


def test_the_corner_of_the_arctangent():
    """The released form turns round, ours does not."""
    near, far, between = (torch.tensor([x]).double() for x in (0.1, -0.9, 0.343))
    assert float(hallucination.limit(near, far, between, faithful=True)) < 0
    assert 0 < float(hallucination.limit(near, far, between)) < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_anchor_on_or_opposite_its_target(dtype):
    """No great circle there: the positive is the anchor itself, and everything is finite."""
    axes = torch.eye(4, dtype=dtype)
    centres = torch.stack([axes[0], -axes[0], axes[1], axes[0]])  # an opposite and a double of the first
    draw = hallucination.Draw(torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, dtype=dtype))
    plan = hallucination.plan(axes[:1], centres, draw, ignore=4)
    points = hallucination.positives(axes[:1], centres, plan)
    assert bool(torch.isfinite(points).all())
    for place, target in enumerate(plan.target[0].tolist()):
        if abs(float(centres[target] @ axes[0])) > 0.5:
            torch.testing.assert_close(points[0, place], axes[0])
    torch.testing.assert_close(hallucination.pull(axes[:1], centres, plan), (points * plan.kept[..., None]).sum(1))


@each
@given(seeds, st.floats(0.05, 1))
def test_two_prototypes_keep_everything(seed, lam):
    _, _, plan = problem(seed, prototypes=2, lam=lam)
    assert bool(plan.kept.all())


@each
@given(seeds)
def test_rank_filter(seed):
    anchors, centres, plan = problem(seed, dim=3, prototypes=20)
    points = hallucination.positives(anchors, centres, plan)
    products = points @ centres.T
    nearest = products.argmax(2) == plan.nearest[:, None]
    margin = products.topk(2, dim=2).values.diff(dim=2).abs()[..., 0]  # where rounding cannot decide
    assert bool((nearest == plan.kept)[margin > 1e-5].all())
    torch.testing.assert_close(hallucination.pull(anchors, centres, plan), (points * plan.kept[..., None]).sum(1))


def test_hardness():
    _, _, plan = problem(3, lam=0.0)
    torch.testing.assert_close(plan.t, plan.limit)
    _, _, plan = problem(3, rows=50, count=400, lam=0.8)
    share = plan.t / plan.limit
    assert float(share.mean()) == pytest.approx(1 - 0.8 / 2, abs=0.01)
    assert float(share.min()) > 0.2 - 1e-9
    _, _, plan = problem(3, lam=hallucination.FIXED)
    torch.testing.assert_close(plan.t, (plan.limit - 0.01).clamp(min=0))


def test_targets():
    """Never the nearest; with 20 prototypes, ignore 20 and skip 1 all other 19; fewer with another `ignore`."""
    anchors, centres = unit(5, 16), unit(20, 16, seed=1)
    draw = hallucination.draw(5, 2000, 19, 0.8, generator(0))
    plan = hallucination.plan(anchors, centres, hallucination.Draw(draw.choice, draw.u.double()))
    for row in range(5):
        assert set(plan.target[row].tolist()) == set(range(20)) - {int(plan.nearest[row])}
    order = (anchors @ centres.T).argsort(1)
    few = hallucination.plan(anchors, centres, hallucination.Draw(draw.choice % 4, draw.u.double()), ignore=4, skip=3)
    torch.testing.assert_close(few.candidates, order[:, 13:17])


def test_gradient_reaches_the_query_only():
    """The pull is linear in q: its gradient in the raw query is the tangential part of the kept positives' sum."""
    anchors, centres, plan = problem(1)
    raw = torch.randn(7, 8, dtype=torch.float64, requires_grad=True)
    (F.normalize(raw, dim=1) * hallucination.pull(anchors, centres, plan)).sum().backward()
    total = (hallucination.positives(anchors, centres, plan) * plan.kept[..., None]).sum(1)
    q = F.normalize(raw.detach(), dim=1)
    tangent = total - (total * q).sum(1, keepdim=True) * q
    torch.testing.assert_close(raw.grad, tangent / raw.detach().norm(dim=1, keepdim=True))


# ---- k-means


def clusters(seed=0, n=256, dim=16, count=8, spread=0.15):
    centres = unit(count, dim, seed=seed)
    labels = torch.arange(n) % count
    return F.normalize(centres[labels] + spread * unit(n, dim, seed=seed + 1), dim=1), labels, centres


def test_kmeans_finds_clusters_from_its_own_start():
    points, labels, _ = clusters()
    drawn = spherical_kmeans.draw_seeds(len(points), 8, generator(0))
    centres, found = spherical_kmeans.kmeans(points, spherical_kmeans.seed(points, drawn), drawn)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(8, dtype=torch.float64))
    pairs = {(int(a), int(b)) for a, b in zip(labels, found)}
    assert len(pairs) == 8  # one found cluster for each true one


def test_intrinsic_mean_is_where_the_logarithms_vanish():
    points = F.normalize(torch.tensor([1.0, 0, 0]) + 0.6 * unit(50, 3).float(), dim=1).double()
    for start in (points[:1], unit(1, 3, seed=5)):
        mean = spherical_kmeans.kmeans(points, start, tolerance=1e-9)[0][0]
        cosine = points @ mean
        logs = (cosine.arccos() / cosine.arccos().sin())[:, None] * (points - cosine[:, None] * mean)
        torch.testing.assert_close(logs.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-8, rtol=0)
    three = torch.eye(3, dtype=torch.float64)  # by symmetry
    torch.testing.assert_close(
        spherical_kmeans.kmeans(three, three[:1])[0][0], torch.full((3,), 3**-0.5, dtype=torch.float64)
    )


def test_the_two_means_differ_and_each_is_the_best_of_its_kind():
    """The intrinsic mean has the least sum of squared arcs, the normalised one the largest sum of cosines."""
    points = F.normalize(torch.tensor([[1.0, 0, 0]]) + 1.2 * unit(40, 3, seed=4).float(), dim=1).double()
    both = [
        spherical_kmeans.kmeans(points, points[:1], mean=mean, tolerance=1e-9)[0][0]
        for mean in ("intrinsic", "normalised")
    ]
    assert float((both[0] - both[1]).norm()) > 1e-3
    arcs, cosines = zip(*(((points @ m).arccos().square().sum(), (points @ m).sum()) for m in both))
    assert arcs[0] < arcs[1]
    assert cosines[1] > cosines[0]


def test_an_empty_cluster_takes_the_point_that_was_drawn_for_it():
    points, _, centres = clusters(count=4)
    start = torch.cat([centres, -centres.mean(0, keepdim=True)])  # nobody is near the last
    spare = spherical_kmeans.Seeds(torch.zeros(5), torch.full((100, 5), 17))
    made, labels = spherical_kmeans.kmeans(points, F.normalize(start, dim=1), spare, "normalised", rounds=1)
    torch.testing.assert_close(made[4], points[17])
    assert len(labels) == len(points)
    alone, _ = spherical_kmeans.kmeans(points, F.normalize(start, dim=1))
    torch.testing.assert_close(alone[4], F.normalize(start, dim=1)[4])  # without spare points it stays


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_seeding_draws_in_proportion_to_the_distance(power):
    """Three points, two at the start's place but one: chances follow the power of the arc length."""
    angles = torch.tensor([0.0, 0.4, 1.2], dtype=torch.float64)
    points = torch.stack([angles.cos(), angles.sin()], 1)
    wanted = angles.pow(power) / angles.pow(power).sum()
    hits = torch.zeros(3)
    for value in (torch.arange(400) + 0.5) / 400:
        second = spherical_kmeans.seed(
            points, spherical_kmeans.Seeds(torch.tensor([0.0, float(value)]), torch.zeros(1, 2)), power
        )[1]
        hits[(points == second).all(1).int().argmax()] += 1
    np.testing.assert_allclose(hits / 400, wanted, atol=0.01)


def test_duplicates_and_more_centres_than_points_stay_finite():
    points = unit(3, 4).repeat(4, 1)
    drawn = spherical_kmeans.draw_seeds(12, 6, generator(0))
    centres, _ = spherical_kmeans.kmeans(points, spherical_kmeans.seed(points, drawn), drawn)
    assert bool(torch.isfinite(centres).all())
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(6, dtype=torch.float64))
