"""Swapped prediction and contrast of clips with several bodies."""

import math

import pytest
import torch

from kineme.nn.swapped import between_views, nt_xent, prediction_loss, swapped

B, V, M, K, D = 6, 2, 3, 10, 8
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)


def made(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pieces():
    return (
        made(B, V, K).softmax(-1),
        made(B, V, K, seed=1).requires_grad_(),
        made(B, M, K, seed=2).softmax(-1),
        made(B, M, K, seed=3).requires_grad_(),
    )


@pytest.mark.parametrize("binary", [False, True])
def test_is_the_mean_over_pairs(binary):
    q_video, s_video, q_body, s_body = pieces()
    there = []
    for b in range(B):
        pairs = [
            prediction_loss(q_body[b, m], s_video[b, v], 0.1, binary)
            + prediction_loss(q_video[b, v], s_body[b, m], 0.1, binary)
            for v in range(V)
            for m in range(M)
            if PRESENT[b, m]
        ]
        there += [torch.stack(pairs).mean()] if pairs else []
    expected = torch.stack(there).mean() / 2
    torch.testing.assert_close(swapped(q_video, s_video, q_body, s_body, PRESENT, 0.1, binary), expected)


def test_scores_of_zero_give_log_k_and_streams_may_be_exchanged():
    q, zero = made(B, 1, K).softmax(-1), torch.zeros(B, 1, K)
    one = torch.ones(B, 1, dtype=torch.bool)
    assert float(swapped(q, zero, q, zero, one)) == pytest.approx(math.log(K))
    p, s, t = made(B, 1, K, seed=1).softmax(-1), made(B, 1, K, seed=2), made(B, 1, K, seed=3)
    torch.testing.assert_close(swapped(q, s, p, t, one), swapped(p, t, q, s, one))
    assert swapped(q, s, p, t, one) >= 0


def test_what_supplies_an_assignment_receives_no_gradient():
    _q_video, s_video, _q_body, s_body = pieces()
    (prediction_loss(s_video.softmax(-1)[:, :1], s_body, 0.1).sum()).backward()
    assert s_video.grad is None
    assert s_body.grad is not None


def test_empty_places_and_the_order_of_bodies_change_nothing():
    q_video, s_video, q_body, s_body = pieces()
    loss = swapped(q_video, s_video, q_body, s_body, PRESENT)
    order = [2, 0, 1]
    torch.testing.assert_close(swapped(q_video, s_video, q_body[:, order], s_body[:, order], PRESENT[:, order]), loss)
    other = torch.where(PRESENT[..., None], s_body, 50.0)
    torch.testing.assert_close(swapped(q_video, s_video, q_body, other, PRESENT), loss)
    nobody = torch.zeros_like(PRESENT)
    assert swapped(q_video, s_video, q_body, s_body, nobody).item() == 0


def test_binary_form_is_finite_for_a_sure_prediction():
    sure = torch.tensor([[1e4, 0.0]], requires_grad=True)
    loss = prediction_loss(torch.tensor([[0.0, 1.0]]), sure, 0.1, binary=True).sum()
    loss.backward()
    assert loss.isfinite()
    assert sure.grad.isfinite().all()


def test_between_views_is_the_mean_over_ordered_pairs():
    q, s = made(B, 3, K).softmax(-1), made(B, 3, K, seed=1)
    pairs = [prediction_loss(q[:, i], s[:, j], 0.1) for i in range(3) for j in range(3) if i != j]
    torch.testing.assert_close(between_views(q, s), torch.stack(pairs).mean())


def test_contrast_of_several_bodies():
    unit = torch.nn.functional.normalize
    video, bodies = unit(made(B, D), dim=-1), unit(made(B, M, D, seed=1), dim=-1)
    forth, back = nt_xent(video, bodies, PRESENT, 0.1)
    here, there = [], []
    for b in range(B):
        mine = [bodies[b, m] for m in range(M) if PRESENT[b, m]]
        others = [bodies[o, m] for o in range(B) for m in range(M) if o != b and PRESENT[o, m]]
        if mine:
            look = [torch.stack([video[b] @ z for z in (own, *others)]) / 0.1 for own in mine]
            here.append(torch.stack([x.logsumexp(0) - x[0] for x in look]).mean())
            look = [video @ own / 0.1 for own in mine]
            there.append(torch.stack([x.logsumexp(0) - x[b] for x in look]).mean())
    torch.testing.assert_close(forth, torch.stack(here).mean())
    torch.testing.assert_close(back, torch.stack(there).mean())


def test_contrast_of_groups_is_that_of_each_by_itself():
    unit = torch.nn.functional.normalize
    video, bodies = unit(made(6, D), dim=-1), unit(made(6, M, D, seed=1), dim=-1)
    present, group = torch.ones(6, M, dtype=torch.bool), torch.tensor([0, 1, 0, 0, 1, 0])
    found = nt_xent(video, bodies, present, 0.1, group)
    for way, loss in enumerate(found):
        parts = [nt_xent(video[group == g], bodies[group == g], present[group == g], 0.1)[way] for g in (0, 1)]
        torch.testing.assert_close(loss, (4 * parts[0] + 2 * parts[1]) / 6)


def test_telling_groups_apart_does_not_lower_the_contrast_within_them():
    group = torch.tensor([0, 0, 0, 1, 1, 1])
    rows = torch.eye(2)[group]  # embeddings that know the group and nothing else
    present = torch.ones(6, 1, dtype=torch.bool)
    assert all(float(x) == pytest.approx(math.log(3)) for x in nt_xent(rows, rows[:, None], present, 0.1, group))
    assert all(float(x) < math.log(6) - 0.6 for x in nt_xent(rows, rows[:, None], present, 0.1))  # the way round it
