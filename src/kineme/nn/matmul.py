"""The matmul with few rows, again and again with one weight: what a recurrence does in every frame."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..utils import hardware

Product = Callable[[Tensor, Tensor], Tensor]  # (out [rows, N], x [rows, K]): out += x @ weight
SMALL = 1 << 19  # numbers in a weight that MKL multiplies faster as it is, since it then adds to what is there


def adding(weight: Tensor) -> Product:
    """``out += x @ weight``, with ``weight [K, N]`` brought once into the order that the product reads.

    The operators are those that torch's compiler emits for linear layers; the plain product where there are none.
    """
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        multiply = _onednn(weight.to(low))
        return lambda out, x: out.add_(multiply(x.to(low)))
    if weight.dtype == torch.float32 and not (_mkl() and weight.numel() <= SMALL):
        multiply = _packed(weight) if _mkl() else _onednn(weight)
        return lambda out, x: out.add_(multiply(x))
    plain = weight.contiguous()
    return lambda out, x: out.addmm_(x, plain)


def path() -> str:
    """Which product fp32 recurrences take on this machine's processor; for the cards of runs."""
    if _mkl():
        return "MKL, packed"
    return "oneDNN, packed" if hasattr(torch.ops.mkldnn, "_linear_pointwise") else "torch default"


def _packed(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """By MKL, which arranges the weight for a number of rows."""
    by_column = weight.T.contiguous()
    arranged = functools.cache(functools.partial(torch.ops.mkl._mkl_reorder_linear_weight, by_column))
    return lambda x: torch.ops.mkl._mkl_linear(x, arranged(len(x)), by_column, None, len(x))


def _onednn(weight: Tensor) -> Callable[[Tensor], Tensor]:
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return lambda x: x @ weight
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.T.contiguous())
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


@functools.cache
def _mkl() -> bool:
    """Whether MKL's product is there and the faster one: on Intel's processors, elsewhere oneDNN's is."""
    return hasattr(torch.ops.mkl, "_mkl_linear") and "Intel" in hardware.processor()
