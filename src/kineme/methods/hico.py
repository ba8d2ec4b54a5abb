"""HiCo: a clip's frames and its joints, at several granularities, contrasted at four levels (Dong et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders._multi_stream import MultiStream
from ..encoders.hierarchical import Hierarchical
from ..encoders.hierarchical import from_released as encoder_from_released
from ..nn.contrastive import infonce
from ..nn.heads import ProjectionHead
from ..nn.init import xavier_uniform
from ..nn.momentum import KeyQueue, MomentumEncoder
from ..nn.precision import full_precision
from ..utils.errors import InputError
from ..views.augment import views
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.streams import stream
from . import Method, NewEncoder, Released, StepContext
from .moco import MoCo

LEVELS = {  # level -> the kinds of vectors that it contrasts
    "clip": ("clip",),
    "part": ("part",),
    "domain": ("temporal", "spatial"),
    "instance": ("instance",),
}
HIERARCHIES = ("clip", "part")  # one vector for each granularity; the others have one for the clip
PROJECTORS = {"clip": "clip", "part": "part", "td": "temporal", "sd": "spatial", "instance": "instance"}  # as released


class Projected(nn.Module):
    """A hierarchical encoder and its projection heads, one for each kind of vector.

    Args:
        encoder: what a run is for.
        dim: size of the contrasted vectors.
        names: kinds of vectors, among the encoder's ``parts``.
    """

    def __init__(self, encoder: Hierarchical, dim: int, names: list[str]):
        super().__init__()
        width = encoder.settings.hidden
        self.encoder = encoder
        self.heads = nn.ModuleDict({name: ProjectionHead(encoder.sizes[name], width, dim) for name in names})
        xavier_uniform(self.heads)

    def forward(self, view: Batch) -> dict[str, Tensor]:
        """Projections, not normalised: ``[B, G, dim]`` of clip and part (finest first), ``[B, dim]`` of the others."""
        parts = self.encoder(view).parts
        return {name: head(parts[name]) for name, head in self.heads.items()}


def unit(projections: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every vector at length 1."""
    return {name: F.normalize(z.float(), dim=-1) for name, z in projections.items()}


class ReleasedQueue(KeyQueue):
    """A queue of ``size`` keys whose pointer turns back at ``turn``, as in the authors' release.

    A batch is written in one piece from the pointer on, also beyond ``turn``; rows that no batch reaches keep their
    random vectors for ever.
    """

    def __init__(self, size: int, dim: int, turn: int):
        super().__init__(size, dim, divisible=True)
        self.turn = turn

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        super().push(keys)
        self.pointer.remainder_(self.turn)


class HiCo(Method):
    """Hierarchical contrast (Dong et al. 2023).

    A query q (view 1) meets keys k (view 2, momentum encoder and heads), all of unit length. With
    ``NCE(q; P; Q) = -log( sum_{p in P} exp(q.p/T) / (sum_{p in P} exp(q.p/T) + sum_{u in Q} exp(q.u/T)) )``

    * clip: ``NCE(q_clip[0]; all granularities of k_clip; Q_clip)``; part: the same in the space branch;
    * domain: ``NCE(q_temporal; k_spatial; Q_spatial) + NCE(q_spatial; k_temporal; Q_temporal)``;
    * instance: ``NCE(q_instance; k_instance; Q_instance)``;

    and the loss is their sum. Only the finest granularity of a query is an anchor at the levels clip and part.
    """

    encoder_name = "hierarchical"
    RELEASED = Released(
        "hierarchical", {"encoder_q": "joint"}, every=True, aside=r"(encoder_k)\..+|([cptsi]_queue(?:_ptr)?)"
    )

    @dataclass(frozen=True)
    class Settings(MoCo.Settings):
        """Published values.

        Attributes:
            queue: K, keys in the queues of the levels domain and instance; those of clip and part hold G K vectors.
            levels: those that are contrasted.
            faithful: the queues of clip and part turn back at K as released, so most of their vectors stay random; also
                refuses a queue that the batch does not divide, and an encoder that leaves absent people out.
        """

        queue: int = 2048
        temperature: float = 0.2
        levels: tuple[str, ...] = tuple(LEVELS)

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.levels or not set(self.levels) <= set(LEVELS) or len(set(self.levels)) < len(self.levels):
                raise InputError("method.levels", f"{list(self.levels)}", f"some of {', '.join(LEVELS)}")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        encoder = new_encoder()
        if not isinstance(encoder, Hierarchical):
            raise InputError("encoder.name", type(encoder).__name__.lower(), "hierarchical, for what it contrasts")
        if settings.faithful and encoder.settings.mask_absent and encoder.persons > 1:
            raise InputError("encoder.mask_absent", "true", "false: the released encoder sees absent people as zeros")
        self.settings, self.layout = settings, encoder.layout
        kinds = [kind for level, kinds in LEVELS.items() if level in settings.levels for kind in kinds]
        self.query = Projected(encoder, settings.dim, kinds)
        self.key = MomentumEncoder(self.query, settings.momentum)
        self.queues = nn.ModuleDict({kind: self._queue(kind, encoder.settings.granularities) for kind in kinds})

    @classmethod
    def sized(cls, settings: dict[str, Any], clips: int) -> dict[str, Any]:
        """A queue of at most half of the training clips, as MoCo's."""
        return {"queue": max(1, min(cls.Settings.queue, clips // 2)), **settings}

    def queue(self, name: str) -> KeyQueue:
        """The queue of the keys called ``name`` (``clip``, ``part``, ``temporal``, ``spatial`` or ``instance``)."""
        queue = self.queues[name]
        assert isinstance(queue, KeyQueue)
        return queue

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """Two independent views of each clip."""
        return views(source, index, self.settings.views, gen)

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Queries from view 1; momentum update and keys from view 2; then :meth:`objective`."""
        queries = unit(self.query(stream(views[0], self.settings.stream, self.layout)))
        self.key.update()
        keys = unit(self.key(stream(views[1], self.settings.stream, self.layout)))
        return self.objective(queries, keys, step)

    @full_precision
    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The sum of all levels, each against the queues as they were before this batch.

        Args:
            queries, keys: unit vectors by kind, ``[B, G, dim]`` for clip and part, ``[B, dim]`` for temporal, spatial
                and instance; keys receive no gradient.
        """
        keys = {kind: key.detach() for kind, key in keys.items()}
        log: dict[str, Tensor] = {}

        def nce(kind: str, query: Tensor, other: str) -> Tensor:
            """InfoNCE of one kind of query with the keys of another (or the same) kind."""
            each, top1 = infonce(query, keys[other], self.queue(other).keys, self.settings.temperature)
            log[f"loss {kind}"], log[f"accuracy {kind}"] = each.detach().mean(), top1.float().mean()
            log[f"alignment {kind}"] = torch.einsum("bd,b...d->b...", query.detach(), keys[other]).mean()
            return each.mean()

        q, losses, levels = queries, [], self.settings.levels
        if "clip" in levels:
            losses += [nce("clip", q["clip"][:, 0], "clip")]
        if "part" in levels:
            losses += [nce("part", q["part"][:, 0], "part")]
        if "domain" in levels:
            losses += [nce("temporal", q["temporal"], "spatial"), nce("spatial", q["spatial"], "temporal")]
        if "instance" in levels:
            losses += [nce("instance", q["instance"], "instance")]
        for kind in self.queues:
            self.queue(kind).stage(keys[kind])
        return {"loss": torch.stack(losses).sum()}, log

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"loss": list(self.query.parameters())}

    def after_step(self, step: StepContext) -> None:
        """Enqueue the keys of all processes, in rank order: all granularities of a clip, then those of the next."""
        for kind in self.queues:
            self.queue(kind).commit(step.dist)

    def encoder(self) -> Encoder:
        return MultiStream({self.settings.stream: self.query.encoder}, self.layout)

    def _queue(self, kind: str, granularities: int) -> KeyQueue:
        s = self.settings
        if kind not in HIERARCHIES:
            return KeyQueue(s.queue, s.dim, divisible=s.faithful)
        size = granularities * s.queue
        return ReleasedQueue(size, s.dim, s.queue) if s.faithful else KeyQueue(size, s.dim)


def from_released(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the released names, projectors included (``clip_proj.0.weight`` ...) -> the state of
    :class:`Projected`.
    """
    state = {f"encoder.{name}": value for name, value in encoder_from_released(arrays).items()}
    for name, value in arrays.items():
        room, _, rest = name.partition("_proj.")
        if room in PROJECTORS:
            state[f"heads.{PROJECTORS[room]}.{rest}"] = value
    return state
