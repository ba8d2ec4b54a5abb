"""PKU-MMD text: figures of real recordings, clips by label files, the frames of the curated set."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.io import Options, pku_mmd
from kineme.io._following import PUT_BACK
from kineme.io._text import LOST
from kineme.utils.errors import InputError

FIGURES = {
    "0105-L": (1266, (0.6454, -0.0582, 3.229), (26, 105, 185, 2)),
    "0105-M": (1254, (-0.532, -0.0021, 2.5679), (26, 103, 194, 2)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_real_recordings(name, data_dir):
    path = data_dir / "formats" / "pku_mmd" / f"{name}.txt"
    frames, mean, first = FIGURES[name]
    joints = pku_mmd.parse(path)
    assert joints.shape == (frames, 2, 25, 3)
    assert joints.dtype == np.float32
    np.testing.assert_array_equal(joints.reshape(frames, 150), np.loadtxt(path).astype(np.float32))
    np.testing.assert_allclose(joints[:, 0].mean((0, 1), dtype=float), mean, atol=6e-5)
    assert joints[:, 1].any((1, 2)).all()
    labels = pku_mmd.labels(path.parent / "labels" / path.name)
    assert len(labels) == 8
    assert labels[0] == first
    clips = list(readers.read_all(path))
    assert len(clips) == 8
    for k, (clip, label) in enumerate(zip(clips, labels)):
        np.testing.assert_array_equal(clip.joints, joints[label.first - 1 : label.last])
        assert (clip.label, clip.camera, clip.source) == (f"A{label.action:03d}", name[-1], f"{name}.txt#{k}")
        assert (clip.layout.name, clip.up, clip.unit, clip.fps) == ("ntu25", "+y", "m", 30.0)
        assert clip.extra == {
            "dataset": "pku_mmd",
            "recording": name,
            "performance": f"0105#{k}",
            "instance": k,
            "start": label.first - 1,
            "end": label.last,
            "annotation_confidence": label.confidence,
            "followed": "position",
        }


def test_clips_are_those_of_the_curated_set(data_dir):
    """Same first and last frame as a conversion by others, which kept every second frame in half precision."""
    with np.load(data_dir / "pku_mmd" / "pku_mmd.npz") as file:
        sets = {key: file[key] for key in ("joints", "offsets", "names")}
    where = {str(name): k for k, name in enumerate(sets["names"])}
    for name in FIGURES:
        for k, clip in enumerate(readers.read_all(data_dir / "formats" / "pku_mmd" / f"{name}.txt")):
            at = where[f"{name}#{k:02d}"]
            expected = sets["joints"][sets["offsets"][at] : sets["offsets"][at + 1]]
            assert len(clip.joints[::2]) == len(expected)
            np.testing.assert_allclose(clip.joints[::2], expected, atol=2e-3)


def test_faithful_is_one_frame_short(data_dir):
    path = data_dir / "formats" / "pku_mmd" / "0105-L.txt"
    joints = pku_mmd.parse(path)
    clips = list(readers.read_all(path, options=Options(faithful=True)))
    for clip, label in zip(clips, pku_mmd.labels(path.parent / "labels" / path.name), strict=True):
        np.testing.assert_array_equal(clip.joints, joints[label.first : label.last])
        assert (clip.extra["start"], clip.extra["end"]) == (label.first, label.last)


def test_split_lists(data_dir):
    folder = data_dir / "formats" / "pku_mmd"
    subject, view = (pku_mmd.split_list(folder / f"cross-{kind}.txt") for kind in ("subject", "view"))
    assert (len(subject["train"]), len(subject["test"])) == (944, 132)
    assert {name[-1] for name in view["test"]} == {"M"}
    assert {name[-1] for name in view["train"]} == {"L", "R"}
    carried = readers.carried_splits(folder / "0105-L.txt")
    assert carried["xsub"] == {part: {"column": "recording", "in": names} for part, names in subject.items()}
    assert carried["xview"]["test"] == {"column": "recording", "in": view["test"]}


def test_side_files_and_units(data_dir):
    folder = data_dir / "formats" / "pku_mmd"
    assert [path.name for path in readers.sources(folder)] == ["0105-L.txt", "0105-M.txt"]
    assert readers.is_side_file(folder / "cross-view.txt")
    assert readers.is_side_file(folder / "labels" / "0105-L.txt")


def test_absent_bodies_have_confidence_0(tmp_path):
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    first, second = readers.read_all(unit)
    np.testing.assert_array_equal(first.confidence[:, :, 0], [[1, 1], [1, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(second.confidence[:, :, 0], [[1, 0], [1, 1], [0, 0], [1, 1], [1, 1]])


def test_where_labels_are_found(tmp_path):
    (tmp_path / "recordings").mkdir()
    unit = SAMPLES["pku_mmd"].write(tmp_path / "recordings")
    labels = unit.parent / "labels"
    elsewhere = labels.rename(tmp_path / "elsewhere")
    whole = readers.read(unit)
    assert (len(whole), whole.label, whole.source) == (8, None, "0105-L.txt")
    assert whole.extra == {"dataset": "pku_mmd", "recording": "0105-L", "performance": "0105", "followed": "position"}
    for given in (elsewhere, elsewhere / "0105-L.txt", str(elsewhere)):
        assert len(list(readers.read_all(unit, options=Options(labels=given)))) == 2
    elsewhere.rename(tmp_path / "Train_Label_PKU_final")
    assert len(list(readers.read_all(unit))) == 2
    with pytest.raises(InputError, match="no such file or folder"):
        list(readers.read_all(unit, options=Options(labels=tmp_path / "nowhere")))


def test_several_clips_are_not_one_motion(tmp_path):
    with pytest.raises(InputError, match=r"more than one clip.*kineme\.read_all"):
        readers.read(SAMPLES["pku_mmd"].write(tmp_path))


def test_a_bad_label_line_costs_itself(tmp_path):
    """Case 26. Released code cuts a clip that runs past the end without a word, and so does faithful."""
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    lines = ["26,1,4,2", "18,4,9,1", "x,1,2", "18, 5, 8, 1", "1,3,2,1", "7,1,2", "1;2;3"]
    (tmp_path / "labels" / "0105-L.txt").write_text("\n".join(lines) + "\n")
    found = list(readers.read_each(unit))
    assert [clip.where if isinstance(clip, InputError) else (clip.source, len(clip)) for clip in found] == [
        ("0105-L.txt#0", 4),
        "0105-L.txt#1",
        "0105-L.txt#2",
        ("0105-L.txt#3", 4),
        "0105-L.txt#4",
        ("0105-L.txt#5", 2),
        "0105-L.txt#6",
    ]
    assert str(found[1]) == (
        "0105-L.txt#1: labels/0105-L.txt, line 2: frames 4 to 9. "
        "Expected frames within 1 to 8, as many as 0105-L.txt has."
    )
    assert "line 3: 'x,1,2'. Expected class,first,last,confidence" in str(found[2])
    faithful = readers.read_each(unit, options=Options(faithful=True))
    assert [len(clip) for clip in faithful if not isinstance(clip, InputError)] == [3, 4, 3, 1]


@pytest.mark.parametrize("first", ["1, 1, 10, 2", "1 ,1 ,10", "class,first,last", "x,1,10\n1,11,20", "26,1,4,2"])
def test_a_label_file_is_no_recording(first, tmp_path):
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    (tmp_path / "labels" / "0105-L.txt").write_text(f"{first}\n18, 4, 8, 1\n")
    assert list(readers.sources(tmp_path)) == [unit]


def test_a_bad_row_costs_itself(tmp_path):
    """Numbers that are none, a row too short, one that is torn into three lines; frames keep their numbers."""
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    whole = pku_mmd.parse(unit)
    rows = [line.split() for line in unit.read_text().splitlines()]
    rows[1][4] = "abc"
    rows[2][:3] = ["nan"] * 3
    rows[4] = [*rows[4][:50], "\n", *rows[4][50:60], "\n", *rows[4][60:]]
    rows[6].pop()
    unit.write_text("\n".join(" ".join(row) for row in rows) + "\n")
    (tmp_path / "labels" / "0105-L.txt").unlink()
    motion = readers.read(unit)
    expected = (whole != 0).any(-1)
    expected[1, 0, 1] = expected[2, 0, 0] = expected[6] = False
    np.testing.assert_array_equal(motion.confidence > 0, expected)
    np.testing.assert_array_equal(motion.joints[expected], whole[expected])
    assert motion.notes == {LOST: 1, "joints that are no number (NaN), taken as missing": 2}
    unit.write_text("\n".join(" ".join(row[:75]) for row in rows))
    with pytest.raises(InputError, match=r"line 1: 75 values\. Expected 150"):
        readers.read(unit)


@pytest.mark.parametrize("said", [{}, {"faithful": True}, {"people": "listed"}, {"people": "followed"}])
def test_bodies_that_change_places(said, tmp_path):
    """There are no ids: by position; frames in which only one is seen as well."""
    body = np.random.default_rng(0).uniform(-0.4, 0.4, (25, 3))
    joints = np.stack([body + np.array([[[-0.7, 0, 3]], [[0.7, 0, 3]]])] * 8)
    joints[3:5, 1] = 0
    listed = joints.copy()
    listed[4:] = joints[4:, ::-1]
    (tmp_path / "0001-L.txt").write_text("\n".join(" ".join(f"{x:.6f}" for x in row.ravel()) for row in listed))
    motion = readers.read(tmp_path / "0001-L.txt", **said)
    faithful = "faithful" in said or said.get("people") == "listed"
    np.testing.assert_allclose(motion.joints, listed if faithful else joints, atol=1e-6)
    assert motion.extra.get("followed") == (None if faithful else "position")
    assert motion.notes == ({} if faithful else {PUT_BACK: 1})


def test_a_recording_of_nobody(tmp_path):
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    unit.write_text(("0 " * 150 + "\n") * 4 + unit.read_text())
    fault, clip = readers.read_each(unit)
    assert str(fault) == "0105-L.txt#0: nobody is seen in any of 4 frames. Expected a person, at least once."
    assert clip.label == "A018"


def test_an_instance_without_confidence(tmp_path):
    (tmp_path / "labels.txt").write_text("3,1,2\n")
    assert pku_mmd.labels(tmp_path / "labels.txt") == [(3, 1, 2, None)]


@pytest.mark.parametrize("content", ["Training videos:\n0105-L\n", "a\n0105-L\nb\n0105\n"])
def test_a_split_list_of_another_kind(content, tmp_path):
    (tmp_path / "cross-subject.txt").write_text(content)
    with pytest.raises(InputError, match=r"cross-subject\.txt"):
        pku_mmd.split_list(tmp_path / "cross-subject.txt")
