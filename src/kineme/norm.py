"""Batch normalisation over the global batch, on any device and any number of processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .world import summed


class BatchNorm(nn.Module):
    """Batch norm of ``[..., features]`` over all leading axes and all processes.

    Parameters and buffers have the names and meaning of ``torch.nn.BatchNorm1d``. torch's SyncBatchNorm refuses CPU
    tensors; this one does not.

    Args:
        features: size of the last axis.
        momentum: weight of a new batch in the running statistics; None averages all batches since ``reset``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, features: int, eps: float = 1e-5, momentum: float | None = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        shape, x = x.shape, x.reshape(-1, x.shape[-1]).float()
        if not self.training:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return ((x - self.running_mean) * scale + self.bias).view(shape)
        # deviations from the mean, not the difference of square sums: exact to 1e-6 also far from the origin
        count = summed(x.new_tensor([float(len(x))]))
        mean = summed(x.sum(0)) / count
        centred = x - mean
        var = summed(centred.square().sum(0)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            weight = 1.0 / self.num_batches_tracked if self.momentum is None else self.momentum
            self.running_mean += weight * (mean - self.running_mean)
            self.running_var += weight * (var * (count / (count - 1).clamp(min=1)) - self.running_var)
        return (centred * (torch.rsqrt(var + self.eps) * self.weight) + self.bias).view(shape)
