"""Approximate indexes beside the exact one: what they find, what they say, what they survive; tables with vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kineme.inference import approximate, index_table
from kineme.inference import index as module
from kineme.inference.index import Index
from kineme.utils.errors import InputError

from .test_index import STORE, entries, made

COUNT, DIM = 4000, 24


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, DIM))
    return (centres[rng.integers(0, 50, COUNT)] + 0.6 * rng.normal(size=(COUNT, DIM))).astype(np.float32)


@pytest.fixture
def index(tmp_path, vectors, monkeypatch):
    monkeypatch.setattr(module, "FEW", 500)
    return made(tmp_path / "index", vectors)


def share(found, true):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), true.tolist())])


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_most_neighbours_are_found_and_recall_is_what_is_said(index, vectors, kind):
    pytest.importorskip("faiss")
    recall = index.approximate(kind)
    assert recall >= approximate.ENOUGH
    assert index.card["approximate"]["recall"] == pytest.approx(recall, abs=1e-4)
    for opened in (index, Index(index.path)):
        queries = vectors[np.random.default_rng(1).permutation(COUNT)[:100]]
        rows, scores, exact = opened.likely(queries, 10, opened.select())
        true, cosines = opened.nearest(queries, 10)
        assert not exact
        assert share(rows, true) >= 0.9
        same = rows == true
        assert scores[same] == pytest.approx(cosines[same])  # by full vectors
        assert (np.diff(scores, axis=1) <= 1e-6).all()
    index.verify()


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_filters_and_removed_rows_hold(index, vectors, kind):
    pytest.importorskip("faiss")
    index.remove(["clip0000*"])
    index.approximate(kind)
    chosen = index.select({"label": "kind 1"})
    rows, _, exact = index.likely(vectors[:20], 10, chosen)
    assert not exact
    assert chosen[rows].all()
    assert share(rows, index.nearest(vectors[:20], 10, chosen)[0]) > 0.8
    few = index.select({"label": "kind 1", "subject": "1"})
    assert few.sum() < 500
    assert index.likely(vectors[:5], 3, few)[2]  # few enough to compare them all


def test_what_changes_an_index_takes_it_away(index, vectors):
    pytest.importorskip("faiss")
    index.approximate("hnsw")
    assert list(index.path.glob("faiss-*"))
    index.add([vectors[:5]], entries(5, first=90_000), STORE)
    assert index.card["approximate"] is None
    assert not list(index.path.glob("faiss-*"))
    rows, _, exact = index.likely(vectors[:2], 3, index.select())
    assert exact
    assert len(rows[0]) == 3
    index.approximate("ivf")
    index.approximate("exact")
    assert not list(index.path.glob("faiss-*"))


def test_without_the_package_it_is_named_and_search_goes_on(index, vectors, monkeypatch):
    pytest.importorskip("faiss")
    index.approximate("hnsw")
    real = approximate.importlib.import_module

    def missing(name):
        if name == "faiss":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(approximate.importlib, "import_module", missing)
    with pytest.warns(UserWarning, match=r"kineme\[search\].*searched exactly"):
        assert Index(index.path).likely(vectors[:1], 3, index.select())[2]
    with pytest.raises(InputError, match=r"pip install 'kineme\[search\]'"):
        index.approximate("hnsw")
    assert Index(index.path).card["approximate"]["kind"] == "hnsw"  # a failure changes nothing


def test_damaged_ones_are_said(index, vectors):
    pytest.importorskip("faiss")
    index.approximate("hnsw")
    (file,) = index.path.glob("faiss-*")
    file.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="not readable"):
        assert Index(index.path).likely(vectors[:1], 3, index.select())[2]
    with pytest.raises(InputError, match="faiss"):
        index.verify()
    with pytest.raises(InputError, match="one of exact, hnsw, ivf"):
        index.approximate("hsnw")
    card = json.loads((index.path / "card.json").read_text())
    card["approximate"]["file"] = "../elsewhere"
    (index.path / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="damaged card"):
        Index(index.path)


# -------------------------------------------------------------------------------------------------------------- tables


def test_a_table_holds_every_entry_with_its_vector(index, vectors, tmp_path):
    import pyarrow.parquet as pq

    index.remove(["clip00007"])
    assert index_table.write(index, "parquet", tmp_path / "out.parquet") == COUNT - 1
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == index.ids()
    found = np.stack(table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, DIM))
    assert (found == index.vectors(np.flatnonzero(index.select()))).all()
    assert table["label"].to_pylist()[:3] == ["kind 0", "kind 1", "kind 2"]
    with pytest.raises(InputError, match="exists already"):
        index_table.write(index, "parquet", tmp_path / "out.parquet")
    with pytest.raises(InputError, match="one of parquet, lancedb"):
        index_table.write(index, "csv", tmp_path / "out.csv")


def test_a_database_finds_the_same(index, vectors, tmp_path):
    lancedb = pytest.importorskip("lancedb")
    index_table.write(index, "lancedb", tmp_path / "base")
    found = lancedb.connect(str(tmp_path / "base")).open_table("clips")
    assert found.count_rows() == COUNT
    query = index.vectors([11])[0]
    hits = found.search(query).metric("cosine").limit(5).to_list()
    rows, scores = index.nearest(query[None], 5)
    assert [hit["id"] for hit in hits] == [entry.id for entry in index.entries(rows[0])]
    assert [1 - hit["_distance"] for hit in hits] == pytest.approx(scores[0].tolist(), abs=1e-5)


def test_without_the_database_it_is_named(index, tmp_path, monkeypatch):
    monkeypatch.setattr(index_table.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(InputError, match=r"pip install 'kineme\[lancedb\]'"):
        index_table.write(index, "lancedb", tmp_path / "base")
