"""Weights and training states on disk: safetensors and JSON; nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..utils.errors import InputError
from ..utils.files import atomic

DAMAGED = "The file is damaged: take another copy, or train again with a new --out"


def save(path: str | Path, tensors: dict[str, Tensor], card: dict[str, Any] | None = None) -> None:
    """Write tensors and a JSON card into one ``.safetensors`` file, whole or not at all.

    Raises:
        InputError: it cannot be written (no room, no permission); what stood there before is untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        with atomic(path) as temporary:
            save_file(plain, temporary, metadata={"card": json.dumps(card or {})})
    except (SafetensorError, OSError) as error:
        raise InputError(
            path,
            f"cannot be written ({error})",
            "room on the disk and permission",
            "Make room and run the command again; what was there before is untouched",
        ) from None


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote: tensors and card.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            if not isinstance(card, dict):
                raise RuntimeError(f"its card is {str(card)[:40]!r}")
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise InputError(path, "no such file", "weights in safetensors form") from None
    except (SafetensorError, OSError, json.JSONDecodeError, RuntimeError) as error:
        raise InputError(
            path,
            f"not readable ({error})",
            "weights in safetensors form, whole",
            "The file was cut short or is of another kind; train again or take another copy",
        ) from None


def restore(module: nn.Module, tensors: dict[str, Tensor], where: str | Path) -> None:
    """Load weights strictly: every name must be there with its shape, and no other.

    Raises:
        InputError: lists missing, unknown and mis-shaped names.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - own.keys())
    shapes = [
        f"{n} {tuple(tensors[n].shape)} instead of {tuple(own[n].shape)}"
        for n in sorted(own.keys() & tensors.keys())
        if tensors[n].shape != own[n].shape
    ]
    if missing or unknown or shapes:
        parts = [
            f"{what}: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
            for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
            if names
        ]
        raise InputError(
            where,
            "weights that do not fit (" + "; ".join(parts) + ")",
            f"the {len(own)} tensors of {type(module).__name__}",
            "They belong to another method, encoder or layout",
        )
    module.load_state_dict(tensors)


def optimiser_tensors(optimisers: dict[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State of every optimiser as flat tensors ``GROUP/PARAMETER INDEX/NAME``."""
    return {
        f"{group}/{index}/{name}": torch.as_tensor(value)
        for group, optimiser in optimisers.items()
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimisers(
    optimisers: dict[str, torch.optim.Optimizer], tensors: dict[str, Tensor], where: str | Path
) -> None:
    """Put back what :func:`optimiser_tensors` gave.

    Raises:
        InputError: names or shapes that are not those of the optimisers' parameters.
    """
    known = {
        room: [param for group in optimiser.param_groups for param in group["params"]]
        for room, optimiser in optimisers.items()
    }
    for key, tensor in tensors.items():
        room, _, rest = key.partition("/")
        index, _, name = rest.partition("/")
        params = known.get(room, [])
        shape = params[int(index)].shape if index.isdecimal() and int(index) < len(params) else None
        if shape is None or (tensor.dim() and tensor.shape != shape):
            what = f"an optimiser's {key} of shape {tuple(tensor.shape)}"
            raise InputError(where, what, "the optimisers of this run", DAMAGED)
    for group, optimiser in optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            room, index, name = key.rsplit("/", 2)
            if room == group:
                state.setdefault(int(index), {})[name] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
