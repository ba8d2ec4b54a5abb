"""A benchmark of two domains that anyone can make: three stores of rendered motion, from a seed.

* ``pretrain``: motions of other kinds, without labels, half of the clips in either domain;
* ``game``: ten classes, split by people into a part to train on and a part to test on;
* ``real``: the same classes by other people in the other domain; its training part, which adaptation may look at
  without labels, is imbalanced as recordings of daily life are, its test part is not.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...motion import normalise as norms
from ...motion.motion import Motion
from ...motion.size import torso_length, track
from ...utils.errors import InputError
from .. import splits
from ..store import Store, opened
from ..store_writer import Writer, join
from . import generate
from .actions import PAIRS, SINGLE
from .body import body
from .render import Progress, render

CLASSES = ("walk", "jump", "sit_down", "wave", "clap", "kick", "throw", "pick_up", "squat", "drink")
OTHERS = tuple(name for name in (*SINGLE, *PAIRS) if name not in CLASSES)  # of the store without labels
SPLIT = "people"
LAYOUT = "openpose18"  # joints that are found: those of the detector that the field uses on videos
LONGEST = 90  # frames of a piece of a longer recording
FPS = 30.0


class Size(NamedTuple):
    """How much is made.

    Attributes:
        pretrain: clips without labels.
        people: in ``game``, and as many others in ``real``; three of ten are tested.
        repetitions: clips of every class by each of them.
        common: times as many in the training part of ``real``, of its commonest class.
        rarest: the rarest class there beside the commonest; the others lie between them at even ratios.
        side: pixels of a picture's side.
        fps: frames per second.
    """

    pretrain: int
    people: int
    repetitions: int
    common: int
    rarest: float
    side: int
    fps: float


FULL = Size(pretrain=1200, people=10, repetitions=8, common=3, rarest=0.22, side=64, fps=30.0)
SMALL = Size(pretrain=48, people=4, repetitions=1, common=1, rarest=0.33, side=32, fps=15.0)


def write(
    folder: str | os.PathLike,
    size: Size = FULL,
    seed: int = 0,
    others: Sequence[Store | str | os.PathLike] = (),
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Store]:
    """Make the three stores; those that are there already are kept, so that interrupted work goes on.

    Args:
        folder: of the stores ``pretrain``, ``game`` and ``real``.
        size: :data:`FULL` (3,126 clips), :data:`SMALL` (some 120 clips), or other numbers.
        seed: of motions and pictures. Nobody appears in two stores, and no motion.
        others: stores of 3-D motion that stand, cut to pieces of 90 frames at most, for one half of ``pretrain``.
        jobs, progress: see :func:`kineme.data.synth.render.render`.

    Returns:
        the stores by name. ``game`` and ``real`` carry the split ``people``.

    Raises:
        InputError: a store of another seed or size stands there.

    Examples:
        >>> made = kineme.data.synth.two_domains.write("domains", kineme.data.synth.two_domains.SMALL)  # doctest: +SKIP
        >>> sorted(made)  # doctest: +SKIP
        ['game', 'pretrain', 'real']
    """
    folder = Path(folder)
    stores = [opened(store) for store in others]
    wanted = {"seed": seed, **size._asdict(), "others": [store.hash for store in stores]}
    with tempfile.TemporaryDirectory(prefix="kineme-") as work:

        def draw(motions: Iterator[Motion], domain: str, out: Path, split: bool) -> Store:
            source = _motions(Path(work) / out.name, motions, split)
            return render(source, out, domain, size.side, seed, None, size.fps, jobs, progress, LAYOUT)

        for name in ("game", "real"):
            if not (folder / name).exists():
                draw(_labelled(size, seed, name), name, Path(work) / f"{name}-drawn", True)
                _kept(folder / name, [Path(work) / f"{name}-drawn"], wanted)
        if not (folder / "pretrain").exists():
            halves = [Path(work) / f"pretrain-{domain}" for domain in ("game", "real")]
            for half, out in enumerate(halves):
                draw(_unlabelled(size, seed, half, stores), ("game", "real")[half], out, False)
            _kept(folder / "pretrain", halves, wanted)
    made = {name: Store(folder / name) for name in ("pretrain", "game", "real")}
    for name, store in made.items():
        if store.card.get("benchmark") != wanted:
            raise InputError(folder / name, "a store of another seed or size", "none", "Choose another folder")
    return made


def gap(source: Store, target: Store) -> dict[str, tuple[float, float]]:
    """How far apart two domains are for what knows nothing of it: logistic regression on pixels and on poses.

    Pixels: brightness of an 8 x 8 grid at four times, and how much it changes in eighths of the clip. Poses: joints of
    the first person at 16 times, relative to the first hips seen, in torso lengths.

    Args:
        source: with the split ``people``, on whose training part both learn.
        target: the other domain.

    Returns:
        for ``pixels`` and ``poses`` balanced accuracy on the source's test part and on all clips of the target.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    part, found = splits.split(source, SPLIT), {}
    here, there = (store.column("label").astype(str) for store in (source, target))
    for name, features in (("pixels", _of_pixels), ("poses", _of_poses)):
        own, other = (np.stack([features(store, row) for row in range(len(store))]) for store in (source, target))
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=2000))
        probe.fit(own[part.train], here[part.train])
        found[name] = (
            float(balanced_accuracy_score(here[part.test], probe.predict(own[part.test]))),
            float(balanced_accuracy_score(there, probe.predict(other))),
        )
    return found


def _of_pixels(store: Store, row: int) -> np.ndarray:
    pictures = store.pictures(range(store.offsets[row], store.offsets[row + 1]))
    grey = np.stack(pictures).astype(np.float32).mean(-1)
    side = grey.shape[1] // 8
    cells = grey[:, : 8 * side, : 8 * side].reshape(len(grey), 8, side, 8, side).mean((2, 4))
    change = np.abs(np.diff(grey, axis=0))[:, : 8 * side, : 8 * side].reshape(-1, 8, side, 8, side).mean((2, 4))
    changes = [change[eighth].mean(0) for eighth in np.array_split(np.arange(len(change)), 8)]
    times = np.linspace(0, len(cells) - 1, 4).round().astype(int)
    return np.concatenate([np.ravel(changes), cells[times].ravel()])


def _of_poses(store: Store, row: int) -> np.ndarray:
    motion = store.motion(row).resize(16)
    joints, seen = motion.joints[:, 0], motion.confidence[:, 0] > 0
    hips, hipped = track(joints, seen, motion.layout.root)
    size = torso_length(motion.layout, joints, seen) or 1.0
    start = hips[hipped][0] if hipped.any() else 0.0
    return np.where(seen[..., None], (joints - start) / size, 0).ravel()


def _kept(out: Path, parts: Sequence[Path], wanted: dict[str, Any]) -> None:
    join(parts, out, benchmark=wanted)


def _motions(path: Path, motions: Iterator[Motion], split: bool) -> Store:
    """A store of motions in space; ``part`` is the column by which it is split."""
    rules = {side: {"column": "part", "in": [side]} for side in ("train", "test")}
    path = path.with_name(f"{path.name}-motions")
    with Writer(
        path, body(), coords=3, normalise=norms.describe("none", body(), 3), splits={SPLIT: rules} if split else {}
    ) as writer:
        for motion in motions:
            writer.add(motion)
    return Store(path)


def _labelled(size: Size, seed: int, name: str) -> Iterator[Motion]:
    """Clips of the ten classes; of a class that keeps a share of its clips, every so many-th is taken."""
    real = name == "real"
    repetitions = size.repetitions * (size.common if real else 1)
    order = np.random.default_rng([seed, 9]).permutation(len(CLASSES))
    kept = {CLASSES[place]: size.rarest ** (i / (len(CLASSES) - 1)) for i, place in enumerate(order)}
    seen = dict.fromkeys(CLASSES, 0)
    first = 100 * (1 + real)
    trained = first + size.people - max(round(0.3 * size.people), 1)
    for motion in _made(
        name, CLASSES, len(CLASSES) * size.people * repetitions, size.people, 3 * seed + 1 + real, first
    ):
        label, test = str(motion.label), int(motion.subject or 0) > trained
        if test and motion.extra["repetition"] >= size.repetitions:
            continue
        if real and not test:
            seen[label] += 1
            if math.ceil(seen[label] * kept[label]) == math.ceil((seen[label] - 1) * kept[label]):
                continue
        yield motion.with_(extra={**motion.extra, "part": "test" if test else "train"})


def _unlabelled(size: Size, seed: int, half: int, stores: Sequence[Store]) -> Iterator[Motion]:
    """Every second clip of other motions, without labels; of each half of them, if there are recordings too."""
    count = size.pretrain // 2 if stores else size.pretrain
    people = max(size.pretrain // 30, 2)
    made = _made("other", OTHERS, count, people, seed * 3, 300)
    recorded = _pieces(stores, size.pretrain - count) if stores else iter(())
    for number, motion in enumerate(itertools.chain(made, recorded)):
        if number % 2 == half:
            yield motion.with_(label=None)


def _made(name: str, actions: Sequence[str], count: int, people: int, seed: int, first: int) -> Iterator[Motion]:
    """Synthetic motions under names and people of their own."""
    options: dict[str, Any] = {"subjects": people, "cameras": 0, "layout": body(), "seed": seed, "fps": FPS}
    for motion in generate(count, actions, **options):
        called = f"{name}_{motion.source}"
        told = {**motion.extra, "performance": called}
        yield motion.with_(source=called, subject=first + int(motion.subject or 0), extra=told)


def _pieces(stores: Sequence[Store], count: int) -> Iterator[Motion]:
    """Pieces of recordings, spread evenly over all of them."""
    places = [
        (store, row, begin)
        for store in stores
        for row in range(len(store))
        for begin in range(0, max(int(_frames(store, row)) - LONGEST // 2, 1), LONGEST)
    ]
    for place in np.unique(np.linspace(0, len(places) - 1, count).round().astype(int)).tolist():
        store, row, begin = places[place]
        motion = store.motion(row)
        motion = motion if motion.fps is None else motion.resample(FPS)
        piece = motion[begin : begin + LONGEST].to_layout(body())
        name = f"{store.path.name}_{motion.source}_{begin}"
        told = {"dataset": store.path.name, "performance": name}
        yield piece.with_(source=name, extra=told, camera=None)


def _frames(store: Store, row: int) -> float:
    """Frames of a clip at the benchmark's rate."""
    rate = store.numbers("fps")[row]
    return float(store.lengths[row] * (FPS / rate if rate > 0 else 1.0))
