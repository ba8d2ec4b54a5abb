"""The prototypes of HaLP: cluster centres of the newest keys, and the positives that are hallucinated towards them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..utils.distributed import ProcessGroup
from . import hallucination, spherical_kmeans
from .hallucination import Draw, Plan
from .spherical_kmeans import Seeds

Start = Literal["k-means++", "distance", "random"]


@dataclass(frozen=True)
class PrototypeBank:
    """P prototypes, and how positives are hallucinated from them (Shah et al. 2023).

    Attributes:
        centres: ``[P, D]`` unit vectors, the buffer of whoever owns the bank; changed in place by :meth:`renew`.
        positives: N of each anchor.
        ignore, skip: an anchor's candidates are the ``ignore`` nearest prototypes after the ``skip`` nearest.
        lam: range of the distances.
        faithful: see :func:`kineme.nn.hallucination.plan`.
    """

    centres: Tensor
    positives: int = 100
    ignore: int = 20
    skip: int = 1
    lam: float = 0.8
    faithful: bool = False

    @torch.no_grad()
    def renew(
        self,
        keys: Tensor,
        seeds: Seeds,
        mean: Literal["intrinsic", "normalised"] = "intrinsic",
        start: Start = "k-means++",
    ) -> None:
        """Cluster ``keys [n, D]`` into the prototypes.

        Args:
            seeds: of :func:`kineme.nn.spherical_kmeans.draw_seeds`.
            mean: centre of a cluster.
            start: first centres: k-means++; k-means++ by distance instead of its square; or random keys.
        """
        if start == "random":
            first = keys[seeds.spare[0].to(keys.device)]
        else:
            first = spherical_kmeans.seed(keys, seeds, power=2.0 if start == "k-means++" else 1.0)
        self.centres.copy_(spherical_kmeans.kmeans(keys, first, seeds, mean)[0])

    def draw(self, rows: int, gen: torch.Generator, dist: ProcessGroup) -> Draw:
        """Targets and hardness of the positives of ``rows`` anchors: drawn for all processes, this one's taken."""
        candidates = min(self.ignore, len(self.centres) - self.skip)
        drawn = hallucination.draw(rows * dist.size, self.positives, candidates, self.lam, gen)
        mine, device = slice(rows * dist.rank, rows * (dist.rank + 1)), self.centres.device
        return Draw(drawn.choice[mine].to(device), None if drawn.u is None else drawn.u[mine].to(device))

    def plan(self, anchors: Tensor, draw: Draw) -> Plan:
        """Where the positives of the anchors ``[B, D]`` lie, and which of them pass the rank filter."""
        return hallucination.plan(anchors, self.centres, draw, self.ignore, self.skip, self.faithful)

    def pull(self, anchors: Tensor, plan: Plan) -> Tensor:
        """The sum of each anchor's kept positives, ``[B, D]``."""
        return hallucination.pull(anchors, self.centres, plan)


def described(plan: Plan, prototypes: int) -> dict[str, Tensor]:
    """What a log says of positives: share kept, mean t, mean angle from the anchor, prototypes in use."""
    return {
        "kept": plan.kept.float().mean(),
        "t": plan.t.mean(),
        "angle": (plan.t * plan.omega).mean(),
        "in use": plan.t.new_zeros(prototypes).index_fill_(0, plan.nearest, 1.0).sum(),
    }
