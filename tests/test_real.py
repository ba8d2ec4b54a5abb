"""Real recorded motion through the real command line, as the documentation tells people to do it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.training import kineme

import kineme as package
from kineme.data.splits import names
from kineme.training import log

SETS = [
    # folder, extra words, clips, layout, persons, normalised, splits that must be there
    ("nw_ucla", [], 1484, "kinect20", 1, "general", {"xview", "xsub"}),
    ("pku_mmd", [], 1558, "ntu25", 2, "general", {"dev_xvideo", "dev_xview"}),
    ("bandai_2", ["--layout", "kinect20"], 2902, "kinect20", 1, "general", set()),
    ("formats/bvh", ["--layout", "kinect20"], 4, "kinect20", 1, "general", set()),
    ("formats/ntu_skeleton", [], 3, "ntu25", 2, "general", {"xsub", "xview", "xset"}),
    ("formats/pku_mmd", [], 16, "ntu25", 2, "general", {"xview"}),
    ("formats/nw_ucla_json", [], 5, "kinect20", 1, "general", {"xview", "xsub"}),
]


@pytest.mark.parametrize(("folder", "words", "clips", "layout", "persons", "normalised", "splits"), SETS)
def test_prepare(data_dir, tmp_path, folder, words, clips, layout, persons, normalised, splits):
    done = kineme("prepare", data_dir / folder, tmp_path / "store", "--jobs", 1, *words)
    store = package.open(tmp_path / "store")
    assert (len(store), store.layout.name, store.persons) == (clips, layout, persons)
    assert store.card["normalise"]["how"] == normalised
    assert splits <= set(names(store))
    assert np.isfinite(store.frames).all()
    assert (np.abs(store.frames).max((1, 2, 3)) > 0).mean() > 0.98
    kineme("info", tmp_path / "store", "--verify")
    if folder == "formats/bvh":  # the four-joint chain has nothing to map: skipped with its reason, the rest goes on
        assert "sinusoidal" in done.stdout


@pytest.mark.slow
def test_moco_learns_on_real_motion(data_dir, tmp_path):
    """A short training on N-UCLA separates the clips of an unseen camera better than its untrained encoder does."""
    kineme("prepare", data_dir / "nw_ucla", tmp_path / "store", "--jobs", 1)
    sets = ["encoder.hidden=32", "encoder.layers=1", "method.views.frames=16"]
    sets += ["method.stream=motion", "encoder.read=last"]  # untrained, an average over the frames is good already
    words = [w for s in sets for w in ("--set", s)]
    kineme(
        "pretrain", "moco", tmp_path / "store", "--split", "xview", "--out", tmp_path / "run", "--steps", 200, *words
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log.comparable(lines)]
    assert len(losses) < len(lines)
    assert losses[-1] < losses[0] - 0.1
    kineme("evaluate", tmp_path / "run", tmp_path / "store", "--split", "xview", "--json", tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    scores = {(r["features"], r["protocol"], r["metric"]): r["score"] for r in rows}
    assert scores["trained", "knn", "1-NN"] > scores["untrained", "knn", "1-NN"] + 0.05  # of 0.11 and 0.12 in two seeds
    assert scores["hand-crafted", "knn", "1-NN"] == pytest.approx(0.815, abs=0.01)  # half-whitened positions


def test_p_hlvc_trains_on_real_videos(data_dir, tmp_path):
    """Overlapping windows of 32 frames of two videos with MediaPipe's tracks, in one of which a person is not always
    seen; the seven videos without a track are named and cost nothing.
    """
    pytest.importorskip("av")
    poses = data_dir / "formats" / "mediapipe"
    words = ("--poses", poses, "--window", 1.07, "--step", 0.27, "--picture-side", 48)
    done = kineme("prepare", data_dir / "videos", tmp_path / "store", "--jobs", 1, *words)
    assert "7 skipped" in done.stdout
    store = package.open(tmp_path / "store")
    assert sorted(store.column("recording").tolist()) == ["skateboarding.mp4"] * 35 + ["ta_chi.mp4"] * 35
    assert set(store.column("length").tolist()) == {32}
    seen = np.concatenate([motion.confidence.any((1, 2)) for motion in store])
    assert 0.8 < seen.mean() < 1  # 246 of 300 frames of one of them
    tiny = ("encoder.multiplier=0.05", "method.views.size=32", "loop.batch=16")
    sets = [word for each in tiny for word in ("--set", each)]
    kineme("pretrain", "p_hlvc", tmp_path / "store", "--out", tmp_path / "run", "--steps", 6, *sets)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert np.isfinite([line["loss"] for line in lines]).all()
    kineme("embed", tmp_path / "run", tmp_path / "store", "--out", tmp_path / "vectors")
    vectors = np.load(tmp_path / "vectors" / "Z.npy")
    assert vectors.shape == (70, 512)
    assert np.isfinite(vectors).all()
