"""The index on disk: exact, filtered, grown and shrunk; a killed or damaged one is never half right."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.inference import index as module
from kineme.inference import index_files
from kineme.inference.index import Index, create
from kineme.utils import files
from kineme.utils.errors import InputError

RUN = {"name": "run", "path": "../run", "weights": "0" * 64}
STORE = {"path": "../store", "hash": "1" * 64}


def entries(n, first=0, windows=0, **more):
    """Columns of n clips of three labels and four subjects, 30 to 129 frames long, and of windows of the first."""
    rows = [*range(n), *[0] * windows]
    long = [30 + (first + row) % 100 for row in rows]
    columns = {
        "id": [f"clip{first + row:05d}" for row in rows],
        "row": rows,
        "start": [0] * n + [10 * w for w in range(windows)],
        "end": long[:n] + [10 * w + 10 for w in range(windows)],
        "fps": [30.0] * len(rows),
        "whole": [i < n for i in range(len(rows))],
        "cut": [row == 0 and windows > 0 for row in rows],
        "label": [f"kind {(first + row) % 3}" for row in rows],
        "subject": [str(row % 4) for row in rows],
        "camera": [None] * len(rows),
    }
    return columns | more


def made(folder, vectors, **how):
    folder.mkdir(parents=True, exist_ok=True)
    index = create(folder, vectors.shape[1], RUN, {"seconds": 2.0, "step": 0.5})
    index.add(np.array_split(vectors, 3), entries(len(vectors) - how.get("windows", 0), **how), STORE)
    return Index(folder)


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32)


def plain(vectors, queries, k, chosen=None):
    """All cosines in float64, sorted; of equal ones the earlier first."""
    z, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors.astype(np.float64), queries))
    scores = np.round(q @ z.T * 2**32) / 2**32
    scores[:, ~(np.ones(len(z), bool) if chosen is None else chosen)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, 1)


@pytest.mark.parametrize("block", [1, 1000, 16 << 20])
def test_it_finds_what_a_full_sort_finds(tmp_path, vectors, monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    index, queries = made(tmp_path / "i", vectors), np.random.default_rng(1).normal(size=(7, 24))
    rows, scores = index.nearest(queries, 10)
    expected, cosines = plain(vectors, queries, 10)
    assert (rows == expected).all()
    np.testing.assert_allclose(scores, cosines, atol=1e-6)
    assert index.nearest(queries, 500)[0].shape == (7, 200)
    assert len(index) == 200
    np.testing.assert_allclose(np.linalg.norm(index.vectors(range(200)), axis=1), 1, atol=1e-6)


def test_of_equal_vectors_the_earlier_goes_first(tmp_path, vectors):
    vectors[50:150] = vectors[0] * np.linspace(0.5, 3, 100, dtype=np.float32)[:, None]
    index = made(tmp_path / "i", vectors)
    rows, scores = index.nearest(vectors[:1] * 7, 5)
    assert rows[0, 0] == 0
    np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_a_vector_of_zeros_is_like_nothing(tmp_path, vectors):
    vectors[3] = 0
    rows, scores = made(tmp_path / "i", vectors).nearest(vectors[:1], 200)
    assert scores[0][rows[0] == 3] == 0


def test_filters_are_those_of_the_columns(tmp_path, vectors):
    index, columns = made(tmp_path / "i", vectors), entries(200)
    label, subject, end = (np.array(columns[name]) for name in ("label", "subject", "end"))
    cases = [
        ({"label": "kind 1"}, label == "kind 1"),
        ({"label": ["kind 1", "kind 2"]}, label != "kind 0"),
        ({"subject": {"not": 3}}, subject != "3"),
        ({"subject": [0, "1"], "label": {"not": ["kind 0"]}}, np.isin(subject, ["0", "1"]) & (label != "kind 0")),
        ({"length": (2.0, 3.0)}, (end >= 60) & (end <= 90)),
        ({"length": (None, 1.5)}, end <= 45),
        ({}, end > 0),
    ]
    for where, expected in cases:
        assert (index.select(where) == expected).all()
        rows, _ = index.nearest(vectors[:2], 4, index.select(where))
        assert (rows == plain(vectors, vectors[:2].astype(float), 4, expected)[0]).all()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"lable": "x"}, "Did you mean 'label'"),
        ({"label": "kind 9"}, "no entry has this label"),
        ({"label": {"is": "x"}}, "a list of values"),
        ({"camera": "1"}, "entries with a camera"),
        ({"length": 3}, "shortest, longest"),
        ({"length": ("a", "b")}, "shortest, longest"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(tmp_path, vectors, where, said):
    with pytest.raises(InputError, match=said):
        made(tmp_path / "i", vectors).select(where)


def test_windows_take_the_place_of_the_clip_that_is_cut(tmp_path, vectors):
    index = made(tmp_path / "i", vectors, windows=5)
    assert index.select().tolist() == [True] * 195 + [False] * 5
    assert index.select(windows=True).tolist() == [False] + [True] * 199
    found = index.entries([0, 199])
    assert [(e.id, e.start, e.end, e.whole, e.fps, e.camera) for e in found] == [
        ("clip00000", 0, 30, True, 30.0, None),
        ("clip00000", 40, 50, False, 30.0, None),
    ]
    assert index.find("clip00000") == 0
    assert index.find("clip99999") is None
    index.remove(["clip00000"])
    assert len(index) == 194  # its windows as well
    assert index.find("clip00000") is None


def test_a_rate_that_is_not_known_is_none(tmp_path, vectors):
    index = create(tmp_path, 24, RUN, None)
    index.add([vectors[:2]], entries(2, fps=[np.nan, 25.0]), STORE)
    assert [entry.fps for entry in index.entries([0, 1])] == [None, 25.0]
    assert index.select({"length": (0, None)}).tolist() == [False, True]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), max_size=8), st.integers(0, 2**32 - 1))
def test_after_any_additions_and_removals_it_holds_what_a_dictionary_holds(tmp_path_factory, steps, seed):
    rng = np.random.default_rng(seed)
    index, held, first = create(tmp_path_factory.mktemp("i"), 4, RUN, None), {}, 0
    for adds, many in steps:
        if adds:
            new = rng.normal(size=(many, 4)).astype(np.float32)
            index.add([new], entries(many, first), STORE)
            held |= {f"clip{first + i:05d}": row for i, row in enumerate(new)}
            first += many
        elif held:
            gone = rng.choice(list(held), min(many, len(held)), replace=False).tolist()
            assert index.remove(gone) == len(gone)
            held = {id: row for id, row in held.items() if id not in gone}
        again = Index(index.path)
        assert again.ids() == index.ids() == list(held)
        assert len(index) == len(held)
        if held:
            query = rng.normal(size=(1, 4))
            rows, _ = again.nearest(query, 3)
            expected = plain(np.stack(list(held.values())), query, 3)[0][0]
            assert [again.entries([row])[0].id for row in rows[0]] == [list(held)[i] for i in expected]
        again.verify()
    files_there = {path.name for path in index.path.iterdir()}
    assert files_there == (index_files.named(index.card) | {"card.json"}) - {None}


def test_many_small_additions_become_one_file(tmp_path, vectors, monkeypatch):
    monkeypatch.setattr(module, "MOST_PARTS", 3)
    index = create(tmp_path, 24, RUN, None)
    for first in range(0, 50, 10):
        index.add([vectors[first : first + 10]], entries(10, first), STORE)
        index.remove([f"clip{first:05d}"])
    assert len(index.card["parts"]) <= 4
    expected = [i for i in range(50) if i % 10]
    assert index.ids() == [f"clip{i:05d}" for i in expected]
    unit = vectors[expected] / np.linalg.norm(vectors[expected], axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors(np.flatnonzero(index.select())), unit, atol=1e-6)
    assert len({entry.store for entry in index.entries(np.flatnonzero(index.select()))}) == 5


def test_ids_that_are_there_already_are_refused_and_change_nothing(tmp_path, vectors):
    index = made(tmp_path / "i", vectors)
    before = sorted(path.name for path in index.path.iterdir())
    with pytest.raises(InputError, match=r"clip00007.*in .* already.*--remove"):
        index.add([vectors[:1]], entries(1, 7), STORE)
    with pytest.raises(InputError, match=r"no clip of .* Did you mean"):
        index.remove(["clip0000"])
    assert index.remove(["clip0001*"]) == 10
    index.add([vectors[:1]], entries(1, 12), STORE)
    assert sorted(path.name for path in index.path.iterdir()) != before
    assert len(Index(index.path)) == 191


def test_a_failure_in_the_middle_leaves_the_index_as_it_was(tmp_path, vectors):
    index = made(tmp_path / "i", vectors)

    def broken():
        yield vectors[:5]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        index.add(broken(), entries(10, 1000), STORE)
    with pytest.raises(InputError, match="no finite numbers"):
        index.add([np.full((1, 24), np.nan, np.float32)], entries(1, 1000), STORE)
    assert len(Index(index.path)) == len(index) == 200
    assert {path.name for path in index.path.iterdir()} == {"card.json", "vectors-0001.npy", "entries-0001.parquet"}


def test_who_has_it_open_reads_on_while_it_is_changed(tmp_path, vectors):
    index, reader = made(tmp_path / "i", vectors), Index(tmp_path / "i")
    before = reader.nearest(vectors[:1], 5)[0]
    index.remove([f"clip{i:05d}" for i in range(150)])  # all is written once more
    assert (reader.nearest(vectors[:1], 5)[0] == before).all()
    assert len(Index(index.path)) == 50


def _hold(path, ready, go):
    with files.locked(path, "busy"):
        ready.set()
        go.wait(20)


def test_two_that_change_it_do_not_meet(tmp_path, vectors):
    index = made(tmp_path / "i", vectors)
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(index.path, ready, go))
    other.start()
    try:
        assert ready.wait(20)
        with pytest.raises(InputError, match="another process"):
            index.remove(["clip00001"])
    finally:
        go.set()
        other.join(20)
    assert index.remove(["clip00001"]) == 1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("vectors-0001.npy", lambda b: b[:-8], "bytes"),
        ("vectors-0001.npy", lambda b: None, "no such file"),
        ("entries-0001.parquet", lambda b: b[: len(b) // 2], "not readable"),
        ("card.json", lambda b: b[:100], "not readable as JSON"),
        ("card.json", lambda b: b.replace(b'"format": 1', b'"format": 7'), "another version"),
        ("card.json", lambda b: b.replace(b'"rows": 200', b'"rows": 100'), "the vectors of an index"),
        ("card.json", lambda b: b.replace(b'"vectors-0001.npy"', b'"../../etc/passwd"'), "damaged card"),
        ("card.json", lambda b: b.replace(b'"dim": 24', b'"dim": "x"'), "damaged card"),
        ("card.json", lambda b: b'{"kind": "run"}', "a card of kind 'run'"),
    ],
)
def test_a_damaged_index_is_one_sentence(tmp_path, vectors, name, change, said):
    path = made(tmp_path / "i", vectors).path / name
    changed = change(path.read_bytes())
    path.unlink() if changed is None else path.write_bytes(changed)
    with pytest.raises(InputError, match=said):
        Index(tmp_path / "i").nearest(vectors[:1], 3, Index(tmp_path / "i").select())


def test_changed_bytes_are_found_when_asked_for(tmp_path, vectors):
    index = made(tmp_path / "i", vectors)
    index.verify()
    path = index.path / "vectors-0001.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"vectors-0001\.npy"):
        Index(index.path).verify()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4), st.data())
def test_whatever_a_card_says_opening_it_is_an_index_or_one_sentence(tmp_path_factory, value, data):
    folder = tmp_path_factory.mktemp("card")
    index = create(folder, 4, RUN, {"seconds": 2.0, "step": 0.5})
    index.add([np.eye(4, dtype=np.float32)], entries(4), STORE)
    card = json.loads((folder / "card.json").read_text())
    at = card
    while isinstance(at, (dict, list)) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or not at[key] or data.draw(st.booleans()):
            at[key] = value
            break
        at = at[key]
    (folder / "card.json").write_text(json.dumps(card))
    try:
        Index(folder).nearest(np.ones((1, 4)), 2)
    except InputError as error:
        assert str(folder) in str(error)  # noqa: PT017


def test_queries_that_do_not_fit_are_refused(tmp_path, vectors):
    index = made(tmp_path / "i", vectors)
    with pytest.raises(InputError, match="a vector of 3 dimensions"):
        index.nearest(np.ones((1, 3)), 3)
    with pytest.raises(InputError, match="above 0"):
        index.nearest(vectors[:1], 0)


@pytest.mark.parametrize("what", ["nothing", "file", "empty"])
def test_what_is_no_index_is_said(tmp_path, what):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="kineme index"):
        Index(tmp_path / what)


def test_it_opens_at_once_and_without_torch(tmp_path):
    """100,000 entries: the card is read and the vectors are mapped, whatever their number."""
    many = 100_000
    made(tmp_path / "i", np.ones((many, 16), np.float32))
    code = (
        "import sys, time; from kineme.inference.index import Index; t = time.process_time(); "
        f"i = Index({str(tmp_path / 'i')!r}); i.find('clip00003'); "
        "print(time.process_time() - t, 'torch' in sys.modules)"
    )
    seconds, torch = min(
        (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
        for _ in range(2)
    )
    assert torch == "False"
    assert float(seconds) < 1
    begin = time.perf_counter()
    Index(tmp_path / "i")
    assert time.perf_counter() - begin < 0.1
