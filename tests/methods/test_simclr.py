"""SimCLR: its loss against a loop, fixed statistics, and two processes against one."""

from __future__ import annotations

import os
from types import SimpleNamespace

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
from kineme.views.augment import ViewSettings
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader

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


def filmed(**columns):
    """Eight clips of ten frames; every clip's joints hold its number."""
    clips = [kineme.Motion(np.full((10, 25, 3), float(i)), "ntu25", fps=30, source=f"c{i}") for i in range(8)]
    return kineme.store(clips, table={"id": [f"c{i}" for i in range(8)], **columns}, normalise="none")


def simclr(settings):
    """A method with no encoder to speak of."""
    return SimCLR(settings, lambda: SimpleNamespace(dim=1))


def test_companions_are_drawn_evenly_from_the_training_clips_of_a_group():
    made = filmed(performance=["a", "a", "b", None, None, "a", "a", "b"])
    source = ClipLoader(made, rows=[0, 1, 2, 3, 4, 5])  # neither the last of a, nor the other b
    index = torch.arange(6).repeat(4000)
    drawn = source.companions(index, ["performance"], torch.Generator().manual_seed(0))
    counts = torch.stack([torch.bincount(drawn[index == i], minlength=8) for i in range(6)])
    assert (counts[:, 6:] == 0).all()
    for i in (2, 3, 4):  # alone: the only b, and those of which nothing is known
        assert counts[i, i] == 4000
    for i in (0, 1, 5):
        assert counts[i, [2, 3, 4]].sum() == 0
        assert (counts[i, [0, 1, 5]] / 4000 - 1 / 3).abs().max() < 0.04


def test_the_second_view_is_that_of_a_companion():
    made = filmed(performance=["a", "a", "b", "b", "c", "c", "d", "d"])
    source, index = ClipLoader(made), torch.arange(8)
    plain = ViewSettings(frames=8, min_frames=8, shear=0, joint_jitter=0)
    own = simclr(SimCLR.Settings(views=plain, same=())).views(source, index, torch.Generator())
    same = SimCLR.Settings(views=plain, same=("performance",))
    gen, seen = torch.Generator().manual_seed(0), set()
    for _ in range(20):
        first, second = simclr(same).views(source, index, gen)
        numbers = second.joints[:, 0, 0, 0, 0].long()
        assert torch.equal(first.joints[:, 0, 0, 0, 0].long(), index)
        assert torch.equal(numbers // 2, index // 2)
        seen |= set(zip(index.tolist(), numbers.tolist()))
    assert len(seen) == 16  # itself and the other
    assert torch.equal(own[1].joints[:, 0, 0, 0, 0].long(), index)


def test_columns_that_tell_nothing_are_refused(store, tmp_path):
    settings = {**SETTINGS, "method": {**SETTINGS["method"], "same": ["rehearsal"]}}
    with pytest.raises(kineme.InputError, match="no column rehearsal"):
        kineme.pretrain("simclr", store, tmp_path / "odd", steps=2, settings=settings)


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
    torch.save([(v.joints, v.confidence, v.group) for v in made], f"{sys.argv[2]}-{step}-{rank}.pt")
    step += 1
    return made

SimCLR.views = watched
kineme.pretrain("simclr", sys.argv[1], sys.argv[2], steps=8, settings=eval(sys.argv[3]))
"""


def test_two_processes_learn_what_one_learns_from_the_views_of_both(tmp_path, monkeypatch):
    store = kineme.store(kineme.synth.generate(24, cameras=3, subjects=2, seed=0), tmp_path / "store")
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
        return tuple(Batch(joints, confidence, index, group=group) for joints, confidence, group in joined)

    monkeypatch.setattr(SimCLR, "views", union)
    one = kineme.pretrain("simclr", store, tmp_path / "one", steps=8, settings=SETTINGS, device="cpu")
    before, after, two = (
        load_file(path)
        for path in (one / "initial.safetensors", one / "model.safetensors", tmp_path / "two/model.safetensors")
    )
    for name, value in two.items():
        torch.testing.assert_close(value, after[name], atol=1e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float((after[name] - before[name]).abs().max()) for name in after) > 1e-2


def test_clips_that_show_the_same_are_no_negatives_of_each_other():
    torch.manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(4, 3), dim=1) for _ in range(2))
    group = torch.tensor([7, 2, 7, 5])
    loss, _ = nt_xent(first, second, 0.5, group)
    both, of = torch.cat([first, second]), group.tolist() * 2
    for i in range(8):
        other = (i + 4) % 8
        against = [k for k in range(8) if k == other or of[k] != of[i]]
        scores = {k: float(both[i] @ both[k]) / 0.5 for k in against}
        expected = np.log(sum(np.exp(each) for each in scores.values())) - scores[other]
        assert float(loss[i]) == pytest.approx(expected, rel=1e-5)


def test_a_step_knows_which_clips_of_the_batch_show_the_same():
    made = filmed(performance=["a", "a", "b", None, None, "a", "c", "b"])
    settings = SimCLR.Settings(views=ViewSettings(frames=8, min_frames=8), same=("performance",))
    index = torch.tensor([0, 2, 3, 4, 5, 7])
    views = simclr(settings).views(ClipLoader(made), index, torch.Generator())
    for view in views:
        alike = view.group[:, None] == view.group
        assert alike.nonzero().tolist() == [
            [0, 0],
            [0, 4],
            [1, 1],
            [1, 5],
            [2, 2],
            [3, 3],
            [4, 0],
            [4, 4],
            [5, 1],
            [5, 5],
        ]


def test_other_sets_and_other_parts_of_a_recording_show_other_movements():
    made = filmed(
        performance=["a", "a", "a", "a", "a", "a", "b", None],
        dataset=["x", "x", "x", "y", "y", "x", "x", "x"],
        start=[0, 0, 9, 0, 0, 9, 0, 0],
    )
    assert made.clips["start"].to_pylist()[2] == 9
    source = ClipLoader(made, rows=range(7))
    assert source.alike(["performance"]).unique(return_inverse=True)[1].tolist() == [0, 0, 1, 2, 2, 1, 3, 4]
    assert source.movements(["performance"]) == 4


def test_views_are_of_one_clip_where_nothing_else_is_known_and_pairs_are_said():
    alone = ClipLoader(filmed())
    method = simclr(SimCLR.Settings(views=ViewSettings(frames=8, min_frames=8)))
    index = torch.arange(8)
    assert method.notes(alone) == []
    first, second = method.views(alone, index, torch.Generator())
    assert first.group is None
    assert torch.equal(second.index, index)
    paired = ClipLoader(filmed(performance=["a", "a", "b", "b", "c", "c", "d", "d"]))
    (said,) = method.notes(paired)
    assert "8 training clips show 4 movements (column performance)" in said
    assert "method.same=[]" in said
    assert method.views(paired, index, torch.Generator())[0].group.unique().numel() == 4


def test_training_says_that_it_pairs_cameras(tmp_path, capfd):
    clips = list(kineme.synth.generate(24, cameras=3, subjects=2, seed=0))
    kineme.pretrain("simclr", kineme.store(clips), tmp_path / "run", steps=2, settings=SETTINGS, progress=True)
    said = " ".join(capfd.readouterr().err.split())
    assert "24 training clips show 8 movements (column performance)" in said
