"""Pickles of plain values: what pickle writes in every protocol reads equal; nothing else is built or called."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from helpers.sample import attempt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kineme.utils import plain_pickle
from kineme.utils.errors import InputError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.sets(st.integers() | st.text()),
    max_leaves=30,
)  # fmt: skip
ARRAYS = {
    "rows": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "half": np.ones((2, 2), np.float16),
    "other order": np.arange(4, dtype=">i4"),
    "text": np.array(["ab", "c"]),
    "empty": np.zeros((0, 3), np.float32),
    "truth": np.array([True, False]),
    "single": np.array(3.5),
}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_plain_values(value, protocol, tmp_path):
    assert plain_pickle.load(write(tmp_path / "a.pkl", pickle.dumps(value, protocol)), "values") == value


@each_protocol
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, protocol, tmp_path):
    array = ARRAYS[name]
    twice = {"a": [array, (array,)], "b": array}
    read = plain_pickle.load(write(tmp_path / "a.pkl", pickle.dumps(twice, protocol)), "arrays")
    for found in (read["a"][0], read["a"][1][0], read["b"]):
        np.testing.assert_array_equal(found, array)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)


@each_protocol
def test_scalars_objects_and_containers(protocol, tmp_path):
    value = {
        "f": np.float32(2.5),
        "i": np.int64(-7),
        "o": np.array([{1: np.ones(2)}, None], object),
        "d": OrderedDict(b=1, a=2),
    }
    read = plain_pickle.load(write(tmp_path / "a.pkl", pickle.dumps(value, protocol)), "values")
    assert (read["f"], read["i"], list(read["d"].items())) == (2.5, -7, [("b", 1), ("a", 2)])
    np.testing.assert_array_equal(read["o"][0][1], np.ones(2))


def test_a_list_in_itself(tmp_path):
    ring: list = []
    ring.append(ring)
    read = plain_pickle.load(write(tmp_path / "a.pkl", pickle.dumps(ring)), "a list")
    assert read[0] is read


class Call:
    def __init__(self, called, *arguments):
        self.called, self.arguments = called, arguments

    def __reduce__(self):
        return self.called, self.arguments


@each_protocol
@pytest.mark.parametrize(
    "value",
    [
        Call(os.system, "touch executed"),
        Call(eval, "open('executed', 'w')"),
        Call(getattr, str, "upper"),
        Path("x"),
        np.random.default_rng(0),
        np.dtype([("a", "f4"), ("b", "i4")]),
        np.zeros(2, [("a", "f4")]),
        np.array(["2024-01-01"], "M8[D]"),
        ValueError("x"),
        range(3),
        complex(1, 2),
    ],
    ids=["system", "eval", "getattr", "path", "generator", "record", "records", "dates", "error", "range", "complex"],
)
def test_everything_else_is_refused_and_nothing_executed(value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pkl", pickle.dumps({"x": [value]}, protocol))
    with pytest.raises(InputError, match=r"a\.pkl: a (damaged )?pickle .*nothing of it was executed|an array of"):
        plain_pickle.load(path, "values")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pkl"]


def made(*operations: bytes) -> bytes:
    return b"\x80\x04" + b"".join(operations) + b"."


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


ARRAY = made(
    text("numpy.core.multiarray"), text("_reconstruct"), b"\x93", text("numpy"), text("ndarray"), b"\x93",
    b"K\x00\x85C\x01b\x87R(K\x01", b"%s", text("numpy"), text("dtype"), b"\x93", text("f4"), b"\x89\x88\x87R",
    b"(K\x03", text("<"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x0412", b"34tb",
)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "the file is empty"),
        (b"\x80\x04", "damaged"),
        (b"hello", "damaged"),
        (made(b"\x8e" + struct.pack("<Q", 10**13) + b"x"), "damaged"),  # bytes that are not there
        (made(b"\x8d" + struct.pack("<Q", 2**62)), "damaged"),
        (made(b"\x8b" + struct.pack("<I", 2**31 - 1)), "damaged"),
        (made(b"h\x07"), "damaged"),  # nothing remembered
        (made(b"0"), "damaged"),
        (made(b"t"), "damaged"),
        (made(b"N\x85" + b"\x85" * 5000), "tuples more than 20 deep"),
        (made(b"}N\x85" + b"\x85" * 100_000 + b"Ns"), "tuples more than 20 deep"),
        (made(b"]" + b"](\x94" * 1), "damaged"),
        (made(b"".join(b"]" for _ in range(20_000)), b"a" * 19_999), "containers in each other"),
        (made(b"(" * 100_000), "damaged"),
        (made(b"NQ"), "the operation BINPERSID"),
        (made(b"\x97"), "the operation NEXT_BUFFER"),
        (made(b"\x82\x01"), "the operation EXT1"),
        (made(b"(", text("x"), b"i__main__\nX\n"), "the operation INST"),
        (made(text("numpy"), text("ndarray"), b"\x93"), "damaged"),  # a name alone
        (made(text("numpy"), text("ndarray"), b"\x93)R"), "a call of ndarray"),
        (made(b"]Nb"), "a state for a list"),
        (ARRAY.replace(b"%s", b"K\x02\x85"), "4 bytes for an array of shape"),
        (ARRAY.replace(b"%s", b"J\xff\xff\xff\xff\x85"), r"an array of shape \(-1,\)"),
        (ARRAY.replace(b"%s", b"\x8a\x08" + b"\x7f" * 8 + b"\x85"), "4 bytes for an array of shape"),
        (ARRAY.replace(b"%s", b"K\x01\x85").replace(text("f4"), text("O8")), "objects of another number"),
        (ARRAY.replace(b"%s", b"K\x01\x85").replace(text("f4"), text("V9")), "an array of V9"),
        (ARRAY.replace(b"%s", b"K\x01\x85").replace(text("<"), text("!")), "an array of records"),
    ],
)
def test_hostile_files(content, found, tmp_path):
    path = write(tmp_path / "a.pkl", content)
    tracemalloc.start()
    with pytest.raises(InputError, match=rf"a\.pkl: .*{found}"):
        plain_pickle.load(path, "values")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_the_array_of_these_tests_is_good(tmp_path):
    read = plain_pickle.load(write(tmp_path / "a.pkl", ARRAY.replace(b"%s", b"K\x01\x85")), "values")
    assert read.tobytes() == b"1234"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4))
def test_files_changed_at_random(edits, tmp_path):
    data = pickletools.optimize(pickle.dumps({"a": [np.arange(4.0), (1, "x")], "b": {"c": {1, 2}}}, 4))
    for where, removed, put in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + removed :]
    attempt(write(tmp_path / "a.pkl", data), lambda path: plain_pickle.load(path, "values"))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_any_operations(data, tmp_path):
    attempt(write(tmp_path / "a.pkl", b"\x80\x04" + data + b"."), lambda path: plain_pickle.load(path, "values"))


def test_too_large(tmp_path):
    path = write(tmp_path / "a.pkl", pickle.dumps("x" * 100))
    with pytest.raises(InputError, match="at most 50"):
        plain_pickle.load(path, "text", limit=50)
