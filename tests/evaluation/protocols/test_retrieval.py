"""Retrieval: figures by hand, columns across which is searched, other stores and layouts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import make_store
from sklearn.metrics import average_precision_score

from kineme.evaluation.protocols import retrieval
from kineme.evaluation.protocols.retrieval import Settings
from kineme.evaluation.task import make_task
from kineme.utils.errors import InputError

ANGLES = np.deg2rad([0, 10, 20, 30, 4, 33])  # four in the gallery, two queries
CLOCK = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)


def split(train, test):
    return SimpleNamespace(name="mine", train=np.array(train), test=np.array(test))


@pytest.fixture
def task(write_store, fake_model):
    store = write_store(["a", "b", "a", "b", "a", "a"])
    return make_task(fake_model(CLOCK), store, split([0, 1, 2, 3], [4, 5]))


def test_by_hand(task):
    """Query 4 at 4 degrees meets a b a b: AP = (1 + 2 / 3) / 2. Query 33 meets b a b a: (1 / 2 + 2 / 4) / 2."""
    found = retrieval.score(task, Settings(k=(1, 2)))
    assert found == pytest.approx({"R@1": 0.5, "R@2": 1.0, "mAP": (5 / 6 + 1 / 2) / 2})
    outcome = found.outcomes["R@1"]
    assert outcome.values.tolist() == [1, 0]
    assert outcome.labels.tolist() == [0, 1]
    np.testing.assert_allclose(outcome.scores, np.cos(np.deg2rad([4, 3])), atol=1e-6)
    assert found.outcomes["mAP"].values == pytest.approx([5 / 6, 1 / 2])


def test_average_precision_is_that_of_scikit_learn(write_store, fake_model):
    gen = np.random.default_rng(0)
    labels = [f"{k}" for k in gen.integers(0, 4, 700)]
    features = gen.normal(size=(700, 5))
    given = make_task(fake_model(features), write_store(labels), split(np.arange(100), np.arange(100, 700)))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = [
        average_precision_score(given.labels[:100] == given.labels[row], unit[:100] @ unit[row])
        for row in range(100, 700)
    ]
    found = retrieval.score(given, Settings())
    np.testing.assert_allclose(found.outcomes["mAP"].values, expected, atol=1e-5)
    assert found["mAP"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_among_the_test_clips_a_query_does_not_find_itself(write_store, fake_model):
    store = write_store(["a", "b", "a", "b", "a", "c"])
    given = make_task(fake_model(CLOCK), store, split([0], [1, 2, 3, 4, 5]))
    found = retrieval.score(given, Settings(k=(1,), gallery="test"))
    # 10: 4 20 30; 20: 10 30 33 4; 30: 33 20 10 4; 4: 10 20; 33 (c) has no other
    assert found["R@1"] == pytest.approx(0 / 4)
    assert np.isnan(found.outcomes["R@1"].values[4])
    assert found.more["mAP"]["left_out"] == 1
    # relevant places: 10 -> 30 at 3; 20 -> 4 at 3 (16 degrees, after 33 at 13); 30 -> 10 at 3; 4 -> 20 at 2
    assert found["mAP"] == pytest.approx((1 / 3 + 1 / 4 + 1 / 3 + 1 / 2) / 4)


def test_across_cameras(tmp_path, fake_model):
    """What shares the query's camera is not found, nor where a camera is not known."""
    store = make_store(tmp_path / "swing", clips=24)  # kinds i % 4, cameras i // 2 % 3
    camera = store.column("camera")
    features = np.eye(3)[camera - 1] + 0.01 * np.random.default_rng(0).normal(size=(24, 3))
    given = make_task(fake_model(features), store, split(np.arange(12), np.arange(12, 24)))
    found = retrieval.score(given, Settings(k=(1, 5)))
    assert set(found) == {f"{name}{where}" for name in ("R@1", "R@5", "mAP") for where in ("", " across camera")}
    relevant = (given.labels[:12][None] == given.labels[12:][:, None]) & (camera[:12][None] != camera[12:][:, None])
    cosine = features[12:] @ features[:12].T / np.linalg.norm(features[:12], axis=1)
    cosine[camera[12:][:, None] == camera[:12][None]] = -9
    first = cosine.argmax(1)
    there = relevant.any(1)
    assert found["R@1 across camera"] == pytest.approx(relevant[np.arange(12), first][there].mean())
    with pytest.raises(InputError, match=r"retrieval\.across subject.*single value"):
        one = split(np.flatnonzero(store.column("subject")[:12] == 1), np.flatnonzero(store.column("subject") == 1)[2:])
        retrieval.score(make_task(fake_model(features), store, one), Settings(k=(1,), across=("subject",)))


def test_in_another_store_classes_are_matched_by_name(write_store, fake_model):
    store, other = write_store(["Wave", "kick"] * 4), write_store(["wa_ve", None, "jump", "KICK", "wave"])

    class Two:
        def embed(self, what, rows=None, *, crop=None):
            table = np.eye(2)[[0, 1] * 4] if what is store else np.eye(2)[[0, 1, 1, 0, 1]]
            return (table if rows is None else table[rows]).astype(np.float32)

    given = make_task(Two(), store, split([0, 1], np.arange(2, 8)))
    found = retrieval.score(given, Settings(k=(1,), source=str(other.path)))
    assert found["R@1"] == 1
    assert found[f"R@1 from {other.path.name}"] == pytest.approx(0.5)  # kicks meet the wave that was put wrongly
    with pytest.raises(InputError, match="no clip of a class that is tested"):
        retrieval.score(given, Settings(k=(1,), source=str(write_store(["hop"]).path)))


def test_in_another_layout(write_store, fake_model):
    """The queries are shown as that layout would have them."""
    shown = []

    class Watching(fake_model):
        def embed(self, what, rows=None, *, crop=None):
            shown.append(what)
            return super().embed(what, rows)

    given = make_task(Watching(CLOCK), write_store(["a", "b", "a", "b", "a", "a"]), split([0, 1, 2, 3], [4, 5]))
    found = retrieval.score(given, Settings(k=(1,), layouts=("coco17",)))
    assert {"R@1 in coco17", "mAP in coco17"} < set(found)
    assert shown[-1].layout.name == "kinect20"
    assert len(shown[-1]) == 2
    missing = (shown[-1].confidence == 0).all((0, 1))
    assert [name for name, gone in zip(given.store.layout.joints, missing) if gone] == [
        "spine",
        "head",
        "left_hand",
        "right_hand",
        "left_foot",
        "right_foot",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": (5,)}, r"retrieval\.k: 5 of 4 clips"),
        ({"k": (1,), "across": ("weather",)}, "column 'weather'"),
        ({"k": (1,), "layouts": ("coco18",)}, "layout 'coco18'"),
    ],
)
def test_what_cannot_be(task, settings, message):
    with pytest.raises(InputError, match=message):
        retrieval.score(task, Settings(**settings))


def test_numbers_that_cannot_be():
    with pytest.raises(InputError, match=r"retrieval\.k"):
        Settings(k=(0,))


def test_classes_that_the_gallery_lacks(write_store, fake_model):
    store = write_store(["a", "a", "b", "b"])
    given = make_task(fake_model(CLOCK[:4]), store, split([0, 1], [2, 3]))
    with pytest.raises(InputError, match="no test clip of whose class"):
        retrieval.score(given, Settings(k=(1,)))
