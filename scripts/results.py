"""Train every method on every set, record each run, draw docs/results/methods.md: `make results` (docs/reproduce.md).

What is recorded is not run again; the page is drawn anew after every run. KINEME_DATA names the folder of the raw data.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import kineme
from kineme.data import splits
from kineme.evaluation import results
from kineme.evaluation.results import BASELINE, Record
from kineme.utils import hardware
from kineme.utils import settings as plain
from kineme.utils.errors import InputError
from kineme.utils.files import read_json, write_json

ROOT = Path(__file__).parents[1]
PLAN, PAGES = ROOT / "bench" / "results.toml", ROOT / "docs" / "results"
PROBE = 12  # steps by which the pace of a training is measured
SCORING = 60.0  # seconds that scoring a run is taken for where nothing is recorded


@dataclass(frozen=True)
class StoreEntry:
    """A store: the folder of its raw data, how it is prepared, and windows that long takes are cut into.

    ``windows``: ``frames`` and ``every``, and the subjects whose windows ``train`` and ``test`` (a column ``side``),
    of classes that both have.
    """

    raw: str
    prepare: dict[str, Any] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SetEntry:
    """What is scored: a store and a split. ``pretrain``: other stores that are trained on; of the set's own, if it is
    among them, the test clips are left out."""

    title: str
    store: str
    split: str
    pretrain: tuple[str, ...] = ()
    coords: int = 3


@dataclass(frozen=True)
class MethodEntry:
    """How an encoder is trained. ``init``: another method of the plan that is trained for half of the time first.
    ``coords``: of the sets that it is for."""

    title: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    coords: tuple[int, ...] = (2, 3)


@dataclass(frozen=True)
class Plan:
    """A file such as bench/results.toml."""

    seconds: float
    seeds: tuple[int, ...]
    protocols: tuple[str, ...]
    metrics: tuple[str, ...]
    stores: dict[str, StoreEntry]
    sets: dict[str, SetEntry]
    methods: dict[str, MethodEntry]

    @property
    def titles(self) -> tuple[dict[str, str], dict[str, str]]:
        """Names of sets and methods for people."""
        return ({n: each.title for n, each in self.sets.items()}, {n: each.title for n, each in self.methods.items()})


def load(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: what is missing, unknown, or names nothing.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    kinds = {"stores": StoreEntry, "sets": SetEntry, "methods": MethodEntry}
    for word, kind in kinds.items():
        tables[word] = {name: plain.make(kind, each, f"{word}.{name}") for name, each in tables.get(word, {}).items()}
    plan = Plan(**{name: tuple(each) if isinstance(each, list) else each for name, each in tables.items()})
    for name, each in plan.sets.items():
        for store in (each.store, *each.pretrain):
            if store not in plan.stores:
                raise InputError(f"{path}, sets.{name}", f"store {store}", f"one of {', '.join(plan.stores)}")
    for name, method in plan.methods.items():
        if method.init is not None and method.init not in plan.methods:
            raise InputError(f"{path}, methods.{name}", f"init {method.init}", f"one of {', '.join(plan.methods)}")
    return plan


@dataclass(frozen=True)
class Job:
    """One record that is to be made."""

    set: str
    method: str
    seed: int | None

    @property
    def name(self) -> str:
        return f"{self.set} {self.method}" + ("" if self.seed is None else f" seed {self.seed}")


def jobs(plan: Plan, records: Sequence[Record], only: Sequence[str] = ()) -> list[Job]:
    """What has no record yet: baselines first, then seed by seed, so that every method has one run before any has two.

    Args:
        plan: all that there is to do.
        records: what has been done.
        only: names of sets and methods; a job is left out where none of those of a kind that are named is its own.
    """
    done = {(each.set, each.method, each.seed) for each in records}
    sets = [name for name in plan.sets if name in only] or list(plan.sets)
    methods = [name for name in plan.methods if name in only] or ([] if BASELINE in only else list(plan.methods))
    for word in only:
        if word not in plan.sets and word not in plan.methods and word != BASELINE:
            raise InputError(
                f"--only {word}", "no set and no method of the plan", ", ".join([*plan.sets, *plan.methods])
            )
    wanted = [Job(name, BASELINE, None) for name in sets]
    wanted += [
        Job(name, method, seed)
        for seed in plan.seeds
        for name in sets
        for method in methods
        if plan.sets[name].coords in plan.methods[method].coords
    ]
    return [job for job in wanted if (job.set, job.method, job.seed) not in done]


def hours(plan: Plan, todo: Sequence[Job], records: Sequence[Record]) -> float:
    """How long jobs will take: the seconds of training that the plan gives, and for scoring what was recorded of the
    same set, else of any."""
    total = 0.0
    for job in todo:
        alike = [each for each in records if (each.method == BASELINE) == (job.method == BASELINE)]
        costs = [each.scoring_seconds for each in alike if each.set == job.set] or [e.scoring_seconds for e in alike]
        total += float(np.mean(costs)) if costs else SCORING
        total += 0 if job.method == BASELINE else plan.seconds
    return total / 3600


class Runner:
    """Does jobs in a folder of stores and runs.

    Args:
        plan: what the names of jobs mean.
        work: folder of stores and runs.
        records: folder of records.
    """

    def __init__(self, plan: Plan, work: Path, records: Path):
        self.plan, self.work, self.records = plan, work, records

    def do(self, job: Job) -> Path:
        """Prepare, train, score and record; what is there already is taken."""
        entry = self.plan.sets[job.set]
        store, commands = self.store(entry.store)
        if job.method == BASELINE:
            rows = kineme.evaluation.baseline(store, entry.split, self.plan.protocols)
            names = ",".join(self.plan.protocols)
            words = ["kineme", "evaluate", "--baseline", self.short(store.path), "--split", entry.split]
            commands = [*commands, shlex.join([*words, "--protocols", names])]
            return results.save(results.record(rows, self.where(job, commands)), self.records)
        run, more, seconds, steps = self.train(job)
        return self.score(job, run, [*commands, *more], seconds, steps)

    def score(self, job: Job, run: Path, commands: Sequence[str], seconds: float, steps: int) -> Path:
        """Score a run, and record it."""
        entry = self.plan.sets[job.set]
        store, _ = self.store(entry.store)
        model = kineme.load(run)
        rows = kineme.evaluate(model, store, self.plan.protocols, entry.split, baseline=False)
        names = ",".join(self.plan.protocols)
        words = ["kineme", "evaluate", self.short(run), self.short(store.path), "--split", entry.split]
        where = self.where(job, [*commands, shlex.join([*words, "--protocols", names])])
        made = results.record(rows, where, model, seconds, steps)
        return results.save(made, self.records)

    def store(self, name: str) -> tuple[kineme.Store, list[str]]:
        """A store, prepared where it is not there, and how."""
        entry, path = self.plan.stores[name], self.work / "stores" / name
        raw = Path(os.environ["KINEME_DATA"]) / entry.raw
        how: dict[str, Any] = dict(entry.prepare)
        if entry.windows:
            how["labels"] = self.work / "stores" / f"{name}.csv"
            if not how["labels"].exists():
                how["labels"].parent.mkdir(parents=True, exist_ok=True)
                write_windows(how["labels"], raw, **entry.windows)
        if not path.exists():
            kineme.prepare(raw, path, **how)
        flags = [word for key, value in how.items() for word in (f"--{key}", self.short(value))]
        source = shlex.join(["kineme", "prepare", f"KINEME_DATA/{entry.raw}", self.short(path), *flags])
        return kineme.open(path), [source.replace("KINEME_DATA/", "$KINEME_DATA/")]

    def train(self, job: Job) -> tuple[Path, list[str], float, int]:
        """The run of a job with what was typed, its seconds and steps; resumed where it was interrupted."""
        method = self.plan.methods[job.method]
        if method.init is None:
            run, command, seconds, steps = self.stage(job, job.method, self.plan.seconds, None)
            return run, [command], seconds, steps
        first, command, seconds, steps = self.stage(job, method.init, self.plan.seconds / 2, None)
        run, last, more, total = self.stage(job, job.method, self.plan.seconds / 2, (first, steps))
        return run, [command, last], seconds + more, total

    def stage(
        self, job: Job, method: str, seconds: float, after: tuple[Path, int] | None
    ) -> tuple[Path, str, float, int]:
        """One training run of about so many seconds, on its own or after another."""
        name = f"{job.set}-{method}" + ("-half" if seconds < self.plan.seconds else "")
        begun = after[1] if after else 0
        file = self.work / "pace" / f"{name}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            probe = self.work / "pace" / name
            self.pretrain(job, method, probe, begun + PROBE, after[0] if after else None, 0)
            each = read_json(probe / "card.json")["seconds"] / PROBE
            write_json(file, {"seconds_per_step": each})
        pace = read_json(file)["seconds_per_step"]  # of the first seed: all have the same number of steps
        steps = begun + max(1, round(seconds / pace))
        run = self.work / "runs" / f"{name}-s{job.seed}"
        command = self.pretrain(job, method, run, steps, after[0] if after else None, job.seed or 0)
        return run, command, read_json(run / "card.json")["seconds"], steps

    def pretrain(self, job: Job, method: str, run: Path, steps: int, after: Path | None, seed: int) -> str:
        """Train, or find it trained; what to type for it."""
        chosen, entry = self.plan.methods[method], self.plan.sets[job.set]
        given = [self.store(name)[0] for name in entry.pretrain or (entry.store,)]
        split: str | None = None if entry.pretrain else entry.split
        if entry.store in entry.pretrain:
            split = f"file:{self.held_out(job.set, given)}"
        kineme.pretrain(
            chosen.method,
            given,
            run,
            steps=steps,
            seed=seed,
            split=split,
            settings=chosen.settings,
            init_from=after,
            resume=True,
            progress=sys.stderr.isatty(),
        )
        words = ["kineme", "pretrain", chosen.method, *(self.short(each.path) for each in given)]
        words += ["--split", self.short(split)] if split else []
        words += ["--steps", str(steps), "--seed", str(seed)]
        words += [word for key, value in chosen.settings.items() for word in ("--set", f"{key}={value}")]
        words += ["--init-from", self.short(after)] if after else []
        return shlex.join([*words, "--out", self.short(run)])

    def held_out(self, name: str, given: Sequence[kineme.Store]) -> Path:
        """A list of the clips of some stores but for the test clips of a set."""
        entry, path = self.plan.sets[name], self.work / "stores" / f"{name}.txt"
        if not path.exists():
            own, _ = self.store(entry.store)
            test = {own.ids[row] for row in splits.split(own, entry.split).test.tolist()}
            names = [clip for store in given for clip in store.ids if not (store.path == own.path and clip in test)]
            if twice := test & set(names):
                raise InputError(f"sets.{name}", f"clips of several stores called {min(twice)}", "names of their own")
            path.write_text("\n".join(names) + "\n", encoding="utf-8")
        return path

    def short(self, path: Any) -> str:
        """A path in a command, below the folder of the work."""
        return str(path).replace(f"{self.work}/", "").replace("stores/", "store/")

    def where(self, job: Job, commands: Sequence[str]) -> dict[str, Any]:
        """What a record says of how it came about."""
        import torch

        return {
            "set": job.set,
            "method": job.method,
            "commands": tuple(commands),
            "kineme": kineme.__version__,
            "revision": revision(),
            "processor": hardware.processor(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }


def revision() -> str:
    """The commit of this checkout, with ``+`` where files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "src") else "")


def write_windows(path: Path, raw: Path, frames: int, every: int, train: int, test: int) -> None:
    """A label table that cuts the takes of two subjects into windows, of the classes that both have."""
    (file,) = raw.glob("*.npz")
    with np.load(file) as arrays:
        takes = [arrays[name].tolist() for name in ("names", "labels", "subjects")]
        lengths = np.diff(arrays["offsets"]).tolist()
    rows = [
        (name, start, label, subject)
        for name, label, subject, length in zip(*takes, lengths)
        for start in range(0, length - frames + 1, every)
    ]
    kept = set.intersection(*({label for *_, label, subject in rows if subject == who} for who in (train, test)))
    side = {train: "train", test: "test"}
    lines = [
        f"{name},{start},{start + frames},{side[subject] if subject in side and label in kept else ''}"
        for name, start, label, subject in rows
    ]
    path.write_text("\n".join(["source,start,end,side", *lines]) + "\n", encoding="utf-8")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, default=PLAN, help="what there is to do (default: bench/results.toml)")
    parser.add_argument("--work", type=Path, default=Path("results"), help="folder of stores and runs")
    parser.add_argument("--records", type=Path, default=PAGES / "recorded", help="folder of records")
    parser.add_argument("--pages", type=Path, default=PAGES, help="folder of the page and the heat maps")
    parser.add_argument("--only", default="", metavar="NAME,...", help="sets and methods of the plan, or baseline")
    parser.add_argument("--seconds", type=float, help="of training for each run, in place of the plan's")
    parser.add_argument("--seeds", metavar="0,1,...", help="in place of the plan's")
    parser.add_argument("--dry-run", action="store_true", help="say what is to be done and how long it takes, no more")
    parser.add_argument("--pages-only", action="store_true", help="draw the page from the records, run nothing")
    parser.add_argument(
        "--record", type=Path, metavar="RUN", help="score a run that there is and record it, for --only SET,METHOD"
    )
    return parser


def planned(todo: Sequence[Job]) -> Iterator[str]:
    """What is to be done, a line for each set."""
    for name in dict.fromkeys(job.set for job in todo):
        own = [job for job in todo if job.set == name]
        methods = dict.fromkeys(job.method for job in own)
        counts = {method: sum(job.method == method for job in own) for method in methods}
        yield f"  {name}: {', '.join(f'{method} x {count}' for method, count in counts.items())}"


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is left to do."""
    args = arguments().parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; finished runs are recorded. Again to resume.", file=sys.stderr)
        return 130
    return 0


def run(args: argparse.Namespace) -> None:
    """Everything that a command asks for."""
    plan = load(args.plan)
    if args.seconds is not None:
        plan = dataclasses.replace(plan, seconds=args.seconds)
    if args.seeds is not None:
        plan = dataclasses.replace(plan, seeds=tuple(int(seed) for seed in args.seeds.split(",")))
    only = [word for word in args.only.split(",") if word]
    runner = Runner(plan, args.work, args.records)

    def draw() -> None:
        results.write(args.pages, results.read(args.records), *plan.titles, plan.metrics)

    if args.record is not None:
        record_run(runner, only, args.record)
    elif not args.pages_only:
        records = results.read(args.records)
        todo = jobs(plan, records, only)
        costs = hours(plan, todo, records)
        print(f"{len(todo)} to do, {len(records)} recorded, about {costs:.1f} h:", *planned(todo), sep="\n", flush=True)
        if args.dry_run:
            return
        if todo and "KINEME_DATA" not in os.environ:
            raise InputError("KINEME_DATA", "not set", "the folder that holds the raw data")
        failed = []
        for number, job in enumerate(todo, 1):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    path = runner.do(job)
                print(f"{number} of {len(todo)}: {job.name} -> {path}", flush=True)
            except InputError as error:  # the others are not lost by it
                failed.append(job)
                print(f"{number} of {len(todo)}: {job.name} NOT RUN: {error}", file=sys.stderr, flush=True)
            draw()
        if failed:
            raise InputError("results", f"{len(failed)} that could not be run", "none; see above")
    draw()


def record_run(runner: Runner, only: Sequence[str], path: Path) -> None:
    """Score a run that was trained elsewhere, and record it."""
    names = [[name for name in only if name in known] for known in (runner.plan.sets, runner.plan.methods)]
    if [len(each) for each in names] != [1, 1]:
        raise InputError("--record", f"--only {','.join(only)}", "one set and one method of the plan")
    card: Mapping[str, Any] = kineme.load(path).card
    method = runner.plan.methods[names[1][0]]
    if card["method"] != method.method:
        raise InputError(path, f"a run of {card['method']}", f"one of {method.method}")
    has = plain.flat(card["recipe"])
    if other := [f"{name} = {has.get(name)}" for name, value in method.settings.items() if has.get(name) != value]:
        raise InputError(path, f"a run with {', '.join(other)}", f"the settings of {names[1][0]} in the plan")
    job = Job(names[0][0], names[1][0], card["seed"])
    entry, chosen = runner.plan.sets[job.set], card.get("given") or {}
    words = ["kineme", "pretrain", card["method"], f"store/{entry.store}"]
    words += ["--split", card["split"]] if card.get("split") else []
    words += ["--recipe", chosen["recipe"]] if chosen.get("recipe") else []
    words += [w for key, value in (chosen.get("settings") or {}).items() for w in ("--set", f"{key}={value}")]
    command = shlex.join([*words, "--seed", str(card["seed"]), "--out", path.name])
    print(runner.score(job, path, [command], card["seconds"], card["steps"]))


if __name__ == "__main__":
    sys.exit(main())
