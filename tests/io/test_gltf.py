"""glTF: places of joints against forward kinematics of another reader and by hand; skins, matrices, rates, buffers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import gltf as made
from helpers.gltf import NAMES, OFFSETS, PARENTS

import kineme
from kineme import io as readers
from kineme.io import bvh
from kineme.utils.errors import InputError

HALF = np.sqrt(0.5)
RIGHT_ANGLE = [0, 0, HALF, HALF]  # about z


def write(path: Path, *animations: dict, change=lambda data: None, **how) -> Path:
    data, blob = made.document(animations, **how)
    change(data)
    path.write_bytes(made.binary(data, blob))
    return path


def quaternions(turns: np.ndarray) -> np.ndarray:
    """Of rotation matrices ``[T, 3, 3]``, x y z w."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(turns).as_quat()


def test_it_is_the_motion_that_bvh_tells(tmp_path):
    """A synthetic walk as BVH, and the same hierarchy and rotations as glTF."""
    walk = next(iter(kineme.synth.generate(1, ["walk"], cameras=0, layout="ntu25")))
    path = next(bvh.write(tmp_path, [walk]).glob("*.bvh"))
    joints, values, seconds = bvh.parse(path)
    times, tracks, column = np.arange(len(values)) * seconds, {}, 0
    for k, joint in enumerate(joints):
        turn = np.tile(np.eye(3), (len(values), 1, 1))
        move, moves = np.tile(np.array(joint.offset), (len(values), 1)), False
        for kind, axis in joint.channels:
            if kind == "position":
                move[:, axis], moves = values[:, column], True
            else:
                angle, (a, b) = np.radians(values[:, column]), ((axis + 1) % 3, (axis + 2) % 3)
                each = np.tile(np.eye(3), (len(values), 1, 1))
                each[:, a, a] = each[:, b, b] = np.cos(angle)
                each[:, b, a], each[:, a, b] = np.sin(angle), -np.sin(angle)
                turn = turn @ each
            column += 1
        if joint.channels:
            tracks[k, "rotation"] = (times, quaternions(turn), "LINEAR")
        if moves:
            tracks[k, "translation"] = (times, move / 100, "LINEAR")
    how = {
        "names": [joint.name for joint in joints], "parents": [joint.parent for joint in joints],
        "offsets": np.array([joint.offset for joint in joints]) / 100, "skins": [range(len(joints))],
    }  # fmt: skip
    found, wanted = kineme.read(write(tmp_path / "walk.glb", tracks, **how)), kineme.read(path)
    assert (found.layout, found.unit, found.up) == (wanted.layout, "m", "+y")
    assert found.fps == pytest.approx(wanted.fps, rel=1e-5)
    np.testing.assert_allclose(found.joints, wanted.joints / 100, atol=2e-6)
    np.testing.assert_array_equal(found.confidence, 1)


def test_a_limb_by_hand(tmp_path):
    """The left hip turns by 90 degrees about z: the knee, 0.4 below it, comes to its side."""
    tracks = {(4, "rotation"): ([0.0, 0.5, 1.0], np.array([[0, 0, 0, 1], RIGHT_ANGLE, RIGHT_ANGLE]), "LINEAR")}
    motion = kineme.read(write(tmp_path / "a.glb", tracks))
    assert (motion.layout.joints, motion.layout.parents, motion.fps) == (NAMES, PARENTS, 2.0)
    hip = OFFSETS[0] + OFFSETS[4]
    np.testing.assert_allclose(motion.joints[:, 0, 4], [hip] * 3, atol=1e-6)
    np.testing.assert_allclose(
        motion.joints[:, 0, 5], [np.add(hip, (0, -0.4, 0)), *[np.add(hip, (0.4, 0, 0))] * 2], atol=1e-6
    )


@pytest.mark.parametrize(
    ("mode", "values", "middle"),
    [
        ("LINEAR", [[0, 0, 0], [2, 0, 0], [2, 0, 0]], 1.0),
        ("STEP", [[0, 0, 0], [2, 0, 0], [2, 0, 0]], 0.0),
        # tangents of 8 per second: half of 0 + half of 2 + (1/8 - 2/8 + 1/2) * 8 * 0.5 - (1/8 - 1/4) ... = 1 + 0.5
        (
            "CUBICSPLINE",
            [[[0] * 3, [0] * 3, [8, 0, 0]], [[0] * 3, [2, 0, 0], [0] * 3], [[0] * 3, [2, 0, 0], [0] * 3]],
            1.5,
        ),
    ],
)
def test_what_is_between_two_keys(tmp_path, mode, values, middle):
    """Keys of another joint, 0.25 s apart, ask for the middle of the first two keys of the hips, 0.5 s apart."""
    tracks = {
        (0, "translation"): ([0.0, 0.5, 1.0], np.array(values, float), mode),
        (1, "rotation"): ([0.0, 0.25, 0.5], np.array([[0, 0, 0, 1]] * 3), "LINEAR"),
    }
    motion = kineme.read(write(tmp_path / "a.glb", tracks))
    assert motion.fps == 4
    np.testing.assert_allclose(motion.joints[:, 0, 0, 0], [0, middle, 2, 2, 2], atol=1e-6)


def test_rotations_go_the_short_way_round(tmp_path):
    """Half of 90 degrees, also where the other sign of the same rotation stands there."""
    for sign in (1, -1):
        turns = np.array([[0, 0, 0, 1], RIGHT_ANGLE]) * [[1], [sign]]
        tracks = {
            (4, "rotation"): ([0.0, 1.0], turns, "LINEAR"),
            (1, "scale"): ([0.0, 0.5, 1.0], np.ones((3, 3)), "LINEAR"),
        }
        motion = kineme.read(write(tmp_path / "a.glb", tracks))
        np.testing.assert_allclose(
            motion.joints[1, 0, 5] - motion.joints[1, 0, 4], [0.4 * HALF, -0.4 * HALF, 0], atol=1e-6
        )


def test_what_stands_above_the_skeleton_counts(tmp_path):
    """An armature in centimetres, lying on its back, as exporters of other programs leave it."""
    quarter = {"scale": [0.01] * 3, "rotation": [-HALF, 0, 0, HALF], "translation": [0, 0, 7]}
    motion = kineme.read(
        write(tmp_path / "a.glb", made.turning(), change=lambda data: data["nodes"][0].update(quarter))
    )
    plain = kineme.read(write(tmp_path / "b.glb", made.turning()))
    x, y, z = plain.joints.transpose(3, 0, 1, 2) / 100
    np.testing.assert_allclose(motion.joints, np.stack([x, z, 7 - y], -1), atol=1e-6)


def test_each_animation_is_a_clip(tmp_path):
    path = write(tmp_path / "two.glb", made.turning(seed=1), made.turning(9, seed=2))
    first, second = kineme.read_all(path)
    assert (first.source, second.source, len(first), len(second)) == ("two.glb#take 0", "two.glb#take 1", 6, 9)
    alone = kineme.read(write(tmp_path / "one.glb", made.turning(9, seed=2)))
    np.testing.assert_array_equal(second.joints, alone.joints)
    assert len(kineme.prepare(tmp_path, tmp_path / "store")) == 3


def test_one_bad_animation_costs_itself(tmp_path):
    def change(data):
        data["animations"][0]["samplers"][0]["output"] = 10**6

    path = write(tmp_path / "two.glb", made.turning(seed=1), made.turning(9, seed=2), change=change)
    fault, motion = readers.read_each(path)
    assert isinstance(fault, InputError)
    assert len(motion) == 9


def test_skins(tmp_path):
    """Clothes have skins of some of the same joints; what belongs to no skin of the body is left out, and counted."""
    path = write(tmp_path / "a.glb", made.turning(), skins=[[0, 1], range(6), [6, 7]])
    motion = kineme.read(path)
    assert motion.layout.joints == NAMES[:6]
    assert [words for words, count in motion.notes.items() if count] == ["skins of other skeletons, passed over"]
    whole = kineme.read(write(tmp_path / "b.glb", made.turning()))
    np.testing.assert_array_equal(motion.joints, whole.joints[:, :, :6])


def test_joints_below_nodes_that_are_none(tmp_path):
    """The parent of a joint is the joint next above it."""
    motion = kineme.read(write(tmp_path / "a.glb", made.turning(), skins=[[0, 2, 3, 5]]))
    assert (motion.layout.joints, motion.layout.parents) == (("Hips", "Chest", "Neck", "LeftKnee"), (-1, 0, 1, 0))


def test_keys_that_were_thinned_out_are_filled(tmp_path):
    """At 30 frames per second from 0 to 1 s, with most keys removed."""
    times = np.array([0, 1, 2, 10, 30]) / 30
    tracks = {(0, "translation"): (times, times[:, None] * [1.0, 2.0, 3.0], "LINEAR")}
    motion = kineme.read(write(tmp_path / "a.glb", tracks))
    assert (motion.fps, len(motion)) == (30, 31)
    np.testing.assert_allclose(motion.joints[:, 0, 0], np.arange(31)[:, None] / 30 * [1, 2, 3], atol=1e-5)
    assert not any(motion.notes.values())
    tracks = {(0, "translation"): (np.array([0, 0.1, 0.25]), np.eye(3), "LINEAR")}
    uneven = kineme.read(write(tmp_path / "b.glb", tracks))
    assert [words for words, count in uneven.notes.items() if count] == [readers.readers()["gltf"].UNEVEN]


def test_a_single_pose(tmp_path):
    motion = kineme.read(write(tmp_path / "a.glb", {(0, "translation"): ([3.0], np.array([[1.0, 2, 3]]), "LINEAR")}))
    assert (len(motion), motion.fps) == (1, None)
    np.testing.assert_allclose(motion.joints[0, 0, 0], [1, 2, 3])


def test_a_buffer_beside_and_one_in_text(tmp_path):
    data, blob = made.document([made.turning()])
    (tmp_path / "a b.bin").write_bytes(blob)
    beside = {**data, "buffers": [{"byteLength": len(blob), "uri": "a%20b.bin"}]}
    (tmp_path / "a b.gltf").write_text(json.dumps(beside))
    (tmp_path / "c.gltf").write_bytes(made.in_text(data, blob))
    one, other = kineme.read(tmp_path / "a b.gltf"), kineme.read(tmp_path / "c.gltf")
    np.testing.assert_array_equal(one.joints, other.joints)
    assert [path.name for path in readers.sources(tmp_path)] == ["a b.gltf", "c.gltf"]


@pytest.mark.parametrize("uri", ["/etc/passwd", "../a.bin", "https://example.org/a.bin", "a\\b.bin", "..", "a\0b", 7])
def test_a_buffer_lies_nowhere_else(tmp_path, uri):
    (tmp_path.parent / "a.bin").write_bytes(bytes(10**5))
    data, _ = made.document([made.turning()])
    (tmp_path / "a.gltf").write_text(json.dumps({**data, "buffers": [{"uri": uri}]}))
    with pytest.raises(InputError, match="in the same folder"):
        kineme.read(tmp_path / "a.gltf")


def test_rotations_in_whole_numbers(tmp_path):
    """Quantised as exporters do for games: normalised 16 bits."""
    tracks = made.turning()
    data, blob = made.document([tracks])
    (_, what), (_, values, _) = next(iter(tracks.items()))
    assert what == "rotation"
    data["bufferViews"].append({"buffer": 0, "byteOffset": len(blob), "byteLength": 48})
    at = data["animations"][0]["samplers"][0]["output"]
    data["accessors"][at] |= {
        "bufferView": len(data["bufferViews"]) - 1, "componentType": 5122, "normalized": True,
    }  # fmt: skip
    blob += np.round(values * 32767).astype("<i2").tobytes()
    (tmp_path / "a.glb").write_bytes(made.binary(data, blob))
    exact = kineme.read(write(tmp_path / "b.glb", tracks))
    np.testing.assert_allclose(kineme.read(tmp_path / "a.glb").joints, exact.joints, atol=2e-4)


def test_a_turn_that_is_no_number_is_missing(tmp_path):
    tracks = made.turning()
    tracks[6, "rotation"][1][2] = np.nan
    motion = kineme.read(write(tmp_path / "a.glb", tracks))
    np.testing.assert_array_equal(motion.confidence[:, 0, :7], 1)
    assert motion.confidence[2, 0, 7] == 0
    assert motion.confidence[:, 0, 7].sum() >= 4
    assert motion.notes[readers.readers()["gltf"].INFINITE] == (motion.confidence == 0).sum()


def test_names_of_a_known_rig_are_found_with_their_prefix(tmp_path):
    names = [f"mixamorig:{name}" for name in NAMES]
    motion = kineme.read(write(tmp_path / "a.glb", made.turning(), names=names))
    assert motion.layout.joints == NAMES
    assert motion.layout.find("left_knee") == 5
