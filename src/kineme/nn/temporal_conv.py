"""Convolutional classifiers of sequences of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batch_norm import BatchNorm
from .dropout import dropout
from .init import he_normal
from .matmul import Linear, linear

Nets = Literal["convnet", "resnet", "restcn"]
WIDTHS = (64, 128, 256)


DROPOUT = 0.5


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
        self.linear = Linear(widths[-1], classes)
        he_normal(self)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits ``[B, K]``.

        Args:
            x: ``[B, T, D]``; or ``[N, D]``, the frames of all clips one after the other.
            lengths: int64 ``[B]``, from 1 up, on the CPU: frames of each clip. Every clip is then seen as if it were
                alone: what stands behind its last frame has no influence on anything. Without them all T frames count,
                as in the released code, where padding enters the mean (Zhao et al. 2021).
        """
        if lengths is None:
            steps, _ = self.net(x, None)
            return self.linear(steps.mean(1))
        steps, lengths = self.net(packed(x, lengths) if x.dim() == 3 else x, lengths)
        return self.linear(means(steps, lengths))


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
            return linear(x, self.weight.squeeze(2), self.bias), lengths
        taps, after = windows(lengths, self.kernel, self.stride)
        rows = F.embedding(taps.to(x.device), F.pad(x, (0, 0, 0, 1))).flatten(1)  # the last row is the zero outside
        return linear(rows, self.weight.transpose(1, 2).flatten(1), self.bias), after


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
        return (x if self.linear else dropout(x.relu(), self.dropout, self.training)), lengths


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
        x, lengths = self.conv(dropout(self.norm(x).relu(), self.dropout, self.training), lengths)
        return x + short, lengths


def packed(x: Tensor, lengths: Tensor) -> Tensor:
    """The first frames of every clip one after the other: ``[B, T, D]`` -> ``[lengths.sum(), D]``."""
    begin = torch.arange(len(x)) * x.shape[1] - (lengths.cumsum(0) - lengths)
    rows = torch.arange(int(lengths.sum())) + begin[_clips(lengths)]
    return x.reshape(-1, x.shape[2])[rows.to(x.device)]


def means(steps: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the steps of each clip: ``[N, C]`` -> ``[B, C]``."""
    total = steps.new_zeros(len(lengths), steps.shape[1]).index_add(0, _clips(lengths).to(steps.device), steps)
    return total / lengths.to(steps.device)[:, None]


def _clips(lengths: Tensor) -> Tensor:
    """The clip of every row, where each clip has ``lengths`` rows."""
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def _norm(features: int) -> BatchNorm:
    return BatchNorm(features, eps=1e-3, momentum=0.01)


def _convs(module: nn.Module) -> Iterator[Conv]:
    return (layer for layer in module.modules() if isinstance(layer, Conv))


NETS: dict[str, Callable[..., nn.Module]] = {"convnet": ConvNet, "resnet": ResNet, "restcn": ResTCN}
