"""Cross-view pose retrieval: pairs of cameras, hits, the picture."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.framewise import FrameModel, frame_store
from PIL import Image

from kineme.data import synth
from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.evaluation import baselines, run
from kineme.evaluation.protocols import _camera_pairs, pose_retrieval
from kineme.evaluation.protocols.pose_retrieval import Found, Settings
from kineme.evaluation.task import make_task
from kineme.motion import layout as skeleton
from kineme.utils.errors import InputError
from kineme.views import random_cameras

RAW = baselines.Keypoints()


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, Store]:
    """Motions in the room, and the same kind of motions filmed by three synchronous cameras."""
    found = {}
    for name, options in (("solid", {"cameras": 0}), ("flat", {"cameras": 3, "layout": "pose13"})):
        motions = list(synth.generate(24, subjects=2, **options))
        with Writer(tmp_path_factory.mktemp("retrieval") / name, motions[0].layout) as writer:
            for motion in motions:
                writer.add(motion)
        found[name] = Store(writer.path)
    return found


def number(see=None) -> FrameModel:
    """A model that knows how many frames came before, and nothing else."""
    return FrameModel(np.zeros((1, 1)), see=see or (lambda motion, part: np.eye(len(motion))))


# --------------------------------------------------------------------------------------------------------------- pairs


def test_recorded_pairs(stores):
    """Frame i of both sides is one moment: found again in the store, in the named cameras."""
    store = stores["flat"]
    camera, performance = store.column("camera"), store.column("performance")
    place = {frame.tobytes(): i for i, frame in enumerate(np.array(store.frames))}
    clip = np.repeat(np.arange(len(store)), store.lengths)
    found = _camera_pairs.recorded(store, np.arange(len(store)), 20, torch.Generator().manual_seed(0))
    assert [(shots.first.camera, shots.second.camera) for shots in found] == [("1", "2"), ("1", "3"), ("2", "3")]
    for shots in found:
        assert len(shots.first) == len(shots.second) == 20
        at = [np.array([place[frame.tobytes()] for frame in side.joints]) for side in shots[:2]]
        assert len(set(at[0])) == 20
        for side, rows in zip(shots[:2], at):
            assert {str(name) for name in camera[clip[rows]]} == {side.camera}
        one, other = (clip[rows] for rows in at)
        assert (performance[one] == performance[other]).all()
        np.testing.assert_array_equal(at[0] - store.offsets[one], at[1] - store.offsets[other])


def test_drawn_pairs(stores):
    """Two views of one body: each is the projection of the same pose, and from in front its left is on the right."""
    level = random_cameras.CameraSettings(elevation=0, roll=0)
    shots = _camera_pairs.draw(stores["solid"], np.arange(24), 60, level, torch.Generator().manual_seed(0))
    assert len(shots.first) == len(shots.second) == len(shots.body) == len(shots.azimuth) == 60
    assert not np.allclose(shots.first.joints, shots.second.joints)
    seen, layout = shots.first.joints[:, 0], shots.first.layout.joints
    across = sum(
        seen[:, layout.index(f"left_{part}"), 0] - seen[:, layout.index(f"right_{part}"), 0]
        for part in ("shoulder", "hip")
    )
    azimuth = shots.azimuth.numpy()
    assert ((azimuth >= 0) & (azimuth < 2 * np.pi)).all()
    front, back = np.cos(azimuth) > 0.7, np.cos(azimuth) < -0.7
    assert front.any()
    assert back.any()
    assert (across[front] > 0).all()
    assert (across[back] < 0).all()
    assert (seen[:, layout.index("nose"), 1] < 0).all()  # up is where rows are small


def test_only_the_rows_that_are_asked_for(stores):
    """And no frame twice."""
    store = stores["solid"]
    shots = _camera_pairs.draw(
        store, np.array([3]), 1000, random_cameras.CameraSettings(), torch.Generator().manual_seed(0)
    )
    assert len(shots.body) == store.lengths[3]
    assert len(np.unique(shots.body.numpy(), axis=0)) == len(shots.body)


# ---------------------------------------------------------------------------------------------------------------- hits


@pytest.mark.parametrize("name", ["solid", "flat"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_perfect_code(stores, name, distance):
    task = make_task(number(), stores[name], SimpleNamespace(name="all", train=np.arange(12), test=np.arange(24)))
    found = pose_retrieval.score(task, Settings(gallery=50, distance=distance))
    names = ["hit@1 of 50", "hit@10 of 50"] + ["near hit@1 of 50", "near hit@10 of 50"] * (name == "solid")
    assert found == dict.fromkeys(names, 1.0)


def test_hits_by_hand():
    """Poses on a line, 0.04 trunk lengths from each other; every query finds its neighbour, then itself."""
    body = torch.zeros(5, 3, 3)
    body[:, :, 0] = 0.06 * torch.arange(5)[:, None]
    nearest = torch.tensor([[1, 0], [2, 1], [3, 2], [4, 3], [0, 4]])
    found = pose_retrieval._hits(Found(_camera_pairs.Shots(None, None, body), nearest), Settings(k=(1, 2)))
    assert found == pytest.approx({"hit@1 of 5": 0, "hit@2 of 5": 1, "near hit@1 of 5": 0.8, "near hit@2 of 5": 1})


def test_both_directions_of_recorded_cameras(stores):
    """A code of camera 1 that says nothing: its poses cannot be queries, nor can they be found."""

    def see(motion, part):
        return np.zeros((len(motion), len(motion))) if motion.camera == "1" else np.eye(len(motion))

    found = pose_retrieval.retrieve(number(see), stores["flat"], np.arange(24), Settings(gallery=30), 0)
    pairs = [(each.shots.first.camera, each.shots.second.camera) for each in found]
    assert sorted(pairs) == [(a, b) for a in "123" for b in "123" if a != b]
    for (one, other), each in zip(pairs, found):
        hit = pose_retrieval._hits(each, Settings(k=(1,)))["hit@1 of 30"]
        assert hit == 1 if "1" not in (one, other) else hit < 0.2


def test_keypoints_do_better_than_chance_and_seeds_differ(stores):
    how = Settings(gallery=200)
    first, same, other = (pose_retrieval.retrieve(RAW, stores["solid"], np.arange(24), how, seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].nearest, same[0].nearest)
    assert not torch.equal(first[0].shots.body, other[0].shots.body)
    assert pose_retrieval._hits(first[0], how)["hit@10 of 200"] > 2 * 10 / 200


def test_what_cannot_be(stores, fake_model, tmp_path):
    every = np.arange(24)
    with pytest.raises(InputError, match="code for each frame"):
        pose_retrieval.retrieve(fake_model(np.ones((24, 2))), stores["solid"], every, Settings())
    alone = frame_store(tmp_path / "alone", ["a", "b"] * 4, (1, 2))  # no performance is known
    with pytest.raises(InputError, match="synchronous cameras"):
        pose_retrieval.retrieve(RAW, alone, np.arange(8), Settings())
    for values in ({"gallery": 1}, {"k": ()}, {"k": (0,)}):
        with pytest.raises(InputError, match="pose_retrieval"):
            Settings(**values)


# ------------------------------------------------------------------------------------------------------------- picture


@pytest.mark.parametrize("name", ["solid", "flat"])
def test_picture(stores, name, tmp_path):
    found = pose_retrieval.retrieve(RAW, stores[name], np.arange(24), Settings(gallery=40))[0]
    for shown, file in ((6, "six.png"), (100, "all.png")):
        pose_retrieval.picture(found, tmp_path / file, shown)
    few, many = (np.asarray(Image.open(tmp_path / file).convert("L")) for file in ("six.png", "all.png"))
    assert many.shape[1] > 3 * few.shape[1]
    thirds = np.array_split(few, 3)
    assert all((part < 128).mean() > 0.005 for part in thirds)  # every row has figures


def test_poses_in_one_place_and_size(stores):
    shots = _camera_pairs.recorded(stores["flat"], np.arange(24), 30, torch.Generator().manual_seed(0))[0]
    placed = _camera_pairs.upright(shots.first)
    hips = [skeleton.layout("pose13").joints.index(f"{side}_hip") for side in ("left", "right")]
    np.testing.assert_allclose(placed.joints[:, 0, hips].mean(1), 0, atol=1e-5)
    assert np.ptp(placed.joints[..., 1], axis=(1, 2)).max() < 4
    assert placed.camera == "1"


def test_rows_of_one_command(stores):
    model = number(lambda motion, part: np.eye(len(motion)))
    model.before = number(lambda motion, part: np.zeros((len(motion), 3)))
    rows = run.evaluate(
        model,
        stores["solid"],
        ["pose_retrieval"],
        "random",
        settings={"pose_retrieval": {"gallery": 40, "cameras": {"elevation": 10}}},
    )
    assert {(row["features"], row["metric"]) for row in rows} == {
        (who, metric)
        for who in ("trained", "untrained", "hand-crafted")
        for metric in ("hit@1 of 40", "hit@10 of 40", "near hit@1 of 40", "near hit@10 of 40")
    }
