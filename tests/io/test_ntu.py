"""NTU RGB+D text: equal to a plain parser bit for bit, figures of real files, every value kept."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.samples import SAMPLES, ntu_text
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.io import _following, ntu
from kineme.motion.motion import UNSURE
from kineme.utils.errors import InputError

# Bones of the Kinect v2 tree: the figures for real files are means over these (the tree of the bone stream is another).
PARENTS = [-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11]
FIGURES = {  # frames, bodies per frame, ids, mean xyz, mean bone, label, subject, camera, setup, repetition
    "S001C001P001R001A001": (103, 1, {72057594037931101}, (0.21629, 0.28062, 3.69001), 0.15799, "A001", 1, 1, 1, 1),
    "S001C003P008R002A058": (
        70,
        2,
        {72057594037944738, 72057594037944734},
        (0.15749, 0.08144, 3.28451),
        0.16605,
        "A058",
        8,
        3,
        1,
        2,
    ),
    "S002C001P003R001A003": (100, 1, None, (0.10649, 0.02381, 2.6958), 0.16722, "A003", 3, 1, 2, 1),
}


def plain(path: Path, slots: int) -> np.ndarray:
    """Line by line, float by float."""
    with open(path) as file:
        frames = int(file.readline())
        joints = np.zeros((frames, slots, 25, 3), np.float32)
        for frame in range(frames):
            for slot in range(int(file.readline())):
                file.readline()
                for joint in range(int(file.readline())):
                    joints[frame, slot, joint] = [float(word) for word in file.readline().split()[:3]]
    return joints


def equal_bits(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32))


@pytest.mark.parametrize("name", FIGURES)
def test_real_files(name, data_dir):
    path = data_dir / "formats" / "ntu_skeleton" / f"{name}.skeleton"
    frames, bodies, ids, mean, bone, label, subject, camera, setup, repetition = FIGURES[name]
    motion = readers.read(path)
    assert motion.joints.shape == (frames, bodies, 25, 3)
    equal_bits(motion.joints, plain(path, bodies))
    assert (readers.read(path, faithful=True).confidence == 1).all()
    np.testing.assert_allclose(motion.joints.mean((0, 1, 2), dtype=float), mean, atol=6e-6)
    recording = ntu.parse(path)
    states = recording.joints[..., 11].reshape(motion.confidence.shape)  # every frame has every body
    np.testing.assert_array_equal(motion.confidence, np.where(states == 2, np.float32(1), np.float32(UNSURE)))
    xyz = recording.joints[..., :3]
    lengths = [np.linalg.norm(xyz[:, j] - xyz[:, p], axis=-1).mean() for j, p in enumerate(PARENTS) if p >= 0]
    assert np.mean(lengths) == pytest.approx(bone, abs=6e-6)
    if ids:
        assert set(recording.ids.tolist()) == ids
    assert (motion.label, motion.subject, motion.camera) == (label, subject, camera)
    assert (motion.layout.name, motion.up, motion.unit, motion.fps) == ("ntu25", "+y", "m", 30.0)
    assert motion.source == path.name
    assert motion.extra == {
        "dataset": "ntu",
        "setup": setup,
        "repetition": repetition,
        "performance": f"{name[:4]}{name[8:]}",
        **({"followed": "id"} if bodies > 1 else {}),
    }


def test_values_that_are_not_coordinates(data_dir):
    recording = ntu.parse(data_dir / "formats" / "ntu_skeleton" / "S001C001P001R001A001.skeleton")
    assert recording.joints.shape == (103, 25, 12)
    np.testing.assert_array_equal(recording.joints[0, 0, :3], [0.2181153, 0.1725972, 3.785547])
    np.testing.assert_allclose(recording.joints[..., 5:7].mean((0, 1)), [1037.65, 482.21], atol=6e-3)
    states = recording.joints[..., 11]
    assert ((states == 2).sum(), (states == 1).sum()) == (2208, 367)
    np.testing.assert_array_equal(recording.bodies[0], [0, 1, 1, 1, 1, 0, 0.02764709, 0.05745083, 2])
    np.testing.assert_array_equal(recording.frame, np.arange(103))


def test_missing_skeletons(data_dir):
    path = data_dir / "formats" / "ntu_skeleton" / "samples_with_missing_skeletons.txt"
    names = ntu.excluded(path)
    assert len(names) == 302
    assert "S001C002P005R002A008" in names
    assert readers.is_side_file(path)
    assert readers.excluded(path) == names
    assert readers.excluded(path.with_name("S001C001P001R001A001.skeleton")) == set()
    with pytest.raises(InputError, match=r"samples_with_missing_skeletons\.txt: a side file of format ntu"):
        readers.read(path)


def test_other_lists_of_samples_exclude_nothing(tmp_path):
    (tmp_path / "xsub_train.txt").write_text("S001C002P005R002A008\n")
    assert readers.excluded(tmp_path / "xsub_train.txt") == set()
    (tmp_path / "my_missing_skeletons.txt").write_text("a heading\nS001C002P005R002A008\n")
    with pytest.raises(InputError, match="'a' is not the name of a sample"):
        readers.excluded(tmp_path / "my_missing_skeletons.txt")


def test_golden_files(golden, golden_dir):
    """The two bodies that the preprocessing keeps are slots of the file, value for value."""
    stored = golden("hico_ntu_preprocess")
    names = [match[1] for key in stored if (match := re.fullmatch(r"raw_(.+)", key))]
    assert names
    for name, frames in zip(sorted(names), stored["num_frame"], strict=True):
        path = golden_dir / f"ntu_{name}.skeleton"
        motion = readers.read(path, "ntu", faithful=True)
        assert len(motion) == frames
        equal_bits(motion.joints, plain(path, motion.persons))
        slots = [motion.joints[:, slot] for slot in range(motion.persons)] + [np.zeros((frames, 25, 3), np.float32)]
        for kept in stored[f"raw_{name}"].transpose(3, 1, 2, 0):
            assert any(np.array_equal(kept, slot) for slot in slots)
        np.testing.assert_array_equal(motion.confidence[..., 0] > 0, motion.joints.any((2, 3)))


def test_bodies_keep_their_slots(tmp_path):
    """Frames with none, one, two, three bodies, in the same order every time: the place is the person."""
    bodies = np.random.default_rng(0).normal(size=(5, 3, 25, 3)).round(6)
    counts = [0, 2, 1, 3, 0]
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(ntu_text([list(bodies[frame][:count]) for frame, count in enumerate(counts)]))
    motion = readers.read(path)
    for frame, count in enumerate(counts):
        np.testing.assert_array_equal(motion.confidence[frame], np.repeat(np.arange(3) < count, 25).reshape(3, 25))
        np.testing.assert_array_equal(motion.joints[frame, :count], bodies[frame, :count].astype(np.float32))
        assert not motion.joints[frame, count:].any()
    recording = ntu.parse(path.read_bytes())
    np.testing.assert_array_equal(recording.frame, [1, 1, 2, 3, 3, 3])
    np.testing.assert_array_equal(recording.slot, [0, 1, 0, 0, 1, 2])
    assert recording.ids.tolist() == [72057594037931100 + slot for slot in recording.slot]


def test_bodies_change_places(tmp_path):
    """Case 14: ids say who is who, and where the sensor gives a new one, the place; ``faithful`` leaves it all."""
    rng = np.random.default_rng(0)
    bodies = rng.uniform(-0.4, 0.4, (25, 3)) + np.array([[[-0.6, 0, 3]], [[0.6, 0, 3]]])
    frames = [list(bodies if frame < 4 else bodies[::-1]) for frame in range(8)]
    path = tmp_path / "S001C001P001R001A050.skeleton"
    one, two = "72057594037931101", "72057594037931102"
    ids = [(one, two)] * 4 + [(two, one)] * 4

    def write(ids):
        names = [name for frame in ids for name in frame]
        text = ntu_text(frames).replace("72057594037931100 0", "NAME 0").replace("72057594037931101 0", "NAME 0")
        for name in names:
            text = text.replace("NAME", name, 1)
        path.write_text(text)

    for names, how in ((ids, "id"), ([*ids[:4], (two, "7"), *[("8", "7")] * 3], "id and position")):
        write(names)
        motion = readers.read(path)
        for person, body in enumerate(bodies):
            np.testing.assert_allclose(motion.joints[:, person], [body] * 8, atol=1e-6)
        assert motion.extra["followed"] == how
        assert motion.notes[_following.PUT_BACK] == 1
        as_listed = readers.read(path, people="listed")
        listed = readers.read(path, faithful=True)
        equal_bits(as_listed.joints, listed.joints)
        assert as_listed.notes == listed.notes
        equal_bits(listed.joints, plain(path, 2))
        assert (listed.notes, "followed" in listed.extra) == ({_following.LEFT_SO: 1}, False)


def test_what_is_not_tracked_is_not_absent(tmp_path):
    """State 1 is inferred; one that is at the origin or no number is absent; a file that states nothing counts."""
    text = ntu_text([[np.ones((25, 3))]] * 2).split("\n")
    text[4] = text[4][:-1] + "1"
    text[5] = text[5][:-1] + "0"
    text[6] = "0 0 0 " + text[6].split(" ", 3)[3][:-1] + "0"
    text[7] = "0.1 abc 0.2 " + text[7].split(" ", 3)[3]
    text[8] = "nan 0.2 0.2 " + text[8].split(" ", 3)[3]
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text("\n".join(text))
    motion = readers.read(path)
    np.testing.assert_array_equal(motion.confidence[0, 0, :6], [UNSURE, UNSURE, 0, 0, 0, 1])
    assert motion.notes == {"joints that are no number (NaN), taken as missing": 2}
    assert motion.joints[0, 0, 1].tolist() == [1, 1, 1]
    faithful = readers.read(path, faithful=True)
    np.testing.assert_array_equal(faithful.confidence[0, 0, :6], [1, 1, 0, 0, 0, 1])
    path.write_text("\n".join(line[:-1] + "0" if line.count(" ") == 11 else line for line in text))
    np.testing.assert_array_equal(readers.read(path).confidence, faithful.confidence)


@pytest.mark.parametrize("bodies", [[], [np.zeros((25, 3))]])
def test_nobody_in_the_whole_file(bodies, tmp_path):
    """Case 13."""
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(ntu_text([bodies] * 3))
    for faithful in (False, True):
        with pytest.raises(InputError, match=r"A001\.skeleton: nobody is seen in any of 3 frames"):
            readers.read(path, faithful=faithful)


def test_another_name_says_nothing(tmp_path):
    path = SAMPLES["ntu"].write(tmp_path).rename(tmp_path / "mine.txt")
    motion = readers.read(path)
    assert (motion.label, motion.subject, motion.camera, motion.extra) == (None, None, None, {"followed": "id"})


def test_nine_bodies_are_too_many(tmp_path):
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(ntu_text([[np.zeros((25, 3))] * 9]))
    with pytest.raises(InputError, match=r"line 2: '9' bodies in frame 1. Expected 0 to 8"):
        readers.read(path)


def test_a_small_file_never_becomes_a_large_array(tmp_path):
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text("2000000\n" + "0\n" * 2_000_000)
    with pytest.raises(InputError, match="2000000 frames of up to 1 bodies"):
        readers.read(path)


@pytest.mark.parametrize(
    ("line", "new", "message"),
    [
        (3, "x 0 1 1 1 1 0 0 0 2", "'x' where the number of a body"),
        (4, "24", "a body with '24' joints"),
        (11, "0.1 1e999 0.2 1 1 1 1 1 1 1 1 2", "A001.skeleton: a coordinate that is infinite or too large at frame 0"),
    ],
)
def test_errors_name_the_line(line, new, message, tmp_path):
    lines = ntu_text([[np.ones((25, 3))]] * 2).split("\n")
    lines[line - 1] = new
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=re.escape(message)):
        ntu.parse(path) if line == 3 else readers.read(path)


NUMBERS = st.one_of(
    st.floats(-10, 10).map(repr),
    st.floats(-1e6, 1e6, width=32).map("{:.7g}".format),
    st.integers(-99, 99).map(str),
    st.from_regex(r"[+-]?([0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?", fullmatch=True).filter(
        lambda word: abs(float(word)) < 3e38
    ),
)


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(NUMBERS, min_size=3, max_size=30),
    counts=st.lists(st.integers(0, 2), min_size=1, max_size=4),
    blank=st.sampled_from([" ", "  ", "\t"]),
    end=st.sampled_from(["\n", "\r\n", " \n"]),
)
def test_numbers_in_any_spelling_bit_for_bit(tmp_path_factory, words, counts, blank, end):
    def row(j: int) -> str:
        return blank.join([words[(3 * j + k) % len(words)] for k in range(3)] + ["1"] * 9)

    body = ["72057594037931101 0 1 1 1 1 0 0.5 0.5 2", "25", *map(row, range(25))]
    path = tmp_path_factory.mktemp("ntu") / "S001C001P001R001A001.skeleton"
    with open(path, "w", newline="") as file:
        frames = [line for count in counts for line in [str(count), *body * count]]
        file.write(end.join([str(len(counts)), *frames, ""]))
    assume(sum(counts) and any(np.float32(float(word)) for word in words))
    motion = readers.read(path, faithful=True)
    equal_bits(motion.joints, plain(path, motion.persons))


def test_thousands_of_frames_with_hardly_a_body_claim_no_memory(tmp_path):
    """Found by scripts/fuzz.py: 44,766 frames, eight bodies in two of them, took 552 MB."""
    body = "7 0 0 0 0 0 0 0 0 2\n25\n" + "1 1 1 0 0 0 0 0 0 0 0 2\n" * 25
    path = tmp_path / "S001C002P003R002A013.skeleton"
    path.write_text(f"44766\n{2 * ('8' + chr(10) + 8 * body)}" + "0\n" * 44764)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="44766 frames of up to 8 bodies, 16 in all"):
            readers.read(path)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
    path.write_text("60000\n1\n" + body + "0\n" * 59999)  # half an hour in which one person is seen once
    assert readers.read(path).joints.shape == (60000, 1, 25, 3)
