"""For whom a mouse, some colours or a light page are of no use: a tour by keys, the palette, themes; and over that
whole visit nothing that the content policy forbids."""

from __future__ import annotations

import itertools
import json
import re
from importlib import resources

import numpy as np
import pytest
from helpers import browser as chromium

from .test_page import CARDS, READY, lit

VIEWS = ["map", "recording", "confusion", "compare"]
WATCH = (
    "window.forbidden = []; addEventListener('securitypolicyviolation',"
    " e => forbidden.push([e.violatedDirective, e.blockedURI, e.sourceFile, e.lineNumber].join(' ')))"
)
FOCUSABLE = (
    "[...document.querySelectorAll('a[href], button, select, input, summary, [tabindex=\"0\"]')]"
    ".filter(e => !e.disabled && e.checkVisibility() && e.type !== 'file')"
)


@pytest.fixture
def page(tab, served):
    tab.send("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    tab.open(served.address)
    tab.until(READY)
    tab.until(f"{CARDS} === 12")
    yield tab
    assert tab.run("forbidden") == []
    assert not tab.errors, tab.errors
    assert tab.hosts == {served.host}


def look(page, view: str, tab: str = "neighbours") -> None:
    page.run(f"import('/state.js').then(m => m.set({{view: {json.dumps(view)}, tab: {json.dumps(tab)}}}))")
    ready = {
        "map": "document.querySelector('#panel').children.length",
        "recording": "document.querySelector('#timeline')",
        "confusion": "document.querySelector('.matrix')",
        "compare": "document.querySelector('#mapA')",
    }
    page.until(ready[view])
    page.until(f"{CARDS} > 3" if tab != "selected" else "true")


def fill(page) -> None:
    """What a person has done before: some clips chosen, a reference pinned, a part searched for."""
    page.run("import('/state.js').then(m => m.set({pin: 2, selected: new Set([1, 2, 3])}))")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("view", "tab_name"), [*((view, "neighbours") for view in VIEWS), ("map", "teach"), ("map", "selected")]
)
def test_every_control_is_reached_by_keys_and_seen(page, view, tab_name):
    look(page, view, tab_name)
    fill(page)
    page.key(" ")
    page.run("new Promise(r => setTimeout(r, 2000))")  # what is asked for meanwhile has come
    page.run("document.activeElement.blur(), getSelection().removeAllRanges(), scrollTo(0, 0)")
    page.run(f"window.all = {FOCUSABLE}; window.met = []")
    wanted = page.run("all.length")
    assert wanted > 25
    note = (
        "(() => { const e = document.activeElement, s = getComputedStyle(e), at = all.indexOf(e);"
        " met.push(at); const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;"
        " const b = e.getBoundingClientRect();"
        " return [at, seen || e.className === 'skip', b.bottom > 0 && b.top < innerHeight, "
        "e.outerHTML.slice(0, 90)] })()"
    )
    reached = []
    for _ in range(wanted + 3):
        page.key("Tab")
        at, seen, inside, who = page.run(note)
        if at < 0:
            break  # behind the last one
        assert seen, f"focus is not seen on {who}"
        assert inside, f"{who} has the focus out of sight"
        reached.append(at)
    missing = page.run(f"{list(set(range(wanted)) - set(reached))}.map(i => all[i].outerHTML.slice(0, 90))")
    assert not missing
    assert reached == sorted(reached)  # in the order of the page


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_every_button_may_be_pressed(page, view):
    """Each visible button of a view and of its panels once, as they stand when they are met; nothing goes wrong."""
    for tab in ("neighbours", "teach", "selected"):
        look(page, view, tab)
        fill(page)
        many = page.run(f"{FOCUSABLE}.filter(e => e.tagName === 'BUTTON').length")
        for number in range(min(many, 45)):
            page.run(
                f"(e => {{ if (e && e.id !== 'openfile') e.click() }})"
                f"({FOCUSABLE}.filter(e => e.tagName === 'BUTTON')[{number}]);"
                "document.querySelector('dialog')?.close()"
            )
            if number % 10 == 0:
                look(page, view, tab)
    page.run("import('/state.js').then(m => m.set({selected: new Set(), view: 'map', tab: 'neighbours'}))")
    page.until(f"{CARDS} > 3")
    page.errors[:] = [each for each in page.errors if "clipboard" not in each and "status of 4" not in each]


@pytest.mark.slow
def test_all_that_is_drawn_follows_the_theme(page):
    page.key(" ")
    shown = {
        "map": ["#map", "#over", "#player", ".card canvas"],
        "recording": ["#timeline"],
        "compare": ["#mapA", "#mapB"],
    }
    for view, canvases in shown.items():
        page.media(prefers_color_scheme="light")
        look(page, view)
        page.until("getComputedStyle(document.body).backgroundColor === 'rgb(251, 251, 250)'")
        page.run("new Promise(r => setTimeout(r, 400))")
        light = {each: lit(page, each) for each in canvases}
        page.media(prefers_color_scheme="dark")
        for each in canvases:
            chromium.waited(lambda each=each, before=light[each]: lit(page, each) != before)
        page.click("#theme")  # light again, by the button
        page.until("getComputedStyle(document.body).backgroundColor === 'rgb(251, 251, 250)'")
        for each in canvases:
            chromium.waited(lambda each=each, before=light[each]: lit(page, each) == before)
        page.run("delete document.documentElement.dataset.theme")


def test_a_head_line_says_whose_vectors_these_are(page):
    """No run was named: those of the weights that come along; the better map needs no package of its own."""
    assert "encoder base" in page.text("#store")
    page.until("import('/state.js').then && document.querySelector('#status').textContent.endsWith('all drawn')")
    assert page.run("import('/state.js').then(m => m.state.map)") == "tsne"


# ----------------------------------------------------------------------------------------------------------- palette

# what an eye without one kind of cones makes of linear RGB: Machado, Oliveira, Fernandes (2009), severity 1
EYES = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
CLASSES = [f"c{number}" for number in range(8)]


def themes() -> dict[str, dict[str, str]]:
    css = (resources.files("kineme.apps.explorer") / "static" / "style.css").read_text()
    blocks = {"light": css.split("@media")[0], "dark": re.search(r":root\[data-theme=dark\] \{(.*?)\}", css, re.S)[1]}
    return {name: dict(re.findall(r"--(\w+): (#\w+)", block)) for name, block in blocks.items()}


def linear(colour: str) -> np.ndarray:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    value = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: str, eye: str) -> np.ndarray:
    """CIE L*a*b* (D65)."""
    seen = np.clip(np.asarray(EYES[eye]) @ linear(colour), 0, 1)
    x, y, z = (v if v > 0 else 0 for v in TO_XYZ @ seen / [0.95047, 1, 1.08883])
    fx, fy, fz = (np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def contrast(a: str, b: str) -> float:
    bright, dim = sorted((float(TO_XYZ[1] @ linear(each)) for each in (a, b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_classes_and_sides_differ_for_every_eye(theme, eye):
    named = themes()[theme]
    for names, least in (([*CLASSES, "grey"], 31), (["left", "right", "trunk"], 29)):
        for a, b in itertools.combinations(names, 2):
            assert np.linalg.norm(lab(named[a], eye) - lab(named[b], eye)) >= least, (a, b)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_dots_of_one_shape_differ_more(theme, eye):
    """Classes whose dots have the same shape, four apart, are told by colour alone."""
    named = themes()[theme]
    for a, b in zip(CLASSES[:4], CLASSES[4:]):
        assert np.linalg.norm(lab(named[a], eye) - lab(named[b], eye)) >= 36, (a, b)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_marks_stand_out_from_their_ground(theme):
    named = themes()[theme]
    for ground in ("page", "card"):
        for words in ("ink", "second", "accent", "left", "right", "trunk"):
            assert contrast(named[words], named[ground]) >= 4.5, (words, ground)
        for mark in (*CLASSES, "border", "rest", "star"):
            assert contrast(named[mark], named[ground]) >= 3, (mark, ground)
    assert contrast(named["page"], named["accent"]) >= 4.5  # words on a pressed button


def test_both_ways_to_dark_are_one():
    css = (resources.files("kineme.apps.explorer") / "static" / "style.css").read_text()
    blocks = re.findall(r":root(?::not\(\[data-theme=light\]\)|\[data-theme=dark\]) \{(.*?)\}", css, re.S)
    first, second = (dict(re.findall(r"--(\w+): (#\w+)", block)) for block in blocks)
    assert first == second
