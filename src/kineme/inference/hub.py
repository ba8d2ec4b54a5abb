"""Runs in the layout of model hubs: a folder with a model card, a config and safetensors, to be passed on as it is.

Nothing that is fetched is executed: weights are safetensors, everything else JSON and plain arrays, and a run is opened
once before it is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..training import bundled
from ..utils import files
from ..utils.errors import InputError
from . import model_card
from .model import Model

KIND = "kineme-run"
NEEDED = ("card.json", "model.safetensors")
OPTIONAL = ("initial.safetensors", "trained_on.npy")  # the encoder before training; which clips it has seen, as hashes
CONFIG, README = "config.json", "README.md"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".tar")
MOST = 8 << 30  # bytes of a file


def push(run: str | os.PathLike, dest: str | os.PathLike, scores: str | os.PathLike | None = None) -> Path:
    """Write a run as a folder that a model hub takes: ``README.md`` (the model card), ``config.json``, the run's card
    and weights.

    Logs, resumable states and caches stay behind, and places of this machine are taken out of the card.

    Args:
        run: its folder, or the name of weights that come along.
        dest: a new folder.
        scores: rows that ``kineme evaluate --json`` wrote, for the model card.

    Raises:
        InputError: no finished run, the folder exists, scores that cannot be read. Nothing is left behind then.

    Examples:
        >>> sorted(path.name for path in push(run, "pushed").iterdir())[:3]
        ['README.md', 'card.json', 'config.json']
    """
    run, dest = bundled.folder(files.as_path(run, "a run")), files.as_path(dest, "a folder")
    _new(dest)
    model = Model.open(run, "cpu")
    text = model_card.text(model, scores)
    with files.atomic_folder(dest) as folder:
        for name in (*NEEDED, *OPTIONAL):
            if (run / name).is_file() and name != "card.json":
                shutil.copyfile(run / name, folder / name)
        files.write_json(folder / "card.json", _without_places(files.read_json(run / "card.json", "a run's card")))
        (folder / README).write_text(text, encoding="utf-8")
        hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir()) if path.name != README}
        about = {"library_name": "kineme", "kind": KIND, "kineme": __version__, "files": hashes}
        files.write_json(folder / CONFIG, about)
    return dest


def pull(src: str | os.PathLike, run: str | os.PathLike) -> Path:
    """Take a run out of a folder that :func:`push` wrote, or a copy of it from a model hub.

    Args:
        src: the folder.
        run: a new folder for the run.

    Raises:
        InputError: no run in it, pickled weights, a file that is damaged or does not belong to the others, the folder
            exists. Nothing is left behind then.

    Examples:
        >>> kineme.load(pull(push(run, "passed-on"), "pulled"), "cpu").hash == model.hash
        True
    """
    src, run = files.as_path(src, "a folder"), files.as_path(run, "a run")
    _new(run)
    if not src.is_dir():
        found = "a file" if src.exists() else "no such folder"
        raise InputError(src, found, "a folder that kineme push wrote, or its copy from a model hub")
    missing = [name for name in NEEDED if not (src / name).is_file()]
    if missing:
        pickled = next((path.name for path in sorted(src.iterdir()) if path.suffix.lower() in PICKLES), None)
        if pickled is not None:
            hint = "Authors' checkpoints of known kinds go through kineme import-weights"
            raise InputError(src / pickled, "weights in a pickle, which can run code", "model.safetensors", hint)
        raise InputError(src, f"no {' and no '.join(missing)}", "a folder that kineme push wrote")
    hashes = _hashes(src)
    with files.atomic_folder(run) as folder:
        for name in (*NEEDED, *OPTIONAL):
            path = src / name
            if not path.is_file():
                continue
            if path.stat().st_size > MOST:
                raise InputError(path, f"{path.stat().st_size} bytes", f"at most {MOST}")
            shutil.copyfile(path, folder / name)
            if name in hashes and files.sha256(folder / name) != hashes[name]:
                raise InputError(path, f"bytes that are not those that {CONFIG} names", "the file as it was pushed")
        try:  # card and weights are looked at before they are kept
            Model.open(folder, "cpu")
        except InputError as error:
            raise InputError(
                error.where.replace(str(folder), str(src)), error.found, error.expected, error.hint
            ) from None
    return run


def _hashes(src: Path) -> Mapping[str, str]:
    """What the config says of the files; empty where there is none."""
    if not (src / CONFIG).is_file():
        return {}
    config = files.read_json(src / CONFIG, "the config of a run")
    if not isinstance(config, dict) or config.get("kind") != KIND or not isinstance(config.get("files"), dict):
        raise InputError(src / CONFIG, "the config of another kind of model", f'"kind": "{KIND}"')
    return config["files"]


def _new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "the folder exists", "a new folder", "Name another")


def _without_places(value: Any) -> Any:
    """The same with names in the place of absolute paths."""
    if isinstance(value, dict):
        return {key: _without_places(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_places(each) for each in value]
    return Path(value).name if isinstance(value, str) and os.path.isabs(value) else value
