"""Joints told by where they are, for layouts of which no joint is known by its name."""

from __future__ import annotations

import numpy as np

from . import size
from .layout import Layout
from .motion import Motion

STANDING = {  # of a person who stands: to their left, up, to the front; of their height
    "head": (0.0, 0.95, 0.02),
    "nose": (0.0, 0.92, 0.06),
    "neck": (0.0, 0.86, 0.0),
    "chest": (0.0, 0.81, 0.0),
    "spine": (0.0, 0.64, 0.0),
    "pelvis": (0.0, 0.53, 0.0),
    **{
        f"{side}_{name}": (sign * x, y, z)
        for side, sign in (("left", 1), ("right", -1))
        for name, x, y, z in (
            ("shoulder", 0.11, 0.80, 0.0),
            ("elbow", 0.15, 0.63, -0.01),
            ("wrist", 0.16, 0.48, 0.03),
            ("hand", 0.16, 0.43, 0.04),
            ("hip", 0.06, 0.52, 0.0),
            ("knee", 0.06, 0.28, 0.01),
            ("ankle", 0.06, 0.05, -0.02),
            ("foot", 0.07, 0.01, 0.08),
        )
    },
}
FEWEST = 5  # joints from which a body has a form
FRAMES = 16  # that are looked at
TURNS = 72
FAR = 0.15  # heights between a joint and its place: no such joint


def guess(motion: Motion, target: Layout) -> dict[str, str]:
    """Which joint of a 3-D motion is where each of a layout is in a standing body: ``{target joint: its joint}``.

    Frames of the first person are laid over a standing figure in all directions, and the two are matched one to one
    with the least sum of squared distances (the Hungarian method); the frame that fits best decides. Left and right may
    be exchanged where nothing tells front from back.

    Returns:
        Empty where there are too few joints, or no body stands.
    """
    from scipy.optimize import linear_sum_assignment

    known = motion.confidence > 0
    person = size.main_person(motion.layout, known)
    some = np.linspace(0, len(motion) - 1, min(len(motion), FRAMES)).astype(int)
    body, known = motion.joints[some, person].astype(np.float64), known[some, person]
    names = [name for name in target.canonical_names if name in STANDING]
    others = [name for name in STANDING if name not in names]  # so that a hand is not taken for a wrist
    best, found = np.inf, {}
    for up in (motion.up,) if motion.up else ("+y", "+z", "-y", "-z", "+x", "-x"):
        axis, sign = "xyz".index(up[1]), 1 if up[0] == "+" else -1
        heights = np.where(known, sign * body[..., axis], np.nan)
        spans = np.where(known.any(1), np.nanmax(heights, 1, initial=-1e9) - np.nanmin(heights, 1, initial=1e9), 0)
        for frame in np.flatnonzero((known.sum(1) >= FEWEST) & (spans > 0)):
            rows = np.flatnonzero(known[frame])
            points = body[frame, rows][:, [(axis + 2) % 3, axis, (axis + 1) % 3]] * (1, sign, sign)
            points -= (np.median(points[:, 0]), points[:, 1].min(), np.median(points[:, 2]))
            points /= spans[frame]
            figure = np.array([STANDING[name] for name in (*names, *others)[: max(len(names), len(rows))]])
            for turn in np.linspace(0, 2 * np.pi, TURNS, endpoint=False):
                c, s = np.cos(turn), np.sin(turn)
                turned = points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
                squares = np.minimum(np.square(figure[:, None] - turned[None]).sum(-1), FAR**2)
                pairs = linear_sum_assignment(squares)
                if (cost := squares[pairs].mean()) < best:
                    best = cost
                    found = {i: rows[j] for i, j in zip(*pairs) if i < len(names) and squares[i, j] < FAR**2}
    spelt = dict(zip(target.canonical_names, target.joints))
    return {spelt[names[i]]: motion.layout.joints[joint] for i, joint in found.items()}
