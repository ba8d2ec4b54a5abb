"""Codes of single frames, from the real command line: trained on made motion capture, used on what detectors write."""

from __future__ import annotations

import ast
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.training import kineme, one_paragraph

import kineme as package
from kineme.data import synth
from kineme.utils.errors import InputError

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
    done = kineme("embed", run, run.parent / "mocap", "--out", run.parent / "no", check=False)
    one_paragraph(done, "3 coordinates per joint", "Expected 2 as in", "--run base")


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
    there = (made.confidence[:, 0] > 0).sum(1) > 6
    assert there.any()
    assert (codes[there].std(0) > 0).all()
    vectors = np.load(tmp_path / "z" / "Z.npy")
    assert vectors.shape == (len(made), 32)


def test_find_this_pose_as_its_page_says(run, tmp_path, monkeypatch, capsys):
    """The lines of docs/methods/cv_mim.md, as they stand there: the very frame is among what is found."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cv_mim").symlink_to(run)
    films = list(synth.generate(3, actions=["walk", "kick"], cameras=1, layout="coco17"))
    synth.write("keypoints", films)
    kineme("prepare", tmp_path / "keypoints", tmp_path / "videos", "--layout", "pose13", "--normalise", "image")
    frame = films[1].joints[7, 0]
    points = np.concatenate([frame, 2 * films[1].confidence[7, 0][:, None]], 1).ravel().tolist()
    said = {
        "images": [{"id": 1, "file_name": "one.jpg", "width": 1920, "height": 1080}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": points}],
    }
    (tmp_path / "pose.json").write_text(json.dumps(said))
    page = (Path(__file__).parents[2] / "docs" / "methods" / "cv_mim.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "cv_mim.md", "exec"), {})
    found = ast.literal_eval(re.sub(r"np\.int64\((\d+)\)", r"\1", capsys.readouterr().out))
    assert len(found) == 10
    assert (1, 7) in found[:3]


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
