"""The newcomer's first five minutes, through the real command line."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.takes import frames
from helpers.training import kineme, one_paragraph, start
from PIL import Image

from kineme.apps import cli, demo
from kineme.data import store, synth
from kineme.data.prepare import prepare
from kineme.evaluation.scores import HAND_CRAFTED, TRAINED, UNTRAINED
from kineme.utils.errors import InputError

PICTURES = {"motions.png", "motions.gif", "loss.png", *(f"neighbours-{number}.png" for number in (1, 2, 3))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(what was printed, the folder) of a quick demo."""
    out = tmp_path_factory.mktemp("demo") / "out"
    return kineme("demo", "--quick", "--out", out).stdout, out


def write(folder: Path, clips: int = 12, actions=("walk", "kick", "squat"), **options) -> Path:
    return synth.write(folder, clips, actions=actions, **{"subjects": 2, "cameras": 1, **options})


def own(folder: Path, out: Path) -> dict:
    """The result of a quick demo on one's own files."""
    assert cli.main(["demo", "--quick", "--data", str(folder), "--out", str(out)]) == 0
    drawn = {path.name for path in (out / "pictures").iterdir()}
    assert PICTURES - {"neighbours-2.png", "neighbours-3.png"} <= drawn <= PICTURES  # a few clips: fewer queries
    return json.loads((out / "result.json").read_text())


def refused(*words: object) -> str:
    """What the command line says to a demo that it refuses."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert cli.main(["demo", *map(str, words)]) == 2
    assert said.getvalue().count("kineme: ") == 1
    return said.getvalue()


def test_everything_is_there(made):
    said, out = made
    result = json.loads((out / "result.json").read_text())
    assert result["finished"]
    assert result["quick"]
    assert result["store"]["hash"] == store.open(out / "store").hash
    assert json.loads((out / "runs" / "seed-0" / "card.json").read_text())["status"] == "done"
    assert {"make", "prepare", "train", "score", "draw", "total"} == result["seconds"].keys()
    assert result["seconds"]["total"] < 60
    rows = [row for row in result["rows"] if row["protocol"] in demo.PROTOCOLS]
    cells = {(row["split"], row["metric"], row["features"]): row["score"] for row in rows}
    assert cells.keys() == {
        (split, metric, who)
        for split in (demo.SAME, demo.OTHER)
        for metric in ("1-NN", "accuracy")
        for who in (TRAINED, UNTRAINED, HAND_CRAFTED)
    }
    for (split, _, who), score in cells.items():
        assert 0 <= score <= 1
        assert split in said
        assert who in said
        assert f"{score:.3f}" in said
    assert "These scores mean nothing" in said


def test_pictures_show_something(made):
    _, out = made
    assert {path.name for path in (out / "pictures").iterdir()} == PICTURES
    for path in (out / "pictures").iterdir():
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert min(pixels.shape[:2]) > 100
        assert 0.01 < (pixels < 250).any(2).mean() < 0.5, path.name
    assert Image.open(out / "pictures" / "motions.gif").n_frames > 20


def test_the_other_camera_is_really_another_one_and_the_people_are_others(made):
    data = store.open(made[1] / "store")
    split, (same, other) = demo._tests(data)
    subject, camera = data.column("subject"), data.column("camera")
    for test in (same, other):
        assert not set(subject[test.train]) & set(subject[test.test])
    assert set(camera[same.train]) == set(camera[same.test])
    assert not set(camera[other.train]) & set(camera[other.test])
    assert len(same.test) + len(other.test) == (~np.isin(subject, subject[other.train])).sum()
    card = json.loads((made[1] / "runs" / "seed-0" / "card.json").read_text())
    assert (card["split"], card["clips"]) == (split, len(other.train))


def test_the_printed_commands_work(made, tmp_path, monkeypatch):
    """As they are printed, in their order, on a folder of that name; only the training is made short."""
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for line in re.findall(r"^  (kineme .*)$", made[0], re.MULTILINE)]
    assert [words[1] for words in commands] == ["prepare", "info", "pretrain", "evaluate", "embed", "explore"]
    write(tmp_path / "my_motion")
    assert commands.pop()[2:] == [str(made[1] / "store"), "--run", str(made[1] / "runs" / "seed-0")]  # served elsewhere
    for _, *words in commands:
        assert cli.main([*words, *(["--epochs", "1"] if words[0] == "pretrain" else [])]) == 0
    assert np.load(tmp_path / "my_vectors" / "Z.npy").shape[0] == 12


@pytest.mark.parametrize("form", ["bvh", "ntu"])
def test_own_files_with_labels(form, tmp_path, capsys):
    """BVH files get the names of their folders, NTU files carry theirs."""
    if form == "ntu":
        write(tmp_path / "mine", format="ntu")
    else:
        for action in ("walk", "kick"):
            write(tmp_path / "mine" / action, 6, (action,), format="bvh")
    result = own(tmp_path / "mine", tmp_path / "out")
    assert {row["features"] for row in result["rows"]} == {TRAINED, UNTRAINED, HAND_CRAFTED}
    labels = {"bvh": {"walk", "kick"}, "ntu": {"A001", "A009", "A012"}}[form]
    assert set(store.open(tmp_path / "out" / "store").column("label")) == labels
    said = capsys.readouterr().out
    assert "12 clips" in said
    assert "skipped" not in said


def test_own_files_without_labels(tmp_path, capsys):
    result = own(write(tmp_path / "mine", 5, format="bvh"), tmp_path / "out")
    assert result["rows"] == []
    assert result["finished"]
    assert "No scores: no clip has a label" in capsys.readouterr().out


def test_a_single_recording_is_refused_in_a_sentence_and_leaves_no_folder(tmp_path):
    """A take of a detector (a folder that is one recording), its file, one BVH file, and a store of one clip."""
    take = frames(tmp_path / "take", count=8)
    bvh = next(write(tmp_path / "bvh", 1, ("walk",), format="bvh").glob("*.bvh"))
    prepare(bvh, tmp_path / "store")
    for data in (take, bvh, bvh.parent, tmp_path / "store", next(take.iterdir())):
        said = refused("--data", data, "--quick", "--out", tmp_path / "out")
        assert f"{data}: a single clip (of " in said
        assert not (tmp_path / "out").exists()


def test_takes_of_a_detector_in_one_folder(tmp_path, capsys):
    for take in ("a", "b"):
        frames(tmp_path / "takes", take, count=8)
    assert own(tmp_path / "takes", tmp_path / "out")["rows"] == []
    assert "No scores: no clip has a label" in capsys.readouterr().out


@pytest.mark.parametrize(("walks", "kicks", "scored"), [(1, 1, False), (2, 1, True), (2, 0, False)])
def test_sets_of_a_few_clips(walks, kicks, scored, tmp_path, capsys):
    for action, count in (("walk", walks), ("kick", kicks)):
        if count:
            write(tmp_path / "mine" / action, count, (action,), format="bvh")
    result = own(tmp_path / "mine", tmp_path / "out")
    said = capsys.readouterr().out
    assert bool(result["rows"]) == scored
    assert ("No scores: " in said) != scored
    commands = [line.split()[1] for line in said.splitlines() if line.startswith("  kineme ")]
    assert commands == ["info", *(["evaluate"] if scored else []), "embed", "explore"]


def test_a_mixed_folder_goes_on_with_the_largest_kind(tmp_path, capsys):
    frames(tmp_path / "mine" / "takes", "a", 8)
    for action in ("walk", "kick"):
        write(tmp_path / "mine" / action, 2, (action,), format="bvh")
    own(tmp_path / "mine", tmp_path / "out")
    said = capsys.readouterr().out
    assert "Of 2 kinds of motion this goes on with the largest, 3d; --only takes another: 2d" in said
    assert "The labels are the names of the folders" in said
    assert store.open(tmp_path / "out" / "store" / "3d").coords == 3


def test_what_is_said_of_files_means_the_same_as_for_prepare(tmp_path):
    write(tmp_path / "mine", 4, ("walk",), format="bvh")
    for k, path in enumerate(sorted((tmp_path / "mine").glob("*.bvh"))):
        path.rename(path.with_name(f"S{k}_{'ab'[k % 2]}.bvh"))
    words = [tmp_path / "mine", "--labels", "S{subject}_{label}", "--layout", "kinect20", "--only", "bvh"]
    assert cli.main(["demo", "--quick", *map(str, words), "--out", str(tmp_path / "out")]) == 0
    made = store.open(tmp_path / "out" / "store")
    assert (made.layout.name, made.column("label").tolist()) == ("kinect20", ["a", "b", "a", "b"])
    assert cli.main(["demo", "--quick", "--data", str(made.path), "--out", str(tmp_path / "again")]) == 0
    assert not (tmp_path / "again" / "store").exists()


def test_words_that_go_with_nothing(tmp_path):
    write(tmp_path / "mine", 2)
    out = ("--quick", "--out", tmp_path / "out")
    assert "--labels: no files that it could be said of" in refused("--labels", "folder", *out)
    assert "named twice" in refused(tmp_path / "mine", "--data", tmp_path / "mine", *out)
    prepare(tmp_path / "mine", tmp_path / "store")
    assert "a store, prepared already" in refused("--data", tmp_path / "store", "--layout", "pose13", *out)


def test_a_folder_that_exists_is_not_touched(tmp_path):
    _full(tmp_path / "out")
    one_paragraph(kineme("demo", "--quick", "--out", tmp_path / "out", check=False), str(tmp_path / "out"), "--out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def test_the_default_folder_makes_room_for_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in (demo.DEFAULT, f"{demo.DEFAULT}-2", f"{demo.DEFAULT}-3"):
        found = demo.free(Path(demo.DEFAULT))
        assert found.name == expected
        found.mkdir()
    with pytest.raises(InputError, match="exists already"):
        demo.free(_full(tmp_path / "elsewhere"))


def _full(folder: Path) -> Path:
    folder.mkdir()
    (folder / "file").write_text("")
    return folder


def test_bad_input(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text.txt").write_text("no motion")
    out = ("--quick", "--out", tmp_path / "out")
    assert "nowhere: no such file" in refused("--data", "nowhere", *out)
    assert "--seeds: 0 training runs" in refused("--seeds", "0", *out)
    assert "text.txt" in refused("--data", tmp_path / "notes", *out)
    assert "a single clip" in refused("--data", write(tmp_path / "mine", 1), "--quick", "--out", tmp_path / "other")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    process = start("demo", "--data", write(tmp_path / "mine"), "--out", tmp_path / "out")
    log = tmp_path / "out" / "runs" / "seed-0" / "log.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130, said + complained
    assert "Traceback" not in complained
    assert len(store.open(tmp_path / "out" / "store")) == 12
    assert (tmp_path / "out" / "pictures" / "motions.png").exists()
    assert (tmp_path / "out" / "runs" / "seed-0" / "resume").exists()
    assert not (tmp_path / "out" / "result.json").exists()  # no training is finished


def row(who: str, score: float, seed: int) -> dict:
    return {
        "protocol": "knn",
        "probe": "knn",
        "metric": "1-NN",
        "split": "xview",
        "features": who,
        "score": score,
        "seed": seed,
        "run": f"run-{seed}",
        "train": 9,
        "test": 9,
        "classes": 3,
    }


def test_it_is_said_plainly_who_won():
    def verdict(learned, random):
        scores = {TRAINED: learned, UNTRAINED: random}
        return demo._verdict([row(who, score, seed) for who, of in scores.items() for seed, score in enumerate(of)])

    assert verdict([0.8, 0.9], [0.5, 0.55]).startswith("Learning won: 1 of 1")
    assert verdict([0.6, 0.9], [0.5, 0.55]).startswith("Learning did NOT win everywhere: 0 of 1")
    assert verdict([0.4, 0.4], [0.5, 0.5]).startswith("Learning did NOT win everywhere: 0 of 1")
    assert "spread" not in verdict([0.8], [0.5])


def test_the_work_does_not_grow_with_the_clips():
    for clips in (2, 3, 50, 512, 100_000):
        said = dict(text.split("=") for text in demo._settings(clips, quick=False))
        assert 2 <= int(said["loop.batch"]) <= min(demo.BATCH, max(2, clips // 2))
        assert int(said["loop.steps"]) == demo.STEPS
