"""A report of an evaluation: one page of HTML that needs nothing else, or a table in Markdown."""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..utils.errors import InputError
from ..utils.files import atomic
from ..viz.svg import HUES, escaped
from . import sections
from .scores import TRAINED, Contestant, contestants, summary, verdicts
from .sections import Section

if TYPE_CHECKING:
    from .run import Rows

PAGE = Path(__file__).with_name("report.html")
KINDS = (".html", ".md")


def write(rows: Rows, path: str | os.PathLike, models: Sequence[Any] = (), command: str = "") -> None:
    """Write what an evaluation found.

    As HTML: scores beside published figures of the same split, confusions and classes, a map of the test clips with
    class names, stick figures of nearest neighbours, curves and reliability diagrams where protocols made them,
    settings, hashes and seconds; charts are SVG inside the page, and nothing is loaded from elsewhere. As Markdown:
    the table of scores and what it says.

    Args:
        rows: what :func:`kineme.evaluate` gives.
        path: ends with ``.html`` or ``.md``.
        models: the opened runs that were scored; without them there are no map, neighbours and hashes.
        command: what was typed, to be told.

    Raises:
        InputError: another ending.

    Examples:
        >>> from kineme.evaluation import report
        >>> rows = kineme.evaluate(model, store, ["knn"])
        >>> report.write(rows, "report.html", [model])
    """
    kind = check(path)
    text = page(rows, models, command) if kind == ".html" else markdown(rows)
    with atomic(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check(path: str | os.PathLike) -> str:
    """The ending of a report's name.

    Raises:
        InputError: another than those that can be written.
    """
    kind = Path(path).suffix.lower()
    if kind not in KINDS:
        raise InputError(path, f"a report of kind {kind!r}", "a name that ends with .html or .md")
    return kind


def page(rows: Rows, models: Sequence[Any] = (), command: str = "") -> str:
    """The report as HTML."""
    first, task = rows[0], rows.task
    groups = list(dict.fromkeys(row["group"] for row in rows if row["features"] == TRAINED))
    title = f"{' and '.join(groups) or 'Hand-crafted features'} on {task.store.path.name}, {first['split']}"
    found = [
        sections.verdict(rows),
        sections.scores(rows),
        sections.beside(rows),
        sections.confusion(rows),
        _tried(sections.maps, rows, models),
        _tried(sections.strips, rows, models),
        sections.curves(rows),
        sections.reliability(rows),
        sections.settings(rows, models, command),
    ]
    parts = [each for each in found if each is not None]
    facts = {
        "training clips": f"{first['train']:,}",
        "test clips": f"{first['test']:,}",
        "classes": str(first["classes"]),
        "runs": str(len({row["training"] for row in rows if row["features"] == TRAINED})),
        "skeleton": f"{task.store.layout.name}, {task.store.coords}-D",
    }
    shown = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in facts.items())
    links = "".join(f'<a href="#{each.key}">{escaped(each.title)}</a>' for each in parts)
    body = "".join(f'<section id="{each.key}"><h2>{escaped(each.title)}</h2>{each.body}</section>\n' for each in parts)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = f'<header><h1>{escaped(title)}</h1><dl class="facts">{shown}</dl><nav>{links}</nav></header>\n'
    foot = f"<footer>kineme {__version__}, {when}. Scores of every run: <code>--json</code>.</footer>"
    hues = "\n".join(
        [f"svg .s{k} {{ fill: var(--s{k}); stroke: var(--s{k}); }}" for k in range(sections.SERIES)]
        + [f"svg .k{k} {{ fill: var(--k{k}); }}" for k in range(HUES)]
    )
    template = string.Template(PAGE.read_text(encoding="utf-8"))
    return template.substitute(title=escaped(title), hues=hues, body=f"{head}<main>\n{body}</main>\n{foot}")


def _tried(make: Callable[..., Section | None], rows: Rows, models: Sequence[Any]) -> Section | None:
    """A part that vectors are needed for, or why it is not there: hours of scores are not lost with it."""
    try:
        return make(rows, models)
    except InputError as error:
        return Section(make.__name__, make.__name__.capitalize(), f"<p>Left out: {escaped(error)}.</p>")


def markdown(rows: Rows) -> str:
    """The scores as a table in Markdown, and beneath it what they say."""
    means, who = summary(rows), contestants(rows)
    lines = [
        f"# {_cell(rows.task.store.path.name)}, {_cell(rows[0]['split'])}",
        "",
        "{train} training clips, {test} test clips, {classes} classes. Mean over runs [95 % interval over test clips] "
        "(largest minus smallest).".format(**rows[0]),
        "",
        f"| score | {' | '.join(map(_cell, who.values()))} |",
        f"|---|{'---|' * len(who)}",
    ]
    for key in dict.fromkeys(tuple(mean[name] for name in ("protocol", "metric")) for mean in means):
        own = {
            Contestant(mean["features"], mean["group"]): mean
            for mean in means
            if (mean["protocol"], mean["metric"]) == key
        }
        lines.append(f"| {_cell(' '.join(key))} | {' | '.join(_figure(own.get(each)) for each in who)} |")
    return "\n".join([*lines, "", *(f"* {_cell(said)}" for said in verdicts(rows))]) + "\n"


def _figure(mean: Any) -> str:
    if mean is None:
        return "-"
    between = " [{:.3f}, {:.3f}]".format(*mean["interval"]) if mean["interval"] else ""
    return f"{mean['mean']:.3f}{between}" + (f" ({mean['spread']:.3f})" if mean["n"] > 1 else "")


def _cell(text: str) -> str:
    """Text that neither ends a cell nor is taken for a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
