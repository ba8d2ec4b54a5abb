"""Two descriptions of one clip, each of which predicts what the other tells: prototypes swapped, and clips contrasted.

One description is a clip's video, in V views; the other its bodies, M places of which some are empty. Each body counts
as one part of its clip; clips without a body are left out, and neither the order of bodies nor empty places change
anything. Source: Schneider et al. 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor


def prediction_loss(assignment: Tensor, scores: Tensor, temperature: float, binary: bool = False) -> Tensor:
    """How badly scores predict an assignment: ``-sum_k q_k log p_k`` with ``p = softmax(scores / temperature)``.

    Args:
        assignment: q ``[..., K]``, of sum 1; it receives no gradient.
        scores: ``[..., K]``.
        temperature: of the softmax.
        binary: ``-sum_k q_k log p_k + (1 - q_k) log(1 - p_k)``, as the authors had it at first.

    Returns:
        ``[...]``.
    """
    logp = (scores / temperature).log_softmax(-1)
    q = assignment.detach()
    if not binary:
        return -(q * logp).sum(-1)
    largest = 1 - torch.finfo(logp.dtype).eps  # a prediction of 1 has no logarithm of what is left
    return -(q * logp + (1 - q) * torch.log1p(-logp.exp().clamp(max=largest))).sum(-1)


def swapped(
    video_assignment: Tensor,
    video_scores: Tensor,
    body_assignment: Tensor,
    body_scores: Tensor,
    present: Tensor,
    temperature: float = 0.1,
    binary: bool = False,
) -> Tensor:
    """Swapped prediction between video and bodies: half the mean over clips of either direction.

    Every view of the video predicts the mean assignment of the clip's bodies, and every body, weighted by one part of
    the clip, the mean assignment of the views. That is the mean over all pairs, since the loss is linear in q.

    Args:
        video_assignment, video_scores: ``[B, V, K]``.
        body_assignment, body_scores: ``[B, M, K]``.
        present: bool ``[B, M]``.
        temperature, binary: see :func:`prediction_loss`.

    Returns:
        A number; 0 where no clip has a body.
    """
    share = shares(present)
    of_bodies = (body_assignment.detach() * share.unsqueeze(-1)).sum(1, keepdim=True)
    by_video = prediction_loss(of_bodies, video_scores, temperature, binary).mean(1)
    of_video = video_assignment.detach().mean(1, keepdim=True)
    by_bodies = (prediction_loss(of_video, body_scores, temperature, binary) * share).sum(1)
    return (mean_of(by_video, present) + mean_of(by_bodies, present)) / 2


def between_views(assignment: Tensor, scores: Tensor, temperature: float = 0.1, binary: bool = False) -> Tensor:
    """Swapped prediction between the views of one stream: the mean over ordered pairs of different views.

    Args:
        assignment, scores: ``[B, V, K]``, V at least 2.
    """
    q = assignment.detach()
    others = (q.sum(1, keepdim=True) - q) / (q.shape[1] - 1)
    return prediction_loss(others, scores, temperature, binary).mean()


def nt_xent(
    video: Tensor, bodies: Tensor, present: Tensor, temperature: float = 0.1, group: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Contrast of clips and bodies within a batch (NT-Xent, Chen et al. 2020), in either direction.

    Args:
        video: ``[B, D]`` unit vectors.
        bodies: ``[B, M, D]`` unit vectors.
        present: bool ``[B, M]``.
        temperature: T.
        group: int64 ``[B]``: clips are told apart from those of their own group alone; None: from all.

    Returns:
        The loss of clips that look for each of their bodies among the bodies of all other clips, and of bodies that
        look for their clip among all clips.
    """
    rows, places = present.shape
    logits = (video @ bodies.flatten(0, 1).T).view(rows, rows, places) / temperature  # clip, clip of the body, body
    if group is not None:
        logits = logits.masked_fill((group[:, None] != group)[..., None], -1e30)
    own = logits.diagonal().T  # [B, M]
    share = shares(present)
    of_others = logits.masked_fill(
        ~present | torch.eye(rows, dtype=torch.bool, device=present.device)[..., None], -1e30
    )
    of_others = of_others.flatten(1).logsumexp(1)[:, None]
    from_video = ((torch.logaddexp(own, of_others) - own) * share).sum(1)
    from_bodies = ((logits.logsumexp(0) - own) * share).sum(1)
    return mean_of(from_video, present), mean_of(from_bodies, present)


def shares(present: Tensor) -> Tensor:
    """The part of its clip that every body is: float32 ``[B, M]``, 0 for empty places."""
    return present / present.sum(1, keepdim=True).clamp(min=1)


def mean_of(each: Tensor, present: Tensor) -> Tensor:
    """Mean of ``[B]`` over the clips that have a body."""
    some = present.any(1)
    return (each * some).sum() / some.sum().clamp(min=1)
