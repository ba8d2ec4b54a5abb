"""MAMP: what is hidden stays hidden, what counts in the loss, resumed and in two processes the same, and it learns."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.processes import Process, python
from helpers.training import kineme as cli
from helpers.training import one_paragraph
from safetensors.torch import load_file

import kineme
from kineme import encoders
from kineme.data.store_writer import Writer
from kineme.encoders.skeleton_transformer import People, SkeletonTransformer
from kineme.methods import StepContext
from kineme.methods.mamp import MAMP, displacements, masked_error, normalised
from kineme.motion.layout import Layout, layout
from kineme.motion.motion import Motion
from kineme.training import loop
from kineme.utils.errors import InputError
from kineme.views.augment import ViewSettings, rotations_xyz
from kineme.views.batch import Batch
from kineme.views.masks import joined

KINECT = layout("kinect20")
SETTINGS = {
    "encoder": {"hidden": 8, "layers": 1, "heads": 2, "frames": 8},
    "method": {"decoder_layers": 1, "decoder_width": 8, "ratio": 0.7, "views": {"frames": 8, "min_frames": 4}},
    "loop": {"batch": 8, "lr": 0.01, "warmup_steps": 0},
}


def build(persons=1, **settings):
    torch.manual_seed(0)
    small = SkeletonTransformer.Settings(hidden=16, layers=2, heads=4, frames=12)
    chosen = MAMP.Settings(decoder_layers=1, decoder_width=16, **settings)
    return MAMP(chosen, lambda: encoders.build("skeleton_transformer", small, KINECT, 3, persons))


def batch(rows=5, persons=1, seed=0):
    gen = torch.Generator().manual_seed(seed)
    joints = torch.randn(rows, 12, persons, 20, 3, generator=gen).cumsum(1)
    uniforms = torch.rand(rows, persons, 60, generator=gen)
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(rows), uniforms=uniforms)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Clips of four kinds of swing; in every third one there is a second person."""
    rng = np.random.default_rng(0)
    writer = Writer(tmp_path_factory.mktemp("mamp") / "swing", KINECT, 2, 3, normalise={"how": "none"})
    rest = rng.normal(size=(2, 20, 3))
    for i in range(40):
        frames = int(rng.integers(8, 30))
        time = np.linspace(0, 2 * np.pi, frames)[:, None, None, None] * (1 + i % 4)
        joints = (rest + 0.3 * np.sin(time + np.arange(20)[:, None] * (i % 4))).astype(np.float32)
        confidence = np.ones(joints.shape[:3], np.float32)
        confidence[:, 1] = i % 3 == 0
        joints *= confidence[..., None]
        known = {"label": f"kind {i % 4}", "subject": i // 4 % 5 + 1, "source": f"clip{i}"}
        writer.add(Motion(joints, KINECT, confidence, fps=30.0, up="+y", unit="m", **known))
    return writer.close()


# ---- what is hidden and what counts


def test_predictions_know_nothing_of_what_is_hidden():
    method, view = build(tau=0.0), batch()
    with torch.no_grad():
        made = method.predict(view)
        hidden = joined(made.mask.hidden[..., None].expand(-1, -1, 12).contiguous(), 20, 4)
        other = replace(view, joints=torch.where(hidden[:, :, None], 77.0, view.joints))
        again = method.predict(other)
        assert torch.equal(again.latent, made.latent)
        assert torch.equal(again.prediction, made.prediction)
        changed = replace(view, joints=view.joints + ~hidden[:, :, None])
        assert not torch.allclose(method.predict(changed).prediction, made.prediction)


def test_the_loss_reaches_hidden_tokens_only():
    method, made = build(), build().predict(batch())
    prediction = torch.randn(made.prediction.shape, requires_grad=True)
    losses, log = method.objective(made._replace(prediction=prediction), StepContext())
    (slope,) = torch.autograd.grad(losses["loss"], prediction)
    assert torch.equal(slope.abs().sum(2) > 0, made.mask.hidden)
    assert float(log["hidden"]) == pytest.approx(54 / 60)
    weighed = log["loss moving"] * (
        moving := (made.mask.hidden & (made.intensity > made.intensity.mean(1)[:, None])).sum()
    )
    weighed = weighed + log["loss still"] * (made.mask.hidden.sum() - moving)
    torch.testing.assert_close(weighed / made.mask.hidden.sum(), losses["loss"].detach())


def test_a_perfect_prediction_costs_nothing_and_none_eleven_twelfths():
    """With an unbiased variance the mean square of a normalised token of n values is (n - 1) / n."""
    method, made = build(faithful=True), build(faithful=True).predict(batch())
    middle = made._replace(weight=made.weight.clone())
    middle.weight[:, -20:] = 0  # the last displacements are padding
    for prediction, wanted in ((made.target, 0.0), (torch.zeros_like(made.target), 11 / 12)):
        losses, _ = method.objective(middle._replace(prediction=prediction), StepContext())
        assert float(losses["loss"]) == pytest.approx(wanted, abs=1e-5)


def test_normalised_tokens():
    torch.manual_seed(0)
    tokens, weight = torch.randn(3, 6, 12), torch.ones(3, 6, 12)
    tokens[0, 0] = 0.25
    found = normalised(tokens, weight, 2)
    assert not found[0, 0].any()
    torch.testing.assert_close(found[1:].mean(2), torch.zeros(2, 6), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1:].var(2), torch.ones(2, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised(5 * tokens[1:] - 3, weight[1:], 2), found[1:], atol=1e-5, rtol=0)
    weight[:, :, 9:] = 0
    part = normalised(tokens, weight, 2)[1:, :, :9]
    torch.testing.assert_close(part, normalised(tokens[1:, :, :9], weight[1:, :, :9], 2))


def people_of(joints, seen=None):
    seen = torch.ones(joints.shape[:3], dtype=torch.bool) if seen is None else seen
    return People(joints, seen, torch.arange(len(joints)), torch.ones(len(joints), 1, dtype=torch.bool))


def test_targets_turn_with_the_clip_before_they_are_normalised():
    method, joints = build(normaliser="none"), batch().joints[:, :, 0]
    matrix = rotations_xyz(torch.tensor([[0.2, -0.1, 0.3]]))[0]
    plain, turned = (joined(method.target(people_of(x))[0], 20, 4) for x in (joints, joints @ matrix))
    torch.testing.assert_close(turned, plain @ matrix, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(plain[:, :-1], joints.diff(dim=1))


@pytest.mark.parametrize("target", ["motion", "joint"])
def test_a_clip_is_normalised_axis_by_axis(target):
    method = build(normaliser="clip", target=target)
    values, weight = (joined(x, 20, 4) for x in method.target(people_of(batch().joints[:, :, 0])))
    counted = values[:, : -1 if target == "motion" else None]
    assert weight.sum() == counted.numel()
    torch.testing.assert_close(counted.mean((1, 2)), torch.zeros(5, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(counted.flatten(1, 2).var(1), torch.ones(5, 3), atol=1e-4, rtol=0)


def test_displacements_count_where_both_ends_were_seen():
    joints, seen = batch().joints[:, :, 0], torch.ones(5, 12, 20, dtype=torch.bool)
    seen[0, 5, 3] = False
    moved, both = displacements(joints, seen, 2)
    torch.testing.assert_close(moved[:, :10], joints[:, 2:] - joints[:, :-2])
    assert not moved[:, 10:].any()
    assert not both[:, 10:].any()
    assert (~both[0, :, 3]).nonzero()[:, 0].tolist() == [3, 5, 10, 11]
    assert both[1:, :10].all()
    assert displacements(joints, seen, 2, padded=True)[1][:, 10:].all()


def test_errors_of_values_that_do_not_count():
    error = masked_error(torch.ones(1, 2, 4), torch.zeros(1, 2, 4), torch.tensor([[[1.0, 1, 0, 0], [0, 0, 0, 0]]]))
    assert error.tolist() == [[1.0, 0.0]]


def test_absent_people_and_missing_joints_do_not_count():
    method, view = build(2), batch(persons=2)
    view.confidence[:3, :, 1] = 0
    view.joints[:3, :, 1] = 0
    view.confidence[3, :, 0, 7] = 0
    with torch.no_grad():
        made = method.predict(view)
        loss = method.losses((view,), StepContext())[0]["loss"]
    assert len(made.target) == 7
    assert not made.mask.hidden.view(7, 3, 20)[3, :, 7].any()
    view.joints[:3, :, 1] = 5.0
    view.joints[3, :, 0, 7] = -4.0
    with torch.no_grad():
        torch.testing.assert_close(method.losses((view,), StepContext())[0]["loss"], loss)
    alone = [
        Batch(view.joints[b : b + 1, :, [m]], view.confidence[b : b + 1, :, [m]], view.index[:1],
              uniforms=view.uniforms[b : b + 1, [m]])
        for b in range(5) for m in range(2) if view.confidence[b, :, m].any()
    ]  # fmt: skip
    with torch.no_grad():
        each = [method.predict(one) for one in alone]
        errors = [masked_error(one.prediction, one.target, one.weight)[one.mask.hidden] for one in each]
    torch.testing.assert_close(torch.cat(errors).mean(), loss)


def test_as_released_absent_people_and_the_last_frame_are_zeros_that_count(store):
    view = {"views": ViewSettings(frames=12, min_frames=4)}
    faithful, plain = build(2, faithful=True, **view), build(2, **view)
    sources = [kineme.views.source.ClipLoader(store, faithful=yes) for yes in (True, False)]
    index = torch.tensor([0, 1, 2, 3])
    made = []
    for method, source in zip((faithful, plain), sources):
        (seen,) = method.views(source, index, loop.generator(0))
        made.append(method.predict(seen))
    assert [len(each.target) for each in made] == [8, 6]
    assert not made[0].target[3].any()  # clip 1, person 1
    assert made[0].weight.all()
    assert made[1].weight.view(6, 3, 20, 4, 3)[:, -1, :, -1].sum() == 0
    assert made[1].weight.sum() == 6 * 11 * 20 * 3


def test_people_are_predicted_each_by_themselves():
    """Invariant: samples never mix; another order of the clips gives the same in that order."""
    method, view = build(2), batch(persons=2)
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        made, other = method.predict(view), method.predict(view[order])
    rows = (2 * order[:, None] + torch.arange(2)).flatten()
    torch.testing.assert_close(other.prediction, made.prediction[rows])
    assert torch.equal(other.mask.hidden, made.mask.hidden[rows])


def test_views_carry_their_uniform_numbers(store):
    method = build(2, views=ViewSettings(frames=12, min_frames=4))
    source = kineme.views.source.ClipLoader(store)
    (view,) = method.views(source, torch.arange(6), loop.generator(0))
    assert view.uniforms.shape == (6, 2, 60)
    assert 0 <= view.uniforms.min() < view.uniforms.max() < 1
    assert torch.equal(view[2:4].uniforms, view.uniforms[2:4])
    assert torch.equal(view.to("cpu").uniforms, view.uniforms)


# ---- trainings


def equal(one, two) -> bool:
    a, b = (load_file(run / "resume" / "state.safetensors") for run in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_resumed_to_the_last_bit(store, tmp_path, monkeypatch):
    """Weights, decoder and both groups of the optimiser, of which one has no weight decay."""
    words = {"epochs": 3, "settings": SETTINGS, "device": "cpu"}
    whole = kineme.pretrain("mamp", store, tmp_path / "whole", **words)
    step, count = loop.Training.train_step, 0

    def stopped(self, index, at):
        nonlocal count
        count += 1
        if count == 7:
            signal.raise_signal(signal.SIGINT)
        return step(self, index, at)

    monkeypatch.setattr(loop.Training, "train_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        kineme.pretrain("mamp", store, tmp_path / "cut", **words)
    monkeypatch.undo()
    assert equal(whole, kineme.pretrain("mamp", store, tmp_path / "cut", resume=True))
    lines = [(run / "log.jsonl").read_text().splitlines() for run in (whole, tmp_path / "cut")]
    losses = [[json.loads(line)["loss"] for line in each] for each in lines]
    assert losses[0] == losses[1]


WORKER = """
import os, sys
import torch
import kineme
from kineme.methods.mamp import MAMP

torch.set_num_threads(1)
rank, views, step = int(os.environ["RANK"]), MAMP.views, 0

def watched(self, source, index, gen):
    global step
    (made,) = views(self, source, index, gen)
    torch.save((made.joints, made.confidence, made.index, made.uniforms), f"{sys.argv[2]}-{step}-{rank}.pt")
    step += 1
    return (made,)

MAMP.views = watched
kineme.pretrain("mamp", sys.argv[1], sys.argv[2], steps=8, settings=eval(sys.argv[3]))
"""


def test_two_processes_learn_what_one_learns_from_the_views_of_both(store, tmp_path, monkeypatch):
    """Each has as many hidden tokens as it has people, and the mean is over the tokens of both."""
    settings = {**SETTINGS, "loop": {"batch": 8, "lr": 0.05, "lr_end": 0.0, "optimiser": "sgd", "warmup_steps": 0}}
    (tmp_path / "worker.py").write_text(WORKER)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(25000 + os.getpid() % 20000), "WORLD_SIZE": "2"}
    words = (tmp_path / "worker.py", store.path, tmp_path / "two", repr(settings))
    running = [Process(python, *words, env={**address, "RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(2)]
    try:
        assert [each.wait(timeout=200) for each in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    seen = [[torch.load(f"{tmp_path}/two-{step}-{rank}.pt") for rank in range(2)] for step in range(8)]
    people = [[int((part[1] > 0).flatten(3).any(3).any(1).sum()) for part in parts] for parts in seen]
    assert any(one != two for one, two in people)  # so that a mean of the two means would be another
    given = iter(seen)

    def union(self, source, index, gen):
        joints, confidence, rows, uniforms = (torch.cat(part) for part in zip(*next(given)))
        return (Batch(joints, confidence, rows, uniforms=uniforms),)

    monkeypatch.setattr(MAMP, "views", union)
    one = kineme.pretrain("mamp", store, tmp_path / "one", steps=8, settings=settings, device="cpu")
    before, after, two = (
        load_file(path)
        for path in (one / "initial.safetensors", one / "model.safetensors", tmp_path / "two/model.safetensors")
    )
    for name, value in two.items():
        torch.testing.assert_close(value, after[name], atol=2e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float((after[name] - before[name]).abs().max()) for name in after) > 1e-3
    logs = [json.loads((run / "log.jsonl").read_text().splitlines()[0]) for run in (one, tmp_path / "two")]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-4)


def test_bf16_stays_near(store, tmp_path):
    """The loss is fp32 there too; after twenty steps it is about that of fp32."""
    last = []
    for precision in ("fp32", "bf16"):
        settings = {**SETTINGS, "loop": {**SETTINGS["loop"], "precision": precision}}
        run = kineme.pretrain("mamp", store, tmp_path / precision, epochs=4, settings=settings, device="cpu")
        last.append([json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()])
        assert kineme.load(run, "cpu").embed(store).dtype == np.float32
    assert last[0] != last[1]
    assert last[1] == pytest.approx(last[0], rel=0.02)


def test_learns_to_predict_how_hidden_joints_move():
    """Where joints swing together the displacements of the hidden ones can be told from the others."""
    torch.manual_seed(0)
    joints = Layout("free", tuple("abcdef"), (-1, 0, 1, 2, 3, 4))
    small = SkeletonTransformer.Settings(hidden=32, layers=2, heads=4, frames=16)
    chosen = MAMP.Settings(ratio=0.5, decoder_layers=1, decoder_width=32)
    method = MAMP(chosen, lambda: encoders.build("skeleton_transformer", small, joints, 3, 1))
    optimiser, losses = torch.optim.AdamW(method.parameters(), 0.003, (0.9, 0.95)), []
    for _ in range(220):
        time = torch.linspace(0, 2 * np.pi, 16)[:, None, None, None] + 6 * torch.rand(16, 1, 1, 1, 1)
        swing = time.sin() * torch.tensor([1.0, 0.5, -0.5]) + 0.3 * torch.randn(16, 1, 1, 6, 3)
        view = Batch(swing, torch.ones(swing.shape[:-1]), torch.arange(16), uniforms=torch.rand(16, 1, 24))
        loss = method.losses((view,), StepContext())[0]["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert min(losses[:10]) > 0.8  # a constant would cost 11/12
    assert np.mean(losses[-10:]) < 0.15


# ---- what does not fit


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"ratio": 0.0}, "method.ratio"),
        ({"ratio": 1.0}, "method.ratio"),
        ({"stride": 0}, "method.stride"),
        ({"stride": 12}, "method.stride"),
        ({"decoder_width": 10}, "method.decoder_width"),
        ({"decoder_layers": 0}, "method.decoder_layers"),
    ],
)
def test_settings_that_do_not_fit(settings, word):
    small = SkeletonTransformer.Settings(hidden=16, layers=1, heads=4, frames=12)
    with pytest.raises(InputError, match=word):
        MAMP(MAMP.Settings(**settings), lambda: encoders.build("skeleton_transformer", small, KINECT, 3, 1))


def test_an_encoder_without_tokens_is_refused_in_one_paragraph(store, tmp_path):
    words = ["pretrain", "mamp", store.path, "--out", tmp_path / "run", "--set", "encoder.name=fused"]
    one_paragraph(cli(*words, check=False), "encoder.name", "skeleton_transformer")
    assert not (tmp_path / "run").exists()
