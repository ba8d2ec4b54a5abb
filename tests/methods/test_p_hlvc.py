"""P-HLVC: phases, queue, prototypes, bodies, several processes, resuming, and that it learns on rendered motion."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import torch
from helpers.processes import Process, python
from helpers.training import make_store
from safetensors.torch import load_file

import kineme
from kineme import encoders
from kineme.data import synth
from kineme.data.synth.render import render
from kineme.encoders.s3d import S3D
from kineme.methods import StepContext
from kineme.methods.p_hlvc import PHLVC
from kineme.motion.layout import layout
from kineme.utils import settings
from kineme.utils.errors import InputError
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader

NTU = layout("ntu25")
SMALL = {"dim": 16, "prototypes": 12, "queue": 20, "queue_start": 0, "contrast": 0.0, "ramp": 0.0, "frozen": 0}
VIEWS = {"frames": 8, "step": 4, "size": 32}


def method(seed=0, **changes):
    torch.manual_seed(seed)
    table = {**SMALL, "views": {**VIEWS, **changes.pop("views", {})}, **changes}
    chosen = settings.make(PHLVC.Settings, table)
    network = S3D.Settings(dim=24, multiplier=0.05, momentum=0.1)
    return PHLVC(chosen, lambda: encoders.build("s3d", network, NTU, 3, 2))


def views(rows=6, persons=2, seed=0):
    gen = torch.Generator().manual_seed(seed)
    joints = torch.randn(rows, 32, persons, 25, 3, generator=gen).mul(0.1).cumsum(1)
    poses = Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(rows))
    return tuple(replace(poses, frames=torch.randn(rows, 8, 3, 32, 32, generator=gen)) for _ in range(2))


def at(number=0, steps=100):
    return StepContext(number=number, epoch=0, steps=steps, epochs=1)


def train(made, numbers, clips=None, optimiser=None):
    optimiser = optimiser or torch.optim.AdamW(made.groups()["loss"], lr=1e-3, weight_decay=1e-5)
    logs = []
    for number in numbers:
        losses, log = made.train().losses(clips or views(seed=number), at(number))
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        made.after_step(at(number))
        logs.append(log)
    return logs


def unit(made):
    return torch.allclose(made.prototypes.norm(dim=1), torch.ones(len(made.prototypes)), atol=1e-6)


# ---- embeddings, prototypes


def test_embeddings_and_prototypes_are_of_unit_length():
    made = method()
    features = made.model(views()[0])
    assert features.clip.shape == (6, 24)
    for part in ("video", "pose"):
        torch.testing.assert_close(features.parts[part].norm(dim=1), torch.ones(6))
    assert unit(made)
    assert (features.parts["video"] @ made.prototypes.T).abs().max() <= 1 + 1e-6
    video_head = made.model.video_head[2].weight
    torch.testing.assert_close(video_head @ video_head.T, torch.eye(24), atol=1e-5, rtol=0)


def test_zeros_stay_finite():
    made, clips = method(), views()
    clips = tuple(replace(v, joints=v.joints * 0, frames=v.frames * 0) for v in clips)
    loss = made.losses(clips, at())[0]["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())


def test_prototypes_stay_while_they_are_frozen_and_have_unit_rows_after_every_step():
    made = method(contrast=0.02, frozen=2)
    before = made.prototypes.detach().clone()
    optimiser = torch.optim.SGD(made.groups()["loss"], lr=0.5, momentum=0.9, weight_decay=1e-2)
    for number in range(4):  # two steps of contrast, two frozen
        train(made, [number], optimiser=optimiser)
        assert torch.equal(made.prototypes, before)
    for number in range(4, 7):
        train(made, [number], optimiser=optimiser)
        assert not torch.equal(made.prototypes, before)
        assert unit(made)


def test_phases():
    made = method(contrast=0.1, ramp=0.2, contrast_left=0.25)
    clips = views()
    for number, share in ((0, 0.0), (9, 0.0), (10, 0.05), (19, 0.5), (29, 1.0), (99, 1.0)):
        losses, log = made.eval().losses(clips, at(number))
        expected = share * log["loss swapped"] + max(1 - share, 0.25) * log["loss contrast"]
        torch.testing.assert_close(losses["loss"].detach(), expected, msg=str(number))


def test_clips_of_another_origin_are_no_negatives(tmp_path):
    """Only the groups within which clips are compared reach the loss; the queue knows of them too."""
    source = ClipLoader(make_store(tmp_path / "store", layout="ntu25", pictures=40))
    gen = torch.Generator().manual_seed(0)
    together, apart = method(contrast=1.0), method(contrast=1.0, within=("label",))
    plain = together.views(source, torch.arange(8), gen)
    drawn = apart.views(source, torch.arange(8), gen.manual_seed(0))
    assert all(view.group is None for view in plain)
    assert all(torch.equal(view.group, torch.arange(8) % 4) for view in drawn)
    torch.testing.assert_close(plain[0].frames, drawn[0].frames)
    losses = [made.eval().losses(drawn, at())[1]["loss contrast"] for made in (together, apart)]
    torch.testing.assert_close(*losses)  # what a batch carries decides
    alone = together.losses(plain, at())[1]["loss contrast"]
    assert losses[1] < alone  # fewer to be told from
    apart.after_step(at())
    assert apart._queue("video").keys[:8, -1].tolist() == [0, 1, 2, 3] * 2


# ---- gradients


def test_what_supplies_assignments_receives_no_gradient_from_them():
    """With video scores that do not depend on the video, nothing but its own prediction could move the pose."""
    made = method(contrast=0.0)
    bodies = torch.nn.functional.normalize(torch.randn(6, 2, 16), dim=-1).requires_grad_()
    video = torch.nn.functional.normalize(torch.randn(6, 2, 16), dim=-1).requires_grad_()
    present = torch.ones(6, 2, dtype=torch.bool)
    made.objective(video, bodies, present, at(5))[0]["loss"].backward()
    scores, step = (bodies.detach() @ made.prototypes.detach().T).requires_grad_(), at(5)
    q = torch.stack([made._assigned(x, "video", step) for x in video.detach().unbind(1)], 1).mean(1, keepdim=True)
    own = -(q * (scores / 0.1).log_softmax(-1)).sum(-1).mean() / 2
    (expected,) = torch.autograd.grad(own, scores)
    torch.testing.assert_close(bodies.grad, expected @ made.prototypes.detach())


@pytest.mark.parametrize("against", ["pose", "video"])
def test_every_parameter_of_a_group_learns(against):
    made = method(against=against)
    before = {id(p): p.detach().clone() for p in made.parameters()}
    train(made, range(2))
    moved = {id(p) for p in made.parameters() if not torch.equal(p, before[id(p)])}
    assert moved == {id(p) for p in made.groups()["loss"]}
    posed = {id(p) for p in (*made.model.pose.parameters(), *made.model.pose_head.parameters())}
    assert (not moved & posed) == (against == "video")


# ---- queue


def test_queue_changes_assignments_once_it_is_used_and_has_no_gradient():
    made, other = method(queue_start=3), method(queue_start=3)
    other.queues["pose"].keys.copy_(other.queues["pose"].keys.flip(0))
    other.queues["pose"].filled.fill_(20)
    clips = views()
    for number, same in ((2, True), (3, False)):
        losses = [m.eval().losses(clips, at(number))[0]["loss"] for m in (made, other)]
        assert torch.equal(*losses) == same
    assert all(not q.keys.requires_grad for q in made.queues.values())
    alone = method(queue=0)
    torch.testing.assert_close(
        alone.eval().losses(clips, at(9))[0], made.eval().losses(clips, at(9))[0]
    )  # nothing in it


def test_queues_are_filled_with_what_was_met():
    made = method()
    clips = views()
    present = made.model.pose(clips[0]).parts["present"]
    train(made, [0], clips)
    assert int(made.queues["video"].filled) == 6
    assert int(made.queues["pose"].filled) == int(present.sum()) == 12
    assert not made.settled()
    train(made, range(1, 4), clips)
    assert made.settled()


# ---- bodies


def test_padding_and_order_of_bodies_do_not_change_the_loss():
    made = method().eval()
    clips = views(persons=3)
    clips[0].confidence[2, :, 1], clips[0].joints[2, :, 1] = 0, 0
    loss = made.losses(clips, at(5))[0]["loss"]
    pad = torch.nn.functional.pad
    others = tuple(
        replace(
            v,
            joints=pad(v.joints[:, :, [1, 2, 0]], (0, 0, 0, 0, 0, 2)),
            confidence=pad(v.confidence[:, :, [1, 2, 0]], (0, 0, 0, 2)),
        )
        for v in clips
    )
    torch.testing.assert_close(made.losses(others, at(5))[0]["loss"], loss, atol=1e-5, rtol=1e-5)


def test_a_clip_without_a_body_is_skipped_by_the_loss():
    made = method(queue=0).eval()
    clips = views()
    empty = tuple(replace(v, confidence=v.confidence * (torch.arange(6) > 0)[:, None, None, None]) for v in clips)
    video = torch.nn.functional.normalize(torch.randn(6, 2, 16), dim=-1).requires_grad_()
    bodies, present = made.model.bodies(empty[0])
    assert present.any(1).tolist() == [False] + [True] * 5
    made.objective(video, bodies, present, at(5))[0]["loss"].backward()
    assert (video.grad[0] == 0).all()
    assert (video.grad[1:] != 0).any((1, 2)).all()


# ---- the log, settings


def test_what_the_log_says():
    log = train(method(), range(3), views())[-1]
    assert {
        "loss swapped",
        "loss contrast",
        "prototypes used",
        "cosine",
        "cosine above others",
        "entropy",
    } == log.keys()
    assert 1 <= log["prototypes used"] <= 12
    assert 0 <= log["entropy"] <= torch.tensor(12.0).log()


def test_prototypes_used_are_those_of_one_epoch():
    made = method()
    made.used.fill_(5)
    step = StepContext(number=30, epoch=3, steps=100, epochs=10, per_epoch=10)
    assert made.eval().losses(views(), step)[1]["prototypes used"] < 12
    made.used.fill_(25)
    assert made.eval().losses(views(), step)[1]["prototypes used"] == 12


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"contrast": 1.5}, "share"),
        ({"queue": -1}, "0 or more"),
        ({"eps": 0}, "above 0"),
        ({"against": "video", "views": {"views": 1}}, "2 or more"),
        ({"views": {"shifted": True}}, "false"),
    ],
)
def test_settings_outside_their_range(table, word):
    with pytest.raises(InputError, match=word):
        method(**table)


def test_encoders_that_see_no_pictures_are_refused(tmp_path):
    store = make_store(tmp_path / "store", clips=8)
    with pytest.raises(InputError, match="s3d or r2plus1d"):
        kineme.pretrain("p_hlvc", store, tmp_path / "run", settings={"encoder.name": "recurrent"}, device="cpu")
    with pytest.raises(InputError, match="pictures"):
        kineme.pretrain(
            "p_hlvc",
            store,
            tmp_path / "run",
            steps=1,
            device="cpu",
            settings={"encoder.multiplier": 0.05, "loop.batch": 4},
        )


def test_without_pictures_the_pose_stands_for_a_clip():
    made, clips = method().model, views()[0]
    with pytest.warns(UserWarning, match="pose network"):
        features = made(replace(clips, frames=None))
    assert torch.equal(features.clip, made.pose(clips).clip)
    assert features.parts.keys() == {"pose"}


def test_sizes_follow_the_number_of_clips():
    assert PHLVC.sized({}, 100) == {"prototypes": 64, "queue": 50}
    assert PHLVC.sized({}, 5000) == {"prototypes": 200, "queue": 2500}
    assert PHLVC.sized({"queue": 7}, 10**6) == {"prototypes": 10_000, "queue": 7}


# ---- several processes


WORKER = """
import sys
from dataclasses import replace
import torch
import test_p_hlvc as here
from kineme.methods import StepContext
from kineme.training.optim import average_gradients
from kineme.utils import distributed

torch.set_num_threads(1)
group = distributed.start()
made = here.method().double()
optimiser = torch.optim.SGD(made.groups()["loss"], lr=1e-3, momentum=0.9)
losses_met = []
for number in range(3):
    mine = slice(group.rank * 6 // group.size, (group.rank + 1) * 6 // group.size)
    clips = [replace(v, joints=v.joints.double(), frames=v.frames.double())[mine] for v in here.views(seed=number)]
    clips[0].confidence[:1] = 0
    if group.size == 1:
        clips[0].confidence[3] = 0
    clips = [replace(clips[1], confidence=clips[0].confidence, frames=v.frames) for v in clips]
    step = StepContext(number=number, epoch=0, steps=100, epochs=1, dist=group)
    losses, log = made.train().losses(tuple(clips), step)
    optimiser.zero_grad()
    losses["loss"].backward()
    average_gradients(made.groups(), group)
    torch.nn.utils.clip_grad_norm_(made.groups()["loss"], 1.0)
    optimiser.step()
    losses_met.append(losses["loss"].detach())
    made.after_step(step)
if group.rank == 0:
    torch.save({"state": made.state_dict(), "log": log, "losses": losses_met}, sys.argv[1])
"""


def test_two_processes_are_one(tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text(f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n" + WORKER)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(25000 + (os.getpid() + 7919) % 20000), "WORLD_SIZE": "2"}
    running = [
        Process(python, worker, tmp_path / "two.pt", env={**address, "RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(2)
    ]
    running.append(Process(python, worker, tmp_path / "one.pt"))
    try:
        assert [each.wait(timeout=200) for each in running] == [0, 0, 0]
    finally:
        for process in running:
            process.kill()
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    torch.testing.assert_close(two["losses"], one["losses"], atol=1e-8, rtol=1e-6)
    for name, value in one["state"].items():
        torch.testing.assert_close(
            two["state"][name], value, atol=1e-8, rtol=1e-6, msg=lambda text, n=name: f"{n}: {text}"
        )


# ---- whole trainings


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Rendered motion of four kinds, 24 clips of 32 x 32."""
    motions = list(synth.generate(24, ["walk", "wave", "squat", "kick"], subjects=3, cameras=1, seed=1))
    return render(motions, tmp_path_factory.mktemp("films") / "game", "game", 32, layout="openpose18")


TINY = {
    "method": {**SMALL, "contrast": 0.3, "ramp": 0.2, "views": VIEWS},
    "encoder": {"multiplier": 0.05, "dim": 32, "momentum": 0.1},
    "loop": {"batch": 8, "lr": 2e-3, "save_seconds": 0},
}


def test_resumed_is_uninterrupted_and_a_run_embeds_videos(filmed, tmp_path, monkeypatch):
    whole = kineme.pretrain("p_hlvc", filmed, tmp_path / "whole", epochs=3, settings=TINY, device="cpu")
    after = PHLVC.after_step

    def interrupted(self, step):
        after(self, step)
        if step.number == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(PHLVC, "after_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kineme.pretrain("p_hlvc", filmed, tmp_path / "cut", epochs=3, settings=TINY, device="cpu")
    monkeypatch.setattr(PHLVC, "after_step", after)
    cut = kineme.pretrain("p_hlvc", filmed, tmp_path / "cut", resume=True, device="cpu")
    one, other = (load_file(run / "model.safetensors") for run in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert {"prototypes used", "cosine above others", "entropy"} <= lines[-1].keys()

    model = kineme.load(whole, device="cpu")
    vectors = model.embed(filmed)
    assert vectors.shape == (24, 32)
    source = ClipLoader(filmed)
    films = torch.stack([model.encoder(piece).clip.detach() for piece in model._films(source, torch.arange(3))])
    assert len(films) == 10  # windows
    torch.testing.assert_close(torch.from_numpy(vectors[:3]), films.mean(0), atol=1e-4, rtol=1e-3)


def test_published_weights_are_taken_and_the_card_says_so(filmed, tmp_path):
    table = {**TINY, "encoder": {"name": "r2plus1d", "multiplier": 0.05}}
    first = kineme.pretrain("p_hlvc", filmed, tmp_path / "first", steps=1, settings=table, device="cpu")
    state = {
        n.removeprefix("video."): v for n, v in load_file(first / "model.safetensors").items() if n.startswith("video.")
    }
    torch.save({**state, "fc.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}, tmp_path / "w.pth")
    words = {"steps": 1, "settings": table, "device": "cpu", "seed": 1}
    run = kineme.pretrain("p_hlvc", filmed, tmp_path / "second", init_video=tmp_path / "w.pth", **words)
    initial = load_file(run / "initial.safetensors")
    assert torch.equal(initial["video.stem.0.weight"], state["stem.0.weight"])
    card = json.loads((run / "card.json").read_text())
    assert card["init_video"]["mapped"] == len(state)
    assert card["init_video"]["aside"] == ["fc.bias", "fc.weight"]
