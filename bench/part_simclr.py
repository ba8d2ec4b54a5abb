"""Part ``simclr``: a training step of the small preset with the fused encoder, and its vectors, against plain torch."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import reference_simclr as plain
import torch
from measure import Case
from shared import PERSONS, Bench, largest, step_of, with_adamw
from torch import Tensor

from kineme.encoders.fused import Fused
from kineme.inference.model import Model
from kineme.methods.simclr import SimCLR
from kineme.nn.batch_norm import fix_statistics
from kineme.training import recipe, run
from kineme.views import body_frame

RATE, DECAY = 0.002, 0.01


def cases(bench: Bench) -> Iterator[Case]:
    size = min(bench.sizes.simclr_batch, len(bench.store))
    hidden = f"encoder.hidden={bench.sizes.simclr_hidden}"
    training = bench.trained("simclr", "fp32", f"loop.batch={size}", hidden, preset="small")
    method, gen = training.method, torch.Generator().manual_seed(0)
    assert isinstance(method, SimCLR)
    network = method.network
    assert isinstance(network, Fused)
    views = method.views(training.source, torch.arange(size), gen)
    fix_statistics(network, method.look(training.source, training.rows))
    theirs = _plain(method, network, training.source.up)
    noise = [network.draw(size, PERSONS, gen) for _ in views]
    drawn = itertools.cycle(noise)
    network.draw = lambda *_: next(drawn)  # type: ignore[method-assign]
    ours = step_of(training, views)
    inputs = [(view.joints, view.confidence > 0) for view in views], [tuple(each) for each in noise]
    sgd = torch.optim.SGD(theirs.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    losses = [float(ours()["loss"]) - plain.step(theirs, sgd, *inputs) for _ in range(2)]
    off = largest(np.array(losses), *_differences(method, theirs))
    with_adamw(training, RATE, DECAY)
    adamw = torch.optim.AdamW(theirs.parameters(), RATE, weight_decay=DECAY)
    yield Case(
        f"SimCLR step, fused {bench.sizes.simclr_hidden}, batch {size}",
        bench.threads,
        ours,
        functools.partial(plain.step, theirs, adamw, *inputs),
        off,
        1e-4,
        "clip",
        size,
    )
    yield _embedding(bench, hidden)


def _embedding(bench: Bench, hidden: str) -> Case:
    """``Model.embed`` of a store that is open, nothing cached, against clips that lie in memory."""
    chosen = recipe.load("simclr", len(bench.store), recipe="small", settings=[hidden])
    training = bench.trained("simclr", "fp32", hidden, preset="small")
    method = training.method
    assert isinstance(method, SimCLR)
    assert isinstance(method.network, Fused)
    fix_statistics(method.network, method.look(training.source, training.rows))
    card = run.card(chosen, bench.store, [bench.store], None, len(bench.store), 0, "cpu")
    model = Model(method.network, card, None, "")
    theirs = _plain(method, method.network, training.source.up).network.eval()
    motions = [bench.store.motion(i) for i in range(len(bench.store))]
    clips = [(_padded(motion.joints), _padded(motion.confidence) > 0) for motion in motions]
    made, other = model.embed(bench.store), plain.embed(theirs, clips)
    return Case(
        f"embedding, fused {bench.sizes.simclr_hidden}, {len(clips)} clips",
        bench.threads,
        functools.partial(model.embed, bench.store),
        functools.partial(plain.embed, theirs, clips),
        largest(made - other.numpy()),
        1e-4,
        "clip",
        len(clips),
    )


def _padded(array: np.ndarray) -> np.ndarray:
    """``[T, M, ...]`` with places for as many persons as the store has."""
    out = np.zeros((len(array), PERSONS, *array.shape[2:]), np.float32)
    out[:, : array.shape[1]] = array
    return out


def _plain(method: SimCLR, network: Fused, up: int) -> plain.SimCLR:
    """The reference with the package's weights."""
    assert up == 2, "the reference turns about z"
    layout, s = network.layout, network.settings
    shoulders = body_frame.sides(layout)[0]
    parts = network.space.groups
    made = plain.Fused(layout.parents, layout.root, shoulders, parts, s.hidden, s.blocks, s.frames)
    theirs = plain.SimCLR(made, network.dim, method.settings.width, method.settings.dim, method.settings.temperature)
    own = {_name(name): value for name, value in method.state_dict().items()}
    theirs.load_state_dict({name: value.view_as(theirs.state_dict()[name]) for name, value in own.items()})
    return theirs


def _differences(method: SimCLR, theirs: plain.SimCLR) -> Iterator[Tensor]:
    state = theirs.state_dict()
    for name, value in method.state_dict().items():
        other = state[_name(name)].view_as(value)
        yield value.double() - other.double()


def _name(name: str) -> str:
    return name.replace(".kernel", ".conv.weight")
