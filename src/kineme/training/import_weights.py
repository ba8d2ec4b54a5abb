"""Weights that others published -> a run: ``.pth.tar`` files of HaLP, CMD and HiCo, read without executing a pickle."""

from __future__ import annotations

import json
import os
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from ..motion import layout as skeleton
from ..motion.layout import Layout
from ..motion.normalise import describe
from ..utils import registry, settings
from ..utils.errors import InputError
from ..utils.files import as_path, atomic_folder, sha256, write_json
from . import checkpoint, pickled, recipe
from . import run as runs
from .published import Form, Shape, form_of, kinds
from .recipe import Loop, Recipe, preset

STREAMS = ("joint", "motion", "bone")
QUEUE = re.compile(r"(?:[cptsi]_)?queue(?:_motion|_bone)?")
MOST_BYTES = 16 << 30  # of a file; the published ones have at most 2 GB
PICKLES = 5  # of a file that is no zip archive
SHOWN = 24  # names in a message


def import_weights(
    file: str | os.PathLike,
    kind: str,
    out: str | os.PathLike | None = None,
    *,
    layout: str | Layout = "ntu25",
    coords: int = 3,
    stream: str = "joint",
    heads: int = 4,
    normalise: str = "ntu",
) -> Path:
    """Turn a checkpoint that the authors of HaLP, CMD or HiCo distribute into a run, for ``evaluate`` and ``embed``.

    The file is a ``torch.save`` of ``{epoch, state_dict, optimizer}`` or of a bare ``state_dict``. The weights are
    those of the query encoders ``encoder_q.``, and with three streams ``encoder_q_motion.`` and ``encoder_q_bone.``
    (anshulbshah/HaLP, maoyunyao/CMD, HuiGuanLab/HiCo), with or
    without ``module.`` before every name. Hidden size, layers, cell, persons, and HiCo's granularities and frames come
    from the arrays.

    Args:
        file: the checkpoint.
        kind: the method whose authors wrote the file: one that defines ``RELEASED``.
        out: folder of the run, by default ``runs/KIND-FILE``; an existing run is never overwritten.
        layout: joints of the input.
        coords: coordinates of a joint.
        stream: what a file with one encoder was trained on; the file does not say.
        heads: of a Transformer; the file does not say.
        normalise: the normalisation of the training data (:mod:`kineme.motion.normalise`).

    Returns:
        The folder of the run; :func:`report` says what was mapped and what was left aside.

    Raises:
        InputError: not readable without executing something, names missing, unknown or of another shape (they are
            listed), an input that the layout does not divide, a folder that exists.

    Examples:
        >>> run = kineme.import_weights("halp.pth.tar", "halp")  # doctest: +SKIP
        >>> kineme.import_weights("absent.tar", "halp")
        Traceback (most recent call last):
            ...
        kineme.utils.errors.InputError: absent.tar: ...
    """
    file, joints = as_path(file, "a checkpoint"), skeleton.layout(layout) if isinstance(layout, str) else layout
    out = Path(out) if out is not None else Path("runs") / f"{kind}-{file.name.split('.')[0]}"
    for name, word, known in (("kind", kind, tuple(kinds())), ("stream", stream, STREAMS)):
        if word not in known:
            raise InputError(name, repr(word), f"one of {', '.join(known)}", registry.did_you_mean(word, known))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "exists already", "a new folder", "Name another with --out; runs are never overwritten")
    arrays, rest = read(file)
    found = _sorted(file, arrays, kind)
    streams = {name: kinds()[kind].streams[name] if len(found.encoders) > 1 else stream for name in found.encoders}
    persons = found.form.persons(len(joints), coords)
    if not persons:
        raise InputError(
            file,
            f"an input of {found.form.input}",
            f"a multiple of {len(joints) * coords} ({len(joints)} joints of {joints.name}, {coords} coordinates each)",
            "Name the layout with --layout",
        )
    state = {
        f"encoders.{streams[name]}.{word}": value
        for name, own in found.encoders.items()
        for word, value in found.form.state(own, persons, len(joints), coords).items()
    }
    chosen = _recipe(kind, found.form, streams, coords, heads)
    encoder = recipe.build_method(chosen, joints, coords, persons, seed=0).encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    # what the untrained encoder is scored with: the released statistics of the input norm are those of the
    # training clips
    before |= {name: value for name, value in state.items() if ".norm.running_" in name}
    checkpoint.restore(encoder, state, file)
    imported = {
        "file": file.name,
        "sha256": sha256(file),
        "epoch": rest.pop("epoch", None),
        "encoders": streams,
        "mapped": len(state),
        "aside": found.aside | dict.fromkeys(rest, 1),
    }
    published = {"normalise": describe(normalise, joints, coords), "unit": "m" if coords == 3 else "px"}  # of Kinects
    data = SimpleNamespace(layout=joints, coords=coords, persons=persons, hash=None, card=published)
    card = runs.card(chosen, data, [], None, 0, 0, "cpu") | {"status": "done", "clips": None, "imported": imported}
    with atomic_folder(out) as folder:
        checkpoint.save(folder / "initial.safetensors", before)
        checkpoint.save(folder / "model.safetensors", encoder.state_dict())
        (folder / "log.jsonl").write_text("")
        write_json(folder / "card.json", card)
    return out


def report(run: str | os.PathLike) -> str:
    """What an imported run took from its file and what it left aside, for people."""
    card = json.loads((Path(run) / "card.json").read_bytes())
    made, encoder = card["imported"], card["recipe"]["encoder"]
    more = " in each direction"
    if "granularities" in encoder:
        more = f", {encoder['granularities']} granularities of {encoder['frames']} frames"
        more += f", {encoder['heads']} heads (not in the file)" if encoder["cell"] == "transformer" else ""
    lines = [
        (
            f"{made['file']}: epoch {'unknown' if made['epoch'] is None else made['epoch']}, "
            f"{made['mapped']} tensors mapped, sha256 {made['sha256'][:12]}"
        ),
        (
            f"  {encoder['layers']} layers of {encoder['cell']}, hidden {encoder['hidden']}{more}; "
            f"{card['persons']} persons of {len(card['layout']['joints'])} joints ({card['layout']['name']})"
        ),
        *(f"  {name} -> {stream}" for name, stream in made["encoders"].items()),
    ]
    aside = ", ".join(f"{room} ({count})" for room, count in made["aside"].items())
    return "\n".join([*lines, f"  left aside, not needed to embed: {aside or 'nothing'}"])


def read(file: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Names -> tensors of a checkpoint, ``module.`` removed, and what else is in it (epoch, optimizer).

    PyTorch's restricted reader is used: it builds tensors and plain containers and calls nothing else.

    Raises:
        InputError: a file that asks for anything else, is compressed, claims more than it holds, or is damaged.
    """
    try:
        with open(file, "rb") as handle:
            _bounded(file, handle)
            whole = torch.load(handle, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(file, "no such file", "a checkpoint (.pth.tar)") from None
    except Exception as error:  # torch, zipfile and the pickle reader raise many kinds for hostile and damaged files
        raise InputError(
            file, _reason(error), "tensors and plain containers as torch.save writes them", "Take another copy"
        ) from None
    whole = whole if isinstance(whole, Mapping) else {}
    state = whole.get("state_dict", whole)
    if not isinstance(state, Mapping) or not state or not all(isinstance(name, str) for name in state):
        raise InputError(file, "no state_dict in it", "{epoch, state_dict, optimizer}, or a state_dict alone")
    odd = [name for name, value in state.items() if not _plain(value)]
    if odd:
        raise InputError(file, f"no plain tensors under {_some(odd)}", "dense tensors whose values are in the file")
    if sum(value.numel() * value.element_size() for value in state.values()) > os.path.getsize(file):
        raise InputError(file, "names that share their values and so claim more than it holds", "values of their own")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    rest = {name: value for name, value in whole.items() if name != "state_dict"} if "state_dict" in whole else {}
    if not isinstance(rest.get("epoch"), int):
        rest.pop("epoch", None)
    return {name: value.detach() for name, value in state.items()}, {str(name): rest[name] for name in rest}


def _bounded(file: str | os.PathLike, handle: BinaryIO) -> None:
    """Refuse what would grow in memory beyond its size on disk, or call something foreign."""
    size = os.fstat(handle.fileno()).st_size
    if size > MOST_BYTES:
        raise InputError(file, f"{size} bytes", f"at most {MOST_BYTES}")
    if handle.read(4) == b"PK\x03\x04":
        with zipfile.ZipFile(handle) as archive:
            records = archive.infolist()
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise InputError(file, "compressed records", "records as torch.save writes them, not compressed")
            packed = sum(record.file_size for record in records)
            if packed > size:
                raise InputError(file, f"{size} bytes that claim to hold {packed}", "no more than they are")
            for record in records:
                if record.filename.endswith(".pkl"):
                    with archive.open(record) as pickle:
                        pickled.check(file, cast(BinaryIO, pickle), size)
    elif tarfile.is_tarfile(file):  # of PyTorch before 0.1.10, whose reader unpacks them into a folder
        raise InputError(file, "a tar archive", "a file that torch.save wrote")
    else:  # of PyTorch before 1.6: number, version, machine, what was saved, keys of arrays; then these
        handle.seek(0)
        for _ in range(PICKLES):
            pickled.check(file, handle, size)
    handle.seek(0)


def _reason(error: Exception) -> str:
    """Why the restricted reader stopped, without its advice to read the file unrestricted."""
    asked = re.search(r"GLOBAL (\S+)|callable (\S+)|find class (\S+)", str(error))
    if asked:
        name = next(filter(None, asked.groups()))
        return f"its pickle asks for {name[:80]}, which is no tensor and no plain container; nothing was executed"
    return f"damaged, or not written by torch.save ({type(error).__name__})"


def _plain(value: Any) -> bool:
    """A dense tensor whose values all stand in the file; no view that repeats a few of them."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


@dataclass(frozen=True)
class _Sorted:
    """What a file holds: ``encoders`` released name -> its arrays without the head; their form; number of names in each
    room that was left aside.
    """

    encoders: dict[str, dict[str, Tensor]]
    form: Form
    aside: dict[str, int]


def _sorted(file: Path, arrays: dict[str, Tensor], kind: str) -> _Sorted:
    """Sort names into their rooms and check every name and shape of the query encoders."""
    known = kinds()[kind]
    rooms: dict[str, dict[str, Tensor]] = {}
    aside: Counter[str] = Counter()
    unknown = []
    for name, value in arrays.items():
        room, _, rest = name.partition(".")
        left = re.fullmatch(known.aside, name)
        if room in known.streams and rest:
            rooms.setdefault(room, {})[rest] = value
        elif left:
            aside[left[1] or left[2]] += 1
        else:
            unknown.append(name)
    wanted = list(known.streams)[: None if known.every or len(rooms) > 1 else 1]
    form = _form(file, arrays, rooms, kind)
    missing, shapes = [], []
    for room in wanted:
        own = rooms.get(room, {})
        names = form.shapes(own)
        missing += [f"{room}.{name}" for name in names if name not in own]
        unknown += [f"{room}.{name}" for name in own if name not in names]
        shapes += [
            f"{room}.{name} {_shape(own[name].shape)} instead of {_shape(shape)}"
            for name, shape in names.items()
            if name in own and not _is(own[name].shape, shape)
        ]
    if missing or unknown or shapes:
        parts = (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        alike = (name for name, other in kinds().items() if other.encoder == known.encoder and not other.every)
        single = next(alike, None) if known.every else None
        raise InputError(
            file,
            "names that do not fit (" + "; ".join(f"{what}: {_some(names)}" for what, names in parts if names) + ")",
            f"{'three encoders' if len(wanted) > 1 else 'one encoder'} as {kind} has, each name with its shape",
            f"A file with one encoder is imported with --as {single}" if single and len(rooms) == 1 else "",
        )
    encoders: dict[str, dict[str, Tensor]] = {room: {} for room in wanted}
    for room in wanted:
        for name, value in rooms[room].items():
            if head := form.head(name):
                aside[f"{room}.{head}"] += 1
            else:
                encoders[room][name] = value
    infinite = [f"{room}.{name}" for room, own in encoders.items() for name in own if not own[name].isfinite().all()]
    if infinite:
        raise InputError(file, f"values that are not finite in {_some(infinite)}", "finite weights")
    return _Sorted(encoders, form, dict(aside))


def _form(file: Path, arrays: dict[str, Tensor], rooms: dict[str, dict[str, Tensor]], kind: str) -> Form:
    queues = [len(value) for name, value in arrays.items() if value.dim() == 2 and QUEUE.fullmatch(name)]
    if form := form_of(kinds()[kind]).guess(rooms, queues):
        return form
    others = [other for other, known in kinds().items() if form_of(known).guess(rooms, queues)]
    raise InputError(
        file,
        f"no query encoder of {kind} in it",
        f"{form_of(kinds()[kind]).example} and so on",
        f"Its names are those of {' or '.join(others)}: name that with --as" if others else "",
    )


def _recipe(kind: str, form: Form, streams: Mapping[str, str], coords: int, heads: int) -> Recipe:
    """Settings as far as the file tells them, the published ones otherwise."""
    cls = registry.entry("methods", kind)
    encoder = form.settings(coords) | ({} if form.gates else {"heads": heads})
    method = form.method(coords)
    method |= kinds()[kind].together if len(streams) > 1 else {"stream": next(iter(streams.values()))}
    return Recipe(
        kind,
        form.encoder,
        settings.as_dict(settings.make(cls.Settings, method, "method")),
        settings.as_dict(settings.make(registry.entry("encoders", form.encoder).Settings, encoder, "encoder")),
        settings.make(Loop, preset(cls, "published").get("loop", {}), "loop"),
        "imported",
    )


def _is(shape: Sequence[int], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(want in (have, None) for have, want in zip(shape, wanted))


def _shape(shape: Shape) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
