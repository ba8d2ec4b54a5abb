"""Files of motion: one reader per format, and the choice between them.

A reader is one file in this folder; its name is the format's name on the command line, the first line of its docstring
the description. It defines

* ``suffixes``: the usual file endings; readers that list a file's ending are asked first;
* ``sniff(path, head) -> bool``: is this a file of mine? By name and content, cheaply: ``head`` holds its first 8192
  bytes. A file whose name is telling is claimed even if damaged, so that the reader can say what is wrong with it;
* ``read(path, options) -> Iterator[Motion]``: its clips in file order. ``source`` is the file's name, with ``#k``
  behind it for clip k of a file that holds several (or the clip's own name where the format has one). Whatever is
  wrong with the file is an :class:`~kineme.utils.errors.InputError` that names it and the place in it; nothing is
  executed, and no size that the file merely claims is allocated. One bad number, row or frame costs itself only: it
  is missing, and counted in ``Motion.notes``, as is whatever is taken for granted;

and, where the format needs it,

* ``own``: endings that no other format has. Such a file is taken for one of this format without a look inside;
* ``folder = True``: recordings may be sets of files in a folder (one file per frame, say). Then ``sniff`` and ``read``
  receive folders as well as files; for a folder ``head`` is empty;
* ``takes(folder) -> dict[str, list[Path]]``: the files of each recording in a folder, by its name. All other files
  there, and the folders below, are looked at on their own. Without ``takes`` the folder is one recording, of the files
  that end in one of ``suffixes``;
* ``side(path, head) -> bool``: a file that belongs to the format but is no clip by itself (labels, a skeleton that the
  motion files share, split lists). ``prepare`` passes over it in silence; ``read`` finds its own with
  :func:`kineme.io._text.near`;
* ``excluded(path) -> set[str]``: the recordings (names without folder and ending) that a side file of the format, as
  published, leaves out of the data set; ``prepare`` skips them. Empty for side files of another kind;
* ``in_slots = True``: the persons of its motions are slots of each frame's list of bodies, of which few are people;
  normalisation takes the two that move most;
* ``settings``: what a user may say of its files, by name, and the values that there are (a tuple, or a function that
  gives one); ``read`` finds it in ``options.table``. On the command line it is ``--read NAME=VALUE``;
* ``write(folder, motions)``: files (ending ``suffixes[0]``), named by the motions' sources; with ``together = True``
  all of them at once, ``write(folder, motions, name)``. ``fits(motion) -> Motion`` before it: the motion as the format
  can hold it (its layouts, units, axes). ``kineme convert`` writes every such format;
* ``splits(path) -> dict``: the published splits that a file carries, as rules over columns of the clip table, or as
  text where the file only describes them;
* ``datasets``: names of data sets (column ``dataset``) that come in this format, and
  ``protocols(store, rows) -> masks``: their published splits as functions of the clip table, ``{name: (train, test)}``
  with bool ``[N]`` each, over a store of N clips of which ``rows`` (bool ``[N]``) are of the set. Without ``protocols``
  the set has no splits but those that its files carry.

Nothing else has to be told about a new reader: :func:`kineme.utils.registry.names` finds it, and the test of bad input
asks for one more entry in its table. Text formats find a fast scanner of numbers in :mod:`kineme.io._text`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..motion import size, units
from ..motion.motion import UPS, Motion
from ..utils import files, registry
from ..utils.errors import InputError
from . import _unread, _video
from ._video import ENDINGS as VIDEO_ENDINGS  # noqa: F401
from ._video import Video as Video
from ._video import is_video as is_video
from ._video import open_video as open_video

Masks = dict[str, tuple[np.ndarray, np.ndarray]]  # name -> training clips, test clips; bool [N] each
HEAD = 8192  # bytes that a reader may look at to recognise its files
MAX_JOINTS = 1024  # of a layout that a file brings along


@dataclass(frozen=True)
class Options:
    """What the user says about the files.

    Attributes:
        labels: file or folder of labels, where the format keeps them apart.
        faithful: cut clips as the released code of the publication does, quirks included.
        image: take coordinates in the image where a file has those and others, as the normalisation ``image`` needs.
        table: further settings by name (:func:`settings`), for the formats that know them.
        unit: what lengths in space are in, whatever the file says or leaves open: ``cm``, ``inches``, or how many
            metres one is (the motion is in metres then). Motion in 2-D keeps its own.
        up: the axis that points up, whatever the file says or leaves open.

    Raises:
        InputError: no such unit, axis or setting.
    """

    labels: Path | None = None
    faithful: bool = False
    image: bool = False
    table: Mapping[str, Any] | None = None
    unit: str | float | None = None
    up: str | None = None

    def __post_init__(self) -> None:
        if self.unit is not None:
            units.asked(self.unit)
        if self.up is not None and self.up not in UPS:
            raise InputError("--up", f"axis {self.up!r}", f"one of {', '.join(UPS)}")
        for name, value in (self.table or {}).items():
            _check(name, value)
        if self.labels is not None:
            object.__setattr__(self, "labels", Path(self.labels))


def readers() -> dict[str, Any]:
    """The readers by name, those of plug-ins among them, imported (which needs numpy only).

    Examples:
        >>> "bvh" in readers()
        True
    """
    return _readers(tuple(registry.names("io")))


@functools.cache  # asked for every file
def _readers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: registry.load("io", name) for name in names}


def settings() -> dict[str, tuple[str, ...]]:
    """What can be said of files of some formats, by name, and the values that there are.

    Examples:
        >>> settings()["landmarks"]
        ('image', 'world')
    """
    known = {name: values for reader in readers().values() for name, values in getattr(reader, "settings", {}).items()}
    return {name: tuple(values() if callable(values) else values) for name, values in known.items()}


def _check(name: str, value: Any) -> None:
    known = settings()
    if name not in known:
        hint = registry.did_you_mean(name, known)
        raise InputError(f"setting {name!r}", "no format knows it", f"one of {', '.join(known)}", hint)
    if value not in known[name]:
        hint = registry.did_you_mean(str(value), known[name])
        raise InputError(name, repr(value), f"one of {', '.join(known[name])}", hint)


def detect(path: str | os.PathLike) -> str:
    """Name of the format of a file, or of a folder that is one unit.

    Raises:
        InputError: missing, empty, or of no known format; the message lists the formats.

    Examples:
        >>> folder = kineme.synth.write("detected", 1, cameras=0, format="bvh")
        >>> detect(next(folder.glob("*.bvh")))
        'bvh'
    """
    path = Path(path)
    is_folder, ending = _is_folder(path), path.suffix.lower()
    known = {name: reader for name, reader in readers().items() if not is_folder or getattr(reader, "folder", False)}
    for name, reader in known.items():
        if ending in getattr(reader, "own", ()):
            return name
    head = b"" if is_folder else _head(path)
    for name, reader in sorted(known.items(), key=lambda entry: ending not in entry[1].suffixes):
        if reader.sniff(path, head):
            return name
    formats = f"one of {_formats()}"
    if is_folder:
        raise InputError(
            path,
            "a folder that is no recording of a known format",
            formats,
            "A folder of files goes through kineme prepare",
        )
    owner = _side_of(path, head)
    if owner:
        raise InputError(path, f"a side file of format {owner}, not a recording", formats)
    if (other := _video.kind(head)) is not None:
        raise InputError(path, other, _video.EXPECTED, _video.HOW)
    if (other := _unread.kind(path, head)) is not None:
        raise InputError(path, other, formats, _unread.EXPORT)
    start = head[:40].decode("latin-1").encode("unicode_escape").decode("ascii")
    found = f"of no known format (it begins with '{start}')" if head else "the file is empty"
    raise InputError(path, found, formats, "If you know the format, name it")


def read_all(path: str | os.PathLike, format: str | None = None, options: Options | None = None) -> Iterator[Motion]:
    """The clips of a file, one after the other.

    Args:
        path: the file, or a folder where that is the format's unit.
        format: name of the reader; by default it is recognised.
        options: see :class:`Options`.

    Raises:
        InputError: at once if there is no such file or format; where the file cannot be read on; behind the last clip
            if some of its clips are at fault (:func:`read_each` gives those errors in their places).

    Examples:
        >>> folder = kineme.synth.write("many", 3)
        >>> [motion.joints.shape[2] for motion in kineme.read_all(folder / "synth.npz")]
        [25, 25, 25]
    """
    return _sound(files.as_path(path, "a motion file"), read_each(path, format, options))


def read_each(
    path: str | os.PathLike, format: str | None = None, options: Options | None = None
) -> Iterator[Motion | InputError]:
    """The clips of a file, and in the place of one that cannot be used the error that says why.

    Such an error names the clip (``where``: its source). A clip in which nobody is ever seen is one of them.

    Raises:
        InputError: at once if there is no such file or format, or where the file cannot be read on.

    Examples:
        >>> folder = kineme.synth.write("each", 2)
        >>> [type(clip).__name__ for clip in read_each(folder / "synth.npz")]
        ['Motion', 'Motion']
    """
    options, path = options or Options(), files.as_path(path, "a motion file")
    return _meant(_checked(path, _reader(path, format).read(path, options)), options)


def nobody(motion: Motion) -> InputError | None:
    """What is wrong with a motion in which nobody is ever seen; None for every other."""
    if motion.confidence.any():
        return None
    frames = f"any of {len(motion)} frames" if len(motion) > 1 else "its one frame"
    return InputError(motion.source, f"nobody is seen in {frames}", "a person, at least once")


def read(path: str | os.PathLike, format: str | None = None, **options: Any) -> Motion:
    """The motion of a file that holds exactly one clip.

    Args:
        path, format: as for :func:`read_all`.
        options: the fields of :class:`Options`, and settings of formats by their own names (``keypoints="body25b"``).

    Raises:
        InputError: not readable, or more than one clip.

    Examples:
        >>> folder = kineme.synth.write("one", 1, format="ntu")
        >>> clip = kineme.read(next(folder.glob("*.skeleton")))
        >>> clip.layout.name, clip.fps
        ('ntu25', 30.0)
    """
    known = {field.name for field in dataclasses.fields(Options)}
    further = {name: value for name, value in options.items() if name not in known}
    table = {**(options.get("table") or {}), **further}
    said = Options(**{**{name: value for name, value in options.items() if name in known}, "table": table})
    clips = list(itertools.islice(read_all(path, format, said), 2))
    if len(clips) != 1:
        found = "more than one clip" if clips else "no clip"
        raise InputError(path, found, "exactly one", "kineme.read_all gives them one after the other")
    return clips[0]


def is_side_file(path: str | os.PathLike) -> bool:
    """Whether a file belongs to a known format without being a recording (labels, lists, descriptions)."""
    try:
        return Path(path).is_file() and _side_of(Path(path), _head(Path(path))) is not None
    except InputError:  # not readable: whoever reads it says so
        return False


@dataclass(frozen=True)
class Found:
    """What stands at or under a path.

    Attributes:
        units: the recordings in sorted order: files, and folders in which a format has recordings of several files.
        again: links (and further names) of what is read elsewhere, with the place where it is; these are left out.
    """

    units: tuple[Path, ...]
    again: Mapping[Path, Path]


def search(root: str | os.PathLike, format: str | None = None) -> Found:
    """The units at or under a path: files, and folders that hold recordings of several files; no side files.

    Files of no known format are among them (whoever reads them reports them); hidden files and folders are not. A
    folder that is a unit is searched on for what does not belong to its recordings. Each real file and folder counts
    once, however many links lead to it; where it really stands goes before links. Without ``format`` a folder is a
    unit if a reader of folders recognises it, with it if that reader does.

    Raises:
        InputError: a folder that cannot be listed.
    """
    root = Path(root)
    takers = [
        reader for name, reader in readers().items() if getattr(reader, "folder", False) and format in (None, name)
    ]
    units: list[Path] = []
    again: dict[Path, Path] = {}
    met: dict[Any, Path] = {}  # what was met, by its identity
    real: dict[Path, str] = {}
    waiting, links = [root], list[Path]()
    while waiting or links:
        path = waiting.pop() if waiting else links.pop(0)
        is_folder = path.is_dir()
        if not is_folder and path != root and is_side_file(path):
            continue
        first = met.setdefault(_identity(path, real), path)
        if first == path and is_folder and path != root and root.resolve().is_relative_to(path.resolve()):
            first = root  # a link to a folder in which all this lies
        if first != path:
            again[path] = first
            continue
        if not is_folder:
            units.append(path)
            continue
        members = _members(path, takers)
        places = {met.setdefault(_identity(member, real), path) for member in members}
        if members and path not in places:  # all of them are links to frames of other recordings
            again[path] = min(places)
        elif members:
            units.append(path)
        inside = [entry for entry in _inside(path) if entry not in members]
        waiting += [entry for entry in reversed(inside) if not entry.is_symlink()]
        links = sorted(links + [entry for entry in inside if entry.is_symlink()])
    return Found(tuple(sorted(units)), dict(sorted(again.items())))


def sources(root: str | os.PathLike, format: str | None = None) -> Iterator[Path]:
    """The units of :func:`search` in sorted order.

    Examples:
        >>> [path.name for path in sources(kineme.synth.write("found", 3))]
        ['synth.npz']
    """
    yield from search(root, format).units


def takes(path: str | os.PathLike, format: str | None = None) -> int:
    """How many recordings of several files a folder holds itself, without the folders below; 0 for a file."""
    known = [reader for name, reader in readers().items() if getattr(reader, "folder", False)]
    reader = readers().get(format) if format else next((r for r in known if r.sniff(Path(path), b"")), None)
    if reader is None or reader not in known or not Path(path).is_dir():
        return 0
    return len(reader.takes(Path(path))) if hasattr(reader, "takes") else 1


def _inside(folder: Path) -> list[Path]:
    """What stands in a folder, sorted; nothing hidden."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(folder, f"not readable ({error.strerror})") from None


def _members(folder: Path, takers: Iterable[Any]) -> set[Path]:
    """The files of a folder that belong to the recordings that a format has there."""
    reader = next((reader for reader in takers if reader.sniff(folder, b"")), None)
    if reader is None:
        return set()
    if hasattr(reader, "takes"):
        return {file for files in reader.takes(folder).values() for file in files}
    return {path for path in _inside(folder) if path.suffix.lower() in reader.suffixes and path.is_file()}


def _identity(path: Path, real: dict[Path, str]) -> Any:
    """The same for all names of a file or folder; ``real`` remembers the real places of folders."""
    try:
        facts = path.lstat()
        linked = stat.S_ISLNK(facts.st_mode)
        facts = path.stat() if linked else facts
    except OSError:  # a link to nowhere, or gone meanwhile: reading it will tell
        return path
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1 and facts.st_ino:
        return facts.st_dev, facts.st_ino
    if linked or path.name in ("", ".."):
        return os.path.realpath(path)
    if path.parent not in real:
        real[path.parent] = os.path.realpath(path.parent)
    return os.path.join(real[path.parent], path.name)


def excluded(path: str | os.PathLike) -> set[str]:
    """Names of the recordings that a side file leaves out, as its format reads it; empty for every other file.

    Raises:
        InputError: such a list, but with something in it that is no name of a recording.
    """
    try:
        owner = _side_of(Path(path), _head(Path(path)))
    except InputError:  # not readable: no list
        return set()
    if owner is None or not hasattr(readers()[owner], "excluded"):
        return set()
    return readers()[owner].excluded(Path(path))


def protocols() -> dict[str, Callable[[Any, np.ndarray], Masks]]:
    """The published splits of data sets: name of the set -> ``protocols`` of the format that owns it."""
    owners = {dataset: reader for reader in readers().values() for dataset in getattr(reader, "datasets", ())}
    return {dataset: getattr(reader, "protocols", lambda store, rows: {}) for dataset, reader in owners.items()}


def carried_splits(path: str | os.PathLike, format: str | None = None) -> dict[str, dict[str, Any]]:
    """The published splits that a file carries: ``{name: {"train": rule, "test": rule}}``, empty for most formats.

    A rule is ``{"column": c, "in": [values]}``, ``{"column": c, "lt": x}``, ``{"column": c, "ge": x}`` or
    ``{"column": c, "prefix": text}`` over columns of the clip table.
    """
    return {name: rules for name, rules in _splits(path, format).items() if not isinstance(rules, str)}


def described_splits(path: str | os.PathLike, format: str | None = None) -> dict[str, str]:
    """The published splits that a file only describes, in its words."""
    return {name: words for name, words in _splits(path, format).items() if isinstance(words, str)}


def _splits(path: str | os.PathLike, format: str | None) -> dict[str, dict[str, Any] | str]:
    reader = _reader(Path(path), format)
    return reader.splits(Path(path)) if hasattr(reader, "splits") else {}


def _checked(path: Path, clips: Iterator[Motion | InputError]) -> Iterator[Motion | InputError]:
    """The same clips without those in which nobody is seen; errors that end the file name it."""
    try:
        for clip in clips:
            yield clip if isinstance(clip, InputError) else nobody(clip) or clip
    except InputError as error:
        raise _naming(path, error) from None


def _sound(path: Path, clips: Iterator[Motion | InputError]) -> Iterator[Motion]:
    """The clips that can be used; behind them the first error, if there is any."""
    faults = []
    for clip in clips:
        if isinstance(clip, InputError):
            faults.append(_naming(path, clip))
        else:
            yield clip
    if faults:
        first, others = faults[0], len(faults) - 1
        also = f" ({others} more {'clips' if others > 1 else 'clip'} of it cannot be used)" if others else ""
        raise InputError(first.where, first.found.rstrip(".") + also, first.expected, first.hint)


def _naming(path: Path, error: InputError) -> InputError:
    """The error, with the file's name in it; one that comes from a motion itself names only the clip."""
    if path.name in str(error):
        return error
    return InputError(f"{path}, {error.where}", error.found, error.expected, error.hint)


def _meant(clips: Iterator[Motion | InputError], options: Options) -> Iterator[Motion | InputError]:
    """The same clips with the unit and the up axis that the user says."""
    for clip in clips:
        yield size.meant(clip, options.unit, options.up) if isinstance(clip, Motion) else clip


def _reader(path: Path, format: str | None) -> Any:
    name = format or detect(path)
    if name not in readers():
        raise InputError(
            f"format {name!r}", "no such format", f"one of {_formats()}", registry.did_you_mean(name, readers())
        )
    reader = readers()[name]
    if format and _is_folder(path) and not getattr(reader, "folder", False):
        raise InputError(path, "a folder", f"a file of format {name}", "A folder of files goes through kineme prepare")
    return reader


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        found = "no such file or folder" if isinstance(error, FileNotFoundError) else f"not readable ({error.strerror})"
        raise InputError(path, found) from None


def _side_of(path: Path, head: bytes) -> str | None:
    return next(
        (name for name, reader in readers().items() if hasattr(reader, "side") and reader.side(path, head)), None
    )


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror})") from None


def _formats() -> str:
    return ", ".join(f"{name} ({' '.join(reader.suffixes)})" for name, reader in readers().items())
