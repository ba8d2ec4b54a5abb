"""Tokens and masks: nothing is lost in cutting, as many stay as should, and what moves is hidden more often."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from kineme.views.masks import (
    apply_mask,
    draw_mask,
    intensity,
    joined,
    motion_probabilities,
    patches,
    visible_tokens,
    with_hidden,
)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@given(segments=st.integers(1, 4), segment=st.integers(1, 5), joints=st.integers(1, 6), coords=st.integers(1, 3))
def test_a_value_stands_where_it_should_and_comes_back(segments, segment, joints, coords):
    x = noise(2, segments * segment, joints, coords)
    tokens = patches(x, segment)
    assert tokens.shape == (2, segments * joints, segment * coords)
    for i, v, f, c in itertools.product(range(segments), range(joints), range(segment), range(coords)):
        assert tokens[1, i * joints + v, f * coords + c] == x[1, i * segment + f, v, c]
    assert torch.equal(joined(tokens, joints, segment), x)


@given(
    tokens=st.integers(1, 60),
    ratio=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
    tau=st.sampled_from([0.1, 0.8, 5.0, None]),
    faithful=st.booleans(),
)
def test_visible_and_hidden_tokens_part_the_grid(tokens, ratio, seed, tau, faithful):
    uniforms = noise(3, tokens, seed=seed)
    chances = None if tau is None else motion_probabilities(noise(3, tokens, seed=seed + 1), tau)
    mask = draw_mask(uniforms, ratio, chances, faithful=faithful)
    kept = visible_tokens(tokens, ratio, faithful)
    assert kept == max(1, int(tokens * (1 - ratio)) if faithful else round(tokens * (1 - ratio)))
    assert mask.keep.shape == mask.valid.shape == (3, kept)
    assert mask.valid.all()
    assert (mask.hidden.sum(1) == tokens - kept).all()
    for row in range(3):
        hidden = mask.hidden[row].nonzero()[:, 0].tolist()
        assert sorted(mask.keep[row].tolist() + hidden) == list(range(tokens))
    shuffled = mask.restore.argsort(1)
    assert torch.equal(shuffled[:, :kept], mask.keep)
    assert torch.equal(shuffled.gather(1, mask.restore), torch.arange(tokens).expand(3, -1))
    x = noise(3, tokens, 2)
    whole = with_hidden(apply_mask(x, mask), torch.full((2,), -1.0), mask)
    assert torch.equal(whole, x.masked_fill(mask.hidden[..., None], -1.0))


def test_75_of_750_tokens_stay_and_as_released_74():
    assert visible_tokens(750, 0.9) == 75
    assert visible_tokens(750, 0.9, faithful=True) == 74


def test_missing_tokens_are_neither_visible_nor_hidden_and_each_row_keeps_its_share():
    seen = torch.ones(4, 40, dtype=torch.bool)
    seen[1, ::2] = False
    seen[2, 3:] = False
    seen[3, 1:] = False
    mask = draw_mask(noise(4, 40), 0.75, seen=seen)
    assert mask.valid.sum(1).tolist() == [10, 5, 1, 1]
    for row in range(4):
        visible = mask.keep[row][mask.valid[row]]
        assert seen[row, visible].all()
        assert not mask.hidden[row, visible].any()
        assert mask.hidden[row].sum() == seen[row].sum() - len(visible)
    assert not (mask.hidden & ~seen).any()
    whole = with_hidden(apply_mask(noise(4, 40, 1) + 1, mask), torch.zeros(1), mask)[..., 0]
    assert ((whole > 0).sum(1) == mask.valid.sum(1)).all()  # what does not count stands nowhere


def test_without_a_temperature_tokens_are_drawn_alike():
    """Invariant: tau to infinity is the order of the Gumbel noise alone, and so that of the uniforms."""
    uniforms, moved = noise(5, 60), noise(5, 60, seed=1)
    plain = draw_mask(uniforms, 0.9)
    flat = motion_probabilities(moved, 1e9)
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / 60))
    assert torch.equal(draw_mask(uniforms, 0.9, flat).keep, plain.keep)


def test_intensity_is_that_of_differences_and_probabilities_know_no_size():
    x = noise(3, 24, 5, 3)
    moved = intensity(patches(x, 4), 5)
    torch.testing.assert_close(intensity(patches(x + torch.tensor([3.0, -2.0, 7.0]), 4), 5), moved, atol=1e-5, rtol=0)
    expected = (x[:, 8:12] - x[:, 4:8]).abs().mean((1, 3))
    torch.testing.assert_close(moved.view(3, 6, 5)[:, 2], expected)
    assert torch.equal(moved.view(3, 6, 5)[:, 0], moved.view(3, 6, 5)[:, 1])
    torch.testing.assert_close(motion_probabilities(17 * moved, 0.8), motion_probabilities(moved, 0.8))


def test_the_most_moving_token_weighs_e_to_the_one_over_tau():
    chances = motion_probabilities(torch.tensor([[0.0, 0.4, 0.2]]), 0.8)[0]
    assert float(chances[1] / chances[0]) == pytest.approx(2.718281828 ** (1 / 0.8), rel=1e-5)
    still = motion_probabilities(torch.zeros(1, 4), 0.8)
    torch.testing.assert_close(still, torch.full_like(still, 0.25))
    assert not intensity(torch.rand(2, 5, 12), 5).any()  # a single segment moves against nothing


def test_what_moves_more_is_hidden_more_often():
    chances = motion_probabilities(noise(1, 40, seed=3), 0.2).expand(4000, -1)
    hidden = draw_mask(noise(4000, 40), 0.5, chances).hidden.float().mean(0)
    assert spearmanr(hidden, chances[0]).statistic > 0.95
    # the first to be left out of a draw without replacement: of two tokens, the one of weight p with chance p
    two = motion_probabilities(torch.tensor([[0.0, 1.0]]), 0.8).expand(20000, -1)
    share = draw_mask(noise(20000, 2), 0.5, two).hidden[:, 1].float().mean()
    assert float(share) == pytest.approx(float(two[0, 1]), abs=0.015)
