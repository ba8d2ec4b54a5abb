"""Xsens MVN (.mvnx): positions of the segments of a suit of inertial sensors, in metres, +z up.

XML with ``subject`` (``frameRate``), its ``segments``, and ``frames``; those of type ``normal`` count, each with the
``position`` of all segments (Schepers, Giuberti and Bellusci, *Xsens MVN: Consistent Tracking of Human Motion*, 2018).
A segment is where it begins: ``RightUpperArm`` is the shoulder. The 23 of the body come out, fingers and props are
passed over; other segments are a free layout. Each subject is a clip. Of a file that was cut short the whole frames are
read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

import numpy as np

from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..utils.errors import InputError
from . import MAX_JOINTS, Options, _text
from ._following import MAX_POINTS

suffixes = own = (".mvnx",)

WHAT = "MVNX: XML with a subject, its segments, and frames with positions"
CUT = "The file may be cut short"
TORN = "files that end too early, read up to there"  # notes
INFINITE = "joints that are no finite number, taken as missing"


def sniff(path: Path, head: bytes) -> bool:
    return b"<mvnx" in head


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """One motion ``[T, 1, V, 3]`` for each subject."""
    found = _Subjects(path, _text.load(path, WHAT))
    for k, subject in enumerate(found.all):
        source = f"{path.name}#{subject.name or k}" if len(found.all) > 1 else path.name
        try:
            yield _motion(path, source, subject, found.torn)
        except InputError as error:
            if len(found.all) == 1:
                raise
            yield InputError(source, error.found, error.expected, error.hint)


class _Subject:
    """What a file says of one subject: name, rate, segments in their order, positions as text."""

    def __init__(self, name: str, rate: str):
        self.name, self.rate = name, rate
        self.segments: list[str] = []
        self.positions: list[str] = []


class _Subjects:
    """The subjects of a file; nothing else of it is kept.

    Raises:
        InputError: no XML, definitions of a document type (whose entities may grow without end), no frame.
    """

    def __init__(self, path: Path, data: bytes):
        self.path, self.all, self.torn = path, list[_Subject](), 0
        self.inside = False  # a frame that counts
        self.text: list[str] | None = None
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._take
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(data, True)
        except InputError:
            raise
        except expat.ExpatError as error:
            if not any(subject.positions for subject in self.all):
                raise InputError(path, f"not readable as XML ({error})", WHAT, CUT) from None
            self.torn = 1
        except (ValueError, LookupError) as error:  # of its encoding
            raise InputError(path, f"not readable as XML ({str(error)[:80]})", WHAT) from None
        if not any(subject.positions for subject in self.all):
            raise InputError(path, "no frame of type normal with positions", WHAT, CUT)

    def _refuse(self, *_: object) -> None:
        raise InputError(self.path, "a document type of its own", f"{WHAT}; nothing that a file defines is expanded")

    def _start(self, tag: str, about: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "subject":
            self.all.append(_Subject(about.get("label", ""), about.get("frameRate", "")))
        elif not self.all:
            return
        elif tag == "segment" and "label" in about:
            self.all[-1].segments.append(about["label"])
            if len(self.all[-1].segments) > MAX_JOINTS:
                raise InputError(self.path, f"more than {MAX_JOINTS} segments")
        elif tag == "frame":
            self.inside = about.get("type", "normal") == "normal"
        elif tag == "position" and self.inside:
            self.text = []

    def _take(self, text: str) -> None:
        if self.text is not None:
            self.text.append(text)

    def _end(self, tag: str) -> None:
        if tag.rpartition(":")[2] == "position" and self.text is not None:
            self.all[-1].positions.append(" ".join("".join(self.text).split()))
            self.text = None
        elif tag.rpartition(":")[2] == "frame":
            self.inside = False


def _motion(path: Path, source: str, subject: _Subject, torn: int) -> Motion:
    names, count = subject.segments, len(subject.segments)
    if not count or not subject.positions:
        raise InputError(source, f"{count} segments and {len(subject.positions)} frames", WHAT)
    if len(subject.positions) * count > MAX_POINTS:
        raise InputError(source, f"{len(subject.positions)} frames of {count} segments", f"at most {MAX_POINTS} in all")
    rows = "\n".join(row or "-" for row in subject.positions).encode("utf-8", "replace")
    table, lost = _text.words(path, rows).table(3 * count, "x y z of each segment")
    joints = table.reshape(-1, count, 3)
    body = skeleton.layout("mvnx23")
    whole = None if len(names) < len(body) else skeleton.identify(names[: len(body)])
    if whole is not None:
        joints, layout = joints[:, : len(body)], whole
    else:
        layout = skeleton.free(names, skeleton.tree(names))
    huge = (np.abs(joints) > np.finfo(np.float32).max).any(-1)
    joints = np.where(huge[..., None], 0, joints)
    seen = np.repeat(~lost[:, None], len(layout), 1).astype(np.float32)
    seen[huge] = 0
    rate = float(subject.rate) if re.fullmatch(r"\d{1,5}(\.\d{1,9})?", subject.rate) else 0.0
    return Motion(
        joints[:, None],
        layout,
        seen[:, None],
        fps=rate or None,
        up="+z",
        unit="m",
        source=source,
        notes={_text.LOST: int(lost.sum()), TORN: torn, INFINITE: int(huge.sum())},
    )
