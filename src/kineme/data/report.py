"""What came of a preparation, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..motion import normalise as norms
from .plan import Plan
from .shards import EXAMPLES
from .store import Store


@dataclass(frozen=True)
class Report:
    """What came of a preparation; ``print`` it.

    Attributes:
        clips, frames: how many the store holds.
        skipped: (file, reason) of everything that was left out.
        maps: for every layout that was mapped: ``source`` and ``target``; ``missing``, ``virtual``, ``unused`` joints.
        notes: what else should be known.
    """

    clips: int
    frames: int
    skipped: tuple[tuple[str, str], ...] = ()
    maps: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.clips} clips, {self.frames} frames"]
        for made in self.maps:
            lines.append(f"joints of {made['source']} mapped to {made['target']}")
            lines += [f"  {word}: {some(made[word])}" for word in ("missing", "unused") if made[word]]
            lines += [f"  {joint} = {recipe}" for joint, recipe in made["virtual"].items()]
        lines += self.notes
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped (all in skipped.jsonl):")
            lines += [f"  {file}: {reason}" for file, reason in self.skipped[:10]]
        return "\n".join(lines)


def some(names: Sequence[str], most: int = 12) -> str:
    """A list of names, cut where it grows long (``card.json`` has them all)."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def report(store: Store) -> Report:
    """What came of the preparation of a store, read from its card and ``skipped.jsonl``.

    Examples:
        >>> report(store).clips
        48
    """
    names = ("skipped.jsonl", "set_aside.jsonl")  # the second is what Kineme 0.1.0 wrote
    found = next((store.path / name for name in names if (store.path / name).exists()), None)
    lines = map(json.loads, found.read_bytes().splitlines() if found else [])
    notes = list(store.card.get("notes", ()))
    if norms.NOTE in store.clips.column_names:
        partly = len(store) - store.clips[norms.NOTE].null_count
        notes.append(f"{partly} clips could not be normalised in every respect (column {norms.NOTE})")
    return Report(
        len(store),
        len(store.frames),
        tuple((line["file"], line["reason"]) for line in lines),
        tuple(store.card.get("map", ())),
        tuple(notes),
    )


def notes(plan: Plan, summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the user should know beside what was skipped."""
    said = []
    if plan.again:
        shown = [f"{path} ({first})" for path, first in plan.again.items()]
        said.append(f"{len(plan.again)} links to what is read elsewhere are left out: {some(shown, 5)}")
    kinds = [kind for summary in summaries for kind in summary["kinds"]]
    for words, values in (("up axes", {up for up, _ in kinds}), ("units", {unit for _, unit in kinds})):
        if len(values) > 1:
            said.append(f"clips of several {words} ({', '.join(sorted(map(str, values)))}): the card says unknown")
    pattern, table = plan.options.pattern, plan.options.label_table
    if pattern is not None:
        examples = [example for summary in summaries for example in summary["examples"]][:EXAMPLES]
        said.append("\n  ".join([f"columns by the names of files, {pattern.text}, for example", *examples]))
    without = [name for summary in summaries for name in summary["unlabelled"]]
    if without and pattern is not None:
        said.append(f"{len(without)} clips have a name that does not fit {pattern.text}: {some(without)}")
    elif without:
        where = f"lie in no folder below {plan.src.name}" if table is None else f"have no row in {table.name}"
        said.append(f"{len(without)} clips {where}, the first is {without[0]}")
    mended: dict[str, list[tuple[str, str, int]]] = {}
    for words, counts in (item for summary in summaries for item in summary["mended"].items()):
        alike = re.sub(r"\d+", "0", words)  # "announces 8 frames, has 9" in one file, other numbers in the next
        mended.setdefault(alike, []).extend((words, *item) for item in counts.items())
    said += [
        f"{found[0][0]}: {sum(count for *_, count in found)} "
        + (f"({len(found)} files, the first is {found[0][1]})" if len(found) > 1 else f"(in {found[0][1]})")
        for found in mended.values()
    ]
    named: dict[int, set[str]] = {}
    for line, path in (pair for summary in summaries for pair in summary["rows"]):
        named.setdefault(line, set()).add(path)
    said += [
        f"line {line} of the labels names {len(paths)} recordings: {', '.join(sorted(paths)[:5])}"
        for line, paths in sorted(named.items())
        if len(paths) > 1
    ]
    return said
