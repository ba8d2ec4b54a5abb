"""Progress of long work on the terminal: a live bar where there is one, a plain line now and then elsewhere."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PLAIN_SECONDS = 15.0
Show = bool | Callable[[str, int, int], None]
"""Whether progress is shown on the terminal; a function is also told what is done, how many units, and of how many."""


class Bar:
    """``with Bar("pretrain", 100) as bar: bar.update(3, "loss 2.1")``; quiet when ``show`` is False. Writes to
    standard error.
    """

    def __init__(self, title: str, total: int, show: Show = True):
        self.title, self.total, self.show = title, total, bool(show)
        self._tell = show if callable(show) else None
        self._live: Any = None
        self._task: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> Bar:
        if self.show and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._live.start()
            self._task = self._live.add_task(self.title, total=self.total, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """``done`` of ``total`` units are finished; ``total`` may become known only now."""
        self.total = self.total if total is None else total
        if self._tell is not None:
            self._tell(self.title, done, self.total)
        if self._live:
            self._live.update(self._task, completed=done, total=self.total, note=note)
        elif self.show and (time.monotonic() - self._last > PLAIN_SECONDS):
            self._last = time.monotonic()
            self.say(f"{self.title}: {done} of {self.total}  {note}".rstrip())

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.show:
            return
        if self._live:
            self._live.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C, or the SIGTERM by which clusters end a job, asks a loop to stop after the step under way; a second one
    stops at once.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
