"""Draw motion: a strip of figures or an animation of any file, or of a clip of a store."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError

if TYPE_CHECKING:
    from ...motion.motion import Motion

MOST = 6  # motions, where no clip is named
ENDINGS = (".png", ".svg", ".pdf", ".gif")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "what",
        metavar="FILE|STORE#CLIP",
        nargs="+",
        help=f"motion files, folders or stores; '#' and a name or number behind one picks a clip (else up to {MOST})",
    )
    parser.add_argument(
        "--out", metavar="FILE.png|.gif", help=f"picture to write ({' '.join(ENDINGS)}; default: NAME.png here)"
    )
    parser.add_argument("--frames", type=int, default=8, help="figures of a strip (default: %(default)s)")
    parser.add_argument("--format", help="take files as this format (see `kineme methods`)")


def run(args: argparse.Namespace) -> None:
    """Read, draw, and say what was drawn."""
    out = Path(args.out) if args.out else None
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise InputError("--out", str(out), f"a name that ends with one of {', '.join(ENDINGS)}")
    motions = [motion for what in args.what for motion in _motions(what, args.format)]
    drawn = [motion for motion in motions if motion.confidence.any()]
    for motion in motions:
        print(_said(motion))
    if not drawn:
        raise InputError(args.what[0], "nobody is seen in any frame", "something to draw")

    from ...viz import strips

    out = out or _free(motions[0].source if len(drawn) == 1 else Path(args.what[0].partition("#")[0]).name)
    if out.suffix.lower() == ".gif":
        strips.gif(drawn, out)
    elif len(drawn) == 1:
        strips.strip(drawn[0], out, args.frames, str(drawn[0].label or drawn[0].source))
    else:
        titles = [[motion.label, motion.source] if motion.label else [motion.source] for motion in drawn]
        strips.grid(drawn, out, titles, args.frames)
    print(f"Drawn: {out}")


def _motions(what: str, format: str | None) -> list[Motion]:
    """The motions that a word of the command line names."""
    path, clip = Path(what), ""
    if not path.exists() and "#" in what:
        name, _, clip = what.partition("#")
        path = Path(name)
    if path.is_dir() and (path / "card.json").is_file():
        return _stored(path, clip)
    found = _clips(path, format)
    if clip:
        return [_named(path, clip, found)]
    some = list(itertools.islice(found, MOST + 1))
    if len(some) > MOST:
        print(f"{path} holds more than {MOST} clips; the first {MOST}. One is named with {path}#NAME")
    return some[:MOST]


def _stored(path: Path, clip: str) -> list[Motion]:
    """Clips of a store: the one that is named, else some of all."""
    from ...data import store

    data = store.open(path)
    if clip and clip not in data.ids and clip.isdecimal():
        if int(clip) >= len(data):
            raise InputError(
                f"clip {clip} of {path}", f"a store of {len(data)} clips", f"0 to {len(data) - 1}, or an id"
            )
        return [data[int(clip)]]
    if clip:
        return [data[clip]]
    rows = sorted({round(k * (len(data) - 1) / (MOST - 1)) for k in range(MOST)})
    if len(rows) < len(data):
        print(f"{len(rows)} of {len(data)} clips; one is named with {path}#ID or {path}#NUMBER")
    return data[rows]


def _clips(path: Path, format: str | None) -> Iterator[Motion]:
    """The clips of a file, or of the files of a folder; of a folder those that can be read."""
    from ... import io

    units = [path] if not path.is_dir() else list(io.sources(path, format))
    first: InputError | None = None
    known = False
    for unit in units:
        try:
            for motion in io.read_each(unit, format):
                if isinstance(motion, InputError):  # one clip of several
                    first = first or motion
                    continue
                known = True
                yield motion
        except InputError as error:
            if units == [path]:
                raise
            first = first or error
    if first is not None and known:
        print(f"left out: {first}")
    if not known:
        raise first or InputError(path, "no file in it", "motion files")


def _named(path: Path, clip: str, found: Iterator[Motion]) -> Motion:
    """The clip of that name or number."""
    names = []
    for number, motion in enumerate(found):
        if clip in (motion.source, motion.source.rpartition("#")[2], motion.source.removeprefix(f"{path.name}#")):
            return motion
        if clip.isdecimal() and number == int(clip):
            return motion
        names.append(motion.source)
    from ...utils.registry import did_you_mean

    shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    raise InputError(f"{path}#{clip}", "no clip of that name or number", f"one of {shown}", did_you_mean(clip, names))


def _said(motion: Motion) -> str:
    """A motion in a line, and what was mended or taken for granted when it was read."""
    import numpy as np

    seen = motion.confidence > 0
    empty, people = int((~seen.any((1, 2))).sum()), int(seen.any((0, 2)).sum())
    frames = f"{len(motion)} frames" + (f" ({len(motion) / motion.fps:.1f} s)" if motion.fps else "")
    parts: list[Any] = [frames, f"{people} {'person' if people == 1 else 'persons'}", f"{motion.coords}-D"]
    parts += [f"{motion.layout.name} ({len(motion.layout)} joints)", f"unit {motion.unit}, up {motion.up or 'unknown'}"]
    if motion.label is not None:
        parts.append(f"label {motion.label}")
    if empty:
        parts.append(f"nobody is seen in {empty} of them")
    there = seen.any(2)
    missing = float(1 - seen[there].mean()) if there.any() else 1.0
    if not np.isclose(missing, 0):
        parts.append(f"{100 * missing:.3g} % of the joints are missing")
    notes = [f"  {words}: {count}" for words, count in getattr(motion, "notes", {}).items()]
    return "\n".join([f"{motion.source}: " + ", ".join(parts), *notes])


def _free(name: str) -> Path:
    """A picture's name in this folder that nothing has yet."""
    stem = Path(name.replace("#", "-").replace("/", "-")).stem or "motion"
    names = (f"{stem}{f'-{k}' if k > 1 else ''}.png" for k in itertools.count(1))
    return next(Path(name) for name in names if not Path(name).exists())
