"""The newcomer's first five minutes: motions are made, an encoder learns from them without labels, and what it learned
is scored and drawn. The same on the user's own files.
"""

from __future__ import annotations

import contextlib
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from . import __version__, draw, embed, evaluate, files, prepare, readers, splits, synth, train
from . import store as stores
from .errors import InputError
from .evaluate import knn
from .motion import Motion
from .progress import Bar
from .splits import Split
from .store import Store

DEFAULT = "kineme-demo"

# What is made: 16 actions of SUBJECTS people in front of CAMERAS. Half of the people and all cameras but one train.
CLIPS, SUBJECTS, CAMERAS = 1536, 16, 3
SENSOR = {"noise": 1.0, "dropout": 0.02, "occlusion": 0.3}  # clean joints would be nothing like a recording

METHOD = "moco"
SETTINGS = (
    "encoder.name=bidirectional",  # averaged over time it learns faster than the last frame of the published encoder
    "encoder.hidden=128",          # three trainings have to fit into five minutes on two cores
    "encoder.layers=2",
    "method.views.frames=32",      # clips last 2 to 3 seconds: half of the published frames show them as well
    "method.views.least=24",       # and a crop of such a short clip is to be shorter than the clip
    "method.views.crop_low=0.5",
    "method.momentum=0.99",        # over some hundred steps 0.999 would leave the following encoder where it began
    "method.temperature=0.1",
    "loop.optimiser=adamw",        # in so few steps SGD would need a rate found for each set
    "loop.lr=0.001",
    "loop.schedule=cosine",
)
BATCH, STEPS = 64, 500  # of one training, however many clips there are
QUICK = ("encoder.hidden=16", "encoder.layers=1", "method.views.frames=8", "method.views.least=8")
QUICK_CLIPS, QUICK_SUBJECTS, QUICK_STEPS = 192, 4, 4

PROTOCOLS = {"knn": {"k": [1]}, "linear": {}}
SAME, OTHER = "same camera", "other camera"
QUERIES, NEAREST = 3, 5  # clips that are asked for, clips that are drawn beneath each
SHOWN = ("walk", "jump", "wave", "punch", "kick", "throw", "pick_up", "squat")

OWN = """\
For your own motion files (`kineme methods` lists the formats; `kineme demo --mine my_motion/` does all at once):

  kineme prepare my_motion/ my_store/
  kineme info my_store/
  kineme pretrain moco my_store/ --split random --out my_run/
  kineme evaluate my_run/ my_store/ --split random
  kineme embed my_run/ my_store/ --out my_vectors/

Without labels leave evaluate and --split away. `kineme info` lists the splits that your files allow; by subjects or by
cameras (xsub, xview) they say more than a random one."""


def run(out: str | Path = DEFAULT, mine: str | Path | None = None, seeds: int = 3, quick: bool = False) -> Path:
    """The whole demo; it says what it does and ends with the commands for the user's own data.

    Args:
        out: folder to write. It must not exist; where the default one does, ``kineme-demo-2`` and so on is taken.
        mine: folder or file of motion in known formats, in place of made motions. Labels are those of the files, else
            the names of the folders that they lie in; without labels there are pictures but no scores.
        seeds: how many trainings.
        quick: seconds instead of minutes, one training; the scores mean nothing.

    Returns:
        The folder: ``motion`` (what was made), ``store``, ``runs/seed-0`` and so on, ``pictures``, ``result.json``.
        After Ctrl-C it holds what is finished.

    Raises:
        InputError: the folder exists, ``seeds`` below 1, nothing in ``mine`` that can be used.
    """
    if seeds < 1:
        raise InputError("--seeds", f"{seeds} trainings", "1 or more")
    if mine is not None and not Path(mine).exists():
        raise InputError(mine, "no such file or folder", "a folder of motion files")
    demo = Demo(_free(Path(out)), 1 if quick else seeds, quick)
    store = demo.made() if mine is None else demo.brought(Path(mine))
    demo.learn(store)
    return demo.out


class Demo:
    """One demo under way.

    Args:
        out: folder to write.
        seeds: how many trainings.
        quick: as little as shows that everything works.
    """

    def __init__(self, out: Path, seeds: int, quick: bool):
        self.out, self.seeds, self.quick = out, seeds, quick
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = {}
        self.rows: list[evaluate.Row] = []
        self.note = "--quick: a few steps on a few clips. These scores mean nothing." if quick else ""

    # ---------------------------------------------------------------------------------------------- the motion

    def made(self) -> Store:
        """Make motions, write them as files, prepare these, draw some."""
        clips, subjects = (QUICK_CLIPS, QUICK_SUBJECTS) if self.quick else (CLIPS, SUBJECTS)
        people = f"{len(synth.actions(1))} actions, {subjects} people, {CAMERAS} cameras"
        with self._step("make", f"Making {clips} motions: {people}"):
            motions = list(synth.generate(clips, subjects=subjects, cameras=CAMERAS, **SENSOR))
            synth.write(self.out / "motion", motions)
        with self._step("prepare", f"Preparing them: {self.out}/store"):
            store = prepare.prepare(self.out / "motion", self.out / "store")
        clean = synth.generate(len(synth.actions(1)), subjects=1, cameras=1)
        self._draw_some([motion for motion in clean if motion.label in SHOWN])
        return store

    def brought(self, mine: Path) -> Store:
        """Prepare the user's files, draw some."""
        with self._step("prepare", f"Preparing {mine}: {self.out}/store"), Bar("prepare", 0) as bar:
            store = prepare.prepare(mine, self.out / "store", labels="folder" if _labelled_by_folders(mine) else None,
                                    progress=lambda done, total, note: bar.update(done, note, total))
        print(prepare.report(store))
        if len(store) < 2:
            raise InputError(mine, "a single clip", "two or more: an encoder learns from their differences")
        first = np.unique(store.column("label").astype(str), return_index=True)[1]
        rows = first if len(first) > 1 else np.arange(len(store))
        self._draw_some([store.motion(i) for i in rows[np.linspace(0, len(rows) - 1, min(8, len(rows))).astype(int)]])
        return store

    def _draw_some(self, motions: Sequence[Motion]) -> None:
        with self._step("draw", f"Drawing some of them: {self._picture('motions.png')}, motions.gif"):
            draw.sheet(motions, self._picture("motions.png"))
            draw.gif(motions, self._picture("motions.gif"))

    # -------------------------------------------------------------------------------------------- the learning

    def learn(self, store: Store) -> None:
        """Train, score after each training, draw, and say what came of it."""
        split, tests = _tests(store)
        rows = tests[0].train if tests else np.arange(len(store))
        print(f"Learning from {len(rows)} of {len(store)} clips, without their labels{_whose(store, rows)}", flush=True)
        overrides = _overrides(len(rows), self.quick)
        models = []
        for seed in range(self.seeds):
            with self._step("train", f"Training {seed + 1} of {self.seeds}"):
                path = train.pretrain(METHOD, store, self.out / "runs" / f"seed-{seed}", seed=seed, split=split,
                                      overrides=overrides, progress=True)
                models.append(embed.load(path))
            if tests and not (tests := self._score(store, models[-1], tests)):
                break  # no scores are possible: one encoder is enough for the pictures
            self._write(store, overrides, finished=False)
        with self._step("draw", f"Drawing losses and neighbours: {self._picture('')}"):
            logs = {path.name: files.read_lines(path / "log.jsonl") for path in sorted((self.out / "runs").iterdir())}
            draw.curve(logs, self._picture("loss.png"))
            self._draw_neighbours(store, models[0], tests)
        self._write(store, overrides, finished=True)
        self._report(tests)

    def _score(self, store: Store, model: embed.Model, tests: list[Split]) -> list[Split]:
        """Score one encoder, and with the first of them the hand-made features; the splits on which that could be done."""
        with self._step("score", "Scoring it and its random weights"):
            try:
                self.rows += [row for test in tests for row in evaluate.run(
                    model, store, tuple(PROTOCOLS), test, settings=PROTOCOLS, floor=not self.rows)]
            except InputError as error:
                print(f"No scores: {error}")
                return []
        return tests
