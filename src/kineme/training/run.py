"""The folder of a run: its card, who may write there, and what another run takes over from it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..data import conform
from ..data.store import Store
from ..methods import CROP
from ..nn import matmul
from ..utils import distributed, registry
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError
from ..utils.files import sha256
from . import card as cards
from . import recipe
from .recipe import Loop, Recipe


def card(
    chosen: Recipe, data: Any, opened: Sequence[Store], split: str | None, clips: int, seed: int, device: str
) -> dict[str, Any]:
    """Everything that has to be known of a run besides its weights.

    Args:
        data: has ``layout``, ``coords``, ``persons``, ``hash`` and ``card`` (``normalise``, ``unit``, ``up``,
            ``size``), as a store has.
        opened: the stores it was made of.
        clips: number of training clips.
    """
    views, method = chosen.method.get("views"), registry.entry("methods", chosen.method_name)
    layout, coords, normalise = method.sees(data.layout, data.coords, data.card["normalise"])
    in_space = coords == data.coords == 3
    chosen_names = {"method": ("methods", chosen.method_name), "encoder": ("encoders", chosen.encoder_name)}
    plugins = {word: origin for word, named in chosen_names.items() if (origin := registry.origin(*named))}
    return {
        "kind": "run",
        "format": cards.FORMAT,
        "kineme": __version__,
        "status": "running",
        "method": chosen.method_name,
        "encoder": chosen.encoder_name,
        **({"plugins": plugins} if plugins else {}),  # what has to be there when the run is opened again
        "unit": method.unit,
        "seed": seed,
        "recipe": json.loads(json.dumps(dataclasses.asdict(chosen))),
        "layout": layout.as_dict(),
        "coords": coords,
        "persons": data.persons,
        "normalise": {"how": "none", **normalise},
        "size": conform.size_of(data) if in_space else None,  # of bodies that are to be embedded
        "up": data.card.get("up") if coords == data.coords else None,
        "crop": {"ratio": CROP, "frames": views["frames"] if isinstance(views, dict) and "frames" in views else 64},
        "stores": [{"name": s.path.name, "hash": s.hash} for s in opened],
        "data": data.hash,
        "split": split,
        "clips": clips,
        "init": None,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        "threads": torch.get_num_threads(),
        "matmul": f"torch default; recurrences: {matmul.path() if device == 'cpu' else 'cuDNN'}",
        "processes": distributed.current().size,
    }


def recorded(run: Path) -> dict[str, Any] | None:
    """The card of a run to be resumed, or None where nothing was written yet."""
    return cards.read(run, resumed=True) if (run / "card.json").exists() else None


def claim(run: Path, resume: bool, here: ProcessGroup) -> None:
    """Refuse a folder that holds something, unless a run is to go on there.

    Raises:
        InputError: the folder is not empty.
    """
    if here.rank == 0 and run.exists() and any(run.iterdir()) and not resume:
        raise InputError(
            run,
            "the folder exists",
            "a new folder",
            "Resume with --resume, or name another with --out; runs are never overwritten",
        )
    if here.size > 1:
        torch.distributed.barrier()


def check_resumed(
    run: Path,
    card: dict[str, Any],
    opened: Sequence[Store],
    method: str,
    seed: int,
    changed: bool,
    epochs: int | None,
    steps: int | None,
    init_from: str | Path | None,
) -> None:
    """Refuse to resume a run with other words than it was begun with.

    Raises:
        InputError: other settings, or other data.
    """
    loop = card["recipe"]["loop"]
    other = changed or init_from is not None
    other = other or epochs not in (None, loop["epochs"]) or steps not in (None, loop.get("steps"))
    if other or card["method"] != method or card["seed"] != seed:
        raise InputError(
            run,
            "a run with other settings",
            f"method {card['method']}, seed {card['seed']} and no settings",
            "Resuming takes the recorded settings; leave --set, --epochs, --init-from away, or choose a new --out",
        )
    if [s.hash for s in opened] != [s["hash"] for s in card["stores"]]:
        raise InputError(
            run,
            "a run on other data",
            f"the store with hash {card['stores'][0]['hash'][:12]}",
            "Give the store it began with",
        )


@dataclasses.dataclass(frozen=True)
class Start:
    """A finished run from which another begins: weights, queues and optimisers, and the epochs it has behind it."""

    path: Path
    epochs: float

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Start:
        """From the entry ``init`` of a card."""
        return cls(Path(entry["run"]), entry["epochs"])

    def recorded(self) -> dict[str, Any]:
        """The entry ``init`` of a card."""
        return {"run": str(self.path), "hash": sha256(self.state), "epochs": self.epochs}

    @property
    def state(self) -> Path:
        """Its whole training state."""
        return self.path / "resume" / "state.safetensors"

    @property
    def untrained(self) -> Path:
        """Its encoder before any training."""
        return self.path / "initial.safetensors"


def start(path: str | Path, chosen: Recipe) -> Start:
    """Open a run as the beginning of another.

    Raises:
        InputError: no finished run with its training state, or one of another optimiser.
    """
    path = Path(path)
    found = cards.read(path)
    if found.get("status") != "done":
        hint = "Let it end first: kineme pretrain ... --resume"
        raise InputError(path, "an unfinished run", "a finished run to start from", hint)
    before = recipe.from_card(found).loop
    begun = Start(path, before.epochs if before.epochs is not None else found["steps"] / found["steps_per_epoch"])
    if not begun.state.exists():
        raise InputError(
            path,
            "no training state (resume/state.safetensors)",
            "a run with its queues and optimisers",
            "Imported weights have none; start from a run that was trained here",
        )
    if chosen.loop.optimiser != before.optimiser:
        raise InputError("loop.optimiser", f"{chosen.loop.optimiser}", f"{before.optimiser}, whose state is taken over")
    return begun


def nothing_left(begun: Start, loop: Loop, first: int, per_epoch: int) -> InputError:
    """What to say where another run has as many epochs or steps behind it as were asked for."""
    word, before = ("steps", first) if loop.epochs is None else ("epochs", math.ceil(first / per_epoch))
    return InputError(
        f"loop.{word}",
        f"{getattr(loop, word)}, but {begun.path} has {before} behind it",
        f"more than {before}",
        f"With --init-from {word} are counted from the beginning of that run",
    )
