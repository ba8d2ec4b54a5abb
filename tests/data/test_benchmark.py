"""Benchmarks of the field, on made folders of the same structure."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import films, tracks

import kineme
from kineme.data import benchmark, splits
from kineme.data.benchmark import listing
from kineme.io import bvh
from kineme.utils.errors import InputError

MADE = {  # the ten classes and what they are made of: github.com/aroitberg/sims4action, by name
    "Cook.Cut": "Cook",
    "Cook.Stir": "Cook",
    "Cook.Usestove": "Cook",
    "Drink.Frombottle": "Drink",
    "Drink.Fromcan": "Drink",
    "Drink.Fromcup": "Drink",
    "Drink.Fromglass": "Drink",
    "Eat.Attable": "Eat",
    "Getup": "GetupSitdown",
    "Sitdown": "GetupSitdown",
    "Readbook": "Readbook",
    "Uselaptop": "Usecomputer",
    "Usetablet": "Usetablet",
    "Usetelephone": "Usephone",
    "Walk": "Walk",
    "WatchTV": "WatchTV",
}
WIDER = {"Cook.Cleandishes": "Cook", "Cook.Cleanup": "Cook", "Eat.Snack": "Eat"}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def by_name(found, column="video"):
    return {Path(row[column]).stem: row for row in found.rows}


# ---- one set after the other


def test_sims4action(tmp_path):
    """Codes are classes, subjects decide the side, and videos are cut into chunks, the last as long as it is."""
    names = ["Cook/Co_S7K1_fC8", "Walk/Wa_S1D1_m3", "UsePhone/UP_S4L2_fC21", "Usetablet/UT_S8K2_fC17", "TV_S2L1_m5"]
    touch(tmp_path, *(f"{name}.avi" for name in names))
    lengths = {"Co_S7K1_fC8": 200, "Wa_S1D1_m3": 90}
    found = listing("sims4action", tmp_path, lambda path: lengths.get(path.stem, 30))
    assert not found.notes
    pieces = [(row["start"], row["end"]) for row in found.rows if "Co_" in row["video"]]
    assert pieces == [(0, 90), (90, 180), (180, 200)]
    assert Counter(Path(row["video"]).stem for row in found.rows)["Wa_S1D1_m3"] == 1
    rows = by_name(found)
    assert {name: row["label"] for name, row in rows.items()} == {
        "Co_S7K1_fC8": "Cook",
        "Wa_S1D1_m3": "Walk",
        "UP_S4L2_fC21": "Usephone",
        "UT_S8K2_fC17": "Usetablet",
        "TV_S2L1_m5": "WatchTV",
    }
    assert {name: row["xsub"] for name, row in rows.items()} == {
        "Co_S7K1_fC8": "val",
        "Wa_S1D1_m3": "train",
        "UP_S4L2_fC21": "test",
        "UT_S8K2_fC17": "test",
        "TV_S2L1_m5": "train",
    }
    row = rows["Co_S7K1_fC8"]
    assert (row["subject"], row["scene"], row["shot"], row["camera"]) == (7, "K1", "fC", 8)


def smarthome(tmp_path: Path) -> Path:
    classes = benchmark._read(benchmark.FOLDER / "smarthome.toml")["classes"]
    names = [f"{name}_p{3 + i % 2:02d}_r00_v{i:02d}_c{i % 7 + 1:02d}.mp4" for i, name in enumerate(classes)]
    return touch(tmp_path, *names, "mp4/Walk_p02_r01_v00_c02.mp4", "Jump_p03_r00_v00_c01.mp4", "readme.mp4")


def test_smarthome(tmp_path):
    """31 classes; 11 subjects train; both cross-view splits are of 19 classes."""
    found = listing("smarthome", smarthome(tmp_path))
    assert len({row["label"] for row in found.rows}) == 31
    assert any("Jump (1)" in note for note in found.notes)
    assert any("1 file (the first: readme.mp4) not named" in note for note in found.notes)
    sides = {(row["subject"], row["xsub"]) for row in found.rows}
    assert sides == {(2, "test"), (3, "train"), (4, "train")}
    for name, train in (("xview1", {1}), ("xview2", {1, 3, 4, 6, 7})):
        inside = [row for row in found.rows if row[name] is not None]
        wanted = dict.fromkeys(train, "train") | {5: "val", 2: "test"}
        assert all(row[name] == wanted[row["camera"]] for row in inside)
        limit = benchmark._read(benchmark.FOLDER / "smarthome.toml")["splits"]["xview1"]["labels"]
        assert len(limit) == len(set(limit)) == 19
        assert {row["label"] for row in inside} <= set(limit)
        assert not any(row[name] for row in found.rows if row["label"] not in limit)


@pytest.mark.parametrize(("mapping", "expected"), [("sims4action", MADE), ("phlvc", MADE | WIDER)])
def test_smarthome_in_ten_classes(tmp_path, mapping, expected):
    """Invariant 12: by name; telephone and tablet are not exchanged; classes without a counterpart are left out."""
    found = listing(f"smarthome:{mapping}", smarthome(tmp_path))
    said = {Path(row["video"]).stem.split("_")[0]: row["label"] for row in found.rows}
    assert said == expected
    ten = benchmark._read(benchmark.FOLDER / "sims4action.toml")
    assert set(said.values()) == set(ten["classes"]) == set(ten["codes"].values())
    left = {row["label"] for row in listing("smarthome", tmp_path).rows} - set(expected)
    assert all(f"{name} (1)" in found.notes[-1] for name in sorted(left)[:3])


def test_ucf101(tmp_path):
    """Three splits from the official lists, beside the videos or among them, whatever capitals they use."""
    touch(tmp_path / "UCF-101", "Archery/v_Archery_g08_c01.avi", "HandstandPushups/v_HandstandPushups_g01_c02.avi")
    touch(tmp_path / "UCF-101", "Archery/v_Archery_g01_c01.avi")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    for number in (1, 2, 3):
        train = ["Archery/v_Archery_g08_c01.avi 3", "Biking/v_Biking_g09_c01.avi 11"]
        test = ["Archery/v_Archery_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.avi"]
        sides = {"train": train, "test": test} if number < 3 else {"train": test, "test": [name[:-2] for name in train]}
        for side, names in sides.items():
            (lists / f"{side}list0{number}.txt").write_text("\r\n".join(names) + "\r\n")
    for folder in (tmp_path, tmp_path / "UCF-101"):
        found = listing("ucf101", folder)
        assert {name: [row[f"split{i}"] for i in (1, 2, 3)] for name, row in by_name(found).items()} == {
            "v_Archery_g08_c01": ["train", "train", "test"],
            "v_Archery_g01_c01": ["test", "test", "train"],
            "v_HandstandPushups_g01_c02": ["test", "test", "train"],
        }
        assert found.notes == ["1 of 4 recordings in its lists are not here"]
    shared = listing("ucf101:ucf_hmdb", tmp_path)
    assert {row["label"] for row in shared.rows} == {"shoot_bow"}
    for path in lists.iterdir():
        path.unlink()
    assert "no official splits" in listing("ucf101", tmp_path).notes[0]


def test_hmdb51(tmp_path):
    """1 trains, 2 tests, 0 does neither; the same file name in two classes is two recordings."""
    touch(tmp_path / "hmdb51", "climb/a_b!_0.avi", "climb/x_1.avi", "walk/a_b!_0.avi", "walk/z_2.avi")
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    (lists / "climb_test_split1.txt").write_text("a_b!_0.avi 1 \nx_1.avi 2 \n")
    (lists / "walk_test_split1.txt").write_text("a_b!_0.avi 2 \nz_2.avi 0 \n")
    found = listing("hmdb51", tmp_path)
    assert {row["video"]: (row["label"], row["split1"]) for row in found.rows} == {
        "hmdb51/climb/a_b!_0.avi": ("climb", "train"),
        "hmdb51/climb/x_1.avi": ("climb", "test"),
        "hmdb51/walk/a_b!_0.avi": ("walk", "test"),
        "hmdb51/walk/z_2.avi": ("walk", None),
    }


def test_the_twelve_shared_classes():
    one, other = (
        benchmark._read(benchmark.FOLDER / f"{name}.toml")["mappings"]["ucf_hmdb"] for name in ("ucf101", "hmdb51")
    )
    assert list(one) == list(other)
    assert len(one) == 12


def test_kinetics(tmp_path):
    """Label and side come from the lists, by the video's id; what no list names is left out."""
    touch(tmp_path, "train/-3B32lodo2M_000059_000069.mp4", "val/abc_efghijk.mp4", "train/not_listed_.mp4")
    (tmp_path / "train.csv").write_text(
        'label,youtube_id,time_start,time_end,split\n"air drumming",-3B32lodo2M,59,69,train\n'
        "abseiling,__________0,1,11,train\n"
    )
    (tmp_path / "validate.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nzumba,abc_efghijk,0,10,validate\n"
    )
    found = listing("kinetics400", tmp_path)
    assert {(row["video"], row["label"], row["official"]) for row in found.rows} == {
        ("train/-3B32lodo2M_000059_000069.mp4", "air drumming", "train"),
        ("val/abc_efghijk.mp4", "zumba", "val"),
    }
    assert any("1 file (the first: train/not_listed_.mp4) in no list, without a label" in note for note in found.notes)
    (tmp_path / "train.csv").unlink()
    (tmp_path / "validate.csv").unlink()
    with pytest.raises(InputError, match="none of the lists of its release"):
        listing("kinetics400", tmp_path)


def test_ntu(tmp_path):
    found = listing("ntu_rgbd", touch(tmp_path, "nturgb+d_rgb/S001C002P003R001A060_rgb.avi"))
    assert found.rows == [
        {
            "video": "nturgb+d_rgb/S001C002P003R001A060_rgb.avi",
            "label": "A060",
            "subject": 3,
            "camera": 2,
            "setup": 1,
            "repetition": 1,
            "dataset": "ntu",
        }
    ]


# ---- preparing with them


def test_prepare_with_a_benchmark(tmp_path):
    """Poses named as the set's videos become a store with its labels and splits; the table stands beside it."""
    sides = [(label, s, c) for label in ("Walk", "Readbook") for s in (2, 3, 4) for c in (1, 2, 5)]
    names = [*(f"{label}_p{s:02d}_r00_v{s:02d}_c0{c}" for label, s, c in sides), "Enter_p03_r00_v00_c01"]
    motion = next(iter(kineme.synth.generate(1))).slice(0, 8)
    bvh.write(tmp_path / "poses", [motion.with_(source=name) for name in names])
    with pytest.warns(UserWarning, match=r"smarthome:sims4action: 1 of other classes, without a label: Enter"):
        store = kineme.prepare(tmp_path / "poses", tmp_path / "store", labels="smarthome:sims4action")
    table = tmp_path / "store.labels.csv"
    assert {row["label"] for row in csv.DictReader(io.StringIO(table.read_text()))} == {"Walk", "Readbook"}
    changed = table.stat().st_mtime_ns
    assert {"xsub", "xview2"} <= set(splits.names(store))
    chosen = splits.split(store, "xsub")
    assert set(store.column("subject")[chosen.train]) == {3, 4}
    assert set(store.column("subject")[chosen.test]) == {2}
    again = kineme.prepare(tmp_path / "poses", tmp_path / "store", labels="smarthome:sims4action")
    assert again.hash == store.hash
    assert table.stat().st_mtime_ns == changed


def test_videos_with_their_poses(tmp_path):
    """Chunks of real videos, with pictures, labels and the splits by subject; the last chunk is the shorter one."""
    pytest.importorskip("av")
    for name, frames in (("Co_S1K1_fC8", 100), ("Wa_S4D1_m3", 20)):
        films.write(tmp_path / "videos" / f"{name}.avi", frames, codec="mpeg4")
        tracks.mediapipe(tmp_path / "poses" / f"{name}.json", range(frames), fps=25)
    store = kineme.prepare(
        tmp_path / "videos", tmp_path / "store", labels="sims4action", poses=tmp_path / "poses", picture_side=16
    )
    clips = zip(store.column("label"), store.column("subject"), store.column("xsub"), store.lengths.tolist())
    assert sorted(clips) == [("Cook", 1, "train", 10), ("Cook", 1, "train", 90), ("Walk", 4, "test", 20)]
    assert store.has_pictures
    assert splits.split(store, "xsub").test.tolist() == [int(np.flatnonzero(store.column("label") == "Walk")[0])]


def test_one_more_benchmark_is_one_more_file(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('title = "Mine"\nexample = "a-1"\nname = \'(?P<label>[a-z])-(?P<subject>\\d)\'\nkey = ["label"]\n')
    found = listing(str(own), touch(tmp_path / "videos", "a-1.mp4", "b-2.mp4"))
    assert [(row["label"], row["subject"]) for row in found.rows] == [("a", 1), ("b", 2)]


# ---- bad input


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"benchmark 'ucf11'.*one of .*Did you mean.*ucf101"):
        listing("ucf11", tmp_path)
    with pytest.raises(InputError, match=r"mapping 'sims' of smarthome.*sims4action, phlvc"):
        listing("smarthome:sims", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        listing("ucf101", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no file named as those of UCF-101 \(the first: x.avi\).*v_Archery"):
        listing("ucf101", touch(tmp_path, "x.avi"))
    broken = tmp_path / "broken.toml"
    broken.write_text('title = "x"\nexample = "x"\nname = "(?P<label>"\nkey = []\n')
    with pytest.raises(InputError, match=r"broken.toml: not readable"):
        listing(str(broken), tmp_path)
    broken.write_text('title = "x"\nexample = "x"\nname = "(?P<label>x)"\nkey = ["id"]\n')
    with pytest.raises(InputError, match="key 'id', which is no group"):
        listing(str(broken), tmp_path)


def test_a_video_that_cannot_be_looked_through_stays_whole(tmp_path):
    """Whoever reads it says why."""
    found = listing("sims4action", touch(tmp_path, "Co_S7K1_fC8.avi"))
    assert [(row["start"], row["end"]) for row in found.rows] == [(None, None)]
