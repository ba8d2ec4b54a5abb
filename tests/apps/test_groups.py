"""``kineme cluster`` and ``kineme duplicates``: what is printed, written and drawn."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kineme
from kineme.apps.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*mapped to the run's")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """24 clips of three actions, and one of them again under another name."""
    made = list(
        kineme.synth.generate(24, ["walk", "clap", "squat"], subjects=4, cameras=1, seed=1, layout="pose13", coords=3)
    )
    made.append(made[3].with_(source="again"))
    return kineme.store(made, tmp_path_factory.mktemp("groups") / "store")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_groups_are_written_and_drawn(store, tmp_path, capsys):
    words = ["cluster", "base", store.path, "--csv", tmp_path / "c.csv", "--groups", 3, "--picture", tmp_path / "c.png"]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    rows = rows_of(tmp_path / "c.csv")
    assert [row["id"] for row in rows] == store.ids
    assert {row["group"] for row in rows} == {"1", "2", "3"}
    assert [row["label"] for row in rows] == store.column("label").tolist()
    assert sorted(row["group"] for row in rows if row["example"]) == ["1", "2", "3"]
    assert all(row["id"] in said for row in rows if row["example"])
    assert "NMI 1.000, ARI 1.000, accuracy 1.000" in said
    with Image.open(tmp_path / "c.png") as image:
        assert image.height > 300


def test_the_number_is_found_and_the_file_can_be_labelled(store, tmp_path, capsys):
    assert main(["cluster", "base", str(store.path), "--csv", str(tmp_path / "c.csv")]) == 0
    assert "FINCH finds " in capsys.readouterr().out
    assert main(["label", "base", str(store.path), str(tmp_path / "c.csv"), "--out", str(tmp_path / "r")]) == 0
    assert "25 examples of 3 classes" in capsys.readouterr().out


def test_a_store_without_labels(store, tmp_path, capsys):
    plain = kineme.store([motion.with_(label=None) for motion in store], tmp_path / "plain")
    for by in ("kmeans", "hdbscan"):
        assert main(["cluster", "base", str(plain.path), "--csv", str(tmp_path / "c.csv"), "--by", by]) == 0
        said = capsys.readouterr().out
        assert "NMI" not in said
        assert "frequent" not in said
    assert all(row["label"] == "" for row in rows_of(tmp_path / "c.csv"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--groups", "400"], "--groups: 400. Expected 2 to 24"),
        (["--by", "magic"], "--by: 'magic'. Expected one of finch, kmeans, hdbscan"),
        (["--picture", "c.bmp"], "--picture: c.bmp"),
    ],
)
def test_what_cluster_refuses(store, tmp_path, capsys, words, said):
    assert main(["cluster", "base", str(store.path), "--csv", str(tmp_path / "c.csv"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()


def test_copies_are_named_and_drawn(store, tmp_path, capsys):
    words = ["duplicates", "base", store.path, "--csv", tmp_path / "d.csv", "--pictures", tmp_path / "drawn"]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert f"{store.ids[3]}: again (same numbers)" in said
    assert "1 of 25 clips repeat another, in 1 groups: 1 same numbers" in said
    first, copy = rows_of(tmp_path / "d.csv")
    assert (first["id"], first["kind"]) == (store.ids[3], "first")
    assert (copy["id"], copy["kind"], copy["of"], copy["shift"]) == ("again", "same numbers", store.ids[3], "0")
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["group-1.png"]
    assert main([str(word) for word in words]) == 2
    assert "the folder exists" in capsys.readouterr().err


def test_a_store_without_copies(store, tmp_path, capsys):
    alone = kineme.store(store[:6], tmp_path / "alone")
    assert main(["duplicates", "base", str(alone.path)]) == 0
    assert capsys.readouterr().out == "0 of 6 clips repeat another, in 0 groups: none\n"
    assert main(["duplicates", "base", str(alone.path), "--tolerance", "0"]) == 2
    assert "--tolerance: 0.0" in capsys.readouterr().err


@pytest.mark.skipif("KINEME_DATA" not in os.environ, reason="KINEME_DATA names no folder of recorded data")
def test_the_copies_of_the_third_camera(tmp_path):
    """In two classes of N-UCLA as it is handed out, the clips of camera 3 are, number for number, those of camera 2."""
    whole = kineme.prepare(Path(os.environ["KINEME_DATA"]) / "nw_ucla", tmp_path / "store")
    names = np.array(whole.ids)
    chosen = [i for i, name in enumerate(names) if name.startswith(("a02", "a03", "a05"))]
    part = kineme.store(whole[chosen], tmp_path / "part", normalise="none")
    assert main(["duplicates", "base", str(part.path), "--csv", str(tmp_path / "d.csv")]) == 0
    copies = [row for row in rows_of(tmp_path / "d.csv") if row["kind"] == "same numbers"]
    assert len(copies) == 95
    assert {(row["id"][:3], row["id"][-3:], row["of"][-3:]) for row in copies} == {
        (action, "v03", "v02") for action in ("a02", "a03")
    }
    assert all(row["id"][:-3] == row["of"][:-3] for row in copies)
