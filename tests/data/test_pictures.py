"""Pictures in a store: what goes in comes out, one for each frame, hashed, joined, and rid of clips that fail."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.data import store, store_writer
from kineme.data.pictures import Pictures, scaled
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError
from kineme.views.source import ClipLoader

LAYOUT = layout.free(["hips", "head", "left_hand"], [-1, 0, 0])


def motion(frames: int, source: str, coords: int = 2) -> Motion:
    rng = np.random.default_rng(frames)
    return Motion(rng.normal(size=(frames, 1, 3, coords)), LAYOUT, fps=25.0, source=source, image_size=(640, 480))


def plain(numbers, height: int = 24, width: int = 32) -> np.ndarray:
    """Pictures of one colour each, which tells their number."""
    colours = np.array([[(number * 7) % 256, (number * 31 + 5) % 256, 255 - number] for number in numbers], np.uint8)
    return np.broadcast_to(colours[:, None, None], (len(colours), height, width, 3))


def write(path, lengths, size=(24, 32), begin=0, **options) -> store.Store:
    with store_writer.Writer(path, LAYOUT, **options) as writer:
        for i, length in enumerate(lengths):
            writer.add(motion(length, f"{path.name}{i}"), pictures=plain(range(begin, begin + length), *size))
            begin += length
    return store.open(path)


def test_what_goes_in_comes_out(tmp_path):
    made = write(tmp_path / "a", [3, 5, 2])
    assert made.has_pictures
    for rows in (range(10), [7, 0, 7], slice(2, 4), np.arange(10) % 3 == 0):
        numbers = np.arange(10)[rows]
        for picture, wanted in zip(made.pictures(rows), plain(numbers), strict=True):
            assert picture.shape == (24, 32, 3)
            assert np.abs(picture.astype(int) - wanted).max() <= 4  # JPEG
    made.verify()
    assert (made.column("width") == 640).all()  # what the coordinates refer to
    with pytest.raises(InputError, match="row 10"):
        made.pictures([10])


def test_pictures_are_scaled_once(tmp_path):
    assert scaled(1920, 1080) == (256, 144)
    assert scaled(100, 300, 50) == (50, 150)
    assert scaled(9, 5) == (9, 5)
    assert scaled(1, 5000, 144) == (1, 5000)
    assert [p.shape for p in write(tmp_path / "a", [1], (288, 512)).pictures([0])] == [(144, 256, 3)]
    assert [p.shape for p in write(tmp_path / "b", [1], (64, 48), picture_side=24).pictures([0])] == [(32, 24, 3)]


def test_fine_patterns_are_averaged_when_scaled(tmp_path):
    stripes = np.zeros((1, 288, 288, 3), np.uint8)
    stripes[:, ::2] = 255
    with store_writer.Writer(tmp_path / "a", LAYOUT) as writer:
        writer.add(motion(1, "a"), pictures=stripes)
    inside = store.open(tmp_path / "a").pictures([0])[0][8:-8, 8:-8]
    assert np.abs(inside.astype(int) - 128).max() < 8


def test_pictures_enter_the_hash_and_damage_is_found(tmp_path):
    made, other = write(tmp_path / "a", [3]), write(tmp_path / "b", [3], begin=1)
    again = write(tmp_path / "c" / "a", [3])
    assert made.hash == again.hash != other.hash
    assert set(made.card["files"]) == {"frames.npy", "confidence.npy", "clips.parquet", "pictures.bin", "pictures.npy"}
    data = bytearray((made.path / "pictures.bin").read_bytes())
    data[-300] ^= 1
    (made.path / "pictures.bin").write_bytes(data)
    with pytest.raises(InputError, match=r"pictures\.bin.*bytes have changed"):
        store.open(made.path).verify()
    data[: len(data) // 3] = bytes(len(data) // 3)
    (made.path / "pictures.bin").write_bytes(data)
    with pytest.raises(InputError, match="picture 0 is damaged"):
        store.open(made.path).pictures([0])
    (made.path / "pictures.bin").write_bytes(data[:-1])
    with pytest.raises(InputError, match=r"pictures\.bin"):
        store.open(made.path)
    (other.path / "pictures.npy").unlink()
    with pytest.raises(InputError, match=r"pictures\.npy"):
        store.open(other.path)


def test_the_hash_of_a_store_without_pictures_is_as_before(tmp_path):
    with store_writer.Writer(tmp_path / "a", LAYOUT) as writer:
        writer.add(motion(3, "a"))
    made = store.open(tmp_path / "a")
    assert not made.has_pictures
    assert made.hash == "a7081517af4247ae8c4dafb1b984399040809da875308ac56d5b0d35d00b4bd8"
    with pytest.raises(InputError, match=r"without pictures.*--poses"):
        made.pictures([0])
    with pytest.raises(InputError, match=r"without pictures.*--poses"):
        ClipLoader(made).pictures(torch.tensor([0]), torch.tensor([0]), 1)


def test_stores_with_pictures_are_joined(tmp_path):
    first, second = write(tmp_path / "a", [3, 2]), write(tmp_path / "b", [4], (40, 20), begin=5)
    joined = store_writer.join([first, second], tmp_path / "ab")
    joined.verify()
    for number, (picture, wanted) in enumerate(zip(joined.pictures(None), plain(range(9))[:, 0, 0], strict=True)):
        assert picture.shape == ((24, 32, 3) if number < 5 else (40, 20, 3))
        assert np.abs(picture.astype(int) - wanted).max() <= 4
    assert joined.pictures([8])[0].tobytes() == second.pictures([3])[0].tobytes()  # copied, not encoded again


def test_all_clips_have_pictures_or_none(tmp_path):
    without = tmp_path / "without"
    with store_writer.Writer(without, LAYOUT) as writer:
        writer.add(motion(3, "a"))
        with pytest.raises(InputError, match="pictures for all clips or none"):
            writer.add(motion(2, "b"), pictures=plain(range(2)))
    with store_writer.Writer(tmp_path / "with", LAYOUT) as writer:
        writer.add(motion(2, "b"), pictures=plain(range(2)))
        with pytest.raises(InputError, match="no pictures, where"):
            writer.add(motion(3, "a"))
    assert [len(store.open(tmp_path / name)) for name in ("without", "with")] == [1, 1]
    with pytest.raises(InputError, match="pictures for all clips or none"):
        store_writer.join([tmp_path / "without", tmp_path / "with"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def broken():
    yield plain([0])[0]
    raise InputError("film.mp4", "cut in the middle")


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        (broken, "cut in the middle"),
        (lambda: plain(range(3)), "3 pictures.*4, one for each"),
        (lambda: plain(range(5)), "more than 4"),
        (lambda: iter(plain(range(5))), "more than 4"),
        (list, "0 pictures"),
        (lambda: plain(range(4)).astype(float), "float64"),
        (lambda: [*plain([0, 1]), *plain([2, 3], 9, 9)], "one size"),
    ],
)
@pytest.mark.parametrize("earlier", [0, 2])
def test_a_clip_whose_pictures_fail_costs_itself_only(tmp_path, pictures, said, earlier):
    with store_writer.Writer(tmp_path / "a", LAYOUT) as writer:
        for i in range(earlier):
            writer.add(motion(2, f"before{i}"), pictures=plain([2 * i, 2 * i + 1]))
        with pytest.raises(InputError, match=said):
            writer.add(motion(4, "bad", coords=2 if earlier else 3), pictures=pictures())
        writer.add(motion(3, "good"), pictures=plain(range(2 * earlier, 2 * earlier + 3)))
    made = store.open(tmp_path / "a")
    made.verify()
    assert made.ids == [*(f"before{i}" for i in range(earlier)), "good"]
    for picture, wanted in zip(made.pictures(None), plain(range(2 * earlier + 3)), strict=True):
        assert np.abs(picture.astype(int) - wanted).max() <= 4


def test_after_failed_pictures_a_store_may_do_without(tmp_path):
    with store_writer.Writer(tmp_path / "a", LAYOUT) as writer:
        with pytest.raises(InputError, match="0 pictures"):
            writer.add(motion(4, "bad"), pictures=[])
        writer.add(motion(3, "good"))
        writer.add(motion(3, "too"))
    made = store.open(tmp_path / "a")
    assert not made.has_pictures
    assert not (made.path / "pictures.bin").exists()
    assert "pictures.bin" not in json.dumps(made.card)


@settings(max_examples=20)
@given(data=st.data())
def test_a_loader_gives_consecutive_pictures(filmed, data):
    lengths = filmed.lengths
    frames, step = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    fits = [i for i in range(len(lengths)) if lengths[i] > (frames - 1) * step]
    index = data.draw(st.lists(st.sampled_from(fits), max_size=4))
    start = [data.draw(st.integers(0, int(lengths[i]) - (frames - 1) * step - 1)) for i in index]
    pictures, sizes = ClipLoader(filmed).pictures(
        torch.tensor(index, dtype=torch.long), torch.tensor(start, dtype=torch.long), frames, step
    )
    assert pictures.dtype == torch.uint8
    assert pictures.shape[:3] == (len(index), frames, 3)
    for clip, (i, first) in enumerate(zip(index, start)):
        height, width = sizes[clip].tolist()
        assert (height, width) == ((24, 32) if i < 2 else (40, 20))
        wanted = plain(filmed.offsets[i] + first + step * np.arange(frames))[:, 0, 0]
        own = pictures[clip, :, :, :height, :width].numpy().astype(int)
        assert np.abs(own - wanted[:, :, None, None]).max() <= 4
        assert not pictures[clip, :, :, height:].any()
        assert not pictures[clip, :, :, :, width:].any()


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filmed")
    parts = [write(folder / "a", [7, 9]), write(folder / "b", [8], (40, 20), begin=16)]
    return store_writer.join(parts, folder / "both")


def test_pictures_outside_their_clip_are_refused(filmed):
    with pytest.raises(InputError, match=r"clip 0.*5 frames from frame 3.*its 7 frames"):
        ClipLoader(filmed).pictures(torch.tensor([0]), torch.tensor([3]), 3, step=2)


def test_no_more_threads_than_the_process_has(filmed, monkeypatch):
    met = set()
    read = Pictures.__getitem__
    monkeypatch.setattr(Pictures, "__getitem__", lambda self, n: (met.add(threading.get_ident()), read(self, n))[1])
    ClipLoader(filmed).pictures(torch.tensor([0, 1, 2, 0]), torch.zeros(4, dtype=torch.long), 4)
    assert 1 <= len(met) <= torch.get_num_threads()
