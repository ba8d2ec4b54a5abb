"""The log of a training run: one JSON line for each epoch, and TensorBoard files on request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError


class EpochLog:
    """Sums what steps report over the epoch under way, and writes means to ``log.jsonl``.

    Args:
        run: the folder of the run.
        groups: names of the losses.
        here: the processes that train together; the first one writes.
        device: where sums are kept.
        tensorboard: also write TensorBoard files.

    Raises:
        InputError: TensorBoard is wanted and not installed.
    """

    def __init__(
        self, run: Path, groups: Sequence[str], here: ProcessGroup, device: torch.device, tensorboard: bool = False
    ):
        self.run, self.path, self.groups = run, run / "log.jsonl", list(groups)
        self.here, self.device = here, device
        self.sums: dict[str, Tensor] = {}
        self._writer = _tensorboard(run) if tensorboard and here.rank == 0 else None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def clear(self) -> None:
        """An empty file."""
        self.path.write_text("")

    def add(self, logged: Mapping[str, Tensor]) -> None:
        """What one step reports; nothing waits for the device."""
        for key, value in logged.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value

    def averaged(self) -> dict[str, Tensor]:
        """The sums, averaged over the processes."""
        return {key: self.here.mean_(torch.as_tensor(value).clone()) for key, value in self.sums.items()}

    def restore(self, sums: Mapping[str, Tensor], size: int) -> None:
        """Go back to where a state was saved: its sums, and so many bytes of the file. Of a file that has become
        shorter the whole lines stay.
        """
        self.sums = {key: value.to(self.device) for key, value in sums.items()}
        if self.here.rank == 0:
            with open(self.path, "ab+") as file:
                file.seek(0)
                kept = file.read()[:size]
                file.truncate(len(kept) if len(kept) == size else kept.rfind(b"\n") + 1)

    def write(self, epoch: int, step: int, steps: int, more: Mapping[str, float]) -> dict[str, float]:
        """The line of an epoch of ``steps`` steps: means over these and over all processes."""
        line: dict[str, float] = {"epoch": epoch, "step": step}
        for key, total in self.sums.items():
            value = self.here.mean_(torch.as_tensor(total, dtype=torch.float32, device=self.device).clone())
            line[key] = float(value) / steps
        self.sums = {}
        if len(self.groups) > 1:
            line["loss"] = sum(line[name] for name in self.groups)
        elif "loss" not in line:
            line["loss"] = line[self.groups[0]]
        line |= more
        if self.here.rank == 0:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if self._writer:
            for key, number in line.items():
                self._writer.add_scalar(key, number, epoch)
        return line

    def close(self) -> None:
        """The end of TensorBoard's files."""
        if self._writer:
            self._writer.close()


def comparable(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a log whose losses mean the same: those of epochs in which no queue was still filling; all of them
    where there are no others.
    """
    return [line for line in lines if not line.get("filling")] or list(lines)


def fall(lines: Sequence[dict[str, Any]]) -> str:
    """How the loss went, in words; empty without lines."""
    if not lines:
        return ""
    same, count = comparable(lines), f"{len(lines)} epoch{'s' if len(lines) > 1 else ''}"
    if same[-1].get("filling"):
        return f"loss {same[-1]['loss']:.4f} after {count}, in which the queue of keys was still filling"
    start = f"{same[0]['loss']:.4f}" + (
        f" (epoch {same[0]['epoch'] + 1}, queue full)" if len(same) < len(lines) else ""
    )
    return f"loss {start} -> {same[-1]['loss']:.4f} in {count}"


def _tensorboard(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard", "TensorBoard is not installed", "the extra 'log'", "pip install 'kineme[log]'"
        ) from None
    return SummaryWriter(str(run / "tensorboard"))
