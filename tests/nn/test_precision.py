"""Losses in full precision, whatever the encoder runs in."""

import torch

from kineme.nn.precision import full_precision


@full_precision
def product(a, b):
    return a @ b


def test_autocast_is_off_inside_and_on_again_outside():
    one = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (one @ one).dtype == torch.bfloat16
        assert product(one, one).dtype == torch.float32
        assert (one @ one).dtype == torch.bfloat16
    assert product(one, one).dtype == torch.float32
