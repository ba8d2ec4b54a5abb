"""Every stream at once as channels, each person facing along their own shoulders, and maxima at every level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..motion.layout import Layout
from ..motion.motion import UNSURE
from ..nn.batch_norm import FixedNorm
from ..nn.depthwise import depthwise
from ..nn.matmul import Linear
from ..utils.errors import InputError
from ..utils.settings import positive
from ..views import body_frame
from ..views.augment import rotation_matrices
from ..views.batch import Batch
from ..views.source import resize
from . import Encoder, Features

KERNEL = 5
TINY = 1e-6  # variance below which a deviation is no more than that of equal tokens
WIDEST = 10.0  # standard deviations at which a value is held: a joint that hardly moved in training says no more


class Noise(NamedTuple):
    """What is random about a training step's input.

    Attributes:
        turn: ``[B, M]`` radians by which each person stands off their own front.
        joints: bool ``[B, V]``, joints that are hidden in the whole clip.
        frames: bool ``[B, T]``, frames that are hidden.
    """

    turn: Tensor
    joints: Tensor
    frames: Tensor


class Fused(Encoder):
    """Joints, poses, velocities, bones and the partner of every person, fused at the input.

    For each person m who is there, in a frame of their own (3-D: turned about the vertical so that the mean of left
    minus right shoulder lies along one axis; 2-D: the clip's mean at 0, its standard deviation 1), with r the root and
    p a joint's parent, the channels of a joint are

    * ``joint``  x(t) - r(0), ``pose`` x(t) - r(t), ``motion`` x(t + 1) - x(t), ``bone`` x(t) - x_p(t),
    * ``partner`` the nearest other person's x(t) - r(t) (stores of two persons and more; 0 where there is none),
    * ``seen`` 1 or 0 (2-D).

    In 2-D a joint for which its source does not vouch (:data:`~kineme.motion.motion.UNSURE`) is missing, unless nobody
    vouches for any joint of that person. Missing joints lie on the line between the places where they were seen before
    and after, ends held. In 3-D a joint that is never seen in the clip, or that the recording's layout lacks, lies
    where others tell (a head on the line of the spine, elbows and knees in the middle of the limb:
    :func:`~kineme.views.body_frame.stand_ins`); else it has the mean of every channel, as has every bone with an end in
    it: so it is hidden while training.

    Channels are scaled by statistics taken before training and fixed (:class:`~kineme.nn.batch_norm.FixedNorm`). Two
    branches of one form read them, with frames and with joints as tokens: ``x_0 = Linear LayerNorm GELU Linear
    (tokens)``, then blocks ``x <- x + W_2 GELU(W_1 LayerNorm(dw(x)))``, dw a depthwise convolution over five tokens;
    after each block but the last, neighbours are averaged in pairs. At every level, after a LayerNorm, the maximum over
    all tokens is taken, in the branch of frames also those over each half of the clip and the standard deviation, at
    the first level of the branch of joints also those over each part of the body. ``Features.clip`` are all these side
    by side, of several persons the maximum. ``Features.frame`` is the last level of the branch of frames.

    Untrained it is a good descriptor already: random features of the right quantities, pooled by their maxima.
    """

    @dataclass(frozen=True)
    class Settings:
        """The sizes of 0.5 million weights for 20 joints.

        Attributes:
            hidden: d, width of the tokens.
            blocks: of each branch; the vector has ``hidden * (blocks + 1)`` values of each pooling of all levels.
            frames: T, clips of other lengths are resized in time.
            channels: which of the above a joint has, of those that the data can give.
            front: turn each person to their own front (3-D).
            halves: maxima over each half of the clip beside those over all of it.
            spread: standard deviations over the frames beside the maxima.
            parts: maxima over the joints of each part of the body (trunk, arms, legs) beside those over all joints.
            joint_mask: largest probability, drawn for each clip, with which a joint is hidden while training is twice
                this.
            frame_mask: largest share of the frames that are hidden while training, in one segment.
            turn: largest angle in radians by which a person is turned off the front while training.
            persons: of a clip; None takes the store's. One has no partner.
            up: the axis that points up; None takes the store's.
        """

        hidden: int = 128
        blocks: int = 3
        frames: int = 32
        channels: tuple[str, ...] = ("joint", "pose", "motion", "bone", "partner", "seen")
        front: bool = True
        halves: bool = True
        spread: bool = True
        parts: bool = True
        joint_mask: float = 0.2
        frame_mask: float = 0.3
        turn: float = 0.4
        persons: int | None = None
        up: str | None = None

        def __post_init__(self) -> None:
            positive(self, "encoder", "hidden", "blocks", "frames")
            unknown = [name for name in self.channels if name not in Fused.Settings.channels]
            if unknown or not self.channels:
                found = ", ".join(unknown) or "none"
                raise InputError("encoder.channels", found, f"some of {', '.join(Fused.Settings.channels)}")

    layout: Layout
    stand_ins: Tensor

    def __init__(self, settings: Settings, layout: Layout, coords: int):
        super().__init__()
        self.settings, self.layout, self.coords = settings, layout, coords
        up = settings.up or "+y"
        self.axis = "xyz".index(up[-1])
        self.register_buffer("stand_ins", body_frame.stand_ins(layout), persistent=False)
        self.sides = body_frame.sides(layout) if settings.front and coords == 3 else ()
        given = {"partner": (settings.persons or 1) > 1, "seen": coords == 2}
        self.channels = tuple(name for name in settings.channels if given.get(name, True))
        if not self.channels:
            raise InputError("encoder.channels", ", ".join(settings.channels), "one that this store can give")
        wide = sum(1 if name == "seen" else coords for name in self.channels)
        self.norm = FixedNorm(len(layout) * wide)
        self.time = Branch(len(layout) * wide, settings, settings.halves, settings.spread)
        parts = tuple(joints for joints in layout.parts.values() if joints) if settings.parts else ()
        self.space = Branch(settings.frames * wide, settings, groups=parts)
        self.dim = self.time.dim + self.space.dim

    def forward(self, batch: Batch, noise: Noise | None = None) -> Features:
        """``Batch`` of any number of frames and persons -> :class:`~kineme.encoders.Features`.

        Args:
            batch: the clips.
            noise: what a training step hides and turns; drawn here if there is none and the encoder is in training.
        """
        s = self.settings
        if batch.joints.shape[1] != s.frames:
            batch = resize(batch, s.frames)
        if noise is None and self.training:
            noise = self.draw(*batch.joints.shape[:3:2])
        noise = None if noise is None else Noise(*(x.to(batch.joints.device, non_blocking=True) for x in noise))
        there = (batch.confidence > 0).flatten(3).any(3).any(1)
        nobody = ~there.any(1, keepdim=True)  # nobody at all: a vector all the same
        some = torch.cat([there[:, :1] | nobody, there[:, 1:]], 1)
        features, absent, clips = self._channels(batch, there, some, noise)
        x = self.norm(features.flatten(2)).clamp(-WIDEST, WIDEST).unflatten(2, features.shape[2:])
        x = x.masked_fill(absent[:, None], 0.0)
        if noise is not None:
            hidden = noise.joints[clips, None, :] | noise.frames[clips, :, None]
            x = x.masked_fill(hidden[..., None], 0.0)
        time, frame = self.time(x.flatten(2))
        space, _ = self.space(x.transpose(1, 2).flatten(2))
        clip = torch.cat([time, space], 1)
        if some.shape[1] == 1:
            return Features(clip, frame)
        return Features(_most(clip, some), _most(frame, some))

    def draw(self, clips: int, persons: int, gen: torch.Generator | None = None) -> Noise:
        """What a training step is to hide and turn; by default from torch's own stream, as dropout does.

        Args:
            clips, persons: B and M.
            gen: generator on the CPU.
        """
        s, joints = self.settings, len(self.layout)
        turn = s.turn * (2 * torch.rand(clips, persons, generator=gen) - 1)
        share, long, place = torch.rand(3, clips, 1, generator=gen)
        chance = torch.rand(clips, joints, generator=gen)
        begin = place * (1 - s.frame_mask * long)
        at = (torch.arange(s.frames) + 0.5) / s.frames
        return Noise(turn, chance < 2 * s.joint_mask * share, (at > begin) & (at < begin + s.frame_mask * long))

    def _channels(
        self, batch: Batch, there: Tensor, some: Tensor, noise: Noise | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``[P, T, V, K]`` of the people who are there, which of them nothing is known of in the whole clip
        ``[P, V, K]``, and the clip ``[P]`` that each is in.
        """
        seen = batch.confidence > 0
        if self.coords == 2:  # a guess in an image is far off; of somebody all guesses count
            sure = batch.confidence > UNSURE
            seen = torch.where(sure.any(3, keepdim=True).any(1, keepdim=True), sure, seen)
        scene = body_frame.filled(batch.joints, seen)
        if self.coords == 2:  # whether a joint was seen is a channel there
            scene, known = body_frame.standardised(scene, seen), torch.ones_like(seen[:, 0])
        else:
            scene, known = body_frame.guessed(scene, seen, self.stand_ins)
        persons, width = scene.shape[2], (scene.shape[1], len(self.layout), self.coords)
        # a row is a person of a clip; chosen among all only where there may be people who are not
        rows = some.flatten().nonzero()[:, 0] if persons > 1 else torch.arange(scene.shape[0], device=scene.device)
        clips = rows // persons
        bodies, shown = scene.transpose(1, 2).reshape(-1, *width), seen.transpose(1, 2).reshape(-1, *width[:2])[rows]
        own, matrix = bodies[rows], None
        if self.sides:
            angle = body_frame.facing(own, shown, self.sides, self.axis)
            if noise is not None:
                angle = angle - noise.turn.flatten()[rows]
            matrix = rotation_matrices(-angle, self.coords, self.axis)[:, None]
            own = own @ matrix
        root = own[:, :, list(self.layout.root)].mean(2, keepdim=True)
        parents = [joint if parent < 0 else parent for joint, parent in enumerate(self.layout.parents)]

        unknown = ~known.flatten(0, 1)  # of everybody in every clip
        lost = unknown[rows]

        def partner() -> tuple[Tensor, Tensor]:
            who, found = (x.flatten()[rows] for x in body_frame.nearest(scene, there, self.layout.root))
            at = clips * persons + who
            other = bodies[at] if matrix is None else bodies[at] @ matrix
            return (other - root) * found[:, None, None, None], unknown[at] & found[:, None]

        made: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
            "joint": lambda: (own - root[:, :1], lost),
            "pose": lambda: (own - root, lost),
            "motion": lambda: (torch.cat([own.diff(dim=1), torch.zeros_like(own[:, :1])], 1), lost),
            "bone": lambda: (own - own[:, :, parents], lost | lost[:, parents]),
            "partner": partner,
            "seen": lambda: (shown[..., None].to(own), torch.zeros_like(lost)),
        }
        channels, absent = zip(*(made[name]() for name in self.channels))
        wide = [each[..., None].expand(*each.shape, x.shape[3]) for each, x in zip(absent, channels)]
        return torch.cat(channels, 3), torch.cat(wide, 2), clips


class Branch(nn.Module):
    """Tokens ``[P, N, inputs]`` -> what every level tells ``[P, dim]``, and the tokens of the last ``[P, N', d]``.

    Args:
        inputs: values of a token.
        settings: those of :class:`Fused`.
        halves: also the maxima over the first and over the second half.
        spread: also the standard deviations.
        groups: numbers of tokens over which there are maxima, too, at the first level.
    """

    def __init__(
        self,
        inputs: int,
        settings: Fused.Settings,
        halves: bool = False,
        spread: bool = False,
        groups: tuple[tuple[int, ...], ...] = (),
    ):
        super().__init__()
        d, self.halves, self.spread, self.groups = settings.hidden, halves, spread, groups
        self.embedding = nn.Sequential(Linear(inputs, d), nn.GELU(), nn.LayerNorm(d), Linear(d, d))
        self.blocks = nn.ModuleList(Block(d) for _ in range(settings.blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(settings.blocks + 1))
        self.dim = d * (len(self.norms) * (1 + 2 * halves + spread) + len(groups))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embedding(tokens)
        levelled = self.norms[0](x)
        found = self._pooled(levelled) + [levelled[:, list(group)].amax(1) for group in self.groups]
        for i, (block, norm) in enumerate(zip(self.blocks, self.norms[1:]), 1):
            x = block(x)
            if i < len(self.blocks):
                x = _halved(x)
            levelled = norm(x)
            found += self._pooled(levelled)
        return torch.cat(found, 1), levelled

    def _pooled(self, x: Tensor) -> list[Tensor]:
        spread = [_deviation(x)] if self.spread else []
        if not self.halves:
            return [x.amax(1), *spread]
        middle = (x.shape[1] + 1) // 2
        first, second = x[:, :middle].amax(1), x[:, x.shape[1] // 2 :].amax(1)
        return [torch.maximum(first, second), first, second, *spread]


class Block(nn.Module):
    """``x + W_2 GELU(W_1 LayerNorm(dw(x)))`` of tokens ``[P, N, d]``."""

    def __init__(self, d: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(d, KERNEL))
        nn.init.uniform_(self.kernel, -(KERNEL**-0.5), KERNEL**-0.5)  # as torch's Conv1d of one channel each
        self.mlp = nn.Sequential(nn.LayerNorm(d), Linear(d, 2 * d), nn.GELU(), Linear(2 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(depthwise(x, self.kernel))


def _deviation(x: Tensor) -> Tensor:
    """Standard deviation of tokens ``[P, N, d]`` over N; smooth where they are equal."""
    return ((x - x.mean(1, keepdim=True)).square().mean(1) + TINY).sqrt()


def _halved(x: Tensor) -> Tensor:
    """Neighbouring tokens averaged in pairs, an odd last one dropped; a single one stays."""
    even = x.shape[1] // 2 * 2
    return x[:, :even].unflatten(1, (-1, 2)).mean(2) if even else x


def _most(x: Tensor, there: Tensor) -> Tensor:
    """Rows of the people who are there ``[P, ...]`` -> the maximum over each clip's people ``[B, ...]``."""
    apart = x.new_full((*there.shape, *x.shape[1:]), -torch.inf)
    apart[there] = x
    return apart.amax(1)
