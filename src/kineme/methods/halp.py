"""HaLP: MoCo with positives made up on the sphere of its latent space, with CMD if wanted (Shah et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..nn import hallucination, spherical_kmeans
from ..utils.errors import InputError
from ..utils.settings import positive
from . import NewEncoder, StepContext
from .cmd import STREAMS, distil, neighbours
from .moco import MoCo


class HaLP(MoCo):
    """Hallucinated latent positives (Shah et al. 2023): spec ``halp.md``, section 5.

    The newest keys of the queue are clustered into P prototypes. From each key k (the anchor), whose nearest prototype
    is p0, positives g go along great circles towards other prototypes ps, at most as far as g.p0 = g.ps; those whose
    nearest prototype is no longer p0 are dropped. The query q is pulled towards the n that remain:

    ``L = L_CL + mu L_HaLP``,  ``L_HaLP = -1/n sum q.g / T``

    There is no denominator and no negative: the pull is linear in q. With ``cmd`` there are three streams, each with
    its own prototypes, and ``L = sum_v L_CL^v + L_CMD + mu sum_v L_HaLP^v`` (5.7).
    """

    @dataclass(frozen=True)
    class Settings(MoCo.Settings):
        """Published values for NTU RGB+D (section 7; PKU-MMD II has mu = 1).

        Attributes:
            cmd: three streams with mutual distillation; ``top``, ``teacher``, ``student``, ``weight`` are those of CMD.
            prototypes, recent, every: P centres of the ``recent`` newest keys, made anew every so many steps.
            positives: N per anchor. ignore, skip: its targets are the ``ignore`` nearest prototypes after ``skip``.
            lam: positives lie at (1 - u) t_max, u uniform on [0, lam): larger is a wider range, easy ones included.
                1000: all at t_max - 0.01.
            mu: weight of the term.
            mean: centre of a cluster, the intrinsic mean or the normalised arithmetic one.
            faithful: the released code: arctangent of a quotient; hallucinates only after 2K + 1 samples of this
                process (the count is not saved, so a resumed run waits again); steps counted within the epoch;
                k-means++ by distance, not its square (random centres with ``cmd``).
        """

        cmd: bool = False
        prototypes: int = 20
        recent: int = 256
        every: int = 10
        positives: int = 100
        ignore: int = 20
        skip: int = 1
        lam: float = 0.8
        mu: float = 2.0
        mean: Literal["intrinsic", "normalised"] = "intrinsic"
        top: int | None = None
        teacher: float = 0.05
        student: float = 0.1
        weight: float = 1.0

        def __post_init__(self):
            super().__post_init__()
            positive(self, "method", "recent", "every", "positives", "ignore", "skip", "teacher", "student")
            neighbours(self.top, self.queue)
            for name, low, high in (
                ("recent", 1, self.queue),
                ("prototypes", 1 + self.skip, self.recent),
                ("mu", 0, float("inf")),
            ):
                value = getattr(self, name)
                if not low <= value <= high:
                    raise InputError(f"method.{name}", f"{value}", f"{low} to {high}")
            if not (0 <= self.lam <= 1 or self.lam == hallucination.FIXED):
                raise InputError("method.lam", f"{self.lam}", "0 to 1, or 1000 for a fixed distance")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__(settings, new_encoder)
        for name in self.streams:  # zeros: none yet
            self.register_buffer(f"prototypes_{name}", torch.zeros(settings.prototypes, settings.dim))
        self.seen = 0  # samples since this process began; faithful only
        self.ready = self.first = False

    @classmethod
    def sized(cls, settings: dict[str, Any], clips: int) -> dict[str, Any]:
        """MoCo's queue, of 4 keys at least; the recent keys and the prototypes are no more than it holds."""
        settings = super().sized(settings, max(8, clips))
        recent = min(cls.Settings.recent, settings["queue"])
        return {"recent": recent, "prototypes": max(2, min(cls.Settings.prototypes, recent // 4)), **settings}

    @property
    def streams(self) -> tuple[str, ...]:
        return STREAMS if self.settings.cmd else (self.settings.stream,)

    def prototypes(self, name: str) -> Tensor:
        """The ``[P, dim]`` prototypes of a stream, constants for every gradient; zeros before the first clustering."""
        return self.get_buffer(f"prototypes_{name}")

    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """MoCo's loss (and CMD's term), and mu times the pull of the positives once the warm-up is over."""
        s = self.settings
        losses, log = super().objective(queries, keys, step)
        total = losses["loss"]
        if s.cmd:
            queues = {name: self.branch(name).queue.keys for name in self.streams}
            term = distil(queries, keys, queues, neighbours(s.top, s.queue), s.teacher, s.student)
            total, log["cmd"] = total + s.weight * term, term.detach()
        self._warm_up(step)
        found = []
        for name in self.streams if self.ready else ():
            plan = self.plan(name, keys[name], self.draw(name, len(keys[name]), step))
            term = self.hallucinated(name, queries[name], keys[name], plan, step)
            total = total + s.mu * term
            found.append(_described(plan, term, s.prototypes))
        none = total.new_zeros(())
        for key in ("halp", "kept", "t", "angle", "in use"):  # the same keys at every step: the log is a mean over them
            log[key] = torch.stack([one[key] for one in found]).mean() if found else none
        return {"loss": total}, log

    def draw(self, name: str, rows: int, step: StepContext) -> hallucination.Draw:
        """Targets and hardness of a stream's positives in this step: drawn for all processes, this one's rows taken."""
        s, device = self.settings, self.prototypes(name).device
        gen = step.generator(f"positives {name}")
        drawn = hallucination.draw(rows * step.dist.size, s.positives, min(s.ignore, s.prototypes - s.skip), s.lam, gen)
        mine = slice(rows * step.dist.rank, rows * (step.dist.rank + 1))
        return hallucination.Draw(drawn.choice[mine].to(device), None if drawn.u is None else drawn.u[mine].to(device))

    def plan(self, name: str, key: Tensor, draw: hallucination.Draw) -> hallucination.Plan:
        """Where the positives of the anchors ``key [B, dim]`` lie, and which of them pass the rank filter."""
        s = self.settings
        return hallucination.plan(key, self.prototypes(name), draw, s.ignore, s.skip, s.faithful)

    def hallucinated(
        self, name: str, query: Tensor, key: Tensor, plan: hallucination.Plan, step: StepContext
    ) -> Tensor:
        """L_HaLP: mean over the kept positives of all processes of ``-q.g / T``; 0 where none is kept."""
        pulled = (query * hallucination.pull(key, self.prototypes(name), plan)).sum()
        kept = step.dist.mean_(plan.kept.sum().to(pulled.dtype))
        return -pulled / (self.settings.temperature * (kept + 1e-8))

    @torch.no_grad()
    def after_step(self, step: StepContext) -> None:
        """Enqueue; then new prototypes, if they are due."""
        self.seen += step.dist.size * sum(len(keys) for keys in list(self.keys.values())[:1])
        super().after_step(step)
        number = step.within if self.settings.faithful else step.number
        if self.ready and (self.first or number % self.settings.every == 0):
            self.cluster(step, "after")
        self.first = False

    @torch.no_grad()
    def cluster(self, step: StepContext, word: str = "cluster") -> None:
        """Cluster each stream's newest keys into its prototypes; all processes draw and find the same."""
        s = self.settings
        for name in self.streams:
            points = self.branch(name).queue.newest(s.recent)
            seeds = spherical_kmeans.draw_seeds(s.recent, s.prototypes, step.generator(f"{word} {name}"))
            if s.faithful and s.cmd:
                start = points[seeds.spare[0].to(points.device)]
            else:
                start = spherical_kmeans.seed(points, seeds, power=1.0 if s.faithful else 2.0)
            self.prototypes(name).copy_(spherical_kmeans.kmeans(points, start, seeds, s.mean)[0])

    def _warm_up(self, step: StepContext) -> None:
        """Ready once the queue holds K real keys (released: after 2K + 1 samples); the first prototypes are made then.

        Once ready, a device is not asked again.
        """
        if self.ready:
            return
        if self.settings.faithful:
            self.ready = self.seen > 2 * self.settings.queue
        else:
            queue = self.branch(self.streams[0]).queue
            self.ready = bool(queue.filled >= len(queue))
        if self.ready and not bool(self.prototypes(self.streams[0]).any()):
            self.first = True
            self.cluster(step, "first")


def _described(plan: hallucination.Plan, term: Tensor, prototypes: int) -> dict[str, Tensor]:
    """What the log says of a stream's positives: share kept, mean t, mean angle from the anchor, prototypes in use."""
    return {
        "halp": term.detach(),
        "kept": plan.kept.float().mean(),
        "t": plan.t.mean(),
        "angle": (plan.t * plan.omega).mean(),
        "in use": term.new_zeros(prototypes).index_fill_(0, plan.nearest, 1.0).sum(),
    }
