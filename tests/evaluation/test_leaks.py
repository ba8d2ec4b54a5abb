"""Leaks: what test clips share with training clips, each kind by hand, and where it is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import make_store

from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.evaluation import leaks, run
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError


@pytest.fixture
def clips():
    """Ten clips of smooth movement, each of its own kind."""
    gen, joints = np.random.default_rng(0), skeleton.layout("kinect20")
    rest, made = gen.normal(size=(20, 3)), []
    for i in range(10):
        time = np.linspace(0, 6, 40)[:, None, None, None] * (1 + i / 3)
        way = gen.normal(size=(1, 1, 20, 3))
        made.append(
            Motion(rest + 0.5 * np.sin(time) * way, joints, up="+y", unit="m", label=f"{i % 2}", source=f"c{i}")
        )
    return made


def stored(path, clips) -> Store:
    with Writer(path, clips[0].layout, normalise={"how": "none"}) as writer:
        for clip in clips:
            writer.add(clip)
    return Store(path)


TRAIN, TEST = np.arange(5), np.arange(5, 10)


def found(store, train=TRAIN, test=TEST) -> dict:
    return {leak.kind: list(zip(leak.test.tolist(), leak.train.tolist())) for leak in leaks.find(store, train, test)}


def test_clips_that_share_nothing(clips, tmp_path):
    store = stored(tmp_path / "clean", clips)
    assert found(store) == {}
    assert leaks.note(store, [], 5) == ""


def test_the_same_frames(clips, tmp_path):
    clips[7] = clips[2].with_(source="c7")
    store = stored(tmp_path / "same", clips)
    assert found(store) == {"frames": [(7, 2)]}
    said = leaks.note(store, leaks.find(store, TRAIN, TEST), 5)
    assert said == "of 5 test clips 1 are training clips once more"


def test_near_duplicates(clips, tmp_path):
    """With noise of 1 % of the body's size, and turned about the vertical; with noise of 10 % it is another clip."""
    gen = np.random.default_rng(1)
    size = np.sqrt(((clips[1].joints - clips[1].joints.mean((1, 2), keepdims=True)) ** 2).sum(-1).mean())
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    near = clips[1].joints + 0.01 * size / np.sqrt(3) * gen.normal(size=clips[1].joints.shape)
    far = clips[2].joints + 0.1 * size / np.sqrt(3) * gen.normal(size=clips[2].joints.shape)
    clips[6] = clips[6].with_(joints=near @ turn.T)
    clips[8] = clips[8].with_(joints=far)
    store = stored(tmp_path / "near", clips)
    assert found(store) == {"near-duplicate": [(6, 1)]}
    assert leaks.note(store, leaks.find(store, TRAIN, TEST), 5).endswith(
        "are near-duplicates of training clips (c6 and c1)"
    )


def test_near_duplicates_at_another_speed_and_parts(clips, tmp_path):
    """By the same rule as `kineme duplicates`."""
    two, three = clips[2], clips[3]
    clips[5] = clips[5].with_(joints=two.joints[::2], confidence=two.confidence[::2])
    clips[9] = clips[9].with_(joints=1.2 * three.joints[4:], confidence=three.confidence[4:])
    assert found(stored(tmp_path / "near", clips)) == {"near-duplicate": [(5, 2), (9, 3)]}


def test_pieces_of_one_recording(clips, tmp_path):
    """Frames 0 to 40 and 30 to 70 overlap, 40 to 80 follows."""
    for i, start in ((0, 0), (5, 30), (6, 40), (7, 30)):
        take = "other" if i == 7 else "take"
        clips[i] = clips[i].with_(extra={"recording": take, "start": start, "end": start + 40})
    store = stored(tmp_path / "pieces", clips)
    assert found(store) == {"overlap": [(5, 0)], "recording": [(5, 0), (6, 0)]}


def test_performance_and_subject(clips, tmp_path):
    """Subject 1 of another data set is another person."""
    for i, (name, person, owner) in {
        0: ("p0", 1, "a"), 5: ("p0", 1, "a"), 6: ("p1", 1, "a"), 7: ("p0", 1, "b"), 8: ("p2", 2, "a"),
    }.items():  # fmt: skip
        clips[i] = clips[i].with_(subject=person, extra={"performance": name, "dataset": owner})
    store = stored(tmp_path / "people", clips)
    assert found(store) == {"performance": [(5, 0)], "subject": [(5, 0), (6, 0)]}


def test_an_evaluation_says_it(tmp_path, fake_model):
    store = make_store(tmp_path / "swing", clips=20)
    sides = SimpleNamespace(name="mine", train=np.arange(10), test=np.arange(10, 20))
    rows = run.evaluate(fake_model(np.eye(20)), store, "knn", sides, untrained=False, baseline=False)
    people = int(np.isin(store.column("subject")[10:], store.column("subject")[:10]).sum())
    assert rows[0]["leaks"] == {"subject": people}
    assert rows[0]["notes"] == [f"of 10 test clips {people} share their subject with a training clip"]


def test_copies_can_be_left_out(clips, tmp_path, fake_model):
    clips[7] = clips[2].with_(source="c7")
    store = stored(tmp_path / "same", clips)
    sides = SimpleNamespace(name="mine", train=TRAIN, test=TEST)
    how = {"split": sides, "untrained": False, "baseline": False, "copies": False, "settings": {"knn": {"k": (1,)}}}
    rows = run.evaluate(fake_model(np.eye(10)), store, "knn", **how)
    assert rows[0]["test"] == 4
    assert rows[0]["leaks"] == {}
    assert rows[0]["notes"] == ["1 test clips that are copies of training clips were left out"]
    assert 7 not in rows.task.test
    only = SimpleNamespace(name="mine", train=TRAIN, test=np.array([7]))
    with pytest.raises(InputError, match="nothing but copies"):
        run.evaluate(fake_model(np.eye(10)), store, "knn", **(how | {"split": only}))
