"""Exact nearest neighbours on the unit sphere, in blocks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..nn.matmul import product
from ..utils import hardware
from ..utils.errors import InputError

ROWS, COLUMNS = 2048, 1024  # of one block of similarities: 8 MiB, which stay in a processor's cache

NOISE = 2e-6  # the rounding of an fp32 product may swap similarities that are nearer to each other


GRID = 2.0**32  # these are taken again in float64, where those that agree to 1 / GRID are equal


@torch.inference_mode()
def neighbours(
    train: np.ndarray, test: np.ndarray, k: int, rows: int = ROWS, columns: int = COLUMNS, device: str | None = None
) -> np.ndarray:
    """The k of ``train`` nearest to each of ``test`` by cosine, nearest first; of equally near ones the earlier first.

    fp32 products in blocks of ``rows x columns``, of which only the k + 1 best are kept. Where two of these are so
    close that rounding could decide, the row is taken again in float64. So the result does not depend on the blocks or
    on the way in which a machine multiplies, and equal vectors are equally near.

    Args:
        train, test: float32 ``[n, D]``, ``[m, D]``; a zero vector has cosine 0 with everything.
        device: by default CUDA where there is one.

    Returns:
        int64 ``[m, k]``, rows of ``train``.

    Raises:
        InputError: k below 1 or above n.
    """
    if not 1 <= k <= len(train):
        raise InputError("knn.k", f"{k} neighbours among {len(train)} training clips", f"1 to {len(train)}")
    device = hardware.device(device)
    gallery = torch.as_tensor(np.ascontiguousarray(train, np.float32), device=device)
    found = np.empty((len(test), k), np.int64)
    for begin in range(0, len(test), rows):
        query = torch.as_tensor(np.ascontiguousarray(test[begin : begin + rows], np.float32), device=device)
        values, places = _best(normalize(query), gallery, min(k + 1, len(gallery)), columns)
        close = (values[:, :-1] - values[:, 1:] < NOISE).any(1)
        places = places[:, :k]
        if close.any():
            places[close] = _settled(query[close], gallery, k, columns)
        found[begin : begin + rows] = places.cpu().numpy()
    return found


def _best(query: Tensor, gallery: Tensor, keep: int, columns: int) -> tuple[Tensor, Tensor]:
    """The ``keep`` largest cosines of each unit vector with the gallery and their places, ``[m, keep]``, largest first.

    The gallery is normalised block by block, while a block is at hand.
    """
    values = query.new_empty(len(query), 0)
    places = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    for left, block in zip(range(0, len(gallery), columns), gallery.split(columns)):
        products, where = product(query, normalize(block).T).topk(min(keep, len(block)))
        values, places = torch.cat([values, products], 1), torch.cat([places, where + left], 1)
        values, order = values.topk(min(keep, values.shape[1]))
        places = places.gather(1, order)
    return values, places


def _settled(query: Tensor, gallery: Tensor, k: int, columns: int) -> Tensor:
    """Places of the k nearest in float64, ``[m, k]``.

    The similarity on a grid and the place together make one whole number, so that no two are equal.
    """
    query, n = normalize(query.double()), len(gallery)
    best = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    for left, block in zip(range(0, n, columns), gallery.split(columns)):
        early = n - 1 - torch.arange(left, left + len(block), device=query.device)
        keys = (query @ normalize(block.double()).T).mul_(GRID).round_().long().mul_(n).add_(early)
        best = torch.cat([best, keys.topk(min(k, len(block))).values], 1)
        best = best.topk(min(k, best.shape[1])).values
    return n - 1 - best.remainder(n)
