"""GRU and LSTM over whole sequences on a CPU, with a backward of their own: little but matmuls is left.

torch's own cells pay for the recurrence twice. Each frame multiplies some 64 rows by a large matrix, which the BLAS
rearranges anew for every frame: here it is arranged once a sequence. And each frame adds a product to the gradient of
the weights: here the gates are kept, and every weight's gradient is one product over all frames. Sequences of several
lengths go through together: the shorter ones are further rows in the first frames, and nothing is padded.
``docs/performance.md`` has the figures.

In here the rows of a layer lie frame by frame, so that a frame is one piece of memory; see :class:`Rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from ..utils.buffers import BufferPool
from .matmul import adding, arranges_bf16, onednn, product

WEIGHTS = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")
FUSED = 256  # states from which on training is faster here than in torch's LSTM, which is one operator of oneDNN

_sigmoid_slope = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), in one pass
_tanh_slope = torch.ops.aten.tanh_backward.grad_input  # (d, y): d * (1 - y * y)


def suits(x: Tensor) -> bool:
    """Whether to :func:`run`: on a CPU. A GPU has cuDNN's cells, and a program that is exported torch's own."""
    return x.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.jit.is_tracing())


def joins(network: nn.Module, x: Tensor) -> bool:
    """Whether to let sequences through a network together (:func:`bidirectional`): where that is faster."""
    if isinstance(network, nn.LSTM):
        return suits(x) and torch.is_grad_enabled() and network.hidden_size >= FUSED
    return suits(x) and isinstance(network, nn.GRU)


def by_torch(network: nn.RNNBase, x: Tensor) -> Tensor:
    """``network(x)[0]`` by torch; in bf16 without oneDNN where that has no such network for the processor."""
    if not torch.is_autocast_enabled("cpu") or arranges_bf16():
        return network(x)[0]
    with torch.backends.mkldnn.flags(enabled=False):
        return network(x)[0]


def run(stacks: Sequence[nn.RNNBase], x: Tensor, memory: BufferPool) -> Tensor:
    """Feed ``[B, T, I]`` to every stack (one-layer ``nn.GRU`` or ``nn.LSTM``, all of one kind) -> ``[B, T, S * H]``.

    Equals ``torch.cat([stack(x)[0] for stack in stacks], 2)``: states begin as zeros. Under autocast the products are
    taken in its type; states, gates and their sums stay as they are. What is large and short-lived lies in ``memory``.
    """
    batch, frames, _ = x.shape
    weights = [getattr(stack, f"{name}0") for stack in stacks for name in WEIGHTS]
    rows, back = Rows(batch, [frames]), [False] * len(stacks)
    out = _layer(stacks[0], memory, rows, back, x.transpose(0, 1).flatten(0, 1), weights)
    return out.unflatten(0, (frames, batch)).transpose(0, 1)


def bidirectional(network: nn.RNNBase, sequences: Sequence[Tensor], memory: BufferPool) -> list[Tensor]:
    """Feed every ``[B, N_g, I]``, the longest first, to a bidirectional ``nn.GRU`` or ``nn.LSTM`` -> ``[B, N_g, 2 H]``.

    Equals ``[network(x)[0] for x in sequences]`` without dropout between layers, all of them in one pass; otherwise as
    :func:`run`.
    """
    rows = Rows(len(sequences[0]), [x.shape[1] for x in sequences])
    x = _Packed.apply(rows, network.weight_ih_l0.dtype, *sequences)
    for layer in range(network.num_layers):
        weights = [getattr(network, f"{name}{layer}{end}") for end in ("", "_reverse") for name in WEIGHTS]
        x = _layer(network, memory, rows, [False, True], x, weights)
    return list(_Unpacked.apply(rows, x))


class Rows:
    """How sequences lie in one table: frame by frame, in each frame those that last until then, in each the clips.

    Args:
        batch: clips of a sequence.
        lengths: frames of the sequences, never growing.

    Attributes:
        counts: rows of each frame.
        total: rows of the table.
        links: pairs of slices: rows, and as many rows that are one frame later in the same sequences; every row that
            has a frame before it is in one of them.
    """

    def __init__(self, batch: int, lengths: Sequence[int]):
        self.batch, self.lengths = batch, lengths
        self.counts = [batch * sum(length > t for length in lengths) for t in range(lengths[0])]
        begin = list(accumulate(self.counts, initial=0))
        self.total = begin[-1]
        self.links: list[tuple[slice, slice]] = []
        self._stretches: list[tuple[slice, slice, int]] = []  # frames in which the same sequences last, rows, how many
        for t, end in pairwise([0, *sorted(set(lengths))]):
            first, last, n = begin[t], begin[end - 1], self.counts[t]
            self._stretches.append((slice(t, end), slice(first, last + n), sum(length > t for length in lengths)))
            self.links.append((slice(first, last), slice(first + n, last + n)))
            for m in self.counts[end : end + 1]:
                self.links.append((slice(last, last + m), slice(last + n, last + n + m)))

    def frames(self, back: bool, *tables: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The rows of each frame, the last frame first if ``back``."""
        parts = [table.split(self.counts) for table in tables]
        return zip(*map(reversed, parts)) if back else zip(*parts)

    def steps(self, back: bool) -> list[tuple[slice, slice]]:
        """The :attr:`links` as (from, to) of a network that runs forward or ``back``."""
        return [(late, early) for early, late in self.links] if back else self.links

    def pack(self, sequences: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """``[B, N_g, I]`` each -> the table ``[rows, I]``."""
        table = sequences[0].new_empty(self.total, sequences[0].shape[2], dtype=dtype)
        for place, piece in self._pieces(table, sequences):
            place.copy_(piece)
        return table

    def unpack(self, table: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """The other way."""
        sequences = [table.new_empty(self.batch, n, table.shape[1], dtype=dtype) for n in self.lengths]
        for place, piece in self._pieces(table, sequences):
            piece.copy_(place)
        return sequences

    def _pieces(self, table: Tensor, sequences: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The same numbers in the table and in a sequence, ``[frames, B, I]``."""
        for frames, rows, many in self._stretches:
            each = table[rows].view(frames.stop - frames.start, many, self.batch, table.shape[1])
            yield from ((place, x[:, frames].transpose(0, 1)) for place, x in zip(each.unbind(1), sequences))


class _Packed(torch.autograd.Function):
    """:meth:`Rows.pack`, whose gradient is unpacked."""

    @staticmethod
    def forward(ctx: Any, rows: Rows, dtype: torch.dtype, *sequences: Tensor) -> Tensor:
        ctx.rows, ctx.dtype = rows, sequences[0].dtype
        return rows.pack(sequences, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.rows.unpack(grad, ctx.dtype)


class _Unpacked(torch.autograd.Function):
    """:meth:`Rows.unpack`, whose gradients are packed."""

    @staticmethod
    def forward(ctx: Any, rows: Rows, table: Tensor) -> tuple[Tensor, ...]:
        ctx.rows, ctx.dtype = rows, table.dtype
        return tuple(rows.unpack(table, table.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, ctx.rows.pack(grads, ctx.dtype)


class _GRU:
    """``r, z = sigmoid(i + h W)``, ``n = tanh(i + r h W)``, ``h' = n + z (h - n)``; torch's order r, z, n."""

    @staticmethod
    def bias(b_ih: Tensor, b_hh: Tensor) -> Tensor:
        """What is added to the input's products."""
        size = len(b_hh) // 3
        return torch.cat([b_ih[: 2 * size] + b_hh[: 2 * size], b_ih[2 * size :]])

    @staticmethod
    def forward(i: Tensor, w_hh: Tensor, b_hh: Tensor, rows: Rows, back: bool, out: Tensor) -> tuple[Tensor, ...]:
        """Fill ``out [rows, H]``, turning the input's products ``i [rows, 3 H]`` into the gates.

        Returns what the backward needs.
        """
        size = out.shape[1]
        add_rz, add_n = adding(w_hh[: 2 * size].T), adding(w_hh[2 * size :].T)
        h_n, h = b_hh[2 * size :].expand(out.shape).contiguous(), None
        for rz, r, z, n, p, new in rows.frames(back, i[:, : 2 * size], *i.split(size, 1), h_n, out):
            if h is None:
                h = torch.zeros_like(new)
            else:
                h = _fit(h, len(new))
                add_rz(rz, h), add_n(p, h)
            rz.sigmoid_(), n.addcmul_(r, p).tanh_()
            h = torch.lerp(n, h, z, out=new)
        return i, h_n

    @staticmethod
    def backward(
        kept: Sequence[Tensor], out: Tensor, grad: Tensor, w_hh: Tensor, rows: Rows, back: bool, d: Tensor
    ) -> Callable[[], Any]:
        """Fill ``d [rows, 3 H]`` with the recurrent products' slope; what is returned makes it the input products'."""
        gates, h_n = kept
        size = h_n.shape[1]
        r, z, n = gates.split(size, 1)
        # first as if dh were 1, whole sequences at once
        to_n = 1 - z
        d_r, d_z, d_n = d.split(size, 1)
        _tanh_slope(to_n, n, grad_input=to_n)
        torch.mul(to_n, r, out=d_n)
        torch.mul(to_n, h_n, out=d_r)
        _sigmoid_slope(d_r, r, grad_input=d_r)
        torch.neg(n, out=d_z)
        for start, to in rows.steps(back):
            d_z[to].add_(out[start])
        _sigmoid_slope(d_z, z, grad_input=d_z)
        dh, add, later = grad.clone(memory_format=torch.contiguous_format), adding(w_hh), None
        for each, *now in rows.frames(not back, d.unflatten(1, (3, size)), dh, d, z):
            if later is not None:
                dh_later, d_later, z_later = (_fit(x, len(each)) for x in later)
                add(now[0], d_later).addcmul_(dh_later, z_later)
            each.mul_(now[0].unsqueeze(1))
            later = now
        return lambda: torch.mul(to_n, dh, out=d_n)  # in n the input does not pass through r


class _LSTM:
    """``i, f, o = sigmoid(...)``, ``g = tanh(...)``, ``c' = f c + i g``, ``h' = o tanh(c')``; torch's order i, f, g, o.

    Arguments and results are those of :class:`_GRU`, with four gates.
    """

    @staticmethod
    def bias(b_ih: Tensor, b_hh: Tensor) -> Tensor:
        return b_ih + b_hh

    @staticmethod
    def forward(i: Tensor, w_hh: Tensor, b_hh: Tensor, rows: Rows, back: bool, out: Tensor) -> tuple[Tensor, ...]:
        size, add = out.shape[1], adding(w_hh.T)
        cells, h, c = i.new_empty(out.shape), None, None
        for all_i, i_f, *gates, cell, new in rows.frames(back, i, i[:, : 2 * size], *i.split(size, 1), cells, out):
            if h is not None:
                add(all_i, _fit(h, len(new)))
            i_t, f, g, o = gates
            i_f.sigmoid_(), g.tanh_(), o.sigmoid_()
            torch.mul(i_t, g, out=cell)
            c = cell if c is None else cell.addcmul_(f, _fit(c, len(new)))
            h = torch.mul(o, c.tanh(), out=new)
        return i, cells

    @staticmethod
    def backward(
        kept: Sequence[Tensor], out: Tensor, grad: Tensor, w_hh: Tensor, rows: Rows, back: bool, d: Tensor
    ) -> Callable[[], Any]:
        gates, cells = kept
        size = cells.shape[1]
        i, f, g, o = gates.split(size, 1)
        # first as if dc and dh were 1, whole sequences at once
        dc, bent = o.clone(memory_format=torch.contiguous_format), cells.tanh()
        d_i, d_f, d_g, d_o = d.split(size, 1)
        _tanh_slope(dc, bent, grad_input=dc)
        _sigmoid_slope(g, i, grad_input=d_i)
        d_f.zero_()
        for start, to in rows.steps(back):
            _sigmoid_slope(cells[start], f[to], grad_input=d_f[to])
        _tanh_slope(i, g, grad_input=d_g)
        _sigmoid_slope(bent, o, grad_input=d_o)
        dh, add, later = grad.clone(memory_format=torch.contiguous_format), adding(w_hh), None
        tables = d.unflatten(1, (4, size))[:, :3], d_o, dh, dc, d, f
        for of_c, of_o, dh_t, *now in rows.frames(not back, *tables):
            if later is None:
                now[0].mul_(dh_t)
            else:
                dc_later, d_later, f_later = (_fit(x, len(dh_t)) for x in later)
                now[0].mul_(add(dh_t, d_later)).addcmul_(dc_later, f_later)
            of_c.mul_(now[0].unsqueeze(1)), of_o.mul_(dh_t)
            later = now
        return lambda: None


def _fit(x: Tensor, rows: int) -> Tensor:
    """The first ``rows``, with zeros for those that begin or end here."""
    if len(x) == rows:
        return x
    return x[:rows] if len(x) > rows else F.pad(x, (0, 0, 0, rows - len(x)))


def _layer(
    network: nn.RNNBase, memory: BufferPool, rows: Rows, back: Sequence[bool], x: Tensor, weights: Sequence[Tensor]
) -> Tensor:
    cell = _GRU if isinstance(network, nn.GRU) else _LSTM
    return _Layer.apply(cell, memory, torch.is_grad_enabled(), rows, back, x, *weights)


class _Layer(torch.autograd.Function):
    """Stacks side by side ``[rows, I] -> [rows, S * H]``, those that run ``back`` and those that do not; weights as
    :data:`WEIGHTS` names them, stack by stack.
    """

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(
        ctx: Any,
        cell: Any,
        memory: BufferPool,
        grad: bool,
        rows: Rows,
        back: Sequence[bool],
        x: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        size, keep = weights[1].shape[1], grad and any(ctx.needs_input_grad)
        out = _empty(memory, x, len(x), len(back) * size)
        kept: list[Tensor] = []
        for s, states in enumerate(out.split(size, 1)):
            w_ih, w_hh, b_ih, b_hh = _of(weights, s)
            i = _empty(memory, x, len(x), len(w_ih))
            made = cell.forward(_affine(i, x, w_ih.T, cell.bias(b_ih, b_hh)), w_hh, b_hh, rows, back[s], states)
            kept += made if keep else []
        if keep:
            ctx.cell, ctx.memory, ctx.rows, ctx.back = cell, memory, rows, back
            ctx.save_for_backward(x, out, *weights, *kept)
        return out

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, out, *saved = ctx.saved_tensors
        stacks, found = len(ctx.back), []
        size, kept = out.shape[1] // stacks, saved[stacks * len(WEIGHTS) :]
        d_x = _empty(ctx.memory, x, *x.shape) if ctx.needs_input_grad[5] else None
        d = _empty(ctx.memory, x, len(x), len(saved[0]))
        for s, (states, slope) in enumerate(zip(out.split(size, 1), grad.split(size, 1))):
            w_ih, w_hh, *_ = _of(saved, s)
            of_input = ctx.cell.backward(kept[2 * s : 2 * s + 2], states, slope, w_hh, ctx.rows, ctx.back[s], d)
            d_w, *more = [product(d[to].T, states[start]) for start, to in ctx.rows.steps(ctx.back[s])]
            d_b = d.sum(0)
            of_input()
            found += [product(d.T, x), sum(more, d_w), d.sum(0), d_b]
            if d_x is not None:
                _add_product(d_x, d, w_ih, min(s, 1))
        return None, None, None, None, None, d_x, *found


def _of(weights: Sequence[Tensor], stack: int) -> Sequence[Tensor]:
    return weights[stack * len(WEIGHTS) : (stack + 1) * len(WEIGHTS)]


def _empty(memory: BufferPool, like: Tensor, *shape: int) -> Tensor:
    return memory.empty(*shape) if like.dtype == torch.float32 else like.new_empty(shape)


def _affine(out: Tensor, a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    """``a @ b + bias`` in ``out``; neither autocast nor oneDNN knows products that write into given memory."""
    if torch.is_autocast_enabled("cpu"):
        return out.copy_(a @ b).add_(bias)
    if onednn(a, b.T):
        return torch.add(product(a, b), bias, out=out)
    return torch.addmm(bias, a, b, out=out)


def _add_product(out: Tensor, a: Tensor, b: Tensor, before: int) -> None:
    """``out = before * out + a @ b``."""
    if torch.is_autocast_enabled("cpu") or onednn(a, b.T):
        out.mul_(before).add_(product(a, b)) if before else out.copy_(product(a, b))
    else:
        out.addmm_(a, b, beta=before)
