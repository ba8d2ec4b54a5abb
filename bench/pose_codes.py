"""How far do CV-MIM's codes know the pose and forget the camera? Looks at finished runs on a store of 3-D poses.

    python bench/pose_codes.py STORE RUN... [--split NAME] [--queries 1000] [--seed 0]

Frames of the clips that the run was not trained on (the test part of its split; --split for runs without one), each
before two random cameras. For the normalised joints that the encoder sees, its codes before training (batch-norm
statistics taken once), and its learned codes:

* ``hit@1``: share of the frames whose nearest neighbour (Euclidean) among the views by the second camera is the same
  frame; ``near``: is a frame whose body is less than 0.1 trunk lengths away (mean joint error, not turned);
* ``azimuth``: accuracy of a logistic regression on which of eight sides of the body the camera looks at, fitted on
  frames of the other clips; chance is one in eight if people turn about enough. Low is good for a pose code.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import kineme
from kineme.data import splits, store
from kineme.inference.model import Model
from kineme.methods import generator
from kineme.motion import camera
from kineme.views import keypoints, random_cameras
from kineme.views.batch import Batch
from kineme.views.pose_pairs import Draw, Pairs
from kineme.views.source import ClipLoader

NEAR, SECTORS, FIT = 0.1, 8, 8000  # trunk lengths; sides of the body; frames that the probe is fitted on


def frames(pairs: Pairs, rows: np.ndarray, count: int) -> Tensor:
    """So many usable frames, evenly over the clips ``rows``."""
    numbers = pairs.source.frame_numbers(torch.as_tensor(rows))
    numbers = numbers[pairs.usable(numbers)]
    return numbers[torch.linspace(0, len(numbers) - 1, min(count, len(numbers))).long()]


def side_of_body(pairs: Pairs, draw: Draw) -> np.ndarray:
    """The sector ``[B]`` of the camera's azimuth about the body, by the line of the shoulders as the camera has it."""
    joints, _ = pairs.person(draw.numbers)
    body = random_cameras.upright(
        keypoints.normalise(joints, pairs.profile).points, pairs.source.up, pairs.source.upward
    )
    turned = camera.rotate(body, random_cameras.rotation_matrices(draw.cameras.angles, draw.cameras.frame))
    turned = keypoints.pick(turned, pairs.profile, -2)
    right, away = (turned[:, 2] - turned[:, 1])[:, :2].unbind(1)
    return ((torch.atan2(away, right) / (2 * torch.pi) * SECTORS).floor().long() % SECTORS).numpy()


def apart(pairs: Pairs, numbers: Tensor) -> Tensor:
    """Mean joint errors ``[B, B]`` of the bodies in lengths of the trunk, as they stand in the room."""
    body = pairs.bodies(numbers).joints[:, 0, 0]
    return torch.cat([keypoints.mpjpe(some[:, None], body) for some in body.split(100)])


@torch.inference_mode()
def codes(model: Model, view: Batch) -> dict[str, Tensor]:
    """What the encoder sees of a side ``[B, 26]``, and its codes ``[B, D]``."""
    found = {name: part[:, 0] for name, part in model.encoder(view).parts.items()}
    return {"raw": model.encoder.input(view)[:, 0], **found}  # type: ignore[operator]


def look(data: store.Store, run: Path, split: str | None, queries: int, seed: int) -> dict[str, dict[str, float]]:
    """The figures of one run, per representation."""
    model = kineme.load(run, device="cpu")
    parts = splits.split(data, split or model.card["split"] or "random")
    pairs = Pairs(ClipLoader(data), random_cameras.CameraSettings())
    gen = generator("pose codes", seed)
    numbers = frames(pairs, parts.test, queries)
    sides = [pairs.draw_views(numbers, gen) for _ in range(2)]
    fitted = pairs.draw_views(frames(pairs, parts.train, FIT), gen)
    near = apart(pairs, numbers) < NEAR
    sector = {"test": side_of_body(pairs, sides[0]), "fit": side_of_body(pairs, fitted)}
    views = [pairs.views(side) for side in (*sides, fitted)]

    table = {}
    for word, encoder in (("random", model.untrained()), ("learned", model)):
        first, second, many = (codes(encoder, view) for view in views)
        for name in first if word == "random" else [name for name in first if name != "raw"]:
            nearest = torch.cdist(first[name], second[name]).argmin(1)
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
            probe.fit(many[name].numpy(), sector["fit"])
            table[name if name == "raw" else f"{word} {name}"] = {
                "hit@1": float((nearest == torch.arange(len(nearest))).float().mean()),
                "near": float(near[torch.arange(len(nearest)), nearest].float().mean()),
                "azimuth": float(probe.score(first[name].numpy(), sector["test"])),
            }
    return table


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("store")
    words.add_argument("run", nargs="+", type=Path)
    words.add_argument("--split")
    words.add_argument("--queries", type=int, default=1000)
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    data = store.open(given.store)
    for run in given.run:
        print(run)
        for name, row in look(data, run, given.split, given.queries, given.seed).items():
            print(f"  {name:16}", *(f"{word} {value:6.1%}  " for word, value in row.items()))


if __name__ == "__main__":
    main()
