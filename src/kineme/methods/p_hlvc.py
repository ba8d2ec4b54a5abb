"""P-HLVC: a video has to tell how the bodies in it move, and they what the video shows (Schneider et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders._video_pose import FLOOR, VideoPose
from ..encoders.motion_image import MotionImage
from ..nn.momentum import KeyQueue
from ..nn.precision import full_precision
from ..nn.sinkhorn import assign
from ..nn.swapped import between_views, mean_of, nt_xent, shares, swapped
from ..utils.distributed import gather_together
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.video_clips import VideoViewSettings, middle_view, video_views
from . import Method, NewEncoder, StepContext

MOST_PROTOTYPES, FEWEST_PROTOTYPES, CLIPS_OF_ONE = 10_000, 64, 25
MOST_QUEUE, BATCHES_IN_QUEUE = 3840, 4
CALIBRATE = 512, 16  # clips, and clips at a time, from which the untrained encoder takes its batch-norm statistics


@dataclass(frozen=True)
class PoseSettings:
    """The network of motion images (:class:`kineme.encoders.motion_image.MotionImage`), as wide as the video's.

    Attributes:
        distances, scale_by_torso, batch_norm, faithful: see there.
    """

    distances: tuple[int, ...] = (1,)
    scale_by_torso: bool | None = None
    batch_norm: bool = False
    faithful: bool = False


class PHLVC(Method):
    """Pose-based high-level view contrasting (Schneider et al. 2022).

    A clip has V views of its video and M bodies, all on one sphere with K prototypes. S are their cosines with the
    prototypes, q the assignment of S by optimal transport over the batch and a queue (:mod:`kineme.nn.sinkhorn`), and
    p = softmax(S / T). Each stream predicts what the other is assigned:

    ``L = 1/2 mean over views of -q_pose . log p_video + 1/2 mean over views of -q_video . log p_pose``.

    Training begins with NT-Xent between videos and bodies of a batch, from which it passes over to L along a ramp.
    """

    unit = "clip"
    encoder_name = "s3d"

    @dataclass(frozen=True)
    class Settings:
        """Published values where they are known; docs/methods/p_hlvc.md says which are.

        Attributes:
            dim: of the common space.
            prototypes: K; without a recipe one for every 25 training clips, 64 to 10,000.
            eps, rounds: of the optimal transport.
            temperature: T of the predictions.
            loss: of a prediction: ``cross`` entropy, or the sum of ``binary`` ones, as the authors had it at first.
            queue: earlier embeddings of each stream that are assigned together with the batch; 0: none.
            queue_start: step from which on they are.
            against: what the video is compared with: ``pose``, or, as an ablation, another view of the ``video``.
            contrast: share of the training in which NT-Xent stands alone.
            ramp: share of the training in which it then passes over to prototypes.
            contrast_temperature: of NT-Xent.
            contrast_left: weight of NT-Xent after the ramp.
            frozen: steps after ``contrast`` in which the prototypes stay where they are.
            within: columns of the clip table that say where clips are from, those that the store has: clips are
                contrasted with, and assigned among, clips of the same values only. Otherwise the easiest that a video
                and its poses share is which collection they are of: that alone brings the loss down, and tells
                domains apart instead of motions.
            w_video: weight of swapped prediction between the views of the video; it rewards appearance.
            pose: the network of motion images.
            views: of the videos; the motion image has all ``frames * step`` frames of their window.
            faithful: as in the authors' code: bodies as large as they are, the magnitude of motion three times.

        Raises:
            InputError: a value outside its range.
        """

        dim: int = 256
        prototypes: int = MOST_PROTOTYPES
        eps: float = 0.05
        rounds: int = 3
        temperature: float = 0.1
        loss: Literal["cross", "binary"] = "cross"
        queue: int = MOST_QUEUE
        queue_start: int = 2000
        against: Literal["pose", "video"] = "pose"
        contrast: float = 0.05
        ramp: float = 0.01
        contrast_temperature: float = 0.1
        contrast_left: float = 0.0
        frozen: int = 1000
        within: tuple[str, ...] = ("dataset", "domain")
        w_video: float = 0.0
        pose: PoseSettings = field(default_factory=PoseSettings)
        views: VideoViewSettings = field(default_factory=VideoViewSettings)
        faithful: bool = False

        def __post_init__(self) -> None:
            positive(self, "method", "dim", "prototypes", "eps", "rounds", "temperature", "contrast_temperature")
            for name in ("queue", "queue_start", "frozen", "w_video", "contrast_left"):
                if getattr(self, name) < 0:
                    raise InputError(f"method.{name}", str(getattr(self, name)), "0 or more")
            for name in ("contrast", "ramp"):
                if not 0 <= getattr(self, name) <= 1:
                    raise InputError(f"method.{name}", str(getattr(self, name)), "a share of the training, 0 to 1")
            if self.views.views < 2 and (self.against == "video" or self.w_video):
                raise InputError("method.views.views", str(self.views.views), "2 or more, to compare them")
            if self.views.shifted:
                raise InputError("method.views.shifted", "true", "false: every view shows what the pose describes")

    used: Tensor

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        video = new_encoder()
        if not video.pictures or video.layout is None:
            name = type(video).__name__.lower()
            raise InputError("encoder.name", name, "an encoder of pictures", "Take s3d or r2plus1d")
        self.settings, chosen = settings, settings.pose
        image = MotionImage.Settings(
            video.dim,
            settings.views.span,
            chosen.distances,
            chosen.scale_by_torso,
            chosen.batch_norm,
            chosen.faithful or settings.faithful,
        )
        coords = 3  # a motion image takes two as well
        self.model = VideoPose(video, MotionImage(image, video.layout, coords), settings.dim)
        self.prototypes = nn.Parameter(torch.empty(settings.prototypes, settings.dim))
        nn.init.orthogonal_(self.prototypes)
        self._to_unit_rows()
        streams = dict.fromkeys(("video", settings.against)) if settings.queue else {}
        self.queues = nn.ModuleDict({name: KeyQueue(settings.queue, settings.dim + 1) for name in streams})
        self.register_buffer("used", torch.full((settings.prototypes,), -1))  # step in which each was last assigned
        # embeddings of the step under way, of all processes, and behind each the number of its group
        self._met: tuple[Tensor, Tensor] | None = None
        self._still: Tensor | None = None  # prototypes that the step under way is not to move

    @classmethod
    def sized(cls, settings: dict[str, Any], clips: int) -> dict[str, Any]:
        """Prototypes and a queue that go with the number of training clips."""
        prototypes = min(MOST_PROTOTYPES, max(FEWEST_PROTOTYPES, clips // CLIPS_OF_ONE))
        return {"prototypes": prototypes, "queue": min(MOST_QUEUE, max(1, clips // 2)), **settings}

    @property
    def frames(self) -> int:
        return self.settings.views.span

    def look(self, source: ClipLoader, rows: Tensor) -> Iterator[Batch]:
        """The middle windows of some evenly spaced clips."""
        most, together = CALIBRATE
        some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), most)).round().long()]
        for index in some.split(together):
            if len(index) > 1 or len(some) == 1:
                start = (source.lengths[index] - self.frames).clamp(min=0) // 2
                yield middle_view(source, index, start, self.settings.views)

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """V views of one window of each clip, with its poses."""
        group = source.groups(self.settings.within)
        own = None if group is None else group[index].to(source.device)
        return tuple(replace(view, group=own) for view in video_views(source, index, self.settings.views, gen))

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Embeddings of every view and of the bodies of the first, then :meth:`objective`."""
        video = torch.stack([self.model.embedded(self.model.video(view).clip) for view in views], 1)
        if self.settings.against == "video":
            video, bodies = video[:, :1], video[:, 1:]
            present = torch.ones(bodies.shape[:2], dtype=torch.bool, device=bodies.device)
        else:
            bodies, present = self.model.bodies(views[0])
        return self.objective(video, bodies, present, step, views[0].group)

    @full_precision
    def objective(
        self, video: Tensor, bodies: Tensor, present: Tensor, step: StepContext, group: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The loss of this step's batch over all processes, each of which computes the same.

        Args:
            video: ``[B, V, dim]`` unit vectors.
            bodies: ``[B, M, dim]`` unit vectors.
            present: bool ``[B, M]``.
            step: where training stands.
            group: int64 ``[B]``, see ``Settings.within``; None: all clips are of one.
        """
        s = self.settings
        some = torch.zeros_like(present[:, 0]) if group is None else group
        told = [present.to(video), some.to(video)]
        (video, bodies), (there, some) = gather_together(step.dist, [video, bodies], told)
        present, some = there.detach() > 0, some.detach().long()
        group = None if group is None else some
        frozen = step.number < self._begins(step) + s.frozen
        self._still = self.prototypes.detach().clone() if frozen else None
        # a gradient of 0 while they are frozen, not none: then one process and several do the same
        prototypes = self.prototypes.detach() + 0.0 * self.prototypes if frozen else self.prototypes
        q_video = torch.stack([self._assigned(x, "video", step, group) for x in video.detach().unbind(1)], 1)
        of_bodies = None if group is None else group.repeat_interleave(present.shape[1])
        flat = self._assigned(bodies.detach().flatten(0, 1), s.against, step, of_bodies, present.flatten())
        q_bodies = flat.view(*present.shape, -1)
        binary, scores = s.loss == "binary", (video @ prototypes.T, bodies @ prototypes.T)
        swap = swapped(q_video, scores[0], q_bodies, scores[1], present, s.temperature, binary)
        if s.w_video:
            swap = swap + s.w_video * between_views(q_video, scores[0], s.temperature, binary)
        each = [nt_xent(x, bodies, present, s.contrast_temperature, group) for x in video.unbind(1)]
        contrast = torch.stack([loss for pair in each for loss in pair]).mean()
        share = self._ramp(step)
        self._met = (
            torch.cat([video[:, 0].detach(), some[:, None].to(video)], 1),
            torch.cat([bodies.detach()[present], some[:, None].expand(present.shape)[present][:, None].to(video)], 1),
        )
        log = {"loss swapped": swap.detach(), "loss contrast": contrast.detach()}
        log |= self._monitors(video.detach(), bodies.detach(), present, q_video, q_bodies, step)
        return {"loss": share * swap + max(1 - share, s.contrast_left) * contrast}, log

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All that is trained; without the pose network where videos are compared with each other."""
        model = self.model
        parts = [model.video, model.video_head]
        parts += [model.pose, model.pose_head] if self.settings.against == "pose" else []
        return {"loss": [self.prototypes, *(p for part in parts for p in part.parameters())]}

    @torch.no_grad()
    def after_step(self, step: StepContext) -> None:
        """Prototypes back to unit length; the embeddings of this step enter the queues."""
        self._to_unit_rows()
        if self._still is not None:
            self.prototypes.copy_(self._still)
        if self._met is not None and self.queues:
            for stream, rows in zip(("video", self.settings.against), self._met):
                self._queue(stream).push(rows)
        self._met = self._still = None

    def encoder(self) -> Encoder:
        return self.model

    def _queue(self, stream: str) -> KeyQueue:
        queue = self.queues[stream]
        assert isinstance(queue, KeyQueue)
        return queue

    def _begins(self, step: StepContext) -> int:
        """The first step in which prototypes count."""
        return round(self.settings.contrast * step.steps)

    def _ramp(self, step: StepContext) -> float:
        """Weight of the prototypes' loss at a step."""
        past, ramp = step.number - self._begins(step), self.settings.ramp * step.steps
        return 0.0 if past < 0 else min(1.0, (past + 1) / max(ramp, 1.0))

    def _assigned(
        self,
        rows: Tensor,
        stream: str,
        step: StepContext,
        group: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Tensor:
        s = self.settings
        keys, filled, of_keys = None, None, None
        if self.queues and step.number >= s.queue_start:
            queue = self._queue(stream)
            keys, of_keys = queue.keys[:, :-1], queue.keys[:, -1].round().long()
            filled = torch.arange(len(queue), device=rows.device) < queue.filled
        chosen = {"valid": valid, "filled": filled, "group": group, "queue_group": of_keys}
        return assign(rows, self.prototypes, keys, eps=s.eps, rounds=s.rounds, **chosen)

    @torch.no_grad()
    def _monitors(
        self, video: Tensor, bodies: Tensor, present: Tensor, q_video: Tensor, q_bodies: Tensor, step: StepContext
    ) -> dict[str, Tensor]:
        """Prototypes assigned within the last epoch; cosine of a clip and its bodies, less that of the next clip's;
        entropy of the assignments.
        """
        count, share = len(self.used), shares(present)
        best = torch.cat([q_video.argmax(-1).flatten(), torch.where(present, q_bodies.argmax(-1), count).flatten()])
        now = self.used.new_zeros(count + 1).index_fill_(0, best, 1)[:count] > 0
        self.used.copy_(torch.where(now, step.number, self.used))
        epoch = step.per_epoch or max(1, step.steps // step.epochs)
        clips = F.normalize(video.mean(1), dim=1, eps=FLOOR)
        pairs = [(torch.einsum("bd,bmd->bm", x, bodies) * share).sum(1) for x in (clips, clips.roll(1, 0))]
        entropy = [-(q * q.clamp(min=1e-30).log()).sum(-1) for q in (q_video, q_bodies)]
        return {
            "prototypes used": (self.used > step.number - epoch).logical_and(self.used >= 0).float().sum(),
            "cosine": mean_of(pairs[0], present),
            "cosine above others": mean_of(pairs[0] - pairs[1], present),
            "entropy": (entropy[0].mean() + mean_of((entropy[1] * share).sum(1), present)) / 2,
        }

    @torch.no_grad()
    def _to_unit_rows(self) -> None:
        self.prototypes.copy_(F.normalize(self.prototypes, dim=1))
