"""The pages are true: commands parse, links lead somewhere, the Python of the first pages runs, the graph is drawn."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest

from kineme.apps import cli
from kineme.data import synth
from kineme.training import recipe
from kineme.utils import registry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
OLD_WORDS = (
    r"hand-made", r"random weights", r"set[ _]aside", r"made motions", r"matrix product", r"slowly following",
    r"\bfloors?\b(?! at y|\()", r"\bspoil", r"\bthe house\b", r"\brooms\b", r"\bby lot\b",
    r"data README", r"project's brief", r"specification", r"\bspec \w+\.md",
    r"\btrainings\b", r"synth_\w+\.py", r"kineme/readers", r"kineme/evaluate/",
    r"kineme\.evaluate\.\w", r"kineme\.embed\b", r"kineme\.train\b", r"test_house", r"`recipes/",
)  # fmt: skip


def blocks(page: Path, language: str = "") -> list[str]:
    """Contents of the fenced blocks of a page."""
    return [text for _, kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def command_lines(page: Path) -> Iterator[str]:
    """Every `kineme ...` of the fenced blocks, also in shell loops and over several lines."""
    for kind in ("", "bash", "sh", "console"):
        for block in blocks(page, kind):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"\$s\b", "0", line)
                yield from re.findall(r"(?:^|\bdo |; )\s*((?:\.venv/bin/)?kineme [^;]*)", line)


def subcommands() -> dict[str, argparse.ArgumentParser]:
    groups = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(next(groups).choices)


@each_page
def test_commands_parse(page, capsys):
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        if "[" not in line and "..." not in words and "--plugin" not in words:  # patterns; plug-ins: test_extend
            try:
                cli.parser().parse_args(words)
            except SystemExit:
                pytest.fail(f"{line}\n{capsys.readouterr().err}")


@each_page
def test_settings_of_commands_exist(page):
    """`--set` of a pretraining names settings that its method, encoder and loop have."""
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "pretrain" and "[" not in line and "..." not in words:
            args = cli.parser().parse_args(words)
            recipe.load(args.method, 1000, recipe=args.recipe, settings=args.set)


def setting_names(cls: type) -> set[str]:
    """Names of a settings class, with those of the settings inside it."""
    found = set()
    for name, kind in get_type_hints(cls).items():
        found |= {name} | (setting_names(kind) if dataclasses.is_dataclass(kind) else set())
    return found


@pytest.mark.parametrize("method", list(registry.names("methods")))
def test_settings_of_method_pages_exist(method):
    """The first column of a page's settings tables."""
    text = (ROOT / "docs" / "methods" / f"{method}.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\*\*Settings.*?\n\n((?:\|[^\n]*\n)+)", text, re.MULTILINE | re.DOTALL)
    cls = registry.entry("methods", method)
    known = setting_names(cls.Settings) | setting_names(registry.entry("encoders", cls.encoder_name).Settings)
    named = {
        name for table in tables for row in table.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])
    }
    assert named
    assert {name.split(".")[-1] for name in named} <= known


@each_page
def test_commands_in_the_text_exist(page):
    """`kineme NAME --flag`: that command has that flag, also where the rest is left out."""
    known = subcommands()
    for code in re.findall(r"`kineme ([^`\n]+)`", prose(page)):
        name, *rest = code.split()
        if not name.startswith("-"):
            assert name in known, f"`kineme {code}`"
            flags = {word for word in rest if word.startswith("--")}
            assert flags <= set(known[name]._option_string_actions), f"`kineme {code}`"


@each_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", prose(other), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


@each_page
def test_named_files_exist(page):
    """Paths of this project, in code marks or blocks."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(
        r"(?<![\w/.-])((?:src|tests|bench|docs|scripts|examples)/[\w/.*-]*\w\.\w+|src/[\w/]+/)", text
    ):
        assert list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


@each_page
def test_lines_are_short(page):
    """100 columns, or one sentence to a line; tables and pictures aside."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block[2].splitlines():
            assert len(line) <= 100, line
    for line in prose(page).splitlines():
        if len(line) > 100 and not line.lstrip().startswith(("|", "![")):
            assert re.fullmatch(r"(?:(?![.!?]\)? +[A-Z]).)*[.!?:]\)?", line.strip()), f"{len(line)} columns: {line}"


@each_page
def test_tables_are_whole(page):
    """Every row follows its heading without a gap and has as many cells."""
    cells = 0
    lines = prose(page).splitlines()
    for before, line in zip(["", *lines], lines):
        if not line.startswith("|"):
            cells = 0
            continue
        found = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line)))
        if cells == 0:
            assert not before.strip(), f"no blank line before: {line}"
            following = lines[lines.index(line) + 1] if lines.index(line) + 1 < len(lines) else ""
            assert re.fullmatch(r"\|(?: ?:?-+:? ?\|)+", following), f"a row without a heading: {line}"
        assert cells in (0, found), line
        cells = found


@each_page
def test_old_words_are_gone(page):
    text = page.read_text(encoding="utf-8")
    for word in OLD_WORDS:
        found = re.search(word, text, re.IGNORECASE)
        assert not found, f"{page.name}: {text[max(0, found.start() - 60) : found.end() + 60]!r}"


def import_graph() -> ModuleType:
    spec = importlib.util.spec_from_file_location("import_graph", ROOT / "scripts" / "import_graph.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_import_graph_is_drawn_from_the_code():
    graph = import_graph()
    drawn = graph.svg(graph.order(), graph.imports())
    assert graph.PICTURE.read_text(encoding="utf-8") == drawn, "run: python scripts/import_graph.py"
    assert 'class="upward"' not in drawn


def test_import_graph_finds_every_kind_of_import(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "d" / "file.py").write_text("from .. import a\nfrom ..b.x import y\ndef f():\n    import kineme.c.z\n")
    (tmp_path / "a" / "file.py").write_text("import numpy\nfrom b import c\nfrom . import d\n")  # none of the package
    edges = import_graph().imports(tmp_path)
    assert edges == {"a": set(), "b": set(), "c": set(), "d": {"a", "b", "c"}}
    assert 'class="upward"' in import_graph().svg(["a", "d", "b", "c"], edges)


def test_design_lists_the_files_that_are_there():
    """The table of docs/design.md: every subpackage in order, with every file of its folder (commands aside)."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| `(\w+)/` \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == import_graph().order()
    for name, _, files in rows:
        folder = ROOT / "src" / "kineme" / name
        there = {path.stem for path in folder.rglob("*.py") if path.parent.name != "cli"} - {"__init__"}
        named = set(re.findall(r"`(\w+)`", files))
        assert there <= named, f"{name}: not in the table: {sorted(there - named)}"
        folders = {path.name for path in folder.rglob("*") if path.is_dir()}
        assert named <= there | folders, f"{name}: only in the table: {sorted(named - there - folders)}"


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


def test_the_site_names_every_page():
    """mkdocs.yml lists every page; `make docs` checks the links of all of them."""
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    reference = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")} - {"index"}
    assert reference == set(import_graph().order())
