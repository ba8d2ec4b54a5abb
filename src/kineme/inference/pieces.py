"""What is asked about: clips of files, folders, stores and memory, long ones in windows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .. import io
from ..data import store as stores
from ..data.store import Store
from ..motion import windows
from ..motion.motion import Motion
from ..utils import files
from ..utils.errors import InputError
from .windows import Length

NO_RATE = "Leave it out: windows are then as many frames long as the examples were"
LONG = 1.5  # windows that a recording lasts before it is cut

Anything = Store | Motion | str | os.PathLike | Iterable[Store | Motion | str | os.PathLike]


@dataclass(frozen=True)
class Place:
    """A clip, or a window of a long one.

    Attributes:
        file: where it was read; of a store its folder; empty of motion in memory.
        clip: its name.
        start, end: in seconds, or in frames where there is no frame rate (``unit``).
        unit: ``s`` or ``frames``.
        whole: the clip as a whole, no window of it.
    """

    file: str
    clip: str
    start: float
    end: float
    unit: str
    whole: bool


@dataclass(frozen=True)
class Cutter:
    """How long recordings are cut.

    Attributes:
        usual: length of a window where nobody says another.
        longest: what is no longer than this is one piece, where nobody says how long a window is.
        window, step: seconds that a user says; a step is half a window otherwise.

    Raises:
        InputError: seconds that are not above 0.
    """

    usual: Length
    longest: Length
    window: float | None = None
    step: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("--window", self.window), ("--step", self.step)):
            windows.asked(name, value, 1.0, "a motion")

    def spans(self, frames: int, fps: float | None, name: str) -> np.ndarray:
        """The windows of a recording, frames int64 ``[n, 2]``; a single one of a recording that is not long.

        Raises:
            InputError: seconds were said, and the recording has no frame rate.
        """
        said = windows.asked("--window", self.window, fps, name, NO_RATE)
        step = windows.asked("--step", self.step, fps, name, NO_RATE)
        width = said or self.usual.at(fps)
        if frames <= max(LONG * width, 0 if said else self.longest.at(fps)):
            return np.array([[0, frames]])
        return windows.cut(frames, width, step or max(1, width // 2))

    def pieces(self, file: str, motion: Motion) -> Iterator[tuple[Place, Motion]]:
        """A motion, or its windows."""
        spans = self.spans(len(motion), motion.fps, motion.source or file or "the motion")
        for span in spans:
            part = motion if len(spans) == 1 else motion.slice(*span.tolist())
            yield place(file, motion.source, span, motion.fps, len(spans) == 1), part


def place(file: str, clip: str, span: np.ndarray, fps: float | None, whole: bool) -> Place:
    """The place of frames ``span[0]`` up to ``span[1]`` of a clip."""
    start, end = (float(each) / fps if fps else float(each) for each in span)
    return Place(file, clip, start, end, "s" if fps else "frames", whole)


def found(what: Anything, image: bool, refuse: Callable[[InputError], None]) -> Iterator[tuple[str, Motion | Store]]:
    """The motions and stores that are meant, each with the file where it was read.

    Args:
        what: a motion file, a folder of them, a store, its folder, a motion, or several of these.
        image: take coordinates in the image where a file has those and others.
        refuse: is told of files, and clips of them, that cannot be used.
    """
    for each in [what] if isinstance(what, (str, os.PathLike, Store, Motion)) else what:
        if isinstance(each, (Motion, Store)):
            yield str(each.path) if isinstance(each, Store) else "", each
            continue
        path = files.as_path(each, "motion")
        if (path / "card.json").is_file():
            yield str(path), stores.opened(path)
            continue
        units = list(io.sources(path)) if path.is_dir() else [path]
        if not units:
            refuse(InputError(path, "no file of motion in it", "motion files"))
        for unit in units:
            try:
                for clip in io.read_each(unit, options=io.Options(image=image)):
                    if isinstance(clip, InputError):
                        refuse(clip)
                    else:
                        yield str(unit), clip
            except InputError as error:
                refuse(error)
