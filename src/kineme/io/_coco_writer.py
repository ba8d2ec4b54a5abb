"""Motion written as COCO keypoints, one file for each video, as :mod:`kineme.io.coco` reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.files import atomic


def write(folder: str | Path, motions: Iterable[Motion]) -> Path:
    """One ``NAME.json`` per clip; see :func:`write_file`.

    Raises:
        InputError: a motion in space, two of one name.
    """
    folder, names = Path(folder), set[str]()
    folder.mkdir(parents=True, exist_ok=True)
    for clip in motions:
        name = re.sub(r"[^\w.#-]", "_", clip.source).strip(".") or "clip"
        if name in names:
            raise InputError(clip.source, "a second clip of this name", "names of their own")
        names.add(name)
        write_file(folder / f"{name.removesuffix('.json')}.json", clip)
    return folder


def write_file(path: str | Path, motion: Motion) -> Path:
    """Images, annotations and the category of a motion in an image: keypoints are x, y and confidence.

    Every frame is an image of one video (``vid_id``), every person has a ``track_id``; joints are named, so any layout
    comes back. ``videos`` tells the frames per second. Places are rounded to thousandths of a pixel, shares of the
    image to millionths, confidence to five digits.

    Raises:
        InputError: a motion in space.
    """
    path = Path(path)
    if motion.coords != 2:
        raise InputError(motion.source or "motion", "a motion in space", "one in an image (2-D)")
    name, first = path.stem, int(motion.extra.get("first_frame", 0))
    step = int(motion.extra.get("frame_step", 1))
    numbers = [first + step * k for k in range(len(motion))]
    width, height = motion.image_size or (None, None)
    sizes: dict[str, Any] = {} if width is None else {"width": width, "height": height}
    images = [{"id": n, "file_name": f"{name}/{n:06d}.jpg", "vid_id": name, "frame_id": n, **sizes} for n in numbers]
    digits = 3 if motion.unit == "px" else 6
    places = np.round(motion.joints.astype(np.float64), digits)
    sure = np.round(motion.confidence.astype(np.float64), 5)
    rows = np.concatenate([places, sure[..., None]], axis=-1)
    entries: list[dict[str, Any]] = []
    for frame, person in np.argwhere(motion.confidence.any(2)).tolist():
        row, seen = rows[frame, person], sure[frame, person] > 0
        row = np.where(seen[:, None], row, 0)
        low, high = row[seen, :2].min(0, initial=np.inf), row[seen, :2].max(0, initial=-np.inf)
        entries.append(
            {
                "id": len(entries) + 1,
                "image_id": numbers[frame],
                "category_id": 1,
                "track_id": person,
                "keypoints": row.ravel().tolist(),
                "num_keypoints": int(seen.sum()),
                "bbox": [*low.tolist(), *np.round(high - low, digits).tolist()] if seen.any() else [0, 0, 0, 0],
                "score": round(float(row[seen, 2].mean()), 5) if seen.any() else 0,
                "iscrowd": 0,
            }
        )
    edges = [[joint + 1, parent + 1] for joint, parent in motion.layout.bones]
    content = {
        "info": {"description": "poses over time, written by Kineme"},
        "videos": [{"id": name, "name": name, **({"fps": motion.fps * 1.0} if motion.fps else {})}],
        "images": images,
        "annotations": entries,
        "categories": [{"id": 1, "name": "person", "keypoints": list(motion.layout.joints), "skeleton": edges}],
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    return path
