"""Matrix multiplication on a CPU, fp32, by the way that is faster on this machine: torch's default one, or oneDNN's.

Which it is, is found out once (:func:`path`); ``kineme doctor`` shows it and the cards of runs keep it. What a
recurrence does in every frame, few rows times one weight again and again, is :func:`adding`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Product = Callable[[Tensor, Tensor], Tensor]  # (out [rows, N], x [rows, K]): out += x @ weight
DEFAULT, ONEDNN = "torch default", "oneDNN"
LARGE = 1 << 20  # multiplications from which on the choice is worth its overhead of some ten microseconds
CLEARLY = 1.2  # times as fast must oneDNN be: so noise does not decide, and a machine decides the same every time
SMALL = 1 << 19  # numbers in a weight that MKL multiplies faster as it is, since it then adds to what is there

_taken: ContextVar[str | None] = ContextVar("matmul path", default=None)


def path() -> str:
    """The way that large fp32 products take here: :data:`DEFAULT` or :data:`ONEDNN`."""
    return _taken.get() or _faster()


@contextmanager
def taking(way: str | None) -> Iterator[None]:
    """Take a named way in the block, as a resumed run does; any other word, or None, leaves the choice as it is."""
    usable = way == DEFAULT or (way == ONEDNN and _has_onednn())
    token = _taken.set(way if usable else _taken.get())
    try:
        yield
    finally:
        _taken.reset(token)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``: ``x [..., K]``, ``weight [N, K]``, ``bias [N]`` -> ``[..., N]``; large products by :func:`path`.

    Gradients of any order take the same way. Under autocast, on other devices and types, and in programs that are
    exported it is ``F.linear``.

    Examples:
        >>> linear(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4))[0]
        tensor([4., 4., 4., 4.])
    """
    if torch.jit.is_tracing():  # on its way to ONNX
        return F.linear(x, weight, bias)
    rows = x.unsqueeze(0).flatten(0, -2)  # [n, K]: given more axes, torch multiplies some of them clip by clip
    made = _Linear.apply(rows, weight, bias) if onednn(rows, weight) else F.linear(rows, weight, bias)
    return made.view(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """``nn.Linear`` by :func:`linear`: same parameters, same names."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether the product of ``[..., K]`` and ``[N, K]`` takes oneDNN's way: large, fp32, on a CPU that is faster so,
    neither under autocast nor in a program that is exported.
    """
    if x.numel() * len(weight) < max(LARGE, 1) or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return False
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing()) and path() == ONEDNN


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` of two matrices without gradient, ``[n, K]``, ``[K, m]`` -> ``[n, m]``; large ones by :func:`path`."""
    return _by_onednn(a, b.T) if onednn(a, b.T) else a @ b


def adding(weight: Tensor) -> Product:
    """``out += x @ weight``, with ``weight [K, N]`` brought once into the order that the product reads.

    The operators are those that torch's compiler emits for linear layers; the plain product where there are none.
    """
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        multiply = _onednn(weight.to(low))
        return lambda out, x: out.add_(multiply(x.to(low)))
    if weight.dtype == torch.float32:
        if path() == ONEDNN:
            multiply = _onednn(weight)
            return lambda out, x: out.add_(multiply(x))
        if _has_mkl() and weight.numel() > SMALL:
            multiply = _packed(weight)
            return lambda out, x: out.add_(multiply(x))
    plain = weight.contiguous()
    return lambda out, x: out.addmm_(x, plain)


class _Linear(torch.autograd.Function):
    """``x [n, K]``, ``weight [N, K]``, ``bias [N]`` or None -> ``[n, N]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _by_onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        left, right = (x, grad) if len(weight) > x.shape[1] else (grad, x)  # of the left one a copy is made
        slope = _Linear.apply(left.T, right.T, None) if of_weight else None
        return (
            _Linear.apply(grad, weight.T, None) if of_x else None,
            slope if slope is None or left is grad else slope.T,
            grad.sum(0) if of_bias else None,
        )


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``; either may be a transposed matrix, which is read as it lies."""
    x, weight = (t if t.is_contiguous() or t.T.is_contiguous() else t.contiguous() for t in (x, weight))
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@functools.cache
def _faster() -> str:
    """By the best of a few products of 512 x 512 matrices, in turns: some ten milliseconds, once a process.

    In CPU time: on a busy machine a clock on the wall tells how often this process had to wait.
    """
    if not _has_onednn():
        return DEFAULT
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        a, b, best = torch.ones(512, 512), torch.ones(512, 512), {DEFAULT: float("inf"), ONEDNN: float("inf")}
        ways: dict[str, Callable[[], Tensor]] = {DEFAULT: lambda: a @ b.T, ONEDNN: lambda: _by_onednn(a, b)}
        for _ in range(8):  # the first of each warms up
            for name, multiply in ways.items():
                begin = time.process_time()
                multiply()
                best[name] = min(best[name], time.process_time() - begin)
    return ONEDNN if CLEARLY * best[ONEDNN] < best[DEFAULT] else DEFAULT


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _has_mkl() -> bool:
    return hasattr(torch.ops.mkl, "_mkl_linear")


def arranges_bf16() -> bool:
    """Whether oneDNN packs bf16 weights on this processor; on one with AVX2 alone it refuses."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def bf16_product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T`` of two bf16 matrices ``[n, K]``, ``[m, K]`` -> ``[n, m]``: summed in fp32 and rounded once, to bf16.

    By oneDNN where it takes bf16 here; elsewhere by the fp32 product, in which products of bf16 numbers are exact.
    """
    if _has_onednn() and arranges_bf16():
        return _by_onednn(a, b)
    return (a.float() @ b.float().T).bfloat16()


@functools.cache
def fast_bf16() -> bool:
    """Whether a bf16 product takes less than half the time of an fp32 one here: with AMX or AVX512-BF16.

    Found out once a process, in some ten milliseconds of CPU time. It may only decide how soon something is done,
    never what comes out.
    """
    if not (_has_onednn() and arranges_bf16()):
        return False
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        a = torch.ones(512, 1024)
        low, best = a.bfloat16(), [float("inf"), float("inf")]
        for _ in range(6):  # the first of each warms up
            for at, multiply in enumerate((lambda: product(a, a.T), lambda: bf16_product(low, low))):
                begin = time.process_time()
                multiply()
                best[at] = min(best[at], time.process_time() - begin)
    return 2 * best[1] < best[0]


def _packed(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """By MKL, which arranges the weight for a number of rows."""
    by_column = weight.T.contiguous()
    arranged = functools.cache(functools.partial(torch.ops.mkl._mkl_reorder_linear_weight, by_column))
    return lambda x: torch.ops.mkl._mkl_linear(x, arranged(len(x)), by_column, None, len(x))


def _onednn(weight: Tensor) -> Callable[[Tensor], Tensor]:
    if not _has_onednn() or (weight.dtype == torch.bfloat16 and not arranges_bf16()):
        return lambda x: x @ weight
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.T.contiguous())
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
