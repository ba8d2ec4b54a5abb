"""Crops and augmentations against HiCo's released ones."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kineme.motion.layout import Layout
from kineme.views.augment import centre_crop, crop_length, shears, transform
from kineme.views.source import ClipLoader

RATIO = 0.95


@pytest.fixture
def arrays(golden):
    return golden("hico_augment")


def ours(array: np.ndarray) -> torch.Tensor:
    """``[..., C, T, V, M]`` as released -> ``[..., T, M, V, C]``."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, (-4, -1, -2), (-1, -3, -2)).astype(np.float32)))


def clip(arrays) -> ClipLoader:
    """The stored sequence as a store of one clip."""
    joints = ours(arrays["sequence"]).numpy()
    chain = Layout("free", tuple(f"joint {i}" for i in range(joints.shape[2])), tuple(range(-1, joints.shape[2] - 1)))
    return ClipLoader(
        SimpleNamespace(
            frames=joints,
            confidence=np.ones(joints.shape[:3], np.float32),
            layout=chain,
            lengths=np.array([len(joints)]),
            offsets=np.array([0, len(joints)]),
        )
    )


def cut(arrays, start, length, wanted):
    source, wanted = clip(arrays), ours(wanted)
    index = torch.zeros(len(start), dtype=torch.int64)
    out = source.gather(index, start, length, wanted.shape[1]).joints[:, :, :, ::6]
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=0)


def test_random_crops(arrays):
    start, length = (torch.from_numpy(arrays[f"crop_{name}"]) for name in ("start", "length"))
    drawn = crop_length(torch.from_numpy(arrays["crop_num_frames"]), torch.from_numpy(arrays["crop_scale"]))
    assert torch.equal(drawn, length)
    cut(arrays, start, length, arrays["crop_out_every6th_joint"])


def test_centre_crops(arrays):
    start, length = centre_crop(torch.from_numpy(arrays["center_num_frames"]), RATIO)
    cut(arrays, start, length, arrays["center_out_every6th_joint"])


def test_shear(arrays):
    entries = torch.from_numpy(arrays["shear_offdiag_rowmajor"]).float()
    out = transform(ours(arrays["shear_in"])[None], shears(entries[None]))
    torch.testing.assert_close(out[0], ours(arrays["shear_out"]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", ["zero", "linear"])
def test_corruption(arrays, kind):
    joints = ours(arrays["shear_in"])[None]
    touched = torch.zeros(1, joints.shape[3], dtype=torch.bool)
    touched[0, torch.from_numpy(arrays["corrupt_joints"])] = True
    matrix = torch.from_numpy(arrays["corrupt_matrix_rowmajor"]).float().view(1, 3, 3)
    out = transform(joints, matrix * (kind == "linear"), touched)
    wanted = ours(arrays[f"corrupt_{kind}_out"])[None]
    torch.testing.assert_close(out, wanted, atol=2e-6, rtol=0)
    assert torch.equal(out[:, :, :, ~touched[0]], wanted[:, :, :, ~touched[0]])
    if kind == "zero":
        assert torch.equal(out, wanted)
