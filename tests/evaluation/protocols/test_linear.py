"""The linear probes: logistic regression against a second solver, the published descents against their settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kineme.evaluation.protocols import linear
from kineme.evaluation.protocols.linear import PUBLISHED, Settings
from kineme.evaluation.task import make_task
from kineme.utils import settings
from kineme.utils.errors import InputError


def blobs(n: int, dim: int, classes: int, seed: int = 0, apart: float = 0.7):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, dim)) * apart
    labels = rng.integers(0, classes, n)
    labels[:classes] = np.arange(classes)
    return (centres[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels


def by_another_solver(train, labels, test, C):
    """Class scores of the same minimum by another road: torch L-BFGS in float64 on the sum of losses + |w|^2 / (2 C).

    Of two classes scikit-learn gives weights to one only; as two opposite halves they have half the square.
    """
    C = C / 2 if labels.max() == 1 else C
    mean, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    x, z = (torch.as_tensor((a - mean) / np.where(scale == 0, 1, scale)) for a in (train, test))
    y, classes = torch.as_tensor(labels), int(labels.max()) + 1
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss():
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(x @ weight.T + bias, y, reduction="sum")
        value = value + weight.square().sum() / (2 * C)
        value.backward()
        return value

    solver.step(loss)
    return (z @ weight.T + bias).detach().numpy()


def last(looks):
    return [*looks][-1]


@pytest.mark.parametrize(("dim", "classes", "C"), [(5, 2, 0.05), (40, 6, 0.05), (40, 6, 1.0), (300, 10, 0.05)])
def test_logistic_is_the_minimum(dim, classes, C):
    features, labels = blobs(600, dim, classes)
    found = linear.logistic(features[:300], labels[:300], features[300:], C)
    expected = by_another_solver(features[:300], labels[:300], features[300:], C)
    probabilities = (torch.as_tensor(scores).softmax(1) for scores in (found, expected))
    np.testing.assert_allclose(*probabilities, atol=0.02)  # scikit-learn stops a little earlier
    found, expected = found.argmax(1), expected.argmax(1)
    assert np.mean(found == expected) >= 0.996
    assert abs(np.mean(found == labels[300:]) - np.mean(expected == labels[300:])) < 4e-3


@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_scores_give_its_probabilities(classes):
    """Their highest is scikit-learn's label and their softmax its probability, also of two classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, labels = blobs(300, 12, classes)
    scale = StandardScaler().fit(features[:150].astype(np.float64))
    train, test = (scale.transform(side.astype(np.float64)) for side in (features[:150], features[150:]))
    theirs = LogisticRegression(C=0.05, max_iter=10_000).fit(train, labels[:150])
    found = linear.logistic(features[:150], labels[:150], features[150:])
    np.testing.assert_array_equal(found.argmax(1), theirs.predict(test))
    np.testing.assert_allclose(torch.as_tensor(found).softmax(1), theirs.predict_proba(test), atol=1e-9)


def test_labels_that_do_not_occur_are_never_said():
    features, labels = blobs(200, 12, 3)
    found = linear.logistic(features[:100], 2 * labels[:100], features[100:])
    assert found.shape == (100, 5)
    assert np.isneginf(found[:, [1, 3]]).all()
    np.testing.assert_array_equal(found[:, ::2], linear.logistic(features[:100], labels[:100], features[100:]))


def test_logistic_is_standardised_and_draws_nothing():
    features, labels = blobs(400, 20, 4)
    features[:, 3] = 7.0  # a constant column
    first = linear.logistic(features[:200], labels[:200], features[200:])
    moved = features * np.geomspace(1e-3, 1e3, 20).astype(np.float32) + 5
    np.testing.assert_array_equal(first, linear.logistic(features[:200], labels[:200], features[200:]))
    again = linear.logistic(moved[:200], labels[:200], moved[200:])
    assert np.mean(first.argmax(1) == again.argmax(1)) > 0.99


def test_penalty_has_its_usual_sense():
    """A large C fits noise exactly, a small one does not."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 100)).astype(np.float32), rng.integers(0, 3, 60)
    assert np.mean(linear.logistic(features, labels, features, 10.0).argmax(1) == labels) == 1
    assert np.mean(linear.logistic(features, labels, features, 1e-6).argmax(1) == labels) < 0.9


def test_published_settings():
    """Specification halp.md, section 8, and hico.md, section 6."""
    told = {name: (how.lr, how.batch, how.random_crops, how.every) for name, how in PUBLISHED.items()}
    assert told == {"halp": (0.005, 64, True, 5), "cmd": (0.1, 64, True, 5), "hico": (2.0, 1024, False, 1)}
    for how in PUBLISHED.values():
        assert (how.epochs, [share * how.epochs for share in how.milestones]) == (80, [50, 70])


def test_descent_as_published(monkeypatch):
    """Start, momentum, decay, batches and the fall of the learning rate, seen at every step of the optimiser."""
    features, labels = blobs(100, 50, 5)
    steps = []
    step = torch.optim.SGD.step

    def watched(self, closure=None):
        group = self.param_groups[0]
        weight, bias = (parameter.detach().clone() for parameter in group["params"])
        steps.append((group["lr"], group["momentum"], group["weight_decay"], weight, bias))
        return step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    last(linear.descend(features[None], labels, features, 5, replace(PUBLISHED["cmd"], epochs=8), 0))
    np.testing.assert_allclose([lr for lr, *_ in steps], [0.1] * 10 + [0.01] * 4 + [0.001] * 2, rtol=1e-9)  # 2 batches
    assert {(momentum, decay) for _, momentum, decay, _, _ in steps} == {(0.9, 0)}
    weight, bias = steps[0][3:]
    assert 0.008 < weight.std() < 0.012
    assert abs(weight.mean()) < 0.002
    assert not bias.any()


def test_descent_by_hand():
    """One full batch: the outputs after one step are those of w0 - lr * gradient."""
    features, labels = blobs(200, 10, 3)
    how = replace(PUBLISHED["hico"], epochs=1, every=1)
    weight = torch.empty(3, 10).normal_(0, 0.01, generator=torch.Generator().manual_seed(4)).requires_grad_()
    bias = torch.zeros(3, requires_grad=True)
    x, y = torch.as_tensor(features), torch.as_tensor(labels)
    torch.nn.functional.cross_entropy(x @ weight.T + bias, y).backward()
    logits = x @ (weight - 2.0 * weight.grad).T + bias - 2.0 * bias.grad
    (found,) = linear.descend(features[None], labels, features, 3, how, 4)
    np.testing.assert_allclose(found, logits.detach(), atol=1e-5)


def test_every_view_is_used():
    """Two views that contradict each other teach nothing; one view alone does."""
    features, labels = blobs(300, 10, 2, apart=2.0)
    features -= features.mean(0)
    how = replace(PUBLISHED["halp"], epochs=20)
    alone = last(linear.descend(features[None], labels, features, 2, how, 0))
    both = last(linear.descend(np.stack([features, -features]), labels, features, 2, how, 0))
    assert np.mean(alone.argmax(1) == labels) > 0.98
    assert np.mean(both.argmax(1) == labels) < 0.8


def test_descent_is_made_by_its_seed():
    features, labels = blobs(300, 30, 6, apart=0.2)
    how = replace(PUBLISHED["halp"], epochs=10, every=1)
    runs = [
        np.stack([*linear.descend(features[None, :200], labels[:200], features[200:], 6, how, seed)])
        for seed in (0, 0, 1)
    ]
    assert runs[0].shape == (10, 100, 6)  # a look after every epoch
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0][0], runs[0][1])
    looks = {
        every: len([*linear.descend(features[None], labels, features[:5], 6, replace(how, every=every), 0)])
        for every in (4, 5)
    }
    assert looks == {4: 3, 5: 2}  # the last epoch is always looked at


@pytest.fixture
def given(write_store, halves, fake_model):
    features, labels = blobs(80, 16, 4, apart=0.4)
    return make_task(fake_model(features), write_store([f"action{label}" for label in labels]), halves(80))


@pytest.mark.parametrize("probe", ["halp", "cmd", "hico", "logistic"])
def test_crops(given, probe):
    """HaLP and CMD train on random crops of the training clips; all test on the deterministic one."""
    linear.score(given, Settings(probe=probe, epochs=2, views=3))
    random = [(n, crop) for n, crop in given.model.asked if crop is not None]
    assert random == ([(40, (0.5, 1.0, seed)) for seed in range(3)] if probe in ("halp", "cmd") else [])
    assert (None, None) in given.model.asked
    linear.score(replace(given, seed=1), Settings(probe="halp", epochs=1, views=3))
    assert [crop for _, crop in given.model.asked if crop][-3:] == [(0.5, 1.0, seed) for seed in (3, 4, 5)]


@pytest.mark.parametrize("probe", ["halp", "cmd", "hico"])
def test_the_best_test_epoch_is_never_the_score(given, probe):
    plain = linear.score(given, Settings(probe=probe, epochs=12, lr=0.5))
    both = linear.score(given, Settings(probe=probe, epochs=12, lr=0.5, faithful=True))
    assert list(plain) == ["accuracy"]
    assert both["accuracy"] == plain["accuracy"] <= both["accuracy at the best test epoch"]


def test_learning_rate_of_ones_own(given):
    low, high = (linear.score(given, Settings(probe="cmd", epochs=3, lr=lr))["accuracy"] for lr in (1e-9, 0.1))
    assert low != high


def test_seeds_and_floor():
    assert not linear.is_stochastic(Settings())
    assert linear.is_stochastic(Settings(probe="halp"))
    assert linear.baseline(Settings(probe="cmd", C=3.0)) == ("best trained", Settings(max_iter=300))


@pytest.mark.parametrize("values", [{"C": 0}, {"C": -1}, {"C": float("nan")}, {"lr": 0}, {"epochs": 0}, {"views": 0}])
def test_settings_that_cannot_be(given, values):
    with pytest.raises(InputError, match=r"linear\."):
        linear.score(given, settings.make(Settings, values))


def test_one_class_cannot_be_told_apart(write_store, halves, fake_model):
    given = make_task(fake_model(np.ones((10, 2))), write_store(["a", "b"] * 5), halves(10))  # all that train are "a"
    with pytest.raises(InputError, match="one label"):
        linear.score(given, Settings())
