"""Budgets of `kineme explore`, each in a real Chromium: ``python bench/explorer.py`` prints what is asked and measured.

The page shows 480 synthetic clips; drawing and picking among 100,000 and a million dots are timed by the page's own
modules on made places. Each figure is the best of three.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers import browser as chromium

from kineme.data import prepare, synth
from kineme.inference import search

READY = "performance.getEntriesByName('ready').length"
DOTS = """Promise.all([import('/splat.js'), import('/colours.js')]).then(async ([s]) => {
  const n = %d, xy = new Uint16Array(2 * n), codes = new Uint16Array(n), canvas = document.createElement('canvas');
  let seed = 1; const next = () => (seed = (seed * 16807) %% 2147483647) / 2147483647;
  for (let i = 0; i < n; i++) { xy[2 * i] = 65535 * next(); xy[2 * i + 1] = 65535 * next(); codes[i] = 8 * next(); }
  canvas.width = 1000; canvas.height = 800;
  const colours = Array.from({ length: 9 }, (_, i) => [20 * i, 90, 200 - 20 * i]), splatter = new s.Splatter();
  const view = { scale: 0.0122, x: 0, y: 0 }, context = canvas.getContext('2d'), took = [];
  for (let k = 0; k < 12; k++) { const t = performance.now(); view.x = k;
    splatter.draw(context, xy, codes, colours, null, [200, 200, 200], Math.min(n, %d), view, [255, 255, 255]);
    took.push(performance.now() - t); }
  const grid = new s.Grid(xy, n), t = performance.now();
  for (let k = 0; k < 2000; k++) grid.nearest(65535 * next(), 65535 * next(), 700);
  return [took.sort((a, b) => a - b)[10], (performance.now() - t) / 2000] })"""


def main() -> None:
    """Make a set, serve it by the real command, measure, print."""
    folder = Path(tempfile.mkdtemp(prefix="kineme-bench-"))
    synth.write(folder / "motion", synth.generate(480, subjects=8, cameras=1))
    store = prepare.prepare(folder / "motion", folder / "store", normalise="general")
    search.opened(store.path)
    begin = time.monotonic()
    words = [sys.executable, "-m", "kineme", "explore", str(store.path), "--no-browser", "--port", "0"]
    with open(folder / "said", "w") as said:
        server = subprocess.Popen(words, stdout=said, stderr=said, env=dict(os.environ))
    text = (folder / "said").read_text
    address = chromium.waited(lambda: re.search(r"http://\S+", text()), 120)[0]
    chromium.waited(lambda: answers(address.partition("#")[0]), 60)
    rows = [("first byte after the start", "3000 ms", 1000 * (time.monotonic() - begin))]
    chromium.waited(lambda: "Ctrl-C" in text(), 240)
    rows.append(("all clips after the start", "", 1000 * (time.monotonic() - begin)))
    try:
        tab = chromium.Browser(width=1360, height=860)
        seen = [opened(tab, address)]
        first = [tuple(each) for each in tab.bytes.values()]  # later ones are told that nothing has changed
        seen += [opened(tab, address) for _ in range(2)]
        rows.append(("first paint", "300 ms", min(paint for paint, _ in seen)))
        rows.append(("map and lists ready", "1000 ms", min(ready for _, ready in seen)))
        size = sum(size for url, size in first if "/api/" not in url)
        rows.append(("page, kB", "150 kB", size / 1000))
        tab.until("document.querySelectorAll('.card').length === 12")
        for many, drawn in ((100_000, 150_000), (1_000_000, 150_000), (1_000_000, 1_000_000)):
            draw, pick = best(lambda many=many, drawn=drawn: tab.run(DOTS % (many, drawn)))
            part = "moving" if drawn < many else "whole"
            rows.append(
                (
                    f"map of {many:,}, {part}, p95 of a frame",
                    "20 ms" if part == "moving" or many < 1e6 else "300 ms",
                    draw,
                )
            )
        rows.append(("pick the dot under the pointer, of 1,000,000", "0.5 ms", pick))
        asked = "import('/wire.js').then(async w => { const t = performance.now(); await w.ask('search', {method: 'POST', body: {query: {row: 3}}}); return [performance.now() - t] })"  # noqa: E501
        rows.append(("search, seen by the page", "20 ms", best(lambda: tab.run(asked))[0]))
        tab.close()
    finally:
        server.terminate()
        server.wait(20)
    print("| what | budget | measured |\n|---|---|---|")
    for name, budget, value in rows:
        print(f"| {name} | {budget} | {value:.3g}{'' if 'kB' in name else ' ms'} |")


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
