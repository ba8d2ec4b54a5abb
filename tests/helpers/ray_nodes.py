"""A real Ray cluster of two machines on this one, the second of which can lose its power."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kineme.utils.errors import InputError
from kineme.utils.registry import ROOT

FOLDERS = (Path(__file__).parents[1], ROOT.parent)
WHY = "the extra cluster is not installed"


class Machines:
    """Two machines of one core each; the first is where this process is."""

    def __init__(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self._other = self._cluster.add_node(num_cpus=1)
        self.address: str = self._cluster.address

    def at_work(self) -> list[int]:
        """Processes of the second machine that do what this process gave them."""
        return [pid for pid in _below(self._raylet) if b"MapWorker" in _command(pid)]

    def kill(self) -> list[int]:
        """The second machine ends without a word: `kill -9` of all of its processes. Which of them were at work."""
        end = time.monotonic() + 60
        while not self.at_work() and time.monotonic() < end:
            time.sleep(0.05)
        victims = self.at_work()
        for pid in [self._raylet, *_below(self._raylet)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return victims

    def again(self) -> None:
        """A machine in its place."""
        self._cluster.remove_node(self._other, allow_graceful=False)
        self._other = self._cluster.add_node(num_cpus=1)

    def shutdown(self) -> None:
        self._cluster.shutdown()

    @property
    def _raylet(self) -> int:
        return next(process.pid for kind, process in self._other.live_processes() if kind == "raylet")


def squaring():
    """A function for workers: what it does, which tells where it is; it takes a third of a second to begin with."""
    import ray

    time.sleep(0.3)
    begun = time.monotonic()
    here = ray.get_runtime_context().get_node_id()

    def square(item: int) -> bytes:
        time.sleep(0.2)
        return json.dumps([item * item, here, begun, os.getcwd()]).encode()

    return square


def refusing():
    raise InputError("run", "not there", "one that is")


def doubting():
    def doubt(item: int) -> bytes:
        if item == 3:
            raise InputError("item 3", "odd")
        return bytes([item])

    return doubt


def faulty():
    return lambda item: bytes([1 // item])


@contextlib.contextmanager
def machines() -> Iterator[Machines]:
    """Two machines, until the block ends; the test is skipped where there is no Ray."""
    pytest.importorskip("ray.data", reason=WHY)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, FOLDERS), *([before] if before else [])])  # for the machines
    both = Machines()
    try:
        yield both
    finally:
        both.shutdown()
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def _below(pid: int) -> list[int]:
    """All processes that a process has started, and these."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_below(child)]
    return found


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
