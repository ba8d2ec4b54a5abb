"""What several commands share: common arguments, tables, a store in words."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils import threads
from ...utils.errors import InputError

if TYPE_CHECKING:
    from ...data.store import Store

MOST_THREADS = 4096  # that a run's card may ask for


def add_set(parser: argparse.ArgumentParser, metavar: str, examples: str) -> None:
    """``--set``, given once for each setting."""
    parser.add_argument("--set", action="append", default=[], metavar=metavar, help=f"e.g. {examples}")


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: CUDA where there is one)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """``--jobs``; :func:`jobs` reads it."""
    parser.add_argument(
        "--jobs", type=int, default=0, help="processes that prepare (default: one per core that may be used)"
    )


def jobs(args: argparse.Namespace) -> int:
    """How many processes."""
    return args.jobs or threads.usable()


def add_ray(parser: argparse.ArgumentParser) -> None:
    """``--ray``; :func:`ray` reads it."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="by the workers of a Ray cluster (extra `cluster`): one that starts here, or that at `auto` or HOST:PORT",
    )


def ray(args: argparse.Namespace) -> str | None:
    """The address of the cluster, looked at before anything else: it may be a folder that stands behind ``--ray``."""
    if args.ray is not None:
        from ...utils import ray_cluster

        ray_cluster.check(args.ray)
    return args.ray


def add_renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Refuse an option of an earlier version by the name that it has now."""
    parser.add_argument(old, action=_Renamed, nargs="?", help=argparse.SUPPRESS, metavar=new)


class _Renamed(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise InputError(str(option_string), f"this option is now called {self.metavar}")


def command_line(args: argparse.Namespace, *words: object) -> str:
    """A command with the plug-ins of this one, to be copied into a shell."""
    plugins = [word for path in args.plugin for word in ("--plugin", path)]
    return shlex.join(["kineme", *plugins, *map(str, words)])


def choose_threads(resumed: str | os.PathLike | None = None) -> None:
    """Load torch, and take as many threads as there were free cores while it was loaded.

    A user who has set ``OMP_NUM_THREADS`` is obeyed. A run that is resumed takes what its card says, since the number
    of threads decides the last bits of sums.

    Args:
        resumed: folder of the run.
    """
    if threads.told(os.environ) or "torch" in sys.modules:
        return
    load = threads.Load()
    import torch
    from threadpoolctl import threadpool_limits

    from ...utils.files import read_json

    card = Path(resumed or "") / "card.json"
    recorded = read_json(card, "a run's card") if resumed is not None and card.is_file() else None
    number = recorded.get("threads") if isinstance(recorded, dict) else load.free()
    if isinstance(number, int) and 1 <= number <= MOST_THREADS:
        os.environ["OMP_NUM_THREADS"] = str(number)  # for what is loaded later
        torch.set_num_threads(number)
        threadpool_limits(number)  # NumPy's BLAS, which is loaded already


def print_table(table: Any) -> None:
    """Print a table of rich, as wide as the terminal or, into a file, 140 columns."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 140).print(table)


def print_store(data: Store) -> None:
    """Say what a store holds beside what its report tells."""
    print(f"hash {data.hash[:12]}")
    print(f"columns: {', '.join(data.clips.column_names)}")


def add_preparation(parser: argparse.ArgumentParser) -> None:
    """What is said about motion files wherever they are prepared; :func:`preparation` reads it."""
    parser.add_argument("--data", metavar="FILES", help="the motion files, a folder or a file")
    parser.add_argument("--format", help="take every file as this format (see `kineme methods`)")
    parser.add_argument(
        "--labels",
        metavar="FILE.csv|folder|PATTERN|BENCHMARK",
        help="labels from a table; `folder`: each file's folder is its label; a pattern of the files' names such as "
        "'S{subject}_{label}_{repetition}'; a benchmark such as ucf101; or the label files of a format",
    )
    parser.add_argument("--layout", help="map every clip to this layout, by joint name")
    parser.add_argument(
        "--only", metavar="KIND", help="of a mixed folder take this only: 2d, 3d, a format, or a layout of the files"
    )
    parser.add_argument("--unit", help="of lengths in space: cm, m, inches, ..., metres in one, or torso: scale by it")
    parser.add_argument("--up", metavar="AXIS", help="the axis that points up, e.g. +z")
    parser.add_argument(
        "--read",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what files do not say: keypoints=LAYOUT, landmarks=world|image, images=video|photos",
    )


def add_poses(parser: argparse.ArgumentParser) -> None:
    """``--poses``."""
    parser.add_argument(
        "--poses",
        metavar="FOLDER",
        help="the files are videos (a folder, one file, or a list: CSV with columns video, label, split, poses), their "
        "pose tracks are found here by name, and the store holds the pictures too",
    )


def add_windows(parser: argparse.ArgumentParser) -> None:
    """``--window``, ``--step`` and ``--fps``."""
    parser.add_argument("--window", type=float, metavar="SECONDS", help="cut clips into windows of this length")
    parser.add_argument(
        "--step", type=float, metavar="SECONDS", help="from one window to the next (default: half of it)"
    )
    add_fps(parser)


def add_fps(parser: argparse.ArgumentParser) -> None:
    """``--fps``: it means the same wherever files are read."""
    parser.add_argument(
        "--fps", type=float, metavar="RATE", help="frames per second of recordings that do not say; changes no frame"
    )


def add_cleaning(parser: argparse.ArgumentParser) -> None:
    """``--clean`` and its settings; :func:`cleaning` reads them."""
    parser.add_argument(
        "--clean", action="store_true", help="drop doubtful joints, fill short gaps, filter noise (with --set)"
    )
    add_set(parser, "clean.NAME=VALUE", "clean.gap=0.5, clean.cutoff=10, clean.smooth=none, clean.feet=true")


def cleaning(args: argparse.Namespace) -> dict[str, Any] | None:
    """The settings of :class:`kineme.motion.clean.Cleaning` that were given; None without ``--clean``."""
    from ...utils import settings

    given = settings.assignments(args.set)
    for name in given:
        if not name.startswith("clean."):
            raise InputError(f"--set {name}", "no such setting", "clean.NAME=VALUE")
        if not args.clean:
            raise InputError(f"--set {name}", "a setting of --clean without it", "--clean beside it")
    return {name.removeprefix("clean."): value for name, value in given.items()} if args.clean else None


def preparation(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``prepare`` that :func:`add_preparation` took."""
    reading = {}
    for word in args.read:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise InputError(f"--read {word}", "no setting", "NAME=VALUE, such as keypoints=body25b")
        reading[name] = value
    given = {name: getattr(args, name) for name in ("format", "labels", "layout", "only", "unit", "up")}
    return {**given, "reading": reading or None}


def next_step(args: argparse.Namespace, data: Store, place: str) -> str:
    """What to do with a store that was just prepared."""
    from ...data import splits

    if len(data) < 2:
        embed = command_line(args, "embed", "RUN", place, "--out", "vectors")
        return f"Next: add recordings; or embed the clip with a run that there is: {embed}"
    words = ["pretrain", "METHOD", place]
    if _classes(data) > 1:
        name = splits.advised(data)
        words += ["--split", name] if name else []
    return f"Next: {command_line(args, *words)} (kineme methods lists the methods)"


def after_training(args: argparse.Namespace, run: Any, place: str, split: str | None) -> str:
    """What to do with a run: scores where there are labels and clips that it has not seen, else vectors."""
    from ...data import splits, store

    data = store.open(place)
    if split is not None and _classes(data) > 1:
        return f"Next: {command_line(args, 'evaluate', run, place, '--split', split)}"
    said = f"Next: {command_line(args, 'embed', run, place, '--out', 'vectors')}"
    if _classes(data) > 1 and (name := splits.advised(data)):
        said += f" (it learned from every clip; for scores train with a split, such as --split {name})"
    return said


def _classes(data: Store) -> int:
    return len({label for label in data.column("label").tolist() if label is not None})
