"""Projection heads: what stands between an encoder and the sphere on which vectors are contrasted."""

from __future__ import annotations

from torch import nn

from .init import xavier_uniform
from .matmul import Linear


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, Linear (Chen et al. 2020): ``[..., inputs] -> [..., outputs]``, not normalised.

    Args:
        inputs, hidden, outputs: sizes.
        xavier: initialise the last weight by Glorot and Bengio (2010), uniform; all else is as torch makes it.

    Examples:
        >>> ProjectionHead(8, 16, 4)(torch.zeros(2, 8)).shape
        torch.Size([2, 4])
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, xavier: bool = False):
        super().__init__(Linear(inputs, hidden), nn.ReLU(), Linear(hidden, outputs))
        if xavier:
            xavier_uniform(self[2])
