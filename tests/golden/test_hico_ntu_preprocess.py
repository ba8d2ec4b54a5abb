"""NTU RGB+D text and preprocessing: reading, body selection and normalisation against the authors' output."""

import numpy as np
import pytest

from kineme import io
from kineme.motion import normalise


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("hico_ntu_preprocess")


@pytest.fixture(scope="module")
def names(arrays):
    found = sorted(key.removeprefix("raw_") for key in arrays if key.startswith("raw_"))
    assert found
    return found


def motion_axes(array):
    """[3, T, V, M], as released, in this package's order [T, M, V, 3]."""
    return array.transpose(1, 3, 2, 0)


def test_read_and_select(arrays, names, golden_dir):
    for name, frames in zip(names, arrays["num_frame"], strict=True):
        motion = io.read(golden_dir / f"ntu_{name}.skeleton")
        assert len(motion) == frames
        raw, energy = motion_axes(arrays[f"raw_{name}"]), arrays[f"energy_sorted_{name}"]
        chosen, found = normalise.select_bodies(motion.joints.swapaxes(0, 1), keep=len(energy))
        np.testing.assert_allclose(chosen, raw, atol=1e-5)
        np.testing.assert_allclose(found, energy, atol=1e-5)


def test_padded_output(arrays, names):
    for name in names:
        raw, out = motion_axes(arrays[f"raw_{name}"]), motion_axes(arrays[f"out_{name}"])
        np.testing.assert_allclose(normalise.ntu_preprocess(raw, pad_to=len(out)), out, atol=1e-5)


def test_motion_is_the_unpadded_part(arrays, names, golden_dir):
    """A motion keeps as many frames as its file: what any later crop of the padded array looks at."""
    for name in names:
        motion = io.read(golden_dir / f"ntu_{name}.skeleton").with_(extra={"dataset": "ntu"})
        motion = normalise.apply(motion, "ntu")
        out = motion_axes(arrays[f"out_{name}"])[: len(motion)]
        np.testing.assert_allclose(motion.joints, out, atol=1e-5)
        there = (out != 0).any((2, 3))
        np.testing.assert_array_equal(motion.confidence.any(2), there)
