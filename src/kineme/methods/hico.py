"""HiCo: a clip's frames and its joints, at several granularities, contrasted at five levels (Dong et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders._multi_stream import MultiStream
from ..encoders.hierarchical import Hierarchical
from ..encoders.hierarchical import from_released as encoder_from_released
from ..nn.contrastive import infonce
from ..nn.momentum import KeyQueue, follow, momentum_copy
from ..utils.errors import InputError
from ..views.augment import views
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.streams import stream
from . import Method, NewEncoder, StepContext
from .moco import MoCo

# level -> the vectors that are contrasted at it, and the keys that each of them meets
LEVELS = {
    "clip": {"clip": "clip"},
    "part": {"part": "part"},
    "domain": {"temporal": "spatial", "spatial": "temporal"},
    "instance": {"instance": "instance"},
}
HIERARCHIES = ("clip", "part")  # one vector for each granularity; the others have one for the clip
PROJECTORS = {"clip": "clip", "part": "part", "td": "temporal", "sd": "spatial", "instance": "instance"}  # as released


class Projected(nn.Module):
    """A hierarchical encoder and its projectors (Linear, ReLU, Linear), one for each kind of vector.

    Args:
        encoder: what a run is for.
        dim: size of the contrasted vectors.
        names: kinds of vectors, among the encoder's ``parts``.
    """

    def __init__(self, encoder: Hierarchical, dim: int, names: list[str]):
        super().__init__()
        width = encoder.settings.hidden
        self.encoder = encoder
        self.heads = nn.ModuleDict(
            {n: nn.Sequential(nn.Linear(encoder.sizes[n], width), nn.ReLU(), nn.Linear(width, dim)) for n in names}
        )
        for weight in self.heads.parameters():
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)

    def forward(self, view: Batch) -> dict[str, Tensor]:
        """Projections, not normalised: ``[B, G, dim]`` of clip and part (finest first), ``[B, dim]`` of the others."""
        parts = self.encoder(view).parts
        return {name: head(parts[name]) for name, head in self.heads.items()}


def unit(projections: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every vector at length 1."""
    return {name: F.normalize(z.float(), dim=-1) for name, z in projections.items()}


class ReleasedQueue(KeyQueue):
    """A queue of ``size`` keys whose pointer turns back at ``turn``, as in the released code (spec ``hico.md``, 8.1).

    A batch is written in one piece from the pointer on, also beyond ``turn``; rows that no batch reaches keep their
    random vectors for ever.
    """

    def __init__(self, size: int, dim: int, turn: int):
        super().__init__(size, dim)
        self.turn = turn

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        super().push(keys)
        self.pointer.remainder_(self.turn)


class HiCo(Method):
    """Hierarchical contrast (Dong et al. 2023): spec ``hico.md``, section 5.

    A query q (view 1) meets keys k (view 2, slowly following copy of encoder and projectors), all of unit length. With
    ``NCE(q; P; Q) = -log( sum_{p in P} exp(q.p/T) / (sum_{p in P} exp(q.p/T) + sum_{u in Q} exp(q.u/T)) )``

    * clip: ``NCE(q_clip[0]; all granularities of k_clip; Q_clip)``; part: the same in the space branch;
    * domain: ``NCE(q_temporal; k_spatial; Q_spatial) + NCE(q_spatial; k_temporal; Q_temporal)``;
    * instance: ``NCE(q_instance; k_instance; Q_instance)``;

    and the loss is their sum. Only the finest granularity of a query is an anchor at the levels clip and part.
    """

    encoder_name = "hierarchical"

    @dataclass(frozen=True)
    class Settings(MoCo.Settings):
        """Published values (section 6).

        Attributes:
            queue: K, keys in the queues of the levels domain and instance; those of clip and part hold G K vectors.
            levels: those that are contrasted.
            faithful: the queues of clip and part turn back at K as released, so most of their vectors stay random; also
                refuses a queue that the batch does not divide, and an encoder that leaves absent people out.
        """

        queue: int = 2048
        temperature: float = 0.2
        levels: tuple[str, ...] = tuple(LEVELS)

        def __post_init__(self):
            super().__post_init__()
            if not self.levels or not set(self.levels) <= set(LEVELS) or len(set(self.levels)) < len(self.levels):
                raise InputError("method.levels", f"{list(self.levels)}", f"some of {', '.join(LEVELS)}")

    loop = MoCo.loop
    # chosen on held-out subjects of N-UCLA: docs/results.md
    small = {  # noqa: RUF012
        "steps": 1500,
        "method": {
            "momentum": 0.99,
            "stream": "motion",
            "views": {"frames": 32, "min_frames": 64, "crop_low": 0.4, "rotate": 0.5, "mirror": 0.5},
        },
        "loop": {"optimiser": "adamw", "lr": 0.001, "schedule": "cosine"},
    }

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        encoder = new_encoder()
        if not isinstance(encoder, Hierarchical):
            raise InputError("encoder.name", type(encoder).__name__.lower(), "hierarchical, for what it contrasts")
        if settings.faithful and encoder.settings.mask_absent and encoder.persons > 1:
            raise InputError("encoder.mask_absent", "true", "false: the released encoder sees absent people as zeros")
        self.settings, self.layout = settings, encoder.layout
        chosen = [LEVELS[level] for level in LEVELS if level in settings.levels]
        self.against = {name: other for level in chosen for name, other in level.items()}
        self.query = Projected(encoder, settings.dim, list(self.against))
        self.key = momentum_copy(self.query)
        self.queues = nn.ModuleDict({name: self._queue(name, encoder.settings.granularities) for name in self.against})
        self.keys: dict[str, Tensor] = {}  # of the step under way

    @classmethod
    def sized(cls, settings: dict, clips: int) -> dict:
        """A queue of at most half of the training clips: a longer one holds the clip itself among the negatives."""
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
        """Query forward; momentum update; key forward; then :meth:`objective`."""
        self._check(len(views[0]) * step.dist.size)
        queries = unit(self.query(self._stream(views[0])))
        with torch.no_grad():
            follow(self.key, self.query, self.settings.momentum)
            keys = unit(self.key(self._stream(views[1])))
        with torch.autocast(next(iter(keys.values())).device.type, enabled=False):  # losses stay fp32
            return self.objective(queries, keys, step)

    def objective(
        self, queries: dict[str, Tensor], keys: dict[str, Tensor], step: StepContext
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The sum of all levels, each against the queues as they were before this batch.

        Args:
            queries, keys: unit vectors by name, ``[B, G, dim]`` for clip and part, ``[B, dim]`` for temporal, spatial
                and instance; keys receive no gradient.
        """
        self.keys = {name: key.detach() for name, key in keys.items()}
        losses, log = {}, {}
        for name, other in self.against.items():
            query = queries[name][:, 0] if name in HIERARCHIES else queries[name]
            each, hits = infonce(query, self.keys[other], self.queue(other).keys, self.settings.temperature)
            losses[name] = each.mean()
            log[f"loss {name}"] = losses[name].detach()
        log["accuracy"] = hits.float().mean()  # of the last, which is the level instance, as released
        log["alignment"] = torch.einsum("bd,b...d->b...", query.detach(), self.keys[other]).mean()
        return {"loss": torch.stack(list(losses.values())).sum()}, log

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"loss": list(self.query.parameters())}

    @torch.no_grad()
    def after_step(self, step: StepContext) -> None:
        """Enqueue the keys of all processes, in rank order: all granularities of a clip, then those of the next."""
        for name, keys in self.keys.items():
            self.queue(name).push(step.dist.gather(keys).flatten(0, -2))
        self.keys = {}

    def encoder(self) -> Encoder:
        return MultiStream({self.settings.stream: self.query.encoder}, self.layout)

    def _queue(self, name: str, granularities: int) -> KeyQueue:
        s = self.settings
        if name not in HIERARCHIES:
            return KeyQueue(s.queue, s.dim)
        size = granularities * s.queue
        return ReleasedQueue(size, s.dim, s.queue) if s.faithful else KeyQueue(size, s.dim)

    def _stream(self, view: Batch) -> Batch:
        return stream(view, self.settings.stream, self.layout)  # type: ignore[arg-type] # joints alone need no layout

    def _check(self, batch: int) -> None:
        if self.settings.faithful and self.settings.queue % batch:
            raise InputError(
                "method.queue",
                f"{self.settings.queue} keys",
                f"a multiple of the batch ({batch})",
                "Without faithful any size will do",
            )


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
