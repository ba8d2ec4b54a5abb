"""The newcomer's first five minutes: motions are made, an encoder learns from them without labels, and what it learned
is scored and drawn. The same on the user's own files.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from .. import __version__, io
from ..data import prepare, shards, splits, synth
from ..data import store as stores
from ..data.options import Options
from ..data.splits import Split
from ..data.store import Store
from ..evaluation import scores
from ..evaluation.run import evaluate
from ..inference import model as embed
from ..inference import nearest
from ..motion.motion import Motion
from ..training import log, loop
from ..utils import files
from ..utils.errors import InputError
from ..utils.progress import Bar
from ..viz import plots, strips
from .explorer import launch

DEFAULT = "kineme-demo"

# What is made: 16 actions of SUBJECTS in front of CAMERAS. Half of the subjects and all cameras but one train.
CLIPS, SUBJECTS, CAMERAS = 1536, 16, 3
SENSOR: dict[str, Any] = {"noise": 2.0, "dropout": 0.05, "occlusion": 0.5}  # with less, little is left to learn

METHOD = "moco"
BATCH, STEPS = 64, 300  # of one training run, however many clips there are; all else is what `pretrain` does by itself
QUICK = ("encoder.hidden=16", "encoder.layers=1", "method.views.frames=8", "method.views.min_frames=8")
QUICK_CLIPS, QUICK_SUBJECTS, QUICK_STEPS = 96, 2, 4

PROTOCOLS = {"knn": {"k": [1]}, "linear": {}}
SAME, OTHER = "same camera", "other camera"
QUERIES, NEAREST = 3, 5  # clips that are asked for, clips that are drawn beneath each
SHOWN = ("walk", "jump", "wave", "punch", "kick", "throw", "pick_up", "squat")

OWN = """\
For your own motion files (`kineme methods` lists the formats; `kineme demo --data my_motion/` does all at once):

  kineme prepare my_motion/ my_store/
  kineme info my_store/
  kineme pretrain moco my_store/ --split random --out my_run/
  kineme evaluate my_run/ my_store/ --split random
  kineme embed my_run/ my_store/ --out my_vectors/

Without labels leave evaluate and --split away. `kineme info` lists the splits that your files allow; by subjects or by
cameras (xsub, xview) they say more than a random one."""


def run(
    out: str | Path = DEFAULT,
    data: str | Path | None = None,
    seeds: int = 2,
    quick: bool = False,
    format: str | None = None,
    labels: str | None = None,
    layout: str | None = None,
    only: str | None = None,
    unit: str | float | None = None,
    up: str | None = None,
    reading: Mapping[str, str] | None = None,
    serve: bool = False,
) -> Path:
    """The whole demo; it says what it does and ends with the commands for the user's own data, or with the address of a
    page that shows what was learned.

    Args:
        out: folder to write. It must not exist; where the default one does, ``kineme-demo-2`` and so on is taken.
        data: folder or file of motion in known formats, or a store, in place of synthetic motions. Without ``labels``
            they are those of the files, else the names of the folders that they lie in, where there are several;
            without labels there are pictures but no scores. Of several kinds of motion the one of most clips is taken.
        seeds: how many training runs.
        quick: seconds instead of minutes, one training; the scores mean nothing.
        format, labels, layout, only, unit, up, reading: of ``data``, as for :func:`kineme.data.prepare.prepare`.
        serve: show store and first encoder in the browser, until Ctrl-C.

    Returns:
        The folder: ``motion`` (what was made), ``store``, ``runs/seed-0`` and so on, ``pictures``, ``result.json``.
        After Ctrl-C it holds what is finished.

    Raises:
        InputError: the folder exists, ``seeds`` below 1, nothing in ``data`` that can be used.
    """
    if seeds < 1:
        raise InputError("--seeds", f"{seeds} training runs", "1 or more")
    if data is not None and not Path(data).exists():
        raise InputError(data, "no such file or folder", "a folder of motion files")
    asked: dict[str, Any] = {"format": format, "labels": labels, "layout": layout, "only": only, "unit": unit, "up": up}
    asked["reading"] = reading
    if data is None and (said := [name for name, value in asked.items() if value is not None]):
        raise InputError(
            f"--{'read' if said[0] == 'reading' else said[0]}",
            "no files that it could be said of",
            "--data FILES beside it",
        )
    demo = Demo(free(Path(out)), 1 if quick else seeds, quick)
    if data is None:
        store = demo.made()
    else:
        try:
            store = demo.brought(Path(data), asked)
        except InputError:
            shutil.rmtree(demo.out, ignore_errors=True)  # ours: it did not exist, or was empty
            raise
    demo.learn(store)
    demo.look(store, serve)
    return demo.out


class Steps:
    """What is under way is said, and how long each part took is kept in ``seconds``.

    Args:
        out: folder to write.
        seeds: how many training runs.
        quick: as little as shows that everything works.
    """

    def __init__(self, out: Path, seeds: int, quick: bool):
        self.out, self.seeds, self.quick = out, seeds, quick
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = {}

    @property
    def took(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begun

    def rounded(self) -> dict[str, float]:
        """Seconds of every part, and in all."""
        return {**{name: round(value, 2) for name, value in self.seconds.items()}, "total": round(self.took, 2)}

    @contextlib.contextmanager
    def step(self, name: str, text: str, bar: bool = False) -> Iterator[list[str]]:
        """Say what is done, and afterwards how long it took and what else the block puts into the list that it gets.

        Args:
            name: under which ``seconds`` sums up.
            bar: the block shows progress of its own, for which a new line is begun.
        """
        print(f"{text} ...", end="\n" if bar else " ", flush=True)
        begun, said = time.monotonic(), list[str]()
        yield said
        took = time.monotonic() - begun
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        print(f"{'  ' if bar else ''}{'; '.join([*said, f'{took:.1f} s'])}", flush=True)

    def look(self, store: Store, serve: bool) -> None:
        """Say how to look at what was learned; serve it, if that is wanted and the packages are there."""
        place, run = store.path, self.out / "runs" / "seed-0"
        missing = launch.lacking()
        needed = f" (it needs {missing}: pip install 'kineme[web]')" if missing else ""
        command = shlex.join(["kineme", "explore", str(place), "--run", str(run)])
        print(f"\nLook at it in the browser{needed}:\n\n  {command}")
        if serve and not missing:
            print()
            launch.explore(place, run)


class Demo(Steps):
    """One demo under way."""

    def __init__(self, out: Path, seeds: int, quick: bool):
        super().__init__(out, seeds, quick)
        self.raw: dict[str, Motion] = {}  # synthetic motions by the id of their clip, before they were normalised
        self.rows: list[scores.Row] = []
        self.own = False  # whether the motions are the user's
        self.note = "--quick: a few steps on a few clips. These scores mean nothing." if quick else ""

    # ---------------------------------------------------------------------------------------------- the motion

    def made(self) -> Store:
        """Make motions, write them as files, prepare these, draw some."""
        clips, subjects = (QUICK_CLIPS, QUICK_SUBJECTS) if self.quick else (CLIPS, SUBJECTS)
        content = f"{len(synth.action_names(1))} actions, {subjects} subjects, {CAMERAS} cameras"
        with self.step("make", f"Generating {clips} synthetic motions: {content}"):
            motions = list(synth.generate(clips, subjects=subjects, cameras=CAMERAS, **SENSOR))
            synth.write(self.out / "motion", motions)
        with self.step("prepare", f"Preparing them: {self.out}/store"):
            # the published NTU form takes a joint that is lost in the first frame for the origin; this one does not
            store = prepare.prepare(self.out / "motion", self.out / "store", normalise="general")
        self.raw = {motion.source: motion for motion in motions}
        clean = synth.generate(len(synth.action_names(1)), subjects=1, cameras=0)
        self._draw([motion for motion in clean if motion.label in SHOWN[:: 2 if self.quick else 1]], "without noise")
        return store

    def brought(self, data: Path, asked: Mapping[str, Any]) -> Store:
        """Prepare the user's files, draw some."""
        self.own = True
        if (data / "card.json").is_file():
            if any(asked.values()):
                raise InputError(data, "a store, prepared already", "motion files", "Say this to kineme prepare")
            store = stores.open(data)
            _check_several(data, store)
            print(f"{data}: {prepare.report(store)}")
        else:
            store = self._prepared(data, asked)
        first = np.unique(store.column("label").astype(str), return_index=True)[1]
        rows = first if len(first) > 1 else np.arange(len(store))
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(SHOWN), len(rows))).astype(int)]
        self._draw([store.motion(i) for i in chosen], "as they are prepared")
        return store

    def _prepared(self, data: Path, asked: Mapping[str, Any]) -> Store:
        """The store of the user's files; the largest one of several."""
        by_folder = asked["labels"] is None and _labelled_by_folders(data, asked["format"])
        with self.step("prepare", f"Preparing {data}: {self.out}/store", bar=True), Bar("prepare", 0) as bar:
            made = prepare.prepare_each(
                data,
                self.out / "store",
                progress=lambda done, total, note: bar.update(done, note, total),
                **{**asked, "labels": "folder" if by_folder else asked["labels"]},
            )
        name, largest = max(made.items(), key=lambda item: len(item[1]))
        _check_several(data, largest)
        store = stores.open(self.out / "store" / name)  # by the path that was given
        print(f"{store.path}: {prepare.report(store)}")
        if by_folder:
            print("The labels are the names of the folders (--labels says where else they stand)")
        if len(made) > 1:
            others = ", ".join(other for other in made if other != name)
            print(
                f"Of {len(made)} kinds of motion this goes on with the largest, {name}; --only takes another: {others}"
            )
        return store

    def _draw(self, motions: Sequence[Motion], how: str) -> None:
        with self.step("draw", f"Drawing some of them, {how}: {self._picture('motions.png')}, motions.gif"):
            strips.grid(motions, self._picture("motions.png"))
            strips.gif(motions, self._picture("motions.gif"))

    # -------------------------------------------------------------------------------------------- the learning

    def learn(self, store: Store) -> None:
        """Train, score after each training, draw, and say what came of it."""
        split, tests = _tests(store)
        rows = tests[0].train if tests else np.arange(len(store))
        settings = _settings(len(rows), self.quick)
        print(f"Learning from {len(rows)} of {len(store)} clips, without their labels{_who(store, rows)}", flush=True)
        models, logs = [], {}
        for seed in range(self.seeds):
            with self.step("train", f"Training {seed + 1} of {self.seeds}", bar=True) as said:
                path = loop.pretrain(
                    METHOD,
                    store,
                    self.out / "runs" / f"seed-{seed}",
                    seed=seed,
                    split=split,
                    settings=settings,
                    progress=True,
                )
                logs[path.name] = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
                said.append(log.fall(logs[path.name]))
            models.append(embed.load(path))
            if tests:
                self._score(store, models[-1], tests)
            self._write(store, settings, finished=False)
        with self.step("draw", f"Drawing losses and neighbours: {self._picture('loss.png')}, neighbours-1.png ..."):
            plots.training_curve(logs, self._picture("loss.png"))
            self._draw_neighbours(store, models[0], tests)
        self._write(store, settings, finished=True)
        self._report(store)

    def _score(self, store: Store, model: embed.Model, tests: Sequence[Split]) -> None:
        """Score an encoder beside its untrained self, and with the first one the hand-crafted features."""
        with self.step("score", "  Scoring it beside its untrained self") as said:
            rows = [
                row
                for test in tests
                for row in evaluate(model, store, tuple(PROTOCOLS), test, settings=PROTOCOLS, baseline=not self.rows)
            ]
            self.rows += rows
            last = {row["features"]: row["score"] for row in rows if row["protocol"] == "knn"}
            said.append(f"1-NN, {tests[-1].name}: {last[scores.TRAINED]:.3f}, random {last[scores.UNTRAINED]:.3f}")

    def _draw_neighbours(self, store: Store, model: embed.Model, tests: Sequence[Split]) -> None:
        """Clips drawn at random among the test clips (of the other camera where there is one), and their nearest among
        the training clips; without labels both are any clips, but never two of one performance."""
        features = model.embed(store)
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        queries = np.random.default_rng(0).permutation(tests[-1].test if tests else len(store))[:QUERIES]
        for number, query in enumerate(queries, 1):
            rows = tests[-1].train if tests else _others(store, query)
            hits = rows[nearest.neighbours(features[rows], features[[query]], min(NEAREST, len(rows)))[0]]
            query_clip, *clips = (self.raw.get(store.ids[row]) or store.motion(row) for row in (query, *hits))
            strips.neighbours(
                query_clip,
                list(zip(clips, (features[hits] @ features[query]).tolist())),
                self._picture(f"neighbours-{number}.png"),
            )

    # ----------------------------------------------------------------------------------------------- what is said

    def _report(self, store: Store) -> None:
        if self.rows:
            table = scores.table(self.rows)
            table.title = f"{self.note}\n{table.title}" if self.note else table.title
            print()
            Console(width=None if sys.stdout.isatty() else 140).print(table)
            print(_verdict(self.rows) + f" {self.note}")
        else:
            print(f"\nNo scores: {_unscored(store)}. Look at the neighbours: are they the same kind of movement?")
        print(
            f"\n{self.took:.0f} s in all. Pictures in {self.out}/pictures, scores in "
            f"{self.out}/result.json, encoders in {self.out}/runs.\n\n{self._next(store) if self.own else OWN}"
        )

    def _next(self, store: Store) -> str:
        """Commands that go on with the user's own files."""
        run, split = self.out / "runs" / "seed-0", _tests(store)[0]
        words: list[tuple[object, ...]] = [("info", store.path)]
        words += [("evaluate", run, store.path, "--split", split)] if split else []
        words += [("embed", run, store.path, "--out", self.out / "vectors")]
        return "\n".join(["Next:\n", *(f"  {shlex.join(['kineme', *map(str, line)])}" for line in words)])

    def _write(self, store: Store, settings: Sequence[str], finished: bool) -> None:
        """``result.json`` as far as the demo has come."""
        files.write_json(
            self.out / "result.json",
            {
                "kind": "demo",
                "finished": finished,
                "quick": self.quick,
                "note": self.note,
                "seeds": self.seeds,
                "rows": self.rows,
                "means": scores.summary(self.rows),
                "verdicts": scores.verdicts(self.rows),
                "settings": {"method": METHOD, "set": list(settings), "protocols": PROTOCOLS},
                "store": {
                    "hash": store.hash,
                    "clips": len(store),
                    "frames": len(store.frames),
                    "layout": store.layout.name,
                },
                "seconds": self.rounded(),
                **made_with(),
            },
        )

    def _picture(self, name: str) -> Path:
        return self.out / "pictures" / name


def free(out: Path) -> Path:
    """``out``; where it is the default and taken, the first of ``kineme-demo-2`` and so on that is free."""
    found = out
    number = 2
    while out == Path(DEFAULT) and found.exists():
        found, number = out.with_name(f"{DEFAULT}-{number}"), number + 1
    if found.exists() and (not found.is_dir() or any(found.iterdir())):
        raise InputError(found, "exists already", "a folder that does not exist yet", "Name another with --out")
    return found


def made_with() -> dict[str, dict[str, Any]]:
    """Versions and the machine, for ``result.json``."""
    return {
        "versions": {
            "kineme": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _check_several(data: Path, store: Store) -> None:
    """Refuse a single clip."""
    if len(store) < 2:
        raise InputError(
            data,
            f"a single clip (of {prepare.counted(len(store.frames), 'frame')})",
            "two clips or more: an encoder learns from their differences",
            "Name the folder in which further recordings lie",
        )


def _labelled_by_folders(data: Path, format: str | None) -> bool:
    """Whether files that carry no labels lie in several folders, whose names can be the labels."""
    if not data.is_dir():
        return False
    found = io.search(data, format).units
    options = Options(data, format)
    if len({shards.folder(path.relative_to(data).as_posix(), options) for path in found} - {""}) < 2:
        return False
    for path in found:
        with contextlib.suppress(InputError):  # prepare sets it aside and says why
            return next(io.read_all(path, format)).label is None
    return False


def _tests(store: Store) -> tuple[str | None, list[Split]]:
    """The split whose training part is learned from, and those to score on; (None, []) where nothing can be scored.

    Where there are several subjects and cameras: other subjects before the same cameras, and before another one.
    """
    if _unscored(store):
        return None, []
    names = splits.names(store)
    if "xsub_xview" in names and _scored(store, other := splits.split(store, "xsub_xview")):
        subject, camera = store.column("subject"), store.column("camera")
        same = ~np.isin(subject, subject[other.train]) & np.isin(camera, camera[other.train])
        tests = [Split(SAME, other.train, np.flatnonzero(same)), Split(OTHER, other.train, other.test)]
        return other.name, [test for test in tests if _scored(store, test)]
    order = [name for name in ("xview", "xsub", "xset") if name in names]
    for name in (*order, *names):
        if _scored(store, part := splits.split(store, name)):
            return name, [part]
    return None, []


def _scored(store: Store, part: Split) -> bool:
    """Whether a split has two classes to learn from and a clip of one of them to test."""
    labels = store.column("label")
    known = {label for label in labels[part.train].tolist() if label is not None}
    return len(known) > 1 and any(label in known for label in labels[part.test].tolist())


def _unscored(store: Store) -> str:
    """Why no score can be had of a store; empty where one can."""
    labels = [label for label in store.column("label").tolist() if label is not None]
    if not labels:
        return "no clip has a label (name the folders of your files by what they show, or see kineme prepare --labels)"
    if len(set(labels)) == 1:
        return f"all labels are {labels[0]!r}"
    if not any(_scored(store, splits.split(store, name)) for name in splits.names(store)):
        return "no split has two labels to learn from and one of them to test: there are too few clips of a label"
    return ""


def _settings(clips: int, quick: bool) -> list[str]:
    """The settings for so many training clips: their number decides the batch."""
    batch, steps = min(BATCH, max(2, clips // 2)), QUICK_STEPS if quick else STEPS
    return [*(QUICK if quick else ()), f"loop.batch={batch}", f"loop.steps={steps}"]


def _who(store: Store, rows: np.ndarray) -> str:
    """Whose clips these are, in words."""
    known = [
        (name, {value for value in store.column(name)[rows].tolist() if value is not None})
        for name in ("subject", "camera")
    ]
    said = [f"{name}s {', '.join(map(str, sorted(values, key=str)[:12]))}" for name, values in known if values]
    return f" ({'; '.join(said)})" if said else ""


def _others(store: Store, query: int) -> np.ndarray:
    """The rows that are not of the same performance as a clip."""
    performance = store.column("performance")
    same = np.array([value is not None and value == performance[query] for value in performance.tolist()])
    same[query] = True
    return np.flatnonzero(~same) if not same.all() else np.delete(np.arange(len(store)), query)


def _verdict(rows: Sequence[scores.Row]) -> str:
    """In one sentence whether learning won."""
    means = {(mean["protocol"], mean["split"], mean["features"]): mean for mean in scores.summary(rows)}
    pairs = [
        (mean, means[protocol, split, scores.UNTRAINED])
        for (protocol, split, who), mean in means.items()
        if who == scores.TRAINED
    ]
    won = sum(mine["mean"] - other["mean"] > max(mine["spread"], other["spread"]) for mine, other in pairs)
    spread = "" if any(mine["n"] == 1 for mine, _ in pairs) else " by more than the spread of the training runs"
    said = f"{won} of {len(pairs)} scores are above those of the untrained encoder{spread}."
    return f"Learning won: {said}" if won == len(pairs) else f"Learning did NOT win everywhere: {said}"
