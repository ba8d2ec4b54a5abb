"""Batch normalisation over the global batch, on any device and any number of processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.distributed import all_reduce_sum, current


class BatchNorm(nn.Module):
    """Batch norm of ``[..., features]`` over all leading axes and all processes.

    Parameters and buffers have the names and meaning of ``torch.nn.BatchNorm1d``. torch's SyncBatchNorm refuses CPU
    tensors; this one does not.

    Args:
        features: size of the last axis.
        momentum: weight of a new batch in the running statistics; None averages all batches since ``reset``.
        biased: the running variance is that of the batch as it stands (Keras), not the estimate of the population's.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, features: int, eps: float = 1e-5, momentum: float | None = 0.1, biased: bool = False):
        super().__init__()
        self.eps, self.momentum, self.biased = eps, momentum, biased
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, apart: bool = False) -> Tensor:
        """Normalise ``x [..., features]``.

        Args:
            x: any leading axes.
            apart: ``x [rows, sides, features]`` has statistics of its own for every side, as if it were given one side
                after the other.
        """
        shape, x = x.shape, x if x.dtype == torch.float64 else x.float()
        if not self.training:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return (x - self.running_mean) * scale + self.bias
        x = x if apart else x.reshape(-1, 1, x.shape[-1])
        if current().size == 1 and len(x) > 1:
            return self._alone(x).view(shape)
        # deviations from the mean, not the difference of square sums: exact to 1e-6 also far from the origin
        count = all_reduce_sum(x.new_tensor([float(len(x))]))
        mean = all_reduce_sum(x.sum(0)) / count
        centred = x - mean
        var = all_reduce_sum(centred.square().sum(0)) / count
        self._keep(mean, var if self.biased else var * (count / (count - 1).clamp(min=1)))
        return (centred * (torch.rsqrt(var + self.eps) * self.weight) + self.bias).view(shape)

    def _alone(self, x: Tensor) -> Tensor:
        """Of one process: torch's own, which takes a third of the time or less; it does not like to be far from 0."""
        rows, sides, _ = x.shape
        middle = x.detach().mean(0)
        mean, var = torch.zeros_like(middle).flatten(), torch.ones_like(middle).flatten()
        weight, bias = (wide.repeat(sides) if sides > 1 else wide for wide in (self.weight, self.bias))
        out = F.batch_norm((x - middle).flatten(1), mean, var, weight, bias, True, 1.0, self.eps)
        self._keep(mean.view_as(middle) + middle, var.view_as(middle) * ((rows - 1) / rows if self.biased else 1))
        return out.view_as(x)

    @torch.no_grad()
    def _keep(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards those of each side ``[sides, features]``."""
        for middle, spread in zip(mean, var):
            self.num_batches_tracked += 1
            share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(middle, share)
            self.running_var.lerp_(spread, share)


class BatchNormNd(BatchNorm):
    """:class:`BatchNorm` of pictures or video ``[B, C, ...]``, over all axes but C.

    Examples:
        >>> BatchNormNd(8)(torch.randn(2, 8, 4, 6, 6)).shape
        torch.Size([2, 8, 4, 6, 6])
    """

    def forward(self, x: Tensor, apart: bool = False) -> Tensor:
        """Normalise ``x [B, C, ...]``; ``apart`` has no meaning here."""
        if self.training and current().size > 1:
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)
        share = 0.0
        if self.training:
            self.num_batches_tracked += 1
            share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        kept, weights = (self.running_mean, self.running_var), (self.weight, self.bias)
        return F.batch_norm(x, *kept, *weights, self.training, share, self.eps)


class FixedNorm(nn.Module):
    """Scales ``x [..., features]`` by statistics that are taken once (:func:`fix_statistics`) and never change.

    Each value's mean becomes 0 and its variance 1, by the clips that were looked at; there is nothing to train.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, features: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("var", torch.ones(features))
        self.sums: list[Tensor] | None = None  # of what is being looked at: count, sum, sum of squares

    def forward(self, x: Tensor) -> Tensor:
        if self.sums is not None:
            rows = x.detach().double().reshape(-1, x.shape[-1])
            found = [rows.new_tensor(float(len(rows))), rows.sum(0), rows.square().sum(0)]
            self.sums = [a + b for a, b in zip(self.sums, found)] if self.sums else found
        return (x - self.mean) * torch.rsqrt(self.var + self.eps)


@torch.no_grad()
def fix_statistics(encoder: nn.Module, batches: Iterable[Any]) -> None:
    """Take the statistics of every :class:`FixedNorm` from one pass over batches; nothing is done if there is none."""
    norms = [module for module in encoder.modules() if isinstance(module, FixedNorm)]
    if not norms:
        return
    training = encoder.training
    encoder.eval()
    for norm in norms:
        norm.sums = []
    for batch in batches:
        encoder(batch)
    for norm in norms:
        if norm.sums:
            count, total, squares = norm.sums
            norm.mean.copy_(total / count)
            norm.var.copy_((squares / count - (total / count).square()).clamp(min=0))
        norm.sums = None
    encoder.train(training)


@torch.no_grad()
def update_statistics(encoder: nn.Module, batches: Iterable[Any]) -> None:
    """Set batch-norm statistics from one pass over batches (:meth:`Method.look`), as for the untrained encoder."""
    norms = [m for m in encoder.modules() if isinstance(m, (BatchNorm, nn.modules.batchnorm._BatchNorm))]
    if not norms:
        return
    encoder.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.running_mean.zero_(), norm.running_var.fill_(1), norm.num_batches_tracked.zero_()  # type: ignore[union-attr]
        norm.momentum = None
        norm.train()
    for batch in batches:
        encoder(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    encoder.eval()
