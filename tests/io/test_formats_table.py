"""The table of formats in docs/data.md: every reader has a line, and every cell of it is true of its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.motion.layout import layouts
from kineme.motion.motion import UPS, Motion
from kineme.motion.units import UNITS
from kineme.utils import registry
from kineme.utils.errors import InputError

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
CELLS = 9
LOOSE = ("own ", "any", "others")  # words of layouts that are not named
OPEN = ("as ", "guessed", "by posture", "is not")  # words of units and axes that are not named


class Row(NamedTuple):
    """A line of the table."""

    what: str
    name: str
    by: str
    read: str
    written: str
    joints: str
    unit: str
    people: str
    quirks: str


def rows() -> list[Row]:
    lines = [
        re.split(r" \| ", line.strip("| "))
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line[:2] == "| "
    ]
    return [
        Row(*cells)._replace(name=cells[1].strip("`")) for cells in lines if len(cells) == CELLS and cells[1][0] == "`"
    ]


ROWS = rows()
NAMES = sorted({row.name for row in ROWS})


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def fits(row: Row, motion: Motion) -> bool:
    """Whether a line is true of a motion."""
    known, units, ups = quoted(row.joints) & set(layouts()), quoted(row.unit) & set(UNITS), quoted(row.unit) & set(UPS)
    layout = motion.layout.name in known or (motion.layout.name == "free" and any(word in row.joints for word in LOOSE))
    layout |= any(word in row.joints for word in ("any", "built-in")) or (
        motion.layout.name != "free" and "others" in row.joints
    )
    unsaid = any(word in row.unit for word in OPEN)
    return (
        layout
        and f"{motion.coords}-D" in row.joints
        and (motion.unit in units or (unsaid and not units) or (unsaid and "3-D" in row.unit and motion.coords == 3))
        and (motion.up in ups or unsaid)
        and (row.people.startswith("several") or motion.persons <= {"one": 1, "two": 2}[row.people.split(",")[0]])
        and ("no frame rate" not in row.quirks or motion.fps is None)
    )


def test_every_reader_has_a_line():
    assert set(NAMES) == set(registry.names("io"))


def test_every_word_in_quotes_is_known():
    for row in ROWS:
        assert quoted(row.unit) <= {*UNITS, *UPS}, row
        assert row.people.split(",")[0] in ("one", "two", "several"), row
        assert row.written in ("yes", "no"), row
        assert {word for word in quoted(row.joints) if not word.startswith("--")} <= set(layouts()), row


@pytest.mark.parametrize("name", NAMES)
def test_endings_and_what_is_written_are_those_of_the_reader(name):
    mine, reader = [row for row in ROWS if row.name == name], readers.readers()[name]
    assert set().union(*(quoted(row.read) for row in mine)) == set(reader.suffixes)
    assert any(row.written == "yes" for row in mine) == hasattr(reader, "write")
    assert any("a folder" in row.read for row in mine) == getattr(reader, "folder", False)


@pytest.mark.parametrize("name", NAMES)
def test_a_line_is_true_of_the_sample(name, tmp_path):
    motions = list(readers.read_all(SAMPLES[name].write(tmp_path)))
    mine = [row for row in ROWS if row.name == name]
    assert motions
    for motion in motions:
        assert any(fits(row, motion) for row in mine), (motion, mine)
        assert any(set(quoted(row.read)) & {Path(SAMPLES[name].unit).suffix} or "folder" in row.read for row in mine)


def test_lines_are_true_of_real_recordings(data_dir):
    """Every file that a reader takes, a line of that reader describes."""
    met = set()
    for file in readers.sources(data_dir / "formats"):
        try:
            name = readers.detect(file)
            motions = [motion for motion in readers.read_each(file) if isinstance(motion, Motion)]
        except InputError:
            continue  # no recording
        met.add(name)
        mine = [row for row in ROWS if row.name == name]
        for motion in motions:
            assert any(fits(row, motion) for row in mine), (file.name, motion, mine)
    assert len(met) > 12
