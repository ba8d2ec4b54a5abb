"""One command from raw files to figures: complete, resumable at every stage, and strict about what it finds."""

from __future__ import annotations

import json
import signal
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training import start
from safetensors.torch import load_file

import kineme
from kineme.apps.cli import main
from kineme.data import synth
from kineme.evaluation import reproduce
from kineme.training import recipe
from kineme.utils.errors import InputError

TINY = [
    "encoder.hidden=8", "encoder.layers=1", "method.views.frames=8", "method.queue=24", "method.recent=16",
    "method.prototypes=4", "method.top=12", "loop.batch=8", "loop.epochs=16", "loop.save_seconds=0",
    "reproduce.init_epochs=6",
]  # fmt: skip
HICO = [
    "encoder.hidden=8", "encoder.granularities=2", "encoder.frames=8", "method.views.frames=8", "method.queue=24",
    "loop.batch=8", "loop.epochs=8", "loop.save_seconds=0",
]  # fmt: skip
PROBE = ["linear.epochs=3"]
WHOLE = {name: path for name, path in recipe.known().items() if "reproduce" in tomllib.loads(path.read_text())}
PUBLISHED = [path for name, path in WHOLE.items() if not name.endswith("_nwucla")]  # nothing is published for that set


@pytest.fixture(autouse=True)
def one_thread():
    """As the processes that are started and killed: sums over two threads end in other digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """36 NTU files: six subjects (3 and 6 test), one action of two bodies, one file listed as without skeleton; and one
    of the second edition, which is no part of NTU-60.
    """
    folder = tmp_path_factory.mktemp("ntu") / "nturgb+d_skeletons"
    synth.write(folder, 36, format="ntu", actions=["walk", "kick", "shake_hands"], subjects=6, cameras=2)
    names = sorted(path.stem for path in folder.glob("*.skeleton"))
    assert len(names) == 36
    (folder / "S018C001P001R001A061.skeleton").write_bytes((folder / f"{names[1]}.skeleton").read_bytes())
    (folder / "NTU_RGBD_samples_with_missing_skeletons.txt").write_text(names[0] + "\n")
    return folder


def words(name, raw, out, *more: str) -> list[str]:
    given = ["reproduce", name, "--raw", str(raw), "--out", str(out), "--device", "cpu", "--jobs", "1"]
    return given + [word for text in more for word in ("--set", text)]


def figures(out, name) -> dict:
    found = json.loads((out / f"{name}-s0.json").read_text())
    return {row["figure"]: (row["ours"], row["untrained"], row["published"]) for row in found["figures"]}


def killed(command, moment) -> None:
    """Start a process, wait for the moment, kill it."""
    process = start(*command)
    begin = time.monotonic()
    while not moment() and process.poll() is None and time.monotonic() - begin < 60:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, out + err


@pytest.mark.slow
def test_from_raw_files_to_the_figures_killed_between_the_trainings_and_in_the_last(raw, tmp_path, capsys):
    name = "halp_ntu60_xsub"
    assert main(words(name, raw, tmp_path / "whole", *TINY, *PROBE)) == 0
    said = capsys.readouterr()
    for word in ("Stage 1 of 4", "Stage 4 of 4", "moco_ntu60_xsub, 6 epochs", "halp_ntu60_xsub, 16 epochs"):
        assert word in said.err
    for word in ("79.7", "untrained", "23 training clips, 12 test clips", "40091", "loop.epochs=16"):
        assert word in said.out
    whole = figures(tmp_path / "whole", name)
    assert whole["linear accuracy"][2] == whole["linear accuracy at the best test epoch"][2] == 79.7
    assert whole["knn 1-NN"][2] == 65.8
    assert all(0 <= one <= 100 for ours, random, _ in whole.values() for one in (ours, random))
    begun = json.loads((tmp_path / "whole" / f"{name}-s0" / "card.json").read_text())["init"]
    assert begun["epochs"] == 6
    log = (tmp_path / "whole" / f"{name}-s0" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["epoch"] == 15
    assert json.loads(log[-1])["kept"] > 0  # the queue came full from the MoCo stage: HaLP hallucinates at once

    cut = tmp_path / "cut"
    first, last = cut / "moco_ntu60_xsub-e6-s0", cut / f"{name}-s0"
    command = words(name, raw, cut, *TINY, *PROBE)
    killed(command, lambda: (first / "card.json").exists() and '"done"' in (first / "card.json").read_text())
    assert not (cut / f"{name}-s0.json").exists()
    killed(command, lambda: (last / "resume" / "state.safetensors").exists())
    assert not (cut / f"{name}-s0.json").exists()
    assert main(command) == 0
    assert figures(cut, name) == whole
    one, other = (load_file(folder / f"{name}-s0" / "model.safetensors") for folder in (tmp_path / "whole", cut))
    ways = {json.loads((each / first.name / "card.json").read_text())["matmul"] for each in (tmp_path / "whole", cut)}
    ways |= {json.loads((each / last.name / "card.json").read_text())["matmul"] for each in (tmp_path / "whole", cut)}
    for key in one:  # bit for bit, but where processes on a busy machine chose different products
        torch.testing.assert_close(one[key], other[key], atol=1e-4 if len(ways) > 1 else 0, rtol=0)

    before = {path: path.stat().st_mtime_ns for path in cut.rglob("*") if path.is_file()}
    assert main(command) == 0  # everything is there: nothing is made anew
    assert {path: path.stat().st_mtime_ns for path in cut.rglob("*") if path.is_file()} == before


def test_stages_are_shared_and_what_does_not_fit_is_refused(raw, tmp_path, capsys):
    few = [*TINY, "loop.epochs=3", "reproduce.init_epochs=1", "linear.probe=logistic"]
    assert main(words("halp_ntu60_xsub", raw, tmp_path, *few)) == 0
    store, begun = kineme.open(tmp_path / "ntu"), tmp_path / "moco_ntu60_xsub-e1-s0" / "model.safetensors"
    assert len(store) == 36
    assert store.persons == 2
    changed = begun.stat().st_mtime_ns
    cases = {
        "another setting": ([*few, "loop.lr=0.5"], ["loop.lr 0.01 instead of 0.5", "--out"]),
        "a typing error": ([*few, "method.temprature=1"], ["temperature"]),
        "no such table": ([*few, "liner.epochs=1"], ["linear"]),
        "nothing left to train": ([*TINY, "loop.epochs=6"], ["6", "epochs"]),
    }
    for case, (settings, wanted) in cases.items():
        capsys.readouterr()
        assert main(words("halp_ntu60_xsub", raw, tmp_path, *settings)) == 2, case
        error = capsys.readouterr().err
        assert all(word in error for word in wanted), error
    figures_of = {"linear.C=1": None, "linear.C=0.001": None}
    for probe in figures_of:  # other probes of the same weights
        assert main(words("halp_ntu60_xsub", raw, tmp_path, *few, probe)) == 0
        figures_of[probe] = json.loads((tmp_path / "halp_ntu60_xsub-s0.json").read_text())["asked"]["probes"]["linear"]
    assert [one["C"] for one in figures_of.values()] == [1, 0.001]
    assert begun.stat().st_mtime_ns == changed
    (raw / "S001C001P001R009A001.skeleton").write_bytes((raw / "S001C002P001R001A001.skeleton").read_bytes())
    try:
        assert main(words("halp_ntu60_xsub", raw, tmp_path, *few)) == 2
        assert "other files" in capsys.readouterr().err
    finally:
        (raw / "S001C001P001R009A001.skeleton").unlink()


def test_three_streams_and_the_public_word(raw, tmp_path):
    few = [*TINY, "loop.epochs=2", "reproduce.init_epochs=1", "fusion.probe=logistic"]
    made = kineme.reproduce("halp_cmd_ntu60_xview", raw, tmp_path, settings=few, seed=3, device="cpu")
    named = {row["figure"]: row for row in made["figures"]}
    assert {"fusion joint accuracy", "fusion fused accuracy", "fusion bone 1-NN", "fusion fused 1-NN"} <= set(named)
    assert named["fusion joint accuracy"]["published"] == 88.6
    assert named["fusion fused accuracy"]["published"] is None
    assert (tmp_path / "cmd_ntu60_xview-e1-s3").is_dir()
    assert [run["epochs"] for run in made["runs"]] == [1, 2]
    model = kineme.load(tmp_path / "halp_cmd_ntu60_xview-s3")
    assert list(model.streams) == ["joint", "motion", "bone"]
    assert np.isfinite(model.embed(kineme.open(tmp_path / "ntu"))).all()


@pytest.mark.slow
def test_hico_from_raw_files_to_the_figures_killed_in_the_training(raw, tmp_path, capsys):
    name, out, cut = "hico_gru_ntu60_xsub", tmp_path / "whole", tmp_path / "cut"
    assert main(words(name, raw, out, *HICO, *PROBE)) == 0
    said = capsys.readouterr()
    for word in ("Stage 1 of 3", f"{name}, 8 epochs", "Stage 3 of 3: knn, linear on xsub60"):
        assert word in said.err
    for word in ("80.6", "untrained", "23 training clips, 12 test clips", "encoder.granularities=2"):
        assert word in said.out
    whole = figures(out, name)
    assert whole["linear accuracy"][2] == whole["linear accuracy at the best test epoch"][2] == 80.6
    assert whole["linear accuracy"][0] <= whole["linear accuracy at the best test epoch"][0]
    assert all(0 <= one <= 100 for ours, random, _ in whole.values() for one in (ours, random))
    recorded = json.loads((out / f"{name}-s0" / "card.json").read_text())["recipe"]
    assert (recorded["encoder"]["mask_absent"], recorded["method"]["faithful"]) == (False, True)

    command = words(name, raw, cut, *HICO, *PROBE)
    killed(command, lambda: (cut / f"{name}-s0" / "resume" / "state.safetensors").exists())
    assert not (cut / f"{name}-s0.json").exists()
    assert main(command) == 0
    assert figures(cut, name) == whole
    one, other = (load_file(folder / f"{name}-s0" / "model.safetensors") for folder in (out, cut))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("name", "store", "recording", "beside", "labels", "frames", "few", "setting"),
    [
        ("halp_pku2_xsub", "pku2", "A{0:02d}N{1:02d}-{2}", "cross_subject_v2.txt", "label", 19,
         [*TINY, "reproduce.init_epochs=1"], ("mu", 1)),  # cut as the released code cuts: a frame is lost
        ("hico_transformer_pku1", "pku1", "0{0}{1:02d}-{2}", "cross-subject.txt", "Train_Label_PKU_final", 20,
         HICO, ("temperature", 0.2)),
    ],
    ids=["part two", "part one"],
)  # fmt: skip
def test_pku_mmd(name, store, recording, beside, labels, frames, few, setting, tmp_path, capsys):
    """Names, label files and split list of either part; labels in an unknown folder are named."""
    raw, rng = tmp_path / "raw", np.random.default_rng(0)
    for folder in ("skeletons", labels):
        (raw / folder).mkdir(parents=True)
    names = {  # of each person
        person: [recording.format(action, person, camera) for action in (1, 2) for camera in "LR"] for person in (1, 2)
    }
    for video in (video for videos in names.values() for video in videos):
        joints = rng.normal(size=(1, 150)) + 0.1 * rng.normal(size=(60, 150)).cumsum(0)
        np.savetxt(raw / "skeletons" / f"{video}.txt", joints, fmt="%.4f")
        (raw / labels / f"{video}.txt").write_text("3,1,20,2\n7,21,40,2\n9,41,60,1\n")
    lists = [", ".join(videos) for videos in names.values()]
    (raw / beside).write_text("Training videos:\n{}\nValidation videos:\n{}\n".format(*lists))
    command = words(name, raw, tmp_path / "out", *few, "loop.batch=4", "loop.epochs=2", *PROBE)
    assert main([*command, *(["--labels", str(raw / labels)] if labels == "label" else [])]) == 0
    said, plan = capsys.readouterr().out, reproduce.read(name, tmp_path, 0)
    assert str(plan.published["linear accuracy"]) in said
    assert "12 training clips, 12 test clips" in said
    data = kineme.open(tmp_path / "out" / store)
    assert set(data.column("label")) == {"A003", "A007", "A009"}
    assert set(data.lengths) == {frames}
    recorded = json.loads((tmp_path / "out" / f"{name}-s0" / "card.json").read_text())
    assert recorded["split"] == "xsub"
    assert recorded["recipe"]["method"][setting[0]] == setting[1]


def test_ctrl_c_says_how_to_go_on(raw, tmp_path):
    command = words("moco_ntu60_xsub", raw, tmp_path, *TINY[:4], "loop.batch=8", "loop.epochs=100000")
    process = start(*command)
    log = tmp_path / "moco_ntu60_xsub-s0" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"kineme reproduce moco_ntu60_xsub --raw {raw}" in err.replace("'", "")
    assert "--set loop.epochs=100000" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", WHOLE)
def test_the_stages_of_a_recipe_fit_together(name, tmp_path):
    """One encoder, one schedule, epochs that go on counting, one meaning of every setting."""
    plan = reproduce.read(name, tmp_path, seed=1)
    last = plan.stages[-1]
    assert last.run == tmp_path / f"{name}-s1"
    assert set(plan.probes) == set(plan.settings.protocols)
    if plan.settings.init:
        first = plan.stages[0]
        assert first.chosen.loop == recipe.replace(last.chosen.loop, epochs=plan.settings.init_epochs)
        assert first.chosen.encoder == last.chosen.encoder
        assert first.chosen.loop.epochs < last.chosen.loop.epochs
        assert last.init == first.run
        shared = first.chosen.method.keys() & last.chosen.method.keys()
        assert all(first.chosen.method[word] == last.chosen.method[word] for word in shared)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_every_published_recipe_is_explicit(path, tmp_path):
    """Published figures have a source and a protocol, and no setting is left to a default."""
    plan = reproduce.read(path.stem, tmp_path, seed=1)
    last = plan.stages[-1]
    assert plan.source
    assert all(
        name.partition(" ")[0] in plan.settings.protocols and 0 < value < 100 for name, value in plan.published.items()
    )
    whole = tomllib.loads(path.read_text())
    assert set(whole["loop"]) >= {"epochs", "batch", "optimiser", "lr", "schedule", "milestones"}
    open_ended = {"views", "faithful"}
    named = set(whole["method"]) - {"name"}
    assert named | open_ended >= {word for word in last.chosen.method if word not in cmd_only(last.chosen.method)}
    if last.chosen.encoder_name == "hierarchical":
        without = {"persons"} | ({"heads", "dropout"} if last.chosen.encoder["cell"] != "transformer" else set())
        assert set(whole["encoder"]) - {"name"} == set(last.chosen.encoder) - without


def cmd_only(method: dict) -> set[str]:
    """Settings that mean nothing here: those of CMD for one stream, the stream for three."""
    one = "stream" in method and not method.get("cmd")
    return {"cmd", "top", "teacher", "student", "weight"} if one else {"stream"}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_the_page_shows_the_published_figures_of_the_recipe(path):
    page = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{path.stem}` |"))
    cells = {cell.strip() for cell in row.split("|")}
    plan = reproduce.read(path.stem, Path("out"), 0)
    numbers = {cell for cell in cells if cell.replace(".", "").isdigit()}
    assert numbers == {str(value) for value in plan.published.values()}
    assert (plan.settings.init or "-") in {cell.strip("`") for cell in cells}


def test_recipes_that_cannot_be_reproduced(tmp_path):
    plain = tmp_path / "plain.toml"
    plain.write_text('[method]\nname = "moco"\n')
    with pytest.raises(InputError, match=r"\[reproduce\]"):
        reproduce.read(str(plain), tmp_path, 0)
    with pytest.raises(InputError, match="Did you mean"):
        reproduce.read("halp_ntu60_xsubb", tmp_path, 0)
    mine = tmp_path / "mine.toml"
    mine.write_text('[method]\nname = "moco"\n[reproduce]\nstore = "ntu"\nsplit = "xsub60"\ncolour = 3\n')
    with pytest.raises(InputError, match=r"reproduce\.colour"):
        reproduce.read(str(mine), tmp_path, 0)
    mine.write_text('[method]\nname = "moco"\n[reproduce]\nstore = "../ntu"\nsplit = "xsub60"\n')
    with pytest.raises(InputError, match=r"reproduce\.store"):
        reproduce.read(str(mine), tmp_path, 0)


def test_a_recipe_says_where_its_store_lies_and_how_it_is_normalised(tmp_path, monkeypatch):
    """Whatever the data set: nothing about it stands in code."""
    toy = tmp_path / "toy.toml"
    toy.write_text('[method]\nname = "moco"\n[reproduce]\nstore = "toys"\nnormalise = "general"\nsplit = "xsub"\n')
    plan = reproduce.read(str(toy), tmp_path, 0)
    asked = {}
    monkeypatch.setattr(reproduce.prepare, "prepare", lambda raw, folder, **how: asked.update(how, folder=folder))
    with pytest.raises(InputError, match="a NoneType"):  # the stand-in is no store: preparing is as far as this goes
        reproduce.reproduce(str(toy), tmp_path / "raw", tmp_path / "out")
    assert (asked["folder"], asked["normalise"]) == (tmp_path / "out" / "toys", "general")
    assert plan.settings.normalise == "general"


def test_recipes_of_one_data_set_share_its_store():
    stores = {name: reproduce.read(name, Path("out"), 0).settings for name in WHOLE}
    assert {how.store for how in stores.values()} == {"ntu", "pku1", "pku2", "nw_ucla"}
    assert all(len({how.normalise for how in stores.values() if how.store == name}) == 1 for name in ("ntu", "nw_ucla"))
    assert {how.normalise for name, how in stores.items() if "ntu" in name or "pku" in name} == {"ntu"}


def test_published_recipes_leave_bodies_where_the_file_has_them(tmp_path, monkeypatch):
    """Those of NTU RGB+D take inferred joints for seen ones as well, as the published preprocessing does."""
    for path in PUBLISHED:
        how = tomllib.loads(path.read_text(encoding="utf-8"))["reproduce"]
        assert how.get("faithful") or how["store"] != "ntu", path
    asked = {}

    def prepared(raw, folder, **options):
        asked.update(options)
        raise InputError("raw", "enough")

    monkeypatch.setattr(reproduce.prepare, "prepare", prepared)
    with pytest.raises(InputError, match="enough"):
        reproduce.reproduce("hico_gru_pku1", tmp_path, tmp_path / "out")
    assert asked["reading"] == {"people": "listed"}
