"""Transfer: figures on the other store's split, with another layout, with bad targets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import LEGS, TINY, kineme, make_store, one_paragraph

import kineme as package
from kineme.data import splits
from kineme.evaluation.protocols import knn, linear, transfer
from kineme.evaluation.task import make_task
from kineme.training import finetune
from kineme.utils.errors import InputError

FEW = finetune.Settings(epochs=2, batch=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on Kinect's joints, and another store of Kinect v2's, which has all of them."""
    folder = tmp_path_factory.mktemp("transfer")
    store, other = make_store(folder / "swing", clips=16), make_store(folder / "other", layout="ntu25", seed=3)
    kineme("pretrain", "moco", store.path, "--out", folder / "run", "--epochs", 1, *TINY, "--set", "method.queue=8")
    return SimpleNamespace(path=folder / "run", model=package.load(folder / "run"), store=store, other=other)


@pytest.fixture
def task(run):
    return make_task(run.model, run.store, SimpleNamespace(name="mine", train=np.arange(8), test=np.arange(8, 16)))


@pytest.mark.filterwarnings("ignore:.*mapped to the run's")
def test_figures_are_those_of_the_other_store(run, task):
    how = transfer.Settings(target=str(run.other.path), training=FEW)
    found = transfer.score(task, how)
    assert list(found) == ["1-NN", "linear", "fine-tuned"]
    sides = splits.split(run.other, "xsub")  # other people, as advised
    given = make_task(run.model, run.other, sides)
    assert found["1-NN"] == knn.score(given, knn.Settings(k=(1,)))["1-NN"]
    assert found["linear"] == linear.score(given, linear.Settings(max_iter=1000))["accuracy"]
    more = found.more["linear"]
    assert (more["split"], more["train"], more["test"]) == ("other xsub", len(sides.train), len(sides.test))
    assert more["interval"][0] <= found["linear"] <= more["interval"][1]
    at_random = transfer.score(task, transfer.Settings(str(run.other.path), "random", kinds=("knn",)))
    assert at_random.more["1-NN"]["split"] == "other random"


def test_from_the_command_line(run):
    words = ["evaluate", run.path, run.store.path, "--split", "random", "--protocols", "transfer"]
    short = ["--set", "transfer.training.epochs=1", "--set", "transfer.training.batch=8"]
    done = kineme(*words, "--target", run.other.path, *short)
    assert "other xsub" in done.stdout
    assert "fine-tuned" in done.stdout
    one_paragraph(kineme(*words, check=False), "transfer.target", "--target STORE")


@pytest.mark.parametrize("labels", [[None] * 6, ["a", *[None] * 5]])
def test_targets_that_cannot_be(task, write_store, labels):
    with pytest.raises(InputError, match=r"no clip has a label|no labelled clip on the"):
        transfer.score(task, transfer.Settings(target=str(write_store(labels).path), kinds=("knn",)))


def test_a_target_whose_joints_the_run_lacks_says_how_to_prepare_it(task, tmp_path):
    fewer = make_store(tmp_path / "fewer", layout=LEGS, clips=8)
    with pytest.raises(InputError, match="--layout kinect20"):
        transfer.score(task, transfer.Settings(target=str(fewer.path)))


def test_settings_that_cannot_be(task):
    with pytest.raises(InputError, match=r"transfer\.kinds"):
        transfer.Settings(kinds=("svm",))
    with pytest.raises(InputError, match="--target STORE"):
        transfer.resolve(transfer.Settings(), task)
