"""Pose estimators: models that find two squares, videos of them, files that are no models, interrupted work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import onnx_models
from helpers.training import kineme

from kineme import io as readers
from kineme.data.store import Store
from kineme.io import coco, estimators
from kineme.io.estimators import _onnx
from kineme.utils import registry
from kineme.utils.errors import InputError

pytest.importorskip("onnx", reason="onnx makes the models of these tests")
pytest.importorskip("onnxruntime", reason="onnxruntime runs them")
pytest.importorskip("av", reason="PyAV writes and reads the videos")
FRAMES = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with models and a video."""
    folder = tmp_path_factory.mktemp("made")
    onnx_models.yolo(folder / "yolo.onnx")
    onnx_models.yolo(folder / "ready.onnx", end_to_end=True)
    onnx_models.rtmpose(folder / "rtmpose.onnx")
    onnx_models.video(folder / "clip.mp4", FRAMES)
    return folder


def opened(made: Path, model: str = "yolo.onnx", **more):
    return estimators.load(estimators.Models(made / model, **more))


@pytest.mark.parametrize("model", ["yolo.onnx", "ready.onnx"])
def test_yolo_finds_everybody_once(made, model):
    name, estimator = opened(made, model)
    assert (name, estimator.layout.name) == ("yolo_pose", "coco17")
    for number in (0, 5):
        picture, middles = onnx_models.squares(number)
        people = estimator.people(picture)
        assert people.shape == (2, 17, 3)
        factor = onnx_models.SIDE / 120
        for person, middle in zip(people, middles):
            np.testing.assert_allclose(person[:, :2], middle + onnx_models.OFFSETS / factor, atol=0.6)
            np.testing.assert_allclose(person[:, 2], 0.8, rtol=1e-5)
    assert estimator.people(np.full((80, 120, 3), 90, np.uint8)).shape == (0, 17, 3)
    assert len(estimator.people(onnx_models.squares(3, green=False)[0])) == 1


def test_rtmpose_looks_into_boxes(made):
    name, estimator = opened(made, "rtmpose.onnx", boxes=made / "yolo.onnx")
    assert (name, estimator.layout.name) == ("rtmpose", "coco17")
    picture, middles = onnx_models.squares(4)
    people = estimator.people(picture)
    assert people.shape == (2, 17, 3)  # of whom this model sees the red one
    wide, high = np.array(onnx_models.BOX) * 120 / onnx_models.SIDE * 1.25
    half = max(wide / 48, high / 64) / 2  # a pixel's half
    expected = middles[0] + np.stack([np.zeros(17), half * np.arange(17)], 1)
    np.testing.assert_allclose(people[0, :5, :2], expected[:5], atol=1.2)
    np.testing.assert_allclose(people[0, :, 2], 0.8, rtol=1e-4)
    alone = opened(made, "rtmpose.onnx")[1].people(onnx_models.squares(4, green=False)[0])
    assert alone.shape == (1, 17, 3)
    np.testing.assert_allclose(alone[0, 0, :2], middles[0], atol=3)


def test_a_video_and_its_file(made, tmp_path):
    _, estimator = opened(made)
    told: list[tuple[int, int]] = []
    motion = estimators.poses(readers.open_video(made / "clip.mp4"), estimator, report=lambda *at: told.append(at))
    assert (len(motion), motion.persons, motion.fps, motion.image_size) == (FRAMES, 2, 25.0, (120, 80))
    assert told == [(k + 1, FRAMES) for k in range(FRAMES)]
    middles = np.stack([onnx_models.squares(k)[1] for k in range(FRAMES)])
    places = motion.joints[:, :, 7] - onnx_models.OFFSETS[7] * 120 / onnx_models.SIDE
    red = int(np.abs(places[0, 1] - middles[0, 0]).max() < 3)
    np.testing.assert_allclose(places[:, [red, 1 - red]], middles, atol=1)  # who is who over time
    back = readers.read(coco.write_file(tmp_path / "clip.json", motion))
    np.testing.assert_allclose(back.joints, motion.joints, atol=6e-4)
    np.testing.assert_allclose(back.confidence, motion.confidence, atol=6e-6)
    assert (back.layout, back.fps, back.image_size, back.extra["followed"]) == (motion.layout, 25.0, (120, 80), "id")


@pytest.mark.parametrize("after", [0, 1, 5, FRAMES - 1])
def test_interrupted_work_is_gone_on_with(made, tmp_path, after):
    _, estimator = opened(made)
    video, kept = readers.open_video(made / "clip.mp4"), tmp_path / "clip.unfinished.npz"
    whole = estimators.poses(video, estimator)
    asked = iter([*[False] * after, *[True] * 99])
    assert estimators.poses(video, estimator, kept, "key", stop=lambda: next(asked)) is None
    assert kept.is_file()
    done: list[int] = []
    again = estimators.poses(video, estimator, kept, "key", lambda k, _: done.append(k))
    assert done == list(range(after + 1, FRAMES + 1))
    np.testing.assert_array_equal(again.joints, whole.joints)
    np.testing.assert_array_equal(again.confidence, whole.confidence)
    assert not kept.exists()


@pytest.mark.parametrize("damage", ["another key", "cut", "text", "more frames"])
def test_what_is_kept_of_something_else_is_not_used(made, tmp_path, damage):
    _, estimator = opened(made)
    video, kept = readers.open_video(made / "clip.mp4"), tmp_path / "clip.unfinished.npz"
    asked = iter([False] * 4 + [True])
    estimators.poses(video, estimator, kept, "key", stop=lambda: next(asked))
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:200])
    elif damage == "text":
        kept.write_text("x")
    elif damage == "more frames":
        with np.load(kept) as arrays:
            content = dict(arrays)
        np.savez(kept, **{**content, "done": np.array(9)})
    done: list[int] = []
    key = "other" if damage == "another key" else "key"
    estimators.poses(video, estimator, kept, key, lambda k, _: done.append(k))
    assert done[0] == 1


def test_models_that_are_none(made, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match=r"text\.onnx: not to be opened"):
        estimators.load(estimators.Models(tmp_path / "text.onnx"))
    with pytest.raises(InputError, match=r"gone\.onnx: no such file"):
        estimators.load(estimators.Models(tmp_path / "gone.onnx"))
    with pytest.raises(InputError, match=r"pose estimator 'rtmpos'.*Did you mean 'rtmpose'"):
        estimators.load(estimators.Models(made / "yolo.onnx"), "rtmpos")
    with pytest.raises(InputError, match=r"yolo\.onnx: a model with inputs \[1, 3, 96, 96\].*one for rtmpose"):
        estimators.load(estimators.Models(made / "yolo.onnx"), "rtmpose")
    with pytest.raises(InputError, match=r"--layout: ntu25 of 25 joints.*one of 17"):
        opened(made, layout="ntu25")
    assert opened(made, layout="h36m17")[1].layout.name == "h36m17"
    onnx_models.yolo(tmp_path / "other.onnx", about={"task": "segment"})
    with pytest.raises(InputError, match=r"other\.onnx: a model with"):
        estimators.load(estimators.Models(tmp_path / "other.onnx"))


def test_names_of_classes_are_read_not_run(tmp_path):
    about = {"task": "pose", "names": "__import__('os').mkdir('executed')"}
    session = _onnx.Session(onnx_models.yolo(tmp_path / "a.onnx", about=about))
    assert _onnx._person(session.signature) == 0
    assert not Path("executed").exists()
    named = _onnx.Signature((), (), {"names": "{0: 'dog', 3: 'person'}"})
    assert _onnx._person(named) == 3


def test_boxes_that_are_one_person():
    boxes = np.float32([[0, 0, 10, 20], [1, 0, 11, 20], [30, 0, 40, 20], [0, 0, 4, 4], [0, 0, 0, 0]])
    assert _onnx._distinct(boxes).tolist() == [0, 2, 3, 4]
    assert _onnx._distinct(boxes[:0]).tolist() == []


def test_every_estimator_says_what_it_is():
    assert {"rtmpose", "yolo_pose"} <= registry.names("io.estimators").keys()
    assert all(registry.names("io.estimators").values())


# ---------------------------------------------------------------------------------------------------- command line


def test_videos_become_poses_and_a_store(made, tmp_path):
    src = tmp_path / "src"
    onnx_models.video(src / "wave" / "one.mp4", 8)
    onnx_models.video(src / "walk" / "two.mp4", 10, green=False)
    onnx_models.video(src / "walk" / "cut.mp4", 8)
    (src / "walk" / "cut.mp4").write_bytes((src / "walk" / "cut.mp4").read_bytes()[:900])
    (src / "notes.txt").write_text("no video")
    words = ("poses", src, "--out", tmp_path / "poses", "--model", made / "yolo.onnx")
    done = kineme(*words)
    assert "3 videos, yolo_pose: 17 joints of coco17" in done.stdout
    assert "poses of 2 videos, 1 skipped" in done.stdout
    assert "cut.mp4" in done.stderr
    written = sorted(path.relative_to(tmp_path / "poses").as_posix() for path in (tmp_path / "poses").rglob("*.*"))
    assert written == ["walk/two.json", "wave/one.json"]
    before = (tmp_path / "poses" / "walk" / "two.json").read_bytes()
    again = kineme(*words)
    assert "poses of 0 videos, 2 there already, 1 skipped" in again.stdout
    assert (tmp_path / "poses" / "walk" / "two.json").read_bytes() == before
    kineme("prepare", tmp_path / "poses", tmp_path / "store", "--labels", "folder")
    store = Store(tmp_path / "store")
    assert store.clips["label"].to_pylist() == ["walk", "wave"]
    np.testing.assert_allclose(store.clips["fps"].to_pylist(), [25, 25])
    kineme("prepare", src, tmp_path / "both", "--poses", tmp_path / "poses")
    both = Store(tmp_path / "both")
    assert sorted(both.clips["length"].to_pylist()) == [8, 10]
    assert next(iter(both.pictures([0]))).ndim == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gone.mp4", "--model", "yolo.onnx"), "gone.mp4: no such file or folder"),
        ((".", "--model", "gone.onnx"), "gone.onnx: no such file"),
        (("clip.mp4", "--model", "yolo.onnx", "--min-confidence", "7"), "--min-confidence: 7"),
        (("rtmpose.onnx", "--model", "yolo.onnx"), "none has poses now"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_paragraph(made, tmp_path, words, said):
    done = kineme("poses", *words, "--out", tmp_path / "poses", cwd=made, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
