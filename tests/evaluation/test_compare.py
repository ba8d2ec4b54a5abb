"""Two runs on the same clips: paired over clips and seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.training import TINY, kineme, make_store, one_paragraph

from kineme.evaluation import groups, scores
from kineme.evaluation.compare import compare, runs, table, verdict
from kineme.utils.errors import InputError

LABELS = ["walk", "sit", "wave"] * 40  # 120 clips


@pytest.fixture
def contest(write_store, halves, fake_model):
    def model(clear: float, seed: int, name: str):
        gen = np.random.default_rng(seed)
        shown = clear * np.eye(3)[np.unique(LABELS, return_inverse=True)[1]]
        made = fake_model(shown + gen.normal(size=(120, 3)), f"{name}/{seed}")
        made.card = {"seed": seed, "method": name}
        return made

    return write_store(LABELS), halves(120), model


def test_by_hand(contest):
    """One run each: the difference of what each clip became, and its bootstrap."""
    store, split, model = contest
    one, other = model(3.0, 0, "a"), model(0.5, 0, "b")
    (row,) = compare(one, other, store, ["knn"], split, settings={"knn": {"k": (1,)}})
    right = []
    for each in (one, other):
        unit = each.all / np.linalg.norm(each.all, axis=1, keepdims=True)
        near = (unit[1::2] @ unit[::2].T).argmax(1)
        right.append(np.array([LABELS[::2][i] == label for i, label in zip(near, LABELS[1::2])], float))
    assert (row["one"], row["other"]) == (right[0].mean(), right[1].mean())
    assert row["difference"] == pytest.approx((right[0] - right[1]).mean())
    assert row["only_one"] == (right[0] > right[1]).sum()
    assert row["only_other"] == (right[0] < right[1]).sum()
    assert [row["low"], row["high"]] == groups.paired(right[0][None], right[1][None])[1]
    assert row["low"] > 0
    assert row["paired"]
    assert verdict(row, ("a", "b")).endswith(
        "over 60 test clips, 1 run and 1 run: a is ahead on these clips; another seed may differ."
    )
    back = compare(other, one, store, ["knn"], split, settings={"knn": {"k": (1,)}})[0]
    assert back["difference"] == pytest.approx(-row["difference"])


def test_seeds_are_paired_by_their_number(contest):
    """Whatever the order in which the runs are named; what both seeds share drops out."""
    store, split, model = contest
    clears = (0.2, 1.0, 3.0)
    one = [model(clear + 0.4, seed, "a") for seed, clear in enumerate(clears)]
    other = [model(clear, seed, "b") for seed, clear in enumerate(clears)]
    how = {"protocols": ["knn"], "split": split, "settings": {"knn": {"k": (1,)}}}
    (row,) = compare(one, other, store, **how)
    assert row["paired"]
    assert row["runs"] == [3, 3]
    (again,) = compare(one[::-1], other, store, **how)
    for name in ("one", "other", "difference"):
        assert again[name] == pytest.approx(row[name])
    for seed, each in enumerate(other):
        each.card["seed"] = seed + 7  # nobody's like
    (loose,) = compare(one, other, store, **how)
    assert not loose["paired"]
    assert loose["difference"] == pytest.approx(row["difference"])
    assert loose["high"] - loose["low"] > 1.5 * (row["high"] - row["low"])


def test_what_the_sentences_say():
    row = {"protocol": "calibration", "metric": "NLL", "difference": -0.2, "low": -0.3, "high": -0.1, "test": 9}
    row |= {"runs": [2, 3], "higher_is_better": False}
    assert verdict(row).endswith("2 runs and 3 runs: the first is ahead.")
    assert verdict(row | {"high": 0.1}).endswith("undecided.")
    assert verdict(row | {"higher_is_better": True}).endswith("the second is ahead.")
    assert verdict(row | {"higher_is_better": None}).endswith("3 runs.")


def test_protocols_that_tell_nothing_of_single_clips(contest):
    store, split, model = contest
    with pytest.raises(InputError, match="tell nothing of single clips: few_shot"):
        compare(model(1, 0, "a"), model(1, 1, "b"), store, ["few_shot"], split, settings={"few_shot": {"ways": 2}})


@pytest.mark.slow
def test_from_the_command_line(tmp_path):
    """A folder of two seeds against one run; the rows; a run against itself is refused."""
    store = make_store(tmp_path / "swing")
    for method, seed in (("moco", 0), ("moco", 1), ("cmd", 0)):
        out = tmp_path / method / f"seed-{seed}"
        kineme("pretrain", method, store.path, "--out", out, "--epochs", 1, "--seed", seed, *TINY)
    words = [tmp_path / "moco", tmp_path / "cmd" / "seed-0", store.path, "--split", "xsub"]
    done = kineme("compare", *words, "--protocols", "knn,retrieval", "--json", tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows[0]["runs"] == [2, 1]
    assert not rows[0]["paired"]
    assert {row["metric"] for row in rows} >= {"1-NN", "5-NN", "mAP", "R@1"}
    assert all(row["low"] <= row["difference"] <= row["high"] for row in rows)
    assert "2 runs and 1 run" in " ".join(done.stdout.split())
    assert runs(tmp_path / "moco") == [tmp_path / "moco" / "seed-0", tmp_path / "moco" / "seed-1"]
    same = kineme("compare", words[1], words[1], store.path, "--split", "xsub", check=False)
    one_paragraph(same, "on either side", "two different runs")
    nowhere = kineme("compare", tmp_path / "none", words[1], store.path, "--split", "xsub", check=False)
    one_paragraph(nowhere, "none")


def test_the_table(contest):
    from io import StringIO

    from rich.console import Console

    store, split, model = contest
    rows = compare(model(3.0, 0, "a"), model(0.5, 0, "b"), store, ["knn"], split)
    out = StringIO()
    Console(file=out, width=160).print(table(rows, ("runs/a", "runs/b")))
    text = out.getvalue()
    assert "runs/a against runs/b on halves" in text
    assert f"{rows[0]['difference']:+.3f}" in text


def test_the_interval_of_a_mean_is_never_that_of_one_training():
    row = {"protocol": "knn", "probe": "knn", "metric": "1-NN", "split": "a", "features": "trained", "run": "x"}
    row |= {"train": 4, "test": 4, "classes": 2, "score": 0.5, "interval": [0.4, 0.6]}
    one, other = row | {"training": "1"}, row | {"training": "2", "score": 0.7, "interval": [0.6, 0.8]}
    assert scores.summary([one])[0]["interval"] == [0.4, 0.6]
    assert scores.summary([one, one | {"training": "2"}])[0]["interval"] == [0.4, 0.6]  # told of both together
    assert scores.summary([one, other])[0]["interval"] is None
