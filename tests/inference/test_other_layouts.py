"""Runs on stores of other layouts: their joints are mapped by name, as those of motion files are."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme.utils.errors import InputError

TINY = {"encoder": {"hidden": 8, "frames": 8}, "method": {"dim": 6, "width": 8}, "loop": {"batch": 8}}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    raw = kineme.synth.write(folder / "raw", 16, subjects=2, actions=["walk", "kick"])
    kinect = kineme.prepare(raw, folder / "ntu25")
    small = kineme.prepare(raw, folder / "pose13", layout="pose13")
    return kinect, small


@pytest.fixture(scope="module")
def run(stores, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return kineme.pretrain("simclr", stores[1], out, steps=2, settings=TINY, device="cpu")


def test_a_store_of_another_layout_gives_the_vectors_of_one_prepared_for_the_run(stores, run):
    model = kineme.load(run, device="cpu")
    with pytest.warns(UserWarning, match="ntu25 mapped to the run's pose13, 12 unused"):
        mapped = model.embed(stores[0])
    np.testing.assert_allclose(mapped, model.embed(stores[1]), atol=2e-4)
    with pytest.warns(UserWarning, match="mapped"):
        np.testing.assert_allclose(model.embed(stores[0], rows=[3, 1]), mapped[[3, 1]], atol=1e-6)


def test_it_is_evaluated_at_once(stores, run):
    with pytest.warns(UserWarning, match="mapped"):
        rows = kineme.evaluate(run, stores[0], "knn", split="random", baseline=False)
    assert {row["features"] for row in rows} == {"trained", "untrained"}


def test_some_missing_joints_are_named_and_most_of_them_refused(stores, tmp_path):
    kinect, small = stores
    run = kineme.pretrain("simclr", kinect, tmp_path / "run", steps=2, settings=TINY, device="cpu")
    model = kineme.load(run, device="cpu")
    with pytest.warns(UserWarning, match="pose13 mapped to the run's ntu25, 1 unused, without neck, .*tip"):
        assert np.isfinite(model.embed(small)).all()
    arms = [name for name in kinect.layout.joints if "left" in name or "neck" in name]
    rows = [kinect.layout.joints.index(name) for name in arms]
    half = kineme.store([m.joints[:, :, rows] for m in kinect], tmp_path / "half", layout=arms, normalise="none")
    with pytest.raises(InputError, match=r"without .*right_hand"):
        model.embed(half)
