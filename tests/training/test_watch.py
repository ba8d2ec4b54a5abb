"""A training that diverges stops and names the likely cause; what is shown as progress falls when learning works."""

from __future__ import annotations

import json
import math
import signal
import types

import numpy as np
import pytest
import torch
from helpers.training import TINY, make_store, one_paragraph
from helpers.training import kineme as cli

import kineme
from kineme.methods.moco import MoCo
from kineme.training import checkpoint, log, loop
from kineme.training.recipe import Loop
from kineme.training.watch import Watch, likely_cause
from kineme.utils.distributed import ProcessGroup
from kineme.utils.errors import InputError

SETTINGS = [word for word in TINY if word != "--set"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "swing")


def watched(losses, settled_from=0, every=20, start=None) -> tuple[int | None, str]:
    """The step at which the watch speaks up, and what it says."""
    watch = Watch(ProcessGroup(), start)
    for step, loss in enumerate(losses, 1):
        watch.add([torch.tensor(float(loss))])
        if step % every == 0 and (fault := watch.fault(step >= settled_from)):
            return step, fault
    return None, ""


@pytest.mark.parametrize(
    ("name", "losses", "settled"),
    [
        ("it falls", np.linspace(5, 0.001, 400), 0),
        ("the first fill of a queue: from next to nothing to log K", np.geomspace(1e-4, 7, 400), 390),
        ("it falls below zero", np.linspace(4, -150, 400), 0),
        ("one step of many is far away", [1.0] * 100 + [1e6] + [1.0] * 100, 0),
        ("a large one from the beginning", np.full(400, 1e9), 0),
        ("nearly nothing, and then a little", [1e-9] * 100 + [0.5] * 100, 0),
        ("99 times", [1.0] * 100 + [99.0] * 100, 0),
    ],
)
@pytest.mark.parametrize("every", [1, 7, 20])
def test_what_does_not_diverge(name, losses, settled, every):
    assert watched(losses, settled, every) == (None, "")


@pytest.mark.parametrize(
    ("losses", "settled", "at", "said"),
    [
        ([1.0] * 30 + [math.nan] + [1.0] * 30, 0, 40, "nan"),
        ([1.0] * 30 + [math.inf] + [1.0] * 30, 1000, 40, "inf"),
        ([-math.inf], 0, None, ""),  # the next look is at step 20
        ([1.0] * 40 + [101.0] * 40, 0, 60, "risen to 101, from 1"),
        ([0.02] * 40 + [3.0] * 40, 0, 60, "risen to 3, from 0.02"),
        ([0.02] * 40 + [3.0] * 60 + [301.0] * 40, 50, 120, "risen to 301, from 3"),  # the start is after the fill
        ([0.02] * 40 + [150.0] * 40, 1000, 60, "risen to 150, from 1"),  # long before the queue is full
        (-np.geomspace(1, 1e6, 200), 0, 100, "risen to"),  # a bound that runs away downwards
        (np.geomspace(1, 1e9, 60), 0, 40, "risen to"),  # in the very first steps
    ],
)
def test_what_diverges(losses, settled, at, said):
    step, fault = watched(losses, settled)
    assert (step, said in fault) == (at, True)


def test_the_start_of_a_run_that_is_resumed_is_the_run_s():
    assert watched([150.0] * 20, start=1.0)[0] == 20
    assert watched([150.0] * 20, start=2.0)[0] is None


def clips(scale=1.0, hole=False):
    frames = np.random.default_rng(0).normal(size=(50, 1, 4, 3)).astype(np.float32) * scale
    frames[3, 0, 2] = np.nan if hole else 1e9  # where nothing was seen
    confidence = np.ones((50, 1, 4), np.float32)
    confidence[3, 0, 2] = float(hole)
    return types.SimpleNamespace(frames=frames, confidence=confidence)


@pytest.mark.parametrize(
    ("data", "loop", "said"),
    [
        (clips(), Loop(lr=0.5), "Likely cause: the learning rate, 0.5. Lower it (--set loop.lr=0.05)"),
        (clips(), Loop(precision="bf16"), "Likely cause: the precision, bf16"),
        (clips(1000), Loop(precision="bf16"), "Likely cause: the scale of the data"),
        (clips(hole=True), Loop(), "Likely cause: the data, which hold values that are not finite"),
    ],
)
def test_the_likely_cause(data, loop, said):
    assert said in likely_cause(data, loop)


def grow(monkeypatch, factor, begin=0):
    """A loss that grows with every step."""
    losses = MoCo.losses

    def growing(self, views, step):
        found, logged = losses(self, views, step)
        return {"loss": found["loss"] * factor ** max(0, step.number - begin)}, logged

    monkeypatch.setattr(MoCo, "losses", growing)


def test_a_diverging_run_keeps_its_last_good_state(store, tmp_path, monkeypatch):
    grow(monkeypatch, 3.0, begin=20)  # in the fifth of ten epochs
    with pytest.raises(InputError) as caught:
        kineme.pretrain("moco", store, tmp_path / "run", epochs=10, settings=SETTINGS)
    said = str(caught.value)
    state = checkpoint.load(tmp_path / "run" / "resume" / "state.safetensors")[1]
    assert 20 <= state["step"] < 40
    assert all(
        word in said for word in ("diverges", "risen to", "loop.lr", f"state saved before, at step {state['step']}")
    )
    assert json.loads((tmp_path / "run" / "card.json").read_text())["status"] == "running"
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_long_epoch_is_not_waited_for(store, tmp_path, monkeypatch):
    """80 steps in an epoch: the 40th is looked at, not only the last."""
    grow(monkeypatch, 4.0)
    steps, large = [], make_store(tmp_path / "large", clips=160)
    step = loop.Training.train_step
    monkeypatch.setattr(loop.Training, "train_step", lambda *a: (steps.append(1), step(*a))[1])
    with pytest.raises(InputError, match="diverges"):
        kineme.pretrain(
            "moco",
            large,
            tmp_path / "run",
            steps=80,
            settings=[*SETTINGS, "loop.batch=2"],
        )
    assert len(steps) == 20


@pytest.mark.parametrize("settings", [["loop.lr=1e30"], ["loop.lr=1e30", "loop.precision=bf16"]])
def test_a_diverging_training_costs_one_paragraph(store, tmp_path, settings):
    words = [word for setting in settings for word in ("--set", setting)]
    done = cli("pretrain", "moco", store.path, "--out", tmp_path / "run", "--steps", 30, *TINY, *words, check=False)
    one_paragraph(done, "diverges", "precision, bf16" if "bf16" in str(settings) else "the learning rate, 1e+30")
    assert not (tmp_path / "run" / "resume").exists()  # there was no good one


def test_a_state_that_diverges_is_not_saved_after_ctrl_c(store, tmp_path, monkeypatch):
    step = loop.Training.train_step

    def broken(self, index, at):
        logged = step(self, index, at)
        if at.number == 3:
            self.watch.add([torch.tensor(math.nan)])
            signal.raise_signal(signal.SIGTERM)
        return logged

    monkeypatch.setattr(loop.Training, "train_step", broken)
    with pytest.raises(InputError, match="the loss is nan"):
        kineme.pretrain("moco", store, tmp_path / "run", epochs=2, settings=[*SETTINGS, "loop.save_seconds=1000"])
    assert not (tmp_path / "run" / "resume").exists()


def test_epochs_in_which_the_queue_fills_are_marked_and_not_compared(store, tmp_path, capsys):
    """A queue of 20 keys is full after three batches of 8; an epoch has five."""
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=4, settings=SETTINGS, progress=True)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line.get("filling") for line in lines] == [1, None, None, None]
    assert log.comparable(lines) == lines[1:]
    assert log.fall(lines) == f"loss {lines[1]['loss']:.4f} (epoch 2, queue full) -> {lines[3]['loss']:.4f} in 4 epochs"
    said = cli("pretrain", "moco", store.path, "--out", run, "--resume").stdout
    assert log.fall(lines) in said
    short = kineme.pretrain("moco", store, tmp_path / "short", epochs=1, settings=SETTINGS)
    lines = [json.loads(line) for line in (short / "log.jsonl").read_text().splitlines()]
    assert "still filling" in log.fall(lines)
    assert "->" not in log.fall(lines)
    assert log.fall([{"epoch": 0, "loss": 3.0}, {"epoch": 1, "loss": 2.0}]) == "loss 3.0000 -> 2.0000 in 2 epochs"
    assert log.fall([]) == ""
