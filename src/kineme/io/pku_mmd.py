"""PKU-MMD skeleton text (.txt): 150 numbers per frame, two Kinect v2 bodies of 25 joints, with label files.

A recording ``0105-L.txt`` (video number, camera) is a long one; its label file ``class,first,last,confidence`` cuts it
into clips, one on each line (Liu et al., arXiv 1703.07475). Frames count from 1 there and the last one belongs to the
clip. With ``faithful`` a clip is rows ``[first:last]`` of the array, as released code has it: the frame ``first``
itself is lost, and a range that runs past the recording is cut without a word.
Labels are looked for in ``Options.labels`` (a file, or a folder of files with the recording's name), else in
``labels/`` beside the recording and in ``Train_Label_PKU_final/`` beside its folder; without any, the whole recording
is one motion. A joint at the origin is missing, so a body whose 75 numbers are all 0 is absent. The sensor records 30
frames per second. The files hold no ids: bodies are followed by position (:mod:`kineme.io._following`); with
``faithful``, or the setting ``people`` = ``listed``, they stay as they are listed.

The official split lists name recordings, so they are rules over the column ``recording``; :func:`split_list` reads one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..motion import layout
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import Options, _text
from ._following import listed, settle, somewhere

suffixes = (".txt",)
datasets = ("pku_mmd",)  # its splits are lists of recordings, which say nothing of subjects: no protocols
settings = {"people": ("followed", "listed")}

WHAT = "PKU-MMD skeleton text (150 numbers on each line)"
ROW = "2 bodies x 25 joints x 3 coordinates"
NAME = re.compile(r"(?P<video>\d{4}|A\d+N\d+)-(?P<camera>[LMR])")  # part I, part II
LABEL = re.compile(rb"\s*\d+(\.0*)?(\s*,\s*\d+(\.0*)?){2}\s*(,.*)?")
PLACES = ("labels/{}", "../Train_Label_PKU_final/{}", "../Label/Train_Label_PKU_final/{}")
SPLITS = {
    "xsub": ("cross-subject.txt", "cross_subject.txt", "cross_subject_v2.txt"),
    "xview": ("cross-view.txt", "cross_view.txt", "cross_view_v2.txt"),
}


class Instance(NamedTuple):
    """One line of a label file: class from 1, first and last frame from 1 (both belong to it), confidence or None."""

    action: int
    first: int
    last: int
    confidence: float | None


def sniff(path: Path, head: bytes) -> bool:
    if path.suffix.lower() != ".txt" or side(path, head):
        return False
    first = head.lstrip().split(b"\n", 1)[0].split()
    return bool(NAME.fullmatch(path.stem)) or (len(first) == 150 and all(map(_text.NUMBER.fullmatch, first)))


def side(path: Path, head: bytes) -> bool:
    """A label file or a split list."""
    lines = head.removeprefix(b"\xef\xbb\xbf").strip().splitlines()[: 20 if NAME.fullmatch(path.stem) else 1]
    is_list = any(line.strip().lower().startswith(b"training videos") for line in lines[:1])
    return path.suffix.lower() == ".txt" and (is_list or any(LABEL.fullmatch(line.strip()) for line in lines))


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """Motions ``[T, 2, 25, 3]``: one for each line of the label file, or the whole recording if there is none."""
    joints, lost = _table(path)
    seen = somewhere(joints)
    joints, seen, columns, notes = settle(joints, seen, as_listed=listed(options))
    notes |= {_text.LOST: lost}
    known = NAME.fullmatch(path.stem)
    recording: dict[str, Any] = {"dataset": datasets[0]} if known else {}
    recording |= {"recording": path.stem}
    video = known["video"] if known else path.stem
    shared: dict[str, Any] = {"layout": layout.layout("ntu25"), "fps": 30.0, "up": "+y", "unit": "m"}
    shared["camera"] = known["camera"] if known else None
    where = label_file(path, options.labels)
    if where is None:
        extra = recording | {"performance": video} | columns
        yield Motion(joints, confidence=seen, source=path.name, extra=extra, notes=notes, **shared)
        return
    for k, (line, instance) in enumerate(_lines(where)):
        source = f"{path.name}#{k}"
        if isinstance(instance, InputError):
            yield InputError(source, f"{line}: {instance.found}", instance.expected)
            continue
        start, end = instance.first - (not options.faithful), instance.last
        if options.faithful:
            end = min(end, len(joints))
        if not 0 <= start < end <= len(joints):
            expected = f"frames within 1 to {len(joints)}, as many as {path.name} has"
            yield InputError(source, f"{line}: frames {instance.first} to {instance.last}", expected)
            continue
        extra = recording | {
            "performance": f"{video}#{k}",
            "instance": k,
            "start": start,
            "end": end,
            "annotation_confidence": instance.confidence,
        }
        try:
            yield Motion(
                joints[start:end],
                confidence=seen[start:end],
                label=f"A{instance.action:03d}",
                source=source,
                extra=extra | columns,
                notes=notes,
                **shared,
            )
        except InputError as error:  # of this clip alone
            yield InputError(source, error.found, error.expected, error.hint)
        else:
            notes = {}  # told once


def parse(path: str | os.PathLike) -> np.ndarray:
    """The whole recording: float32 ``[T, 2, 25, 3]``, metres; an absent body is all 0, a number that is none NaN.

    Raises:
        InputError: not of this format; the message names the line.
    """
    return _table(path)[0]


def _table(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """What :func:`parse` gives, and how many rows are lost."""
    table, lost = _text.words(path, _text.load(path, WHAT)).table(150, ROW, np.float32)
    return table.reshape(-1, 2, 25, 3), int(lost.sum())


def label_file(path: Path, given: Path | None = None) -> Path | None:
    """Where the labels of a recording are; None if there are none.

    Raises:
        InputError: ``given`` is neither a file nor a folder.
    """
    if given is None:
        return _text.near(path, *(place.format(path.name) for place in PLACES))
    if given.is_dir():
        return _text.near(given / path.name, path.name)
    if not given.is_file():
        raise InputError(given, "no such file or folder", "labels of PKU-MMD")
    return given


def labels(path: str | os.PathLike) -> list[Instance]:
    """Read a label file.

    Raises:
        InputError: a line that is not ``class,first,last`` or ``class,first,last,confidence``.
    """
    found = []
    for _, instance in _lines(path):
        if isinstance(instance, InputError):
            raise instance
        found.append(instance)
    return found


def _lines(path: str | os.PathLike) -> Iterator[tuple[str, Instance | InputError]]:
    """The lines of a label file that are not empty, and where each of them stands."""
    for number, line in enumerate(_text.load(path, "lines class,first,last,confidence").splitlines(), 1):
        if line.strip():
            yield (
                f"{Path(path).parent.name}/{Path(path).name}, line {number}",
                _instance(f"{path}, line {number}", line),
            )


def _instance(where: str, line: bytes) -> Instance | InputError:
    shown = repr(_text.unpack(line[:60]))
    values = [value.strip() for value in line.split(b",")]
    if len(values) not in (3, 4) or not all(_text.NUMBER.fullmatch(value) for value in values):
        return InputError(where, shown, "class,first,last,confidence")
    action, first, last, *rest = map(float, values)
    if not (0 < action < 1000 and all(0 <= value < 1e9 and value == int(value) for value in (action, first, last))):
        return InputError(where, shown, "whole numbers, the class from 1")
    return Instance(int(action), int(first), int(last), rest[0] if rest else None)


def split_list(path: str | os.PathLike) -> dict[str, list[str]]:
    """Read an official split list: ``{"train": names of recordings, "test": names}``.

    Raises:
        InputError: not four lines (a heading, names, a heading, names), or something that is not a recording's name.
    """
    what = "a line 'Training videos:', names, a line 'Validation videos:', names"
    lines = [line.strip() for line in _text.unpack(_text.load(path, what)).splitlines() if line.strip()]
    if len(lines) != 4:
        raise InputError(path, f"{len(lines)} lines", what)
    train, test = ([name.strip() for name in line.split(",") if name.strip()] for line in lines[1::2])
    for name in train + test:
        if not NAME.fullmatch(name):
            raise InputError(path, f"{name[:40]!r} is not the name of a recording", "names such as 0105-L")
    return {"train": train, "test": test}


def splits(path: Path) -> dict[str, dict[str, Any]]:
    """The official splits whose lists lie beside the recording or beside its folder."""
    found = {}
    for name, lists in SPLITS.items():
        where = _text.near(path, *lists, *(f"../{entry}" for entry in lists), *(f"../Split/{entry}" for entry in lists))
        if where is not None:
            parts = split_list(where)
            found[name] = {part: {"column": "recording", "in": names} for part, names in parts.items()}
    return found
