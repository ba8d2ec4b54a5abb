"""Learning-rate schedule, optimisers, and the average of gradients over processes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ..utils.distributed import ProcessGroup
from .recipe import Loop


def learning_rate(loop: Loop, epoch: float, whole: int, end: float, per_epoch: float = math.inf) -> float:
    """The learning rate at a fractional epoch.

    Args:
        loop: the settings.
        epoch: where training stands.
        whole: the epoch's number, by which milestones count.
        end: where training ends, in epochs; not whole where steps are counted.
        per_epoch: steps of an epoch.
    """
    rise = loop.warmup or loop.warmup_steps / per_epoch
    if epoch < rise:
        return loop.lr * (epoch + 1e-3) / rise
    if loop.schedule == "step":
        return loop.lr * loop.gamma ** sum(whole >= m for m in loop.milestones)
    if loop.schedule == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * (epoch - rise) / max(end - rise, 1e-9)))
        return loop.lr_end + (loop.lr - loop.lr_end) * left
    return loop.lr


@torch.no_grad()
def average_gradients(groups: dict[str, list[nn.Parameter]], here: ProcessGroup) -> None:
    """One flat all-reduce over the gradients of all groups; nothing to do in a single process."""
    if here.size == 1:
        return
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for params in groups.values() for p in params]
    flat = here.mean_(torch.cat([g.flatten() for g in grads]))
    for param, part in zip((p for params in groups.values() for p in params), flat.split([g.numel() for g in grads])):
        param.grad = part.view_as(param)


def build_optimiser(params: list[nn.Parameter], loop: Loop) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": params, "weight_decay": loop.weight_decay}]
    if not loop.decay_vectors:
        groups[0]["params"] = [p for p in params if p.dim() > 1]
        groups.append({"params": [p for p in params if p.dim() <= 1], "weight_decay": 0.0})
    if loop.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=loop.lr, momentum=loop.momentum, fused=True)
    if loop.optimiser == "adagrad":  # Keras' beginning, not torch's (Zhao et al. 2021)
        return torch.optim.Adagrad(groups, lr=loop.lr, initial_accumulator_value=0.1, eps=1e-7, fused=True)
    kind = torch.optim.Adam if loop.optimiser == "adam" else torch.optim.AdamW
    betas = loop.betas[0], loop.betas[1]
    return kind(groups, lr=loop.lr, betas=betas, fused=True)
