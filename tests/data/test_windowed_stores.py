"""Long takes cut into windows: where they lie, what they inherit, and that splits keep a recording together."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.training import kineme as command
from helpers.training import one_paragraph
from hypothesis import given, settings
from hypothesis import strategies as st

import kineme
from kineme import synth
from kineme.data import splits, store
from kineme.data.prepare import prepare, report
from kineme.data.store_writer import Writer, join
from kineme.evaluation import leaks
from kineme.io import arrays
from kineme.motion.layout import layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

BODY = layout("kinect20")


def take(seconds: float, name: str, fps: float | None = 10.0, **more) -> Motion:
    """A recording in which joint 5 says the frame."""
    frames = round(seconds * (fps or 10))
    joints = np.random.default_rng(list(name.encode())).normal(size=(1, 1, 20, 3)) + np.zeros((frames, 1, 1, 1))
    joints[:, 0, 5, 0] = np.arange(frames)
    return Motion(joints, BODY, fps=fps, unit="m", source=name, **more)


def windowed(tmp_path, takes, name="store", **how):
    arrays.write(tmp_path / f"{name}.raw", takes)
    return prepare(tmp_path / f"{name}.raw", tmp_path / name, normalise="none", **how)


def test_windows_lie_where_they_say_and_the_last_ends_with_the_recording(tmp_path):
    takes = [take(5.5, "long", label="walk", subject=3), take(1.5, "short", label="sit", subject=4)]
    made = windowed(tmp_path, takes, window=2, step=1)
    long, short = (next(id for id in made.column("recording").tolist() if word in id) for word in ("long", "short"))
    spans = [(0, 20), (10, 30), (20, 40), (30, 50), (35, 55)]
    assert made.ids == [*(f"{long}:{a}-{b}" for a, b in spans), short]
    assert list(zip(made.column("start").tolist(), made.column("end").tolist())) == [*spans, (0, 15)]
    assert made.column("window").tolist() == [0, 1, 2, 3, 4, 0]
    assert made.column("label").tolist() == ["walk"] * 5 + ["sit"]
    assert made.column("subject").tolist() == [3] * 5 + [4]
    for clip, (start, end) in zip(made, [*spans, (0, 15)]):
        assert clip.joints[:, 0, 5, 0].tolist() == list(range(start, end))


def test_a_step_is_half_a_window_unless_it_is_said(tmp_path):
    assert windowed(tmp_path, [take(4, "a")], window=2).column("start").tolist() == [0, 10, 20]


def test_every_window_is_normalised_by_itself(tmp_path):
    arrays.write(tmp_path / "raw", list(synth.generate(2, cameras=0)))
    made = prepare(tmp_path / "raw", tmp_path / "store", window=1)
    assert len(made) > 4
    for clip in made:
        assert np.abs(clip.joints[0, 0, list(clip.layout.root)].mean(0)).max() < 1e-5


def test_windows_of_what_labels_cut_count_in_the_recording(tmp_path):
    arrays.write(tmp_path / "raw", [take(6, "long")])
    (source,) = (m.source for m in kineme.read_all(next((tmp_path / "raw").glob("*.npz"))))
    (tmp_path / "labels.csv").write_text(f"source,start,end,label\n{source},5,35,wave\n{source},40,60,sit\n")
    made = prepare(
        tmp_path / "raw", tmp_path / "store", normalise="none", labels=tmp_path / "labels.csv", window=2, step=1
    )
    assert [(id.rpartition(":")[2], label) for id, label in zip(made.ids, made.column("label").tolist())] == [
        ("5-25", "wave"),
        ("15-35", "wave"),
        ("40-60", "sit"),
    ]
    assert set(made.column("recording").tolist()) == {source}
    assert made.motion(1).joints[0, 0, 5, 0] == 15


def test_without_a_rate_a_clip_stays_whole_and_is_named_unless_the_rate_is_said(tmp_path):
    takes = [take(6, "a", fps=None)]
    made = windowed(tmp_path, takes, "whole", window=2)
    assert made.lengths.tolist() == [60]
    assert "1 (in " in next(line for line in str(report(made)).splitlines() if "not cut into windows (--fps" in line)
    made = windowed(tmp_path, takes, "said", window=2, step=2, fps=10)
    assert made.lengths.tolist() == [20, 20, 20]
    assert set(made.column("fps").tolist()) == {10}
    assert windowed(tmp_path, [take(6, "a", fps=20.0)], "own", fps=10).column("fps").tolist() == [20]


# ------------------------------------------------------------------------------------------------------------- splits


def sides(made, split):
    names = np.array(made.column("recording").tolist())
    return set(names[split.train].tolist()), set(names[split.test].tolist())


def test_no_split_at_random_parts_a_recording(tmp_path):
    """Neither `random` nor what validation holds out of it: the leak check finds nothing shared."""
    takes = [take(6, f"t{k}", label="ab"[k % 2]) for k in range(10)]
    made = windowed(tmp_path, takes, window=2, step=1)
    for seed in range(20):
        for name in ("random", "random+val", "random+val2"):
            split = splits.split(made, name, seed)
            train, test = sides(made, split)
            assert train
            assert test
            assert not train & test
            found = {leak.kind for leak in leaks.find(made, split.train, split.test)}
            assert not found & {"frames", "overlap", "recording"}
    labels = np.array(made.column("label").tolist())
    split = splits.split(made, "random", 0)
    assert set(labels[split.train]) == set(labels[split.test]) == {"a", "b"}


def test_windows_of_two_sets_with_one_name_are_two_recordings(tmp_path):
    parts = []
    for k in (0, 1):
        with Writer(tmp_path / str(k), BODY, normalise={"how": "none"}) as writer:
            for window in range(3):
                columns = {"dataset": f"set {k}", "recording": "same", "window": window}
                writer.add(take(2, f"{k}{window}", extra=columns))
        parts.append(store.open(tmp_path / str(k)))
    made = join(parts, tmp_path / "both")
    split = splits.split(made, "random")
    assert len(split.train) == len(split.test) == 3


def test_windows_of_one_recording_alone_have_no_split(tmp_path):
    made = windowed(tmp_path, [take(6, "only")], window=2)
    assert len(made) > 1
    assert splits.names(made) == []
    assert "none, for want of clips" in str(report(made))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", None]), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_stores_without_windows_split_as_ever(tmp_path_factory, labels, seed):
    """Alternate clips of a random order, class by class: what seeds of published runs stand for."""
    folder = tmp_path_factory.mktemp("plain") / "store"
    with Writer(folder, BODY, normalise={"how": "none"}) as writer:
        for k, label in enumerate(labels):
            writer.add(take(0.2, f"c{k}", label=label))
    made = store.open(folder)
    classes = np.array([-1 if x is None else sorted({*labels} - {None}).index(x) for x in labels])
    mixed = np.random.default_rng(seed).permutation(len(labels))
    train = np.zeros(len(labels), bool)
    train[mixed[np.argsort(classes[mixed], kind="stable")][::2]] = True
    assert splits.split(made, "random", seed).train.tolist() == np.flatnonzero(train).tolist()


# ------------------------------------------------------------------------------------------------------- what is said


def test_lengths_that_differ_much_are_said(tmp_path):
    said = str(report(windowed(tmp_path, [take(1, "a"), take(5.1, "b")], "uneven")))
    assert "clips last from 1 s (" in said
    assert "--window 2 --step 1" in said
    assert "clips last" not in str(report(windowed(tmp_path, [take(1, "a"), take(5, "b")], "even")))
    frames = [take(1, "a", fps=None), take(6, "b", fps=None)]
    assert "from 10 frames (" in str(report(windowed(tmp_path, frames, "frames")))


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ({"window": 0}, "--window: 0.*seconds above 0"),
        ({"window": float("inf")}, "--window"),
        ({"step": 1}, "without a window"),
        ({"window": 2, "step": -1}, "--step"),
        ({"fps": 0}, "--fps.*frames per second above 0"),
    ],
)
def test_seconds_that_cannot_be(how, fault, tmp_path):
    with pytest.raises(InputError, match=fault):
        windowed(tmp_path, [take(3, "a")], **how)


def test_the_command_and_its_other_store(tmp_path):
    arrays.write(tmp_path / "raw", [take(6, "a"), take(4, "b")])
    words = ("prepare", tmp_path / "raw", tmp_path / "store", "--window", 2)
    assert "8 clips" in command(*words, "--step", 1).stdout
    one_paragraph(command(*words, check=False), "other files or options")
    one_paragraph(command("prepare", tmp_path / "raw", tmp_path / "x", "--step", 1, check=False), "without a window")
