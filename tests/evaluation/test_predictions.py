"""What was predicted for each clip, as a table and as a confusion matrix; intervals; protocols that do not apply."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from kineme.evaluation import groups, plan, predictions, run
from kineme.evaluation.agreement import agreement
from kineme.evaluation.task import Outcome, Scores
from kineme.utils import registry
from kineme.utils.errors import InputError
from kineme.viz import plots

LABELS = ["walk", "sit", "wave"] * 8


@pytest.fixture
def rows(write_store, halves, fake_model):
    """Features that show the label, but for one test clip that sits where it waves; noise before training."""
    shown = np.eye(3)[np.unique(LABELS, return_inverse=True)[1]]
    shown[1] = [0, 0, 1.0]
    model = fake_model(shown, "runs/a", fake_model(np.random.default_rng(0).normal(size=(24, 3))))
    return run.evaluate(model, write_store(LABELS), ["knn"], halves(24), settings={"knn": {"k": (1,)}})


def test_predictions_by_hand(rows, tmp_path):
    assert predictions.write(rows, tmp_path / "said.csv") == 12
    with open(tmp_path / "said.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["clip"] for line in table] == [f"clip{i}" for i in range(1, 24, 2)]
    assert [line["true"] for line in table] == LABELS[1::2]
    wrong = [(line["clip"], line["predicted"]) for line in table if line["true"] != line["predicted"]]
    assert wrong == [("clip1", "wave")]
    assert {float(line["score"]) for line in table} == {1.0}  # cosines
    assert {(line["protocol"], line["metric"], line["features"], line["run"], line["seed"]) for line in table} == {
        ("knn", "1-NN", "trained", "runs/a", "0")
    }


def test_confusion_by_hand(rows, tmp_path):
    counts, classes, title = predictions.confusion(rows)
    assert classes == ["sit", "walk", "wave"]
    assert counts.tolist() == [[3, 0, 1], [0, 4, 0], [0, 0, 4]]
    assert title == "knn 1-NN on halves"
    plots.confusion(counts, classes, tmp_path / "confusion.png", title)
    assert (tmp_path / "confusion.png").stat().st_size > 5000
    with pytest.raises(InputError, match="confusion"):
        plots.confusion(counts, classes[:2], tmp_path / "no.png")


def test_clips_that_do_not_count_are_not_predicted(rows, tmp_path):
    outcome = rows.told[0][1]
    outcome.values[3] = np.nan
    assert predictions.write(rows, tmp_path / "said.csv") == 11
    assert predictions.confusion(rows).counts.sum() == 11


def test_protocols_without_labels(rows, tmp_path):
    rows.told = [(row, outcome._replace(labels=None)) for row, outcome in rows.told]
    with pytest.raises(InputError, match="predict no labels: knn"):
        predictions.write(rows, tmp_path / "said.csv")


def test_rows_have_intervals(rows):
    """Of 12 clips one is wrong: a bootstrap of 11 / 12."""
    low, high = rows[0]["interval"]
    assert rows[0]["score"] == pytest.approx(11 / 12)
    assert low == pytest.approx(0.75, abs=1e-9)  # percentile 2.5 of the shares of 12 draws
    assert high == 1
    assert all(len(row["interval"]) == 2 for row in rows if row["protocol"] == "knn")


def test_interval_is_that_of_the_theory():
    gen = np.random.default_rng(0)
    values = (gen.random((1, 2000)) < 0.7).astype(float)
    low, high = groups.interval(values)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.21 / 2000), rel=0.07)
    spread = gen.normal(size=(3, 500))
    low, high = groups.interval(spread)
    assert (high - low) / 2 == pytest.approx(1.96 * spread.mean(0).std() / np.sqrt(500), rel=0.07)
    some = np.concatenate([spread, np.full((3, 50), np.nan)], 1)
    assert groups.interval(some) == [low, high]


def test_interval_of_a_figure_that_is_no_mean():
    """Of a mean it is that of the theory; it holds the figure, though clips that are drawn twice lift NMI."""
    gen = np.random.default_rng(0)
    values = gen.random(400)
    low, high = groups.resampled(lambda rows: values[rows].mean(), 400)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(400), rel=0.15)
    truth, found = gen.integers(0, 10, (2, 80))  # nothing in common

    def nmi(rows):
        return agreement(found[rows], truth[rows])["NMI"]

    low, high = groups.resampled(nmi, 80)
    assert 0 <= low < nmi(np.arange(80)) < high <= 1
    assert groups.resampled(lambda rows: agreement(truth[rows], truth[rows])["ARI"], 80, -1.0) == [1, 1]


def test_paired_over_clips_and_seeds():
    """Clips alone give the theory's width; seeds that differ widen it; what is equal has no width."""
    gen = np.random.default_rng(0)
    one, other = (gen.random((1, 1000)) < 0.8).astype(float), (gen.random((1, 1000)) < 0.7).astype(float)
    apart, (low, high) = groups.paired(one, other)
    assert apart.mean() == pytest.approx(one.mean() - other.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * (one - other).std() / np.sqrt(1000), rel=0.07)
    assert groups.paired(one, one)[1] == [0, 0]
    seeds = np.stack([gen.random(1000) < rate for rate in (0.6, 0.8, 1.0)]).astype(float)
    wide = groups.paired(seeds, np.repeat(other, 3, 0))[1]
    assert wide[1] - wide[0] > 2 * (high - low)


def test_a_score_that_nothing_can_be_said_of():
    with pytest.raises(InputError, match="no test clip"):
        Scores().tell("mAP", Outcome(np.full(3, np.nan)))


def test_all_protocols_are_tried_and_what_does_not_apply_is_said(write_store, halves, fake_model):
    """With one seed and a model of fixed vectors."""
    gen = np.random.default_rng(0)
    model = fake_model(gen.normal(size=(48, 4)), "runs/a", fake_model(gen.normal(size=(48, 4))))
    store = write_store(["walk", "sit", "wave"] * 16)
    rows = run.evaluate(model, store, "all", halves(48), baseline=False)
    done = {row["protocol"] for row in rows}
    said = {note.split(" is left out: ")[0]: note for note in rows[0]["notes"] if " is left out: " in note}
    assert done | set(said) == set(registry.names(plan.PROTOCOLS))
    assert not done & set(said)
    assert {"knn", "linear", "svm", "retrieval"} <= done
    assert {"sequence", "viewpoint", "pose_retrieval", "cross_domain"} <= set(said)
    assert said["cross_domain"].endswith("Give --source STORE.")
    with pytest.raises(InputError, match="the labelled store to learn from"):
        run.evaluate(model, store, ["cross_domain"], halves(48))
