"""What stands beside a recogniser: the same folds and classifier on hand-crafted features, and the majority."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme.evaluation import baselines, few_labels
from kineme.evaluation.agreement import agreement
from kineme.inference import classifier
from kineme.inference.recogniser import Recogniser


@pytest.fixture(scope="module")
def store():
    made = kineme.synth.generate(32, ["walk", "kick", "clap"], subjects=4, cameras=1, seed=3, layout="pose13", coords=3)
    return kineme.store(made, normalise="general")


def test_rows_stand_on_the_same_examples(store):
    labels = store.column("label")
    recogniser = Recogniser.teach("base", store, labels)
    rows = few_labels.scores(recogniser, store)
    trained, crafted, majority = rows
    assert [row["features"] for row in rows] == ["trained", "hand-crafted", "majority class"]
    assert {row["examples"] for row in rows} == {32}
    assert {row["by"] for row in rows} == {"subject"}
    assert majority["right"] == max(np.unique(labels.astype(str), return_counts=True)[1])
    assert trained["right"] == recogniser.taught.held.right.sum() == recogniser.card["held_out"]["right"]
    assert crafted["score"] == max(crafted["forms"].values()) == crafted["forms"][crafted["form"]]
    assert len(crafted["forms"]) >= 3


def test_the_best_form_is_cross_validated_in_the_same_folds(store):
    recogniser = Recogniser.teach("base", store, store.column("label"))
    crafted = few_labels.scores(recogniser, store)[1]
    forms = {name: made for name, *made in baselines.unlabelled_forms(store, store, np.arange(32))}
    taught, (features, pool) = recogniser.taught, forms[crafted["form"]]
    held = classifier.cross_validated(features, taught.numbers, pool, taught.folds.numbers)
    assert held.right.sum() == crafted["right"]


def test_examples_that_were_cut_out(store, tmp_path):
    rows = [f"{name},0,30,{label}" for name, label in zip(store.ids, store.column("label"))]
    (tmp_path / "cut.csv").write_text("id,start,end,label\n" + "\n".join(rows) + "\n")
    told = []
    scores = few_labels.scores(Recogniser.teach("base", store, tmp_path / "cut.csv"), store, told.append)
    assert scores[1]["examples"] == 32
    assert set(told) == set(scores[1]["forms"])


def test_an_opened_recogniser_has_no_examples(store, tmp_path):
    folder = Recogniser.teach("base", store, store.column("label")).save(tmp_path / "kept")
    opened = kineme.Recogniser.open(folder)
    for call in (lambda: few_labels.scores(opened, store), opened.held_out):
        with pytest.raises(kineme.InputError, match="one that was just taught"):
            call()
    with pytest.raises(kineme.InputError, match="without a run on disk"):
        opened.save(tmp_path / "again")


def test_the_interval_is_wilsons():
    low, high = few_labels.interval(0, 10)
    assert low == 0
    assert high == pytest.approx(0.2775, abs=1e-3)
    assert few_labels.interval(10, 10)[0] == pytest.approx(1 - high)
    assert few_labels.interval(50, 100) == pytest.approx((0.404, 0.596), abs=1e-3)


def test_agreement_by_hand():
    groups = np.array([0, 0, 0, 1, 1, 2, -1])
    found = agreement(groups, np.array(list("aabbbcc")))
    assert found["accuracy"] == pytest.approx(5 / 7)  # a, b and c; the one that is left out is wrong
    assert 0 < found["ARI"] < found["NMI"] < 1
    assert agreement(np.zeros(4, int), np.array(list("aabb"))) == {"NMI": 0.0, "ARI": 0.0, "accuracy": 0.5}
    assert agreement(np.full(4, -1), np.array(list("aabb")))["accuracy"] == 0
