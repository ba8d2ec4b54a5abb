"""`kineme embed base` and what nobody expects: a vector or one sentence, and nothing guessed in silence."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme.apps.cli import main
from kineme.io import arrays
from kineme.motion import layout as skeleton
from kineme.motion import places
from kineme.motion.joint_map import joint_map

ACTIONS = ("walk", "kick", "squat")


@pytest.fixture(scope="module")
def motion():
    return next(kineme.synth.generate(1, actions=["walk"], cameras=0, layout="ntu25", coords=3))


def renamed(motion):
    """The same motion with joints of which no name says anything."""
    names = [f"q{i}" for i in range(len(motion.layout))]
    return motion.with_(layout=skeleton.free(names, [-1] * len(names)))


def only(motion, *names):
    rows = [motion.layout.joints.index(name) for name in names]
    joints, seen = motion.joints[:, :, rows], motion.confidence[:, :, rows]
    return motion.with_(joints=joints, confidence=seen, layout=skeleton.free(names, [-1] * len(names)))


def with_nobody(motion):
    """With room for a second person who never comes."""
    joints, seen = (np.concatenate([each, 0 * each], 1) for each in (motion.joints, motion.confidence))
    return motion.with_(joints=joints, confidence=seen)


def embedded(tmp_path, motions, capsys):
    """Exit status, what was said, and the vectors if there are any."""
    folder = tmp_path / "motion"
    folder.mkdir()
    for k, motion in enumerate(motions):
        (folder / f"{k}").mkdir()
        arrays.write(folder / f"{k}", [motion.with_(source=f"clip{k}")])
    status = main(["embed", "base", str(folder), "--out", str(tmp_path / "vectors")])
    told = capsys.readouterr()
    there = tmp_path / "vectors" / "Z.npy"
    return status, told.out + told.err, np.load(there) if there.exists() else None


CASES = {
    "one joint": lambda m: only(m, "head"),
    "hands alone": lambda m: only(m, "left_hand", "right_wrist", "left_wrist"),
    "one frame": lambda m: m[:1],
    "300 people": lambda m: m.with_(
        joints=np.repeat(m.joints, 300, 1) + np.arange(300, dtype=np.float32)[:, None, None],
        confidence=np.repeat(m.confidence, 300, 1),
    ),
    "10,000 frames": lambda m: m.with_(
        joints=np.resize(m.joints, (10_000, *m.joints.shape[1:])),
        confidence=np.resize(m.confidence, (10_000, *m.confidence.shape[1:])),
    ),
    "a second person who is never there": lambda m: m.with_(
        joints=np.concatenate([m.joints, 0 * m.joints], 1),
        confidence=np.concatenate([m.confidence, 0 * m.confidence], 1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_has_a_vector(motion, name, tmp_path, capsys):
    status, _, vectors = embedded(tmp_path, [CASES[name](motion), motion], capsys)
    assert status == 0
    assert vectors.shape == (2, 2048)
    assert np.isfinite(vectors).all()
    assert vectors[0].any()


def test_absent_people_and_a_tall_pile_of_copies_change_nothing(motion, tmp_path, capsys):
    crowd = CASES["300 people"](motion)
    _, _, vectors = embedded(tmp_path, [motion, with_nobody(motion), crowd], capsys)
    np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-5)
    np.testing.assert_allclose(vectors[2], vectors[0], atol=2e-2)  # the same walk in 300 places


def test_a_person_who_is_never_there_costs_a_sentence_and_no_other_clip(motion, tmp_path, capsys):
    nobody = motion.with_(confidence=0 * motion.confidence, joints=0 * motion.joints)
    status, said, vectors = embedded(tmp_path, [nobody, motion], capsys)
    assert (status, len(vectors)) == (0, 1)
    assert "nobody is seen in any of" in said


def test_nobody_at_all_is_one_sentence(motion, tmp_path, capsys):
    status, said, vectors = embedded(tmp_path, [motion.with_(confidence=0 * motion.confidence)], capsys)
    assert (status, vectors) == (2, None)
    assert "nobody is seen" in said
    assert "Traceback" not in said


def test_joints_without_a_known_name_are_told_by_their_places(tmp_path, capsys):
    """They find their own performance among clips with names."""
    clips = list(kineme.synth.generate(9, actions=ACTIONS, cameras=0, layout="ntu25", coords=3))
    with pytest.warns(UserWarning, match="no joint is known by its name; told by their places .*nose = q.*exchanged"):
        status, _, vectors = embedded(tmp_path, map(renamed, clips), capsys)
    assert status == 0
    gallery = kineme.load("base", device="cpu").embed(clips)
    found = ((gallery / np.linalg.norm(gallery, axis=1, keepdims=True)) @ vectors.T).argmax(0)
    labels = np.array([clip.label for clip in clips])
    assert (labels[found] == labels).mean() >= 8 / 9


@pytest.mark.parametrize("layout", ["ntu25", "kinect20", "smpl24", "pose13"])
def test_places_find_most_joints(layout):
    target = skeleton.layout("pose13")
    for motion in kineme.synth.generate(4, actions=ACTIONS, cameras=0, layout=layout, coords=3):
        truth = joint_map(motion.layout, target).weights > 0
        found = places.guess(renamed(motion), target)
        right = sum(truth[target.joints.index(name), int(own[1:])] for name, own in found.items())
        assert right >= 8, found
        assert len(set(found.values())) == len(found)


def test_one_joint_without_a_known_name_is_one_sentence(motion, tmp_path, capsys):
    alone = renamed(only(motion, "head"))
    status, said, vectors = embedded(tmp_path, [alone], capsys)
    assert (status, vectors) == (2, None)
    assert "none of its joints (q0) is one of layout pose13" in said
    assert "--map" in said
