"""The files of an index: its card, parts of unit vectors with their entries, and rows that were removed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.array_file import Growing
from ..data.array_file import mapped as mapped_file
from ..utils import files
from ..utils.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
AGAIN = "Make the index again (kineme index), or take another copy"
MAKE = "Make one with kineme index"
COLUMNS = {
    "id": "string",
    "store": "int64",
    "row": "int64",
    "start": "int64",
    "end": "int64",
    "fps": "double",
    "whole": "bool",
    "cut": "bool",
    "label": "string",
    "subject": "string",
    "camera": "string",
}
"""Of an entry: id of its clip, number of its store and row there, frames ``start`` up to, not including, ``end``;
whether it is a whole clip, whether that clip is cut into windows as well; what can be asked for."""


def read_card(folder: Path) -> dict[str, Any]:
    """What an index' card says.

    Raises:
        InputError: no index there, one of another version, a damaged card.
    """
    path = folder / "card.json"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise InputError(folder, found, "the folder of an index", MAKE)
    if not path.is_file():
        raise InputError(folder, "a folder without card.json", "the folder of an index", MAKE)
    card = files.read_json(path, "the card of an index")
    if not isinstance(card, dict) or card.get("kind") != "index":
        kind = card.get("kind") if isinstance(card, dict) else None
        raise InputError(folder, f"a card of kind {kind!r}", "the folder of an index", MAKE)
    if card.get("format") != FORMAT:
        raise InputError(path, f"format {card.get('format')!r} of another version", f"format {FORMAT}", AGAIN)
    if not _is_sound(card):
        raise InputError(path, "a damaged card", "the card of an index", AGAIN)
    return card


def is_index(path: str | os.PathLike) -> bool:
    """Whether a folder says that it is an index."""
    card = Path(path) / "card.json"
    if not card.is_file():
        return False
    found = files.read_json(card, "a card")
    return isinstance(found, dict) and found.get("kind") == "index"


def table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Entries as a table, those columns that are given."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
    return pa.table({name: pa.array(columns[name], kinds[kind]) for name, kind in COLUMNS.items() if name in columns})


def write_part(folder: Path, name: str, table: pa.Table, blocks: Iterable[np.ndarray], dim: int) -> dict[str, Any]:
    """Files of one part, its unit vectors block after block; what the card says of it.

    Raises:
        InputError: a vector that is not finite.
    """
    import pyarrow.parquet as pq

    vectors, entries, rows = folder / f"vectors-{name}.npy", folder / f"entries-{name}.parquet", 0
    with Growing(vectors) as file:
        for block in filter(len, blocks):
            if not np.isfinite(block).all():
                raise InputError("vectors", "values that are no finite numbers", "finite ones", "Is the run damaged?")
            file.append(block)
            rows += len(block)
        file.finish((rows, dim))
    with files.atomic(entries) as temporary:
        pq.write_table(table, temporary)
    digests = {"vectors_sha256": digest(vectors), "entries_sha256": digest(entries)}
    return {"vectors": vectors.name, "entries": entries.name, "rows": rows, **digests}


def mapped(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read-only memory map of the vectors of a part.

    Raises:
        InputError: missing, cut short, or of another shape.
    """
    try:
        return mapped_file(path, shape)
    except InputError as error:
        raise InputError(path, error.found, "the vectors of an index", AGAIN) from None


def digest(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def named(card: Mapping[str, Any]) -> set[str]:
    """Names of all files that a card counts."""
    found = {part[kind] for part in card["parts"] for kind in ("vectors", "entries")} | {card["removed"]}
    return found | ({card["approximate"]["file"]} if card.get("approximate") else set())


def _is_sound(card: Mapping[str, Any]) -> bool:
    """Whether all entries of a card are of their kind, and files are names within the folder."""

    def name(value: Any) -> bool:
        return isinstance(value, str) and Path(value).name == value and value not in ("", "..")

    def whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0

    def above(value: Any) -> bool:
        return isinstance(value, (int, float)) and value > 0

    def part(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(name(value.get(kind)) for kind in ("vectors", "entries"))
            and all(isinstance(value.get(f"{kind}_sha256"), str) for kind in ("vectors", "entries"))
            and whole(value.get("rows"))
        )

    def store(value: Any) -> bool:
        return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("path", "hash"))

    def guess(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and name(value.get("file"))
            and value.get("kind") in ("hnsw", "ivf")
            and whole(value.get("effort"))
            and above(value.get("recall", 0) + 1)
        )

    run, windows = card.get("run"), card.get("windows")
    return (
        whole(card.get("dim"))
        and card["dim"] > 0
        and whole(card.get("generation"))
        and isinstance(run, dict)
        and all(isinstance(run.get(key), str) for key in ("name", "path", "weights"))
        and (windows is None or (isinstance(windows, dict) and all(above(windows.get(k)) for k in ("seconds", "step"))))
        and isinstance(card.get("parts"), list)
        and all(map(part, card["parts"]))
        and isinstance(card.get("stores"), list)
        and all(
            isinstance(s, dict) and all(isinstance(s.get(k), str) for k in ("path", "hash")) for s in card["stores"]
        )
        and (card.get("removed") is None or name(card["removed"]))
        and (card.get("approximate") is None or guess(card["approximate"]))
    )
