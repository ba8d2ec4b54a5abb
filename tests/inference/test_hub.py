"""Runs pushed to a folder in the layout of model hubs and pulled again: the same vectors, nothing that could run."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from helpers.training import TINY, kineme, make_store, one_paragraph

import kineme as package
from kineme.inference import hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    make_store(folder / "store")
    kineme("pretrain", "moco", folder / "store", "--out", folder / "run", "--epochs", 1, *TINY)
    done = kineme("push", folder / "run", folder / "pushed")
    assert "kineme pull" in done.stdout
    return folder


def test_what_was_pushed_gives_the_same_vectors_when_it_is_pulled(folder, tmp_path):
    kineme("pull", folder / "pushed", tmp_path / "run")
    one, other = (package.load(place, "cpu") for place in (folder / "run", tmp_path / "run"))
    store = package.open(folder / "store")
    assert (one.embed(store) == other.embed(store)).all()
    assert (one.untrained().embed(store) == other.untrained().embed(store)).all()
    rows = package.evaluate(other, store, "knn", split="random")
    assert {row["features"] for row in rows} == {"trained", "untrained", "hand-crafted"}


def test_the_folder_holds_card_config_and_safetensors_and_no_place_of_this_machine(folder):
    names = sorted(path.name for path in (folder / "pushed").iterdir())
    assert set(names) <= {"README.md", "card.json", "config.json", *hub.NEEDED, *hub.OPTIONAL}
    text = (folder / "pushed" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: kineme\n")
    card = json.loads((folder / "pushed" / "card.json").read_text())
    assert card["data"] in text
    config = json.loads((folder / "pushed" / "config.json").read_text())
    assert config["kind"] == hub.KIND
    assert set(config["files"]) == set(names) - {"README.md", "config.json"}
    assert hub._without_places({"a": ["/home/someone/x.npz", 3, "b/c"]}) == {"a": ["x.npz", 3, "b/c"]}
    for name in ("README.md", "card.json", "config.json"):
        assert str(folder) not in (folder / "pushed" / name).read_text()


def test_scores_stand_in_the_model_card(folder, tmp_path):
    kineme("evaluate", folder / "run", folder / "store", "--split", "random", "--json", tmp_path / "rows.json")
    kineme("push", folder / "run", tmp_path / "pushed", "--scores", tmp_path / "rows.json")
    assert "| knn | 1-NN | trained |" in (tmp_path / "pushed" / "README.md").read_text()


def test_a_copy_with_links_as_a_hub_keeps_it(folder, tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for i, path in enumerate((folder / "pushed").iterdir()):
        shutil.copy(path, tmp_path / "blobs" / str(i))
        os.symlink(tmp_path / "blobs" / str(i), tmp_path / "snapshot" / path.name)
    hub.pull(tmp_path / "snapshot", tmp_path / "run")
    assert not any(path.is_symlink() for path in (tmp_path / "run").iterdir())
    assert package.load(tmp_path / "run", "cpu").dim == package.load(folder / "run", "cpu").dim


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def damaged(place, how):
    weights = place / "model.safetensors"
    if how == "pickle":
        weights.rename(place / "pytorch_model.bin")
        (place / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    elif how == "pickled array":
        with open(place / "trained_on.npy", "wb") as file:
            np.save(file, np.array([Bomb()], object), allow_pickle=True)
        (place / "config.json").unlink()
    elif how == "bytes":
        data = bytearray(weights.read_bytes())
        data[-3] ^= 255
        weights.write_bytes(data)
    elif how == "cut":
        (place / "config.json").unlink()
        os.truncate(weights, 200)
    elif how == "config":
        (place / "config.json").write_text('{"model_type": "bert"}')
    elif how == "card":
        (place / "config.json").unlink()
        (place / "card.json").write_text("{}")
    elif how == "empty":
        shutil.rmtree(place)
        place.mkdir()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("pickle", ["pytorch_model.bin", "can run code"]),
        ("bytes", ["model.safetensors", "bytes that are not"]),
        ("cut", ["model.safetensors"]),
        ("config", ["config.json", "another kind of model"]),
        ("card", ["src", "no card of a run"]),
        ("empty", ["no card.json and no model.safetensors"]),
    ],
)
def test_a_damaged_or_dangerous_one_is_refused_and_leaves_nothing(folder, tmp_path, monkeypatch, how, said):
    monkeypatch.setenv("BOMB", str(tmp_path / "bomb"))
    shutil.copytree(folder / "pushed", tmp_path / "src")
    damaged(tmp_path / "src", how)
    one_paragraph(kineme("pull", tmp_path / "src", tmp_path / "run", check=False), *said)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "bomb").exists()


def test_a_pickled_array_is_never_executed(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "bomb"))
    shutil.copytree(folder / "pushed", tmp_path / "src")
    damaged(tmp_path / "src", "pickled array")
    hub.pull(tmp_path / "src", tmp_path / "run")
    package.evaluate(tmp_path / "run", package.open(folder / "store"), "knn", split="random")
    assert not (tmp_path / "bomb").exists()


def test_folders_that_are_there_and_runs_that_are_not_are_refused(folder, tmp_path):
    one_paragraph(kineme("push", folder / "run", folder / "pushed", check=False), "the folder exists")
    one_paragraph(kineme("push", tmp_path / "none", tmp_path / "x", check=False), "none")
    one_paragraph(kineme("pull", folder / "pushed", folder / "run", check=False), "the folder exists")
    one_paragraph(kineme("pull", tmp_path / "none", tmp_path / "x", check=False), "no such folder")
    assert not (tmp_path / "x").exists()
