"""MediaPipe Pose: the most prominent person, 33 joints, by the model that the package ``mediapipe`` brings along.

The package (0.10 up to 0.10.21 has the model) wants numpy 1. Where that collides with what is installed here, it lives
in an environment of its own, whose Python is named (``kineme poses --python ENV/bin/python``): it is started once and
told the pictures. The person is followed from picture to picture, so a video that was interrupted and is gone on with
may differ by some pixels after the interruption. Confidence is what MediaPipe calls visibility (Bazarevsky et al.,
arXiv:2006.10204).
"""

from __future__ import annotations

import importlib
import json
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...motion.layout import layout
from ...utils.errors import InputError
from . import Estimator, Models, _mediapipe_pose, _onnx

NAME = "--estimator mediapipe"
HINT = (
    "Make an environment for it: python3 -m venv mp && mp/bin/pip install mediapipe==0.10.21, and add "
    "--python mp/bin/python"
)
brings_model = True


def fits(signature: _onnx.Signature) -> bool:
    """No file is a model of it."""
    return False


def load(models: Models) -> MediaPipe:
    """Start it, here or in the environment of the Python that is named."""
    return MediaPipe(models)


class MediaPipe(Estimator):
    """One person in a video; see the head of this file.

    Raises:
        InputError: the package is missing here or there, or has no model.
    """

    def __init__(self, models: Models):
        self.layout = layout("mediapipe33")
        if models.python is None:
            self.pose: Any = _mediapipe_pose.Pose(_package(), models.min_confidence)
        else:
            self.pose = Elsewhere(models.python, models.min_confidence)
        self.version = self.pose.version

    def begin(self) -> None:
        self.pose.begin()

    def people(self, picture: np.ndarray) -> np.ndarray:
        """See :meth:`kineme.io.estimators.Estimator.people`."""
        found = self.pose.find(picture)
        if not len(found):
            return np.zeros((0, len(self.layout), 3), np.float32)
        height, width = picture.shape[:2]
        return (found * np.array([width, height, 1], np.float32))[None]


def _package() -> ModuleType:
    """The package as it is installed here."""
    try:
        package = importlib.import_module("mediapipe")
        package.solutions.pose  # noqa: B018 - later versions bring no model
    except (ImportError, AttributeError) as error:
        raise InputError(NAME, f"no usable mediapipe here ({error})", "mediapipe 0.10 up to 0.10.21", HINT) from None
    return package


class Elsewhere:
    """``_mediapipe_pose.py`` in a process of another Python: pictures in, joints out.

    Args:
        python: the interpreter.
        least: confidence of a person, at least.
    """

    def __init__(self, python: Path, least: float):
        self.python, self.said = python, tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        words = [str(python), _mediapipe_pose.__file__, repr(least)]
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, start_new_session=True
            )  # a session of its own: Ctrl-C is for this process, which then closes the pipe
        except OSError as error:
            raise InputError("--python", f"{python} ({error.strerror})", "a Python with mediapipe", HINT) from None
        self.version = str(self._answer()["version"])

    def begin(self) -> None:
        self._send(b"begin\n")

    def find(self, picture: np.ndarray) -> np.ndarray:
        """x, y in shares of the picture and visibility, float32 ``[33, 3]``, or ``[0, 3]``."""
        height, width = picture.shape[:2]
        self._send(f"{height} {width}\n".encode() + np.ascontiguousarray(picture, np.uint8).tobytes())
        return np.array(self._answer()["joints"], np.float32).reshape(-1, 3)

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except OSError:
            raise self._failure() from None

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            return json.loads(line)
        except ValueError:
            raise self._failure() from None

    def _failure(self) -> InputError:
        self.process.kill()
        self.process.wait()
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")
        return InputError("--python", f"{self.python}: {last[:200]}", "a Python with mediapipe", HINT)

    def __del__(self) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                pipe.close()
            process.wait()
