"""Joint, bone and motion streams of a batch."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..motion.layout import Layout
from ..utils.errors import InputError
from ..utils.registry import did_you_mean
from .augment import _joints
from .batch import Batch

STREAMS = ("joint", "bone", "motion")


@torch.no_grad()
def stream(batch: Batch, name: str, layout: Layout | None) -> Batch:
    """A batch as another stream (Dong et al. 2023), to be taken after augmentation.

    ``joint``: coordinates as they are. ``bone``: joint minus its parent, 0 where the tree begins. ``motion``: next
    frame minus this one, last frame 0. The confidence of a bone or a motion is that of the less certain of its two
    ends; where one of them is missing, it is 0, as in :meth:`kineme.Motion.bones`.

    Raises:
        InputError: an unknown name.
    """
    joints, seen = batch.joints, batch.confidence
    traced = torch.jit.is_tracing()  # on its way to ONNX, where what is written into given memory is lost
    if name == "joint":
        return batch
    if name == "bone":
        if layout is None:
            raise InputError("stream", "bone, of joints without a layout", "a layout")
        parents = tuple(i if parent < 0 else parent for i, parent in enumerate(layout.parents))
        from_parent = _joints(joints, parents)
        both = seen.minimum(_joints(seen[..., None], parents)[..., 0])
        bones = joints - from_parent if traced else torch.sub(joints, from_parent, out=from_parent)
        bones = bones.mul_((both > 0).to(joints)[..., None])
        return replace(batch, joints=bones, confidence=both)
    if name == "motion" and traced:
        motion = torch.cat([joints.diff(dim=1), torch.zeros_like(joints[:, :1])], 1)
        both = torch.cat([seen[:, 1:].minimum(seen[:, :-1]), seen[:, -1:]], 1)
        return replace(batch, joints=motion * (both > 0).to(motion)[..., None], confidence=both)
    if name == "motion":
        motion, both = torch.empty_like(joints), seen.clone()
        torch.sub(joints[:, 1:], joints[:, :-1], out=motion[:, :-1])
        motion[:, -1] = 0
        torch.minimum(seen[:, 1:], seen[:, :-1], out=both[:, :-1])
        motion.mul_((both > 0).to(motion)[..., None])
        return replace(batch, joints=motion, confidence=both)
    raise InputError("stream", repr(name), ", ".join(STREAMS), did_you_mean(name, STREAMS))
