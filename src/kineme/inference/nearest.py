"""Exact nearest neighbours on the unit sphere, in blocks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..nn import matmul
from ..nn.matmul import product
from ..utils import hardware
from ..utils.errors import InputError

ROWS, COLUMNS = 2048, 1024  # of one block of similarities: 8 MiB, which stay in a processor's cache

NOISE = 2e-6  # the rounding of an fp32 product may swap similarities that are nearer to each other

GRID = 2.0**32  # these are taken again in float64, where those that agree to 1 / GRID are equal

GROUP = 32  # bf16 similarities of which the largest is looked at before any by itself
GROUPS, CANDIDATES = 24, 128  # of one query; where more lie within the bound, the fp32 search is sooner done
SCORES = 1 << 24  # bf16 similarities at a time: 32 MiB
PAIRS = 64  # vectors in float64 at a time: 1 MiB of 2,048 numbers, which stays in a processor's cache
SAMPLE = 1024  # vectors of which the mean is taken
WORTH, QUERIES = 1 << 30, 2048  # multiplications, queries from which on candidates are worth their overhead
BF16 = 2.0**-8  # the largest relative error of rounding to bf16
SUM = 2.0**-23  # of each addition of fp32 numbers, also on a processor that truncates


@torch.inference_mode()
def neighbours(
    train: np.ndarray, test: np.ndarray, k: int, rows: int = ROWS, columns: int = COLUMNS, device: str | None = None
) -> np.ndarray:
    """The k of ``train`` nearest to each of ``test`` by cosine, nearest first; of equally near ones the earlier first.

    fp32 products in blocks of ``rows x columns``, of which only the k + 1 best are kept. Where two of these are so
    close that rounding could decide, the row is taken again in float64. So the result does not depend on the blocks or
    on the way in which a machine multiplies, and equal vectors are equally near. A processor that multiplies bf16
    several times as fast as fp32 finds the candidates so, with the same result (:class:`_Candidates`).

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
    candidates = _Candidates(gallery, k) if _worth(gallery, len(test), k) else None
    begin = 0
    while begin < len(test):
        count = candidates.rows if candidates else rows
        query = torch.as_tensor(np.ascontiguousarray(test[begin : begin + count], np.float32), device=device)
        if candidates:
            places, open_ = candidates.nearest(query)
            if open_.any():
                places[open_] = _searched(query[open_], gallery, k, columns)
            if 2 * int(open_.sum()) > len(query):  # too close to each other for bf16: the others will be so, too
                candidates = None
        else:
            places = _searched(query, gallery, k, columns)
        found[begin : begin + count] = places.cpu().numpy()
        begin += count
    return found


def _worth(gallery: Tensor, queries: int, k: int) -> bool:
    large = gallery.numel() * queries >= WORTH and queries >= QUERIES and len(gallery) >= 4 * GROUP * (GROUPS + 2 * k)
    return large and 4 * k <= CANDIDATES and gallery.device.type == "cpu" and matmul.fast_bf16()


class _Candidates:
    """The nearest by bf16 products and a proven bound of their error, settled in float64.

    For one query q the order of ``q g`` is that of ``q (g - mean)``: what is rounded is only as long as the vectors are
    apart. With c = g - mean, and q', c' in bf16, the sum that is rounded last differs from ``q c`` by at most

        bound = |q - q'| max|c'| + max|c - c'| + D SUM |q'| max|c'|

    where both distances are measured. From the k-th largest rounded sum follows how near the k-th neighbour is at
    least, and from that how small the rounded sum of any neighbour can be: what is larger is a candidate.
    """

    def __init__(self, gallery: Tensor, k: int) -> None:
        self.gallery, self.k, self.keep = gallery, k, GROUPS + 2 * k
        n, width = gallery.shape
        self.groups = -(-n // GROUP)  # of one similarity every so many
        mean = normalize(gallery[:: -(-n // SAMPLE)].double()).mean(0)  # of any vector the bound holds
        self.low = gallery.new_empty(self.groups * GROUP, width, dtype=torch.bfloat16)
        self.length = self.error = torch.zeros((), dtype=torch.float64)
        for block, low in zip(gallery.split(PAIRS), self.low.split(PAIRS)):
            exact = normalize(block.double()).sub_(mean)
            rounded = low[: len(block)].copy_(exact).double()
            self.length = torch.maximum(self.length, rounded.norm(dim=1).max())  # a NaN stays one
            self.error = torch.maximum(self.error, exact.sub_(rounded).norm(dim=1).max())
        self.low[n:] = self.low[n - self.groups : len(self.low) - self.groups]  # fill groups, change none's largest
        self.rows = min(max(SCORES // len(self.low), 64), ROWS)

    def nearest(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Places of the k nearest ``[m, k]``, and which rows have too many candidates, ``[m]``: theirs mean nothing."""
        exact = normalize(query.double())
        low = exact.bfloat16()
        size, error = low.double().norm(dim=1), (exact - low).norm(dim=1)
        summing = (query.shape[1] + 2) * SUM
        bound = (error + summing * size) * self.length + self.error + 4 / GRID  # what is equal on the grid counts, too

        scores = matmul.bf16_product(low, self.low).unflatten(1, (GROUP, self.groups))
        largest, chosen = scores.amax(1).float().topk(self.keep + 1)
        too_many = largest[:, -1] >= _least(largest[:, self.k - 1], bound)
        chosen = chosen[:, None, :-1].expand(-1, GROUP, -1)
        inside = scores.gather(2, chosen).float()
        places = chosen + (self.groups * torch.arange(GROUP))[:, None]
        inside = inside.masked_fill_(places >= len(self.gallery), -torch.inf).flatten(1)
        candidate = inside >= _least(inside.topk(self.k).values[:, -1], bound)[:, None]
        open_ = too_many | (candidate.sum(1) > CANDIDATES) | ~bound.isfinite()
        candidate[open_] = False
        return self._settled(exact, candidate, places.flatten(1)), open_

    def _settled(self, query: Tensor, candidate: Tensor, places: Tensor) -> Tensor:
        """The k best candidates of each row by :func:`_key`, ``[m, k]``."""
        n = len(self.gallery)
        row, at = candidate.nonzero(as_tuple=True)
        place = places[row, at]
        order = torch.arange(len(row)) - torch.searchsorted(row, row)  # its place among its row's
        keys = torch.full((len(query), CANDIDATES), torch.iinfo(torch.int64).min)
        for one, other, where in zip(*(t.split(PAIRS) for t in (row, place, order))):
            cosine = normalize(self.gallery[other].double()).mul_(query[one]).sum(1)
            keys[one, where] = _key(cosine, other, n)
        return n - 1 - keys.topk(self.k).values.remainder(n)


def _least(kth: Tensor, bound: Tensor) -> Tensor:
    """How small the rounded sum of a neighbour can be when the k-th largest rounded sum is ``kth``."""
    exact = kth - BF16 * kth.abs() - 2 * bound
    return torch.nextafter((exact - BF16 * exact.abs()).float(), torch.tensor(-torch.inf))


def _searched(query: Tensor, gallery: Tensor, k: int, columns: int) -> Tensor:
    """Places of the k nearest ``[m, k]`` by fp32 products; what rounding could decide is settled in float64."""
    values, places = _best(normalize(query), gallery, min(k + 1, len(gallery)), columns)
    close = (values[:, :-1] - values[:, 1:] < NOISE).any(1)
    places = places[:, :k]
    if close.any():
        places[close] = _settled(query[close], gallery, k, columns)
    return places


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
    """Places of the k nearest in float64, ``[m, k]``, by :func:`_key`."""
    query, n = normalize(query.double()), len(gallery)
    best = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    for left, block in zip(range(0, n, columns), gallery.split(columns)):
        place = torch.arange(left, left + len(block), device=query.device)
        keys = _key(query @ normalize(block.double()).T, place, n)
        best = torch.cat([best, keys.topk(min(k, len(block))).values], 1)
        best = best.topk(min(k, best.shape[1])).values
    return n - 1 - best.remainder(n)


def _key(cosine: Tensor, place: Tensor, n: int) -> Tensor:
    """The similarity on a grid and the place in one whole number, so that no two are equal; the larger the nearer."""
    return (cosine * GRID).round_().long().mul_(n).add_(n - 1 - place)
