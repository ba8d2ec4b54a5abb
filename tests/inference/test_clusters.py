"""Groups without labels: as many as asked for or as there are, the largest first, an example of each."""

from __future__ import annotations

import numpy as np
import pytest

from kineme.inference import clusters
from kineme.utils.errors import InputError


def clouds(sizes=(30, 20, 10), width=12, seed=0):
    gen = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    return 3 * gen.normal(size=(len(sizes), width))[numbers] + 0.3 * gen.normal(size=(len(numbers), width)), numbers


@pytest.mark.parametrize(
    ("by", "groups"), [("finch", 3), ("kmeans", 3), ("finch", None), ("kmeans", None), ("hdbscan", None)]
)
def test_clouds_are_found(by, groups):
    vectors, numbers = clouds()
    mixed = np.random.default_rng(1).permutation(len(vectors))
    found = clusters.group(vectors[mixed], groups, by)
    if groups or by == "hdbscan":
        np.testing.assert_array_equal(found.numbers, numbers[mixed])  # the largest is 0, as here
        assert found.sizes.tolist() == [30, 20, 10]
    else:  # a level of FINCH: every group lies in one cloud
        assert 3 <= len(found.examples) <= np.sqrt(60)
        assert all(len(set(numbers[mixed][found.numbers == k])) == 1 for k in range(len(found.examples)))
    assert (found.numbers[found.examples] == np.arange(len(found.examples))).all()
    assert (found.sizes == np.sort(found.sizes)[::-1]).all()


def test_an_example_is_near_the_middle():
    vectors, _ = clouds(sizes=(40, 40))
    found = clusters.group(vectors, 2)
    for number, example in enumerate(found.examples):
        mine = vectors[found.numbers == number]
        distance = np.linalg.norm(mine - mine.mean(0), axis=1)
        assert np.linalg.norm(vectors[example] - mine.mean(0)) < np.median(distance)


def test_scale_of_a_column_does_not_count():
    vectors, _ = clouds()
    np.testing.assert_array_equal(
        clusters.group(vectors, 3).numbers, clusters.group(vectors * np.geomspace(1, 1e4, 12), 3).numbers
    )


def test_clips_that_are_in_no_group():
    """HDBSCAN leaves some of what lies between over."""
    vectors, _ = clouds(sizes=(40, 30))
    between = np.random.default_rng(5).normal(size=(60, 12)) * 3
    found = clusters.group(np.concatenate([vectors, between]), by="hdbscan")
    left = found.numbers == -1
    assert left[-60:].any()
    assert not left[:-60].any()
    assert found.sizes.sum() == (~left).sum()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "dbscan"}, "--by.*finch, kmeans, hdbscan"),
        ({"groups": 1}, "--groups.*2 to 59"),
        ({"groups": 60}, "--groups.*2 to 59"),
        ({"groups": 55}, "at its finest.*--by kmeans"),
        ({"groups": 3, "by": "hdbscan"}, "HDBSCAN, which finds the number"),
    ],
)
def test_what_cannot_be_grouped(options, said):
    with pytest.raises(InputError, match=said):
        clusters.group(clouds()[0], **options)


def test_too_few_clips():
    with pytest.raises(InputError, match="at least 4"):
        clusters.group(np.eye(3))
