"""Contrastive losses, computed without concatenating logits."""

from __future__ import annotations

import torch
from torch import Tensor

from .matmul import linear


def infonce(query: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """InfoNCE of unit vectors against a shared set of negatives, with one or several positives.

    ``-log( sum_g exp(q.p_g / T) / (sum_g exp(q.p_g / T) + sum_u exp(q.u / T)) )`` (MoCo, equation 1; with several
    positives HiCo's clip and part loss), as a difference of two log-sum-exps.

    Args:
        query: ``[B, D]`` unit vectors.
        positives: ``[B, D]`` or ``[B, G, D]`` unit vectors.
        negatives: ``[K, D]`` unit vectors.
        temperature: T.

    Returns:
        loss ``[B]``, and ``[B]`` bool: the best positive is nearer than every negative.

    Examples:
        >>> query, negatives = torch.eye(4)[:2], torch.eye(4)[2:]
        >>> loss, nearest = infonce(query, query, negatives, temperature=0.1)
        >>> loss.shape, nearest.tolist()
        (torch.Size([2]), [True, True])
    """
    query, positives, negatives = query.float(), positives.float(), negatives.float()
    if positives.dim() == 2:
        positives = positives.unsqueeze(1)
    near = torch.einsum("bd,bgd->bg", query, positives) / temperature
    far = linear(query, negatives) / temperature
    positive = near.logsumexp(1)
    loss = torch.logaddexp(positive, far.logsumexp(1)) - positive
    return loss, near.detach().amax(1) > far.detach().amax(1)


def nt_xent(first: Tensor, second: Tensor, temperature: float, group: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """NT-Xent (Chen et al. 2020, equation 1): each of two views of a clip finds the other among all views of the batch.

    ``l_i = -log( exp(z_i.z_i' / T) / sum_{k != i} exp(z_i.z_k / T) )``, both ways.

    Args:
        first, second: unit vectors ``[N, D]``, row i of both is clip i; of all processes together.
        temperature: T.
        group: int64 ``[N]``; clips of one group are no negatives of each other.

    Returns:
        loss ``[2 N]``, and ``[2 N]`` bool: the other view is nearer than all others.

    Examples:
        >>> loss, nearest = nt_xent(torch.eye(3), torch.eye(3), temperature=0.1)
        >>> loss.shape, bool(nearest.all())
        (torch.Size([6]), True)
    """
    both = torch.cat([first, second]).float()
    scores = linear(both, both) / temperature
    near = torch.cat([scores.diagonal(len(first)), scores.diagonal(-len(first))])
    own = torch.eye(len(both), dtype=torch.bool, device=both.device)
    if group is not None:
        own = (group[:, None] == group).repeat(2, 2) & ~own.roll(len(first), 0)
    scores = scores.masked_fill(own, -torch.inf)
    return scores.logsumexp(1) - near, near.detach() >= scores.detach().amax(1)
