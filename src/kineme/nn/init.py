"""Initialisations that the papers name and torch does not have as they mean them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def he_normal(module: nn.Module) -> None:
    """Weights and biases of all convolutions and linear layers: Keras' he-normal, truncated at two deviations.

    The fan of a weight is its inputs times its kernel; that of a bias is its own size (Zhao et al. 2021).
    """
    for layer in module.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if isinstance(weight, Tensor) and isinstance(bias, Tensor) and weight.dim() > 1:
            for values, fan in ((weight, weight[0].numel()), (bias, len(bias))):
                wide = (2 / fan) ** 0.5 / 0.87962566103423978  # so that the truncated one has deviation sqrt(2 / fan)
                nn.init.trunc_normal_(values, 0.0, wide, -2 * wide, 2 * wide)


def xavier_uniform(module: nn.Module, *, zero_bias: bool = False) -> None:
    """Weights of all linear layers in it by Glorot and Bengio (2010), uniform; biases stay as they are, or become 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if zero_bias:
                nn.init.zeros_(layer.bias)


def orthogonal(module: nn.Module) -> None:
    """Weights of all convolutions and linear layers in it orthogonal (Saxe et al. 2014), biases 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
