"""The training step itself: what is seen, in which order, by which process; what settings of the loop do to it.

Mutants that these tests kill, each tried by hand: see the docstrings.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers.processes import Process, python
from helpers.training import TINY, make_store
from safetensors.torch import load_file

import kineme
from kineme.data import splits
from kineme.data.store_writer import Writer
from kineme.methods.moco import MoCo
from kineme.motion.motion import Motion
from kineme.nn.batch_norm import update_statistics
from kineme.training import loop, recipe
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader

SETTINGS = [word for word in TINY if word != "--set"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "swing")


def weights(run: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(run / f"{name}.safetensors")


# ---- two processes


WORKER = """
import os, sys
import torch
import kineme
from kineme.methods.moco import MoCo

torch.set_num_threads(1)
store, out, settings = sys.argv[1], sys.argv[2], sys.argv[3].split()
rank, views, step = int(os.environ["RANK"]), MoCo.views, 0

def watched(self, source, index, gen):
    global step
    made = views(self, source, index, gen)
    torch.save({"index": index, "views": [(v.joints, v.confidence) for v in made]}, f"{out}-{step}-{rank}.pt")
    step += 1
    return made

MoCo.views = watched
kineme.pretrain("moco", store, out, epochs=2, settings=settings)
"""


@pytest.fixture(scope="module")
def pair(store, tmp_path_factory):
    """A training of two real processes, and what each of them saw at each of its ten steps."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "worker.py").write_text(WORKER)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(25000 + os.getpid() % 20000), "WORLD_SIZE": "2"}
    words = (folder / "worker.py", store.path, folder / "run", " ".join(SETTINGS))
    running = [Process(python, *words, env={**address, "RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(2)]
    try:
        assert [each.wait(timeout=200) for each in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    seen = [[torch.load(f"{folder}/run-{step}-{rank}.pt") for rank in range(2)] for step in range(10)]
    return folder / "run", seen


def test_two_processes_see_different_shares_of_the_batch(pair, store, tmp_path, monkeypatch):
    """Kills: every process trains on the same share, ``index[:share]``.

    Together they see what one process sees.
    """
    whole = []
    step = loop.Training.train_step
    monkeypatch.setattr(loop.Training, "train_step", lambda s, index, at: (whole.append(index), step(s, index, at))[1])
    kineme.pretrain("moco", store, tmp_path / "one", epochs=2, settings=SETTINGS)
    for (first, second), index in zip(pair[1], whole, strict=True):
        assert len(first["index"]) == len(second["index"]) == 4
        assert torch.equal(torch.cat([first["index"], second["index"]]), index)
        assert len(index.unique()) == 8


def test_two_processes_draw_different_views(pair, store):
    """Kills: rank 0 in every process. Views of one clip are compared that were drawn by the seeds of either rank."""
    source = ClipLoader(store)
    chosen = recipe.load("moco", 40, settings=SETTINGS)
    method = recipe.build_method(chosen, store.layout, store.coords, store.persons, 0)
    for step, ranks in enumerate(pair[1]):
        for rank, each in enumerate(ranks):
            own, other = (
                method.views(source, each["index"], loop.generator(0, "step", step, r))[0].joints
                for r in (rank, 1 - rank)
            )
            assert torch.equal(each["views"][0][0], own)
            assert not torch.isclose(own, other).all((1, 2, 3, 4)).any()  # no clip looks the same


def test_two_processes_learn_what_one_learns_from_the_views_of_both(pair, store, tmp_path, monkeypatch):
    """Kills: gradients that are not averaged; and whatever else lets the processes drift apart."""
    run, seen = pair
    given = iter(seen)

    def union(self, source, index, gen):
        parts = [each["views"] for each in next(given)]
        joined = [[torch.cat(part) for part in zip(*sides)] for sides in zip(*parts)]
        return tuple(Batch(joints, confidence, index) for joints, confidence in joined)

    monkeypatch.setattr(MoCo, "views", union)
    one = kineme.pretrain("moco", store, tmp_path / "one", epochs=2, settings=SETTINGS)
    before, after = weights(one, "initial"), weights(one)
    for name, value in weights(run).items():
        torch.testing.assert_close(value, after[name], atol=2e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    moved = max(float((after[name] - before[name]).abs().max()) for name in after if "weight" in name)
    assert moved > 1e-3  # far more than the tolerance


# ---- order


def orders(store, out, **words) -> list[torch.Tensor]:
    """The clips of each epoch, in the order in which they were seen."""
    found: list[torch.Tensor] = []
    step = loop.Training.train_step
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop.Training, "train_step", lambda s, index, at: (found.append(index), step(s, index, at))[1])
        kineme.pretrain("moco", store, out, settings=SETTINGS, **words)
    return [torch.cat(found[begin : begin + 5]) for begin in range(0, len(found), 5)]


def test_clips_are_shuffled_anew_in_every_epoch(store, tmp_path):
    """Kills: clips never shuffled; the same order in every epoch."""
    first = orders(store, tmp_path / "a", epochs=3)
    other = orders(store, tmp_path / "b", epochs=3, seed=1)
    every = [tuple(order.tolist()) for order in (*first, *other)]
    assert all(sorted(order) == list(range(40)) for order in every)  # each clip once
    assert len({*every, tuple(range(40)), tuple(reversed(range(40)))}) == 8  # six orders, and none of these two
    assert len({frozenset(order[:8]) for order in every}) == 6  # no batch comes again


# ---- the test side


def test_clips_of_the_test_part_change_nothing(store, tmp_path):
    """Kills: random weights calibrated on all clips. Two stores differ in their test clips alone."""
    test = set(splits.split(store, "random").test.tolist())
    writer = Writer(tmp_path / "other", store.layout, 1, 3, normalise={"how": "none"})
    for row in range(len(store)):
        clip = store.motion(row)
        joints = clip.joints * 7 + 3 if row in test else clip.joints
        known = {name: getattr(clip, name) for name in ("label", "subject", "camera", "source")}
        writer.add(Motion(joints, store.layout, fps=30.0, up="+y", unit="m", extra={"dataset": "swing"}, **known))
    other = writer.close()
    assert set(splits.split(other, "random").test.tolist()) == test
    runs = [
        kineme.pretrain("moco", each, tmp_path / f"run{n}", epochs=1, split="random", settings=SETTINGS)
        for n, each in enumerate((store, other))
    ]
    for name in ("initial", "model"):
        one, two = (weights(run, name) for run in runs)
        assert all(torch.equal(one[key], two[key]) for key in one), name


def test_the_untrained_encoder_has_the_statistics_of_the_training_clips(store, tmp_path):
    """Those that one pass over them gives, and not those of all clips; its weights are those of the seed."""
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, split="random", settings=SETTINGS, seed=3)
    chosen = recipe.load("moco", 40, settings=SETTINGS)
    source, found = ClipLoader(store), {}
    rows = {"training": splits.split(store, "random").train, "all": range(len(store))}
    for name, part in rows.items():
        method = recipe.build_method(chosen, store.layout, store.coords, store.persons, 3)
        update_statistics(method.encoder(), method.look(source, torch.as_tensor(list(part))))
        found[name] = method.encoder().state_dict()
    kept = weights(run, "initial")
    statistics = [name for name in kept if "running" in name]
    assert statistics
    assert all(torch.equal(kept[name], found["training"][name]) for name in kept)
    assert not any(torch.equal(kept[name], found["all"][name]) for name in statistics)


# ---- settings of the loop


@pytest.mark.parametrize("clip", [0.0, 1e-4])
def test_the_norm_of_the_gradient_is_bounded(store, tmp_path, monkeypatch, clip):
    """Kills: ``loop.clip`` ignored. Plain SGD moves by the learning rate times the bound, at most."""
    sets = ["loop.optimiser=sgd", "loop.momentum=0", "loop.weight_decay=0", "loop.schedule=constant", "loop.lr=1"]
    moves = []
    step = loop.Training.train_step

    def watched(self, index, at):
        params = [p for group in self.groups.values() for p in group]
        before = [p.detach().clone() for p in params]
        logged = step(self, index, at)
        moves.append(float(torch.stack([(p.detach() - b).square().sum() for p, b in zip(params, before)]).sum().sqrt()))
        return logged

    monkeypatch.setattr(loop.Training, "train_step", watched)
    kineme.pretrain("moco", store, tmp_path / "run", steps=3, settings=[*SETTINGS, *sets, f"loop.clip={clip}"])
    if clip:
        assert moves == pytest.approx([clip] * 3, rel=1e-3)
    else:
        assert min(moves) > 10 * 1e-4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_that_of_the_losses(store, tmp_path, monkeypatch, precision):
    """Kills: ``loop.precision=bf16`` ignored."""
    kinds, losses = set(), MoCo.losses

    def watched(self, views, step):
        kinds.add(
            (torch.is_autocast_enabled("cpu"), torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype)
        )
        return losses(self, views, step)

    monkeypatch.setattr(MoCo, "losses", watched)
    sets = [*SETTINGS, "loop.batch=8", f"loop.precision={precision}"]
    run = kineme.pretrain("moco", store, tmp_path / "run", steps=2, settings=sets)
    bf16 = precision == "bf16"
    assert kinds == {(bf16, torch.bfloat16 if bf16 else torch.float32)}
    plain = kineme.pretrain("moco", store, tmp_path / "plain", steps=2, settings=SETTINGS)
    one, two = weights(run), weights(plain)
    assert all(torch.equal(one[name], two[name]) for name in one) == (not bf16)


def test_weight_decay_shrinks_weights_that_have_no_gradient(store, tmp_path):
    """Kills nothing by itself; the published value is pinned in test_recipe.py."""
    sets = ["loop.optimiser=sgd", "loop.momentum=0", "loop.schedule=constant", "loop.lr=0.1", "loop.clip=1e-12"]
    words = {"steps": 1, "settings": [*SETTINGS, *sets, "loop.weight_decay=0.5"]}
    run = kineme.pretrain("moco", store, tmp_path / "run", **words)
    before, after = weights(run, "initial"), weights(run)
    name = next(name for name in before if name.endswith("weight_hh_l0"))
    torch.testing.assert_close(after[name], before[name] * (1 - 0.1 * 0.5), atol=1e-6, rtol=1e-4)
