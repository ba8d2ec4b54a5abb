"""R(2+1)D-18: a residual network for video, every kernel split into space and time (Tran et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn.batch_norm import BatchNormNd
from ..nn.conv3d import Conv3d
from ..utils.settings import positive
from ..views.batch import Batch
from . import Encoder, Features
from ._video import Public, pictures_of

WIDTHS = (64, 128, 256, 512)  # of the four stages, two blocks each; every stage after the first halves time and space
BLOCKS = 2
STEM = 45  # channels between the stem's two kernels, as released
LEAST, SMALLEST = 1, 1  # frames and pixels: padding leaves something of any


class R2Plus1D(Encoder):
    """R(2+1)D-18 (Tran et al. 2018): pictures ``[B, T, 3, H, W]``, normalised, -> the mean of its last features.

    A split kernel has as many weights as the 3-D one that it stands for. Time and space shrink by 8 and 16. Poses are
    not looked at. Names of weights are those of torchvision's ``r2plus1d_18``, whose weights
    :func:`kineme.training.public_weights.load` reads.
    """

    pictures = True
    PUBLIC = Public("torchvision's r2plus1d_18 (Kinetics-400)", aside=r"fc\..*")

    @dataclass(frozen=True)
    class Settings:
        """Published values.

        Attributes:
            multiplier: of the width of every stage; the published weights have 1. D is 512 times it.
            momentum: of the running statistics of batch norm.

        Raises:
            InputError: a number that is not above 0.
        """

        multiplier: float = 1.0
        momentum: float = 0.1

        def __post_init__(self) -> None:
            positive(self, "encoder", "multiplier", "momentum")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, norm = settings, settings.momentum
        stem, *_ = widths = [max(1, round(width * settings.multiplier)) for width in WIDTHS]
        between = max(1, round(STEM * settings.multiplier))
        self.stem = nn.Sequential(
            Conv3d(3, between, (1, 7, 7), (1, 2, 2)),
            BatchNormNd(between, momentum=norm),
            nn.ReLU(True),
            Conv3d(between, stem, (3, 1, 1)),
            BatchNormNd(stem, momentum=norm),
            nn.ReLU(True),
        )
        inputs = stem
        for number, width in enumerate(widths, 1):
            blocks = [
                Block(inputs if i == 0 else width, width, norm, 2 if number > 1 and i == 0 else 1)
                for i in range(BLOCKS)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = width
        self.dim = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, batch: Batch) -> Features:
        """Pictures ``[B, T, 3, H, W]`` -> ``clip [B, dim]``."""
        x = self.stem(pictures_of(batch, LEAST, SMALLEST))
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return Features(x.mean((2, 3, 4)))


class Block(nn.Module):
    """Two split kernels beside the identity, or beside a projection where the shape changes.

    Args:
        inputs, outputs: channels.
        norm: momentum of batch norm.
        stride: of time and space.
    """

    def __init__(self, inputs: int, outputs: int, norm: float, stride: int = 1):
        super().__init__()
        between = max(1, inputs * outputs * 27 // (inputs * 9 + 3 * outputs))  # as many weights as 3 x 3 x 3
        self.conv1 = nn.Sequential(
            split(inputs, between, outputs, norm, stride), BatchNormNd(outputs, momentum=norm), nn.ReLU(True)
        )
        self.conv2 = nn.Sequential(split(outputs, between, outputs, norm), BatchNormNd(outputs, momentum=norm))
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                Conv3d(inputs, outputs, (1, 1, 1), (stride, stride, stride)), BatchNormNd(outputs, momentum=norm)
            )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(self.conv1(x)) + beside)


def split(inputs: int, between: int, outputs: int, norm: float, stride: int = 1) -> nn.Sequential:
    """A kernel of 3 x 3 pixels, batch norm, ReLU, then one of 3 frames."""
    return nn.Sequential(
        Conv3d(inputs, between, (1, 3, 3), (1, stride, stride)),
        BatchNormNd(between, momentum=norm),
        nn.ReLU(True),
        Conv3d(between, outputs, (3, 1, 1), (stride, 1, 1)),
    )
