"""Charts as SVG: well formed, their text escaped, names of a map that do not lie on each other."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.data import synth
from kineme.viz import svg
from kineme.viz.stick_figure import Figures

EVIL = '</svg><script>alert("1")</script>'


def charts():
    gen = np.random.default_rng(0)
    figures = Figures(next(iter(synth.generate(1, ["walk"], subjects=1, cameras=1))), 5)
    yield svg.strip(figures, figures.slot, figures.low, figures.high, EVIL)
    yield svg.marks([svg.Mark(0, 0.4, 0.3, 0.5), svg.Mark(1, 0.2)], 0, 1, EVIL)
    yield svg.gain(-0.2, 0.4, EVIL)
    yield svg.matrix(np.array([[3, 1], [0, 0]]), [EVIL, "b"], EVIL)
    yield svg.scatter(gen.normal(size=(20, 2)), gen.integers(0, 2, 20), [EVIL, "b"], [EVIL] * 20, EVIL)
    yield svg.curves({0: [("0.1", 0.5), ("0.2", 0.4)], 2: [("0.1", 0.1), ("0.2", 2.0)]}, EVIL, True)
    yield svg.reliability([(0.5, 0.4, 3), (0.9, 1.0, 7)], 1, EVIL)


@pytest.mark.parametrize("number", range(7))
def test_charts_are_well_formed_and_say_what_they_are(number):
    element = ET.fromstring(list(charts())[number])
    assert EVIL in element.get("aria-label")
    assert not list(element.iter("script"))


def test_a_strip_has_the_lines_of_its_figures():
    figures = Figures(next(iter(synth.generate(1, ["walk"], subjects=1, cameras=1))), 3)
    lines = [line for k in range(len(figures.at)) for line in figures.lines(k, 0)]
    element = ET.fromstring(svg.strip(figures, figures.slot, figures.low, figures.high, "walk"))
    kinds = [path.get("class") for path in element.iter("path")]
    assert len(kinds) == len(lines)
    assert {"left", "right", "trunk", "halo", "shadow"} <= set(kinds)


def test_a_matrix_shades_by_the_share_of_the_row():
    element = ET.fromstring(svg.matrix(np.array([[3, 1], [0, 8]]), ["a", "b"], "confusion"))
    boxes = [box for box in element.iter("rect") if box.get("class").startswith("shade")]
    assert [box.find("title").text for box in boxes] == [
        "a taken for a: 3 of 4",
        "a taken for b: 1 of 4",
        "b taken for b: 8 of 8",
    ]
    assert [float(box.get("fill-opacity")) for box in boxes] == pytest.approx([0.77, 0.31, 1.0])
    assert [box.get("class") for box in boxes] == ["shade", "shade wrong", "shade"]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_names_do_not_lie_on_each_other(classes, seed):
    gen = np.random.default_rng(seed)
    at, numbers = gen.uniform(0, 400, (60, 2)), gen.integers(0, classes, 60)
    names = ["n" * int(gen.integers(1, 30)) for _ in range(classes)]
    found = svg.placed_names(at, numbers, names, 400)
    largest = np.bincount(numbers).argmax()
    assert largest in found
    boxes = [(x, y, svg.LETTER * min(len(names[k]), 22) / 2) for k, (x, y) in found.items()]
    for i, (x, y, half) in enumerate(boxes):
        assert half - 1e-6 <= x <= 400 - half + 1e-6
        assert all(abs(x - u) >= half + w or abs(y - v) >= svg.LINE - 1e-6 for u, v, w in boxes[:i])
