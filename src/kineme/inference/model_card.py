"""A run in words for those who get it: what goes in, what it was trained on and how, what it scored."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__
from ..utils import files
from ..utils.errors import InputError
from .model import Model

COLUMNS = ("protocol", "metric", "features", "split", "score")


def text(model: Model, scores: str | os.PathLike | None = None) -> str:
    """The model card in Markdown, with the front matter that model hubs read.

    Args:
        model: the run.
        scores: rows that ``kineme evaluate --json`` wrote; without them the card says that there are none.

    Raises:
        InputError: no such rows in the file.

    Examples:
        >>> text(model).splitlines()[1]
        'library_name: kineme'
    """
    card, parts = model.card, []
    parts.append(f"---\nlibrary_name: kineme\ntags: [human-motion, self-supervised, {card['method']}]\n---\n")
    parts.append(f"# {card['method']}, encoder {card['encoder']}\n")
    parts.append(f"One vector of {model.dim} values for a movement, learned without labels.\n")
    normalise = card["normalise"]
    facts = {
        "joints": f"{card['layout']['name']}: {', '.join(model.layout.joints)}",
        "coordinates, persons": f"{card['coords']}, up to {card['persons']}",
        "normalisation": f"{normalise.get('how')} {json.dumps(normalise.get('options', {}))}",
        "bodies": json.dumps({name: (card.get("size") or {}).get(name) for name in ("how", "torso")}),
        "up": card.get("up"),
        "of a clip": f"the middle {card['crop']['ratio']:.0%}, resized to {card['crop']['frames']} frames",
        "seed": card["seed"],
        "trained on": f"{card.get('clips')} clips, split {card.get('split')}, data {card.get('data')}",
        "weights": model.hash,
        "made with": f"kineme {card.get('kineme', __version__)}, torch {card.get('torch')}",
    }
    parts.append(
        "| | |\n|---|---|\n" + "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items()) + "\n"
    )
    stores = [f"| {_cell(each.get('name', ''))} | {each['hash']} |" for each in card.get("stores") or ()]
    if stores:
        parts.append("## Data\n\n| store | hash |\n|---|---|\n" + "\n".join(stores) + "\n")
    parts.append(f"## Scores\n\n{_scores(scores)}\n")
    recipe = {name: card["recipe"][name] for name in ("method", "encoder", "loop") if name in card["recipe"]}
    parts.append(f"## Settings\n\n```json\n{json.dumps(recipe, indent=1, ensure_ascii=False)}\n```\n")
    return "\n".join(parts)


def _scores(path: str | os.PathLike | None) -> str:
    if path is None:
        return "None were given (`kineme evaluate RUN STORE --json FILE` measures them)."
    rows = files.read_json(path, "rows of kineme evaluate --json")
    if not _are_rows(rows):
        raise InputError(path, "no rows of scores", "what kineme evaluate --json wrote")
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [f"| {' | '.join(_cell(row.get(name, '')) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _are_rows(rows: Any) -> bool:
    return (
        isinstance(rows, Sequence)
        and bool(rows)
        and all(isinstance(row, Mapping) and isinstance(row.get("score"), (int, float)) for row in rows)
    )


def _cell(value: Any) -> str:
    """A value in a table's cell, as text only."""
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return shown.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
