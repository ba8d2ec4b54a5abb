"""How files are turned into clips: the arguments of a preparation, checked."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import io
from ..motion import layout as skeleton
from ..motion import normalise as norms
from ..motion.clean import Cleaning
from ..motion.layout import Layout
from ..utils import registry
from ..utils.errors import InputError
from . import benchmark, kinds, name_pattern, video
from . import labels as tables
from .name_pattern import NamePattern
from .pictures import SIDE

ROOT = "."  # the path of the prepared folder itself, where it is a unit
LATER = ("clean", "window", "step", "fps")  # options that version 0.1.0 did not have


@dataclass(frozen=True)
class Options:
    """How files are turned into clips: the arguments of :func:`prepare`, checked.

    Attributes:
        root: folder to which the paths of files are relative.
        layout: name of a known layout, or what describes another (:meth:`Layout.as_dict`).
        only: ``2d``, ``3d``, a format or a layout: other clips are left out.
        labels: a path, the word ``folder``, or a pattern (:mod:`kineme.data.name_pattern`).
        table: target joint -> source joint or joints.
        reading: settings of formats by name (:func:`kineme.io.settings`).
        pairs: of videos: the pose track of each (:data:`kineme.data.video.Pair`).
        picture_side: pixels of the short side of their pictures.
        clean: how recordings are cleaned, if they are.
        window, step: seconds of the windows that clips are cut into, and from one to the next (half a window).
        fps: frames per second of recordings that do not say.
        unit, up: what lengths in space are in, and which axis is up, whatever the files say; ``torso``: every body in
            space is scaled by its torso.

    Raises:
        InputError: an unknown name, a map without a layout, labels that cannot be read.
    """

    root: Path
    format: str | None = None
    normalise: str | None = None
    labels: str | None = None
    layout: str | Mapping[str, Any] | None = None
    table: Mapping[str, Any] | None = None
    faithful: bool = False
    only: str | None = None
    unit: str | None = None
    up: str | None = None
    reading: Mapping[str, str] | None = None
    unsure: str = "keep"
    pairs: Mapping[str, video.Pair] | None = None
    picture_side: int = SIDE
    clean: Cleaning | None = None
    window: float | None = None
    step: float | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        formats = registry.names("io")
        if self.format is not None and self.format not in formats:
            raise InputError(
                f"format {self.format!r}",
                "no such format",
                f"one of {', '.join(formats)}",
                registry.did_you_mean(self.format, formats),
            )
        if self.normalise is not None and self.normalise not in norms.MODES:
            raise InputError(
                f"normalisation {self.normalise!r}",
                "no such normalisation",
                f"one of {', '.join(norms.MODES)}",
                registry.did_you_mean(self.normalise, norms.MODES),
            )
        if self.only is not None:
            kinds.check(self.only)
        for name, unit in (("window", "seconds"), ("step", "seconds"), ("fps", "frames per second")):
            value = getattr(self, name)
            if value is not None and not (type(value) in (int, float) and 0 < value < math.inf):
                raise InputError(f"--{name}", repr(value), f"{unit} above 0")
        if self.step is not None and self.window is None:
            raise InputError("--step", "a step without a window", "--window beside it")
        _ = self.reader  # looks at unit, axis and settings
        if self.unsure not in ("keep", "drop"):
            raise InputError("unsure", repr(self.unsure), "keep or drop")
        if self.target is None and self.table is not None:
            raise InputError("--map", "a map of joints without a layout to map to", "--layout NAME")
        if self.labels not in (None, "folder") and self.pattern is None and not Path(str(self.labels)).exists():
            raise InputError(
                self.labels,
                "no such file or folder",
                "labels: a CSV file, a folder of label files, the word `folder`, a pattern such as "
                f"'S{{subject}}_{{label}}', or a benchmark: {', '.join(benchmark.names())}",
                registry.did_you_mean(str(self.labels), benchmark.names()),
            )
        if self.label_table is not None:
            tables.read(self.label_table)

    def said(self) -> dict[str, Any]:
        """All of it in plain containers; what later versions added only where it is used, so that keys stay."""
        asked = dataclasses.asdict(self)
        return {name: value for name, value in asked.items() if name not in LATER or value is not None}

    @functools.cached_property
    def target(self) -> Layout | None:
        """The layout to which all clips are mapped."""
        if self.layout is None or isinstance(self.layout, str):
            return None if self.layout is None else skeleton.layout(self.layout)
        return skeleton.from_dict(self.layout)

    @property
    def pattern(self) -> NamePattern | None:
        """What the parts of names are, or None."""
        return name_pattern.pattern(str(self.labels)) if name_pattern.is_pattern(self.labels) else None

    @property
    def label_table(self) -> Path | None:
        """The CSV file of labels, or None."""
        if name_pattern.is_pattern(self.labels):
            return None
        return Path(self.labels) if self.labels and self.labels.lower().endswith((".csv", ".tsv")) else None

    @property
    def label_rows(self) -> Mapping[str, Any] | None:
        """The rows of that file by what they name, or None."""
        return tables.read(self.label_table) if self.label_table else None

    def named(self, path: str) -> str:
        """What a unit is called: its path; the prepared folder itself, where it is one, by its name."""
        return self.root.resolve().name if path == ROOT else path

    @property
    def reader(self) -> io.Options:
        """What the readers are told."""
        beside = None if self.labels == "folder" or self.pattern or self.label_table else self.labels
        labels = Path(beside) if beside else None
        unit = None if self.unit == "torso" else self.unit
        image = self.normalise == "image" or self.pairs is not None  # a camera saw them
        return io.Options(labels, self.faithful, image, self.reading, unit, self.up)

    def normalisation(self, layout: Layout, coords: int) -> str:
        """The name of the normalisation of clips of this kind; poses of videos stay where they are in the picture."""
        if self.pairs is not None:
            return self.normalise or "none"
        return self.normalise or norms.default(layout, coords, self.faithful)
