"""What 0.1.0 wrote opens as before: a store, runs with former names of settings, a state to go on from.

The files in ``golden/written_by_0_1_0`` were written by commit 0d8a113, and ``vectors.npz`` is what it embedded.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.training import kineme as cli

import kineme
from kineme.training import recipe
from kineme.utils import settings
from kineme.utils.errors import InputError

HERE = Path(__file__).parent / "golden" / "written_by_0_1_0"


@pytest.fixture
def old(tmp_path) -> Path:
    shutil.copytree(HERE, tmp_path / "old")
    return tmp_path / "old"


def test_the_store_opens_and_is_whole(old):
    store = kineme.open(old / "store")
    assert (len(store), store.confidence.shape) == (8, (len(store.frames), 1, 20))
    store.verify()


@pytest.mark.parametrize("method", ["moco", "hico", "cv_mim"])
def test_runs_give_the_vectors_that_they_gave(old, method):
    store = kineme.open(old / "store")
    seen = list(kineme.synth.generate(2, cameras=1, layout="kinect20"))  # cv_mim looks at what a camera sees
    what = seen if method == "cv_mim" else store
    with np.load(old / "vectors.npz") as wanted:
        found = kineme.load(old / method, "cpu").embed(what)
        np.testing.assert_allclose(found, wanted[method], atol=1e-5, rtol=1e-5)


def test_former_names_of_settings_are_read_from_cards_and_refused_elsewhere(old):
    chosen = recipe.from_card(kineme.load(old / "moco", "cpu").card)
    views = chosen.method["views"]
    assert (views["min_frames"], views["joint_jitter"], views["noise"]) == (4, 0.2, 0.01)
    encoder = recipe.from_card(kineme.load(old / "hico", "cpu").card).encoder
    assert (encoder["mask_absent"], encoder["positional_encoding"], encoder["per_person"]) == (False, True, False)
    method = recipe.from_card(kineme.load(old / "cv_mim", "cpu").card).method
    assert (method["w_cross"], method["cameras"]["joint_dropout"], method["cameras"]["min_depth"]) == (7, 0.1, 0.4)
    with pytest.raises(InputError, match=r"views\.least: no such setting.*now called 'min_frames'"):
        recipe.load("moco", 40, settings={"method.views.least": 8})
    assert settings.assignments(["a.b=1"]) == settings.assignments({"a": {"b": 1}}) == {"a.b": 1}


def test_a_run_goes_on_from_an_old_state(old):
    """Weights, queue and optimiser of 0.1.0 under the names of today; the log of the first epoch stays."""
    words = ["pretrain", "moco", old / "store", "--init-from", old / "moco", "--out", old / "more", "--epochs", 2]
    settings = ("encoder.hidden=4", "encoder.layers=1", "method.views.frames=8", "method.queue=8", "method.dim=4")
    for name in (*settings, "method.stream=joint", "encoder.read=last"):  # which were defaults then
        words += ["--set", name]
    cli(*words, "--set", "loop.batch=4")
    assert kineme.load(old / "more", "cpu").embed(kineme.open(old / "store")).shape[0] == 8
