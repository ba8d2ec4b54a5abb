"""Processes that are ready at once: forked from one that has loaded torch, where the system forks safely.

A test that kills, interrupts or resumes needs a process of its own. Loading torch and its optimisers takes a process
three seconds of CPU; multiprocessing's fork server does that once for all of them. Tests about the start of Python
itself (its path, limits on it, ``torchrun``) use ``subprocess``.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

FORKS = sys.platform == "linux"  # macOS' frameworks do not survive a fork
CONTEXT = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    OURS = ["helpers.training", "kineme.evaluation.reproduce", "kineme.apps.demo"]
    OTHERS = ["pytest", "torch._dynamo", "rich.console", "rich.table", "sklearn.linear_model", "matplotlib.figure"]
    CONTEXT.set_forkserver_preload([*OTHERS, *OURS])


class Process:
    """A call in a process of its own, with what ``subprocess.Popen`` offers of it: text, exit code, signals."""

    def __init__(self, call: Callable[..., object], *args: object, env: Mapping[str, str] | None = None, cwd=None):
        self._folder = tempfile.TemporaryDirectory(prefix="kineme-test-")
        out = Path(self._folder.name)
        self._texts = out / "stdout", out / "stderr"
        for path in self._texts:
            path.touch()
        self._process = CONTEXT.Process(
            target=_begin, args=(self._texts, dict(env or {}), cwd and str(cwd), call, args)
        )
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Standard output and standard error, after the end."""
        self.wait(timeout)
        out, err = (path.read_text(encoding="utf-8") for path in self._texts)
        return out, err


def _begin(texts: tuple[Path, Path], env: dict[str, str], cwd: str | None, call: Callable[..., object], args) -> None:
    for number, path in enumerate(texts, 1):
        target = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(target, number)
        os.close(target)
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
        sys.path.insert(0, "")
    try:
        code = call(*args)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.exit(code)


def command(*words: str, path: str | None = None, file_size: int | None = None) -> int:
    """``kineme WORDS``.

    Args:
        path: a folder of installed packages.
        file_size: the most bytes that a file may take, as on a full disk.
    """
    from kineme.apps.cli import main

    if path is not None:
        sys.path.insert(0, path)
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    return main(words)


def python(path: str | Path, *words: object) -> None:
    """``python PATH WORDS``."""
    sys.argv = [str(path), *map(str, words)]
    runpy.run_path(str(path), run_name="__main__")


def python_c(text: str) -> None:
    """``python -c TEXT``."""
    exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})


def finished(process: Process, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Wait for the end; a process that takes too long is killed."""
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess([], process.returncode, out, err)
