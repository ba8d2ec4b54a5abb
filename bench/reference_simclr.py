"""Plain reference implementation of one SimCLR step with the fused encoder, for ``kineme bench`` to measure against.

The same network and loss (Chen et al. 2020) in plain torch, batched over clips and persons: ``nn.Conv1d`` between two
transpositions for the depthwise convolution, ``nn.Linear``, every place for a person computed and those of nobody left
out of the maximum, the loss as a cross entropy. Clips have one or two persons, up is z and nobody has gaps: nothing is
filled. Names of weights are those of the package but for the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Hidden = tuple[Tensor, Tensor, Tensor]  # radians off the front [B, M], hidden joints [B, V], hidden frames [B, T]


class Block(nn.Module):
    """Depthwise convolution, then a perceptron, beside the tokens as they are."""

    def __init__(self, d: int):
        super().__init__()
        self.conv = nn.Conv1d(d, d, 5, padding=2, groups=d, bias=False)
        self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.conv(x.transpose(1, 2)).transpose(1, 2))


class Branch(nn.Module):
    """Tokens ``[P, N, inputs]`` -> maxima of every level ``[P, dim]``; over time also those of the halves and the
    deviations, over joints those of each part of the body at the first level.
    """

    def __init__(self, inputs: int, d: int, blocks: int, parts: Sequence[Sequence[int]] | None = None):
        super().__init__()
        self.parts = parts
        self.embedding = nn.Sequential(nn.Linear(inputs, d), nn.GELU(), nn.LayerNorm(d), nn.Linear(d, d))
        self.blocks = nn.ModuleList(Block(d) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(blocks + 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        first = self.norms[0](x)
        found = self.pooled(first) + [first[:, list(part)].max(1).values for part in self.parts or ()]
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number < len(self.blocks) and x.shape[1] > 1:
                x = functional.avg_pool1d(x.transpose(1, 2), 2).transpose(1, 2)
            found += self.pooled(self.norms[number](x))
        return torch.cat(found, 1)

    def pooled(self, x: Tensor) -> list[Tensor]:
        if self.parts is not None:
            return [x.max(1).values]
        half, rest = (x.shape[1] + 1) // 2, x.shape[1] // 2
        deviation = (x.var(1, unbiased=False) + 1e-6).sqrt()
        return [x.max(1).values, x[:, :half].max(1).values, x[:, rest:].max(1).values, deviation]


class Fused(nn.Module):
    """Joints, poses, velocities, bones and the partner of every person, fused at the input.

    Args:
        parents, root: of the joints; shoulders: left and right; parts: joints of each part of the body.
        d, blocks, frames: of the network.
    """

    mean: Tensor
    var: Tensor

    def __init__(
        self,
        parents: Sequence[int],
        root: Sequence[int],
        shoulders: tuple[int, int],
        parts: Sequence[Sequence[int]],
        d: int = 128,
        blocks: int = 3,
        frames: int = 32,
    ):
        super().__init__()
        self.parents = [joint if parent < 0 else parent for joint, parent in enumerate(parents)]
        self.root, self.shoulders = list(root), shoulders
        joints = len(self.parents)
        self.norm = nn.Module()
        self.norm.register_buffer("mean", torch.zeros(joints * 15))
        self.norm.register_buffer("var", torch.ones(joints * 15))
        self.time = Branch(joints * 15, d, blocks)
        self.space = Branch(frames * 15, d, blocks, parts)

    def forward(self, joints: Tensor, seen: Tensor, hidden: Hidden | None = None) -> Tensor:
        """``[B, T, M, V, 3]``, bool ``[B, T, M, V]`` -> ``[B, dim]``."""
        clips, frames, persons, number, _ = joints.shape
        there = seen.any(3).any(1)
        x = self.turned(joints, None if hidden is None else hidden[0])
        own, other = x
        root = own[:, :, :, self.root].mean(3, keepdim=True)
        partner = (other - root) * there.flip(1)[:, None, :, None, None]
        motion = torch.zeros_like(own)
        motion[:, :-1] = own[:, 1:] - own[:, :-1]
        x = torch.cat([own - root[:, :1], own - root, motion, own - own[:, :, :, self.parents], partner], -1)
        x = x.transpose(1, 2).reshape(clips * persons, frames, -1)
        x = (x - self.norm.mean) / torch.sqrt(self.norm.var + 1e-5)
        x = x.clamp(-10, 10).view(clips, persons, frames, number, -1)
        if hidden is not None:
            _, without, missed = hidden
            x = x.masked_fill((without[:, None, None, :] | missed[:, None, :, None])[..., None], 0.0)
        x = x.flatten(0, 1)
        found = torch.cat([self.time(x.flatten(2)), self.space(x.transpose(1, 2).flatten(2))], 1)
        found = found.view(clips, persons, -1).masked_fill(~there[..., None], -torch.inf)
        return found.max(1).values

    def turned(self, joints: Tensor, off: Tensor | None) -> tuple[Tensor, Tensor]:
        """Every person, and the other of two, in the frame of the person's shoulders."""
        left, right = self.shoulders
        across = (joints[:, :, :, left] - joints[:, :, :, right]).mean(1)  # [B, M, 3]
        angle = torch.atan2(across[..., 1], across[..., 0])
        if off is not None:
            angle = angle - off
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, torch.ones_like(angle)]]
        matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)[:, None]  # [B, 1, M, 3, 3]
        return joints @ matrix, joints.flip(2) @ matrix


class SimCLR(nn.Module):
    """The encoder and its head ``Linear, BatchNorm, ReLU, Linear``."""

    def __init__(self, network: Fused, dim: int, width: int = 512, out: int = 128, temperature: float = 0.2):
        super().__init__()
        self.network, self.temperature = network, temperature
        self.head = nn.Sequential(nn.Linear(dim, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, out))

    def forward(self, views: Sequence[tuple[Tensor, Tensor]], hidden: Sequence[Hidden]) -> Tensor:
        """The loss of two views, each joints and seen."""
        z = torch.cat([self.network(*view, noise) for view, noise in zip(views, hidden)])
        z = functional.normalize(self.head(z))
        scores = (z @ z.T / self.temperature).fill_diagonal_(-torch.inf)
        return functional.cross_entropy(scores, torch.arange(len(z)).roll(len(z) // 2))


def step(model: SimCLR, optimiser: torch.optim.Optimizer, *inputs) -> float:
    """One training step; the loss."""
    loss = model(*inputs)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


@torch.inference_mode()
def embed(network: Fused, clips: Sequence[tuple[np.ndarray, np.ndarray]], frames: int = 32, batch: int = 256) -> Tensor:
    """Vectors ``[N, dim]`` of clips (joints ``[T, M, V, 3]``, seen ``[T, M, V]``): the middle 95 %, resized one by one,
    stacked.
    """
    found = []
    for begin in range(0, len(clips), batch):
        joints, seen = [], []
        for points, known in clips[begin : begin + batch]:
            cut = int(0.05 * len(points) / 2)
            points, known = points[cut : len(points) - cut], known[cut : len(known) - cut]
            x = torch.from_numpy(points).flatten(1).T[None]
            x = functional.interpolate(x, frames, mode="linear", align_corners=False)[0].T
            joints.append(x.view(frames, *points.shape[1:]))
            seen.append(torch.from_numpy(known.any(0))[None].expand(frames, -1, -1))
        found.append(network(torch.stack(joints), torch.stack(seen)))
    return torch.cat(found)
