"""Dropout: its share, its scale, its gradient, and that nothing is dropped where nothing should be."""

import pytest
import torch

from kineme.nn.dropout import dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_dropout(share):
    x = torch.ones(501, 333)
    torch.manual_seed(0)
    one, two = dropout(x, share), dropout(x, share)
    torch.manual_seed(0)
    assert torch.equal(dropout(x, share), one)
    assert not torch.equal(one, two)
    assert float((one == 0).float().mean()) == pytest.approx(share, abs=0.005)
    torch.testing.assert_close(one.max(), torch.tensor(1 / (1 - share)))
    across = (one == 0).float()
    assert float((across.mean(0) - share).abs().max()) < 0.15  # no unit that is always, or never, left out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_gradient_passes_where_numbers_did(dtype):
    x = torch.randn(3, 7, 5, dtype=dtype, requires_grad=True)
    out = dropout(x, 0.5)
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert out.dtype == slope.dtype == dtype
    assert torch.equal(slope, torch.where(out == 0, 0.0, 2.0).to(dtype))
    torch.testing.assert_close(out, x * slope)


def test_nothing_is_dropped_outside_training_or_for_a_share_of_none():
    x = torch.randn(4, 4)
    before = torch.get_rng_state()
    assert dropout(x, 0.5, training=False) is dropout(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), before)
    assert dropout(x.to("meta"), 0.5).shape == (4, 4)
