"""HaLP: MoCo with positives hallucinated on the sphere of its latent space, with CMD if wanted (Shah et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..nn.hallucination import FIXED, Draw, Plan
from ..nn.precision import full_precision
from ..nn.prototypes import PrototypeBank, Start, described
from ..nn.spherical_kmeans import draw_seeds
from ..utils.errors import InputError
from ..utils.settings import positive
from . import THREE_STREAMS, NewEncoder, Released, StepContext
from .cmd import ASIDE, STREAMS, distil, neighbours
from .moco import MoCo


class HaLP(MoCo):
    """Hallucinated latent positives (Shah et al. 2023).

    The newest keys of the queue are clustered into P prototypes. From each key k (the anchor), whose nearest prototype
    is p0, positives g go along great circles towards other prototypes ps, at most as far as g.p0 = g.ps; those whose
    nearest prototype is no longer p0 are dropped. The query q is pulled towards the n that remain:

    ``L = L_CL + mu L_HaLP``,  ``L_HaLP = -1/n sum q.g / T``

    There is no denominator and no negative: the pull is linear in q. With ``cmd`` there are three streams, each with
    its own prototypes, and ``L = sum_v L_CL^v + L_CMD + mu sum_v L_HaLP^v``.
    """

    RELEASED = Released("recurrent", THREE_STREAMS, every=False, aside=ASIDE, together={"cmd": True})

    @dataclass(frozen=True)
    class Settings(MoCo.Settings):
        """Published values for NTU RGB+D (PKU-MMD II has mu = 1).

        Attributes:
            cmd: three streams with mutual distillation; ``top``, ``teacher``, ``student``, ``weight`` are those of CMD.
            prototypes, recent, every: P centres of the ``recent`` newest keys, renewed every so many steps.
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

        def __post_init__(self) -> None:
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
            if not (0 <= self.lam <= 1 or self.lam == FIXED):
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

    def bank(self, name: str) -> PrototypeBank:
        """The prototypes of a stream and how positives are made from them."""
        s = self.settings
        return PrototypeBank(self.prototypes(name), s.positives, s.ignore, s.skip, s.lam, s.faithful)

    @full_precision
    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """``sum_v L_CL^v + L_CMD + mu sum_v L_HaLP^v``; the last term once the queue is full of keys."""
        s = self.settings
        losses, log = super().objective(queries, keys, step)
        total = losses["loss"]
        if s.cmd:
            queues = {name: self.branch(name).queue.keys for name in self.streams}
            log["cmd"] = distil(queries, keys, queues, neighbours(s.top, s.queue), s.teacher, s.student)
            total = total + s.weight * log["cmd"]
        self._warm_up(step)
        found = []
        for name in self.streams if self.ready else ():
            bank, anchors = self.bank(name), keys[name]
            plan = bank.plan(anchors, self.draw(name, len(anchors), step))
            term = self.hallucinated(queries[name], bank.pull(anchors, plan), plan, step)
            total = total + s.mu * term
            found.append({"halp": term, **described(plan, s.prototypes)})
        none = total.new_zeros(())
        for key in ("halp", "kept", "t", "angle", "in use"):  # the same keys at every step: the log is a mean over them
            log[key] = torch.stack([one[key] for one in found]).mean() if found else none
        return {"loss": total}, {name: value.detach() for name, value in log.items()}

    def draw(self, name: str, rows: int, step: StepContext) -> Draw:
        """What is random in the positives of a stream's ``rows`` anchors at this step."""
        return self.bank(name).draw(rows, step.generator(f"positives {name}"), step.dist)

    def hallucinated(self, query: Tensor, pulled: Tensor, plan: Plan, step: StepContext) -> Tensor:
        """L_HaLP: mean over the kept positives g of all processes of ``-q.g / T``; 0 where none is kept.

        Args:
            query: q ``[B, dim]``.
            pulled: the sum of each anchor's kept positives ``[B, dim]``.
            plan: which are kept.
        """
        total = (query * pulled).sum()
        kept = step.dist.mean_(plan.kept.sum().to(total.dtype))
        return -total / (self.settings.temperature * (kept + 1e-8))

    @torch.no_grad()
    def after_step(self, step: StepContext) -> None:
        """Enqueue; then new prototypes, if they are due."""
        self.seen += self.enqueue(step)
        number = step.within if self.settings.faithful else step.number
        if self.ready and (self.first or number % self.settings.every == 0):
            self.cluster(step, "after")
        self.first = False

    def cluster(self, step: StepContext, word: str = "cluster") -> None:
        """Cluster each stream's newest keys into its prototypes; all processes draw and find the same."""
        s = self.settings
        start: Start = ("random" if s.cmd else "distance") if s.faithful else "k-means++"
        for name in self.streams:
            seeds = draw_seeds(s.recent, s.prototypes, step.generator(f"{word} {name}"))
            self.bank(name).renew(self.branch(name).queue.newest(s.recent), seeds, s.mean, start)

    def _warm_up(self, step: StepContext) -> None:
        """Ready once the queue holds K real keys (released: after 2K + 1 samples); the first prototypes are made then.

        Once ready there is no further host-device sync.
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
