"""The hierarchical encoder of HiCo: frames and joints as two token sequences, each at several granularities."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn import rnn
from ..nn.matmul import Linear
from ..nn.transformer import TransformerLayer
from ..utils.buffers import BufferPool
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.batch import Batch
from ..views.source import resize
from . import Encoder, Features
from .recurrent import flatten

KERNEL = 5  # tokens that the down-sampling looks at


class Hierarchical(Encoder):
    """Two branches over the same clip (Dong et al. 2023): ``time``, one token per frame,
    and ``space``, one token per joint of a person with its whole trajectory. See :class:`Branch`.

    ``Features.clip`` is ``[B, 2 G d]``, ``[v_T, v_S]``, not normalised; ``Features.frame`` is ``[B, frames, d]``, the
    time branch at its finest granularity. ``Features.parts``: ``clip`` and ``part`` ``[B, G, d]`` (time and space, from
    the finest granularity to the coarsest), ``temporal`` and ``spatial`` ``[B, G d]`` (the same, concatenated),
    ``instance`` (what ``Features.clip`` is).

    A joint's token is as long as the clip, so clips of another length are first resized in time to ``frames``.

    Raises:
        InputError: so many granularities that a sequence would be left without a token.

    Attributes:
        sizes: size of each of the ``parts``.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published size: hidden 512, 4 granularities, 64 frames; the other settings of a Transformer are 1 layer, 4
        heads and dropout 0.1.

        Attributes:
            cell: the sequence encoder; ``gru`` and ``lstm`` are bidirectional with half of ``hidden`` each way.
            hidden: d, size of every token.
            granularities: G. The shortest sequence keeps ``tokens // 2 ** (G - 1)`` tokens.
            frames: T.
            heads, dropout: of the Transformer only.
            mask_absent: the space branch leaves absent people out; else they are tokens of zeros, as released.
            positional_encoding: add a sinusoidal code of its place to every token that enters the sequence encoder.
            per_person: encode each person alone and take the maximum over the people who are there: their order and
                their number do not matter.
            confidence: ``seen`` as one more coordinate of every joint.
        """

        RENAMED: ClassVar = {"masked": "mask_absent", "position": "positional_encoding", "apart": "per_person"}

        cell: Literal["gru", "lstm", "transformer"] = "gru"
        hidden: int = 512
        granularities: int = 4
        frames: int = 64
        layers: int = 1
        heads: int = 4
        dropout: float = 0.1
        persons: int | None = None
        mask_absent: bool = True
        positional_encoding: bool = False
        per_person: bool = False
        confidence: bool = False

        def __post_init__(self) -> None:
            positive(self, "encoder", "hidden", "granularities", "frames", "layers", "heads")
            parts = self.heads if self.cell == "transformer" else 2
            if self.hidden % parts or self.hidden % 2:
                raise InputError("encoder.hidden", f"{self.hidden}", f"a multiple of 2 and of {parts} ({self.cell})")
            if not 0 <= self.dropout < 1:
                raise InputError("encoder.dropout", f"{self.dropout}", "0 or more, less than 1")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.persons = settings, settings.persons or 1
        self.coords, self.joints = coords + settings.confidence, len(layout)
        together = 1 if settings.per_person else self.persons
        fewest = min(settings.frames, self.joints * (1 if settings.mask_absent else together))
        if not fewest >> settings.granularities - 1:
            raise InputError(
                "encoder.granularities",
                f"{settings.granularities}",
                f"at most {fewest.bit_length()}: each further one halves the tokens, of which there are {fewest}",
            )
        self.time = Branch(together * self.joints * self.coords, settings)
        self.space = Branch(settings.frames * self.coords, settings)
        wide = settings.granularities * settings.hidden
        self.dim = 2 * wide
        self.sizes = {"clip": settings.hidden, "part": settings.hidden}
        self.sizes |= {"temporal": wide, "spatial": wide, "instance": self.dim}
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)

    def forward(self, batch: Batch) -> Features:
        joints, present = self._input(batch)
        if self.settings.per_person:
            joints = joints.transpose(1, 2)[present].unsqueeze(2)  # every person a clip of its own
            space = self.space(joint_tokens(joints))[0]
        else:
            space = self._space(joint_tokens(joints), present)
        time, frame = self.time(joints.flatten(2))
        if self.settings.per_person:
            time, frame, space = (_fused(x, present) for x in (time, frame, space))
        temporal, spatial = time.flatten(1), space.flatten(1)
        clip = torch.cat([temporal, spatial], 1)
        parts = {"clip": time, "part": space, "temporal": temporal, "spatial": spatial, "instance": clip}
        return Features(clip, frame, parts)

    def _input(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Joints ``[B, frames, M, V, C]``, missing ones 0, and who is there, bool ``[B, M]``, never nobody."""
        s = self.settings
        if batch.joints.shape[1] != s.frames:
            batch = resize(batch, s.frames)
        if s.confidence:
            batch = dataclasses.replace(batch, joints=torch.cat([batch.joints, batch.confidence.unsqueeze(-1)], -1))
        persons = batch.joints.shape[2] if s.per_person else self.persons
        x = flatten(batch, persons)
        present = F.pad((batch.confidence > 0).any(3).any(1), (0, persons - batch.confidence.shape[2]))
        present = torch.cat([present[:, :1] | ~present.any(1, keepdim=True), present[:, 1:]], 1)
        return x.unflatten(2, (persons, self.joints, self.coords)), present

    def _space(self, tokens: Tensor, present: Tensor) -> Tensor:
        """``[B, M * V, T * C]`` -> ``[B, G, d]``; clips with the same number of people are encoded together.

        The host looks at these numbers once; with one person, or without ``mask_absent``, it does not wait for the
        device.
        """
        persons = present.shape[1]
        if not self.settings.mask_absent or persons == 1:
            return self.space(tokens)[0]
        by_person, clips = tokens.unflatten(1, (persons, -1)), torch.arange(tokens.shape[0], device=tokens.device)
        order = (~present).byte().argsort(dim=1, stable=True)  # those who are there come first
        by_person = by_person[clips[:, None], order]
        groups = [(many, (present.sum(1) == many).nonzero()[:, 0]) for many in range(1, persons + 1)]
        found = [self.space(by_person[rows, :many].flatten(1, 2))[0] for many, rows in groups if len(rows)]
        return torch.cat(found)[torch.cat([rows for _, rows in groups]).argsort()]


class Branch(nn.Module):
    """One token sequence at G granularities (Dong et al. 2023).

    ``x_0 = embedding(tokens)``, ``x_g = down(x_{g-1})``, ``v_g = max over tokens of sequence(x_g)``; the same ``down``
    and ``sequence`` at every granularity.

    Args:
        inputs: numbers in a token.
        settings: those of :class:`Hierarchical`.
    """

    def __init__(self, inputs: int, settings: Hierarchical.Settings):
        super().__init__()
        self.granularities, self.position = settings.granularities, settings.positional_encoding
        d = settings.hidden
        self.embedding = nn.Sequential(Linear(inputs, d), nn.LayerNorm(d), nn.ReLU(), Linear(d, d))
        self.conv = nn.Conv1d(d, d, KERNEL, padding=KERNEL // 2, groups=d)
        self.norm = nn.LayerNorm(d)
        self.sequence = _sequence(settings)
        self._memory = BufferPool()

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, N, inputs]`` -> the maxima ``[B, G, d]``, finest first, and the finest sequence ``[B, N, d]``."""
        levels = [self.embedding(tokens)]
        for _ in range(1, self.granularities):
            levels.append(self.down(levels[-1]))
        if self.position:
            levels = [x + places(x, 1 << g) for g, x in enumerate(levels)]
        found = self._run(levels)
        return torch.stack([out.max(1).values for out in found], 1), found[0]

    def down(self, x: Tensor) -> Tensor:
        """``[B, N, d]`` -> ``[B, N // 2, d]``: every channel's convolution, norm, ReLU, maximum of two neighbours."""
        # in two dimensions, of which one is 1, the channels may stay last: on a CPU twice as fast, LayerNorm included;
        # inside the convolution the gradient of the bias would cost as much as that of the weight
        flat, weight, bias = x.mT.unsqueeze(2), self.conv.weight.unsqueeze(2), self.conv.bias
        assert bias is not None
        x = F.conv2d(flat, weight, padding=(0, KERNEL // 2), groups=len(weight)).squeeze(2).mT + bias
        x = self.norm(x).relu()
        return torch.maximum(x[:, :-1:2], x[:, 1::2])

    def _run(self, levels: list[Tensor]) -> list[Tensor]:
        if isinstance(self.sequence, nn.RNNBase):
            if rnn.joins(self.sequence, levels[0]):
                return rnn.bidirectional(self.sequence, levels, self._memory)
            return [rnn.by_torch(self.sequence, x) for x in levels]
        return [self.sequence(x) for x in levels]


def _sequence(s: Hierarchical.Settings) -> nn.Module:
    if s.cell == "transformer":
        layer = TransformerLayer(s.hidden, s.heads, s.hidden, s.dropout)
        return nn.TransformerEncoder(layer, s.layers, enable_nested_tensor=False)
    cell = nn.GRU if s.cell == "gru" else nn.LSTM
    return cell(s.hidden, s.hidden // 2, s.layers, batch_first=True, bidirectional=True)


def joint_tokens(joints: Tensor) -> Tensor:
    """``[B, T, M, V, C]`` -> ``[B, M * V, T * C]``, a joint's trajectory in each row (space-major)."""
    return joints.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)


def places(x: Tensor, stride: int) -> Tensor:
    """Sinusoidal codes ``[N, d]`` (Vaswani et al. 2017) of the tokens of ``x [B, N, d]``, each at the middle of the
    ``stride`` finest tokens that it stands for.
    """
    count, width = x.shape[1:]
    middle = (torch.arange(count, device=x.device) + 0.5) * stride - 0.5
    rate = 1e4 ** (-torch.arange(0, width, 2, device=x.device) / width)
    angle = middle[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1).to(x.dtype)


def _fused(x: Tensor, present: Tensor) -> Tensor:
    """Rows of the people who are there ``[P, ...]`` -> the maximum over each clip's people ``[B, ...]``."""
    apart = x.new_full((*present.shape, *x.shape[1:]), -torch.inf)
    apart[present] = x
    return apart.amax(1)


RELEASED = {
    "embedding": "embedding",
    "downsample.conv.dw_conv": "conv",
    "downsample.norm": "norm",
    "encoder": "sequence",
}
NAME = re.compile(rf"hi_encoder\.([ts])_({'|'.join(map(re.escape, RELEASED))})\.(.+)")


def from_released(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the released names (``hi_encoder.t_embedding.0.weight`` ...) -> the state of :class:`Hierarchical`.

    The released code flattens as this package does (person, joint, axis; joints' trajectories frame by frame), so no
    column moves. Names outside ``hi_encoder``, which are those of the projectors, are left aside.
    """
    found = ((NAME.fullmatch(name), value) for name, value in arrays.items())
    return {
        f"{'time' if name[1] == 't' else 'space'}.{RELEASED[name[2]]}.{name[3]}": value for name, value in found if name
    }
