"""One encoder per stream (joint, bone, motion) behind one input."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..motion.layout import Layout
from ..views.batch import Batch
from ..views.streams import stream
from . import Encoder, Features


class MultiStream(Encoder):
    """Makes each stream from the joints and runs its encoder; with one stream this is that encoder.

    ``Features.clip`` is the concatenation over streams ``[B, sum of D]``; with several streams ``parts`` holds each
    stream's vector under its name.

    Args:
        encoders: stream name -> encoder, in the order of the concatenation.
        layout: the joints (bones need parents).
    """

    def __init__(self, encoders: Mapping[str, Encoder], layout: Layout | None):
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.layout = layout
        self.dim = sum(e.dim for e in encoders.values())

    def forward(self, batch: Batch) -> Features:
        outs = {name: encoder(stream(batch, name, self.layout)) for name, encoder in self.encoders.items()}
        if len(outs) == 1:
            return next(iter(outs.values()))
        clips = {name: out.clip for name, out in outs.items()}
        return Features(clip=torch.cat(list(clips.values()), dim=1), parts=clips)
