"""Tokens of a clip, and which of them are hidden: cut, drawn, applied (Mao et al. 2023)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-10  # as released, inside every logarithm and under the largest intensity


class TokenMask(NamedTuple):
    """Which tokens of each row are hidden.

    Attributes:
        keep: int64 ``[P, K]``, the visible tokens, those of least noise first.
        valid: bool ``[P, K]``, which of ``keep`` count: rows of which less was seen keep fewer.
        restore: int64 ``[P, L]``, the place of every token in the order of noise; the first K are ``keep``.
        hidden: bool ``[P, L]``, tokens that are neither visible nor missing.
    """

    keep: Tensor
    valid: Tensor
    restore: Tensor
    hidden: Tensor


def patches(x: Tensor, segment: int) -> Tensor:
    """Cut joints into tokens of ``segment`` frames of one joint.

    Args:
        x: ``[P, T, V, ...]``, T a multiple of ``segment``.
        segment: frames of a token.

    Returns:
        ``[P, S V, segment ...]`` with S = T / segment: segment i of joint v is row ``i V + v``; in a row frame follows
        frame, in each of them its values.

    Examples:
        >>> patches(torch.arange(8.0).view(1, 4, 2, 1), 2)[0].tolist()
        [[0.0, 2.0], [1.0, 3.0], [4.0, 6.0], [5.0, 7.0]]
    """
    return x.unflatten(1, (-1, segment)).transpose(2, 3).flatten(3).flatten(1, 2)


def joined(tokens: Tensor, joints: int, segment: int) -> Tensor:
    """The inverse of :func:`patches`: ``[P, S V, segment C]`` -> ``[P, S segment, V, C]``."""
    return tokens.unflatten(1, (-1, joints)).unflatten(3, (segment, -1)).transpose(2, 3).flatten(1, 2)


def intensity(tokens: Tensor, joints: int) -> Tensor:
    """How much each token moves: the mean of ``|s[i, v] - s[i - 1, v]|`` over its values; the first as the second.

    Args:
        tokens: ``[P, S V, n]``, see :func:`patches`.
        joints: V.

    Returns:
        ``[P, S V]``; zeros where there is but one segment.
    """
    grid = tokens.unflatten(1, (-1, joints))
    if grid.shape[1] == 1:
        return tokens.new_zeros(tokens.shape[:2])
    moved = grid.diff(dim=1).abs().mean(3)
    return torch.cat([moved[:, :1], moved], 1).flatten(1)


def motion_probabilities(intensity: Tensor, tau: float) -> Tensor:
    """Weights by which tokens are drawn to be hidden: ``softmax(I / (tau max I))`` over all tokens of a row.

    The most moving token's is ``exp(1 / tau)`` times that of one that stands still.

    Args:
        intensity: I, ``[P, L]``.
        tau: temperature, above 0.
    """
    return torch.softmax(intensity / (tau * intensity.amax(1, keepdim=True) + TINY), 1)


def visible_tokens(tokens: int, ratio: float, faithful: bool = False) -> int:
    """How many of so many tokens stay visible, at least one.

    Args:
        tokens: L.
        ratio: share to be hidden.
        faithful: as released, ``int(L (1 - ratio))``, which float arithmetic makes 74 of 750 tokens at 0.9.
    """
    share = tokens * (1 - ratio)
    return max(1, int(share) if faithful else round(share))


def draw_mask(
    uniforms: Tensor,
    ratio: float,
    probabilities: Tensor | None = None,
    seen: Tensor | None = None,
    faithful: bool = False,
) -> TokenMask:
    """Draw which tokens are hidden, without replacement, by their weights (Gumbel top-k).

    Tokens are ordered by ``log p - log(-log u)``; those with the least stay visible. Missing tokens are neither
    visible nor hidden, and a row of which n tokens were seen keeps its share of these n.

    Args:
        uniforms: u, ``[P, L]``, on [0, 1).
        ratio: share of the tokens to be hidden.
        probabilities: p, ``[P, L]``; None: all tokens alike, ordered by u.
        seen: bool ``[P, L]``; None: all.
        faithful: how the number of visible tokens is rounded, see :func:`visible_tokens`.
    """
    noise = uniforms
    if probabilities is not None:
        noise = probabilities.log() - torch.log(-torch.log(uniforms + TINY) + TINY)
    seen = torch.ones_like(noise, dtype=torch.bool) if seen is None else seen
    count = visible_tokens(noise.shape[1], ratio, faithful)
    share = seen.sum(1, keepdim=True).double() * (1 - ratio)
    each = (share.floor() if faithful else share.round()).clamp(1, count)
    order = noise.masked_fill(~seen, torch.inf).argsort(dim=1, stable=True)
    restore = order.argsort(dim=1)
    valid = torch.arange(count, device=noise.device) < each
    return TokenMask(order[:, :count], valid, restore, (restore >= each) & seen)


def apply_mask(tokens: Tensor, mask: TokenMask) -> Tensor:
    """The visible ones of ``tokens [P, L, d]``: ``[P, K, d]``, in the order of ``mask.keep``."""
    return tokens.gather(1, mask.keep[..., None].expand(-1, -1, tokens.shape[2]))


def with_hidden(visible: Tensor, token: Tensor, mask: TokenMask) -> Tensor:
    """Visible tokens back in their places, ``token`` everywhere else.

    Args:
        visible: ``[P, K, d]``, in the order of ``mask.keep``.
        token: ``[d]``.
        mask: how they were chosen.

    Returns:
        ``[P, L, d]``.
    """
    rows, kept, width = visible.shape
    visible = torch.where(mask.valid[..., None], visible, token)
    others = token.expand(rows, mask.restore.shape[1] - kept, width)
    whole = torch.cat([visible, others.to(visible)], 1)
    return whole.gather(1, mask.restore[..., None].expand(-1, -1, width))
