"""The pages are true: their commands parse, their links lead somewhere, the Python of the first pages runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kineme.apps import cli
from kineme.data import synth

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str = "") -> list[str]:
    """Contents of the fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_parse(page, capsys):
    lines = [line for block in blocks(page) for line in block.splitlines() if line.startswith("kineme ")]
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        if "[" not in line and "..." not in words:  # a pattern, not a command
            try:
                cli.parser().parse_args(words)
            except SystemExit:
                pytest.fail(f"{line}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_python_runs(page, tmp_path, monkeypatch):
    """As it stands there, but for the length of the training."""
    monkeypatch.chdir(tmp_path)
    walk, *_ = synth.generate(1, cameras=0)
    (synth.write("bvh", [walk], format="bvh") / f"{walk.source}.bvh").rename("walk.bvh")
    synth.write("my_motion", 12, actions=["walk", "kick"], subjects=2, cameras=1)
    code = "\n".join(blocks(ROOT / page, "python"))
    short = re.sub(r"epochs=\d+|progress=True", "epochs=1", code)
    assert short != code
    exec(compile(short, page, "exec"), {})
