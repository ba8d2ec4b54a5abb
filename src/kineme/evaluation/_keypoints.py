"""The keypoints of single frames: what stands beside per-frame codes, under the same network."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from ..motion.motion import Motion
from ..views import keypoints
from ..views.batch import Clips

BLOCK = 1 << 16  # frames of the store in memory at a time


class Keypoints:
    """Stands in the place of a model whose unit is the frame: the 13 joints of person 0, normalised frame by frame as
    CV-MIM's encoder does (spec cv_mim.md, section 1.1), missing ones at the origin; 26 numbers in 2-D, 39 in 3-D.
    """

    card: ClassVar[dict[str, str]] = {"unit": "frame"}

    def frames(
        self, what: Clips | Motion, rows: np.ndarray | None = None, *, part: str = "pose"
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 ``[F, 26 or 39]`` and int64 ``[n + 1]``, as :meth:`kineme.embed.Model.frames`; of all parts the same.

        Raises:
            InputError: a layout without shoulders or hips.
        """
        if isinstance(what, Motion):
            joints, seen, lengths, begin = what.joints, what.confidence, np.array([len(what)]), np.array([0])
        else:
            joints, seen, lengths, begin = what.frames, what.seen, what.lengths, what.offsets
        rows = np.arange(len(lengths)) if rows is None else np.asarray(rows, np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths[rows])])
        at = np.arange(offsets[-1]) + np.repeat(begin[rows] - offsets[:-1], lengths[rows])
        taken = keypoints.taken(what.layout, joints.shape[3])
        found = np.empty((len(at), keypoints.JOINTS * joints.shape[3]), np.float32)
        for first in range(0, len(at), BLOCK):
            part_of = at[first : first + BLOCK]
            body, there = taken(*(torch.from_numpy(array[part_of, 0]) for array in (joints, seen)))
            points = keypoints.normalise(body, taken.profile, there).points
            found[first : first + BLOCK] = keypoints.pick(points, taken.profile, -2).flatten(1).numpy()
        return found, offsets
