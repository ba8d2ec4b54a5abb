"""Splits: published protocols with their published sizes, carried rules, lists, held-out subjects, label fractions."""

from __future__ import annotations

import itertools
import re
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io
from kineme.data import splits, store, store_writer
from kineme.data.prepare import prepare
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils import registry
from kineme.utils.errors import InputError

DOT = layout.free(["hips"], [-1])


@pytest.fixture
def table(tmp_path):
    """``table(rows, splits)`` -> a store of one-frame clips with these columns."""
    numbers = itertools.count()

    def make(rows: list[dict], carried: dict | None = None) -> store.Store:
        with store_writer.Writer(tmp_path / f"store{next(numbers)}", DOT, splits=carried) as writer:
            for i, row in enumerate(rows):
                row = dict(row)
                fields = {name: row.pop(name) for name in ("label", "subject", "camera", "source") if name in row}
                file = row.pop("file", None)
                writer.add(Motion(np.zeros((1, 1, 1, 3)), DOT, **{"source": f"clip{i}", **fields}, extra=row), file)
        return store.open(writer.path)

    return make


@pytest.fixture
def prepared(table):
    """``prepared("x/a.bvh", ...)`` -> a store as ``prepare`` makes it of files with one clip each."""

    def make(*files: str) -> store.Store:
        opened = table([{"source": file, "file": file} for file in files])
        opened.card["prepared"] = {}
        return opened

    return make


@pytest.fixture(scope="session")
def real(data_dir, tmp_path_factory):
    """``real("nw_ucla")`` -> the set as a store."""
    folder = tmp_path_factory.mktemp("real")

    def make(name: str) -> store.Store:
        return prepare(data_dir / name, folder / name, normalise="none")

    return make


def sizes(opened: store.Store, name: str, seed: int = 0) -> tuple[int, int]:
    made = splits.split(opened, name, seed)
    assert made.name == name
    assert made.train.dtype == made.test.dtype == np.int64
    assert not set(made.train) & set(made.test)
    assert all((np.diff(rows) > 0).all() for rows in (made.train, made.test))
    return len(made.train), len(made.test)


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        ("nw_ucla", "xview", (1020, 464)),
        ("nw_ucla", "xsub", (724, 760)),
        ("penn_action", "official", (1258, 1068)),
        ("cmu_mocap", "official", (72, 24)),
        ("pku_mmd", "dev_xvideo", (1247, 311)),
        ("nw_ucla", "random", (742, 742)),
        ("nw_ucla", "camera=2", (504, 980)),
        ("nw_ucla", "camera=1,2", (1020, 464)),
        ("bandai_1", "random", (87, 87)),
    ],
)
def test_published_sizes(real, data, name, expected):
    opened = real(data)
    assert sizes(opened, name) == expected
    if "=" not in name:
        assert name in splits.names(opened)


def test_published_parts_hold_what_they_say(real):
    opened = real("nw_ucla")
    camera, subject = opened.column("camera"), opened.column("subject")
    xview, xsub = splits.split(opened, "xview"), splits.split(opened, "xsub")
    assert set(camera[xview.train]) == {1, 2}
    assert set(camera[xview.test]) == {3}
    assert set(subject[xsub.train]) == {1, 3, 5, 7, 9}
    opened = real("pku_mmd")
    cut = splits.split(opened, "dev_xview")
    assert set(opened.column("camera")[cut.test]) == {1}
    assert set(opened.column("camera")[cut.train]) == {2, 3}
    assert len(cut.train) + len(cut.test) == 1558


def test_json_files_have_the_protocols_without_carrying_them(data_dir, tmp_path):
    opened = prepare(data_dir / "formats" / "nw_ucla_json", tmp_path / "s", normalise="none")
    assert splits.names(opened)[:2] == ["xview", "xsub"]
    assert sizes(opened, "xview") == (3, 2)  # one performance in three views, and clips of view 3 and 1


def test_held_out_subjects(real):
    """Only the training part is cut, by whole subjects, and nothing of the test part comes near."""
    opened = real("nw_ucla")
    subject, camera = opened.column("subject"), opened.column("camera")
    whole, held = splits.split(opened, "xview"), splits.split(opened, "xview+val")
    assert set(subject[held.test]) == {5, 10}
    assert set(subject[held.train]) == {1, 2, 3, 4, 6, 7, 8, 9}
    assert set(camera[held.test]) == set(camera[held.train]) == {1, 2}
    assert sorted([*held.train, *held.test]) == whole.train.tolist()
    held = splits.split(opened, "xsub+val")
    assert set(subject[held.test]) == {9}
    assert set(subject[held.train]) == {1, 3, 5, 7}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"subject": s} for s in (3, 3, 7, None)], [2]),  # two: the last
        ([{"subject": s} for s in "abcdefghijk"], [4, 9]),  # every fifth
        ([{"subject": 1, "performance": p} for p in "pqqr"], [3]),  # one subject: performances
        ([{"label": lab} for lab in "aabbccdde"], [4]),  # nothing known: clips
        ([{"subject": s, "dataset": d} for d in "uv" for s in (1, 2)], [3]),  # subject 1 twice is two
    ],
)
def test_what_is_held_out(table, rows, expected):
    opened = table([{**row, "part": "t"} for row in rows] + [{"part": "rest", "subject": 99}])
    assert splits.split(opened, "part=t+val").test.tolist() == expected


def test_five_folds_hold_out_every_subject_once(real):
    opened = real("nw_ucla")
    whole, subject = splits.split(opened, "xview"), opened.column("subject")
    folds = [splits.split(opened, f"xview+val{k}") for k in range(1, 6)]
    assert [set(subject[fold.test]) for fold in folds] == [{1, 6}, {2, 7}, {3, 8}, {4, 9}, {5, 10}]
    assert sorted(np.concatenate([fold.test for fold in folds])) == whole.train.tolist()
    assert folds[4].test.tolist() == splits.split(opened, "xview+val").test.tolist()
    with pytest.raises(InputError, match=r"\+val1 to \+val5"):
        splits.split(opened, "xview+val6")


def test_a_column_of_sides_is_a_split(table):
    """By its name; its own validation side is what ``+val`` scores; a column that holds anything else is none."""
    sides = ["train", "Training", "val", "test", None, "validation"]
    rows = [
        {"split": a, "split2": b, "kind": c}
        for a, b, c in zip(sides, reversed(sides), ["train", "test", "other", "x", "y", "z"])
    ]
    opened = table(rows)
    assert splits.names(opened) == ["official", "split2", "random"]
    assert splits.split(opened, "official").train.tolist() == [0, 1]
    assert splits.split(opened, "official").test.tolist() == [3]
    assert splits.split(opened, "official+val").train.tolist() == [0, 1]
    assert splits.split(opened, "official+val").test.tolist() == [2, 5]
    assert splits.split(opened, "official+val1").test.tolist() == [0]  # a fold of the training part
    assert splits.split(opened, "split2").train.tolist() == [4, 5]
    carried = {"list": {"train": {"column": "split", "in": ["train"]}, "test": {"column": "split", "in": ["test"]}}}
    assert splits.names(table(rows, carried)) == ["list", "split2", "random"]  # said by a rule already


def test_nothing_to_hold_out(table):
    with pytest.raises(InputError, match="test part has no clip"):
        splits.split(table([{"part": "t"}, {"part": "u"}]), "part=t+val")


def ntu_rows(subjects, setups=(1, 2), cameras=(1, 2, 3)) -> list[dict]:
    return [
        {"subject": s, "setup": u, "camera": c, "dataset": "ntu", "label": "A001"}
        for s in subjects
        for u in setups
        for c in cameras
    ]


def test_ntu_first_edition(table):
    opened = table(ntu_rows(range(1, 41)))
    subject, camera, setup = (opened.column(name) for name in ("subject", "camera", "setup"))
    assert {"xsub", "xsub60", "xview", "xset", "random"} <= set(splits.names(opened))
    assert sizes(opened, "xsub") == (120, 120)  # 20 subjects on either side
    made = splits.split(opened, "xsub")
    assert set(subject[made.train]) == {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
    assert np.array_equal(made.train, splits.split(opened, "xsub60").train)
    made = splits.split(opened, "xview")
    assert (set(camera[made.train]), set(camera[made.test])) == ({2, 3}, {1})
    made = splits.split(opened, "xset")
    assert (set(setup[made.train]), set(setup[made.test])) == ({2}, {1})


def test_ntu_second_edition(table):
    opened = table(ntu_rows(range(1, 107)) + ntu_rows([1, 3], setups=(18,)))  # old subjects in a new setup
    subject = opened.column("subject")
    made = splits.split(opened, "xsub")
    assert len(set(subject[made.train])) == len(set(subject[made.test])) == 53
    assert set(subject[made.train]) >= {45, 103}
    assert set(subject[made.test]) >= {3, 106}
    first = splits.split(opened, "xsub60")  # the first edition within the second
    assert sizes(opened, "xsub60") == (120, 120)
    assert subject[first.test].max() == 40
    assert subject[splits.split(opened, "xview").train].max() == 40
    assert not (opened.column("setup")[np.concatenate([first.train, first.test])] > 17).any()
    assert sizes(opened, "xset") == (324, 318)


def test_sets_without_a_published_protocol(table):
    rows = [{"subject": s, "camera": c} for s in (0, 1, 2, 10) for c in ("left", "right", "mid")] + [{"label": "x"}]
    opened = table(rows)
    assert splits.names(opened) == ["xsub", "xview", "xsub_xview", "random"]
    subject, camera = opened.column("subject"), opened.column("camera")
    made = splits.split(opened, "xsub")
    assert (set(subject[made.train]), set(subject[made.test])) == ({0, 2}, {1, 10})
    made = splits.split(opened, "xview")
    assert (set(camera[made.train]), set(camera[made.test])) == ({"left", "mid"}, {"right"})
    made = splits.split(opened, "xsub_xview")
    assert (len(made.train), len(made.test)) == (4, 2)
    assert splits.names(table([{"dataset": "pku_mmd", "camera": c} for c in "LMR"])) == ["random"]
    assert splits.names(table([{}])) == []


def test_several_data_sets_follow_their_own_protocols(table):
    rows = ntu_rows((1, 3)) + [{"subject": s, "camera": c, "dataset": "nw_ucla"} for s in (1, 2) for c in (1, 2, 3)]
    opened = table([*rows, {"subject": 1}, {"subject": 2}])
    made = splits.split(opened, "xsub")
    chosen = [
        [(row["dataset"], row["subject"]) for row in opened.clips.take(part).to_pylist()]
        for part in (made.train, made.test)
    ]
    assert set(chosen[0]) == {("ntu", 1), ("nw_ucla", 1), (None, 1)}
    assert set(chosen[1]) == {("ntu", 3), ("nw_ucla", 2), (None, 2)}


def test_rules(table):
    opened = table(
        [
            {"n": n, "name": name, "mixed": m}
            for n, name, m in [(1, "train/a", 1), (2, "test/a", "x"), (None, None, None), (7, "train/b", 2.0)]
        ]
    )

    def picked(rule):
        return np.flatnonzero(splits.matches(opened, rule)).tolist()

    assert picked({"column": "n", "in": [1, 7, 9]}) == [0, 3]
    assert picked({"column": "n", "in": ["7"]}) == [3]
    assert picked({"column": "n", "in": [None]}) == []
    assert picked({"column": "mixed", "in": [1, 2]}) == [0, 3]
    assert picked({"column": "n", "lt": 2}) == [0]
    assert picked({"column": "n", "ge": 2}) == [1, 3]
    assert picked({"column": "mixed", "ge": 2}) == [3]
    assert picked({"column": "name", "prefix": "train/"}) == [0, 3]
    assert picked({"column": "name", "prefix": ""}) == [0, 1, 3]
    assert picked({"all": [{"column": "n", "ge": 2}, {"column": "name", "prefix": "train/"}]}) == [3]
    assert picked({"any": [{"column": "n", "lt": 2}, {"column": "n", "ge": 7}]}) == [0, 3]
    for wrong in ({}, {"column": "n"}, {"column": "n", "lt": "x"}, {"all": []}, {"column": 3, "in": [1]}):
        with pytest.raises(InputError, match=r"card.json"):
            splits.matches(opened, wrong)
    with pytest.raises(InputError, match="no such column"):
        splits.matches(opened, {"column": "nn", "in": [1]})


def test_carried_rules_come_first(table):
    rows = [{"subject": s, "camera": s, "dataset": "nw_ucla"} for s in (1, 2, 3)]
    carried = {
        "xview": {"train": {"column": "camera", "in": [3]}, "test": {"column": "camera", "in": [1, 2, 3]}},
        "none": {"train": {"column": "camera", "in": [9]}, "test": {"column": "camera", "in": [1]}},
    }
    opened = table(rows, carried)
    made = splits.split(opened, "xview")
    assert (made.train.tolist(), made.test.tolist()) == ([2], [0, 1])
    with pytest.raises(InputError, match="training part has no clip"):
        splits.split(opened, "none")
    assert splits.names(opened) == ["xview", "xsub", "random"]
    for broken in ({"train": 3}, [], {"train": {"column": "camera", "in": [3]}}):
        with pytest.raises(InputError, match="not made of rules"):
            splits.split(table(rows, {"broken": broken}), "broken")


def test_by_value(table):
    opened = table([{"style": s, "reps": r} for s, r in [("happy", 1), ("sad", 2), (None, 3), ("odd, very", 1)]])
    made = splits.split(opened, "style=happy")
    assert (made.train.tolist(), made.test.tolist()) == ([0], [1, 3])
    assert splits.split(opened, "reps=1,3").train.tolist() == [0, 2, 3]
    assert splits.split(opened, "style=odd, very").train.tolist() == [3]
    for name, hint in (
        ("style=hapy", "Did you mean 'happy'"),
        ("stile=sad", "Did you mean 'style'"),
        ("reps=1,2,3", "test part has no clip"),
    ):
        with pytest.raises(InputError, match=hint):
            splits.split(opened, name)


def test_unknown_names_list_what_there_is(table):
    with pytest.raises(InputError, match=r"xsub, random.*Did you mean 'xsub'"):
        splits.split(table([{"subject": 1}, {"subject": 2}]), "xsubb")


@pytest.mark.parametrize(
    ("text", "train", "test"),
    [
        ("Training videos:\n0002-L, 0003-M,\nValidataion videos: \n0002-R\n", [0, 1, 4], [2]),
        ("training:0002-L\r\ntest:0003-M,0002-R", [0, 1], [2, 4]),
        ("0002-L\n0002-R\n", [0, 1, 2], [3, 4, 5]),
        ("0004", [5], [0, 1, 2, 3, 4]),
        ("sub/0004.skeleton 0002-L#1", [1, 5], [0, 2, 3, 4]),
    ],
)
def test_lists_of_names(table, tmp_path, text, train, test):
    names = ["0002-L.txt#0", "0002-L#1", "0002-R.txt", "9999-L", "x/0003-M.txt#12", "sub/0004.skeleton"]
    opened = table([{"source": name} for name in names])
    file = tmp_path / "list.txt"
    file.write_text(text)
    made = splits.split(opened, f"file:{file}")
    assert (made.train.tolist(), made.test.tolist()) == (train, test)


def listed(opened: store.Store, folder, text: str, encoding: str = "utf-8") -> list[str]:
    (folder / "list.txt").write_bytes(text.encode(encoding))
    return [opened.ids[i] for i in splits.split(opened, f"file:{folder / 'list.txt'}").train]


SPACED = [f"take{between}{k}.bvh" for between in " #" for k in range(3)]


@pytest.mark.parametrize("text", ["take 0.bvh\ntake 1.bvh\n", " take 0.bvh, take 1.bvh ", "take 0\r\n'take 1'\r\n"])
def test_names_with_blanks_are_looked_up_whole(prepared, tmp_path, text):
    assert listed(prepared(*SPACED), tmp_path, text) == ["take 0.bvh", "take 1.bvh"]


def test_a_line_is_never_cut_into_other_clips(prepared, tmp_path):
    opened = prepared("take#0.bvh", "take#1.bvh", "take", "x.bvh")
    for text, hint in (
        ("x\ntake 0.bvh", r"line 2: 'take 0.bvh': '0.bvh' is no clip"),
        ("take#0.bvh\ntake 1.bvh", r"line 2: 'take 1.bvh'"),
    ):
        with pytest.raises(InputError, match=hint):
            listed(opened, tmp_path, text)
    with pytest.raises(InputError, match="none of its 1 names"):  # the number behind # is of the file's name
        listed(prepared(*SPACED), tmp_path, "take")
    assert listed(opened, tmp_path, "take#1.bvh x.bvh") == ["take#1.bvh", "x.bvh"]
    assert listed(opened, tmp_path, "take") == ["take"]


@pytest.mark.parametrize("front", ["", "\ufeff", "./", "././"])
@pytest.mark.parametrize("end", ["", ".bvh"])
def test_how_a_name_is_written_down(prepared, tmp_path, front, end):
    opened = prepared("wave_0.bvh", "squat_0.bvh", "in/ü.1.bvh", "in/ü.2.bvh")
    assert listed(opened, tmp_path, f"{front}squat_0{end}\nwave_0{end}") == ["wave_0.bvh", "squat_0.bvh"]
    assert listed(opened, tmp_path, f"{front}in\\u\u0308.1{end}\n") == ["in/ü.1.bvh"]  # an accent of its own
    assert listed(opened, tmp_path, f"# those that train\n{front}ü.2{end}\n") == ["in/ü.2.bvh"]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("sqaut_0.bvh", "squat_0.bvh"),
        ("squatt_0", "squat_0.bvh"),
        ("Squat_0.bvh", "squat_0.bvh"),
        ("squat 0", "squat_0.bvh"),
        ("squat_0.bhv", "squat_0.bvh"),
        ("motion/squat_0.bvh", "squat_0.bvh"),
    ],
)
def test_a_misspelt_name_is_an_error(prepared, tmp_path, typo, meant):
    opened = prepared("wave_0.bvh", "wave_1.bvh", "squat_0.bvh", "squat_1.bvh")
    with pytest.raises(InputError, match=rf"line 2: '{typo}' is no clip.*Did you mean '{meant}'"):
        listed(opened, tmp_path, f"wave_0\n{typo}\n")


def test_recordings_that_one_does_not_have_are_counted(prepared, tmp_path):
    opened = prepared("0002-L.txt", "0002-M.txt", "0003-R.txt", "walk_1.bvh")
    text = "Training: 0002-L, 0004-L, 0005-M, 0003-M, walk_2\nValidation: 0002-M, 0009-L\n"
    assert listed(opened, tmp_path, text) == ["0002-L.txt"]
    made = splits.split(opened, f"file:{tmp_path / 'list.txt'}")
    assert made.notes == (
        "5 of 7 names in list.txt are no clips of this store: 0004-L, 0005-M, 0003-M, walk_2, 0009-L",
    )
    assert splits.split(opened, "random").notes == ()


def test_a_name_that_fits_recordings_of_several_folders(prepared, tmp_path):
    opened = prepared("x/walk.bvh", "y/walk.bvh", "y/run.bvh")
    with pytest.raises(InputError, match=r"line 1: 'walk': it fits 2 recordings: x/walk.bvh, y/walk.bvh"):
        listed(opened, tmp_path, "walk\n")
    assert listed(opened, tmp_path, "x/walk\nrun") == ["x/walk.bvh", "y/run.bvh"]


def test_clips_of_a_recording(table, tmp_path):
    """Clip numbers and frames belong to the id; the list may name the recording, or one of its clips."""
    ids = ["v/0002-L.txt#0", "v/0002-L.txt#1", "v/0002-L.txt:5-9", "v/0002-L.txt#0:5-9", "dets.json#a", "dets.json#b"]
    opened = table([{"source": name, "file": re.split("[#:]", name)[0]} for name in ids])
    assert listed(opened, tmp_path, "0002-L") == ids[:4]
    assert listed(opened, tmp_path, "v/0002-L#1, dets.json#b") == [ids[1], ids[5]]
    assert listed(opened, tmp_path, "0002-L.txt:5-9") == [ids[2]]
    assert listed(opened, tmp_path, "dets") == ids[4:]
    with pytest.raises(InputError, match="both parts"):
        listed(opened, tmp_path, "train: 0002-L\ntest: 0002-L#1")


def test_a_name_that_looks_like_a_heading(prepared, tmp_path):
    opened = prepared("test: one.bvh", "train/x.bvh", "y.bvh")
    assert listed(opened, tmp_path, "test: one.bvh\ntrain/x.bvh") == ["test: one.bvh", "train/x.bvh"]


def test_official_pku_list(table, data_dir):
    file = data_dir / "formats" / "pku_mmd" / "cross-subject.txt"
    rows = [{"source": f"{v:04d}-{c}#{k}"} for v in range(2, 365) for c in "LMR" for k in range(2)]
    assert sizes(table(rows), f"file:{file}") == (2 * 944, 2 * 132)
    assert sizes(table(rows), f"file:{file}+val") == (2 * 944 - 2 * 944 // 5, 2 * 944 // 5)


def test_bad_lists(table, tmp_path):
    opened = table([{"source": "a"}, {"source": "b"}])
    for content, hint in ((b"train: a\ntest: a", "both parts"), (b"zz", "none of its 1 names"), (b"\xff\xfe", "list")):
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(InputError, match=hint):
            splits.split(opened, f"file:{tmp_path / 'list.txt'}")
    with pytest.raises(InputError, match="absent"):
        splits.split(opened, f"file:{tmp_path / 'absent.txt'}")


def test_random_is_seeded_and_stratified(table):
    opened = table([{"label": lab} for lab in "a" * 11 + "b" * 6 + "c"] + [{}] * 3)
    first, again, other = (splits.split(opened, "random", seed) for seed in (0, 0, 1))
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    labels = opened.column("label")
    for name, count in (("a", 11), ("b", 6), (None, 3)):
        assert abs(sum(labels[first.train] == name) - count / 2) <= 0.5
    assert len(first.train) + len(first.test) == 21


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60), st.floats(0.01, 1), st.integers(0, 5), st.booleans())
def test_fractions(labels, share, seed, stratified):
    labels = np.array(labels)
    rows = np.arange(len(labels))[::2]
    known = rows[labels[rows] >= 0]
    if not len(known):
        with pytest.raises(InputError, match="labels"):
            splits.fraction(rows, labels, share, seed, stratified)
        return
    drawn = splits.fraction(rows, labels, share, seed, stratified)
    assert set(drawn) <= set(known)
    assert (np.diff(drawn) > 0).all()
    assert np.array_equal(drawn, splits.fraction(rows, labels, share, seed, stratified))
    words = np.array([None if label < 0 else f"class {label}" for label in labels], object)
    assert np.array_equal(drawn, splits.fraction(rows, words, share, seed, stratified))
    if stratified:
        for label in set(labels[known]):
            assert sum(labels[drawn] == label) == max(1, round(share * sum(labels[known] == label)))
    else:
        assert len(drawn) == max(1, round(share * len(known)))
    if share == 1:
        assert np.array_equal(drawn, known)


def test_fraction_differs_by_seed_and_is_checked():
    rows, labels = np.arange(1000), np.zeros(1000, int)
    first, other = (splits.fraction(rows, labels, 0.1, seed) for seed in (0, 1))
    assert len(set(first) & set(other)) < 40
    assert abs(first.mean() - 500) < 100
    for wrong in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="fraction"):
            splits.fraction(rows, labels, wrong, 0)


def test_a_format_defines_the_protocols_of_its_data_sets(table, monkeypatch):
    """Also in a joined store, where every set follows its own."""
    toy = types.ModuleType("toy", "Toy (.toy).")
    vars(toy).update(__file__=__file__, suffixes=(".toy",), datasets=("toys", "more_toys"))
    toy.protocols = lambda store, rows: {"xview": (store.numbers("camera") == 7, store.numbers("camera") == 8)}
    monkeypatch.setitem(registry._plugins["io"], "toy", toy)
    cameras = [("toys", 7), ("toys", 8), ("toys", 9), ("nw_ucla", 1), ("nw_ucla", 3), ("nw_ucla", 7)]
    opened = table([{"dataset": name, "camera": camera, "subject": 1} for name, camera in cameras])
    made = splits.split(opened, "xview")
    assert (made.train.tolist(), made.test.tolist()) == ([0, 3], [1, 4])
    assert "xsub_xview" not in splits.names(opened)  # a split of our own, for sets that nobody owns
    io._readers.cache_clear()
