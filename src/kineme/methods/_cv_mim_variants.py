"""The parts of CV-MIM beside its equations: its networks, and the three variants that its authors compare it with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders.pose_mlp import Layer, PoseMLP, Residual
from ..nn.batch_norm import BatchNorm
from ..nn.init import he_normal, xavier_uniform
from ..nn.matmul import Linear
from ..utils.errors import InputError

Losses = tuple[dict[str, Tensor], dict[str, Tensor]]


class Gaussian(NamedTuple):
    """An estimate: ``mean`` and ``logvar``, ``[B, D]``."""

    mean: Tensor
    logvar: Tensor


class Estimator(nn.Module):
    """A diagonal Gaussian of one code given another, ``[B, D]``."""

    def __init__(self, dim: int):
        super().__init__()
        self.mean, self.logvar = (
            nn.Sequential(Linear(dim, dim), BatchNorm(dim, eps=1e-3, momentum=0.01), nn.ELU(), Linear(dim, dim))
            for _ in range(2)
        )
        for net in (self.mean, self.logvar):
            net[0].bias.requires_grad_(False)  # the norm takes it off again
        xavier_uniform(self, zero_bias=True)

    def forward(self, *sides: Tensor) -> list[Gaussian]:
        """An estimate from each side ``[B, D]``, each with batch statistics of its own."""
        x = torch.stack(sides, 1)
        mean, logvar = (out(act(norm(first(x), True))) for first, norm, act, out in (self.mean, self.logvar))
        return [Gaussian(*both) for both in zip(mean.unbind(1), logvar.tanh().unbind(1))]


class Decoder(nn.Module):
    """The encoder's shape from both codes back to the joints, for the variant ``autoencoder``."""

    def __init__(self, encoder: PoseMLP):
        super().__init__()
        self.first = Layer(encoder.codes_dim, encoder.settings)
        self.rest = Residual(encoder.settings, encoder.inputs)
        he_normal(self)

    def forward(self, codes: Tensor) -> Tensor:
        """Joints ``[B, inputs]`` of codes ``[B, 2 D]``."""
        return self.rest(self.first(codes))


class Side(NamedTuple):
    """What is known of one side of all pairs.

    Attributes:
        pose, view: codes ``[B, D]``; the view code has no width under ``align``.
        kl: ``[B]`` of Gaussian codes, else 0.
        inputs: normalised joints ``[B, 26]``, and what the encoder sees beside them.
        local: the sub-encoder's output ``[B, D]``, of twice the width for the fusion ``cat``, of none under
            ``autoencoder``.
    """

    pose: Tensor
    view: Tensor
    kl: Tensor
    inputs: Tensor
    local: Tensor


def infomax(method: Any, a: Side, p: Side, indicator: Tensor | None) -> Losses:
    """``R + w_swap (L(h_a, F(z_p, v_a)) + L(h_p, F(z_a, v_p)))``: no bound across views, no upper bounds, no prior."""
    lower, fuse = method.lower(indicator), method.fuse
    terms = {"representation": lower(a.local, fuse(a.pose, a.view)) + lower(p.local, fuse(p.pose, p.view))}
    if method.swap:
        terms["swap"] = lower(a.local, fuse(p.pose, a.view)) + lower(p.local, fuse(a.pose, p.view))
    return method.weighted(a, p, terms, {})


def align(method: Any, a: Side, p: Side, indicator: Tensor | None) -> Losses:
    """``L(h_a, z_a) + L(h_p, z_p) + w_cross L(z_a, z_p)``: there is no view code."""
    lower = method.lower(indicator)
    terms = {"representation": lower(a.local, a.pose) + lower(p.local, p.pose)}
    if method.swap:
        terms["swap"] = lower(a.local, p.pose) + lower(p.local, a.pose)
    terms["cross"] = lower(a.pose, p.pose)
    return method.weighted(a, p, terms, {})


def autoencoder(method: Any, a: Side, p: Side) -> Losses:
    """Mean squared errors of both sides, each decoded from its own view code with its own and the other's pose code."""
    pairs = [(z, v) for z in (a, p) for v in (a, p)]
    made = method.decoder(torch.cat([torch.cat([z.pose, v.view], 1) for z, v in pairs]))
    error = 4 * F.mse_loss(made, torch.cat([v.inputs for _, v in pairs]))  # the sum of four
    return method.weighted(a, p, {"reconstruction": error}, {})


OBJECTIVES: dict[str, Callable[[Any, Side, Side, Tensor | None], Losses]] = {"infomax": infomax, "align": align}


def checked(encoder: Encoder, s: Any) -> PoseMLP:
    """The encoder, if a variant can be trained with it.

    Raises:
        InputError: another encoder, or one with a view code too many or too few.
    """
    if not isinstance(encoder, PoseMLP):
        raise InputError("encoder.name", type(encoder).__name__.lower(), "pose_mlp, for what it contrasts")
    if encoder.settings.view == (s.variant == "align"):
        wanted = "false: align has one code" if s.variant == "align" else f"true: {s.variant} has two codes"
        raise InputError("encoder.view", f"{encoder.settings.view}".lower(), wanted)
    if s.w_kl != 1 and encoder.settings.embedder == "point":
        warnings.warn("method.w_kl acts on Gaussian codes only (encoder.embedder=gaussian)", stacklevel=4)
    return encoder
