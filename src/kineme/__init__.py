"""Kineme learns what human movements mean, without labels."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> (module, name there); modules are imported when a name is first used: `import kineme` stays fast
_WORDS = {
    "read": ("io", "read"),
    "read_all": ("io", "read_all"),
    "Motion": ("motion.motion", "Motion"),
    "layout": ("motion.layout", "layout"),
    "prepare": ("data.prepare", "prepare"),
    "open": ("data.store", "open"),
    "Store": ("data.store", "Store"),
    "synth": ("data.synth", None),
    "pretrain": ("training.loop", "pretrain"),
    "load": ("inference.model", "load"),
    "Model": ("inference.model", "Model"),
    "draw": ("viz.strips", None),
    "evaluate": ("evaluation.run", "evaluate"),
    "import_weights": ("training.import_weights", "import_weights"),
    "reproduce": ("evaluation.reproduce", "reproduce"),
    "InputError": ("utils.errors", "InputError"),
}
_SUBPACKAGES = (
    "utils", "motion", "io", "data", "views", "nn", "encoders", "methods", "training", "inference", "viz", "evaluation",
    "apps",
)  # fmt: skip
__all__ = ["__version__", *_WORDS]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _WORDS:
        raise AttributeError(f"module 'kineme' has no attribute {name!r}")
    module, word = _WORDS[name]
    found = importlib.import_module(f".{module}", __name__)
    return found if word is None else getattr(found, word)


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
