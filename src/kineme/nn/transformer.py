"""Layers of Transformer encoders that spend little besides their products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .dropout import dropout, keep, scaled
from .init import xavier_uniform
from .matmul import Linear, linear


class TransformerLayer(nn.TransformerEncoderLayer):
    """``nn.TransformerEncoderLayer`` after Vaswani et al. 2017 (norm last, ReLU, batch first), without masks: same
    parameters, same names. On a CPU its linear layers are :func:`kineme.nn.matmul.linear`, its dropout is
    :func:`kineme.nn.dropout.dropout`, and its attention :func:`attention`; elsewhere it is torch's.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__(width, heads, hidden, dropout, batch_first=True)

    def forward(self, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """``[B, N, d]`` -> the same."""
        if src.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(src, *args, **kwargs)
        x = self.norm1(src + self._drop(self._attended(src), self.dropout1))
        hidden = self._drop(linear(x, self.linear1.weight, self.linear1.bias).relu(), self.dropout)
        return self.norm2(x + self._drop(linear(hidden, self.linear2.weight, self.linear2.bias), self.dropout2))

    def _attended(self, x: Tensor) -> Tensor:
        part = self.self_attn
        made = linear(x, part.in_proj_weight, part.in_proj_bias)
        out = attention(made, part.num_heads, part.dropout if self.training else 0.0)
        return linear(out, part.out_proj.weight, part.out_proj.bias)

    def _drop(self, x: Tensor, how: nn.Dropout) -> Tensor:
        return dropout(x, how.p, self.training)


class PreNormBlock(nn.Module):
    """A layer with its norms first (Dosovitskiy et al. 2021), without dropout:

    ``x <- x + W_o attention(LayerNorm(x))``, ``x <- x + W_2 GELU(W_1 LayerNorm(x))``.

    Weights are Glorot's, uniform, biases 0. Attention keeps no table of all with all, so that hundreds of tokens fit.

    Args:
        width: d.
        heads: H, which divides d.
        hidden: of the two-layer network.
    """

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = Linear(width, 3 * width), Linear(width, width)
        self.fc1, self.fc2 = Linear(width, hidden), Linear(hidden, width)
        xavier_uniform(self, zero_bias=True)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """``[P, N, d]`` -> the same.

        Args:
            x: tokens.
            seen: bool ``[P, N]``, tokens that may be looked at, at least one in each row; None: all.
        """
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if seen is None else seen[:, None, None]
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def attention(made: Tensor, heads: int, share: float = 0.0) -> Tensor:
    """Scaled dot products of all with all, ``softmax(q k^T / sqrt(d / H)) v``, head by head.

    Queries, keys and values are put in order by one copy, and so are their gradients; the softmax is fp32.

    Args:
        made: ``[B, N, 3 d]``: queries, keys, values, in each the heads.
        heads: H, which divides d.
        share: of the weights that are dropped.

    Returns:
        ``[B, N, d]``.
    """
    return _Attention.apply(made, heads, share)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, made: Tensor, heads: int, share: float) -> Tensor:
        batch = len(made)
        parts = made.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()
        q, k, v = parts
        ctx.scale, ctx.share, ctx.batch = q.shape[-1] ** -0.5, share, batch
        weights = torch.softmax(torch.bmm(q, k.mT).mul_(ctx.scale), 2, dtype=_wide(made))
        kept = keep(weights, share) if share else None
        ctx.save_for_backward(parts, weights, kept)
        return _together(torch.bmm(scaled(weights, kept, share).to(made.dtype), v), batch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parts, weights, kept = ctx.saved_tensors
        q, k, v = parts
        grad = grad.unflatten(2, (-1, q.shape[-1])).transpose(1, 2).contiguous().flatten(0, 1)
        of_parts = torch.empty_like(parts)
        torch.bmm(scaled(weights, kept, ctx.share).to(grad.dtype).mT, grad, out=of_parts[2])
        slope = scaled(torch.bmm(grad, v.mT).to(weights.dtype), kept, ctx.share)
        slope = torch._softmax_backward_data(slope, weights, 2, weights.dtype).mul_(ctx.scale).to(grad.dtype)
        torch.bmm(slope, k, out=of_parts[0])
        torch.bmm(slope.mT, q, out=of_parts[1])
        of_made = of_parts.unflatten(1, (ctx.batch, -1)).permute(1, 3, 0, 2, 4)
        return of_made.reshape(*of_made.shape[:2], -1), None, None


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _together(heads: Tensor, batch: int) -> Tensor:
    """``[B H, N, D]`` -> ``[B, N, H D]``."""
    return heads.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2)
