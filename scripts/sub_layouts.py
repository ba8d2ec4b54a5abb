"""How a run meets queries with fewer joints than its gallery (docs/results/sub-layouts.md).

`python scripts/sub_layouts.py STORE SPLIT [--run base]`: the training side of the split is the gallery and teaches the
linear probe, with all joints of the store; test clips are asked with the joints of smaller layouts, or without some.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator

import numpy as np

import kineme
from kineme.data import splits
from kineme.evaluation.protocols.knn import predict
from kineme.evaluation.protocols.linear import logistic
from kineme.motion import layout as skeleton

LAYOUTS = ("pose13", "coco17", "h36m17")
LEFT_OUT = (
    ("head", "neck"),
    ("left_wrist", "right_wrist", "left_hand", "right_hand"),
    ("left_elbow", "right_elbow"),
    ("left_knee", "right_knee"),
    ("left_ankle", "right_ankle", "left_foot", "right_foot"),
    ("pelvis", "left_hip", "right_hip"),
    ("left_elbow", "left_wrist", "left_hand"),
)


def without(motions: list[kineme.Motion], words: tuple[str, ...]) -> list[kineme.Motion]:
    """In a layout that lacks these joints, by their canonical names."""
    layout = motions[0].layout
    rows = [row for row, word in enumerate(layout.canonical_names) if word not in words]
    names = [layout.joints[row] for row in rows]
    less = skeleton.identify(names) or skeleton.free(names, [-1] * len(names))
    return [m.with_(joints=m.joints[:, :, rows], confidence=m.confidence[:, :, rows], layout=less) for m in motions]


def queries(motions: list[kineme.Motion]) -> Iterator[tuple[str, list[kineme.Motion]]]:
    """The test clips, and what they are called in the table."""
    yield "all joints", motions
    for name in LAYOUTS:
        yield f"{name}, {len(skeleton.layout(name))} joints", [motion.to_layout(name) for motion in motions]
    for words in LEFT_OUT:
        there = [word for word in words if word in motions[0].layout.canonical_names]
        yield f"without {', '.join(there)}", without(motions, words)


def main() -> None:
    """Print a row for each kind of query."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("split", metavar="SPLIT")
    parser.add_argument("--run", default="base")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    store, model = kineme.open(args.store), kineme.load(args.run, "cpu")
    sides = splits.split(store, args.split)
    numbers = np.unique(store.column("label").tolist(), return_inverse=True)[1]
    taught, truth = numbers[sides.train], numbers[sides.test]
    gallery = model.embed(store, sides.train)
    print(f"| {store.path.name} {args.split} | 1-NN | linear |\n|---|---|---|")
    for name, motions in queries(store[sides.test]):
        asked = model.embed(motions)
        near = predict(gallery, taught, asked, [1])[1] == truth
        probe = logistic(gallery, taught, asked).argmax(1) == truth
        print(f"| {name} | {near.mean():.3f} | {probe.mean():.3f} |", flush=True)


if __name__ == "__main__":
    main()
