"""DeepLabCut and SLEAP in HDF5: the same as their tables of text, and nothing that a hostile file asks for."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.pose_results import FLIES, FLIES_TEXT, MICE_TEXT
from helpers.sample import attempt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kineme
from kineme import io as readers
from kineme.data.prepare import prepare
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

h5py = pytest.importorskip("h5py")
from helpers import hdf5_tables as made  # noqa: E402

NAN = float("nan")
MICE = np.array(
    [
        [10.5, 20.25, 0.9, 30.5, 40.25, 0.75],
        [11.5, 21.25, 0.9, NAN, NAN, NAN],
        [12.5, 22.25, 0.5, 32.5, 42.25, 0.5],
        [13.5, 23.25, 0.5, 33.5, 43.25, 0.25],
    ]
)
LABELS = made.columns(("nose", "tail"), ())
BUGS = np.full((7, 2, 2, 3), NAN)
BUGS[4] = [[[10.5, 20.25, 0.9], [30.5, 40.25, 0.75]], [[110.5, 120.25, 0.9], [130.5, 140.25, 0.75]]]
BUGS[5] = [[[11.5, 21.25, 0.9], [NAN, NAN, 0]], [[111.5, 121.25, 0.9], [131.5, 141.25, 0.75]]]
BUGS[6, 0] = [[12.5, 22.25, 0.5], [32.5, 42.25, 0.5]]


def instances() -> list[dict]:
    """What the table of text says of flies, as instances of a project."""
    there = [(t, m) for t in range(7) for m in range(2) if np.isfinite(BUGS[t, m]).any()]
    return [{"video": 0, "frame": t, "track": m, "points": BUGS[t, m]} for t, m in there]


def project(path: Path, *more: dict, **how) -> Path:
    return made.sleap_project(path, ("head", "abdomen"), [*instances(), *more], ("track_0", "track_1"), **how)


FILES = {
    "vDLC_table.h5": lambda path: made.deeplabcut_table(path, MICE, LABELS),
    "vDLC_array.h5": lambda path: made.deeplabcut_array(path, MICE, LABELS),
    "flies.analysis.h5": lambda path: made.sleap_analysis(path, BUGS, ("head", "abdomen"), ("track_0", "track_1")),
    "flies.slp": project,
}
each_file = pytest.mark.parametrize("name", FILES)


def alike(found: Motion, wanted: Motion) -> None:
    assert found.layout.joints == wanted.layout.joints
    np.testing.assert_array_equal(found.joints, wanted.joints)
    np.testing.assert_array_equal(found.confidence, wanted.confidence)
    assert (found.extra, found.unit, found.up) == (wanted.extra, wanted.unit, wanted.up)


@each_file
def test_it_is_the_motion_of_the_table_of_text(name, tmp_path):
    path = FILES[name](tmp_path / name)
    mice = name.startswith("v")
    text = tmp_path / ("mouseDLC.csv" if mice else FLIES)
    text.write_text(MICE_TEXT if mice else FLIES_TEXT)
    assert readers.detect(path) == readers.detect(text)
    alike(kineme.read(path), kineme.read(text))


@pytest.mark.parametrize("name", ["walk.h5", "DLC_against_sleap.h5", "analysis.h5", "x.analysis.h5"])
@pytest.mark.parametrize("kind", ["vDLC_table.h5", "vDLC_array.h5", "flies.analysis.h5"])
def test_it_is_known_by_what_is_in_it_whatever_its_name(kind, name, tmp_path):
    wanted = kineme.read(FILES[kind](tmp_path / kind))
    path = FILES[kind](tmp_path / name)
    assert readers.detect(path) == ("deeplabcut" if kind.startswith("v") else "sleap")
    alike(kineme.read(path), wanted)


def test_hdf5_of_something_else_is_no_known_format(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layer"] = np.ones(3)
    with pytest.raises(InputError, match=r"weights\.h5: of no known format"):
        kineme.read(tmp_path / "weights.h5")


def test_several_individuals_and_names_of_images(tmp_path):
    values = np.random.default_rng(0).uniform(1, 9, (3, 12))
    labels = made.columns(("nose", "tail"), ("a", "b"))
    index = [("labeled-data", "v", f"img{k:03d}.png") for k in (3, 5, 7)]
    motion = kineme.read(made.deeplabcut_array(tmp_path / "CollectedData_me.h5", values, labels, index))
    assert (motion.joints.shape, motion.extra["first_frame"], motion.extra["frame_step"]) == ((3, 2, 2, 2), 3, 2)
    table = kineme.read(made.deeplabcut_table(tmp_path / "vDLC.h5", values, labels))
    np.testing.assert_array_equal(table.joints, motion.joints)


@pytest.mark.parametrize("form", ["table", "fixed"])
def test_what_pandas_writes(form, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    frame = pandas.DataFrame(
        MICE, columns=pandas.MultiIndex.from_tuples(LABELS, names=["scorer", "bodyparts", "coords"])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.to_hdf(tmp_path / "vDLC.h5", key=made.KEY, format=form, mode="w")
    alike(kineme.read(tmp_path / "vDLC.h5"), kineme.read(made.deeplabcut_table(tmp_path / "wDLC.h5", MICE, LABELS)))


@pytest.mark.parametrize("name", ["flies.analysis.h5", "flies.slp"])
def test_bones_of_the_skeleton_come_along(name, tmp_path):
    """A tail below a head: what says left and right is no bone, and an edge back to the head makes no ring."""
    path = FILES[name](tmp_path / name)
    assert kineme.read(path).layout.parents == (-1, 0)
    if name.endswith(".h5"):
        spoilt(path, lambda f: replaced(f, "edge_inds", np.array([[0, 1], [1, 0], [0, 0], [7, 1], [0, 10**12]])))
        assert kineme.read(path).layout.parents == (-1, 0)


def test_arrays_of_sleap_either_way_round(tmp_path):
    names = (("head", "abdomen"), ("track_0", "track_1"))
    one, other = (
        made.sleap_analysis(tmp_path / f"{turned}.analysis.h5", BUGS, *names, turned=turned) for turned in (0, 1)
    )
    alike(kineme.read(other), kineme.read(one))
    nobody = made.sleap_analysis(tmp_path / "no.analysis.h5", BUGS, names[0], ("", ""))
    assert kineme.read(nobody).extra["followed"] == "position"


def test_what_a_person_placed_stands_for_the_prediction(tmp_path):
    fixed = {"video": 0, "frame": 6, "track": 0, "points": [[13.0, 23.0, 0], [NAN, NAN, 0]], "user": 4}
    motion = kineme.read(project(tmp_path / "fixed.slp", fixed))
    assert motion.joints[2, 0].tolist() == [[13, 23], [0, 0]]
    assert motion.confidence[2, 0].tolist() == [1, 0]


def test_every_video_of_a_project_is_a_motion(tmp_path):
    others = [{"video": 1, "frame": t, "track": -1, "points": BUGS[4, 0]} for t in (2, 3)]
    path = project(tmp_path / "two.slp", *others)
    found = list(kineme.read_all(path))
    assert [(m.source, len(m), m.persons) for m in found] == [("two.slp#0", 3, 2), ("two.slp#1", 2, 1)]
    assert len(prepare(tmp_path, tmp_path / "store", normalise="none")) == 2


def test_pixels_of_older_projects_begin_at_their_corners(tmp_path):
    old = kineme.read(project(tmp_path / "old.slp", format=1.0))
    assert old.joints[0, 0].tolist() == [[10.0, 19.75], [30.0, 39.75]]


# ------------------------------------------------------------------------------------------------------ hostile files


def spoilt(path: Path, change) -> None:
    with h5py.File(path, "a") as file:
        change(file)


def replaced(file, name: str, data, **how) -> None:
    del file[name]
    file.create_dataset(name, data=data, **how)


def elsewhere(file) -> None:
    del file["tracks"]
    file["tracks"] = h5py.ExternalLink("secret.h5", "/tracks")


def softly(file) -> None:
    file["moved"] = file["tracks"]
    del file["tracks"]
    file["tracks"] = h5py.SoftLink("/moved")


def outside(file) -> None:
    del file["tracks"]
    Path(file.filename).with_name("raw.bin").write_bytes(np.ones(56).tobytes())
    file.create_dataset("tracks", (2, 2, 2, 7), "f8", external=[("raw.bin", 0, 448)])


def virtual(file) -> None:
    del file["tracks"]
    layout = h5py.VirtualLayout((2, 2, 2, 7), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "tracks", (2, 2, 2, 7))
    file.create_virtual_dataset("tracks", layout)


def huge(file) -> None:
    del file["tracks"]
    file.create_dataset("tracks", (2, 2, 2, 10**13), "f8", chunks=(1, 1, 2, 1000), compression="gzip")


FAULTS = {
    "a link to another file": (elsewhere, "no array 'tracks'"),
    "a soft link": (softly, "no array 'tracks'"),
    "values in another file": (outside, "lies in another file"),
    "a view of another file": (virtual, "lies in another file"),
    "10^13 frames": (huge, "claims"),
    "zero frames": (lambda f: replaced(f, "tracks", np.zeros((2, 2, 2, 0))), "tracks of shape"),
    "text for numbers": (lambda f: replaced(f, "tracks", np.zeros((2, 2, 2, 7), "S3")), "of type"),
    "other nodes": (lambda f: replaced(f, "node_names", np.array([b"a", b"b", b"c"])), "for 3 nodes"),
    "a million names": (lambda f: replaced(f, "node_names", np.zeros(10**6, "S1"), compression="gzip"), "texts"),
    "other scores": (lambda f: replaced(f, "point_scores", np.zeros((2, 7))), "point_scores of shape"),
    "nobody": (lambda f: replaced(f, "tracks", np.full((2, 2, 2, 7), NAN)), "no frame|nobody"),
    "no arrays": (lambda f: [f.pop(name) for name in list(f)], "no array 'node_names'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_an_analysis_must_not_ask_for(fault, tmp_path):
    path = FILES["flies.analysis.h5"](tmp_path / "flies.analysis.h5")
    FILES["flies.analysis.h5"](tmp_path / "secret.h5")
    change, words = FAULTS[fault]
    spoilt(path, change)
    with pytest.raises(InputError, match=rf"flies.*({words})"):
        list(readers.read_all(path))


class Danger:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    "labels", [Danger(), [Danger()], [("a", "b")], {"a": 1}, [(1, 2, 3)], [("DLC", "nose", "x")] * 5]
)
def test_a_pickle_of_labels_is_not_executed(labels, tmp_path, capsys):
    path = made.deeplabcut_table(tmp_path / "vDLC.h5", MICE, LABELS)
    spoilt(path, lambda f: f[made.KEY]["table"].attrs.modify("values_block_0_kind", np.bytes_(pickle.dumps(labels, 0))))
    with pytest.raises(InputError, match=r"vDLC\.h5"):
        list(readers.read_all(path))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("instances", "point_id_start", 2**63),
        ("instances", "point_id_end", 10**9),
        ("instances", "frame_id", 99),
        ("instances", "instance_type", 7),
        ("frames", "frame_idx", 2**63),
        ("frames", "frame_id", 7),
    ],
)
def test_numbers_of_a_project_that_point_nowhere(table, column, value, tmp_path):
    path = project(tmp_path / "flies.slp")

    def change(file):
        rows = file[table][()]
        rows[column] = value
        replaced(file, table, rows)

    spoilt(path, change)
    with pytest.raises(InputError, match=r"flies\.slp"):
        list(readers.read_all(path))


def test_one_bad_instance_costs_itself(tmp_path):
    path = project(tmp_path / "flies.slp")

    def change(file):
        rows = file["instances"][()]
        rows["point_id_end"][1] = 10**9
        replaced(file, "instances", rows)

    spoilt(path, change)
    motion = kineme.read(path)
    assert dict(motion.notes) == {"instances whose points are not those of the skeleton, left out": 1}
    assert (motion.confidence[0] > 0).sum() == 2


@each_file
def test_every_way_to_cut_a_file(name, tmp_path):
    good = FILES[name](tmp_path / name).read_bytes()
    for size in np.linspace(8, len(good) - 1, 25).astype(int).tolist():
        (tmp_path / name).write_bytes(good[:size])
        attempt(tmp_path / name, lambda path: list(readers.read_all(path)))


@each_file
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12))
def test_bytes_changed_at_random(name, edits, tmp_path):
    good = bytearray(FILES[name](tmp_path / f"good_{name}").read_bytes())
    for where, value in edits:
        good[int(where * len(good))] = value
    (tmp_path / name).write_bytes(good)
    attempt(tmp_path / name, lambda path: list(readers.read_all(path, "sleap" if "flies" in name else "deeplabcut")))


@each_file
def test_without_the_package_it_is_named(name, tmp_path, monkeypatch):
    for path in (FILES[name](tmp_path / name), FILES[name](tmp_path / f"a{Path(name).suffix}")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "h5py", None)
            with pytest.raises(InputError, match=r"h5py.*pip install 'kineme\[hdf5\]'"):
                kineme.read(path)
