"""Adaptation by label marginals: pseudo-labels, estimated proportions, and what teacher and student do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers.training import make_store

import kineme
from kineme.evaluation import marginals
from kineme.evaluation.marginals import Settings, adapt, estimate, move, pseudo_labels
from kineme.nn.sinkhorn import correct_marginals
from kineme.training import finetune
from kineme.training.finetune import Classifier, Labelled
from kineme.utils.errors import InputError
from kineme.views.augment import ViewSettings

SMALL = ["encoder.hidden=8", "encoder.layers=1", "method.views.frames=8", "method.queue=20", "loop.batch=8"]
VIEWS = ViewSettings(crop_low=0.8, shear=0, joint_jitter=0)
QUICK = finetune.Settings(lr=0.02, epochs=10, batch=8, milestones=(), backbone_rate=1.0, views=VIEWS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "swing")


@pytest.fixture(scope="module")
def model(store):
    path = store.path.parent / "run"
    return kineme.load(kineme.pretrain("moco", store, path, epochs=1, settings=SMALL, device="cpu"), device="cpu")


@pytest.fixture(scope="module")
def source(store):
    return Labelled(store, np.arange(20), np.unique(store.column("label"), return_inverse=True)[1][:20])


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(proportions, clips=4000, sharp=1.5, seed=0):
    """Posteriors of a calibrated classifier trained with even proportions, on clips of other ones; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(proportions), clips, p=proportions)
    logits = rng.normal(size=(clips, len(proportions))) * sharp
    logits[np.arange(clips), truth] += sharp**2
    return logits - np.logaddexp.reduce(logits, 1, keepdims=True), truth


def test_golden_pseudo_labels(golden):
    """The stored case: 0.55 of the raw labels are right, 0.70 of the corrected ones."""
    given = golden("p_hlvc_marginal")
    logits, wanted, truth = given["logits"], given["target_marginal"], given["labels_true"]
    found = torch.from_numpy(logits).log_softmax(1)
    corrected = correct_marginals(found, torch.from_numpy(wanted), 1.0, tolerance=1e-9).numpy()
    labels, kept = pseudo_labels(corrected, wanted)
    np.testing.assert_array_equal(labels, given["pseudo_label"])
    assert len(kept) == len(truth)
    assert np.mean(logits.argmax(1) == truth) == pytest.approx(0.55, abs=0.01)
    assert np.mean(labels == truth) == pytest.approx(0.70, abs=0.01)


def test_pseudo_labels_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    labels, kept = pseudo_labels(probabilities, np.array([0.5, 0.5]), threshold=0.65)
    assert (labels.tolist(), kept.tolist()) == ([0, 0, 1], [0, 2, 3])
    labels, kept = pseudo_labels(probabilities, np.array([0.25, 0.75]), capped=True)
    assert (labels.tolist(), kept.tolist()) == ([0, 1], [0, 3])  # one of class 0, the most probable
    labels, kept = pseudo_labels(probabilities, np.array([0.25, 0.75]), threshold=0.95)
    assert not len(kept)


@pytest.mark.parametrize("proportions", [(0.7, 0.2, 0.1), (0.05, 0.05, 0.9), (1 / 3, 1 / 3, 1 / 3)])
def test_estimated_proportions(proportions):
    """Those of a calibrated classifier are found to two points, and correction with them labels better."""
    found, truth = drawn(proportions)
    prior = np.full(3, 1 / 3)
    guess = estimate(found, prior)
    np.testing.assert_allclose(guess, np.bincount(truth, minlength=3) / len(truth), atol=0.02)
    corrected = correct_marginals(torch.from_numpy(found), torch.from_numpy(guess)).numpy()
    raw, better = (np.mean(p.argmax(1) == truth) for p in (found, corrected))
    assert better > raw + 0.01 if max(proportions) > 0.5 else abs(better - raw) < 0.01


def test_an_estimate_keeps_absent_classes_out():
    found, _ = drawn((0.5, 0.5, 0.0))
    assert estimate(found, np.array([0.5, 0.5, 0.0]))[2] == 0


def test_the_teacher_is_an_average(model, store):
    teacher, student = (Classifier(model, store, 4, QUICK, gen(seed)) for seed in (0, 1))
    before = copy.deepcopy(teacher.head.state_dict())
    move(teacher, student, 0.75)
    for name, value in teacher.head.state_dict().items():
        torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * student.head.state_dict()[name])


def test_adaptation(model, store, source, monkeypatch):
    """The teacher labels all clips once per epoch, from weights that follow the student; the classifier stays."""
    trained = finetune.finetune(model, *source, QUICK, gen())
    rows = np.arange(20, 40)
    before = trained.log_probabilities(store, rows)
    said, seen, notes = [], [], []
    marked = pseudo_labels

    def watched(probabilities, *others):
        said.append(probabilities)
        return marked(probabilities, *others)

    monkeypatch.setattr(marginals, "pseudo_labels", watched)
    epoch = finetune.Trainer.epoch
    monkeypatch.setattr(
        finetune.Trainer, "epoch", lambda self, sets, after: seen.append(sets) or epoch(self, sets, after)
    )
    student = adapt(trained, source, store, rows, np.full(4, 0.25), Settings(epochs=3, eps=1.0), gen(), notes.append)
    np.testing.assert_array_equal(trained.log_probabilities(store, rows), before)
    assert not np.array_equal(student.log_probabilities(store, rows), before)
    assert len(said) == len(seen) == len(notes) == 3
    for probabilities in said:
        np.testing.assert_allclose(probabilities.mean(0), 0.25, atol=1e-6)
    assert not np.array_equal(said[0], said[1])
    assert [len(sets) for sets in seen] == [2, 2, 2]
    assert seen[0][0] is source
    assert np.isin(seen[0][1].rows, rows).all()


def test_proportions_help_where_they_differ(model, store, source):
    """Of a target with a single class, the true proportions give the right labels, whatever the classifier thought."""
    untrained = Classifier(model, store, 4, QUICK, gen())
    rows = np.flatnonzero(store.column("label") == "kind 2")
    student = adapt(untrained, source, store, rows, np.eye(4)[2], Settings(epochs=6), gen())
    assert (student.log_probabilities(store, rows).argmax(1) == 2).mean() > 0.9


def test_bad_input(model, store, source):
    untrained = Classifier(model, store, 4, QUICK, gen())
    with pytest.raises(InputError, match=r"adaptation.threshold: no clip of 3 has a probability above 0.9"):
        adapt(untrained, source, store, np.arange(3), np.full(4, 0.25), Settings(threshold=0.9, eps=1.0), gen())
    with pytest.raises(InputError, match=r"adaptation.average"):
        Settings(average=1.0)
