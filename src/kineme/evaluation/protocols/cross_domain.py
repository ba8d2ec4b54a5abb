"""Accuracy on this store of a classifier that was trained on another one (from one domain to another)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from ...data import splits
from ...data import store as stores
from ...data.store import Store
from ...inference.nearest import neighbours
from ...methods import generator
from ...training import finetune
from ...training.finetune import Labelled, Tell
from ...utils.errors import InputError
from .. import marginals
from ..sealed import SealedStore, sealed
from ..task import Outcome, Scores, Task, normalised
from . import linear

TOP, BALANCED, VALIDATION = "top-1", "balanced", "source validation"
ADAPTED = {
    "true": "adapted to the true proportions (oracle)",
    "uniform": "adapted to uniform proportions",
    "estimated": "adapted to estimated proportions",
}


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        source: folder of a labelled store, prepared as the scored one; its classes are matched by name.
        source_split: whose training side teaches; none: all labelled clips.
        probe: ``finetune`` trains encoder and classifier, ``linear`` the classifier alone.
        adapt: also adapt to the unlabelled training side of the scored store, whose proportions of classes are its
            ``true`` ones (an oracle), ``uniform``, or ``estimated``.
        retrieval: share of test clips with a source clip of their class among the k nearest, by the run's own vectors.
        training: see :class:`kineme.training.finetune.Settings`.
        adaptation: see :class:`kineme.evaluation.marginals.Settings`.
    """

    source: str = ""
    source_split: str | None = None
    probe: Literal["finetune", "linear"] = "finetune"
    adapt: Literal["none", "true", "uniform", "estimated"] = "none"
    retrieval: tuple[int, ...] = (1, 5, 10, 20, 50)
    training: finetune.Settings = field(default_factory=finetune.Settings)
    adaptation: marginals.Settings = field(default_factory=marginals.Settings)


class Source(NamedTuple):
    """What teaches: clips to train on, those on which the epoch is chosen (None where none can be held out), and the
    names of the classes.
    """

    train: Labelled
    validation: Labelled | None
    classes: list[str]

    @property
    def clips(self) -> Labelled:
        """All of them."""
        sides = [self.train, self.validation] if self.validation else [self.train]
        rows, labels = (np.concatenate([side[i] for side in sides]) for i in (1, 2))
        return Labelled(self.train.store, rows, labels)


class Answers(NamedTuple):
    """What was found out without a label of the test clips: kind of classifier -> probabilities ``[m, K]``; the nearest
    source clips' classes, int64 ``[m, k]``; and entries for the rows.
    """

    probabilities: dict[str, np.ndarray]
    near: np.ndarray
    validation: float | None
    more: dict[str, Any]


def score(task: Task, settings: Settings) -> Scores:
    """Train on the source, choose there, and score the test side of the task once.

    Returns:
        ``top-1`` and ``balanced`` (mean per-class) accuracy, also after adaptation; ``R@k``; ``source validation``: the
        balanced accuracy on held-out source clips. The rows of accuracies have ``confusion`` (true class, predicted
        class), ``class_names``, ``source``, ``left_out`` (test clips of classes that the source lacks) and, after
        adaptation, ``proportions``.

    Raises:
        InputError: no source, no class in common, test clips that teach; what fine-tuning refuses.
    """
    settings = resolve(settings, task)
    source = teach(stores.opened(settings.source), settings.source_split)
    _refuse_overlap(source, task)
    return _scored(task, source, predict(sealed(task), source, settings), settings)


def resolve(settings: Settings, task: Task) -> Settings:
    """A linear probe is fine-tuning with a frozen encoder."""
    if not settings.source:
        raise InputError("cross_domain.source", "no store", "the labelled store to learn from", "Give --source STORE")
    if settings.probe == "finetune":
        return settings
    return replace(settings, training=replace(settings.training, backbone_rate=0.0))


def baseline(settings: Settings) -> tuple[str, Settings]:
    """Hand-crafted features under logistic regression."""
    return "positions", replace(settings, adapt="none")


def higher_is_better(metric: str) -> bool | None:
    """What the source says of itself is only reported."""
    return None if metric == VALIDATION else True


def teach(store: Store, split: str | None) -> Source:
    """The labelled clips of a source: those that a split trains on, and its validation side; else all, a fifth of them
    held out (by subject where known).

    Raises:
        InputError: fewer than two classes.
    """
    column = store.column("label")
    labelled = np.array([label is not None for label in column.tolist()], bool)
    sides = np.ones(len(store), bool), np.zeros(len(store), bool)
    if split is not None:
        sides = _mask(store, splits.split(store, split).train), sides[1]
        with contextlib.suppress(InputError):  # too few clips to hold any out
            chosen = splits.split(store, f"{split}+val")
            sides = _mask(store, chosen.train), _mask(store, chosen.test)
    else:
        held = splits.held_out(store, labelled)
        sides = ~held, held
    teaching, held = (side & labelled for side in sides)
    taken = teaching | held
    names, classes = _classes(column[taken])
    if len(names) < 2:
        raise InputError(store.path, f"{len(names)} classes in {int(taken.sum())} clips", "two classes or more")
    labels = np.full(len(store), -1, np.int64)
    labels[taken] = classes
    if len(np.unique(labels[teaching])) < len(names):  # a class that only the held-out clips show has to be taught
        teaching, held = taken, np.zeros_like(taken)
    train, validation = (Labelled(store, rows, labels[rows]) for rows in map(np.flatnonzero, (teaching, held)))
    return Source(train, validation if len(validation.rows) else None, names)


def _mask(store: Store, rows: np.ndarray) -> np.ndarray:
    return np.isin(np.arange(len(store)), rows)


def predict(task: Task, source: Source, settings: Settings) -> Answers:
    """Train, choose and adapt, and say what the test clips are.

    Args:
        task: sealed: its labels cannot be read.
        source: what teaches.
        settings: of the protocol.
    """
    gen = generator("cross_domain", task.seed)
    more: dict[str, Any] = {"source": str(source.train.store.path)}
    model: Any = task.model
    if hasattr(model, "loader"):
        classifier = finetune.finetune(
            model,
            *source.train,
            settings.training,
            gen,
            classes=len(source.classes),
            validation=source.validation,
            tell=task.tell,
        )
        found = {"": classifier.log_probabilities(task.store, task.test)}
        reached = finetune.quality(classifier, source.validation)[0] if source.validation else None
        if settings.adapt != "none":
            adapted, more["proportions"] = _adapted(task, source, classifier, settings, task.tell)
            found[ADAPTED[settings.adapt]] = adapted.log_probabilities(task.store, task.test)
    elif hasattr(model, "models"):
        raise InputError(task.name, "several runs as an ensemble", "one run, whose encoder can be trained")
    else:
        found, reached = {"": _by_vectors(task, source)}, None
    clips = source.clips
    most = min(max(settings.retrieval, default=1), len(clips.rows))
    gallery, query = model.embed(clips.store, clips.rows), model.embed(task.store, task.test)
    return Answers(found, clips.labels[neighbours(gallery, query, most)], reached, more)


def _adapted(
    task: Task, source: Source, classifier: finetune.Classifier, settings: Settings, tell: Tell | None
) -> tuple[finetune.Classifier, dict[str, float] | None]:
    """The adapted classifier, and the proportions that it was told (None: estimated)."""
    assert isinstance(task.store, SealedStore)
    known = _proportions(task.store, task.train, source.classes, settings.adapt)
    gen = generator("cross_domain", "adapt", task.seed)
    found = marginals.adapt(
        classifier, source.train, task.store, task.train, known, settings.adaptation, gen, tell=tell
    )
    return found, None if known is None else dict(zip(source.classes, known.round(6).tolist()))


def _proportions(store: SealedStore, rows: np.ndarray, classes: Sequence[str], adapt: str) -> np.ndarray | None:
    """Of the source's classes in the target, ``[K]``; None where they are to be estimated."""
    if adapt == "estimated":
        return None
    if adapt == "uniform":
        return np.full(len(classes), 1 / len(classes))
    counts = dict.fromkeys(map(normalised, classes), 0)
    for name, count in store.histogram(rows).items():
        if normalised(name) in counts:
            counts[normalised(name)] += count
    total = sum(counts.values())
    if not total:
        raise InputError(store.path, "no training clip of the source's classes", "some, to adapt to their proportions")
    return np.array(list(counts.values())) / total


def _by_vectors(task: Task, source: Source) -> np.ndarray:
    """Of a model that is only vectors: logistic regression on those of the source, float64 ``[m, K]``."""
    clips = source.clips
    train, test = task.model.embed(clips.store, clips.rows), task.model.embed(task.store, task.test)
    return linear.logistic(train, clips.labels, test, max_iter=300)


def _scored(task: Task, source: Source, answers: Answers, settings: Settings) -> Scores:
    """The only place where the labels of the task are read."""
    place = {normalised(name): i for i, name in enumerate(source.classes)}
    of_label = np.array([place.get(normalised(name), -1) for name in task.classes])
    truth = of_label[task.labels[task.test]]
    there = truth >= 0
    if not there.any():
        raise InputError(
            "cross_domain",
            f"classes {_some(task.classes)} here, {_some(source.classes)} in {source.train.store.path}",
            "classes of the same names",
            "Name them alike with --labels when the stores are prepared",
        )
    shown = np.unique(truth[there])
    missing = [name for name, at in zip(task.classes, of_label) if at < 0]
    more = {
        **answers.more,
        "probe": " ".join([settings.probe, "+".join(settings.training.parts)]).strip(),
        "train": len(source.clips.rows),
        "test": int(there.sum()),
        "classes": len(shown),
        "unseen": [],
        "left_out": int((~there).sum()),
        "notes": [*task.notes, *_notes(source, missing, int((~there).sum()), settings)],
    }
    scores = Scores()
    for kind, found in answers.probabilities.items():
        predicted = found[there].argmax(1)
        confusion = np.zeros((len(source.classes),) * 2, np.int64)
        np.add.at(confusion, (truth[there], predicted), 1)
        own = more if kind else {name: value for name, value in more.items() if name != "proportions"}
        own = own | {"confusion": confusion.tolist(), "class_names": source.classes}
        hits = predicted == truth[there]
        per_class = [hits[truth[there] == label].mean() for label in shown]
        word = f", {kind}" if kind else ""
        scores.tell(f"{TOP}{word}", _outcome(there, hits), own)
        scores.add(f"{BALANCED}{word}", float(np.mean(per_class)), own)
    for k in settings.retrieval:
        found_it = (answers.near[there, :k] == truth[there, None]).any(1)
        scores.tell(f"R@{k}", _outcome(there, found_it), more)
    if answers.validation is not None:
        scores.add(VALIDATION, answers.validation, more)
    return scores


def _outcome(there: np.ndarray, right: np.ndarray) -> Outcome:
    """Of the test clips whose class the source has."""
    values = np.full(len(there), np.nan)
    values[there] = right
    return Outcome(values)


def _notes(source: Source, missing: Sequence[str], count: int, settings: Settings) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"{count} test clips of classes that {source.train.store.path} lacks were left out: {_some(missing)}"
        )
    if source.validation is None:
        notes.append(f"no clips of {source.train.store.path} could be held out: the last epoch counts")
    return notes


def _refuse_overlap(source: Source, task: Task) -> None:
    """Test clips must not teach.

    Raises:
        InputError: they do.
    """
    if source.train.store.hash != task.store.hash:
        return
    shared = np.intersect1d(source.clips.rows, task.test)
    if len(shared):
        raise InputError(
            "cross_domain.source",
            f"the scored store itself, {len(shared)} of whose test clips would teach",
            "another store, or a split",
            "Take the training side only: --set cross_domain.source_split=NAME, with the NAME of --split",
        )


def _classes(labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The classes by name, spelled as first met in order, and the class of each clip, int64 ``[n]``."""
    spelled: Mapping[str, str] = {normalised(name): name for name in sorted(map(str, labels), reverse=True)}
    order = sorted(spelled)
    place = {name: i for i, name in enumerate(order)}
    return [spelled[name] for name in order], np.array([place[normalised(str(label))] for label in labels], np.int64)


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
