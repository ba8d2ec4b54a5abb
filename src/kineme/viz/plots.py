"""Plots: training curves, t-SNE, maps of an embedding."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..utils.errors import InputError
from .stick_figure import PALE
from .strips import BLACK, CURVES, DPI, GREY, MARKS, _save, _short

NEAREST = 10  # neighbours by which a map is judged


def training_curve(
    logs: Mapping[str, Iterable[Mapping[str, Any]]] | str | Path, path: str | Path, key: str = "loss"
) -> None:
    """A logged value over epochs, one line for each training; without the epochs in which its queue of keys was still
    filling, unless there are no others.

    Args:
        logs: name of a training -> the lines of its log; or the folder of one run.
        path: picture to write.
        key: which value.

    Raises:
        InputError: no line has it.
    """
    if not isinstance(logs, Mapping):
        text = (Path(logs) / "log.jsonl").read_text(encoding="utf-8")
        logs = {Path(logs).name: [json.loads(line) for line in text.splitlines()]}
    told = {name: [line for line in lines if key in line] for name, lines in logs.items()}
    told = {name: [line for line in lines if not line.get("filling")] or lines for name, lines in told.items()}
    known = {name: [(line["epoch"] + 1, line[key]) for line in lines] for name, lines in told.items()}
    if not any(known.values()):
        raise InputError("log", f"no line with {key!r}", "lines of a training's log.jsonl")
    figure = Figure((6, 3.2), layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(known.items()):
        at, values = np.array(points, float).reshape(-1, 2).T
        axes.plot(
            at,
            values,
            color=CURVES[number % len(CURVES)],
            linewidth=1.6,
            label=name,
            marker="o" if len(at) < 3 else "",
            markersize=4,
        )
    axes.set_xlabel("epoch", color=GREY)
    axes.set_ylabel(key, color=GREY, parse_math=False)
    axes.tick_params(colors=GREY, length=3)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(known) > 1:
        axes.legend(frameon=False, labelcolor=GREY)
    _save(figure, path)


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Vectors laid into the plane so that neighbours stay neighbours: t-SNE (van der Maaten, Hinton 2008) of their
    directions, begun from their two main axes. Distances between groups mean little.

    Args:
        features: ``[N, D]``, at least four.

    Returns:
        float32 ``[N, 2]``
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(features) < 4:
        raise InputError("map", f"{len(features)} vectors", "at least 4")
    lengths = np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    few = PCA(min(50, *features.shape), svd_solver="randomized", random_state=seed).fit_transform(features / lengths)
    perplexity = min(30, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(few)


def kept_neighbours(vectors: np.ndarray, points: np.ndarray, rows: np.ndarray) -> float:
    """Of the 10 nearest of some vectors, the share that is among their 10 nearest on a map: how far it can be believed.

    Args:
        vectors: unit vectors ``[N, D]``.
        points: ``[N, 2]``, their places.
        rows: int ``[n]``, those that are asked.
    """
    k = min(NEAREST, len(vectors) - 1)
    if k < 1:
        return 1.0
    flat = points.astype(np.float64)
    shared = []
    for row in rows.tolist():
        by_vector = vectors @ vectors[row]
        by_place = -np.square(flat - flat[row]).sum(1)
        by_vector[row] = by_place[row] = -np.inf
        shared.append(len(np.intersect1d(np.argpartition(-by_vector, k)[:k], np.argpartition(-by_place, k)[:k])) / k)
    return float(np.mean(shared))


def embedding_map(
    points: np.ndarray, labels: Sequence[str | None], path: str | Path, title: str = "", pale: np.ndarray | None = None
) -> None:
    """A map: one mark for each clip, its colour and shape the class.

    Args:
        points: ``[N, 2]``, e.g. from :func:`plane`.
        labels: names; clips without one are grey dots.
        path: picture to write.
        title: what is shown.
        pale: bool ``[N]``: clips drawn small and pale, e.g. those of the training part.

    Raises:
        InputError: not as many labels as points.
    """
    if len(labels) != len(points):
        raise InputError("map", f"{len(labels)} labels", f"one for each of {len(points)} points")
    pale = np.zeros(len(points), bool) if pale is None else np.asarray(pale, bool)
    names, owner = sorted({name for name in labels if name is not None}), np.array(labels, object)
    inks: Sequence[Any] = colormaps["tab10"].colors  # type: ignore[attr-defined] # a list of colours
    figure = Figure((8.2, 5.6), layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    axes.set_title(title, color=BLACK, fontsize=10)
    x, y = points[np.array([name is None for name in labels], bool)].T
    axes.scatter(x, y, 8, color=PALE, linewidths=0)
    for number, name in enumerate(names):
        mine, colour, shape = owner == name, inks[number % len(inks)], MARKS[number // len(inks) % len(MARKS)]
        for some, size, alpha, word in ((mine & pale, 10, 0.22, None), (mine & ~pale, 20, 0.9, _short(name))):
            x, y = points[some].T
            axes.scatter(x, y, size, color=colour, marker=shape, linewidths=0, alpha=alpha, label=word)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(PALE)
    if names:
        figure.legend(
            loc="outside right center", frameon=False, labelcolor=GREY, fontsize=8, ncols=-(-len(names) // 24)
        )
    _save(figure, path)


def confusion(counts: np.ndarray, classes: Sequence[str], path: str | Path, title: str = "") -> None:
    """A confusion matrix: a row for each true class, shaded by its share of the row, with the numbers of clips.

    Args:
        counts: ``[K, K]``, true class, predicted class.
        classes: K names.
        path: picture to write.
        title: what is shown.

    Raises:
        InputError: counts and names that do not fit.
    """
    if counts.shape != (len(classes), len(classes)):
        raise InputError("confusion", f"counts of shape {counts.shape}", f"{len(classes)} x {len(classes)} classes")
    many = len(classes)
    side = min(14.0, max(4.2, 0.36 * many + 2.0))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure((side + 1.2, side), layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    axes.set_title(title, color=BLACK, fontsize=10)
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_short(name) for name in classes]
    axes.set_xticks(range(many), names, rotation=90, fontsize=7, color=GREY)
    axes.set_yticks(range(many), names, fontsize=7, color=GREY)
    axes.set_xlabel("predicted", color=GREY)
    axes.set_ylabel("true", color=GREY)
    axes.tick_params(length=0)
    axes.spines[:].set_color(PALE)
    if many <= 30:
        for row, column in zip(*counts.nonzero()):
            ink = "white" if shares[row, column] > 0.5 else BLACK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=6, color=ink)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.04)
    bar.set_label("share of the class", color=GREY)
    bar.ax.tick_params(colors=GREY, labelsize=7)
    _save(figure, path)


def lines(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float | str, float]]]],
    path: str | Path,
    title: str = "",
    across: Mapping[str, str] | None = None,
    score: str = "accuracy",
) -> None:
    """Panels of curves, one panel for each quantity that is varied.

    Args:
        curves: panel -> name of a line -> points (value, score); values may be words.
        path: picture to write.
        title: what is shown.
        across: panel -> what its values are.
        score: what the height is.
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure((3.4 * columns, 2.7 * rows + 0.5), layout="constrained", dpi=DPI)
    figure.suptitle(title, color=BLACK, fontsize=10)
    drawn: dict[str, Any] = {}
    for number, (panel, lines_) in enumerate(curves.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        for place, (name, points) in enumerate(lines_.items()):
            at = [point[0] for point in points]
            worded = any(isinstance(value, str) for value in at)
            style = {"linestyle": ""} if worded else {"linewidth": 1.6}
            (drawn[name],) = axes.plot(
                at, [point[1] for point in points], marker="o", markersize=4, color=CURVES[place % len(CURVES)], **style
            )
            if worded:
                axes.tick_params(axis="x", rotation=40)
        axes.set_title(panel, color=BLACK, fontsize=9)
        axes.set_xlabel((across or {}).get(panel, ""), color=GREY, fontsize=8)
        axes.set_ylabel(score, color=GREY, fontsize=8)
        axes.set_ylim(0, 1)
        axes.tick_params(colors=GREY, length=3, labelsize=7)
        axes.grid(axis="y", color=PALE, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(PALE)
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=3, frameon=False, labelcolor=GREY)
    _save(figure, path)


def reliability(bins: Mapping[str, Sequence[tuple[float, float, int]]], path: str | Path, title: str = "") -> None:
    """Reliability diagrams (DeGroot and Fienberg 1983): what was right of all that was said with some confidence; the
    diagonal is perfect. Beneath, how many clips were judged so.

    Args:
        bins: name -> (mean confidence, share that is right, number of clips) of each bin; empty ones are left out.
        path: picture to write.
        title: what is shown.
    """
    figure = Figure((3.2 * len(bins), 4.2), layout="constrained", dpi=DPI)
    figure.suptitle(title, color=BLACK, fontsize=10)
    for number, (name, found) in enumerate(bins.items()):
        confidence, right, count = np.array(found, float).reshape(-1, 3).T
        axes = figure.add_subplot(4, len(bins), (number + 1, number + 1 + 2 * len(bins)))
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        axes.plot(confidence, right, marker="o", markersize=4, linewidth=1.4, color=CURVES[number % len(CURVES)])
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_title(name, color=BLACK, fontsize=9)
        axes.set_ylabel("share right", color=GREY, fontsize=8)
        below = figure.add_subplot(4, len(bins), number + 1 + 3 * len(bins))
        below.bar(confidence, count, width=0.04, color=CURVES[number % len(CURVES)])
        below.set_xlim(0, 1)
        below.set_xlabel("confidence", color=GREY, fontsize=8)
        below.set_ylabel("clips", color=GREY, fontsize=8)
        for each in (axes, below):
            each.tick_params(colors=GREY, length=3, labelsize=7)
            each.spines[["top", "right"]].set_visible(False)
            each.spines[["left", "bottom"]].set_color(PALE)
    _save(figure, path)
