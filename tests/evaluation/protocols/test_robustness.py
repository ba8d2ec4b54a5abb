"""Robustness: the alterations by hand, and curves of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import make_store

from kineme.data.store import Store
from kineme.evaluation import baselines
from kineme.evaluation.protocols import robustness
from kineme.evaluation.robustness import ALTERATIONS, AlteredStore, altered, applicable, clips_of, in_layout
from kineme.evaluation.task import make_task
from kineme.motion.layout import layout
from kineme.utils.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return make_store(tmp_path_factory.mktemp("robustness") / "swing", clips=24)


ROWS = np.array([3, 0, 7])


def joints(made, i: int) -> np.ndarray:
    return made.frames[made.offsets[i] : made.offsets[i + 1]]


def own(store, i: int) -> np.ndarray:
    return store.frames[store.offsets[ROWS[i]] : store.offsets[ROWS[i] + 1]]


def test_an_altered_store_is_a_store_of_the_same_clips(store):
    made = altered(store, ROWS, "noise", 0.05)
    assert isinstance(made, Store)
    assert made.ids == [store.ids[row] for row in ROWS]
    assert made.column("label").tolist() == store.column("label")[ROWS].tolist()
    assert made.lengths.tolist() == store.lengths[ROWS].tolist() == made.clips["length"].to_pylist()
    assert made[1].source == store.ids[0]
    assert made.hash != store.hash != altered(store, ROWS, "noise", 0.1).hash
    assert made.hash == altered(store, ROWS, "noise", 0.05).hash


def test_noise_is_as_large_as_it_is_said(store):
    size = clips_of(store, np.arange(24)).size
    rows = np.arange(24)
    apart = altered(store, rows, "noise", 0.1).frames - store.frames
    assert apart.std() == pytest.approx(0.1 * size, rel=0.03)
    body = store.frames - store.frames.mean((1, 2), keepdims=True)
    assert size == pytest.approx(np.sqrt((body**2).sum(-1).mean()), rel=0.1)


def test_missing_joints_are_missing_throughout_a_clip(store):
    made = altered(store, ROWS, "missing joints", 0.3)
    gone = [made.confidence[made.offsets[i] : made.offsets[i + 1], 0] == 0 for i in range(3)]
    for each in gone:
        assert (each == each[:1]).all()
        assert each[0].sum() == 6
    assert not (gone[0][0] == gone[1][0]).all()
    assert (made.frames[made.confidence == 0] == 0).all()


def test_dropped_frames_leave_the_others_as_they_are(store):
    made = altered(store, ROWS, "dropped frames", 0.5)
    for i in range(3):
        left = [np.flatnonzero((own(store, i) == frame).all((1, 2, 3)))[0] for frame in joints(made, i)]
        assert left[0] == 0
        assert (np.diff(left) > 0).all()
        assert len(left) < store.lengths[ROWS[i]]
    assert altered(store, ROWS, "dropped frames", 1.0).lengths.tolist() == [1, 1, 1]


def test_every_second_frame(store):
    made = altered(store, ROWS, "frame rate", 2)
    for i in range(3):
        np.testing.assert_array_equal(joints(made, i), own(store, i)[::2])


def test_rotation_about_the_vertical(store):
    """Heights stay, and the angle in the ground plane changes by 90 degrees, to the one or the other side."""
    made = altered(store, ROWS, "rotation", 90)
    for i in range(3):
        before, after = own(store, i), joints(made, i)
        np.testing.assert_allclose(after[..., 1], before[..., 1], atol=1e-5)
        turned = np.stack([before[..., 2], -before[..., 0]], -1)
        side = np.sign((after[..., [0, 2]] * turned).sum())
        np.testing.assert_allclose(after[..., [0, 2]], side * turned, atol=1e-5)


def test_mirrored(store):
    made = altered(store, ROWS, "mirrored", "mirrored")
    for i in range(3):
        np.testing.assert_array_equal(joints(made, i), store[int(ROWS[i])].mirror().joints)


def test_another_layout_and_back(store):
    made = in_layout(store, ROWS, "pose13")
    there = store[0].to_layout("pose13").to_layout("kinect20")
    np.testing.assert_allclose(joints(made, 1), there.joints, atol=1e-6)
    np.testing.assert_array_equal(made.confidence[made.offsets[1] : made.offsets[2]], there.confidence)
    with pytest.raises(InputError, match="no such layout"):
        in_layout(store, ROWS, "pose14")


def test_what_a_store_can_have(store, tmp_path):
    assert set(applicable(store)) == set(ALTERATIONS)
    assert "kinect20" not in applicable(store)["layout"].levels
    flat = make_store(tmp_path / "flat", clips=4, layout="coco17", coords=2)
    assert set(applicable(flat)) == set(ALTERATIONS) - {"rotation"}
    assert layout("coco17").name not in applicable(flat)["layout"].levels


@pytest.fixture
def task(store):
    sides = SimpleNamespace(name="mine", train=np.arange(12), test=np.arange(12, 24))
    return make_task(baselines.make("positions", store, sides.train), store, sides)


def test_curves(task, monkeypatch, tmp_path):
    found = robustness.score(task, robustness.Settings(classifier="knn"))
    assert set(found) == {"clean", *ALTERATIONS}
    for name in ALTERATIONS:
        curve = found.more[name]["curve"]
        assert [level for level, _ in curve] == list(applicable(task.store)[name].levels)
        assert found[name] == pytest.approx(np.mean([score for _, score in curve]))
    rows = [
        {"metric": name, "features": features, "split": "mine"} | found.more[name]
        for name in found
        for features in ("trained", "untrained")
    ]
    robustness.picture(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 20000


def test_each_level_is_scored_by_hand(task):
    """The nearest training clip of each altered test clip."""
    found = robustness.score(task, robustness.Settings(("frame rate",), classifier="knn"))
    train = task.features(task.train).astype(np.float64)
    for level, score in found.more["frame rate"]["curve"]:
        made = altered(task.store, task.test, "frame rate", level)
        assert isinstance(made, AlteredStore)
        shown = task.model.embed(made).astype(np.float64)
        cosine = shown @ train.T / np.linalg.norm(train, axis=1)
        assert score == np.mean(task.labels[task.train][cosine.argmax(1)] == task.labels[task.test])


def test_what_cannot_be(task, tmp_path):
    with pytest.raises(InputError, match=r"robustness\.alterations"):
        robustness.Settings(("weather",))
    flat = make_store(tmp_path / "flat", clips=8, layout="coco17", coords=2)
    given = make_task(None, flat, SimpleNamespace(name="mine", train=np.arange(4), test=np.arange(4, 8)))
    with pytest.raises(InputError, match="3-D clips"):
        robustness.score(given, robustness.Settings(("rotation",)))
