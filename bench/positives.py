"""Whose neighbours are HaLP's positives? Looks at a finished run with labels, which training never sees.

    python bench/positives.py STORE RUN...

For each run, on the clips it was trained on: how pure its prototypes are (share of clips whose nearest prototype has
mostly clips of their own label), which share of the positives is kept and how far they lie from their anchors, how far
the nearest other key lies, and the share of an anchor's label among the five keys nearest to the anchor and nearest to
its kept positives. Positives that leave the class of their anchor show in the last two.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kineme.data import splits, store
from kineme.data.store import Store
from kineme.methods import StepContext
from kineme.methods.halp import HaLP
from kineme.nn import hallucination
from kineme.training import checkpoint, recipe
from kineme.training.recipe import build_method
from kineme.utils.files import read_json
from kineme.views.augment import centre_crop
from kineme.views.source import ClipLoader

NEAR, MOST = 5, 8000  # neighbours looked at, positives looked at


@torch.inference_mode()
def look(data: Store, run: Path) -> dict[str, float]:
    """The figures of one run."""
    card = read_json(run / "card.json")
    method = build_method(recipe.from_card(card), data.layout, data.coords, data.persons, card["seed"])
    assert isinstance(method, HaLP), "only HaLP has positives"
    state = checkpoint.load(run / "resume" / "state.safetensors")[0]
    checkpoint.restore(method, checkpoint.part(state, "method/"), run)
    method.eval()
    rows = torch.as_tensor(splits.split(data, card["split"]).train)
    labels = torch.as_tensor(np.unique(data.column("label").astype(str), return_inverse=True)[1])[rows]
    source, stream = ClipLoader(data, rows=rows), method.streams[0]

    keys = []
    for index in rows.split(256):
        crop = centre_crop(source.lengths[index], 0.95)
        view = source.gather(index, crop.start, crop.length, method.frames)
        keys.append(method.branch(stream).key(method._stream(view, stream)))
    z, centres = torch.cat(keys), method.prototypes(stream)
    plan = method.plan(stream, z, method.draw(stream, len(z), StepContext(seed=card["seed"])))
    points = hallucination.positives(z, centres, plan)

    own = plan.kept.nonzero()
    own = own[torch.randperm(len(own), generator=torch.Generator().manual_seed(0))[:MOST]]
    everyone = torch.arange(len(z))
    similar = (z @ z.T).fill_diagonal_(-1)
    groups = [labels[plan.nearest == p].bincount() for p in plan.nearest.unique()]
    return {
        "purity of prototypes": float(sum(int(group.max()) for group in groups) / len(z)),
        "kept": float(plan.kept.float().mean()),
        "radians to a kept positive": float((plan.t * plan.omega)[plan.kept].mean()),
        "radians to the nearest other key": float(similar.amax(1).clamp(-1, 1).arccos().mean()),
        "own label near the anchor": _share(z, everyone, z, labels),
        "own label near the positive": _share(points[own[:, 0], own[:, 1]], own[:, 0], z, labels),
    }


def _share(points: Tensor, owners: Tensor, keys: Tensor, labels: Tensor) -> float:
    """Share of the owner's label among the nearest keys of each point, the owner's own key left out."""
    similar = points @ keys.T
    similar[torch.arange(len(points)), owners] = -2
    return float((labels[similar.topk(NEAR, 1).indices] == labels[owners][:, None]).float().mean())


if __name__ == "__main__":
    opened = store.open(sys.argv[1])
    for path in map(Path, sys.argv[2:]):
        print(path, {name: round(value, 3) for name, value in look(opened, path).items()})
