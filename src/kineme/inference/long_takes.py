"""Long recordings as an encoder takes them: windows, each a clip of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..motion import windows
from ..motion.motion import Motion

HINT = "Give it with motion.with_(fps=30), or embed the motion as a whole"


class Windows(NamedTuple):
    """What an encoder says of windows.

    Attributes:
        vectors: float32 ``[n, D]``.
        clips: int64 ``[n]``, of which of the clips each is a window.
        times: float64 ``[n, 2]``, where it begins and ends there, in seconds.
    """

    vectors: np.ndarray
    clips: np.ndarray
    times: np.ndarray


def cut(motions: Sequence[Motion], window: float, step: float | None) -> tuple[list[Motion], np.ndarray, np.ndarray]:
    """The windows of some motions, the last of each ending with it; a shorter motion is one window.

    Args:
        motions: at least one.
        window, step: seconds; a step is half a window unless it is said.

    Returns:
        the windows; as in :class:`Windows` their ``clips`` and ``times``.

    Raises:
        InputError: seconds that are not above 0; a motion without a frame rate.
    """
    parts, clips, times = [], [], []
    for k, motion in enumerate(motions):
        where = motion.source or "the motion"
        width = windows.asked("window", window, motion.fps, where, HINT) or len(motion)
        stride = windows.asked("step", step, motion.fps, where, HINT) or max(1, width // 2)
        for start, end in windows.cut(len(motion), width, stride).tolist():
            parts.append(motion.slice(start, end))
            clips.append(k)
            times.append((start / (motion.fps or 1), end / (motion.fps or 1)))
    return parts, np.array(clips, np.int64), np.array(times, np.float64).reshape(-1, 2)
