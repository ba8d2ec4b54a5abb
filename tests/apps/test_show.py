"""``kineme show``: a picture of any motion that can be read, of a clip of a store, of several."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.training import kineme, make_store, one_paragraph
from PIL import Image

import kineme as package
from kineme.apps.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("show")
    package.synth.write(folder / "bvh", 2, format="bvh", cameras=0)
    package.synth.write(folder / "many", 9)
    make_store(folder / "store", clips=12)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")), getattr(image, "n_frames", 1)


def test_a_file_into_a_picture_here(folder, here, capsys):
    file = next((folder / "bvh").glob("*.bvh"))
    assert main(["show", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"{file.name}: " in said
    assert "1 person, 3-D, free (23 joints)" in said
    assert f"Drawn: {file.stem}.png" in said
    pixels, _ = picture(here / f"{file.stem}.png")
    assert (pixels < 200).any()
    assert main(["show", str(file)]) == 0  # nothing is overwritten unasked
    assert sorted(path.name for path in here.iterdir()) == [f"{file.stem}-2.png", f"{file.stem}.png"]


@pytest.mark.parametrize("ending", ["gif", "png", "svg", "pdf"])
def test_every_kind_of_picture(folder, here, ending):
    file = next((folder / "bvh").glob("*.bvh"))
    assert main(["show", str(file), "--out", f"deep/x.{ending}"]) == 0
    assert (here / "deep" / f"x.{ending}").stat().st_size > 2000
    if ending == "gif":
        assert picture(here / "deep" / "x.gif")[1] > 5


@pytest.mark.parametrize("clip", ["3", "clip003", "0", "11"])
def test_a_clip_of_a_store(folder, here, capsys, clip):
    assert main(["show", f"{folder / 'store'}#{clip}", "--out", "x.png"]) == 0
    assert f"clip{int(clip[-3:].lstrip('clip') or 0):03d}: " in capsys.readouterr().out


@pytest.mark.parametrize("clip", ["2", None])
def test_a_clip_of_a_file(folder, here, capsys, clip):
    path = folder / "many" / "synth.npz"
    names = [motion.source for motion in package.read_all(path)]
    for word in (clip or names[2], "0"):
        assert main(["show", f"{path}#{word}", "--out", f"{word}.png"]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{names[int(word) if word.isdecimal() else 2]}: ")


def test_several_in_one_picture(folder, here, capsys):
    store = folder / "store"
    one = main(["show", f"{store}#0", "--out", "one.png"])
    assert (one, main(["show", str(store), "--out", "six.png"])) == (0, 0)
    assert "6 of 12 clips" in capsys.readouterr().out
    assert main(["show", str(folder / "many" / "synth.npz")]) == 0
    assert "more than 6 clips" in capsys.readouterr().out
    assert main(["show", str(folder / "bvh"), f"{store}#1", "--out", "three.gif"]) == 0
    heights = [picture(here / name)[0].shape[0] for name in ("one.png", "six.png", "synth.png")]
    assert heights[1] > 4 * heights[0]
    assert heights[2] > 4 * heights[0]


def test_unseen_frames_are_said_and_skipped(here, capsys):
    seen = np.ones((40, 1, 20), np.float32)
    seen[10:25] = 0
    seen[30:, :, 3] = 0
    joints = np.random.default_rng(0).normal(size=(40, 1, 20, 3)).cumsum(0)
    package.store([package.Motion(joints, "kinect20", seen, source="gap")], "s", normalise="none")
    assert main(["show", "s#gap"]) == 0
    said = capsys.readouterr().out
    assert "nobody is seen in 15 of them" in said
    assert "2 % of the joints are missing" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.bvh"], "none.bvh: no such file or folder"),
        (["STORE#99"], "Expected 0 to 11, or an id"),
        (["STORE#clip03"], "no clip of that id. Expected one of store.ids. Did you mean"),
        (["MANY#none"], "no clip of that name or number"),
        (["STORE", "--out", "x.jpg"], "--out: x.jpg"),
        (["STORE#0", "--frames", "0"], "frames: 0"),
        (["EMPTY"], "EMPTY"),
        (["STORE#0", "--format", "bvhh"], None),
    ],
)
def test_what_cannot_be_shown_is_one_paragraph(folder, here, words, said):
    (here / "EMPTY").mkdir()
    places = {"STORE": folder / "store", "MANY": folder / "many" / "synth.npz"}
    for word, place in places.items():
        words = [text.replace(word, str(place)) for text in words]
    done = kineme("show", *words, check=said is None, cwd=here)
    if said is not None:
        one_paragraph(done, said)
        assert not list(here.glob("*.png"))


def test_nobody_at_all(here):
    nobody = "HIERARCHY\n"
    (here / "x.bvh").write_text(nobody)
    one_paragraph(kineme("show", "x.bvh", check=False, cwd=here), "x.bvh")
