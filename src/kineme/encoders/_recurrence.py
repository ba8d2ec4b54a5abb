"""GRU and LSTM over whole sequences on a CPU, with a backward of their own: little but matrix products is left.

torch's own cells pay for the recurrence twice. Each frame multiplies some 64 rows by a large matrix, which the BLAS
rearranges anew for every frame: here it is rearranged once a sequence. And each frame adds a product to the gradient of
the weights: here the gates are kept, and every weight's gradient is one product over all frames (spec
``performance.md``, items 6 to 8). ``docs/performance.md`` has the figures.

In here time is the first axis, so that a frame is one piece of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from ..batch import Memory
from ._products import Product, packed

WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

_sigmoid_slope = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), in one pass
_tanh_slope = torch.ops.aten.tanh_backward.grad_input  # (d, y): d * (1 - y * y)


def suits(x: Tensor) -> bool:
    """Whether to :func:`run`: on a CPU. A GPU has cuDNN's cells, and a program that is exported torch's own."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def run(stacks: Sequence[nn.RNNBase], x: Tensor, memory: Memory) -> Tensor:
    """Feed ``[B, T, I]`` to every stack (one-layer ``nn.GRU`` or ``nn.LSTM``, all of one kind) -> ``[B, T, S * H]``.

    Equals ``torch.cat([stack(x)[0] for stack in stacks], 2)``: states begin as zeros. Under autocast the products are
    taken in its type; states, gates and their sums stay as they are. What is large and short-lived lies in ``memory``.
    """
    cell = _GRU if isinstance(stacks[0], nn.GRU) else _LSTM
    weights = [getattr(stack, name) for stack in stacks for name in WEIGHTS]
    return _Layer.apply(cell, memory, torch.is_grad_enabled(), x.transpose(0, 1), *weights).transpose(0, 1)


class _GRU:
    """``r, z = sigmoid(i + h W)``, ``n = tanh(i + r h W)``, ``h' = n + z (h - n)``; torch's order r, z, n."""

    @staticmethod
    def forward(i: Tensor, b_ih: Tensor, b_hh: Tensor, product: Product, out: Tensor, keep: bool) -> list[Tensor]:
        """Fill ``out [T, B, H]``, turning the input's products ``i [T, B, 3 H]`` into the gates.

        Returns what the backward needs, if asked to ``keep`` it.
        """
        size = out.shape[2]
        bias, b_n = torch.cat([b_hh[:2 * size] + b_ih[:2 * size], b_hh[2 * size:]]), b_ih[2 * size:]
        kept = [i, i.new_empty(out.shape)] if keep else []
        h = out.new_zeros(out.shape[1:])
        for t in range(len(out)):
            p = product(h, bias) if t else bias.expand(len(h), -1)
            rz, n = i[t, :, :2 * size], i[t, :, 2 * size:]
            rz.add_(p[:, :2 * size]).sigmoid_()
            n.add_(b_n).addcmul_(rz[:, :size], p[:, 2 * size:]).tanh_()
            if keep:
                kept[1][t] = p[:, 2 * size:]
            out[t] = torch.lerp(n, h, rz[:, size:], out=h)
        return kept

    @staticmethod
    def backward(kept: list[Tensor], out: Tensor, grad: Tensor, product: Product, d: Tensor) -> Callable[[], Any]:
        """Fill ``d [T, B, 3 H]`` with the recurrent products' slope; what is returned makes it the input products'."""
        gates, h_n = kept
        frames, batch, size = h_n.shape
        r, z, n = gates.split(size, 2)
        # first as if dh were 1, whole sequences at once
        to_n = 1 - z
        d_r, d_z, d_n = d.split(size, 2)
        _tanh_slope(to_n, n, grad_input=to_n)
        torch.mul(to_n, r, out=d_n)
        torch.mul(to_n, h_n, out=d_r)
        _sigmoid_slope(d_r, r, grad_input=d_r)
        torch.neg(n[0], out=d_z[0])
        torch.sub(out[:-1], n[1:], out=d_z[1:])
        _sigmoid_slope(d_z, z, grad_input=d_z)
        dh, each = grad.clone(memory_format=torch.contiguous_format), d.view(frames, batch, 3, size)
        for t in reversed(range(frames)):
            if t < frames - 1:
                dh[t].add_(product(d[t + 1])).addcmul_(dh[t + 1], z[t + 1])
            each[t].mul_(dh[t, :, None])
        return lambda: torch.mul(to_n, dh, out=d_n)  # in n the input does not pass through r


class _LSTM:
    """``i, f, o = sigmoid(...)``, ``g = tanh(...)``, ``c' = f c + i g``, ``h' = o tanh(c')``; torch's order i, f, g, o.

    Arguments and results are those of :class:`_GRU`, with four gates.
    """

    @staticmethod
    def forward(i: Tensor, b_ih: Tensor, b_hh: Tensor, product: Product, out: Tensor, keep: bool) -> list[Tensor]:
        size, bias = out.shape[2], b_ih + b_hh
        kept = [i, i.new_empty(out.shape)] if keep else []
        h, c = out.new_zeros(2, *out.shape[1:])
        for t in range(len(out)):
            i[t].add_(product(h, bias) if t else bias)
            i_f, g, o = i[t].split((2 * size, size, size), 1)
            i_f.sigmoid_(), g.tanh_(), o.sigmoid_()
            c.mul_(i_f[:, size:]).addcmul_(i_f[:, :size], g)
            if keep:
                kept[1][t] = c
            out[t] = torch.mul(o, torch.tanh(c), out=h)
        return kept

    @staticmethod
    def backward(kept: list[Tensor], out: Tensor, grad: Tensor, product: Product, d: Tensor) -> Callable[[], Any]:
        gates, cells = kept
        frames, _, size = cells.shape
        i, f, g, o = gates.split(size, 2)
        # first as if dc and dh were 1, whole sequences at once
        to_c, bent, dc = o.clone(memory_format=torch.contiguous_format), cells.tanh(), torch.zeros_like(cells[0])
        d_i, d_f, d_g, d_o = d.split(size, 2)
        _tanh_slope(to_c, bent, grad_input=to_c)
        _sigmoid_slope(g, i, grad_input=d_i)
        d_f[0] = 0
        _sigmoid_slope(cells[:-1], f[1:], grad_input=d_f[1:])
        _tanh_slope(i, g, grad_input=d_g)
        _sigmoid_slope(bent, o, grad_input=d_o)
        dh, each = grad.clone(memory_format=torch.contiguous_format), d.unflatten(2, (4, size))
        for t in reversed(range(frames)):
            if t < frames - 1:
                dh[t].add_(product(d[t + 1]))
                dc.mul_(f[t + 1])
            dc.addcmul_(dh[t], to_c[t])
            each[t, :, :3].mul_(dc[:, None])
            d_o[t].mul_(dh[t])
        return lambda: None


class _Layer(torch.autograd.Function):
    """Stacks side by side ``[T, B, I] -> [T, B, S * H]``; weights as :data:`WEIGHTS` names them, stack by stack."""

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(ctx: Any, cell: Any, memory: Memory, grad: bool, x: Tensor, *weights: Tensor) -> Tensor:
        frames, batch, _ = x.shape
        size, stacks = weights[1].shape[1], len(weights) // len(WEIGHTS)
        keep = grad and any(ctx.needs_input_grad)
        rows, out, kept = x.flatten(0, 1), _empty(memory, x, frames, batch, stacks * size), []
        for s, states in enumerate(out.split(size, 2)):
            w_ih, w_hh, b_ih, b_hh = _of(weights, s)
            i = _empty(memory, x, frames, batch, len(w_ih))
            _add_product(i.flatten(0, 1), rows, w_ih.T, 0)
            kept += cell.forward(i, b_ih, b_hh, packed(w_hh, batch), states, keep)
        if keep:
            ctx.cell, ctx.memory, ctx.stacks = cell, memory, stacks
            ctx.save_for_backward(x, out, *weights, *kept)
        return out

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, out, *saved = ctx.saved_tensors
        frames, batch, width = out.shape
        size, kept = width // ctx.stacks, saved[ctx.stacks * len(WEIGHTS):]
        rows, before, found = x.flatten(0, 1), out.flatten(0, 1)[:-batch], []
        d_x = _empty(ctx.memory, x, *x.shape) if ctx.needs_input_grad[3] else None
        d = _empty(ctx.memory, x, frames, batch, saved[0].shape[0])
        for s, (states, slope) in enumerate(zip(out.split(size, 2), grad.split(size, 2))):
            w_ih, w_hh, *_ = _of(saved, s)
            of_input = ctx.cell.backward(kept[2 * s:2 * s + 2], states, slope, packed(w_hh.T.contiguous(), batch), d)
            flat = d.flatten(0, 1)
            d_w, d_b = torch.mm(flat[batch:].T, before[:, s * size:(s + 1) * size]), flat.sum(0)  # frame 0 had no state
            of_input()
            found += [torch.mm(flat.T, rows), d_w, flat.sum(0), d_b]
            if d_x is not None:
                _add_product(d_x.flatten(0, 1), flat, w_ih, min(s, 1))
        return None, None, None, d_x, *found


def _of(weights: Sequence[Tensor], stack: int) -> Sequence[Tensor]:
    return weights[stack * len(WEIGHTS):(stack + 1) * len(WEIGHTS)]


def _empty(memory: Memory, like: Tensor, *shape: int) -> Tensor:
    return memory.empty(*shape) if like.dtype == torch.float32 else like.new_empty(shape)


def _add_product(out: Tensor, a: Tensor, b: Tensor, before: int) -> None:
    """``out = before * out + a @ b``; autocast knows no products that write into given memory."""
    if torch.is_autocast_enabled("cpu"):
        out.mul_(before).add_(a @ b) if before else out.copy_(a @ b)
    else:
        out.addmm_(a, b, beta=before)
