"""Plain reference implementation of one MoCo pretraining step, for ``kineme bench`` to measure against.

It does what the released step does (Shah et al. 2023), in plain torch: the recurrent encoder is fed one frame
at a time and carries the hidden state of both directions; the queue is stored ``[C, K]`` and cloned for the product;
positive and negatives are joined into one table of logits for a cross entropy. Module names are those of the published
weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# The parent of every joint, numbered from 1 (Dong et al. 2023).
PARENTS = (2, 21, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19, 21, 23, 8, 25, 12)


class FrameByFrame(nn.Module):
    """The recurrent encoder as released: what it computes are two causal stacks."""

    def __init__(self, inputs: int, hidden: int, layers: int, out: int):
        super().__init__()
        self.input_norm = nn.BatchNorm1d(inputs)
        self.encoder = nn.ModuleDict({"gru": nn.GRU(inputs, hidden, layers, batch_first=True, bidirectional=True)})
        self.fc: nn.Module = nn.Linear(2 * hidden, out)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)
        self.fc = nn.Sequential(nn.Linear(2 * hidden, 2 * hidden), nn.ReLU(), self.fc)  # its first layer: default

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, inputs]`` -> ``[B, out]``: the head of the last frame's output."""
        x = self.input_norm(x.transpose(1, 2)).transpose(1, 2)
        state = None
        for t in range(x.shape[1]):
            out, state = self.encoder["gru"](x[:, t : t + 1], state)
        return self.fc(out[:, -1])


def flatten(x: Tensor, stream: str = "joint") -> Tensor:
    """Stream, then ``[B, 3, T, V, M]`` -> ``[B, T, V * 3 * M]``, person fastest."""
    made = torch.zeros_like(x)
    if stream == "motion":
        made[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    elif stream == "bone":
        for joint, parent in enumerate(PARENTS):
            made[:, :, :, joint] = x[:, :, :, joint] - x[:, :, :, parent - 1]
    else:
        made = x
    return made.permute(0, 2, 3, 1, 4).reshape(x.shape[0], x.shape[2], -1)


class Moco(nn.Module):
    """Query and key encoder and a key queue. Defaults are the published size."""

    queue: Tensor
    queue_ptr: Tensor

    def __init__(
        self,
        inputs: int = 150,
        hidden: int = 1024,
        layers: int = 3,
        out: int = 128,
        queue: int = 16384,
        momentum: float = 0.999,
        temperature: float = 0.07,
    ):
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.encoder_q = FrameByFrame(inputs, hidden, layers, out)
        self.encoder_k = FrameByFrame(inputs, hidden, layers, out)
        for query, key in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            key.data.copy_(query.data)
            key.requires_grad = False
        self.register_buffer("queue", functional.normalize(torch.randn(out, queue), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, query: Tensor, key: Tensor, stream: str = "joint") -> tuple[Tensor, Tensor]:
        """Logits ``[B, 1 + K]``, positive first, and labels ``[B]``; both views ``[B, 3, T, V, M]``."""
        q = functional.normalize(self.encoder_q(flatten(query, stream)), dim=1)
        with torch.no_grad():
            for theirs, ours in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
                ours.data = ours.data * self.momentum + theirs.data * (1 - self.momentum)
            k = functional.normalize(self.encoder_k(flatten(key, stream)), dim=1)
        positive = torch.einsum("nc,nc->n", q, k)[:, None]
        negative = torch.einsum("nc,ck->nk", q, self.queue.clone().detach())
        logits = torch.cat([positive, negative], dim=1) / self.temperature
        self._enqueue(k)
        return logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        at = int(self.queue_ptr)
        self.queue[:, at : at + len(keys)] = keys.T
        self.queue_ptr[0] = (at + len(keys)) % self.queue.shape[1]


def optimiser(model: Moco, lr: float = 0.01, momentum: float = 0.9, decay: float = 1e-4) -> torch.optim.SGD:
    """SGD over the query encoder with the published settings."""
    return torch.optim.SGD(model.encoder_q.parameters(), lr, momentum=momentum, weight_decay=decay)


def step(
    model: Moco, sgd: torch.optim.Optimizer, query: Tensor, key: Tensor, stream: str = "joint"
) -> tuple[float, float]:
    """One training step; the loss and the share of positives that come first, as logged at every step.

    Args:
        query, key: the two views ``[B, 3, T, V, M]``.
    """
    logits, labels = model(query, key, stream)
    loss = functional.cross_entropy(logits, labels)
    first = (logits.topk(1, dim=1).indices[:, 0] == labels).float().mean()
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    return loss.item(), first.item()
