"""Plain reference implementation of one HiCo pretraining step, for ``kineme bench`` to measure against.

It does what the released step does (Dong et al. 2023), in plain torch: one granularity after the other, the
depth-wise convolution between two transpositions, the five queues stored ``[C, K]`` and cloned for the products,
positives and negatives joined into one table of logits, clip and part losses as the log of a masked softmax, every
queue written on its own with a pointer that turns back at K. Module names are those of the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

View = tuple[Tensor, Tensor]  # time-major [B, T, M * V * 3], space-major [B, M * V, T * 3], as a released loader gives
LEVELS = "cptsi"  # clip, part, temporal, spatial, instance: queues and projectors
PROJECTORS = dict(zip(LEVELS, ("clip_proj", "part_proj", "td_proj", "sd_proj", "instance_proj")))


class DownSample(nn.Module):
    """Half as many tokens: depth-wise convolution, layer norm, ReLU, maximum of two neighbours."""

    def __init__(self, hidden: int):
        super().__init__()
        self.conv = nn.ModuleDict({"dw_conv": nn.Conv1d(hidden, hidden, 5, padding=2, groups=hidden)})
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv["dw_conv"](x.transpose(1, 2)).transpose(1, 2)
        x = functional.relu(self.norm(x))
        return functional.max_pool1d(x.transpose(1, 2), kernel_size=2).transpose(1, 2)


class HiEncoder(nn.Module):
    """Two branches of one structure, ``t`` over frames and ``s`` over joints."""

    def __init__(self, cell: str, time: int, space: int, hidden: int, granularities: int, heads: int, dropout: float):
        super().__init__()
        self.granularities = granularities
        for end, inputs in (("t", time), ("s", space)):
            embedding = nn.Sequential(
                nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden)
            )
            self.add_module(f"{end}_embedding", embedding)
            self.add_module(f"{end}_downsample", DownSample(hidden))
            self.add_module(f"{end}_encoder", _sequence(cell, hidden, heads, dropout))

    def forward(self, view: View) -> tuple[Tensor, Tensor]:
        """``v_clip``, ``v_part``: ``[B, G, hidden]`` each, finest granularity first."""
        clip, part = (self._branch(end, tokens) for end, tokens in zip("ts", view))
        return clip, part

    def _branch(self, end: str, tokens: Tensor) -> Tensor:
        parts = dict(self.named_children())
        x, found = parts[f"{end}_embedding"](tokens), []
        for granularity in range(self.granularities):
            if granularity:
                x = parts[f"{end}_downsample"](x)
            out = parts[f"{end}_encoder"](x)
            out = out[0] if isinstance(out, tuple) else out
            found.append(out.amax(dim=1).unsqueeze(1))
        return torch.cat(found, dim=1)


class Projected(nn.Module):
    """The encoder and its five projectors."""

    def __init__(self, hidden: int, granularities: int, out: int, **encoder):
        super().__init__()
        self.hi_encoder = HiEncoder(hidden=hidden, granularities=granularities, **encoder)
        wide = granularities * hidden
        for name, width in zip(PROJECTORS.values(), (hidden, hidden, wide, wide, 2 * wide)):
            self.add_module(name, nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out)))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)

    def forward(self, view: View) -> dict[str, Tensor]:
        """Not normalised: ``[B, G, out]`` at the levels c and p, ``[B, out]`` at the others."""
        clip, part = self.hi_encoder(view)
        time, space = clip.reshape(len(clip), -1), part.reshape(len(part), -1)
        inputs = dict(zip(LEVELS, (clip, part, time, space, torch.cat([time, space], dim=1))))
        projectors = dict(self.named_children())
        return {level: projectors[PROJECTORS[level]](x) for level, x in inputs.items()}


class HiCo(nn.Module):
    """Query and key encoder and five key queues (Dong et al. 2023). Defaults are the published size.

    Args:
        time, space: numbers in a token of either branch.
        cell: ``gru``, ``lstm`` or ``transformer``.
    """

    def __init__(
        self,
        cell: str = "transformer",
        time: int = 150,
        space: int = 192,
        hidden: int = 512,
        granularities: int = 4,
        out: int = 128,
        queue: int = 2048,
        momentum: float = 0.999,
        temperature: float = 0.2,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.momentum, self.temperature, self.queue = momentum, temperature, queue
        made = {"cell": cell, "time": time, "space": space, "heads": heads, "dropout": dropout}
        self.encoder_q = Projected(hidden, granularities, out, **made)
        self.encoder_k = Projected(hidden, granularities, out, **made)
        for query, key in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            key.data.copy_(query.data)
            key.requires_grad = False
        for level in LEVELS:
            size = queue * granularities if level in "cp" else queue
            self.register_buffer(f"{level}_queue", functional.normalize(torch.randn(out, size), dim=0))
            self.register_buffer(f"{level}_queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, query: View, key: View) -> tuple[list[Tensor], Tensor]:
        """The five losses, and the logits ``[B, 1 + K]`` of the level instance, positive first."""
        q = {level: functional.normalize(z, dim=-1) for level, z in self.encoder_q(query).items()}
        with torch.no_grad():
            for theirs, ours in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
                ours.data = ours.data * self.momentum + theirs.data * (1 - self.momentum)
            k = {level: functional.normalize(z, dim=-1) for level, z in self.encoder_k(key).items()}
        losses = [self._several(q[level][:, 0], k[level], level) for level in "cp"]
        for level, other in zip("tsi", "sti"):  # time meets space and space time
            logits = self._logits(q[level], k[other].unsqueeze(1), other)
            labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
            losses.append(functional.cross_entropy(logits, labels))
        for level in LEVELS:
            self._enqueue(k[level], level)
        return losses, logits

    def _logits(self, query: Tensor, keys: Tensor, level: str) -> Tensor:
        """``[B, C]``, ``[B, G, C]`` -> ``[B, G + K]``, the G positives first."""
        positive = torch.einsum("nc,ngc->ng", query, keys)
        negative = torch.einsum("nc,ck->nk", query, self.get_buffer(f"{level}_queue").clone().detach())
        return torch.cat([positive, negative], dim=1) / self.temperature

    def _several(self, query: Tensor, keys: Tensor, level: str) -> Tensor:
        logits = self._logits(query, keys, level)
        mask = torch.zeros(logits.shape)
        mask[:, : keys.shape[1]] = 1
        share = (functional.softmax(logits, dim=1) * mask.to(logits.device)).sum(1)
        return -torch.log(share).mean()

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, level: str) -> None:
        queue, pointer = (self.get_buffer(f"{level}_queue{end}") for end in ("", "_ptr"))
        keys = keys.reshape(-1, keys.shape[-1])
        at = int(pointer)
        queue[:, at : at + len(keys)] = keys.T
        pointer[0] = (at + len(keys)) % self.queue  # clip and part as well: three quarters of theirs are never written


def _sequence(cell: str, hidden: int, heads: int, dropout: float) -> nn.Module:
    if cell == "transformer":
        layer = nn.TransformerEncoderLayer(hidden, heads, hidden, dropout, batch_first=True)
        return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    recurrent = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
    return recurrent(hidden, hidden // 2, batch_first=True, bidirectional=True)


def step(model: HiCo, sgd: torch.optim.Optimizer, query: View, key: View) -> tuple[list[float], float]:
    """One training step (Dong et al. 2023); the five losses and the share of instance positives that come first, as
    logged at every step.
    """
    losses, logits = model(query, key)
    loss = (losses[0] + losses[1]) + (losses[2] + losses[3]) + losses[4]
    first = (logits.topk(1, dim=1).indices[:, 0] == 0).float().mean()
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    return [each.item() for each in losses], first.item()
