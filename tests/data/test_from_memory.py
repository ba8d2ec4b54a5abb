"""A store of what is in memory: motions and arrays, labels beside them, what is missing."""

from __future__ import annotations

import gc
import math
import warnings

import numpy as np
import pytest

import kineme
from kineme.data.report import report
from kineme.utils.errors import InputError

RNG = np.random.default_rng(0)
LENGTHS = (9, 5, 12, 7)


def arrays(persons: int | None = None, joints: int = 20, coords: int = 3) -> list[np.ndarray]:
    middle = () if persons is None else (persons,)
    return [RNG.normal(size=(frames, *middle, joints, coords)) for frames in LENGTHS]


def test_a_list_of_arrays(tmp_path):
    given = arrays()
    store = kineme.store(
        given,
        tmp_path / "s",
        layout="kinect20",
        labels=list("abab"),
        subjects=[1, 1, 2, 2],
        fps=30,
        unit="m",
        normalise="none",
    )
    assert store.path == tmp_path / "s"
    assert (len(store), store.persons, store.layout.name) == (4, 1, "kinect20")
    assert store.ids == [f"clip{k:04d}" for k in range(4)]
    assert store.column("label").tolist() == list("abab")
    assert store.column("subject").tolist() == [1, 1, 2, 2]
    for array, motion in zip(given, store):
        np.testing.assert_array_equal(motion.joints[:, 0], array.astype(np.float32))
        assert motion.fps == 30
    store.verify()
    with pytest.raises(InputError, match="exists"):
        kineme.store(given, tmp_path / "s", layout="kinect20")


def test_persons_and_padded_arrays():
    store = kineme.store(arrays(2), layout="kinect20", normalise="none")
    assert store.persons == 2
    padded = np.full((4, 12, 20, 3), np.nan)
    given = arrays()
    for place, array in zip(padded, given):
        place[: len(array)] = array
    cut = kineme.store(padded, layout="kinect20", lengths=LENGTHS, normalise="none")
    assert cut.lengths.tolist() == list(LENGTHS)
    assert (cut.confidence[:] == 1).all()
    whole = kineme.store(padded, layout="kinect20", normalise="none")
    assert whole.lengths.tolist() == [12] * 4  # nothing is cut unasked
    assert not whole[1].confidence[5:].any()
    one = kineme.store(given[0], layout="kinect20")
    assert len(one) == 1
    batch = kineme.store(RNG.normal(size=(3, 8, 2, 20, 3)), layout="kinect20")
    assert (len(batch), batch.persons) == (3, 2)


def test_nan_is_missing():
    (array,) = arrays()[:1]
    array[3, 7, 1] = np.nan
    store = kineme.store([array], layout="kinect20", normalise="none")
    confidence = np.array(store.confidence)
    assert (confidence == 0).sum() == 1
    assert confidence[3, 0, 7] == 0
    assert (store.frames[3, 0, 7] == 0).all()
    assert any("missing" in note for note in report(store).notes)


def test_motions_as_prepare_stores_them(tmp_path):
    """The same frames, confidence and columns as of files: units in metres, normalised, ids and labels kept."""
    clips = list(kineme.synth.generate(4, seed=1, actions=["wave", "walk"], cameras=0))
    kineme.synth.write(tmp_path / "raw", clips)
    made = kineme.prepare(tmp_path / "raw", tmp_path / "files")
    store = kineme.store(clips)
    np.testing.assert_allclose(store.frames, made.frames, atol=1e-6)
    np.testing.assert_array_equal(store.confidence, made.confidence)
    assert store.card["normalise"] == made.card["normalise"]
    assert (store.card["unit"], store.card["up"]) == (made.card["unit"], made.card["up"])
    assert store.column("label").tolist() == made.column("label").tolist()
    small = kineme.store([clip.with_(joints=clip.joints * 100, unit="cm") for clip in clips])
    np.testing.assert_allclose(small.frames, made.frames, atol=1e-4)


def test_windows_and_cleaning_are_those_of_prepare(tmp_path):
    """The same windows, vectors of numbers, columns and card as of files."""
    clips = list(kineme.synth.generate(4, seed=1, actions=["wave", "walk"], cameras=1, noise=1.0))
    kineme.synth.write(tmp_path / "raw", clips)
    how = {"clean": {"cutoff": 4}, "window": 1.0, "step": 0.4}
    made, store = kineme.prepare(tmp_path / "raw", tmp_path / "files", **how), kineme.store(clips, **how)
    assert len(store) > 8
    assert set(store.lengths.tolist()) == {30}
    np.testing.assert_allclose(store.frames, made.frames, atol=1e-6)
    assert store.card["normalise"] == made.card["normalise"]
    assert store.card["normalise"]["clean"]["cutoff"] == 4
    for name in ("recording", "start", "end", "window", "label", "subject"):
        assert store.column(name).tolist() == made.column(name).tolist(), name
    plain = kineme.store(clips, clean=False)
    assert "clean" not in plain.card["normalise"]
    again = kineme.store(store[0], window=0.5, normalise="none")  # a window cut once more
    assert again.column("start").tolist() == [0, 7, 14, 15]
    with pytest.raises(InputError, match=r"--window|window"):
        kineme.store(clips, window=-1)
    with pytest.raises(InputError, match="a step without a window"):
        kineme.store(clips, step=1.0)


def test_without_a_rate_nothing_is_cut():
    motions = [clip.with_(fps=None) for clip in kineme.synth.generate(2, cameras=0)]
    whole, cut = kineme.store(motions, window=1.0), kineme.store(motions, window=1.0, fps=30)
    assert len(whole) == 2
    assert any("not cut into windows" in note for note in report(whole).notes)
    assert len(cut) > 2


def test_layouts_by_name_by_joints_and_mapped():
    given = arrays(joints=25)
    names = kineme.layout("ntu25").joints
    assert kineme.store(given, layout=names).layout.name == "ntu25"
    own = kineme.store([array[:, :3] for array in given], layout=["one", "two", "three"], normalise="none")
    assert own.layout.joints == ("one", "two", "three")
    motions = [kineme.Motion(array, "ntu25") for array in given]
    mapped = kineme.store(motions, layout="kinect20")
    assert mapped.layout.name == "kinect20"
    assert report(mapped).maps[0]["target"] == "kinect20"


def test_what_is_said_beside_goes_before_what_motions_carry():
    motions = [kineme.Motion(a, "kinect20", label="old", subject=7, source=f"m{k}") for k, a in enumerate(arrays())]
    store = kineme.store(motions, labels=["new", None, float("nan"), 3], cameras=[1.0, float("nan"), 2, "left"])
    assert store.column("label").tolist() == ["new", "old", "old", "3"]
    assert store.column("subject").tolist() == [7] * 4
    assert store.column("camera").tolist() == ["1", None, "2", "left"]
    assert store.ids == ["m0", "m1", "m2", "m3"]
    numbers = kineme.store(motions, labels=np.array([2, 0, 1, 0]), ids=list("wxyz"))
    assert numbers.column("label").tolist() == ["2", "0", "1", "0"]
    assert numbers["y"].source == "y"
    table = kineme.store(motions, table={"label": list("abcd"), "dose": [1.5, None, 2.5, math.nan], "id": list("efgh")})
    assert table.column("label").tolist() == list("abcd")
    assert table.column("dose").tolist() == [1.5, None, 2.5, None]
    assert table.ids == list("efgh")


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    given = arrays()
    frame = pandas.DataFrame(
        {
            "label": ["a", "b", None, "b"],
            "subject": [1, 2, np.nan, 4],
            "mood": pandas.Series(["x", pandas.NA, "z", "w"]),
        }
    )
    store = kineme.store(given, layout="kinect20", table=frame)
    assert store.column("label").tolist() == ["a", "b", None, "b"]
    assert store.column("subject").tolist() == [1, 2, None, 4]
    assert store.column("mood").tolist() == ["x", None, "z", "w"]
    by_name = frame.set_index(pandas.Index(["d", "c", "b", "a"]))
    other = kineme.store(given, layout="kinect20", table=by_name, ids=list("abcd"))
    assert other.column("label").tolist() == ["b", None, "b", "a"]
    series = kineme.store(given, layout="kinect20", labels=pandas.Series(list("abab"), dtype="category"))
    assert series.column("label").tolist() == list("abab")
    back = store.to_pandas()
    assert back.length.tolist() == list(LENGTHS)
    assert back[back.label == "b"].index.tolist() == [1, 3]
    assert [m.label for m in store[back.label == "b"]] == ["b", "b"]


def test_pandas_that_is_not_there_is_one_sentence(monkeypatch):
    store = kineme.store(arrays(), layout="kinect20")
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(InputError, match="pandas: not installed"):
        store.to_pandas()


def test_a_temporary_store_goes_with_its_last_user():
    store = kineme.store(arrays(), layout="kinect20")
    folder = store.path
    assert folder.is_dir()
    frames = store.frames
    del store
    gc.collect()
    assert not folder.parent.exists()
    assert np.isfinite(frames).all()  # who holds the frames holds the file


def test_what_cannot_be_used_is_left_out_and_said():
    good, bad = (kineme.Motion(array, "kinect20", source=name) for array, name in zip(arrays(), ("good", "bad")))
    bad = bad.with_(confidence=np.zeros(bad.joints.shape[:3]))
    with pytest.warns(UserWarning, match="1 of 2 motions are left out; the first, bad: "):
        store = kineme.store([good, bad], labels=["a", "b"])
    assert store.column("label").tolist() == ["a"]
    assert report(store).skipped[0][0] == "bad"
    with pytest.raises(InputError, match="none of 1 can be used"):
        kineme.store([bad])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda a: kineme.store([], layout="kinect20"), "an empty list"),
        (lambda a: kineme.store("motion/", layout="kinect20"), "kineme.prepare"),
        (lambda a: kineme.store(3), "Expected a list of motions or arrays"),
        (lambda a: kineme.store(a), "an array without a layout"),
        (lambda a: kineme.store(a, layout="kinekt20"), "Did you mean 'kinect20'?"),
        (lambda a: kineme.store(a, layout=3), "layout: a int"),
        (lambda a: kineme.store(a, layout="ntu25"), "20 joints"),
        (lambda a: kineme.store([["x"]], layout="ntu25"), "motions[0]: a list"),
        (lambda a: kineme.store(a, layout="kinect20", labels=["a"]), "labels: 1 values. Expected 4"),
        (lambda a: kineme.store(a, layout="kinect20", labels="abab"), "labels: 'abab'. Expected a list of 4"),
        (lambda a: kineme.store(a, layout="kinect20", table=[1]), "Expected a DataFrame, or a dict of columns"),
        (lambda a: kineme.store(a, layout="kinect20", table={"x": [1]}), "table['x']: 1 values"),
        (lambda a: kineme.store(a, layout="kinect20", lengths=[1]), "lengths: 1 of them"),
        (lambda a: kineme.store(a, layout="kinect20", lengths=[99] * 4), "frames 0 to 99"),
        (lambda a: kineme.store(a, layout="kinect20", normalise="nut"), "normalisation 'nut'"),
        (
            lambda a: kineme.store([kineme.Motion(a[0], "kinect20"), kineme.Motion(a[0][..., :2], "kinect20")]),
            "2 kinds: kinect20 of 20 joints, 3-D, kinect20 of 20 joints, 2-D",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(call, said, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError) as error:
        call(arrays())
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ out of a store


@pytest.fixture(scope="module")
def store():
    return kineme.store(arrays(), layout="kinect20", labels=list("abab"), ids=list("wxyz"))


def test_clips_by_number_id_slice_mask_and_list(store):
    assert [motion.source for motion in store] == store.ids
    assert (store[1].source, store[-1].source, store["y"].source, store[np.int64(2)].source) == ("x", "z", "y", "y")
    for which, wanted in (
        (slice(1, None), "xyz"),
        (slice(None, None, -1), "zyxw"),
        (store.column("label") == "b", "xz"),
        ([3, 0], "zw"),
        (np.array([], int), ""),
    ):
        assert "".join(motion.source for motion in store[which]) == wanted
    with pytest.raises(IndexError):
        store[4]
    for which in (1.5, None, ["w"], True, [9]):
        with pytest.raises(InputError):
            store[which]
    with pytest.raises(InputError, match="no clip of that id"):
        store["walk"]


def test_it_trains_and_embeds(store, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        settings = {"encoder": {"hidden": 8, "layers": 1}, "method": {"views.frames": 8, "queue": 4}, "loop.batch": 2}
        run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=settings, device="cpu")
        model = kineme.load(run, "cpu")
        assert model.embed(store).shape == (4, model.dim)
        assert model.embed(store[1:3]).shape == (2, model.dim)
