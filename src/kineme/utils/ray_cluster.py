"""Work for the workers of a Ray cluster, by Ray Data (extra ``cluster``): done in any order, again where one dies."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from .. import __version__
from . import registry, threads
from .errors import InputError

LOCAL, AUTO = "local", "auto"
ADDRESS = re.compile(r"[\w.\-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
REACHED = 10.0  # seconds in which a machine of the cluster answers
BLOCKS = 1000  # tasks of Ray Data at most; beyond, one task does several items

Do = Callable[[Any], bytes]


def check(address: str) -> None:
    """Refuse a wrong address, or a missing package, before any work.

    Args:
        address: ``local`` (a cluster is started on this machine and ends with the work), ``auto`` (the one that this
            machine belongs to), or ``HOST:PORT``.

    Raises:
        InputError: another word; the extra ``cluster`` is not installed.
    """
    if address not in (LOCAL, AUTO) and not ADDRESS.fullmatch(address):
        hint = "Write --ray behind the files, or --ray local before them"
        raise InputError("--ray", repr(address), "local, auto or HOST:PORT", hint)
    _library()


@contextlib.contextmanager
def joined(address: str, workers: int = 0) -> Iterator[Any]:
    """The package ``ray``, connected; a connection that there is already is taken, and left.

    Args:
        address: as in :func:`check`.
        workers: cores of a cluster that is started (default: all that may be used).

    Raises:
        InputError: as :func:`check`; no cluster there.
    """
    check(address)
    ray = _library()
    if ray.is_initialized():
        yield ray
        return
    start = {"num_cpus": workers or threads.usable(), "include_dashboard": False} if address == LOCAL else {}
    try:
        if ADDRESS.fullmatch(address):  # Ray itself would wait for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **start)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0][:200]
        hint = "Start one with: ray start --head; or give --ray alone, which starts one on this machine"
        raise InputError("--ray", f"no cluster at {address} ({why})", "a Ray cluster of this machine", hint) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def each(
    make: Callable[[], Do], items: Mapping[int, Any], address: str, workers: int = 0
) -> Generator[tuple[int, bytes], None, None]:
    """What the workers of a cluster make of each item, as it comes.

    An item whose worker, or machine, dies is done again by another, for ever: what may kill every worker counts how
    often it was begun.

    Args:
        make: called once by each worker, whose working folder is that of this process; gives the function that turns
            an item into bytes.
        items: by their numbers; what JSON can hold.
        address: as in :func:`check`.
        workers: how many at most (default: as many as the cluster has cores); each has one core.

    Yields:
        numbers and results, in any order.

    Raises:
        InputError: what ``make`` or the function raised, as it is; no cluster; workers that do not start, or have
            another version of Kineme.

    Examples:
        >>> dict(each(functools.partial(functools.partial, str.encode), {0: "a", 1: "b"}, "local"))  # doctest: +SKIP
        {0: b'a', 1: b'b'}
    """
    if not items:
        return
    given = (make, os.getcwd(), registry.plugins("io", "encoders", "methods"), __version__)
    rows = [{"number": number, "item": json.dumps(item)} for number, item in items.items()]
    with joined(address, workers) as ray, _quietly(ray.data):
        tasks = min(len(rows), BLOCKS)
        most = min(workers or max(1, int(ray.cluster_resources().get("CPU", 1))), tasks)
        pool = ray.data.ActorPoolStrategy(min_size=1, initial_size=most, max_size=most, max_tasks_in_flight_per_actor=2)
        work = ray.data.from_items(rows, override_num_blocks=tasks)
        work = work.map(_Worker, fn_constructor_args=given, compute=pool, num_cpus=1)
        try:
            for row in work.iter_rows():
                if row["fault"]:
                    raise InputError(*json.loads(row["fault"]))
                yield int(row["number"]), row["result"]
        except ray.exceptions.RayTaskError:  # a fault of the code: as it is, with the place
            raise
        except ray.exceptions.RayError as error:
            why = str(error).strip().replace("\n", " ")[-300:]
            found = f"the workers of {address} do not work ({type(error).__name__}: {why})"
            raise InputError("--ray", found, "a cluster whose machines have this Python with Kineme") from None


class _Worker:
    """Does items in a process of the cluster; what is wrong with them, or with the process, is a result as well."""

    def __init__(self, make: Callable[[], Do], folder: str, plugins: list[str], version: str):
        with contextlib.suppress(OSError):  # paths may all be absolute; those that are not will tell
            os.chdir(folder)
        self._do: Do | InputError
        try:
            if version != __version__:
                found = f"Kineme {__version__} on {socket.gethostname()}"
                raise InputError("--ray", found, f"{version}, as here, on every machine of the cluster")
            for path in plugins:
                registry.add_plugin(path)
            self._do = make()
        except InputError as error:
            self._do = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        result, fault = b"", ""
        try:
            if isinstance(self._do, InputError):
                raise self._do
            result = self._do(json.loads(row["item"]))
        except InputError as error:
            fault = json.dumps([error.where, error.found, error.expected, error.hint])
        return {"number": row["number"], "result": result, "fault": fault}


@contextlib.contextmanager
def _quietly(data: Any) -> Iterator[None]:
    """Without the bars and the log of Ray Data: Kineme has its own."""
    context = data.DataContext.get_current()
    log = logging.getLogger("ray.data")
    before = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        log.setLevel(before[1])


def _library() -> Any:
    """The package, which then sends no statistics of use and writes no lines of its C++ part into the terminal."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError:
        hint = "pip install 'kineme[cluster]'"
        raise InputError("--ray", "the package ray is not installed", "Ray Data", hint) from None
