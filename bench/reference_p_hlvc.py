"""Plain reference implementation of one P-HLVC pretraining step and its views, for ``kineme bench`` to measure against.

The same networks and the same loss (Schneider et al. 2022; Xie et al. 2018; Caetano et al. 2019; Caron et al. 2020) as
they are written down without further thought: ``nn.Conv3d``, ``nn.BatchNorm3d`` and ``nn.MaxPool3d`` on contiguous
memory, Sinkhorn as exponentials in float64, the loss pair by pair of a view and a body; views clip by clip, colours
step by step. Names of weights are those of the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-3
STILL, LEAST = 1.1, 0.004


def conv(inputs: int, outputs: int, momentum: float, kernel=(1, 1, 1), stride=(1, 1, 1)) -> nn.Sequential:
    padding = tuple(k // 2 for k in kernel)
    layer = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm3d(outputs, EPS, momentum), nn.ReLU(True))


def separable(inputs: int, outputs: int, size: int, momentum: float, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        conv(inputs, outputs, momentum, (1, size, size), (1, stride, stride)),
        conv(outputs, outputs, momentum, (size, 1, 1), (stride, 1, 1)),
    )


class Inception(nn.Module):
    """Four branches side by side (Szegedy et al. 2015)."""

    def __init__(self, inputs: int, widths: Sequence[int], momentum: float):
        super().__init__()
        point, narrow, wide, narrower, less, pooled = widths
        self.branch0 = conv(inputs, point, momentum)
        self.branch1 = nn.Sequential(conv(inputs, narrow, momentum), separable(narrow, wide, 3, momentum))
        self.branch2 = nn.Sequential(conv(inputs, narrower, momentum), separable(narrower, less, 3, momentum))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), conv(inputs, pooled, momentum))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


class S3D(nn.Module):
    """Separable 3-D Inception (Xie et al. 2018): ``[B, 3, T, H, W]`` -> ``[B, dim]``.

    Args:
        stem: widths of the first layer and of the third.
        blocks: widths of the branches, block by block.
        pools: kernel, stride, padding of the maximum before a block, by its number.
    """

    def __init__(self, stem: tuple[int, int], blocks: Sequence[Sequence[int]], pools: dict, dim: int, momentum: float):
        super().__init__()
        first, second = stem
        layers: list[nn.Module] = [
            separable(3, first, 7, momentum, 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            conv(first, first, momentum),
            separable(first, second, 3, momentum),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ]
        inputs = second
        for number, widths in enumerate(blocks):
            if number in pools:
                layers.append(nn.MaxPool3d(*pools[number]))
            layers.append(Inception(inputs, widths, momentum))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = functional.avg_pool3d(x, (min(2, x.shape[2]), *x.shape[3:]), 1)
        return self.head(x.flatten(2).transpose(1, 2)).mean(1)


class Pose(nn.Module):
    """The network of motion images, with batch norm as the small preset has it: ``[P, 4, T, 49]`` -> ``[P, dim]``."""

    def __init__(self, flat: int, dim: int):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 4
        for width, kernel, pool in ((16, (3, 3), 0), (32, (3, 3), 1), (32, (3, 5), 2), (64, (3, 3), 2)):
            layers += [nn.Conv2d(inputs, width, kernel), nn.BatchNorm2d(width)]
            layers += [nn.MaxPool2d(3, pool)] if pool else []
            layers.append(nn.ReLU())
            inputs = width
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.linear = nn.Sequential(nn.Linear(flat, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convolutions(x))


class PHLVC(nn.Module):
    """Both networks, their heads, prototypes ``[K, width]`` and queues.

    Args:
        video, flat: the video network, and the values that reach the linear layers of the pose network.
        dim, width: of the features and of the common space.
        prototypes: K.
        share: weight of swapped prediction; the rest is NT-Xent.
        eps, rounds, temperature, contrast_temperature: of the optimal transport and the losses.
    """

    def __init__(
        self,
        video: S3D,
        flat: int,
        dim: int,
        width: int,
        prototypes: int,
        share: float,
        eps: float = 0.05,
        rounds: int = 3,
        temperature: float = 0.1,
        contrast_temperature: float = 0.1,
    ):
        super().__init__()
        self.share, self.eps, self.rounds = share, eps, rounds
        self.temperature, self.contrast_temperature = temperature, contrast_temperature
        head = nn.Sequential(nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, width))
        pose_head = nn.Sequential(nn.ReLU(), nn.Linear(dim, width))
        self.model = nn.ModuleDict(
            {"video": video, "pose": Pose(flat, dim), "video_head": head, "pose_head": pose_head}
        )
        self.prototypes = nn.Parameter(torch.empty(prototypes, width))
        self.queues: dict[str, Tensor] = {}  # newest first

    def forward(
        self, frames: Sequence[Tensor], joints: Tensor, seen: Tensor, sizes: Tensor, order: Sequence[int]
    ) -> Tensor:
        """The loss.

        Args:
            frames: views ``[B, 3, T, H, W]``.
            joints: ``[B, T, M, V, 2]`` in pixels.
            seen: bool ``[B, T, M, V]``.
            sizes: ``[B, 2]``, width and height of the pictures.
            order: joints along a motion image.
        """
        joints = joints / sizes[:, None, None, None] * torch.tensor([1.0, -1.0])
        video = [functional.normalize(self.model["video_head"](self.model["video"](x))) for x in frames]
        images, moved = motion_images(joints, seen, order)
        present = moving(moved, seen)
        found = functional.normalize(self.model["pose_head"](self.model["pose"](images[present])))
        bodies = found.new_zeros(*present.shape, found.shape[1])
        bodies[present] = found
        loss = self.share * self.swapped(video, bodies, present)
        loss = loss + (1 - self.share) * sum(self.contrast(x, bodies, present) for x in video) / len(video)
        for name, rows in (("video", video[0]), ("pose", found)):
            queue = self.queues[name]
            self.queues[name] = torch.cat([rows.detach().flip(0), queue])[: len(queue)]
        return loss

    def swapped(self, video: Sequence[Tensor], bodies: Tensor, present: Tensor) -> Tensor:
        """Every view predicts the assignment of every body and the other way round."""
        q_video = [self.assigned(x, "video") for x in video]
        q_body = bodies.new_zeros(*present.shape, len(self.prototypes))
        q_body[present] = self.assigned(bodies[present], "pose")
        p_body = functional.log_softmax(bodies @ self.prototypes.T / self.temperature, -1)
        number, clips = present.sum(1).clamp(min=1), present.any(1).sum().clamp(min=1)
        total = bodies.new_zeros(())
        for x, q in zip(video, q_video):
            p = functional.log_softmax(x @ self.prototypes.T / self.temperature, -1)
            for body in range(present.shape[1]):
                pair = -(q_body[:, body] * p).sum(1) - (q * p_body[:, body]).sum(1)
                total = total + (pair * present[:, body] / number).sum() / clips
        return total / (2 * len(video))

    @torch.no_grad()
    def assigned(self, rows: Tensor, stream: str) -> Tensor:
        """Assignments ``[N, K]`` of a batch beside its queue (Caron et al. 2020, appendix A)."""
        scores = torch.cat([rows, self.queues[stream]]) @ self.prototypes.T
        q = torch.exp(scores.double() / self.eps).T
        q /= q.sum()
        for _ in range(self.rounds):
            q /= q.sum(1, keepdim=True)
            q /= q.shape[0]
            q /= q.sum(0, keepdim=True)
            q /= q.shape[1]
        return (q * q.shape[1]).T[: len(rows)].to(rows.dtype)

    def contrast(self, video: Tensor, bodies: Tensor, present: Tensor) -> Tensor:
        """NT-Xent (Chen et al. 2020): clips among the bodies of other clips, bodies among clips; the mean of both."""
        of, _ = present.nonzero(as_tuple=True)
        logits = video @ bodies[present].T / self.contrast_temperature  # [B, P]
        weight = 1 / present.sum(1)[of] / present.any(1).sum()
        own = logits[of, torch.arange(len(of))]
        others = logits[of].masked_fill(of[:, None] == of[None], -1e30)  # a row for every body: its clip and the others
        from_video = torch.logsumexp(torch.cat([own[:, None], others], 1), 1) - own
        from_bodies = torch.logsumexp(logits, 0) - own
        return (weight * (from_video + from_bodies)).sum() / 2


def motion_images(joints: Tensor, seen: Tensor, order: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Skeleton motion images ``[B, M, 4, T, 49]`` of 2-D joints, and all movement of a body ``[B, M]``."""
    joints, seen = joints[..., list(order), :], seen[..., list(order)]
    step = torch.zeros_like(joints)
    step[:, :-1] = (joints[:, :-1] - joints[:, 1:]) * (seen[:, :-1] & seen[:, 1:])[..., None]
    x, y, z = step[..., 0], step[..., 1], torch.zeros_like(step[..., 0])
    size = step.norm(dim=-1).clamp(max=1)
    angles = [torch.atan2(*pair) / (2 * math.pi) + 0.5 for pair in ((y, x), (y, z), (z, x))]
    channels = [torch.where(size < LEAST, STILL, angle) for angle in angles]
    return torch.stack([*channels, size], 2).permute(0, 3, 2, 1, 4), size.sum((1, 3))


def moving(moved: Tensor, seen: Tensor) -> Tensor:
    """The bodies that move, bool ``[B, M]``; where none does the first that is there."""
    there = seen.any(3).any(1)
    chosen = there & (moved > 0)
    for clip in (~chosen.any(1)).nonzero()[:, 0].tolist():
        for body in there[clip].nonzero()[:1, 0].tolist():
            chosen[clip, body] = True
    return chosen


def step(model: PHLVC, optimiser: torch.optim.Optimizer, clip: float, *inputs) -> float:
    """One training step; the loss."""
    loss = model(*inputs)
    optimiser.zero_grad()
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    with torch.no_grad():
        model.prototypes.copy_(functional.normalize(model.prototypes))
    return loss.item()


# ---- views


@dataclass
class Look:
    """What is drawn for one view of one clip: radians, shares of the picture, factors."""

    angle: float
    side: float
    centre: tuple[float, float]
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: bool


def view(film: np.ndarray, look: Look, size: int, low: float, high: float) -> Tensor:
    """Rotate, crop, resize and recolour ``[T, H, W, 3]`` of 0 .. 255 -> ``[3, T, size, size]``, normalised."""
    picture = torch.from_numpy(film).permute(0, 3, 1, 2).float() / 255
    height, width = picture.shape[2:]
    cos, sin = math.cos(look.angle), math.sin(look.angle)
    reach = abs(cos) + abs(sin)
    most, area = min(width, height) / reach, math.sqrt(width * height)
    short, long = min(math.sqrt(low) * area, most), min(math.sqrt(high) * area, most)
    side = min(short + (long - short) * look.side, most)
    half = side * reach / 2
    x, y = (min(max(c * n, half), n - half) for c, n in zip(look.centre, (width, height)))
    line = ((torch.arange(size) * 2 + 1) / size - 1) * side / 2
    down, right = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([right * cos - down * sin + x, right * sin + down * cos + y], -1)
    edge = torch.tensor([width, height])
    places = torch.minimum(places.clamp(min=0.5), edge - 0.5) * 2 / edge - 1
    picture = functional.grid_sample(picture, places.expand(len(picture), -1, -1, -1), align_corners=False)
    return coloured(picture, look).transpose(0, 1)


def coloured(x: Tensor, look: Look) -> Tensor:
    """Brightness, contrast, saturation, hue, grey of ``[T, 3, H, W]``, one after the other; then normalised."""

    def luma(x: Tensor) -> Tensor:
        return (0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]).unsqueeze(1)

    x = x * look.brightness
    x = look.contrast * x + (1 - look.contrast) * luma(x).mean()
    x = look.saturation * x + (1 - look.saturation) * luma(x)
    yiq = torch.tensor([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    cos, sin = math.cos(look.hue), math.sin(look.hue)
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    x = torch.einsum("ij,tjhw->tihw", torch.linalg.inv(yiq) @ turn @ yiq, x)
    x = luma(x).expand_as(x) if look.grey else x
    mean, deviation = torch.tensor([0.43216, 0.394666, 0.37645]), torch.tensor([0.22803, 0.22145, 0.216989])
    return (x.clamp(0, 1) - mean[:, None, None]) / deviation[:, None, None]
