"""Part ``p_hlvc``: a training step of P-HLVC at its small size, and the views of its videos, against plain torch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import memory
import numpy as np
import reference_p_hlvc as plain
import torch
from measure import Case
from shared import Bench, largest, step_of, with_adamw
from torch import Tensor
from torch.nn import functional

from kineme.encoders.s3d import BRANCHES, EIGHT
from kineme.methods import StepContext
from kineme.methods.p_hlvc import PHLVC
from kineme.training import loop
from kineme.views import video_clips
from kineme.views.batch import Batch
from kineme.views.video_clips import VideoDraw

AT = StepContext(number=250, steps=1000)  # the queue is used, prototypes move, and both losses count
COMPARED = 8  # clips
POOLS = {2: (3, 2, 1), 7: (2, 2, 0)}  # before these blocks
SGD, CLIP, RATE, DECAY = (0.01, 0.9, 1e-4), 1.0, 5e-4, 1e-5


def cases(bench: Bench) -> Iterator[Case]:
    """The step is compared in float64, whose differences count a thousandfold, and its first loss in float32: batch
    norm of so many layers multiplies rounding errors, and torch's is coarser where channels lie together.
    """
    s = bench.sizes
    exact, sides = Sides(bench, min(COMPARED, s.films), torch.float64), Sides(bench, s.films)
    off = largest(np.array([1000 * exact.compared(), float(sides.ours()["loss"]) - sides.theirs()]))
    sides.timed()
    yield Case(
        f"P-HLVC step, S3D {s.video_width:g}, {s.films} clips of 2 x {s.pictures} x {s.side} x {s.side}",
        bench.threads,
        sides.ours,
        sides.theirs,
        off,
        1e-3,
        "clip",
        s.films,
        peaks=memory.peaks(bench),
    )
    yield views(bench)


class Sides:
    """A step of both sides with the same weights and queues on the same views of some clips."""

    def __init__(self, bench: Bench, clips: int, dtype: torch.dtype = torch.float32):
        self.training = training(bench)
        method = self.training.method
        assert isinstance(method, PHLVC)
        drawn = method.views(self.training.source, torch.arange(clips), _gen())
        self.method, self.clips = method.to(dtype), tuple(_as(view, dtype) for view in drawn)
        gen = _gen()
        for queue in method.queues.children():
            width = queue.keys.shape[1] - 1  # behind each key the number of its group, of which there is one here
            keys = functional.normalize(torch.randn(len(queue.keys), width, generator=gen))
            queue.push(functional.pad(keys, (0, 1)))
        self.model = _plain(method, bench.sizes.video_width, dtype)
        self.ours = step_of(self.training, self.clips, AT)
        rate, momentum, decay = SGD
        self._theirs(torch.optim.SGD(self.model.parameters(), rate, momentum=momentum, weight_decay=decay), 0.0)

    def compared(self) -> float:
        """The largest difference of losses, weights and statistics of both sides after two steps of SGD."""
        losses = [float(self.ours()["loss"]) - self.theirs() for _ in range(2)]
        own, state = self.method.state_dict(), self.model.state_dict()
        return largest(np.array(losses), *(own[name].double() - value.double() for name, value in state.items()))

    def timed(self) -> None:
        """From now on as the small preset trains."""
        with_adamw(self.training, RATE, DECAY, CLIP)
        self._theirs(torch.optim.AdamW(self.model.parameters(), RATE, weight_decay=DECAY), CLIP)

    def _theirs(self, optimiser: torch.optim.Optimizer, clip: float) -> None:
        first = self.clips[0]
        assert first.sizes is not None
        frames = [view.frames.transpose(1, 2) for view in self.clips if view.frames is not None]
        inputs = frames, first.joints, first.confidence > 0, first.sizes, self.method.model.pose.order
        self.theirs = functools.partial(plain.step, self.model, optimiser, clip, *inputs)


def training(bench: Bench) -> loop.Training:
    s = bench.sizes
    return bench.trained(
        "p_hlvc",
        "fp32",
        f"method.prototypes={s.video_prototypes}",
        f"method.queue={s.video_queue}",
        f"method.views.frames={s.pictures}",
        "method.views.step=2",
        "method.views.views=2",
        f"method.views.size={s.side}",
        "method.pose.distances=1",
        "method.contrast=0.2",
        "method.queue_start=250",
        f"encoder.multiplier={s.video_width}",
        f"encoder.dim={s.video_dim}",
        preset="small",
        data=bench.films,
    )


def views(bench: Bench) -> Case:
    """Two views of every clip with the poses of its window: decoded and augmented, against clip by clip."""
    trained, s = training(bench), bench.sizes
    source, films = trained.source, bench.films
    assert isinstance(trained.method, PHLVC)
    settings = trained.method.settings.views
    index, lengths = torch.arange(s.films), torch.from_numpy(np.array(films.lengths))
    kept, offsets, joints = films.picture_file, np.array(films.offsets), films.frames
    assert kept is not None

    def ours(gen: torch.Generator) -> tuple[Batch, ...]:
        return video_clips.video_views(source, index, settings, gen)

    def theirs(gen: torch.Generator) -> list[Tensor]:
        starts = video_clips.windows(lengths, settings.span, gen).tolist()
        draw = video_clips.draw_video_views(gen, len(index), settings)
        made: list[list[Tensor]] = [[] for _ in range(settings.views)]
        poses = []
        for clip, start in enumerate(starts):
            first = int(offsets[clip]) + start
            film = np.stack([np.asarray(kept.image(first + t * settings.step)) for t in range(settings.frames)])
            poses.append(torch.from_numpy(joints[first : first + settings.span].copy()))
            for number, views in enumerate(made):
                look = _look(draw, clip, number)
                views.append(plain.view(film, look, settings.size, settings.crop_low, settings.crop_high))
        return [*map(torch.stack, made), torch.stack(poses)]

    made, other = ours(_gen()), theirs(_gen())
    off = [view.frames.transpose(1, 2) - x for view, x in zip(made, other) if view.frames is not None]
    gen = _gen()
    return Case(
        f"video views, {s.films} clips of 2 x {s.pictures} x {s.side} x {s.side}",
        bench.threads,
        functools.partial(ours, gen),
        functools.partial(theirs, gen),
        largest(*off, made[0].joints - other[-1]),
        1e-4,
        "clip",
        s.films,
    )


def _plain(method: PHLVC, multiplier: float, dtype: torch.dtype) -> plain.PHLVC:
    """The reference with the weights and queues of the package's."""

    def width(published: int) -> int:
        return max(EIGHT, round(published * multiplier / EIGHT) * EIGHT)

    model, s = method.model, method.settings
    blocks = [[width(each) for each in widths] for widths in BRANCHES.values()]
    video = plain.S3D((width(64), width(192)), blocks, POOLS, model.dim, model.video.settings.momentum)
    share = method._ramp(AT)
    made = plain.PHLVC(
        video,
        model.pose.flat,
        model.dim,
        s.dim,
        s.prototypes,
        share,
        s.eps,
        s.rounds,
        s.temperature,
        s.contrast_temperature,
    )
    own = {name: value for name, value in method.state_dict().items() if name in made.state_dict()}
    made.to(dtype).load_state_dict(own)
    made.queues = {name: queue.newest(len(queue)).flip(0)[:, :-1] for name, queue in method.queues.items()}
    return made


def _as(view: Batch, dtype: torch.dtype) -> Batch:
    assert view.frames is not None
    return replace(view, joints=view.joints.to(dtype), frames=view.frames.to(dtype))


def _look(draw: VideoDraw, clip: int, view: int) -> plain.Look:
    values = {name: getattr(draw, name)[clip, view].tolist() for name in plain.Look.__annotations__}
    return plain.Look(**values)


def _gen() -> torch.Generator:
    return torch.Generator().manual_seed(0)
