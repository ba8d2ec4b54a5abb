"""Windows of long recordings: how many frames they have, and where they lie."""

from __future__ import annotations

import math

import numpy as np

from ..utils.errors import InputError


def asked(name: str, seconds: float | None, fps: float | None, where: str, hint: str = "") -> int | None:
    """Seconds that a user gives, in frames of a motion.

    Args:
        name: of the option, for messages.
        seconds: None where none were given.
        fps: of the motion.
        where: the motion, for messages.
        hint: what to do where it has no frame rate.

    Returns:
        Frames, at least 1, or None.

    Raises:
        InputError: no positive number; a motion without a frame rate.
    """
    if seconds is None:
        return None
    if not (isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0):
        raise InputError(name, repr(seconds), "seconds above 0")
    if fps is None:
        raise InputError(name, f"{seconds:g} seconds, but {where} has no frame rate", "a motion with one", hint)
    return max(1, round(seconds * fps))


def cut(frames: int, window: int, step: int) -> np.ndarray:
    """Windows of a recording: every ``step`` frames one, the last one ends with the recording.

    Args:
        frames: T of the recording.
        window, step: in frames.

    Returns:
        int64 ``[n, 2]``: frames ``start`` up to, not including, ``end``. One shorter than a window is one window.

    Raises:
        InputError: a window or step below 1.

    Examples:
        >>> cut(10, 4, 3).tolist(), cut(11, 4, 3).tolist(), cut(3, 4, 3).tolist()
        ([[0, 4], [3, 7], [6, 10]], [[0, 4], [3, 7], [6, 10], [7, 11]], [[0, 3]])
    """
    if window < 1 or step < 1:
        raise InputError("windows", f"{window} frames every {step}", "at least one frame")
    last = max(0, frames - window)
    starts = np.arange(0, last + 1, step)
    if starts[-1] < last:
        starts = np.append(starts, last)
    return np.stack([starts, np.minimum(starts + window, frames)], 1)
