"""Files that go into the page and come out of it, in a real Chromium: dropped ones of several formats, too large ones,
bombs; lists as they are saved."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers import browser as chromium

from kineme import io
from kineme.data import synth
from kineme.io import table

from .conftest import bomb, nested
from .test_page import opened, state

NAME = "document.querySelector('#clipname').textContent"
PROBLEM = "document.querySelector('#problem')"


@pytest.fixture
def page(tab, served):
    return opened(tab, served)


def saved(page, folder: Path, button: str) -> Path:
    """The file that the browser saves when a button is pressed."""
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click(button)
    return chromium.waited(
        lambda: next((path for path in folder.iterdir() if path.suffix != ".crdownload" and path.stat().st_size), None)
    )


def lines(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_list_of_what_is_selected_is_saved(page, made, tmp_path):
    rows = [3, 7, 11, 30]
    page.run(f"import('/state.js').then(m => m.set({{selected: new Set({rows}), tab: 'selected'}}))")
    page.until("document.querySelector('#panel').textContent.includes('4 selected')")
    path = saved(page, tmp_path, "#panel .row button")
    assert path.name == "selected.csv"
    found = lines(path)
    assert [line["name"] for line in found] == [made.store.ids[row] for row in rows]
    assert [line["class"] for line in found] == [made.store.column("label")[row] for row in rows]
    assert [float(line["end"]) for line in found] == pytest.approx(
        [made.store.lengths[row] / made.store.motion(row).fps for row in rows], abs=1e-3
    )


def test_the_list_of_neighbours_is_saved(page, tmp_path):
    hits = state(page, "hits.map(h => [h.name, h.score])")
    path = saved(page, tmp_path, "#panel .row button:last-child")
    assert path.name == "neighbours.csv"
    found = lines(path)
    assert [line["name"] for line in found] == [name for name, _ in hits]
    assert [float(line["score"]) for line in found] == pytest.approx([score for _, score in hits])


def test_cells_that_look_like_formulas_are_text(page):
    said = page.run("import('/wire.js').then(w => w.csv([['=1+1', '@x', 'a,\"b', -2, '-3', null]]).text())")
    assert said == '\'=1+1,\'@x,"a,""b",-2,\'-3,\r\n'


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """One walk as files of several formats."""
    folder = tmp_path_factory.mktemp("formats")
    motion = next(m for m in synth.generate(40, actions=["walk"], subjects=3, cameras=1))
    synth.write(folder / "ntu", [motion], format="ntu")
    table.write(folder / "tables", [motion])
    skeleton, text = (next(folder.rglob(f"*.{ending}")) for ending in ("skeleton", "csv"))
    return {"skeleton": skeleton, "csv": text, "bvh": made.bvh}


@pytest.mark.parametrize("kind", ["skeleton", "csv", "bvh"])
def test_dropped_files_find_their_like(page, files, kind):
    page.drop(files[kind])
    page.until(f"{NAME}.startsWith({json.dumps(files[kind].name)})")
    page.until("document.querySelector('#ready').textContent.includes('of 13 joints found')")
    page.until("document.querySelector('.card .said').textContent.includes('walk')")
    upload = state(page, "upload")
    assert upload["frames"] == len(next(io.read_all(files[kind])))
    assert upload["xy"]  # the star
    page.click("#remove")
    page.until("document.querySelector('#remove').hidden")
    assert not page.errors, page.errors


def test_a_file_of_the_set_finds_itself_first(page, made, tmp_path):
    table.write(tmp_path / "tables", [made.motions[5]])
    path = next((tmp_path / "tables").rglob("*.csv"))
    page.drop(path)
    page.until(f"{NAME}.startsWith({json.dumps(path.name)})")
    page.until("document.querySelector('.card .said').textContent.startsWith('1.000')")
    assert state(page, "hits[0].name") == made.store.ids[5]


def bad(folder: Path, made) -> dict[str, tuple[Path, str]]:
    large = folder / "large.bvh"
    with open(large, "wb") as file:
        file.truncate(65 << 20)
    (folder / "poem.bvh").write_text("roses are red")
    (folder / "cut.bvh").write_bytes(made.bvh.read_bytes()[:700])
    return {
        "large": (large, "more than 64 MB"),
        "bomb": (bomb(folder / "bomb.npz"), "Unable to allocate"),
        "nested": (nested(folder / "nested.json"), "lists and objects"),
        "poem": (folder / "poem.bvh", "poem.bvh"),
        "cut": (folder / "cut.bvh", "cut.bvh"),
    }


@pytest.mark.parametrize("kind", ["large", "bomb", "nested", "poem", "cut"])
def test_bad_files_are_one_sentence_and_nothing_is_kept(page, served, made, tmp_path, kind):
    path, words = bad(tmp_path, made)[kind]
    before = sorted(str(each) for each in made.folder.rglob("*"))
    page.drop(path)
    page.until(f"!{PROBLEM}.hidden && {PROBLEM}.textContent.includes({json.dumps(words)})")
    said = page.text("#problem")
    assert len(said) < 400
    assert "/tmp" not in said
    assert "Traceback" not in said
    assert state(page, "upload") is None
    assert page.run("import('/wire.js').then(w => w.ask('store')).then(s => s.clips)") == 40  # it serves on
    assert sorted(str(each) for each in made.folder.rglob("*")) == before
    page.click("#problem button:last-child")
    page.until(f"{PROBLEM}.hidden")
