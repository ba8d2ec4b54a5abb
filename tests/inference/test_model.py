"""A run in use: which clips are meant, what may stand for a store or a motion, and the cache that decides nothing."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training import kineme, make_store, one_paragraph

import kineme as package
from kineme.data.store import row_numbers
from kineme.data.store_writer import Writer
from kineme.evaluation import baselines
from kineme.evaluation.task import make_task
from kineme.inference import cache as caches
from kineme.inference.ensemble import Ensemble
from kineme.utils.errors import InputError
from kineme.views.source import ClipLoader

SETTINGS = {
    "encoder": {"hidden": 8, "layers": 1},
    "method": {"views.frames": 8, "queue": 20},
    "loop": {"batch": 8},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("model") / "swing", clips=24)


@pytest.fixture(scope="module")
def trained(store):
    return package.pretrain("moco", store, store.path.parent / "run", epochs=1, settings=SETTINGS, device="cpu")


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of its own, without a cache."""
    return Path(shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("cache")))


@pytest.fixture
def model(run):
    return package.load(run, "cpu")


# ------------------------------------------------------------------------------------------------ rows

MASK = np.arange(24) % 3 == 0
FORMS = (MASK, MASK.tolist(), torch.from_numpy(MASK), MASK.astype(object), np.flatnonzero(MASK), slice(0, None, 3))
WRONG = (
    [24],
    [-1],
    np.array([3.0, 1.5]),
    [True, False],
    np.ones(25, bool),
    [[0, 1]],
    [[0], [1, 2]],
    3,
    "all",
    ["a"],
    {"a": 1},
    [None],
)


@pytest.mark.parametrize("rows", FORMS, ids=lambda rows: type(rows).__name__)
def test_a_mask_is_a_mask_with_and_without_a_cache(store, model, rows):
    cold = model.embed(store, rows)
    whole = model.embed(store)
    assert len(list(model.path.glob("cache/*.npy"))) == 1
    np.testing.assert_array_equal(model.embed(store, rows), whole[MASK])
    np.testing.assert_allclose(cold, whole[MASK], atol=1e-6)


def test_rows_in_any_order_more_than_once_or_none(store, model):
    whole = model.embed(store)
    np.testing.assert_array_equal(model.embed(store, [5, 2, 5]), whole[[5, 2, 5]])
    assert model.embed(store, []).shape == (0, model.dim)
    assert model.embed(store, np.zeros(24, bool)).shape == (0, model.dim)


@pytest.mark.parametrize("rows", WRONG, ids=str)
def test_rows_that_are_none_are_refused_everywhere(store, model, rows):
    by_hand = baselines.make("positions", store, np.arange(4))
    for what in (
        lambda: row_numbers(rows, 24),
        lambda: model.embed(store, rows),
        lambda: by_hand.embed(store, rows),
        lambda: ClipLoader(store, rows=rows),
    ):
        with pytest.raises(InputError, match=r"whole numbers from 0 to 23, or a mask of 24"):
            what()
    model.embed(store)  # now there is a cache
    with pytest.raises(InputError, match=r"whole numbers from 0 to 23"):
        model.embed(store, rows)


def test_a_split_by_masks_is_scored_as_one_by_rows(store, model):
    class Half:
        name = "half"
        train, test = MASK, ~MASK

    class Rows:
        name = "half"
        train, test = np.flatnonzero(MASK), np.flatnonzero(~MASK)

    assert make_task(model, store, Half).train.tolist() == np.flatnonzero(MASK).tolist()
    found = [package.evaluate(model, store, "knn", split, settings={"knn": {"k": [1]}}) for split in (Half, Rows)]
    assert found[0] == found[1]


def test_gather_takes_row_numbers_only(store):
    loader = ClipLoader(store)
    one = torch.ones(24, dtype=torch.int64)
    for index in (torch.from_numpy(MASK), torch.full((24,), 24), torch.full((24,), -1)):
        with pytest.raises(InputError, match=r"row|mask"):
            loader.gather(index, 0 * one, one, 4)


# ------------------------------------------------------------------------------------------------ what may stand where


def test_paths_where_objects_are_wanted(store, run, model):
    whole = model.embed(store)
    np.testing.assert_array_equal(model.embed(store.path), whole)
    np.testing.assert_array_equal(model.embed(str(store.path), rows=[1]), whole[[1]])
    rows = package.evaluate(model, store, ["knn"], settings={"knn": {"k": [1]}})
    for models, data, protocols in (
        (str(run), str(store.path), "knn"),
        (run, store.path, ("knn",)),
        ([str(run)], store, ["knn"]),
        (model, str(store.path), "knn"),
    ):
        assert package.evaluate(models, data, protocols, settings={"knn": {"k": [1]}}) == rows
    pair = package.evaluate(f"{run},{run}", store, "knn", untrained=False, baseline=False)
    assert pair[0]["run"] == f"{run},{run}"
    np.testing.assert_array_equal(Ensemble([run, model]).embed(store.path), np.concatenate([whole, whole], 1))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m, s, t: package.evaluate(t / "no", s), "no such file"),
        (lambda m, s, t: package.evaluate(m, t / "no"), "no such folder"),
        (lambda m, s, t: package.evaluate(m, 3), "Expected a store, or the path of its folder"),
        (lambda m, s, t: package.evaluate(3, s), "Expected an opened run, the path of one"),
        (lambda m, s, t: package.evaluate(m, s, "k"), "protocol 'k': no such name"),
        (lambda m, s, t: m.embed(t / "no"), "no such file or folder"),
        (lambda m, s, t: m.embed(t), "no such file"),
        (lambda m, s, t: m.embed(3), "Expected a store, a motion, an array"),
        (lambda m, s, t: m.embed([]), "an empty list"),
        (lambda m, s, t: m.embed([s.motion(0), None]), "a NoneType"),
        (lambda m, s, t: m.embed(np.zeros((4, 3))), "joints of shape (4, 3)"),
        (lambda m, s, t: m.embed(np.zeros((4, 7, 3))), "7 joints"),
        (lambda m, s, t: m.embed(s, batch=0), "batch: 0. Expected a whole number above 0."),
        (lambda m, s, t: m.embed(s, batch=1.5), "batch: 1.5."),
        (lambda m, s, t: m.embed(s, batch=-1), "batch: -1."),
        (lambda m, s, t: m.embed(s, batch=None), "batch: None."),
    ],
)
def test_what_cannot_be_is_one_sentence(store, model, tmp_path, call, said):
    (tmp_path / "kineme.txt").write_text("")
    with pytest.raises(InputError) as error:
        call(model, store, tmp_path)
    assert said in str(error.value)


def test_one_person_arrays_and_lists(store, model):
    motion = store.motion(0)
    wanted = model.embed(motion)
    arrays = motion.joints, motion.joints[:, 0], motion.joints[:, 0].astype(np.float64)
    for what in (*arrays, [motion], [motion.joints[:, 0]], (m for m in [motion])):
        np.testing.assert_allclose(model.embed(what), wanted, atol=1e-6)
    several = model.embed([motion, store.motion(1).joints[:, 0], motion])
    np.testing.assert_allclose(several[[0, 2]], wanted[[0, 0]], atol=1e-6)
    assert model.embed([motion, motion], rows=[False, True]).shape == (1, model.dim)
    assert model.fitted(motion.joints[:, 0]).persons == 1


def test_a_file_is_each_of_its_clips(store, model, tmp_path):
    clips = [store.motion(i).with_(extra={"repetition": 1, "style": "plain"}) for i in range(2)]
    package.synth.write(tmp_path, clips, name="two")
    assert model.embed(tmp_path / "two.npz").shape == (2, model.dim)
    with pytest.raises(InputError, match="more than one clip"):
        model.fitted(tmp_path / "two.npz")


# ------------------------------------------------------------------------------------------------ the cache


def cached(model) -> Path:
    (path,) = model.path.glob("cache/*.npy")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:100],
        lambda whole: whole[:-1],
        lambda whole: whole + b"x",
        lambda whole: bytes(len(whole)),
        lambda whole: whole[:128] + bytes(len(whole) - 128),  # the header stands, the numbers are gone
        lambda whole: whole[:200] + b"\x00\x01\x02\x03" + whole[204:],
        lambda whole: b"not an array at all",
    ],
)
def test_a_damaged_file_is_as_absent(store, model, damage):
    whole = model.embed(store)
    file = cached(model)
    good = file.read_bytes()
    file.write_bytes(damage(good))
    # one clip alone: products of another shape, which some processors add up in another order
    np.testing.assert_allclose(model.embed(store, rows=[3]), whole[[3]], atol=1e-6)
    np.testing.assert_array_equal(model.embed(store), whole)
    assert file.read_bytes() == good  # written again


@pytest.mark.parametrize("array", [np.zeros((3, 5), np.float32), np.zeros((24, 16)), np.zeros(24, np.float32)])
def test_a_file_of_another_shape_or_type_is_as_absent(store, model, array):
    whole = model.embed(store)
    with cached(model).open("wb") as file:
        np.save(file, array)
        file.write(caches._digest(array))
    np.testing.assert_array_equal(model.embed(store), whole)


def test_the_name_of_the_file_knows_what_its_numbers_follow_from(store, model, monkeypatch):
    model.embed(store)
    names = {cached(model).name}

    def another() -> None:
        name = model._cache(store, None).path.name
        assert name not in names
        names.add(name)

    with monkeypatch.context() as patch:
        patch.setattr(caches, "FORMAT", caches.FORMAT + 1)
        another()
    with monkeypatch.context() as patch:
        patch.setattr(caches, "__version__", "99")
        another()
    with monkeypatch.context() as patch:
        patch.setattr(caches, "_code", lambda: "mended")
        another()
    with monkeypatch.context() as patch:
        patch.setitem(model.card["recipe"]["encoder"], "hidden", 9)
        another()
    with monkeypatch.context() as patch:
        patch.setitem(model.card["crop"], "frames", 9)
        another()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    another()
    torch.set_float32_matmul_precision(before)
    assert model._cache(store, None).path.name in names  # and nothing else


def test_features_come_from_the_file(store, model):
    """The cache is used at all: what stands there, whole, is what comes back."""
    whole = model.embed(store)
    other = caches.Cache(model.path / "cache", {}, whole.shape)
    other.path = cached(model)
    other.write(whole + 1)
    np.testing.assert_array_equal(model.embed(store), whole + 1)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("place", ["mkdir", "write"])
def test_a_run_that_cannot_be_written_still_works(store, model, monkeypatch, code, place):
    wanted = model.embed([store.motion(i) for i in range(len(store))])

    def refused(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*((Path, "mkdir") if place == "mkdir" else (caches.np, "save")), refused)
    with pytest.warns(UserWarning, match="Features are not kept there") as said:
        features = model.embed(store)
    np.testing.assert_allclose(features, wanted, atol=1e-5)
    assert len(said) == 1
    assert os.strerror(code) in str(said[0].message)
    assert "\n" not in str(said[0].message)
    assert not [path for path in model.path.glob("cache/*") if not path.name.startswith(".")]


def test_a_file_in_the_place_of_the_cache(store, model):
    (model.path / "cache").write_text("")
    with pytest.warns(UserWarning, match="File exists|Not a directory"):
        assert np.isfinite(model.embed(store)).all()


def test_the_command_line_goes_on_with_one_line(store, run, tmp_path):
    (run / "cache").write_text("")
    words = ["--split", "random", "--protocols", "knn", "--set", "knn.k=1"]
    done = kineme("evaluate", run, store.path, *words)
    assert done.stderr.count("Features are not kept there") == 1
    assert next(line for line in done.stderr.splitlines() if "cache" in line).startswith("kineme: note: ")
    assert "knn" in done.stdout
    kineme("embed", run, store.path, "--out", tmp_path / "z")
    assert np.load(tmp_path / "z" / "Z.npy").shape[0] == len(store)


def test_no_warning_where_all_is_well(store, model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.embed(store)
        model.embed(store)
    one_paragraph(kineme("embed", model.path, model.path, "--out", model.path / "z", check=False), "card.json")


def test_clips_are_embedded_by_their_centre(store, trained, tmp_path):
    """Without int(0.05 n / 2) frames at either end, as published: not the whole clip, nor another part of it."""
    rng, writer = np.random.default_rng(0), Writer(tmp_path / "long", store.layout, 1, 3, normalise={"how": "none"})
    for n in (41, 80, 119, 160):
        joints = np.cumsum(0.1 * rng.normal(size=(n, 1, 20, 3)), 0).astype(np.float32)
        writer.add(package.Motion(joints, store.layout, fps=30.0, up="+y", unit="m", extra={"dataset": "swing"}))
    clips, model = writer.close(), package.load(trained, "cpu")
    source, cut = ClipLoader(clips), torch.tensor([1, 2, 2, 4])

    def features(start, length):
        with torch.inference_mode():
            return model.encoder(source.gather(torch.arange(4), start, length, 8)).clip.numpy()

    found = model.embed(clips)
    assert model.card["crop"] == {"ratio": 0.95, "frames": 8}
    np.testing.assert_allclose(found, features(cut, source.lengths - 2 * cut), atol=1e-5)
    for start, length in ((0 * cut, source.lengths), (0 * cut, source.lengths - 2 * cut), (cut, source.lengths - cut)):
        assert (np.abs(found - features(start, length)).max(1) > 1e-4).all()
