"""Each body in a frame of its own: gaps filled, its front found, its nearest partner."""

from __future__ import annotations

import torch
from torch import Tensor

from ..motion.layout import Layout

FLAT = 1e-6  # metres or less between the shoulders: no direction
FAR = 1e9
ENDS = {"head": ("shoulder", "hip"), "nose": ("shoulder", "hip")}  # as far again as half the way between these
MIDDLES = {"elbow": ("shoulder", "wrist"), "knee": ("hip", "ankle")}


def sides(layout: Layout) -> tuple[tuple[int, int], ...]:
    """Pairs (left, right) of joints across which a body faces: shoulders, then hips; empty where there are neither."""
    pairs = ((layout.find(f"left_{name}"), layout.find(f"right_{name}")) for name in ("shoulder", "hip"))
    return tuple((left, right) for left, right in pairs if left is not None and right is not None)


def filled(joints: Tensor, seen: Tensor) -> Tensor:
    """Joints with missing ones on the line between the places where they were seen before and after, ends held.

    A joint that is never seen in the clip lies in the middle of the person's seen joints of each frame.

    Args:
        joints: ``[B, T, M, V, C]``.
        seen: bool ``[B, T, M, V]``.
    """
    time = joints.shape[1]
    at = torch.arange(time, device=joints.device)[:, None, None]
    before = torch.where(seen, at, -1).cummax(1).values
    after = time - 1 - torch.where(seen, time - 1 - at, -1).flip(1).cummax(1).values.flip(1)
    never = before[:, -1:] < 0
    first, last = torch.where(before < 0, after, before), torch.where(after >= time, before, after)
    share = ((at - first).to(joints) / (last - first).clamp(min=1))[..., None]
    first, last = (x.clamp(0, time - 1)[..., None].expand_as(joints) for x in (first, last))
    joints = joints * seen[..., None]  # a missing joint may hold anything
    line = joints.gather(1, first).lerp(joints.gather(1, last), share)
    middle = joints.sum(3, keepdim=True) / seen.sum(3, keepdim=True).clamp(min=1)[..., None]
    return torch.where(never[..., None], middle, line)


def stand_ins(layout: Layout) -> Tensor:
    """From which joints others can be guessed that are never seen: weights ``[V, V]``, a row of 0 where there is none.

    A head lies on the line from the middle of the hips to that of the shoulders, half as far again; an elbow or a knee
    in the middle of its limb.
    """
    weights = torch.zeros(len(layout), len(layout))
    for row, word in enumerate(layout.canonical_names):
        side, _, name = word.rpartition("_")
        near, far = ENDS.get(word) or MIDDLES.get(name) or ("", "")
        sides, share = ((side,), (0.5, 0.5)) if side else (("left", "right"), (0.75, -0.25))
        found = [(layout.find(f"{each}_{near}"), layout.find(f"{each}_{far}")) for each in sides]
        for pair in found if all(None not in pair for pair in found) else ():
            for joint, part in zip(pair, share):
                weights[row, joint] = part
    return weights


def guessed(joints: Tensor, seen: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Joints with those that are never seen where :func:`stand_ins` puts them.

    Args:
        joints: ``[B, T, M, V, C]``, :func:`filled`.
        seen: bool ``[B, T, M, V]``.
        weights: ``[V, V]``.

    Returns:
        The joints, and bool ``[B, M, V]``: of which ones something is known.
    """
    known = seen.any(1)
    needed = (weights != 0).to(joints)
    guess = ~known & (needed.sum(1) > 0) & ((~known).to(joints) @ needed.T == 0)
    places = torch.einsum("vw,btmwc->btmvc", weights, joints)
    return torch.where(guess[:, None, ..., None], places, joints), known | guess


def standardised(joints: Tensor, seen: Tensor) -> Tensor:
    """Joints ``[B, T, M, V, C]`` of each clip with mean 0 and, over all coordinates, deviation 1 of what is seen."""
    weight = seen.to(joints)[..., None]
    count = weight.sum((1, 2, 3), keepdim=True).clamp(min=1)
    centred = joints - (joints * weight).sum((1, 2, 3), keepdim=True) / count
    spread = ((centred * weight).square().sum((1, 2, 3, 4), keepdim=True) / (count * joints.shape[-1])).sqrt()
    people = seen.flatten(3).any(3).any(1)[:, None, :, None, None]  # who is not there stays at 0
    return centred / spread.clamp(min=FLAT) * people


def facing(joints: Tensor, seen: Tensor, pairs: tuple[tuple[int, int], ...], axis: int) -> Tensor:
    """Angle ``[P]`` in radians about the up axis by which a body's left points off the first horizontal axis.

    The mean of left minus right over the frames in which both are seen, of the first pair that has a direction; 0 where
    none has.

    Args:
        joints: ``[P, T, V, 3]``.
        seen: bool ``[P, T, V]``.
        pairs: see :func:`sides`.
        axis: number of the up axis.
    """
    angle = joints.new_zeros(joints.shape[0])
    for left, right in reversed(pairs):
        both = (seen[..., left] & seen[..., right]).to(joints)[..., None]
        across = ((joints[:, :, left] - joints[:, :, right]) * both).sum(1) / both.sum(1).clamp(min=1)
        first, second = across[:, (axis + 1) % 3], across[:, (axis + 2) % 3]
        angle = torch.where(torch.hypot(first, second) > FLAT, torch.atan2(second, first), angle)
    return angle


def nearest(joints: Tensor, there: Tensor, root: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Who of the others is nearest to each person, by the mean distance of their roots.

    Args:
        joints: ``[B, T, M, V, C]``, filled.
        there: bool ``[B, M]``.
        root: joints whose mean is a body's centre.

    Returns:
        int64 ``[B, M]``, and bool ``[B, M]``: whether there is another one at all.
    """
    roots = joints[:, :, :, list(root)].mean(3)
    apart = (roots[:, :, :, None] - roots[:, :, None, :]).norm(dim=-1).mean(1)
    person = torch.arange(apart.shape[1], device=apart.device)
    alone = ~there[:, None, :] | (person[:, None] == person)
    least, who = apart.masked_fill(alone, FAR).min(2)
    return who, least < FAR
