"""What came of a preparation, in words."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..motion import normalise as norms
from . import conform, splits
from .kinds import Kind
from .plan import Plan
from .store import Store, opened

UNEVEN = 5.0  # times that a clip lasts longer than another before it is said
SHOWN, WIDTH = 5, 100  # how many files of those skipped are named, and how much of the reason is said in one line


@dataclass(frozen=True)
class Report:
    """What came of a preparation; ``print`` it.

    Attributes:
        clips, frames: how many the store holds.
        content: layout, axes and normalisation in words.
        skipped: (file, reason) of everything that was left out.
        maps: for every layout that was mapped: ``source`` and ``target``; ``missing``, ``virtual``, ``unused`` joints.
        notes: what else should be known.
        learning: what should be known by who wants to train on these clips.
        pattern, examples: what the labels were made by, if by a pattern; (clip, what its name says) of some.
        labels: label -> clips that have it.
        splits: named split -> clips for training, and for testing.
    """

    clips: int
    frames: int
    content: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    maps: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    pattern: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    learning: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What was read; what was skipped; what should be known; labels and splits."""
        parts = [f"{name} {train} + {test}" for name, (train, test) in self.splits.items()]
        found = f"{self._labels()}; splits (training + test clips): {some(parts) or 'none, for want of clips'}"
        return "\n".join([self.read(), *(f"note: {note}" for note in self.learning), found])

    def read(self) -> str:
        """The same without what concerns training."""
        lines = [f"{counted(self.clips, 'clip')}, {counted(self.frames, 'frame')}: {self.content}"]
        shown = [f"{file} ({_short(reason)})" for file, reason in self.skipped]
        lines.append(f"{len(shown)} skipped (skipped.jsonl): {some(shown, SHOWN)}" if shown else "every file was read")
        lines += [f"note: {note}" for note in (*self.notes, *map(_mapped, self.maps))]
        if self.examples:
            lines.append(f"columns by the names of files, {self.pattern}, for example")
            lines += [f"  {name}: {values}" for name, values in self.examples]
        return "\n".join(lines)

    def _labels(self) -> str:
        if not self.labels:
            return "no labels"
        found = [f"{label} {count}" for label, count in self.labels.items()]
        without = self.clips - sum(self.labels.values())
        return f"{counted(len(found), 'label')}: {some(found)}" + (
            f", {counted(without, 'clip')} without" if without else ""
        )

    def joints(self) -> str:
        """How the joints of every layout that was mapped became those of the store."""
        lines = []
        for made in self.maps:
            lines.append(f"joints of {made['source']} mapped to {made['target']}")
            lines += [f"  {word}: {', '.join(made[word])}" for word in ("missing", "unused") if made[word]]
            lines += [f"  {joint} = {recipe}" for joint, recipe in made["virtual"].items()]
        return "\n".join(lines) or "joints as the files have them: nothing was mapped"


def some(names: Sequence[str], most: int = 12) -> str:
    """A list of names, cut where it grows long (``card.json`` has them all)."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(count: int, noun: str) -> str:
    """A number of things in words, ``1 clip``."""
    return f"{count} {noun}" + "s" * (count != 1)


def _short(reason: str) -> str:
    first = " ".join(reason.split())
    return first if len(first) <= WIDTH else f"{first[: WIDTH - 4].rstrip()} ..."


def _mapped(made: Mapping[str, Any]) -> str:
    """A map of joints in one line; a bad one in words that cannot be overlooked."""
    count = made.get("joints", 0)
    there = count - len(made["missing"])
    said = f"joints of {made['source']} mapped to {made['target']}"
    if count and 2 * there < count:
        return f"{said}, which leaves less than half: {there} of {count} joints have a source; name others with --map"
    missing, unused = (f", {len(made[word])} {word}" if made[word] else "" for word in ("missing", "unused"))
    return f"{said}{missing}{unused} (all with kineme info --joints)"


def report(store: Store | str | os.PathLike) -> Report:
    """What came of the preparation of a store, read from its card and ``skipped.jsonl``.

    Examples:
        >>> report(store).clips
        48
    """
    store = opened(store)
    names = ("skipped.jsonl", "set_aside.jsonl")  # the second is what Kineme 0.1.0 wrote
    found = next((store.path / name for name in names if (store.path / name).exists()), None)
    lines = map(json.loads, found.read_bytes().splitlines() if found else [])
    card = store.card
    content = [
        f"layout {store.layout.name} ({counted(len(store.layout), 'joint')})",
        f"{store.coords}-D, {conform.in_words(card)}, up {card.get('up')}",
        f"up to {counted(store.persons, 'person')}",
        f"normalised: {card['normalise'].get('how')}",
        *(["cleaned"] if "clean" in card["normalise"] else []),
        *(["a picture for each frame"] if store.has_pictures else []),
    ]
    counts = Counter(label for label in store.column("label").tolist() if label is not None)
    parts = {name: splits.split(store, name) for name in splits.names(store)}
    return Report(
        len(store),
        len(store.frames),
        ", ".join(content),
        tuple((line["file"], line["reason"]) for line in lines),
        tuple(card.get("map", ())),
        (*card.get("notes", ()), *_seen(store)),
        str((card.get("prepared") or {}).get("labels") or ""),
        tuple((name, values) for name, values in card.get("examples", ())),
        dict(sorted(counts.items())),
        {name: (len(part.train), len(part.test)) for name, part in parts.items()},
        _learning(store),
    )


def _seen(store: Store) -> list[str]:
    """What a look at the clips tells."""
    said = []
    if norms.NOTE in store.clips.column_names:
        found = Counter(note for note in store.column(norms.NOTE).tolist() if note is not None)
    else:
        found = Counter()
    for often, count in found.most_common(1):
        most = "" if count == found.total() else f" of {count}"
        said.append(
            f"{counted(found.total(), 'clip')} could not be normalised in every respect (column {norms.NOTE}), "
            f"most often{most}: {often}"
        )
    return said + _uneven(store)


def _learning(store: Store) -> tuple[str, ...]:
    """Why nothing, or little, can be learned from these clips."""
    if len(store) == 1:
        return ("a single clip: nothing can be learned from it, an encoder learns from differences between clips",)
    if store.lengths.max() == 1:
        return ("every clip is a single frame: there is no movement to learn from, only poses",)
    return ()


def _uneven(store: Store) -> list[str]:
    """That some clips last many times as long as others, if they do."""
    rates, unit = store.numbers("fps"), "s"
    lengths = store.lengths / rates
    if not np.isfinite(lengths).all():
        lengths, unit = store.lengths.astype(np.float64), "frames"
    least, most = int(lengths.argmin()), int(lengths.argmax())
    if lengths[most] <= UNEVEN * lengths[least]:
        return []
    ends = " to ".join(f"{lengths[row]:.3g} {unit} ({store.ids[row]})" for row in (least, most))
    how = "" if "window" in store.clips.column_names else "; --window 2 --step 1 cuts them into windows of 2 seconds"
    return [f"clips last from {ends}, and an encoder sees each as one movement{how}"]


def notes(plan: Plan, kind: Kind, summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the user should know of a kind's clips beside what was skipped."""
    said = []
    if plan.again:
        shown = [f"{path} ({first})" for path, first in plan.again.items()]
        said.append(f"{len(plan.again)} links to what is read elsewhere are left out: {some(shown, 5)}")
    others = Counter[str]()
    for summary in summaries:
        others.update(summary["others"])
    if others and plan.options.only:
        shown = [f"{count} {name}" for name, count in others.most_common()]
        said.append(f"left out by --only {plan.options.only}: {some(shown)}")
    for words, values in zip(("up axes", "units"), map(set, zip(*kind.axes))):
        if len(values) > 1 and kind.coords == 2:  # in 3-D they are made one
            said.append(f"clips of several {words} ({', '.join(sorted(map(str, values)))}): the card says unknown")
    said += dict.fromkeys(  # in order, each once
        f"split {name} is described in words only, and so is none here: {_short(words)}"
        for summary in summaries
        for file, name, words in summary["described"]
        if file in kind.sources
    )
    counts = [summary["joints"][str(kind.coords)] for summary in summaries if str(kind.coords) in summary["joints"]]
    placed, unsure = map(sum, zip(*counts)) if counts else (0, 0)
    if unsure:
        what = "left out" if plan.options.unsure == "drop" else "kept (--unsure drop leaves them out)"
        said.append(f"{unsure} joints ({unsure / placed:.1%}) have a place but no confidence: {what}")
    pattern, table = plan.options.pattern, plan.options.label_table
    without = [name for summary in summaries for name, file in summary["unlabelled"] if file in kind.sources]
    if without and pattern is not None:
        said.append(f"{counted(len(without), 'clip')} whose name does not fit {pattern.text}: {some(without)}")
    elif without:
        where = f"in no folder below {plan.src.name}" if table is None else f"without a row in {table.name}"
        said.append(f"{counted(len(without), 'clip')} {where}, the first is {without[0]}")
    mended: dict[str, list[tuple[str, str, int]]] = {}
    for words, counts in (item for summary in summaries for item in summary["mended"].items()):
        alike = re.sub(r"\d+", "0", words)  # "announces 8 frames, has 9" in one file, other numbers in the next
        mended.setdefault(alike, []).extend((words, *item) for item in counts.items() if item[0] in kind.sources)
    said += [
        f"{found[0][0]}: {sum(count for *_, count in found)} "
        + (f"({len(found)} files, the first is {found[0][1]})" if len(found) > 1 else f"(in {found[0][1]})")
        for found in mended.values()
        if found
    ]
    named: dict[int, set[str]] = {}
    for line, path in (pair for summary in summaries for pair in summary["rows"] if pair[1] in kind.sources):
        named.setdefault(line, set()).add(path)
    said += [
        f"line {line} of the labels names {len(paths)} recordings: {', '.join(sorted(paths)[:5])}"
        for line, paths in sorted(named.items())
        if len(paths) > 1
    ]
    return said
