"""Which weights that come along are taken where nobody names a run: by the coordinates of the data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers.training import kineme as command
from helpers.training import make_store, one_paragraph

import kineme
from kineme.inference import indexing
from kineme.io import coco
from kineme.training import bundled


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A folder of 2-D poses, and a store of them."""
    folder = tmp_path_factory.mktemp("flat")
    solid = make_store(folder / "solid")
    clips = []
    for i, motion in enumerate(list(solid)[:6]):
        image = 300 * motion.joints[..., :2] * np.float32([1, -1]) + 500
        seen = {"confidence": motion.confidence, "fps": 30, "up": "-y", "unit": "px", "image_size": (1000, 1000)}
        clips.append(kineme.Motion(image, motion.layout, source=f"clip{i}", **seen))
    coco.write(folder / "clips", clips)
    kineme.store(clips, folder / "store", labels=["a", "b"] * 3, normalise="image")
    return folder


def test_weights_for_either_number_of_coordinates():
    assert {coords: bundled.suited(coords) for coords in (2, 3, 4)} == {2: "base_2d", 3: "base", 4: None}
    for name in bundled.names():
        assert name in (bundled.suited(2), bundled.suited(3))


def test_a_folder_in_an_image_is_searched_by_the_weights_for_it(flat):
    query = flat / "clips" / "clip3.json"
    with pytest.warns(UserWarning, match="all in 2-D, so by the weights base_2d"):
        hits = kineme.search(flat / "clips", query, k=2)
    assert hits[0].entry.id == "clip3.json"
    assert hits[0].score > 0.999
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not embedded again
        assert indexing.of_folder(flat / "clips").card["run"]["name"] == "base_2d"


def test_a_store_in_an_image_is_indexed_by_the_weights_for_it(flat):
    command("index", flat / "store", "--out", flat / "index")
    assert kineme.inference.index.Index(flat / "index").card["run"]["name"] == "base_2d"
    hits = kineme.search(flat / "index", "clip1", k=1)
    assert hits[0].entry.id != "clip1"


def test_few_clips_in_an_image_are_better_left_to_weights_that_come_along(flat):
    words = ("--split", "random", "--steps", 1, "--set", "loop.batch=2", "--out", flat / "run")
    said = command("pretrain", "simclr", flat / "store", *words).stdout
    assert (
        f"base_2d as it comes was measured to be better than any training: kineme embed base_2d {flat / 'store'}"
        in said
    )


def test_a_run_that_was_named_is_not_exchanged(flat):
    done = command("evaluate", "base", flat / "store", "--split", "random", check=False)
    one_paragraph(done, "2 coordinates per joint", "base_2d")
    done = command("search", flat / "clips", flat / "clips" / "clip3.json", "--run", "base", check=False)
    one_paragraph(done, "nothing in 3-D", "base_2d")
