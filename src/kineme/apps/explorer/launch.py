"""Opens a set, binds a port of this machine, says the address, serves until Ctrl-C."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ...utils.errors import InputError
from .server import PORT, Routes, create
from .workspace import Workspace

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TRIED = 20  # ports after the usual one


def serve(
    workspace: Workspace,
    *more: Routes,
    port: int | None = None,
    host: str = "127.0.0.1",
    allowed: Sequence[str] = (),
    token: bool = True,
    browser: bool = True,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        workspace: what is shown.
        more: what adds further routes.
        port: of this machine; by default the first free one from 7860 on.
        host: the address that is listened on.
        allowed: further names under which it may be asked for.
        token: ask for the token that stands in the printed address.
        browser: open it.

    Raises:
        InputError: a port that is taken; an address that others reach without what makes that safe.
    """
    import uvicorn

    check(host, allowed, token)
    bound = bind(host, port)
    number = bound.getsockname()[1]
    secret = secrets.token_hex(16) if token else None
    _ = workspace.about  # so that the first answer does not wait for it
    names = {f"{name}:{number}" for name in ("127.0.0.1", "localhost", "[::1]", *map(str.lower, allowed))}
    names |= {f"{host}:{number}"} if host not in ("0.0.0.0", "::") else set()
    shown = allowed[0] if host not in LOOPBACK and allowed else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{number}/" + (f"#token={secret}" if secret else "")
    if host not in LOOPBACK:
        print(f"Others who reach {host}:{number} and know the address can see these movements; nothing is encrypted.")
    if sys.platform == "win32":
        print("On Windows dropped files are read with a limit of time and size, but none of memory.")
    print(f"{workspace.name}: {len(workspace)} clips. Open {address}\nCtrl-C ends it.", flush=True)
    if browser and (
        sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    logging.getLogger("kineme.explorer").addHandler(logging.StreamHandler())
    config = uvicorn.Config(
        create(workspace, names, secret, *more),
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[bound])


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
