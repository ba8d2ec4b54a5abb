"""Charts as elements ``<svg>`` of a page. Colours are classes, which the page's style sheet gives for light and dark.

Classes: ``s0`` to ``s5`` series, ``k0`` to ``k9`` categories, ``shade`` a share as opacity, ``up`` and ``down`` gain
and loss; ``left``, ``right``, ``trunk`` (``pale`` of further persons), ``unseen``, ``shadow``, ``halo`` of figures;
``grid`` lines, ``ink`` and ``faint`` text. Every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .stick_figure import INK, PALE, UNSEEN, WHITE, Figures, ink

HUES = 10  # categories that have a colour of their own
LETTER = 5.9  # width of a letter of 11 pixels, about
LINE = 13.0  # height of a line of such
GAP = 2.0  # between two names
UNIT = 400  # of a figure: the body's height
NAMESPACE = '<svg xmlns="http://www.w3.org/2000/svg"'  # of a file of its own

_CLASSES = {
    **{ink(side, person): f"{side} pale" if person else side for side in INK for person in (0, 1)},
    UNSEEN: "unseen",
    PALE: "shadow",
    WHITE: "halo",
}


class Mark(NamedTuple):
    """A figure with its interval, and which series it is of."""

    series: int
    value: float
    low: float | None = None
    high: float | None = None


def escaped(text: object) -> str:
    """Text that a page shows as it is.

    Examples:
        >>> escaped("<script>")
        '&lt;script&gt;'
    """
    return html.escape(str(text), quote=True)


def strip(figures: Figures, slot: float, low: float, high: float, label: str) -> str:
    """Frames of a motion side by side.

    Args:
        figures: the frames.
        slot, low, high: width of a figure's place, and heights of the lower and the upper edge, in heights of the body.
        label: what is to be seen, for those who cannot see it.
    """
    parts = []
    for number in range(len(figures.at)):
        for line in figures.lines(number, slot * (number + 0.5)):
            (x, y), (u, v) = np.clip(line.ends, -9, 99)
            places = " ".join(f"{value * UNIT:.0f}" for value in (x, high - y, u, high - v))
            width = f"{max(line.width * UNIT, 1):.0f}"
            parts.append(f'<path class="{_CLASSES[line.ink]}" stroke-width="{width}" d="M{places}"/>')
    size = f"0 0 {slot * len(figures.at) * UNIT:.0f} {(high - low) * UNIT:.0f}"
    return f'<svg class="figures" viewBox="{size}" role="img" aria-label="{escaped(label)}">{"".join(parts)}</svg>'


def marks(given: Sequence[Mark], low: float, high: float, label: str, width: int = 280) -> str:
    """Figures on one line from ``low`` to ``high``, each with its interval, one below the other."""
    row, reach = 9, max(high - low, 1e-12)
    tall = row * len(given) + 4

    def place(value: float) -> float:
        return 5 + (width - 10) * min(max((value - low) / reach, 0), 1)

    parts = [_line(place(low + reach * k / 4), 0, place(low + reach * k / 4), tall, "grid") for k in range(5)]
    for number, mark in enumerate(given):
        y = 2 + row * (number + 0.5)
        if mark.low is not None and mark.high is not None:
            parts.append(_line(place(mark.low), y, place(mark.high), y, f"s{mark.series} bar"))
        parts.append(f'<circle class="s{mark.series}" cx="{_n(place(mark.value))}" cy="{_n(y)}" r="3.2"/>')
    return _svg(width, tall, parts, label, "marks")


def gain(value: float, most: float, label: str, width: int = 90) -> str:
    """A bar to the right (gain) or to the left (loss) of the middle; ``most`` reaches the edge."""
    middle = width / 2
    end = middle + value / max(most, 1e-12) * (middle - 2)
    word = "up" if value > 0 else "down"
    bar = f'<rect class="{word}" x="{_n(min(middle, end))}" y="2" width="{_n(abs(end - middle))}" height="9"/>'
    return _svg(width, 13, [bar, _line(middle, 0, middle, 13, "axis")], label, "marks")


def matrix(counts: np.ndarray, names: Sequence[str], label: str) -> str:
    """A confusion matrix: a row for each true class, shaded by its share of the row, with the numbers of clips where
    there is room.

    Args:
        counts: int ``[K, K]``, true class, predicted class.
        names: of the classes.
        label: what is to be seen.
    """
    many = len(names)
    cell = 26 if many <= 12 else 20 if many <= 25 else 13
    shown = [_short(name, 22) for name in names]
    margin = LETTER * max(map(len, shown)) + 8
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    parts, side = [], cell * many
    lean = 0.72 * margin + 6  # of names that stand at 45 degrees
    for k, name in enumerate(shown):
        at = cell * (k + 0.5)
        parts.append(_text(margin - 5, lean + at + 4, name, "ink end"))
        turned = f'transform="rotate(-45 {_n(margin + at + 3)} {_n(lean - 5)})"'
        parts.append(_text(margin + at + 3, lean - 5, name, "ink", turned))
        parts.append(f'<rect class="empty" x="{_n(margin)}" y="{_n(lean + cell * k)}" width="{side}" height="{cell}"/>')
    for row, column in zip(*np.nonzero(counts)):
        x, y, share = margin + cell * column, lean + cell * row, float(shares[row, column])
        word = "shade" if row == column else "shade wrong"
        box = f'x="{_n(x + 0.5)}" y="{_n(y + 0.5)}" width="{cell - 1}" height="{cell - 1}"'
        said = f"{names[row]} taken for {names[column]}: {counts[row, column]} of {counts[row].sum()}"
        opacity = f'fill-opacity="{0.08 + 0.92 * share:.2f}"'
        parts.append(f'<rect class="{word}" {box} {opacity}><title>{escaped(said)}</title></rect>')
        if cell >= 20:
            on = "on" if share > 0.55 else "ink"
            parts.append(_text(x + cell / 2, y + cell / 2 + 3.5, str(counts[row, column]), f"{on} middle small"))
    return _svg(margin + side + 0.72 * margin, lean + side + 2, parts, label, "fixed")


def scatter(
    points: np.ndarray, numbers: np.ndarray, names: Sequence[str], titles: Sequence[str], label: str, size: int = 400
) -> str:
    """A map: a dot for each clip, coloured by its class, the names of the classes where most of their clips are.

    Args:
        points: float ``[N, 2]``.
        numbers: int ``[N]``, the class of each.
        names: of the classes.
        titles: N texts that a dot shows when it is pointed at.
        label: what is to be seen.
    """
    low, high = points.min(0), points.max(0)
    reach = max(float((high - low).max()), 1e-12)
    at = (points - (low + high) / 2) / reach * (size - 24) + size / 2
    at[:, 1] = size - at[:, 1]
    radius = 3.4 if len(at) <= 600 else 2.4
    parts = []
    for (x, y), number, title in zip(at.tolist(), numbers.tolist(), titles):
        dot = f'<circle class="k{number % HUES}" cx="{_n(x)}" cy="{_n(y)}" r="{radius}">'
        parts.append(f"{dot}<title>{escaped(title)}</title></circle>")
    for number, (x, y) in placed_names(at, numbers, names, size).items():
        parts.append(_text(x, y + 4, _short(names[number], 22), f"name middle k{number % HUES}"))
    return _svg(size, size, parts, label, "map")


def placed_names(
    at: np.ndarray, numbers: np.ndarray, names: Sequence[str], size: float
) -> dict[int, tuple[float, float]]:
    """The middle of each class's name: where its clips lie closest, moved as little as names need that do not lie on
    each other. Names that find no place are left out, those of the smallest classes first.

    Args:
        at: float ``[N, 2]``, places in a square.
        numbers: int ``[N]``, classes.
        names: of the classes.
        size: of the square.

    Returns:
        class -> x, y.

    Examples:
        >>> placed_names(np.array([[5.0, 9.0], [50.0, 50.0], [51.0, 50.0]]), np.array([0, 1, 1]), ["a", "b"], 100)
        {1: (50.0, 50.0), 0: (5.0, 9.0)}
    """
    classes, counts = np.unique(numbers, return_counts=True)
    boxes: list[tuple[float, float, float]] = []
    found = {}
    for number in classes[np.argsort(-counts, kind="stable")].tolist():
        half = LETTER * len(_short(names[number], 22)) / 2 + GAP
        x, y = _densest(at[numbers == number])
        x = float(np.clip(x, min(half, size / 2), max(size - half, size / 2)))
        for k in range(24):  # nearest free place above or below
            moved = y + (LINE + 1) / 2 * ((k + 1) // 2) * (-1 if k % 2 else 1)
            free = all(abs(x - u) >= half + w or abs(moved - v) >= LINE for u, v, w in boxes)
            if free and LINE / 2 <= moved <= size - LINE / 2:
                boxes.append((x, moved, half))
                found[number] = (x, float(moved))
                break
    return found


def curves(lines: Mapping[int, Sequence[tuple[str, float]]], title: str, joined: bool) -> str:
    """A panel of lines over places that are named, from 0 to 1.

    Args:
        lines: number of the series -> (name of the place, height); all name the same places.
        title: above it.
        joined: whether a place has something to do with the next.
    """
    wide, tall, left, bottom, top = 272, 176, 34, 22, 24
    places = [name for name, _ in next(iter(lines.values()))]
    step = (wide - left - 44) / max(len(places) - 1, 1)

    def x(k: int) -> float:
        return left + 20 + step * k if len(places) > 1 else (left + wide) / 2

    def y(value: float) -> float:
        return top + (tall - top - bottom) * (1 - min(max(value, 0), 1))

    parts = [_text(left, 13, title, "ink bold")]
    parts += _levels(left, wide - 6, y)
    parts += [_text(x(k), tall - bottom + 14, _short(name, 9), "faint middle small") for k, name in enumerate(places)]
    for series, points in lines.items():
        if joined and len(points) > 1:
            path = " ".join(f"{_n(x(k))},{_n(y(value))}" for k, (_, value) in enumerate(points))
            parts.append(f'<polyline class="s{series}" points="{path}"/>')
        for k, (name, value) in enumerate(points):
            told = f"<title>{escaped(f'{name}: {value:.3f}')}</title>"
            parts.append(f'<circle class="s{series}" cx="{_n(x(k))}" cy="{_n(y(value))}" r="3">{told}</circle>')
    return _svg(wide, tall, parts, f"Scores, {title}", "panel")


def reliability(bins: Iterable[Sequence[float]], series: int, title: str) -> str:
    """What was right of all that was said with some confidence, and beneath how many clips; the diagonal is perfect.

    Args:
        bins: (mean confidence, share that is right, number of clips) of each bin; empty ones are left out.
        series: its number.
        title: above it.
    """
    wide, tall, left, top, foot = 230, 262, 34, 24, 30
    side = wide - left - 10
    found = [(float(sure), float(right), int(count)) for sure, right, count in bins]
    most = max((count for *_, count in found), default=1)

    def x(value: float) -> float:
        return left + side * value

    def y(value: float) -> float:
        return top + (side - 10) * (1 - value)

    base = tall - foot
    parts = [_text(left, 13, title, "ink bold"), *_levels(left, left + side, y)]
    parts.append(_line(x(0), y(0), x(1), y(1), "axis dashed"))
    path = " ".join(f"{_n(x(sure))},{_n(y(right))}" for sure, right, _ in found)
    parts.append(f'<polyline class="s{series}" points="{path}"/>')
    for sure, right, count in found:
        told = f"<title>confidence {sure:.2f}, right {right:.2f}, {count} clips</title>"
        parts.append(f'<circle class="s{series}" cx="{_n(x(sure))}" cy="{_n(y(right))}" r="3">{told}</circle>')
        high = 22 * count / most
        parts.append(
            f'<rect class="s{series} soft" x="{_n(x(sure) - 4)}" y="{_n(base - high)}" width="8" height="{_n(high)}"/>'
        )
    parts.append(_line(left, base, left + side, base, "axis"))
    parts += [_text(x(value), base + 13, f"{value:g}", "faint middle small") for value in (0, 0.5, 1)]
    parts.append(_text(left + side / 2, tall - 4, "confidence", "faint middle small"))
    return _svg(wide, tall, parts, f"Reliability, {title}", "panel")


def heat(
    values: Sequence[Sequence[float | None]],
    marked: Sequence[Sequence[bool]],
    rows: Sequence[str],
    columns: Sequence[str],
    missing: str,
    label: str,
) -> str:
    """Differences as a table of shaded cells, gains and losses in two colours, a dot where they are marked.

    Args:
        values: a row for each of ``rows``; None: there is nothing, and ``missing`` is said.
        marked: of the same shape.
        rows, columns: their names.
        missing: what a cell without a value says.
        label: above it.
    """
    wide, tall, full = 74, 30, 0.15  # the difference at which the shade is full
    left, top = 6.6 * max(map(len, rows)) + 14, 0.72 * LETTER * max(map(len, columns)) + 52
    parts = [_text(8, 16, label, "ink bold")]
    for k, name in enumerate(columns):
        x = left + wide * (k + 0.5)
        parts.append(_text(x, top - 8, name, "ink", f'transform="rotate(-45 {_n(x)} {_n(top - 8)})"'))
    for j, name in enumerate(rows):
        y = top + tall * j
        parts.append(_text(left - 8, y + tall / 2 + 4, name, "ink end"))
        for k, value in enumerate(values[j]):
            box = f'x="{_n(left + wide * k + 1)}" y="{_n(y + 1)}" width="{wide - 2}" height="{tall - 2}"'
            at = left + wide * (k + 0.5), y + tall / 2 + 4
            if value is None:
                parts += [f'<rect class="missing" {box}/>', _text(*at, missing, "faint middle small")]
                continue
            share = min(abs(value) / full, 1)
            word = "gain" if value > 0 else "loss"
            parts.append(f'<rect class="{word}" {box} fill-opacity="{0.06 + 0.74 * share:.2f}"/>')
            parts.append(_text(*at, f"{value:+.3f}{' ●' if marked[j][k] else ''}", "ink middle"))
    width = left + wide * len(columns) + 0.72 * LETTER * len(columns[-1]) + 8
    return _svg(width, top + tall * len(rows) + 8, parts, label, "heat")


def standalone(element: str) -> str:
    """A chart as a file of its own, on white.

    Examples:
        >>> standalone(gain(0.1, 1, "gain")).startswith('<svg xmlns=')
        True
    """
    style = (
        "svg{background:#fff;font:11px system-ui,sans-serif}.ink{fill:#1b1d21}.faint{fill:#666b73}"
        ".small{font-size:9.5px}"
        ".bold{font-weight:600}.middle{text-anchor:middle}.end{text-anchor:end}.missing{fill:#eeeff1}.gain{fill:#0b6fb8}"
        ".loss{fill:#c2540a}.up{fill:#1f7a42}.down{fill:#b3362b}.axis{stroke:#8a9099}"
    )
    head, rest = element.split(">", 1)
    return f"{head.replace('<svg', NAMESPACE, 1)}><style>{style}</style>{rest}\n"


def _levels(left: float, right: float, y: Callable[[float], float]) -> list[str]:
    """Lines and figures at 0, a quarter, a half ..."""
    parts = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        level = y(value)
        parts.append(_line(left, level, right, level, "grid"))
        parts.append(_text(left - 5, level + 3.5, f"{value:g}", "faint end small"))
    return parts


def _densest(points: np.ndarray) -> tuple[float, float]:
    """The point whose third part of the others lies nearest to it; of up to 400 points."""
    some = points[np.linspace(0, len(points) - 1, min(400, len(points))).astype(int)]
    apart = np.square(some[:, None] - some).sum(-1)
    x, y = some[np.sort(apart, 1)[:, (len(some) - 1) // 3].argmin()]
    return float(x), float(y)


def _svg(width: float, height: float, parts: Sequence[str], label: str, kind: str) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg class="{kind}" {size} role="img" aria-label="{escaped(label)}">{"".join(parts)}</svg>'


def _line(x: float, y: float, u: float, v: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_n(x)}" y1="{_n(y)}" x2="{_n(u)}" y2="{_n(v)}"/>'


def _text(x: float, y: float, text: str, kind: str, more: str = "") -> str:
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}"{" " + more if more else ""}>{escaped(text)}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
