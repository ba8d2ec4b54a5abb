"""Sets that are hardly any, clips in which nobody is seen, names that are no words: the page stays whole."""

from __future__ import annotations

import numpy as np
import pytest

from kineme.data.store_writer import Writer
from kineme.motion import layout

from .conftest import Served
from .test_page_teach import READY

NAMES = ["<img src=x onerror=alert(1)>", "حركة المشي", "x" * 200, "<script>alert(1)</script>", "=1+1", "walk"]


def written(path, clips: int):
    """A store of so many clips: of one frame, with nobody in it, and of odd names."""
    from kineme.motion.motion import Motion

    joints = layout.layout("ntu25")
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(25, 3)).astype(np.float32)
    writer = Writer(path, joints, 1, 3, normalise={"how": "general", "unsure": "keep"})
    for i in range(clips):
        frames = 1 if i == 1 else 20
        moved = rest + 0.1 * rng.normal(size=(frames, 1, 25, 3))
        confidence = np.zeros((frames, 1, 25)) if i == 2 else np.ones((frames, 1, 25))
        facts = {"fps": 30.0, "up": "+y", "unit": "m", "label": NAMES[i % len(NAMES)], "source": f"{NAMES[i % 4]}{i}"}
        writer.add(Motion(moved.astype(np.float32), joints, confidence.astype(np.float32), **facts))
    return writer.close()


@pytest.mark.parametrize("clips", [1, 2, 6])
def test_odd_sets_are_shown(tab, tmp_path, clips):
    store = written(tmp_path / "store", clips)
    served = Served(store.path)
    try:
        tab.open(served.address)
        tab.until(READY)
        tab.until("document.querySelector('#clipname').textContent.includes('·')")
        tab.until(f"document.querySelectorAll('.card').length === {clips - 1}")
        assert f"{clips} shown of {clips}" in tab.text("#status")
        for row in range(clips):
            tab.run(f"import('/state.js').then(m => m.set({{clip: {row}}}))")
            start = tab.run(
                f"import('/wire.js').then(w => w.ask('table?n=9')).then(a => a.rows[{row}].name.slice(0, 9))"
            )
            tab.until(f"document.querySelector('#clipname').textContent.startsWith({start!r})")
            if row == 2:
                tab.until("document.querySelector('#ready').textContent.includes('No visible joints')")
        assert tab.run("document.querySelectorAll('img, #legend script, #panel script').length") == 0
        assert tab.run("document.documentElement.scrollWidth") <= 1360
        assert not tab.errors, tab.errors
    finally:
        served.stop()
