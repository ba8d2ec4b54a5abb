"""What every encoder and every method must do; a new file in their folders is taken up by itself."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from helpers.training import make_store

from kineme import encoders
from kineme.methods import StepContext
from kineme.motion.layout import layout
from kineme.training import loop
from kineme.utils import registry, settings
from kineme.utils.distributed import ProcessGroup
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader

# settings that make a thing small enough for a test; fields that a class does not have are left out
SMALL = {"hidden": 8, "layers": 2, "dim": 8, "queue": 12, "width": 8}
SMALL |= {"recent": 12, "prototypes": 4, "positives": 5, "every": 2}
SMALL |= {"multiplier": 0.05, "contrast": 0.0, "frozen": 0, "queue_start": 1}
SMALL |= {"decoder_layers": 1, "decoder_width": 8}
SIZES = [("kinect20", 1, 3, 12), ("ntu25", 2, 3, 16), ("coco17", 1, 2, 9)]  # layout, persons, coordinates, frames


def small(cls):
    names = cls.Settings.__dataclass_fields__
    table = {k: v for k, v in SMALL.items() if k in names}
    if "views" in names:
        views = {"frames": 8, "min_frames": 4, "step": 3, "size": 32}  # 24 frames of a video
        known = cls.Settings.__dataclass_fields__["views"].default_factory().__dataclass_fields__
        table["views"] = {k: v for k, v in views.items() if k in known}
    return settings.make(cls.Settings, table)


def encoder_for(name, joints, coords, persons, seed=0):
    torch.manual_seed(seed)
    return encoders.build(name, small(registry.entry("encoders", name)), layout(joints), coords, persons)


def batch_for(joints, coords, persons, frames, rows=5, seed=0):
    shape, gen = (rows, frames, persons, len(layout(joints)), coords), torch.Generator().manual_seed(seed)
    pictures = torch.randn(rows, 8, 3, 32, 32, generator=gen)
    return Batch(torch.randn(shape, generator=gen), torch.ones(shape[:-1]), torch.arange(rows), pictures)


each_encoder = pytest.mark.parametrize(("name", "size"), list(itertools.product(registry.names("encoders"), SIZES)))
each_method = pytest.mark.parametrize("name", registry.names("methods"))


@each_encoder
def test_encoder_shapes(name, size):
    joints, persons, coords, frames = size
    encoder = encoder_for(name, joints, coords, persons)
    features = encoder(batch_for(joints, coords, persons, frames))
    assert features.clip.shape == (5, encoder.dim)
    assert features.frame is None or (features.frame.dim() == 3 and len(features.frame) == 5)
    assert all(len(part) == 5 for part in features.parts.values())


@each_encoder
def test_encoder_does_not_see_missing_joints(name, size):
    joints, persons, coords, frames = size
    encoder = encoder_for(name, joints, coords, persons).eval()
    batch = batch_for(joints, coords, persons, frames)
    batch.confidence[:, :, 0, 3] = 0
    other = replace(batch, joints=batch.joints.clone(), frames=batch.frames.clone())
    other.joints[:, :, 0, 3] = 99.0
    torch.testing.assert_close(encoder(batch).clip, encoder(other).clip)
    others = torch.arange(len(layout(joints))) != 3  # not every encoder looks at every joint
    other.joints[:, :, 0, others] += torch.randn(other.joints[:, :, 0, others].shape)
    if encoder.pictures:
        other.frames.add_(torch.randn(other.frames.shape))
    assert not torch.allclose(encoder(batch).clip, encoder(other).clip)


@each_encoder
def test_encoder_scores_a_clip_alone_as_in_company(name, size):
    joints, persons, coords, frames = size
    encoder = encoder_for(name, joints, coords, persons).eval()
    batch = batch_for(joints, coords, persons, frames)
    torch.testing.assert_close(encoder(batch).clip[2:3], encoder(batch[2:3]).clip, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", registry.names("encoders"))
def test_encoder_fills_up_absent_persons(name):
    encoder = encoder_for(name, "ntu25", 3, 2).eval()
    one = batch_for("ntu25", 3, 1, 8)
    two = Batch(
        torch.cat([one.joints, torch.zeros_like(one.joints)], 2),
        torch.cat([one.confidence, torch.zeros_like(one.confidence)], 2),
        one.index,
        one.frames,
    )
    torch.testing.assert_close(encoder(one).clip, encoder(two).clip)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("generic") / "swing", clips=24, pictures=32)


def method_for(name, store, seed=0):
    cls = registry.entry("methods", name)
    torch.manual_seed(seed)
    encoder = registry.entry("encoders", cls.encoder_name)
    joints, coords, _ = cls.sees(store.layout, store.coords, {})
    return cls(small(cls), lambda: encoders.build(cls.encoder_name, small(encoder), joints, coords, store.persons))


def step(method, source, number, optimisers):
    at = StepContext(number=number, epoch=0, steps=10, epochs=1, dist=ProcessGroup())
    views = method.views(source, torch.arange(6) + number % 3, loop.generator(0, "step", number, 0))
    torch.manual_seed(number)  # dropout, as the loop does it
    method.train()
    losses, log = method.losses(views, at)
    groups = method.groups()
    for i, (name, params) in enumerate(groups.items()):
        losses[name].backward(inputs=params, retain_graph=i + 1 < len(groups))
        optimisers[name].step()
        optimisers[name].zero_grad()
    method.after_step(at)
    return losses, log


def optimisers_for(method):
    return {name: torch.optim.SGD(params, lr=0.05, momentum=0.9) for name, params in method.groups().items()}


@each_method
def test_method_groups_are_disjoint_and_every_one_learns(name, store):
    method = method_for(name, store)
    groups = method.groups()
    identities = [id(p) for params in groups.values() for p in params]
    assert len(identities) == len(set(identities)) > 0
    before = {k: [p.detach().clone() for p in params] for k, params in groups.items()}
    source, optimisers = ClipLoader(store), optimisers_for(method)
    for number in range(3):
        losses, log = step(method, source, number, optimisers)
        assert losses.keys() == groups.keys()
        assert all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
        assert all(value.numel() == 1 and not value.requires_grad for value in log.values())
    for group, params in groups.items():
        still = [i for i, (old, new) in enumerate(zip(before[group], params)) if torch.equal(old, new)]
        assert not still, f"parameters {still} of group {group!r} never moved"


@each_method
def test_method_keeps_all_its_state_in_parameters_and_buffers(name, store):
    """A method rebuilt from its state dict goes on exactly as the first would have."""
    source = ClipLoader(store)
    first = method_for(name, store)
    optimisers = optimisers_for(first)
    for number in range(2):
        step(first, source, number, optimisers)
    second = method_for(name, store, seed=1)
    second.load_state_dict(first.state_dict())
    after = optimisers_for(second)
    for group in optimisers:
        after[group].load_state_dict(copy.deepcopy(optimisers[group].state_dict()))
    for number in range(2, 4):
        step(first, source, number, optimisers)
        step(second, source, number, after)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@each_method
def test_method_views_follow_the_generator(name, store):
    method, source = method_for(name, store), ClipLoader(store)
    one, same, other = (method.views(source, torch.arange(6), loop.generator(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a.joints, b.joints) for a, b in zip(one, same))
    assert all(a.frames is None or torch.equal(a.frames, b.frames) for a, b in zip(one, same))
    seen = [(a.joints, b.joints) if a.frames is None else (a.frames, b.frames) for a, b in zip(one, other)]
    assert any(not torch.equal(a, b) for a, b in seen)


@each_method
def test_method_settings_survive_a_card(name):
    cls = registry.entry("methods", name)
    chosen = small(cls)
    assert settings.make(cls.Settings, settings.as_dict(chosen)) == chosen
    assert "faithful" in cls.Settings.__dataclass_fields__
    assert cls.unit in ("clip", "frame", "video")


@each_method
def test_method_encoder_gives_features(name, store):
    method, source = method_for(name, store), ClipLoader(store)
    batch = next(method.look(source, torch.arange(4)))
    encoder = method.encoder().eval()
    assert encoder(batch).clip.shape == (len(batch), encoder.dim)


@pytest.mark.parametrize("room", ["methods", "encoders", "io", "evaluation.protocols"])
def test_every_entry_says_what_it_is(room):
    names = registry.names(room)
    assert names
    for name, text in names.items():
        assert len(text) > 20, f"{room}/{name}.py: the first docstring line is its description"
