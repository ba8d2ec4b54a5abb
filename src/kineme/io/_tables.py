"""Tables with named columns: csv, tsv and Parquet, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..utils.errors import InputError
from . import MAX_JOINTS, _landmarks, _text
from ._following import MAX_POINTS

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 1 << 31  # bytes of a Parquet file


def load(path: Path, what: str) -> tuple[pa.Table, list[int]]:
    """A table, cells of csv as text, and the numbers of the rows that could not be read.

    Raises:
        InputError: no such table, a column twice, too many cells; most rows have another number of cells.
    """
    return _parquet(path, what) if path.suffix.lower() == ".parquet" else _csv(path, what)


def _csv(path: Path, what: str) -> tuple[pa.Table, list[int]]:
    """All cells as text."""
    data = _text.unpack(_text.load(path, what)).rstrip(" \r\n").encode()  # bytes that are no UTF-8 would be lost
    header = data.split(b"\n", 1)[0].decode()
    delimiter = max(",;\t", key=header.count)
    names = [name.strip(' "\r') or f"column {k}" for k, name in enumerate(header.split(delimiter))]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}, line 1", f"column {twice[:40]!r} twice", "every column once")
    if len(names) > 8 * MAX_JOINTS:
        raise InputError(f"{path}, line 1", f"{len(names)} columns", f"at most {8 * MAX_JOINTS}")
    table, odd = _text.cells(path, data, names, delimiter, what)
    if delimiter != ",":  # then a comma is one of decimals
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.table([pc.replace_substring(column, ",", ".") for column in table.columns], names=table.column_names)
    return table, [row - 2 for row in odd]


def _parquet(path: Path, what: str) -> tuple[pa.Table, list[int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = _text.raw(path, what, MOST)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        if rows < 1 or columns < 1 or rows * columns > 4 * MAX_POINTS or columns > 8 * MAX_JOINTS:
            raise InputError(path, f"{rows} rows of {columns} columns", f"{what}, at most {4 * MAX_POINTS} cells")
        return file.read(use_threads=False), []
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(path, f"not readable as Parquet ({str(error)[:200]})".replace("\n", " "), what) from None


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column as float64, NaN where there is no number."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _landmarks.cell_numbers(column)
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    return np.full(len(column), np.nan)
