"""Binds a port of this machine, says the address, opens a set while the page is there already, serves until Ctrl-C."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...utils.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORT, TRIED = 7860, 20  # the usual one, and how many after it
PACKAGES = ("fastapi", "uvicorn")
HEARD = 1.5  # seconds in which an open page hears that nothing can be shown


def explore(
    where: str | os.PathLike,
    run: str | os.PathLike | None = None,
    *,
    against: str | None = None,
    predictions: str | os.PathLike | None = None,
    labels: str | os.PathLike | None = None,
    finest: str = "tsne",
    cache: str | os.PathLike | None = None,
    jobs: int = 1,
    port: int | None = None,
    host: str = "127.0.0.1",
    allowed: Sequence[str] = (),
    token: bool = True,
    browser: bool = True,
    before: Callable[[], object] | None = None,
) -> None:
    """Serve the page until Ctrl-C. It is there at once, and says how far a folder is prepared and embedded.

    Args:
        where: a store, a folder of motion files, or an index.
        run: whose vectors are taken; by default ``base``, of an index its own.
        against: a second run to compare with, or ``untrained``.
        predictions: a file of ``kineme evaluate --predictions``.
        labels: folder of the labels that are given on the page, by default beside the index.
        finest: the best map that is made, see :class:`kineme.apps.explorer.maps.Maps`.
        cache: where the index of a folder is kept, by default beside it.
        jobs: processes that prepare.
        port: of this machine; by default the first free one from 7860 on.
        host: the address that is listened on.
        allowed: further names under which it may be asked for.
        token: ask for the token that stands in the printed address.
        browser: open it.
        before: what is done first while the page is served already, such as loading torch.

    Raises:
        InputError: packages that are missing; a port that is taken; an address that others reach without what makes
            that safe; nothing to show.
    """
    if missing := lacking():
        hint = "pip install 'kineme[web]'"
        raise InputError("kineme explore", f"{missing} is not installed", "the packages of the page", hint)
    check(host, allowed, token)
    if not Path(where).exists():
        raise InputError(where, "no such file or folder", "a folder of motion files, a store or an index")
    import uvicorn

    from .server import Site

    bound = bind(host, port)
    number = bound.getsockname()[1]
    secret = secrets.token_hex(16) if token else None
    names = {f"{name}:{number}" for name in ("127.0.0.1", "localhost", "[::1]", *map(str.lower, allowed))}
    names |= {f"{host}:{number}"} if host not in ("0.0.0.0", "::") else set()
    shown = allowed[0] if host not in LOOPBACK and allowed else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{number}/" + (f"#token={secret}" if secret else "")
    if host not in LOOPBACK:
        print(f"Others who reach {host}:{number} and know the address can see these movements; nothing is encrypted.")
    if sys.platform == "win32":
        print("On Windows dropped files are read with a limit of time and size, but none of memory.")
    logging.getLogger("kineme.explorer").addHandler(logging.StreamHandler())
    site = Site(name_of(where), names, secret)
    config = uvicorn.Config(
        site.app,
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    serving.start()
    while serving.is_alive() and not server.started:  # before what is loaded next takes the processor from it
        time.sleep(0.01)
    print(f"Open {address}", flush=True)
    if browser and (
        sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        if before is not None:
            before()
        clips = _open(site, where, run, cache, finest, labels, against, predictions, jobs)
        print(f"{site.name}: {clips} clips. Ctrl-C ends it.", flush=True)
        try:
            while serving.is_alive():
                serving.join(0.5)
        except KeyboardInterrupt:  # as it was told
            print()
    except InputError as error:
        site.fail(str(error))
        site.told.wait(HEARD)
        raise
    finally:
        server.should_exit = True
        serving.join(3)


def lacking() -> str:
    """The first package of the page that is not installed; empty where all are."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            return name
    return ""


def _open(
    site: Any, where: Any, run: Any, cache: Any, finest: str, labels: Any, against: Any, said: Any, jobs: int
) -> int:
    """Prepare, embed and index where that is due, and show it; how many clips there are."""
    from ...inference import index_files, search
    from . import comparing, routes
    from .workspace import Workspace

    is_index = index_files.is_index(where)
    asked = {} if is_index or (Path(where) / "card.json").is_file() else {"jobs": jobs}
    searcher = search.opened(where, run, cache, progress=site.opening, **asked)
    site.opening("load")
    work = Workspace(searcher, site.name, finest)
    place = searcher.index.path
    kept = Path(labels) if labels else (place if is_index else place.parents[1]) / "labels"
    more = [routes.teach(kept), routes.recordings]
    if said is not None:
        more.append(routes.confusion(comparing.Predictions(said, work)))
    if against is not None:
        more.append(routes.compare(comparing.other(work, where, against)))
    site.show(work, *more)
    return len(work)


def check(host: str, allowed: Sequence[str], token: bool) -> None:
    """Refuse what would show movements to others by accident.

    Raises:
        InputError: ``--no-token`` where others connect; every address at once without a name.
    """
    if host in LOOPBACK:
        return
    if not token:
        raise InputError("--no-token", f"with --host {host}, which others reach", "it on this machine alone")
    if host in ("0.0.0.0", "::") and not allowed:
        hint = "Say under which name the page is asked for: --allow-host NAME"
        raise InputError(f"--host {host}", "every address of this machine", "one address, or a name", hint)


def bind(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: the port is taken or not to be had, or no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in [port] if port is not None else [*range(PORT, PORT + TRIED), 0]:
        bound = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, number))
            bound.listen(128)
            return bound
        except OverflowError:
            bound.close()
            raise InputError("--port", str(number), "1 to 65535, or 0 for any that is free") from None
        except OSError as error:
            bound.close()
            if port is not None:
                said = error.strerror or str(error)
                raise InputError(f"--port {number}", f"not to be had on {host} ({said})", "a free port") from None
            reason = error
    raise InputError(f"--host {host}", f"nothing to listen on ({reason})", "an address of this machine")


def name_of(where: str | os.PathLike) -> str:
    """What a set is called on the page: the last part of its path."""
    return Path(os.path.abspath(where)).name or "movements"
