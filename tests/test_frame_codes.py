"""Codes of single frames, from the real command line: trained on made motion capture, used on what detectors write."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from training import kineme, one_paragraph

import kineme as package
from kineme import synth
from kineme.errors import InputError

TINY = ["encoder.width=16", "loop.batch=32", "loop.save_seconds=0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    synth.write(folder / "raw", 8, format="bvh", actions=["walk", "kick"])
    kineme("prepare", folder / "raw", folder / "mocap", "--normalise", "none", "--jobs", 1)
    words = [word for setting in TINY for word in ("--set", setting)]
    kineme("pretrain", "cv_mim", folder / "mocap", "--epochs", 1, *words, "--out", folder / "run")
    return folder / "run"


def test_the_run_is_for_what_a_camera_sees(run):
    model = package.load(run)
    assert (model.layout.name, model.card["coords"], model.card["normalise"]["how"]) == ("pose13", 2, "image")
    assert (model.card["unit"], model.card["persons"]) == ("frame", 1)
    one_paragraph(kineme("embed", run, run.parent / "mocap", "--out", run.parent / "no", check=False), "pose13")


@pytest.mark.parametrize(
    ("files", "clips", "frames"),
    [
        ("mediapipe/ta_chi.json", 1, 300),
        ("openpose/body25_kick_18", 1, 91),
        ("openpose/coco18_26", 1, 56),
        ("alphapose/alphapose-results.json", None, None),
    ],
)
def test_what_detectors_write_gets_a_code_for_every_frame(run, data_dir, tmp_path, files, clips, frames):
    done = kineme("embed", run, data_dir / "formats" / files, "--out", tmp_path / "z")
    assert "codes.npy" in done.stdout
    codes, offsets = np.load(tmp_path / "z" / "codes.npy"), np.load(tmp_path / "z" / "offsets.npy")
    made = package.open(tmp_path / "z" / "store")
    assert made.layout.name == "pose13"
    if clips is not None:
        assert (len(made), len(codes)) == (clips, frames)
    np.testing.assert_array_equal(offsets, made.offsets)
    assert codes.shape == (len(made.frames), 32)
    assert np.isfinite(codes).all()
    there = (made.seen[:, 0] > 0).sum(1) > 6
    assert there.any()
    assert (codes[there].std(0) > 0).all()
    vectors = np.load(tmp_path / "z" / "Z.npy")
    assert vectors.shape == (len(made), 32)


def test_frames_of_some_clips_in_any_order(run):
    model = package.load(run)
    rng = np.random.default_rng(0)
    joints = [rng.normal(size=(frames, 1, 13, 2)).astype(np.float32) for frames in (5, 9, 2)]
    motions = [package.Motion(one, model.layout, up="-y") for one in joints]
    whole, offsets = model.frames(motions)
    assert offsets.tolist() == [0, 5, 14, 16]
    for part, (begin, end) in zip(motions, itertools.pairwise(offsets)):
        np.testing.assert_allclose(model.frames(part)[0], whole[begin:end], atol=1e-6)
    some, places = model.frames(motions, rows=[2, 0], batch=4)
    assert places.tolist() == [0, 2, 7]
    np.testing.assert_allclose(some, np.concatenate([whole[14:], whole[:5]]), atol=1e-6)
    view, _ = model.frames(motions, part="view")
    assert np.abs(view - whole).max() > 1e-3
    with pytest.raises(InputError, match="pose, view"):
        model.frames(motions, part="other")
