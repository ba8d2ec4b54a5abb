"""Recipes: the settings of one training (method, encoder, loop), from TOML files, command-line overrides, or sized to
a store.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..utils import registry
from ..utils import settings as plain
from ..utils.errors import InputError

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..methods import Method
    from ..motion.layout import Layout

RECIPES = Path(__file__).parent / "recipes"
PRESETS = ("small", "published")  # recipes that every method has
ADAPTED = "adapted"  # what changes in them where a training begins with another's encoder; some methods have one
SMALL_STEPS = 1000  # of the small preset of a method that has none of its own
LENGTH = frozenset({"loop.epochs", "loop.steps"})  # of which a recipe has one
FEWEST = 10  # epochs of the small preset
SMALL = 20_000  # below so many training clips, or without a GPU, the small preset is taken


@dataclass(frozen=True)
class Loop:
    """Settings of the training loop, the same for every method.

    The length is ``epochs``, or ``steps`` whatever the number of clips (the last epoch is then cut); 100 epochs where
    neither is given. ``batch`` is the global batch (all processes together). The learning rate is ``lr`` times a factor
    by epoch:
    ``step`` multiplies by ``gamma`` at every milestone (0-based epochs), ``cosine`` falls to ``lr_end`` at the end;
    ``warmup`` epochs, or ``warmup_steps``, rise linearly before. ``clip`` bounds the norm of each group's gradient
    (0 = off).
    ``adagrad`` begins with accumulators of 0.1, as Keras does; ``betas`` are those of ``adam`` and ``adamw``.
    Without ``decay_vectors`` biases, norms and all other parameters of one axis are spared from ``weight_decay``.
    ``save_seconds`` is the least time between two resumable states (0 = after every epoch).
    """

    epochs: int | None = None
    steps: int | None = None
    batch: int = 64
    optimiser: Literal["sgd", "adam", "adamw", "adagrad"] = "sgd"
    lr: float = 0.01
    lr_end: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 1e-4
    decay_vectors: bool = True
    schedule: Literal["constant", "step", "cosine"] = "step"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0
    warmup_steps: int = 0
    clip: float = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    save_seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise InputError("loop", f"epochs = {self.epochs} and steps = {self.steps}", "one of them")
        if self.steps is None and self.epochs is None:
            object.__setattr__(self, "epochs", 100)
        plain.positive(self, "loop", "epochs" if self.steps is None else "steps", "batch", "lr")
        if not 0 <= self.lr_end <= self.lr:
            raise InputError("loop.lr_end", f"{self.lr_end}", f"from 0 to {self.lr}, where it begins")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError("loop.betas", f"{list(self.betas)}", "two numbers from 0 to less than 1")

    def total(self, per_epoch: int) -> int:
        """Steps from the first to the last, where an epoch has ``per_epoch``."""
        return self.steps if self.epochs is None else self.epochs * per_epoch  # type: ignore[return-value]

    @property
    def length(self) -> str:
        """How long, in words: ``100 epochs`` or ``2000 steps``."""
        return f"{self.steps} steps" if self.epochs is None else f"{self.epochs} epochs"


@dataclass(frozen=True)
class Recipe:
    """Everything that a training needs besides data and seed; ``method`` and ``encoder`` are tables for the chosen
    names.
    """

    method_name: str
    encoder_name: str
    method: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)
    loop: Loop = field(default_factory=Loop)
    preset: str = "recipe"


def find(name: str) -> Path:
    """The file of a recipe: a path, or the name of one that comes with Kineme.

    Raises:
        InputError: neither exists.
    """
    if name.endswith(".toml"):
        if Path(name).is_file():
            return Path(name)
        raise InputError(name, "no such file", "a recipe (.toml)")
    recipes = known()
    if name not in recipes:
        raise InputError(
            f"recipe {name!r}",
            "no such recipe",
            f"a .toml file, or one of {', '.join((*PRESETS, *recipes))}",
            registry.did_you_mean(name, (*PRESETS, *recipes)),
        )
    return recipes[name]


def known() -> dict[str, Path]:
    """The recipes that come with Kineme."""
    return {path.stem: path for path in sorted(RECIPES.glob("*/*.toml")) if path.stem not in (*PRESETS, ADAPTED)}


def normalisation(name: str | None) -> str | None:
    """The normalisation of the data that a recipe was published for; None where it names none."""
    if name is None or name in PRESETS:
        return None
    tables = tomllib.loads(find(name).read_text(encoding="utf-8"))
    return tables.get("reproduce", {}).get("normalise")


def preset(cls: type, name: str, folder: Path = RECIPES) -> dict[str, Any]:
    """The tables of a preset of a class: ``folder/FILE/name.toml`` of its own file or of one that it derives
    from; empty where there is none.
    """
    files = (folder / base.__module__.rpartition(".")[2] / f"{name}.toml" for base in cls.__mro__)
    found = next((file for file in files if file.is_file()), None)
    return tomllib.loads(found.read_text(encoding="utf-8")) if found else {}


def load(
    method: str, clips: int, *, recipe: str | None = None, settings: plain.Changes = (), gpu: bool = False
) -> Recipe:
    """The settings of a training.

    Args:
        method: name of the method.
        clips: number of training clips; without a recipe the settings are sized to it.
        recipe: name or path of a recipe, or one of ``PRESETS``; None takes a preset by the number of clips. Presets
            are sized to the data.
        settings: what is to differ (tables ``method``, ``encoder``, ``loop``; ``encoder.name`` chooses the encoder):
            ``{"method.temperature": 0.1}``, nested tables, or ``"method.temperature=0.1"``-like texts.
        gpu: whether a GPU is at hand; without one, or with few clips, the small preset is taken.

    Raises:
        InputError: unknown names, wrong values, a recipe of another method.
    """
    cls = registry.entry("methods", method)
    if recipe is not None and recipe not in PRESETS:
        path = find(recipe)
        try:
            tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(path, f"not readable as TOML ({error})", "tables [method], [encoder], [loop]") from None
        if tables.get("method", {}).get("name", method) != method:
            raise InputError(path, f"a recipe of method {tables['method']['name']!r}", f"one of {method!r}")
        taken = path.stem
    else:
        taken = recipe or ("small" if clips < SMALL or not gpu else "published")
        tables = preset(cls, taken)
    tables.pop("reproduce", None)  # what `kineme reproduce` needs beside the training
    tables = _override(tables, settings)
    for name in tables:
        if name not in ("method", "encoder", "loop"):
            raise InputError(
                f"recipe table {name!r}",
                "no such table",
                "method, encoder or loop",
                registry.did_you_mean(name, ("method", "encoder", "loop")),
            )
    method_table, encoder_table = dict(tables.get("method", {})), dict(tables.get("encoder", {}))
    method_table.pop("name", None)
    encoder_name = encoder_table.pop("name", cls.encoder_name)
    encoder_cls = registry.entry("encoders", encoder_name)
    loop_table = dict(tables.get("loop", {}))
    if taken in PRESETS:
        method_table = cls.sized(method_table, clips)
        encoder_table = preset(encoder_cls, taken, RECIPES / "encoders") | encoder_table
        if "loop.batch" not in plain.assignments(settings):
            loop_table["batch"] = max(1, min(loop_table.get("batch", Loop.batch), clips // 2))
        if taken == "small" and not loop_table.keys() & {"epochs", "steps"}:
            loop_table["steps"] = SMALL_STEPS
    loop = plain.make(Loop, loop_table, "loop")
    if (
        taken == "small" and loop.steps and "loop.steps" not in plain.assignments(settings)
    ):  # a larger set is seen some times all the same
        loop = replace(loop, steps=max(loop.steps, FEWEST * (clips // loop.batch)))
    return Recipe(
        method,
        encoder_name,
        plain.as_dict(plain.make(cls.Settings, method_table, "method")),
        plain.as_dict(plain.make(encoder_cls.Settings, encoder_table, "encoder")),
        loop,
        taken,
    )


def _override(tables: dict[str, Any], settings: plain.Changes) -> dict[str, Any]:
    """Changed tables; a length that is given stands in place of theirs, whatever that counts."""
    tables = plain.override(tables, settings)
    if given := LENGTH & plain.assignments(settings).keys():
        for name in LENGTH - given:
            tables["loop"].pop(name.partition(".")[2], None)
    return tables


def changed(chosen: Recipe, settings: plain.Changes) -> Recipe:
    """A recipe with some settings changed.

    Raises:
        InputError: unknown names, wrong values.
    """
    loop = {name: value for name, value in plain.as_dict(chosen.loop).items() if value is not None}
    encoder = {"name": chosen.encoder_name, **chosen.encoder}
    tables = _override({"method": chosen.method, "encoder": encoder, "loop": loop}, settings)
    name = tables["encoder"].pop("name")
    cls = registry.entry("methods", chosen.method_name)
    if name != chosen.encoder_name:
        tables["encoder"] = {n[8:]: v for n, v in plain.assignments(settings).items() if n.startswith("encoder.")}
        tables["encoder"].pop("name")
    return Recipe(
        chosen.method_name,
        name,
        plain.as_dict(plain.make(cls.Settings, tables["method"], "method")),
        plain.as_dict(plain.make(registry.entry("encoders", name).Settings, tables["encoder"], "encoder")),
        plain.make(Loop, tables["loop"], "loop"),
        chosen.preset,
    )


def from_card(card: dict[str, Any]) -> Recipe:
    """The recipe that a run's card records.

    Raises:
        InputError: the method or encoder is a plug-in that is not there. One whose file has changed is warned of.
    """
    missing = [f.name for f in fields(Recipe) if f.name not in card.get("recipe", {})]
    if missing:
        raise InputError("a run's card", f"a damaged recipe (no {missing[0]!r})", "the card that training wrote")
    values = {f.name: card["recipe"][f.name] for f in fields(Recipe)}
    for room, table in (("methods", "method"), ("encoders", "encoder")):
        name, origin = values[f"{table}_name"], card.get("plugins", {}).get(table, {})
        if name not in registry.names(room):
            hint = f"Give it with --plugin {origin.get('file', f'{name}.py')}"
            if "package" in origin:
                hint = f"Install {origin['package']}"
            raise InputError(
                f"the {table} {name!r} of this run", "not known here", "the plug-in that it came from", hint
            )
        now = registry.origin(room, name) or {}
        if "sha256" in origin and now.get("sha256") != origin["sha256"]:
            file = now.get("file", origin["file"])
            warnings.warn(f"{file} has changed since this run's {table} was trained with it", stacklevel=2)
        cls = registry.entry(room, name).Settings
        values[table] = plain.as_dict(plain.make(cls, values[table], table, recorded=True))
    return Recipe(**{**values, "loop": plain.make(Loop, values["loop"], "loop", recorded=True)})


def build_method(
    chosen: Recipe,
    layout: Layout,
    coords: int,
    persons: int,
    seed: int,
    up: str | None = None,
    begin: Callable[[Encoder], object] | None = None,
) -> Method:
    """Build a method with freshly initialised weights; the same seed gives the same weights, and torch's own stream
    is left as it was.

    Args:
        begin: is given every encoder as it is made, to put other weights into it; momentum encoders copy these.
    """
    import torch  # only here: recipes are listed without it

    from .. import encoders

    cls = registry.entry("methods", chosen.method_name)
    encoder_settings = plain.make(registry.entry("encoders", chosen.encoder_name).Settings, chosen.encoder, "encoder")
    layout, coords, _ = cls.sees(layout, coords, {})

    def new_encoder() -> Encoder:
        made = encoders.build(chosen.encoder_name, encoder_settings, layout, coords, persons, up)
        if begin is not None:
            begin(made)
        return made

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(plain.make(cls.Settings, chosen.method, "method"), new_encoder)
