"""The parts of a report: scores, published figures, confusions, a map, neighbours, curves, settings; each as HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..inference.nearest import neighbours
from ..utils import settings as plain
from ..utils.errors import InputError
from ..viz import plots, svg
from ..viz.stick_figure import Figures
from ..viz.svg import escaped
from . import predictions, published
from .scores import DIFFERENCE, TRAINED, UNTRAINED, Contestant, Row, contestants, summary, verdicts

if TYPE_CHECKING:
    from .run import Rows

SERIES = 6  # contestants that have a colour
MAPPED = 1500  # test clips on a map
QUERIES, HITS, FRAMES = 6, 2, 8  # strips: test clips, training clips beside each, figures of each
MISTAKES = 10  # that are named
SAMPLED = 500  # clips by which a map is judged


class Section(NamedTuple):
    """A part of the page: its name in addresses, its heading, its HTML."""

    key: str
    title: str
    body: str


def verdict(rows: Rows) -> Section:
    """What was won and what was not, and what one should know of the clips."""
    said = "".join(f"<li>{escaped(sentence)}</li>" for sentence in verdicts(rows))
    return Section("verdict", "What it says", f'<ul class="said">{said}</ul>')


def scores(rows: Rows) -> Section:
    """Every figure of everybody, with intervals."""
    means, who = summary(rows), contestants(rows)
    keys = dict.fromkeys((mean["protocol"], mean["metric"], mean["higher_is_better"]) for mean in means)
    lines, before = [], ""
    for protocol, metric, higher in keys:
        own = {
            Contestant(mean["features"], mean["group"]): mean
            for mean in means
            if (mean["protocol"], mean["metric"]) == (protocol, metric)
        }
        best = None if higher is None else (max if higher else min)(mean["mean"] for mean in own.values())
        cells = "".join(_score(own.get(each), best) for each in who)
        shown = [
            svg.Mark(number % SERIES, own[each]["mean"], *(own[each]["interval"] or (None, None)))
            for number, each in enumerate(who)
            if each in own
        ]
        top = max(1.0, *(mark.high or mark.value for mark in shown))
        chart = svg.marks(shown, min(0.0, *(mark.value for mark in shown)), top, f"{protocol} {metric}")
        reach = f"<small>0 to {top:.3g}</small>" if top > 1 else ""
        notes = [protocol] * (protocol != before) + [{True: "", False: "lower is better", None: "only told"}[higher]]
        note = f"<small>{' · '.join(filter(None, notes))}</small>"
        new = ' class="new"' if before not in ("", protocol) else ""
        lines.append(f'<tr{new}><th scope="row">{escaped(metric)}{note}</th>{cells}<td>{chart}{reach}</td></tr>')
        before = protocol
    heads = "".join(f'<th class="n">{escaped(name)}</th>' for name in who.values())
    table = f"<thead><tr><th>score</th>{heads}<th>0 to 1</th></tr></thead><tbody>{''.join(lines)}</tbody>"
    note = (
        "Mean over runs, in brackets the largest run minus the smallest; beneath it a 95 % interval over test clips "
        "(bootstrap). The best of each line is bold. Encoders are those of the last epoch."
    )
    body = f'{_legend(who)}<div class="scroll"><table>{table}</table></div><p class="note">{note}</p>{_apart(rows)}'
    return Section("scores", "Scores", body)


def beside(rows: Rows) -> Section:
    """Published figures of the same data set, split and protocol."""
    known = published.of(rows.task)
    ours: dict[str, list[Row]] = {}
    for mean in summary(rows):
        if mean["features"] == TRAINED:
            ours.setdefault(f"{mean['protocol']} {mean['metric']}", []).append(mean)
    apply = [figure for figure in known.figures if figure.metric in ours]
    if not apply:
        why = known.why or (
            f"No published figure applies: those known for {known.title} are of other protocols "
            f"({', '.join(sorted({figure.metric for figure in known.figures}))})."
        )
        return Section("published", "Published figures", f"<p>{escaped(why)}</p>")
    sources = list(dict.fromkeys(figure.source for figure in apply))
    lines = []
    for metric in dict.fromkeys(figure.metric for figure in apply):
        for number, mean in enumerate(ours[metric]):
            head = f'<tr class="new"><th scope="row">{escaped(metric)}</th>' if number == 0 else "<tr><th></th>"
            who = mean["group"] if len(ours[metric]) > 1 else "this evaluation"
            lines.append(f'{head}<td>{escaped(who)}</td><td class="n best"><b>{100 * mean["mean"]:.1f}</b></td>')
            lines.append(f"<td>probe {escaped(mean['probe'])}</td></tr>")
        for figure in sorted((f for f in apply if f.metric == metric), key=lambda f: -f.percent):
            number = sources.index(figure.source) + 1
            lines.append(f'<tr><td></td><td>{escaped(figure.method)}</td><td class="n">{figure.percent:.1f}</td>')
            lines.append(f"<td>[{number}]</td></tr>")
    head = '<thead><tr><th>figure</th><th>method</th><th class="n">%</th><th>source</th></tr></thead>'
    listed = "".join(f"<li>[{number}] {escaped(source)}</li>" for number, source in enumerate(sources, 1))
    note = (
        "Published figures come from their authors' own classifiers, preprocessing and choice of epoch: a comparison "
        "is strict only where these are the same."
    )
    table = f'<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'
    body = f'<p>{escaped(known.title)}.</p>{table}<ul class="said note">{listed}</ul><p class="note">{note}</p>'
    return Section("published", "Published figures", body)


def confusion(rows: Rows) -> Section | None:
    """Which class was taken for which, and how classes fare with each contestant."""
    try:
        found = predictions.confusions(rows)
    except InputError:
        return None
    names = contestants(rows)
    first = next(iter(found))
    counts, classes, title = found[first]
    picture = svg.matrix(counts, classes, f"Confusion matrix of {names[first]}: {title}")
    right = {who: np.diag(each.counts) / np.maximum(each.counts.sum(1), 1) for who, each in found.items()}
    own, rest = right[first], [share for who, share in right.items() if who != first]
    apart = own - np.max(rest, 0) if rest else np.zeros(len(classes))
    most = max(0.1, float(np.abs(apart).max()))
    clips = counts.sum(1) // max(1, _times(counts, rows))
    lines = []
    for k in np.argsort(-apart, kind="stable").tolist():
        if not counts[k].sum():
            continue
        cells = "".join(f'<td class="n">{share[k]:.3f}</td>' for share in right.values())
        bar = (
            f'<td class="n">{apart[k]:+.3f}</td><td>{svg.gain(apart[k], most, f"{apart[k]:+.3f}")}</td>' if rest else ""
        )
        lines.append(f'<tr><th scope="row">{escaped(classes[k])}</th><td class="n">{clips[k]}</td>{cells}{bar}</tr>')
    heads = "".join(f'<th class="n">{escaped(names[who])}</th>' for who in right)
    heads += '<th class="n">ahead of<br>the best other</th><th></th>' if rest else ""
    table = f'<thead><tr><th>class</th><th class="n">clips</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody>'
    return Section(
        "confusion",
        "Classes",
        f'<p class="note">{escaped(title)}. Rows are true classes, columns what was said of {escaped(names[first])} '
        f'features; the shade is the share of the row.</p><div class="panels"><div class="scroll">{picture}</div>'
        f"{_mistakes(found, names)}</div>"
        f'<h3>Share right of each class</h3><div class="scroll"><table>{table}</table></div>',
    )


def maps(rows: Rows, models: Sequence[Any]) -> Section | None:
    """The test clips of the first run in the plane, and of its untrained encoder."""
    task, drawn = rows.task, []
    if len(task.test) < 4:
        return None
    classes = np.unique(task.labels[task.test])
    for model, word in _shown(rows, models):
        some = np.random.default_rng(0).permutation(task.test)[:MAPPED]
        some.sort()
        vectors = replace(task, model=model, name=word, _known={}).features(some)
        points = plots.tsne(vectors)
        numbers = np.searchsorted(classes, task.labels[some])
        names = [task.classes[k] for k in classes]
        titles = [f"{names[k]}: {task.store.ids[row]}" for k, row in zip(numbers.tolist(), some.tolist())]
        picture = svg.scatter(points, numbers, names, titles, f"Map of the test clips, {word}")
        kept = plots.kept_neighbours(_unit(vectors), points, np.arange(len(some))[:SAMPLED])
        caption = f"{word}: of each clip's {plots.NEAREST} nearest, {100 * kept:.0f} % are also near on this map"
        drawn.append(f"<figure>{picture}<figcaption>{escaped(caption)}</figcaption></figure>")
    if not drawn:
        return None
    shown = min(MAPPED, len(task.test))
    part = (
        f"{shown} of {len(task.test)} test clips, drawn at random" if shown < len(task.test) else f"{shown} test clips"
    )
    note = (
        f"t-SNE of the vectors of {part}; a name stands where most clips of its class are. Distances between groups "
        "mean little."
    )
    return Section("map", "Map", f'<p class="note">{escaped(note)}</p><div class="panels maps">{"".join(drawn)}</div>')


def strips(rows: Rows, models: Sequence[Any]) -> Section | None:
    """Test clips drawn at random with the training clips nearest to them, right and wrong ones."""
    task = rows.task
    for model, word in list(_shown(rows, models))[:1]:
        given = replace(task, model=model, name=word, _known={})
        train, test = given.features(task.train), given.features(task.test)
        near = neighbours(train, test, min(HITS, len(train)))
        same = task.labels[task.train][near[:, 0]] == task.labels[task.test]
        order = np.random.default_rng(0).permutation(len(test))
        wrong, right = ([k for k in order.tolist() if same[k] == kind] for kind in (False, True))
        half = QUERIES // 2
        chosen = right[: max(half, QUERIES - len(wrong))] + wrong[: max(half, QUERIES - len(right))]
        articles = []
        for k in chosen:
            hits = task.train[near[k]]
            cosines = _unit(train[near[k]]) @ _unit(test[k : k + 1])[0]
            articles.append(_article(task, int(task.test[k]), hits.tolist(), cosines.tolist()))
        note = (
            f"Test clips, drawn at random, and the {near.shape[1]} training clips nearest to each by cosine: "
            f"{same[chosen].sum()} whose nearest clip is of their class, {(~same[chosen]).sum()} whose nearest is not "
            f"(of all {len(same)} test clips: {same.sum()} and {(~same).sum()}). Left limbs blue, right ones orange."
        )
        return Section(
            "neighbours",
            "Nearest neighbours",
            f'<p class="note">{escaped(note)}</p><div class="strips">{"".join(articles)}</div>',
        )
    return None


def curves(rows: Rows) -> Section | None:
    """One panel for each metric that has a curve."""
    who = contestants(rows)
    told = [row for row in rows if "curve" in row]
    if not told:
        return None
    panels = []
    for protocol, metric in dict.fromkeys((row["protocol"], row["metric"]) for row in told):
        lines, joined = {}, True
        for number, each in enumerate(list(who)[:SERIES]):
            own = [row for row in told if (row["protocol"], row["metric"]) == (protocol, metric) and _is(row, each)]
            if not own:
                continue
            heights = np.mean([[score for _, score in row["curve"]] for row in own], 0).tolist()
            levels = [level for level, _ in own[0]["curve"]]
            joined = not any(isinstance(level, str) for level in levels)
            start = _clean(rows, protocol, each)
            points = [(_level(level), height) for level, height in zip(levels, heights)]
            lines[number] = [("as it is", start), *points] if start is not None else points
        across = next((row.get("across") or "" for row in told if row["metric"] == metric), "")
        caption = f"<figcaption>{escaped(across)}</figcaption>" if across else ""
        panels.append(f"<figure>{svg.curves(lines, metric, joined)}{caption}</figure>")
    note = "Trained on clips as they are, tested on altered ones; mean over runs and seeds."
    return Section(
        "robustness",
        "Robustness",
        f'<p class="note">{note}</p>{_legend(who)}<div class="panels curves">{"".join(panels)}</div>',
    )


def reliability(rows: Rows) -> Section | None:
    """One diagram for each contestant: of its first run."""
    panels = []
    for number, (each, name) in enumerate(contestants(rows).items()):
        row = next((row for row in rows if "reliability" in row and _is(row, each)), None)
        if row is not None:
            title = f"{name}, {row['metric']} {row['score']:.3f}"
            panels.append(f"<figure>{svg.reliability(row['reliability'], number % SERIES, title)}</figure>")
    if not panels:
        return None
    note = "What was right of all that was said with some confidence; on the diagonal it is as sure as it is right."
    return Section(
        "reliability", "Reliability", f'<p class="note">{note}</p><div class="panels">{"".join(panels)}</div>'
    )


def settings(rows: Rows, models: Sequence[Any], command: str) -> Section:
    """How it was made: clips, runs, classifiers, hashes, seconds."""
    store, row = rows.task.store, rows[0]
    known = {
        "store": store.path.name,
        "content (SHA-256)": store.hash,
        "layout": f"{store.layout.name}, {store.coords}-D, {len(store.layout)} joints",
        "split": f"{row['split']}: {row['train']} training clips, {row['test']} test clips, {row['classes']} classes",
        "shared by both sides": ", ".join(f"{n} test clips: {kind}" for kind, n in row["leaks"].items()) or "nothing",
        "clips without a label": str(row["unlabelled"]),
        "evaluation": f"{rows.seconds:.0f} s",
        **({"command": command} if command else {}),
    }
    parts = [_facts(known)]
    runs = [run for model in models for run in getattr(model, "models", [model]) if getattr(run, "card", None)]
    if runs:
        heads = (
            "run",
            "method",
            "encoder",
            "seed",
            "trained on",
            "steps",
            "training, s",
            "device",
            "weights (SHA-256)",
        )
        lines = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in _run(each))}</tr>" for each in runs)
        top = "".join(f"<th>{head}</th>" for head in heads)
        parts.append("<h3>Runs</h3>")
        parts.append(f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>')
        total = sum(each.card.get("seconds") or 0 for each in runs)
        parts.append(f'<p class="note">Training of all runs: {total:.0f} s.</p>')
    parts.append("<h3>Protocols</h3>" + _facts({name: _flat(values) for name, values in rows.settings.items()}))
    for group, run in _of_groups(rows, models).items():
        chosen = plain.flat(run.card.get("recipe", {})).items()
        listed = "".join(f"<li><span>{escaped(name)}</span> {escaped(_word(value))}</li>" for name, value in chosen)
        head = f"<summary>Settings of {escaped(group or 'the run')}</summary>"
        parts.append(f'<details>{head}<ul class="pairs">{listed}</ul></details>')
    return Section("settings", "Settings, hashes, cost", "".join(parts))


# ------------------------------------------------------------------------------------------------ pieces


def _score(mean: Row | None, best: float | None) -> str:
    if mean is None:
        return '<td class="n">-</td>'
    spread = f" ({mean['spread']:.3f})" if mean["n"] > 1 else ""
    under = "<small>{:.3f} to {:.3f}</small>".format(*mean["interval"]) if mean["interval"] else ""
    word = "n best" if mean["mean"] == best else "n"
    return f'<td class="{word}"><b>{mean["mean"]:.3f}</b>{spread}{under}</td>'


def _legend(who: Mapping[Contestant, str]) -> str:
    dot = '<svg viewBox="0 0 12 12"><circle class="s{}" cx="6" cy="6" r="4.5"/></svg>'
    listed = "".join(f"<li>{dot.format(k % SERIES)}{escaped(name)}</li>" for k, name in enumerate(who.values()))
    return f'<ul class="legend">{listed}</ul>'


def _apart(rows: Sequence[Row]) -> str:
    """Groups against each other, on the same test clips."""
    found = [row for row in rows if row["features"] == DIFFERENCE]
    if not found:
        return ""
    lines = "".join(
        f"<tr><td>{escaped(row['protocol'])} {escaped(row['metric'])}</td><td>{escaped(row['group'])} against "
        f'{escaped(row["other"])}</td><td class="n">{row["score"]:+.3f}</td>'
        f'<td class="n">{row["low"]:+.3f} to {row["high"]:+.3f}</td></tr>'
        for row in found
    )
    head = '<tr><th>score</th><th>groups</th><th class="n">difference</th><th class="n">95 % interval</th></tr>'
    table = f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>"
    return f'<h3>Groups against each other, paired over test clips</h3><div class="scroll">{table}</div>'


def _times(counts: np.ndarray, rows: Rows) -> int:
    """How often each test clip was counted: over runs and seeds."""
    return round(counts.sum() / max(1, len(rows.task.test)))


def _mistakes(found: Mapping[Contestant, predictions.Confusion], names: Mapping[Contestant, str]) -> str:
    """The most frequent mistakes of the first, with the share of clips that the others take so."""
    shares = {who: each.counts / np.maximum(each.counts.sum(1, keepdims=True), 1) for who, each in found.items()}
    counts, classes, _ = next(iter(found.values()))
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    lines = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES].tolist():
        true, said = divmod(place, len(counts))
        if wrong[true, said]:
            cells = "".join(f'<td class="n">{100 * share[true, said]:.0f} %</td>' for share in shares.values())
            pair = "".join(f'<td class="word">{escaped(classes[k])}</td>' for k in (true, said))
            lines.append(f"<tr>{pair}{cells}</tr>")
    if not lines:
        return ""
    heads = "".join(f'<th class="n">{escaped(names[who])}</th>' for who in shares)
    head = f"<thead><tr><th>true class</th><th>taken for</th>{heads}</tr></thead>"
    table = f'<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'
    return f"<div><h3>Most frequent mistakes, share of the true class</h3>{table}</div>"


def _shown(rows: Rows, models: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """The first model and, where it was scored, its untrained self, with words for them."""
    if not models:
        return
    name = next((row["group"] for row in rows if row["features"] == TRAINED), "")
    yield models[0], f"{name}, trained" if name else "trained"
    if any(row["features"] == UNTRAINED for row in rows):
        yield models[0].untrained(), "untrained"


def _article(task: Any, query: int, hits: Sequence[int], cosines: Sequence[float]) -> str:
    """A test clip and those nearest to it, on one scale."""
    clips = [task.store.motion(row) for row in (query, *hits)]
    figures: list[Figures | None] = []
    for clip in clips:
        try:
            figures.append(Figures(clip, FRAMES))
        except InputError:  # nobody is seen in it
            figures.append(None)
    seen = [each for each in figures if each is not None]
    label, parts = task.labels[query], []
    for k, (row, clip, drawn) in enumerate(zip((query, *hits), clips, figures)):
        name = task.classes[task.labels[row]]
        kind = "" if k == 0 else ' class="same"' if task.labels[row] == label else ' class="other"'
        what = ["test clip"] if k == 0 else [f"{cosines[k - 1]:.3f}"]
        what += [f"{word} {value}" for word in ("subject", "camera") if (value := getattr(clip, word)) is not None]
        said = " ".join(f"<span>{escaped(word)}</span>" for word in what)
        mark = "" if k == 0 else "same: " if task.labels[row] == label else "other: "
        parts.append(f"<p><b{kind}>{escaped(mark + name)}</b>{said}</p>")
        if drawn is not None:
            slot = max(each.slot for each in seen)
            low, high = min(each.low for each in seen) - 0.03, max(each.high for each in seen)
            parts.append(svg.strip(drawn, slot, low, high, f"{name}, clip {task.store.ids[row]}"))
        else:
            parts.append('<p class="note">nobody is seen in this clip</p>')
    return f"<article>{''.join(parts)}</article>"


def _is(row: Row, who: Contestant) -> bool:
    return row["features"] == who.features and row.get("group", "") == who.group


def _clean(rows: Rows, protocol: str, who: Contestant) -> float | None:
    """The score without any alteration: of the metric of a protocol with curves that has none itself."""
    found = [row["score"] for row in rows if row["protocol"] == protocol and "curve" not in row and _is(row, who)]
    return float(np.mean(found)) if found else None


def _level(level: Any) -> str:
    return f"{level:g}" if isinstance(level, (int, float)) else str(level)


def _facts(known: Mapping[str, str]) -> str:
    lines = "".join(
        f'<tr><th scope="row">{escaped(k)}</th><td><code>{escaped(v)}</code></td></tr>' for k, v in known.items()
    )
    return f'<div class="scroll"><table class="facts-table"><tbody>{lines}</tbody></table></div>'


def _run(run: Any) -> list[str]:
    card = run.card
    where = ", ".join(str(store.get("name")) for store in card.get("stores", []))
    trained = f"{card.get('clips', '?')} clips of {where}" + (f", {card['split']}" if card.get("split") else "")
    seconds = card.get("seconds")
    return [
        run.path.name if run.path else "",
        str(card.get("method", "")),
        str(card.get("encoder", "")),
        str(card.get("seed", "")),
        trained,
        str(card.get("steps", "")),
        "" if seconds is None else f"{seconds:.0f}",
        str(card.get("device", "")),
        str(run.hash)[:16],
    ]


def _of_groups(rows: Rows, models: Sequence[Any]) -> dict[str, Any]:
    """The first run of each group."""
    found: dict[str, Any] = {}
    named = {row["run"]: row["group"] for row in rows if row["features"] == TRAINED}
    for model in models:
        if getattr(model, "card", None) and str(model.path) in named:
            found.setdefault(named[str(model.path)], model)
    return found


def _flat(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_word(value)}" for name, value in plain.flat(values).items()) or "none"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
