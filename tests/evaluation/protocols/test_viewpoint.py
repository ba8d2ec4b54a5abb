"""Which camera: told from the view code, and from the pose code as leakage."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.framewise import FrameModel, frame_store

from kineme.data import synth
from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.evaluation import baselines, run, scores
from kineme.evaluation.protocols import viewpoint
from kineme.evaluation.protocols.viewpoint import Settings
from kineme.evaluation.task import make_task
from kineme.motion import layout
from kineme.utils.errors import InputError
from kineme.views.random_cameras import CameraSettings

SPLIT = SimpleNamespace(name="halves", train=np.arange(24), test=np.arange(24, 48))


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> Store:
    """Three of four clips are of camera a."""
    folder = tmp_path_factory.mktemp("viewpoint")
    return frame_store(folder / "flat", ["sit", "walk"] * 24, ("a", "a", "b", "a"))


@pytest.fixture(scope="module")
def solid(tmp_path_factory) -> Store:
    with Writer(tmp_path_factory.mktemp("viewpoint") / "solid", layout.layout("ntu25")) as writer:
        for motion in synth.generate(32, cameras=0, subjects=4):
            writer.add(motion)
    return Store(writer.path)


def codes(store: Store) -> dict[str, np.ndarray]:
    """A view code that shows the camera, a pose code that does not."""
    rng = np.random.default_rng(0)
    camera = np.repeat(store.column("camera") == "b", store.lengths)[:, None]
    noise, pose = rng.normal(size=(2, len(camera), 3))
    return {"view": camera + 0.1 * noise, "pose": pose}


def test_view_and_pose_code(flat):
    task = make_task(FrameModel(codes(flat)), flat, SPLIT)
    found = viewpoint.score(task, Settings())
    assert list(found) == ["view code", "pose code", "chance"]
    assert found["view code"] == 1
    assert found["chance"] == 0.75
    assert abs(found["pose code"] - 0.75) < 0.15


def test_frames_of_a_clip(flat, monkeypatch):
    """Evenly spread, of the clip itself; those without anybody are left out."""
    numbers = np.arange(len(flat.frames), dtype=np.float32)[:, None]
    seen = np.array(flat.confidence)
    seen[flat.offsets[5] : flat.offsets[6]] = 0
    monkeypatch.setattr(flat, "confidence", seen)
    task = make_task(FrameModel({"pose": numbers, "view": -numbers}), flat, SPLIT)
    side = viewpoint._recorded(task, np.array([4, 5, 6]), Settings(frames=3))
    assert side.names.tolist() == ["a"] * 3 + ["b"] * 3
    places = side.codes["pose"][:3, 0] - flat.offsets[4]
    assert (np.diff(places) >= 1).all()
    assert 0 < places[0] < places[-1] < flat.lengths[4] - 1
    np.testing.assert_array_equal(side.codes["view"], -side.codes["pose"])


def test_a_run_without_a_view_code(flat):
    """The variant ``align`` has one code."""
    model = FrameModel(codes(flat))
    whole = model.frames

    def frames(what, rows=None, *, part="pose"):
        if part != "pose":
            raise InputError("part", repr(part), "one of pose")
        return whole(what, rows, part=part)

    model.frames = frames
    assert list(viewpoint.score(make_task(model, flat, SPLIT), Settings())) == ["pose code", "chance"]


def test_a_test_side_of_other_cameras(flat):
    camera = flat.column("camera")
    split = SimpleNamespace(name="xview", train=np.flatnonzero(camera == "a"), test=np.flatnonzero(camera == "b"))
    with pytest.raises(InputError, match="by people"):
        viewpoint.score(make_task(FrameModel(codes(flat)), flat, split), Settings())


def test_drawn_cameras(solid):
    """From level cameras the joints in the picture tell the side of the body; a constant tells nothing."""
    split = SimpleNamespace(name="halves", train=np.arange(0, 32, 2), test=np.arange(1, 32, 2))
    how = Settings(poses=400, draw=CameraSettings(elevation=0, roll=0))
    raw = make_task(baselines.Keypoints(), solid, split)
    found = viewpoint.score(raw, how)
    assert found["view code"] == found["pose code"] > 0.6
    assert found["chance"] < 0.25
    blind = FrameModel(np.zeros((1, 1)), see=lambda motion, part: np.zeros((len(motion), 2)))
    blank = viewpoint.score(dataclasses.replace(raw, model=blind), how)
    assert blank["view code"] == blank["chance"]
    assert viewpoint.score(raw, how) == found
    assert viewpoint.score(dataclasses.replace(raw, seed=1), how) != found


def test_poses_and_cameras_of_the_two_sides_are_others(solid, monkeypatch):
    """A code that knows pictures by heart, and nothing else, tells no camera of a picture that it has not seen."""
    split = SimpleNamespace(name="halves", train=np.arange(0, 32, 2), test=np.arange(1, 32, 2))
    how = Settings(poses=300)
    asked, shown = [], []
    plain = viewpoint._camera_pairs.draw

    def draw(store, rows, n, cameras, gen):
        asked.append((tuple(rows), gen.initial_seed()))
        return plain(store, rows, n, cameras, gen)

    def by_heart(motion, part):
        shown.append({frame.tobytes() for frame in motion.joints})
        return np.stack([np.random.default_rng(list(frame.tobytes())).normal(size=400) for frame in motion.joints])

    monkeypatch.setattr(viewpoint._camera_pairs, "draw", draw)
    task = make_task(FrameModel(np.zeros((1, 1)), see=by_heart), solid, split)
    for seed in (0, 1):
        found = viewpoint.score(dataclasses.replace(task, seed=seed), how)
        assert found["pose code"] < found["chance"] + 0.15
    assert [rows for rows, _ in asked] == [tuple(split.train), tuple(split.test)] * 2
    assert len({seed for _, seed in asked}) == 4
    assert not set.intersection(shown[0], shown[2])  # view and pose code of either side


def test_the_store_decides(flat, solid):
    tasks = [make_task(FrameModel(np.zeros((1, 1))), store, "random") for store in (flat, solid)]
    kinds = [viewpoint.resolve(Settings(), task) for task in tasks]
    assert [how.cameras for how in kinds] == ["recorded", "drawn"]
    assert [viewpoint.is_stochastic(how) for how in kinds] == [False, True]
    with pytest.raises(InputError, match="2-D poses"):
        viewpoint.score(tasks[0], Settings(cameras="drawn"))


def test_what_is_said(flat):
    """More is better of the view code, less of the pose code; chance only stands beside."""
    model = FrameModel(codes(flat), before=FrameModel(np.zeros((len(flat.frames), 2))))
    said = scores.verdicts(run.evaluate(model, flat, ["viewpoint"], SPLIT))
    assert sum("viewpoint pose code" in text for text in said) == 1
    assert any(
        "viewpoint pose code" in text and "lower is better, untrained encoder 0.750, hand-crafted features" in text
        for text in said
    )
    assert any("viewpoint view code" in text and "0.250 above the untrained encoder" in text for text in said)
    assert not any("chance on" in text for text in said)


@pytest.mark.parametrize("change", [{"frames": 0}, {"poses": 1}, {"sectors": 1}])
def test_settings_that_cannot_be(change):
    with pytest.raises(InputError, match=next(iter(change))):
        Settings(**change)
