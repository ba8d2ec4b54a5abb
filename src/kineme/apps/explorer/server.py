"""The page's server: what it asks for under ``/api/``, and its own files from a fixed table."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from importlib import resources
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from ... import __version__
from ...inference.index import Entry
from ...motion.motion import Motion
from ...utils.errors import InputError
from . import clips, container
from .guard import Guard, Refused
from .uploads import Busy, Uploads
from .workspace import Workspace, span

log = logging.getLogger("kineme.explorer")
PORT = 7860
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PLACE = re.compile(r"(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+")  # all of a path but its last part
FEW, STRIPS, MOST_PEOPLE = 24, 64, 8


class Strict(BaseModel):
    """A body: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


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


def create(workspace: Workspace, hosts: set[str], token: str | None) -> Guard:
    """The whole of what is served, behind its guard.

    Args:
        workspace: what is shown.
        hosts: names with port under which it may be asked for.
        token: what every request under ``/api/`` has to carry; None: nothing.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    _errors(app)
    _files(app)
    _reading(app, workspace)
    _searching(app, workspace, Uploads())
    return Guard(app, hosts, token)


# --------------------------------------------------------------------------------------------------------- answers


def _errors(app: FastAPI) -> None:
    """Every error as one shape, without a path or a stack."""

    @app.exception_handler(InputError)
    async def wrong(request: Request, error: InputError) -> JSONResponse:
        code = "bad_file" if request.url.path == "/api/uploads" else "bad_argument"
        return refusal(400, code, error.found, error.where, error.expected, error.hint)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])[:80]
        return refusal(400, "bad_argument", str(first["msg"])[:200], where)

    @app.exception_handler(HTTPException)
    async def missing(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, Refused):  # met while the body was read
            return refusal(error.__cause__.status, error.__cause__.code, error.__cause__.what)
        code = "not_found" if error.status_code == 404 else "bad_argument"
        return refusal(error.status_code, code, str(error.detail)[:200])

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return refusal(error.status, error.code, error.what, fix=error.fix)

    @app.exception_handler(RecursionError)
    async def deep(_: Request, __: RecursionError) -> JSONResponse:
        return refusal(400, "bad_argument", "nested too deep")

    @app.exception_handler(Busy)
    async def busy(_: Request, __: Busy) -> JSONResponse:
        answer = refusal(429, "too_busy", "other files are being read", fix="Try again in a moment")
        answer.headers["retry-after"] = "5"
        return answer

    @app.exception_handler(Exception)
    async def internal(request: Request, error: Exception) -> JSONResponse:
        number = secrets.token_hex(3)
        log.error("error %s in %s %s", number, request.method, request.scope["path"], exc_info=error)
        return refusal(500, "internal", f"error {number}; the terminal says more under this number")


def refusal(status: int, code: str, what: str, where: str = "", expected: str = "", fix: str = "") -> JSONResponse:
    """An answer that says what is wrong; places on the disk are left out of it."""
    said = {"what": what, "where": where, "expected": expected, "fix": fix}
    error = {"code": code, **{key: PLACE.sub("", text) for key, text in said.items() if text or key == "what"}}
    return JSONResponse({"error": error}, status)


def arrays(request: Request, data: bytes) -> Response:
    """Arrays, with a tag by which the browser need not fetch them again."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=container.MEDIA_TYPE, headers=headers)


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
    @app.get("/api/store")
    def store() -> dict[str, Any]:
        made = {"state": work.maps.state, "kinds": work.maps.kinds, "error": work.maps.error}
        return {**work.about, "version": __version__, "map": made}

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
            numbers = work.check(_numbers(rows), 5000)
        else:
            numbers = list(range(max(0, at), min(len(work), max(0, at) + min(max(n, 0), 200))))
        return {"rows": [work.row(number) for number in numbers], "total": len(work)}

    @app.get("/api/find")
    def find(text: str) -> dict[str, Any]:
        words = text.casefold().split()
        found = [i for i, entry in enumerate(work.entries) if all(word in entry.id.casefold() for word in words)]
        return {"rows": [work.row(number) for number in found[:50]], "total": len(found)}

    @app.get("/api/clip/{row}")
    def clip(request: Request, row: int) -> Response:
        motion = work.motion(work.check([row], 1)[0])
        return arrays(request, clips.pack([motion], about=work.row(row)))

    @app.get("/api/clips")
    def several(request: Request, rows: str, frames: int = 48) -> Response:
        numbers = work.check(_numbers(rows), FEW)
        return arrays(request, clips.pack([work.motion(row) for row in numbers], min(max(frames, 1), 240)))

    @app.get("/api/strips")
    def strips(request: Request, rows: str) -> Response:
        numbers = work.check(_numbers(rows), STRIPS)
        about = [work.row(row) for row in numbers]
        return arrays(request, clips.pack([work.motion(row) for row in numbers], 8, about=about))


def _numbers(text: str) -> list[int]:
    """``1,2,3``.

    Raises:
        InputError: anything else.
    """
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InputError("rows", text[:40], "numbers such as 1,2,3")
    return [int(word) for word in words]


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
    def search(body: Search) -> dict[str, Any]:
        plus, minus = (work.check(rows, 50) if rows else [] for rows in (body.plus, body.minus))
        return work.search(asked(body.query), plus, minus, body.k, body.windows, body.mirror, body.where)

    @app.get("/api/align")
    def align(request: Request, a: int, b: int) -> Response:
        first, second = (work.motion(row) for row in work.check([a, b], 2))
        way, cost = work.align(first, second)
        return arrays(request, container.write({"frame": way}, cost=cost, by="pose"))

    @app.get("/api/align/upload")
    def align_upload(request: Request, upload: str, b: int) -> Response:
        way, cost = work.align(uploads.get(upload).motion, work.motion(work.check([b], 1)[0]))
        return arrays(request, container.write({"frame": way}, cost=cost, by="pose"))

    @app.post("/api/uploads")
    async def upload(request: Request, name: str = "file") -> dict[str, Any]:
        data = await request.body()
        return await run_apart(_added, work, uploads, name[:400], data)

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


async def run_apart(call: Any, *words: Any) -> Any:
    """In a thread, so that the page's files never wait."""
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(call, *words)


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
