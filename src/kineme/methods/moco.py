"""MoCo for skeletons: two views of a clip against a queue of earlier clips (the baseline of HaLP and CMD)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders._multi_stream import MultiStream
from ..nn.contrastive import infonce
from ..nn.heads import ProjectionHead
from ..nn.momentum import KeyQueue, MomentumEncoder
from ..nn.precision import full_precision
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.augment import ViewSettings, views
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.streams import stream
from . import Method, NewEncoder, StepContext


class Branch(nn.Module):
    """MoCo of one stream: a query encoder with its head, the momentum encoder of both, and the queue of keys.

    Args:
        encoder: the query encoder; the momentum encoder starts as its copy.
        settings: sizes, temperature and momentum.
    """

    def __init__(self, encoder: Encoder, settings: MoCo.Settings):
        super().__init__()
        self.temperature = settings.temperature
        self.encoder = encoder
        self.head = ProjectionHead(encoder.dim, encoder.dim, settings.dim, xavier=True)
        self.key_encoder = MomentumEncoder(self.encoder, settings.momentum)
        self.key_head = MomentumEncoder(self.head, settings.momentum)
        self.queue = KeyQueue(settings.queue, settings.dim, divisible=settings.faithful)

    def query(self, view: Batch) -> Tensor:
        """Unit vectors q ``[B, dim]``."""
        return F.normalize(self.head(self.encoder(view).clip).float(), dim=1)

    def key(self, view: Batch) -> Tensor:
        """Momentum update, then unit vectors k ``[B, dim]``; no gradient."""
        self.key_encoder.update()
        self.key_head.update()
        return F.normalize(self.key_head(self.key_encoder(view).clip).float(), dim=1)

    def contrast(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE with the key as positive and the queue as negatives: losses ``[B]``, top-1 correct ``[B]``."""
        return infonce(query, key, self.queue.keys, self.temperature)

    def trained(self) -> list[nn.Parameter]:
        """Parameters that receive gradients."""
        return [*self.encoder.parameters(), *self.head.parameters()]


class MoCo(Method):
    """MoCo-v2 (He et al. 2020; Chen et al. 2020) on skeleton sequences, as HaLP (Shah et al. 2023) and CMD (Mao et al.
    2022) build on it.

    ``L = mean_n -log( exp(q.k/T) / (exp(q.k/T) + sum_{u in Q} exp(q.u/T)) )`` with q from view 1 and the query
    encoder, k from view 2 and the momentum encoder, Q the keys of earlier batches (He et al., equation 1). One
    direction only: view 1 is always the query.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published values; ``faithful`` also refuses a queue that the batch does not divide, as the authors' release
        does.
        """

        dim: int = 128
        queue: int = 16384
        temperature: float = 0.07
        momentum: float = 0.999
        stream: Literal["joint", "bone", "motion"] = "joint"
        views: ViewSettings = field(default_factory=ViewSettings)
        faithful: bool = False

        def __post_init__(self) -> None:
            positive(self, "method", "dim", "queue", "temperature")
            if not 0 <= self.momentum <= 1:
                raise InputError("method.momentum", f"{self.momentum}", "a number from 0 to 1")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        self.settings = settings
        self.branches = nn.ModuleDict({name: Branch(new_encoder(), settings) for name in self.streams})
        self.layout = self.branch(self.streams[0]).encoder.layout

    @classmethod
    def sized(cls, settings: dict[str, Any], clips: int) -> dict[str, Any]:
        """A queue of at most half of the training clips, so that few of the keys in it are of the clip itself."""
        return {"queue": max(1, min(cls.Settings.queue, clips // 2)), **settings}

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are contrasted, each with encoders, head and queue of its own."""
        return (self.settings.stream,)

    def branch(self, name: str) -> Branch:
        """MoCo of one stream."""
        branch = self.branches[name]
        assert isinstance(branch, Branch)
        return branch

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """Two independent views of each clip."""
        return views(source, index, self.settings.views, gen)

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Queries from view 1; momentum update and keys from view 2; then :meth:`objective`."""
        queries = {name: self.branch(name).query(stream(views[0], name, self.layout)) for name in self.streams}
        keys = {name: self.branch(name).key(stream(views[1], name, self.layout)) for name in self.streams}
        return self.objective(queries, keys, step)

    @full_precision
    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """InfoNCE of every stream against its queue as it was before this batch, added; ``[B, dim]`` unit vectors."""
        losses, correct = {}, {}
        for name in self.streams:
            each, top1 = self.branch(name).contrast(queries[name], keys[name])
            losses[name], correct[name] = each.mean(), top1.float().mean()
            self.branch(name).queue.stage(keys[name])
        log = {
            "accuracy": torch.stack(list(correct.values())).mean(),
            "alignment": torch.stack([(queries[n].detach() * keys[n]).sum(1).mean() for n in self.streams]).mean(),
        }
        if len(losses) > 1:
            log |= {f"loss {name}": loss.detach() for name, loss in losses.items()}
        return {"loss": torch.stack(list(losses.values())).sum()}, log

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"loss": [p for name in self.streams for p in self.branch(name).trained()]}

    def after_step(self, step: StepContext) -> None:
        """Enqueue the keys of all processes."""
        self.enqueue(step)

    def enqueue(self, step: StepContext) -> int:
        """Commit the staged keys of every stream, in step with each other; the number of clips that were enqueued."""
        return max(self.branch(name).queue.commit(step.dist) for name in self.streams)

    def encoder(self) -> Encoder:
        return MultiStream({name: self.branch(name).encoder for name in self.streams}, self.layout)
