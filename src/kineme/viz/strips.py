"""Motion drawn: strips of stick figures, animations, a clip beside its nearest, a training curve, a map of vectors.

What a figure looks like stands in :mod:`kineme.viz.stick_figure`. Pictures are ``.png``, ``.svg`` or ``.pdf``,
animations ``.gif``. Nothing here touches matplotlib's global state, so it can be called from a notebook,
a server or a thread.

Examples:
    >>> kineme.draw.strip(motion, "strip.png", title="one clip")
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from .. import io
from ..motion.motion import Motion
from ..utils import files
from ..utils.errors import InputError
from .stick_figure import INK, PALE, UNSEEN, Figures, Line, ink

BLACK, GREY, SAME, OTHER = "#1d1e22", "#6b6e76", "#23763f", "#b3362b"
MARKS = "os^DvPX*"  # of a map: ten classes have one shape in ten colours, the next ten another
CURVES = ("#2b7bba", "#e0642c", "#3f9467", "#8a62b0", "#a8862a", "#6b6e76")
FRAMES = 8  # figures of a strip
LEGEND = 0.2  # inches at the bottom of a page
INCH, DPI = 1.25, 110  # inches that a body's height takes
TIME, TITLE, LOST = (
    0.13,
    0.17,
    0.09,
)  # room for the time beneath a figure, for a title above, for a line on unseen frames; in heights of the body
LETTER, LETTERS = 0.097, 26  # inches that a letter takes beside a strip, and how many there are at most
FPS, MOST_FPS = 20, 50  # of an animation, unless asked otherwise; browsers slow down what is faster


# ------------------------------------------------------------------------------------------------ pictures


def strip(motion: Motion | str | Path, to: str | Path | Axes, frames: int = FRAMES, title: str = "") -> None:
    """One movement as a row of figures, with the time beneath and what the colours mean.

    The frames are chosen so that about as much movement lies between any two. A figure stands in the middle of its
    place, whichever way the body travels; its height above the floor is kept. Frames in which nobody is seen are
    counted between the figures.

    Args:
        motion: any motion, or the path of a file that holds one.
        to: picture to write, or axes to draw into.
        frames: how many figures; fewer if the motion is shorter.
        title: above the row.

    Raises:
        InputError: ``frames`` below 1, no joint seen at all, a file name of another kind.

    Examples:
        >>> kineme.draw.strip(motion, "strip.png", frames=6)
    """
    figures = Figures(_motion(motion), frames)
    if isinstance(to, Axes):
        _row(to, figures, title=title)
    else:
        _page([figures], [[]], [BLACK], to, title)


def grid(
    motions: Sequence[Motion | str | Path],
    path: str | Path,
    titles: Sequence[str | Sequence[str]] = (),
    frames: int = FRAMES,
) -> None:
    """Several movements, one strip under the other, each with its title to the left: a line or several, by default its
    label.

    Examples:
        >>> kineme.draw.grid([motion, motion.mirror()], "grid.png", titles=["seen", "mirrored"])
    """
    clips = [_motion(motion) for motion in motions]
    given = titles or [str(clip.label or clip.source) for clip in clips]
    words = [[title] if isinstance(title, str) else title for title in given]
    _page([Figures(clip, frames) for clip in clips], words, [BLACK] * len(clips), path)


def neighbours(
    query: Motion | str | Path,
    hits: Sequence[tuple[Motion | str | Path, float]],
    path: str | Path,
    titles: Sequence[str] = (),
    frames: int = FRAMES,
) -> None:
    """A clip and those nearest to it, one strip under the other, with label, similarity, subject and camera.

    The label of a hit is green where it is the query's, red where it is another.

    Args:
        query: the clip that was asked for.
        hits: (clip, similarity), nearest first.
        path: picture to write.
        titles: what stands in the place of the labels, query first.
        frames: figures of each row.

    Examples:
        >>> kineme.draw.neighbours(motion, [(store.motion(1), 0.9)], "neighbours.png")
    """
    clips = [_motion(query), *(_motion(clip) for clip, _ in hits)]
    asked = clips[0].label
    named = [clip.label or (f"nearest {place}" if place else "query") for place, clip in enumerate(clips)]
    said = ["query" if titles or asked else "", *(f"similarity {similarity:.3f}" for _, similarity in hits)]
    words = [
        [text for text in (label, what, _who(clip)) if text] for label, what, clip in zip(titles or named, said, clips)
    ]
    inks = [
        BLACK,
        *(BLACK if None in (asked, clip.label) else SAME if clip.label == asked else OTHER for clip in clips[1:]),
    ]
    _page([Figures(clip, frames) for clip in clips], words, inks, path, apart=True)


def gif(
    motion: Motion | str | Path | Sequence[Motion | str | Path],
    path: str | Path,
    fps: float = FPS,
    columns: int = 4,
    size: int = 150,
) -> None:
    """An animation of one movement, or of several side by side, each with its label, that runs for ever.

    The camera follows the body; its shadow and its height above the floor stay. Shorter motions wait for the longest;
    what is longer than ``figures.LONGEST`` frames is cut.

    Args:
        motion: what to show.
        path: ``.gif`` to write.
        fps: of the animation, at most ``MOST_FPS``; a motion without a rate is shown frame by frame.
        columns: how many stand side by side.
        size: pixels for the height of a body.

    Raises:
        InputError: no motion, no joint seen at all, another file name, a rate that is not positive.

    Examples:
        >>> kineme.draw.gif(motion.slice(0, 10), "clip.gif")
    """
    motions = [_motion(each) for each in ([motion] if isinstance(motion, (Motion, str, Path)) else motion)]
    if not motions or Path(path).suffix.lower() != ".gif" or not fps > 0:
        raise InputError(
            path,
            f"an animation of {len(motions)} motions, {fps} frames a second",
            "one motion or more, a rate above 0, and a name that ends with .gif",
        )
    wait = max(100 // MOST_FPS, round(100 / fps))  # hundredths of a second, as the format counts
    panels = [Figures(each.resample(100 / wait) if each.fps else each) for each in motions]
    labels = [str(each.label or each.source) for each in motions]
    palette = _palette()
    images = [
        image.quantize(palette=palette, dither=Image.Dither.NONE)
        for image in _film(panels, labels, min(columns, len(panels)), size)
    ]
    with files.atomic(path) as temporary:
        images[0].save(temporary, "GIF", save_all=True, append_images=images[1:], duration=10 * wait, loop=0)


def _motion(what: Any) -> Motion:
    """A motion, or the one that a file holds."""
    if isinstance(what, Motion):
        return what
    if isinstance(what, (str, os.PathLike)):
        return io.read(what)
    raise InputError("motion", f"a {type(what).__name__}", "a motion, or the path of a file that holds one")


# ------------------------------------------------------------------------------------------------ pages


def _paint(axes: Axes, lines: Iterable[Line]) -> LineCollection:
    """Draw lines whose widths are in the units of the axes; these have their limits and one scale for x and y."""
    ends, inks, widths = zip(*lines)
    box, (left, right), (low, high) = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    points = min(box.width / (right - left), box.height / (high - low)) * 72 / axes.figure.dpi
    drawn = LineCollection(
        ends, colors=inks, linewidths=points * np.array(widths), capstyle="round", clip_on=False, snap=False
    )
    axes.add_collection(drawn, autolim=False)
    return drawn


def _row(axes: Axes, figures: Figures, slot: float | None = None, places: int | None = None, title: str = "") -> None:
    """A strip into axes: ``places`` places of width ``slot``, the figures in the first of them."""
    slot, places = slot or figures.slot, places or len(figures.at)
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(0, slot * places)
    axes.set_ylim(figures.low - _foot(figures), figures.high + (TITLE if title else 0))
    axes.plot([0, slot * len(figures.at)], [0, 0], color=PALE, linewidth=0.8, zorder=0, solid_capstyle="butt")
    middles = slot * (np.arange(len(figures.at)) + 0.5)
    _paint(axes, itertools.chain.from_iterable(figures.lines(k, x) for k, x in enumerate(middles)))
    for k, (x, frame) in enumerate(zip(middles, figures.at)):
        time = f"{frame / figures.fps:.1f} s" if figures.fps else f"{frame}" if k else f"frame {frame}"
        axes.text(x, figures.low - 0.03, time, color=GREY, fontsize=6.5, ha="center", va="top")
        if not figures.seen[k].any():
            axes.text(x, 0.5, "nobody", color=GREY, fontsize=6.5, ha="center")
    for k, lost in enumerate(figures.lost):
        side = "left" if k == 0 else "right" if k == len(figures.at) else "center"
        if lost:
            level = figures.low - 0.03 - LOST
            axes.text(slot * k, level, f"{lost} unseen", color=OTHER, fontsize=5.5, ha=side, va="top")
    if title:
        axes.text(
            0.02,
            figures.high + TITLE,
            _short(title),
            color=BLACK,
            fontsize=10,
            weight="bold",
            va="top",
            parse_math=False,
        )


def _foot(figures: Figures) -> float:
    """Room beneath a strip."""
    return TIME + (LOST if figures.lost.any() else 0)


def _page(
    rows: Sequence[Figures],
    words: Sequence[Sequence[str]],
    inks: Sequence[str],
    path: str | Path,
    title: str = "",
    apart: bool = False,
) -> None:
    """Strips one under the other on one scale.

    Args:
        words: lines of text to the left of each strip.
        inks: colours of their first lines.
        path: picture to write.
        title: above each strip.
        apart: leave room between them, and draw a line under the first.
    """
    if not rows:
        raise InputError(path, "no motion", "one or more")
    slot, places = max(row.slot for row in rows), max(len(row.at) for row in rows)
    letters = max((len(_short(line)) for said in words for line in said[:1]), default=0)
    margin, gap = (max(0.22 + LETTER * letters, 1.4 if apart else 0) if letters else 0.1), 0.16 if apart else 0.06
    heights = [INCH * (row.high - row.low + _foot(row) + (TITLE if title else 0)) for row in rows]
    width, height = margin + INCH * slot * places + 0.1, sum(heights) + gap * (len(rows) + 1) + LEGEND
    figure, top = Figure((width, height), dpi=DPI), height
    first: dict[str, Any] = {"fontsize": 10, "weight": "bold"}
    for number, (row, said, ink_of_first, tall) in enumerate(zip(rows, words, inks, heights)):
        top -= gap + tall
        box = margin / width, top / height, 1 - (margin + 0.1) / width, tall / height
        _row(figure.add_axes(box), row, slot, places, title)
        for line, text in enumerate(said):
            style = {"fontsize": 7.5, "color": GREY} if line else {**first, "color": ink_of_first}
            level = top + tall / 2 + (0.22 if len(said) > 1 else 0) - 0.18 * line
            figure.text(0.12 / width, level / height, _short(text), va="center", parse_math=False, **style)
        if apart and number == 0:
            level = (top - gap / 2) / height
            figure.add_artist(Line2D([0.12 / width, 1 - 0.1 / width], [level] * 2, color=GREY, linewidth=0.6))
    _legend(figure, rows)
    _save(figure, path)


def _legend(figure: Figure, rows: Iterable[Figures]) -> None:
    """What the colours mean, at the bottom on the left."""
    said = {word: colour for row in rows for word, colour in row.sides().items()}
    width, height = figure.get_size_inches()
    at, level = 0.12, 0.5 * LEGEND / height
    for word, colour in said.items():
        line = [at / width, (at + 0.16) / width]
        figure.add_artist(Line2D(line, [level] * 2, color=colour, linewidth=2.5, solid_capstyle="round"))
        figure.text((at + 0.22) / width, level, word, color=GREY, fontsize=6.5, va="center")
        at += 0.36 + 0.06 * len(word)


def _film(panels: Sequence[Figures], labels: Sequence[str], columns: int, size: int) -> Iterator[Image.Image]:
    """The frames of an animation, panels in rows of ``columns``, ``size`` pixels for the height of a body."""
    rows, width = -(-len(panels) // columns), max(panel.slot for panel in panels)
    low, high = min(panel.low for panel in panels) - 0.04, max(panel.high for panel in panels) + TITLE
    wide, tall = columns * width * size / DPI, rows * (high - low) * size / DPI + LEGEND
    figure = Figure((wide, tall), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    _legend(figure, panels)
    axes = figure.add_axes((0, LEGEND / tall, 1, 1 - LEGEND / tall))
    axes.set_axis_off()
    axes.set_xlim(0, columns * width)
    axes.set_ylim(0, rows * (high - low))
    places = [
        ((number % columns + 0.5) * width, (rows - 1 - number // columns) * (high - low) - low)
        for number in range(len(panels))
    ]
    for (x, y), label in zip(places, labels):
        axes.text(x, y + high - 0.02, _short(label), color=GREY, fontsize=8, ha="center", va="top", parse_math=False)
    nobody = [axes.text(x, y + 0.5, "nobody", color=GREY, fontsize=8, ha="center") for x, y in places]
    for frame in range(max(len(panel.at) for panel in panels)):
        drawn = _paint(
            axes,
            itertools.chain.from_iterable(
                panel.lines(min(frame, len(panel.at) - 1), x, y) for panel, (x, y) in zip(panels, places)
            ),
        )
        for panel, word in zip(panels, nobody):
            word.set_visible(not panel.seen[min(frame, len(panel.at) - 1)].any())
        canvas.draw()
        yield Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])
        drawn.remove()


def _palette() -> Image.Image:
    """Our colours in steps to white, shared by all frames of an animation, so that none flickers."""
    inks = np.array([to_rgb(GREY), PALE, UNSEEN, *(ink(side, person) for side in INK for person in (0, 1))])
    steps = np.linspace(0, 1, 13)[1:, None, None]
    colours = (255 * (1 - steps * (1 - inks))).round().astype(int).reshape(-1, 3)
    colours = colours[colours.min(1) < 245]  # the search for the nearest is too coarse to tell lighter ones from white
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *colours.reshape(-1).tolist()])
    return palette


def _save(figure: Figure, path: str | Path) -> None:
    """Write a picture whole or not at all; the ending of its name says what kind."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg", "pdf"):
        raise InputError(path, f"a picture of kind {kind!r}", "a name that ends with .png, .svg or .pdf")
    figure.set_facecolor("white")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font has not: drawn as boxes
        with files.atomic(path) as temporary:
            figure.savefig(temporary, format=kind)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _who(clip: Motion) -> str:
    who = [f"{name} {value}" for name in ("subject", "camera") if (value := getattr(clip, name)) is not None]
    return ", ".join(who) or clip.source
