"""`kineme prepare` and `kineme info`: what they say is true, and can be followed."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from helpers.takes import frames
from helpers.training import kineme, one_paragraph

from kineme import synth
from kineme.data import store
from kineme.data.prepare import prepare
from kineme.data.store_writer import Writer
from kineme.motion import layout, normalise
from kineme.motion.motion import Motion


def next_step(text):
    """The command that a text advises."""
    (line,) = (line for line in text.splitlines() if line.startswith("Next: "))
    return shlex.split(line.partition("kineme ")[2].partition(" (")[0])


def put(folder, lengths, labels=None, **more):
    """A store of random clips of these lengths."""
    rng = np.random.default_rng(0)
    with Writer(folder, layout.layout("kinect20"), normalise={"how": "none"}) as writer:
        for k, length in enumerate(lengths):
            label = labels[k] if labels else None
            joints = rng.normal(size=(length, 1, 20, 3))
            writer.add(Motion(joints, layout.layout("kinect20"), label=label, source=f"clip{k}", **more))
    return folder


def test_four_lines_and_the_split_that_scores_need(tmp_path):
    synth.write(tmp_path / "raw", 12, subjects=3, cameras=2)
    (tmp_path / "raw" / "notes.txt").write_text("no recording")
    said = kineme("prepare", tmp_path / "raw", tmp_path / "store").stdout
    read, skipped, labels, step = said.splitlines()
    assert "12 clips" in read
    assert "ntu25 (25 joints), 3-D, unit m" in read
    assert skipped.startswith("1 skipped (skipped.jsonl): notes.txt (of no known format")
    assert labels.startswith("6 labels: jump 2, ")
    assert "splits (training + test clips): " in labels
    assert step.startswith("Next: kineme pretrain METHOD ")
    words = next_step(said)
    assert words[3] == "--split"
    assert f"{words[4]} " in labels
    args = ("--out", tmp_path / "run", "--steps", 1, "--set", "loop.batch=2", "--set", "encoder.hidden=8")
    kineme(words[0], "moco", *words[2:], *args)


def test_no_split_is_advised_where_nothing_can_be_scored(tmp_path):
    synth.write(tmp_path / "raw", 2, cameras=0, format="bvh")
    said = kineme("prepare", tmp_path / "raw", tmp_path / "store").stdout
    assert "no labels; " in said
    assert next_step(said) == ["pretrain", "METHOD", str(tmp_path / "store")]


def test_one_clip_is_prepared_but_learning_from_it_is_not_advised(tmp_path):
    synth.write(tmp_path / "raw", 1, cameras=0, format="bvh")
    said = kineme("prepare", "--data", tmp_path / "raw", tmp_path / "store").stdout
    assert "note: a single clip" in said
    assert next_step(said)[0] == "embed"
    error = kineme("pretrain", "moco", tmp_path / "store", "--out", tmp_path / "run", check=False)
    one_paragraph(error, "1 clip")
    assert not (tmp_path / "run").exists()


def test_a_split_that_leaves_one_clip_to_learn_from_is_refused(tmp_path):
    put(tmp_path / "store", [4, 4], ["a", "b"])
    error = kineme("pretrain", "moco", tmp_path / "store", "--split", "random", "--out", tmp_path / "run", check=False)
    one_paragraph(error, "1 clip")


def test_photographs_are_called_so(tmp_path):
    for k in range(3):
        frames(tmp_path / "raw" / f"take{k}", count=1)
    said = kineme("prepare", tmp_path / "raw", tmp_path / "store").stdout
    assert "note: every clip is a single frame" in said


def test_a_layout_that_leaves_less_than_half_is_said(tmp_path):
    target = layout.layout("mediapipe33")
    found = synth.write(tmp_path / "raw", 2, cameras=0, format="bvh")
    said = kineme("prepare", found, tmp_path / "store", "--layout", target.name).stdout
    assert "which leaves less than half: " in said
    assert f"of {len(target)} joints" in said
    joints = kineme("info", tmp_path / "store", "--joints").stdout
    assert "  missing: " in joints
    assert "clips" not in joints


def test_a_mixed_folder_makes_a_store_of_each_kind(tmp_path):
    synth.write(tmp_path / "raw", 2, cameras=0, format="bvh")
    frames(tmp_path / "raw" / "take")
    said = kineme("prepare", tmp_path / "raw", tmp_path / "dest").stdout
    assert f"{tmp_path / 'dest' / '3d'}: 2 clips" in said
    assert f"{tmp_path / 'dest' / '2d'}: 1 clip, " in said
    assert "2 stores" in (text := kineme("info", tmp_path / "dest", "--verify").stdout)
    assert text.count("verified") == 2
    one_paragraph(kineme("pretrain", "moco", tmp_path / "dest", check=False), "one of")
    kineme("prepare", tmp_path / "raw", tmp_path / "one", "--only", "3d")
    assert store.open(tmp_path / "one").coords == 3


def test_info_says_how_many_clips_each_side_of_a_split_has(tmp_path):
    put(tmp_path / "store", [4] * 5, ["a", "a", "b", "b", None])
    said = kineme("info", tmp_path / "store").stdout
    assert "2 labels: a 2, b 2, 1 clip without; splits (training + test clips): random " in said


def test_info_tells_the_most_frequent_note_of_the_normalisation(tmp_path):
    put(tmp_path / "store", [4] * 5)
    opened = store.open(tmp_path / "store")
    notes = ["no root", "no root", "no torso", None, None]
    with Writer(tmp_path / "noted", opened.layout, normalise={"how": "none"}) as writer:
        for i, note in enumerate(notes):
            writer.add(opened.motion(i).with_(extra={normalise.NOTE: note}))
    said = kineme("info", tmp_path / "noted").stdout
    assert "3 clips could not be normalised" in said
    assert "most often of 2: no root\n" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("prepare", "nothing is named"),
        ("prepare raw", "no store to write"),
        ("prepare --data raw", "no store to write"),
        ("prepare --data raw raw store", "named twice"),
        ("prepare raw store --labels S{subject", "no pattern"),
        ("prepare raw store --only 4d", "no kind of motion"),
    ],
)
def test_wrong_words(words, said, tmp_path):
    synth.write(tmp_path / "raw", 1, cameras=0, format="bvh")
    one_paragraph(kineme(*words.split(), cwd=tmp_path, check=False), said)


def test_a_split_that_is_only_described_is_said(tmp_path):
    made = synth.write(tmp_path / "raw", 6) / "synth.json"
    about = json.loads(made.read_text())
    about["splits"] |= {"official": "all of these are in the training part"}
    made.write_text(json.dumps(about))
    said = kineme("prepare", tmp_path / "raw", tmp_path / "store").stdout
    words = "all of these are in the training part"
    assert f"note: split official is described in words only, and so is none here: {words}\n" in said
    assert "official" not in said.partition("splits (")[2]


@pytest.mark.parametrize(
    ("labels", "split", "step"), [("ab", "random", "evaluate"), ("ab", "", "embed"), ("", "", "embed")]
)
def test_what_follows_training_can_be_done(labels, split, step, tmp_path):
    place = put(tmp_path / "store", [8] * 8, [labels[k % 2] for k in range(8)] if labels else None)
    small = ("--steps", 1, "--set", "loop.batch=2", "--set", "encoder.hidden=8", "--out", tmp_path / "run")
    said = kineme("pretrain", "moco", place, *small, *(["--split", split] if split else [])).stdout
    (line,) = (line for line in said.splitlines() if "Next: " in line)
    assert f"Next: kineme {step} " in line
    assert ("train with a split, such as --split random" in line) == (bool(labels) and not split)


def test_embed_takes_the_words_of_prepare(tmp_path):
    place = put(tmp_path / "store", [8] * 8)
    run = tmp_path / "run"
    kineme("pretrain", "moco", place, "--steps", 1, "--set", "loop.batch=2", "--set", "encoder.hidden=8", "--out", run)
    synth.write(tmp_path / "raw", 2, cameras=0, format="bvh")
    for k, path in enumerate(sorted((tmp_path / "raw").glob("*.bvh"))):
        path.rename(path.with_name(f"S{k}_wave.bvh"))
    frames(tmp_path / "raw" / "take")
    words = ("--labels", "S{subject}_{label}", "--only", "bvh", "--layout", "kinect20")
    said = kineme("embed", run, "--data", tmp_path / "raw", "--out", tmp_path / "vectors", *words).stdout
    assert "subject 1, label wave" in said
    made = store.open(tmp_path / "vectors" / "store")
    assert (made.column("label").tolist(), made.column("subject").tolist()) == (["wave"] * 2, [0, 1])
    for faulty, fault in (("--layout pose13", "takes kinect20"), ("--labels folder", "prepared already")):
        files = place if "labels" in faulty else tmp_path / "raw"
        done = kineme("embed", run, files, "--out", tmp_path / "refused", *faulty.split(), check=False)
        one_paragraph(done, fault)
        assert not (tmp_path / "refused").exists()


def test_a_store_is_no_motion_to_prepare(tmp_path):
    prepare(synth.write(tmp_path / "raw", 2), tmp_path / "store")
    one_paragraph(kineme("prepare", tmp_path / "store", tmp_path / "again", check=False), "prepared already")
