"""Plain reference for HaLP's positives and prototypes, for ``kineme bench`` to measure against.

The released code (Shah et al. 2023) lays every positive out as a vector of its own, with a copy of the table
of prototypes for each, and clusters on the host with a general Riemannian k-means, cluster by cluster.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def positives_and_loss(
    query: Tensor,
    anchors: Tensor,
    prototypes: Tensor,
    choice: Tensor,
    u: Tensor,
    temperature: float = 0.07,
    ignore: int = 20,
    skip: int = 1,
) -> Tensor:
    """L_HaLP of a batch, every positive formed and compared with every prototype.

    Args:
        query, anchors: ``[B, D]`` unit vectors; prototypes ``[P, D]``.
        choice: ``[B, N]`` places among the candidates; ``u [B, N]`` hardness.
    """
    rows, count = choice.shape
    similar = torch.einsum("nc,kc->nk", anchors, prototypes)
    order = torch.argsort(similar)
    candidates, nearest = order[:, -ignore - skip : -skip], order[:, -1]
    target = torch.cat([row[place][None] for row, place in zip(candidates, choice)]).view(-1)
    every = torch.arange(rows * count)
    start = anchors.unsqueeze(1).repeat(1, count, 1).view(rows * count, -1)
    towards = prototypes.unsqueeze(0).repeat(rows * count, 1, 1)[every, target]
    own = prototypes.unsqueeze(0).repeat(rows * count, 1, 1)[every, nearest.repeat_interleave(count)]
    ratio = (1 - (towards * own).sum(1)) / ((start * (own - towards)).sum(1) + 1e-8)
    omega = torch.acos((towards * start).sum(1))
    limit = torch.atan(torch.sin(omega) / (ratio + torch.cos(omega) + 1e-8)) / (omega + 1e-8)
    t = (1 - u.view(-1)) * limit
    alpha, beta = (torch.sin(angle) / (torch.sin(omega) + 1e-8) for angle in ((1 - t) * omega, t * omega))
    made = functional.normalize((alpha[:, None] * start + beta[:, None] * towards).view(rows, count, -1), dim=-1)
    products = torch.einsum("nmc,kc->nmk", made, prototypes)
    good = similar.topk(1)[1].repeat(1, count) == products.topk(1)[1].squeeze(-1)
    pulled = torch.log(torch.exp(torch.einsum("nc,nmc->nm", query, made) / temperature))
    return -(pulled * good).sum() / (good.sum() + 1e-8)


def kmeans(
    points: np.ndarray,
    centres: np.ndarray | None,
    rng: np.random.Generator,
    count: int = 20,
    tolerance: float = 1e-3,
    rounds: int = 100,
) -> np.ndarray:
    """Riemannian k-means on the unit sphere: centres ``[count, D]``; without a start by k-means++ over distances."""
    centres = _plus_plus(points, count, rng) if centres is None else centres.copy()
    for _ in range(rounds):
        labels = np.argmin(np.stack([_distance(points, centre) for centre in centres], 1), 1)
        before = centres.copy()
        for i in range(len(centres)):
            members = points[labels == i]
            centres[i] = _mean(members) if len(members) else points[rng.integers(len(points))]
        if np.mean([_distance(a, b) for a, b in zip(before, centres)]) < tolerance:
            break
    return centres


def _plus_plus(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    centres = [points[rng.integers(len(points))]]
    while len(centres) < count:
        nearest = np.min(np.stack([_distance(points, centre) for centre in centres], 1), 1)
        centres.append(points[rng.choice(len(points), p=nearest / nearest.sum())])
    return np.stack(centres)


def _mean(points: np.ndarray, rounds: int = 32, epsilon: float = 1e-4) -> np.ndarray:
    """Frechet mean by gradient descent from the first point, until a step is shorter than the tolerance."""
    mean, length, size = points[0], 1.0, np.linalg.norm(points)
    for _ in range(rounds if len(points) > 1 else 0):
        tangent = np.mean(_log(points, mean), 0)
        following = _exp(length * tangent, mean)
        moved = _distance(following, mean) ** 2
        if np.linalg.norm(tangent) < size:
            size, mean = np.linalg.norm(tangent), following
        else:
            length /= 2
        if moved <= epsilon * (points.shape[1] - 1):
            break
    return mean


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip(a @ b, -1, 1))


def _log(points: np.ndarray, base: np.ndarray) -> np.ndarray:
    cosine = np.clip(points @ base, -1, 1)
    angle = np.arccos(cosine)
    stretch = np.where(angle > 1e-6, angle / np.maximum(np.sin(angle), 1e-12), 1.0)
    return stretch[:, None] * (points - cosine[:, None] * base)


def _exp(tangent: np.ndarray, base: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(tangent)
    point = np.cos(size) * base + np.sinc(size / np.pi) * tangent
    return point / np.linalg.norm(point)
