"""Draw docs/pictures/layouts.png: every built-in layout once, with the names of its joints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

import kineme
from kineme.motion import layout as skeleton

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "layouts.png"
COLUMNS = 4
MANY = 40  # joints from which on face and hands are drawn by themselves
INK = {"left": "#2b7bba", "right": "#e06431", "trunk": "#343640"}


def body(name: str) -> tuple[np.ndarray, skeleton.Layout]:
    """Joints of a standing person seen from the front ``[V, 2]``, in metres."""
    motion = next(kineme.synth.generate(1, actions=["jump"], cameras=0, layout=name, coords=3, restless=0))
    joints = motion.joints[:, 0].astype(np.float64)
    elbows = joints[:, [motion.layout.find("left_elbow"), motion.layout.find("right_elbow")]]
    frame = int(np.linalg.norm(elbows[:, 0] - elbows[:, 1], axis=-1).argmax())
    shoulders = joints[frame, motion.layout.find("left_shoulder")] - joints[frame, motion.layout.find("right_shoulder")]
    x, z = shoulders[[0, 2]] / np.linalg.norm(shoulders[[0, 2]])
    place = joints[frame] - joints[frame].mean(0)
    return np.stack([place[:, 0] * x + place[:, 2] * z, place[:, 1]], 1), motion.layout


def side(word: str) -> str:
    first = word.split("_")[0]
    return first if first in ("left", "right") else "trunk"


def panel(axes: Any, place: np.ndarray, layout: skeleton.Layout, joints: list[int], title: str, size: float) -> None:
    """Some joints with their bones; names beside them, left joints at the right."""
    span = np.ptp(place[joints], axis=0).max()
    for joint, parent in layout.bones:
        if joint in joints and parent in joints:
            axes.plot(*place[[joint, parent]].T, color="#b9bbc4", lw=1.5, zorder=1)
    words = layout.canonical_names
    # names in a column at each side, from top to bottom as the joints are; those of the middle where there is room
    columns: dict[int, list[int]] = {1: [], -1: []}
    for joint in sorted(joints, key=lambda joint: -place[joint, 1]):
        if len(joints) > MANY:
            number = layout.joints[joint].rpartition("_")[2]
            axes.text(*place[joint] + 0.012 * span, number, fontsize=size, color=INK[side(words[joint])], zorder=4)
            continue
        where = (
            (1 if place[joint, 0] > place[joints, 0].mean() else -1)
            if len({side(words[i]) for i in joints}) == 1
            else {"left": 1, "right": -1}.get(side(words[joint])) or min(columns, key=lambda end: len(columns[end]))
        )
        columns[where].append(joint)
    middle, top, bottom = place[joints].mean(0), place[joints, 1].max(), place[joints, 1].min()
    for end, members in columns.items():
        if not members:
            continue
        heights = np.linspace(top, bottom, len(members) + 2)[1:-1] if len(members) > 1 else [middle[1]]
        x = (place[joints, 0].max() if end > 0 else place[joints, 0].min()) + 0.12 * end * span
        for joint, y in zip(members, heights):
            ink = INK[side(words[joint])]
            axes.plot([place[joint, 0], x], [place[joint, 1], y], color=ink, lw=0.35, alpha=0.6, zorder=2)
            name = f"{joint} {layout.joints[joint]}"
            axes.text(x, y, name, fontsize=size, color=ink, va="center", ha="left" if end > 0 else "right")
    axes.scatter(*place[joints].T, c=[INK[side(words[joint])] for joint in joints], s=9, zorder=3)
    axes.set_title(title, fontsize=9, fontweight="bold", color=INK["trunk"])
    axes.set_aspect("equal")
    room = 0.05 if len(joints) > MANY else 0.5
    axes.set_xlim(place[joints, 0].min() - room * span, place[joints, 0].max() + room * span)
    axes.axis("off")


def main(picture: Path = PICTURE) -> None:
    """A panel for each layout; of those with a face and hands these are panels of their own, once."""
    panels = []
    parts_drawn = False
    for name in skeleton.layouts():
        place, layout = body(name)
        joints = list(range(len(layout)))
        if len(layout) <= MANY:
            panels.append((place, layout, joints, f"{name}  ({len(layout)})", 5.2))
            continue
        face = [joint for joint in joints if layout.joints[joint].startswith("face_")]
        start = layout.joints.index("left_hand_root")
        trunk = [joint for joint in joints if joint not in face and joint < start]
        panels.append((place, layout, trunk, f"{name}: then face, left and right hand", 5.2))
        if not parts_drawn:
            hand = list(range(start, start + 21))
            turned = _upright(place, layout, hand)
            panels.append((place, layout, face, f"face_0 to face_67 of both; joints {face[0]} to {face[-1]}", 6.0))
            panels.append((turned, layout, hand, "left hand; the right one follows", 5.2))
            parts_drawn = True
    rows = -(-len(panels) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(3.6 * COLUMNS, 3.2 * rows))
    for axes in grid.ravel():
        axes.axis("off")
    for axes, drawn in zip(grid.ravel(), panels):
        panel(axes, *drawn)
    figure.tight_layout()
    figure.savefig(picture, dpi=130)
    plt.close(figure)
    Image.open(picture).convert("RGB").quantize(32).save(picture, optimize=True)  # a quarter of the size


def _upright(place: np.ndarray, layout: skeleton.Layout, hand: list[int]) -> np.ndarray:
    """The hand by itself, fingers up, seen on its palm."""
    from kineme.data.synth.body import PALM, PALM_FURTHER

    turned = place.copy()
    for joint in hand:
        base = layout.canonical_names[joint].removeprefix("left_")
        ahead, aside = {**PALM, **PALM_FURTHER}[base]
        turned[joint] = (-aside, ahead)
    return turned


if __name__ == "__main__":
    main()
