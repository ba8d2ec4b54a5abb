"""The training loop: reproducible, resumable to the last bit, honest about what it was given."""

from __future__ import annotations

import json
import random
import signal
import time

import numpy as np
import pytest
import torch
from helpers.training import TINY, make_store, one_paragraph, start
from helpers.training import kineme as cli
from safetensors.torch import load_file

import kineme
from kineme.nn import matmul
from kineme.training import checkpoint, loop, optim, recipe
from kineme.training.recipe import Loop
from kineme.utils import settings as plain
from kineme.utils.distributed import ProcessGroup
from kineme.utils.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "swing")


def overrides(*more: str) -> list[str]:
    return [word for word in TINY if word != "--set"] + list(more)


def equal_runs(a, b) -> bool:
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_same_seed_same_weights_and_another_seed_others(store, tmp_path):
    runs = [
        kineme.pretrain("moco", store, tmp_path / name, epochs=2, seed=seed, settings=overrides())
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert equal_runs(runs[0], runs[1])
    assert not equal_runs(runs[0], runs[2])


def test_run_holds_what_it_promises(store, tmp_path):
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=3, settings=overrides(), split="random")
    card = json.loads((run / "card.json").read_text())
    assert card["status"] == "done"
    assert card["stores"] == [{"name": "swing", "hash": store.hash}]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert all(np.isfinite(line["loss"]) for line in lines)
    before, after = load_file(run / "initial.safetensors"), load_file(run / "model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[k], after[k]) for k in before)


@pytest.mark.slow
def test_killed_ten_times_at_random_moments_gives_the_uninterrupted_weights(store, tmp_path):
    """SIGKILL of a real process, ten times, then to the end: bit for bit the run that nobody disturbed."""
    epochs = 30
    words = ["pretrain", "moco", store.path, "--epochs", epochs, *TINY]
    begin = time.monotonic()
    cli(*words, "--out", tmp_path / "whole")
    whole = time.monotonic() - begin
    rng, log = random.Random(0), tmp_path / "cut" / "log.jsonl"
    resume = ["pretrain", "moco", store.path, "--out", tmp_path / "cut", "--resume"]
    epochs_at_death = []
    for k in range(10):
        recorded = (tmp_path / "cut" / "card.json").exists()
        process = start(*(resume if recorded else [*words, "--out", tmp_path / "cut", "--resume"]))
        begun = time.monotonic()
        have = len(log.read_bytes().splitlines()) if log.exists() else 0
        while process.poll() is None and time.monotonic() - begun < whole:  # wait until it trains, then a random while
            if log.exists() and len(log.read_bytes().splitlines()) > have:
                break
            time.sleep(0.002)
        time.sleep(rng.random() * whole / 40 if k else rng.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        epochs_at_death.append(len(log.read_bytes().splitlines()) if log.exists() else 0)
    assert any(0 < e < epochs for e in epochs_at_death), epochs_at_death
    cli(*(resume if (tmp_path / "cut" / "card.json").exists() else [*words, "--out", tmp_path / "cut"]))
    assert equal_runs(tmp_path / "whole", tmp_path / "cut")
    drop = ("seconds", "clips_per_second")
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k not in drop}
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "cut")
    ]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run_and_says_how(store, tmp_path):
    words = ["pretrain", "moco", store.path, "--epochs", 30, *TINY, "--set", "loop.save_seconds=1000"]
    cli(*words, "--out", tmp_path / "whole")
    process = start(*words, "--out", tmp_path / "cut")
    log = tmp_path / "cut" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "--resume" in err
    assert "Traceback" not in err
    one_paragraph(
        cli("evaluate", tmp_path / "cut", store.path, "--split", "random", check=False), "unfinished", "--resume"
    )
    cli("pretrain", "moco", store.path, "--out", tmp_path / "cut", "--resume")
    assert equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_interrupted_in_the_middle_of_an_epoch(store, tmp_path, monkeypatch):
    """A state between two epochs' ends carries the epoch's running sums, so that the log is the same too."""
    whole = kineme.pretrain("moco", store, tmp_path / "whole", epochs=3, settings=overrides())
    one = loop.Training.train_step
    count = 0

    def stop_at_seventh(self, index, at):
        nonlocal count
        count += 1
        if count == 7:
            signal.raise_signal(signal.SIGINT)
        return one(self, index, at)

    monkeypatch.setattr(loop.Training, "train_step", stop_at_seventh)
    with pytest.raises(KeyboardInterrupt):
        kineme.pretrain("moco", store, tmp_path / "cut", epochs=3, settings=overrides())
    monkeypatch.undo()
    assert checkpoint.load(tmp_path / "cut" / "resume" / "state.safetensors")[1]["step"] == 7
    cut = kineme.pretrain("moco", store, tmp_path / "cut", resume=True)
    assert equal_runs(whole, cut)
    losses = [
        [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()] for run in (whole, cut)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("optimiser", "precision"),
    [("sgd", "fp32"), ("sgd", "bf16"), ("adam", "fp32"), ("adamw", "fp32"), ("adamw", "bf16")],
)
def test_every_optimiser_and_precision_trains_and_resumes(store, tmp_path, optimiser, precision, monkeypatch):
    more = overrides(
        f"loop.optimiser={optimiser}",
        f"loop.precision={precision}",
        "loop.clip=1.0",
        "loop.schedule=cosine",
        "loop.warmup=1",
        "loop.lr=0.01",
    )
    whole = kineme.pretrain("moco", store, tmp_path / "whole", epochs=3, settings=more)
    monkeypatch.setattr(loop.Training, "end_epoch", _interrupting(loop.Training.end_epoch))
    with pytest.raises(KeyboardInterrupt):
        kineme.pretrain("moco", store, tmp_path / "cut", epochs=3, settings=more)
    monkeypatch.undo()
    assert equal_runs(whole, kineme.pretrain("moco", store, tmp_path / "cut", resume=True))


def _interrupting(line):
    def wrapped(self, epoch, bar):
        signal.raise_signal(signal.SIGINT)
        return line(self, epoch, bar)

    return wrapped


def test_an_existing_run_is_never_overwritten(store, tmp_path):
    kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=overrides())
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=overrides())
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    with pytest.raises(InputError, match="other settings"):
        kineme.pretrain("moco", store, tmp_path / "run", epochs=9, resume=True)
    with pytest.raises(InputError, match="other data"):
        kineme.pretrain("moco", make_store(tmp_path / "other", seed=5), tmp_path / "run", resume=True)


def test_batch_larger_than_the_set(store, tmp_path):
    done = cli("pretrain", "moco", store.path, "--out", tmp_path / "run", "--set", "loop.batch=500", check=False)
    one_paragraph(done, "loop.batch", "500", "40 training clips")
    assert not (tmp_path / "run").exists()  # so that the mended command finds its folder free


@pytest.mark.slow
def test_unknown_words_are_answered_with_the_known_ones(store, tmp_path):
    one_paragraph(cli("pretrain", "mocco", store.path, check=False), "mocco", "Did you mean 'moco'?")
    one_paragraph(
        cli("pretrain", "moco", store.path, "--set", "method.temprature=1", check=False), "temprature", "temperature"
    )
    one_paragraph(cli("pretrain", "moco", store.path, "--recipe", "nothing", check=False), "nothing", "small")
    one_paragraph(cli("pretrain", "moco", tmp_path / "nowhere", check=False), "nowhere")
    one_paragraph(
        cli("pretrain", "moco", store.path, "--split", "sideways", "--out", tmp_path / "x", check=False),
        "sideways",
        "random",
    )


@pytest.mark.parametrize(
    "setting",
    [
        "loop.batch=0",
        "loop.lr=-1",
        "loop.epochs=0",
        "loop.steps=0",
        "encoder.hidden=0",
        "method.queue=0",
        "method.temperature=0",
        "method.momentum=2",
        "method.views.frames=0",
    ],
)
def test_impossible_numbers_are_refused_by_name(setting):
    with pytest.raises(InputError, match=setting.split("=")[0].rsplit(".", 1)[1]):
        recipe.load("moco", 100, settings=[setting])


def test_a_checkpoint_of_another_method_is_refused(store, tmp_path):
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=overrides())
    tensors, _ = checkpoint.load(run / "model.safetensors")
    checkpoint.save(run / "model.safetensors", {"other." + k: v for k, v in tensors.items()})
    one_paragraph(
        cli("embed", run, store.path, "--out", tmp_path / "z", check=False), "model.safetensors", "missing", "unknown"
    )
    (run / "model.safetensors").write_bytes((run / "initial.safetensors").read_bytes()[:200])
    one_paragraph(cli("embed", run, store.path, "--out", tmp_path / "z", check=False), "model.safetensors")


def test_a_loss_that_is_not_finite_stops_the_run(store, tmp_path):
    with pytest.raises(InputError, match=r"loop\.lr"):
        kineme.pretrain("moco", store, tmp_path / "run", epochs=4, settings=overrides("loop.lr=1e30"))


def test_two_stores_are_joined_on_a_layout(store, tmp_path):
    other = make_store(tmp_path / "ntu", layout="ntu25", clips=16, seed=3)
    run = kineme.pretrain("moco", [store, other], tmp_path / "run", epochs=1, layout="kinect20", settings=overrides())
    card = json.loads((run / "card.json").read_text())
    assert card["clips"] == 56
    assert [s["hash"] for s in card["stores"]] == [store.hash, other.hash]
    assert kineme.load(run).embed(store).shape == (40, 16)


def test_schedules():
    step = Loop(lr=1.0, schedule="step", milestones=(2, 4))
    np.testing.assert_allclose([optim.learning_rate(step, e, e, 6) for e in range(6)], [1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = Loop(lr=1.0, schedule="cosine", epochs=10, warmup=2)
    values = [optim.learning_rate(cosine, e, int(e), 10) for e in np.linspace(0, 10, 41)]
    assert values[0] < 0.01
    assert max(values) == pytest.approx(1.0, abs=1e-3)
    assert values[-1] == pytest.approx(0.0, abs=1e-9)
    assert np.diff(values[9:]).max() <= 0
    assert optim.learning_rate(Loop(lr=0.5, schedule="constant"), 7.5, 7, 10) == 0.5
    halved = Loop(lr=1.0, lr_end=0.5, schedule="cosine", epochs=10)
    np.testing.assert_allclose([optim.learning_rate(halved, e, e, 10) for e in (0, 5, 10)], [1.0, 0.75, 0.5])


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw", "adagrad"])
def test_weight_decay_spares_vectors_where_it_is_told_to(optimiser):
    """Without a gradient, decay alone moves a weight, if it is decoupled or added to the gradient."""
    for spared in (False, True):
        matrix, vector = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2,)))
        chosen = Loop(optimiser=optimiser, lr=0.1, weight_decay=0.5, decay_vectors=not spared)
        made = optim.build_optimiser([vector, matrix], chosen)
        matrix.grad, vector.grad = torch.zeros(2, 2), torch.zeros(2)
        made.step()
        assert (matrix < 1).all()
        assert bool((vector < 1).any()) != spared
    assert all(group["weight_decay"] in (0.0, 0.5) for group in made.param_groups)


def test_betas_are_those_of_adam():
    made = optim.build_optimiser([torch.nn.Parameter(torch.ones(1))], Loop(optimiser="adamw", betas=(0.8, 0.95)))
    assert made.param_groups[0]["betas"] == (0.8, 0.95)


@pytest.mark.parametrize(
    ("asked", "settings", "length"),
    [
        ({"steps": 7}, {}, "7 steps"),
        ({"epochs": 3}, {}, "3 epochs"),
        ({}, {"loop.steps": 7}, "7 steps"),
        ({}, {"loop": {"epochs": 2}}, "2 epochs"),
        ({"steps": 7, "epochs": 2}, {}, None),
        ({"steps": 7}, {"loop.epochs": 2}, None),
        ({"epochs": 7}, ["loop.steps=2"], None),
    ],
)
@pytest.mark.parametrize("name", ["small", "published", "moco_nwucla"])  # the first counts steps, the others epochs
def test_a_length_is_given_in_epochs_or_in_steps(store, tmp_path, asked, settings, length, name, monkeypatch):
    monkeypatch.setattr(loop.Training, "train", lambda self: None)
    settings = {"loop.batch": 8} | settings if isinstance(settings, dict) else [*settings, "loop.batch=8"]
    settings = plain.assignments(settings) | {"method.queue": 20}
    if length is None:
        with pytest.raises(InputError, match=r"epochs = \d and steps = \d"):
            kineme.pretrain("moco", store, tmp_path / "run", recipe=name, settings=settings, **asked)
        assert not (tmp_path / "run").exists()
        return
    run = kineme.pretrain("moco", store, tmp_path / "run", recipe=name, settings=settings, **asked)
    assert recipe.from_card(json.loads((run / "card.json").read_text())).loop.length == length


def test_a_recipe_states_one_length(tmp_path):
    (tmp_path / "two.toml").write_text("[loop]\nepochs = 3\nsteps = 7\n")
    with pytest.raises(InputError, match="one of them"):
        recipe.load("moco", 100, recipe=str(tmp_path / "two.toml"))
    (tmp_path / "steps.toml").write_text("[loop]\nsteps = 7\n")
    assert recipe.load("moco", 100, recipe=str(tmp_path / "steps.toml")).loop.length == "7 steps"
    assert recipe.load("moco", 100, recipe=str(tmp_path / "steps.toml"), settings={"loop.epochs": 3}).loop.steps is None


def test_steps_cut_the_last_epoch_and_schedules_end_there(store, tmp_path, monkeypatch):
    """40 clips in batches of 8 are 5 steps an epoch: 12 steps are two epochs and two steps."""
    rates, steps, train_step = [], [], loop.Training.train_step

    def watched(self, index, step):
        logged = train_step(self, index, step)
        rates.append(self.optimisers["loss"].param_groups[0]["lr"])
        steps.append((step.number, step.epoch, step.within, step.steps, step.epochs, len(index)))
        return logged

    monkeypatch.setattr(loop.Training, "train_step", watched)
    more = overrides("loop.schedule=cosine", "loop.lr=1e-3")
    run = kineme.pretrain("moco", store, tmp_path / "run", steps=12, settings=more)
    assert steps == [(n, n // 5, n % 5, 12, 3, 8) for n in range(12)]
    np.testing.assert_allclose(rates, [5e-4 * (1 + np.cos(np.pi * n / 12)) for n in range(12)])
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(0, 5), (1, 10), (2, 12)]
    assert 0.3 < lines[2]["loss"] / lines[1]["loss"] < 1.7  # a mean over two steps, not over five
    card = json.loads((run / "card.json").read_text())
    assert (card["steps"], card["steps_per_epoch"]) == (12, 5)
    short = kineme.pretrain("moco", store, tmp_path / "short", steps=3, settings=more)  # less than an epoch
    assert [json.loads(line)["step"] for line in (short / "log.jsonl").read_text().splitlines()] == [3]


@pytest.mark.parametrize("stop", [3, 11])
def test_a_training_by_steps_is_resumed_wherever_it_stopped(store, tmp_path, stop, monkeypatch):
    whole = kineme.pretrain("moco", store, tmp_path / "whole", steps=12, settings=overrides())
    one = loop.Training.train_step

    def stopping(self, index, step):
        if step.number == stop - 1:
            signal.raise_signal(signal.SIGINT)
        return one(self, index, step)

    monkeypatch.setattr(loop.Training, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        kineme.pretrain("moco", store, tmp_path / "cut", steps=12, settings=overrides())
    monkeypatch.undo()
    with pytest.raises(InputError, match="other settings"):
        kineme.pretrain("moco", store, tmp_path / "cut", steps=13, resume=True)
    cut = kineme.pretrain("moco", store, tmp_path / "cut", steps=12, resume=True)
    assert equal_runs(whole, cut)
    losses = [[json.loads(x)["loss"] for x in (run / "log.jsonl").read_text().splitlines()] for run in (whole, cut)]
    assert losses[0] == losses[1]


def test_a_run_goes_on_from_one_by_steps_in_the_middle_of_an_epoch(store, tmp_path):
    same = overrides("loop.schedule=constant")  # so that the rate does not know how long it will be
    first = kineme.pretrain("moco", store, tmp_path / "first", steps=7, settings=same)
    with pytest.raises(InputError, match=r"loop\.steps.*7, but .*first has 7 behind it"):
        kineme.pretrain("moco", store, tmp_path / "none", steps=7, settings=same, init_from=first)
    second = kineme.pretrain("moco", store, tmp_path / "second", steps=12, settings=same, init_from=first)
    lines = [json.loads(line) for line in (second / "log.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 10), (2, 12)]
    whole = kineme.pretrain("moco", store, tmp_path / "whole", steps=12, settings=same)
    assert equal_runs(second, whole)


def test_presets_are_sized_to_the_store():
    small = recipe.load("moco", 1000)
    assert small.preset == "small"
    assert small.method["queue"] == 500
    assert small.encoder["hidden"] < 1024
    assert (small.loop.steps, small.loop.epochs) == (2000, None)
    assert recipe.load("moco", 64_000).loop.steps == 10_000  # ten epochs of a larger set
    assert small.method["views"]["joint_jitter"] == 0
    sheared = recipe.load("moco", 1000, settings=["method.views.shear=0.9", "loop.epochs=3"])
    assert (sheared.method["views"]["shear"], sheared.method["views"]["mirror"], sheared.loop.epochs) == (0.9, 0.5, 3)
    assert sheared.loop.steps is None
    published = recipe.load("moco", 40_000, gpu=True)
    assert published.preset == "published"
    assert (published.method["queue"], published.encoder["hidden"], published.loop.epochs) == (16384, 1024, 451)
    assert recipe.load("moco", 7).loop.batch == 3
    named = recipe.load(
        "moco", 40_000, recipe="small", settings=["loop.lr=0.5", "encoder.name=bidirectional"], gpu=True
    )
    assert (named.preset, named.loop.lr, named.encoder_name) == ("small", 0.5, "bidirectional")


def test_tensorboard_files_are_written_on_request(store, tmp_path):
    pytest.importorskip("tensorboard")
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=overrides(), tensorboard=True)
    assert list((run / "tensorboard").glob("events*"))


def test_a_long_training_names_the_small_preset(store, tmp_path, capsys):
    """After 20 steps: throughput and time left; above an hour also the way to a shorter one."""
    kineme.pretrain("moco", store, tmp_path / "run", epochs=5, settings=overrides(), progress=True)
    said = capsys.readouterr().err
    assert "clips/s" in said
    assert "left (25 steps of 8 clips)" in said
    assert "--recipe small" not in said
    chosen = recipe.load("moco", 40, recipe="published", settings=overrides("loop.epochs=100000000"))
    card = {"method": "moco", "seed": 0, "persons": 1, "recipe": {"preset": chosen.preset}}
    training = loop.Training(tmp_path, card, chosen, store, torch.arange(40), "cpu", ProcessGroup(), progress=True)
    training._announce(loop.Bar("pretrain", 1), 0.01)
    said = capsys.readouterr().err
    assert " h left" in said
    assert "--recipe small" in said


def test_a_run_says_how_it_multiplies_and_is_resumed_so(store, tmp_path, monkeypatch):
    ways, run = [], tmp_path / "run"
    monkeypatch.setattr(loop.Training, "train", lambda self: ways.append(matmul.path()))
    kineme.pretrain("moco", store, run, epochs=1, settings=overrides(), device="cpu")
    card = json.loads((run / "card.json").read_text())
    assert card["matmul"] == ways[0] == matmul.path()
    monkeypatch.setattr(matmul, "_has_onednn", lambda: True)  # nothing is multiplied here
    for way in (matmul.ONEDNN, matmul.DEFAULT):
        (run / "card.json").write_text(json.dumps(card | {"matmul": way}))
        kineme.pretrain("moco", store, run, resume=True, device="cpu")
        assert ways[-1] == way
