"""``kineme embed``: raw files of any rig are mapped by joint name as Python does; what fails leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
from helpers.training import kineme, make_store, one_paragraph

import kineme as package
from kineme.apps.cli import main
from kineme.data import synth
from kineme.data.report import report
from kineme.inference import embed
from kineme.utils.errors import InputError

SETTINGS = {"encoder": {"hidden": 8, "layers": 1}, "method": {"views.frames": 8, "queue": 4}, "loop.batch": 3}
OTHER = {
    "Collar": "Shoulder",
    "Shoulder": "Arm",
    "Elbow": "ForeArm",
    "Wrist": "Hand",
    "Hip": "UpLeg",
    "Knee": "Leg",
    "Ankle": "Foot",
}


def renamed(source, target, words):
    """A BVH file with other names of joints."""
    text = source.read_text()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(re.sub(r"(JOINT|ROOT) (\S+)", lambda m: f"{m[1]} {words(m[2])}", text))
    return target


def another_rig(name):
    side = next((side for side in ("Left", "Right") if name.startswith(side)), "")
    return side + OTHER.get(name.removeprefix(side), name.removeprefix(side))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Motion capture of one rig, a run on it (a free layout), files of another rig and of strangers."""
    folder = tmp_path_factory.mktemp("embed")
    for seed, action in enumerate(("squat", "wave")):
        synth.write(folder / "motion" / action, 3, format="bvh", seed=seed, actions=[action], cameras=0)
    store = package.prepare(folder / "motion", folder / "store", labels="folder")
    assert store.layout.name == "free"
    package.pretrain("moco", store, folder / "run", epochs=1, settings=SETTINGS, device="cpu")
    first = next((folder / "motion" / "squat").glob("*.bvh"))
    renamed(first, folder / "other.bvh", another_rig)
    renamed(first, folder / "strange.bvh", lambda name: "bone_" + "".join(chr(97 + ord(c) % 26) for c in name[::-1]))
    part = [name for name in package.read(first).layout.joints if "Elbow" in name or "Wrist" in name]
    renamed(first, folder / "part.bvh", lambda name: f"thing{part.index(name)}" if name in part else name)
    (folder / "rigs" / "squat").mkdir(parents=True)
    shutil.copy(folder / "other.bvh", folder / "rigs" / "squat")
    shutil.copy(first, folder / "rigs")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return package.load(folder / "run", "cpu")


def vectors(out):
    return np.load(out / "Z.npy")


def test_another_rig_as_python_does(folder, model, tmp_path):
    # case 20-embed-another-rig of the public reports
    done = kineme("embed", folder / "run", folder / "other.bvh", "--out", tmp_path / "z")
    expected = model.embed(package.read(folder / "other.bvh"))
    np.testing.assert_allclose(vectors(tmp_path / "z"), expected, atol=1e-5)
    np.testing.assert_allclose(model.embed(folder / "other.bvh"), expected, atol=1e-6)
    (made,) = report(package.open(tmp_path / "z" / "store")).maps
    assert all("end" in name for name in made["missing"])  # the same body under other names
    assert "mapped to free" in done.stdout
    assert "layout free." not in done.stdout + done.stderr


def test_what_is_missing_is_said(folder, model, tmp_path):
    out = embed.write(model, folder / "part.bvh", tmp_path / "z")
    (made,) = report(package.open(out / "store")).maps
    assert {"LeftWrist", "RightWrist"} <= set(made["missing"])
    assert any(name.startswith("thing") for name in made["unused"])
    done = kineme("embed", folder / "run", folder / "part.bvh", "--out", tmp_path / "y")
    assert "LeftWrist" in done.stdout
    assert "missing" in done.stdout


@pytest.mark.parametrize("what", ["strange.bvh", "nothing", "words.txt", "run"])
def test_a_refused_one_leaves_nothing_behind(folder, tmp_path, what):
    (tmp_path / "words.txt").write_text("no motion")
    source = next(place for place in (folder / what, tmp_path / what) if place.exists() or place.parent == tmp_path)
    before = sorted(tmp_path.iterdir())
    done = kineme("embed", folder / "run", source, "--out", tmp_path / "deep" / "z", check=False)
    one_paragraph(done, what)
    assert "--layout free" not in done.stderr
    assert not (tmp_path / "deep" / "z").exists()
    assert [path for path in tmp_path.rglob("*") if path not in before and path.name != "deep"] == []
    kineme("embed", folder / "run", folder / "other.bvh", "--out", tmp_path / "deep" / "z")  # the next try works


def test_strangers_are_named_beside_the_joints_of_the_run(folder, model, tmp_path):
    done = kineme("embed", folder / "run", folder / "strange.bvh", "--out", tmp_path / "z", check=False)
    one_paragraph(done, "bone_", "LeftWrist", "--map")
    with pytest.raises(InputError, match=r"bone_.*LeftWrist"):
        model.embed(folder / "strange.bvh")


def test_a_table_of_joints_names_strangers(folder, model, tmp_path):
    first = next((folder / "motion" / "squat").glob("*.bvh"))
    strange, known = (package.read(path).layout.joints for path in (folder / "strange.bvh", first))
    (tmp_path / "joints.json").write_text(json.dumps(dict(zip(known, strange))))
    words = [
        "embed",
        folder / "run",
        folder / "strange.bvh",
        "--out",
        tmp_path / "z",
        "--map",
        tmp_path / "joints.json",
    ]
    kineme(*words)
    np.testing.assert_allclose(vectors(tmp_path / "z"), model.embed(first), atol=1e-5)


def test_several_files_folders_and_stores(folder, model, tmp_path):
    several = [folder / "other.bvh", folder / "motion", folder / "store", folder / "rigs"]
    done = kineme("embed", folder / "run", *several, "--out", tmp_path / "z", "--labels", "folder")
    found = vectors(tmp_path / "z")
    assert found.shape == (1 + 6 + 6 + 2, model.dim)
    store = package.open(tmp_path / "z" / "store")
    np.testing.assert_allclose(found[7:13], model.embed(folder / "store"), atol=1e-5)
    np.testing.assert_allclose(found[1:7], found[7:13], atol=1e-5)
    assert len(set(store.ids)) == 15
    assert store.column("label").tolist()[1:7] == ["squat"] * 3 + ["wave"] * 3
    assert "15 clips" in done.stdout
    assert "mapped to free" in done.stdout
    assert sorted(path.name for path in (tmp_path / "z").iterdir()) == ["Z.npy", "card.json", "clips.parquet", "store"]
    again = embed.write(folder / "run", [folder / "store"], tmp_path / "y")  # one of several is itself
    assert not (again / "store").exists()


def test_one_of_several_that_fails_leaves_nothing(folder, tmp_path):
    several = [folder / "motion", folder / "strange.bvh"]
    one_paragraph(kineme("embed", folder / "run", *several, "--out", tmp_path / "z", check=False), "strange.bvh")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--map", "OUT/x.jpg"], "--map: OUT/x.jpg. Expected one picture (.png, .svg, .pdf)"),
        (["--map", "OUT/x.png", "--map", "OUT/y.png"], "Expected one picture"),
        (["--map", "OUT/x.png"], "map: 1 vectors. Expected at least 4"),
        (["--map", "OUT/none.toml"], "no such file"),
    ],
)
def test_a_picture_that_cannot_be_leaves_nothing(folder, tmp_path, words, said, capsys):
    words = [word.replace("OUT", str(tmp_path)) for word in words]
    done = main(["embed", str(folder / "run"), str(folder / "other.bvh"), "--out", str(tmp_path / "z"), *words])
    assert done == 2
    assert said.replace("OUT", str(tmp_path)) in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_picture_and_pale_training_clips(folder, tmp_path):
    picture = tmp_path / "map.png"
    words = ["--map", picture, "--split", "random", "--labels", "folder"]
    kineme("embed", folder / "run", folder / "motion", "--out", tmp_path / "z", *words)
    assert picture.stat().st_size > 5000


def test_a_folder_that_is_there(folder, model, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    (tmp_path / "file").write_text("keep")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        with pytest.raises(InputError, match="the folder exists"):
            embed.write(model, folder / "store", tmp_path / name)
    assert (tmp_path / "full" / "mine").read_text() == "keep"
    embed.write(model, folder / "store", tmp_path / "empty")
    assert vectors(tmp_path / "empty").shape[0] == 6


def test_a_store_of_other_joints_is_told_which(folder, model, tmp_path):
    other = make_store(tmp_path / "kinect", clips=2)
    with pytest.warns(UserWarning, match=r"kinect20 mapped to the run's free, 6 unused, without Chest, Neck"):
        assert model.embed(other).shape == (2, model.dim)
    hands = np.random.default_rng(0).normal(size=(2, 9, 3, 3))
    other = package.store(hands, tmp_path / "hands", layout=["left_wrist", "right_wrist", "palm"], normalise="none")
    with pytest.raises(InputError) as error:
        model.embed(other)
    said = str(error.value)
    assert "with left_wrist" in said
    assert "without Hips" in said
    assert "--layout free" not in said
    assert "by name" in said
    done = kineme("embed", folder / "run", other.path, "--out", tmp_path / "z", check=False)
    one_paragraph(done, "without Hips")
    assert not (tmp_path / "z").exists()


def test_of_a_mixed_folder_what_the_run_takes(folder, model, tmp_path):
    shutil.copytree(folder / "motion", tmp_path / "mixed")
    flat = [clip.with_(label=None) for clip in synth.generate(2, actions=["wave"], layout="coco17", cameras=1)]
    synth.write(tmp_path / "mixed" / "flat", flat)
    done = kineme("embed", folder / "run", tmp_path / "mixed", "--out", tmp_path / "z")
    assert vectors(tmp_path / "z").shape[0] == 6
    assert "2d" in done.stdout
    done = kineme("embed", folder / "run", tmp_path / "mixed" / "flat", "--out", tmp_path / "y", check=False)
    one_paragraph(done, "2d", "3-D")
    assert not (tmp_path / "y").exists()


def test_a_full_disk_leaves_nothing(folder, model, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(embed, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        embed.write(model, folder / "store", tmp_path / "z")
    assert not any(tmp_path.iterdir())


def test_of_one_file_nothing_is_said_of_learning(folder, tmp_path):
    """A single clip is nothing to train on, which is no business of who embeds it."""
    said = kineme("embed", folder / "run", folder / "other.bvh", "--out", tmp_path / "z").stdout
    assert "1 clip, " in said
    assert "joints of" in said
    assert "learn" not in said
    assert "splits" not in said
    assert "note: a single clip" in str(report(tmp_path / "z" / "store"))  # `kineme info` of the store that is left


def test_windows_of_files(folder, tmp_path):
    """The vectors of `kineme prepare --window`, and of a file that does not say its rate where it is said."""
    said = kineme(
        "embed", folder / "run", folder / "motion", "--window", 1, "--step", 0.5, "--out", tmp_path / "z"
    ).stdout
    found = np.load(tmp_path / "z" / "Z.npy")
    store = package.prepare(folder / "motion", tmp_path / "store", window=1.0, step=0.5)
    np.testing.assert_allclose(found, package.load(folder / "run", device="cpu").embed(store), atol=1e-5)
    assert f"{len(store)} clips" in said
    assert len(store) > 6
    kineme("convert", folder / "other.bvh", tmp_path / "other.csv")
    table = (tmp_path / "other.csv").read_text().replace(",fps,", ",former,", 1)
    (tmp_path / "other.csv").write_text(table)
    count = {}
    for words in ((), ("--fps", 30)):
        out = tmp_path / f"z{len(words)}"
        kineme("embed", folder / "run", tmp_path / "other.csv", "--window", 1, *words, "--out", out)
        count[words] = len(np.load(out / "Z.npy"))
    assert count[()] == 1 < count["--fps", 30]
