"""Layouts, words and joint maps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kineme.motion import layout as skeleton
from kineme.motion.joint_map import joint_map, read_table
from kineme.motion.layout import Layout, canonical_name, free, from_dict, identify, layout, layouts
from kineme.utils.errors import InputError

SIZES = {
    "ntu25": 25,
    "kinect20": 20,
    "coco17": 17,
    "openpose18": 18,
    "body25": 25,
    "body25b": 25,
    "h36m17": 17,
    "smpl24": 24,
    "azure32": 32,
    "mvnx23": 23,
    "penn13": 13,
    "mediapipe33": 33,
    "pose13": 13,
    "pose16": 16,
    "pose17": 17,
    "halpe26": 26,
    "jhmdb15": 15,
    "panoptic19": 19,
    "coco_wholebody133": 133,
    "halpe136": 136,
}
LIMBS = [
    f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]


def names(text: str) -> list[str]:
    return text.split(";") if ";" in text else text.split()


# Names of real files (BVH and CMU exponential maps), in file order, with the parents where they matter.
BANDAI = names(
    "joint_Root Hips Spine Chest Neck Head Head_end Shoulder_L UpperArm_L LowerArm_L Hand_L Hand_L_end "
    "Shoulder_R UpperArm_R LowerArm_R Hand_R Hand_R_end UpperLeg_L LowerLeg_L Foot_L Toes_L Toes_L_end "
    "UpperLeg_R LowerLeg_R Foot_R Toes_R Toes_R_end"
)
BANDAI_PARENTS = [-1, 0, 1, 2, 3, 4, 5, 3, 7, 8, 9, 10, 3, 12, 13, 14, 15, 1, 17, 18, 19, 20, 1, 22, 23, 24, 25]
CMU_BVH = names(
    "Hips LHipJoint LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftToeBase_end RHipJoint RightUpLeg RightLeg "
    "RightFoot RightToeBase RightToeBase_end LowerBack Spine Spine1 Neck Neck1 Head Head_end LeftShoulder "
    "LeftArm LeftForeArm LeftHand LeftFingerBase LFingers LFingers_end LThumb LThumb_end RightShoulder "
    "RightArm RightForeArm RightHand RightFingerBase RFingers RFingers_end RThumb RThumb_end"
)
CMU_BVH_PARENTS = [
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    0,
    7,
    8,
    9,
    10,
    11,
    0,
    13,
    14,
    15,
    16,
    17,
    18,
    15,
    20,
    21,
    22,
    23,
    24,
    25,
    23,
    27,
    15,
    29,
    30,
    31,
    32,
    33,
    34,
    32,
    36,
]
CMU_38 = names(
    "hip left_hip_fixed left_up_leg left_leg left_foot left_toe left_toe_end right_hip_fixed right_up_leg "
    "right_leg right_foot right_toe right_toe_end lower_back spine spine1 neck neck1 head head_end "
    "left_shoulder_fixed left_shoulder left_arm left_forearm left_hand left_finger_base left_finger_end "
    "left_thumb left_thumb_end right_shoulder_fixed right_shoulder right_arm right_forearm right_hand "
    "right_finger_base right_finger_end right_thumb right_thumb_end"
)
MIXAMO = [
    f"mixamorig:{name}"
    for name in names(
        "Hips Spine Spine1 Spine2 Neck Head HeadTop_End LeftEye RightEye LeftShoulder LeftArm LeftForeArm "
        "LeftHand LeftHandMiddle1 LeftHandThumb1 RightShoulder RightArm RightForeArm RightHand "
        "RightHandMiddle1 RightHandThumb1 RightUpLeg RightLeg RightFoot RightToeBase LeftUpLeg LeftLeg "
        "LeftFoot LeftToeBase"
    )
]
MIXAMO_PARENTS = [-1, 0, 1, 2, 3, 4, 5, 5, 5, 3, 9, 10, 11, 12, 12, 3, 15, 16, 17, 18, 18, 0, 21, 22, 23, 0, 25, 26, 27]
MOCAPBANK = names(
    "Hips Chest Chest2 LeftCollar LeftShoulder LeftElbow LeftWrist LeftWrist_end RightCollar "
    "RightShoulder RightElbow RightWrist RightWrist_end Neck Head Head_end LeftHip LeftKnee LeftAnkle "
    "LeftAnkle_end RightHip RightKnee RightAnkle RightAnkle_end"
)
UNREAL = names(
    "root pelvis spine_01 spine_02 clavicle_l upperarm_l lowerarm_l hand_l clavicle_r upperarm_r "
    "lowerarm_r hand_r neck_01 head thigh_l calf_l foot_l ball_l thigh_r calf_r foot_r ball_r"
)
BLENDER = names(
    "DEF-hips DEF-spine DEF-chest DEF-neck DEF-head DEF-shoulder.L DEF-upper_arm.L DEF-forearm.L "
    "DEF-hand.L DEF-shoulder.R DEF-upper_arm.R DEF-forearm.R DEF-hand.R DEF-thigh.L DEF-shin.L DEF-foot.L "
    "DEF-toe.L DEF-thigh.R DEF-shin.R DEF-foot.R DEF-toe.R"
)
BIPED = names(
    "Bip01 Pelvis;Bip01 Spine;Bip01 Neck;Bip01 Head;Bip01 L Clavicle;Bip01 L UpperArm;"
    "Bip01 L Forearm;Bip01 L Hand;Bip01 R Clavicle;Bip01 R UpperArm;Bip01 R Forearm;Bip01 R Hand;"
    "Bip01 L Thigh;Bip01 L Calf;Bip01 L Foot;Bip01 L Toe0;Bip01 R Thigh;Bip01 R Calf;Bip01 R Foot;"
    "Bip01 R Toe0"
)
RIGS = {
    "bandai": BANDAI,
    "cmu_bvh": CMU_BVH,
    "cmu_38": CMU_38,
    "mixamo": MIXAMO,
    "mocapbank": MOCAPBANK,
    "unreal": UNREAL,
    "blender": BLENDER,
    "biped": BIPED,
}


def star(joints) -> Layout:
    """A free layout whose tree does not help: every joint hangs on the first."""
    return free(joints, [-1] + [0] * (len(joints) - 1))


def said(joints) -> dict[str, str]:
    return dict(zip(joints, star(joints).canonical_names))


def taken(mapping) -> dict[str, str]:
    """Target joint -> source joint, where exactly one source joint is taken."""
    return {
        name: mapping.source.joints[int(row.argmax())]
        for name, row in zip(mapping.target.joints, mapping.weights)
        if (row > 0).sum() == 1
    }


# ------------------------------------------------------------------------------------------------- built-in layouts


def test_the_built_in_layouts_are_there():
    assert {name: len(layout(name)) for name in layouts()} == SIZES
    assert layout("ntu25") is layout("ntu25")


@pytest.mark.parametrize("name", SIZES)
def test_every_layout_is_sound(name):
    body = layout(name)
    assert len(set(body.canonical_names)) == len(body)
    assert len([p for p in body.parents if p < 0]) == 1
    assert len(body.bones) == len(body) - 1
    assert sorted(i for part in body.parts.values() for i in part) == list(range(len(body)))
    assert tuple(body.parts) == skeleton.PARTS
    assert from_dict(json.loads(json.dumps(body.as_dict()))) == body
    assert identify(body.joints) is body
    root_words = [body.canonical_names[i] for i in body.root]
    assert root_words in (["pelvis"], ["left_hip", "right_hip"])
    assert ("pelvis" in body.canonical_names) == (root_words == ["pelvis"])


@pytest.mark.parametrize("name", SIZES)
def test_mirror_pairs_every_joint_of_a_side_and_is_its_own_inverse(name):
    body = layout(name)
    words = body.canonical_names  # points of a face are only numbered in their files
    for i, j in enumerate(body.mirror):
        assert body.mirror[j] == i
        assert words[j] == words[i].replace("left", "?").replace("right", "left").replace("?", "right")
        assert (i == j) == ("left" not in words[i] and "right" not in words[i])
        if "left" in body.joints[i]:
            assert body.joints[j] == body.joints[i].replace("left", "right")


@pytest.mark.parametrize("name", SIZES)
def test_left_and_right_parts_mirror_each_other(name):
    body = layout(name)
    for limb in ("arm", "leg"):
        left, right = body.parts[f"left_{limb}"], body.parts[f"right_{limb}"]
        assert sorted(body.mirror[i] for i in left) == list(right)
        assert len(left) >= 3
    assert all("elbow" not in body.joints[i] and "knee" not in body.joints[i] for i in body.parts["trunk"])


def test_all_layouts_have_the_twelve_limb_joints():
    for name in layouts():
        assert set(LIMBS) <= set(layout(name).canonical_names), name


@pytest.mark.parametrize(("name", "file"), [("kinect20", "nw_ucla"), ("ntu25", "pku_mmd"), ("penn13", "penn_action")])
def test_names_are_those_of_the_data(name, file, data_dir):
    said = json.loads((data_dir / file / f"{file}.json").read_text())
    assert list(layout(name).joints) == said["joint_names"]
    if name != "ntu25":  # there the tree of the published bone stream is another one
        assert list(layout(name).parents) == said["parents"]


def test_ntu25_has_the_published_bones(golden):
    pairs = golden("hico_streams")["bone_pairs_1based"]
    parents = np.asarray(layout("ntu25").parents)
    for joint, parent in pairs - 1:
        assert parents[joint] == (-1 if parent == joint else parent)


def test_ntu25_published_bones_by_name():
    body = layout("ntu25")
    tree = {body.joints[i]: body.joints[p] for i, p in body.bones}
    assert body.parents[20] == -1
    assert body.joints[20] == "spine_shoulder"
    assert tree["spine_base"] == "spine_mid"
    assert tree["left_hand_tip"] == "left_thumb"
    assert tree["right_thumb"] == "right_hand"
    assert body.root == (0,)


def test_cv_mim_layouts_have_the_specified_order():
    limbs = [
        f"{side}_{joint}"
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]
    assert list(layout("pose13").canonical_names) == ["nose", *limbs]
    assert list(layout("pose16").joints) == ["head", "neck", *limbs[:6], "spine", "pelvis", *limbs[6:]]
    names = list(layout("pose17").canonical_names)
    assert names == [
        "pelvis",
        "head",
        "neck",
        "chest",
        *limbs[:6],
        "spine",
        *limbs[6:],
    ]


def test_pose17_to_pose13_is_the_published_selection():
    mapping = joint_map(layout("pose17"), layout("pose13"))
    assert mapping.weights.argmax(axis=1).tolist() == [1, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16]
    assert not mapping.missing
    assert list(mapping.virtual) == ["nose"]


def test_unknown_layout_names_what_exists():
    with pytest.raises(InputError, match=r"kinect21.*kinect20.*Did you mean 'kinect20'"):
        layout("kinect21")
    with pytest.raises(InputError, match="no such layout"):
        layout(["ntu25"])


# ------------------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(("name", "expected"), [
    ("Hips", "pelvis"), ("SpineBase", "pelvis"), ("MidHip", "pelvis"), ("HIP CENTER", "pelvis"),
    ("shoulder-centre", "chest"), ("Thorax", "chest"), ("Neck/Nose", "neck"), ("HeadTop_End", "head_top"),
    ("mixamorig:LeftForeArm", "left_elbow"), ("LUArm", "left_shoulder"), ("upperarm_l", "left_shoulder"),
    ("Bip01 R Thigh", "right_hip"), ("DEF-shin.R", "right_knee"), ("CC_Base_R_Calf", "right_knee"),
    ("ValveBiped.Bip01_L_UpperArm", "left_shoulder"), ("J_Bip_L_LowerLeg", "left_knee"),
    ("HandTipLeft", "left_hand_tip"),
    ("mouth_left", "left_mouth"), ("RShoulder", "right_shoulder"), ("lshoulder", "left_shoulder"),
    ("leftknee", "left_knee"), ("LHipJoint", "left_hip_joint"), ("RIGHT_ELBOW", "right_elbow"),
    ("left_foot_index", "left_foot_index"), ("LBigToe", "left_big_toe"), ("spine_01", "spine1"), ("Spine1", "spine1"),
    ("LeftHandIndex1", "left_hand_index1"), ("L5", "l5"), ("leg", "leg"), ("rear_marker", "rear_marker"),
    ("LeftArm", "left_arm"), ("LeftLeg", "left_leg"), ("Something Else", "something_else"),
    ("Hüfte_L", "left_hüfte"), ("頭", "頭"), ("---", "_"), ("", "joint"), ("mixamorig:", "mixamorig_"),
])  # fmt: skip
def test_word_of_a_name_alone(name, expected):
    assert canonical_name(name) == expected


def test_words_are_words_of_themselves():
    for name in layouts():
        assert [canonical_name(w) for w in layout(name).canonical_names] == list(layout(name).canonical_names)


@pytest.mark.parametrize("rig", RIGS)
def test_rigs_have_the_limb_joints_where_they_are(rig):
    words = star(RIGS[rig]).canonical_names
    assert set(LIMBS) <= set(words)
    assert "pelvis" in words
    assert "head" in words


def test_what_rigs_call_shoulder_hand_and_foot_is_clavicle_wrist_and_ankle():
    for names in (BANDAI, MIXAMO, CMU_BVH, BLENDER):
        words = said(names)
        plain = {
            name.split(":")[-1].removeprefix("DEF-").lower().replace("_", "").replace(".", ""): w
            for name, w in words.items()
        }
        for mark in ("shoulderl", "leftshoulder"):
            assert plain.get(mark, "left_clavicle") == "left_clavicle"
        for mark in ("handl", "lefthand"):
            assert plain.get(mark, "left_wrist") == "left_wrist"
        for mark in ("footl", "leftfoot"):
            assert plain.get(mark, "left_ankle") == "left_ankle"
    assert said(BANDAI)["Toes_R"] == "right_foot"
    assert said(BANDAI)["Chest"] == "upper_spine"


def test_what_other_layouts_call_so_stays_so():
    kinect = dict(zip(layout("kinect20").joints, layout("kinect20").canonical_names))
    assert kinect["left_shoulder"] == "left_shoulder"
    assert kinect["left_hand"] == "left_hand"
    assert kinect["left_foot"] == "left_foot"
    bank = said(MOCAPBANK)
    assert bank["LeftShoulder"] == "left_shoulder"
    assert bank["LeftCollar"] == "left_clavicle"
    openni = said(names("head torso left_shoulder left_elbow left_hand right_shoulder right_elbow right_hand"))
    assert openni["left_hand"] == "left_hand"  # the middle of the hand; nothing says that it is the wrist


def test_a_hand_beside_a_wrist_is_a_hand_and_a_foot_beside_an_ankle_a_foot():
    arm = said(["LeftForeArm", "LeftWrist", "LeftHand", "LeftThumb"])
    assert [arm["LeftWrist"], arm["LeftHand"], arm["LeftThumb"]] == ["left_wrist", "left_hand", "left_thumb"]
    leg = said(["LeftThigh", "LeftShin", "LeftAnkle", "LeftFoot", "LeftToe"])
    assert list(leg.values()) == ["left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"]


def test_cmu_necks_and_thumbs():
    for joints in (CMU_38, CMU_BVH):
        words = star(joints).canonical_names
        assert [words[i] for i in (16, 17, 18)] == ["neck_base", "neck", "head"]
        assert words[joints.index("head_end" if joints is CMU_38 else "Head_end")] == "head_end"
    assert said(CMU_BVH)["LThumb"] == said(CMU_38)["left_thumb"] == "left_thumb_base"
    assert said(CMU_BVH)["RThumb_end"] == said(CMU_38)["right_thumb_end"] == "right_thumb"
    assert said(CMU_38)["left_hand"] == "left_hand_base"
    assert said(MIXAMO)["mixamorig:Neck"] == "neck"


def test_the_context_is_that_of_the_same_side():
    words = said(["LeftShoulder", "LeftArm", "LeftForeArm", "RightShoulder", "RightElbow"])
    assert words["LeftShoulder"] == "left_clavicle"
    assert words["RightShoulder"] == "right_shoulder"


def test_cmu_names_are_shifted_in_the_arms_of_the_38_joints_only():
    words = said(CMU_38)
    assert [words[name] for name in ("left_shoulder_fixed", "left_shoulder", "left_arm", "left_forearm")] == [
        "left_clavicle",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ]
    assert words["left_up_leg"] == "left_hip"
    assert words["left_leg"] == "left_knee"
    assert said(CMU_BVH)["LeftForeArm"] == "left_elbow"


def test_two_joints_of_one_word():
    words = star(["Hips", "Pelvis", "pelvis"]).canonical_names
    assert words[0] == "pelvis"
    assert len(set(words)) == 3


def test_openpose_neck_is_the_middle_of_the_shoulders():
    for name in ("openpose18", "body25"):
        assert layout(name).canonical_names[layout(name).joints.index("neck")] == "chest"
    assert layout("ntu25").find("neck") == 2
    assert layout("coco17").find("neck", "nose") == 0
    assert layout("coco17").find("neck") is None


@pytest.mark.parametrize(
    ("file", "person"), [("bandai_2", False), ("cmu_mocap", False), ("pku_mmd", True), ("nw_ucla", False)]
)
def test_words_stand_where_the_joints_are_in_real_data(file, person, data_dir):
    said = json.loads((data_dir / file / f"{file}.json").read_text())
    with np.load(data_dir / file / f"{file}.npz") as arrays:
        joints = arrays["joints"][:20_000:50].astype(np.float64)
    joints = joints[:, 0] if person else joints
    joints = joints[np.abs(joints).sum(axis=(1, 2)) > 0]
    body = identify(said["joint_names"]) or free(said["joint_names"], said["parents"])

    def length(a, b):
        gap = joints[:, body.find(a)] - joints[:, body.find(b)]
        return float(np.median(np.linalg.norm(gap, axis=1)))

    for side in ("left", "right"):
        arm = [length(f"{side}_{a}", f"{side}_{b}") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))]
        leg = [length(f"{side}_{a}", f"{side}_{b}") for a, b in (("hip", "knee"), ("knee", "ankle"))]
        foot = length(f"{side}_ankle", f"{side}_foot")
        assert all(0.15 < x < 0.35 for x in arm)
        assert all(0.3 < x < 0.55 for x in leg)
        assert 0.08 < foot < 0.16
    assert 0.2 < length("left_shoulder", "right_shoulder") < 0.5
    assert 0.1 < length("left_hip", "right_hip") < 0.3


# ----------------------------------------------------------------------------------------------------- free layouts


def test_root_and_parts_of_free_layouts():
    body = free(BANDAI, BANDAI_PARENTS)
    assert body.name == "free"
    assert body.root == (1,)
    names = {part: {BANDAI[i] for i in held} for part, held in body.parts.items()}
    assert names["left_arm"] == {"Shoulder_L", "UpperArm_L", "LowerArm_L", "Hand_L", "Hand_L_end"}
    assert names["right_leg"] == {"UpperLeg_R", "LowerLeg_R", "Foot_R", "Toes_R", "Toes_R_end"}
    assert names["trunk"] == {"joint_Root", "Hips", "Spine", "Chest", "Neck", "Head", "Head_end"}
    assert star(["a", "right_hip", "left_hip"]).root == (2, 1)
    assert free(["base", "child"], [1, -1]).root == (1,)
    mixamo = free(MIXAMO, MIXAMO_PARENTS)
    assert MIXAMO.index("mixamorig:LeftHandMiddle1") in mixamo.parts["left_arm"]
    assert MIXAMO.index("mixamorig:LeftEye") in mixamo.parts["trunk"]
    cmu = free(CMU_BVH, CMU_BVH_PARENTS)
    assert CMU_BVH.index("RFingers_end") in cmu.parts["right_arm"]
    assert cmu.mirror[CMU_BVH.index("LThumb_end")] == CMU_BVH.index("RThumb_end")


def test_names_that_come_twice_are_told_apart():
    assert free(["x", "x", "x_2", "x"], [-1, 0, 0, 0]).joints == ("x", "x_3", "x_2", "x_4")


@pytest.mark.parametrize(("change", "message"), [
    ({"joints": ()}, "0 joints"),
    ({"joints": ("a", "a", "b")}, "'a' twice"),
    ({"joints": ("a", 5, "b")}, "names"),
    ({"parents": (-1, 0)}, "2 parents.*3 joints"),
    ({"parents": (-1, 0, 3)}, "from 0 to 2"),
    ({"parents": (-2, 0, 0)}, "from 0 to 2"),
    ({"parents": (-1, 2, 1)}, "ring"),
    ({"parents": (0, 1, 2)}, "ring"),
    ({"parents": (-1, 0, None)}, "joint numbers"),
    ({"root": (3,)}, "root"),
    ({"root": ()}, "root"),
    ({"parts": {"trunk": (0, 1, 2)}}, "parts.*left_arm"),
    ({"parts": {"trunk": (0, 1), **dict.fromkeys(skeleton.PARTS[1:], ())}}, "every joint in exactly one"),
])  # fmt: skip
def test_unsound_layouts_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Layout(**{"name": "mine", "joints": ("a", "b", "c"), "parents": (-1, 0, 1), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"joints": "abc"},
        {"parents": None},
        {"root": 0},
        {"parts": [1]},
        {"parts": {"trunk": 3}},
        {"parts": {"trunk": [None]}},
        {"joints": [1, 2]},
        {"parents": [0.5, 1]},
    ],
)
def test_damaged_cards_are_refused(change):
    with pytest.raises(InputError, match="layout"):
        from_dict({**layout("ntu25").as_dict(), **change})


def test_a_card_that_is_no_dict_is_refused():
    with pytest.raises(InputError, match="list"):
        from_dict([1, 2])


NAMES = st.lists(st.text(max_size=12) | st.sampled_from(BANDAI + CMU_BVH + CMU_38 + MIXAMO), min_size=1, max_size=30)


@given(NAMES, st.randoms(use_true_random=False))
def test_any_names_in_any_tree_make_a_sound_layout(names, random):
    order = list(range(len(names)))
    random.shuffle(order)  # joints may stand before their parents
    parents = [0] * len(names)
    for n, i in enumerate(order):
        parents[i] = -1 if n == 0 else order[random.randrange(n)]
    body = free(names, parents)
    assert len(set(body.joints)) == len(set(body.canonical_names)) == len(names)
    assert [body.mirror[j] for j in body.mirror] == list(range(len(names)))
    assert from_dict(json.loads(json.dumps(body.as_dict()))) == body
    same = joint_map(body, body)
    assert (same.weights == np.eye(len(names))).all()
    assert not same.missing
    assert not same.virtual


SPELLINGS = {
    "camel": lambda side, base: "".join(part.title() for part in [side, *base]),
    "kinect": lambda side, base: "".join(part.title() for part in [*base, side]),
    "upper": lambda side, base: "_".join([side, *base]).upper(),
    "blender": lambda side, base: "_".join(base) + (f".{side[0].upper()}" if side else ""),
    "maya": lambda side, base: "rig:man:" + "_".join([side[:1], *base]).strip("_"),
    "spaces": lambda side, base: " ".join([side, *base]).strip(),
    "mixamo": lambda side, base: "mixamorig:" + "".join(part.title() for part in [side, *base]),
}


@pytest.mark.parametrize("style", SPELLINGS)
def test_case_separators_prefix_and_place_of_the_side_do_not_count(style):
    for known in {w for name in layouts() for w in layout(name).canonical_names}:
        side, base = known.split("_", 1) if known.startswith(("left_", "right_")) else ("", known)
        assert canonical_name(SPELLINGS[style](side, base.split("_"))) == known


@given(st.text(max_size=30))
def test_words_of_any_text_are_one_word(name):
    assert canonical_name(name)
    assert len(canonical_name(name).split()) == 1


def test_ten_thousand_joints_are_refused_at_once():
    with pytest.raises(InputError, match="10000 joints"):
        free(["x"] * 10_000, [-1] + [0] * 9_999)


# --------------------------------------------------------------------------------------------------------- identify


def test_identify_reads_other_spellings():
    sdk = names(
        "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight WristRight "
        "HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight SpineShoulder "
        "HandTipLeft ThumbLeft HandTipRight ThumbRight"
    )
    assert identify(sdk) is layout("ntu25")
    openpose = names("Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle")
    assert identify([*openpose, "REye", "LEye", "REar", "LEar"]) is layout("openpose18")


def test_identify_wants_the_same_order_and_number():
    joints = layout("ntu25").joints
    assert identify(joints[::-1]) is None
    assert identify(joints[:-1]) is None
    assert identify(BANDAI) is None
    assert identify([]) is None


# ------------------------------------------------------------------------------------------------------- joint maps


@pytest.mark.parametrize("name", SIZES)
def test_a_layout_maps_to_itself(name):
    same = joint_map(layout(name), layout(name))
    assert same.weights.dtype == np.float32
    assert (same.weights == np.eye(len(layout(name)))).all()
    assert same.missing == same.unused == ()
    assert not same.virtual


@pytest.mark.parametrize("source", SIZES)
@pytest.mark.parametrize("target", SIZES)
def test_every_pair_keeps_its_promises(source, target):
    mapping = joint_map(layout(source), layout(target))
    sums = mapping.weights.sum(axis=1)
    assert np.isin(sums.round(6), (0, 1)).all()
    assert mapping.weights.min() >= 0
    assert mapping.missing == tuple(j for j, s in zip(mapping.target.joints, sums) if s == 0)
    assert mapping.unused == tuple(j for j, used in zip(mapping.source.joints, mapping.weights.any(axis=0)) if not used)
    said = dict(zip(mapping.source.joints, mapping.source.canonical_names))
    for name, words, row in zip(mapping.target.joints, mapping.target.canonical_names, mapping.weights):
        if name not in mapping.virtual and row.any():  # nothing stands for something else
            assert said[mapping.source.joints[int(row.argmax())]] == words
    assert not set(LIMBS) & {mapping.target.canonical_names[mapping.target.joints.index(j)] for j in mapping.missing}


@pytest.mark.parametrize("source", SIZES)
def test_every_layout_fills_pose13(source):
    mapping = joint_map(layout(source), layout("pose13"))
    assert not mapping.missing
    assert set(mapping.virtual) <= {"nose"}


@pytest.mark.parametrize("rig", RIGS)
def test_every_rig_fills_pose13_and_the_limbs_of_the_kinects(rig):
    assert not joint_map(star(RIGS[rig]), layout("pose13")).missing
    for target in ("kinect20", "ntu25"):
        mapping = joint_map(star(RIGS[rig]), layout(target))
        assert not {*LIMBS, "head", mapping.target.joints[mapping.target.root[0]]} & set(mapping.missing)


@pytest.mark.parametrize(("source", "target", "missing", "virtual"), [
    ("ntu25", "kinect20", (), ()),
    ("kinect20", "ntu25", ("neck", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb"), ()),
    ("openpose18", "coco17", (), ()),
    ("coco17", "openpose18", (), ("neck",)),
    ("body25", "openpose18", (), ()),
    ("mediapipe33", "coco17", (), ()),
    ("coco17", "pose17", ("neck_nose",), ("hip", "head", "thorax", "spine")),
    ("h36m17", "pose17", (), ()),
    ("pose17", "h36m17", (), ()),
    ("ntu25", "pose16", (), ()),
    ("ntu25", "pose17", (), ()),
    ("coco17", "pose16", (), ("head", "neck", "spine", "pelvis")),
    ("ntu25", "coco17", ("nose", "left_eye", "right_eye", "left_ear", "right_ear"), ()),
    ("penn13", "pose13", (), ("nose",)),
    ("pose13", "penn13", ("head",), ()),
])  # fmt: skip
def test_pairs(source, target, missing, virtual):
    mapping = joint_map(layout(source), layout(target))
    assert mapping.missing == missing
    assert set(mapping.virtual) == set(virtual)


def test_bandai_to_the_kinects():
    mapping = joint_map(free(BANDAI, BANDAI_PARENTS), layout("kinect20"))
    pairs = taken(mapping)
    assert pairs["left_shoulder"] == "UpperArm_L"
    assert pairs["right_elbow"] == "LowerArm_R"
    assert pairs["left_wrist"] == "Hand_L"
    assert pairs["right_hip"] == "UpperLeg_R"
    assert pairs["left_knee"] == "LowerLeg_L"
    assert pairs["left_ankle"] == "Foot_L"
    assert pairs["left_foot"] == "Toes_L"
    assert pairs["hip_center"] == "Hips"
    assert pairs["head"] == "Head"
    assert mapping.missing == ("left_hand", "right_hand")
    assert mapping.virtual == {"shoulder_center": "midway between the shoulders: UpperArm_L, UpperArm_R"}
    assert "Chest" in mapping.unused
    assert "joint_Root" in mapping.unused


def test_virtual_joints_are_means():
    body = layout("coco17")
    mapping = joint_map(body, layout("h36m17"))
    weights = dict(zip(mapping.target.joints, mapping.weights))
    hips, shoulders = [body.joints.index(f"{s}_hip") for s in ("left", "right")], [5, 6]
    assert weights["hip"][hips].tolist() == [0.5, 0.5]
    assert weights["spine"][hips + shoulders].tolist() == [0.25] * 4
    assert weights["head"][[3, 4]].tolist() == [0.5, 0.5]
    assert mapping.virtual["head"] == "midway between the ears: left_ear, right_ear"


def test_a_recipe_needs_all_its_joints():
    mapping = joint_map(star(["left_hip", "left_shoulder", "right_shoulder"]), layout("openpose18"))
    assert "neck" in mapping.virtual
    mapping = joint_map(star(["left_hip", "left_shoulder"]), layout("kinect20"))
    assert {"hip_center", "shoulder_center"} <= set(mapping.missing)


def test_a_table_goes_before_everything():
    source, target = free(BANDAI, BANDAI_PARENTS), layout("kinect20")
    table = {"left_hand": "Hand_L", "head": ["Head", "Neck"], "right_foot": [], "pelvis": "joint_Root"}
    mapping = joint_map(source, target, table)
    pairs = taken(mapping)
    assert pairs["left_hand"] == pairs["left_wrist"] == "Hand_L"
    assert pairs["hip_center"] == "joint_Root"
    assert mapping.missing == ("right_hand", "right_foot")
    assert mapping.weights[target.joints.index("head"), source.joints.index("Neck")] == 0.5
    assert mapping.virtual["head"] == "as the table says: Neck, Head"


@pytest.mark.parametrize(("table", "message"), [
    ({"left_hnd": "Hand_L"}, r"left_hnd.*target.*Did you mean 'left_hand'"),
    ({"left_hand": "LowerArmL"}, r"LowerArmL.*source.*Did you mean 'LowerArm_L'"),
    ({"left_hand": ["Hand_L", "nothing"]}, "nothing"),
    ({"left_hand": ["Hand_L", "left_wrist"]}, "twice"),
    ({"left_hand": [3]}, "3"),
    ({"left_hand": None}, "left_hand"),
])  # fmt: skip
def test_tables_with_unknown_joints_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        joint_map(free(BANDAI, BANDAI_PARENTS), layout("kinect20"), table)


def test_map_files(tmp_path):
    expected = {"left_hand": "mixamorig:LeftHand", "pelvis": ["LeftHip", "RightHip"], "head": []}
    (tmp_path / "map.json").write_text(json.dumps(expected))
    (tmp_path / "map.toml").write_text(
        'left_hand = "mixamorig:LeftHand"\npelvis = ["LeftHip", "RightHip"]\nhead = []\n'
    )
    assert read_table(tmp_path / "map.json") == read_table(str(tmp_path / "map.toml")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "left_hand",
        "{",
        '{"a": 3}',
        "a = 3",
        'a = ["b", 3]',
        "[part]\na = 'b'",
        '{"a": null}',
        "\x00\x00",
        "[1, 2]",
        "\udcff",
    ],
)
def test_bad_map_files_are_refused(text, tmp_path):
    path = tmp_path / "map.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"map\.toml.*left_wrist"):
        read_table(path)


def test_a_map_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.toml")
    with pytest.raises(InputError, match="not readable"):
        read_table(tmp_path)
