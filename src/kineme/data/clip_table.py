"""The clip table: columns of plain values built block by block, brought to one type each, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {
    "id": "string",
    "source": "string",
    "label": "string",
    "subject": "int64",
    "camera": "int64",
    "setup": "int64",
    "repetition": "int64",
    "performance": "string",
    "start": "int64",
    "end": "int64",
    "length": "int64",
    "fps": "double",
    "width": "int64",
    "height": "int64",
}
"""Columns that every clip table has, and the type of one in which every value is null; extra columns follow by name."""
FIXED = ("id", "source", "label", "length", "fps", "width", "height")  # these have their type whatever the values

_EXACT = 2**53  # whole numbers up to here are doubles without loss


def block(columns: Mapping[str, list]) -> pa.Table:
    """A table of plain Python or numpy values.

    A column is int64 if all its values are whole numbers, else double if all are numbers that a double holds exactly,
    bool, or text. NaN and None are null.
    """
    import pyarrow as pa

    return pa.table({name: _column(values) for name, values in columns.items()})


def beside(table: pa.Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """A table with further columns of plain values."""
    for name, values in columns.items():
        table = table.append_column(name, _column(list(values)))
    return table


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one under the other: the known columns first, then the extra ones by name.

    A column that a table lacks is null there; columns of several types become double or text. The result does not
    depend on where one table ends and the next begins.
    """
    import pyarrow as pa

    types = {"int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
    extra = sorted({name for table in tables for name in table.column_names} - COLUMNS.keys())
    columns = {}
    for name in (*COLUMNS, *extra):
        chunks = [
            chunk
            for table in tables
            for chunk in (table[name].chunks if name in table.column_names else [pa.nulls(len(table))])
        ]
        kinds = {str(chunk.type) for chunk in chunks if chunk.null_count < len(chunk)}
        if name in FIXED or not kinds:
            kind = COLUMNS.get(name, "string")
        elif kinds == {"int64", "double"} and all(_exact(chunk) for chunk in chunks):
            kind = "double"
        else:
            kind = kinds.pop() if len(kinds) == 1 else "string"
        columns[name] = pa.chunked_array([_cast(chunk, kind, types) for chunk in chunks], types[kind])
    return pa.table(columns)


def unique(table: pa.Table) -> pa.Table:
    """Ids that come again get ``~2``, ``~3`` ... in the order of the clips."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = table["id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return table
    names: list[str] = ids.to_pylist()
    taken, following, met = set(names), dict[str, int](), set[str]()
    for i, name in enumerate(names):
        if name in met:
            k = following.get(name, 2)
            while f"{name}~{k}" in taken:
                k += 1
            following[name] = k + 1
            names[i] = f"{name}~{k}"
            taken.add(names[i])
        met.add(name)
    return table.set_column(table.column_names.index("id"), "id", pa.array(names, pa.string()))


def digest(table: pa.Table) -> bytes:
    """SHA-256 of names, types, which values are null, and values: nothing of how a file format would lay them out."""
    import pyarrow.compute as pc

    total = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        kind = str(column.type)
        total.update(json.dumps([name, kind]).encode())
        total.update(pc.is_valid(column).to_numpy().astype("u1").tobytes())
        if kind == "string":
            column = column.fill_null("")
            total.update(pc.binary_length(column).to_numpy().astype("<i8").tobytes())
            for chunk in column.chunks:
                _, places, text = chunk.buffers()
                ends = np.frombuffer(places, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
                total.update(memoryview(text)[ends[0] : ends[-1]] if text is not None and len(ends) else b"")
        else:
            numbers = column.fill_null(False if kind == "bool" else 0).to_numpy()
            total.update(numbers.astype({"int64": "<i8", "double": "<f8", "bool": "u1"}[kind]).tobytes())
    return total.digest()


def _column(values: list) -> pa.Array:
    import pyarrow as pa

    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float} and all(abs(v) <= _EXACT for v in values if type(v) is int):
        return pa.array([None if v is None or v != v else float(v) for v in values], pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([text(value) for value in values], pa.string()) if kinds else pa.nulls(len(values))


def _exact(chunk: pa.Array) -> bool:
    """Whether a double holds every value of a chunk of whole numbers."""
    import pyarrow.compute as pc

    if str(chunk.type) != "int64" or chunk.null_count == len(chunk):
        return True
    least, most = pc.min_max(chunk).values()
    return max(-least.as_py(), most.as_py()) <= _EXACT


def _cast(chunk: pa.Array, kind: str, types: Mapping[str, pa.DataType]) -> pa.Array:
    import pyarrow as pa

    if kind == "string" and str(chunk.type) not in ("string", "null"):
        return pa.array([text(value) for value in chunk.to_pylist()], pa.string())
    return chunk.cast(types[kind], safe=False)


def text(value: Any) -> str | None:
    """The same text for the same value, whatever type its column had before it was joined with others; None for NaN."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).encode("utf-8", "backslashreplace").decode()
