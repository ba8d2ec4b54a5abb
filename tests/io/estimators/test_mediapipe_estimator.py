"""MediaPipe as an estimator: in this Python and another, with a package made for the test and with the real one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import films
from helpers.training import kineme, one_paragraph

from kineme import io
from kineme.data.store import Store
from kineme.io import estimators
from kineme.utils.errors import InputError

pytest.importorskip("av", reason="PyAV writes and reads the videos")
PACKAGE = '''
"""Finds somebody in pictures that are not black, and counts the pictures that it has seen."""
from types import SimpleNamespace as N
print("words that are no answer")
__version__ = "0.10.0-made"

class Pose:
    def __init__(self, min_detection_confidence, min_tracking_confidence):
        self.least, self.seen = min_detection_confidence, 0

    def process(self, picture):
        self.seen += 1
        if picture.max() < 30:
            return N(pose_landmarks=None)
        joints = [N(x=j / 33, y=self.seen / 100, visibility=self.least) for j in range(33)]
        return N(pose_landmarks=N(landmark=joints))

    def close(self):
        self.seen = -1000

solutions = N(pose=N(Pose=Pose))
'''
WHITE, BLACK = np.full((20, 40, 3), 255, np.uint8), np.zeros((20, 40, 3), np.uint8)
REAL = os.environ.get("KINEME_MEDIAPIPE")  # the Python of an environment with mediapipe


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with a package of this name, for the Python here and for those that are started."""
    folder = tmp_path / "packages"
    (folder / "mediapipe").mkdir(parents=True)
    (folder / "mediapipe" / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    )
    monkeypatch.delitem(sys.modules, "mediapipe", raising=False)
    yield folder
    sys.modules.pop("mediapipe", None)


@pytest.mark.parametrize("python", [None, Path(sys.executable)])
def test_one_person_in_pixels_and_a_new_video_begins_anew(package, python):
    name, estimator = estimators.load(estimators.Models(None, min_confidence=0.4, python=python), "mediapipe")
    assert (name, estimator.layout.name, estimator.version) == ("mediapipe", "mediapipe33", "0.10.0-made")
    for _ in range(2):
        estimator.begin()
        assert estimator.people(BLACK).shape == (0, 33, 3)
        people = estimator.people(WHITE)
        assert people.shape == (1, 33, 3)
        np.testing.assert_allclose(people[0, :, 0], np.arange(33) / 33 * 40, rtol=1e-5)
        np.testing.assert_allclose(people[0, :, 1], 2 / 100 * 20, rtol=1e-5)  # the second picture of this video
        np.testing.assert_allclose(people[0, :, 2], 0.4, rtol=1e-6)


def test_through_the_command_line(package, tmp_path):
    films.write(tmp_path / "videos" / "a.mp4", 12)
    words = ("poses", tmp_path / "videos", "--out", tmp_path / "poses", "--estimator", "mediapipe")
    done = kineme(*words, "--python", sys.executable, env={"PYTHONPATH": os.environ["PYTHONPATH"]})
    assert "1 videos, mediapipe: 33 joints of mediapipe33" in done.stdout
    kineme("prepare", tmp_path / "poses", tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.layout.name == "mediapipe33"
    assert len(store.frames) == 12


def test_a_package_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(InputError, match=r"no usable mediapipe here.*--python mp/bin/python"):
        estimators.load(estimators.Models(None), "mediapipe")
    with pytest.raises(InputError, match="No such file"):
        estimators.load(estimators.Models(None, python=tmp_path / "python"), "mediapipe")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'No module named mediapipe' >&2\n")
    broken.chmod(0o755)
    with pytest.raises(InputError, match="broken: No module named mediapipe"):
        estimators.load(estimators.Models(None, python=broken), "mediapipe")


def test_a_process_that_dies_is_said(package):
    _, estimator = estimators.load(estimators.Models(None, python=Path(sys.executable)), "mediapipe")
    estimator.pose.process.kill()
    with pytest.raises(InputError, match=r"it ended without a word|words that are no answer"):
        estimator.people(WHITE)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--estimator", "mediapipe", "--model", "x.onnx"), "mediapipe brings its own model"),
        ((), "Or name an estimator that brings its own: --estimator mediapipe"),
    ],
)
def test_a_model_or_an_estimator_that_brings_one(tmp_path, more, said):
    films.write(tmp_path / "a.mp4", 4)
    done = kineme("poses", tmp_path / "a.mp4", "--out", tmp_path / "poses", *more, check=False)
    one_paragraph(done, said)


@pytest.mark.skipif(not REAL, reason="KINEME_MEDIAPIPE names no Python with mediapipe")
@pytest.mark.parametrize(("name", "frames"), [("ta_chi", 300), ("skateboarding", 246)])
def test_the_real_one_finds_what_was_recorded(data_dir, tmp_path, name, frames):
    """As recorded with the same version: people in as many frames, joints within a pixel in the median."""
    (tmp_path / "videos").mkdir()
    shutil.copy(data_dir / "videos" / f"{name}.mp4", tmp_path / "videos")
    words = ("--estimator", "mediapipe", "--python", REAL, "--min-confidence", "0.5")
    kineme("poses", tmp_path / "videos", "--out", tmp_path / "poses", *words)
    found = io.read(tmp_path / "poses" / f"{name}.json")
    recorded = io.read(data_dir / "formats" / "mediapipe" / f"{name}.json", io.Options(table={"landmarks": "image"}))
    seen, before = (each.confidence.any((1, 2)) for each in (found, recorded))
    assert abs(int(seen.sum()) - frames) <= 5
    both = (found.confidence > 0) & (recorded.confidence > 0)
    assert (seen & before).sum() > 0.95 * frames
    apart = np.linalg.norm(found.joints - recorded.joints, axis=-1)[both]
    assert np.median(apart) < 1.0
