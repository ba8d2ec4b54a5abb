"""Maps between layouts by geometry: a synthetic motion mapped from A to B and back is where it was."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from kineme import synth
from kineme.motion.joint_map import joint_map
from kineme.motion.layout import layout, layouts
from kineme.motion.motion import Motion

WHOLE = ("coco_wholebody133", "halpe136")


@functools.cache
def clip(name: str) -> Motion:
    """The same second of the same person, in metres, of every layout."""
    return next(synth.generate(1, actions=["clap"], cameras=0, layout=name, coords=3))[:30]


@pytest.mark.parametrize("source", layouts())
def test_mapped_joints_are_where_the_target_has_them_and_come_back(source):
    start = clip(source)
    for target in layouts():
        there = joint_map(start.layout, layout(target))
        mapped, direct = start.to_layout(there), clip(target)
        known = [i for i, name in enumerate(direct.layout.joints) if name not in there.missing]
        assert (mapped.confidence[..., known] == 1).all()
        apart = np.linalg.norm(mapped.joints - direct.joints, axis=-1)
        plain = [i for i in known if direct.layout.joints[i] not in there.virtual]
        assert apart[..., plain].max() < 1e-4
        assert apart[..., known].max() < 0.25  # the head in the place of the nose is farthest
        assert mapped.confidence.sum() == 30 * len(known)
        back = joint_map(direct.layout, start.layout)
        home = mapped.to_layout(back)
        same = [
            i
            for i, name in enumerate(start.layout.joints)
            if name not in back.missing and name not in back.virtual and (home.confidence[..., i] > 0).all()
        ]
        taken = [int(back.weights[i].argmax()) for i in same]
        honest = [i for i, j in zip(same, taken) if direct.layout.joints[j] not in there.virtual]
        assert set(honest) >= {
            i for i, word in enumerate(start.layout.canonical_names) if word in direct.layout.canonical_names
        }
        np.testing.assert_allclose(home.joints[..., honest, :], start.joints[..., honest, :], atol=1e-6)


@pytest.mark.parametrize("name", WHOLE)
def test_faces_and_hands_are_where_they_belong(name):
    """Numbered points are on the side that they are said to be on, and close to the joints that they belong to."""
    motion = clip(name)
    joints, words = motion.joints[:, 0], motion.layout.canonical_names
    at = {word: joints[:, i] for i, word in enumerate(words)}
    across = at["left_ear"] - at["right_ear"]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    middle = (at["left_ear"] + at["right_ear"]) / 2
    names = motion.layout.joints
    face = [i for i, joint in enumerate(names) if joint.startswith("face_")]
    assert len(face) == 68
    for i in face:
        aside = ((joints[:, i] - middle) * across).sum(-1)
        side = words[i].split("_")[0]
        assert (
            np.abs(aside).max() < 1e-4
            if side not in ("left", "right")
            else (aside * (1, -1)[side == "right"] > 0).all()
        )
        assert np.linalg.norm(joints[:, i] - at["nose"], axis=-1).max() < 0.2
    up = at["nose"] - (at["left_hip"] + at["right_hip"]) / 2
    for lower, higher in (("chin", "lip_bottom"), ("lip_bottom", "lip_top"), ("lip_top", "nose_base")):
        assert (((at[higher] - at[lower]) * up).sum(-1) > 0).all()
    for side in ("left", "right"):
        fingers = [
            i for i, joint in enumerate(names) if joint.startswith(side) and ("finger" in joint or "thumb" in joint)
        ]
        assert len(fingers) == 20
        for i in fingers:
            assert np.linalg.norm(joints[:, i] - at[f"{side}_wrist"], axis=-1).max() < 0.25


def test_eyes_of_a_face_are_those_of_mediapipe():
    mapping = joint_map(layout("coco_wholebody133"), layout("mediapipe33"))
    taken = {
        name: mapping.source.joints[int(row.argmax())]
        for name, row in zip(mapping.target.joints, mapping.weights)
        if row.any()
    }
    assert taken["right_eye_outer"] == "face_36"
    assert taken["left_eye_outer"] == "face_45"
    assert taken["mouth_left"] == "face_54"
    assert taken["left_thumb"] == "left_thumb2"  # a knuckle
    assert taken["right_index"] == "right_forefinger1"
