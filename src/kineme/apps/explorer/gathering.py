"""What many ask at once is answered together; who asks alone waits for nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")
MOST = 64  # questions that are answered at a time


class Gathering(Generic[T]):
    """One thread that answers questions. Those that come while it works wait, and it takes all of them next.

    Args:
        answer: takes questions and gives for each what it found, or the error that it met.
    """

    def __init__(self, answer: Callable[[Sequence[T]], Sequence[Any]]):
        self._answer = answer
        self._waiting: deque[tuple[T, Future]] = deque()
        self._worker = ThreadPoolExecutor(1, "gathering")

    def ask(self, question: T) -> Future:
        """The answer, when it is there."""
        found: Future = Future()
        self._waiting.append((question, found))
        self._worker.submit(self._take)
        return found

    def _take(self) -> None:
        """Answer all that waits; nothing where an earlier call took it along."""
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))]
        taken = [each for each in taken if each[1].set_running_or_notify_cancel()]  # whoever hung up is not answered
        if not taken:
            return
        try:
            answers = self._answer([question for question, _ in taken])
        except Exception as error:
            answers = [error] * len(taken)
        for (_, found), answer in zip(taken, answers):
            if isinstance(answer, Exception):
                found.set_exception(answer)
            else:
                found.set_result(answer)
