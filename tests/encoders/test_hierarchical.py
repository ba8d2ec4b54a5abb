"""The hierarchical encoder: its sizes, what it must not depend on, and its options."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import encoders
from kineme.encoders.hierarchical import Branch, Hierarchical, joint_tokens, places
from kineme.motion.layout import Layout, layout
from kineme.nn import rnn
from kineme.utils.errors import InputError
from kineme.utils.settings import make
from kineme.views.batch import Batch

CELLS = ["gru", "lstm", "transformer"]
each_cell = pytest.mark.parametrize("cell", CELLS)


def free(joints):
    return Layout("free", tuple(f"j{i}" for i in range(joints)), (-1,) + (0,) * (joints - 1))


def build(cell="gru", joints=5, coords=3, seed=0, **more):
    """A small encoder in float64, evaluation mode."""
    torch.manual_seed(seed)
    table = {"hidden": 8, "granularities": 3, "frames": 8, "heads": 2, "persons": 2, **more}
    chosen = make(Hierarchical.Settings, {"cell": cell, **table})
    return encoders.build("hierarchical", chosen, free(joints), coords, 1).double().eval()


def clips(rows=4, frames=8, persons=2, joints=5, coords=3, seed=0, absent=()):
    """Motion of people who are there but for the (clip, person) pairs ``absent``."""
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, frames, persons, joints, coords, generator=gen, dtype=torch.float64)
    seen = torch.ones(x.shape[:-1], dtype=torch.float64)
    for row, person in absent:
        seen[row, :, person] = 0
    return Batch(x * seen.unsqueeze(-1), seen, torch.arange(rows))


def persons_of(batch, which):
    return Batch(batch.joints[:, :, which], batch.confidence[:, :, which], batch.index)


# ---- sizes


def test_published_tokens(monkeypatch):
    """64, 32, 16, 8 frames and 50, 25, 12, 6 joints; 2 G d numbers in the clip's vector."""
    monkeypatch.setattr(rnn, "suits", lambda _: False)  # one granularity after the other, as on a GPU
    encoder = Hierarchical(Hierarchical.Settings(hidden=8, persons=2), layout("ntu25"), 3)
    counts = {"time": [], "space": []}
    for name, found in counts.items():
        getattr(encoder, name).sequence.register_forward_hook(lambda _, x, __, to=found: to.append(x[0].shape[1]))
    features = encoder(Batch(torch.randn(3, 64, 2, 25, 3), torch.ones(3, 64, 2, 25), torch.arange(3)))
    assert counts == {"time": [64, 32, 16, 8], "space": [50, 25, 12, 6]}
    assert features.clip.shape == (3, 2 * 4 * 8)
    assert features.frame.shape == (3, 64, 8)
    assert encoder.time.embedding[0].in_features == 150
    assert encoder.space.embedding[0].in_features == 192


@settings(max_examples=25)
@given(
    cell=st.sampled_from(CELLS), joints=st.integers(1, 9), persons=st.integers(1, 3), coords=st.integers(2, 3),
    frames=st.integers(1, 12), granularities=st.integers(1, 4), given_frames=st.integers(1, 9), masked=st.booleans(),
)  # fmt: skip
def test_any_size_with_a_token_left(cell, joints, persons, coords, frames, granularities, given_frames, masked):
    more = {"persons": persons, "frames": frames, "granularities": granularities, "mask_absent": masked}
    if min(frames, joints if masked else joints * persons) < 2 ** (granularities - 1):
        with pytest.raises(InputError, match=r"encoder\.granularities"):
            build(cell, joints, coords, **more)
        return
    encoder = build(cell, joints, coords, **more)
    features = encoder(clips(2, given_frames, persons, joints, coords, absent=[(0, persons - 1)]))
    assert features.clip.shape == (2, encoder.dim) == (2, 2 * granularities * 8)
    assert {name: part.shape[-1] for name, part in features.parts.items()} == encoder.sizes
    assert features.parts["clip"].shape == features.parts["part"].shape == (2, granularities, 8)
    torch.testing.assert_close(features.clip, torch.cat([features.parts[n].flatten(1) for n in ("clip", "part")], 1))
    assert features.clip.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"hidden": 7}, "hidden"), ({"cell": "transformer", "hidden": 10, "heads": 4}, "hidden"),
        ({"dropout": 1.0}, "dropout"), ({"granularities": 0}, "granularities"), ({"frames": 0}, "frames"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong, word):
    with pytest.raises(InputError, match=rf"encoder\.{word}"):
        build(**{"cell": "gru", **wrong})


def test_more_persons_than_built_for_are_refused():
    with pytest.raises(InputError, match="2 persons"):
        build(persons=1)(clips())


@each_cell
def test_matrices_are_xavier_uniform_on_the_stored_matrix(cell):
    for name, weight in build(cell, hidden=64).named_parameters():
        if weight.dim() == 2:
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.9 * bound < weight.abs().max() <= bound, name


# ---- what it computes


def plainly(branch: Branch, tokens):
    """A branch clip by clip and token by token, from the definition."""
    outs = []
    for x in branch.embedding(tokens):
        levels = []
        for g in range(branch.granularities):
            if g:
                padded = F.pad(x, (0, 0, 2, 2))
                kernel = branch.conv.weight[:, 0].T
                x = torch.stack([(padded[i : i + 5] * kernel).sum(0) + branch.conv.bias for i in range(len(x))])
                x = branch.norm(x).clamp(min=0)
                x = torch.stack([torch.maximum(x[2 * i], x[2 * i + 1]) for i in range(len(x) // 2)])
            out = branch.sequence(x[None])
            levels.append((out[0] if isinstance(out, tuple) else out)[0].max(0).values)
        outs.append(torch.stack(levels))
    return torch.stack(outs)


@each_cell
def test_both_branches_plainly(cell):
    encoder, batch = build(cell), clips()
    parts = encoder(batch).parts
    rows = batch.joints.permute(0, 2, 3, 1, 4).reshape(4, 10, 24)
    torch.testing.assert_close(parts["clip"], plainly(encoder.time, batch.joints.reshape(4, 8, 30)))
    torch.testing.assert_close(parts["part"], plainly(encoder.space, rows))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("more", [{}, {"per_person": True}, {"layers": 2, "positional_encoding": True}], ids=str)
def test_granularities_together_and_one_by_one(cell, more, monkeypatch):
    """The one pass of a CPU and torch's cells: the same vectors and gradients, and a state of the same names."""
    encoder, batch, found = build(cell, **more), clips(5, absent=[(1, 1), (3, 0)]), []
    for joined in (True, False):
        monkeypatch.setattr(rnn, "joins", lambda *_, joined=joined: joined)
        features = encoder(batch)
        loss = features.clip.square().sum() + features.frame.sum()
        found.append([features.clip, features.frame, *torch.autograd.grad(loss, list(encoder.parameters()))])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)
    recurrent = {name for name in encoder.state_dict() if name.startswith("time.sequence")}
    assert recurrent == {f"time.sequence.{name}" for name in encoder.time.sequence.state_dict()}


def test_both_layouts_are_rearrangements_of_the_same_numbers():
    joints = clips().joints
    back = joint_tokens(joints).reshape(4, 2, 5, 8, 3).permute(0, 3, 1, 2, 4)
    assert torch.equal(back, joints)


@each_cell
def test_who_stands_beside_a_clip_does_not_matter(cell):
    encoder, batch = build(cell), clips(6, absent=[(1, 1), (2, 0), (5, 0), (5, 1)])
    whole = encoder(batch).clip
    alone = torch.cat([encoder(batch[i : i + 1]).clip for i in range(6)])
    torch.testing.assert_close(whole, alone)


def test_clips_of_another_length_are_resized():
    encoder, batch = build(), clips(frames=13)
    flat = F.interpolate(batch.joints.flatten(2).mT, 8, mode="linear").mT.reshape(4, 8, 2, 5, 3)
    resized = Batch(flat, torch.ones(flat.shape[:-1]), batch.index)
    torch.testing.assert_close(encoder(batch).clip, encoder(resized).clip)


# ---- order of tokens


@each_cell
def test_order_of_frames_and_joints(cell):
    """Without a position code the finest granularity of the Transformer is a set; the coarser ones are not."""
    encoder, batch = build(cell), clips()
    gen = torch.Generator().manual_seed(3)
    frames, joints = torch.randperm(8, generator=gen), torch.randperm(10, generator=gen)
    rows = joint_tokens(batch.joints)
    time, space = encoder.time(batch.joints.flatten(2))[0], encoder.space(rows)[0]
    other_time, other_space = encoder.time(batch.joints[:, frames].flatten(2))[0], encoder.space(rows[:, joints])[0]
    for one, other in ((time, other_time), (space, other_space)):
        same = torch.allclose(one[:, 0], other[:, 0], atol=1e-12)
        assert same == (cell == "transformer")
        assert (one[:, 1] - other[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("equal", [True, False])
def test_reversed_time_exchanges_the_directions(cell, equal):
    """With the directions' weights exchanged too the halves of the finest vector swap; equal ones need no exchange."""
    encoder, batch = build(cell), clips()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    network = encoder.time.sequence
    if equal:
        for name in names:
            getattr(network, f"{name}_reverse").data = getattr(network, name).data.clone()
    exchanged = copy.deepcopy(encoder)
    for name in names:
        getattr(exchanged.time.sequence, name).data = getattr(network, f"{name}_reverse").data
        getattr(exchanged.time.sequence, f"{name}_reverse").data = getattr(network, name).data
    backwards = Batch(batch.joints.flip(1), batch.confidence, batch.index)
    forth = encoder(batch).parts["clip"][:, 0]
    back = exchanged(backwards).parts["clip"][:, 0]
    torch.testing.assert_close(back, torch.cat(forth.chunk(2, 1)[::-1], 1))
    straight = encoder(backwards).parts["clip"][:, 0]
    assert torch.allclose(straight, back) == equal


def test_position_code_tells_frames_apart():
    encoder, batch = build("transformer", positional_encoding=True), clips()
    shuffled = Batch(batch.joints.roll(3, 1), batch.confidence, batch.index)
    assert (encoder(batch).parts["clip"][:, 0] - encoder(shuffled).parts["clip"][:, 0]).abs().max() > 1e-3
    assert encoder.state_dict().keys() == build("transformer").state_dict().keys()


def test_position_of_a_coarse_token_is_the_middle_of_what_it_stands_for():
    x = torch.zeros(1, 6, 8, dtype=torch.float64)
    half = torch.arange(6) * 4 + 1.5
    expected = torch.stack([(half / 1e4 ** (2 * i / 8)).sin() for i in range(4)], 1)
    torch.testing.assert_close(places(x, 4)[:, ::2], expected.double())
    torch.testing.assert_close(places(x, 4).square().sum(1), torch.full((6,), 4.0, dtype=torch.float64))


# ---- people


@each_cell
def test_absent_people_are_left_out(cell):
    """A clip of one person has the same parts whoever could have been there beside it, in whichever place it stands."""
    encoder, one = build(cell, persons=1), clips(3, persons=1)
    wide = build(cell, persons=3)
    wide.space.load_state_dict(encoder.space.state_dict())
    expected = encoder(one).parts["part"]
    for place in range(3):
        batch = clips(3, persons=3, absent=[(row, p) for row in range(3) for p in range(3) if p != place])
        batch.joints[:, :, place] = one.joints[:, :, 0]
        torch.testing.assert_close(wide(batch).parts["part"], expected)


def test_people_who_come_later_are_there():
    batch = clips()
    batch.confidence[0, :5, 1] = batch.confidence[1, :, 0, 1:] = 0
    torch.testing.assert_close(build()(batch).clip, build(mask_absent=False)(batch).clip)


@each_cell
def test_released_way_with_absent_people(cell):
    """``mask_absent=False``: they are tokens of zeros, and the vector knows it."""
    batch = clips(absent=[(0, 1)])
    masked, released = build(cell), build(cell, mask_absent=False)
    torch.testing.assert_close(released(batch).parts["part"], plainly(released.space, joint_tokens(batch.joints)))
    torch.testing.assert_close(masked(batch).clip[1:], released(batch).clip[1:])
    assert (masked(batch).clip[0] - released(batch).clip[0]).abs().max() > 1e-3


@each_cell
def test_people_apart_have_no_order_and_no_number(cell):
    encoder, batch = build(cell, per_person=True), clips(4, persons=3, absent=[(0, 0), (1, 2), (2, 0), (2, 1)])
    made = encoder(batch)
    swapped = encoder(persons_of(batch, [2, 0, 1]))
    for one, other in ((made.clip, swapped.clip), (made.frame, swapped.frame)):
        torch.testing.assert_close(one, other)
    twice = encoder(persons_of(batch, [0, 1, 2, 2]))
    torch.testing.assert_close(made.clip, twice.clip)
    singles = torch.stack([encoder(persons_of(batch, [p])).clip for p in range(3)], 1)
    there = (batch.confidence > 0).any(3).any(1)
    expected = singles.masked_fill(~there.unsqueeze(-1), -torch.inf).amax(1)
    torch.testing.assert_close(made.clip, expected)


@pytest.mark.parametrize("apart", [True, False])
def test_a_clip_without_anybody_has_a_vector(apart):
    encoder = build(per_person=apart)
    made = encoder(clips(2, absent=[(0, 0), (0, 1)])).clip
    assert made.isfinite().all()
    assert (made[0] - made[1]).abs().max() > 1e-3


# ---- confidence


@each_cell
def test_confidence_counts_only_where_asked_for(cell):
    batch = clips(coords=2)
    doubtful = Batch(batch.joints, batch.confidence * 0.5, batch.index)
    plain, sure = build(cell, coords=2), build(cell, coords=2, confidence=True)
    assert sure.time.embedding[0].in_features == 2 * 5 * 3
    assert torch.equal(plain(batch).clip, plain(doubtful).clip)
    assert (sure(batch).clip - sure(doubtful).clip).abs().max() > 1e-3
    missing = Batch(batch.joints.clone(), batch.confidence.clone(), batch.index)
    missing.confidence[:, :, 0, 3] = 0
    other = Batch(missing.joints.clone(), missing.confidence, missing.index)
    other.joints[:, :, 0, 3] = 99.0
    assert torch.equal(sure(missing).clip, sure(other).clip)
