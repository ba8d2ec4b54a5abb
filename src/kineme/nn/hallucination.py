"""The unit sphere: great circles, hallucinated positives on them, and spherical k-means."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EDGE = 1e-6  # cosines nearer to -1 or 1 have no great circle of their own
FIXED = 1000.0  # the value of lambda that stands for "a hundredth before the limit" (Shah et al. 2023)
RELEASED = 1e-8  # added to denominators by the released code

# ---- great circles


def limit(near: Tensor, far: Tensor, between: Tensor, faithful: bool = False) -> Tensor:
    """How far a point may go towards another prototype before that becomes as near as its own: t_max in [0, 1].

    ``t_max = atan2(a sin(O), (1 - c) + a cos(O)) / O`` with ``a = z.(p0 - ps)``, ``c = p0.ps``, ``O = arccos(z.ps)``
    (Shah et al. 2023). 0 where anchor and target coincide or are opposite.

    Args:
        near: z.p0, cosine of anchor and its own prototype, any shape.
        far: z.ps, cosine of anchor and target.
        between: p0.ps.
        faithful: the released arctangent of a quotient, unclamped; it is negative where (1 - c) + a cos(O) < 0.
    """
    lead = near - far
    if faithful:
        omega = far.arccos()
        ratio = (1 - between) / (lead + RELEASED)
        return (omega.sin() / (ratio + far + RELEASED)).atan() / (omega + RELEASED)
    cosine = far.clamp(EDGE - 1, 1 - EDGE)
    omega = cosine.arccos()
    t = torch.atan2(lead * omega.sin(), (1 - between) + lead * cosine) / omega
    return torch.where(cosine == far, t.clamp(0, 1), 0.0)


def mixture(omega: Tensor, t: Tensor, faithful: bool = False) -> tuple[Tensor, Tensor]:
    """Weights (alpha, beta) of anchor and target at ``t``: ``g(t) = alpha z + beta ps`` (Shah et al. 2023)."""
    sine = omega.sin() + (RELEASED if faithful else 0.0)
    return ((1 - t) * omega).sin() / sine, (t * omega).sin() / sine


def slerp(z: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """Points ``[..., D]`` on the great circle from unit ``z [..., D]`` to unit ``p [..., D]`` at ``t [...]``, unit."""
    omega = (z * p).sum(-1).clamp(EDGE - 1, 1 - EDGE).arccos()
    alpha, beta = mixture(omega, t)
    return F.normalize(alpha[..., None] * z + beta[..., None] * p, dim=-1)


# ---- hallucinated positives


class Draw(NamedTuple):
    """What is random in the positives of a batch: ``choice [B, N]`` places among an anchor's candidates, ``u [B, N]``
    uniform on [0, lambda), or None for a fixed distance before the limit.
    """

    choice: Tensor
    u: Tensor | None


class Plan(NamedTuple):
    """Where the positives of a batch lie, in scalars.

    Attributes:
        nearest: ``[B]`` prototype p0 of each anchor.
        candidates: ``[B, n]`` prototypes that may be targets, from the least similar to the most similar.
        target: ``[B, N]`` prototype ps of each positive.
        omega: ``[B, N]`` angle between anchor and target, radians.
        limit: ``[B, N]`` t_max.
        t: ``[B, N]`` how far along.
        alpha, beta: ``[B, N]`` weights of anchor and target.
        kept: ``[B, N]`` bool: the nearest of all prototypes is still p0.
    """

    nearest: Tensor
    candidates: Tensor
    target: Tensor
    omega: Tensor
    limit: Tensor
    t: Tensor
    alpha: Tensor
    beta: Tensor
    kept: Tensor


def draw(rows: int, count: int, candidates: int, lam: float, gen: torch.Generator) -> Draw:
    """Draw ``count`` targets for each of ``rows`` anchors, with replacement, and their hardness (Shah et al. 2023).

    Args:
        candidates: how many candidates an anchor has.
        lam: u is uniform on [0, lam): larger is a wider range, easy positives included; 1000 fixes the distance.
        gen: on the CPU, so that every device sees the same draws.
    """
    choice = torch.randint(candidates, (rows, count), generator=gen)
    return Draw(choice, None if lam == FIXED else torch.rand(rows, count, generator=gen) * lam)


def plan(
    anchors: Tensor, prototypes: Tensor, draw: Draw, ignore: int = 20, skip: int = 1, faithful: bool = False
) -> Plan:
    """Choose targets and distances, and say which positives pass the rank filter; nothing of size B x N x D is made.

    Args:
        anchors: ``[B, D]`` unit vectors.
        prototypes: ``[P, D]`` unit vectors.
        draw: from :func:`draw`.
        ignore: how many of the closest remaining prototypes are kept as candidates (the option's name says otherwise).
        skip: how many of the closest are dropped, at least 1.
        faithful: see :func:`limit`.
    """
    similar, between = anchors @ prototypes.T, prototypes @ prototypes.T
    order = similar.argsort(dim=1)
    last = len(prototypes) - skip
    candidates, nearest = order[:, max(0, last - ignore) : last], order[:, -1]
    target = candidates.gather(1, draw.choice)
    far = similar.gather(1, target)
    near = similar.gather(1, nearest[:, None])
    bound = limit(near, far, between[nearest[:, None], target], faithful)
    t = bound - 0.01 if draw.u is None else (1 - draw.u) * bound
    if faithful:
        omega = far.arccos()
    else:
        t = t.clamp(min=0)
        omega = far.clamp(EDGE - 1, 1 - EDGE).arccos()
    alpha, beta = mixture(omega, t, faithful)
    # products of every positive with every prototype, from those of its anchor and its target
    products = torch.addcmul(alpha[..., None] * similar[:, None], beta[..., None], between[target])
    own = products.gather(2, nearest[:, None, None].expand(-1, target.shape[1], 1))[..., 0]
    kept = own >= products.amax(2) - (0.0 if faithful else EDGE)  # at the limit itself rounding must not decide
    return Plan(nearest, candidates, target, omega, bound, t, alpha, beta, kept)


def positives(anchors: Tensor, prototypes: Tensor, plan: Plan) -> Tensor:
    """The positives themselves, ``[B, N, D]`` unit vectors: the explicit form of what :func:`pull` adds up."""
    points = plan.alpha[..., None] * anchors[:, None] + plan.beta[..., None] * prototypes[plan.target]
    return F.normalize(points, dim=2)


def pull(anchors: Tensor, prototypes: Tensor, plan: Plan) -> Tensor:
    """The sum of each anchor's kept positives, ``[B, D]``.

    A positive is a combination of its anchor and one prototype, so their sum is one of the anchor and the P
    prototypes: weights are added, not vectors.
    """
    alpha, beta = plan.alpha * plan.kept, plan.beta * plan.kept
    shares = alpha.new_zeros(len(anchors), len(prototypes)).scatter_add_(1, plan.target, beta)
    return alpha.sum(1, keepdim=True) * anchors + shares @ prototypes


# ---- k-means
