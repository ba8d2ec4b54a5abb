"""Kineme learns what human movements mean, without labels."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public word -> (room, name there); rooms are imported when a word is first used, so that `import kineme` stays fast
_WORDS = {
    "read": ("readers", "read"),
    "read_all": ("readers", "read_all"),
    "Motion": ("motion", "Motion"),
    "layout": ("skeleton", "layout"),
    "prepare": ("prepare", "prepare"),
    "open": ("store", "open"),
    "Store": ("store", "Store"),
    "pretrain": ("train", "pretrain"),
    "load": ("embed", "load"),
    "Model": ("embed", "Model"),
    "evaluate": ("evaluate", "evaluate"),
    "import_weights": ("weights", "import_weights"),
    "reproduce": ("reproduce", "reproduce"),
    "InputError": ("errors", "InputError"),
}
__all__ = ["__version__", *_WORDS]


def __getattr__(name: str) -> Any:
    if name not in _WORDS:
        raise AttributeError(f"module 'kineme' has no attribute {name!r}")
    room, word = _WORDS[name]
    module = importlib.import_module(f".{room}", __name__)
    return module if room == word else getattr(module, word)  # a room named like its verb can be called itself


def __dir__() -> list[str]:
    return sorted(__all__)
