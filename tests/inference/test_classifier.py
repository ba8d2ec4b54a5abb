"""The classifier for few labels: right on what it knows, unsure of what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from kineme.inference import classifier

WIDTH = 24


def clouds(classes, each, seed=0, spread=0.5):
    """Vectors ``[classes * each, WIDTH]`` around one centre per class, and their classes; centres do not depend on
    the seed.
    """
    centres = 2 * np.random.default_rng(99).normal(size=(12, WIDTH))[:classes]
    numbers = np.repeat(np.arange(classes), each)
    noise = spread * np.random.default_rng(seed).normal(size=(len(numbers), WIDTH))
    return (centres[numbers] + noise).astype(np.float32), numbers


def taught(classes=5, each=5, seed=0, spread=0.5):
    vectors, numbers = clouds(classes, each, seed, spread)
    folds = classifier.choose_folds({}, numbers)
    return classifier.fit(vectors, numbers, classifier.spread(vectors), folds.numbers)


def test_it_knows_what_it_was_taught_and_doubts_the_rest():
    made, held, threshold = taught()
    vectors, numbers = clouds(10, 40, seed=1)
    answers, sure = made.predict(vectors)
    known = numbers < 5
    assert (answers[known] == numbers[known]).mean() > 0.99
    assert held.right.all()
    assert (sure[known] >= threshold).mean() > 0.8
    assert (sure[~known] < threshold).mean() > 0.8
    assert ((sure >= 0) & (sure <= 1)).all()


def test_confidence_is_about_the_share_of_right_answers():
    """As many clips of no known class as of known ones, with noise that makes mistakes; the store has both."""
    examples, classes = clouds(6, 20, spread=2.5)
    pool = classifier.spread(clouds(12, 20, seed=5, spread=2.5)[0])
    made, _, _ = classifier.fit(examples, classes, pool, classifier.choose_folds({}, classes).numbers)
    vectors, numbers = clouds(12, 200, seed=2, spread=2.5)
    answers, sure = made.predict(vectors)
    right = answers == numbers
    assert 0.2 < right.mean() < 0.49
    assert sure.mean() == pytest.approx(right.mean(), abs=0.08)
    order = np.argsort(sure)
    third = len(order) // 3
    assert right[order[-third:]].mean() > right[order[:third]].mean() + 0.3


def test_two_classes_of_two_suffice():
    made, held, threshold = taught(2, 2)
    vectors, numbers = clouds(2, 20, seed=3)
    answers, sure = made.predict(vectors)
    assert (answers == numbers).all()
    assert np.isfinite(sure).all()
    assert held.scores.shape == (4, 2)
    assert 0 < threshold < 1


def test_more_examples_than_dimensions_give_the_same_weights():
    """Both forms of the normal equations."""
    vectors, numbers = clouds(3, 9)  # 27 examples of 24 values: the primal form
    pool = classifier.spread(vectors)
    made = classifier.train(vectors, numbers, pool, 3)
    points = (vectors.astype(np.float64) - pool[0]) / pool[1]
    centred, wanted = points - points.mean(0), np.eye(3)[numbers]
    penalty = classifier.PENALTY * np.square(centred).sum() / len(points)
    dual = centred.T @ np.linalg.solve(centred @ centred.T + penalty * np.eye(27), wanted - wanted.mean(0))
    np.testing.assert_allclose(made.weights, dual, atol=1e-5)


def test_columns_that_do_not_vary_do_not_count():
    vectors, numbers = clouds(3, 6)
    wider = np.concatenate([vectors, np.full((18, 2), 7.0, np.float32)], 1)
    plain = classifier.cross_validated(vectors, numbers, classifier.spread(vectors), numbers * 0 + np.arange(18) % 6)
    other = classifier.cross_validated(wider, numbers, classifier.spread(wider), numbers * 0 + np.arange(18) % 6)
    np.testing.assert_allclose(plain.scores, other.scores, atol=1e-5)


def test_examples_held_out_are_not_seen():
    """Labels that are drawn at random are not right more often than chance, whatever the classifier could remember."""
    gen = np.random.default_rng(0)
    vectors, numbers = gen.normal(size=(120, 400)).astype(np.float32), gen.permutation(np.repeat(np.arange(4), 30))
    folds = classifier.choose_folds({}, numbers)
    held = classifier.cross_validated(vectors, numbers, classifier.spread(vectors), folds.numbers)
    assert held.right.mean() < 0.4
    answers, _ = classifier.fit(vectors, numbers, classifier.spread(vectors), folds.numbers)[0].predict(vectors)
    assert (answers == numbers).mean() > 0.95


def test_a_class_that_its_fold_does_not_know_is_an_error():
    vectors, numbers = clouds(3, 4)
    folds = np.where(numbers == 2, 0, 1 + np.arange(12) % 2)
    made, held, _ = classifier.fit(vectors, numbers, classifier.spread(vectors), folds)
    assert not held.right[numbers == 2].any()
    assert held.right[numbers != 2].all()
    assert np.isfinite([made.temperature, made.slope, made.middle]).all()


NUMBERS = np.repeat(np.arange(3), 6)


@pytest.mark.parametrize(
    ("groups", "by"),
    [
        ({"subject": list("abcdef") * 3, "source": list("abcdef") * 3}, "subject"),
        ({"subject": [None, *"bcdef"] + list("abcdef") * 2, "source": list("ab") * 9}, "source"),
        ({"subject": ["a"] * 6 + list("bc") * 6}, "clip"),  # class 0 is shown by one person only
        ({}, "clip"),
    ],
)
def test_what_is_held_out_together(groups, by):
    folds = classifier.choose_folds(groups, NUMBERS)
    assert folds.by == by
    for fold in np.unique(folds.numbers):
        assert set(NUMBERS[folds.numbers != fold]) == {0, 1, 2}
    if by != "clip":
        codes = np.array(groups[by])
        assert all(len(set(folds.numbers[codes == each])) == 1 for each in set(groups[by]))


def test_folds_are_few_and_even():
    numbers = np.repeat(np.arange(4), 50)
    folds = classifier.choose_folds({"subject": list(range(200))}, numbers)
    assert len(np.unique(folds.numbers)) == classifier.FOLDS
    assert np.bincount(folds.numbers).tolist() == [20] * 10
    assert np.bincount(classifier.choose_folds({}, numbers).numbers).tolist() == [20] * 10


def test_the_boundary_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    gen = np.random.default_rng(0)
    known, unknown = gen.normal(0.6, 0.2, 40), gen.normal(0.3, 0.2, 70)
    slope, middle = classifier._boundary(known, unknown)
    values = np.concatenate([known, unknown])
    weight = np.concatenate([np.full(40, 0.5 / 40), np.full(70, 0.5 / 70)]) * 110
    other = LogisticRegression(C=1, tol=1e-8).fit(
        ((values - values.mean()) / values.std())[:, None], np.arange(110) < 40, weight
    )
    asked = np.linspace(0, 1, 9)
    wanted = other.predict_proba(((asked - values.mean()) / values.std())[:, None])[:, 1]
    np.testing.assert_allclose(classifier._logistic(slope * (asked - middle)), wanted, atol=1e-3)
    assert classifier._boundary(unknown, known) == (0.0, 0.0)  # nearness that speaks against is not used
    assert classifier._boundary(np.array([]), known) == (0.0, 0.0)
