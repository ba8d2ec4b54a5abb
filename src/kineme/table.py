"""The clip table: columns of plain values built block by block, brought to one type each, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {"id": "string", "source": "string", "label": "string", "subject": "int64", "camera": "int64",
           "setup": "int64", "repetition": "int64", "performance": "string", "start": "int64", "end": "int64",
           "length": "int64", "fps": "double", "width": "int64", "height": "int64"}
"""Columns that every clip table has, and the type of one in which every value is null; extra columns follow by name."""
FIXED = ("id", "source", "label", "length", "fps", "width", "height")  # these have their type whatever the values


def column(values: list) -> pa.Array:
    """int64 if all are whole numbers, else double, bool, or text; NaN and None are null; all null has the null type."""
    import pyarrow as pa

    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int} and all(v is None or -2**63 <= v < 2**63 for v in values):
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64(), from_pandas=True)
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([_text(v) for v in values], pa.string()) if kinds else pa.nulls(len(values))


def _text(value: Any) -> str | None:
    """The same text for the same value, whatever type its column had before it was joined with others."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one under the other: known columns first, then the extra ones by name; types brought together."""
    import pyarrow as pa

    extra = sorted({name for table in tables for name in table.column_names} - COLUMNS.keys())
    columns = {}
    for name in (*COLUMNS, *extra):
        chunks = [chunk for table in tables for chunk in
                  (table[name].chunks if name in table.column_names else [pa.nulls(len(table))])]
        kinds = {str(chunk.type) for chunk in chunks} - {"null"}
        if name in FIXED or not kinds:
            kind = COLUMNS.get(name, "string")
        elif len(kinds) == 1:
            kind = kinds.pop()
        else:
            kind = "double" if kinds == {"int64", "double"} else "string"
        columns[name] = pa.chunked_array([_cast(chunk, kind) for chunk in chunks], _types()[kind])
    return pa.table(columns)


def _cast(chunk: pa.Array, kind: str) -> pa.Array:
    import pyarrow as pa

    if kind == "string" and str(chunk.type) not in ("string", "null"):
        return pa.array([_text(value) for value in chunk.to_pylist()], pa.string())
    return chunk.cast(_types()[kind], safe=False)


def _types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {"int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(), "string": pa.string()}


def unique(table: pa.Table) -> pa.Table:
    """Ids that come again get ``~2``, ``~3`` ... in the order of the clips."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = table["id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return table
    names = ids.to_pylist()
    taken, times = set(names), dict.fromkeys(names, 0)
    for i, name in enumerate(names):
        times[name] += 1
        while times[name] > 1 and names[i] in taken:
            names[i] = f"{name}~{times[name]}"
            times[name] += names[i] in taken
        taken.add(names[i])
    return table.set_column(0, "id", pa.array(names, pa.string()))


def digest(table: pa.Table) -> bytes:
    """SHA-256 of names, types, which values are null, and values; independent of the version of the table's file format."""
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        kind = str(column.type)
        digest.update(json.dumps([name, kind]).encode())
        digest.update(pc.is_valid(column).to_numpy().tobytes())
        if kind == "string":
            column = column.fill_null("")
            digest.update(pc.binary_length(column).to_numpy().astype("<i8").tobytes())
            for chunk in column.chunks:
                _, places, text = chunk.buffers()
                ends = np.frombuffer(places, np.int32)[chunk.offset:chunk.offset + len(chunk) + 1]
                digest.update(b"" if text is None else memoryview(text)[ends[0]:ends[-1]])
        else:
            numbers = column.fill_null(False if kind == "bool" else 0).to_numpy()
            digest.update(numbers.astype({"int64": "<i8", "double": "<f8", "bool": "u1"}[kind]).tobytes())
    return digest.digest()
