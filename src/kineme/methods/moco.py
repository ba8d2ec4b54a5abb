"""MoCo for skeletons: two views of a clip against a queue of earlier clips (the baseline of HaLP and CMD)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders._multi_stream import MultiStream
from ..nn.contrastive import infonce
from ..nn.momentum import KeyQueue, follow, momentum_copy
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.augment import ViewSettings, views
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.streams import stream
from . import Method, NewEncoder, StepContext


class Branch(nn.Module):
    """A query encoder with head, the key encoder that follows it, and the queue of keys: one stream's share of MoCo.

    Args:
        encoder: the query encoder; the key encoder starts as its copy.
        dim: size of the contrasted vectors.
        queue: number of keys K.
        temperature, momentum: T and m of the paper.
    """

    def __init__(self, encoder: Encoder, dim: int, queue: int, temperature: float, momentum: float):
        super().__init__()
        self.temperature, self.momentum = temperature, momentum
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.ReLU(), nn.Linear(encoder.dim, dim))
        nn.init.xavier_uniform_(self.head[2].weight)  # type: ignore[arg-type] # as released: only the last layer, section 3
        self.key_encoder, self.key_head = momentum_copy(self.encoder), momentum_copy(self.head)
        self.queue = KeyQueue(queue, dim)

    def query(self, view: Batch) -> Tensor:
        """Unit vectors ``[B, dim]`` of the query encoder."""
        return F.normalize(self.head(self.encoder(view).clip).float(), dim=1)

    @torch.no_grad()
    def key(self, view: Batch) -> Tensor:
        """Follow the query encoder, then unit vectors ``[B, dim]`` of the key encoder; no gradient."""
        follow(self.key_encoder, self.encoder, self.momentum)
        follow(self.key_head, self.head, self.momentum)
        return F.normalize(self.key_head(self.key_encoder(view).clip).float(), dim=1)

    def contrast(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE of ``query`` with ``key`` as positive and the queue as negatives: losses ``[B]`` and hits ``[B]``."""
        return infonce(query, key, self.queue.keys, self.temperature)

    def trained(self) -> list[nn.Parameter]:
        """Parameters that receive gradients."""
        return [*self.encoder.parameters(), *self.head.parameters()]


class MoCo(Method):
    """MoCo-v2 on skeleton sequences (He et al. 2020; Chen et al. 2020) as HaLP and CMD use it: spec ``halp.md``,
    section 4.

    ``L = mean_n -log( exp(q.k/T) / (exp(q.k/T) + sum_{u in Q} exp(q.u/T)) )`` with q from view 1 and the query
    encoder, k from view 2 and the key encoder, Q the keys of earlier batches. One direction only: view 1 is always
    the query.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published values (section 7); ``faithful`` also refuses a queue that the batch does not divide, as the
        released code does.
        """

        dim: int = 128
        queue: int = 16384
        temperature: float = 0.07
        momentum: float = 0.999
        stream: Literal["joint", "bone", "motion"] = "joint"
        views: ViewSettings = field(default_factory=ViewSettings)
        faithful: bool = False

        def __post_init__(self):
            positive(self, "method", "dim", "queue", "temperature")
            if not 0 <= self.momentum <= 1:
                raise InputError("method.momentum", f"{self.momentum}", "a number from 0 to 1")

    loop = {"optimiser": "sgd", "lr": 0.01, "epochs": 451, "milestones": [351]}  # noqa: RUF012
    # some thousand steps, not some hundred thousand: a copy that follows faster, views that are less hard, AdamW
    # (chosen on held-out subjects of N-UCLA: docs/results.md)
    small = {  # noqa: RUF012
        "steps": 2000,
        "method": {
            "temperature": 0.1,
            "momentum": 0.99,
            "views": {
                "frames": 32,
                "min_frames": 8,
                "crop_low": 0.4,
                "shear": 0.5,
                "joint_jitter": 0.0,
                "rotate": 0.5,
                "mirror": 0.5,
                "noise": 0.02,
            },
        },
        "loop": {"optimiser": "adamw", "lr": 0.002, "schedule": "cosine"},
    }

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        self.settings = settings
        self.branches = nn.ModuleDict(
            {
                name: Branch(new_encoder(), settings.dim, settings.queue, settings.temperature, settings.momentum)
                for name in self.streams
            }
        )
        self.layout = self.branch(self.streams[0]).encoder.layout
        self.keys: dict[str, Tensor] = {}  # of the step under way

    @classmethod
    def sized(cls, settings: dict, clips: int) -> dict:
        """A queue of at most half of the training clips: a longer one holds the clip itself among the negatives."""
        return {"queue": max(1, min(cls.Settings.queue, clips // 2)), **settings}

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are contrasted, each with encoders, head and queue of its own."""
        return (self.settings.stream,)

    def branch(self, name: str) -> Branch:
        """The share of one stream."""
        branch = self.branches[name]
        assert isinstance(branch, Branch)
        return branch

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """Two independent views of each clip."""
        return views(source, index, self.settings.views, gen)

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Query forward; momentum update; key forward; then :meth:`objective`."""
        self._check(len(views[0]) * step.dist.size)
        queries = {name: self.branch(name).query(self._stream(views[0], name)) for name in self.streams}
        keys = {name: self.branch(name).key(self._stream(views[1], name)) for name in self.streams}
        with torch.autocast(self.branch(self.streams[0]).queue.keys.device.type, enabled=False):  # losses stay fp32
            return self.objective(queries, keys, step)

    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """InfoNCE of every stream against its queue as it was before this batch, added; ``[B, dim]`` unit vectors."""
        self.keys = keys
        found = {name: self.branch(name).contrast(queries[name], keys[name]) for name in self.streams}
        total = torch.stack([losses.mean() for losses, _ in found.values()]).sum()
        log = {
            "accuracy": torch.stack([hits.float().mean() for _, hits in found.values()]).mean(),
            "alignment": torch.stack([(queries[n].detach() * keys[n]).sum(1).mean() for n in found]).mean(),
        }
        if len(found) > 1:
            log |= {f"loss {name}": losses.detach().mean() for name, (losses, _) in found.items()}
        return {"loss": total}, log

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"loss": [p for name in self.streams for p in self.branch(name).trained()]}

    @torch.no_grad()
    def after_step(self, step: StepContext) -> None:
        """Enqueue the keys of all processes, in rank order; every stream in step with the others."""
        for name, keys in self.keys.items():
            self.branch(name).queue.push(step.dist.gather(keys))
        self.keys = {}

    def encoder(self) -> Encoder:
        return MultiStream({name: self.branch(name).encoder for name in self.streams}, self.layout)

    def _stream(self, view: Batch, name: str) -> Batch:
        return stream(view, name, self.layout)  # type: ignore[arg-type] # joints alone need no layout

    def _check(self, batch: int) -> None:
        if self.settings.faithful and self.settings.queue % batch:
            raise InputError(
                "method.queue",
                f"{self.settings.queue} keys",
                f"a multiple of the batch ({batch})",
                "Without faithful any size will do",
            )
