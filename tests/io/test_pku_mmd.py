"""PKU-MMD text: figures of real recordings, clips by label files, the frames of the curated set."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.io import Options, pku_mmd
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
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    labels = tmp_path / "labels"
    elsewhere = labels.rename(tmp_path / "elsewhere")
    whole = readers.read(unit)
    assert (len(whole), whole.label, whole.source) == (8, None, "0105-L.txt")
    assert whole.extra == {"dataset": "pku_mmd", "recording": "0105-L", "performance": "0105"}
    for given in (elsewhere, elsewhere / "0105-L.txt", str(elsewhere)):
        assert len(list(readers.read_all(unit, options=Options(labels=given)))) == 2
    elsewhere.rename(tmp_path.parent / "Train_Label_PKU_final")
    assert len(list(readers.read_all(unit))) == 2
    with pytest.raises(InputError, match="no such file or folder"):
        list(readers.read_all(unit, options=Options(labels=tmp_path / "nowhere")))


def test_several_clips_are_not_one_motion(tmp_path):
    with pytest.raises(InputError, match=r"more than one clip.*kineme\.read_all"):
        readers.read(SAMPLES["pku_mmd"].write(tmp_path))


def test_a_clip_behind_the_end(tmp_path):
    """Named, with the file it is in; released code cuts it without a word, and so does faithful."""
    unit = SAMPLES["pku_mmd"].write(tmp_path)
    (tmp_path / "labels" / "0105-L.txt").write_text("26,1,4,2\n18,4,9,1\n")
    with pytest.raises(InputError, match=r"labels/0105-L\.txt, instance 1: frames 4 to 9.*frames within 1 to 8,"):
        list(readers.read_all(unit))
    assert [len(clip) for clip in readers.read_all(unit, options=Options(faithful=True))] == [3, 4]


def test_an_instance_without_confidence(tmp_path):
    (tmp_path / "labels.txt").write_text("3,1,2\n")
    assert pku_mmd.labels(tmp_path / "labels.txt") == [(3, 1, 2, None)]


@pytest.mark.parametrize("content", ["Training videos:\n0105-L\n", "a\n0105-L\nb\n0105\n"])
def test_a_split_list_of_another_kind(content, tmp_path):
    (tmp_path / "cross-subject.txt").write_text(content)
    with pytest.raises(InputError, match=r"cross-subject\.txt"):
        pku_mmd.split_list(tmp_path / "cross-subject.txt")
