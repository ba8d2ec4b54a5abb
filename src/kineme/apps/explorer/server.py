"""The page's server: what it asks for under ``/api/``, and its own files from a fixed table."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import threading
import time
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ... import __version__
from ...inference.index import Entry
from ...motion.motion import Motion
from ...utils.errors import InputError
from . import clips, container
from .answers import Strict, arrays, errors, row_list
from .guard import Guard
from .uploads import Uploads
from .workspace import KEPT, Sought, Workspace, span

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FEW, STRIPS, MOST_PEOPLE = 24, 64, 8
Routes = Callable[[FastAPI, Workspace], None]


class Asked(Strict):
    """What is searched with: a clip or an uploaded file, whole or between two seconds."""

    row: int | None = None
    upload: str | None = Field(None, max_length=40)
    start: float | None = Field(None, alias="from", ge=0)
    end: float | None = Field(None, alias="to", ge=0)
    person: int | None = Field(None, ge=0, lt=MOST_PEOPLE)


class Search(Strict):
    """A search."""

    query: Asked
    plus: list[int] = Field([], max_length=50)
    minus: list[int] = Field([], max_length=50)
    k: int = Field(12, ge=1, le=200)
    windows: bool = False
    mirror: bool = False
    where: dict[str, Any] = Field({}, max_length=8)
    run: str = Field("a", max_length=10)


class Site:
    """What is served: the page's files at once, what it asks for as soon as a workspace is there.

    Args:
        name: of what is shown.
        hosts: names with port under which it may be asked for.
        token: what every request under ``/api/`` has to carry; None: nothing.

    Attributes:
        app: the whole of it, behind its guard.
        told: whether a page has heard that it cannot be opened.
    """

    def __init__(self, name: str, hosts: set[str], token: str | None):
        self.name, self.told = name, threading.Event()
        self._opening: dict[str, Any] = {"what": "load", "done": 0, "total": 0, "error": ""}
        self._work: Workspace | None = None
        self._inner = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        self._inner.state.views = ["map"]
        self.app = Guard(self._inner, hosts, token)
        errors(self._inner)
        _files(self._inner)
        self._inner.get("/api/store")(self._store)

    def opening(self, what: str, done: int = 0, total: int = 0) -> None:
        """Say what is done before there is anything to show, and of how many pieces how many are done."""
        self._opening = {"what": what, "done": done, "total": total, "error": ""}

    def fail(self, error: str) -> None:
        """Say that nothing will be shown, and why."""
        self._opening = {**self._opening, "error": error}

    def show(self, work: Workspace, *more: Routes) -> None:
        """Answer all that the page asks for.

        Args:
            work: what is shown.
            more: what adds further routes.
        """
        _reading(self._inner, work)
        _searching(self._inner, work, Uploads())
        for add in more:
            add(self._inner, work)
        _ = work.about  # so that the first answer does not wait for it
        self._work = work

    def _store(self) -> dict[str, Any]:
        work = self._work
        if work is None:
            if self._opening["error"]:
                self.told.set()
            return {"name": self.name, "opening": self._opening}
        made = {"state": work.maps.state, "kinds": work.maps.kinds, "error": work.maps.error}
        return {**work.about, "version": __version__, "map": made, "views": self._inner.state.views}


# ----------------------------------------------------------------------------------------------------------- files


def packaged() -> dict[str, tuple[bytes, str]]:
    """The page's own files by name: content and type. Nothing else is served."""
    folder = resources.files(__package__) / "static"
    found = {}
    for each in folder.iterdir():
        kind = TYPES.get(each.name.rpartition(".")[2])
        if kind is not None:
            found[each.name] = (each.read_bytes(), kind)
    return found


def _files(app: FastAPI) -> None:
    table = packaged()
    tag = f'"{hashlib.sha256(b"".join(data for data, _ in table.values())).hexdigest()[:24]}"'

    @app.get("/")
    @app.get("/{name}")
    async def file(request: Request, name: str = "index.html") -> Response:
        if name not in table:
            raise HTTPException(404, "no such file")
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        data, kind = table[name]
        return Response(data, media_type=kind, headers=headers)


# --------------------------------------------------------------------------------------------------------- reading


def _reading(app: FastAPI, work: Workspace) -> None:
    @app.get("/api/map")
    def whole_map(request: Request, kind: str = "pca", first: int | None = None) -> Response:
        order = work.maps.order[:first] if first is not None and first >= 0 else work.maps.order
        found = {"xy": work.maps.get(kind)[order], "row": order.astype(np.uint32)}
        return arrays(request, container.write(found, kind=kind, state=work.maps.state))

    @app.get("/api/map/kept")
    def kept(kind: str = "pca") -> dict[str, Any]:
        return {"kind": kind, "kept_neighbours": work.maps.kept(kind)}

    @app.get("/api/column/{name}")
    def column(request: Request, name: str) -> Response:
        return arrays(request, container.write({"values": work.codes(name)}, name=name))

    @app.get("/api/table")
    def table(rows: str = "", at: int = 0, n: int = 200) -> dict[str, Any]:
        if rows:
            numbers = work.check(row_list(rows), 5000)
        else:
            numbers = list(range(max(0, at), min(len(work), max(0, at) + min(max(n, 0), 200))))
        return {"rows": [work.row(number) for number in numbers], "total": len(work)}

    @app.get("/api/find")
    def find(text: str) -> dict[str, Any]:
        words = text.casefold().split()
        found = [i for i, entry in enumerate(work.entries) if all(word in entry.id.casefold() for word in words)]
        return {"rows": [work.row(number) for number in found[:50]], "total": len(found)}

    @functools.lru_cache(KEPT)
    def packed(row: int) -> bytes:
        return clips.pack([work.motion(row)], about=work.row(row))

    @app.get("/api/clip/{row}")
    def clip(request: Request, row: int) -> Response:
        return arrays(request, packed(work.check([row], 1)[0]))

    @app.get("/api/clips")
    def several(request: Request, rows: str, frames: int = 48) -> Response:
        numbers = work.check(row_list(rows), FEW)
        return arrays(request, clips.pack([work.motion(row) for row in numbers], min(max(frames, 1), 240)))

    @app.get("/api/strips")
    def strips(request: Request, rows: str) -> Response:
        numbers = work.check(row_list(rows), STRIPS)
        about = [work.row(row) for row in numbers]
        return arrays(request, clips.pack([work.motion(row) for row in numbers], 8, about=about))


# ------------------------------------------------------------------------------------------------------- searching


def _searching(app: FastAPI, work: Workspace, uploads: Uploads) -> None:
    def asked(query: Asked) -> Entry | Motion:
        if (query.row is None) == (query.upload is None):
            raise InputError("query", "neither or both", "a row or an upload")
        if query.row is not None:
            entry = work.part(work.check([query.row], 1)[0], query.start, query.end)
            return entry if query.person is None else one(work.searcher.motion(entry), query.person)
        motion = uploads.get(query.upload or "").motion
        if query.start is not None or query.end is not None:
            motion = motion.slice(*span(len(motion), motion.fps, query.start, query.end))
        return motion if query.person is None else one(motion, query.person)

    @app.post("/api/search")
    async def search(body: Search) -> JSONResponse:
        plus, minus = (work.check(rows, 50) if rows else [] for rows in (body.plus, body.minus))
        read = body.query.person is not None  # a clip, from the disk
        query = await run_in_threadpool(asked, body.query) if read else asked(body.query)
        sought = Sought(query, plus, minus, body.k, body.windows, body.mirror, body.where)
        return JSONResponse(await asyncio.wrap_future(work.searches.ask(sought)))

    @app.get("/api/align")
    def align(request: Request, a: int, b: int) -> Response:
        first, second = (work.motion(row) for row in work.check([a, b], 2))
        way, cost = work.align(first, second)
        return arrays(request, container.write({"frame": way}, cost=cost, by="pose"))

    @app.get("/api/align/upload")
    def align_upload(request: Request, a: int, upload: str) -> Response:
        way, cost = work.align(work.motion(work.check([a], 1)[0]), uploads.get(upload).motion)
        return arrays(request, container.write({"frame": way}, cost=cost, by="pose"))

    @app.post("/api/uploads")
    async def upload(request: Request, name: str = "file") -> dict[str, Any]:
        data = await request.body()
        return await run_in_threadpool(_added, work, uploads, name[:400], data)

    @app.get("/api/uploads/{id}")
    def uploaded(request: Request, id: str) -> Response:
        found = uploads.get(id)
        lines = clips.drawn(found.motion.layout, clips.false_root([found.motion]))
        return arrays(
            request,
            clips.pack([found.motion], limbs=lines, head=clips.head(found.motion.layout), about={"name": found.name}),
        )

    @app.delete("/api/uploads/{id}")
    def removed(id: str) -> dict[str, bool]:
        uploads.remove(id)
        return {"removed": True}


def one(motion: Motion, person: int) -> Motion:
    """A motion of one of its people.

    Raises:
        InputError: no such person.
    """
    if person >= motion.persons:
        raise InputError("person", str(person), f"0 to {motion.persons - 1}")
    return motion.with_(joints=motion.joints[:, [person]], confidence=motion.confidence[:, [person]])


def _added(work: Workspace, uploads: Uploads, name: str, data: bytes) -> dict[str, Any]:
    """Read a file, and say what is in it and where it stands."""
    from ...motion import joint_map

    begin = time.perf_counter()
    found = uploads.add(name, data, work.in_image)
    motion, wanted = found.motion, work.searcher.model.layout
    missing: list[str] = []
    if motion.layout.joints != wanted.joints:
        missing = list(joint_map.joint_map(motion.layout, wanted).missing)
    try:
        vector = work.vector(motion)
    except InputError:
        uploads.remove(found.id)
        raise
    return {
        "upload": found.id,
        "name": found.name,
        "frames": len(motion),
        "fps": motion.fps,
        "people": motion.persons,
        "layout": motion.layout.name,
        "joints": {"found": len(wanted) - len(missing), "of": len(wanted), "missing": missing},
        "xy": {kind: work.place(vector, kind) for kind in work.maps.kinds},
        "ms": round(1000 * (time.perf_counter() - begin)),
    }
