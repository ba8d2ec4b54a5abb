"""A small store of 2-D clips, and a model that has a prepared code for each of its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion


class FrameModel:
    """Gives prepared codes ``[F, D]`` of a store, an array for each part; of a motion what ``see`` says."""

    def __init__(
        self,
        codes: np.ndarray | dict[str, np.ndarray],
        before: FrameModel | None = None,
        see: Callable[[Motion, str], np.ndarray] | None = None,
    ):
        codes = codes if isinstance(codes, dict) else {"pose": codes, "view": codes}
        self.codes = {part: np.asarray(each, np.float32) for part, each in codes.items()}
        self.card, self.path, self.before, self.see = {"unit": "frame"}, "runs/frames", before, see
        self.asked: list[tuple[int | None, str]] = []

    def frames(self, what: Any, rows=None, *, part: str = "pose") -> tuple[np.ndarray, np.ndarray]:
        if isinstance(what, Motion):
            assert self.see is not None
            return self.see(what, part).astype(np.float32), np.array([0, len(what)])
        self.asked.append((None if rows is None else len(rows), part))
        rows = np.arange(len(what)) if rows is None else rows
        pieces = [self.codes[part][what.offsets[row] : what.offsets[row + 1]] for row in rows]
        return np.concatenate(pieces), np.concatenate([[0], np.cumsum(what.lengths[rows])])

    def embed(self, what: Store, rows=None, *, crop=None) -> np.ndarray:
        codes, offsets = self.frames(what, rows)
        return np.add.reduceat(codes, offsets[:-1]) / np.diff(offsets)[:, None]

    def untrained(self) -> FrameModel:
        assert self.before is not None
        return self.before


def frame_store(path: Path, labels: Sequence[str], cameras: Sequence[Any] = (None,), seed: int = 0) -> Store:
    """Clips of random poses, 8 to 24 frames; the cameras take turns."""
    rng = np.random.default_rng(seed)
    layout = skeleton.layout("pose13")
    with Writer(path, layout, 1, 2, normalise={"how": "image", "options": {}}) as writer:
        for i, label in enumerate(labels):
            writer.add(
                Motion(
                    rng.normal(size=(int(rng.integers(8, 25)), 1, 13, 2)),
                    layout,
                    up="-y",
                    label=label,
                    camera=cameras[i % len(cameras)],
                    source=f"clip{i:03d}",
                    extra={"repetition": i % 2 + 1},
                )
            )
    return Store(path)
