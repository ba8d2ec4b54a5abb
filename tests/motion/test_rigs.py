"""The joints of common rigs, whatever stands before or behind their names."""

from __future__ import annotations

import pytest
from helpers.rigs import HUMAN_IK, RIGS

from kineme.motion.joint_map import joint_map
from kineme.motion.layout import free, identify, layout, own_names, reordered

LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BEFORE = ("Robot_", "Bob_", "Skeleton001_", "Actor:", "a_b:", "Take 3|Bob:", "Ann-Marie_", "x.")
PLAIN = [rig for rig, names in RIGS.items() if own_names(names)[-1] == names[-1] or rig == "ARKit"]
EXTREMITIES = {"left_hand", "right_hand", "left_foot", "right_foot"}


def body(names: list[str]):
    return free(names, [-1] + [0] * (len(names) - 1))


@pytest.mark.parametrize("rig", RIGS)
def test_every_rig_has_the_major_joints(rig):
    made = body(RIGS[rig])
    words = set(made.canonical_names)
    assert {f"{side}_{joint}" for side in ("left", "right") for joint in LIMBS} <= words
    missing = set(joint_map(made, layout("kinect20")).missing)
    assert missing <= EXTREMITIES | ({"spine"} if rig == "Biovision" else set())
    for joint, word in zip(made.joints, made.canonical_names):  # the middle is never made of something aside
        assert word not in ("pelvis", "spine", "head") or not joint.lower().startswith(("l_", "r_", "left", "right"))


@pytest.mark.parametrize("rig", PLAIN)
@pytest.mark.parametrize("before", BEFORE)
def test_what_stands_before_every_joint_changes_nothing(rig, before):
    """Two recordings that differ only in the actor's name have one layout."""
    plain = body(RIGS[rig])
    assert body([before + name for name in RIGS[rig]]) == plain
    first, *others = RIGS[rig]
    exempt = body([first, *(before + name for name in others)])  # the root stands for itself
    assert exempt.joints[1:] == plain.joints[1:]
    for one, other in zip(*(joint_map(made, layout("kinect20")).weights for made in (exempt, plain))):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize(
    "names",
    [
        ["left_hip", "left_knee", "left_ankle", "left_foot"],  # a side is no actor
        ["L_Hip", "L_Knee", "L_Ankle", "L_Foot"],
        ["hand_a", "hand_b", "hand_c", "hand_d"],  # nor is a part of the body
        ["joint_0", "joint_1", "joint_2", "joint_3"],  # which are not known without it either
        ["Robot_Hips", "Head"],
        ["Robot_Hips"],
        ["Bob_Hips", "Ann_LeftLeg", "Ann_LeftFoot", "Cy_Head"],
    ],
)
def test_what_is_part_of_the_names(names):
    assert own_names(names) == names


def test_what_stands_behind_every_joint():
    names = ["root", "hips_joint", "left_arm_joint", "left_arm_joint_end", "head_jnt"]
    assert own_names(names) == ["root", "hips", "left_arm", "left_arm_end", "head"]
    cmu = ["Hips", "LHipJoint", "hip_joint", "LeftUpLeg"]
    assert own_names(cmu) == cmu


def test_a_map_names_joints_as_their_file_does():
    made = body([f"Bob_{name}" for name in HUMAN_IK])
    for name in ("LeftHandMiddle1", "Bob_LeftHandMiddle1"):
        mapped = joint_map(made, layout("kinect20"), {"left_hand": name})
        assert made.joints[mapped.weights[layout("kinect20").joints.index("left_hand")].argmax()] == "LeftHandMiddle1"


@pytest.mark.parametrize("name", ["ntu25", "kinect20", "coco17", "mediapipe33", "body25", "penn13", "h36m17"])
def test_joints_in_another_order(name):
    known = layout(name)
    names = [joint.upper() for joint in known.joints[::-1]]
    assert identify(names) is None
    made, order = reordered(names)
    assert made == known
    assert [names[i].lower() for i in order] == list(known.joints)
    assert reordered(names[1:]) is None
    assert reordered([*names[1:], "tail"]) is None
