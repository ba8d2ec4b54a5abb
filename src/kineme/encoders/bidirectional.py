"""An ordinary bidirectional GRU or LSTM, averaged over time (not the published HaLP encoder: see `recurrent`)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..nn import rnn
from .recurrent import Read, Recurrent


class Bidirectional(Recurrent):
    """Like :class:`Recurrent`, but the second direction of each layer really runs backward in time.

    ``Features.clip`` is by default the mean over frames ``[B, 2 * hidden]``: the last frame alone would hold one step
    of the backward direction.
    """

    @dataclass(frozen=True)
    class Settings(Recurrent.Settings):
        """Those of :class:`Recurrent`; ``read`` is ``mean``."""

        read: Read = "mean"

    def _layer(self, inputs: int) -> nn.Module:
        cell = nn.GRU if self.settings.cell == "gru" else nn.LSTM
        return cell(inputs, self.settings.hidden, batch_first=True, bidirectional=True)

    def _run(self, layer: nn.Module, x: Tensor) -> Tensor:
        return rnn.by_torch(layer, x)  # type: ignore[arg-type]
