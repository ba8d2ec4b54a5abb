"""The demo of videos, through the real command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.training import kineme, one_paragraph
from PIL import Image

from kineme.apps import demo_video
from kineme.data import store
from kineme.evaluation.scores import HAND_CRAFTED, TRAINED, UNTRAINED


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(what was printed, the folder) of a quick demo."""
    out = tmp_path_factory.mktemp("demo") / "out"
    return kineme("demo", "--video", "--quick", "--out", out).stdout, out


@pytest.mark.slow
def test_everything_is_there_and_what_is_printed_was_measured(made):
    said, out = made
    result = json.loads((out / "result.json").read_text())
    assert result["finished"]
    assert result["quick"]
    assert result["seeds"] == {"data": 0, "training": [0]}
    assert {"draw", "pretrain", "score", "picture", "total"} == result["seconds"].keys()
    for name in ("pretrain", "game", "real"):
        assert result["stores"][name]["hash"] == store.open(out / name).hash
    assert json.loads((out / "runs" / "seed-0" / "card.json").read_text())["status"] == "done"
    cells = {row["features"]: row for row in result["rows"] if row["metric"] == "balanced"}
    assert cells.keys() == {TRAINED, UNTRAINED, HAND_CRAFTED}
    for row in cells.values():
        assert row["test"] == len(store.open(out / "real"))
        assert row["seen"] in (None, 0) if row["features"] == TRAINED else True
        assert f"{row['score']:.3f}" in said
    assert result["verdict"] in said
    assert "These scores mean nothing" in said
    assert said.rstrip().endswith(f"kineme explore {out / 'real'} --run {out / 'runs' / 'seed-0'}")


@pytest.mark.slow
def test_nobody_and_no_kind_of_motion_is_in_two_stores(made):
    stores = {name: store.open(made[1] / name) for name in ("pretrain", "game", "real")}
    people = [set(each.column("subject").tolist()) for each in stores.values()]
    assert sum(map(len, people)) == len(set.union(*people))
    assert set(stores["pretrain"].column("label")) == {None}
    assert set(stores["pretrain"].column("domain")) == {"game", "real"}
    assert set(stores["game"].column("label")) == set(stores["real"].column("label"))


@pytest.mark.slow
def test_the_picture_has_clips_of_both_domains(made):
    pixels = np.asarray(Image.open(made[1] / "pictures" / "across.png").convert("RGB")).astype(float)
    strips = 3 * demo_video.QUERIES
    assert pixels.shape[1] == demo_video.WIDTH
    high = pixels.shape[0] // strips
    for k in range(strips):
        assert pixels[k * high + 20 : (k + 1) * high - 4].std() > 5


def row(who: str, score: float, seed: int = 0) -> dict:
    return {
        "protocol": "cross_domain",
        "probe": "finetune",
        "metric": "balanced",
        "split": "all",
        "features": who,
        "score": score,
        "seed": 0,
        "run": f"run-{seed}",
        "train": 9,
        "test": 30,
        "classes": 10,
    }


@pytest.mark.parametrize(
    ("trained", "untrained", "begins", "spread"),
    [
        ([0.5], [0.4], "Pretraining won", False),
        ([0.4], [0.4], "Pretraining did NOT win", False),
        ([0.3], [0.4], "Pretraining did NOT win", False),
        ([0.5, 0.52], [0.3, 0.31], "Pretraining won", False),
        ([0.5, 0.3], [0.35, 0.36], "Pretraining did NOT win", True),
    ],
)
def test_it_is_said_plainly_who_won(trained, untrained, begins, spread):
    rows = [row(who, x, k) for who, of in ((TRAINED, trained), (UNTRAINED, untrained)) for k, x in enumerate(of)]
    said = demo_video.verdict(rows)
    assert said.startswith(begins)
    assert f"{np.mean(trained):.3f} after it and {np.mean(untrained):.3f} without it (30 clips, chance 0.100)" in said
    assert ("not more than the spread" in said) == spread
    assert ("One training" in said) == (len(trained) == 1)
    assert "poses alone" not in said
    assert "poses alone reaches 0.700" in demo_video.verdict([*rows, row(HAND_CRAFTED, 0.7)])


def test_what_does_not_go_with_it(tmp_path):
    one_paragraph(kineme("demo", "--video", tmp_path, check=False), "--video", "--poses")
    one_paragraph(kineme("demo", "--video", "--labels", "folder", check=False), "--labels")
    one_paragraph(kineme("demo", "--video", "--seeds", 0, "--out", tmp_path / "out", check=False), "--seeds")
    assert not (tmp_path / "out").exists()
