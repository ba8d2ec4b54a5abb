"""Weights that others published for an encoder, such as torchvision's video networks, read without running a pickle."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..encoders import Encoder
from ..utils import registry
from ..utils.errors import InputError
from ..utils.files import as_path, sha256
from . import checkpoint
from .import_weights import read

COUNTER = re.compile(r".*\.num_batches_tracked")  # files of older versions of torch do not have it


def load(encoder: Encoder, file: str | os.PathLike) -> dict[str, Any]:
    """Put published weights into an encoder; every name is checked.

    Args:
        encoder: one whose class names what is published (``PUBLIC``), at its published size.
        file: a ``.safetensors`` file, or what ``torch.save`` wrote of a ``state_dict``, of which tensors and plain
            containers are read and nothing is executed.

    Returns:
        What the card of a run records: path, hash, number of tensors taken, names left aside and kept.

    Raises:
        InputError: an encoder of which nothing is published, a file that is not readable, names that are missing, not
            expected or of another shape.
    """
    public = getattr(encoder, "PUBLIC", None)
    if public is None:
        raise InputError(
            f"encoder {type(encoder).__name__.lower()}",
            "no published weights are known of it",
            f"one of {', '.join(having())}",
            "Choose it with --set encoder.name=...",
        )
    file = as_path(file, "published weights")
    arrays = checkpoint.load(file)[0] if file.suffix == ".safetensors" else read(file)[0]
    own = encoder.state_dict()
    aside = sorted(name for name in arrays.keys() - own.keys() if re.fullmatch(public.aside, name))
    kept = sorted(name for name in own if re.fullmatch(public.own, name) and name not in arrays)
    counters = {name: own[name] for name in own.keys() - arrays.keys() if COUNTER.fullmatch(name)}
    taken = {name: value for name, value in arrays.items() if name not in aside}
    _check(file, public.what, own, taken, {*kept, *counters})
    encoder.load_state_dict({**{name: own[name] for name in kept}, **counters, **taken})
    found = {"path": str(file), "sha256": sha256(file)}
    return {**found, "mapped": len(taken), "aside": aside, "kept": kept}


def having() -> list[str]:
    """Names of the encoders of which weights are published."""
    return [name for name in registry.names("encoders") if hasattr(registry.entry("encoders", name), "PUBLIC")]


def _check(file: object, what: str, own: Mapping[str, Tensor], taken: Mapping[str, Tensor], spared: set[str]) -> None:
    shapes = [
        f"{name} {tuple(taken[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & taken.keys())
        if own[name].shape != taken[name].shape
    ]
    faults = {
        "missing": sorted(own.keys() - taken.keys() - spared),
        "not expected": sorted(taken.keys() - own.keys()),
        "of another shape": shapes,
    }
    said = [
        f"{word}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" for word, names in faults.items() if names
    ]
    if said:
        raise InputError(
            file,
            f"weights that do not fit ({'; '.join(said)})",
            f"those of {what}",
            "Published weights have the published width (encoder.multiplier 1)",
        )
