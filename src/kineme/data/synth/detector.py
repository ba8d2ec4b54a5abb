"""What a pose detector makes of a picture: joints that jitter, sink in confidence, get lost, or change sides."""

from __future__ import annotations

import numpy as np

from ...motion.layout import Layout
from .figure import INDEX, Figure
from .looks import Domain
from .shot import Film

BLUR = 0.004  # jitter that any picture adds, as a share of its width: of far people it is more of the body
KEPT = 0.5  # share of the jitter that stays from frame to frame
HIDDEN = (1.0, 2.5, 4.0)  # times the jitter of joints in sight, behind a body, behind something else
LOST = (0.002, 0.08, 0.55)  # share of them that is not found
SURE = ((0.82, 0.98), (0.35, 0.65), (0.1, 0.35))  # their confidence
RUN = (3, 8)  # frames for which sides are exchanged


def detect(
    film: Film, figure: Figure, layout: Layout, ranges: Domain, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Detected joints in pixels.

    Args:
        film: places and what covers them.
        figure: whose joints they are.
        layout: of the joints; its mirror pairs are what can change sides.
        ranges: jitter in torso lengths and chance of exchanged sides.
        rng: draws are made here and nowhere else.

    Returns:
        float32 ``[T, M, V, 2]`` (x, y) and confidence ``[T, M, V]``; 0 where a joint is outside the picture, never seen
        in the recording, or lost.
    """
    frames, persons, joints = film.covered.shape
    side = film.pictures.shape[1]
    places, depth = film.places[..., :2].astype(np.float64), film.places[..., 2]
    white = rng.standard_normal((frames, persons, joints, 2))
    for frame in range(1, frames):
        white[frame] = KEPT * white[frame - 1] + np.sqrt(1 - KEPT**2) * white[frame]
    trunk = np.linalg.norm(figure.points[:, :, INDEX["neck"]] - figure.points[:, :, INDEX["pelvis"]], axis=-1)
    near = figure.present & np.isfinite(depth).all(2)
    shown = [trunk[near[:, m], m] * film.focal / depth[near[:, m], m].mean(1) for m in range(persons)]
    torso = np.array([np.median(each) if len(each) else 0.0 for each in shown])  # pixels
    amount = np.sqrt((ranges.jitter * torso) ** 2 + (BLUR * side) ** 2)[:, None]
    found = places + white * (amount * np.array(HIDDEN)[film.covered])[..., None]
    low, high = np.moveaxis(np.array(SURE)[film.covered], -1, 0)
    confidence = rng.uniform(low, high)
    confidence[rng.random(confidence.shape) < np.array(LOST)[film.covered]] = 0
    inside = ((places >= 0) & (places < side)).all(-1)
    confidence[~(inside & figure.known & figure.present[..., None])] = 0
    for person in range(persons):
        if rng.random() < ranges.swaps:
            begin, length = int(rng.integers(frames)), int(rng.integers(*RUN))
            run, mirror = slice(begin, begin + length), list(layout.mirror)
            found[run, person], confidence[run, person] = found[run, person, mirror], confidence[run, person, mirror]
    found[~(confidence > 0)] = 0
    return found.astype(np.float32), confidence.astype(np.float32)
