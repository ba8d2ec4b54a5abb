"""A training that begins with the encoder of a finished run, or with weights that come along: weights alone."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext as nothing

import numpy as np
import pytest
import torch
from helpers.training import TINY, make_store
from safetensors.torch import load_file

import kineme
from kineme.apps.cli import main
from kineme.motion import layout as skeleton
from kineme.training import bundled, loop
from kineme.utils.errors import InputError

SETTINGS = [word for word in TINY if word != "--set"]
STILL = {"loop.lr": 1e-12, "loop.warmup_steps": 0, "loop.weight_decay": 0.0, "loop.batch": 8}  # nothing moves
MOCO = {"method.stream": "joint", "method.queue": 16, "loop.batch": 8, "loop.lr": 0.1}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init") / "raw"
    return kineme.synth.write(folder, 16, subjects=2, actions=["walk", "kick"])


@pytest.fixture(scope="module")
def kinect(raw):
    return kineme.prepare(raw, raw.parent / "ntu25")


def same(one, other) -> bool:
    one, other = load_file(one), load_file(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_base_is_adapted_to_a_store_of_another_layout(kinect, tmp_path):
    with pytest.warns(UserWarning, match="mapped to what base takes .*ntu25 to pose13, 12 unused; .*by their torso"):
        run = kineme.pretrain("simclr", kinect, tmp_path / "run", init="base", steps=1, settings=STILL, device="cpu")
    card, base = json.loads((run / "card.json").read_text()), kineme.load("base", device="cpu")
    assert card["init"] == {"run": "base", "hash": base.hash, "epochs": 0, "weights": True}
    assert (card["layout"]["name"], card["normalise"], card["size"]["how"]) == (
        "pose13",
        base.card["normalise"],
        "torso",
    )
    assert card["recipe"]["encoder"] == base.card["recipe"]["encoder"]
    assert (run / "initial.safetensors").read_bytes() == (base.path / "initial.safetensors").read_bytes()
    assert set(map(tuple, np.load(run / "trained_on.npy"))) > set(map(tuple, np.load(base.path / "trained_on.npy")))
    with pytest.warns(UserWarning, match="mapped to the run's pose13"):
        expected, found = (model.embed(kinect) for model in (base, kineme.load(run, device="cpu")))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_training_moves_the_weights_but_not_the_scales_of_the_channels(kinect, tmp_path):
    with pytest.warns(UserWarning, match="mapped"):
        run = kineme.pretrain("moco", kinect, tmp_path / "run", init="base", steps=2, settings=MOCO)
    before, after = load_file(bundled.FOLDER / "base" / "model.safetensors"), load_file(run / "model.safetensors")
    after = {name.removeprefix("encoders.joint."): value for name, value in after.items()}
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "time.blocks.0.mlp.1.weight" in moved
    assert not any(name.startswith("norm.") for name in moved)


def test_a_store_that_fits_is_taken_as_it_is(raw, tmp_path, recwarn):
    store = kineme.prepare(raw, tmp_path / "pose13", layout="pose13", unit="torso")
    run = kineme.pretrain("simclr", store, tmp_path / "run", init="base", steps=1, settings=STILL, device="cpu")
    assert not (run / "joined").exists()
    assert not [each for each in recwarn if "mapped" in str(each.message)]


def test_two_people_and_several_stores(tmp_path):
    alone = kineme.prepare(kineme.synth.write(tmp_path / "a", 6, actions=["walk"]), tmp_path / "alone")
    pair = kineme.prepare(kineme.synth.write(tmp_path / "b", 6, actions=["shake_hands"]), tmp_path / "pair")
    assert pair.persons == 2
    with pytest.warns(UserWarning, match="alone.*, .*pair: mapped"):
        run = kineme.pretrain(
            "simclr", [alone, pair], tmp_path / "run", init="base", steps=1, settings={"loop.batch": 6}
        )
    card = json.loads((run / "card.json").read_text())
    assert (card["clips"], card["persons"]) == (12, 1)
    with pytest.warns(UserWarning, match="mapped"):
        assert np.isfinite(kineme.load(run, device="cpu").embed(pair)).all()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    store = make_store(folder / "swing")
    return store, kineme.pretrain("moco", store, folder / "first", epochs=1, settings=SETTINGS)


def test_a_run_of_ones_own_begins_anew_and_resumes_to_the_last_bit(first, tmp_path, monkeypatch):
    store, begun = first
    more = {"init": begun, "epochs": 2, "settings": SETTINGS, "seed": 3}
    whole = kineme.pretrain("moco", store, tmp_path / "whole", **more)
    assert json.loads((whole / "log.jsonl").read_text().splitlines()[0])["epoch"] == 0
    assert same(whole / "initial.safetensors", begun / "initial.safetensors")

    steps = iter(range(3))
    step = loop.Training.train_step

    def interrupted(self, *args):
        if next(steps, None) is None:
            self.save()
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            kineme.pretrain("moco", store, tmp_path / "cut", **more)
    kineme.pretrain("moco", store, tmp_path / "cut", resume=True)
    assert same(tmp_path / "cut" / "model.safetensors", whole / "model.safetensors")
    with pytest.raises(InputError, match=r"init .*in the run"):
        kineme.pretrain("moco", store, tmp_path / "cut", init="base", resume=True)


def test_one_killed_before_its_first_state_begins_with_the_same_weights_again(first, tmp_path, monkeypatch):
    store, begun = first
    copy = shutil.copytree(begun, tmp_path / "first")

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            kineme.pretrain("moco", store, tmp_path / "cut", init=copy, epochs=1, settings=SETTINGS)
    kineme.pretrain("moco", store, tmp_path / "cut", resume=True)
    whole = kineme.pretrain("moco", store, tmp_path / "whole", init=begun, epochs=1, settings=SETTINGS)
    assert same(tmp_path / "cut" / "model.safetensors", whole / "model.safetensors")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"init": "base", "settings": {"encoder.hidden": 64}}, r"model\.safetensors: weights that do not fit .*64"),
        ({"init": "base", "layout": "coco17"}, "layout: coco17.*pose13, which base was trained on"),
        ({"init": "base", "init_from": "elsewhere"}, "init-from: also init"),
        ({"init": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_begin_so_costs_one_sentence_and_leaves_nothing(kinect, tmp_path, more, said):
    with pytest.raises(InputError, match=said), pytest.warns() if "settings" in more else nothing():
        kineme.pretrain("simclr", kinect, tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()


def test_flat_poses_and_foreign_joints_are_refused(tmp_path):
    flat = kineme.store(np.random.default_rng(0).normal(size=(4, 9, 13, 2)), tmp_path / "flat", layout="pose13")
    with pytest.raises(InputError, match=r"2 coordinates per joint.*3, as base was trained on"):
        kineme.pretrain("simclr", flat, tmp_path / "run", init="base")
    odd = kineme.store(np.random.default_rng(0).normal(size=(4, 9, 3, 3)), tmp_path / "odd", layout=["a", "b", "c"])
    with pytest.raises(InputError, match="none of the joints of base"):
        kineme.pretrain("simclr", odd, tmp_path / "run", init="base")
    assert not (tmp_path / "run").exists()


def test_the_loop_is_that_of_an_adaptation_where_nothing_else_is_said():
    begun = bundled.init("base")
    assert begun.settings("simclr", {})["loop.steps"] == 200
    assert begun.settings("simclr", {})["loop.lr"] == 0.005
    assert "loop.steps" not in begun.settings("simclr", {"loop.epochs": 3})
    assert (
        begun.settings("simclr", {"loop.lr": 0.1, "encoder.turn": 0.0}).items()
        >= {
            "loop.lr": 0.1,
            "loop.steps": 200,
            "encoder.turn": 0.0,
        }.items()
    )
    assert "loop.steps" not in begun.settings("simclr", {}, "small")
    assert "loop.steps" not in begun.settings("moco", {})


def test_few_clips_are_told_what_is_better(kinect, tmp_path, capsys):
    words = ["pretrain", "simclr", str(kinect.path), "--steps", "1", "--set", "loop.batch=8"]
    assert main([*words, "--out", str(tmp_path / "scratch")]) == 0
    said = capsys.readouterr().out
    assert "With 16 clips it was measured to be better to begin with the weights that come along" in said
    assert f"kineme pretrain simclr {kinect.path} --init base" in said
    with pytest.warns(UserWarning, match="mapped"):
        assert main([*words, "--init", "base", "--out", str(tmp_path / "adapted")]) == 0
    assert "measured to be better" not in capsys.readouterr().out


def test_who_is_advised_to_begin_with_weights_that_come_along():
    ntu, hand = skeleton.layout("ntu25"), skeleton.free(["left_wrist", "left_hand"], [-1, 0])
    assert bundled.advised(100, ntu, 3, 1) == bundled.advised(20, ntu, 3, 2) == "base"
    assert bundled.advised(100, ntu, 2, 1) == "base_2d"
    others = [(101, ntu, 3, 1), (21, ntu, 3, 2), (101, ntu, 2, 1), (20, hand, 3, 1)]
    assert [bundled.advised(*each) for each in others] == [None] * 4
