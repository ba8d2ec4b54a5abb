"""Nearest neighbours: the order, the ties, the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kineme.evaluation.protocols import knn
from kineme.evaluation.task import make_task
from kineme.inference import nearest
from kineme.utils import settings
from kineme.utils.errors import InputError


def plainly(train, test, k):
    """The definition, in float64: by similarity (equal to nine places), then by place."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    test /= np.linalg.norm(test, axis=1, keepdims=True)
    return np.argsort(-np.round(test @ train.T, 9), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize(("n", "m", "dim", "k"), [(1, 1, 1, 1), (7, 3, 2, 7), (50, 20, 5, 5), (333, 129, 64, 21)])
def test_neighbours_by_definition(n, m, dim, k):
    rng = np.random.default_rng(n)
    train, test = (rng.normal(size=(size, dim)).astype(np.float32) for size in (n, m))
    np.testing.assert_array_equal(nearest.neighbours(train, test, k, rows=16, columns=40), plainly(train, test, k))


@pytest.mark.parametrize(("rows", "columns"), [(2, 9), (7, 13), (64, 50), (1000, 1000)])
def test_blocks_do_not_matter(rows, columns):
    """Also with copies, scaled copies and almost-copies among the training vectors."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 32)).astype(np.float32)
    noise = (1e-4 * rng.normal(size=(60, 32))).astype(np.float32)
    train = np.concatenate([base, base, 2 * base, base + noise])[rng.permutation(240)]
    test = np.concatenate([base[:20], rng.normal(size=(30, 32)).astype(np.float32)])
    expected = plainly(train, test, 9)
    np.testing.assert_array_equal(nearest.neighbours(train, test, 9, rows=rows, columns=columns), expected)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("columns", [3, 64, 1024])
def test_equally_near_ones_come_in_their_order(k, columns):
    rng = np.random.default_rng(1)
    train = np.concatenate([-np.ones((2, 37)), np.tile(rng.normal(size=37), (300, 1))]).astype(np.float32)
    found = nearest.neighbours(train, train[[5]], k, columns=columns)
    np.testing.assert_array_equal(found, [np.arange(2, 2 + k)])


def test_equal_similarity_of_different_vectors():
    train = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32)
    np.testing.assert_array_equal(nearest.neighbours(train, np.array([[1, 1, 0]], np.float32), 2), [[1, 2]])


def test_nearer_by_less_than_fp32_can_tell():
    train = np.array([[1, 1e-4], [1, 0]], np.float32)  # cosines 1 - 5e-9 and 1
    assert np.float32(1 - 5e-9) == np.float32(1)
    np.testing.assert_array_equal(nearest.neighbours(train, np.array([[1, 0]], np.float32), 1), [[1]])


def test_length_does_not_count_and_zero_is_allowed():
    rng = np.random.default_rng(2)
    train, test = (rng.normal(size=(size, 8)).astype(np.float32) for size in (40, 10))
    scaled = train * rng.uniform(0.01, 100, size=(40, 1)).astype(np.float32)
    np.testing.assert_array_equal(nearest.neighbours(train, test, 5), nearest.neighbours(scaled, 3 * test, 5))
    np.testing.assert_array_equal(nearest.neighbours(train, np.zeros((1, 8), np.float32), 3), [[0, 1, 2]])


def test_majority():
    """Votes 1 1 2, 2 2 1, 3 1 2 (drawn: smallest), 2 1 (drawn: smallest)."""
    assert knn._majority(np.array([[1, 1, 2], [2, 2, 1], [3, 1, 2]]), 4).tolist() == [1, 2, 1]
    assert knn._majority(np.array([[2, 1], [0, 3]]), 4).tolist() == [1, 0]


def test_predict_drawn_vote_goes_to_the_smallest_label():
    train = np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0]], np.float32)
    found = knn.predict(train, np.array([3, 1, 2, 0]), np.array([[1, 0]], np.float32), (1, 2, 3, 4))
    assert {k: int(label[0]) for k, label in found.items()} == {1: 3, 2: 1, 3: 1, 4: 0}


def test_no_matrix_of_everything_with_everything(monkeypatch):
    sizes = []
    topk = torch.Tensor.topk

    def watched(self, *args, **kwargs):
        sizes.append(self.numel())
        return topk(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "topk", watched)
    train, test = (np.random.default_rng(3).normal(size=(size, 4)).astype(np.float32) for size in (500, 300))
    train[250:] = train[:250]  # so that both precisions are at work
    nearest.neighbours(train, test, 2, rows=20, columns=30)
    assert max(sizes) == 20 * 30


def test_score(write_store, halves, fake_model):
    labels = ["a", "a", "b", "b"] * 10
    store = write_store(labels)
    features = np.eye(2)[[int(label == "b") for label in labels]] + 0.01 * np.random.default_rng(0).normal(size=(40, 2))
    features[3] = [1, 0]  # one test clip on the wrong side
    given = make_task(fake_model(features), store, halves(40))
    assert knn.score(given, settings.make(knn.Settings, {"k": "1,5"})) == {"1-NN": 0.95, "5-NN": 0.95}


@pytest.mark.parametrize("k", [(21,), (1, 21), (0, 1), ()])
def test_impossible_numbers(write_store, halves, fake_model, k):
    given = make_task(fake_model(np.ones((40, 2))), write_store(["a", "b"] * 20), halves(40))
    with pytest.raises(InputError, match=r"knn\.k"):
        knn.score(given, knn.Settings(k=k))
