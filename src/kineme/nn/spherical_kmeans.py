"""Spherical k-means: seeds drawn first, then clusters of unit vectors."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .matmul import product


class Seeds(NamedTuple):
    """What is random in a clustering: ``u [P]`` uniform, one for each centre in turn; ``spare [R, P]`` points that take
    the place of empty clusters.
    """

    u: Tensor
    spare: Tensor


def draw_seeds(points: int, centres: int, gen: torch.Generator, rounds: int = 100) -> Seeds:
    """Draw what :func:`seed` and :func:`kmeans` need for so many points and centres."""
    return Seeds(torch.rand(centres, generator=gen), torch.randint(points, (rounds, centres), generator=gen))


def seed(points: Tensor, seeds: Seeds, power: float = 2.0) -> Tensor:
    """k-means++ on the sphere: each next centre is a point drawn in proportion to its distance to the centres so far.

    Args:
        points: ``[n, D]`` unit vectors.
        seeds: from :func:`draw_seeds`.
        power: of the arc length: 2 as published for k-means++ (Arthur and Vassilvitskii 2007), 1 as in geomstats,
            which the released HaLP uses.

    Returns:
        ``[P, D]`` centres, all of them points.
    """
    cosines = product(points, points.T).clamp_(-1, 1)
    u = seeds.u.to(points)
    chosen = [(u[:1] * len(points)).long().clamp(max=len(points) - 1)]
    nearest = cosines[chosen[0]][0]  # of each point to the centres so far, as a cosine
    for value in u[1:].split(1):
        sums = nearest.arccos().pow(power).cumsum(0)
        chosen.append(torch.searchsorted(sums, value * sums[-1]))
        nearest = torch.maximum(nearest, cosines.index_select(0, chosen[-1])[0])
    return points[torch.cat(chosen)]


def kmeans(
    points: Tensor,
    centres: Tensor,
    seeds: Seeds | None = None,
    mean: Literal["intrinsic", "normalised"] = "intrinsic",
    tolerance: float = 1e-3,
    rounds: int = 100,
) -> tuple[Tensor, Tensor]:
    """Spherical k-means: nearest centre by arc length, then the mean of each cluster on the sphere, until the centres
    move by less than ``tolerance`` on average or ``rounds`` are over (Shah et al. 2023).

    Intrinsic means are reached in two stages: with normalised means until these rest, since they are near and cheap,
    then by Karcher's iteration, one step in each round.

    Args:
        points: ``[n, D]`` unit vectors.
        centres: ``[P, D]`` unit vectors to start from.
        seeds: points that take the place of empty clusters; without them an empty cluster keeps its centre.
        mean: ``intrinsic`` (Frechet mean of the arc length) or ``normalised`` (arithmetic mean, put back on the
            sphere).

    Returns:
        centres ``[P, D]``, and the cluster of each point ``[n]``; no gradient.
    """
    points, centres = points.detach(), centres.detach()
    numbers = torch.arange(len(centres), device=points.device)[:, None]
    check = 1 if points.device.type == "cpu" else 8  # elsewhere a look at the device costs more than a round
    for step in (normalised_mean, karcher_step)[: 2 if mean == "intrinsic" else 1]:
        for number in range(rounds):
            members = ((points @ centres.T).argmax(1) == numbers).to(points.dtype)
            counts = members.sum(1, keepdim=True)
            new = step(points, members / counts.clamp(min=1), centres)
            spare = centres if seeds is None else points[seeds.spare[number % len(seeds.spare)].to(points.device)]
            new = torch.where(counts > 0, new, spare)
            moved = (new - centres).norm(dim=1).mean()  # the chord: equal to the arc where it matters
            centres = new
            if number % check == check - 1 and bool(moved < tolerance):
                break
    return centres, (points @ centres.T).argmax(1)


def normalised_mean(points: Tensor, shares: Tensor, centres: Tensor) -> Tensor:
    """Arithmetic mean of each cluster, put back on the sphere: ``[P, D]``.

    Args:
        points: ``[n, D]`` unit vectors.
        shares: ``[P, n]`` weights of the points in each cluster, of sum 1.
        centres: not used; the argument is that of :func:`karcher_step`.
    """
    return F.normalize(shares @ points, dim=1)


def karcher_step(points: Tensor, shares: Tensor, centres: Tensor) -> Tensor:
    """One step towards the Frechet mean of each cluster: along the mean of the logarithms (Karcher's iteration).

    Arguments and result as :func:`normalised_mean`; at the mean the step is zero.
    """
    cosine = ((shares > 0).to(points).T @ centres).mul(points).sum(1).clamp(-1, 1)
    angle = cosine.arccos()
    stretch = torch.where(angle > 1e-4, angle / angle.sin().clamp(min=1e-12), 1.0)  # log_m(x) = stretch (x - cos m)
    weights = shares * stretch
    tangent = weights @ points - (weights @ cosine)[:, None] * centres
    size = tangent.norm(dim=1, keepdim=True)
    return F.normalize(size.cos() * centres + torch.sinc(size / torch.pi) * tangent, dim=1)
