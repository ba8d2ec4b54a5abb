"""Small stores and real processes for the tests of training."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers import processes

from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion

# a training of a second or two: many short epochs, a resumable state after each
TINY = [
    "--set",
    "encoder.hidden=8",
    "--set",
    "encoder.layers=1",
    "--set",
    "method.views.frames=8",
    "--set",
    "method.queue=20",
    "--set",
    "loop.batch=8",
    "--set",
    "loop.save_seconds=0",
]


LEGS = skeleton.Layout(
    "legs", ("left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"), (-1, 0, 1, 0, 3, 4)
)


def make_store(
    path: Path,
    clips: int = 40,
    layout: str | skeleton.Layout = "kinect20",
    persons: int = 1,
    coords: int = 3,
    seed: int = 0,
    pictures: int = 0,
) -> Store:
    """Clips of four kinds of swinging limbs, of different lengths, subjects and cameras.

    Args:
        pictures: height and width of pictures in which every joint is a dot, of each clip in a colour of its own; 0:
            the store has none.
    """
    rng = np.random.default_rng(seed)
    joints = skeleton.layout(layout)
    rest = rng.normal(size=(len(joints), coords)).astype(np.float32)
    writer = Writer(path, joints, persons, coords, normalise={"how": "none"})
    for i in range(clips):
        kind, frames = i % 4, int(rng.integers(6, 30))
        time = np.linspace(0, 2 * np.pi, frames)[:, None, None, None] * (1 + kind)
        motion = np.broadcast_to(rest, (frames, persons, *rest.shape)) + 0.3 * np.sin(
            time + np.arange(len(joints))[:, None] * kind
        )
        motion = motion + rng.normal(scale=0.05, size=motion.shape)
        writer.add(
            Motion(
                motion.astype(np.float32),
                joints,
                fps=30.0,
                up="+y",
                unit="m",
                label=f"kind {kind}",
                subject=i // 4 % 5 + 1,
                camera=i // 2 % 3 + 1,
                source=f"clip{i:03d}",
                extra={"dataset": "swing"},
            ),
            pictures=dots(motion[..., :2], pictures, rng) if pictures else None,
        )
    return writer.close()


def dots(points: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Pictures uint8 ``[T, side, side, 3]`` of points ``[T, M, V, 2]`` that lie within some units of the origin."""
    film = np.empty((len(points), side, side, 3), np.uint8)
    film[:] = rng.integers(0, 100, 3)
    colour = rng.integers(130, 256, 3)
    place = ((points / 6 + 0.5) * side).clip(0, side - 3).astype(int)
    for frame, at in zip(film, place.reshape(len(points), -1, 2)):
        for x, y in at:
            frame[y : y + 3, x : x + 3] = colour
    return film


def kineme(
    *words: object,
    check: bool = True,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    **options,
) -> subprocess.CompletedProcess[str]:
    """Run the real command line in a process of its own, on one thread.

    Args:
        check: it is to succeed.
        cwd: the folder where it runs.
        env: environment variables: the process is then a new Python, not a forked one.
        options: of :func:`processes.command`.
    """
    texts = [str(word) for word in words]
    if env is not None:
        python = [sys.executable, "-m", "kineme", *texts]
        env = {**os.environ, "OMP_NUM_THREADS": "1", **env}
        done = subprocess.run(python, capture_output=True, text=True, timeout=300, cwd=cwd, env=env, check=False)
    else:
        run = functools.partial(processes.command, **options)
        done = processes.finished(processes.Process(run, *texts, cwd=cwd))
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def start(*words: object) -> processes.Process:
    """Start the real command line and go on."""
    return processes.Process(processes.command, *map(str, words))


def one_paragraph(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The answer to bad input: exit code 2, one paragraph that names what is at fault, no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    paragraph = [line for line in done.stderr.splitlines() if line.startswith("kineme: ")]
    assert len(paragraph) == 1, done.stderr
    for word in words:
        assert word in done.stderr, f"{word!r} not in: {done.stderr}"
