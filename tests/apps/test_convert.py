"""kineme convert: every format there and back within a stated error, folders with bad files, names, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.samples import SAMPLES
from pyarrow import csv

from kineme import io as readers
from kineme.apps.cli import main
from kineme.data import synth
from kineme.io import arrays
from kineme.motion.joint_map import joint_map
from kineme.motion.motion import Motion

SPACE = {  # format -> ending, and by how many metres joints may be off after the way there and back
    "arrays": (".npz", 0.0),
    "npy": (".npy", 0.0),
    "table": (".csv", 0.0),
    "trc": (".trc", 0.0),
    "ntu": (".skeleton", 1e-6),
    "bvh": (".bvh", 1e-6),
    "mediapipe": (".json", 1e-6),
    "openpose": ("", 0.0),
}
FLAT = {"arrays": ".npz", "npy": ".npy", "table": ".csv", "coco": ".json", "openpose": "", "mediapipe": ".json"}


SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = {"pelvis", "neck", *(f"{side}_{joint}" for side in ("left", "right") for joint in SIDES)}


def said(capsys, *words: object) -> tuple[int, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out + err


def source(folder: Path, clip: Motion) -> Path:
    """A clip as the one file of a set."""
    arrays.write(folder, [clip], name="take")
    return folder / "take.npz"


def only(path: Path, format: str) -> Motion:
    """The one motion of a file, or of the one take in a folder."""
    (unit,) = [path] if path.is_file() else readers.sources(path, format)
    return readers.read(unit, format, **({"people": "listed"} if format == "ntu" else {}))


def apart(found: Motion, clip: Motion) -> float:
    """The largest distance of joints that both have, in metres; all that are not made of others have to be there."""
    mapping = joint_map(clip.layout, found.layout)
    mapped = clip.to_layout(mapping)
    made = {*mapping.missing, *mapping.virtual}
    words = zip(found.layout.joints, found.layout.canonical_names)
    plain = [i for i, (name, word) in enumerate(words) if name not in made and word in BODY]
    assert len(plain) >= 12
    assert (found.confidence[:, 0, plain] > 0).all()
    scale = {"m": 1.0, "cm": 0.01, "1": 0.01}[found.unit]
    places = found.joints[:, 0].astype(np.float64) * scale
    return float(np.linalg.norm(places - mapped.joints[:, 0], axis=-1)[:, plain].max())


@pytest.mark.parametrize("layout", ["ntu25", "mediapipe33", "azure32"])
@pytest.mark.parametrize("format", SPACE)
def test_space_there_and_back(format, layout, tmp_path, capsys):
    """One person of constant bone lengths; what the layout of the format has of him is where it was."""
    ending, error = SPACE[format]
    clip = next(synth.generate(1, ["throw"], cameras=0, layout=layout, coords=3, fps=50)).with_(camera=None)
    out = tmp_path / f"out{ending}"
    words = ("--to", format) if format in ("mediapipe", "openpose") else ()
    code, text = said(capsys, "convert", source(tmp_path, clip), out, *words)
    assert code == 0, text
    found = only(out, format)
    assert len(found) == len(clip)
    if format == "mediapipe":
        found = found.with_(joints=found.joints * np.float32([1, -1, -1]), up="+y")
    if format == "openpose":
        found = found.with_(unit="m")
    rigid = format != "bvh" or layout == "ntu25"  # the trunk of others is made of hips and shoulders
    assert apart(found, clip) <= (max(error, 1e-7) if rigid else 0.002)
    if format not in ("ntu", "openpose"):
        assert found.fps == pytest.approx(50, rel=1e-4)


@pytest.mark.parametrize("format", FLAT)
def test_flat_there_and_back(format, tmp_path, capsys):
    clip = next(synth.generate(1, ["throw"], layout="coco17", coords=2))
    out = tmp_path / f"out{FLAT[format]}"
    code, text = said(capsys, "convert", source(tmp_path, clip), out, "--to", format)
    assert code == 0, text
    found = only(out, format)
    mapping = joint_map(clip.layout, found.layout)
    plain = [i for i, name in enumerate(found.layout.joints) if name not in {*mapping.missing, *mapping.virtual}]
    mapped = clip.to_layout(mapping)
    assert np.abs(found.joints[:, 0] - mapped.joints[:, 0])[:, plain].max() < 1e-3  # pixels
    assert found.unit == "px"


def test_bvh_of_changing_bones_has_their_medians(tmp_path, capsys):
    """A Kinect's body, whose bones change their lengths: the skeleton is fitted, and constant."""
    clip = next(synth.generate(1, ["walk"], cameras=1, noise=1.0))
    seen = clip.confidence.copy()
    seen[5:9, 0, clip.layout.find("left_wrist")] = 0  # a gap
    code, text = said(capsys, "convert", source(tmp_path, clip.with_(confidence=seen)), tmp_path / "out.bvh")
    assert code == 0, text
    found = readers.read(tmp_path / "out.bvh")
    lengths = np.linalg.norm(found.bones()[:, 0], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-3  # centimetres
    assert np.isfinite(found.joints).all()
    assert apart(found, clip) < 0.25
    wrist = found.layout.find("left_wrist")
    assert np.linalg.norm(np.diff(found.joints[:, 0, wrist], axis=0), axis=-1).max() < 20


def test_bvh_of_a_layout_without_a_spine(tmp_path, capsys):
    clip = next(synth.generate(1, ["walk"], cameras=0, layout="coco17", coords=3))
    code, text = said(capsys, "convert", source(tmp_path, clip), tmp_path / "out.bvh")
    assert code == 0, text
    assert "made of other joints" in text
    assert apart(readers.read(tmp_path / "out.bvh"), clip) < 0.002


def test_several_people_and_clips(tmp_path, capsys):
    clips = list(synth.generate(4, ["shake_hands"], cameras=0))
    arrays.write(tmp_path, clips, name="set")
    for format, count in (("bvh", 8), ("trc", 8), ("ntu", 4), ("npy", 8), ("table", 4)):
        code, text = said(capsys, "convert", tmp_path / "set.npz", tmp_path / format, "--to", format)
        assert code == 0, text
        assert f"4 clips, format {format}" in text
        assert len(list((tmp_path / format).iterdir())) == count
    code, text = said(capsys, "convert", tmp_path / "npy", tmp_path / "again.npz")
    assert code == 0, text
    again = {clip.source: clip for clip in readers.read_all(tmp_path / "again.npz")}
    assert len(again) == 4
    first = again[clips[0].source]
    np.testing.assert_array_equal(first.joints, clips[0].joints)


def test_one_bad_file_costs_itself(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(3):
        unit = SAMPLES["bvh"].write(folder)
        unit.rename(folder / f"walk{k}.bvh")
    (folder / "walk1.bvh").write_text("HIERARCHY\nROOT Hips\n")
    code, text = said(capsys, "convert", folder, tmp_path / "out", "--to", "trc")
    assert code == 0, text
    assert "left out" in text
    assert "walk1.bvh" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["walk0.trc", "walk2.trc"]


def test_layout_map_unit_up_and_rate(tmp_path, capsys):
    clip = next(synth.generate(1, ["walk"], cameras=0, fps=30))
    table = tmp_path / "map.toml"
    table.write_text('head = ["neck"]\n')
    words = ("--layout", "kinect20", "--map", table, "--unit", "mm", "--up", "+z", "--resample", "15")
    code, text = said(capsys, "convert", source(tmp_path, clip), tmp_path / "out.npy", *words)
    assert code == 0, text
    found = readers.read(tmp_path / "out.npy")
    assert (found.layout.name, found.unit, found.up, found.fps) == ("kinect20", "mm", "+z", 15)
    head, neck = found.layout.joints.index("head"), clip.layout.joints.index("neck")
    np.testing.assert_allclose(found.joints[:, 0, head], clip.joints[::2, 0, neck], atol=1e-6)


def test_fps_says_a_rate_and_resample_changes_one(tmp_path, capsys):
    """`--fps` means in convert what it means in prepare: no frame is touched, and a rate that is stated stays."""
    clip = next(synth.generate(1, ["walk"], cameras=0, fps=30))
    silent = source(tmp_path / "silent", clip.with_(fps=None))
    code, text = said(capsys, "convert", silent, tmp_path / "a.npy", "--fps", "60")
    assert (code, "note" in text) == (0, False)
    found = readers.read(tmp_path / "a.npy")
    assert found.fps == 60
    np.testing.assert_array_equal(found.joints, clip.joints)
    code, text = said(capsys, "convert", source(tmp_path / "said", clip), tmp_path / "b.npy", "--fps", "60")
    assert "note: clips of 30 frames per second, as they say; --resample changes that: 1" in text
    found = readers.read(tmp_path / "b.npy")
    assert (code, found.fps, len(found)) == (0, 30, len(clip))
    code, text = said(capsys, "convert", silent, tmp_path / "c.npy", "--fps", "60", "--resample", "20")
    found = readers.read(tmp_path / "c.npy")
    assert (code, found.fps) == (0, 20)
    np.testing.assert_allclose(found.joints, clip.joints[::3], atol=1e-6)
    code, text = said(capsys, "convert", silent, tmp_path / "d.npy", "--resample", "20")
    assert "no frames per second are known" in text
    assert not (tmp_path / "d.npy").exists()
    for name in ("--fps", "--resample"):
        code, text = said(capsys, "convert", silent, tmp_path / "e.npy", name, "-3")
        assert (code, f"{name}: -3" in text) == (2, True)
    for command in ("convert", "prepare", "embed"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        words = " ".join(capsys.readouterr().out.split())
        assert "frames per second of recordings that do not say; changes no frame" in words, command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("take.npz", "out.xyz"), "an ending that says no format"),
        (("take.npz", "out.json"), "the ending of coco and mediapipe and openpose"),
        (("take.npz", "out", "--to", "bhv"), "Did you mean 'bvh'"),
        (("take.npz", "out.bvh", "--map", "m.toml"), "no such file"),
        (("nowhere.npz", "out.bvh"), "no such file"),
        (("take.npz", "take.npz"), "exists already"),
        (("take.npz", "out.trc", "--layout", "kinect21"), "Did you mean 'kinect20'"),
        (("take.npz", "out.trc", "--read", "x"), "NAME=VALUE"),
    ],
)
def test_refusals(words, message, tmp_path, capsys, monkeypatch):
    """One clear paragraph and exit code 2, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    source(tmp_path, next(synth.generate(1, ["walk"], cameras=0)))
    before = sorted(tmp_path.iterdir())
    code, text = said(capsys, "convert", *words)
    assert code == 2
    assert message in text
    assert "Traceback" not in text
    assert sorted(tmp_path.iterdir()) == before


def test_flat_motion_cannot_become_a_skeleton_in_space(tmp_path, capsys):
    clip = next(synth.generate(1, ["walk"], layout="coco17", coords=2))
    code, text = said(capsys, "convert", source(tmp_path, clip), tmp_path / "out.bvh")
    assert (code, "2-D joints" in text) == (2, True)
    assert not (tmp_path / "out.bvh").exists()


def test_real_files(data_dir, tmp_path, capsys):
    """Acclaim to BVH, C3D to TRC and back to numbers."""
    formats = data_dir / "formats"
    for name in ("01.asf", "01_01.amc"):
        shutil.copy(formats / "asf_amc" / name, tmp_path)
    code, text = said(capsys, "convert", tmp_path / "01_01.amc", tmp_path / "01_01.bvh")
    assert code == 0, text
    take = readers.read(tmp_path / "01_01.amc")
    assert apart(readers.read(tmp_path / "01_01.bvh"), take) < 0.05
    code, text = said(capsys, "convert", formats / "c3d" / "markers_analogs.c3d", tmp_path / "markers.trc")
    assert code == 0, text
    markers, again = readers.read(formats / "c3d" / "markers_analogs.c3d"), readers.read(tmp_path / "markers.trc")
    np.testing.assert_array_equal(again.joints, markers.joints)
    np.testing.assert_array_equal(again.confidence, markers.confidence)


def test_every_writer_is_tried():
    written = {name for name, reader in readers.readers().items() if hasattr(reader, "write")}
    assert written == {*SPACE, *FLAT}
    assert all(reader.suffixes for reader in readers.readers().values() if hasattr(reader, "write"))


def test_angles_become_a_table(tmp_path, capsys):
    """The angles of the motion, an empty cell where a joint is missing; several clips a file each."""
    clip = next(synth.generate(1, cameras=0, seed=1))
    confidence = clip.confidence.copy()
    knee = clip.layout.joints.index("left_knee")
    confidence[3, :, knee] = 0
    clip = clip.with_(confidence=confidence)
    code, text = said(capsys, "convert", source(tmp_path / "in", clip), tmp_path / "angles.csv", "--angles")
    assert (code, "1 clip" in text) == (0, True), text
    table = csv.read_csv(tmp_path / "angles.csv")
    assert table["left_knee"].null_count == 1
    wanted = clip.angles()["left_knee"]
    found = table["left_knee"].to_numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    arrays.write(tmp_path / "two", list(synth.generate(2, cameras=0)), name="takes")
    assert said(capsys, "convert", tmp_path / "two" / "takes.npz", tmp_path / "out", "--angles")[0] == 0
    assert len(list((tmp_path / "out").glob("*.csv"))) == 2


@pytest.mark.parametrize(
    ("words", "fault"), [(("x.bvh", "--angles"), "ending .bvh"), (("x.csv", "--angles", "--to", "npy"), "--to")]
)
def test_angles_are_written_as_csv_only(words, fault, tmp_path, capsys):
    path = source(tmp_path / "in", next(synth.generate(1, cameras=0)))
    code, text = said(capsys, "convert", path, tmp_path / words[0], *words[1:])
    assert (code, fault in text) == (2, True), text
