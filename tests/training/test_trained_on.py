"""A run keeps which clips it was trained on, and evaluation says when these are test clips."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from helpers.training import TINY, make_store

import kineme
from kineme.data import splits, store_writer
from kineme.data.store import Store
from kineme.evaluation.scores import table, verdicts
from kineme.training import trained_on

SETTINGS = [word for word in TINY if word != "--set"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Stores and runs: of all clips, of the training part of xview, of that begun with all, of other clips."""
    folder = tmp_path_factory.mktemp("trained_on")
    store = make_store(folder / "store")
    make_store(folder / "other", seed=1)
    for name, more in {"all": {}, "part": {"split": "xview"}, "after": {"split": "xview", "init_from": "all"}}.items():
        begun = {"init_from": folder / more.pop("init_from")} if "init_from" in more else {}
        epochs = 2 if begun else 1
        kineme.pretrain("moco", store, folder / name, epochs=epochs, settings=SETTINGS, device="cpu", **more, **begun)
    kineme.pretrain("moco", folder / "other", folder / "elsewhere", epochs=1, settings=SETTINGS, device="cpu")
    return folder


@pytest.fixture
def store(folder) -> Store:
    return Store(folder / "store")


def count(run, store: Store, split: str = "xview") -> tuple[int, int, bool]:
    """(seen test clips, seen training clips, whether that is known)."""
    sides = splits.split(store, split)
    test, known = trained_on.seen(run, store, sides.test)
    train, _ = trained_on.seen(run, store, sides.train)
    return int(test.sum()), int(train.sum()), known


def test_what_each_run_has_seen(folder, store):
    sides = splits.split(store, "xview")
    train, test = len(sides.train), len(sides.test)
    assert count(folder / "all", store) == (test, train, True)
    assert count(folder / "part", store) == (0, train, True)
    assert count(folder / "after", store) == (test, train, True)  # what it began with had seen them
    assert count(folder / "part", store, "xview+val")[0] == len(splits.split(store, "xview+val").test)


def test_the_run_that_it_began_with_may_be_gone(folder, store, tmp_path):
    run = shutil.copytree(folder / "after", tmp_path / "after")
    card = json.loads((run / "card.json").read_text())
    card["init"]["run"] = str(tmp_path / "gone")
    (run / "card.json").write_text(json.dumps(card))
    assert count(run, store) == (*count(folder / "all", store)[:2], True)
    (run / trained_on.FILE).unlink()  # as runs of earlier versions
    assert count(run, store) == (0, len(splits.split(store, "xview").train), False)


def test_another_store_of_the_same_clips(folder, store, tmp_path):
    """Told by their content, or, prepared otherwise, by name and length; other clips are not taken for them."""
    for path, scale, front in (("moved", 1, ""), ("larger", 2, ""), ("renamed", 1, "x")):
        with store_writer.Writer(tmp_path / path, store.layout) as writer:
            for motion in map(store.motion, range(len(store))):
                writer.add(motion.with_(joints=scale * motion.joints, source=front + motion.source))
        again = Store(tmp_path / path)
        assert again.hash != store.hash or path == "moved"
        assert trained_on.seen(folder / "all", again, np.arange(len(again)))[0].all()
    with store_writer.Writer(tmp_path / "padded", store.layout) as writer:  # a clip of two people makes room in all
        for motion in map(store.motion, range(len(store))):
            writer.add(motion.with_(source=f"x{motion.source}"))
        one = store.motion(0)
        two = {name: np.concatenate([getattr(one, name)] * 2, 1) for name in ("joints", "confidence")}
        writer.add(one.with_(source="two", **two))
    padded = Store(tmp_path / "padded")
    assert padded.persons == 2
    assert trained_on.seen(folder / "all", padded, np.arange(len(padded)))[0].tolist() == [True] * len(store) + [False]
    joined = store_writer.join([Store(folder / "other"), store], tmp_path / "joined")
    found, _ = trained_on.seen(folder / "all", joined, np.arange(len(joined)))
    assert found[40:].all()  # though its ids are numbered there, as the other store has the same ones
    other = Store(folder / "other")
    longer = np.flatnonzero(other.lengths != store.lengths)
    assert not trained_on.seen(folder / "all", other, longer)[0].any()


def test_runs_without_marks_are_judged_by_their_cards(folder, store, tmp_path):
    run = shutil.copytree(folder / "part", tmp_path / "part")
    for damage in (lambda: (run / trained_on.FILE).write_bytes(b"x"), lambda: (run / trained_on.FILE).unlink()):
        damage()
        assert count(run, store) == (0, len(splits.split(store, "xview").train), True)
        assert count(run, Store(folder / "other"))[2] is False
    run = shutil.copytree(folder / "all", tmp_path / "all")
    (run / trained_on.FILE).unlink()
    assert count(run, store)[0] == len(splits.split(store, "xview").test)


def test_scores_say_so(folder, store, tmp_path):
    runs = [folder / name for name in ("part", "all", "after")]
    rows = kineme.evaluate(runs, store, "knn", "xview", baseline=False)
    test = len(splits.split(store, "xview").test)
    seen = {row["run"]: (row["seen"], row["seen_is_known"]) for row in rows if row["features"] == "trained"}
    assert seen == {str(runs[0]): (0, True), str(runs[1]): (test, True), str(runs[2]): (test, True)}
    said = [text for text in verdicts(rows) if "TRAINED ON" in text]
    assert said == verdicts(rows)[:2]
    assert said[0].startswith(
        f"xview: {runs[1]}, or a run that it began with, was TRAINED ON {test} of the {test} test"
    )
    assert "TRAINED ON" in str(table(rows).caption)
    json.dumps(rows)
    (ensemble,) = {
        row["seen"]
        for row in kineme.evaluate(f"{runs[0]},{runs[1]}", store, "knn", "xview", untrained=False, baseline=False)
    }
    assert ensemble == test


def test_scores_say_what_is_not_known(folder, store, tmp_path):
    run = shutil.copytree(folder / "elsewhere", tmp_path / "elsewhere")
    (run / trained_on.FILE).unlink()
    (first, *_) = verdicts(kineme.evaluate(run, store, "knn", "xview", untrained=False, baseline=False))
    assert first == f"xview: which clips {run} was trained on is not recorded: they may be among the test clips."


def test_resuming_keeps_the_marks(folder, store, tmp_path):
    run = shutil.copytree(folder / "part", tmp_path / "part")
    before = (run / trained_on.FILE).read_bytes()
    kineme.pretrain("moco", store, run, epochs=1, settings=SETTINGS, split="xview", resume=True, device="cpu")
    assert (run / trained_on.FILE).read_bytes() == before
