"""An encoder from a run's card and weights, tried without memory first: a card that lies costs one sentence."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from ..encoders import Encoder
from ..motion import layout as skeleton
from ..training import card as cards
from ..training import checkpoint, recipe
from ..utils.errors import InputError

MOST_CALLS = 50_000  # of torch while a method is made; those that come with Kineme need some hundred
MOST_BYTES = 4 << 30  # of its state beside the weights, such as queues


def encoder(card: dict[str, Any], run: Path, weights: Path) -> Encoder:
    """The encoder of a run with its weights, on the CPU.

    Args:
        card: its card, from :func:`kineme.training.card.read`.
        run: its folder.
        weights: the file.

    Raises:
        InputError: settings that no encoder can be made of or that ask for other weights than these; a plug-in that is
            not there; weights that are damaged.
    """
    path = run / "card.json"
    try:
        chosen = recipe.from_card(card)
    except InputError as error:
        raise cards.within(path, "recipe", error) from None
    layout = skeleton.from_dict(card["layout"])
    words = chosen, layout, card["coords"], card["persons"], card["seed"], card.get("up")
    _try(words, path, weights)
    try:
        made = recipe.build_method(*words).encoder()
    except InputError as error:
        raise cards.within(path, "recipe", error) from None
    except Exception as error:  # whatever a constructor makes of settings that do not go together
        raise _unbuildable(path, error) from error
    tensors, _ = checkpoint.load(weights)
    checkpoint.restore(made, tensors, weights)
    return made


def _try(words: tuple, path: Path, weights: Path) -> None:
    """Make the method without memory for its numbers, and compare the shapes of its encoder with the file's.

    What cannot be made so (a plug-in that computes while it is made) is not tried.
    """
    try:
        with torch.device("meta"), _Counted(), warnings.catch_warnings(action="ignore"):
            method = recipe.build_method(*words)
            shapes = {name: tuple(tensor.shape) for name, tensor in method.encoder().state_dict().items()}
            size = sum(tensor.numel() * tensor.element_size() for tensor in method.state_dict().values())
    except _TooMany:
        raise InputError(
            f"{path}, recipe", f"settings that take more than {MOST_CALLS} steps to build", "a network", cards.AGAIN
        ) from None
    except Exception:
        return
    try:
        with safe_open(weights, framework="pt") as file:
            there = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        room = weights.stat().st_size * 64 + MOST_BYTES
    except (SafetensorError, OSError, RuntimeError):  # reading it in earnest will tell
        return
    wrong = [name for name in sorted(shapes.keys() & there.keys()) if shapes[name] != there[name]]
    if wrong:
        raise InputError(
            f"{path}, recipe and layout",
            f"an encoder whose {wrong[0]} has shape {shapes[wrong[0]]}",
            f"{there[wrong[0]]} as in {weights.name}",
            "Card and weights do not belong together; take another copy of the run, or train again",
        )
    if size > room:
        raise InputError(f"{path}, recipe.method", f"settings that need {size >> 20} MiB", "a network", cards.AGAIN)


def _unbuildable(path: Path, error: Exception) -> InputError:
    what = f"settings that nothing can be built from ({type(error).__name__}: {str(error)[:200]})"
    return InputError(f"{path}, recipe", what, "those of a training", cards.AGAIN)


class _TooMany(Exception):
    pass


class _Counted(TorchFunctionMode):
    """Ends what calls torch without end, such as a million layers."""

    def __init__(self) -> None:
        super().__init__()
        self.left = MOST_CALLS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _TooMany
        return func(*args, **(kwargs or {}))
