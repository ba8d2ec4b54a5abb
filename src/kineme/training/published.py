"""The encoders in checkpoints that others published: their sizes, names and shapes, and what becomes of them here."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from ..encoders import hierarchical, recurrent
from ..methods import Released
from ..utils import registry

Shape = tuple[int | None, ...]  # None: only this array tells, any size
Rooms = Mapping[str, Mapping[str, Tensor]]  # released name of an encoder -> its arrays
CELLS = {3: "gru", 4: "lstm"}  # gates -> cell
MATRICES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@dataclass(frozen=True)
class Form(ABC):
    """Sizes of the query encoders of a file, from which the names and shapes of all their arrays follow.

    Attributes:
        inputs: numbers in a frame.
        hidden, layers: of the encoder.
        gates: of its cell; 0: a Transformer.
        dim: size of the contrasted vectors.
        encoder: name of the encoder here.
        example: a name by which such a file is known.
    """

    inputs: int
    hidden: int
    layers: int
    gates: int
    dim: int

    encoder: ClassVar[str]
    example: ClassVar[str]

    @classmethod
    @abstractmethod
    def guess(cls, rooms: Rooms, queues: Iterable[int]) -> Self | None:
        """Sizes by majority over all arrays, so that a single wrong one is found wrong; None if it is no such file.

        Args:
            queues: sizes of the vectors in the queues.
        """

    @abstractmethod
    def shapes(self, own: Mapping[str, Tensor]) -> dict[str, Shape]:
        """Names and shapes of one encoder with what stands on top of it in training."""

    @staticmethod
    @abstractmethod
    def head(name: str) -> str | None:
        """The word of the head or projector that an array belongs to; None for the encoder's own."""

    @abstractmethod
    def state(self, own: dict[str, Tensor], persons: int, joints: int, coords: int) -> dict[str, Tensor]:
        """One encoder's arrays under the names of this package."""

    @property
    def input(self) -> str:
        """What the encoder takes, for people."""
        return f"{self.inputs} numbers per frame"

    def persons(self, joints: int, coords: int) -> int:
        """How many people of so many joints and coordinates are in the input; 0 where these do not divide it."""
        persons, over = divmod(self.inputs, joints * coords)
        return 0 if over else persons

    def settings(self, coords: int) -> dict[str, Any]:
        """Those of the encoder, as far as the arrays tell them."""
        return {"cell": CELLS.get(self.gates, "transformer"), "hidden": self.hidden, "layers": self.layers}

    def method(self, coords: int) -> dict[str, Any]:
        """Settings of the method that are not its defaults."""
        return {"dim": self.dim or 1}


@dataclass(frozen=True)
class Recurrent(Form):
    """Two stacks of GRUs or LSTMs and a head of one or two layers (Shah et al. 2023).

    Attributes:
        word: what the file calls the cell.
    """

    word: str

    encoder: ClassVar[str] = "recurrent"
    example: ClassVar[str] = "encoder_q.encoder.gru.weight_ih_l0"
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"encoder\.(\w+)\.((?:weight|bias)_[ih]h)_l(\d+)((?:_reverse)?)")

    @classmethod
    def guess(cls, rooms: Rooms, queues: Iterable[int]) -> Self | None:
        found = [
            (room, parts, tuple(value.shape))
            for room, name, value in _each(rooms)
            if (parts := cls.pattern.fullmatch(name))
        ]
        flat = [(parts[2], parts[3], shape) for _, parts, shape in found if len(shape) == 2]
        square = [shape for name, _, shape in flat if name == "weight_hh" and shape[1]]
        first = [shape[1] for name, layer, shape in flat if (name, layer) == ("weight_ih", "0")]
        norms = [len(v) for _, name, v in _each(rooms) if name.startswith("input_norm.") and v.dim() == 1]
        sizes = (
            commonest(first + norms),
            commonest(shape[1] for shape in square),
            commonest(Counter((room, parts[1], parts[2], parts[4]) for room, parts, _ in found).values()),
            commonest(shape[0] // shape[1] for shape in square),
            commonest(parts[1] for _, parts, _ in found),
        )
        if not all(sizes) or sizes[3] not in CELLS:
            return None
        heads = [len(v) for _, name, v in _each(rooms) if name in ("fc.weight", "fc.2.weight") and v.dim() == 2]
        return cls(*sizes[:4], commonest([*heads, *queues]) or 0, sizes[4])

    def shapes(self, own: Mapping[str, Tensor]) -> dict[str, Shape]:
        wide, rows = 2 * self.hidden, self.gates * self.hidden
        shapes: dict[str, Shape] = {
            f"input_norm.{name}": (self.inputs,) for name in ("weight", "bias", "running_mean", "running_var")
        }
        shapes["input_norm.num_batches_tracked"] = ()
        for layer in range(self.layers):
            inner = _cell(rows, wide if layer else self.inputs, self.hidden, layer)
            shapes |= {f"encoder.{self.word}.{name}": shape for name, shape in inner.items()}
        two = any(name.startswith(("fc.0.", "fc.2.")) for name in own)
        return shapes | _linear({"fc.0": (wide, wide), "fc.2": (self.dim, wide)} if two else {"fc": (self.dim, wide)})

    @staticmethod
    def head(name: str) -> str | None:
        return "fc" if name.startswith("fc.") else None

    def state(self, own: dict[str, Tensor], persons: int, joints: int, coords: int) -> dict[str, Tensor]:
        return recurrent.from_released(own, persons, joints, coords)


@dataclass(frozen=True)
class Hierarchical(Form):
    """Branches for time and space and five projectors (Dong et al. 2023).

    Attributes:
        space: numbers in a token of that branch; ``inputs`` are those of the branch time.
    """

    space: int
    granularities: int

    encoder: ClassVar[str] = "hierarchical"
    example: ClassVar[str] = "encoder_q.hi_encoder.t_embedding.0.weight"
    layer: ClassVar[re.Pattern[str]] = re.compile(
        r"hi_encoder\.([ts])_encoder\.(?:layers\.\d+\.(.+)|(\w+_[ih]h)_l\d+((?:_reverse)?))"
    )

    @classmethod
    def guess(cls, rooms: Rooms, queues: Iterable[int]) -> Self | None:
        named = [(name, tuple(value.shape)) for _, name, value in _each(rooms)]
        hidden = commonest(shape[0] for name, shape in named if shape and re.search("_embedding|_downsample", name))
        parts = [parts for name, _ in named if (parts := cls.layer.fullmatch(name))]
        layers = commonest(Counter(part.groups() for part in parts).values())
        rows = commonest(shape[0] for name, shape in named if shape and re.search(r"_encoder\.\w+_[ih]h_l\d", name))
        flat = {name: shape for name, shape in named if len(shape) == 2}
        wide = {"td_proj": 1, "sd_proj": 1, "instance_proj": 2}
        joined = commonest(flat[name][1] // many for head, many in wide.items() if (name := f"{head}.0.weight") in flat)
        if not (hidden and hidden > 1 and layers and joined and joined >= hidden):
            return None
        recurrent_cell = commonest(part[2] is None for part in parts)
        gates = (rows or 0) // (hidden // 2) if recurrent_cell else 0
        if recurrent_cell and gates not in CELLS:
            return None
        time, space = (flat.get(f"hi_encoder.{end}_embedding.0.weight", (0, 0))[1] for end in "ts")
        dim = commonest([shape[0] for name, shape in named if shape and "_proj.2." in name] + [*queues])
        return cls(time, hidden, layers, gates, dim or 0, space, joined // hidden)

    def shapes(self, own: Mapping[str, Tensor]) -> dict[str, Shape]:
        d, wide = self.hidden, self.granularities * self.hidden
        branch = _linear({"embedding.0": (d, None), "embedding.1": (d,), "embedding.3": (d, d)})
        branch |= _linear({"downsample.conv.dw_conv": (d, 1, hierarchical.KERNEL), "downsample.norm": (d,)})
        for layer in range(self.layers):
            inner = _cell(self.gates * (d // 2), d, d // 2, layer) if self.gates else _attention(d, layer)
            branch |= {f"encoder.{name}": shape for name, shape in inner.items()}
        shapes = {f"hi_encoder.{end}_{name}": shape for end in "ts" for name, shape in branch.items()}
        for name, width in {"clip": d, "part": d, "td": wide, "sd": wide, "instance": 2 * wide}.items():
            shapes |= _linear({f"{name}_proj.0": (d, width), f"{name}_proj.2": (self.dim, d)})
        return shapes

    @staticmethod
    def head(name: str) -> str | None:
        room = name.partition(".")[0]
        return room if room.endswith("_proj") else None

    @property
    def input(self) -> str:
        return f"{self.inputs} numbers per frame and {self.space} per joint"

    def persons(self, joints: int, coords: int) -> int:
        return super().persons(joints, coords) if self.space and not self.space % coords else 0

    def settings(self, coords: int) -> dict[str, Any]:
        sizes = {"granularities": self.granularities, "frames": self.space // coords}
        return super().settings(coords) | sizes | {"mask_absent": False}

    def method(self, coords: int) -> dict[str, Any]:
        return super().method(coords) | {"faithful": True, "views": {"frames": self.space // coords}}

    def state(self, own: dict[str, Tensor], persons: int, joints: int, coords: int) -> dict[str, Tensor]:
        return hierarchical.from_released(own)


def kinds() -> dict[str, Released]:
    """Methods whose authors' checkpoints can be imported, and what these hold."""
    found = {name: registry.entry("methods", name).RELEASED for name in registry.names("methods")}
    return {name: released for name, released in found.items() if released is not None}


def form_of(released: Released) -> type[Form]:
    """The released form of an encoder."""
    return next(form for form in Form.__subclasses__() if form.encoder == released.encoder)


def commonest(values: Iterable[Any]) -> Any:
    """The most frequent value, the first of several; None of none."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else None


def _each(rooms: Rooms) -> Iterable[tuple[str, str, Tensor]]:
    return ((room, name, value) for room, own in rooms.items() for name, value in own.items())


def _linear(layers: Mapping[str, Shape]) -> dict[str, Shape]:
    """Weights of these shapes, each with a bias."""
    return {
        f"{name}.{part}": shape if part == "weight" else shape[:1]
        for name, shape in layers.items()
        for part in ("weight", "bias")
    }


def _cell(rows: int, inputs: int, hidden: int, layer: int) -> dict[str, Shape]:
    """Both directions of one layer, as torch names and shapes them."""
    shapes: tuple[Shape, ...] = ((rows, inputs), (rows, hidden), (rows,), (rows,))
    return {f"{name}_l{layer}{end}": shape for end in ("", "_reverse") for name, shape in zip(MATRICES, shapes)}


def _attention(d: int, layer: int) -> dict[str, Shape]:
    """One layer of a Transformer, as torch names and shapes it."""
    shapes: dict[str, Shape] = {"self_attn.in_proj_weight": (3 * d, d), "self_attn.in_proj_bias": (3 * d,)}
    shapes |= _linear({"self_attn.out_proj": (d, d), "linear1": (d, d), "linear2": (d, d)})
    shapes |= _linear({"norm1": (d,), "norm2": (d,)})
    return {f"layers.{layer}.{name}": shape for name, shape in shapes.items()}
