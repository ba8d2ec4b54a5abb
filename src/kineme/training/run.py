"""The folder of a run: its card, who may write there, and what another run takes over from it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..data import conform
from ..data.store import Store
from ..methods import CROP
from ..nn import matmul
from ..utils import distributed, registry
from ..utils import settings as plain
from ..utils.distributed import ProcessGroup
from ..utils.errors import InputError
from ..utils.files import locked, sha256
from . import card as cards
from . import recipe
from .bundled import Init
from .recipe import Loop, Recipe


def card(
    chosen: Recipe,
    data: Any,
    opened: Sequence[Store],
    split: str | None,
    clips: int,
    seed: int,
    device: str,
    init: Init | None = None,
) -> dict[str, Any]:
    """Everything that has to be known of a run besides its weights.

    Args:
        data: has ``layout``, ``coords``, ``persons``, ``hash`` and ``card`` (``normalise``, ``unit``, ``up``,
            ``size``), as a store has.
        opened: the stores it was made of.
        clips: number of training clips.
        init: with whose encoder it begins.
    """
    views, method = chosen.method.get("views"), registry.entry("methods", chosen.method_name)
    layout, coords, normalise = method.sees(data.layout, data.coords, data.card["normalise"])
    in_space = coords == data.coords == 3
    frames = views["frames"] * views.get("step", 1) if isinstance(views, dict) and "frames" in views else 64
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
        "persons": data.persons if init is None else init.card["persons"],  # the encoder is made for so many
        "normalise": {"how": "none", **normalise},
        "size": conform.size_of(data) if in_space else None,  # of bodies that are to be embedded
        "up": data.card.get("up") if coords == data.coords else None,
        "crop": {"ratio": CROP, "frames": frames},
        "stores": [{"name": s.path.name, "hash": s.hash} for s in opened],
        "data": data.hash,
        "split": split,
        "clips": clips,
        "init": None if init is None else init.recorded(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        "threads": torch.get_num_threads(),
        "matmul": matmul.path() if device == "cpu" else "cuBLAS",
        "processes": distributed.current().size,
    }


def recorded(run: Path) -> dict[str, Any] | None:
    """The card of a run to be resumed, or None where nothing was written yet."""
    return cards.read(run, resumed=True) if (run / "card.json").exists() else None


@contextlib.contextmanager
def held(run: Path, here: ProcessGroup) -> Iterator[None]:
    """Keep the folder of a run for this training as long as the block runs; what cannot be trained leaves no folder.

    Raises:
        InputError: another process trains there.
    """
    hint = "Wait for it to end, or name another folder with --out"
    with locked(run, "another process is training in this folder", hint) if here.rank == 0 else nullcontext():
        yield


def claim(run: Path, resume: bool, here: ProcessGroup) -> None:
    """Refuse to write a new run where something lies.

    Raises:
        InputError: the folder is not empty.
    """
    if here.rank == 0:
        if any(each.name not in (".lock", "joined") for each in run.iterdir()) and not resume:
            raise InputError(
                run,
                "the folder exists",
                "a new folder",
                "Resume with --resume, or name another with --out; runs are never overwritten",
            )
        shutil.rmtree(run / "joined", ignore_errors=True)  # of a training that was killed before it began
    if here.size > 1:
        torch.distributed.barrier()


@dataclasses.dataclass(frozen=True)
class Words:
    """What a training is asked for, besides its stores; None (no settings): not said."""

    method: str
    seed: int | None
    split: str | None
    recipe: str | None
    settings: Mapping[str, Any]
    layout: str | None
    init_from: str | Path | None
    init_video: str | Path | None = None
    init: Init | None = None

    def check(self) -> None:
        """Raises:
        InputError: several things to begin with.
        """
        said = {"init": self.init, "init-from": self.init_from, "init-video": self.init_video}
        asked = [name for name, value in said.items() if value is not None]
        if len(asked) > 1:
            raise InputError(asked[1], f"also {asked[0]}", "one of them: there is one set of weights to begin with")

    def given(self) -> dict[str, Any]:
        """What a card keeps of them beside what came of them."""
        return {"recipe": self.recipe, "settings": dict(self.settings)}


def check_resumed(
    run: Path, card: dict[str, Any], words: Words, opened: Sequence[Store], data: Store, items: int, gpu: bool
) -> Recipe:
    """Refuse to resume a run with other words than it was begun with; what is not said is taken from the run.

    Args:
        opened, data: the stores that are given, and what the run trains on.
        items: training clips or frames, by which presets are sized.
        gpu: whether a GPU is at hand.

    Returns:
        The run's recipe.

    Raises:
        InputError: says both of everything that differs.
    """
    stores = [{"name": s.path.name, "hash": s.hash} for s in opened]
    if [s["hash"] for s in stores] != [s.get("hash") for s in card["stores"]]:
        asked, before = (
            ", ".join(f"{s.get('name')} ({str(s.get('hash'))[:12]})" for s in named)
            for named in (stores, card["stores"])
        )
        raise InputError(run, f"a run on other data: {asked}", before, "Give what it began with, or a new --out")
    chosen, begun = recipe.from_card(card), card.get("init") or {}
    init = words.init_from and str(words.init_from)
    if init and (state := Start(Path(init), 0).state).exists() and sha256(state) == begun.get("hash"):
        init = begun["run"]  # the same under another path
    public = words.init_video and str(words.init_video)
    if public and Path(public).is_file():
        public = sha256(Path(public))
    different = {  # what is asked for, and what the run has
        name: (asked, before)
        for name, asked, before in (
            ("method", words.method, card["method"]),
            ("seed", words.seed, card["seed"]),
            ("split", words.split, card.get("split")),
            ("layout", words.layout, data.layout.name),
            ("init-from", init, None if begun.get("weights") else begun.get("run")),
            ("init", words.init and sha256(words.init.weights), begun.get("hash") if begun.get("weights") else None),
            ("init-video", public, (card.get("init_video") or {}).get("sha256")),
        )
        if asked is not None and asked != before
    }
    if words.method == card["method"]:
        different |= _other_settings(card, chosen, words, items, gpu)
    if different:
        pairs = [f"{name} {_said(asked)}, in the run {_said(before)}" for name, (asked, before) in different.items()]
        raise InputError(
            run,
            f"a run with other settings ({'; '.join(pairs[:8])}{'; ...' if len(pairs) > 8 else ''})",
            "the words that it was begun with, or none: what is not given is taken from the run",
            "Leave them away, or choose a new --out",
        )
    if card.get("processes", 1) != (now := distributed.current().size):
        text = f"{run} began with {card['processes']} processes, now there are {now}: they draw other views"
        warnings.warn(text, stacklevel=3)
    return chosen


def _other_settings(
    card: dict[str, Any], chosen: Recipe, words: Words, items: int, gpu: bool
) -> dict[str, tuple[Any, Any]]:
    """Settings that the words give another value than the run has: ``{name: (asked, recorded)}``."""
    if words.recipe is None and not words.settings:
        return {}
    found = {}
    if words.recipe is None or "given" not in card:  # of an earlier version only the name of the recipe is known
        wanted = recipe.changed(chosen, words.settings)
        if words.recipe is not None and Path(words.recipe).stem != chosen.preset:
            found["recipe"] = (words.recipe, chosen.preset)
    else:
        before = card["given"]["settings"]
        if recipe.LENGTH & words.settings.keys():
            before = {name: value for name, value in before.items() if name not in recipe.LENGTH}
        settings = {**before, **words.settings}
        wanted = recipe.load(words.method, items, recipe=words.recipe, settings=settings, gpu=gpu)
    one, other = ({**plain.flat(dataclasses.asdict(r)), "preset": None} for r in (wanted, chosen))
    differing = {n: (one.get(n), other.get(n)) for n in {**one, **other} if one.get(n) != other.get(n)}
    if differing and words.recipe is not None:
        found["recipe"] = (words.recipe, chosen.preset)
    return {**found, **differing}


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


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
