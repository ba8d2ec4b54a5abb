"""model.embed(motion, window=...): a vector for each window, as if the window were a motion of its own."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme import synth
from kineme.data.prepare import prepare
from kineme.inference.ensemble import Ensemble
from kineme.io import arrays
from kineme.utils.errors import InputError

SETTINGS = {"encoder.hidden": 8, "encoder.layers": 1, "method.views.frames": 8, "method.queue": 8, "loop.batch": 4}


@pytest.fixture(scope="module")
def clips():
    return list(synth.generate(4, cameras=0, subjects=2))


@pytest.fixture(scope="module", params=[None, {"cutoff": 4}], ids=["as it is", "cleaned"])
def model(request, clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    arrays.write(folder / "raw", clips)
    data = prepare(folder / "raw", folder / "store", clean=request.param)
    kineme.pretrain("moco", data, folder / "run", epochs=1, settings=SETTINGS, device="cpu")
    return kineme.load(folder / "run", device="cpu")


def test_windows_have_the_vectors_of_their_frames_and_their_times(model, clips):
    found = model.embed(clips, window=1.0, step=0.4)
    assert found.vectors.shape == (len(found.times), model.dim)
    assert sorted(set(found.clips.tolist())) == [0, 1, 2, 3]
    for k, clip in enumerate(clips):
        times = found.times[found.clips == k]
        assert times[0, 0] == 0
        assert times[-1, 1] == pytest.approx(len(clip) / clip.fps)
        np.testing.assert_allclose(np.diff(times[:-1, 0]), 0.4)
    if "clean" not in model.card["normalise"]:  # filters see more of a recording than of a window of it
        parts = [
            clips[k].slice(*np.rint(times * clips[k].fps).astype(int).tolist())
            for k, times in zip(found.clips, found.times)
        ]
        np.testing.assert_allclose(found.vectors, model.embed(parts), atol=1e-5)


def test_an_ensemble_has_the_windows_of_its_runs_side_by_side(model, clips):
    both = Ensemble([model, model.untrained()])
    found = both.embed(clips, window=1.0, step=0.4)
    parts = [each.embed(clips, window=1.0, step=0.4) for each in both.models]
    np.testing.assert_array_equal(found.vectors, np.hstack([part.vectors for part in parts]))
    assert found.vectors.shape == (len(parts[0].times), both.dim)
    np.testing.assert_array_equal(found.clips, parts[1].clips)
    np.testing.assert_array_equal(found.times, parts[1].times)
    with pytest.raises(InputError, match="window= beside it"):
        both.embed(clips, step=0.4)


def test_they_are_the_vectors_of_a_store_of_windows(model, clips, tmp_path):
    """What `kineme prepare --window` stores, and what is cut when it is embedded, is the same."""
    arrays.write(tmp_path / "raw", clips)
    how = model.card["normalise"]
    made = prepare(tmp_path / "raw", tmp_path / "store", clean=how.get("clean"), window=1.0, step=0.5)
    found = model.embed(clips, window=1.0)
    np.testing.assert_allclose(found.vectors, model.embed(made), atol=1e-5)
    np.testing.assert_allclose(found.times[:, 0] * 30, made.column("start").astype(float))


def test_a_motion_shorter_than_a_window_is_one(model, clips):
    found = model.embed(clips[0], window=60.0)
    assert len(found.vectors) == 1
    np.testing.assert_allclose(found.vectors, model.embed(clips[0]), atol=1e-5)


def test_what_cannot_be_cut(model, clips, tmp_path):
    for words, fault in (
        ({"window": 0}, "window: 0.*seconds above 0"),
        ({"step": 1.0}, "without a window"),
        ({"window": 1.0, "step": -1}, "step"),
    ):
        with pytest.raises(InputError, match=fault):
            model.embed(clips[0], **words)
    with pytest.raises(InputError, match=r"no frame rate.*with_\(fps=30\)"):
        model.embed(clips[0].with_(fps=None), window=1.0)
    arrays.write(tmp_path / "raw", clips)
    with pytest.raises(InputError, match=r"a store.*prepare --window"):
        model.embed(prepare(tmp_path / "raw", tmp_path / "store"), window=1.0)
