"""Budgets of `kineme explore`, each in a real Chromium: ``python bench/explorer.py`` prints what is asked and measured.

The page shows 480 synthetic clips, then an index of 100,000 entries of 256 dimensions that are clips of these; drawing
and picking among 100,000 and a million dots are timed by the page's own modules on made places. Each figure is the best
of three where nothing else is said. ``python bench/explorer.py map`` measures one part: start, map, large.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import part_search
from helpers import browser as chromium

import kineme
from kineme.apps.explorer import workspace
from kineme.data import prepare, synth
from kineme.inference import index, search

CLIPS, ENTRIES = 480, 100_000
READY = "performance.getEntriesByName('ready').length"
DOTS = """Promise.all([import('/splat.js'), import('/colours.js')]).then(async ([s]) => {
  const n = %d, xy = new Uint16Array(2 * n), codes = new Uint16Array(n), canvas = document.createElement('canvas');
  let seed = 1; const next = () => (seed = (seed * 16807) %% 2147483647) / 2147483647;
  for (let i = 0; i < n; i++) { xy[2 * i] = 65535 * next(); xy[2 * i + 1] = 65535 * next(); codes[i] = 8 * next(); }
  canvas.width = 1000; canvas.height = 800;
  const colours = Array.from({ length: 9 }, (_, i) => [20 * i, 90, 200 - 20 * i]), splatter = new s.Splatter();
  const view = { scale: 0.0122, x: 0, y: 0 }, context = canvas.getContext('2d'), took = [];
  for (let k = 0; k < 40; k++) { const t = performance.now(); view.x = k;
    splatter.draw(context, xy, codes, colours, null, [200, 200, 200], Math.min(n, %d), view, [255, 255, 255]);
    took.push(performance.now() - t); }
  const grid = new s.Grid(xy, n), t = performance.now();
  for (let k = 0; k < 2000; k++) grid.nearest(65535 * next(), 65535 * next(), 700);
  return [took.sort((a, b) => a - b)[37], (performance.now() - t) / 2000] })"""
LATER = "const later = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
PAN = f"""import('/map.js').then(async (m) => {{ {LATER}
  m.map.frames.length = 0; const gaps = []; let last = performance.now();
  for (const end = last + 2000; last < end;) {{
    m.zoom(gaps.length % 20 < 10 ? 1.02 : 1 / 1.02); await later();
    const now = performance.now(); gaps.push(now - last); last = now; }}
  const p95 = (list) => list.slice().sort((a, b) => a - b)[Math.floor(0.95 * list.length)];
  return [p95(m.map.frames), p95(gaps)] }})"""
LASSO = f"""Promise.all([import('/map.js'), import('/state.js')]).then(async ([m, s]) => {{ {LATER}
  s.set({{ selected: new Set() }}); await later(); await later();
  const box = document.getElementById('mapbox'), path = [];
  for (let k = 0; k < 64; k++) {{
    const r = (0.3 + 0.05 * Math.sin(9 * k)) * box.clientHeight, a = k * Math.PI / 32;
    path.push([box.clientWidth / 2 + r * Math.cos(a), box.clientHeight / 2 + r * Math.sin(a)]); }}
  const t = performance.now();
  await m.choose(path, 'new'); const took = performance.now() - t;
  return [took, s.state.selected.size] }})"""
PLAYER = """import('/player.js').then(async ({ clock }) => {
  const calls = [...clock.calls], took = []; let frames = 0;
  clock.calls.clear();
  clock.calls.add((step) => { const t = performance.now(); for (const call of calls) call(step); took.push(performance.now() - t); frames++; });
  const begin = performance.now();
  await new Promise((done) => setTimeout(done, 3000));
  const seconds = (performance.now() - begin) / 1000;
  clock.calls.clear(); for (const call of calls) clock.calls.add(call);
  return [1000 / (frames / seconds), took.sort((a, b) => a - b)[Math.floor(0.95 * took.length)]] })"""  # noqa: E501
SEARCH = """import('/wire.js').then(async (w) => { const t = performance.now();
  await w.ask('search', {method: 'POST', body: {query: {row: %d}}}); return [performance.now() - t] })"""
TEACH = f"""Promise.all([import('/teach.js'), import('/wire.js'), import('/state.js')]).then(async ([t, w, s]) => {{ {LATER}
  const kinds = Array.from({{ length: 20 }}, (_, k) => 'kind ' + k), post = (path, method, body) => w.ask(path, {{ method, body }});
  let now = await w.ask('teach/labels');
  now = await post('teach/labels', 'PUT', {{ rev: now.rev, kinds }});
  const rows = (k) => Array.from({{ length: 25 }}, (_, i) => 1 + k + 20 * i);
  await post('teach/labels/labels', 'POST', {{ rev: now.rev, ops: kinds.map((kind, k) => ({{ rows: rows(k), kind, source: 'key' }})) }});
  await t.refresh(); s.set({{ tab: 'teach' }}); await later();
  const seen = [], server = [];
  for (let k = 0; k < 50; k++) {{
    const begin = performance.now();
    await t.teach.label(kinds[k % 20], [30000 + k]); await later();
    seen.push(performance.now() - begin); server.push(t.teach.own.ms); }}
  const p95 = (list) => list.sort((a, b) => a - b)[47];
  return [p95(server), p95(seen)] }})"""  # noqa: E501
CANVASES = "[...document.querySelectorAll('canvas')].reduce((sum, c) => sum + 4 * c.width * c.height, 0)"


class Row(NamedTuple):
    """A line of the table."""

    what: str
    budget: str
    value: float
    unit: str = "ms"


def main() -> None:
    """Make a set, serve it by the real command, measure, print."""
    parts = sys.argv[1:] or ["start", "map", "large"]
    folder = Path(tempfile.mkdtemp(prefix="kineme-bench-"))
    synth.write(folder / "motion", synth.generate(CLIPS, subjects=8, cameras=1))
    store = prepare.prepare(folder / "motion", folder / "store", normalise="general").path
    search.opened(store)
    print(f"load {os.getloadavg()[0]:.1f}\n| what | budget | measured |\n|---|---|---|")
    for part, rows in ((("start", "map"), lambda: small(store, parts)), (("large",), lambda: large(folder, store))):
        for what, budget, value, unit in rows() if set(part) & set(parts) else ():
            print(f"| {what} | {budget} | {value:.3g} {unit} |", flush=True)


# ------------------------------------------------------------------------------------------------------ 480 clips


def small(store: Path, parts: list[str]) -> Iterator[Row]:
    """How a page of 480 clips opens, and its modules on made places."""
    if "start" in parts:
        starts = [first_byte(store) for _ in range(3)]
        yield Row("first byte after the start", "3000 ms", min(wall for wall, _ in starts))
        yield Row("first byte, time of the processor", "", min(cpu for _, cpu in starts))
    with served(store) as (address, waited):
        yield Row("all clips after the start", "", waited)
        with opened_tab() as tab:
            seen = [opened(tab, address)]
            first = [tuple(each) for each in tab.bytes.values()]  # later ones are told that nothing has changed
            seen += [opened(tab, address) for _ in range(2)]
            if "start" in parts:
                yield Row("first paint", "300 ms", min(paint for paint, _ in seen))
                yield Row("map and lists ready", "1000 ms", min(ready for _, ready in seen))
                own = [size for url, size in first if "/api/" not in url]
                yield Row(f"page, {len(own)} requests", "150 kB", sum(own) / 1000, "kB")
                cards(tab)
                yield Row("search, seen by the page", "20 ms", best(lambda: tab.run(SEARCH % 3))[0])
            if "map" in parts:
                yield from dots(tab)


def dots(tab: chromium.Browser) -> Iterator[Row]:
    """Drawing and picking among made places."""
    for many, drawn in ((100_000, 150_000), (1_000_000, 150_000), (1_000_000, 1_000_000)):
        draw, pick = best(lambda many=many, drawn=drawn: tab.run(DOTS % (many, drawn)))
        part, budget = ("moving", "20 ms") if drawn < many else ("whole", "20 ms" if many < 1e6 else "300 ms")
        yield Row(f"map of {many:,}, {part}, p95 of a frame", budget, draw)
    yield Row("pick the dot under the pointer, of 1,000,000", "0.5 ms", pick)


def first_byte(store: Path) -> tuple[float, float]:
    """Milliseconds until the page is there, and of the processor."""
    begin = time.monotonic()
    with started(store) as (process, text):
        address = chromium.waited(lambda: re.search(r"http://[^\s#]+", text()), 120)[0]
        chromium.waited(lambda: answers(address), 60)
        wall, fields = (
            time.monotonic() - begin,
            Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split(),
        )
        return 1000 * wall, 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------------------------------------------- 100,000 clips


def large(folder: Path, store: Path) -> Iterator[Row]:
    """A page of 100,000 clips of 256 dimensions."""
    words = [
        sys.executable,
        "-m",
        "kineme",
        "pretrain",
        "moco",
        str(store),
        "--steps",
        "1",
        "--out",
        str(folder / "run"),
    ]
    subprocess.run(words, check=True, capture_output=True)
    big = many(kineme.index(store, folder / "run", folder / "few"), folder / "index", ENTRIES)
    yield Row("align 300 x 300 frames", "30 ms", aligned(big))
    with served(big.path, "--map", "pca", "--labels", str(folder / "labels")) as (address, waited):
        yield Row("100,000: all clips after the start", "", waited)
        with opened_tab() as tab:
            yield Row("100,000: map and lists ready", "1000 ms", min(opened(tab, address)[1] for _ in range(3)))
            cards(tab)
            drawn, gap = best(lambda: tab.run(PAN))
            yield Row("100,000: map while zooming, p95 of its script", "20 ms", drawn)
            yield Row("100,000: map while zooming, p95 between frames", "", gap)
            yield Row("100,000: search, seen by the page", "20 ms", best(lambda: tab.run(SEARCH % 7))[0])
            between, script = best(lambda: tab.run(PLAYER))
            yield Row("player and 12 cards", "55 fps", 1000 / between, "fps")
            yield Row("player and 12 cards, p95 of the script", "4 ms", script)
            taken, chosen = best(lambda: tab.run(LASSO))
            yield Row(f"lasso around {chosen:,.0f} of 100,000", "60 ms", taken)
            tab.run("import('/state.js').then((s) => s.set({ selected: new Set() }))")
            server, seen = tab.run(TEACH)
            yield Row("label to new tint, 20 kinds, 500 labels, p95 of the server", "100 ms", server)
            yield Row("label to new tint, p95 seen", "150 ms", seen)
            heap = tab.send("Runtime.getHeapUsage")
            held = sum(heap.get(name, 0) for name in ("usedSize", "embedderHeapUsedSize", "backingStorageSize"))
            yield Row("memory of the tab, canvases included", "250 MB", (held + tab.run(CANVASES)) / 1e6, "MB")
        for what, path, body, budget in (
            ("clip", "/api/clip/%d", None, 60),
            ("search", "/api/search", '{"query": {"row": %d}}', 450),
            ("map of 20,000", "/api/map?first=20000&x=%d", None, 120),
        ):
            took = min(clients(address, path, body) for _ in range(3))
            yield Row(f"50 clients, {what}, p95", f"{budget} ms", took)


def many(few: index.Index, path: Path, count: int) -> index.Index:
    """An index of so many entries that are clips of another one, their vectors drawn around centres."""
    path.mkdir()
    big, rows = index.create(path, few.dim, few.card["run"], None), np.arange(count) % len(few)
    entries = few.entries(np.arange(len(few)))
    names = ("start", "end", "fps", "whole", "label", "subject", "camera")
    columns = {name: [getattr(entries[row], name) for row in rows] for name in names}
    columns |= {"id": [f"clip{i}" for i in range(count)], "row": rows, "cut": np.zeros(count, bool)}
    big.add(part_search.drawn(count, few.dim), columns, few.card["stores"][0])
    return big


def aligned(big: index.Index) -> float:
    """Milliseconds of the server's alignment of two clips of 300 frames, the first call left out."""
    work = workspace.Workspace(search.Searcher(big), "big", "pca")
    pair = []
    for number in (0, 1):
        motion = work.motion(number)
        moments = np.linspace(0, len(motion) - 1, 300).round().astype(int)
        pair.append(motion.with_(joints=motion.joints[moments], confidence=motion.confidence[moments]))
    took = []
    for _ in range(6):
        begin = time.perf_counter()
        work.align(*pair)
        took.append(1000 * (time.perf_counter() - begin))
    return min(took[1:])


def clients(address: str, path: str, body: str | None, count: int = 50, each: int = 6) -> float:
    """p95 of one answer, milliseconds, where so many clients ask at once over links that stay open; nothing is lost."""
    host, token = re.match(r"http://([^/]+)/#token=(\w+)", address).groups()  # type: ignore[union-attr]
    took: list[float] = []
    ready = threading.Barrier(count)

    def ask(number: int) -> None:
        link = http.client.HTTPConnection(host, timeout=60)
        headers = {"X-Kineme-Token": token, "Content-Type": "application/json"}
        ready.wait()
        for k in range(each):
            row, begin = number * each + k, time.perf_counter()
            sent = None if body is None else body % row
            link.request("POST" if body else "GET", path % row if "%d" in path else path, sent, headers)
            answer = link.getresponse()
            found = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {json.loads(found)}")
            took.append(1000 * (time.perf_counter() - begin))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(took) != count * each:
        raise RuntimeError(f"{path}: {count * each - len(took)} of {count * each} answers were lost")
    return float(np.quantile(took, 0.95))


# ----------------------------------------------------------------------------------------------------------- helpers


@contextmanager
def started(where: Path, *more: str) -> Iterator[tuple[subprocess.Popen, Callable[[], str]]]:
    """The real command, and what it has said so far."""
    words = [sys.executable, "-m", "kineme", "explore", str(where), *more, "--no-browser", "--port", "0"]
    with tempfile.NamedTemporaryFile("w") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, env=dict(os.environ))
        try:
            yield process, Path(said.name).read_text
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def served(where: Path, *more: str) -> Iterator[tuple[str, float]]:
    """The address once all clips are there, and after how many milliseconds."""
    begin = time.monotonic()
    with started(where, *more) as (_, text):
        chromium.waited(lambda: "Ctrl-C" in text(), 300)
        yield re.search(r"http://\S+", text())[0], 1000 * (time.monotonic() - begin)  # type: ignore[index]


@contextmanager
def opened_tab() -> Iterator[chromium.Browser]:
    tab = chromium.Browser(width=1360, height=860)
    try:
        yield tab
    finally:
        tab.close()


def cards(tab: chromium.Browser) -> None:
    """Wait until the neighbours are there."""
    tab.until("document.querySelectorAll('.card').length === 12")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def opened(tab: chromium.Browser, address: str) -> tuple[float, float]:
    """First paint and everything ready, milliseconds after navigation."""
    tab.open("about:blank")
    tab.open(address)
    tab.until(READY, 60)
    paint = tab.run("performance.getEntriesByName('first-paint')[0].startTime")
    return paint, tab.run("performance.getEntriesByName('ready')[0].startTime")


def best(call: Callable[[], list[float]]) -> list[float]:
    """The least of three."""
    return min(call() for _ in range(3))


if __name__ == "__main__":
    main()
