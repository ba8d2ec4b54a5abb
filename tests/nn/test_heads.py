"""Projection heads: names in a state dict, and which weights are initialised by Xavier."""

import torch
from torch import nn

from kineme.nn.heads import ProjectionHead


def test_names_and_sizes():
    head = ProjectionHead(6, 10, 4)
    assert {name: tuple(value.shape) for name, value in head.state_dict().items()} == {
        "0.weight": (10, 6), "0.bias": (10,), "2.weight": (4, 10), "2.bias": (4,)
    }  # fmt: skip
    assert head(torch.zeros(3, 2, 6)).shape == (3, 2, 4)


def test_xavier_is_of_the_last_layer_only():
    torch.manual_seed(0)
    head = ProjectionHead(6, 10, 4, xavier=True)
    torch.manual_seed(0)
    first, last = nn.Linear(6, 10), nn.Linear(10, 4)
    nn.init.xavier_uniform_(last.weight)
    for mine, theirs in ((head[0], first), (head[2], last)):
        assert torch.equal(mine.weight, theirs.weight)
        assert torch.equal(mine.bias, theirs.bias)
