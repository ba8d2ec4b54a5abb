"""Streams, and the flattening that the released HaLP and CMD weights expect."""

import numpy as np
import torch

from kineme.encoders.recurrent import flatten, from_released
from kineme.motion.layout import layout
from kineme.views.batch import Batch
from kineme.views.streams import stream


def test_streams_in_the_released_order(golden):
    """Input columns in the released order, permuted as released weights are when they are loaded, are our columns."""
    arrays = golden("halp_stream_layout")
    joints = torch.from_numpy(arrays["x_NCTVM"]).permute(0, 2, 4, 3, 1).contiguous()
    size, _, persons, number, coords = joints.shape
    batch = Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(size))
    names = [name.removeprefix("flat_") for name in arrays if name.startswith("flat_")]
    assert names
    for name in names:
        columns = torch.from_numpy(arrays[f"flat_{name}"]).flatten(0, 1).T  # [columns as released, N T]
        wanted = from_released({"input_norm.weight": columns}, persons, number, coords)["norm.weight"]
        out = flatten(stream(batch, name, layout("ntu25")), persons).flatten(0, 1).T
        np.testing.assert_allclose(out.numpy(), wanted.numpy(), atol=1e-6)
