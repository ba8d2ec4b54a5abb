"""Stores of cleaned motions: cleaned as `kineme.clean` does, counted, marked, and never taken for others."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.training import kineme as command
from helpers.training import one_paragraph

import kineme
from kineme.data import store
from kineme.data.prepare import prepare, report
from kineme.data.synth import generate
from kineme.inference import embed
from kineme.io import arrays
from kineme.motion.clean import NO_RATE
from kineme.utils.errors import InputError


def recordings(count: int = 4, fps: float | None = 30.0) -> list[kineme.Motion]:
    """Synthetic motions with noise, doubtful joints and a gap."""
    rng, made = np.random.default_rng(0), []
    for clip in generate(count, cameras=0, subjects=2):
        confidence = clip.confidence.copy()
        confidence[5:8, 0, 7] = 0
        confidence[20, 0, 3] = 0.1
        joints = clip.joints + rng.normal(0, 0.01, clip.joints.shape).astype(np.float32)
        made.append(clip.with_(joints=joints, confidence=confidence, fps=fps, extra={}))
    return made


@pytest.fixture
def raw(tmp_path):
    arrays.write(tmp_path / "raw", recordings())
    return tmp_path / "raw"


def test_a_store_holds_what_clean_gives_and_says_so(raw, tmp_path):
    made = prepare(raw, tmp_path / "store", normalise="none", clean={"gap": 0.5})
    for found, motion in zip(made, kineme.read_all(next(raw.glob("*.npz")))):
        wanted = kineme.clean(motion, gap=0.5)
        np.testing.assert_array_equal(found.joints, wanted.joints)
        np.testing.assert_array_equal(found.confidence, wanted.confidence)
    assert made.card["normalise"]["clean"]["gap"] == 0.5
    assert made.card["normalise"]["clean"]["smooth"] == "butterworth"
    said = str(report(made))
    assert "normalised: none, cleaned" in said
    assert "joints of confidence below 0.3, dropped: 4 (in " in said
    assert "joints filled in gaps of up to 0.5 s: 16 (in " in said
    plain = prepare(raw, tmp_path / "plain", normalise="none")
    assert made.hash != plain.hash
    assert "clean" not in plain.card["normalise"]
    assert "clean" not in plain.card["prepared"]


def test_other_cleaning_is_another_store(raw, tmp_path):
    """What is finished or under way is taken up by the same settings only."""
    made = prepare(raw, tmp_path / "store", clean=True)
    assert prepare(raw, tmp_path / "store", clean=True).hash == made.hash
    assert prepare(raw, tmp_path / "store", clean={"gap": 0.25}).hash == made.hash  # the defaults, said
    for other in (None, False, {"gap": 0.5}):
        with pytest.raises(InputError, match="other files or options"):
            prepare(raw, tmp_path / "store", clean=other)


def test_the_number_of_processes_changes_nothing(tmp_path):
    for k, motion in enumerate(recordings()):
        arrays.write(tmp_path / "raw" / str(k), [motion])
    one, two = (prepare(tmp_path / "raw", tmp_path / f"{jobs}", jobs=jobs, clean=True) for jobs in (1, 2))
    assert one.hash == two.hash


def test_recordings_are_cleaned_before_labels_cut_them(raw, tmp_path):
    motion = next(iter(kineme.read_all(next(raw.glob("*.npz")))))
    (tmp_path / "labels.csv").write_text(f"source,start,end,label\n{motion.source},10,40,wave\n")
    (clip,) = (
        m
        for m in prepare(raw, tmp_path / "s", normalise="none", labels=tmp_path / "labels.csv", clean=True)
        if m.label == "wave"
    )
    np.testing.assert_array_equal(clip.joints, kineme.clean(motion).joints[10:40])


def test_a_recording_without_a_rate_is_cleaned_as_far_as_can_be_and_named(tmp_path):
    arrays.write(tmp_path / "raw", recordings(2, fps=None))
    made = prepare(tmp_path / "raw", tmp_path / "store", clean=True)
    assert len(made) == 2
    said = str(report(made))
    assert f"{NO_RATE}: 2 (in " in said
    assert "joints of confidence below 0.3, dropped: 2" in said


def test_a_run_cleans_what_it_embeds(raw, tmp_path):
    """Motions and files come out as the clips of the run's own store; a store that was not cleaned is warned of."""
    cleaned = prepare(raw, tmp_path / "store", normalise="none", clean={"cutoff": 4})
    small = {"encoder.hidden": 8, "encoder.layers": 1, "method.views.frames": 8, "method.queue": 8, "loop.batch": 4}
    kineme.pretrain("moco", cleaned, tmp_path / "run", epochs=1, settings=small, device="cpu")
    model = kineme.load(tmp_path / "run", device="cpu")
    expected = model.embed(cleaned)
    motions = list(kineme.read_all(next(raw.glob("*.npz"))))
    np.testing.assert_allclose(model.embed(motions), expected, atol=1e-5)
    embed.write(model, raw, tmp_path / "vectors")
    np.testing.assert_allclose(np.load(tmp_path / "vectors" / "Z.npy"), expected, atol=1e-5)
    plain = prepare(raw, tmp_path / "plain", normalise="none")
    with pytest.warns(UserWarning, match="prepared without --clean"):
        model.embed(plain)


def test_the_command(raw, tmp_path):
    words = ("--clean", "--set", "clean.gap=0.5", "--set", "clean.smooth=none")
    assert "joints filled in gaps of up to 0.5 s" in command("prepare", raw, tmp_path / "store", *words).stdout
    assert store.open(tmp_path / "store").card["normalise"]["clean"]["smooth"] == "none"
    for wrong, fault in (
        (("--set", "clean.gap=0.5"), "without it"),
        (("--clean", "--set", "gap=0.5"), "clean.NAME=VALUE"),
        (("--clean", "--set", "clean.gab=0.5"), "Did you mean 'gap'"),
        (("--clean", "--set", "clean.gap=-1"), "clean.gap"),
    ):
        one_paragraph(command("prepare", raw, tmp_path / "other", *wrong, check=False), fault)
    assert "joints filtered" in command("convert", raw, tmp_path / "out", "--to", "npy", "--clean").stdout
