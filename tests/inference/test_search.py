"""Search by file, interval, id, plus and minus; windows of long recordings; mirrored and re-ranked hits."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import numpy as np
import pytest

import kineme
from kineme.data.store import Store
from kineme.inference import indexing, search
from kineme.inference.index import GRID, Index
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

TINY = {"encoder.hidden": 8, "encoder.layers": 1, "loop.batch": 4, "method.queue": 4}
ACTIONS = ["walk", "kick", "wave", "sit_down"]
pytestmark = pytest.mark.filterwarnings("ignore:.*mapped to the run's")


def joined(*motions: Motion, **known) -> Motion:
    """One after the other."""
    joints, confidence = (np.concatenate([getattr(m, name) for m in motions]) for name in ("joints", "confidence"))
    return motions[0].with_(joints=joints, confidence=confidence, extra={}, **known)


def seen_alone(seed: int, clips: int, action: str) -> list[Motion]:
    return list(kineme.synth.generate(clips, subjects=clips, actions=[action], seed=seed, cameras=1))


@pytest.fixture(scope="module")
def base():
    return kineme.load("base", device="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    motions = kineme.synth.generate(64, subjects=8, cameras=2, actions=ACTIONS, seed=5)
    return kineme.store(motions, tmp_path_factory.mktemp("search") / "store")


@pytest.fixture(scope="module")
def searcher(store, base, tmp_path_factory):
    return search.Searcher(indexing.write(store, base, tmp_path_factory.mktemp("search") / "index"), base)


@pytest.fixture(scope="module")
def recording():
    """Walks, and between them four sittings down of four people; where these are, in frames."""
    walks, sits = seen_alone(11, 10, "walk"), seen_alone(12, 4, "sit_down")
    parts, places, at = [], [], 0
    for i, walk in enumerate(walks):
        for part in [walk, *sits[i // 2 : i // 2 + 1]] if i % 2 and i < 8 else [walk]:
            if part is not walk:
                places.append((at, at + len(part)))
            parts.append(part)
            at += len(part)
    return joined(*parts, source="long", label=None, subject=9), places


@pytest.fixture(scope="module")
def mixed(store, recording, base, tmp_path_factory):
    """An index of short clips and of the recording, and what searches it."""
    folder = tmp_path_factory.mktemp("mixed")
    index = indexing.write(store, base, folder / "index")
    indexing.add(index, kineme.store([recording[0]], folder / "long"), base)
    return search.Searcher(index, base)


def test_scores_are_the_cosines_of_the_embedding(store, base, searcher):
    vectors = base.embed(store).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.round(vectors @ vectors[7] * GRID) / GRID
    cosines[7] = -2  # a clip is not among the hits of itself
    answer = searcher.find(store.ids[7], 5)
    expected = np.argsort(-cosines, kind="stable")[:5]
    assert [hit.entry.row for hit in answer.hits] == expected.tolist()
    np.testing.assert_allclose([hit.score for hit in answer.hits], cosines[expected], atol=2e-6)
    assert answer.among == len(searcher.index) == 64
    assert answer.hits[0].entry.label == store[7].label


def test_a_motion_finds_itself_and_its_kind(store, searcher):
    hits = searcher.find(store[20], 8).hits
    assert hits[0].entry.id == store.ids[20]
    assert hits[0].score > 0.999
    assert Counter(hit.entry.label for hit in hits)[store[20].label] >= 7
    array = searcher.model.fitted(store[20]).joints
    assert searcher.find(array, 1).hits[0].entry.id == store.ids[20]
    vector = searcher.model.embed(store[20])[0]
    assert searcher.find(vector, 1).hits[0].entry.id == store.ids[20]


def test_the_public_function_is_the_same(store, searcher):
    found = kineme.search(searcher.index, store.ids[3], k=4, filters={"label": {"not": store[3].label}})
    assert found == searcher.find(store.ids[3], 4, filters={"label": {"not": store[3].label}}).hits
    assert store[3].label not in {hit.entry.label for hit in found}
    with pytest.raises(InputError, match="no entry passes"):
        searcher.find(store.ids[3], filters={"length": (100, None)})


def test_plus_and_minus(store, searcher):
    labels = np.array([motion.label for motion in store])
    walk, kick = (int(np.flatnonzero(labels == name)[0]) for name in ("walk", "kick"))
    unit = [searcher.index.vectors([row])[0].astype(np.float64) for row in (walk, kick)]
    both = searcher.find([store.ids[walk], store.ids[kick]], 62)
    for hit in both.hits:
        vector = searcher.index.vectors([hit.row])[0]
        assert hit.score == pytest.approx(float(vector @ (unit[0] + unit[1]) / 2), abs=1e-5)
    assert {store.ids[walk], store.ids[kick]}.isdisjoint(hit.entry.id for hit in both.hits)
    without = searcher.find([store.ids[walk]], 62, minus=[store.ids[kick]])
    place = {hit.entry.id: i for i, hit in enumerate(searcher.find(store.ids[walk], 63).hits)}
    kicks = [hit.entry.id for hit in without.hits if hit.entry.label == "kick"]
    later = [i - place[hit.entry.id] for i, hit in enumerate(without.hits) if hit.entry.id in kicks]
    assert np.mean(later) > 0


def test_copies_hidden_in_a_recording_are_found_with_their_ends(mixed, recording):
    whole, places = recording
    query = whole.slice(*places[0]).with_(source="query")
    hits = mixed.find(query, 30, windows=True, filters={"subject": 9}).hits
    assert all(not hit.entry.whole and hit.entry.id == "long" for hit in hits)
    spans = [(hit.entry.start, hit.entry.end) for hit in hits]
    for i, (start, end) in enumerate(spans):  # what shares more than half is one hit
        assert all(min(end, e) - max(start, s) <= 30 for s, e in spans[:i])
    best = spans[: len(places)]
    for start, end in places:
        assert any(min(end, e) - max(start, s) > 30 for s, e in best), (places, best)
    assert hits[0].seconds == pytest.approx((spans[0][0] / 30, spans[0][1] / 30))
    assert hits[0].entry.end - hits[0].entry.start == 60  # two seconds


def test_an_interval_searches_windows_and_a_clip_does_not(mixed, recording):
    start, end = (frame / 30 for frame in recording[1][1])
    answer = mixed.find(f"long@{start:.3f}-{end:.3f}", 12)
    assert {hit.entry.whole for hit in answer.hits} == {True, False}  # clips that are not cut count as windows
    mine = recording[1][1]
    assert not any(h.entry.id == "long" and h.entry.start < mine[1] and mine[0] < h.entry.end for h in answer.hits)
    assert answer.among == len(mixed.index) - 1
    assert mixed.find("long").among == 65
    assert Counter(hit.entry.label for hit in answer.hits if hit.entry.label).most_common(1)[0][0] == "sit_down"


def test_a_clip_seen_in_a_mirror_is_found_on_request(base, tmp_path):
    """Base exchanges left and right while it learns, so a run that does not is asked, before training."""
    clips = seen_alone(3, 6, "wave")
    store = kineme.store([*clips, *[m.mirror().with_(source=f"{m.source}-m") for m in clips]], tmp_path / "store")
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=TINY, device="cpu")
    searcher = search.Searcher(kineme.index(store, run, tmp_path / "index"))
    clip = store[2]
    first = {hit.entry.id: hit for hit in searcher.find(clip, 12, mirror=True).hits}
    twin = first[f"{clip.source}-m"]
    assert twin.mirrored
    assert twin.score > 0.999
    assert not first[clip.source].mirrored
    plain = {hit.entry.id: hit.score for hit in searcher.find(clip, 12).hits}
    assert plain[f"{clip.source}-m"] < twin.score
    assert not any(hit.mirrored for hit in searcher.find(clip, 12).hits)
    ranked = searcher.find(clip, 12, mirror=True, rerank=True).hits
    assert {hit.entry.id for hit in ranked[:2]} == {clip.source, f"{clip.source}-m"}
    assert ranked[1].aligned > 0.999


def test_reranked_hits_are_sorted_by_their_frames(store, searcher, mixed):
    hits = searcher.find(store[4], 10, rerank=True).hits
    assert hits[0].entry.id == store.ids[4]
    assert hits[0].aligned == pytest.approx(1, abs=1e-4)
    aligned = [hit.aligned for hit in hits]
    assert aligned == sorted(aligned, reverse=True)
    assert hits[0].to_dict()["aligned"] == pytest.approx(1, abs=1e-4)
    assert Counter(hit.entry.label for hit in hits)[store[4].label] >= 8
    cut = mixed.find("long@1.0-3.0", 5, rerank=True).hits
    assert all(hit.aligned is not None for hit in cut)
    with pytest.raises(InputError, match="a vector, of which"):
        searcher.find(np.ones(searcher.index.dim), rerank=True)


def test_encoders_without_frames_are_reranked_by_poses(tmp_path):
    store = kineme.store(kineme.synth.generate(12, subjects=3, cameras=1, actions=ACTIONS), tmp_path / "store")
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=TINY, device="cpu")
    searcher = search.Searcher(kineme.index(store, run, tmp_path / "index"))
    model = searcher.model
    clip = model.encoder.forward
    model.encoder.forward = lambda batch: clip(batch)._replace(frame=None)
    hits = searcher.find(store[5], 6, rerank=True).hits
    assert hits[0].entry.id == store.ids[5]
    assert hits[0].aligned == pytest.approx(1, abs=1e-4)


def test_another_run_and_a_lost_one_are_named(store, searcher, tmp_path):
    run = kineme.pretrain("moco", store, tmp_path / "run", epochs=1, settings=TINY, device="cpu")
    with pytest.raises(InputError, match=r"made with another run \(base"):
        search.Searcher(searcher.index, run).find(store[0])
    index = kineme.index(store, run, tmp_path / "index")
    moved = tmp_path / "elsewhere"
    os.rename(run, moved)
    with pytest.raises(InputError, match="--run"):
        search.Searcher(Index(index.path)).find(store[0])
    assert search.Searcher(Index(index.path)).find(store.ids[0], 2).hits  # needs no run
    assert search.Searcher(Index(index.path), moved).find(store[0], 1).hits[0].entry.id == store.ids[0]


def test_index_store_and_run_can_be_moved_together(tmp_path):
    place = tmp_path / "here"
    store = kineme.store(kineme.synth.generate(8, subjects=2, cameras=1, actions=ACTIONS), place / "store")
    run = kineme.pretrain("moco", store, place / "run", epochs=1, settings=TINY, device="cpu")
    kineme.index(store, run, place / "index")
    shutil.move(place, tmp_path / "there")
    searcher = search.opened(tmp_path / "there" / "index")
    assert searcher.find(f"{store.ids[1]}@0.0-1.0", 2).hits
    other = kineme.store(kineme.synth.generate(8, subjects=2, cameras=1, seed=9), tmp_path / "other")
    shutil.rmtree(tmp_path / "there" / "store")
    with pytest.raises(InputError, match="which is not there"):
        searcher.__class__(searcher.index).find(f"{store.ids[1]}@0.0-1.0")
    shutil.copytree(other.path, tmp_path / "there" / "store")
    with pytest.raises(InputError, match="its content has changed"):
        searcher.__class__(searcher.index).find(f"{store.ids[1]}@0.0-1.0")


def test_clips_of_a_store_with_the_same_ids_are_refused(store, base, searcher, tmp_path):
    with pytest.raises(InputError, match="already"):
        indexing.add(Index(searcher.index.path), store, base)
    for how, said in (({"window": 0.0}, "--window"), ({"step": float("nan")}, "--step")):
        with pytest.raises(InputError, match=said):
            kineme.index(store, base, tmp_path / "no", **how)
    assert not (tmp_path / "no").exists()
    with pytest.raises(InputError, match="--add"):
        kineme.index(store, base, searcher.index.path)


def test_recordings_stay_whole_where_this_is_asked_or_their_rate_is_unknown(recording, base, tmp_path):
    long = recording[0].slice(0, 300)
    store = kineme.store([long, long.with_(fps=None, source="timeless")], tmp_path / "store")
    index = kineme.index(store, base, tmp_path / "index")
    assert {entry.id for entry in index.entries(range(len(index))) if not entry.whole} == {"long"}
    assert len(index) == 2 + len(range(0, 300 - 60 + 1, 15))
    assert len(kineme.index(store, base, tmp_path / "whole", window=None)) == 2
    with pytest.raises(InputError, match="no frames per second"):
        search.Searcher(index, base).find("timeless@1-2")


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_k_is_a_number_of_hits(store, searcher, k):
    with pytest.raises(InputError, match="-k"):
        searcher.find(store.ids[0], k)
    assert len(searcher.find(store.ids[0], 1000).hits) == 63
