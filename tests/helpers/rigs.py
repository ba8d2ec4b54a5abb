"""The joints of common rigs, by the names that their programs export: body, some of the fingers and the face."""

from __future__ import annotations


def _names(text: str, left: str = "Left", right: str = "Right") -> list[str]:
    """The words of a text; those with ``{}`` in them for both sides."""
    words = text.split()
    both = [word.replace("{}", side) for side in (left, right) for word in words if "{}" in word]
    return [word for word in words if "{}" not in word] + both


FINGERS = " ".join(f"{{}}Hand{name}{k}" for name in ("Thumb", "Index", "Middle", "Ring", "Pinky") for k in (1, 2, 3))
HUMAN_IK = _names(
    f"Hips Spine Spine1 Spine2 Neck Head {{}}Shoulder {{}}Arm {{}}ForeArm {{}}Hand {FINGERS} {{}}UpLeg {{}}Leg "
    "{}Foot {}ToeBase"
)
PERCEPTION_NEURON = _names(
    "Hips Spine Spine1 Spine2 Spine3 Neck Head {}UpLeg {}Leg {}Foot {}Shoulder {}Arm {}ForeArm {}Hand {}InHandIndex "
    f"{{}}InHandMiddle {{}}InHandRing {{}}InHandPinky {FINGERS}"
)
MOTIVE = _names("Hip Ab Chest Neck Head {}Shoulder {}UArm {}FArm {}Hand {}Thigh {}Shin {}Foot {}Toe", "L", "R")
UNREAL = (
    "clavicle_{} upperarm_{} upperarm_twist_01_{} lowerarm_{} hand_{} thumb_01_{} index_01_{} thigh_{} "
    "thigh_twist_01_{} calf_{} foot_{} ball_{}"
)

RIGS: dict[str, list[str]] = {
    "HumanIK (MotionBuilder, Motive FBX)": HUMAN_IK,
    "Mixamo": [f"mixamorig:{name}" for name in [*HUMAN_IK, "HeadTop_End", "LeftToe_End", "RightToe_End"]],
    "Mixamo with a number": [f"mixamorig9:{name}" for name in HUMAN_IK],
    "Perception Neuron": PERCEPTION_NEURON,
    "Perception Neuron, Robot": [f"Robot_{name}" for name in PERCEPTION_NEURON],
    "OptiTrack Motive": MOTIVE,
    "OptiTrack Motive, Skeleton 001_": [f"Skeleton 001_{name}" for name in MOTIVE],
    "OptiTrack Motive, Skeleton001:": ["Skeleton001", *(f"Skeleton001:{name}" for name in MOTIVE)],
    "Daz (CMU)": _names(
        "hip abdomen chest neck head leftEye rightEye {}Collar {}Shldr {}ForeArm {}Hand {}Thumb1 {}Thumb2 {}Index1 "
        "{}Index2 {}Mid1 {}Mid2 {}Ring1 {}Ring2 {}Pinky1 {}Pinky2 {}Buttock {}Thigh {}Shin {}Foot",
        "l",
        "r",
    ),
    "Daz Genesis 3 and 8": _names(
        "hip pelvis abdomenLower abdomenUpper chestLower chestUpper neckLower neckUpper head upperTeeth lowerJaw "
        "{}ThighBend {}ThighTwist {}Shin {}Foot {}Metatarsals {}Toe {}SmallToe1 {}BigToe {}Heel {}Collar {}ShldrBend "
        "{}ShldrTwist {}ForearmBend {}ForearmTwist {}Hand {}Thumb1 {}Carpal1 {}Index1 {}Eye {}Ear {}Pectoral",
        "l",
        "r",
    ),
    "Daz Genesis 9": _names(
        "hip pelvis spine1 spine2 spine3 spine4 neck1 neck2 head {}_thigh {}_thightwist1 {}_shin {}_foot {}_toes "
        "{}_metatarsal {}_shoulder {}_upperarm {}_upperarmtwist1 {}_forearm {}_forearmtwist1 {}_hand {}_thumb1 {}_eye",
        "l",
        "r",
    ),
    "ARKit": _names(
        "root hips_joint spine_1_joint spine_2_joint spine_3_joint spine_4_joint spine_5_joint spine_6_joint "
        "spine_7_joint neck_1_joint neck_2_joint neck_3_joint neck_4_joint head_joint jaw_joint chin_joint nose_joint "
        "{}_upLeg_joint {}_leg_joint {}_foot_joint {}_toes_joint {}_toesEnd_joint {}_shoulder_1_joint {}_arm_joint "
        "{}_forearm_joint {}_hand_joint {}_handThumbStart_joint {}_handIndex_1_joint {}_handPinkyEnd_joint "
        "{}_eye_joint {}_eyeUpperLid_joint {}_eyeball_joint",
        "left",
        "right",
    ),
    "Rokoko": _names(
        "Hips Spine1 Spine2 Spine3 Spine4 Neck Head {}Shoulder {}Arm {}ForeArm {}Hand {}Finger1Metacarpal "
        "{}Finger1Proximal {}Thigh {}Shin {}Foot {}Toe {}ToeTip"
    ),
    "Xsens MVN, BVH": _names(
        "Hips Chest Chest2 Chest3 Chest4 Neck Head {}Collar {}Shoulder {}Elbow {}Wrist {}Hip {}Knee {}Ankle {}Toe"
    ),
    "Xsens MVN, segments": _names(
        "Pelvis L5 L3 T12 T8 Neck Head {}Shoulder {}UpperArm {}ForeArm {}Hand {}UpperLeg {}LowerLeg {}Foot {}Toe"
    ),
    "Unreal": _names(f"root pelvis spine_01 spine_02 spine_03 neck_01 head {UNREAL}", "l", "r"),
    "Unreal 5": _names(
        f"root pelvis spine_01 spine_02 spine_03 spine_04 spine_05 neck_01 neck_02 head {UNREAL}", "l", "r"
    ),
    "SMPL": _names(
        "Pelvis Spine1 Spine2 Spine3 Neck Head {}_Hip {}_Knee {}_Ankle {}_Foot {}_Collar {}_Shoulder {}_Elbow {}_Wrist "
        "{}_Hand",
        "L",
        "R",
    ),
    "mocopi": _names(
        "root torso_1 torso_2 torso_3 torso_4 torso_5 torso_6 torso_7 neck_1 neck_2 head {}_shoulder {}_up_arm "
        "{}_low_arm {}_hand {}_up_leg {}_low_leg {}_foot {}_toes",
        "l",
        "r",
    ),
    "3ds Max Biped": ["Bip01"]
    + [f"Bip01 {name}" for name in "Pelvis Spine Spine1 Spine2 Neck Head".split()]  # noqa: SIM905
    + [
        f"Bip01 {side} {name}"
        for side in "LR"
        for name in ("Clavicle", "UpperArm", "Forearm", "Hand", "Finger0", "Thigh", "Calf", "Foot", "Toe0")
    ],
    "Biovision": _names("Hips Chest Neck Head {}Collar {}UpArm {}LowArm {}Hand {}UpLeg {}LowLeg {}Foot"),
    "Unity": _names(
        "Hips Spine Chest UpperChest Neck Head {}Shoulder {}UpperArm {}LowerArm {}Hand {}UpperLeg {}LowerLeg {}Foot "
        "{}Toes"
    ),
    "iPi": _names(
        "Hip LowerSpine MiddleSpine Chest Neck Head {}Clavicle {}Shoulder {}Forearm {}Hand {}Thigh {}Shin {}Foot "
        "{}ToeBase",
        "L",
        "R",
    ),
}
