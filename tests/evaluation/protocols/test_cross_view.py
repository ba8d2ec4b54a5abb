"""Single-shot cross-view: one camera trains, all cameras test."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.framewise import FrameModel, frame_store

from kineme.evaluation import run, scores
from kineme.evaluation.protocols import cross_view
from kineme.evaluation.protocols.cross_view import Settings
from kineme.evaluation.task import make_task
from kineme.utils.errors import InputError

CAMERAS = ("front", "left", "right")
LABELS = [("sit", "walk")[i // 3 % 2] for i in range(48)]  # each camera sees both
QUICK = {"steps": 40, "batch": 12, "every": 1, "width": 8, "average": 0.9}
SPLIT = SimpleNamespace(name="halves", train=np.arange(24), test=np.arange(24, 48))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return frame_store(tmp_path_factory.mktemp("views") / "store", LABELS, CAMERAS)


def shown(turned: tuple[str, ...] = ()) -> np.ndarray:
    """One vector per clip that shows its label; the cameras ``turned`` show the other one."""
    label = np.array([text == "walk" for text in LABELS])
    flip = np.array([CAMERAS[i % 3] in turned for i in range(48)])
    return np.eye(2, dtype=np.float32)[(label ^ flip).astype(int)]


@pytest.mark.parametrize("classifier", ["linear", "knn"])
def test_by_hand(store, fake_model, classifier):
    """Front and left agree, right shows the opposite: a training is right on two thirds of the clips, or on one."""
    task = make_task(fake_model(shown(("right",))), store, SPLIT)
    found = cross_view.score(task, Settings(classifier=classifier))
    trusted = {"front": ("front", "left"), "left": ("front", "left"), "right": ("right",)}
    assert list(found) == [
        "mean",
        "held-out cameras",
        *(f"{one} -> {other}" for one in CAMERAS for other in ("all", *CAMERAS)),
    ]
    for one in CAMERAS:
        assert found[f"{one} -> all"] == pytest.approx(len(trusted[one]) / 3)
        assert [found[f"{one} -> {other}"] for other in CAMERAS] == [float(other in trusted[one]) for other in CAMERAS]
    assert found["mean"] == pytest.approx((2 + 2 + 1) / 9)
    assert found["held-out cameras"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)


def test_frames_by_hand(store):
    """The same with a code per frame and the network over time."""
    features = shown(("right",))
    codes = 4 * np.repeat(features, store.lengths, axis=0) - 2
    task = make_task(FrameModel(codes), store, SPLIT)
    found = cross_view.score(task, Settings(**QUICK))
    assert found["front -> left"] > 0.9 > 0.1 > found["front -> right"]
    assert found["right -> right"] > 0.9 > 0.1 > found["right -> left"]
    assert found["mean"] == pytest.approx(5 / 9, abs=0.1)


def test_only_the_camera_s_own_clips_train(store, fake_model):
    """What other cameras' training clips show changes nothing."""
    features = shown()
    task = make_task(fake_model(features), store, SPLIT)
    spoiled = features.copy()
    spoiled[[i for i in SPLIT.train if i % 3]] = 0
    other = make_task(fake_model(spoiled), store, SPLIT)
    for classifier in ("linear", "knn"):
        clean, bad = (cross_view.score(each, Settings(classifier=classifier)) for each in (task, other))
        assert clean["front -> all"] == bad["front -> all"] == 1
        assert bad["left -> all"] < 1


def test_a_split_by_cameras(store, fake_model):
    """The test camera trains nothing, the others are tested nowhere; all of it is held out."""
    rows = np.arange(48)
    split = SimpleNamespace(name="xview", train=rows[rows % 3 != 2], test=rows[rows % 3 == 2])
    found = cross_view.score(make_task(fake_model(shown(("left",))), store, split), Settings(classifier="linear"))
    assert found == {
        "mean": 0.5,
        "held-out cameras": 0.5,
        "front -> all": 1,
        "front -> right": 1,
        "left -> all": 0,
        "left -> right": 0,
    }


def test_columns_together(store):
    """NTU: camera and repetition are one viewpoint."""
    found = cross_view.cameras(store, ("camera", "repetition"))
    assert found[:4].tolist() == ["front 1", "left 2", "right 1", "front 2"]
    with pytest.raises(InputError, match="Did you mean 'camera'"):
        cross_view.cameras(store, ("camra",))
    with pytest.raises(InputError, match="column"):
        cross_view.cameras(store, ())


def test_clips_of_unknown_cameras(tmp_path, fake_model):
    """They train nothing; they count among all, and in no pair."""
    store = frame_store(tmp_path / "store", LABELS, (2, 10, None))
    features = shown()
    features[2::3] = features[2::3, ::-1]
    found = cross_view.score(make_task(fake_model(features), store, SPLIT), Settings(classifier="knn"))
    assert found == pytest.approx(
        {
            "mean": 2 / 3,
            "held-out cameras": 1,
            "2 -> all": 2 / 3,
            "2 -> 2": 1,
            "2 -> 10": 1,
            "10 -> all": 2 / 3,
            "10 -> 2": 1,
            "10 -> 10": 1,
        }
    )
    assert list(found)[2] == "2 -> all"  # numbers by size


@pytest.mark.parametrize(("cameras", "word"), [((1,), "two cameras"), ((None,), "none")])
def test_too_few_cameras(tmp_path, fake_model, cameras, word):
    store = frame_store(tmp_path / "store", LABELS, cameras)
    with pytest.raises(InputError, match=word):
        cross_view.score(make_task(fake_model(shown()), store, SPLIT), Settings())


def test_a_camera_of_one_class(store, fake_model):
    split = SimpleNamespace(name="mine", train=np.array([0, 3, 1]), test=SPLIT.test)
    with pytest.raises(InputError, match=r"camera left: 1 training clips of one class"):
        cross_view.score(make_task(fake_model(shown()), store, split), Settings(classifier="linear"))


def test_codes_per_frame_are_asked_for(store, fake_model):
    with pytest.raises(InputError, match="one vector per clip"):
        cross_view.score(make_task(fake_model(shown()), store, SPLIT), Settings(classifier="sequence"))


def test_the_kind_of_run_decides(store, fake_model):
    """Runs of clips: a linear probe beside reduced positions; runs of frames: a network beside keypoints."""
    clips = make_task(fake_model(shown()), store, SPLIT)
    frames = dataclasses.replace(clips, model=FrameModel(np.zeros((len(store.frames), 2))))
    found = [cross_view.resolve(Settings(), task).classifier for task in (clips, frames)]
    assert found == ["linear", "sequence"]
    assert [cross_view.baseline(Settings(classifier=each))[0] for each in (*found, "knn")] == [
        "best reduced",
        "keypoints",
        "best",
    ]
    assert [cross_view.is_stochastic(Settings(classifier=each)) for each in (*found, "knn")] == [False, True, False]
    assert cross_view.is_stochastic(Settings(classifier="knn", fraction=0.5))


def test_what_is_said(store, fake_model):
    """Sentences about the means only; every pair is in the table."""
    model = fake_model(shown(), before=fake_model(np.ones((48, 2))))
    rows = run.evaluate(model, store, ["cross_view"], SPLIT)
    said = scores.verdicts(rows)
    said = [text for text in said if "hand-crafted is the best of" not in text]
    assert {text.split(" on ")[0] for text in said} == {"cross_view mean", "cross_view held-out cameras"}
    assert sum(row["features"] == "hand-crafted" for row in rows) == 2 + 3 * 4
