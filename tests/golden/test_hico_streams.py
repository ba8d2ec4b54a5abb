"""Centre crop, streams and both flattenings against HiCo's released ones."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kineme.motion.layout import Layout, layout
from kineme.views.augment import centre_crop
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader
from kineme.views.streams import stream


@pytest.fixture
def arrays(golden):
    return golden("hico_streams")


def ours(array: np.ndarray) -> np.ndarray:
    """``[C, T, V, M]`` as released -> ``[T, M, V, C]``."""
    return np.ascontiguousarray(array.transpose(1, 3, 2, 0))


def tree(arrays) -> Layout:
    """The layout that the stored pairs of joint and parent (numbers from 1) describe."""
    pairs = arrays["bone_pairs_1based"]
    parents = np.full(len(pairs), -1)
    parents[pairs[:, 0] - 1] = np.where(pairs[:, 0] == pairs[:, 1], -1, pairs[:, 1] - 1)
    return Layout("free", tuple(f"joint {i}" for i in range(len(pairs))), tuple(parents.tolist()))


def cropped(arrays) -> tuple[str, Batch]:
    """The centre crop of the stored sequence; the number of frames stands in the key of the expected one."""
    name = next(name for name in arrays if re.fullmatch(r"cropped\d+", name))
    joints = ours(arrays["sequence"])
    source = ClipLoader(
        SimpleNamespace(
            frames=joints,
            confidence=np.ones(joints.shape[:3], np.float32),
            layout=tree(arrays),
            lengths=np.array([len(joints)]),
            offsets=np.array([0, len(joints)]),
        )
    )
    crop = centre_crop(torch.from_numpy(arrays["num_frames"].reshape(1)), float(arrays["ratio"]))
    return name, source.gather(torch.zeros(1, dtype=torch.int64), *crop, int(name.removeprefix("cropped")))


def test_crop(arrays):
    name, batch = cropped(arrays)
    np.testing.assert_allclose(batch.joints[0].numpy(), ours(arrays[name]), atol=2e-6)


def test_streams_and_flattenings(arrays):
    _, batch = cropped(arrays)
    names = [name.removesuffix("_time_major") for name in arrays if name.endswith("_time_major")]
    assert names
    for name in names:
        joints = stream(batch, name, tree(arrays)).joints  # [1, T, M, V, C]
        time_major = joints.flatten(2)[0]  # person, joint, axis
        space_major = joints[0].permute(1, 2, 0, 3).flatten(0, 1).flatten(1)  # rows person, joint; columns frame, axis
        np.testing.assert_allclose(time_major.numpy(), arrays[f"{name}_time_major"], atol=2e-6)
        np.testing.assert_allclose(space_major.numpy(), arrays[f"{name}_space_major"], atol=2e-6)


def test_the_tree_of_the_layout_is_the_published_one(arrays):
    if len(arrays["bone_pairs_1based"]) != len(layout("ntu25")):
        pytest.skip("not the joints of ntu25")
    assert tree(arrays).parents == layout("ntu25").parents
