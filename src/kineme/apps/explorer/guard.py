"""What stands before the page: host, origin, token, sizes and load of every request, on its raw bytes.

A web page that is open in the same browser may send requests here, also under another name that it lets resolve to this
machine; another user of the machine may connect. Both are refused before any route sees them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("kineme.explorer")
MOST_BODY, MOST_UPLOAD = 1 << 20, 64 << 20  # bytes
MOST_REQUESTS = 64  # in work
SECONDS, UPLOAD_SECONDS = 16.0, 60.0
TYPES = (b"application/json", b"application/octet-stream")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Refused(Exception):
    """A request that is not answered: status, code and what to say."""

    def __init__(self, status: int, code: str, what: str, fix: str = ""):
        super().__init__(what)
        self.status, self.code, self.what, self.fix = status, code, what, fix


class Guard:
    """The outermost layer, plain ASGI.

    Args:
        app: what stands behind it.
        hosts: names under which it may be asked for, with port, in small letters.
        token: what ``X-Kineme-Token`` has to be for everything under ``/api/``; None: nothing.
    """

    def __init__(self, app: App, hosts: set[str], token: str | None):
        self.app, self.hosts, self.token = app, hosts, token
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        try:
            if self._working >= MOST_REQUESTS:
                raise Refused(503, "too_busy", "too many requests at once", "Try again in a second")
            self._working += 1
            try:
                most, seconds = self._checked(scope)
                async with asyncio.timeout(seconds):
                    await self.app(scope, _counted(receive, most), guarded)
            finally:
                self._working -= 1
        except (Refused, TimeoutError) as error:
            if status:
                raise
            said = error if isinstance(error, Refused) else Refused(503, "too_busy", "it took too long")
            await _answer(guarded, said)
        except Exception:  # told already, in the answer and in the terminal
            if status != 500:
                raise
        finally:
            log.info("%s %s %d %.0f ms", scope["method"], scope["path"], status, 1e3 * (time.perf_counter() - begin))

    def _checked(self, scope: Scope) -> tuple[int, float]:
        """Bytes and seconds that a request may take; decides by raw headers and ``scope["path"]`` alone."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        named = headers.get(b"host", [])
        host = named[0].lower().decode("latin-1") if len(named) == 1 else ""
        if host not in self.hosts:
            raise Refused(421, "wrong_host", "this address is not served here", "Open the address that was printed")
        if any(site not in (b"same-origin", b"none") for site in headers.get(b"sec-fetch-site", [])):
            raise Refused(403, "cross_site", "a request of another page")
        if any(origin.lower().decode("latin-1") != f"http://{host}" for origin in headers.get(b"origin", [])):
            raise Refused(403, "cross_site", "a request of another page")
        api = scope["path"].startswith("/api/")
        if scope["method"] not in ("GET", "HEAD") and not api:
            raise Refused(405, "bad_argument", "files are only read")
        if api and self.token is not None:
            given = headers.get(b"x-kineme-token", [])
            if len(given) != 1 or not hmac.compare_digest(given[0], self.token.encode()):
                raise Refused(401, "no_token", "no valid token", "Open the address that was printed, with all behind #")
        if scope["method"] in ("POST", "PUT", "PATCH"):
            kind = headers.get(b"content-type", [b""])
            if len(kind) != 1 or kind[0].split(b";")[0].strip().lower() not in TYPES:
                raise Refused(415, "bad_argument", "no JSON and no file")
        upload = scope["path"] == "/api/uploads"
        most = MOST_UPLOAD if upload else MOST_BODY
        if any(not value.isdigit() or int(value) > most for value in headers.get(b"content-length", [])):
            raise too_large(most)
        return most, UPLOAD_SECONDS if upload else SECONDS


def too_large(most: int) -> Refused:
    """What is said of a body of more bytes than that."""
    return Refused(
        413, "too_large", f"more than {most >> 20} MB", "Cut it into parts, or prepare it with kineme prepare"
    )


def _counted(receive: Receive, most: int) -> Receive:
    """The body, counted while it is read: what a header says of its length is not trusted."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise too_large(most)
        return message

    return counted


async def _answer(send: Send, said: Refused) -> None:
    error = {"code": said.code, "what": said.what, **({"fix": said.fix} if said.fix else {})}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if said.status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": said.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
