"""What a run embeds has bodies of its own size and its own axis up: motions, stores, files."""

import json
import shutil
import warnings

import numpy as np
import pytest

import kineme
from kineme import synth
from kineme.data import store as stores
from kineme.data.prepare import prepare
from kineme.data.store_writer import Writer
from kineme.inference import embed
from kineme.io import arrays, bvh
from kineme.motion import normalise, size
from kineme.motion.motion import UNSURE

SETTINGS = {"encoder.hidden": 8, "encoder.layers": 1, "method.views.frames": 8, "method.queue": 8, "loop.batch": 4}
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}


@pytest.fixture(scope="module")
def people():
    return [clip.slice(0, 12) for clip in synth.generate(8, cameras=0, subjects=2)]


def stored(path, motions, how="none"):
    layout = motions[0].layout
    with Writer(path, layout, normalise=normalise.describe(how, layout)) as writer:
        for clip in motions:
            writer.add(clip)
    return stores.open(path)


def trained(folder, data):
    run = kineme.pretrain("moco", data, folder, epochs=1, settings=SETTINGS, device="cpu")
    return kineme.load(run, device="cpu")


@pytest.fixture(scope="module")
def metric(people, tmp_path_factory):
    """A run on bodies in metres, +y up, not normalised, and its store."""
    folder = tmp_path_factory.mktemp("metric")
    data = stored(folder / "store", people)
    return trained(folder / "run", data), data


def in_unit(clip, unit, stated=True):
    return clip.with_(joints=clip.joints / np.float32(UNITS[unit]), unit=unit if stated else "1")


def test_the_card_says_size_and_axis(metric):
    model, _ = metric
    assert (model.card["size"], model.card["up"]) == ({"how": "metres"}, "+y")


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("unit", UNITS)
def test_motions_in_any_unit_have_the_same_vector(metric, people, unit, stated):
    model, data = metric
    np.testing.assert_allclose(
        model.embed([in_unit(clip, unit, stated) for clip in people]), model.embed(data), atol=1e-5
    )


@pytest.mark.parametrize("unit", UNITS)
def test_stores_in_any_unit_have_the_same_vectors(metric, people, tmp_path, unit):
    model, data = metric
    for name, stated in (("stated", True), ("old", False)):
        other = stored(tmp_path / name, [in_unit(clip, unit, stated) for clip in people])
        np.testing.assert_allclose(model.embed(other), model.embed(data), atol=1e-5)
        np.testing.assert_allclose(model.embed(other, [3, 1]), model.embed(data)[[3, 1]], atol=1e-5)


@pytest.mark.parametrize("up", ["+z", "-y", "-x"])
def test_motions_and_stores_with_another_axis_up(metric, people, tmp_path, up):
    model, _ = metric
    turned = [size.turned(clip, up) for clip in people]
    wanted = model.embed([size.turned(clip, "+y") for clip in turned])
    np.testing.assert_allclose(model.embed(turned), wanted, atol=1e-5)
    np.testing.assert_allclose(model.embed(stored(tmp_path / "s", turned)), wanted, atol=1e-5)


def test_what_fits_is_left_as_it_is(metric, people):
    model, data = metric
    assert model._conformed(data) is data
    assert model.fitted(people[0]).joints is people[0].joints


def test_a_run_of_bodies_scaled_by_their_torso_scales_what_it_embeds(people, tmp_path):
    odd = [clip.with_(joints=clip.joints * 17, unit="1") for clip in people]
    stored_odd = stored(tmp_path / "odd", [size.fit(clip, {"how": "torso"}).with_(unit="1") for clip in odd])
    card = json.loads((tmp_path / "odd" / "card.json").read_text()) | {"size": {"how": "torso", "unit": None}}
    (tmp_path / "odd" / "card.json").write_text(json.dumps(card))
    model = trained(tmp_path / "run", stores.open(tmp_path / "odd"))
    assert model.card["size"]["how"] == "torso"
    wanted = model.embed(stored_odd)
    np.testing.assert_allclose(model.embed(odd), wanted, atol=1e-5)
    np.testing.assert_allclose(model.embed([in_unit(clip, "cm") for clip in people]), wanted, atol=1e-4)
    np.testing.assert_allclose(model.embed(stored(tmp_path / "metres", people)), wanted, atol=1e-4)


def test_files_of_several_units_have_the_vectors_of_their_motions(people, tmp_path):
    """Case 09: BVH in centimetres, metres and inches, none of which says so."""
    bvh.write(tmp_path / "raw", people[:1])
    read = kineme.read(next((tmp_path / "raw").iterdir()))
    made = prepare(tmp_path / "raw", tmp_path / "made")
    assert made.card["size"]["clips"] == {"cm": 1}
    many = stored(tmp_path / "many", [made.motion(0)] * 8, "general")
    model = trained(tmp_path / "run", many)
    wanted = model.embed(many)[:1]
    for factor in (1, 0.01, 1 / 2.54, 10):
        np.testing.assert_allclose(model.embed(read.with_(joints=read.joints * np.float32(factor))), wanted, atol=1e-4)
    out = embed.write(model, tmp_path / "raw", tmp_path / "vectors")
    np.testing.assert_allclose(np.load(out / "Z.npy"), wanted, atol=1e-4)


def test_runs_that_do_not_say_their_size_see_lengths_in_metres(metric, people, tmp_path):
    model, data = metric
    run = shutil.copytree(model.path, tmp_path / "old")
    card = json.loads((run / "card.json").read_text())
    del card["size"], card["up"]
    (run / "card.json").write_text(json.dumps(card))
    old = kineme.load(run, device="cpu")
    raw = [clip.with_(joints=clip.joints * 100, unit="1") for clip in people]
    assert old.fitted(raw[0]).joints is raw[0].joints  # in what it was trained on nobody knows
    np.testing.assert_allclose(old.embed([in_unit(clip, "cm") for clip in people]), model.embed(data), atol=1e-5)
    assert old._conformed(data) is data


def test_bodies_of_another_size_than_the_runs_are_warned_of(people, tmp_path):
    arrays.write(tmp_path / "raw", people)
    data = prepare(tmp_path / "raw", tmp_path / "store")
    model = trained(tmp_path / "run", data)
    assert model.card["size"]["torso"] == data.card["size"]["torso"]
    said = r"the torso of \w+ is .* m long and 7 more clips, those of the run's data 0\.\d+ m: is the unit right"
    with pytest.warns(UserWarning, match=said):
        model.embed([clip.with_(joints=clip.joints * 100) for clip in people])  # in metres, it says
    wrong = prepare(tmp_path / "raw", tmp_path / "wrong", unit="1000")
    with pytest.warns(UserWarning, match="the torso of .*wrong is "):
        model.embed(wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.embed(data)
        model.embed([*people, people[0].with_(joints=people[0].joints * 2)])


def test_an_array_that_fits_no_unit_is_taken_as_it_is(metric, people):
    model, data = metric
    np.testing.assert_allclose(model.embed(people[2].joints * 100), model.embed(data)[2:3], atol=1e-5)
    odd = people[2].joints * 7
    np.testing.assert_array_equal(model.fitted(odd).joints, odd)
    assert np.abs(model.fitted(people[2].with_(joints=odd, unit="1")).joints - odd).max() > 1


def test_what_the_run_left_out_is_left_out_of_what_it_embeds(people, tmp_path):
    """A run on clips without unsure joints: motions lose theirs, a store that kept them is refused, files are prepared
    in the same way.
    """
    unsure = people[0].with_(confidence=np.where(np.arange(25) % 5 == 1, np.float32(UNSURE), people[0].confidence))
    arrays.write(tmp_path / "raw", [unsure, *people[1:]])
    dropped, kept = (
        prepare(tmp_path / "raw", tmp_path / how, normalise="none", unsure=how) for how in ("drop", "keep")
    )
    model = trained(tmp_path / "run", dropped)
    expected = model.embed(dropped)[:1]
    np.testing.assert_allclose(np.atleast_2d(model.embed(unsure)), expected, atol=1e-5)
    with pytest.raises(kineme.InputError, match=r"prepared with --unsure keep\. Expected --unsure drop"):
        model.embed(kept)
    embed.write(model, tmp_path / "raw", tmp_path / "vectors")
    np.testing.assert_allclose(np.load(tmp_path / "vectors" / "Z.npy")[:1], expected, atol=1e-5)
