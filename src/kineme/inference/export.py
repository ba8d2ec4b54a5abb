"""A run as an ONNX file: a prepared clip goes in, its vector comes out, as :meth:`kineme.Model.embed` gives it.

Cropping and resizing in time are part of the graph. Axes of batch and time are free where a network lets them be: a
trace that does not hold for other sizes is found by running it under onnxruntime, and then that axis is fixed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper as symbols

from ..methods import generator
from ..utils import files
from ..utils.errors import InputError
from ..views.augment import centre_crop
from ..views.batch import Batch
from ..views.source import resize_plan
from . import model_card
from .model import Model, load

OPSET = 18
APART = 1e-3  # a difference of vectors that is more than rounding, of their largest value
INPUTS, OUTPUT = ("joints", "confidence"), "vector"
BATCHES = (2, 1, 5)
MANY = 2**62


class Exported(NamedTuple):
    """What came of an export.

    Attributes:
        path, card: the file, and the model card beside it.
        difference: largest between the vectors of onnxruntime and of torch, of random movements of several sizes.
        scale: largest value of these vectors.
        batch, frames: None where the axis is free, else its size.
    """

    path: Path
    card: Path
    difference: float
    scale: float
    batch: int | None
    frames: int | None


def onnx(run: Model | str | os.PathLike, path: str | os.PathLike, scores: str | os.PathLike | None = None) -> Exported:
    """Write a run's encoder as an ONNX file, and a model card beside it.

    Inputs are ``joints`` float32 ``[B, T, M, V, C]``, prepared as :meth:`kineme.Model.fitted` does, and ``confidence``
    float32 ``[B, T, M, V]``, 0 = missing; output is ``vector`` float32 ``[B, D]``. The file's metadata name the joints,
    the normalisation and the hash of the weights.

    Args:
        run: an opened run, its folder, or the name of weights that come along.
        path: ``.onnx`` to write; the card is called like it, ``.md``.
        scores: rows that ``kineme evaluate --json`` wrote, for the card.

    Raises:
        InputError: onnx or onnxruntime is not installed; an encoder of pictures, or with operators that ONNX lacks;
            vectors that differ from torch's. Nothing is written then.

    Examples:
        >>> made = onnx(run, "run.onnx")  # doctest: +SKIP
        >>> made.difference / made.scale < 1e-3  # doctest: +SKIP
        True
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise InputError("--onnx", str(path), "a name that ends with .onnx")
    for package in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise InputError(package, "not installed", "it, for exports", "pip install 'kineme[onnx]'") from None
    model = run if isinstance(run, Model) and run.device.type == "cpu" else load(_place(run), "cpu")
    if model.encoder.pictures:
        raise InputError(_name(model), "an encoder of pictures", "one of joints alone")
    text = model_card.text(model, scores)  # a table of scores that cannot be read is said first
    graph = Graph(model).eval()
    made, batch, frames = _free(model, graph)
    difference, scale = _compared(model, graph, made, batch, frames)
    if not difference <= APART * scale:
        found = f"vectors that differ from torch's by {difference:.3g} (largest value {scale:.3g})"
        raise InputError(_name(model), found, "equal vectors", "This encoder cannot be exported")
    with files.atomic(path) as temporary:
        temporary.write_bytes(_described(made, model))
    axes = f"batch {batch or 'free'}, frames {frames or 'free'}"
    said = f"`{path.name}`: {axes}; largest difference to torch {difference:.2g} (values up to {scale:.2g})."
    with files.atomic(path.with_suffix(".md")) as temporary:
        temporary.write_text(f"{text}\n## ONNX\n\n{said}\n", encoding="utf-8")
    return Exported(path, path.with_suffix(".md"), difference, scale, batch, frames)


class Graph(nn.Module):
    """What is exported: the crop, the resizing in time, the encoder.

    Args:
        model: the run.
    """

    def __init__(self, model: Model):
        super().__init__()
        self.encoder, self.ratio, self.frames = model.encoder, model.card["crop"]["ratio"], model.card["crop"]["frames"]
        self.sizes = self.frames, model.card["persons"], len(model.layout), model.card["coords"]

    def forward(self, joints: Tensor, confidence: Tensor) -> Tensor:
        """``[B, T, M, V, C]``, ``[B, T, M, V]`` -> ``[B, D]``."""
        crop = centre_crop(torch._shape_as_tensor(joints)[1:2], self.ratio)
        first, second, share = (x[0] for x in resize_plan(crop.length, self.frames))
        first, second = first + crop.start, second + crop.start
        seen = (confidence > 0).to(joints)
        late = share.to(joints)[:, None, None]
        before, after = seen[:, first] * (1 - late), seen[:, second] * late
        after = (after / (before + after).clamp(min=1e-12))[..., None]  # of what is seen only, as in `views.source`
        joints = joints * seen[..., None]
        joints = torch.lerp(joints[:, first], joints[:, second], after).view(-1, *self.sizes)  # known once more
        confidence = torch.lerp(confidence[:, first], confidence[:, second], late).view(-1, *self.sizes[:3])
        return self.encoder(Batch(joints, confidence, torch.zeros(1, dtype=torch.int64))).clip


def _free(model: Model, graph: Graph) -> tuple[bytes, int | None, int | None]:
    """The traced graph with as many free axes as it holds for; sizes of those that are not."""
    why = ""
    for batch, frames in ((None, None), (1, None), (None, graph.frames), (1, graph.frames)):
        made = _traced(model, graph, batch, frames)
        try:
            _compared(model, graph, made, batch, frames)
            return made, batch, frames
        except _Mismatch as error:
            why = " ".join(str(error).split())[:300]
    found = f"a graph that onnxruntime does not run as torch does ({why})"
    raise InputError(_name(model), found, "equal vectors", "This encoder cannot be exported")


def _traced(model: Model, graph: Graph, batch: int | None, frames: int | None) -> bytes:
    axes = {name: {0: "batch", 1: "frames"} for name in INPUTS} | {OUTPUT: {0: "batch"}}
    sizes = {"batch": batch, "frames": frames}
    free = {name: {i: word for i, word in named.items() if sizes[word] is None} for name, named in axes.items()}
    example = _movements(model, batch or BATCHES[0], frames or graph.frames)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            torch.no_grad(),
            warnings.catch_warnings(action="ignore"),
            _more_symbols(),
            _quiet(),
        ):
            file = Path(folder) / "graph.onnx"
            torch.onnx.export(
                graph,
                example,
                file,
                dynamo=False,  # the other way needs onnxscript
                opset_version=OPSET,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes=free,
            )
            return file.read_bytes()
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        said = str(error).strip().splitlines()[-1][:200]
        raise InputError(_name(model), f"a network that ONNX lacks something for ({said})", "another encoder") from None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Mismatch(Exception):
    """A graph that does not run on a size."""


def _compared(model: Model, graph: Graph, made: bytes, batch: int | None, frames: int | None) -> tuple[float, float]:
    """Largest difference and largest value of vectors, over movements of several sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each fault
        raise _Mismatch(str(error)) from None
    difference = scale = 0.0
    lengths = (graph.frames, 2 * graph.frames + 7, 5, 1) if frames is None else (frames,)
    for size in BATCHES if batch is None else (batch,):
        for length in lengths:
            given = _movements(model, size, length)
            with torch.no_grad():
                expected = graph(*given).numpy()
            try:
                (found,) = session.run(None, {name: x.numpy() for name, x in zip(INPUTS, given)})
            except Exception as error:
                raise _Mismatch(str(error)) from None
            if found.shape != expected.shape:
                raise _Mismatch(f"{found.shape} instead of {expected.shape}")
            difference = max(difference, float(np.abs(found - expected).max()))
            scale = max(scale, float(np.abs(expected).max()))
    if not difference <= APART * scale:
        raise _Mismatch(f"a difference of {difference}")
    return difference, scale


def _movements(model: Model, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Random smooth movements with gaps, the second person of the first clip absent."""
    gen, card = generator("export", batch, frames), model.card
    shape = (batch, 1, card["persons"], len(model.layout), card["coords"])
    rest, swing, phase = (torch.randn(shape, generator=gen) for _ in range(3))
    time = torch.linspace(0, 6, frames)[:, None, None, None]
    confidence = (torch.rand((batch, frames, *shape[2:4]), generator=gen) > 0.1).float()
    confidence[:1, :, 1:] = 0
    joints = rest / 2 + swing / 4 * torch.sin(time + 3 * phase)
    return joints * confidence[..., None], confidence


def _described(made: bytes, model: Model) -> bytes:
    """The file with what its input has to be among its metadata."""
    import onnx as format

    card = model.card
    said = {
        "kineme": json.dumps(
            {
                "weights": model.hash,
                "joints": list(model.layout.joints),
                "coords": card["coords"],
                "persons": card["persons"],
                "normalise": card["normalise"],
                "size": card.get("size"),
                "up": card.get("up"),
                "crop": card["crop"],
                "dim": model.dim,
            }
        )
    }
    proto = format.load_from_string(made)
    format.checker.check_model(proto)
    format.helper.set_model_props(proto, said)
    return proto.SerializeToString()


def _place(run: Any) -> Any:
    return run.path if isinstance(run, Model) and run.path is not None else run


def _name(model: Model) -> str:
    return str(model.path or "the model")


# ------------------------------------------------------------------------------------- operators that are lacking


def _transposed(g: Any, x: Any) -> Any:
    rank = x.type().dim()
    return g.op("Transpose", x, perm_i=[*range(rank - 2), rank - 1, rank - 2])


def _hypot(g: Any, a: Any, b: Any) -> Any:
    return g.op("Sqrt", g.op("Add", g.op("Mul", a, a), g.op("Mul", b, b)))


@symbols.parse_args("v", "i", "i", "none", "none")
def _diff(g: Any, x: Any, n: int, dim: int, prepend: None, append: None) -> Any:
    late, early = (
        symbols._slice_helper(g, x, axes=[dim], starts=[start], ends=[end]) for start, end in ((1, MANY), (0, -1))
    )
    return g.op("Sub", late, early)


@symbols.parse_args("v", "i")
def _cummax(g: Any, x: Any, dim: int) -> tuple[Any, Any]:
    """The largest so far along an axis: the maximum over a triangle."""

    def number(value: int) -> Any:
        return g.op("Constant", value_t=torch.tensor(value))

    size = g.op("Gather", g.op("Shape", x), number(dim), axis_i=0)
    place = g.op("Range", number(0), size, number(1))
    later = g.op("Greater", symbols._unsqueeze_helper(g, place, [0]), symbols._unsqueeze_helper(g, place, [1]))
    later = symbols._unsqueeze_helper(g, later, list(range(2, x.type().dim() - dim + 1)))
    wide = g.op("Where", later, number(-MANY), symbols._unsqueeze_helper(g, x, [dim]))
    found = g.op("ReduceMax", wide, g.op("Constant", value_t=torch.tensor([dim + 1])), keepdims_i=0)
    return found, found  # nobody asks for the places


@contextlib.contextmanager
def _more_symbols() -> Iterator[None]:
    """What torch's exporter lacks, for the time of an export."""
    table: dict[str, Any] = {"mT": _transposed, "hypot": _hypot, "diff": _diff, "cummax": _cummax}
    for name, symbol in table.items():
        torch.onnx.register_custom_op_symbolic(f"aten::{name}", symbol, OPSET)
    try:
        yield
    finally:
        for name in table:
            torch.onnx.unregister_custom_op_symbolic(f"aten::{name}", OPSET)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the thousand lines that torch's exporter prints when it fails, not by way of ``sys.stdout``."""
    sys.stdout.flush()
    kept, none = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(none, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(none)
