"""The recurrent encoder of HaLP, CMD and skeleton-contrast: two causal stacks per layer (GRU or LSTM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..motion.layout import Layout
from ..nn import rnn
from ..nn.batch_norm import BatchNorm
from ..utils.buffers import BufferPool
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views.batch import Batch
from . import Encoder, Features

Read = Literal["last", "max", "mean"]


class Recurrent(Encoder):
    """Batch norm over the joint coordinates, then layers of two independent forward-in-time networks; the clip's vector
    is read from the frames of the last layer.

    The published "bidirectional GRU" is fed frame by frame with the hidden state of both directions carried on, so
    both directions run forward in time (Shah et al. 2023). Here each is one whole-sequence call; values
    equal the frame-by-frame ones to 1e-6. Every output is causal.

    ``Features.clip`` is ``[B, 2 * hidden]``, ``Features.frame`` is ``[B, T, 2 * hidden]``.
    """

    @dataclass(frozen=True)
    class Settings:
        """Published size: hidden 1024, 3 layers.

        Attributes:
            read: ``last``: the last frame is the clip's vector, as published; a causal network remembers little of what
                came before a gesture's end. ``max``, ``mean``: over all frames.
        """

        cell: Literal["gru", "lstm"] = "gru"
        hidden: int = 1024
        layers: int = 3
        persons: int | None = None
        read: Read = "last"

        def __post_init__(self) -> None:
            positive(self, "encoder", "hidden", "layers")

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.persons = settings, settings.persons or 1
        self.dim = 2 * settings.hidden
        features = self.persons * len(layout) * coords
        self.norm = BatchNorm(features)
        self._memory = BufferPool(16)  # three layers, two stacks: what one step holds and works in
        self.layers = nn.ModuleList(self._layer(features if i == 0 else self.dim) for i in range(settings.layers))
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)

    def _layer(self, inputs: int) -> nn.Module:
        cell = nn.GRU if self.settings.cell == "gru" else nn.LSTM
        return nn.ModuleList(cell(inputs, self.settings.hidden, batch_first=True) for _ in ("forward", "reverse"))

    def forward(self, batch: Batch) -> Features:
        x = self.norm(flatten(batch, self.persons))
        for layer in self.layers:
            x = self._run(layer, x)
        return self._features(x)

    def _run(self, layer: nn.Module, x: Tensor) -> Tensor:
        if rnn.suits(x):
            return rnn.run(layer, x, self._memory)  # type: ignore[arg-type]
        return torch.cat([rnn.by_torch(stack, x) for stack in layer], dim=2)  # type: ignore[attr-defined]

    def _features(self, x: Tensor) -> Features:
        read = self.settings.read
        return Features(clip=x[:, -1] if read == "last" else x.amax(1) if read == "max" else x.mean(1), frame=x)


def flatten(batch: Batch, persons: int) -> Tensor:
    """``[B, T, M, V, C]`` -> ``[B, T, persons * V * C]``, missing joints as 0; absent persons are filled up with zeros.

    Raises:
        InputError: the batch has more persons than the encoder was built for.
    """
    joints = batch.joints * (batch.confidence > 0).unsqueeze(-1)
    have = joints.shape[2]
    if have > persons:
        raise InputError(
            "batch",
            f"{have} persons",
            f"at most {persons}",
            "Set encoder.persons, or prepare the store with fewer persons",
        )
    if have < persons:
        joints = F.pad(joints, (0, 0, 0, 0, 0, persons - have))
    return joints.flatten(2)


def from_released(arrays: dict[str, Tensor], persons: int, joints: int, coords: int) -> dict[str, Tensor]:
    """Weights under the released names -> the state of :class:`Recurrent`, input columns put into this package's order.

    The released code flattens a frame as joint, axis, person; the store's order is person, joint, axis. The columns
    of the first layer and the input norm are permuted once, here, so nothing is permuted later.

    Args:
        arrays: ``input_norm.*`` and ``encoder.<cell>.weight_ih_l0`` ... (torch GRU or LSTM names, ``_reverse`` for
            the second stack).
        persons, joints, coords: M, V, C of the input.
    """
    order = torch.arange(joints * coords * persons).view(joints, coords, persons).permute(2, 0, 1).flatten()
    state = {}
    for name, value in arrays.items():
        room, _, rest = name.partition(".")
        if room == "input_norm":
            state[f"norm.{rest}"] = value[order] if value.dim() else value
        elif room == "encoder":
            kind, layer = rest.split(".")[-1].removesuffix("_reverse").rsplit("_l", 1)
            stack = int(rest.endswith("_reverse"))
            value = value[:, order] if kind == "weight_ih" and layer == "0" else value
            state[f"layers.{layer}.{stack}.{kind}_l0"] = value
    return state
