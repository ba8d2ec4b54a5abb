"""The matrix product with few rows, again and again with one weight: what a recurrence does in every frame."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .. import machine

Product = Callable[..., Tensor]  # (x [rows, K], bias [N]) -> x @ weight.T + bias


def packed(weight: Tensor, rows: int) -> Product:
    """``x [rows, K] @ weight.T + bias`` with ``weight [N, K]`` brought once into the order that the product reads.

    The operators are those that torch's compiler emits for linear layers; the plain product where there are none.
    """
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        multiply = _onednn(weight.to(low), rows)
        return lambda x, bias=0: multiply(x.to(low)).to(x.dtype) + bias
    if weight.dtype == torch.float32 and _mkl():
        packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
        return lambda x, bias=None: torch.ops.mkl._mkl_linear(x, packed, weight, bias, rows)
    return _onednn(weight, rows)


def path() -> str:
    """Which product fp32 recurrences take on this machine's processor; for the cards of runs."""
    if _mkl():
        return "MKL, packed"
    return "oneDNN, packed" if hasattr(torch.ops.mkldnn, "_linear_pointwise") else "torch default"


def _onednn(weight: Tensor, rows: int) -> Product:
    if weight.dtype == torch.float64 or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return lambda x, bias=None: nn.functional.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return lambda x, bias=None: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


@functools.cache
def _mkl() -> bool:
    """Whether MKL's product is there and the faster one: on Intel's processors, elsewhere oneDNN's is."""
    return hasattr(torch.ops.mkl, "_mkl_linear") and "Intel" in machine.processor()
