"""A Transformer over tokens of one joint in one short segment of time; what masked methods train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn.matmul import Linear
from ..nn.transformer import PreNormBlock
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views import body_frame
from ..views.batch import Batch
from ..views.masks import patches
from ..views.source import resize
from . import Encoder, Features

STD = 0.02  # of the positions at first


class People(NamedTuple):
    """The people of a batch who are there, one after the other, clip by clip.

    Attributes:
        joints: ``[P, T, V, C]``, gaps filled.
        seen: bool ``[P, T, V]``.
        rows: int64 ``[P]``, the number of the clip times the batch's persons, plus the person.
        there: bool ``[B, M]``, who is there; of a clip without anybody the first.
    """

    joints: Tensor
    seen: Tensor
    rows: Tensor
    there: Tensor


class SkeletonTransformer(Encoder):
    """The encoder of MAMP and its kin (Mao et al. 2023).

    A person's clip of T frames is cut into segments; one joint in one segment is a token. Its coordinates are embedded
    by one linear layer, a learnt place in time and a learnt one for the joint are added, and pre-norm blocks and a last
    LayerNorm follow. People are encoded each by themselves.

    Tokens of which no frame was seen are not looked at; in others missing joints lie on the line between the places
    where they were seen before and after. ``Features.clip`` is the mean over people, segments and joints,
    ``Features.frame [B, S, d]`` the mean over people and joints, ``Features.parts["tokens"] [B, M, S, V, d]`` all
    tokens, 0 where nothing was seen.

    Raises:
        InputError: frames that the segments do not divide, or a width that the heads do not.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published size, 6.3 million weights for 25 joints.

        Attributes:
            hidden: d, width of the tokens.
            layers: blocks.
            heads: of each block.
            mlp: the two-layer network of a block is so many times as wide as a token.
            frames: T, clips of other lengths are resized in time.
            segment: frames of a token.
            pool: what a clip's vector is: the ``mean`` of all tokens (published for linear probes), or the means over
                time of the ``joints`` side by side, V d values (published for fine-tuning).
        """

        hidden: int = 256
        layers: int = 8
        heads: int = 8
        mlp: int = 4
        frames: int = 120
        segment: int = 4
        pool: Literal["mean", "joints"] = "mean"

        def __post_init__(self) -> None:
            positive(self, "encoder", "hidden", "layers", "heads", "mlp", "frames", "segment")
            if self.hidden % self.heads:
                raise InputError("encoder.hidden", f"{self.hidden}", f"a multiple of the {self.heads} heads")
            if self.frames % self.segment:
                raise InputError("encoder.frames", f"{self.frames}", f"a multiple of segments of {self.segment}")

    layout: Layout

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.layout, self.coords = settings, layout, coords
        d = settings.hidden
        self.segments, self.joints = settings.frames // settings.segment, len(layout)
        self.dim = d * (self.joints if settings.pool == "joints" else 1)
        self.embedding = Linear(settings.segment * coords, d)
        self.time = nn.Parameter(torch.empty(self.segments, d))
        self.joint = nn.Parameter(torch.empty(self.joints, d))
        for place in (self.time, self.joint):
            nn.init.trunc_normal_(place, std=STD)
        self.blocks = nn.ModuleList(PreNormBlock(d, settings.heads, settings.mlp * d) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(d)

    def forward(self, batch: Batch) -> Features:
        """``Batch`` of any number of frames and persons -> :class:`~kineme.encoders.Features`."""
        people = self.people(batch)
        seen = self.seen_tokens(people)
        found = self.encode(self.embed(people.joints), seen) * seen[..., None]
        there = people.there
        tokens = found.new_zeros(there.numel(), *found.shape[1:]).index_copy(0, people.rows, found)
        tokens = tokens.view(*there.shape, self.segments, self.joints, -1)
        counted = seen.new_zeros(there.numel(), seen.shape[1]).index_copy(0, people.rows, seen)
        counted = counted.view(tokens.shape[:-1]).to(tokens)[..., None]
        frame = (tokens.sum(3) / counted.sum(3).clamp(min=1)).sum(1) / counted.amax(3).sum(1).clamp(min=1)
        many = there.sum(1)[:, None].to(tokens)
        if self.settings.pool == "joints":
            clip = ((tokens.sum(2) / counted.sum(2).clamp(min=1)).sum(1)).flatten(1) / many
        else:
            clip = (tokens.sum((2, 3)) / counted.sum((2, 3)).clamp(min=1)).sum(1) / many
        return Features(clip, frame, {"tokens": tokens})

    def people(self, batch: Batch) -> People:
        """Who is there, resized in time to ``frames``."""
        if batch.joints.shape[1] != self.settings.frames:
            batch = resize(batch, self.settings.frames)
        seen = batch.confidence > 0
        there = seen.any(3).any(1)
        there[:, 0] |= ~there.any(1)  # nobody at all: a vector all the same
        joints, seen = (x.transpose(1, 2).flatten(0, 1) for x in (body_frame.filled(batch.joints, seen), seen))
        # a row is a person of a clip; chosen among all only where there may be people who are not
        if there.shape[1] == 1:
            return People(joints, seen, torch.arange(len(joints), device=joints.device), there)
        rows = there.flatten().nonzero()[:, 0]
        return People(joints[rows], seen[rows], rows, there)

    def seen_tokens(self, people: People) -> Tensor:
        """Bool ``[P, L]``, tokens of which any frame was seen; all, where none was."""
        seen = patches(people.seen, self.settings.segment).any(2)
        return seen | ~seen.any(1, keepdim=True)

    def embed(self, joints: Tensor) -> Tensor:
        """Joints ``[P, T, V, C]`` -> tokens ``[P, L, d]`` with their places, L = T / segment * V."""
        return self.embedding(patches(joints, self.settings.segment)) + places(self.time, self.joint)

    def encode(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Any of the tokens, ``[P, N, d]`` -> the same.

        Args:
            tokens: see :meth:`embed`.
            seen: bool ``[P, N]``, those that may be looked at, at least one in each row; None: all.
        """
        return self.norm(through(self.blocks, tokens, seen))


def through(blocks: nn.ModuleList, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
    """Tokens ``[P, N, d]`` after all blocks; nothing is masked where all were seen."""
    if seen is not None and bool(seen.all()):
        seen = None
    for block in blocks:
        tokens = block(tokens, seen)
    return tokens


def places(time: Tensor, joint: Tensor) -> Tensor:
    """Places of all tokens ``[S V, d]``, those of segments ``[S, d]`` plus those of joints ``[V, d]``."""
    return (time[:, None] + joint).flatten(0, 1)


BLOCK = {"attn.qkv": "qkv", "attn.proj": "proj", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}


def from_released(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the released names (``joints_embed.proj.weight``, ``blocks.0.attn.qkv.weight`` ...) -> the state of
    :class:`SkeletonTransformer`. Names that are not the encoder's are left aside.
    """
    state = {}
    for name, value in arrays.items():
        layer, _, end = name.rpartition(".")
        if layer == "joints_embed.proj":  # a convolution, coordinates before frames
            state[f"embedding.{end}"] = value[..., 0].mT.flatten(1) if end == "weight" else value
        elif name in ("temp_embed", "pos_embed"):
            state["time" if name == "temp_embed" else "joint"] = value.flatten(0, 2)
        elif layer == "norm" or layer.startswith("blocks."):
            state[block_name(name)] = value
    return state


def block_name(name: str) -> str:
    """A released name of a block's array under this package's."""
    for old, new in BLOCK.items():
        name = name.replace(f".{old}.", f".{new}.")
    return name
