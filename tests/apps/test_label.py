"""``kineme label`` and ``kineme predict`` from a table of labels to classes of files, and what either refuses."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from helpers.training import TINY, make_store
from helpers.training import kineme as command

import kineme
from kineme.apps.cli import main
from kineme.inference.recogniser import Recogniser
from kineme.motion.motion import Motion

ACTIONS = ["walk", "kick", "squat"]
STRANGER = "clap"
pytestmark = pytest.mark.filterwarnings("ignore:.*mapped to the run's")


def motions(actions, clips, subjects, seed):
    return list(
        kineme.synth.generate(clips, actions=actions, subjects=subjects, cameras=1, seed=seed, layout="kinect20")
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = motions([*ACTIONS, STRANGER], 96, 4, 3)
    return kineme.store(made, tmp_path_factory.mktemp("label") / "store")


@pytest.fixture(scope="module")
def table(store, tmp_path_factory):
    """Five clips of each action have a label, the others none."""
    path = tmp_path_factory.mktemp("label") / "labels.csv"
    left = dict.fromkeys(ACTIONS, 5)
    rows = ["id,label"]
    for name, label in zip(store.ids, store.column("label").tolist()):
        left[label] = left.get(label, 0) - 1
        rows.append(f"{name},{label if left[label] >= 0 else ''}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def recogniser(store, table, tmp_path_factory):
    out = tmp_path_factory.mktemp("label") / "recogniser"
    assert main(["label", "base", str(store.path), str(table), "--out", str(out)]) == 0
    return out


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys, *words):
    """The command is refused in one paragraph, which is returned."""
    assert main([str(word) for word in words]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kineme: ")]
    said = [line for line in said if not line.startswith("kineme: note: ")]
    assert len(said) == 1
    return said[0]


def test_label_says_how_good_it_is_beside_what(store, table, tmp_path, capsys):
    assert main(["label", "base", str(store.path), str(table), "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert "15 examples of 3 classes, 5 of each: kick, squat, walk" in said
    assert "right of 15 examples held out, each learned from other people" in said
    for word in ("trained", "hand-crafted (", "majority class", "unknown: below a confidence of", "kineme predict"):
        assert word in said
    card = json.loads((tmp_path / "new" / "card.json").read_text())
    scores = {row["features"]: row["score"] for row in card["scores"]}
    assert scores["trained"] >= 0.8
    assert scores["majority class"] == pytest.approx(1 / 3)
    assert all(row["low"] <= row["score"] <= row["high"] for row in card["scores"])


def test_predict_knows_other_people_and_doubts_other_actions(recogniser, tmp_path):
    made = motions([*ACTIONS, STRANGER], 64, 4, 77)
    other = kineme.store(made, tmp_path / "other")
    words = ["predict", recogniser, other.path, "--csv", tmp_path / "out.csv", "--window", 60]
    assert main([str(word) for word in words]) == 0
    rows = rows_of(tmp_path / "out.csv")
    assert [row["clip"] for row in rows] == other.ids
    truth = other.column("label")
    known = truth != STRANGER
    answers = np.array([row["nearest"] for row in rows])
    assert (answers[known] == truth[known]).mean() > 0.9
    sure = np.array([float(row["confidence"]) for row in rows])
    assert np.median(sure[known]) > np.median(sure[~known]) + 0.2
    unknown = np.array([row["class"] == "unknown" for row in rows])
    assert unknown[~known].mean() > 0.5 > unknown[known].mean()


def test_files_a_folder_and_a_long_recording(recogniser, tmp_path, capsys):
    """What was taught on 20 joints of a sensor answers about BVH; a long take is cut into windows."""
    folder = kineme.synth.write(tmp_path / "bvh", 3, format="bvh", actions=["walk"], cameras=0, seed=5)
    first = sorted(folder.glob("*.bvh"))[0]
    clips = [clip for action in ("squat", "kick") for clip in motions([action], 3, 3, 8)]
    cut = [clip.slice(0, 60).joints for clip in clips]  # two seconds each
    long = Motion(np.concatenate(cut), clips[0].layout, fps=30, up="+y", unit="m", source="long")
    kineme.store([long], tmp_path / "long", normalise="none")
    out = tmp_path / "o.csv"
    words = [recogniser, folder, first, tmp_path / "long", "--csv", out, "--window", 2, "--step", 1]
    assert main(["predict", *map(str, words)]) == 0
    said = capsys.readouterr().out
    rows = rows_of(out)
    assert [row["file"] for row in rows[:4]] == [*map(str, sorted(folder.glob("*.bvh"))), str(first)]
    assert {row["nearest"] for row in rows[:4]} == {"walk"}
    windows = rows[4:]
    assert [(row["start"], row["end"], row["unit"]) for row in windows] == [
        (f"{k}", f"{k + 2}", "s") for k in range(11)
    ]
    assert [row["nearest"] for row in windows[::2]] == ["squat"] * 3 + ["kick"] * 3
    assert "long: 12.0 s, 11 windows\n     0.0 to " in said


def test_windows_are_as_long_as_the_examples(recogniser, store):
    """A recording longer than all of them is cut, none of them is."""
    opened = Recogniser.open(recogniser)
    usual, longest = opened.card["window"], opened.card["longest"]
    assert usual["seconds"] == pytest.approx(usual["frames"] / 30, abs=1 / 30)
    assert usual["frames"] < longest["frames"]
    (clip,) = motions(["walk"], 1, 1, 4)
    long = clip.with_(joints=np.tile(clip.joints, (4, 1, 1, 1)), confidence=np.tile(clip.confidence, (4, 1, 1)))
    answers = opened.predict(long)
    assert not any(each.whole for each in answers)
    assert answers[0].end == pytest.approx(usual["frames"] / 30, abs=1 / 30)
    assert answers[-1].end == pytest.approx(len(long) / 30)
    assert answers[1].start == pytest.approx(answers[0].end / 2, abs=1 / 30)
    assert [each.whole for each in opened.predict(long.slice(0, longest["frames"]))] == [True]


def test_the_threshold_decides_what_is_unknown(recogniser, store, capsys):
    assert main(["predict", str(recogniser), str(store.path), "--threshold", "0"]) == 0
    assert "0 of them unknown" in capsys.readouterr().out
    assert main(["predict", str(recogniser), str(store.path), "--threshold", "1"]) == 0
    said = capsys.readouterr().out
    assert "and 46 more; --csv OUT writes all" in said
    assert "96 clips and windows, 96 of them unknown: confidence below 1.00" in said
    assert "unknown 0." in said
    assert "(nearest: " in said


def test_a_recogniser_works_where_it_is_taken(recogniser, store, tmp_path):
    """Its run is gone, its folder has moved; nothing is written into it."""
    run = tmp_path / "run"
    swing = make_store(tmp_path / "swing")
    command("pretrain", "moco", swing.path, "--out", run, "--epochs", 1, *TINY)
    made = Recogniser.teach(run, swing, swing.column("label"))
    before = made.predict(swing)
    made.save(tmp_path / "here")
    shutil.rmtree(run)
    (tmp_path / "here").rename(tmp_path / "there")
    files = sorted(path.name for path in (tmp_path / "there").rglob("*"))
    opened = Recogniser.open(tmp_path / "there")
    after = opened.predict(swing)
    assert [each.nearest for each in after] == [each.nearest for each in before]
    np.testing.assert_allclose([e.confidence for e in after], [e.confidence for e in before], atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "there").rglob("*")) == files


def test_frames_of_a_long_clip_can_be_taught(store, tmp_path):
    """Examples cut out of recordings; windows are as long as these."""
    rows = ["id,start,end,label"]
    for label in ("walk", "kick"):
        mine = [i for i in np.flatnonzero(store.column("label") == label).tolist() if store.lengths[i] >= 30][:4]
        rows += [f"{store.ids[i]},2,22,{label}" for i in mine]
    (tmp_path / "cut.csv").write_text("\n".join(rows) + "\n")
    made = Recogniser.teach("base", store, tmp_path / "cut.csv")
    assert made.card["window"] == {"frames": 20, "seconds": pytest.approx(20 / 30)}
    walk = store[int(np.flatnonzero(store.column("label") == "walk")[-1])]
    answers = made.predict(walk.slice(0, 32))
    assert [each.end - each.start for each in answers] == [pytest.approx(20 / 30)] * 3
    assert {each.nearest for each in answers} == {"walk"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("id,label\n", "no label in it"),
        ("id,label\nnobody,walk\n", "line 2: no clip is called 'nobody'"),
        ("id,label\n{0},walk\n{1},walk\n", "one class, 'walk'. Expected at least two classes"),
        ("id,label\n{0},walk\n{1},walk\n{2},sit\n", "1 example of 'sit'. Expected at least 2 of each"),
    ],
)
def test_labels_that_do_not_suffice(store, tmp_path, capsys, text, said):
    path = tmp_path / "labels.csv"
    path.write_text(text.format(*store.ids))
    assert said in refused(capsys, "label", "base", store.path, path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_else_label_refuses(store, table, recogniser, tmp_path, capsys):
    out = tmp_path / "out"
    assert "no such file" in refused(capsys, "label", "base", store.path, tmp_path / "no.csv", "--out", out).lower()
    assert "a number from 0" in refused(capsys, "label", "base", store.path, table, "--out", out, "--threshold", "2")
    assert "the folder exists" in refused(capsys, "label", "base", store.path, table, "--out", recogniser)
    assert "no such folder" in refused(capsys, "label", "base", tmp_path / "none", table, "--out", out)


@pytest.fixture
def copy(recogniser, tmp_path):
    return shutil.copytree(recogniser, tmp_path / "copy")


def changed(path, **values):
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps({**card, **values}))


def test_a_recogniser_of_another_version_or_damaged(copy, store, capsys):
    def said(*words):
        return refused(capsys, "predict", copy, store.path, *words)

    whole = (copy / "card.json").read_text()
    changed(copy, format=9)
    assert "format 9 of another version. Expected format 1" in said()
    for entry in ("threshold", "classes", "confidence", "window", "files", "encoder"):
        changed(copy, format=1, **{entry: "x"})
        assert f"card.json, {entry}" in said()
        (copy / "card.json").write_text(whole)
    changed(copy, kind="store")
    assert "a 'store'. Expected a recogniser" in said()
    (copy / "card.json").write_text("[1]")
    assert "Expected a recogniser" in said()
    (copy / "card.json").write_text(whole)
    arrays = (copy / "classifier.safetensors").read_bytes()
    (copy / "classifier.safetensors").write_bytes(arrays[:-1] + bytes([arrays[-1] ^ 1]))
    assert "classifier.safetensors: bytes have changed" in said()
    (copy / "classifier.safetensors").write_bytes(arrays)
    (copy / "encoder" / "model.safetensors").unlink()
    assert "model.safetensors: no such file" in said()
    (copy / "card.json").unlink()
    assert "no such file. Expected a recogniser" in said()


def test_arrays_of_another_recogniser(copy, tmp_path, capsys, store):
    """Card and hash agree, the arrays do not belong to these classes."""
    from kineme.utils import files

    card = json.loads((copy / "card.json").read_text())
    changed(copy, classes=[*card["classes"], "more"])
    assert "arrays of other shapes" in refused(capsys, "predict", copy, store.path)
    changed(copy, files={**card["files"], "../../secret": files.sha256(b"")})
    assert "card.json, files" in refused(capsys, "predict", copy, store.path)


def test_files_that_are_no_motion(recogniser, store, tmp_path, capsys):
    text = tmp_path / "notes.txt"
    text.write_text("nothing moves here")
    assert "of no known format" in refused(capsys, "predict", recogniser, text)
    assert "no such file or folder" in refused(capsys, "predict", recogniser, tmp_path / "none.bvh")
    (tmp_path / "empty").mkdir()
    assert "no file of motion in it" in refused(capsys, "predict", recogniser, tmp_path / "empty")
    for word, value in (("--threshold", "-1"), ("--window", "0"), ("--step", "-2")):
        assert word in refused(capsys, "predict", recogniser, store.path, word, value)
    folder = kineme.synth.write(tmp_path / "bvh", 1, format="bvh", cameras=0)
    assert main(["predict", str(recogniser), str(folder), str(text)]) == 0
    found = capsys.readouterr()
    assert "left out: " in found.err
    assert "notes.txt" in found.err
    assert "1 clips and windows" in found.out


def test_seconds_for_a_motion_without_a_frame_rate(recogniser, store):
    still = store[0].with_(fps=None)
    opened = Recogniser.open(recogniser)
    with pytest.raises(kineme.InputError, match="has no frame rate"):
        opened.predict(still, window=2)
    answer = opened.predict(still)[0]
    assert (answer.unit, answer.start, answer.end) == ("frames", 0, len(still))


def test_nobody_is_unknown(recogniser, store):
    opened = Recogniser.open(recogniser)
    empty = store[0].with_(confidence=np.zeros_like(store[0].confidence))
    answer, other = opened.predict([empty, store[0]], threshold=0.0)
    assert (answer.confidence, answer.nearest) == (0.0, "")
    assert other.nearest in opened.classes


def test_labels_in_memory(store):
    with pytest.raises(kineme.InputError, match="2 of them"):
        Recogniser.teach("base", store, ["walk", "kick"])
    labels = [label if label in ACTIONS and i < 60 else None for i, label in enumerate(store.column("label").tolist())]
    made = Recogniser.teach("base", store, labels, threshold=0.25)
    assert made.classes == sorted(ACTIONS)
    assert made.threshold == 0.25
    assert made.held_out(0.0)["kept"] == 1
    assert made.held_out(1.0)["turned_away"] == 1
