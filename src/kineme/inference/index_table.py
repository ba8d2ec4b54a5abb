"""An index as a table with vectors, for those who keep them in a database of their own."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils import files
from ..utils.errors import InputError
from . import index_files
from .index import Index

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("parquet", "lancedb")
NAME = "clips"  # of the table in a database


def write(index: Index, kind: str, place: str | os.PathLike) -> int:
    """Write every entry with its vector; how many.

    Args:
        index: the index.
        kind: ``parquet`` for a file, ``lancedb`` for the folder of a database, in which the table is ``clips``.
        place: a file or folder that does not exist.

    Raises:
        InputError: no such kind, a package that is missing, a place that is taken.

    Examples:
        >>> write(kineme.index(store, run, "table-index"), "parquet", "vectors.parquet") == len(store)
        True
    """
    place = Path(place)
    if kind not in KINDS:
        raise InputError("--to", repr(kind), f"one of {', '.join(KINDS)}")
    if place.exists():
        raise InputError(place, "exists already", "a place that does not exist yet", "Name another")
    schema, batches = _schema(index), _batches(index)
    if kind == "lancedb":
        _database(place).create_table(NAME, batches, schema=schema)
        return len(index)
    import pyarrow.parquet as pq

    with files.atomic(place) as temporary, pq.ParquetWriter(temporary, schema) as file:
        for batch in batches:
            file.write_batch(batch)
    return len(index)


def _database(place: Path) -> Any:
    try:
        lancedb = importlib.import_module("lancedb")
    except ImportError:
        hint = "pip install 'kineme[lancedb]'"
        raise InputError("--to lancedb", "the package lancedb is not installed", "it", hint) from None
    return lancedb.connect(str(place))


def _schema(index: Index) -> pa.Schema:
    import pyarrow as pa

    entries = index_files.table({name: [] for name in index_files.COLUMNS}).schema
    return entries.append(pa.field("vector", pa.list_(pa.float32(), index.dim)))


def _batches(index: Index) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema = _schema(index)
    for rows, block in index.blocks():
        columns = [index.arrow(name).take(rows).combine_chunks() for name in index_files.COLUMNS]
        flat = pa.array(np.ascontiguousarray(block, np.float32).ravel())
        vectors = pa.FixedSizeListArray.from_arrays(flat, index.dim)
        yield pa.RecordBatch.from_arrays([*columns, vectors], schema=schema)
