"""Share of poses whose nearest code from another camera is the same pose: cross-view pose retrieval."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...data.store import Store
from ...utils.errors import InputError
from ...views import keypoints
from ...views.random_cameras import CameraSettings
from ...viz import strips
from ..task import Task, require_frame_model
from . import _camera_pairs


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        gallery: poses seen by the one camera, among which those that the other sees are looked up.
        k: a hit is the same pose among the k nearest; one figure for each number.
        near: mean distance of the joints, in lengths of the trunk, up to which another pose counts as near (stores of
            3-D poses only; bodies are not turned onto each other).
        distance: between codes.
        part: which code of a frame.
        cameras: how they are drawn around 3-D poses.
    """

    gallery: int = 1000
    k: tuple[int, ...] = (1, 10)
    near: float = 0.1
    distance: Literal["euclidean", "cosine"] = "euclidean"
    part: str = "pose"
    cameras: CameraSettings = field(default_factory=CameraSettings)

    def __post_init__(self) -> None:
        if not self.gallery > 1 or not self.k or min(self.k) < 1:
            raise InputError(
                "pose_retrieval",
                f"a gallery of {self.gallery} poses, k = {self.k}",
                "two poses or more, and numbers of neighbours from 1 up",
            )


class Found(NamedTuple):
    """n poses as the first camera sees them, and for each the nearest of those that the second sees, nearest first
    (int64 ``[n, max k]``).
    """

    shots: _camera_pairs.Shots
    nearest: Tensor


def score(task: Task, settings: Settings) -> dict[str, float]:
    """Share of the poses of the test clips that are found, with the size of the gallery: ``hit@1 of 1000``; of 3-D
    poses also ``near hit@1 of 1000``. Of recorded poses the mean over all pairs of cameras.

    Raises:
        InputError: see :func:`retrieve`.
    """
    each = [_hits(found, settings) for found in retrieve(task.model, task.store, task.test, settings, task.seed)]
    return {name: float(np.mean([hits[name] for hits in each])) for name in each[0]}


def baseline(settings: Settings) -> tuple[str, Settings]:
    """The normalised keypoints themselves in the place of the codes."""
    return "keypoints", settings


def retrieve(model: Any, store: Store, rows: np.ndarray, settings: Settings, seed: int = 0) -> list[Found]:
    """Look up poses that one camera sees among the same poses as another sees them.

    3-D poses are seen by two cameras of their own for each pose; of recorded ones every two cameras are compared, in
    both directions.

    Args:
        model: a run with a code for each frame.
        store: 3-D poses (around which cameras are drawn), or 2-D ones of synchronous cameras; labels are not needed.
        rows: clips to take poses from.
        seed: of poses and cameras; the same for all models.

    Raises:
        InputError: a run that has one vector per clip; no two cameras that saw the same poses.
    """
    model = require_frame_model(model)
    gen, rows = torch.Generator().manual_seed(seed), np.asarray(rows, np.int64)
    if store.coords == 3:
        each = [_camera_pairs.draw(store, rows, settings.gallery, settings.cameras, gen)]
    else:
        each = _camera_pairs.recorded(store, rows, settings.gallery, gen)
    found = []
    for shots in each:
        codes = [torch.from_numpy(model.frames(side, part=settings.part)[0]) for side in shots[:2]]
        query, gallery = map(normalize, codes) if settings.distance == "cosine" else codes
        apart = torch.cdist(query, gallery, compute_mode="donot_use_mm_for_euclid_dist")
        found.append(_nearest(shots, apart, settings))
        if shots.body is None:
            found.append(_nearest(shots._replace(first=shots.second, second=shots.first), apart.T, settings))
    return found


def picture(found: Found, path: str | Path, poses_shown: int = 10) -> None:
    """Draw the first poses, below each the one that was found for it and the one that should have been, both as the
    other camera sees them.

    Args:
        found: of :func:`retrieve`, whose poses are in random order.
        path: picture to write.
        poses_shown: how many.
    """
    first, second = (_camera_pairs.upright(each) for each in found.shots[:2])
    best = found.nearest[:, 0].numpy()
    some = min(poses_shown, len(first))
    rows = [first, second.with_(joints=second.joints[best], confidence=second.confidence[best]), second]
    strips.grid([row.slice(0, some) for row in rows], path, ["query", "nearest", "truth"], some)


def _nearest(shots: _camera_pairs.Shots, apart: Tensor, settings: Settings) -> Found:
    """``apart``: ``[n, n]`` from queries to the gallery."""
    return Found(shots, apart.topk(min(max(settings.k), len(apart)), largest=False).indices)


def _hits(found: Found, settings: Settings) -> dict[str, float]:
    (_, _, body, _), nearest = found
    hits = {"hit": nearest == torch.arange(len(nearest))[:, None]}
    if body is not None:
        hits["near hit"] = torch.stack([keypoints.mpjpe(body[column], body) for column in nearest.T], 1) < settings.near
    return {
        f"{name}@{k} of {len(nearest)}": float(hit[:, :k].any(1).double().mean())
        for name, hit in hits.items()
        for k in settings.k
    }
