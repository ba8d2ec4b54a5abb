"""Turn motion files into those of another format."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError
from . import _shared

if TYPE_CHECKING:
    from ...motion.joint_map import JointMap
    from ...motion.motion import Motion


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("source", metavar="FROM", help="a motion file, or a folder of them")
    parser.add_argument("out", metavar="TO", help="a file, whose ending says the format, or a folder (with --to)")
    parser.add_argument("--to", metavar="FORMAT", help="the format to write, where the ending does not say it")
    parser.add_argument("--angles", action="store_true", help="write the angles at the joints, as tables (.csv)")
    parser.add_argument("--format", help="take every file as this format (see `kineme methods`)")
    parser.add_argument("--layout", help="map every clip to this layout, by joint name")
    parser.add_argument("--map", metavar="FILE", help="table of joint names for --layout, TOML or JSON")
    parser.add_argument("--unit", help="of lengths in space, whatever the files say: cm, m, inches, ..., metres in one")
    parser.add_argument("--up", metavar="AXIS", help="the axis that points up, whatever the files say, e.g. +z")
    _shared.add_cleaning(parser)
    _shared.add_fps(parser)
    parser.add_argument("--resample", type=float, metavar="RATE", help="write so many frames per second, interpolated")
    parser.add_argument(
        "--read", action="append", default=[], metavar="NAME=VALUE", help="what files do not say: keypoints=LAYOUT, ..."
    )


def run(args: argparse.Namespace) -> None:
    """Read, map, write; say what was written, what is missing there, and what could not be read."""
    from ... import io
    from ...utils.files import atomic_folder

    out = Path(args.out)
    name, writer = _writer(out, args.to) if not args.angles else _angles(out, args.to)
    is_file = out.suffix.lower() == writer.suffixes[0]
    if out.exists() and (is_file or not out.is_dir() or any(out.iterdir())):
        raise InputError(args.out, "exists already", "a name that nothing has yet", "Nothing is overwritten")
    faults: list[InputError] = []
    notes: Counter[str] = Counter()
    one = is_file and not getattr(writer, "together", False)  # a file for each clip
    clips = _named(_prepared(args, io, writer, faults, notes), out.stem if one else None)
    made = out.with_name(f"{out.name}.files") if is_file else out
    with atomic_folder(made) as folder:
        count = _written(writer, folder, clips, out.stem if is_file else "motion", faults)
        for words, times in notes.items():
            print(f"note: {words}: {times}")
        for fault in faults:
            print(f"left out: {fault}")
        if not count:
            raise InputError(args.source, "no clip that can be written", f"motion that format {name} can hold")
    written = [out] if not is_file else _moved(made, out)
    shown = ", ".join(map(str, written[:3])) + (f" and {len(written) - 3} more" if len(written) > 3 else "")
    print(f"{count} {'clip' if count == 1 else 'clips'}, format {name}: {shown}")


def _written(writer: Any, folder: Path, clips: Iterator[Motion], name: str, faults: list[InputError]) -> int:
    """Write all clips; how many there are. One that the format cannot hold costs itself."""
    if getattr(writer, "together", False):
        motions = list(clips)
        if motions:
            writer.write(folder, motions, name)
        return len(motions)
    count = 0
    for clip in clips:
        try:
            writer.write(folder, [clip])
            count += 1
        except InputError as error:
            faults.append(error)
    return count


def _moved(made: Path, out: Path) -> list[Path]:
    """The files of a folder moved beside it; the only one of the kind takes the name that was asked for."""
    files = sorted(made.iterdir())
    alike = [file for file in files if file.suffix.lower() == out.suffix.lower()]
    places = {file: out if alike == [file] else out.with_name(file.name) for file in files}
    taken = next((place for place in places.values() if place.exists()), None)
    if taken is not None:
        raise InputError(taken, "exists already", "a name that nothing has yet", f"What was made is in {made}")
    for file, place in places.items():
        file.rename(place)
    made.rmdir()
    return sorted(places.values())


def _writer(out: Path, asked: str | None) -> tuple[str, Any]:
    """The format to write, by its name or by an ending."""
    from ... import io
    from ...utils.registry import did_you_mean

    writers = {name: reader for name, reader in io.readers().items() if hasattr(reader, "write")}
    if asked is not None:
        if asked not in writers:
            found, known = f"no format {asked!r} that can be written", ", ".join(writers)
            raise InputError("--to", found, f"one of {known}", did_you_mean(asked, writers))
        return asked, writers[asked]
    ending = out.suffix.lower()
    named = [name for name, writer in writers.items() if ending == writer.suffixes[0]]
    if len(named) != 1:
        found = f"the ending of {' and '.join(named)}" if named else "an ending that says no format"
        raise InputError(str(out), found, f"--to, one of {', '.join(named or writers)}")
    return named[0], writers[named[0]]


class _Angles:
    """Angles at the joints, in degrees, as a table for each clip."""

    suffixes = (".csv",)

    @staticmethod
    def write(folder: Path, clips: Sequence[Motion]) -> None:
        """``NAME.csv``: see :meth:`kineme.motion.kinematics.Kinematics.angles`; an empty cell where none is known."""
        import pyarrow as pa
        from pyarrow import csv

        for clip in clips:
            columns = {name: pa.array(values, from_pandas=True) for name, values in clip.angles().items()}
            csv.write_csv(pa.table(columns), folder / f"{clip.source}.csv")


def _angles(out: Path, asked: str | None) -> tuple[str, Any]:
    """The writer of angles, if that is what the output can be."""
    if asked is not None:
        raise InputError("--to", f"{asked} beside --angles", "one of them: angles are written as .csv")
    if out.suffix.lower() not in ("", *_Angles.suffixes):
        raise InputError(str(out), f"the ending {out.suffix} beside --angles", "a .csv file, or a folder")
    return "table of angles", _Angles


def _prepared(
    args: argparse.Namespace, io: Any, writer: Any, faults: list[InputError], notes: Counter[str]
) -> Iterator[Motion]:
    """The clips of all files as the user and the format want them."""
    from ...motion import clean
    from ...motion.joint_map import joint_map, read_table

    table = read_table(args.map) if args.map else None
    if table is not None and args.layout is None:
        raise InputError("--map", "a table of joints and no layout", "--layout beside it")
    reading = dict(_setting(word) for word in args.read)
    options = io.Options(table=reading, unit=args.unit, up=args.up)
    how = clean.asked(_shared.cleaning(args))
    for name in ("fps", "resample"):
        rate = getattr(args, name)
        if rate is not None and not 0 < rate < math.inf:
            raise InputError(f"--{name}", f"{rate:g}", "frames per second above 0")
    source = Path(args.source)
    units = list(io.sources(source, args.format)) if source.is_dir() else [source]
    for unit in units:
        try:
            for motion in io.read_each(unit, args.format, options):
                if isinstance(motion, InputError):
                    faults.append(motion)
                    continue
                try:
                    if args.fps is not None and motion.fps not in (None, args.fps):
                        notes[f"clips of {motion.fps:g} frames per second, as they say; --resample changes that"] += 1
                    motion = motion if motion.fps or args.fps is None else motion.with_(fps=args.fps)
                    motion = motion if how is None else clean.timeless(motion, how)
                    if args.layout is not None:
                        mapping = joint_map(motion.layout, args.layout, table)
                        _told(mapping, notes)
                        motion = motion.to_layout(mapping)
                    motion = motion.resample(args.resample) if args.resample is not None else motion
                    made = writer.fits(motion) if hasattr(writer, "fits") else motion
                except InputError as error:
                    faults.append(error)
                    continue
                if made.layout != motion.layout:
                    _told(joint_map(motion.layout, made.layout), notes)
                notes.update(made.notes)
                yield made
        except InputError as error:
            if len(units) == 1:
                raise
            faults.append(error)


def _told(mapping: JointMap, notes: Counter[str]) -> None:
    """What a map leaves missing, and what it makes of other joints."""
    between = f"from {mapping.source.name} to {mapping.target.name}"
    if mapping.missing:
        notes[f"clips {between}, in which {', '.join(mapping.missing)} are missing"] += 1
    if mapping.virtual:
        notes[f"clips {between}, in which {', '.join(mapping.virtual)} are made of other joints"] += 1


def _setting(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals and value):
        raise InputError(f"--read {word}", "no setting", "NAME=VALUE, such as keypoints=body25b")
    return name, value


def _named(clips: Iterator[Motion], name: str | None) -> Iterator[Motion]:
    """The clips with names for files: the one of the output, or those of their sources without the endings."""
    met: Counter[str] = Counter()
    for clip in clips:
        file, _, inner = clip.source.partition("#")
        stem = name or "-".join(part for part in (Path(file).stem, inner.replace("/", "-")) if part) or "clip"
        met[stem] += 1
        yield clip.with_(source=stem if met[stem] == 1 else f"{stem}-{met[stem]}")
