"""Video and pose side by side in one space, each by its own network and head (Schneider et al. 2022)."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.batch_norm import BatchNorm
from ..nn.init import orthogonal
from ..nn.matmul import Linear
from ..views.batch import Batch
from . import Encoder, Features
from .motion_image import MotionImage

FLOOR = 1e-8  # of a length by which an embedding is divided: one of zeros stays zeros


class VideoPose(Encoder):
    """A video network and a network of motion images with heads that bring both onto one sphere.

    ``clip`` are the features of the video network before its head; of clips without pictures those of the pose network,
    which are as wide. ``parts``: ``video`` and ``pose``, the embeddings ``[B, dim]`` of unit length (``pose``: the mean
    of the bodies, brought to unit length; zeros where nobody is); without pictures ``pose`` alone.

    Args:
        video: reads pictures; it is what a run is for.
        pose: as wide as ``video``.
        width: of the common space.
    """

    pictures = True

    def __init__(self, video: Encoder, pose: MotionImage, width: int):
        super().__init__()
        self.video, self.pose, self.layout, self.dim = video, pose, video.layout, video.dim
        self.video_head = nn.Sequential(
            BatchNorm(self.dim), nn.ReLU(), Linear(self.dim, self.dim), nn.ReLU(), Linear(self.dim, width)
        )
        self.pose_head = nn.Sequential(nn.ReLU(), Linear(self.dim, width))
        orthogonal(self.video_head)
        orthogonal(self.pose_head)

    def forward(self, batch: Batch) -> Features:
        """``[B, T, M, V, C]``, and pictures where there are any -> :class:`Features`."""
        posed = self.pose(batch)
        bodies, present = self._on_sphere(posed)
        pose = unit((bodies * present.unsqueeze(-1)).sum(1))
        if batch.frames is None:
            warnings.warn("clips without pictures: their vectors are those of the pose network", stacklevel=2)
            return Features(posed.clip, parts={"pose": pose})
        clip = self.video(batch).clip
        return Features(clip, parts={"video": self.embedded(clip), "pose": pose})

    def embedded(self, clip: Tensor) -> Tensor:
        """Features of the video network ``[B, D]`` -> unit vectors ``[B, width]``."""
        return unit(self.video_head(clip))

    def bodies(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Unit vectors ``[B, M, width]``, and which of them are of a body, bool ``[B, M]``."""
        return self._on_sphere(self.pose(batch))

    def _on_sphere(self, posed: Features) -> tuple[Tensor, Tensor]:
        parts = posed.parts
        return unit(self.pose_head(parts["bodies"])), parts["present"]


def unit(x: Tensor) -> Tensor:
    """Vectors ``[..., D]`` at length 1, at least in float32; zeros stay zeros."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=-1, eps=FLOOR)
