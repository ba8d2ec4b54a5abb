"""Entropic optimal transport by Sinkhorn-Knopp, in the log domain: assignments to prototypes, and label marginals."""

from __future__ import annotations

import torch
from torch import Tensor

from ..utils.errors import InputError

MOST_ROUNDS = 100_000  # of `correct_marginals`, which stops long before where a solution exists
NOBODY = -1e4


@torch.no_grad()
def sinkhorn(scores: Tensor, eps: float = 0.05, rounds: int = 3, valid: Tensor | None = None) -> Tensor:
    """Assign samples to prototypes that are all used equally (Cuturi 2013; Caron et al. 2020, equation 3).

    ``argmax over Q of <Q, S> + eps H(Q)``, the totals of all samples equal and those of all prototypes equal. A round
    first makes every prototype's total 1/K, then every sample's 1/N. Scaling factors are kept as logarithms:
    ``exp(S / eps)`` leaves float32 already at a cosine of 0.9 and eps 0.01.

    Args:
        scores: S ``[..., N, K]``, of samples and prototypes; leading axes are problems of their own.
        eps: weight of the entropy; large values give 1/K everywhere.
        rounds: how many, at least 1.
        valid: bool ``[..., N]``; rows that are False are no samples: they change nothing, whatever is assigned to them.

    Returns:
        float32 (float64 where ``scores`` is) ``[..., N, K]``, every row of sum 1; no gradient.

    Examples:
        >>> sinkhorn(torch.tensor([[1.0, 0.0], [0.9, 0.5]])).argmax(1).tolist()
        [0, 1]
    """
    logits = (scores if scores.dtype == torch.float64 else scores.float()) / eps
    row = torch.zeros_like(logits[..., :1])
    absent, total = torch.zeros_like(row), row.new_tensor(float(row.shape[-2]))
    if valid is not None:
        absent = absent.masked_fill(~valid.unsqueeze(-1), -torch.inf)
        total = valid.sum(-1)[..., None, None].clamp(min=1).to(row)
    share = (total / logits.shape[-1]).log()
    for _ in range(rounds):
        # the floor is for batches without any sample, whose assignments nobody reads
        column = share - (logits + (row + absent)).logsumexp(-2, keepdim=True).clamp(min=NOBODY)
        row = -(logits + column).logsumexp(-1, keepdim=True)
    return (logits + column).softmax(-1)


@torch.no_grad()
def assign(
    rows: Tensor,
    prototypes: Tensor,
    queue: Tensor | None = None,
    *,
    eps: float = 0.05,
    rounds: int = 3,
    valid: Tensor | None = None,
    filled: Tensor | None = None,
    group: Tensor | None = None,
    queue_group: Tensor | None = None,
) -> Tensor:
    """Assignments of a batch, in the company of earlier embeddings of the same stream where there are fewer samples
    than prototypes (Caron et al. 2020).

    Args:
        rows: ``[N, D]`` unit vectors of the batch (of all processes).
        prototypes: ``[K, D]`` unit vectors; the queue is scored against these too.
        queue: ``[Q, D]`` earlier unit vectors.
        eps, rounds: see :func:`sinkhorn`.
        valid: bool ``[N]``, which rows are samples; default all.
        filled: bool ``[Q]``, which entries of the queue are real; default all.
        group: int64 ``[N]``: every group is assigned by itself, so that each uses all prototypes and none of them can
            stand for a group; None: all rows are one.
        queue_group: int64 ``[Q]``, the groups of the queue.

    Returns:
        ``[N, K]``, of the current rows only.
    """
    if group is not None:
        valid = torch.ones_like(group, dtype=torch.bool) if valid is None else valid
        if queue is not None and filled is None:
            filled = torch.ones(len(queue), dtype=torch.bool, device=queue.device)
        found = rows.new_zeros(len(rows), len(prototypes))
        for one in group.unique():
            mine = None if filled is None or queue_group is None else filled & (queue_group == one)
            some = assign(rows, prototypes, queue, eps=eps, rounds=rounds, valid=valid & (group == one), filled=mine)
            found = torch.where((group == one)[:, None], some.to(found), found)
        return found
    if queue is None:
        return sinkhorn(rows @ prototypes.T, eps, rounds, valid)
    there = [
        torch.ones(len(x), dtype=torch.bool, device=x.device) if mask is None else mask
        for x, mask in ((queue, filled), (rows, valid))
    ]
    every = torch.cat([queue.to(rows), rows]) @ prototypes.T
    return sinkhorn(every, eps, rounds, torch.cat(there))[len(queue) :]


@torch.no_grad()
def correct_marginals(
    log_probabilities: Tensor, marginals: Tensor, eps: float = 1.0, tolerance: float = 1e-6, most: int = MOST_ROUNDS
) -> Tensor:
    """Class probabilities whose mean over the samples is a given proportion of classes (Saerens et al. 2002 correct
    priors so; here as a transport plan with uniform rows and these columns, run until it converges).

    Args:
        log_probabilities: ``[N, C]``.
        marginals: ``[C]``, proportions of the classes, of sum 1; 0 excludes a class.
        eps: 1 multiplies every class by one factor (exact prior matching); smaller values also sharpen.
        tolerance: largest error of a column's mean.
        most: rounds after which it is given up.

    Returns:
        float64 ``[N, C]``: rows of sum 1, means of columns equal to ``marginals``.

    Raises:
        InputError: proportions that are none, shapes that do not go together, or no convergence.

    Examples:
        >>> even = torch.full((4, 2), 0.5).log()
        >>> correct_marginals(even, torch.tensor([0.25, 0.75])).mean(0).round(decimals=6).tolist()
        [0.25, 0.75]
    """
    logits, target = log_probabilities.double() / eps, marginals.double()
    if logits.dim() != 2 or target.shape != logits.shape[1:]:
        raise InputError(
            "marginals", f"{tuple(target.shape)} for scores {tuple(logits.shape)}", "one proportion for each class"
        )
    if not torch.isfinite(target).all() or (target < 0).any() or abs(float(target.sum()) - 1) > 1e-4:
        raise InputError("marginals", f"proportions {target.tolist()}", "numbers from 0 on, of sum 1")
    target = target / target.sum()
    wanted = (target * len(logits)).log()
    row = torch.zeros_like(logits[:, :1])
    for _ in range(most):
        column = torch.where(target > 0, wanted - (logits + row).logsumexp(0), -torch.inf)
        row = -(logits + column).logsumexp(1, keepdim=True)
        plan = (logits + column + row).exp()
        error = float((plan.mean(0) - target).abs().max())
        if error < tolerance:
            return plan
    raise InputError(
        "label marginals",
        f"an error of {error:.1e} after {most} rounds",
        f"at most {tolerance:.0e}",
        "A larger eps converges faster; a class that no sample can have needs a proportion of 0",
    )
