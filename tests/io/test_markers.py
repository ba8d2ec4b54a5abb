"""C3D and TRC: real figures, the way back, markers and the joints that are made of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.mocap import C3D_FILE, MARKERS, TRC_TEXT, c3d_bytes
from helpers.samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme.data import synth
from kineme.data.prepare import prepare
from kineme.io import trc
from kineme.motion.joint_map import joint_map, read_table
from kineme.motion.layout import layout, layouts, tree
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

POINTS = np.random.default_rng(0).normal(800, 200, (8, 4, 3)).astype(np.float32)


def c3d_file(folder, points=POINTS, **about):
    path = folder / C3D_FILE
    path.write_bytes(c3d_bytes(points, **about))
    return path


def behind(data, name):
    """Where the value of a parameter of POINT stands: behind its name, an offset, a size and a count of dimensions."""
    return re.search(bytes([len(name)]) + b"\\x02" + name, data).end() + 4


def test_c3d_as_it_was_written(tmp_path):
    points = POINTS.copy()
    points[2, 1] = np.nan
    motion = readers.read(c3d_file(tmp_path, points))
    assert motion.layout.joints == MARKERS
    assert (motion.fps, motion.unit, motion.up) == (100, "mm", "+z")
    assert np.argwhere(motion.confidence == 0).tolist() == [[2, 0, 1]]
    known = ~np.isnan(points).any(-1)
    np.testing.assert_array_equal(motion.joints[:, 0][known], points[known])
    assert not motion.notes


def test_c3d_in_whole_numbers(tmp_path):
    """Scale above 0: 16 bits for each number, as old systems wrote them."""
    path = c3d_file(tmp_path)
    data = bytearray(path.read_bytes())
    begin = (int.from_bytes(data[16:18], "little") - 1) * 512
    scale = np.float32(0.1)
    data[12:16] = scale.tobytes()
    at = behind(data, b"SCALE")
    data[at : at + 4] = scale.tobytes()
    table = np.zeros((8, 4, 4), np.int16)
    table[..., :3] = np.round(POINTS / 0.1)
    table[3, 2, 3] = -1
    path.write_bytes(bytes(data[:begin]) + table.tobytes())
    motion = readers.read(path)
    assert motion.confidence[3, 0, 2] == 0
    known = motion.confidence[:, 0] > 0
    np.testing.assert_allclose(motion.joints[:, 0][known], POINTS[known], atol=0.051)


def test_c3d_of_a_dec_machine(tmp_path):
    """The floats of a VAX: words exchanged, exponents two higher."""
    path = c3d_file(tmp_path)
    data = bytearray(path.read_bytes())
    begin = (int.from_bytes(data[16:18], "little") - 1) * 512

    def dec(values):
        words = (np.asarray(values, "<f4") * 4).view("<u2").reshape(-1, 2)[:, ::-1]
        return np.ascontiguousarray(words).tobytes()

    table = np.concatenate([POINTS, np.zeros((8, 4, 1), "f4")], -1)
    data[begin : begin + table.nbytes] = dec(table)
    data[512 + 3] = 85
    for at in (12, 20, behind(data, b"SCALE"), behind(data, b"RATE")):
        data[at : at + 4] = dec(np.frombuffer(bytes(data[at : at + 4]), "<f4"))
    path.write_bytes(bytes(data))
    motion = readers.read(path)
    np.testing.assert_allclose(motion.joints[:, 0], POINTS, rtol=1e-6)
    assert motion.fps == 100


def test_c3d_points_without_a_label(tmp_path):
    motion = readers.read(c3d_file(tmp_path, labels=("LASI", "", "LKNE", " ")))
    assert motion.layout.joints == ("LASI", "point_2", "LKNE", "point_4")


def test_c3d_needs_its_package(tmp_path, monkeypatch):
    path = c3d_file(tmp_path)
    monkeypatch.setitem(sys.modules, "c3d", None)
    with pytest.raises(InputError, match=r"walk\.c3d: the package c3d.* is not installed.*pip install 'kineme\[c3d\]'"):
        readers.read(path)


def test_joints_are_made_of_markers(tmp_path):
    """A table of joints and markers: each joint is the mean of its markers."""
    (tmp_path / "takes").mkdir()
    c3d_file(tmp_path / "takes", POINTS + np.array([[[0, 0, 0], [0, 0, 0], [0, 0, -400], [0, 0, -400]]]))
    table = tmp_path / "markers.toml"
    table.write_text('pelvis = ["LASI", "RASI"]\nleft_knee = "LKNE"\nright_knee = ["RKNE"]\n')
    store = prepare(
        tmp_path / "takes", tmp_path / "store", layout="kinect20", table=table, normalise="none", unit="mm", jobs=1
    )
    motion = store[0]
    root = motion.joints[:, 0, motion.layout.joints.index("hip_center")]
    np.testing.assert_allclose(root, POINTS[:, :2].mean(1) / 1000, atol=1e-5)
    assert motion.confidence[0, 0].sum() == 3


def test_real_c3d(data_dir):
    motion = readers.read(data_dir / "formats" / "c3d" / "markers_analogs.c3d")
    assert motion.joints.shape == (580, 1, 51, 3)
    assert (motion.fps, motion.unit) == (100, "mm")
    missing = motion.confidence == 0
    assert 3 * int(missing.sum()) == 915
    mean = motion.joints[~missing].astype(np.float64).mean(0)
    np.testing.assert_allclose(mean, (563.274, 283.794, 604.888), atol=6e-4)


def test_real_c3d_equals_the_csv_of_its_trial(data_dir):
    """The program's own export; its columns are named on the third line."""
    folder = data_dir / "formats" / "c3d"
    lines = (folder / "markers.csv").read_text().splitlines()
    names = lines[2].split(",")[2::3]
    row = np.array([float(cell) if cell else np.nan for cell in lines[5].split(",")[2:]]).reshape(-1, 3)
    motion = readers.read(folder / "markers_analogs.c3d")
    order = [motion.layout.joints.index(name) for name in names]
    seen = motion.confidence[0, 0, order] > 0
    np.testing.assert_allclose(motion.joints[0, 0, order][seen], row[: len(names)][seen], atol=0.001)


def test_real_trc(data_dir):
    """Cut by commas, and cut short: its header announces more rows than there are."""
    path = data_dir / "formats" / "c3d" / "markers.trc"
    motion = readers.read(path)
    rows = [line for line in path.read_text().splitlines()[6:] if line.strip(",")]
    assert motion.joints.shape == (len(rows), 1, 51, 3)
    assert motion.notes == {f"announces 652 frames, has {len(rows)}": 1}
    assert (motion.fps, motion.unit) == (100, "mm")
    np.testing.assert_allclose(motion.joints[0, 0, 0], (733.7041, 80.9832, 191.8668), rtol=1e-6)


def test_trc_empty_cells_and_their_ends(tmp_path):
    path = SAMPLES["trc"].write(tmp_path)
    motion = readers.read(path)
    assert np.argwhere(motion.confidence == 0).tolist() == [[1, 0, 0]]
    assert (motion.fps, motion.unit, motion.up, motion.layout.joints) == (60, "mm", None, ("LASI", "RKNE"))
    assert not motion.notes
    path.write_text(TRC_TEXT.replace("\t82\t502.25\t-33.5", "\t\t\t"))
    motion = readers.read(path)
    assert np.argwhere(motion.confidence == 0).tolist() == [[1, 0, 0], [2, 0, 1]]
    path.write_text(TRC_TEXT[: TRC_TEXT.rindex("\t-33.5")])
    motion = readers.read(path)
    assert (len(motion), motion.notes[trc.TORN]) == (2, 1)
    path.write_text(TRC_TEXT.replace("\t\t\t", " ").replace("\t", " ").replace("2 0.017  81", "2 0.017 1 2 3 81"))
    assert readers.read(path).joints[1, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", layouts())
def test_trc_and_back(name, tmp_path):
    clips = list(synth.generate(2, cameras=0, layout=name, coords=3, fps=50))
    seen = clips[0].confidence.copy()
    seen[3:5, 0, 2] = 0
    clips[0] = clips[0].with_(confidence=seen)
    trc.write(tmp_path, clips)
    for clip in clips:
        motion = readers.read(tmp_path / f"{clip.source}.trc")
        assert motion.layout == clip.layout
        np.testing.assert_array_equal(motion.joints, clip.joints)
        np.testing.assert_array_equal(motion.confidence, clip.confidence)
        assert (motion.fps, motion.unit) == (50, "m")


def test_trc_of_two_people_and_2_d(tmp_path):
    clip = next(synth.generate(1, ["shake_hands"], cameras=0))
    trc.write(tmp_path, [clip])
    second = readers.read(tmp_path / f"{clip.source}_2.trc")
    np.testing.assert_array_equal(second.joints[:, 0], clip.joints[:, 1])
    with pytest.raises(InputError, match="2-D joints"):
        trc.write(tmp_path, [Motion(np.ones((2, 17, 2)), "coco17", source="flat")])


@settings(max_examples=100, deadline=None)
@given(st.permutations(layout("ntu25").joints), st.integers(1, 25))
def test_a_tree_of_names_is_a_tree(joints, count):
    """Whatever joints there are, and in whatever order, parents are never below their children."""
    some = joints[:count]
    parents = tree(some)
    for start in range(count):
        at, steps = start, 0
        while at >= 0:
            at, steps = parents[at], steps + 1
            assert steps <= count


@pytest.mark.parametrize("name", layouts())
def test_limbs_hang_together(name):
    known = layout(name)
    parents = dict(zip(known.canonical_names, tree(known.joints)))
    for side in ("left", "right"):
        for child, parent in (("wrist", "elbow"), ("elbow", "shoulder"), ("ankle", "knee"), ("knee", "hip")):
            assert known.canonical_names[parents[f"{side}_{child}"]] == f"{side}_{parent}"


def test_the_map_of_the_docs_makes_a_kinect_of_plug_in_gait(tmp_path):
    """Every joint of kinect20 comes from markers of the table on the page."""
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    table = tmp_path / "plugin_gait.toml"
    table.write_text(re.search(r"```toml\n(hip_center.*?)```", page, re.DOTALL)[1])
    markers = sorted(set(re.findall(r'"(\w+)"', table.read_text())))
    places = np.random.default_rng(0).normal(size=(3, len(markers), 3)).astype(np.float32)
    motion = readers.read(c3d_file(tmp_path, places, labels=tuple(markers)))
    mapped = motion.to_layout(joint_map(motion.layout, "kinect20", read_table(table)))
    assert (mapped.confidence == 1).all()
    wrist = places[:, [markers.index("LWRA"), markers.index("LWRB")]].mean(1)
    np.testing.assert_allclose(mapped.joints[:, 0, mapped.layout.joints.index("left_wrist")], wrist, atol=1e-6)
