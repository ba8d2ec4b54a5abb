"""The classifier over time on per-frame codes."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.framewise import FrameModel, frame_store

from kineme.evaluation import baselines, run
from kineme.evaluation.protocols import sequence
from kineme.evaluation.protocols.sequence import Sequences, Settings
from kineme.evaluation.task import Task, make_task
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils import settings
from kineme.utils.errors import InputError

KINDS = ("hop", "sit", "walk")
QUICK = {"steps": 30, "batch": 12, "every": 1, "width": 8}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return frame_store(tmp_path_factory.mktemp("frames") / "store", [KINDS[i % 3] for i in range(48)])


def drifting(store, clear: float = 20.0) -> np.ndarray:
    """A code per frame that means nothing by itself; whether one number rises, falls or stays is the class."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(len(store.frames), 4)).astype(np.float32)
    for i, (begin, end) in enumerate(zip(store.offsets[:-1], store.offsets[1:])):
        codes[begin:end, 0] += clear * (0, 1, -1)[i % 3] * np.linspace(-0.5, 0.5, end - begin)
    return codes


def task_of(store, codes: np.ndarray | None = None, **more) -> Task:
    split = SimpleNamespace(name="halves", train=np.arange(24), test=np.arange(24, 48))
    codes = drifting(store) if codes is None else codes
    return dataclasses.replace(make_task(FrameModel(codes, **more), store, split), name="runs/frames")


def test_order_in_time_is_learned(store):
    """And noise is not."""
    how = Settings(**{**QUICK, "steps": 120}, average=0.9)
    found = sequence.score(task_of(store), how)
    assert list(found) == ["top-1", "top-5"]
    assert found["top-1"] >= 0.85
    assert found["top-5"] == 1.0  # of three classes
    noise = np.random.default_rng(1).normal(size=(len(store.frames), 4))
    assert sequence.score(task_of(store, noise), how)["top-1"] < 0.7


@pytest.mark.parametrize("net", ["resnet", "restcn"])
def test_other_networks(store, net):
    how = Settings(**{**QUICK, "net": net, "steps": 3})
    assert 0 <= sequence.score(task_of(store), how)["top-1"] <= 1


def test_the_seed_decides_and_nothing_is_left_behind(store):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    how = Settings(**QUICK)
    one, same, other = (
        sequence.score(dataclasses.replace(task_of(store, drifting(store, 2.0)), seed=seed), how) for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_kept_frames(store):
    """Every n-th from the first, of the first frames of a clip only, clip after clip."""
    codes = np.arange(len(store.frames), dtype=np.float32)[:, None]
    task, rows = task_of(store, codes), np.array([5, 2])
    for every, most in ((1, None), (2, None), (3, 10)):
        found = sequence.sequences(task, rows, Settings(every=every, frames=most))
        expected = [np.arange(store.offsets[i], store.offsets[i + 1])[:most][::every] for i in rows]
        assert found.lengths.tolist() == [len(each) for each in expected]
        np.testing.assert_array_equal(found.rows[:, 0], np.concatenate(expected))
    part, lengths = Sequences(found.rows, found.lengths).batch(torch.tensor([1]))
    np.testing.assert_array_equal(part[:, 0], expected[1])
    assert lengths.tolist() == [len(expected[1])]


def test_padding_that_counts(store):
    """Off the mask, all clips are as long as the longest of the task, zeros behind."""
    task = task_of(store, np.ones((len(store.frames), 1)))
    longest = -(-int(store.lengths.max()) // 2)
    found = sequence.sequences(task, task.test[:3], Settings(mask_padding=False))
    assert found.lengths.tolist() == [longest] * 3
    each = found.rows.view(3, longest)
    assert each.sum(1).tolist() == [-(-length // 2) for length in store.lengths[task.test[:3]]]
    assert (each.diff(dim=1) <= 0).all()


def test_faithful_also_gives_the_best_checkpoint(store):
    how = Settings(**QUICK, faithful=True, checkpoint=20, average=0.5)
    found = sequence.score(task_of(store), how)
    assert list(found) == ["top-1", "top-5", "top-1 at the best test checkpoint"]
    assert found["top-1 at the best test checkpoint"] >= found["top-1"]
    masked = sequence.score(task_of(store), dataclasses.replace(how, faithful=False))
    assert list(masked) == ["top-1", "top-5"]


def test_looks_at_the_test_side(store):
    """Their number, and that the last does not depend on them."""
    task, how = task_of(store), Settings(**{**QUICK, "steps": 5})
    train, test = (sequence.sequences(task, rows, how) for rows in (task.train, task.test))
    looks = sequence.classify(task, train, test, how, 2)
    assert [look.shape for look in looks] == [(24, 3)] * 3
    np.testing.assert_array_equal(looks[-1], sequence.classify(task, train, test, how, 5)[0])


def test_average_of_the_weights(store):
    """With rate 0 the last weights are scored, with a high one nearly the first: chance."""
    task = task_of(store)
    last, first = (sequence.score(task, Settings(**QUICK, average=rate))["top-1"] for rate in (0.0, 0.9999))
    assert last > first


def test_classes_left_out(store):
    task = task_of(store)
    left = sequence.narrowed(task, Settings(drop=("sit",)))
    assert {task.classes[label] for label in task.labels[[*left.train, *left.test]]} == {"hop", "walk"}
    assert len(left.train) == len(left.test) == 16
    assert 0 <= sequence.score(task, Settings(**QUICK, drop=("sit",)))["top-1"] <= 1
    with pytest.raises(InputError, match="Did you mean 'walk'"):
        sequence.narrowed(task, Settings(drop=("walks",)))
    with pytest.raises(InputError, match="at least two classes"):
        sequence.narrowed(task, Settings(drop=("sit", "hop")))


def test_few_labels(store):
    task = task_of(store)
    few = sequence.narrowed(task, Settings(fraction=0.25, stratified=True))
    assert np.bincount(task.labels[few.train]).tolist() == [2, 2, 2]
    assert set(few.train) <= set(task.train)
    np.testing.assert_array_equal(few.test, task.test)
    assert (
        sequence.narrowed(dataclasses.replace(task, seed=1), Settings(fraction=0.25)).train.tolist()
        != sequence.narrowed(task, Settings(fraction=0.25)).train.tolist()
    )


def test_a_class_that_training_lacks_is_an_error(store):
    task = task_of(store)
    task.train = task.train[task.labels[task.train] != 2]
    found = sequence.score(task, Settings(**QUICK))
    assert max(found.values()) <= 2 / 3


def test_hits_by_hand():
    logits = np.array([[3.0, 2, 1], [1, 2, 3], [2, 3, -np.inf], [np.nan] * 3], np.float32)
    truth = np.array([0, 1, 2, 0])
    assert sequence.hits(logits, truth, 1) == 0.25
    assert sequence.hits(logits, truth, 2) == 0.5
    assert sequence.hits(logits, truth, 5) == 0.5


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"every": 0}, "every"),
        ({"steps": -1}, "steps"),
        ({"frames": 0}, "frames"),
        ({"average": 1}, "average"),
        ({"fraction": 0}, "fraction"),
        ({"lr": "nan"}, "lr"),
    ],
)
def test_settings_that_cannot_be(store, values, word):
    with pytest.raises(InputError, match=word):
        sequence.narrowed(task_of(store), settings.make(Settings, values))


def test_runs_with_one_vector_per_clip_are_refused(store, fake_model):
    model = fake_model(np.ones((48, 2)))
    with pytest.raises(InputError, match="one vector per clip"):
        run.evaluate(model, store, ["sequence"], "random", untrained=False)


def test_frames_are_encoded_once(store):
    """For all protocols, seeds and shares of the labels; rows in any order; rows of neither side on their own."""
    task = task_of(store, np.arange(len(store.frames), dtype=np.float32)[:, None])
    for rows in (task.train, task.test[::-1], task.test[:1]):
        codes, offsets = task.codes(rows)
        expected = [np.arange(store.offsets[i], store.offsets[i + 1]) for i in rows]
        np.testing.assert_array_equal(codes[:, 0], np.concatenate(expected))
        np.testing.assert_array_equal(np.diff(offsets), store.lengths[rows])
    for seed in (0, 1):
        sequence.narrowed(dataclasses.replace(task, seed=seed), Settings(fraction=0.5)).codes(task.train)
    task.codes(task.test, "view")
    assert task.model.asked == [(None, "pose"), (None, "view")]
    small = dataclasses.replace(
        task, train=task.train[:4], test=task.test[:4], model=FrameModel(task.model.codes), _known={}
    )
    for rows in (small.train, np.array([40])):
        np.testing.assert_array_equal(small.codes(rows)[0], task.codes(rows)[0])
    assert small.model.asked == [(8, "pose"), (1, "pose")]


def test_codes_that_cannot_be(store):
    codes = drifting(store)
    codes[3, 1] = np.nan
    with pytest.raises(InputError, match="runs/frames"):
        sequence.score(task_of(store, codes), Settings(**QUICK))


def test_beside_random_weights_and_keypoints(store):
    """One command: the run, its encoder before training, the keypoints, each under the same network."""
    model = FrameModel(drifting(store), before=FrameModel(np.zeros((len(store.frames), 4))))
    rows = run.evaluate(model, store, ["sequence"], "random", seeds=2, settings={"sequence": QUICK})
    found = {(row["features"], row["metric"], row["seed"]) for row in rows}
    assert found == {
        (who, metric, seed)
        for who in ("trained", "untrained", "hand-crafted")
        for metric in ("top-1", "top-5")
        for seed in (0, 1)
    }
    scores = {(row["features"], row["seed"]): row["score"] for row in rows if row["metric"] == "top-1"}
    assert scores["trained", 0] > scores["untrained", 0]


def test_keypoints(store):
    """The published normalisation: mid-hip at the origin, the largest of six distances 0.5; by clip and by motion."""
    raw = baselines.Keypoints()
    codes, offsets = raw.frames(store, np.array([3, 1]))
    assert offsets.tolist() == [0, store.lengths[3], store.lengths[3] + store.lengths[1]]
    assert codes.dtype == np.float32
    joints = codes.reshape(-1, 13, 2)
    np.testing.assert_allclose(joints[:, [7, 8]].mean(1), 0, atol=1e-5)
    spans = [
        np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
        for a, b in ((1, 2), (1, 7), (1, 8), (2, 7), (2, 8), (7, 8))
    ]
    np.testing.assert_allclose(np.max(spans, 0), 0.5, rtol=1e-4)
    one = slice(store.offsets[1], store.offsets[2])
    motion = Motion(np.array(store.frames[one]) * 7 + 100, store.layout, up="-y")
    alone, ends = raw.frames(motion)
    np.testing.assert_allclose(alone, codes[offsets[1] :], atol=1e-4)
    assert ends.tolist() == [0, store.lengths[1]]
    solid = Motion(np.random.default_rng(0).normal(size=(4, 1, 25, 3)), layout.layout("ntu25"))
    assert raw.frames(solid)[0].shape == (4, 39)
