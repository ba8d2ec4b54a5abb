"""Convolutions over time: the ConvNet, ResNet and Res-TCN that CV-MIM's action recognition puts on per-frame codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn.batch_norm import BatchNorm
from ..utils.settings import positive
from ..views.batch import Batch
from . import Encoder, Features
from .recurrent import flatten

WIDTHS = (64, 128, 256)
DROPOUT = 0.5
Nets = Literal["convnet", "resnet", "restcn"]


class Temporal(Encoder):
    """The joints of every frame through convolutions over time; a clip's vector is the mean over its steps.

    As CV-MIM's baseline on raw keypoints has it, without the layer of classes (spec ``cv_mim.md``, section 4).
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

        def __post_init__(self):
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
        lengths = _lengths(batch.seen) if self.settings.mask_padding else None
        if lengths is None:
            steps, _ = self.net(x, None)
            return Features(steps.mean(1), steps)
        steps, lengths = self.net(packed(x, lengths), lengths)
        return Features(_means(steps, lengths), _padded(steps, lengths))


class Classifier(nn.Module):
    """One of the networks, the mean over a clip's steps, and a linear layer. The output is logits, never a softmax.

    Args:
        net: name of the network.
        inputs: D, numbers of one frame.
        classes: K.
        widths: channels of its three stages.
        dropout: after every ReLU.
    """

    def __init__(self, net: Nets, inputs: int, classes: int, widths: Sequence[int] = WIDTHS, dropout: float = DROPOUT):
        super().__init__()
        self.net = NETS[net](inputs, widths, dropout)
        self.linear = nn.Linear(widths[-1], classes)
        he_normal(self)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits ``[B, K]``.

        Args:
            x: ``[B, T, D]``; or ``[N, D]``, the frames of all clips one after the other.
            lengths: int64 ``[B]``, from 1 up, on the CPU: frames of each clip. Every clip is then seen as if it were
                alone: what stands behind its last frame has no influence on anything. Without them all T frames count,
                as in the released code, where padding enters the mean (spec, section 6).
        """
        if lengths is None:
            steps, _ = self.net(x, None)
            return self.linear(steps.mean(1))
        steps, lengths = self.net(packed(x, lengths) if x.dim() == 3 else x, lengths)
        return self.linear(_means(steps, lengths))


class Conv(nn.Module):
    """A convolution over time with TensorFlow's "same" padding: ``ceil(T / stride)`` steps, the odd zero to the right.

    Args:
        inputs, outputs: channels.
        kernel, stride: in frames.

    ``weight`` is ``[outputs, inputs, kernel]`` as in ``nn.Conv1d``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``[B, T, C]`` and None, or all frames of all clips ``[N, C]`` and their lengths ``[B]`` -> the same kind.

        On clips of different lengths a product of gathered rows does none of the work that padding would cost; on equal
        ones a two-dimensional convolution with the channels last is the fastest on a CPU.
        """
        if lengths is None:
            _, left, right = same(x.shape[1], self.kernel, self.stride)
            image = F.pad(x, (0, 0, left, right)).unsqueeze(1).permute(0, 3, 1, 2)  # [B, C, 1, T], channels last
            weight = self.weight.unsqueeze(2).to(memory_format=torch.channels_last)
            return F.conv2d(image, weight, self.bias, (1, self.stride)).permute(0, 2, 3, 1).squeeze(1), None
        if self.kernel == self.stride == 1:
            return F.linear(x, self.weight.squeeze(2), self.bias), lengths
        taps, after = windows(lengths, self.kernel, self.stride)
        rows = F.embedding(taps.to(x.device), F.pad(x, (0, 0, 0, 1))).flatten(1)  # the last row is the zero outside
        return F.linear(rows, self.weight.transpose(1, 2).flatten(1), self.bias), after


def same(frames: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Steps of a convolution, and the zeros to the left and to the right of its input."""
    steps = -(-frames // stride)
    padding = max((steps - 1) * stride + kernel - frames, 0)
    return steps, padding // 2, padding - padding // 2


def windows(lengths: Tensor, kernel: int, stride: int) -> tuple[Tensor, Tensor]:
    """Which frames every step of every clip sees, for clips whose frames stand one after the other.

    Args:
        lengths: int64 ``[B]``.

    Returns:
        int64 ``[steps of all clips, kernel]``, frame numbers, ``lengths.sum()`` where the clip has none; and the clips'
        numbers of steps, int64 ``[B]``.
    """
    steps = (lengths + stride - 1) // stride
    left = ((steps - 1) * stride + kernel - lengths).clamp(min=0) // 2
    clip = _clips(steps)
    step = torch.arange(len(clip), device=clip.device) - (steps.cumsum(0) - steps)[clip]
    place = (step * stride - left[clip])[:, None] + torch.arange(kernel, device=clip.device)
    inside = (place >= 0) & (place < lengths[clip, None])
    begin = lengths.cumsum(0) - lengths
    return torch.where(inside, place + begin[clip, None], lengths.sum()), steps


class Layer(nn.Module):
    """Convolution, batch norm (epsilon 1e-3, momentum 0.01) and, unless it is a residual's last, ReLU and dropout."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, dropout: float = 0.0, linear: bool = False
    ):
        super().__init__()
        self.conv, self.norm = Conv(inputs, outputs, kernel, stride), _norm(outputs)
        self.dropout, self.linear = dropout, linear

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x, lengths = self.conv(x, lengths)
        x = self.norm(x)
        return (x if self.linear else F.dropout(x.relu(), self.dropout, self.training)), lengths


class ConvNet(nn.Module):
    """Three times convolution (7, stride 2), batch norm, ReLU, dropout."""

    def __init__(self, inputs: int, widths: Sequence[int] = WIDTHS, dropout: float = DROPOUT):
        super().__init__()
        self.layers = nn.ModuleList(Layer(i, o, 7, 2, dropout) for i, o in pairwise([inputs, *widths]))

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for layer in self.layers:
            x, lengths = layer(x, lengths)
        return x, lengths


class ResNet(nn.Module):
    """A layer (7), then three residual blocks of strides 2, 2, 1."""

    def __init__(self, inputs: int, widths: Sequence[int] = WIDTHS, dropout: float = DROPOUT):
        super().__init__()
        self.stem = Layer(inputs, widths[0], 7)
        self.blocks = nn.ModuleList(
            Block(i, o, stride, dropout) for (i, o), stride in zip(pairwise([widths[0], *widths]), (2, 2, 1))
        )

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x, lengths = self.stem(x, lengths)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return x, lengths


class Block(nn.Module):
    """Layers of 7 (strided), 5 and 3, the last without ReLU, beside a convolution of 1 with batch norm; sum, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Layer(inputs, outputs, 7, stride, dropout),
                Layer(outputs, outputs, 5, 1, dropout),
                Layer(outputs, outputs, 3, linear=True),
            ]
        )
        self.short = Layer(inputs, outputs, 1, stride, linear=True)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        short, _ = self.short(x, lengths)
        for layer in self.layers:
            x, lengths = layer(x, lengths)
        return (x + short).relu(), lengths


class ResTCN(nn.Module):
    """A convolution (8), nine pre-activation units of which the fourth and the seventh have stride 2, batch norm, ReLU.

    In training the released classifier adds :meth:`penalty` to its loss.
    """

    def __init__(self, inputs: int, widths: Sequence[int] = WIDTHS, dropout: float = DROPOUT):
        super().__init__()
        self.stem = Conv(inputs, widths[0], 8)
        each = [width for width in widths for _ in range(3)]
        self.units = nn.ModuleList(
            Unit(i, o, 2 if number in (3, 6) else 1, dropout)
            for number, (i, o) in enumerate(pairwise([widths[0], *each]))
        )
        self.norm = _norm(widths[-1])

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x, lengths = self.stem(x, lengths)
        for unit in self.units:
            x, lengths = unit(x, lengths)
        return self.norm(x).relu(), lengths

    def penalty(self) -> Tensor:
        """1e-4 times the sum of the absolute values of all kernels."""
        return 1e-4 * torch.stack([conv.weight.abs().sum() for conv in _convs(self)]).sum()


class Unit(nn.Module):
    """Batch norm, ReLU, dropout, convolution (8), added to the input; a convolution of 1 where sizes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float):
        super().__init__()
        self.norm, self.conv, self.dropout = _norm(inputs), Conv(inputs, outputs, 8, stride), dropout
        self.short = Conv(inputs, outputs, 1, stride) if (inputs, stride) != (outputs, 1) else None

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        short = x if self.short is None else self.short(x, lengths)[0]
        x, lengths = self.conv(F.dropout(self.norm(x).relu(), self.dropout, self.training), lengths)
        return x + short, lengths


NETS: dict[str, Callable[..., nn.Module]] = {"convnet": ConvNet, "resnet": ResNet, "restcn": ResTCN}


@torch.no_grad()
def he_normal(module: nn.Module) -> None:
    """Weights and biases of all convolutions and linear layers: Keras' he-normal, truncated at two deviations.

    The fan of a weight is its inputs times its kernel; that of a bias is its own size (spec, section 2.1).
    """
    for layer in module.modules():
        if isinstance(layer, (Conv, nn.Linear)):
            for weight, fan in ((layer.weight, layer.weight[0].numel()), (layer.bias, len(layer.bias))):
                wide = (2 / fan) ** 0.5 / 0.87962566103423978  # so that the truncated one has deviation sqrt(2 / fan)
                nn.init.trunc_normal_(weight, 0.0, wide, -2 * wide, 2 * wide)


def packed(x: Tensor, lengths: Tensor) -> Tensor:
    """The first frames of every clip one after the other: ``[B, T, D]`` -> ``[lengths.sum(), D]``."""
    begin = torch.arange(len(x)) * x.shape[1] - (lengths.cumsum(0) - lengths)
    rows = torch.arange(int(lengths.sum())) + begin[_clips(lengths)]
    return x.reshape(-1, x.shape[2])[rows.to(x.device)]


def _padded(steps: Tensor, lengths: Tensor) -> Tensor:
    """``[N, C]`` -> ``[B, longest, C]``, zeros behind the shorter ones."""
    there = torch.arange(int(lengths.max())) < lengths[:, None]
    whole = steps.new_zeros(*there.shape, steps.shape[1])
    whole[there.to(steps.device)] = steps
    return whole


def _means(steps: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the steps of each clip: ``[N, C]`` -> ``[B, C]``."""
    total = steps.new_zeros(len(lengths), steps.shape[1]).index_add(0, _clips(lengths).to(steps.device), steps)
    return total / lengths.to(steps.device)[:, None]


def _clips(lengths: Tensor) -> Tensor:
    """The clip of every row, where each clip has ``lengths`` rows."""
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def _lengths(seen: Tensor) -> Tensor | None:
    """Frames up to the last in which anybody is seen, int64 ``[B]`` on the CPU, at least 1; None if that is all."""
    there = (seen > 0).flatten(2).any(2).cpu()
    lengths = (there * torch.arange(1, there.shape[1] + 1)).amax(1).clamp(min=1)
    return None if bool((lengths == there.shape[1]).all()) else lengths


def _norm(features: int) -> BatchNorm:
    return BatchNorm(features, eps=1e-3, momentum=0.01)


def _convs(module: nn.Module) -> Iterator[Conv]:
    return (layer for layer in module.modules() if isinstance(layer, Conv))
