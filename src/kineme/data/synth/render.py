"""Motion drawn as video in two domains, with the poses that a detector would find in it."""

from __future__ import annotations

import collections
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from ...motion import layout as skeleton
from ...motion import normalise as norms
from ...motion.joint_map import joint_map
from ...motion.layout import Layout
from ...motion.motion import Motion
from ...utils import registry
from ...utils.errors import InputError
from ..store import Store, opened, row_numbers
from ..store_writer import Writer
from ..workers import worker
from .detector import detect
from .figure import mapped, require_limbs
from .looks import domain as ranges_of
from .shot import draw_shot, shoot

SIZES = (32, 512)
FPS = 30.0  # of a video, unless asked otherwise: what has more is thinned out
MODE = "none"  # joints stay in pixels of the picture

Progress = Callable[[int, int, str], None]


def render(
    motions: Store | str | os.PathLike | Iterable[Motion],
    out: str | os.PathLike,
    domain: str,
    size: int = 128,
    seed: int = 0,
    rows: Any = None,
    fps: float | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    layout: str | Layout | None = None,
) -> Store:
    """Draw motion as video, and write a store of the poses found in it with its pictures.

    Domain ``game``: a flat-shaded body of capsules in a plain room, one palette, light from one side, a still camera.
    Domain ``real``: textured clothes, bodies of other proportions, cluttered rooms, things before the people, other
    light, sensor noise, a camera that shakes and stands elsewhere. Poses jitter as a detector's do, more where a joint
    is hidden or far away; hidden joints have low confidence or are lost; in domain ``real`` sides are sometimes
    exchanged. Who and what is seen follows from the motion; how it looks from ``seed``, the domain, the clip's id and
    its subject alone: the same bytes whatever the other clips and ``jobs`` are.

    Args:
        motions: a store, its path, or motions; in 3-D, of any layout with shoulders, elbows, wrists, hips, knees and
            ankles. Bodies are set upright on a floor, so joints in a camera's frame will do as well.
        out: folder of the new store.
        domain: ``game`` or ``real``.
        size: pixels of a picture's side, 32 to 512.
        seed: of all that is drawn.
        rows: clips of the store, by numbers, mask or slice.
        fps: frames per second; by default those of the motion, at most 30.
        jobs: processes. In a script of your own more than one needs the guard ``if __name__ == "__main__":``.
        progress: called with clips done, clips in all (0 where that is not known) and a note.
        layout: joints that the detector finds, ``openpose18`` say; by default those of the motion. Joints that cannot
            be made of the motion's are missing.

    Returns:
        the store, open: 2-D joints in pixels of the layout that came in, columns as there were, ``width``, ``height``,
        ``domain``, ``performance`` (the source's, or its id). Clips that cannot be drawn stand in ``skipped.jsonl``.

    Raises:
        InputError: motion in 2-D, a layout without limbs, a size or domain that does not exist, no clip that can be
            drawn, ``out`` exists. Nothing is left then, nor after Ctrl-C.

    Examples:
        >>> filmed = kineme.render(kineme.synth.generate(2, cameras=0), "filmed", "game", size=32)
        >>> filmed.coords, filmed.pictures([0])[0].shape, set(filmed.column("domain"))
        (2, (32, 32, 3), {'game'})
    """
    ranges_of(domain)
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not SIZES[0] <= size <= SIZES[1]:
        raise InputError("size", f"{size!r}", f"a whole number of pixels from {SIZES[0]} to {SIZES[1]}")
    card: dict[str, Any] = {"domain": domain, "size": int(size), "seed": seed}
    splits: dict[str, Any] = {}
    if isinstance(motions, (Store, str, os.PathLike)):
        store = opened(motions)
        if store.coords != 3:
            raise InputError(store.path, "2-D motion", "joints in space (3-D)", "Draw the recording that it came from")
        require_limbs(store.layout)
        chosen = row_numbers(rows, len(store))
        card |= {"source": store.path.name, "source_hash": store.hash}
        splits, total = store.card["splits"], len(chosen)
        motions = (store.motion(int(row)) for row in chosen)
    elif rows is not None:
        raise InputError("rows", "given with motions", "a store to take rows of")
    else:
        motions, total = iter(motions), 0
    found = None if layout is None else skeleton.layout(layout)
    tasks = ((motion, domain, int(size), seed, fps, found) for motion in motions)
    return _written(out, _results(tasks, jobs), card, splits, int(size), total, progress or (lambda *_: None))


def draw(
    motion: Motion, domain: str, size: int, seed: int, fps: float | None = None, layout: Layout | None = None
) -> tuple[Motion, np.ndarray]:
    """One clip of :func:`render`: the poses found and the pictures, uint8 ``[T, size, size, 3]``.

    Raises:
        InputError: motion that cannot be drawn.
    """
    if motion.fps is not None and (fps is not None or motion.fps > FPS):
        motion = motion.resample(FPS if fps is None else fps)
    elif fps is not None:
        motion = motion.resample(fps)  # says what is missing
    shot = draw_shot(motion, domain, size, seed)
    if layout is not None:
        shot = shot._replace(figure=mapped(shot.figure, joint_map(motion.layout, layout)))
    film = shoot(shot)
    joints, confidence = detect(film, shot.figure, layout or motion.layout, shot.ranges, shot.rng)
    performance = motion.extra.get("performance") or motion.source
    seen = motion.with_(
        joints=joints,
        layout=layout or motion.layout,
        confidence=confidence,
        up="-y",
        unit="px",
        image_size=(size, size),
        extra={**motion.extra, "domain": domain, "performance": performance},
    )
    return seen, film.pictures


def _drawn(task: tuple) -> tuple[Motion, np.ndarray] | tuple[str, str]:
    """A clip, or its name and why it cannot be drawn."""
    try:
        return draw(*task)
    except InputError as error:
        return task[0].source, str(error)


def _results(tasks: Iterator[tuple], jobs: int) -> Generator[Any, None, None]:
    """Results in the order of the tasks; no more of them are under way than keep the processes busy."""
    if jobs <= 1:
        yield from map(_drawn, tasks)
        return
    plugins = (registry.plugins("io"),)
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), worker, plugins)
    waiting: collections.deque[Future] = collections.deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_drawn, task))
            if len(waiting) > 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise InputError(
            "--jobs",
            "a working process ended all of a sudden",
            "room in memory for one clip per process",
            "Take fewer jobs; in a script of your own, call render under `if __name__ == '__main__':`",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _written(
    out: str | os.PathLike,
    results: Generator[Any, None, None],
    card: dict[str, Any],
    splits: dict[str, Any],
    size: int,
    total: int,
    tick: Progress,
) -> Store:
    skipped: list[tuple[str, str]] = []
    tick(0, total, "")
    with contextlib.closing(results), contextlib.ExitStack() as stack:
        writer: Writer | None = None
        for done, (first, second) in enumerate(results, 1):
            if isinstance(first, str):
                skipped.append((first, second))
            else:
                if writer is None:
                    how = norms.describe(MODE, first.layout, 2)
                    made = Writer(
                        out,
                        first.layout,
                        coords=2,
                        normalise=how,
                        splits=splits,
                        card={"rendered": card},
                        picture_side=size,
                    )
                    writer = stack.enter_context(made)
                writer.add(first, pictures=second)
            tick(done, max(total, done), f"{len(skipped)} skipped" if skipped else "")
        if writer is None and skipped:
            raise InputError("render", f"none of {len(skipped)} clips can be drawn; the first: {skipped[0][1]}")
        if writer is None:
            raise InputError("render", "no clip to draw", "at least one")
        for name, reason in skipped:
            writer.skip(name, reason)
    return Store(out)
