"""Folders of several kinds of motion: a store for each, or one of them chosen."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.takes import frames

from kineme import synth
from kineme.data import kinds, store
from kineme.data.kinds import Kind
from kineme.data.prepare import prepare, prepare_each, report
from kineme.io import arrays
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError


@pytest.fixture
def mixed(tmp_path):
    """Three BVH files, two takes of a detector with 25 joints each, a note; labels by folder."""
    synth.write(tmp_path / "src" / "solid", 3, cameras=0, format="bvh")
    frames(tmp_path / "src" / "flat", "a")
    frames(tmp_path / "src" / "flat", "b")
    (tmp_path / "src" / "notes.xyz").write_text("no recording")
    return tmp_path / "src"


def clips(name, target, count=2, coords=3, seed=0):
    """Motions of a layout in an array set."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        joints = rng.normal(size=(4, 1, len(target), coords))
        yield Motion(joints, target, source=f"{name}{k}", unit="m", subject=k, extra={"repetition": 0})


def write(folder, name, target, count=2, coords=3):
    folder.mkdir(parents=True, exist_ok=True)
    arrays.write(folder, list(clips(name, target, count, coords)), name)


def test_every_kind_has_a_store(mixed, tmp_path):
    made = prepare_each(mixed, tmp_path / "dest", labels="folder")
    assert {name: (len(found), found.coords) for name, found in made.items()} == {"2d": (2, 2), "3d": (3, 3)}
    assert set(made["2d"].column("label")) == {"flat"}
    assert set(made["3d"].column("label")) == {"solid"}
    for name, other in (("2d", "3d"), ("3d", "2d")):
        assert made[name].path == tmp_path / "dest" / name
        made[name].verify()
        said = report(made[name])
        assert said.notes[0].endswith(f" in {other}")
        assert [file for file, _ in said.skipped] == ["notes.xyz"]
    assert not (tmp_path / "dest.partial").exists()


def test_what_is_said_of_labels_is_said_of_the_clips_of_a_kind(tmp_path):
    synth.write(tmp_path / "src", 1, cameras=0, format="bvh")
    frames(tmp_path / "src" / "wave", "S1_wave")
    frames(tmp_path / "src" / "wave", "S2_wave")
    made = prepare_each(tmp_path / "src", tmp_path / "folders", labels="folder")
    assert not any("in no folder" in note for note in report(made["2d"]).notes)
    assert any("1 clip in no folder" in note for note in report(made["3d"]).notes)
    made = prepare_each(tmp_path / "src", tmp_path / "names", labels="S{subject}_{label}")
    assert len(report(made["2d"]).examples) == 2
    assert not report(made["3d"]).examples
    assert any("does not fit" in note for note in report(made["3d"]).notes)


def test_a_folder_of_stores_is_opened_as_it_is_and_names_them(mixed, tmp_path):
    made = prepare_each(mixed, tmp_path / "dest")
    again = prepare_each(mixed, tmp_path / "dest")
    assert [found.hash for found in again.values()] == [found.hash for found in made.values()]
    with pytest.raises(InputError, match=r"dest: a folder of 2 stores\. Expected one of .*dest/2d, .*dest/3d"):
        store.open(tmp_path / "dest")
    with pytest.raises(InputError, match="a store of other files or options"):
        prepare_each(mixed, tmp_path / "dest", labels="folder")


def test_one_kind_stands_in_the_folder_itself(mixed, tmp_path):
    made = prepare_each(mixed / "solid", tmp_path / "dest")
    assert list(made) == [""]
    assert made[""].hash == prepare(mixed / "solid", tmp_path / "alone").hash


def test_the_word_for_one_store_refuses_several_kinds_and_says_how_to_choose(mixed, tmp_path):
    with pytest.raises(InputError, match=r"clips of 2 kinds: .*body25.*only='3d' or only='2d'"):
        prepare(mixed, tmp_path / "dest")


@pytest.mark.parametrize(
    ("only", "count", "coords"),
    [("3d", 3, 3), ("2d", 2, 2), ("bvh", 3, 3), ("openpose", 2, 2), ("body25", 2, 2), ("2d-body25", 2, 2)],
)
def test_one_kind_is_chosen(only, count, coords, mixed, tmp_path):
    made = prepare(mixed, tmp_path / "dest", only=only)
    assert (len(made), made.coords) == (count, coords)
    assert any(note.startswith(f"left out by --only {only}: ") for note in report(made).notes)


def test_kinds_that_are_not_there(mixed, tmp_path):
    with pytest.raises(InputError, match=r"--only ntu: nothing of that kind in .*bvh"):
        prepare(mixed, tmp_path / "dest", only="ntu")
    with pytest.raises(InputError, match=r"--only '4d': no kind of motion\. Expected 2d, 3d, a format"):
        prepare(mixed, tmp_path / "dest", only="4d")
    assert not (tmp_path / "dest").exists()


def test_layouts_that_can_be_made_from_each_other_share_a_store(tmp_path):
    write(tmp_path / "src", "a", layout.layout("ntu25"))
    write(tmp_path / "src", "b", layout.layout("kinect20"), 3)
    made = prepare_each(tmp_path / "src", tmp_path / "dest")
    (found,) = made.values()
    assert (found.layout.name, len(found)) == ("kinect20", 5)
    (entry,) = report(found).maps
    assert (entry["source"], entry["target"], entry["missing"]) == ("ntu25", "kinect20", [])
    alone = prepare(tmp_path / "src", tmp_path / "alone", layout="kinect20")
    np.testing.assert_array_equal(found.frames, alone.frames)


def test_layouts_of_which_none_can_be_made_from_the_other_have_a_store_each(tmp_path):
    write(tmp_path / "src", "a", layout.free([f"left{k}" for k in range(4)], [-1, 0, 1, 2]))
    write(tmp_path / "src", "b", layout.free([f"right{k}" for k in range(5)], [-1, 0, 1, 2, 3]), 1)
    write(tmp_path / "src", "c", layout.free([f"other{k}" for k in range(5)], [-1, 0, 1, 2, 3]), 1)
    write(tmp_path / "src", "d", layout.layout("coco17"), coords=2)
    made = prepare_each(tmp_path / "src", tmp_path / "dest")
    assert {name: len(found) for name, found in made.items()} == {
        "2d": 2,
        "3d-free4": 2,
        "3d-free5": 1,
        "3d-free5-2": 1,
    }


def test_a_common_layout_keeps_half_of_the_joints():
    def common(*names):
        found = kinds.common([Kind(layout.layout(name), 2, clips=1) for name in names])
        return found and found.name

    assert common("body25", "coco17") == "coco17"
    assert common("body25", "body25") == "body25"
    tiny = Kind(layout.free(["LeftHand", "RightHand"], [-1, 0]), 3)
    assert kinds.common([Kind(layout.layout("ntu25"), 3), tiny]) is None


def test_a_layout_of_ones_own_is_mapped_to(tmp_path):
    target = layout.free(["Hips", "Spine", "LeftHand"], [-1, 0, 1])
    synth.write(tmp_path / "src", 2, cameras=0, format="bvh")
    made = prepare(tmp_path / "src", tmp_path / "dest", layout=target)
    assert made.layout == target
