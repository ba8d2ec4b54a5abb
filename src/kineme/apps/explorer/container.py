"""Arrays in one answer: ``KNB1``, the header's length as uint32, a JSON header, arrays at multiples of eight bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

MAGIC = b"KNB1"
MEDIA_TYPE = "application/x-kineme"
DTYPES = ("uint8", "uint16", "uint32", "float16", "float32")
MOST_ARRAYS = 32


def write(arrays: Mapping[str, np.ndarray], **fields: Any) -> bytes:
    """Arrays and plain values as one answer.

    Args:
        arrays: by name, of one of the types in :data:`DTYPES`.
        fields: further entries of the header.

    Returns:
        bytes, little-endian; ``static/wire.js`` reads them, and :func:`read`.

    Examples:
        >>> found, fields = read(write({"xy": np.zeros((3, 2), np.uint16)}, seed=0))
        >>> found["xy"].shape, fields["seed"]
        ((3, 2), 0)
    """
    listed, pieces, at = [], [], 0
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"{name}: {array.dtype}")
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        listed.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "at": at})
        pieces.append(data + b"\0" * (-len(data) % 8))
        at += len(pieces[-1])
    header = json.dumps({"arrays": listed, **fields}, allow_nan=False).encode()
    header += b" " * (-(len(header) + 8) % 8)
    return b"".join([MAGIC, len(header).to_bytes(4, "little"), header, *pieces])


def read(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and further entries of an answer; whoever wrote it is not trusted.

    Raises:
        ValueError: not what :func:`write` writes.
    """
    if data[:4] != MAGIC or len(data) < 8:
        raise ValueError("no container")
    begin = 8 + int.from_bytes(data[4:8], "little")
    try:
        fields = json.loads(data[8:begin])
        listed = fields.pop("arrays")
        if len(listed) > MOST_ARRAYS:
            raise ValueError("too many arrays")
        arrays = {}
        for each in listed:
            shape, at = tuple(map(int, each["shape"])), int(each["at"])
            if each["dtype"] not in DTYPES or min((*shape, at, 0)) < 0 or at % 8:
                raise ValueError("no array")
            dtype = np.dtype(each["dtype"]).newbyteorder("<")
            array = np.frombuffer(data, dtype, math.prod(shape), begin + at).reshape(shape)
            arrays[str(each["name"])] = array.astype(dtype.newbyteorder("="))
        return arrays, fields
    except (AttributeError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"damaged container ({error})") from None
