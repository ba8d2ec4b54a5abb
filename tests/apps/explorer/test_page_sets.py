"""Sets of two people, in an image, at two speeds, and a long recording, in a real Chromium."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import browser as chromium

import kineme
from kineme.data import prepare, synth
from kineme.motion.motion import Motion

from .conftest import Served
from .test_page import READY, state
from .test_page_teach import show

QUICK = ["encoder.hidden=16", "encoder.layers=1", "method.views.frames=8", "method.views.min_frames=8"]
COPIES = 12
SCORES = "[...document.querySelectorAll('.card .said:not(.second)')].map(e => e.textContent.split(' ')[0])"
STRETCH = 2  # how much slower the second walk is


@pytest.fixture(scope="module")
def long_one():
    """Some ten minutes of other movements in which a wave is hidden twelve times; where each begins, how long it is."""
    wave = next(synth.generate(1, actions=["wave"], subjects=1, cameras=0))
    others = list(synth.generate(276, actions=["walk", "sit_down", "kick", "jump", "punch"], subjects=4, cameras=0))
    pieces, starts, at = [], [], 0
    for number, other in enumerate(others):
        if number % (len(others) // COPIES) == 11:
            starts.append(at / wave.fps)
            pieces.append(wave.joints)
            at += len(wave)
        pieces.append(other.joints)
        at += len(other)
    joined = Motion(np.concatenate(pieces), wave.layout, fps=wave.fps, up=wave.up, unit=wave.unit, source="long")
    return SimpleNamespace(motion=joined, starts=starts, seconds=len(wave) / wave.fps)


@pytest.fixture(scope="module")
def sets(tmp_path_factory, long_one):
    """A server of clips of two people, a walk, the same walk at half speed, and the long recording."""
    folder = tmp_path_factory.mktemp("sets")
    pairs = list(synth.generate(12, actions=["shake_hands", "push"], subjects=3, cameras=1))
    walk = next(synth.generate(1, actions=["walk"], subjects=1, cameras=0)).with_(source="fast", label="walk")
    slow = walk.resize(STRETCH * len(walk)).with_(source="slow", fps=walk.fps, label="walk")
    synth.write(folder / "motion", [*pairs, walk, slow, long_one.motion])
    store = prepare.prepare(folder / "motion", folder / "store", normalise="general")
    served = Served(store.path, "--map", "pca")
    yield SimpleNamespace(served=served, store=store, ids=store.ids)
    served.stop()


@pytest.fixture
def page(tab, sets):
    tab.open(sets.served.address)
    tab.until(READY)
    tab.until("document.querySelector('#clipname').textContent.includes('·')")
    yield tab
    assert not tab.errors, tab.errors


def strokes(page, row: int, at: float = 0.5) -> list[dict]:
    """What is stroked when a clip is drawn: dashes and the bodies' places."""
    return page.run(
        "Promise.all([import('/player.js'), import('/wire.js')]).then(async ([p]) => {"
        f"const clip = await p.clip({row}), canvas = document.querySelector('#player'), dashes = new Set();"
        "const context = canvas.getContext('2d'), real = context.stroke;"
        "context.stroke = function () { dashes.add(context.getLineDash().length); real.apply(context); };"
        f"const now = p.draw(canvas, clip, {at} * clip.length, p.view()); delete context.stroke;"
        "return {dashes: [...dashes].sort(), bodies: now.bodies.map(b => b.map(j => j && j.slice(0, 2)))} })"
    )


# ---------------------------------------------------------------------------------------------------------- two people


def test_two_people_are_drawn_and_one_is_searched_with(page, sets):
    row = next(i for i, label in enumerate(sets.store.column("label")) if label == "push")
    show(page, row)
    page.until("document.querySelectorAll('#people button').length === 2")
    drawn = strokes(page, row)
    assert drawn["dashes"] == [0, 2]  # the second one dashed
    assert [sum(joint is not None for joint in body) > 20 for body in drawn["bodies"]] == [True, True]
    page.key(" ")
    page.until("document.querySelectorAll('.card').length > 5")
    both = state(page, "hits.map(h => h.score)")
    found = []
    for person in (0, 1):
        page.key("q")
        assert state(page, "person") == person
        pressed = [i == person for i in (0, 1)]
        buttons = "[...document.querySelectorAll('#people button')].map(b => b.getAttribute('aria-pressed') === 'true')"
        assert page.run(buttons) == pressed
        said = {"query": {"row": row, "person": person}, "k": 12}
        asked = page.run(
            "import('/wire.js').then(w => w.ask('search', {method: 'POST', body: " + json.dumps(said) + "}))"
            ".then(a => a.hits.map(h => h.score))"
        )
        scores = [f"{score:.3f}" for score in asked]
        page.until(f"JSON.stringify({SCORES}) === JSON.stringify({scores})")
        found.append(asked)
    assert found[0] != found[1]
    assert both not in found
    page.key("q")
    assert state(page, "person") is None


# ------------------------------------------------------------------------------------------------------------ in step


def test_in_step_at_two_speeds(page, sets):
    fast, slow = sets.ids.index("fast"), sets.ids.index("slow")
    show(page, fast)
    page.key(" ")
    page.key("p")
    page.until("!document.querySelector('#pinbox').hidden")
    show(page, slow)
    page.key("i")
    page.until("!document.querySelector('#path').hidden")
    frames = int(sets.store.lengths[fast])
    for at in np.linspace(0, frames - 1, 9).round().astype(int).tolist():
        seconds = at / (frames - 1) * frames / sets.store.motion(fast).fps
        page.run(
            f"(e => {{ e.value = {seconds}; e.dispatchEvent(new Event('input')) }})(document.querySelector('#time'))"
        )
        wanted = at * (STRETCH * frames - 1) / (frames - 1)
        number = "parseInt(document.querySelector('#clock').textContent)"
        page.until(f"Math.abs({number} - {wanted}) <= 2", 5)


# ---------------------------------------------------------------------------------------------------------- an interval


def test_an_interval_finds_parts_of_others_and_plays_them_from_there(page, sets):
    show(page, sets.ids.index("slow"))
    page.run("import('/state.js').then(m => m.set({from: 0, to: 1.8}))")
    page.until("document.querySelector('.card') && location.hash.includes('to=1.8')")
    inside = "import('/state.js').then(m => m.state.hits.findIndex(h => h.name === 'long' && h.from > 1))"
    at = chromium.waited(lambda: (found := page.run(inside)) >= 0 and found + 1) - 1
    hits = state(page, "hits.map(h => [h.name, h.from ?? null, h.to ?? null])")
    assert all(begin >= 1.8 for name, begin, _ in hits if name == "slow")  # not what was asked with
    _, begin, end = hits[at]
    assert 1 < end - begin < 3
    said = f"{begin:.1f} to {end:.1f} s"
    page.until(f"document.querySelectorAll('.card')[{at}]?.textContent.includes({json.dumps(said)})")
    page.run("import('/state.js').then(m => m.set({playing: false}))")
    page.run(f"document.querySelectorAll('.card button.figure')[{at}].click()")
    page.until("document.querySelector('#clipname').textContent.startsWith('long')")
    page.until(f"Math.abs(document.querySelector('#time').value - {begin}) < 0.1")


# --------------------------------------------------------------------------------------------------------- recordings


def test_copies_hidden_in_ten_minutes_are_found_and_visited_in_order(page, sets, long_one):
    seconds, starts = long_one.seconds, long_one.starts
    assert len(starts) == COPIES
    assert len(long_one.motion) / long_one.motion.fps > 600
    show(page, sets.ids.index("long"))
    page.click("#views button:nth-child(2)")
    page.until("document.querySelector('#timeline')")
    for selector, value in (("#partfrom", starts[0]), ("#partto", starts[0] + seconds)):
        page.click(selector)
        page.type(f"{value:.2f}")
    page.click("#findlike")
    page.until("document.querySelectorAll('#hits tbody tr').length")
    hits = page.run("import('/recording.js').then(m => m.shown().map(h => [h.from, h.to]))")
    others = starts[1:]
    for start in others:
        assert any(begin < start + seconds and start < end for begin, end in hits), start
    wrong = [h for h in hits if not any(h[0] < s + seconds and s < h[1] for s in starts)]
    assert len(wrong) <= 1
    page.run("document.querySelector('#timeline').focus()")
    visited = []
    for _ in hits:
        page.key("j")
        visited.append(page.run("import('/recording.js').then(m => m.shown()[m.record.at].from)"))
    assert visited == sorted(begin for begin, _ in hits)
    page.key("Enter")
    page.until("document.querySelector('#found').textContent.includes('1 confirmed')")
    # an end of the last one is moved by its number, and by hand
    page.run(
        "(e => { e.value = 1 + Number(e.value); e.dispatchEvent(new Event('change')) })"
        "(document.querySelector('#hits tr.current td:nth-child(3) input'))"
    )
    last = "import('/recording.js').then(m => m.shown()[m.record.at])"
    moved = page.run(last)
    assert moved["to"] == pytest.approx(hits[-1][1] + 1, abs=0.01)
    page.run("document.querySelector('#timeline').scrollIntoView()")
    x0, y0, width = page.run(
        "(b => [b.left, b.top, b.width])(document.querySelector('#timeline').getBoundingClientRect())"
    )
    length = len(long_one.motion) / long_one.motion.fps
    x = x0 + 48 + moved["to"] / length * (width - 52)
    page.drag([(x, y0 + 114), (x + 6, y0 + 114), (x + 12, y0 + 114)])
    assert page.run(last)["to"] > moved["to"] + 3
    begin = page.run(last)["from"]
    page.key("-")
    gone = f"import('/recording.js').then(m => m.shown().every(h => Math.abs(h.from - {begin}) > 1))"
    chromium.waited(lambda: page.run(gone))


# ------------------------------------------------------------------------------------------------------------ an image


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A server of clips in an image, by a small encoder trained on them for two steps."""
    folder = tmp_path_factory.mktemp("image")
    options = {"subjects": 2, "cameras": 1, "layout": "coco17", "coords": 2}
    motions = list(synth.generate(24, actions=["walk", "wave", "kick"], **options))
    synth.write(folder / "motion", motions)
    store = prepare.prepare(folder / "motion", folder / "store", normalise="image")
    run = kineme.pretrain("moco", store, folder / "run", settings=[*QUICK, "loop.batch=8", "loop.steps=2"])
    served = Served(store.path, "--run", run, "--map", "pca")
    yield SimpleNamespace(served=served, store=store, motions=motions, folder=folder)
    served.stop()


@pytest.fixture
def flat(tab, image):
    tab.open(image.served.address)
    tab.until(READY)
    tab.until("document.querySelector('#clipname').textContent.includes('·')")
    yield tab
    assert not tab.errors, tab.errors


def test_an_image_is_not_turned_and_stands_upright(flat, image):
    row, joints = 3, image.store.layout.joints
    show(flat, row)
    flat.key(" ")
    flat.run("document.activeElement.blur()")
    body = strokes(flat, row, 0.0)["bodies"][0]
    place = {name: body[joints.index(name)] for name in joints}
    true = {name: image.store.motion(row).joints[0, 0, joints.index(name)] for name in joints}
    assert place["nose"][1] < place["left_hip"][1] < place["left_ankle"][1]
    for a, b in (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_wrist", "right_wrist")):
        assert np.sign(place[a][0] - place[b][0]) == np.sign(true[a][0] - true[b][0])  # no side for another
    limbs = flat.run("import('/state.js').then(m => m.state.store.layout.limbs)")
    sides = {joints[end[0]]: side for end, _, side in limbs if len(end) == 1}
    assert all(side == name.split("_")[0] for name, side in sides.items() if name.startswith(("left", "right")))
    buttons = flat.run("[...document.querySelectorAll('#playerkeys button')].map(b => b.textContent)")
    assert not {"front", "back", "right side", "above"} & set(buttons)
    box = (
        "(c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let x0 = 1e9, x1 = 0;"
        "for (let i = 3; i < d.length; i += 4) if (d[i]) { const x = ((i - 3) / 4) % c.width;"
        " x0 = Math.min(x0, x); x1 = Math.max(x1, x); } return [x0, x1] })(document.querySelector('#player'))"
    )
    flat.run("(e => { e.value = 0.5; e.dispatchEvent(new Event('input')) })(document.querySelector('#time'))")
    flat.until("document.querySelector('#clock').textContent.includes('0.50 s')")
    before = flat.run(box)
    x, y = flat.middle("#player")
    flat.drag([(x, y), (x + 15, y), (x + 30, y)])
    moved = [before[0] + 30, before[1] + 30]  # not turned
    chromium.waited(lambda: flat.run(box) == pytest.approx(moved, abs=2), 5)


def test_a_file_of_a_detector_is_dropped_on_an_image(flat, image):
    from kineme.io import openpose

    openpose.write(image.folder / "frames", image.motions[:1])
    path = sorted((image.folder / "frames").rglob("*_keypoints.json"))[5]
    flat.drop(path)
    flat.until(f"document.querySelector('#clipname').textContent.startsWith({json.dumps(path.name)})")
    flat.until("document.querySelector('#ready').textContent.includes('of 17 joints found')")
    flat.until("document.querySelectorAll('.card').length === 12")
    assert state(flat, "upload.frames") == 1
