"""``kineme index`` and ``kineme search`` through the real command line: folders, intervals, JSON, GIF, bad input."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from helpers.training import TINY, kineme, make_store, one_paragraph
from PIL import Image

import kineme as package
from kineme.apps.cli import main
from kineme.io import openpose

ACTIONS = ["walk", "wave", "kick", "sit_down"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A folder of BVH files, not to be changed; beside it the index of an earlier search."""
    folder = tmp_path_factory.mktemp("search") / "library"
    package.synth.write(folder, 12, format="bvh", actions=ACTIONS, subjects=3, cameras=0)
    kineme("search", folder, first(folder), "-k", 1)
    return folder


@pytest.fixture(scope="module")
def swing(tmp_path_factory):
    """A store and a run on it."""
    folder = tmp_path_factory.mktemp("search")
    make_store(folder / "store")
    kineme("pretrain", "moco", folder / "store", "--out", folder / "run", "--epochs", 1, *TINY)
    kineme("index", folder / "store", "--run", folder / "run", "--out", folder / "index")
    return folder


def first(folder):
    return sorted(folder.glob("*.bvh"))[0]


def found(capsys, *words):
    """The answer to a search, as JSON."""
    assert main(["search", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_plain_folder_is_indexed_once_and_again_when_a_file_changes(library, tmp_path, capsys):
    folder = tmp_path / "clips"
    shutil.copytree(library, folder)
    answer = found(capsys, folder, first(folder), "-k", 3)
    assert answer["hits"][0]["id"] == first(folder).name
    assert answer["hits"][0]["score"] > 0.99
    assert answer["among"] == 12
    (made,) = (tmp_path / ".clips.kineme").iterdir()
    stamp = (made / "index" / "card.json").stat().st_mtime_ns
    assert found(capsys, folder, first(folder), "-k", 3)["hits"] == answer["hits"]
    assert (made / "index" / "card.json").stat().st_mtime_ns == stamp
    gone = sorted(folder.glob("*.bvh"))[-1]
    gone.unlink()
    assert found(capsys, folder, first(folder))["among"] == 11
    (again,) = (tmp_path / ".clips.kineme").iterdir()  # the former one is gone
    assert again != made
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in library.glob("*.bvh"))[:-1]


def test_a_folder_of_several_formats_and_broken_files(library, tmp_path):
    """Some without a frame rate, in an image, or no motion at all: what can be taken is searched, the rest is said."""
    folder = tmp_path / "mixed"
    shutil.copytree(library, folder)
    walk = next(package.synth.generate(1, actions=["walk"], cameras=0))
    package.synth.write(folder / "ntu", [walk], format="ntu")
    names = [f"{joint}_{axis}" for joint in walk.layout.joints for axis in "xyz"]
    np.savetxt(
        folder / "timeless.csv", walk.joints.reshape(len(walk), -1), "%.4f", ",", header=",".join(names), comments=""
    )
    flat = next(package.synth.generate(1, actions=["wave"], cameras=1, coords=2, layout="coco17"))
    openpose.write(folder / "take", [flat])
    (folder / "poem.bvh").write_text("roses are red")
    (folder / "cut.bvh").write_bytes(first(library).read_bytes()[:700])
    done = kineme("search", folder, folder / "timeless.csv", "-k", 20)
    assert "left out, 2 files: cut.bvh (" in done.stderr
    assert "poem.bvh (" in done.stderr
    assert "left out, since the run takes 3-D: 1 2d-" in done.stderr
    assert "1 clip without frames per second: searched as a whole only" in done.stderr
    lines = [line for line in done.stdout.splitlines() if "│" in line]
    assert len(lines) == 14
    assert "timeless.csv" in lines[0]
    assert f"frame {len(walk)}" in lines[0]
    assert ".skeleton" in lines[1]  # the same walk, with its rate
    again = kineme("search", folder, folder / "timeless.csv", "-k", 1)
    assert "left out" not in again.stderr  # said once, when it was prepared
    take = next((folder / "take").iterdir())
    one_paragraph(kineme("search", folder, take, check=False), take.name, "motion in 2-D", "--run")
    words = ("search", folder / "take", first(folder), "--run", "base")
    one_paragraph(kineme(*words, check=False), "nothing in 3-D", "base_2d")
    done = kineme(*words[:3], check=False)
    assert done.returncode == 2
    assert "all in 2-D, so by the weights base_2d" in done.stderr
    assert f"{first(folder).name}: motion in 3-D" in done.stderr


def test_a_store_is_searched_as_a_folder_is_and_the_cache_can_lie_elsewhere(swing, tmp_path, capsys):
    answer = found(capsys, swing / "store", "clip003", "--run", swing / "run", "--cache", tmp_path / "kept", "-k", 5)
    assert len(answer["hits"]) == 5
    assert not (swing / ".store.kineme").exists()
    assert any((tmp_path / "kept").iterdir())


def test_the_table_names_clips_their_times_and_scores(library):
    done = kineme("search", library, first(library), "-k", 4)
    for word in (first(library).name, "1.000", "0.00 s", "4 of 12, by cosine of full vectors, exact"):
        assert word in done.stdout
    assert "mirrored" not in done.stdout
    ranked = kineme("search", library, first(library), "--rerank", "--mirror", "-k", 12)
    assert "aligned" in ranked.stdout


def test_an_interval_an_id_and_several(library, capsys):
    name = first(library).name
    whole = found(capsys, library, name)
    assert name not in [hit["id"] for hit in whole["hits"]]
    part = found(capsys, library, f"{first(library)}@0.5-1.5")
    assert name in [hit["id"] for hit in part["hits"][:3]]
    both = found(capsys, library, name, sorted(library.glob("*.bvh"))[-1].name, "--minus", first(library), "-k", 3)
    assert both["minus"] == [str(first(library))]
    assert len(both["hits"]) == 3


def test_a_clip_of_a_file_of_many_and_an_interval_of_it(tmp_path, capsys):
    package.synth.write(tmp_path / "many", 6, actions=ACTIONS, cameras=1)
    file = tmp_path / "many" / "synth.npz"
    id = found(capsys, file.parent, f"{file}#2", "-k", 1)["hits"][0]["id"]
    name = id.rpartition("#")[2]
    assert found(capsys, file.parent, f"{file}#{name}", "-k", 1)["hits"][0]["id"] == id
    part = found(capsys, file.parent, f"{file}#{name}@0.2-1.5", "-k", 3)
    assert id in [hit["id"] for hit in part["hits"]]
    one_paragraph(kineme("search", file.parent, f"{file}#nobody", check=False), "nobody", "one of its 6 clips")
    one_paragraph(kineme("search", file.parent, file, check=False), "6 clips", f"{file}#")
    one_paragraph(kineme("search", file.parent, f"{file}#{name}@0.2-90", check=False), "up to 90 s")


def test_a_film_of_the_hits(library, tmp_path):
    done = kineme("search", library, f"{first(library).name}@0.2-0.6", "--gif", tmp_path / "hits.gif", "-k", 3)
    assert f"Drawn: {tmp_path / 'hits.gif'}" in done.stdout
    with Image.open(tmp_path / "hits.gif") as film:
        assert film.n_frames > 10
        assert np.ptp(np.asarray(film.convert("L"))) > 100


def test_filters_of_the_command_line(swing, capsys):
    label = {hit["label"] for hit in found(capsys, swing / "index", "clip000", "--where", "label=kind 1")["hits"]}
    assert label == {"kind 1"}
    answer = found(
        capsys,
        swing / "index",
        "clip000",
        "--where",
        "subject!=1,2",
        "--where",
        "length=0.5-0.8",
        "--where",
        "camera=3",
    )
    assert answer["hits"]
    for hit in answer["hits"]:
        assert hit["subject"] not in ("1", "2")
        assert hit["camera"] == "3"
        assert 0.5 <= hit["end"] - hit["start"] <= 0.8


def test_an_index_of_another_kind_and_as_a_table(swing, tmp_path):
    pytest.importorskip("faiss", reason="the extra search is not installed")
    place = tmp_path / "index"
    said = kineme("index", swing / "store", "--run", swing / "run", "--out", place, "--kind", "hnsw").stdout
    assert "hnsw: of the ten nearest of 200 entries" in said
    assert "ivf: " in kineme("index", "--out", place, "--kind", "ivf").stdout
    assert "ivf" not in kineme("index", "--out", place, "--kind", "exact").stdout
    table = tmp_path / "out.parquet"
    assert f"entries with their vectors: {table}" in kineme("index", "--out", place, "--to", "parquet", table).stdout
    one_paragraph(kineme("index", "--out", place, "--to", "parquet", table, check=False), "exists already")
    one_paragraph(kineme("index", swing / "store", "--out", place, "--to", "parquet", table, check=False), "--to")


def test_an_index_grows_and_shrinks(swing, tmp_path, capsys):
    index = tmp_path / "index"
    shutil.copytree(swing / "index", index)
    done = kineme("index", "--out", index, "--remove", "clip00*", "--remove", "clip039")
    assert "Removed 11 clips; 29 clips of" in done.stdout
    one_paragraph(kineme("index", "--out", index, "--remove", "clip00*", check=False), "no clip of", "clip00*")
    again = kineme("index", swing / "store", "--out", index, "--add", "--run", swing / "run", check=False)
    one_paragraph(again, "clip010", "already")
    other = make_store(tmp_path / "more", clips=1, seed=3)
    assert "already" not in kineme("index", other.path, "--out", index, "--add", "--run", swing / "run").stdout
    assert found(capsys, index, "clip010", "--run", swing / "run")["among"] == 30
    assert main(["info", str(index), "--verify"]) == 0
    said = capsys.readouterr().out
    assert "30 clips" in said
    assert "verified" in said


BAD = [
    (["INDEX", "nothing"], ["nothing", "clip id", "index"]),
    (["INDEX", "clip0"], ["clip0", "Did you mean"]),
    (["INDEX", "WORDS"], ["words.txt", "no known format"]),
    (["INDEX", "clip001@5-6"], ["clip001@5-6", "up to 6 s of a motion of"]),
    (["INDEX", "clip001@0.6-0.2"], ["the end after the start"]),
    (["INDEX", "clip001", "--run", "base"], ["another run", "base"]),
    (["INDEX", "clip001", "--cache", "x"], ["cache", "said of an index"]),
    (["INDEX", "clip001", "-k", "0"], ["-k", "above 0"]),
    (["INDEX", "clip001", "--where", "label"], ["--where label", "NAME=VALUE"]),
    (["INDEX", "clip001", "--where", "length=x"], ["seconds such as length=1-4"]),
    (["INDEX", "clip001", "--where", "size=3"], ["no such filter"]),
    (["INDEX", "clip001", "--gif", "film.mp4"], [".gif"]),
    (["EMPTY", "clip001"], ["an empty folder"]),
    (["LOST", "clip001"], ["no such file or folder"]),
    (["WORDS", "clip001"], ["words.txt"]),
    (["DAMAGED", "clip001"], ["vectors-0001.npy", "kineme index"]),
    (["TORN", "clip001"], ["card.json", "not readable as JSON"]),
    (["RUN", "clip001"], ["run"]),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_sentence(swing, tmp_path, words, said):
    places = {"INDEX": swing / "index", "RUN": swing / "run", "LOST": tmp_path / "lost"}
    places |= {name: tmp_path / name.lower() for name in ("EMPTY", "DAMAGED", "TORN")}
    places["WORDS"] = tmp_path / "words.txt"
    places["EMPTY"].mkdir()
    places["WORDS"].write_text("no motion here")
    for name in ("DAMAGED", "TORN"):
        shutil.copytree(swing / "index", places[name])
    os.truncate(places["DAMAGED"] / "vectors-0001.npy", 1000)
    os.truncate(places["TORN"] / "card.json", 50)
    one_paragraph(kineme("search", *(places.get(word, word) for word in words), check=False), *said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x"], "no store"),
        (["STORE", "--out", "x", "--remove", "a"], "one of both"),
        (["STORE", "--out", "INDEX"], "--add"),
        (["STORE", "--out", "x", "--window", "0"], "--window"),
        (["STORE", "--out", "x", "--run", "nowhere"], "nowhere"),
        (["STORE", "--out", "x", "--add", "--run", "RUN"], "no such folder"),
        (["--out", "RUN", "--remove", "a"], "card of kind 'run'"),
    ],
)
def test_what_index_refuses(swing, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    places = {"STORE": swing / "store", "INDEX": swing / "index", "RUN": swing / "run"}
    one_paragraph(kineme("index", *(places.get(word, word) for word in words), cwd=tmp_path, check=False), said)
    assert not (tmp_path / "x").exists()
