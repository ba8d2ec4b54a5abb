"""Whole tours: on a phone with a finger, by keys alone, and a walker who stays in the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest

from .conftest import Served
from .test_page import CARDS, dot, opened, row, state

SELECTED = "import('/state.js').then(m => [...m.state.selected].sort((a, b) => a - b))"
BODIES = """import('/player.js').then(async (p) => {
  const clip = await p.clip(%d), found = [];
  for (const canvas of [document.querySelector('#player'), ...document.querySelectorAll('.card canvas')].slice(0, 3))
    for (let k = 0; k <= 20; k++)
      for (const body of p.draw(canvas, clip, (clip.length * k) / 20, p.view()).bodies)
        for (const joint of body) if (joint) found.push(joint[0] / canvas.width, joint[1] / canvas.height);
  return found })"""


def tap(page, x: float, y: float) -> None:
    page.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


def test_all_of_it_on_a_phone(tab, made, tmp_path):
    """A dot is tapped and plays, a file is searched with, a clip is labelled; nothing scrolls sideways."""
    tab.size(390, 844, True)
    served = Served(made.index.path, "--labels", tmp_path)
    try:
        page = opened(tab, served)
        first = state(page, "clip")
        at = next(i for i in range(40) if row(page, i) != first)
        tap(page, *dot(page, at))
        page.until("!document.querySelector('#strip').hidden")  # the first tap shows its poses
        tap(page, *dot(page, at))
        page.until("document.body.dataset.part === 'player'")
        assert state(page, "clip") == row(page, at)
        page.until(f"{CARDS} === 12 && location.hash.includes('clip={row(page, at)}')")

        page.give("#file", made.bvh)
        page.until("document.querySelector('#clipname').textContent.includes('.bvh')")
        page.until("document.querySelector('.card .said').textContent.includes('walk')")
        assert "joints found" in page.text("#ready")
        page.click("#remove")
        page.until("document.querySelector('#remove').hidden")

        page.run(f"import('/state.js').then(m => m.set({{clip: {first}}}))")
        page.click("#phonenav [data-part=teach]")
        page.until("document.querySelector('#newkind')")
        page.click("#newkind")
        page.type("mine")
        page.key("Enter")
        page.until("document.querySelector('.kinds .n')?.textContent === '1'")
        for part in ("map", "list", "player", "colour", "teach"):
            page.click(f"#phonenav [data-part={part}]")
            assert page.run("document.documentElement.scrollWidth") <= 390
        assert not page.errors, page.errors
    finally:
        served.stop()
    assert '"mine"' in (tmp_path / "labels.jsonl").read_text()


def test_keys_select_what_a_mouse_selects(tab, served):
    page = opened(tab, served)
    page.run("document.querySelector('#map').focus()")
    for key in ("ArrowRight", "s", "ArrowLeft", "s", "ArrowDown", "s", "ArrowUp", "ArrowUp", "s"):
        page.key(key)
    chosen = page.run(SELECTED)
    assert len(chosen) >= 2
    page.key("Escape")
    assert page.run(SELECTED) == []
    for number in chosen:
        x, y = dot(page, next(i for i in range(40) if row(page, i) == number))
        for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
            page.mouse(kind, x, y, button="left", clickCount=1, buttons=buttons, modifiers=8)
    assert page.run(SELECTED) == chosen
    assert not page.errors, page.errors


@pytest.mark.parametrize("kind", ["walk", "kick"])
def test_who_walks_stays_in_the_picture(tab, made, served, kind):
    """In the player and in cards, over the whole clip, every joint."""
    page = opened(tab, served)
    page.key(" ")
    number = made.store.column("label").tolist().index(kind)
    walked = np.nanmean(made.store.motion(number).joints[:, 0], 1)
    if kind == "walk":
        assert np.ptp(walked, 0).max() > 1
    seen = np.array(page.run(BODIES % number)).reshape(-1, 2)
    assert len(seen) >= 3 * 21 * 15
    assert ((seen > 0) & (seen < 1)).all(), json.dumps([seen.min(0).tolist(), seen.max(0).tolist()])
