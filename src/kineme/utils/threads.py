"""How many threads help, and how they wait: for programs, which may decide that; a library must not.

Nothing here loads torch, whose OpenMP reads the environment once, when it is loaded.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

SPINS = 1000  # of GNU's OpenMP, some 20 microseconds: enough to bridge the gap to the next product
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
NUMBER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def wait_quietly(environ: MutableMapping[str, str]) -> None:
    """Let threads that have nothing to do sleep soon, instead of burning what other processes need.

    Left to itself GNU's OpenMP spins for milliseconds, LLVM's and Intel's for 200. A program that was told anything of
    this by its user does as it was told.

    Args:
        environ: of this process (``os.environ``), before torch is loaded.
    """
    if not any(name in environ for name in WAITING):
        environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=str(SPINS))


def told(environ: Mapping[str, str]) -> bool:
    """Whether the user has said how many threads to take."""
    return any(name in environ for name in NUMBER)


def usable(root: str | Path = "/") -> int:
    """Cores that this process may use: those of its affinity, and no more than the quota of its control group."""
    return max(1, math.ceil(min(len(_cores()), _quota(Path(root)))))


class Load:
    """How many of the usable cores were free while something else was done: idle, or at work for this process.

    Args:
        root: the folder in which ``proc`` and ``sys`` lie.
    """

    def __init__(self, root: str | Path = "/"):
        self.root = Path(root)
        self._begin = self._now()

    def free(self) -> int | None:
        """Cores, rounded, at least one and at most :func:`usable`; None where nobody can tell."""
        begin, end = self._begin, self._now()
        if begin is None or end is None or end[0] - begin[0] < 0.1:  # clocks tick a hundred times a second
            return None
        seconds, idle, own = (after - before for before, after in zip(begin, end))
        return max(1, min(usable(self.root), math.floor((idle + own) / seconds + 0.5)))

    def _now(self) -> tuple[float, float, float] | None:
        """Seconds: of the clock, idle ones of the usable cores added up, and those spent by this process."""
        wanted = {f"cpu{core}" for core in _cores()}
        try:
            lines = [line.split() for line in (self.root / "proc/stat").read_text(encoding="ascii").splitlines()]
            ticks = sum(int(words[4]) + int(words[5]) for words in lines if words[:1] and words[0] in wanted)
            return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()
        except (OSError, ValueError, IndexError, AttributeError):
            return None


def _cores() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # not on this system
        return set(range(os.cpu_count() or 1))


def _quota(root: Path) -> float:
    """Cores that control groups allow, of either version; infinity where they say nothing."""
    try:
        words = (root / "sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except OSError:
        try:
            folder = root / "sys/fs/cgroup/cpu"
            words = [(folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")]
        except OSError:
            return math.inf
    try:
        quota, period = map(float, words)
    except ValueError:  # "max"
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
