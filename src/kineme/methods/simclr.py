"""SimCLR for skeletons: two views of a clip find each other among all views of the batch; no queue, no copy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..nn.batch_norm import BatchNorm
from ..nn.contrastive import nt_xent
from ..nn.matmul import Linear
from ..nn.precision import full_precision
from ..utils.settings import positive
from ..views.augment import ViewSettings, view, views
from ..views.batch import Batch
from ..views.source import ClipLoader
from . import Method, NewEncoder, StepContext

VIEWS = ViewSettings(
    frames=32,
    crop_low=0.4,
    min_frames=8,
    shear=0.3,
    joint_jitter=0.0,
    mirror=0.5,
    noise=0.01,
    scale=0.15,
    tilt=0.2,
)


class SimCLR(Method):
    """Chen et al. (2020) on skeleton sequences, with the encoder that is worth searching by before any training
    (:class:`~kineme.encoders.fused.Fused`).

    ``L = mean_i -log( exp(z_i.z_i' / T) / sum_{k != i} exp(z_i.z_k / T) )`` over the 2 B views of the batch of all
    processes, z the unit vectors of a head ``Linear, BatchNorm, ReLU, Linear`` on ``Features.clip``.

    Any encoder with a clip vector will do (``--set encoder.name=...``).
    """

    encoder_name = "fused"

    @dataclass(frozen=True)
    class Settings:
        """Attributes:

        dim: of the vectors that are contrasted.
        width: of the head's hidden layer.
        temperature: T.
        views: how a clip's two views are drawn.
        same: columns of the clip table: clips that agree in them (``performance``: what several cameras saw at once)
            are views of one movement; the second view is that of any of them, and none is a negative of another. Empty:
            every clip is a movement of its own.
        faithful: a missing joint is a joint at 0 that counts as seen, as in the releases of other methods.
        """

        dim: int = 128
        width: int = 512
        temperature: float = 0.2
        views: ViewSettings = field(default_factory=lambda: VIEWS)
        same: tuple[str, ...] = ("performance",)
        faithful: bool = False

        def __post_init__(self) -> None:
            positive(self, "method", "dim", "width", "temperature")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        self.settings = settings
        self.network = new_encoder()
        self.head = nn.Sequential(
            Linear(self.network.dim, settings.width),
            BatchNorm(settings.width),
            nn.ReLU(),
            Linear(settings.width, settings.dim),
        )

    def notes(self, source: ClipLoader) -> list[str]:
        """How many clips are views of the same movement, where any are."""
        if not self._shared(source):
            return []
        columns, movements = ", ".join(self.settings.same), source.movements(self.settings.same)
        said = (
            f"{len(source):,} training clips show {movements:,} movements (column {columns}): clips of one movement "
            "are views of each other. --set method.same=[] takes each for itself"
        )
        return [said]

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """Two independent views of each clip, or of it and of one that shows the same movement."""
        s = self.settings
        if not self._shared(source):
            return views(source, index, s.views, gen)
        group = source.alike(s.same)[index].to(source.device)
        drawn = (index, source.companions(index, s.same, gen))
        return tuple(replace(view(source, rows, s.views, gen), group=group) for rows in drawn)

    def _shared(self, source: ClipLoader) -> bool:
        return bool(self.settings.same) and source.movements(self.settings.same) < len(source)

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """NT-Xent between the two views; the log has how often the other view is the nearest."""
        clips = torch.cat([self.network(view).clip for view in views]).float()
        return self.objective(self.head(clips), step, views[0].group)

    @full_precision
    def objective(
        self, z: Tensor, step: StepContext, group: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The loss of vectors ``[2 B, dim]``, first all first views; not yet of length 1.

        Args:
            group: int64 ``[B]``, which clips show the same; None: no two do.
        """
        first, second = step.dist.gather_with_grad(
            F.normalize(z, dim=1).view(2, -1, z.shape[1]).transpose(0, 1)
        ).unbind(1)
        group = None if group is None else step.dist.gather(group)
        loss, nearest = nt_xent(first, second, self.settings.temperature, group)
        log = {"accuracy": nearest.float().mean(), "alignment": (first * second).sum(1).mean().detach()}
        return {"loss": loss.mean()}, log

    def encoder(self) -> Encoder:
        return self.network
