"""From raw files to a published figure: prepare, train in stages, score; every stage is taken up where it stopped.

A recipe that can be reproduced has a table ``[reproduce]`` (:class:`Settings`), in it a table of settings for each
protocol and a table ``published``: figures in percent under ``"PROTOCOL METRIC"``, and their ``source``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tomllib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..data import prepare, splits
from ..data.store import Store
from ..inference import model
from ..training import loop, recipe
from ..training import run as runs
from ..training.recipe import Recipe
from ..utils import hardware, registry
from ..utils import settings as plain
from ..utils.errors import InputError
from ..utils.files import read_json, sha256, write_json
from ..utils.progress import Bar
from .run import evaluate
from .scores import TRAINED, UNTRAINED

if TYPE_CHECKING:
    from rich.table import Table

LISTED = {"people": "listed"}  # bodies are not followed in published recipes
BEST = " at the best test epoch"  # what released code reports, under the name of what it stands for
Result = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """The table ``[reproduce]`` of a recipe.

    Attributes:
        store: name of the store under the output folder; recipes of one data set share it.
        normalise: how its clips are normalised (:mod:`kineme.motion.normalise`); by default what suits the layout.
        split: training and test part (:mod:`kineme.data.splits`).
        protocols: how the encoder is scored (:mod:`kineme.evaluation`).
        init, init_epochs: the recipe whose first epochs are the beginning, and how many. Its method begins under this
            recipe's ``[loop]``, which counts epochs from there.
        faithful: cut clips out of recordings as the released code does.
        clips: how many the training and the test part have as published, for a warning where they differ.
    """

    store: str
    split: str
    normalise: str | None = None
    protocols: tuple[str, ...] = ("knn", "linear")
    init: str | None = None
    init_epochs: int = 1
    faithful: bool = False
    clips: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        plain.positive(self, "reproduce", "init_epochs")
        if not self.store or Path(self.store).name != self.store:
            raise InputError("reproduce.store", repr(self.store), "a name for a folder, without a path")
        if len(self.clips) not in (0, 2):
            raise InputError("reproduce.clips", f"{self.clips}", "two numbers, of the training and the test part")


@dataclass(frozen=True)
class Stage:
    """One training: a recipe's file, the settings that it comes to with some assignments, the run that it writes, and
    the run that it begins with.
    """

    file: Path
    chosen: Recipe
    changes: dict[str, Any]
    run: Path
    init: Path | None = None


@dataclass(frozen=True)
class Plan:
    """A recipe, read: its table, the settings of its protocols, published figures with source, and trainings."""

    name: str
    settings: Settings
    probes: dict[str, dict[str, Any]]
    published: dict[str, float]
    source: str
    stages: tuple[Stage, ...]


def reproduce(
    name: str,
    raw: str | os.PathLike,
    out: str | os.PathLike = "reproduced",
    *,
    seed: int = 0,
    settings: plain.Changes = (),
    labels: str | os.PathLike | None = None,
    device: str | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Result:
    """Take raw files to the figures of a recipe: store, beginning, training, scores.

    Everything is written under ``out``: the store (shared by all recipes on it), ``INIT-eEPOCHS-sSEED`` (shared by the
    recipes that begin with it), ``NAME-sSEED`` and ``NAME-sSEED.json``. Called again it takes what is finished, goes on
    with what was interrupted, and ends with the same figures.

    Args:
        name: a recipe's name, or its file, with a table ``[reproduce]``.
        raw: folder of raw files, as :func:`kineme.prepare` takes it.
        out: folder to write.
        seed: of all trainings.
        settings: what is to differ, as in :func:`kineme.pretrain`. ``method.*``, ``encoder.*`` and ``loop.*`` hold for
            every training run (``method.*`` where the method has it, ``loop.epochs`` for the last one);
            ``reproduce.init_epochs`` and other names of :class:`Settings`; ``linear.*`` and so on for the protocols.
        labels: see :func:`kineme.prepare`; PKU-MMD keeps its labels in a folder of their own.
        device: of training and embedding.
        jobs: processes that prepare.
        progress: say on standard error what is under way.

    Returns:
        What ``NAME-sSEED.json`` holds: ``figures`` (name, ours, random, published, in percent), ``source`` of the
        published ones, clips, runs, settings; :func:`table` shows it.

    Raises:
        InputError: no such recipe, settings or data; a run or store under ``out`` with other settings.
        KeyboardInterrupt: after Ctrl-C; call again to go on.

    Examples:
        >>> kineme.reproduce("moco_nwucla", "nw-ucla/")["figures"]  # doctest: +SKIP
        >>> kineme.reproduce("no-such-recipe", "raw/")
        Traceback (most recent call last):
            ...
        kineme.utils.errors.InputError: ...
    """
    out = Path(out)
    changes = plain.assignments(settings)
    seed, device = plain.seed(seed), hardware.device(device)  # before hours are spent on preparing
    plan = read(name, out, seed, changes)
    total = len(plan.stages) + 2

    def say(number: int, text: str) -> None:
        if progress:
            print(f"Stage {number} of {total}: {text}", file=sys.stderr, flush=True)

    folder = out / plan.settings.store
    say(1, f"prepare {raw} -> {folder}")
    data = _prepared(raw, folder, plan.settings, labels, jobs, progress)
    split = splits.split(data, plan.settings.split)
    clips = (len(split.train), len(split.test))
    for number, stage in enumerate(plan.stages, 2):
        say(number, f"{stage.file.stem}, {stage.chosen.loop.length} -> {stage.run}")
        _trained(stage, data, plan.settings.split, seed, device, progress)
    file = out / f"{plan.name}-s{seed}.json"
    say(total, f"{', '.join(plan.settings.protocols)} on {plan.settings.split} -> {file}")
    return _scored(plan, data, clips, file, seed, changes, device, progress)


def table(result: Mapping[str, Any]) -> Table:
    """Our figures beside those of the untrained encoder and the published ones, for people."""
    from rich.table import Table

    made = Table(
        title=f"{result['recipe']}, seed {result['seed']}: {result['clips'][0]} training clips, "
        f"{result['clips'][1]} test clips ({result['split']})",
        caption="\n".join([f"Percent, last epoch. Published: {result['source']}.", *_departures(result)]),
        caption_justify="left",
    )
    made.add_column("figure")
    for heading in ("ours", "untrained", "published"):
        made.add_column(heading, justify="right")
    for row in result["figures"]:
        cells = (row[cell] for cell in ("ours", "untrained", "published"))
        made.add_row(row["figure"], *("-" if cell is None else f"{cell:.1f}" for cell in cells))
    return made


def read(name: str, out: Path, seed: int, changes: Mapping[str, Any] = types.MappingProxyType({})) -> Plan:
    """What a recipe asks for, with assignments sorted to where they belong.

    Raises:
        InputError: no such recipe, no table ``[reproduce]``, or an assignment to nothing that there is.
    """
    path = recipe.find(name)
    tables = _tables(path)
    if "reproduce" not in tables:
        raise InputError(path, "a recipe without a table [reproduce]", "one that says store, split and protocols")
    wanted = dict(plain.override({"reproduce": tables["reproduce"]}, _of(changes, "reproduce"))["reproduce"])
    published = dict(wanted.pop("published", {}))
    source = str(published.pop("source", "nothing"))
    protocols = registry.names("evaluation.protocols")
    given = {word: wanted.pop(word) for word in protocols if word in wanted}
    chosen = plain.make(Settings, wanted, "reproduce")
    known = ("method", "encoder", "loop", "reproduce", *chosen.protocols)
    for name in changes:
        word = name.partition(".")[0]
        if word not in known:
            hint = registry.did_you_mean(word, known)
            raise InputError(f"--set {name}", "nothing of that name here", f"one of {', '.join(known)}", hint)
    probes = plain.override({p: given.get(p, {}) for p in chosen.protocols}, _of(changes, *chosen.protocols))
    training = _of(changes, "method", "encoder", "loop")
    last = _stage(path, training, out / f"{path.stem}-s{seed}")
    if chosen.init is None:
        return Plan(path.stem, chosen, probes, published, source, (last,))
    begin = recipe.find(chosen.init)
    fields = {field.name for field in dataclasses.fields(registry.entry("methods", _method(begin)).Settings)}
    own = {f"loop.{word}": value for word, value in tables.get("loop", {}).items()}
    own |= {n: v for n, v in training.items() if not n.startswith("method.") or n.split(".")[1] in fields}
    own.pop("loop.steps", None)
    own["loop.epochs"] = chosen.init_epochs
    first = _stage(begin, own, out / f"{begin.stem}-e{chosen.init_epochs}-s{seed}")
    stages = (first, dataclasses.replace(last, init=first.run))
    return Plan(path.stem, chosen, probes, published, source, stages)


def _prepared(
    raw: str | os.PathLike, folder: Path, how: Settings, labels: str | os.PathLike | None, jobs: int, progress: bool
) -> Store:
    with Bar("prepare", 0, progress) as bar:

        def tick(done: int, total: int, note: str) -> None:
            bar.update(done, note, total)

        return prepare.prepare(
            raw,
            folder,
            normalise=how.normalise,
            labels=labels,
            jobs=jobs,
            faithful=how.faithful,
            progress=tick,
            reading=LISTED,
        )


def _trained(stage: Stage, data: Store, split: str, seed: int, device: str | None, progress: bool) -> None:
    """Train a stage, resume it, or find it finished, as long as it is the one wanted."""
    found = runs.recorded(stage.run)
    if found is None:
        loop.pretrain(
            stage.chosen.method_name,
            data,
            stage.run,
            seed=seed,
            split=split,
            recipe=str(stage.file),
            settings=stage.changes,
            init_from=stage.init,
            resume=True,
            device=device,
            progress=progress,
        )
        return
    wanted = json.loads(json.dumps(dataclasses.asdict(stage.chosen)))
    wanted |= {"seed": seed, "split": split, "store": data.hash}
    wanted |= {"init": sha256(runs.Start(stage.init, 0).state) if stage.init else None}
    has = {**found["recipe"], "seed": found["seed"], "split": found["split"]}
    has |= {"store": found["data"], "init": (found["init"] or {}).get("hash")}
    one, other = plain.flat(has), plain.flat(wanted)
    different = [
        f"{word} {one.get(word)} instead of {other.get(word)}"
        for word in dict.fromkeys([*one, *other])
        if one.get(word) != other.get(word)
    ]
    if different:
        raise InputError(
            stage.run,
            f"a run with other settings ({'; '.join(different[:8])})",
            f"those of {stage.file.name} and this command",
            "Give the --set and files that it began with, or another --out; runs are never overwritten",
        )
    loop.pretrain(
        stage.chosen.method_name, data, stage.run, seed=seed, split=split, resume=True, device=device, progress=progress
    )


def _scored(
    plan: Plan,
    data: Store,
    clips: tuple[int, int],
    file: Path,
    seed: int,
    changes: Mapping[str, Any],
    device: str | None,
    progress: bool,
) -> Result:
    """Score the last stage, or take the scores of the same weights, clips and settings that are there already."""
    last = plan.stages[-1]
    asked = {
        "weights": sha256(last.run / "model.safetensors"),
        "store": data.hash,
        "split": plan.settings.split,
        "probes": plan.probes,
    }
    asked = json.loads(json.dumps(asked))
    if file.exists():
        found = read_json(file, "the figures of a recipe")
        if isinstance(found, dict) and found.get("asked") == asked:
            return found
    rows = evaluate(
        model.load(last.run, device),
        data,
        plan.settings.protocols,
        plan.settings.split,
        settings=plan.probes,
        baseline=False,
        progress=progress,
    )
    scores = {(row["features"], f"{row['protocol']} {row['metric']}"): 100 * row["score"] for row in rows}
    names = dict.fromkeys([name for _, name in scores] + list(plan.published))
    cards = [read_json(stage.run / "card.json") for stage in plan.stages]
    result = {
        "recipe": plan.name,
        "seed": seed,
        "split": plan.settings.split,
        "clips": clips,
        "published clips": plan.settings.clips or None,
        "figures": [
            {
                "figure": name,
                "ours": scores.get((TRAINED, name)),
                "untrained": scores.get((UNTRAINED, name)),
                "published": plan.published.get(name.removesuffix(BEST)),
            }
            for name in names
        ],
        "source": " ".join(plan.source.split()),
        "runs": [
            {"run": stage.run.name, "epochs": stage.chosen.loop.epochs, "seconds": card["seconds"]}
            for stage, card in zip(plan.stages, cards)
        ],
        "device": cards[-1]["device"],
        "settings": dict(changes),
        "kineme": __version__,
        "asked": asked,
    }
    write_json(file, result)
    return json.loads(json.dumps(result))


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable as TOML ({error})", "a recipe") from None


def _method(path: Path) -> str:
    method = _tables(path).get("method", {}).get("name")
    if not isinstance(method, str):
        raise InputError(path, "no method.name", f"one of {', '.join(registry.names('methods'))}")
    return method


def _stage(file: Path, changes: dict[str, Any], run: Path) -> Stage:
    return Stage(file, recipe.load(_method(file), 0, recipe=str(file), settings=changes), changes, run)


def _of(changes: Mapping[str, Any], *words: str) -> dict[str, Any]:
    """The assignments to some tables."""
    return {name: value for name, value in changes.items() if name.partition(".")[0] in words}


def _departures(result: Mapping[str, Any]) -> Iterator[str]:
    """In what the figures cannot be compared with the published ones."""
    if result["published clips"] not in (None, result["clips"]):
        yield "Not the published data: that has {} training and {} test clips.".format(*result["published clips"])
    if result["settings"]:
        changed = " ".join(f"{name}={json.dumps(value)}" for name, value in result["settings"].items())
        yield f"Not the published settings: {changed}"
