"""Every method that learns from clips beats its own untrained encoder by more than untrained weights ever reach.

Eight kinds of poses under noise that is larger, and other in every frame: what two views of a clip have in common is
the pose, and an encoder has to learn to look through the noise at it. No label is seen.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import kineme
from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.motion.layout import layout
from kineme.motion.motion import Motion
from kineme.training import log
from kineme.utils import registry

CLIPS, KINDS, FRAMES, TELLING, QUIET = 200, 8, 48, 10, 0.4  # of 20 joints ten tell the kind
MARGIN = 0.12  # above the best of the untrained encoders of SEEDS, whose spread it is to be about
SEEDS = range(4)
METHODS = [  # of videos see tests/methods/test_p_hlvc.py
    name
    for name in registry.names("methods")
    if (cls := registry.entry("methods", name)).unit == "clip"
    and not registry.entry("encoders", cls.encoder_name).pictures
]
STEPS = {
    "cmd": 150,
    "hico": 200,
    "mamp": 900,
}  # else 300; of CV-MIM, which learns from poses, see tests/methods/test_cv_mim.py


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    rng, joints = np.random.default_rng(0), layout("kinect20")
    writer = Writer(tmp_path_factory.mktemp("noisy") / "store", joints, 1, 3, normalise={"how": "none"})
    kinds = rng.normal(size=(KINDS, TELLING, 3))
    for number in range(CLIPS):
        noisy = rng.normal(size=(FRAMES, 1, len(joints), 3))
        noisy[:, 0, :TELLING] += QUIET * (kinds[number % KINDS] + 0.3 * rng.normal(size=(TELLING, 3)))
        known = {"label": f"kind {number % KINDS}", "source": f"clip{number}", "extra": {"dataset": "noisy"}}
        writer.add(Motion(noisy.astype(np.float32), joints, fps=30.0, up="+y", unit="m", **known))
    return writer.close()


def settings(method: str) -> dict[str, object]:
    """A small encoder and views that only cut, whatever the method and its encoder call them."""
    cls = registry.entry("methods", method)
    known = {
        "method": {field.name for field in dataclasses.fields(cls.Settings)},
        "encoder": {f.name for f in dataclasses.fields(registry.entry("encoders", cls.encoder_name).Settings)},
    }
    wanted = {"method.stream": "joint", "encoder.hidden": 48, "encoder.layers": 1, "encoder.frames": 16}
    wanted |= {"encoder.read": "last"}  # an average over the frames is without noise before any training
    # what noise moves says nothing of a pose; a joint's mean place over the view does, and that of the others from it
    wanted |= {"method.target": "joint", "method.normaliser": "none", "method.ratio": 0.5, "encoder.segment": 16}
    views = {"frames": 16, "min_frames": 16, "crop_low": 0.4, "rotate": 0.0, "mirror": 0.0, "shear": 0.0, "noise": 0.0}
    chosen = {name: value for name, value in wanted.items() if name.split(".")[1] in known[name.split(".")[0]]}
    return {
        **chosen,
        **{f"method.views.{name}": value for name, value in views.items()},
        "loop.batch": 32,
        "loop.lr": 0.002,
    }


def accuracy(model: kineme.Model, store: Store) -> float:
    """1-NN by cosine of one half of the clips among the other."""
    vectors, labels = model.embed(store), store.column("label")
    vectors = vectors - vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = np.arange(CLIPS) % (2 * KINDS) < KINDS
    nearest = (vectors[~known] @ vectors[known].T).argmax(1)
    return float((labels[known][nearest] == labels[~known]).mean())


@pytest.mark.parametrize("method", METHODS)
def test_a_trained_encoder_beats_what_untrained_ones_reach(method, store, tmp_path):
    words = {"recipe": "small", "settings": settings(method), "device": "cpu"}
    run = kineme.pretrain(method, store, tmp_path / "run", steps=STEPS.get(method, 300), **words)
    trained, own = kineme.load(run, "cpu"), kineme.load(run, "cpu").untrained()
    untrained = [accuracy(own, store)]
    for seed in SEEDS[1:]:
        other = kineme.pretrain(method, store, tmp_path / str(seed), steps=1, seed=seed, **words)
        untrained.append(accuracy(kineme.load(other, "cpu").untrained(), store))
    assert accuracy(trained, store) > max(untrained) + MARGIN, untrained

    # what is shown as progress falls; from the first epoch on, in which its queue fills, the loss of MoCo rises
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log.comparable(lines)]
    if "queue" in registry.entry("methods", method).Settings.__dataclass_fields__:
        assert len(losses) < len(lines)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert losses[-1] < losses[0]
