"""Further routes: teaching by example, long recordings, confusion, two encoders compared."""

from __future__ import annotations

import csv
import functools
import io as text_io
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import Field

from ...inference.recogniser import Recogniser
from ...utils.errors import InputError
from . import comparing, container, recording
from .answers import Strict, arrays
from .comparing import Other, Predictions
from .server import Routes
from .teaching import MOST_ROWS, LabelSet, Taught, Teaching
from .workspace import Workspace

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for more than text


class Kinds(Strict):
    """Which kinds there are."""

    rev: int
    kinds: list[str] = Field(max_length=64)


class Given(Strict):
    """Clips and their kind."""

    rows: list[int] = Field(max_length=MOST_ROWS)
    kind: str | None = Field(None, max_length=80)
    source: Literal["key", "selection", "suggestion"] = "key"


class Labels(Strict):
    """Labels that are given."""

    rev: int
    ops: list[Given] = Field(max_length=100)


class Undo(Strict):
    """The last thing is taken back, or done once more."""

    rev: int
    again: bool = False


class Part(Strict):
    """A part of a recording, and parts that what is found is not to be like."""

    start: float = Field(ge=0, alias="from")
    end: float = Field(ge=0, alias="to")
    minus: list[list[float]] = Field([], max_length=100)


def teach(folder: Path) -> Routes:
    """Labels, kept in a folder."""

    def add(app: FastAPI, work: Workspace) -> None:
        teaching = Teaching(folder, [entry.id for entry in work.entries])

        lock = threading.Lock()

        @functools.cache
        def made() -> Taught:
            return Taught(work.raw, work.groups())

        def taught() -> Taught:
            with lock:  # of several that ask at once one makes it
                return made()

        threading.Thread(target=taught, daemon=True).start()  # vectors may take longer than an answer may

        def told(found: LabelSet) -> dict[str, Any]:
            labels = {str(row): found.kinds.index(kind) for row, kind in found.labels().items()}
            facts = {"set": found.name, "kinds": found.kinds, "rev": found.rev, "away": found.away}
            return {**facts, "counts": found.counts(), "labels": labels}

        def answer(found: LabelSet) -> Response:
            begin = time.perf_counter()
            kinds, margins, notices = taught().answer(found)
            order = work.maps.order
            facts = {**told(found), "notices": notices, "ms": round(1000 * (time.perf_counter() - begin), 1)}
            data = container.write({"kind": kinds[order], "margin": margins[order]}, **facts)
            return Response(data, media_type=container.MEDIA_TYPE)

        @app.get("/api/teach")
        def sets() -> dict[str, Any]:
            return {"sets": teaching.names()}

        @app.get("/api/teach/{name}")
        def one(name: str) -> Response:
            return answer(teaching.get(name))

        @app.get("/api/teach/{name}/rev")
        def rev(name: str) -> dict[str, int]:
            return {"rev": teaching.get(name).rev}

        @app.put("/api/teach/{name}")
        def kinds(name: str, body: Kinds) -> dict[str, Any]:
            return told(teaching.set_kinds(name, body.kinds, body.rev))

        @app.post("/api/teach/{name}/labels")
        def label(name: str, body: Labels) -> Response:
            for each in body.ops:
                work.check(each.rows, MOST_ROWS)
            return answer(teaching.label(name, [(each.rows, each.kind, each.source) for each in body.ops], body.rev))

        @app.post("/api/teach/{name}/undo")
        def undo(name: str, body: Undo) -> Response:
            return answer(teaching.undo(name, body.rev, body.again))

        @app.get("/api/teach/{name}/ask")
        def ask(name: str, n: int = 4) -> dict[str, Any]:
            return {"ask": taught().ask(teaching.get(name), min(max(n, 1), 24))}

        @app.get("/api/teach/{name}/estimate")
        def estimate(name: str) -> dict[str, Any]:
            return {"estimate": taught().estimate(teaching.get(name))}

        @app.get("/api/teach/{name}/export")
        def export(name: str, what: Literal["labels", "recogniser"]) -> Response:
            found = teaching.get(name)
            if what == "labels":
                return Response(table(found, work), media_type="text/csv; charset=utf-8")
            return Response(packed(found, work), media_type="application/zip")

    return add


def table(found: LabelSet, work: Workspace) -> str:
    """Labels as CSV, as ``kineme label`` reads them; a cell that looks like a formula gets an apostrophe."""
    out = text_io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "label", "source", "time"])
    last = {row: each for each in found.done if not each.undone for row in each.rows}
    for row, kind in sorted(found.labels().items()):
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(last[row].at))
        cells = [work.entries[row].id, kind, "bulk" if len(last[row].rows) > 1 else last[row].source, when]
        writer.writerow(["'" + cell if cell.startswith(FORMULA) else cell for cell in cells])
    return out.getvalue()


def packed(found: LabelSet, work: Workspace) -> bytes:
    """A recogniser taught by the labels, its folder as a zip file.

    Raises:
        InputError: too few labels, an index of several stores.
    """
    if len(work.stores) != 1:
        raise InputError("recogniser", f"an index of {len(work.stores)} stores", "one of a single store")
    store = work.searcher.store(work.stores[0])
    labels: list[str | None] = [None] * len(store)
    for row, kind in found.labels().items():
        labels[work.entries[row].row] = kind
    made = Recogniser.teach(work.searcher.model, store, labels)
    with tempfile.TemporaryDirectory(prefix="kineme-") as folder:
        saved = made.save(Path(folder, found.name))
        data = text_io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(each for each in saved.rglob("*") if each.is_file()):
                archive.write(path, path.relative_to(folder).as_posix())
    return data.getvalue()


def recordings(app: FastAPI, work: Workspace) -> None:
    """Long recordings on one line."""
    app.state.views.append("recording")

    @app.get("/api/recordings")
    def longest() -> dict[str, Any]:
        entries = work.entries
        frames = np.array([entry.end - entry.start for entry in entries])
        return {"rows": [work.row(int(row)) for row in np.argsort(-frames, kind="stable")[:100]]}

    @app.get("/api/recording/{row}")
    def line(request: Request, row: int) -> Response:
        motion = work.motion(work.check([row], 1)[0])
        speed, people = recording.curve(motion)
        seconds = len(motion) / (motion.fps or 1)
        data = {"speed": speed.astype(np.float32), "people": people}
        return arrays(request, container.write(data, seconds=seconds, about=work.row(row), known=bool(motion.fps)))

    @app.post("/api/recording/{row}/search")
    def like(row: int, body: Part) -> dict[str, Any]:
        if any(len(each) != 2 for each in body.minus):
            raise InputError("minus", "no parts", "pairs of seconds")
        minus = [(each[0], each[1]) for each in body.minus]
        return recording.found(work, work.check([row], 1)[0], body.start, body.end, minus)


def compare(second: Other) -> Routes:
    """Two encoders on one set."""

    def add(app: FastAPI, work: Workspace) -> None:
        app.state.views.append("compare")
        first = Other(work.searcher.index.card["run"]["name"], work.vectors)
        points = {"b": comparing.maps.principal(second.vectors)}
        common = comparing.shared(first.near, second.near)

        @app.get("/api/compare")
        def both(request: Request) -> Response:
            kind = "pca"
            order = work.maps.order
            turned = comparing.turned(points["b"], work.maps.get(kind))
            found = {
                "shared": common[order],
                "xyA": work.maps.get(kind)[order].astype(np.float32),
                "xyB": turned[order],
            }
            found["row"] = order.astype(np.uint32)
            said = [{"name": each.name, **comparing.facts(work, each.near)} for each in (first, second)]
            return arrays(request, container.write(found, mean=float(common.mean()), runs=said, k=first.near.shape[1]))

        @app.get("/api/compare/{row}")
        def one(row: int) -> dict[str, Any]:
            number = work.check([row], 1)[0]
            lists = [[work.row(n) for n in each.near[number].tolist()] for each in (first, second)]
            return {"about": work.row(number), "a": lists[0], "b": lists[1], "shared": int(common[number])}

    return add


def confusion(predictions: Predictions) -> Routes:
    """What was taken for what."""

    def add(app: FastAPI, _: Workspace) -> None:
        app.state.views.append("confusion")

        @app.get("/api/matrix")
        def matrix(group: str = "") -> dict[str, Any]:
            return predictions.matrix(group)

        @app.get("/api/matrix/cell")
        def cell(true: str, predicted: str, group: str = "") -> dict[str, Any]:
            return {"rows": predictions.cell(group, true, predicted)}

    return add
