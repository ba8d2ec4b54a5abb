"""SimCLR: its loss against a loop, fixed statistics, and two processes against one."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from helpers.processes import Process, python
from helpers.training import make_store
from safetensors.torch import load_file

import kineme
from kineme.methods.simclr import SimCLR
from kineme.nn.batch_norm import FixedNorm
from kineme.nn.contrastive import nt_xent
from kineme.views.batch import Batch

SETTINGS = {
    "encoder": {"hidden": 8, "frames": 8, "joint_mask": 0.0, "frame_mask": 0.0, "turn": 0.0},
    "method": {"dim": 6, "width": 12, "views": {"frames": 8, "min_frames": 4}},
    "loop": {"batch": 8, "lr": 0.05, "optimiser": "sgd"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("simclr") / "swing")


def test_nt_xent_against_a_loop():
    torch.manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(5, 4), dim=1) for _ in range(2))
    loss, nearest = nt_xent(first, second, 0.2)
    both = torch.cat([first, second])
    for i in range(10):
        other = (i + 5) % 10
        scores = [float(both[i] @ both[k]) / 0.2 for k in range(10)]
        total = sum(np.exp(scores[k]) for k in range(10) if k != i)
        assert float(loss[i]) == pytest.approx(-np.log(np.exp(scores[other]) / total), rel=1e-5)
        assert bool(nearest[i]) == (scores[other] == max(scores[k] for k in range(10) if k != i))


def test_statistics_are_those_of_training_clips_and_stay(store, tmp_path):
    run = kineme.pretrain("simclr", store, tmp_path / "run", split="xsub", steps=6, settings=SETTINGS, device="cpu")
    before, after = (load_file(run / f"{name}.safetensors") for name in ("initial", "model"))
    assert torch.equal(before["norm.mean"], after["norm.mean"])
    assert torch.equal(before["norm.var"], after["norm.var"])
    assert not torch.equal(before["time.embedding.0.weight"], after["time.embedding.0.weight"])
    model = kineme.load(run, device="cpu")
    seen = []
    norm = next(module for module in model.encoder.modules() if isinstance(module, FixedNorm))
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].reshape(-1, len(module.mean))))
    model.embed([store[int(row)] for row in kineme.data.splits.split(store, "xsub").train])
    torch.testing.assert_close(torch.cat(seen).mean(0), norm.mean, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(torch.cat(seen).var(0, unbiased=False), norm.var, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", ["moco", "halp"])
def test_momentum_encoders_begin_with_the_same_statistics(method, store, tmp_path):
    settings = {"encoder": {"name": "fused", "hidden": 8, "frames": 8}, "method": {"stream": "joint", "queue": 16}}
    run = kineme.pretrain(method, store, tmp_path / "run", steps=3, settings=settings, device="cpu")
    state = load_file(run / "resume" / "state.safetensors")
    norms = [value for name, value in state.items() if name.startswith("method/") and name.endswith("norm.mean")]
    assert len(norms) == 2
    assert torch.equal(*norms)
    assert norms[0].abs().max() > 0


WORKER = """
import os, sys
import torch
import kineme
from kineme.methods.simclr import SimCLR

torch.set_num_threads(1)
rank, views, step = int(os.environ["RANK"]), SimCLR.views, 0

def watched(self, source, index, gen):
    global step
    made = views(self, source, index, gen)
    torch.save([(v.joints, v.confidence) for v in made], f"{sys.argv[2]}-{step}-{rank}.pt")
    step += 1
    return made

SimCLR.views = watched
kineme.pretrain("simclr", sys.argv[1], sys.argv[2], steps=8, settings=eval(sys.argv[3]))
"""


def test_two_processes_learn_what_one_learns_from_the_views_of_both(store, tmp_path, monkeypatch):
    (tmp_path / "worker.py").write_text(WORKER)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(25000 + os.getpid() % 20000), "WORLD_SIZE": "2"}
    words = (tmp_path / "worker.py", store.path, tmp_path / "two", repr(SETTINGS))
    running = [Process(python, *words, env={**address, "RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(2)]
    try:
        assert [each.wait(timeout=200) for each in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    steps = iter(range(8))

    def union(self, source, index, gen):
        step = next(steps)
        parts = [torch.load(f"{tmp_path}/two-{step}-{rank}.pt") for rank in range(2)]
        joined = [[torch.cat(part) for part in zip(*sides)] for sides in zip(*parts)]
        return tuple(Batch(joints, confidence, index) for joints, confidence in joined)

    monkeypatch.setattr(SimCLR, "views", union)
    one = kineme.pretrain("simclr", store, tmp_path / "one", steps=8, settings=SETTINGS, device="cpu")
    before, after, two = (
        load_file(path)
        for path in (one / "initial.safetensors", one / "model.safetensors", tmp_path / "two/model.safetensors")
    )
    for name, value in two.items():
        torch.testing.assert_close(value, after[name], atol=1e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float((after[name] - before[name]).abs().max()) for name in after) > 1e-2
