"""The encoder of CV-MIM: one frame's joints through residual layers into a pose code and a view code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn.batch_norm import BatchNorm
from ..nn.dropout import dropout
from ..nn.init import he_normal
from ..nn.matmul import Linear
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views import keypoints, random_cameras
from ..views.batch import Batch
from . import Encoder, Features

NOSE = 0  # the slot in which detectors have the nose and 3-D bodies the head


class Codes(NamedTuple):
    """What the encoder makes of frames, leading axes as given.

    Attributes:
        pose: ``[..., dim]``.
        view: ``[..., dim]``, or ``[..., 0]`` without a view code.
        kl: ``[...]``, divergence of the codes' Gaussian from the unit normal, summed over its width; of points 0.
    """

    pose: Tensor
    view: Tensor
    kl: Tensor


class PoseMLP(Encoder):
    """13 joints of person 0, normalised frame by frame, through a linear layer, residual blocks and a linear head whose
    output is cut into pose code and view code (Zhao et al. 2021).

    Joints are taken from any layout by name; a missing joint stands at the origin. In 2-D they are (x, y), y downwards.
    ``Features.frame [B, T, dim]`` are the pose codes, 0 where nobody is seen; ``Features.clip [B, dim]`` is their mean
    over the frames in which a person is; ``Features.parts``: ``pose`` and ``view``, ``[B, T, dim]``.

    Raises:
        InputError: a layout without shoulders or hips.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published size: width 1024, 2 blocks, codes of 32.

        Attributes:
            width: of all hidden layers.
            blocks: residual blocks of two layers.
            dim: size of each code.
            dropout: after every ReLU.
            norm: batch norm before every ReLU.
            embedder: codes are points, or drawn from Gaussians while training (their means otherwise).
            view: whether there is a view code beside the pose code.
            visibility: 1 or 0 as one more input of every joint, for training with hidden joints.
            nose: False leaves the joint out that is a nose to detectors and a head to 3-D bodies.
            max_norm: length to which the weights of every unit are cut after a step; 0 = off.
        """

        width: int = 1024
        blocks: int = 2
        dim: int = 32
        dropout: float = 0.25
        norm: bool = True
        embedder: Literal["point", "gaussian"] = "point"
        view: bool = True
        visibility: bool = False
        nose: bool = True
        max_norm: float = 0.0

        def __post_init__(self) -> None:
            positive(self, "encoder", "width", "blocks", "dim")
            if not 0 <= self.dropout < 1:
                raise InputError("encoder.dropout", f"{self.dropout}", "0 or more, less than 1")
            if self.max_norm < 0:
                raise InputError("encoder.max_norm", f"{self.max_norm}", "0 (off) or more")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.coords, self.dim = settings, coords, settings.dim
        self.joints = layout
        keypoints.taken(layout, coords)  # refuses a layout that will not do
        self.inputs = keypoints.JOINTS * (coords + settings.visibility)
        self.codes_dim = settings.dim * (1 + settings.view)
        heads = 2 if settings.embedder == "gaussian" else 1
        self.first = Layer(self.inputs, settings)
        self.rest = Residual(settings, heads * self.codes_dim)
        he_normal(self)

    def forward(self, batch: Batch) -> Features:
        codes = self.codes(self.stem(self.input(batch)))
        there = (batch.confidence[:, :, 0] > 0).any(-1, keepdim=True).to(codes.pose.dtype)
        frame = codes.pose * there
        parts = {"pose": frame, "view": codes.view * there} if self.settings.view else {"pose": frame}
        return Features(frame.sum(1) / there.sum(1).clamp(min=1), frame, parts)

    def input(self, batch: Batch) -> Tensor:
        """What the first layer sees, ``[B, T, inputs]``: normalised joints, in 2-D (row, column) as released."""
        taken = keypoints.taken(self.joints, self.coords, batch.joints.device)
        joints, seen = taken(batch.joints[:, :, 0], batch.confidence[:, :, 0])
        made = keypoints.pick(keypoints.normalise(joints, taken.profile, seen).points, taken.profile, -2)
        seen = keypoints.pick(seen, taken.profile)
        if not self.settings.nose:
            shown = torch.arange(keypoints.JOINTS, device=seen.device) != NOSE
            made, seen = made * shown[:, None], seen & shown
        if self.coords == 2:
            made = random_cameras.image(made)
        if self.settings.visibility:
            made = torch.cat([made, seen.unsqueeze(-1).to(made)], -1)
        return made.flatten(-2)

    def stem(self, inputs: Tensor, apart: bool = False) -> Tensor:
        """The first layer's activation ``[..., width]``, which CV-MIM's sub-encoder shares (dropout included).

        Args:
            inputs: ``[..., inputs]``.
            apart: ``[B, sides, inputs]``, every side with batch statistics of its own.
        """
        return self.first(inputs, apart)

    def codes(self, stem: Tensor, apart: bool = False) -> Codes:
        """Codes of frames from the first layer's activation ``[..., width]``; ``apart`` as in :meth:`stem`."""
        out = self.rest(stem, apart)
        kl = out.new_zeros(out.shape[:-1])
        if self.settings.embedder == "gaussian":
            mean, raw = out.chunk(2, -1)
            logvar = 10 * raw.tanh()
            kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)
            out = mean + (logvar / 2).exp() * torch.randn_like(mean) if self.training else mean
        return Codes(out[..., : self.dim], out[..., self.dim :], kl)


class Layer(nn.Module):
    """Linear, batch norm (epsilon 1e-3, momentum 0.01), ReLU, dropout: ``[..., inputs]`` -> ``[..., width]``."""

    def __init__(self, inputs: int, settings: PoseMLP.Settings):
        super().__init__()
        self.linear = Linear(inputs, settings.width)
        self.norm = BatchNorm(settings.width, eps=1e-3, momentum=0.01) if settings.norm else None
        self.dropout = settings.dropout
        if settings.norm:
            self.linear.bias.requires_grad_(False)  # the mean that is taken off contains it: it has no gradient

    def forward(self, x: Tensor, apart: bool = False) -> Tensor:
        x = self.linear(x)
        x = (x if self.norm is None else self.norm(x, apart)).relu()
        return dropout(x, self.dropout, self.training)


class Residual(nn.Module):
    """Blocks of two layers, each added to its input, and a linear head: ``[..., width]`` -> ``[..., outputs]``.

    Args:
        settings: those of :class:`PoseMLP`.
        outputs: size of the head's output.
    """

    def __init__(self, settings: PoseMLP.Settings, outputs: int):
        super().__init__()
        width = settings.width
        self.blocks = nn.ModuleList(
            nn.Sequential(Layer(width, settings), Layer(width, settings)) for _ in range(settings.blocks)
        )
        self.head = Linear(width, outputs)

    def forward(self, x: Tensor, apart: bool = False) -> Tensor:
        for first, second in self.blocks:  # type: ignore[misc] # mypy does not know what is in a ModuleList
            x = second(first(x, apart), apart) + x  # type: ignore[has-type]
        return self.head(x)


@torch.no_grad()
def limit(module: nn.Module, length: float) -> None:
    """Cut the weights of every unit of all linear layers to this length (Keras' ``max_norm``)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.copy_(torch.renorm(layer.weight, 2, 0, length))
