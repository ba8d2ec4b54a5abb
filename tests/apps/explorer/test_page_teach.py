"""Teaching, recordings, confusion and two encoders on the page, in a real Chromium."""

from __future__ import annotations

import csv
import json
import os
import re
import signal

import pytest
from helpers import browser as chromium

from .conftest import Served

READY = "performance.getEntriesByName('ready').length"


def state(page, key: str):
    return page.run(f"import('/state.js').then(m => m.state.{key})")


def opened(tab, served):
    tab.open(served.address)
    tab.until(READY)
    tab.until("document.querySelector('#clipname').textContent.includes('·')")
    return tab


@pytest.fixture
def page(tab, served):
    yield opened(tab, served)
    refused = "the server responded with a status of 4"  # which Chromium notes by itself
    assert not [each for each in tab.errors if refused not in each], tab.errors


def rows_of(page, made, label: str) -> list[int]:
    return page.run(
        "import('/wire.js').then(w => w.ask('table?n=200')).then(a => a.rows"
        f".filter(r => r.label === {json.dumps(label)}).map(r => r.row))"
    )


def show(page, row: int) -> None:
    page.run(f"import('/state.js').then(m => m.set({{clip: {row}, upload: null}}))")
    page.until("document.querySelector('#clipname').textContent.includes('·')")


def teach(page, kind: str) -> None:
    """Type a new kind, which labels what is shown."""
    page.click("#newkind")
    page.type(kind)
    page.key("Enter")
    page.until(f"[...document.querySelectorAll('.kinds .name')].some(e => e.textContent === {json.dumps(kind)})")


def counts(page) -> dict[str, int]:
    return page.run("import('/teach.js').then(m => m.teach.own.counts)")


def test_labels_colour_the_map_and_outlive_the_server(tab, made, tmp_path):
    served = Served(made.index.path, "--labels", tmp_path)
    try:
        page = opened(tab, served)
        walks, waves = rows_of(page, made, "walk"), rows_of(page, made, "wave")
        page.click("[data-tab=teach]")
        page.until("document.querySelector('#newkind')")
        show(page, walks[0])
        teach(page, "walking")
        page.until("Object.values(document.querySelectorAll('.kinds .n')).some(e => e.textContent === '1')")
        show(page, waves[0])
        teach(page, "waving")
        page.until("document.querySelector('#colour').value === 'taught'")
        assert counts(page) == {"walking": 1, "waving": 1}
        codes = page.run("import('/map.js').then(m => [...m.map.data.extra.codes])")
        assert {0, 1} <= set(codes)
        show(page, walks[1])
        page.run("document.activeElement.blur()")
        page.key("1")
        page.until("document.querySelector('.kinds .n').textContent === '2'")
        os.kill(served.process.pid, signal.SIGKILL)  # while the page is open
        served.process.wait()
        show_problem = "document.querySelector('#panel').textContent.includes('not saved')"
        page.key("1")
        page.until(show_problem)  # kept here, and said
        again = Served(made.index.path, "--labels", tmp_path)
        try:
            page = opened(tab, again)
            page.click("[data-tab=teach]")
            page.until("document.querySelectorAll('.kinds button').length === 2")
            assert counts(page) == {"walking": 2, "waving": 1}
            page.key("z", 2)
            page.until("document.querySelector('.kinds .n').textContent === '1'")
            more = json.dumps(waves[1:5])
            page.run(f"import('/state.js').then(m => m.set({{selected: new Set({more})}}))")
            page.key("2")
            page.until("document.querySelectorAll('.kinds .n')[1].textContent === '5'")
            assert "estimate appears from three" in page.text("#panel")
            more = json.dumps(walks[:4])
            page.run(f"import('/state.js').then(m => m.set({{selected: new Set({more})}}))")
            page.key("1")
            page.until("document.querySelector('#panel').textContent.includes('of the time, held out by')")
        finally:
            again.stop()
    finally:
        served.process.poll() is None and served.stop()
    lines = (tmp_path / "labels.jsonl").read_text().splitlines()
    assert len([line for line in lines if '"clips"' in line]) == 5


def test_two_tabs_lose_no_label(page, made, served):
    page.click("[data-tab=teach]")
    page.until("document.querySelector('#newkind')")
    show(page, 0)
    teach(page, "first")
    page.run(  # as another tab would
        "import('/wire.js').then(w => w.ask('teach/labels').then(a => w.ask('teach/labels/labels', {method: 'POST',"
        " body: {rev: a.rev, ops: [{rows: [5], kind: 'first', source: 'key'}]}})))"
    )
    page.run("document.activeElement.blur()")
    show(page, 7)
    page.key("1")
    page.until("document.querySelector('#panel [role=alert]')")
    assert "another tab" in page.text("#panel [role=alert]")
    page.click("#panel [role=alert] button")
    page.until("[...document.querySelectorAll('.kinds .n')].some(e => e.textContent === '3')")
    labels = page.run("import('/wire.js').then(w => w.ask('teach/labels')).then(a => Object.keys(a.labels))")
    assert {"0", "5", "7"} <= set(labels)


def test_confusion_counts_what_its_list_shows(page, made):
    page.click("#views button:nth-child(3)")
    page.until("document.querySelector('.matrix')")
    with open(made.folder / "predictions.csv", newline="") as file:
        lines = [(line["true"], line["predicted"]) for line in csv.DictReader(file)]
    for true, said in {pair for pair in lines if pair[0] != pair[1]}:
        button = (
            f"[...document.querySelectorAll('.matrix button')].find(e => e.title.startsWith('{true} called {said}:'))"
        )
        count = int(page.run(f"{button}.textContent"))
        assert count == lines.count((true, said))
        page.run(f"{button}.click()")
        many = f"{count} clip{'s' * (count != 1)}"
        page.until(f"document.querySelector('#cell h2')?.textContent === '{true} called {said}: {many}'")
        page.until(f"document.querySelectorAll('#cell tbody tr').length === {count}")


def test_numbers_in_the_confusion_can_be_read(page):
    """At least 3.5:1 between each number and its cell, in both themes."""
    for theme in ("light", "dark"):
        page.run(f"document.documentElement.dataset.theme = '{theme}'")
        page.run("import('/colours.js').then(m => m.readTheme())")
        page.click("#views button:nth-child(1)")
        page.click("#views button:nth-child(3)")
        page.until("document.querySelector('.matrix')")
        cells = page.run("""[...document.querySelectorAll('.matrix button')].filter(e => e.textContent).map(e => {
          const s = getComputedStyle(e); return [s.color, s.backgroundColor] })""")
        assert cells
        for pair in cells:
            words, ground = (luminance([int(v) for v in re.findall(r"\d+", colour)[:3]]) for colour in pair)
            assert (max(words, ground) + 0.05) / (min(words, ground) + 0.05) >= 3.5, (theme, pair)


def test_an_open_confusion_follows_the_theme(page):
    """Cells change with light and dark, and so does what is written on them; what was opened stays open."""
    page.media(prefers_color_scheme="light")
    page.click("#views button:nth-child(3)")
    page.until("document.querySelector('.matrix')")
    page.run("[...document.querySelectorAll('.matrix button')].find(e => e.textContent).click()")
    page.until("document.querySelector('#cell tbody tr')")
    ask = """[...document.querySelectorAll('.matrix button')].filter(e => e.textContent).map(e => {
          const s = getComputedStyle(e); return [s.color, s.backgroundColor] })"""
    seen = [page.run(ask)]
    for _ in range(2):
        page.click("#theme")
        chromium.waited(lambda: page.run(ask) != seen[-1])
        seen.append(page.run(ask))
        for pair in seen[-1]:
            words, ground = (luminance([int(v) for v in re.findall(r"\d+", colour)[:3]]) for colour in pair)
            assert (max(words, ground) + 0.05) / (min(words, ground) + 0.05) >= 3.5, pair
    assert seen[2] == seen[0]
    assert all(a[1] != b[1] for a, b in zip(seen[0], seen[1]))
    assert page.run("document.querySelectorAll('#cell tbody tr').length")


def luminance(colour: list[int]) -> float:
    """Relative luminance of WCAG."""
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_two_encoders(page):
    page.click("#views button:nth-child(4)")
    page.until("document.querySelector('#mean')")
    shared = float(page.text("#mean").split("neighbours ")[1].split()[0])
    assert 0 < shared < 10
    page.until("document.querySelector('#mapA').width > 100")
    page.run("[...document.querySelectorAll('#view .row button')].at(-1).click()")
    page.until("document.querySelectorAll('#lists p button').length === 20")


def test_a_recording_is_drawn_and_short_ones_say_why_not(page):
    page.click("#views button:nth-child(2)")
    page.until("document.querySelector('#timeline')")
    box = "(b => [b.left, b.top + b.height / 2, b.right])(document.querySelector('#timeline').getBoundingClientRect())"
    x0, y, x1 = page.run(box)
    page.drag([(x0 + 10, y), (x0 + 60, y), ((x0 + x1) / 2, y)])
    page.until("Number(document.querySelector('#partto').value) > 0.2")
    page.click("#findlike")
    page.until("document.querySelector('#found').textContent.length > 5")
    page.run("history.back()")
    page.until("!document.querySelector('#mapbox').hidden")
