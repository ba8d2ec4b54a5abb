"""Convolutions over time: the ConvNet, ResNet and Res-TCN that CV-MIM's action recognition puts on per-frame codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..motion.layout import Layout
from ..nn.init import he_normal
from ..nn.temporal_conv import DROPOUT, NETS, WIDTHS, Nets, means, packed
from ..utils.settings import positive
from ..views.batch import Batch
from . import Encoder, Features
from .recurrent import flatten


class Temporal(Encoder):
    """The joints of every frame through convolutions over time; a clip's vector is the mean over its steps.

    As CV-MIM's baseline on raw keypoints has it, without the layer of classes (Zhao et al. 2021).
    ``Features.clip`` is ``[B, 4 * width]``, ``Features.frame`` ``[B, ceil(T / stride), 4 * width]``.
    """

    @dataclass(frozen=True)
    class Settings:
        """
        Attributes:
            net: which network.
            width: channels of the first third; the next have twice and four times as many.
            dropout: after every ReLU.
            mask_padding: frames after the last in which anybody is seen are no part of the clip. Under CUDA a step then
                waits for the device once.
        """

        net: Nets = "convnet"
        width: int = WIDTHS[0]
        dropout: float = DROPOUT
        mask_padding: bool = True
        persons: int | None = None

        def __post_init__(self) -> None:
            positive(self, "encoder", "width")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.persons = settings, settings.persons or 1
        widths = [settings.width * times for times in (1, 2, 4)]
        self.dim = widths[-1]
        self.net = NETS[settings.net](self.persons * len(layout) * coords, widths, settings.dropout)
        he_normal(self)

    def forward(self, batch: Batch) -> Features:
        x = flatten(batch, self.persons)
        lengths = _lengths(batch.confidence) if self.settings.mask_padding else None
        if lengths is None:
            steps, _ = self.net(x, None)
            return Features(steps.mean(1), steps)
        steps, lengths = self.net(packed(x, lengths), lengths)
        return Features(means(steps, lengths), _padded(steps, lengths))


def _padded(steps: Tensor, lengths: Tensor) -> Tensor:
    """``[N, C]`` -> ``[B, longest, C]``, zeros behind the shorter ones."""
    there = torch.arange(int(lengths.max())) < lengths[:, None]
    whole = steps.new_zeros(*there.shape, steps.shape[1])
    whole[there.to(steps.device)] = steps
    return whole


def _lengths(seen: Tensor) -> Tensor | None:
    """Frames up to the last in which anybody is seen, int64 ``[B]`` on the CPU, at least 1; None if that is all."""
    there = (seen > 0).flatten(2).any(2).cpu()
    lengths = (there * torch.arange(1, there.shape[1] + 1)).amax(1).clamp(min=1)
    return None if bool((lengths == there.shape[1]).all()) else lengths
