"""Clusters of first neighbours."""

import numpy as np

from kineme.nn.finch import finch, finch_exactly


def points(clusters=4, each=15, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.eye(8)[:clusters]
    return np.repeat(centres, each, 0) + 0.02 * rng.normal(size=(clusters * each, 8)), np.repeat(
        np.arange(clusters), each
    )


def test_no_cluster_holds_two_kinds_and_levels_are_nested():
    features, kinds = points()
    levels = finch(features)
    assert levels.shape[1] > 1
    fine, coarse = levels[:, 0], levels[:, 1]
    assert all(len(set(kinds[fine == k])) == 1 for k in set(fine))
    assert all(len(set(coarse[fine == k])) == 1 for k in set(fine))
    assert all(levels[:, i].max() < levels[:, i - 1].max() for i in range(1, levels.shape[1]))


def test_a_number_of_clusters_can_be_asked_for():
    features, kinds = points()
    labels = finch_exactly(features, 4)
    assert len(set(labels)) == len(set(zip(labels, kinds))) == 4
    assert len(set(finch_exactly(features, 1))) == 1


def test_two_samples():
    assert finch(np.eye(2)).tolist() == [[0], [0]]
