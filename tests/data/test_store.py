"""The store on disk: what goes in comes out, bytes are hashed, damage is found, writing is all or nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.data import store, store_writer
from kineme.motion import joint_map, layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

LAYOUT = layout.free(["hips", "head", "left_hand"], [-1, 0, 0])
FILES = ("card.json", "clips.parquet", "frames.npy", "confidence.npy", "skipped.jsonl")


def motion(rng: np.random.Generator, source: str = "clip", frames: int = 5, persons: int = 1, **fields) -> Motion:
    fields = {"layout": LAYOUT, "fps": 30.0, "up": "+y", "unit": "m", **fields}
    shape = (frames, persons, len(fields["layout"]))
    return Motion(rng.normal(size=(*shape, 3)), confidence=rng.choice([0, 0.5, 1], shape), source=source, **fields)


def write(path: Path, motions: list[Motion], **options) -> store.Store:
    with store_writer.Writer(path, motions[0].layout, **options) as writer:
        for each in motions:
            writer.add(each)
    return store.open(path)


@pytest.fixture
def small(tmp_path) -> store.Store:
    rng = np.random.default_rng(0)
    with store_writer.Writer(tmp_path / "small", LAYOUT, normalise={"how": "none"}) as writer:
        for i in range(20):
            writer.add(
                motion(
                    rng,
                    f"walk{i}.bvh",
                    3 + i % 4,
                    1 + i % 2,
                    label=f"a{i % 3}",
                    subject=i % 4,
                    extra={"dataset": "made", "note": "é" * i},
                )
            )
        writer.skip("bad.bvh", "it ends in line 3")
    return store.open(tmp_path / "small")


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(max_size=8),
    st.floats(allow_nan=False, width=32),
)
COLUMNS = st.sampled_from([st.integers(-99, 99), st.floats(-9, 9), st.booleans(), st.text(max_size=8)])
NAMES = st.sampled_from(["style", "größe", "setup", "repetition", "performance", "start", "end", "mass kg"])


@st.composite
def made_motions(draw) -> list[Motion]:
    """Ragged clips; every extra column holds values of one kind, some of them None."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    columns = draw(st.dictionaries(NAMES, COLUMNS, max_size=4))
    people = draw(st.sampled_from([st.integers(0, 9), st.text(min_size=1, max_size=5)]))
    return [
        motion(
            rng,
            f"clip {i} ☃",
            draw(st.integers(1, 6)),
            draw(st.integers(1, 3)),
            fps=draw(st.sampled_from([None, 25.0])),
            image_size=draw(st.sampled_from([None, (640, 480)])),
            label=draw(st.one_of(st.none(), st.text(max_size=5))),
            subject=draw(st.one_of(st.none(), people)),
            extra={name: draw(st.one_of(st.none(), values)) for name, values in columns.items()},
        )
        for i in range(draw(st.integers(1, 7)))
    ]


@settings(max_examples=20, deadline=None)
@given(made_motions())
def test_round_trip(motions):
    with tempfile.TemporaryDirectory() as folder:
        opened = write(Path(folder) / "s", motions)
        opened.verify()
        most = max(each.persons for each in motions)
        assert opened.frames.shape == (sum(map(len, motions)), most, 3, 3)
        assert opened.offsets[-1] == len(opened.frames)
        for i, put in enumerate(motions):
            got = opened.motion(i)
            assert np.array_equal(got.joints[:, : put.persons], put.joints)
            assert np.array_equal(got.confidence[:, : put.persons], put.confidence)
            assert not got.joints[:, put.persons :].any()
            assert not got.confidence[:, put.persons :].any()
            for name in ("fps", "up", "unit", "image_size", "label", "subject", "camera", "source"):
                assert getattr(got, name) == getattr(put, name), name
            assert got.extra == {name: value for name, value in put.extra.items() if value is not None}
            assert all(type(got.extra[name]) is type(put.extra[name]) for name in got.extra)


@settings(max_examples=20, deadline=None)
@given(made_motions(), st.data())
def test_hash_does_not_depend_on_how_it_was_joined(motions, data):
    """Any cut into shards, each with its own number of persons and column types, gives the same hash and files."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(motions)), max_size=3)) - {len(motions)})
    mixed = data.draw(st.lists(VALUES, min_size=len(motions), max_size=len(motions)))
    motions = [each.with_(extra={**each.extra, "mixed": value}) for each, value in zip(motions, mixed)]
    with tempfile.TemporaryDirectory() as folder:
        whole = write(Path(folder) / "whole", motions)
        parts = [write(Path(folder) / f"part{a}", motions[a:b]) for a, b in zip([0, *cuts], [*cuts, len(motions)])]
        joined = store_writer.join(parts, Path(folder) / "joined")
        joined.verify()
        assert joined.clips.equals(whole.clips)
        assert joined.hash == whole.hash
        for name in ("frames.npy", "confidence.npy"):
            assert (joined.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_hash_tells_contents_apart(tmp_path):
    rng = np.random.default_rng(0)
    first = motion(rng, label="a", extra={"x": 1})
    nudged = first.joints.copy()
    nudged[np.unravel_index(first.confidence.argmax(), first.confidence.shape)] += 1e-6
    others = [
        first.with_(joints=nudged),
        first.with_(confidence=np.minimum(first.confidence, 0.25)),
        first.with_(label="b"),
        first.with_(label=None),
        first.with_(extra={"x": 2}),
        first.with_(extra={"y": 1}),
        first.with_(extra={"x": "1"}),
        first.with_(up="+z"),
        first.with_(unit="1"),
        first.with_(fps=25.0),
    ]
    hashes = [write(tmp_path / str(i), [each]).hash for i, each in enumerate([first, *others])]
    assert len(set(hashes)) == len(hashes)
    assert write(tmp_path / "again", [first], card={"note": "made elsewhere"}).hash == hashes[0]


def test_npy_files_are_plain_numpy(small):
    frames = np.load(small.path / "frames.npy", mmap_mode="r")
    assert frames.dtype == np.float32
    assert np.array_equal(frames, small.frames)
    assert not small.frames.flags.writeable


def test_columns(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"n": 1, "x": 0.5, "b": True, "m": 1, "t": "a"}, {"n": 2, "x": 1, "b": False, "m": None, "t": None}]
    opened = write(
        tmp_path / "s", [motion(rng, f"{i}", extra=row, subject=s) for i, (row, s) in enumerate(zip(rows, (3, "anna")))]
    )
    kinds = {name: opened.column(name).dtype.kind for name in ("n", "x", "b", "m", "t", "subject", "camera", "length")}
    assert kinds == {"n": "i", "x": "f", "b": "b", "m": "O", "t": "O", "subject": "O", "camera": "O", "length": "i"}
    assert opened.column("m").tolist() == [1, None]
    assert opened.column("subject").tolist() == ["3", "anna"]
    with pytest.raises(InputError, match="Did you mean 'subject'"):
        opened.column("subjects")
    with pytest.raises(IndexError):
        opened.motion(2)
    assert opened.motion(-1).source == "1"


def test_ids_are_unique(tmp_path):
    rng = np.random.default_rng(0)
    opened = write(tmp_path / "s", [motion(rng, name) for name in ("a", "a~2", "a", "b", "a")])
    assert opened.ids == ["a", "a~2", "a~3", "b", "a~4"]
    assert store_writer.join([opened, opened], tmp_path / "j").ids[5:] == ["a~5", "a~2~2", "a~3~2", "b~2", "a~4~2"]


def test_extra_under_a_known_name_is_kept_apart(tmp_path):
    opened = write(tmp_path / "s", [motion(np.random.default_rng(0), extra={"length": 7, "id": "x"})])
    assert opened.motion(0).extra == {"extra_length": 7, "extra_id": "x"}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found(small, tmp_path, name):
    rng = random.Random(name)
    size = (small.path / name).stat().st_size
    for place in {0, size - 1, *(rng.randrange(size) for _ in range(12))}:
        copy = tmp_path / f"copy{place}"
        shutil.copytree(small.path, copy)
        raw = bytearray((copy / name).read_bytes())
        raw[place] ^= 1 << rng.randrange(8)
        (copy / name).write_bytes(raw)
        with pytest.raises(InputError) as error:
            store.open(copy).verify()
        assert name in str(error.value), place
    small.verify()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [None, 0, 0.4, 0.99])
def test_cut_or_missing_files(small, name, left):
    file = small.path / name
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    with pytest.raises(InputError, match=name):
        store.open(small.path).verify()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "run"},
        {"format": 99},
        {"clips": 0},
        {"clips": 21},
        {"frames": 10**12},
        {"frames": -1},
        {"coords": 2},
        {"persons": True},
        {"layout": {}},
        {"layout": None},
        {"splits": 3},
        {"hash": None},
        {"up": 1},
    ],
)
def test_a_card_that_does_not_fit(small, change):
    card = json.loads((small.path / "card.json").read_bytes())
    (small.path / "card.json").write_text(json.dumps(card | change), encoding="utf-8")
    with pytest.raises(InputError):
        store.open(small.path).verify()


def test_not_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(InputError, match=str(path)):
            store.open(path)


def test_writer_refuses(tmp_path, small):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="exists already"):
        store_writer.Writer(small.path, LAYOUT)
    with pytest.raises(InputError, match="cannot be written"):
        store_writer.Writer(small.path / "card.json" / "x", LAYOUT)
    with pytest.raises(InputError, match="no clip"):
        store_writer.Writer(tmp_path / "empty", LAYOUT).close()
    with store_writer.Writer(tmp_path / "new", LAYOUT, persons=1) as writer:
        writer.add(motion(rng))
        for wrong in (
            motion(rng, persons=2),
            motion(rng, layout=layout.layout("coco17")),
            Motion(np.zeros((2, 1, 3, 2)), LAYOUT, source="flat"),
        ):
            with pytest.raises(InputError):
                writer.add(wrong)
    assert len(store.open(tmp_path / "new")) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "small"]


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), store_writer.Writer(tmp_path / "s", LAYOUT) as writer:
        writer.add(motion(np.random.default_rng(0)))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_writing_does_not_gather_in_memory(tmp_path):
    clip = motion(np.random.default_rng(0), frames=20_000)  # about a megabyte
    tracemalloc.start()
    try:
        with store_writer.Writer(tmp_path / "s", LAYOUT) as writer:
            for _ in range(25):
                writer.add(clip)
            writer.add(motion(np.random.default_rng(0), persons=2))  # every clip before is widened, block by block
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    opened = store.open(tmp_path / "s")
    assert opened.frames.nbytes > 30e6
    assert peak < 8e6
    assert np.array_equal(opened.motion(24).joints[:, :1], clip.joints)


def test_opening_many_clips_is_quick(tmp_path, small):
    many = small
    for k in range(3):
        many = store_writer.join([many] * 15, tmp_path / f"many{k}")  # 67,500 clips
    begin = time.perf_counter()
    opened = store.open(many.path)
    assert time.perf_counter() - begin < 0.5
    assert len(opened) == 20 * 15**3
    assert len(set(opened.ids)) == len(opened)
    assert np.array_equal(opened.motion(len(opened) - 20).joints, small.motion(0).joints)


def test_join_maps_layouts(tmp_path):
    rng = np.random.default_rng(0)
    kinect, ntu = layout.layout("kinect20"), layout.layout("ntu25")
    first = write(tmp_path / "a", [motion(rng, "a", layout=kinect)])
    second = write(tmp_path / "b", [motion(rng, "b", persons=2, layout=ntu)])
    joined = store_writer.join([first, second], tmp_path / "j", "kinect20")
    joined.verify()
    assert joined.layout == kinect
    expected = second.motion(0).to_layout(joint_map.joint_map(ntu, kinect))
    assert np.array_equal(joined.motion(1).joints, expected.joints)
    assert np.array_equal(joined.motion(1).confidence, expected.confidence)
    assert store_writer.join([second, first], tmp_path / "k").layout == ntu
    other = write(tmp_path / "c", [motion(rng, "c")], normalise={"how": "general"})
    with pytest.raises(InputError, match="normalised"):
        store_writer.join([first, other], tmp_path / "l")
    flat = write(tmp_path / "d", [Motion(np.zeros((2, 1, 3, 2)), LAYOUT)])
    with pytest.raises(InputError, match="coordinates"):
        store_writer.join([flat, write(tmp_path / "e", [motion(rng)])], tmp_path / "m")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c", "d", "e", "j", "k"]


def test_joined_splits_hold_for_their_own_data_sets(tmp_path):
    rng = np.random.default_rng(0)
    rule = {"xview": {"train": {"column": "camera", "in": [1]}, "test": {"column": "camera", "in": [2]}}}
    clips = {name: [motion(rng, f"{c}", camera=c, extra={"dataset": name}) for c in (1, 2)] for name in ("one", "two")}
    first, second = write(tmp_path / "a", clips["one"], splits=rule), write(tmp_path / "b", clips["two"])
    assert store_writer.join([first, first], tmp_path / "c").card["splits"] == rule
    joined = store_writer.join([first, second], tmp_path / "d")
    assert joined.card["splits"]["xview"]["train"] == {
        "any": [{"all": [{"column": "dataset", "in": ["one"]}, rule["xview"]["train"]]}]
    }


def _first_joint(opened: store.Store) -> float:
    return float(opened.frames[0, 0, 0, 0])


def test_a_store_travels_between_processes(small):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first_joint, (small,)) == _first_joint(small)


WRITE = """
import resource, sys
import numpy as np
from kineme.motion import layout as skeleton
from kineme.data import store_writer
from kineme.utils.errors import InputError
from kineme.motion.motion import Motion
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
layout = skeleton.layout("coco17")
clip = Motion(np.ones((100, 1, 17, 3)), layout)
try:
    with store_writer.Writer(path, layout) as writer:
        print("begun", flush=True)
        for i in range(2000 if limit else 10**6):
            writer.add(clip)
except InputError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("limit", [100, 300, 50_000, 10_000_000])
def test_a_full_disk(tmp_path, small, limit):
    """The kernel refuses to let any file grow beyond a limit: header, card, table or frames."""
    before = {name: (small.path / name).read_bytes() for name in FILES}
    ended = subprocess.run([sys.executable, "-c", WRITE, tmp_path / "full", str(limit)], capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert "cannot be written (File too large)" in ended.stdout
    assert str(tmp_path / "full") in ended.stdout
    assert not ended.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small"]
    assert {name: (small.path / name).read_bytes() for name in FILES} == before


def test_a_kill_while_writing_leaves_no_store(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITE, tmp_path / "s", "0"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "s").exists()
    opened = write(tmp_path / "s", [motion(np.random.default_rng(0))])
    opened.verify()
