"""What every answer has in common: arrays with a tag, errors of one shape, bodies that are taken strictly."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from ...utils.errors import InputError
from . import container
from .guard import Refused
from .teaching import Stale
from .uploads import Busy

log = logging.getLogger("kineme.explorer")
PLACE = re.compile(r"(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+")  # all of a path but its last part


class Strict(BaseModel):
    """A body: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def errors(app: FastAPI) -> None:
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

    @app.exception_handler(Stale)
    async def stale(_: Request, error: Stale) -> JSONResponse:
        fix = "Load them again"
        return refusal(409, "stale", f"the labels were changed in another page (now {error})", fix=fix)

    @app.exception_handler(OSError)
    async def disk(_: Request, error: OSError) -> JSONResponse:
        return refusal(507, "disk", f"not saved: {error.strerror or 'the disk refused'}", fix="Free some space")

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


def row_list(text: str) -> list[int]:
    """``1,2,3``.

    Raises:
        InputError: anything else.
    """
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InputError("rows", text[:40], "numbers such as 1,2,3")
    return [int(word) for word in words]
