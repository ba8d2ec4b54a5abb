"""NTU RGB+D skeleton text (.skeleton): Kinect v2, 25 joints in metres, up to eight bodies per frame.

The format (Shahroudy et al., CVPR 2016): the number of frames; then for each frame the number of bodies and for each
body a line of 10 values, a line ``25`` and 25 lines of 12 values. Bodies are followed by their id, and by position
where the sensor lost one and gave a new id (:mod:`kineme.io._following`); :mod:`kineme.motion.normalise` chooses among
them.
Confidence is 1 for a joint that the sensor tracked, :data:`~kineme.motion.motion.UNSURE` for one that it inferred or
did not track but placed, 0 for one at the origin or with a number that is none. With the setting ``people`` =
``listed`` a body's place in its frame is its person; with ``faithful``, as the published preprocessing has it, it is so
as well, and the confidence of whatever has a place is 1.
:func:`parse` gives all values. The files state no frame rate; the sensor records 30 frames per second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import layout, size
from ..motion.motion import UNSURE, Motion
from ..utils.errors import InputError
from ..utils.files import atomic
from . import Masks, Options, _text
from ._following import listed, settle, somewhere
from ._tracking import SPARSE

suffixes = own = (".skeleton",)
together = True
datasets = ("ntu",)
settings = {"people": ("followed", "listed")}
in_slots = True

WHAT = "NTU RGB+D skeleton text (frame count; per frame the bodies with 10 values, '25' and 25 lines of 12 values each)"
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")  # setup, camera, subject, repetition, action
MAX_BODIES = 8
MAX_PLACES = 1 << 20  # frames x slots of a file
FEW_PLACES = 1 << 16  # that are there however few bodies a file has; above, SPARSE for each body
NTU60_SUBJECTS = (1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38)
NTU120_SUBJECTS = (
    *NTU60_SUBJECTS,
    *(*range(45, 48), 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96), 97, 98, 100, 103),
)
"""Training subjects of the cross-subject protocols (Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2019)."""
COUNTS = {str(n).encode(): n for n in range(MAX_BODIES + 1)}
JOINTS, BODY_VALUES, JOINT_VALUES = 25, 10, 12
BODY = BODY_VALUES + 1 + JOINTS * JOINT_VALUES  # words of one body
COLUMNS = np.arange(BODY_VALUES + 1, BODY).reshape(JOINTS, JOINT_VALUES)  # where in a body the values of joints stand
XYZ, STATE = COLUMNS[:, :3], COLUMNS[:, -1]


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything that a file holds. B = bodies of all frames together, in file order.

    Attributes:
        frames: number of frames T.
        frame, slot: int64 ``[B]``, where each body stands.
        ids: int64 ``[B]``, the tracker's body number (17 digits, exact).
        bodies: float64 ``[B, 9]``: clipped edges, left hand confidence and state, right hand confidence and state,
            restricted, lean x, lean y, tracking state.
        joints: float64 ``[B, 25, 12]``: x y z (m), depth x y, colour x y (px), orientation w x y z, tracking state
            (0 not tracked, 1 inferred, 2 tracked); what is not finite stays so.
    """

    frames: int
    frame: np.ndarray
    slot: np.ndarray
    ids: np.ndarray
    bodies: np.ndarray
    joints: np.ndarray


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".txt":
        return False
    words = head.split()
    at = next((i for i, word in enumerate(words) if i and word != b"0"), len(words))  # frames without a body
    return words[at : at + 1] != [b"25"] and words[at + BODY_VALUES + 1 : at + BODY_VALUES + 2] == [b"25"]


def side(path: Path, head: bytes) -> bool:
    """A list of samples, such as those with missing skeletons."""
    names = head.split()[:20]
    by_content = bool(names) and all(NAME.match(_text.unpack(name)) for name in names)
    return path.suffix.lower() == ".txt" and (by_content or _is_missing_list(path))


def _is_missing_list(path: Path) -> bool:
    return path.suffix == ".txt" and "missing_skeletons" in path.name


def read(path: Path, options: Options) -> Iterator[Motion]:
    """One motion ``[T, M, 25, 3]``, M = most bodies in a frame; frames without a body have confidence 0."""
    words, frame, slot, places = _scan(path, _text.load(path, WHAT))
    frames, slots = int(words.word(0)), int(slot.max(initial=0)) + 1
    most = min(MAX_PLACES, max(FEW_PLACES, SPARSE * len(places)))
    if frames * slots > most:
        found = f"{frames} frames of up to {slots} bodies, {len(places)} in all"
        raise words.error(0, found, f"at most {most} frames x bodies")
    joints = np.zeros((frames, slots, JOINTS, 3), np.float32)
    seen, ids = np.zeros(joints.shape[:3], np.float32), np.full((frames, slots), None, object)
    joints[frame, slot] = words.floats(places[:, None, None] + XYZ, np.float32, finite=False)
    seen[frame, slot] = _confidence(words, places, joints[frame, slot], options.faithful)
    ids[frame, slot] = [words.word(place) for place in places.tolist()]
    joints, seen, columns, notes = settle(joints, seen, ids, listed(options))
    said = named(path.name)
    said["extra"] = said.get("extra", {}) | columns
    kind: dict[str, Any] = {"layout": layout.layout("ntu25"), "fps": 30.0, "up": "+y", "unit": "m"}
    yield Motion(joints, confidence=seen, source=path.name, notes=notes, **kind, **said)


def _confidence(words: _text.Words, places: np.ndarray, joints: np.ndarray, faithful: bool) -> np.ndarray:
    """Confidence ``[B, 25]`` of bodies; where no joint of the file is tracked, nothing is stated, and all count."""
    there = somewhere(joints)
    if faithful:
        return there
    sure = words.equal((places[:, None] + STATE).ravel(), b"2").reshape(there.shape)
    return np.where(sure, there, there * np.float32(UNSURE)) if sure.any() else there


def named(name: str) -> dict[str, Any]:
    """What the name of a file says: label, subject, camera and further columns; nothing if it is of another kind."""
    known = NAME.match(name)
    if known is None:
        return {}
    setup, camera, subject, repetition, action = map(int, known.groups())
    return {
        "label": f"A{action:03d}",
        "subject": subject,
        "camera": camera,
        "extra": {
            "dataset": datasets[0],
            "setup": setup,
            "repetition": repetition,
            "performance": known[0][:4] + known[0][8:],
        },
    }


def parse(source: str | os.PathLike | bytes) -> Recording:
    """All values of a file (a path, or its bytes).

    Raises:
        InputError: not of this format; the message names the line.
    """
    path, data = ("bytes", source) if isinstance(source, bytes) else (source, _text.load(source, WHAT))
    words, frame, slot, places = _scan(path, data)
    ids = np.array([words.integer(i, "the number of a body") for i in places], np.int64)
    bodies = words.floats(places[:, None] + np.arange(1, BODY_VALUES))
    joints = words.floats(places[:, None, None] + COLUMNS, finite=False)
    return Recording(int(words.word(0)), frame, slot, ids, bodies, joints)


def excluded(path: str | os.PathLike) -> set[str]:
    """Names in a list of samples without usable skeletons, as it is published beside the data set.

    Empty for other lists of samples (splits, say): the published ones have ``missing_skeletons`` in their name.

    Raises:
        InputError: a line that is not the name of a sample.
    """
    if not _is_missing_list(Path(path)):
        return set()
    names = _text.unpack(_text.load(path, "names of samples such as S001C002P005R002A008, one on each line")).split()
    for name in names:
        if not NAME.match(name):
            raise InputError(path, f"{name[:40]!r} is not the name of a sample", "names such as S001C002P005R002A008")
    return {NAME.match(name)[0] for name in names}  # type: ignore[index]


def protocols(store: Any, rows: np.ndarray) -> Masks:
    """NTU RGB+D 60 and 120; the first edition is setups 1 to 17 (some of its 40 subjects act in later ones as well)."""
    subject, camera, setup = (store.numbers(name) for name in ("subject", "camera", "setup"))
    first, known = (subject <= 40) & ~(setup > 17), subject > 0
    trains60, trains120 = np.isin(subject, NTU60_SUBJECTS), np.isin(subject, NTU120_SUBJECTS)
    xsub60, xsub120 = (first & trains60, first & known & ~trains60), (trains120, known & ~trains120)
    return {
        "xsub": xsub120 if (subject[rows] > 40).any() else xsub60,
        "xsub60": xsub60,
        "xsub120": xsub120,
        "xview": (first & np.isin(camera, (2, 3)), first & (camera == 1)),
        "xset": (setup % 2 == 0, setup % 2 == 1),
    }


def _scan(path: str | os.PathLike, data: bytes) -> tuple[_text.Words, np.ndarray, np.ndarray, np.ndarray]:
    """Words of the file, and for each body its frame, its slot, and the index of its first word."""
    words = _text.words(path, data)
    frames = words.integer(0, "the number of frames")
    if not 0 < frames < len(words):
        raise words.error(
            0,
            f"{frames} frames announced in a file of {len(words)} words",
            WHAT,
            "The file is cut short or of another format",
        )
    counts, at = _counts(words, frames)
    frame = np.repeat(np.arange(len(counts)), counts)
    slot = np.arange(len(frame)) - (np.cumsum(counts) - counts)[frame]
    places = 2 + frame + BODY * np.arange(len(frame))
    inside = places[: np.searchsorted(places, len(words) - BODY_VALUES)] + BODY_VALUES
    right = words.equal(inside, b"25")
    if not right.all():
        wrong = inside[np.argmin(right)]
        raise words.error(wrong, f"a body with {words.shown(wrong)} joints", "25 joints")
    if at > len(words) or (len(counts) < frames and at == len(words)):
        raise words.error(
            len(words),
            f"the file ends within frame {max(len(counts), 1)} of {frames}",
            "all frames that the first line announces",
            "The file is cut short",
        )
    if len(counts) < frames:
        raise words.error(at, f"{words.shown(at)} bodies in frame {len(counts) + 1}", f"0 to {MAX_BODIES}")
    if at < len(words):
        raise words.error(at, f"{words.shown(at)} behind the last of {frames} frames", "the end of the file")
    return words, frame, slot, places


def _counts(words: _text.Words, frames: int) -> tuple[np.ndarray, int]:
    """Bodies of each frame, as far as the file is in order, and the index of the word behind them."""
    first = COUNTS.get(words.word(1), len(words))
    if 1 + frames * (1 + BODY * first) == len(words):  # as a rule every frame has as many bodies as the first
        heads = np.arange(1, len(words), 1 + BODY * first)
        if words.equal(heads, words.word(1)).all():
            return np.full(frames, first), len(words)
    counts: list[int] = []
    at, edges = 1, words.edges.data  # a memoryview: its items are plain int, faster to index with
    while len(counts) < frames and at < len(words):
        count = COUNTS.get(words.data[edges[2 * at] : edges[2 * at + 1]])
        if count is None:
            break
        counts.append(count)
        at += 1 + BODY * count
    return np.array(counts, np.int64), at


KINECT_COLOUR, KINECT_DEPTH = (1060.0, 1920, 1080), (365.0, 512, 424)  # focal length, width, height in pixels


def fits(motion: Motion) -> Motion:
    """The motion as a Kinect has it: ``ntu25`` in metres, +y up; by subject 1 where it is not known."""
    motion = motion if motion.layout.name == "ntu25" else motion.to_layout("ntu25")
    motion = motion if isinstance(motion.subject, int) else motion.with_(subject=1)
    motion = motion if isinstance(motion.camera, int) else motion.with_(camera=None)
    return size.turned(size.metric(motion), "+y")


def write(folder: str | Path, motions: Iterable[Motion], name: str = "", actions: Sequence[str] = ()) -> Path:
    """One ``SsssCcccPpppRrrrAaaa.skeleton`` per clip: setup 1.

    Actions are numbered from 1: those of ``actions`` first, others in the order in which they come. A clip whose name
    is taken gets the next repetition that is free.

    The colour and depth columns are the joints as the Kinect's (mirrored) images show them; orientations are 0. The
    tracking state is 2, 1 for a confidence of 0.5 or less, 0 for missing joints, which stand at the origin.

    Raises:
        InputError: a motion that is not ntu25 in metres, or a number above 999.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known, met = list(actions), set[tuple[Any, ...]]()
    for clip in motions:
        if clip.layout.name != "ntu25" or clip.coords != 3 or clip.unit != "m":
            found = f"layout {clip.layout.name}, {clip.coords}-D, unit {clip.unit}"
            raise InputError(clip.source, found, "layout ntu25, 3-D, metres")
        known += [str(clip.label)] * (clip.label not in known)
        action = known.index(str(clip.label)) + 1
        camera, subject, repetition = clip.camera or 0, clip.subject, int(clip.extra.get("repetition") or 0) + 1
        while (camera, subject, repetition, action) in met:
            repetition += 1
        met.add((camera, subject, repetition, action))
        numbers = (1, camera, subject, repetition, action)
        if not all(isinstance(number, int) and 0 <= number <= 999 for number in numbers):
            found = f"camera, subject, repetition and action {numbers[1:]}"
            raise InputError(clip.source, found, "numbers up to 999, as NTU names have them")
        with atomic(folder / "S{:03d}C{:03d}P{:03d}R{:03d}A{:03d}.skeleton".format(*numbers)) as path:
            path.write_text("\n".join(_ntu_lines(clip)) + "\n", encoding="ascii")
    return folder


def _ntu_lines(clip: Motion) -> Iterator[str]:
    away = clip.joints[..., 2:] > 0
    flat = np.where(away, clip.joints[..., :2] * (1, -1) / np.where(away, clip.joints[..., 2:], 1), 0)
    images = [np.array(size) / 2 + focal * flat for focal, *size in (KINECT_DEPTH, KINECT_COLOUR)]
    state = np.where(clip.confidence > 0.5, 2, np.where(clip.confidence > 0, 1, 0))
    rows = np.concatenate([clip.joints, *images, np.zeros((*state.shape, 4))], -1)
    here = clip.confidence.max(2) > 0
    yield str(len(clip))
    for frame in range(len(clip)):
        yield str(int(here[frame].sum()))
        for person in np.flatnonzero(here[frame]):
            yield f"{72057594037930000 + int(person)} 0 1 0 1 0 0 0 0 2"
            yield "25"
            for row, tracked in zip(rows[frame, person].tolist(), state[frame, person].tolist()):
                yield " ".join(f"{value:.9g}" for value in row) + f" {tracked}"
