"""The table of formats in docs/data.md: every reader has a line, and every line reads what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.utils import registry

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
ROWS = re.findall(r"^\| (.+?) \| `(\w+)` \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
LINES = {name: " ".join(f"{what} {text}" for what, other, text in ROWS if other == name) for _, name, _ in ROWS}


def test_every_reader_has_a_line():
    assert LINES.keys() == set(registry.names("io"))


@pytest.mark.parametrize("name", LINES)
def test_every_line_is_true(name, tmp_path):
    """The sample of a format has an ending of its line, and reads in a layout, a unit and an axis of the line."""
    unit, line = SAMPLES[name].write(tmp_path), LINES[name]
    endings = set(re.findall(r"`[^`|]*?(\.[a-z]\w+)`", line))
    assert unit.is_dir() or not endings or unit.suffix in endings
    motions = list(readers.read_all(unit))
    named = set(re.findall(r"`(\w+\d\d?b?)`", line))
    assert {motion.layout.name for motion in motions} <= named or "layout" in line or name == "arrays"
    if re.search(r"\bmetres", line):
        assert {motion.unit for motion in motions} <= {"m", "px", "1"}
    if "+y up" in line:
        assert {motion.up for motion in motions} == {"+y"}
