"""Nearest neighbours by bf16 candidates: the same answer as the fp32 search, whatever lies near to what."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from kineme.inference import nearest
from kineme.nn import matmul

N = 1100  # not a multiple of a group


def hard(seed: int, n: int, m: int, width: int, kind: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that rounding to bf16 confuses, of which some are known to the gallery."""
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(n, width)), rng.normal(size=(m, width))
    if kind == "copies":
        train = train[rng.integers(0, n // 8, n)]
    if kind == "near ties":
        train = train[rng.integers(0, n // 4, n)] + 10.0 ** -rng.integers(2, 9, (n, 1)) * rng.normal(size=(n, width))
    if kind == "far from the middle":
        train, test = train + 50, test + 50
    if kind == "zeros":
        train[rng.random(n) < 0.3], test[::3] = 0, 0
    if kind == "whole numbers":
        train, test = train.round(), test.round()
    if kind == "one outlier":
        train[n // 2] = -40 * test[0]
    test[1::4] = train[rng.integers(0, n, len(test[1::4]))]
    sizes = 10.0 ** rng.uniform(-scale, scale, (n, 1))
    return (train * sizes).astype(np.float32), test.astype(np.float32)


KINDS = ["spread", "copies", "near ties", "far from the middle", "zeros", "whole numbers", "one outlier"]


def both(train: np.ndarray, test: np.ndarray, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of the queries that candidates answer, their neighbours, and those by the definition in float64."""
    gallery, query = torch.as_tensor(train), torch.as_tensor(test)
    with torch.inference_mode():
        found, too_many = nearest._Candidates(gallery, k).nearest(query)
        return ~too_many, found, nearest._settled(query, gallery, k, 256)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(KINDS),
    st.sampled_from([1, 2, 3, 17, 128]),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([0.0, 3.0, 12.0]),
    st.booleans(),
)
def test_candidates_hold_every_neighbour(seed, kind, width, k, scale, onednn):
    """On any machine: also where bf16 is only imitated."""
    train, test = hard(seed, N, 12, width, kind, scale)
    with pytest.MonkeyPatch.context() as patch:
        if not onednn:
            patch.setattr(matmul, "arranges_bf16", lambda: False)
        answered, found, expected = both(train, test, k)
    np.testing.assert_array_equal(found[answered], expected[answered])


@pytest.mark.parametrize("k", [1, 5, 20])
def test_most_queries_are_answered(k):
    """Also where all vectors point nearly the same way, as those of trained encoders do."""
    rng = np.random.default_rng(k)
    train, test = (rng.normal(size=(size, 256)).astype(np.float32) + 4 for size in (3000, 40))
    answered, found, expected = both(train, test, k)
    assert answered.float().mean() > 0.8
    np.testing.assert_array_equal(found[answered], expected[answered])


def test_the_bound_holds_for_every_similarity():
    """Also for the worst: vectors that all round to the same side."""
    up = torch.full((1100, 64), 1 + 2.0**-8 - 2.0**-20)
    up[:, ::2] = 1
    up[torch.arange(1100), torch.arange(1100) % 64] += 2
    with torch.inference_mode():
        candidates = nearest._Candidates(up, 1)
        exact = normalize(up[:50].double())
        low = exact.bfloat16()
        sums = (low.double() @ candidates.low[:1100].double().T) - exact @ normalize(up.double()).T
        bound = (exact - low).norm(dim=1) * candidates.length + candidates.error
        spread = sums - sums.mean(1, keepdim=True)  # what q times the mean adds is the same for all
    assert (spread.abs() <= 2 * bound[:, None]).all()
    assert candidates.error > 0


@pytest.fixture
def forced(monkeypatch):
    """Candidates on any machine, from a small gallery on; the queries of each call."""
    seen: list[int] = []
    answer = nearest._Candidates.nearest

    def counted(self, query):
        seen.append(len(query))
        return answer(self, query)

    monkeypatch.setattr(nearest._Candidates, "nearest", counted)
    monkeypatch.setattr(matmul, "fast_bf16", lambda: True)
    monkeypatch.setattr(nearest, "WORTH", 1)
    monkeypatch.setattr(nearest, "QUERIES", 1)
    monkeypatch.setattr(nearest, "SCORES", 64 * 4096)
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_are_those_of_the_fp32_search(forced, monkeypatch, kind, k):
    train, test = hard(3, 4096, 150, 48, kind, 2.0)
    found = nearest.neighbours(train, test, k, device="cpu")
    assert forced[0] == 64
    monkeypatch.setattr(matmul, "fast_bf16", lambda: False)
    calls = len(forced)
    np.testing.assert_array_equal(found, nearest.neighbours(train, test, k, device="cpu"))
    assert len(forced) == calls


def test_where_most_are_too_close_bf16_is_given_up(forced):
    """A gallery of one vector and its copies: all are equally near, and the earliest come first."""
    train = np.ones((4096, 8), np.float32)
    found = nearest.neighbours(train, np.ones((200, 8), np.float32), 2, device="cpu")
    np.testing.assert_array_equal(found, np.tile([0, 1], (200, 1)))
    assert forced == [64]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_left_to_the_fp32_search(forced, monkeypatch, value):
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(size, 8)).astype(np.float32) for size in (4096, 70))
    test[5, 3] = value
    found = nearest.neighbours(train, test, 1, device="cpu")
    monkeypatch.setattr(matmul, "fast_bf16", lambda: False)
    np.testing.assert_array_equal(found, nearest.neighbours(train, test, 1, device="cpu"))


def test_a_product_in_bf16_is_rounded_once():
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, 2048, generator=rng).bfloat16() for size in (33, 65))
    exact = a.double() @ b.double().T
    slack = nearest.BF16 * exact.abs() + 2048 * nearest.SUM * a.double().norm(dim=1)[:, None] * b.double().norm(dim=1)
    assert ((matmul.bf16_product(a, b).double() - exact).abs() <= slack).all()


def test_small_searches_ask_for_no_bf16(monkeypatch):
    monkeypatch.setattr(matmul, "fast_bf16", lambda: pytest.fail("looked for"))
    assert nearest.neighbours(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32), 1)[2, 0] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the most memory of a process is read as Linux counts it")
@pytest.mark.parametrize("fast", [True, False])
def test_100_000_clips_in_bounded_memory(fast):
    """All similarities of 2,048 queries would be 0.8 GB."""
    code = f"""
import resource, numpy as np
from kineme.inference import nearest
from kineme.nn import matmul
matmul.fast_bf16 = lambda: {fast}
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rng = np.random.default_rng(0)
train = rng.standard_normal((100_000, 32), dtype=np.float32)
nearest.neighbours(train[:6000], train[:2048], 1, device="cpu")
before = most()
found = nearest.neighbours(train, train[:2048], 1, device="cpu")
assert (found[:, 0] == np.arange(2048)).all()
print(most() - before)"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(made.stdout) < 250
