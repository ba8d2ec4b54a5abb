"""Who makes the shards of a plan: this process, several of this machine, or the workers of a Ray cluster."""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

from ..utils import ray_cluster, registry
from ..utils.errors import InputError
from . import kinds
from .options import Options
from .plan import Plan
from .shards import shard
from .store import Store

TRIES = 4  # of a shard on a cluster: a file may kill every worker that reads it
PATIENCE = 60.0  # seconds until a network file system shows what another machine has written


def make(plan: Plan, jobs: int, ray: str | None = None) -> Generator[int, None, None]:
    """Make all shards of a plan.

    Args:
        plan: what is to be done.
        jobs: processes; on a cluster, above 1, workers at most.
        ray: address of a cluster (:func:`kineme.utils.ray_cluster.check`).

    Yields:
        numbers of the shards as they are there: those of an earlier call first.

    Raises:
        InputError: no room on the disk, processes that end all of a sudden, machines that do not see the files.
    """
    todo = []
    for i in range(len(plan.shards)):
        if _usable(plan.folder(i)):
            yield i
        else:
            todo.append(i)
    if ray is not None:
        yield from _on_cluster(plan, todo, ray, jobs if jobs > 1 else 0)
    elif min(jobs, len(todo)) <= 1:
        for i in todo:
            shard(plan.shards[i], plan.options, plan.folder(i))
            yield i
    else:
        yield from _in_processes(plan, todo, min(jobs, len(todo)))


def _in_processes(plan: Plan, todo: Sequence[int], workers: int) -> Generator[int, None, None]:
    plugins = registry.plugins("io")
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), worker, (plugins,))
    try:
        futures = {pool.submit(shard, plan.shards[i], plan.options, plan.folder(i)): i for i in todo}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool:
        raise InputError(
            "--jobs",
            "a working process ended all of a sudden",
            "room in memory for one file per process",
            "Take fewer jobs; in a script of your own, call prepare under `if __name__ == '__main__':`. "
            "What was done is kept",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _on_cluster(plan: Plan, todo: Sequence[int], address: str, workers: int) -> Generator[int, None, None]:
    give = functools.partial(functools.partial, _shard_there, plan.options, plan.key)
    items = {i: (plan.shards[i], str(plan.folder(i))) for i in todo}
    for i in todo:
        _tries(plan.folder(i)).unlink(missing_ok=True)  # of an earlier call
    for i, said in ray_cluster.each(give, items, address, workers):
        root, (host, lacking) = plan.options.root, json.loads(said)
        if here := [path for path in lacking if os.path.lexists(root / path)]:
            found = f"not to be seen on {host}, a machine of the cluster"
            raise InputError(root / here[0], found, "a folder that every machine sees under this path")
        if lacking:  # gone since the plan was made: said as it is said without a cluster
            shard(plan.shards[i], plan.options, plan.folder(i))
        _await(plan.folder(i), host)
        yield i


def _shard_there(options: Options, key: str, item: tuple[Sequence[str], str]) -> bytes:
    """A shard, made on a machine of a cluster; as JSON the name of the machine, and the files that it does not see: if
    there are any, nothing is made.
    """
    paths, folder = item[0], Path(item[1])
    host, note = socket.gethostname(), folder.parent / "plan.json"
    if not note.is_file() or note.read_text(encoding="ascii") != key:
        found = f"not to be seen on {host}, a machine of the cluster"
        raise InputError(folder.parent, found, "a folder that every machine sees under this path")
    lacking = [path for path in paths if not os.path.lexists(options.root / path)]
    if lacking or _usable(folder):  # by a worker that was lost before it could say so
        return json.dumps([host, lacking]).encode()
    with _tries(folder).open("ab") as file:
        file.write(b".")
        begun = file.tell()
    if begun > TRIES:
        found = f"{TRIES} workers ended all of a sudden while they read the {len(paths)} files from it to {paths[-1]}"
        hint = "Look at these files; what was done is kept"
        raise InputError(options.root / paths[0], found, "files that fit into the memory of a worker", hint)
    try:
        shard(paths, options, folder)
    except InputError:
        if not _usable(folder):  # nor has another made it, which was only believed to be dead
            raise
    return json.dumps([host, []]).encode()


def _tries(folder: Path) -> Path:
    """Where it is counted how often a shard was begun."""
    return folder.with_name(f"{folder.name}.tries")


def _await(folder: Path, host: str) -> None:
    """Wait until a shard that another machine has made is to be seen here."""
    end = time.monotonic() + PATIENCE
    while not (folder / "summary.json").is_file():
        if time.monotonic() > end:
            found = f"written by {host}, and not to be seen here after {PATIENCE:g} s"
            raise InputError(folder.parent, found, "a folder that every machine sees under this path")
        time.sleep(0.1)


def _usable(folder: Path) -> bool:
    """Whether a shard of an earlier call is whole; what is left of another is removed."""
    with contextlib.suppress(InputError, OSError, ValueError, KeyError):
        layouts = json.loads((folder / "summary.json").read_bytes())["layouts"]
        if all(Store(folder / kinds.store(k)) for k in range(len(layouts))):
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def worker(plugins: Sequence[str]) -> None:
    """A process of the pool: Ctrl-C is its parent's business, it does not outlive its parent, and it knows the plug-ins
    of its parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for path in plugins:
        registry.add_plugin(path)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
