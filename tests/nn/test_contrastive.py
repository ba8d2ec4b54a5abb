"""InfoNCE against the plain form with concatenated logits, over a grid of sizes."""

import pytest
import torch
import torch.nn.functional as F

from kineme.nn.contrastive import infonce


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32), dim=-1)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("keys", [1, 50])
@pytest.mark.parametrize("temperature", [1.0, 0.07])
def test_equals_cross_entropy_over_concatenated_logits(rows, keys, temperature):
    query, positive, negatives = unit(rows, 16), unit(rows, 16, seed=1), unit(keys, 16, seed=2)
    logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ negatives.T], 1) / temperature
    loss, hit = infonce(query, positive, negatives, temperature)
    torch.testing.assert_close(
        loss, F.cross_entropy(logits, torch.zeros(rows, dtype=torch.long), reduction="none"), atol=1e-5, rtol=1e-5
    )
    assert hit.equal(logits.argmax(1) == 0)


@pytest.mark.parametrize("positives", [1, 4])
def test_several_positives_add_their_probabilities(positives):
    query, near, far = unit(6, 8), unit(6, positives, 8, seed=3), unit(30, 8, seed=4)
    share = (
        torch.cat([torch.einsum("bd,bgd->bg", query, near), query @ far.T], 1).div(0.2).softmax(1)[:, :positives].sum(1)
    )
    torch.testing.assert_close(infonce(query, near, far, 0.2)[0], -share.log(), atol=1e-5, rtol=1e-5)


def test_hopeless_positives_stay_finite():
    query = unit(3, 8)
    loss, hit = infonce(query, -query, query.clone(), 1e-3)
    assert torch.isfinite(loss).all()
    assert not hit.any()


def test_gradient_reaches_the_query_only_where_asked():
    query, key, far = unit(5, 8).requires_grad_(), unit(5, 8, seed=1), unit(9, 8, seed=2)
    infonce(query, key, far, 0.1)[0].mean().backward()
    expected = torch.autograd.functional.jacobian(
        lambda q: F.cross_entropy(
            torch.cat([(q * key).sum(1, keepdim=True), q @ far.T], 1) / 0.1, torch.zeros(5, dtype=torch.long)
        ),
        query.detach(),
    )
    torch.testing.assert_close(query.grad, expected, atol=1e-5, rtol=1e-5)
