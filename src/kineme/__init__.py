"""Kineme learns what human movements mean, without labels."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what an editor sees; at run time names are resolved on first use
    from .data import synth
    from .data.from_memory import store
    from .data.prepare import prepare
    from .data.store import Store, open
    from .data.synth.render import render
    from .evaluation.reproduce import reproduce
    from .evaluation.run import evaluate
    from .inference import estimators as sklearn
    from .inference.index import Index
    from .inference.indexing import write as index
    from .inference.model import Model, load
    from .inference.recogniser import Recogniser
    from .inference.search import search
    from .io import read, read_all
    from .motion.clean import clean
    from .motion.layout import layout
    from .motion.motion import Motion
    from .training.import_weights import import_weights
    from .training.loop import pretrain
    from .utils.errors import InputError
    from .viz import strips as draw

__version__ = "0.1.0"

# public name -> (module, name there); modules are imported when a name is first used: `import kineme` stays fast
_PUBLIC = {
    "read": ("io", "read"),
    "read_all": ("io", "read_all"),
    "Motion": ("motion.motion", "Motion"),
    "layout": ("motion.layout", "layout"),
    "clean": ("motion.clean", "clean"),
    "prepare": ("data.prepare", "prepare"),
    "open": ("data.store", "open"),
    "store": ("data.from_memory", "store"),
    "Store": ("data.store", "Store"),
    "synth": ("data.synth", None),
    "render": ("data.synth.render", "render"),
    "pretrain": ("training.loop", "pretrain"),
    "load": ("inference.model", "load"),
    "Model": ("inference.model", "Model"),
    "index": ("inference.indexing", "write"),
    "Index": ("inference.index", "Index"),
    "search": ("inference.search", "search"),
    "sklearn": ("inference.estimators", None),
    "Recogniser": ("inference.recogniser", "Recogniser"),
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
__all__ = [
    "Index",
    "InputError",
    "Model",
    "Motion",
    "Recogniser",
    "Store",
    "__version__",
    "clean",
    "draw",
    "evaluate",
    "import_weights",
    "index",
    "layout",
    "load",
    "open",
    "prepare",
    "pretrain",
    "read",
    "read_all",
    "render",
    "reproduce",
    "search",
    "sklearn",
    "store",
    "synth",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kineme' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    found = importlib.import_module(f".{module}", __name__)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
