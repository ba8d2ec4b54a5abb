"""Bounds of mutual information between two sets of codes, and the adversarial prior of CV-MIM.

Source: Zhao et al. 2021. Positives are codes of the same row; with an ``indicator [B, B]``
(1 = positive, 0 = negative, or anything between) they may be others as well. Sums over a batch know nothing of other
processes: gather first (:meth:`kineme.utils.distributed.gather_together`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .matmul import linear

LOG2 = math.log(2)
TINY = 1e-12  # weights of means are floored here
NEVER = -1e12  # the logit of a positive among the negatives


class Divergence(NamedTuple):
    """What the scores of positives and of negatives are turned into; element by element, finite for any score that is
    not beyond the exponential function's range.
    """

    positive: Callable[[Tensor], Tensor]
    negative: Callable[[Tensor], Tensor]


DIVERGENCES = {
    "JSD": Divergence(lambda s: LOG2 - _softplus(-s), lambda s: _softplus(s) - LOG2),
    "GAN": Divergence(lambda s: -_softplus(-s), lambda s: _softplus(s)),
    "KL": Divergence(lambda s: s, lambda s: (s - 1).exp()),
    "RKL": Divergence(lambda s: -(-s).exp(), lambda s: s - 1),
    "H2": Divergence(lambda s: -torch.expm1(-s), torch.expm1),
    "W1": Divergence(lambda s: s, lambda s: s),
}


def fenchel(local: Tensor, globl: Tensor, divergence: str = "JSD", indicator: Tensor | None = None) -> Tensor:
    """Minus a lower bound of the mutual information: Fenchel dual of a divergence, the dot product as critic.

    ``mean over i != j of N(<l_i, g_j>) - mean over i of P(<l_i, g_i>)``, averaged over locals and globals.

    Args:
        local: ``[B, L, D]`` or ``[B, D]``.
        globl: ``[B, G, D]`` or ``[B, D]``.
        divergence: a name of :data:`DIVERGENCES`.
        indicator: ``[B, B]``; None = the identity.
    """
    scores = _scores(local, globl)  # [L, G, B, B]
    positive, negative = DIVERGENCES[divergence]
    if indicator is None:
        return negative(_off_diagonal(scores)).mean() - positive(scores.diagonal(dim1=-2, dim2=-1)).mean()
    far, near = negative(scores).mean((0, 1)), positive(scores).mean((0, 1))
    return _weighted(far, 1 - indicator) - _weighted(near, indicator)


def local_global_infonce(
    local: Tensor, globl: Tensor, temperature: float = 1.0, indicator: Tensor | None = None
) -> Tensor:
    """InfoNCE of every (local, global) pair of a row against that global and the locals of all other rows.

    Args:
        local, globl, indicator: as in :func:`fenchel`; positives of the indicator are no negatives.
        temperature: T.
    """
    scores = _scores(local, globl) / temperature
    near = scores.diagonal(dim1=-2, dim2=-1)  # [L, G, B]
    others = torch.eye(scores.shape[-1], device=scores.device) if indicator is None else indicator
    far = scores.masked_fill(others.T > 0, NEVER).logsumexp((0, 2))  # [G, B] over locals of other rows
    return (torch.logaddexp(near, far) - near).mean()


def _scores(local: Tensor, globl: Tensor) -> Tensor:
    """``<l[i, a], g[j, b]>`` as ``[L, G, B, B]``, by one product."""
    local, globl = (x.unsqueeze(1) if x.dim() == 2 else x for x in (local, globl))
    scores = linear(local.flatten(0, 1), globl.flatten(0, 1))
    return scores.view(*local.shape[:2], *globl.shape[:2]).permute(1, 3, 0, 2).contiguous()


def _off_diagonal(square: Tensor) -> Tensor:
    """``[..., B, B]`` without its diagonal, ``[..., B - 1, B]``; the same memory."""
    size = square.shape[-1]
    return square.flatten(-2)[..., 1:].unflatten(-1, (size - 1, size + 1))[..., :-1]


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=50.0)  # beyond it nothing is left of the logarithm, in double precision too


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=TINY)


# ---- an upper bound


def log_likelihood(mean: Tensor, logvar: Tensor, y: Tensor) -> Tensor:
    """Of ``y [..., D]`` under diagonal Gaussians, without the constant: mean over all axes."""
    return (-(mean - y).square() / (2 * logvar.exp()) - logvar / 2).mean()


def club(mean: Tensor, logvar: Tensor, y: Tensor, indicator: Tensor | None = None) -> Tensor:
    """Contrastive log-ratio upper bound (Cheng et al. 2020): how much better an estimate fits its own target than the
    others', clipped below at 0.

    Without an indicator the mean over all pairs needs no pairs: ``sum_j (m - y_j)^2 = B ((m - y_mean)^2 + var y)``.

    Args:
        mean, logvar: estimates ``[B, D]``.
        y: targets ``[B, D]``.
        indicator: ``[B, B]``; None = the identity.
    """
    rows = len(y)
    if indicator is None:
        spread, middle = torch.var_mean(y, 0, correction=0)
        gain = (mean - middle).square() + spread - (mean - y).square()
        return (gain / (2 * logvar.exp())).mean().mul(rows / max(1, rows - 1)).clamp(min=0)
    apart = (mean[:, None] - y).square() / (2 * logvar.exp()[:, None])
    each = -(apart + logvar[:, None] / 2).mean(-1)
    return (_weighted(each, indicator) - _weighted(each, 1 - indicator)).clamp(min=0)


# ---- an adversarial prior


def gradient_penalty(inputs: Tensor, scores: Tensor) -> Tensor:
    """Mean over the batch of the squared norm of ``d score / d input``; ``inputs [B, D]`` must require gradients."""
    (grad,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return grad.square().sum(-1).mean()


def discriminator_loss(real: Tensor, fake: Tensor, penalty: Tensor) -> Tensor:
    """What tells real from fake: scores ``[B, 1]`` of both, and the sum of their gradient penalties."""
    positive, negative = DIVERGENCES["GAN"]
    return 0.5 * (negative(fake).mean() - positive(real).mean() + penalty)


def generator_loss(fake: Tensor, saturating: bool = False) -> Tensor:
    """What makes fakes look real, from their scores ``[B, 1]``: non-saturating, or minimax."""
    positive, negative = DIVERGENCES["GAN"]
    return negative(fake).mean() if saturating else -positive(fake).mean()
