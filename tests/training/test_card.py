"""A damaged card costs one sentence that names the card and the entry, whatever is wrong with it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.training import kineme, one_paragraph

import kineme as package
from kineme.training import card as cards
from kineme.training import run as runs
from kineme.utils.errors import InputError

WRITTEN = Path(__file__).parents[1] / "golden" / "written_by_0_1_0"
RUNS = ("moco", "hico", "cv_mim")
GONE = object()
WRONG = (GONE, None, 0, 10**8, "text", ["text"], {"text": 1}, float("nan"))


def places(value: Any, before: tuple = ()) -> Iterator[tuple]:
    """The path to every value in nested tables and, of lists, to their first."""
    inside = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for name, each in inside:
        yield (*before, name)
        yield from places(each, (*before, name))


def damaged(card: dict, place: tuple, value: Any) -> dict:
    card = copy.deepcopy(card)
    table = card
    for word in place[:-1]:
        table = table[word]
    if value is GONE:
        del table[place[-1]]
    else:
        table[place[-1]] = value
    return card


@pytest.fixture
def run(request, tmp_path) -> Path:
    return Path(shutil.copytree(WRITTEN / request.param, tmp_path / "run"))


@pytest.mark.filterwarnings("ignore:method.w_kl")
@pytest.mark.parametrize("run", ["moco", "cv_mim"], indirect=True)
def test_every_entry_damaged_in_every_way(run):
    """It opens and embeds, or is refused in one sentence that names the card; it never takes the memory."""
    card = json.loads((run / "card.json").read_bytes())
    card |= {"size": {"how": "metres", "unit": None, "torso": 0.5, "clips": {"stated": 3}}, "up": "+y"}
    model = package.load(run, "cpu")
    shape = (6, card["persons"], len(model.layout), card["coords"])
    clip = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    clip = package.Motion(clip, model.layout, up="-y" if card["coords"] == 2 else "+y")
    refused = 0
    for place in places(card):
        for value in WRONG:
            (run / "card.json").write_text(json.dumps(damaged(card, place, value)))
            try:
                features = package.load(run, "cpu").embed(clip)
                assert features.shape[0] == 1
            except InputError as error:
                refused += 1
                said = str(error)
                assert "Traceback" not in said
                assert len(said) < 1500
                assert said.startswith(f"{run}") or "layout" in said, (place, value, said)
    assert refused > 200


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("recipe",), GONE, "card.json, recipe: missing. Expected a table."),
        (("layout",), GONE, "card.json, layout: missing."),
        (("crop",), GONE, "card.json, crop: missing."),
        (("seed",), GONE, "card.json, seed: missing."),
        (("coords",), "3", "card.json, coords: '3'. Expected 2 or 3."),
        (("coords",), True, "card.json, coords: True. Expected 2 or 3."),
        (("persons",), 0, "card.json, persons: 0. Expected a whole number from 1 to 1000."),
        (("crop", "frames"), 0, "card.json, crop.frames: 0."),
        (("crop", "frames"), "many", "card.json, crop.frames: 'many'."),
        (("crop", "ratio"), 2, "card.json, crop.ratio: 2."),
        (("normalise",), ["none"], "card.json, normalise: ['none']. Expected a table."),
        (
            ("size",),
            [1],
            "card.json, size: [1]. Expected null, or a table with how: metres, torso or unknown, and unit.",
        ),
        (("up",), "up", "card.json, up: 'up'. Expected null, or one of +x, -x, +y, -y, +z, -z."),
        (("normalise", "how"), "magic", "card.json, normalise.how: 'magic'. Expected none or general or ntu or image."),
        (("format",), 2, "card.json, format: 2."),
        (("layout", "joints"), 3, "card.json, layout: "),
        (("recipe", "encoder", "hidden"), 10**7, "card.json, recipe and layout: an encoder whose "),
        (("recipe", "encoder", "layers"), 10**7, "card.json, recipe: settings that take more than"),
        (("recipe", "encoder", "hidden"), "wide", "card.json, recipe: encoder.hidden: 'wide'. Expected a whole"),
        (("recipe", "encoder", "hiden"), 3, "card.json, recipe: encoder.hiden: no such setting."),
        (("recipe", "method", "queue"), 10**13, "card.json, recipe.method: settings that need"),
        (("recipe", "method_name"), "moko", "the method 'moko' of this run"),
    ],
)
@pytest.mark.parametrize("run", ["moco"], indirect=True)
def test_one_sentence_names_the_entry(run, place, value, said):
    card = json.loads((run / "card.json").read_bytes())
    (run / "card.json").write_text(json.dumps(damaged(card, place, value)))
    with pytest.raises(InputError) as error:
        package.load(run, "cpu")
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"kind": "store"}', '{"kind": ["run"]}', "{", "null", "\x00"])
@pytest.mark.parametrize("run", ["moco"], indirect=True)
def test_no_card_of_a_run(run, text):
    (run / "card.json").write_text(text)
    with pytest.raises(InputError, match="run"):
        package.load(run)


@pytest.mark.parametrize("entry", ["status", "stores", "split", "seed", "recipe"])
@pytest.mark.parametrize("run", ["moco"], indirect=True)
def test_a_run_to_be_resumed_is_looked_at_too(run, entry):
    card = json.loads((run / "card.json").read_bytes())
    assert runs.recorded(run) == card
    (run / "card.json").write_text(json.dumps(damaged(card, (entry,), GONE)))
    with pytest.raises(InputError, match=f"card.json, {entry}: missing"):
        runs.recorded(run)


@pytest.mark.parametrize("run", ["moco"], indirect=True)
def test_the_command_line_says_it_in_one_paragraph(run, tmp_path):
    card = json.loads((run / "card.json").read_bytes())
    (run / "card.json").write_text(json.dumps(damaged(card, ("crop", "frames"), "x")))
    one_paragraph(kineme("embed", run, tmp_path, "--out", tmp_path / "z", check=False), "card.json, crop.frames: 'x'")
    assert not (tmp_path / "z").exists()


def test_cards_of_this_version_are_right():
    for name in RUNS:
        assert cards.read(WRITTEN / name, resumed=True)["kind"] == "run"
