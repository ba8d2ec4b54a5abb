"""Each body in a frame of its own: against plain loops over joints and people."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kineme.motion import layout as skeleton
from kineme.motion.layout import layout
from kineme.views import body_frame
from kineme.views.augment import rotation_matrices


@given(seed=st.integers(0, 10_000), time=st.integers(1, 9), share=st.floats(0, 1))
def test_gaps_are_filled_on_the_line_between_what_is_seen(seed, time, share):
    rng = np.random.default_rng(seed)
    joints, seen = rng.normal(size=(2, time, 2, 3, 3)), rng.random((2, time, 2, 3)) < share
    found = body_frame.filled(torch.tensor(joints), torch.tensor(seen)).numpy()
    for b, m in np.ndindex(2, 2):
        for v in range(3):
            there = np.flatnonzero(seen[b, :, m, v])
            if len(there):
                wanted = np.stack([np.interp(np.arange(time), there, joints[b, there, m, v, c]) for c in range(3)], 1)
            else:
                some = seen[b, :, m]
                wanted = (joints[b, :, m] * some[..., None]).sum(1) / np.maximum(some.sum(1), 1)[:, None]
            np.testing.assert_allclose(found[b, :, m, v], wanted, atol=1e-12)


def test_what_stands_in_a_missing_joint_does_not_matter():
    joints, seen = torch.randn(2, 5, 1, 4, 3), torch.rand(2, 5, 1, 4) < 0.5
    other = torch.where(seen[..., None], joints, torch.tensor(99.0))
    assert torch.equal(body_frame.filled(joints, seen), body_frame.filled(other, seen))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("turn", [-3.0, -0.5, 0.0, 1.0, 3.0])
def test_a_body_is_found_to_have_turned_as_it_was_turned(axis, turn):
    pairs, body = ((0, 1),), torch.randn(1, 6, 3, 3)
    seen = torch.ones(1, 6, 3, dtype=torch.bool)
    turned = body @ rotation_matrices(torch.tensor([turn]), 3, axis)[:, None]
    apart = body_frame.facing(turned, seen, pairs, axis) - body_frame.facing(body, seen, pairs, axis)
    assert math.isclose(math.cos(float(apart)), math.cos(turn), abs_tol=1e-5)
    assert math.isclose(math.sin(float(apart)), math.sin(turn), abs_tol=1e-5)


def test_shoulders_go_before_hips_and_a_body_of_no_width_is_not_turned():
    joints, seen = torch.zeros(3, 2, 4, 3), torch.ones(3, 2, 4, dtype=torch.bool)
    joints[:, :, 0, 0], joints[:, :, 2, 2] = 1.0, 1.0  # shoulders along x, hips along z
    seen[1, :, 0] = False
    joints[2] = 0
    found = body_frame.facing(joints, seen, ((0, 1), (2, 3)), axis=1)
    assert torch.allclose(found, torch.tensor([math.pi / 2, 0.0, 0.0]))  # of z, the first horizontal axis


def test_sides_by_name():
    ntu = layout("ntu25")
    names = [[ntu.joints[j] for j in pair] for pair in body_frame.sides(ntu)]
    assert names == [["left_shoulder", "right_shoulder"], ["left_hip", "right_hip"]]


def test_the_nearest_other_person():
    joints = torch.zeros(2, 3, 4, 1, 3)
    joints[:, :, :, 0, 0] = torch.tensor([0.0, 5.0, 1.0, 1.5])
    there = torch.tensor([[True, True, True, True], [True, False, False, False]])
    who, found = body_frame.nearest(joints, there, (0,))
    assert who[0].tolist() == [2, 3, 3, 2]
    assert found.tolist() == [[True] * 4, [False, True, True, True]]


def test_flat_bodies_are_standardised_by_clip():
    joints, seen = 3 + 40 * torch.randn(4, 7, 2, 5, 2), torch.rand(4, 7, 2, 5) < 0.8
    found = body_frame.standardised(joints, seen)
    for b in range(4):
        known = found[b][seen[b]]
        torch.testing.assert_close(known.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(known.square().mean().sqrt(), torch.tensor(1.0))


@pytest.mark.parametrize("layout", ["pose13", "ntu25", "coco17", "h36m17"])
def test_joints_that_are_never_seen_are_put_where_others_tell(layout):
    made = skeleton.layout(layout)
    joints = torch.randn(2, 5, 2, len(made), 3, generator=torch.Generator().manual_seed(3))
    at = {name: made.find(f"left_{name}") for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")}
    head = made.find("head", "nose")
    other = {name: made.mirror[joint] for name, joint in at.items()}
    seen = torch.ones(joints.shape[:-1], dtype=torch.bool)
    seen[0, :, 0, [head, at["elbow"], at["knee"]]] = False
    seen[1, :3, 1, head] = False  # it is seen later
    seen[1, :, 0, [other["elbow"], other["wrist"]]] = False  # nothing tells
    found, known = body_frame.guessed(joints, seen, body_frame.stand_ins(made))
    first = joints[0, :, 0]
    shoulders, hips = ((first[:, at[name]] + first[:, other[name]]) / 2 for name in ("shoulder", "hip"))
    torch.testing.assert_close(found[0, :, 0, head], shoulders + (shoulders - hips) / 2)
    torch.testing.assert_close(found[0, :, 0, at["elbow"]], (first[:, at["shoulder"]] + first[:, at["wrist"]]) / 2)
    torch.testing.assert_close(found[0, :, 0, at["knee"]], (first[:, at["hip"]] + first[:, at["ankle"]]) / 2)
    assert (found != joints).any(-1).any(1).nonzero()[:, 0].tolist() == [0, 0, 0]
    assert (~known).nonzero().tolist() == sorted([[1, 0, other["elbow"]], [1, 0, other["wrist"]]])


def test_a_layout_of_which_no_joint_is_known_has_no_stand_ins():
    assert not body_frame.stand_ins(skeleton.free(["a", "b"], [-1, 0])).any()
