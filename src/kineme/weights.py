"""Weights that others published -> a run: the ``.pth.tar`` files of HaLP and CMD, read without executing a pickle."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import torch
from torch import Tensor

from . import checkpoint, normalise, registry, runs, settings, skeleton, train
from .encoders.recurrent import from_released
from .errors import InputError
from .files import atomic_folder, sha256, write_json
from .recipe import Loop, Recipe
from .skeleton import Layout

KINDS = ("halp", "cmd")
STREAMS = {"encoder_q": "joint", "encoder_q_motion": "motion", "encoder_q_bone": "bone"}  # released name -> stream
ASIDE = re.compile(r"(encoder_k(?:_motion|_bone)?)\..+|((?:queue|queue_ptr|prototypes)(?:_motion|_bone)?)")
CELLS = {3: "gru", 4: "lstm"}  # gates -> cell
MOST_BYTES = 16 << 30  # of a file; the published ones have at most 2 GB
SHOWN = 24  # names in a message


def import_weights(
    file: str | os.PathLike,
    kind: str,
    out: str | os.PathLike | None = None,
    *,
    layout: str | Layout = "ntu25",
    coords: int = 3,
    stream: str = "joint",
    how: str = "ntu",
) -> Path:
    """Turn a checkpoint that the authors of HaLP or CMD distribute into a run, for ``evaluate`` and ``embed``.

    The file is a ``torch.save`` of ``{epoch, state_dict, optimizer}`` or of a bare ``state_dict``. The weights are
    those of the query encoders ``encoder_q.``, and with three streams ``encoder_q_motion.`` and ``encoder_q_bone.``
    (anshulbshah/HaLP, maoyunyao/CMD; spec ``halp.md``, section 3), with or without ``module.`` before every name.
    Hidden size, layers, cell and persons come from the arrays.

    Args:
        file: the checkpoint.
        kind: ``halp`` (one stream, or three: HaLP with CMD) or ``cmd`` (three streams).
        out: folder of the run, by default ``runs/KIND-FILE``; an existing run is never overwritten.
        layout: joints of the input.
        coords: coordinates of a joint.
        stream: what a file with one encoder was trained on; the file does not say.
        how: the normalisation of the training data (:mod:`kineme.normalise`).

    Returns:
        The folder of the run; :func:`report` says what was mapped and what was left aside.

    Raises:
        InputError: not readable without executing something, names missing, unknown or of another shape (they are
            listed), an input that the layout does not divide, a folder that exists.
    """
    file, joints = Path(file), skeleton.layout(layout) if isinstance(layout, str) else layout
    out = Path(out) if out is not None else Path("runs") / f"{kind}-{file.name.split('.')[0]}"
    for name, word, known in (("kind", kind, KINDS), ("stream", stream, tuple(STREAMS.values()))):
        if word not in known:
            raise InputError(name, repr(word), f"one of {', '.join(known)}", registry.did_you_mean(word, known))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "exists already", "a new folder", "Name another with --out; runs are never overwritten")
    arrays, rest = read(file)
    released = _sorted(file, arrays, kind)
    streams = {name: STREAMS[name] if len(released.encoders) > 1 else stream for name in released.encoders}
    persons, over = divmod(released.sizes.inputs, len(joints) * coords)
    if over or not persons:
        raise InputError(
            file,
            f"an input of {released.sizes.inputs} numbers per frame",
            f"a multiple of {len(joints) * coords} ({len(joints)} joints of {joints.name}, {coords} coordinates each)",
            "Name the layout with --layout",
        )
    state = {
        f"encoders.{streams[name]}.{word}": value
        for name, own in released.encoders.items()
        for word, value in from_released(own, persons, len(joints), coords).items()
    }
    chosen = _recipe(kind, released, streams)
    encoder = train.new_method(chosen, joints, coords, persons, seed=0).encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    # what random weights are scored with: the released statistics of the input norm are those of the training clips
    before |= {name: value for name, value in state.items() if ".norm.running_" in name}
    checkpoint.restore(encoder, state, file)
    imported = {
        "file": file.name,
        "sha256": sha256(file),
        "epoch": rest.pop("epoch", None),
        "encoders": streams,
        "mapped": len(state),
        "aside": released.aside | dict.fromkeys(rest, 1),
    }
    normalised = {"normalise": normalise.describe(how, joints, coords)}
    data = SimpleNamespace(layout=joints, coords=coords, persons=persons, hash=None, card=normalised)
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
    lines = [
        f"{made['file']}: epoch {'unknown' if made['epoch'] is None else made['epoch']}, "
        f"{made['mapped']} tensors mapped, sha256 {made['sha256'][:12]}",
        f"  {encoder['layers']} layers of {encoder['cell']}, hidden {encoder['hidden']} in each direction; "
        f"{card['persons']} persons of {len(card['layout']['joints'])} joints ({card['layout']['name']})",
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
    """Refuse what would grow in memory beyond its size on disk."""
    size = os.fstat(handle.fileno()).st_size
    packed = 0
    if handle.read(4) == b"PK\x03\x04":
        with zipfile.ZipFile(handle) as archive:
            records = archive.infolist()
        packed = sum(record.file_size for record in records)
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise InputError(file, "compressed records", "records as torch.save writes them, not compressed")
    if packed > size or size > MOST_BYTES:
        raise InputError(file, f"{size} bytes that claim to hold {max(packed, size)}", f"at most {MOST_BYTES}")
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
class _Sizes:
    """Sizes of the encoders of a file: numbers per frame, hidden size, layers, gates and the word of the cell."""

    inputs: int
    hidden: int
    layers: int
    gates: int
    word: str


@dataclass(frozen=True)
class _Released:
    """What a file holds: ``encoders`` released name -> its arrays without the head; size of the contrasted vectors;
    number of names in each room that was left aside.
    """

    encoders: dict[str, dict[str, Tensor]]
    sizes: _Sizes
    dim: int
    aside: dict[str, int]


def _sorted(file: Path, arrays: dict[str, Tensor], kind: str) -> _Released:
    """Sort names into their rooms and check every name and shape of the query encoders."""
    rooms: dict[str, dict[str, Tensor]] = {}
    aside: Counter[str] = Counter()
    unknown = []
    for name, value in arrays.items():
        room, _, rest = name.partition(".")
        left = ASIDE.fullmatch(name)
        if room in STREAMS and rest:
            rooms.setdefault(room, {})[rest] = value
        elif left:
            aside[left[1] or left[2]] += 1
        else:
            unknown.append(name)
    wanted = list(STREAMS) if kind == "cmd" or len(rooms) > 1 else ["encoder_q"]
    sizes = _sizes(file, rooms)
    dim = _commonest(
        len(value)
        for name, value in arrays.items()
        if value.dim() == 2 and re.fullmatch(r"encoder_q\w*\.fc(\.2)?\.weight|queue(_motion|_bone)?", name)
    )
    missing, shapes = [], []
    for room in wanted:
        own = rooms.get(room, {})
        names = _shapes(sizes, dim or 0, two=any(name.startswith(("fc.0.", "fc.2.")) for name in own))
        missing += [f"{room}.{name}" for name in names if name not in own]
        unknown += [f"{room}.{name}" for name in own if name not in names]
        shapes += [
            f"{room}.{name} {tuple(own[name].shape)} instead of {shape}"
            for name, shape in names.items()
            if name in own and own[name].shape != shape
        ]
    if missing or unknown or shapes:
        parts = (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        raise InputError(
            file,
            "names that do not fit (" + "; ".join(f"{what}: {_some(names)}" for what, names in parts if names) + ")",
            f"{'three encoders' if len(wanted) > 1 else 'one encoder'} as {kind} has, each name with its shape",
            "A file with one encoder is imported with --as halp" if kind == "cmd" and len(rooms) == 1 else "",
        )
    encoders = {
        room: {name: value for name, value in rooms[room].items() if not name.startswith("fc.")} for room in wanted
    }
    infinite = [f"{room}.{name}" for room, own in encoders.items() for name in own if not own[name].isfinite().all()]
    if infinite:
        raise InputError(file, f"values that are not finite in {_some(infinite)}", "finite weights")
    aside.update({f"{room}.fc": sum(name.startswith("fc.") for name in rooms[room]) for room in wanted})
    return _Released(encoders, sizes, dim or 1, dict(aside))


def _sizes(file: Path, rooms: Mapping[str, Mapping[str, Tensor]]) -> _Sizes:
    """By majority over all arrays, so that a single wrong one is found wrong."""
    pattern = re.compile(r"encoder\.(\w+)\.((?:weight|bias)_[ih]h)_l(\d+)((?:_reverse)?)")
    found = [
        (room, parts, tuple(value.shape))
        for room, own in rooms.items()
        for name, value in own.items()
        if (parts := pattern.fullmatch(name))
    ]
    square = [shape for _, parts, shape in found if parts[2] == "weight_hh" and len(shape) == 2 and shape[1]]
    hidden = _commonest(shape[1] for shape in square)
    gates = _commonest(shape[0] // shape[1] for shape in square)
    layers = _commonest(Counter((room, parts[1], parts[2], parts[4]) for room, parts, _ in found).values())
    inputs = _commonest(
        [shape[1] for _, parts, shape in found if parts[2] == "weight_ih" and parts[3] == "0" and len(shape) == 2]
        + [len(v) for own in rooms.values() for n, v in own.items() if n.startswith("input_norm.") and v.dim() == 1]
    )
    word = _commonest(parts[1] for _, parts, _ in found)
    if not (hidden and layers and inputs and word and gates in CELLS):
        raise InputError(
            file,
            "no recurrent query encoder in it",
            "encoder_q.encoder.gru.weight_ih_l0 and so on",
            "Only weights of HaLP and CMD can be imported",
        )
    return _Sizes(inputs, hidden, layers, gates, word)


def _shapes(sizes: _Sizes, dim: int, two: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one released query encoder with its head of one or two layers."""
    wide, rows = 2 * sizes.hidden, sizes.gates * sizes.hidden
    shapes: dict[str, tuple[int, ...]] = {
        f"input_norm.{name}": (sizes.inputs,) for name in ("weight", "bias", "running_mean", "running_var")
    }
    shapes["input_norm.num_batches_tracked"] = ()
    for layer in range(sizes.layers):
        for end in (f"l{layer}", f"l{layer}_reverse"):
            inner = {"weight_ih": (rows, wide if layer else sizes.inputs), "weight_hh": (rows, sizes.hidden)}
            for name, shape in (inner | {"bias_ih": (rows,), "bias_hh": (rows,)}).items():
                shapes[f"encoder.{sizes.word}.{name}_{end}"] = shape
    head = {"fc.0": wide, "fc.2": dim} if two else {"fc": dim}
    for name, out in head.items():
        shapes |= {f"{name}.weight": (out, wide), f"{name}.bias": (out,)}
    return shapes


def _recipe(kind: str, released: _Released, streams: Mapping[str, str]) -> Recipe:
    """Settings as far as the file tells them, the published ones otherwise."""
    cls, sizes = registry.entry("methods", kind), released.sizes
    method: dict[str, Any] = {"dim": released.dim}
    if kind == "halp":
        method |= {"cmd": True} if len(streams) > 1 else {"stream": next(iter(streams.values()))}
    encoder = {"cell": CELLS[sizes.gates], "hidden": sizes.hidden, "layers": sizes.layers}
    return Recipe(
        kind,
        "recurrent",
        settings.as_dict(settings.make(cls.Settings, method, "method")),
        settings.as_dict(settings.make(registry.entry("encoders", "recurrent").Settings, encoder, "encoder")),
        settings.make(Loop, cls.loop, "loop"),
        "imported",
    )


def _commonest(values: Iterable[Any]) -> Any:
    """The most frequent value, the first of several; None of none."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
