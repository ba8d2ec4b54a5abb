"""Classes from a few labelled clips, on a run's vectors: taught, kept as a folder, asked about any motion."""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..data import labels as tables
from ..data import store as stores
from ..data.store import Store
from ..motion.motion import Motion
from ..training import card as cards
from ..training import checkpoint
from ..utils import files
from ..utils.errors import InputError
from ..utils.progress import Bar
from . import classifier, pieces, windows
from .classifier import Classifier, Folds, HeldOut
from .model import Model, load
from .pieces import Anything, Cutter, Place

FORMAT = 1
UNKNOWN = "unknown"
FEWEST = 2  # examples of a class
PIECES = 256  # windows in memory at a time
POOL = 20_000  # clips of a store that standardise its vectors
GROUPS = ("subject", "performance", "source")
ARRAYS, CARD, ENCODER = "classifier.safetensors", "card.json", "encoder"
AGAIN = "Take another copy of the recogniser, or make it again with `kineme label`"

Labels = str | os.PathLike | Sequence[str | None] | np.ndarray
"""A table of labels (:func:`kineme.data.labels.examples`), or one label for each clip of a store, None where there is
none.
"""


@dataclass(frozen=True)
class Prediction(Place):
    """What a clip, or a window of a long one, shows.

    Attributes:
        label: one of the classes, or ``unknown``.
        confidence: probability that ``nearest`` is right, if as many clips are of no known class as of known ones.
        nearest: the likeliest of the classes; empty where nobody is seen.
    """

    label: str = UNKNOWN
    confidence: float = 0.0
    nearest: str = ""


@dataclass(frozen=True)
class Taught:
    """The examples that a recogniser was taught by, and what it said of those held out.

    Attributes:
        examples: in the order of the store.
        numbers: int64 ``[n]``, their classes.
        folds: how they were held out.
        held: what was found of them.
    """

    examples: tuple[tables.Example, ...]
    numbers: np.ndarray
    folds: Folds
    held: HeldOut


class Recogniser:
    """An encoder, a classifier on its vectors, and when to say ``unknown``.

    Args:
        model: the encoder.
        classifier: on its vectors.
        card: what the folder's ``card.json`` says.
        taught: the examples; None of one that was opened.

    Attributes:
        classes: names, in the order of the classifier's columns.
        threshold: answers of less confidence are ``unknown``.

    Examples:
        >>> labels = store.column("label")  # one for each clip, None where nobody knows; or a CSV file
        >>> recogniser = kineme.Recogniser.teach(model, store, labels)
        >>> folder = recogniser.save("recogniser")
        >>> answer = kineme.Recogniser.open(folder).predict(motion)[0]
        >>> answer.nearest in recogniser.classes, 0 <= answer.confidence <= 1
        (True, True)
    """

    def __init__(self, model: Model, classifier: Classifier, card: dict[str, Any], taught: Taught | None = None):
        self.model, self.classifier, self.card, self.taught = model, classifier, card, taught

    @classmethod
    def teach(
        cls,
        run: str | os.PathLike | Model,
        store: Store | str | os.PathLike,
        labels: Labels,
        threshold: float | None = None,
        device: str | None = None,
        progress: bool = False,
    ) -> Recogniser:
        """Learn classes from a few labelled clips of a store; the others, unlabelled, say how vectors vary.

        Args:
            run: an opened run, its folder, or the name of weights that come along.
            store: the clips.
            labels: a CSV file with columns ``id`` (or ``file``, ``source``) and ``label``, and perhaps ``start`` and
                ``end``; or one label for each clip, None where there is none.
            threshold: answers of less confidence are ``unknown``; by default as much as nine of ten right answers have
                among examples that were held out.
            device: where the encoder works.
            progress: show a bar.

        Raises:
            InputError: labels that cannot be used, fewer than two classes, or fewer than two examples of one; clips
                that the run does not take.
        """
        _check_threshold(threshold)
        model, store = load(run, device), stores.opened(store)
        if isinstance(labels, (str, os.PathLike)):
            examples, where = tables.examples(store, Path(labels)), str(labels)
        else:
            examples, where = _listed(store, labels), "labels"
        classes = _classes(examples, where)
        numbers = np.array([classes.index(example.label) for example in examples])
        vectors = _vectors(model, store, examples, progress)
        folds = classifier.choose_folds(_groups(store, examples), numbers)
        made, held, usual = classifier.fit(vectors, numbers, _pool(model, store, progress), folds.numbers)
        card = {
            "kind": "recogniser",
            "format": FORMAT,
            "kineme": __version__,
            "classes": classes,
            "examples": {name: int((numbers == i).sum()) for i, name in enumerate(classes)},
            "threshold": usual if threshold is None else float(threshold),
            "window": asdict(_length(store, examples, np.median)),
            "longest": asdict(_length(store, examples, np.max)),
            "confidence": {"temperature": made.temperature, "slope": made.slope, "middle": made.middle},
            "encoder": {"hash": model.hash, "method": model.card["method"], "dim": model.dim},
            "store": store.hash,
        }
        recogniser = cls(model, made, card, Taught(tuple(examples), numbers, folds, held))
        card["held_out"] = recogniser.held_out()
        return recogniser

    @classmethod
    def open(cls, path: str | os.PathLike, device: str | None = None) -> Recogniser:
        """Open a folder that :meth:`save` wrote; nothing in it is executed.

        Raises:
            InputError: no recogniser, one of another version, a file of it that is missing or has changed.
        """
        folder = files.as_path(path, "a recogniser")
        card = _read_card(folder)
        for name, digest in card["files"].items():
            if not (folder / name).is_file():
                raise InputError(folder / name, "no such file", "the recogniser as it was written", AGAIN)
            if files.sha256(folder / name) != digest:
                raise InputError(folder / name, "bytes have changed since it was written", "what card.json says", AGAIN)
        tensors, _ = checkpoint.load(folder / ARRAYS)
        width, count = card["encoder"]["dim"], len(card["classes"])
        shapes = {"mean": (width,), "scale": (width,), "weights": (width, count), "bias": (count,)}
        shapes["centres"] = (count, width)
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
            raise InputError(folder / ARRAYS, "arrays of other shapes", f"those of {count} classes", AGAIN)
        model = Model.open(folder / ENCODER, device)
        model.path = None  # nothing is kept beside a recogniser, as features are beside a run
        known: dict[str, Any] = {**{name: tensor.numpy() for name, tensor in tensors.items()}, **card["confidence"]}
        return cls(model, Classifier(**known), card)

    @property
    def classes(self) -> list[str]:
        return list(self.card["classes"])

    @property
    def threshold(self) -> float:
        return float(self.card["threshold"])

    def save(self, out: str | os.PathLike) -> Path:
        """Write a folder: ``card.json``, ``classifier.safetensors``, and the encoder in ``encoder``, so that it works
        wherever it is taken. It appears whole or not at all.

        Raises:
            InputError: the folder exists; an encoder that lies nowhere on disk.
        """
        out = files.unused(out)
        if self.model.path is None:
            raise InputError("recogniser", "an encoder without a run on disk", "one that was just taught")
        arrays = {name: getattr(self.classifier, name) for name in ("mean", "scale", "weights", "bias", "centres")}
        with files.atomic_folder(out) as folder:
            (folder / ENCODER).mkdir()
            for name in (CARD, "model.safetensors"):
                shutil.copyfile(self.model.path / name, folder / ENCODER / name)
            tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
            checkpoint.save(folder / ARRAYS, tensors)
            kept = (ARRAYS, f"{ENCODER}/{CARD}", f"{ENCODER}/model.safetensors")
            digests = {name: files.sha256(folder / name) for name in kept}
            files.write_json(folder / CARD, {**self.card, "files": digests})
        return out

    def held_out(self, threshold: float | None = None) -> dict[str, Any]:
        """What the cross-validation found at a threshold, by default its own.

        Returns:
            ``by``: what was held out together (``subject``, ``performance``, ``source``, ``clip``); ``examples``;
            ``right``: how many were; ``kept``: share of the right ones at or above the threshold; ``turned_away``:
            share below it of examples whose own class was not known, estimated from the nearness of the other classes.

        Raises:
            InputError: a recogniser that was opened, which has no examples.
        """
        if self.taught is None:
            raise InputError("recogniser", "one that was opened", "one that was just taught")
        held, least = self.taught.held, self.threshold if threshold is None else threshold
        known = np.isfinite(held.near)
        confidence = self.classifier.judged(held.scores, np.where(known, held.near, -1.0))[1]
        strangers = held.scores.copy()
        strangers[np.arange(len(strangers)), held.numbers] = -np.inf
        apart = np.isfinite(strangers).any(1) & np.isfinite(held.near_others)
        stranger = self.classifier.judged(strangers[apart], held.near_others[apart])[1]
        right = held.right & known
        return {
            "by": self.taught.folds.by,
            "examples": len(held.numbers),
            "right": int(right.sum()),
            "kept": float((confidence[right] >= least).mean()) if right.any() else 0.0,
            "turned_away": float((stranger < least).mean()) if apart.any() else 0.0,
        }

    def predict(
        self,
        what: Anything,
        threshold: float | None = None,
        window: float | None = None,
        step: float | None = None,
        skipped: list[InputError] | None = None,
        progress: bool = False,
    ) -> list[Prediction]:
        """Class and confidence of clips; long ones in windows.

        Args:
            what: a motion file, a folder of them, a store, its folder, a Motion, or a list of these.
            threshold: in place of the recogniser's own.
            window: seconds; by default as long as the median example. A recording that is longer than every example and
                half as long again as a window is cut; with ``window`` the second is enough.
            step: seconds from one window to the next; by default half a window.
            skipped: takes the errors of files, or clips of them, that cannot be used, if others can.
            progress: show a bar.

        Raises:
            InputError: nothing that can be read; without ``skipped``, whatever cannot; a threshold, window or step that
                is none.
        """
        _check_threshold(threshold)
        least = self.threshold if threshold is None else threshold
        card = self.card
        cutter = Cutter(windows.Length(**card["window"]), windows.Length(**card["longest"]), window, step)

        def refuse(error: InputError) -> None:
            if skipped is None:
                raise error
            skipped.append(error)

        answers: list[Prediction] = []
        batch: list[tuple[Place, Motion]] = []
        with Bar("predict", 0, progress) as bar:
            for file, each in pieces.found(what, self.model._in_image, refuse):
                for piece in cutter.pieces(file, each) if isinstance(each, Motion) else ():
                    batch.append(piece)
                    if len(batch) == PIECES:
                        answers += self._answers(batch)
                        batch.clear()
                        bar.update(len(answers), file, len(answers))
                if isinstance(each, Store):
                    answers += self._answers(batch)
                    batch.clear()
                    answers += self._of_store(each, cutter, progress)
            answers += self._answers(batch)
        if not answers:
            raise skipped[0] if skipped else InputError("predict", "nothing", "motion files, or a store")
        return [each if each.confidence >= least else replace(each, label=UNKNOWN) for each in answers]

    def _of_store(self, store: Store, cutter: Cutter, progress: bool) -> list[Prediction]:
        """Short clips in batches as they lie there, windows of long ones; in the order of the store."""
        rates = [None if np.isnan(fps) else float(fps) for fps in store.numbers("fps")]
        spans = [cutter.spans(*each) for each in zip(store.lengths.tolist(), rates, store.ids)]
        whole = np.array([len(each) == 1 for each in spans])
        answers: dict[int, list[Prediction]] = {}
        rows = np.flatnonzero(whole)
        if len(rows):
            vectors = self.model.embed(store, None if whole.all() else rows, progress=progress)
            for row, number, sure in zip(rows.tolist(), *self.classifier.predict(vectors)):
                where = pieces.place(str(store.path), store.ids[row], spans[row][0], rates[row], True)
                answers[row] = [self._said(where, number, sure)]
        for row in np.flatnonzero(~whole).tolist():
            cut = cutter.pieces(str(store.path), store[row])
            answers[row] = []
            while batch := list(itertools.islice(cut, PIECES)):
                answers[row] += self._answers(batch)
        return [each for row in sorted(answers) for each in answers[row]]

    def _answers(self, batch: Sequence[tuple[Place, Motion]]) -> list[Prediction]:
        """Pieces with their answers; one in which nobody is seen has confidence 0."""
        there = [bool(motion.confidence.any()) for _, motion in batch]
        vectors = self.model.embed([motion for (_, motion), seen in zip(batch, there) if seen]) if any(there) else None
        said = iter(()) if vectors is None else zip(*self.classifier.predict(vectors))
        return [
            self._said(where, *next(said)) if seen else Prediction(**vars(where))
            for (where, _), seen in zip(batch, there)
        ]

    def _said(self, where: Place, number: int, confidence: float) -> Prediction:
        name = self.card["classes"][int(number)]
        return Prediction(**vars(where), label=name, confidence=float(confidence), nearest=name)


def _vectors(model: Model, store: Store, examples: Sequence[tables.Example], progress: bool) -> np.ndarray:
    """float32 ``[n, D]`` of the examples."""
    found = np.empty((len(examples), model.dim), np.float32)
    whole = [i for i, example in enumerate(examples) if example.start is None]
    if whole:
        rows = np.array([examples[i].clip for i in whole])
        found[whole] = model.embed(store, rows, progress=progress)
    parts = [i for i, example in enumerate(examples) if example.start is not None]
    for begin in range(0, len(parts), PIECES):
        block = parts[begin : begin + PIECES]
        cut = [store[examples[i].clip].slice(examples[i].start, examples[i].end) for i in block]  # type: ignore[arg-type]
        found[block] = model.embed(cut)
    return found


def _pool(model: Model, store: Store, progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """How vectors of a store vary; of a large one evenly spaced clips."""
    if len(store) <= POOL:
        return classifier.spread(model.embed(store, progress=progress))
    rows = np.linspace(0, len(store) - 1, POOL).round().astype(np.int64)
    return classifier.spread(model.embed(store, rows, progress=progress))


def _groups(store: Store, examples: Sequence[tables.Example]) -> dict[str, list]:
    """What examples have in common, most telling first; subject 1 of one data set is not subject 1 of another."""
    owner = store.column("dataset").tolist() if stores.datasets(store) else [None] * len(store)
    columns = {name: store.column(name).tolist() for name in GROUPS}
    return {
        name: [
            None if column[example.clip] is None else (owner[example.clip], column[example.clip])
            for example in examples
        ]
        for name, column in columns.items()
    }


def _length(store: Store, examples: Sequence[tables.Example], summary: Any) -> windows.Length:
    """Median or maximum of how long the examples are."""
    frames = np.array([
        store.lengths[example.clip] if example.start is None else example.end - example.start  # type: ignore[operator]
        for example in examples
    ])  # fmt: skip
    rates = store.numbers("fps")[[example.clip for example in examples]]
    seconds = float(summary(frames / rates)) if np.isfinite(rates).all() and (rates > 0).all() else None
    return windows.Length(max(1, round(float(summary(frames)))), seconds)


def _listed(store: Store, labels: Any) -> list[tables.Example]:
    """Examples from one label for each clip."""
    given = list(labels)
    if len(given) != len(store):
        raise InputError("labels", f"{len(given)} of them", f"one for each of {len(store)} clips, or a CSV file")
    return [
        tables.Example(row, str(label), row)
        for row, label in enumerate(given)
        if label is not None and label == label and str(label)
    ]


def _classes(examples: Sequence[tables.Example], where: str) -> list[str]:
    """Names of the classes, sorted.

    Raises:
        InputError: fewer than two, or fewer than two examples of one.
    """
    count = Counter(example.label for example in examples)
    if len(count) < 2:
        found = f"one class, {next(iter(count))!r}" if count else "no label"
        raise InputError(where, found, "at least two classes", "Label some clips of another one")
    few = {name: number for name, number in count.items() if number < FEWEST}
    if few:
        name, number = next(iter(few.items()))
        others = f", and {len(few) - 1} more classes like it" if len(few) > 1 else ""
        raise InputError(where, f"{number} example of {name!r}{others}", f"at least {FEWEST} of each, better 5")
    return sorted(count)


def _check_threshold(value: Any) -> None:
    if value is not None and not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise InputError("--threshold", repr(value), "a number from 0 (nothing is unknown) to 1")


ENTRIES: Mapping[str, cards.Entry] = {
    "classes": cards.Entry(
        lambda value: (
            isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) and each for each in value)
        ),
        "a list of names",
    ),
    "threshold": cards.Entry(lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1"),
    **{
        f"{name}.frames": cards.Entry(lambda value: type(value) is int and value > 0, "a number of frames")
        for name in ("window", "longest")
    },
    **{
        f"{name}.seconds": cards.Entry(
            lambda value: value is None or (type(value) in (int, float) and 0 < value < math.inf), "seconds, or null"
        )
        for name in ("window", "longest")
    },
    **{
        f"confidence.{name}": cards.Entry(
            lambda value: type(value) in (int, float) and math.isfinite(value), "a number"
        )
        for name in ("temperature", "slope", "middle")
    },
    "encoder.dim": cards.Entry(lambda value: type(value) is int and value > 0, "a whole number"),
    "files": cards.Entry(
        lambda value: (
            isinstance(value, dict) and set(value) == {ARRAYS, f"{ENCODER}/{CARD}", f"{ENCODER}/model.safetensors"}
        ),
        "a table of the recogniser's files",
    ),
}
"""What is read of a recogniser's card."""


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    card = files.read_json(path, "a recogniser (a folder that `kineme label` wrote)")
    kind = card.get("kind") if isinstance(card, dict) else None
    if kind != "recogniser":
        what = f"a {kind!r}" if isinstance(kind, str) else "no card of a recogniser"
        raise InputError(folder, what, "a recogniser", "Recognisers are written by `kineme label`")
    if card.get("format") != FORMAT:
        what = f"format {card.get('format')!r} of another version"
        raise InputError(path, what, f"format {FORMAT}", "Make the recogniser again with `kineme label`")
    try:
        cards.check(card, ENTRIES, path)
    except InputError as error:
        raise InputError(error.where, error.found, error.expected, AGAIN) from None
    return card
