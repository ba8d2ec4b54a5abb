"""Videos frame by frame: the right frame by number, wherever it stands, and one sentence for what is no video."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
from helpers import films
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.io import is_video, open_video
from kineme.utils.errors import InputError

pytest.importorskip("av")

KINDS = {
    "h264.mp4": {},
    "keys.mp4": {"key_every": 1},
    "one key.mp4": {"key_every": 250},
    "h264.mkv": {},
    "h264.mov": {"b_frames": 0},
    "xvid.avi": {"codec": "mpeg4"},
    "plain.avi": {"codec": "mpeg4", "b_frames": 0},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "stream.ts": {},
    "mjpeg.avi": {"codec": "mjpeg"},
    "vp8.webm": {"codec": "libvpx"},
    "sound.mp4": {"sound": True},
    "flash.flv": {},
    "old.mpg": {"codec": "mpeg2video"},
}
OF_DATA = {  # README of the data: frames, frames per second, size
    "ta_chi.mp4": (300, 29.97, (340, 256)),
    "clean_and_jerk.mp4": (300, 29.97, (340, 256)),
    "skateboarding.mp4": (300, 29.97, (340, 256)),
    "exercise.avi": (393, 10, (384, 288)),
    "mmaction2_test.avi": (164, 25, (320, 240)),
    "mmaction2_part_0.mp4": (32, 30, (340, 256)),
    "pose2sim_multi_cam01.mp4": (100, 60, (1088, 1920)),
    "pose2sim_multi_cam02.mp4": (100, 60, (1088, 1920)),
    "posetrack_000001_mpiinew_test.mp4": (5, 30, (1280, 720)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return {name: films.write(folder / name, 45, **values) for name, values in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_in_its_place(made, name):
    assert is_video(made[name])
    video = open_video(made[name])
    assert len(video) == 45
    assert (video.width, video.height) == (films.WIDTH, films.HEIGHT)
    assert video.fps == pytest.approx(25, rel=2e-3)
    assert not video.variable
    assert np.abs(np.diff(video.times) - 0.04).max() < 2e-3
    assert [films.number(picture) for picture in video.frames()] == list(range(45))


@settings(max_examples=60)
@given(data=st.data())
def test_random_places(made, data):
    video = open_video(made[data.draw(st.sampled_from(sorted(KINDS)))])
    numbers = data.draw(st.lists(st.integers(0, 44), max_size=12))
    assert [films.number(picture) for picture in video.frames(numbers)] == numbers


def test_frames_are_scaled_while_they_are_decoded(made):
    video = open_video(made["h264.mp4"])
    picture = next(video.frames([37], size=(32, 24)))
    assert picture.shape == (24, 32, 3)
    assert picture.dtype == np.uint8
    assert films.number(picture) == 37
    with pytest.raises(InputError, match=r"frame 45.*frames 0 to 44"):
        next(video.frames([45]))
    assert list(video.frames([])) == []


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_as_the_file_says(tmp_path, degrees):
    path = films.turn(films.write(tmp_path / "phone.mp4", 5), degrees)
    video = open_video(path)
    upright = films.frame(3)
    wanted = np.rot90(upright, -degrees // 90)
    picture = list(video.frames())[3]
    assert picture.shape == wanted.shape == (video.height, video.width, 3)
    assert np.abs(picture.astype(int) - wanted).mean() < 8
    small = next(video.frames([3], size=(video.width // 2, video.height // 2)))
    assert small.shape[:2] == (video.height // 2, video.width // 2)


def test_uneven_frames_are_noticed(tmp_path):
    stamps = [0, 1, 2, 5, 6, 9, 10, 11, 15, 16, 17, 18]
    for name in ("a.mp4", "a.mkv"):
        video = open_video(films.write(tmp_path / name, 12, stamps=stamps))
        assert video.variable
        assert video.fps == pytest.approx(25, rel=2e-2)
        assert np.abs(video.times * 25 - stamps).max() < 0.06
        assert [films.number(picture) for picture in video.frames([11, 3, 4])] == [11, 3, 4]
    one_gap = open_video(films.write(tmp_path / "b.mp4", 12, stamps=[*range(11), 12]))
    assert not one_gap.variable
    assert one_gap.fps == pytest.approx(25)


def film_8k(path):
    return films.write(path, 2, "mjpeg", size=(7680, 4320))


def test_8k_never_lies_in_memory_as_an_array(tmp_path):
    import tracemalloc

    video = open_video(film_8k(tmp_path / "8k.avi"))
    assert (video.width, video.height) == (7680, 4320)
    tracemalloc.start()
    pictures = [films.number(picture) for picture in video.frames(size=(256, 144))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pictures == [0, 1]
    assert peak < 10 << 20  # one frame has 100 MB


# ---- what is no video, or half of one


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def without_frames(path):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def noise_after(path, share):
    data = bytearray(path.read_bytes())
    begin = int(share * len(data))
    data[begin:] = np.random.default_rng(0).integers(0, 256, len(data) - begin, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path


FRONT = {"options": {"movflags": "faststart"}}
BROKEN = {
    "no frames.mp4": (without_frames, "no pictures in it|no frame in it|not decodable"),
    "no frames.avi": (without_frames, "no frame in it|not decodable"),
    "sound.mp4": (films.write_sound, "only sound"),
    "one.mp4": (lambda path: films.write(path, 1), "a single frame"),
    "one.avi": (lambda path: films.write(path, 1, "mjpeg"), "a single frame"),
    "cut.mp4": (lambda path: cut(films.write(path, 60), 0.5), "not decodable"),
    "cut, index in front.mp4": (lambda path: cut(films.write(path, 60, **FRONT), 0.6), r"cut short: \d+ of 60 frames"),
    "cut.avi": (lambda path: cut(films.write(path, 60, "mpeg4"), 0.5), "cut short|not decodable"),
    "cut.mkv": (lambda path: cut(films.write(path, 60), 0.5), r"cut short: .* seconds|cut short: \d+"),
    "empty.mp4": (lambda path: path.write_bytes(b"") or path, "the file is empty"),
    "words.mp4": (lambda path: path.write_text("#EXTM3U\nhttp://example.org/a.ts\n") and path, "no video"),
    "picture.mp4": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(99)) and path, "a picture"),
    "head only.mp4": (lambda path: path.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(20)) and path, "not decodable"),
    "head only.mkv": (lambda path: path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(40)) and path, "not decodable"),
    "missing.mp4": (lambda path: path, "no such file"),
    "folder.mp4": (lambda path: path.mkdir() or path, "not readable"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_sentence_for_what_is_no_video(tmp_path, name):
    make, said = BROKEN[name]
    path = make(tmp_path / name)
    with pytest.raises(InputError, match=said) as error:
        list(open_video(path).frames())
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=25)
@given(
    share=st.floats(0.05, 0.95), name=st.sampled_from(["mjpeg.avi", "h264.mp4", "h264.mkv", "stream.ts", "xvid.avi"])
)
def test_noise_is_an_error_of_ours_or_pictures(made, tmp_path_factory, share, name):
    path = tmp_path_factory.mktemp("noise") / name
    path.write_bytes(made[name].read_bytes())
    noise_after(path, share)
    try:
        video = open_video(path)
        assert all(picture.shape == (video.height, video.width, 3) for picture in video.frames())
    except InputError as error:
        assert name in str(error)  # noqa: PT017 - either is right


def test_without_the_library(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"PyAV.*pip install 'kineme\[video\]'"):
        open_video(made["h264.mp4"])


# ---- real ones


@pytest.mark.parametrize("name", OF_DATA)
def test_real_videos_frame_by_frame(data_dir, name):
    frames, fps, size = OF_DATA[name]
    video = open_video(data_dir / "videos" / name)
    assert len(video) == frames
    assert video.fps == pytest.approx(fps, rel=1e-3)
    assert (video.width, video.height) == size
    all_in_order = [picture.tobytes() for picture in video.frames(size=(32, 24))]
    assert len(all_in_order) == frames
    numbers = [*random.Random(0).sample(range(frames), min(frames, 2)), 0]
    for number, picture in zip(numbers, video.frames(numbers, size=(32, 24)), strict=True):
        assert picture.tobytes() == all_in_order[number]
