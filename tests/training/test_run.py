"""The folder of a run: one training at a time, resumed only as it was begun, nothing left by what cannot be trained."""

from __future__ import annotations

import json
import shutil
import signal
import time

import pytest
import torch
from helpers.training import TINY, make_store, one_paragraph, start
from helpers.training import kineme as cli

import kineme
from kineme.training import checkpoint, loop
from kineme.utils import files
from kineme.utils.errors import InputError

SETTINGS = {
    "encoder.hidden": 8,
    "encoder.layers": 1,
    "method.views.frames": 8,
    "method.queue": 20,
    "loop.batch": 8,
    "loop.save_seconds": 0,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "swing")


def interrupt(monkeypatch, step):
    """Ctrl-C in this step of the next training."""
    one = loop.Training.train_step

    def stopping(self, index, at):
        if at.number == step:
            signal.raise_signal(signal.SIGINT)
        return one(self, index, at)

    monkeypatch.setattr(loop.Training, "train_step", stopping)


@pytest.fixture
def stopped(store, tmp_path, monkeypatch):
    """A run by a recipe of one's own, interrupted in its second epoch."""
    (tmp_path / "mine.toml").write_text('[method]\ntemperature = 0.2\nstream = "motion"\n[loop]\nlr = 0.02\n')
    words = {"recipe": str(tmp_path / "mine.toml"), "epochs": 3, "seed": 7, "split": "random", "settings": SETTINGS}
    with monkeypatch.context() as patched:
        interrupt(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            kineme.pretrain("moco", store, tmp_path / "run", **words)
    return tmp_path / "run", words


@pytest.mark.parametrize(
    ("asked", "both"),
    [
        ({"split": "xsub"}, "split xsub, in the run random"),
        ({"seed": 0}, "seed 0, in the run 7"),
        ({"recipe": "moco_nwucla"}, "recipe moco_nwucla, in the run mine"),
        ({"recipe": "small"}, "recipe small, in the run mine"),
        ({"layout": "ntu25"}, "layout ntu25, in the run kinect20"),
        ({"init_from": "elsewhere"}, "init-from elsewhere, in the run none"),
        ({"epochs": 4}, "loop.epochs 4, in the run 3"),
        ({"steps": 4}, "loop.steps 4, in the run none"),
        ({"settings": ["method.stream=bone"]}, "method.stream bone, in the run motion"),
        ({"settings": {"encoder.name": "bidirectional"}}, "encoder_name bidirectional, in the run recurrent"),
        ({"settings": {"method": {"views": {"mirror": 0.25}}}}, "method.views.mirror 0.25, in the run 0"),
        ({"method": "cmd"}, "method cmd, in the run moco"),
        ({"split": "xview", "seed": 1}, "seed 1, in the run 7; split xview, in the run random"),
    ],
)
def test_resuming_refuses_what_the_run_does_not_have_and_says_both(store, stopped, asked, both):
    run, _ = stopped
    before = (run / "card.json").read_bytes()
    with pytest.raises(InputError) as caught:
        kineme.pretrain(asked.pop("method", "moco"), store, run, resume=True, **asked)
    assert "a run with other settings" in str(caught.value)
    assert both in str(caught.value)
    assert (run / "card.json").read_bytes() == before


def test_a_recipe_that_was_edited_meanwhile_is_another(store, stopped):
    run, words = stopped
    with open(words["recipe"], "a") as file:
        file.write("weight_decay = 0.5\n")
    with pytest.raises(InputError, match=r"loop\.weight_decay 0\.5, in the run 0\.0001"):
        kineme.pretrain("moco", store, run, recipe=words["recipe"], resume=True)


def test_what_is_not_given_is_taken_from_the_run(store, stopped, tmp_path):
    """No word, one of them, or all of them: the same as what was never interrupted."""
    run, words = stopped
    whole = kineme.pretrain("moco", store, tmp_path / "whole", **words)
    said = ({}, words, {"split": "random"}, {"recipe": words["recipe"]}, {"settings": ["loop.lr=0.02"]})
    for number, some in enumerate(said):
        shutil.copytree(run, tmp_path / str(number))
        done = kineme.pretrain("moco", store, tmp_path / str(number), resume=True, **some)
        assert json.loads((done / "card.json").read_text())["split"] == "random"
        assert (done / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes(), some


# case 21-resume-with-another-split of the public reports
def test_a_split_where_there_was_none(store, tmp_path):
    """Also of a finished run: test clips that were seen stay seen."""
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=SETTINGS)
    with pytest.raises(InputError, match="split random, in the run none"):
        kineme.pretrain("moco", store, run, split="random", resume=True)
    done = cli("pretrain", "moco", store.path, "--out", run, "--resume", "--split", "random", check=False)
    one_paragraph(done, "a run with other settings", "split random, in the run none")
    said = cli("pretrain", "moco", store.path, "--out", run, "--resume").stdout
    assert "it learned from every clip" in said


def test_other_data_are_named_beside_the_run_s_own(store, stopped, tmp_path):
    other = make_store(tmp_path / "other", seed=5)
    for given in (other, [store, other]):
        with pytest.raises(InputError) as caught:
            kineme.pretrain("moco", given, stopped[0], resume=True)
        assert all(word in str(caught.value) for word in ("other data", other.hash[:12], store.hash[:12]))


def test_the_recorded_layout_of_joined_stores_is_taken(store, tmp_path, monkeypatch):
    """Also of a single store that is mapped to another layout."""
    other = make_store(tmp_path / "ntu", layout="ntu25", clips=16, seed=3)
    for number, (given, layout) in enumerate((([store, other], "kinect20"), (other, "kinect20"))):
        words = {"layout": layout, "epochs": 2, "settings": SETTINGS}
        whole = kineme.pretrain("moco", given, tmp_path / f"whole{number}", **words)
        run = tmp_path / f"cut{number}"
        with monkeypatch.context() as patched:
            interrupt(patched, 1)
            with pytest.raises(KeyboardInterrupt):
                kineme.pretrain("moco", given, run, **words)
        with pytest.raises(InputError, match="layout ntu25, in the run kinect20"):
            kineme.pretrain("moco", given, run, layout="ntu25", resume=True)
        kineme.pretrain("moco", given, run, resume=True)
        assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_card_of_an_earlier_version_knows_only_the_name_of_its_recipe(store, stopped):
    run, words = stopped
    card = json.loads((run / "card.json").read_text())
    del card["given"], card["recipe"]["loop"]["steps"]
    (run / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="recipe small, in the run mine"):
        kineme.pretrain("moco", store, run, recipe="small", resume=True)
    kineme.pretrain("moco", store, run, recipe=words["recipe"], epochs=3, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_two_trainings_cannot_share_a_folder(store, tmp_path, resume):
    """While one trains, another with the same folder ends with a sentence; the first is not disturbed."""
    words = ["pretrain", "moco", store.path, "--out", tmp_path / "run", "--epochs", 3000, *TINY]
    process = start(*words)
    try:
        log = tmp_path / "run" / "log.jsonl"
        while process.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.005)
        second = [*words[:5], "--resume"] if resume else words
        one_paragraph(cli(*second, check=False), "run", "another process is training in this folder")
        assert process.poll() is None
    finally:
        process.kill()  # what it leaves does not stand in the way
    process.communicate()
    with pytest.raises(InputError, match=r"loop\.epochs 1, in the run 3000"):
        kineme.pretrain("moco", store, tmp_path / "run", epochs=1, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_in_the_middle_of_an_epoch(store, tmp_path, monkeypatch, number):
    whole = kineme.pretrain("moco", store, tmp_path / "whole", epochs=2, settings=SETTINGS)
    with monkeypatch.context() as patched:
        one = loop.Training.train_step
        patched.setattr(
            loop.Training,
            "train_step",
            lambda self, index, at: (signal.raise_signal(number) if at.number == 2 else None, one(self, index, at))[1],
        )
        with pytest.raises(KeyboardInterrupt):
            kineme.pretrain("moco", store, tmp_path / "run", epochs=2, settings=SETTINGS)
    assert checkpoint.load(tmp_path / "run" / "resume" / "state.safetensors")[1]["step"] == 3
    kineme.pretrain("moco", store, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_long_epoch_is_saved_by_time(store, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LONGEST", 0.0)  # seconds without a state
    saved = []
    monkeypatch.setattr(loop.Training, "save", lambda self: saved.append(self.step))
    kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=SETTINGS | {"loop.save_seconds": 1e9})
    assert saved == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"settings": {"loop.batch": 500}}, r"loop\.batch.*500"),
        ({"settings": {"loop.batch": 0}}, r"loop\.batch.*0.*above 0"),
        ({"recipe": "nothing"}, "nothing"),
        ({"split": "sideways"}, "sideways"),
        ({"init_from": "nowhere"}, "nowhere"),
        ({"tensorboard": True}, "TensorBoard"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(store, tmp_path, words, named, monkeypatch):
    """Nor a joined store, which may be large; the folders above are as they were."""
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    other = make_store(tmp_path / "other", seed=5)
    with pytest.raises(InputError, match=named):
        kineme.pretrain("moco", [store, other], tmp_path / "runs" / "run", **words)
    assert not (tmp_path / "runs").exists()
    (tmp_path / "runs" / "run").mkdir(parents=True)
    with pytest.raises(InputError, match=named):
        kineme.pretrain("moco", [store, other], tmp_path / "runs" / "run", **words)
    assert list((tmp_path / "runs" / "run").iterdir()) == []


def test_a_single_training_clip_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"1 clip to learn from.*two clips or more"):
        kineme.pretrain("moco", make_store(tmp_path / "one", clips=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for clips in (2, 3):  # the fewest that there can be
        few = make_store(tmp_path / f"few{clips}", clips=clips)
        settings = {n: v for n, v in SETTINGS.items() if n not in ("loop.batch", "method.queue")}
        kineme.pretrain("moco", few, tmp_path / f"run{clips}", steps=2, settings=settings)


def test_a_log_that_became_shorter_keeps_its_whole_lines(store, tmp_path, stopped):
    run, _ = stopped
    log = run / "log.jsonl"
    whole = log.read_bytes()
    for name, left in (("cut", whole[:-9]), ("gone", None), ("longer", whole + b'{"epoch": 1}\n')):
        shutil.copytree(run, tmp_path / name)
        copy = tmp_path / name / "log.jsonl"
        copy.unlink() if left is None else copy.write_bytes(left)
        kineme.pretrain("moco", store, tmp_path / name, resume=True)
        lines = [json.loads(line) for line in copy.read_bytes().splitlines()]
        assert [line["epoch"] for line in lines] == {"cut": [0, 2], "gone": [2], "longer": [0, 1, 2]}[name]


@pytest.mark.parametrize(
    "card",
    [[], 3, {}, {"method": "cmd"}, {"step": "x"}, {"step": -1}, {"step": 10**9}, {"seconds": []}, {"log_bytes": "3"}],
)
def test_a_damaged_state_is_answered_with_a_sentence(store, stopped, card):
    path = stopped[0] / "resume" / "state.safetensors"
    tensors, right = checkpoint.load(path)
    checkpoint.save(path, tensors, {**right, **card} if card and isinstance(card, dict) else card or {"x": 1})
    if card == []:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"state\.safetensors"):
        kineme.pretrain("moco", store, stopped[0], resume=True)


@pytest.mark.parametrize("change", ["another group", "another shape", "too many"])
def test_a_damaged_optimiser_is_answered_with_a_sentence(store, stopped, change):
    path = stopped[0] / "resume" / "state.safetensors"
    tensors, card = checkpoint.load(path)
    name = next(n for n in tensors if n.startswith("optimiser/") and tensors[n].dim())
    value = tensors.pop(name)
    parts = name.split("/")
    other = {"another group": ["optimiser", "x", *parts[2:]], "too many": [*parts[:2], "999", parts[3]]}
    tensors["/".join(other.get(change, parts))] = value if change in other else torch.zeros(3)
    checkpoint.save(path, tensors, card)
    with pytest.raises(InputError, match=r"state\.safetensors.*optimiser"):
        kineme.pretrain("moco", store, stopped[0], resume=True)


@pytest.mark.parametrize("name", ["method", "seed", "status", "recipe", "stores", "data"])
@pytest.mark.parametrize("value", [None, 3.5, "gone"])
def test_a_damaged_card_is_answered_with_a_sentence(store, stopped, name, value):
    card = json.loads((stopped[0] / "card.json").read_text())
    if value == "gone":
        del card[name]
    else:
        card[name] = value
    files.write_json(stopped[0] / "card.json", card)
    with pytest.raises(InputError, match=rf"card\.json.*{name}"):
        kineme.pretrain("moco", store, stopped[0], resume=True)


def test_a_card_of_something_else_is_named(store, stopped):
    for content in ('{"kind": "store"}', "[]", "{", '"run"'):
        (stopped[0] / "card.json").write_text(content)
        with pytest.raises(InputError, match=r"run\b.*(no card of a run|a 'store'|not readable as JSON)"):
            kineme.pretrain("moco", store, stopped[0], resume=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "gpu"), ["'gpu'", "cpu, cuda, cuda:0"]),
        (("--device", "cuda:99"), ["'cuda:99'", "kineme doctor", "cpu"]),
        (("--device", "CPU"), ["'CPU'"]),
        (("--seed", "99999999999999999999"), ["seed", "2**63 - 1"]),
        (("--seed=-1",), ["seed", "-1"]),
    ],
)
def test_a_device_or_seed_that_is_none_costs_one_sentence(store, tmp_path, words, said):
    # case 17-device-that-is-not-there of the public reports
    one_paragraph(cli("pretrain", "moco", store.path, "--out", tmp_path / "run", *words, check=False), *said)
    assert not (tmp_path / "run").exists()
    done = cli("reproduce", "moco_nwucla", "--raw", tmp_path, "--out", tmp_path / "out", *words, check=False)
    one_paragraph(done, *said)
    assert not (tmp_path / "out").exists()
