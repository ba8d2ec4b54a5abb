"""S3D: an Inception network for video whose kernels see space and time one after the other (Xie et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn.batch_norm import BatchNormNd
from ..nn.conv3d import Conv3d, MaxPool3d
from ..utils.settings import positive
from ..views.batch import Batch
from . import Encoder, Features
from ._video import Public, pictures_of

BRANCHES = {  # width of the branches of each block: 1x1; 1x1 and 3x3; 1x1 and 3x3; pooled 1x1 (Szegedy et al. 2015)
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
POOLS = {"4b": ((3, 3, 3), (2, 2, 2), (1, 1, 1)), "5b": ((2, 2, 2), (2, 2, 2))}  # before these blocks
IN_PLANE = (1, 3, 3), (1, 2, 2), (0, 1, 1)  # the pools of the stem
EPS = 1e-3  # of batch norm, as released
WINDOW = 2  # frames of the last average pooling
EIGHT = 8  # widths are multiples of it, as processors like them
LEAST, SMALLEST = 8, 32  # frames and pixels of which something is left in the end


class S3D(Encoder):
    """S3D (Xie et al. 2018; Schneider et al. 2022): pictures ``[B, T, 3, H, W]``, normalised, -> a vector.

    Time and space shrink by 8 and 32. The last features are averaged over windows of two frames and the whole picture,
    brought to ``dim`` by a linear layer (a 1x1x1 convolution), and averaged over time. Poses are not looked at.

    Names of weights are those of torchvision's ``s3d``, whose weights :func:`kineme.training.public_weights.load`
    reads.
    """

    pictures = True
    PUBLIC = Public("torchvision's s3d (Kinetics-400)", aside=r"classifier\..*", own=r"head\..*")

    @dataclass(frozen=True)
    class Settings:
        """Published values.

        Attributes:
            dim: D.
            multiplier: of the width of every layer; the published weights have 1. Two cores want 0.25 to 0.5.
            momentum: of the running statistics of batch norm. The released 0.001 wants tens of thousands of steps until
                they are those of the data; short trainings take 0.1.

        Raises:
            InputError: a number that is not above 0.
        """

        dim: int = 512
        multiplier: float = 1.0
        momentum: float = 0.001

        def __post_init__(self) -> None:
            positive(self, "encoder", "dim", "multiplier", "momentum")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.dim = settings, settings.dim
        width, norm = _rounded(settings.multiplier), settings.momentum
        stem, after = width(64), width(192)
        layers: list[nn.Module] = [
            separable(3, stem, 7, norm, stride=2),
            MaxPool3d(*IN_PLANE),
            conv(stem, stem, norm),
            separable(stem, after, 3, norm),
            MaxPool3d(*IN_PLANE),
        ]
        inputs = after
        for name, widths in BRANCHES.items():
            if name in POOLS:
                layers.append(MaxPool3d(*POOLS[name]))
            block = Inception(inputs, [width(each) for each in widths], norm)
            layers.append(block)
            inputs = block.outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, settings.dim)
        for layer in self.features.modules():
            if isinstance(layer, nn.Conv3d):  # so that variances are about 1, as running statistics begin
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, batch: Batch) -> Features:
        """Pictures ``[B, T, 3, H, W]`` of at least 8 frames and 32 pixels -> ``clip [B, dim]``."""
        x = self.features(pictures_of(batch, LEAST, SMALLEST)).mean((3, 4))
        x = F.avg_pool1d(x, min(WINDOW, x.shape[2]), 1)
        return Features(self.head(x.mean(2)))  # the layer is linear: once for the mean is enough


class Inception(nn.Module):
    """Four branches side by side, their channels one after the other.

    Args:
        inputs: channels.
        widths: as :data:`BRANCHES` lists them.
        norm: momentum of batch norm.
    """

    def __init__(self, inputs: int, widths: list[int], norm: float):
        super().__init__()
        point, narrow, wide, narrower, less, pooled = widths
        self.outputs = point + wide + less + pooled
        self.branch0 = conv(inputs, point, norm)
        self.branch1 = nn.Sequential(conv(inputs, narrow, norm), separable(narrow, wide, 3, norm))
        self.branch2 = nn.Sequential(conv(inputs, narrower, norm), separable(narrower, less, 3, norm))
        pool = MaxPool3d((3, 3, 3), (1, 1, 1), (1, 1, 1))
        self.branch3 = nn.Sequential(pool, conv(inputs, pooled, norm))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


def conv(
    inputs: int,
    outputs: int,
    norm: float,
    kernel: tuple[int, int, int] = (1, 1, 1),
    stride: tuple[int, int, int] = (1, 1, 1),
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(Conv3d(inputs, outputs, kernel, stride), BatchNormNd(outputs, EPS, norm), nn.ReLU(True))


def separable(inputs: int, outputs: int, size: int, norm: float, stride: int = 1) -> nn.Sequential:
    """A kernel over space, then one over time, each with batch norm and ReLU."""
    return nn.Sequential(
        conv(inputs, outputs, norm, (1, size, size), (1, stride, stride)),
        conv(outputs, outputs, norm, (size, 1, 1), (stride, 1, 1)),
    )


def _rounded(multiplier: float) -> Callable[[int], int]:
    return lambda width: max(EIGHT, round(width * multiplier / EIGHT) * EIGHT)
