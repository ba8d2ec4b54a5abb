"""What the parts of the benchmark share: sizes, made motions, trainings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kineme.data import store, store_writer, synth
from kineme.data.synth import render
from kineme.methods import StepContext
from kineme.motion import layout, normalise
from kineme.motion.motion import Motion
from kineme.training import loop, recipe
from kineme.training.optim import build_optimiser
from kineme.utils import distributed
from kineme.views.batch import Batch

PERSONS, JOINTS, COORDS, FRAMES = 2, 25, 3, 64  # of a view
INPUTS = PERSONS * JOINTS * COORDS
FILMED = 40  # frames of a clip with pictures


@dataclass(frozen=True)
class Sizes:
    """How large the work is; the defaults are the small preset of training."""

    clips: int = 512
    batches: tuple[int, ...] = (64, 512)
    hidden: int = 256
    layers: int = 2
    queue: int = 1024
    frames: int = 125
    samples: int = 20
    gallery: int = 8192
    queries: int = 1024
    dim: int = 2048
    classes: int = 60
    prototypes: int = 20
    positives: int = 100
    recent: int = 256
    hico_hidden: int = 512  # HiCo's step is affordable at the published size
    hico_queue: int = 2048
    films: int = 32  # clips with pictures, and in a step of them
    pictures: int = 16  # of a view
    side: int = 64  # of a picture in a view, in pixels
    film_side: int = 128  # of a picture in the store
    video_width: float = 0.25
    video_dim: int = 512
    video_prototypes: int = 64
    video_queue: int = 480
    simclr_batch: int = 128
    simclr_hidden: int = 128
    searched: tuple[int, ...] = (10_000, 100_000, 1_000_000)  # vectors in an index
    approximated: int = 100_000  # of these, up to how many also get indexes of faiss
    search_dim: int = 256


SMALL = Sizes()
PUBLISHED = Sizes(hidden=1024, layers=3, queue=16384, gallery=40_000, queries=16_000, approximated=1_000_000)
QUICK = Sizes(
    clips=20,
    batches=(8,),
    hidden=8,
    layers=2,
    queue=24,
    frames=6,
    samples=5,
    gallery=64,
    queries=16,
    dim=8,
    classes=4,
    prototypes=5,
    positives=6,
    recent=40,
    hico_hidden=8,
    hico_queue=24,
    films=4,
    pictures=10,
    side=32,
    film_side=64,
    video_width=0.05,
    video_dim=16,
    video_prototypes=12,
    video_queue=20,
    simclr_batch=8,
    simclr_hidden=8,
    searched=(300,),
    search_dim=8,
)


class Bench:
    """What the parts share: sizes, threads, and made motions as the package and as a released loader hold them."""

    def __init__(self, sizes: Sizes, folder: Path):
        self.sizes, self.folder, self.threads = sizes, folder, torch.get_num_threads()

    @functools.cached_property
    def motions(self) -> list[Motion]:
        """Recordings such as NTU RGB+D holds: two or three seconds, one action in six of two persons."""
        made = synth.generate(self.sizes.clips, actions=synth.action_names(), cameras=1, layout="ntu25")
        return [motion.with_(extra={**motion.extra, "dataset": "ntu"}) for motion in made]

    @functools.cached_property
    def store(self) -> store.Store:
        writer = store_writer.Writer(self.folder / "store", layout.layout("ntu25"), PERSONS, COORDS)
        for motion in self.motions:
            writer.add(normalise.apply(motion, "ntu"))
        return writer.close()

    @functools.cached_property
    def films(self) -> store.Store:
        """Clips with their pictures, as `kineme render` draws them: 40 frames each, or what is in the folder."""
        path, s = self.folder / "films", self.sizes
        if path.exists():
            return store.open(path)
        made = synth.generate(2 * s.films, actions=synth.action_names(), cameras=1, layout="ntu25", seed=1)
        long = [motion[:FILMED] for motion in made if len(motion) >= FILMED]
        return render.render(long[: s.films], path, "game", s.film_side)

    @functools.cached_property
    def sequences(self) -> list[np.ndarray]:
        """The clips as the released loaders hold them: float32 ``[3, 300, 25, 2]``, zeros behind the last frame."""
        padded = [np.zeros((COORDS, 300, JOINTS, PERSONS), np.float32) for _ in range(len(self.store))]
        for i, sequence in enumerate(padded):
            sequence[:, : self.store.lengths[i]] = self.store.motion(i).joints.transpose(3, 0, 2, 1)
        return padded

    def index(self, size: int) -> Tensor:
        return torch.arange(size) % len(self.store)

    def training(self, precision: str = "fp32") -> loop.Training:
        """A training with the settings of the reference step, before its first step."""
        s = self.sizes
        return self.trained(
            "moco", precision, f"method.queue={s.queue}", f"encoder.hidden={s.hidden}", f"encoder.layers={s.layers}"
        )

    def trained(
        self, method: str, precision: str, *more: str, preset: str = "published", data: store.Store | None = None
    ) -> loop.Training:
        """A training of any method by plain SGD, before its first step; ``more`` are further settings."""
        data = data or self.store
        settings = [
            f"loop.batch={min(self.sizes.batches[0], len(data))}",
            f"loop.precision={precision}",
            "loop.optimiser=sgd",
            "loop.lr=0.01",
            "loop.momentum=0.9",
            "loop.weight_decay=1e-4",
            "loop.warmup=0",
            "loop.warmup_steps=0",
            "loop.schedule=constant",
            "loop.clip=0",
        ]
        chosen = recipe.load(method, len(data), recipe=preset, settings=[*settings, *more])
        rows = torch.arange(len(data))
        card = {"seed": 0, "persons": data.persons}
        return loop.Training(self.folder, card, chosen, data, rows, "cpu", distributed.ProcessGroup())


def step_of(training: loop.Training, views: tuple[Batch, ...], at: StepContext | None = None) -> Callable[[], dict]:
    """The step of the training loop, whole but for its views, which are given."""
    training.method.views = lambda *_: views  # type: ignore[method-assign]
    return functools.partial(training.train_step, torch.arange(len(views[0])), at or StepContext())


def released(batch: Batch) -> Tensor:
    """``[B, T, M, V, C]`` -> ``[B, C, T, V, M]``, as released code has it."""
    return batch.joints.permute(0, 4, 1, 3, 2).contiguous()


def largest(*differences: np.ndarray | Tensor) -> float:
    """The largest in size; not a number if one of them is not."""
    return float(np.max([np.abs(np.asarray(difference)).max() for difference in differences]))


def with_adamw(training: loop.Training, lr: float, decay: float, clip: float = 0.0) -> None:
    """From now on it is trained by AdamW, whose steps of weights without a gradient are the sign of rounding errors:
    results are compared before.
    """
    training.loop = replace(training.loop, optimiser="adamw", lr=lr, weight_decay=decay, clip=clip)
    training.optimisers = {name: build_optimiser(params, training.loop) for name, params in training.groups.items()}
