"""Many searches in one reading of the vectors: each finds what it finds alone."""

from __future__ import annotations

import numpy as np
import pytest

from kineme.inference import index as module

from .test_index import made, plain


@pytest.fixture
def index(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(700, 24)).astype(np.float32)
    vectors[100:160] = vectors[0]  # as near as each other
    return made(tmp_path / "i", vectors)


@pytest.mark.parametrize("block", [96, 96 * 50, 16 << 20])
def test_together_they_find_what_each_finds_alone_and_read_once(index, monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(1)
    some = [
        index.select(),
        index.select({"label": "kind 1"}),
        index.select({"subject": {"not": 3}}),
        np.arange(700) == 5,
    ]
    searches = [(rng.normal(size=(1 + i % 2, 24)), 1 + 7 * i, some[i % 4]) for i in range(12)]
    searches.append((index.vectors([0]), 10, some[0]))
    alone = [index.nearest(*each) for each in searches]

    read = []
    blocks = index.blocks
    monkeypatch.setattr(index, "blocks", lambda *how: read.append(1) or blocks(*how))
    together = index.nearest_each(searches)
    assert len(read) == 1
    whole = index.vectors(np.arange(700))
    for (queries, k, chosen), (rows, scores), (own, cosines) in zip(searches, together, alone):
        assert (rows == own).all()
        assert (scores == cosines).all()  # to the last bit
        assert (rows == plain(whole, queries, k, chosen)[0][:, : chosen.sum()]).all()


def test_no_search_finds_nothing(index):
    assert index.nearest_each([]) == []
    assert index.nearest(np.ones(24), 3, np.zeros(700, bool))[0].shape == (1, 0)
