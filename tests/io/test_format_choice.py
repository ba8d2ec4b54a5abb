"""Choosing a reader by name and content, side files, units, and what a new format needs."""

from __future__ import annotations

import contextlib
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.samples import SAMPLES

from kineme import io as readers
from kineme.apps.cli import main
from kineme.data import synth
from kineme.data.prepare import prepare
from kineme.io import Options, _text
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils import registry
from kineme.utils.errors import InputError


@pytest.fixture
def several(tmp_path):
    """A folder with a file of every format, in folders of their own."""
    for name, sample in SAMPLES.items():
        (tmp_path / name).mkdir()
        sample.write(tmp_path / name)
    return tmp_path


def test_every_real_file_is_what_it_is(data_dir):
    formats = {
        "asf_amc": "asf_amc",
        "msr_action3d_txt": "msr_action3d",
        "penn_action_mat": "penn_action",
        "utd_mhad_mat": "utd_mhad",
        "ntu_skeleton": "ntu",
        "pku_mmd": "pku_mmd",
        "nw_ucla_json": "nw_ucla",
        "bvh": "bvh",
    }
    for folder, name in formats.items():
        units = list(readers.sources(data_dir / "formats" / folder))
        assert units
        assert {readers.detect(unit) for unit in units} == {name}
    for name in ("nw_ucla", "pku_mmd", "penn_action", "cmu_mocap", "bandai_1", "bandai_2"):
        assert [readers.detect(unit) for unit in readers.sources(data_dir / name)] == ["arrays"]


def test_no_other_real_file_is_taken_for_one_of_ours(data_dir):
    ours = {"ntu_skeleton", "pku_mmd", "nw_ucla_json", "bvh"}
    known = {
        "openpose",
        "coco",
        "posetrack18",
        "jhmdb_json",
        "alphapose",
        "kinetics_skeleton",
        "asf_amc",
        "c3d",
        "msr_action3d_txt",
        "utd_mhad_mat",
        "penn_action_mat",
        "cmu_expmap",
        "pyskl_pickle",
        "videopose3d_npz",
        "h36m_npz",
        "panoptic_json",
        "mediapipe",
    }
    for folder in sorted((data_dir / "formats").iterdir()):
        if folder.name in ours or folder.name not in known:
            continue
        for path in [path for path in sorted(folder.rglob("*")) if path.is_file()][:5]:
            if not readers.is_side_file(path):
                with contextlib.suppress(InputError):
                    assert readers.detect(path) not in {"ntu", "pku_mmd", "nw_ucla", "bvh", "arrays"}


def test_read_by_name_of_the_format(several):
    path = several / "bvh" / "walk.bvh"
    plain = path.rename(path.with_suffix(".dat"))
    assert len(readers.read(plain, "bvh")) == 3
    assert len(readers.read(str(plain))) == 3  # its content says so
    with pytest.raises(InputError, match=r"walk\.dat"):
        readers.read(plain, "ntu")


def test_an_unknown_format(several):
    with pytest.raises(InputError, match=r"format 'bhv': no such format.*bvh \(\.bvh\).* Did you mean 'bvh'"):
        readers.read(several / "bvh" / "walk.bvh", "bhv")


@pytest.mark.parametrize(("content", "found"), [(b"hello \x00 you", r"begins with 'hello \\x00 you'"), (b"", "empty")])
def test_an_unknown_file(content, found, tmp_path):
    path = tmp_path / "notes.xyz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"notes\.xyz: .*{found}.*one of .*arrays \(\.npz\), .*bvh \(\.bvh\), .*ntu"):
        readers.read(path)


def test_a_missing_file_and_a_folder(several):
    for read in (readers.detect, readers.read, readers.read_all):
        with pytest.raises(InputError, match="nowhere: no such file or folder"):
            read(several / "nowhere")
    with pytest.raises(InputError, match="a folder that is no recording"):
        readers.read(several)
    with pytest.raises(InputError, match=r"a folder\. Expected a file of format ntu"):
        readers.read(several, "ntu")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(several):
    path = several / "ntu" / SAMPLES["ntu"].unit
    path.chmod(0)
    with pytest.raises(InputError, match="not readable"):
        readers.read(path)


def test_special_files_are_not_read():
    for name in readers.readers():
        with pytest.raises(InputError):
            list(readers.read_all("/dev/zero", name))


def test_sources(several):
    (several / ".hidden").mkdir()
    (several / ".hidden" / "x.bvh").write_text("x")
    (several / "notes.xyz").write_text("not ours, but whoever prepares shall hear of it")
    (several / "again").symlink_to(several, target_is_directory=True)
    expected = sorted([several / name / sample.unit for name, sample in SAMPLES.items()] + [several / "notes.xyz"])
    assert list(readers.sources(several)) == expected
    assert list(readers.sources(expected[0])) == expected[:1]


def test_links_in_a_circle_and_links_to_files_count_once(tmp_path):
    # case 16-linked-folders-in-a-circle of the public reports
    a, b = tmp_path / "src" / "a", tmp_path / "src" / "b"
    for folder in (a, b):
        (folder / "real").mkdir(parents=True)
        SAMPLES["bvh"].write(folder / "real")
    (a / "to b").symlink_to(b)
    (b / "to a").symlink_to(a)
    (a / "alias.bvh").symlink_to(b / "real" / "walk.bvh")
    (a / "hard.bvh").hardlink_to(a / "real" / "walk.bvh")
    (a / "nowhere.bvh").symlink_to("gone")  # whoever reads it says so
    found = readers.search(tmp_path / "src")
    assert found.units == (a / "hard.bvh", a / "nowhere.bvh", b / "real" / "walk.bvh")
    assert set(found.again) == {a / "to b", b / "to a", a / "alias.bvh", a / "real" / "walk.bvh"}
    assert found.again[a / "alias.bvh"] == b / "real" / "walk.bvh"


def test_links_to_folders_above_are_not_followed(tmp_path):
    src = tmp_path / "above" / "src"
    src.mkdir(parents=True)
    SAMPLES["bvh"].write(tmp_path / "above")
    SAMPLES["bvh"].write(src)
    (src / "up").symlink_to(tmp_path / "above")
    (src / "here").symlink_to(src)
    found = readers.search(src)
    assert found.units == (src / "walk.bvh",)
    assert found.again == {src / "up": src, src / "here": src}


def test_links_out_of_the_folder_are_followed_once(tmp_path):
    (tmp_path / "far").mkdir()
    SAMPLES["bvh"].write(tmp_path / "far")
    (tmp_path / "src").mkdir()
    for name in ("x", "y"):
        (tmp_path / "src" / name).symlink_to(tmp_path / "far")
    found = readers.search(tmp_path / "src")
    assert found.units == (tmp_path / "src" / "x" / "walk.bvh",)
    assert found.again == {tmp_path / "src" / "y": tmp_path / "src" / "x"}


def test_a_folder_of_links_to_frames_is_the_same_recording(tmp_path):
    SAMPLES["openpose"].write(tmp_path)
    real = tmp_path / SAMPLES["openpose"].unit
    (tmp_path / "zz").mkdir()
    for file in real.iterdir():
        (tmp_path / "zz" / file.name).symlink_to(file)
    found = readers.search(tmp_path)
    assert found.units == (real,)
    assert found.again == {tmp_path / "zz": real}


def test_other_files_beside_frames_are_units_of_their_own(tmp_path):
    SAMPLES["openpose"].write(tmp_path)
    take = tmp_path / SAMPLES["openpose"].unit
    (take / "below").mkdir()
    SAMPLES["bvh"].write(take)
    SAMPLES["bvh"].write(take / "below")
    (take / "thumbnail.png").write_bytes(b"x")
    assert list(readers.sources(take)) == [
        take,
        take / "below" / "walk.bvh",
        take / "thumbnail.png",
        take / "walk.bvh",
    ]
    assert readers.takes(take) == 1
    assert readers.takes(take / "below") == readers.takes(take / "walk.bvh") == 0


def test_side_files(several):
    assert readers.is_side_file(several / "arrays" / "set.json")
    assert readers.is_side_file(several / "pku_mmd" / "labels" / "0105-L.txt")
    for path in readers.sources(several):
        assert not readers.is_side_file(path)
    assert not readers.is_side_file(several)
    assert not readers.is_side_file(several / "nowhere")


def test_formats_without_splits(several):
    assert readers.carried_splits(several / "bvh" / "walk.bvh") == {}


def test_options_take_paths_in_any_form(tmp_path):
    assert Options(labels=str(tmp_path)).labels == tmp_path
    assert Options() == Options(labels=None, faithful=False, table=None)


def test_errors_travel_between_processes(several):
    with pytest.raises(InputError) as caught:
        readers.read(several / "nowhere")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_readers_describe_themselves():
    """What the docstring of the package asks of each."""
    names = registry.names("io")
    assert {"ntu", "pku_mmd", "nw_ucla", "arrays", "bvh"} <= names.keys()
    assert readers.readers().keys() == names.keys()
    for name, reader in readers.readers().items():
        assert names[name], name
        assert isinstance(reader.suffixes, tuple), name
        assert callable(reader.sniff), name


def test_an_error_of_a_clip_gets_the_name_of_the_file(monkeypatch, tmp_path):
    """A motion that is refused knows only its own name."""

    def read(path, options):
        yield Motion(np.zeros((1, 1, 25, 3)), layout.layout("ntu25"), fps=-1, source="clip 7")

    monkeypatch.setattr(readers, "readers", lambda: {"toy": SimpleNamespace(suffixes=(".toy",), read=read)})
    (tmp_path / "x.toy").write_text("x")
    with pytest.raises(InputError, match=r"x\.toy, clip 7: "):
        readers.read(tmp_path / "x.toy", "toy")


def test_a_new_format_of_folders_is_one_file(monkeypatch, tmp_path, several):
    """One file per frame, the folder is the unit, with a side file: nothing but the reader knows of it."""
    toy = SimpleNamespace(
        suffixes=(".frame",),
        folder=True,
        sniff=lambda path, head: any(path.glob("*.frame")),
        side=lambda path, head: path.suffix == ".calibration",
        splits=lambda path: {"mine": {}},
        read=lambda path, options: iter(
            [
                Motion(
                    np.array([np.loadtxt(frame) for frame in sorted(path.glob("*.frame"))]).reshape(-1, 1, 17, 2),
                    layout.layout("coco17"),
                    source=path.name,
                )
            ]
        ),
    )
    known = dict(readers.readers())
    monkeypatch.setattr(readers, "readers", lambda: known | {"toy": toy})
    take = several / "takes" / "take 1"
    take.mkdir(parents=True)
    for k in range(3):
        np.savetxt(take / f"{k:03d}.frame", np.full((17, 2), k))
    (several / "takes" / "room.calibration").write_text("x")
    assert take in list(readers.sources(several))
    assert not any(take in path.parents or path.suffix == ".calibration" for path in readers.sources(several))
    assert [path for path in readers.sources(several, "ntu") if take in path.parents]  # asked for another format
    assert readers.detect(take) == "toy"
    assert list(readers.sources(take)) == [take]
    motion = readers.read(take)
    assert motion.joints[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert readers.carried_splits(take) == {"mine": {}}


def test_text_of_any_encoding():
    assert _text.unpack("Hüfte".encode()) == _text.unpack("Hüfte".encode("latin-1")) == "Hüfte"


def test_text_is_bounded(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"1 2 3")
    assert _text.load(path, "numbers", limit=5) == b"1 2 3"
    with pytest.raises(InputError, match="not a file of at most 4 bytes"):
        _text.load(path, "numbers", limit=4)


def test_words_over_many_blocks():
    """Words on the seams between the blocks of the scanner."""
    data = b" ".join(b"%d" % k for k in range(70_000)) + b" +7"
    words = _text.words("x", data)
    assert len(words) == 70_001
    np.testing.assert_array_equal(words.floats(), [*range(70_000), 7])
    np.testing.assert_array_equal(words.floats(np.array([[3, 1], [69_999, 0]])), [[3, 1], [69_999, 0]])
    assert (words.word(69_998), words.integer(12_345, "a number")) == (b"69998", 12_345)
    np.testing.assert_array_equal(words.equal(np.arange(100), b"42"), np.arange(100) == 42)
    assert len(_text.words("x", b"")) == 0
    assert _text.words("x", b"").floats().shape == (0,)


def test_settings_of_formats(tmp_path):
    assert set(readers.settings()) >= {"keypoints", "landmarks", "images"}
    assert "body25b" in readers.settings()["keypoints"]
    path = SAMPLES["openpose"].write(tmp_path)
    for name, value, words in (
        ("keypoint", "body25", "setting 'keypoint': no format knows it.*Did you mean 'keypoints'"),
        ("keypoints", "body26", "keypoints: 'body26'.*Did you mean 'body25'"),
        ("images", "film", "images: 'film'. Expected one of video, photos"),
    ):
        with pytest.raises(InputError, match=words):
            readers.read(path, **{name: value})
        with pytest.raises(InputError, match=words):
            readers.read(path, table={name: value})
    assert readers.read(path, keypoints="coco17").layout.name == "coco17"
    assert readers.read(path, landmarks="world").layout.name == "body25"  # a setting of another format


@pytest.mark.parametrize(
    ("name", "head", "what"),
    [
        ("walk.fbx", b"Kaydara FBX Binary  \0\x1a\0" + bytes(100), "FBX, for which there is no reader"),
        ("walk.FBX", b"; FBX 7.4.0 project file\n", "FBX, for which there is no reader"),
        ("walk.bin", b"Kaydara FBX Binary  \0\x1a\0" + bytes(100), "FBX, for which there is no reader"),
        ("walk.blend", b"\x28\xb5\x2f\xfd" + bytes(100), "a scene of Blender, not a recording"),
        ("walk", b"BLENDER-v305" + bytes(100), "a scene of Blender, not a recording"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(name, head, what, tmp_path, capsys):
    """By read, convert and prepare alike; the rest of the folder is prepared."""
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / name
    path.write_bytes(head)
    with pytest.raises(InputError, match=rf"{name}: {what}\. Expected one of .*gltf.*Blender.*glTF.*BVH.*C3D"):
        readers.read(path)
    assert main(["convert", str(path), str(tmp_path / "out.npy")]) == 2
    assert what in capsys.readouterr().err
    assert main(["prepare", str(path), str(tmp_path / "none")]) == 2
    assert "Blender (File > Import)" in " ".join(capsys.readouterr().err.split())
    synth.write(tmp_path / "raw", 2, format="ntu")
    store = prepare(tmp_path / "raw", tmp_path / "store")
    assert len(store) == 2
    (skipped,) = (store.path / "skipped.jsonl").read_text().splitlines()
    assert what in skipped
    assert "export glTF" in skipped
