"""MAMP: nine tokens in ten are hidden; from the rest their displacements are predicted (Mao et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..encoders import Encoder
from ..encoders.skeleton_transformer import (
    STD,
    People,
    SkeletonTransformer,
    block_name,
    places,
    through,
)
from ..encoders.skeleton_transformer import from_released as encoder_from_released
from ..nn.init import xavier_uniform
from ..nn.matmul import Linear
from ..nn.precision import full_precision
from ..nn.transformer import PreNormBlock
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.augment import ViewSettings, view
from ..views.batch import Batch
from ..views.masks import (
    TokenMask,
    apply_mask,
    draw_mask,
    intensity,
    motion_probabilities,
    patches,
    with_hidden,
)
from ..views.source import ClipLoader
from . import Method, NewEncoder, StepContext

FLOOR = 1e-6  # added to a variance
VIEWS = ViewSettings(frames=120, crop_low=0.5, min_frames=64, shear=0.0, joint_jitter=0.0, rotate_xyz=0.3)


class Predicted(NamedTuple):
    """What one step has made of the people of a batch.

    Attributes:
        latent: ``[P, K, d]``, the encoder's output for the visible tokens.
        prediction: ``[P, L, n]`` for all tokens, n = segment * C.
        target: ``[P, L, n]``.
        weight: ``[P, L, n]``, 1 for values that count, 0 for others.
        mask: which tokens were hidden.
        intensity: ``[P, L]``, how much each token moves.
    """

    latent: Tensor
    prediction: Tensor
    target: Tensor
    weight: Tensor
    mask: TokenMask
    intensity: Tensor


class MAMP(Method):
    """Masked motion prediction.

    Token s[i, v] is joint v in segment i. With I[i, v] the mean of ``|s[i, v] - s[i - 1, v]|``, hidden are
    ``ratio`` of the tokens, drawn by the weights ``softmax(I / (tau max I))``. The encoder sees the others; a decoder
    sees what it made of them, with a learnt token in every hidden place, and predicts the displacements
    ``m_t = x_{t + stride} - x_t`` of each hidden token, normalised by the token's own mean and variance:

    ``L = mean over hidden tokens of mean (prediction - (m - mean m) / sqrt(var m + 1e-6))^2``.

    People who are absent, tokens that were not seen and displacements from or to a joint that was not seen do not
    count; as released (``faithful``) they are zeros that do.
    """

    encoder_name = "skeleton_transformer"

    @dataclass(frozen=True)
    class Settings:
        """Published values for NTU RGB+D 60.

        Attributes:
            ratio: share of the tokens that is hidden.
            tau: temperature of the weights by which they are drawn; 0 or less: all alike.
            target: what is predicted: ``motion``, or the coordinates of each ``joint``.
            stride: frames from one place to the next in a displacement.
            normaliser: of the target: each token by itself (``segment``), each axis over the person's ``clip`` (Zhu et
                al. 2025, NAT), or ``none``.
            decoder_layers, decoder_width: of the decoder; its heads are as many as the encoder's.
            views: how a clip's view is drawn.
            faithful: as in the authors' code: absent people, missing joints and the padding of the last displacements
                are zeros that count, and the number of visible tokens is rounded down.
        """

        ratio: float = 0.9
        tau: float = 0.8
        target: Literal["motion", "joint"] = "motion"
        stride: int = 1
        normaliser: Literal["segment", "clip", "none"] = "segment"
        decoder_layers: int = 3
        decoder_width: int = 256
        views: ViewSettings = field(default_factory=lambda: VIEWS)
        faithful: bool = False

        def __post_init__(self) -> None:
            positive(self, "method", "stride", "decoder_layers", "decoder_width")
            if not 0 < self.ratio < 1:
                raise InputError("method.ratio", f"{self.ratio}", "more than 0, less than 1")

    def __init__(self, settings: Settings, new_encoder: NewEncoder):
        super().__init__()
        network = new_encoder()
        if not isinstance(network, SkeletonTransformer):
            name = type(network).__name__.lower()
            raise InputError("encoder.name", name, "an encoder of tokens", "Take skeleton_transformer")
        if settings.stride >= network.settings.frames:
            raise InputError("method.stride", f"{settings.stride}", f"fewer than {network.settings.frames} frames")
        self.settings, self.network = settings, network
        self.decoder = Decoder(network, settings.decoder_width, settings.decoder_layers)

    def views(self, source: ClipLoader, index: Tensor, gen: torch.Generator) -> tuple[Batch, ...]:
        """One view of each clip, and the uniform numbers by which its tokens are hidden."""
        seen = view(source, index, self.settings.views, gen)
        tokens = self.network.segments * self.network.joints
        uniforms = torch.rand(len(index), seen.joints.shape[2], tokens, generator=gen)
        return (replace(seen, uniforms=uniforms.to(source.device, non_blocking=True)),)

    def losses(self, views: tuple[Batch, ...], step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """:meth:`predict`, then :meth:`objective`."""
        return self.objective(self.predict(views[0]), step)

    def predict(self, seen: Batch) -> Predicted:
        """Hide tokens of a view with its ``uniforms``, encode the others, and predict."""
        people = self.network.people(seen)
        assert seen.uniforms is not None
        mask, moved = self.mask(people, seen.uniforms.flatten(0, 1)[people.rows])
        visible = apply_mask(self.network.embed(people.joints), mask)
        latent = self.network.encode(visible, mask.valid)
        return Predicted(latent, self.decoder(latent, mask), *self.target(people), mask, moved)

    @full_precision
    def mask(self, people: People, uniforms: Tensor) -> tuple[TokenMask, Tensor]:
        """Which tokens are hidden, by ``uniforms [P, L]``, and the intensities ``[P, L]``."""
        s = self.settings
        moved = intensity(patches(people.joints, self.network.settings.segment), self.network.joints)
        chances = motion_probabilities(moved, s.tau) if s.tau > 0 else None
        return draw_mask(uniforms, s.ratio, chances, self.network.seen_tokens(people), s.faithful), moved

    @full_precision
    @torch.no_grad()
    def target(self, people: People) -> tuple[Tensor, Tensor]:
        """What the decoder is to predict, and which of its values count, both ``[P, L, n]``."""
        s, segment = self.settings, self.network.settings.segment
        values, counted = people.joints, people.seen
        if s.target == "motion":
            values, counted = displacements(values, counted, s.stride, s.faithful)
        weight = counted.to(values)[..., None].expand_as(values)
        if s.normaliser == "clip":
            values = normalised(values, weight, (1, 2))
        values, weight = patches(values, segment), patches(weight, segment)
        return (normalised(values, weight, 2) if s.normaliser == "segment" else values), weight

    @full_precision
    def objective(self, made: Predicted, step: StepContext) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The mean over the hidden tokens of all processes; the log has that of tokens which move more than the mean of
        their clip, and that of the others.
        """
        each = masked_error(made.prediction.float(), made.target, made.weight)
        counted = made.mask.hidden & (made.weight > 0).any(2)
        many = step.dist.mean_(counted.sum().float()).clamp(min=1e-6)
        loss = (each * counted).sum() / many
        moving = made.intensity > made.intensity.mean(1, keepdim=True)
        log = {
            "hidden": made.mask.hidden.float().mean(),
            "intensity": made.intensity.mean(),
            "loss moving": _mean(each.detach(), counted & moving),
            "loss still": _mean(each.detach(), counted & ~moving),
        }
        return {"loss": loss}, log

    def encoder(self) -> Encoder:
        return self.network


class Decoder(nn.Module):
    """Latent tokens of what is visible -> values of all tokens.

    A linear layer, the tokens in their places with one learnt token wherever nothing is visible, places of their own,
    pre-norm blocks, a LayerNorm and a linear layer.

    Args:
        network: the encoder whose tokens these are.
        width: of the decoder's tokens; a multiple of the encoder's heads.
        layers: blocks.

    Raises:
        InputError: a width that the heads do not divide.
    """

    def __init__(self, network: SkeletonTransformer, width: int, layers: int):
        super().__init__()
        s = network.settings
        if width % s.heads:
            raise InputError("method.decoder_width", f"{width}", f"a multiple of the encoder's {s.heads} heads")
        self.embedding = Linear(s.hidden, width)
        self.mask_token = nn.Parameter(torch.empty(1, width))
        self.time = nn.Parameter(torch.empty(network.segments, width))
        self.joint = nn.Parameter(torch.empty(network.joints, width))
        for weight in (self.mask_token, self.time, self.joint):
            nn.init.trunc_normal_(weight, std=STD)
        self.blocks = nn.ModuleList(PreNormBlock(width, s.heads, s.mlp * width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = Linear(width, s.segment * network.coords)
        for layer in (self.embedding, self.head):
            xavier_uniform(layer, zero_bias=True)

    def forward(self, latent: Tensor, mask: TokenMask) -> Tensor:
        """``[P, K, d]`` -> ``[P, L, n]``."""
        x = with_hidden(self.embedding(latent), self.mask_token[0], mask) + places(self.time, self.joint)
        return self.head(self.norm(through(self.blocks, x)))


def displacements(joints: Tensor, seen: Tensor, stride: int, padded: bool = False) -> tuple[Tensor, Tensor]:
    """``x_{t + stride} - x_t``, 0 in the last ``stride`` frames, and which of them count.

    Args:
        joints: ``[P, T, V, C]``.
        seen: bool ``[P, T, V]``; a displacement counts where both of its ends were seen.
        stride: frames between them.
        padded: the zeros at the end count too.
    """
    moved, both = torch.zeros_like(joints), torch.full_like(seen, padded)
    moved[:, :-stride] = joints[:, stride:] - joints[:, :-stride]
    both[:, :-stride] = seen[:, stride:] & seen[:, :-stride]
    return moved, both


def normalised(values: Tensor, weight: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    """``(x - mean) / sqrt(var + 1e-6)`` over some axes, of the values of weight 1; the variance is unbiased."""
    count = weight.sum(axes, keepdim=True)
    centred = values - (values * weight).sum(axes, keepdim=True) / count.clamp(min=1)
    spread = (centred.square() * weight).sum(axes, keepdim=True) / (count - 1).clamp(min=1)
    return centred / (spread + FLOOR).sqrt()


def masked_error(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error ``[P, L]`` of each token over its values of weight 1, all ``[P, L, n]``; 0 where none has."""
    return ((prediction - target).square() * weight).sum(2) / weight.sum(2).clamp(min=1)


def from_released(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the released names, decoder included (``decoder_blocks.0.attn.qkv.weight`` ...) -> the state of
    :class:`MAMP`.
    """
    state = {f"network.{name}": value for name, value in encoder_from_released(arrays).items()}
    words = {"embed": "embedding", "temp_embed": "time", "pos_embed": "joint", "pred": "head"}
    for name, value in arrays.items():
        if name == "mask_token":
            state["decoder.mask_token"] = value[0]
        elif name.startswith("decoder_"):
            layer, dot, rest = name.removeprefix("decoder_").partition(".")
            value = value.flatten(0, 2) if layer in ("temp_embed", "pos_embed") else value
            state[f"decoder.{block_name(words.get(layer, layer) + dot + rest)}"] = value
    return state


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)
