"""Calibration: bins, errors and the plot, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from kineme.evaluation.protocols import calibration, linear
from kineme.evaluation.task import make_task
from kineme.utils.errors import InputError


def test_bins_by_hand():
    """Of two bins of ten: 0.55 and 0.57 fall into the sixth, 0.95 and 1 into the last."""
    sure, right = np.array([0.55, 0.95, 0.57, 1.0]), np.array([True, True, False, True])
    assert calibration.reliability(sure, right, 10) == [[pytest.approx(0.56), 0.5, 2], [pytest.approx(0.975), 1.0, 2]]


def test_errors_by_hand(write_store, fake_model, monkeypatch):
    """Probabilities 0.8 (right), 0.6 (wrong), 0.6 (right), of two classes."""
    told = np.log(np.array([[0.8, 0.2], [0.6, 0.4], [0.4, 0.6]]))
    monkeypatch.setattr(linear, "classify", lambda *_: iter([told]))
    store = write_store(["a", "b", "a", "b", "b"])
    sides = SimpleNamespace(name="mine", train=np.array([0, 1]), test=np.array([2, 3, 4]))
    found = calibration.score(make_task(fake_model(np.ones((5, 2))), store, sides), calibration.Settings(bins=5))
    # one bin holds 0.6, 0.6 (half of them right), the next 0.8
    assert found["ECE"] == pytest.approx((2 * 0.1 + 0.2) / 3)
    assert found["NLL"] == pytest.approx(-np.log([0.8, 0.4, 0.6]).mean())
    assert found["Brier"] == pytest.approx(np.mean([2 * 0.2**2, 2 * 0.6**2, 2 * 0.4**2]))
    low, high = found.more["ECE"]["interval"]
    assert 0 <= low < found["ECE"] < high
    assert found.more["ECE"]["reliability"] == [[pytest.approx(0.6), 0.5, 2], [pytest.approx(0.8), 1.0, 1]]


def test_a_class_that_training_lacks_is_unlikely_but_counts(write_store, fake_model):
    store = write_store(["a", "b"] * 10 + ["c"] * 2)
    features = np.eye(3)[[0, 1] * 10 + [2] * 2]
    sides = SimpleNamespace(name="mine", train=np.arange(16), test=np.arange(16, 22))
    found = calibration.score(make_task(fake_model(features), store, sides), calibration.Settings())
    assert found["NLL"] == pytest.approx(-np.mean(np.log(_own(found, 4)) + 2 * np.log(1e-12) / 4) * 4 / 6, rel=1e-3)


def _own(found, clips):
    return np.exp(-found.outcomes["NLL"].values[:clips])


def test_the_picture_is_drawn(tmp_path):
    row = {"metric": "ECE", "split": "xsub", "reliability": [[0.3, 0.2, 4], [0.9, 0.8, 6]]}
    rows = [row | {"features": features} for features in ("trained", "untrained", "hand-crafted")]
    calibration.picture(rows, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").stat().st_size > 5000


def test_lower_is_better():
    assert not any(calibration.higher_is_better(metric) for metric in ("ECE", "NLL", "Brier"))
    with pytest.raises(InputError, match=r"calibration\.bins"):
        calibration.Settings(bins=0)
