"""A video is told from noise, by its first bytes, wherever motion is read."""

from __future__ import annotations

import struct

import pytest
from helpers.training import kineme, one_paragraph

import kineme as package
from kineme.io import _video
from kineme.utils.errors import InputError


def box(kind: bytes, brand: bytes = b"isom") -> bytes:
    return struct.pack(">I", 32) + kind + brand + bytes(20)


VIDEOS = {
    "take.mp4": box(b"ftyp"),
    "old.mov": box(b"moov"),
    "flat.mov": box(b"mdat"),
    "phone.3gp": box(b"ftyp", b"3gp5"),
    "take.avi": b"RIFF" + struct.pack("<I", 999) + b"AVI LIST",
    "take.mkv": b"\x1a\x45\xdf\xa3" + bytes(40),
    "take.webm": b"\x1a\x45\xdf\xa3\x42\x82\x84webm",
    "take.mpg": b"\x00\x00\x01\xba" + bytes(40),
    "take.ts": (b"\x47" + bytes(187)) * 3,
    "take.wmv": bytes.fromhex("3026b2758e66cf11") + bytes(40),
    "take.flv": b"FLV\x01\x05",
    "no ending": box(b"ftyp", b"mp42"),
    "named.txt": box(b"ftyp", b"M4V "),
    "named.csv": b"RIFF\x00\x00\x00\x00AVI LIST",
}
PICTURES = {
    "a.jpg": b"\xff\xd8\xff\xe0" + bytes(20),
    "a.png": b"\x89PNG\r\n\x1a\n",
    "a.gif": b"GIF89a",
    "a.heic": box(b"ftyp", b"heic"),
    "a.webp": b"RIFF\x00\x00\x00\x00WEBPVP8",
}
NOISE = {
    "a.txt": b"my free words",
    "b": b"1234free",
    "c": bytes(64),
    "d": b"RIFF\x00\x00\x00\x00WAVE",
    "e": b"Go to sleep. " * 40,
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video(tmp_path, name):
    (tmp_path / name).write_bytes(VIDEOS[name])
    with pytest.raises(InputError, match=r"a video\. Expected poses.*Get poses first: .*MediaPipe") as error:
        package.read(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture(tmp_path, name):
    (tmp_path / name).write_bytes(PICTURES[name])
    with pytest.raises(InputError, match=r"a picture\. .*Get poses first"):
        package.read(tmp_path / name)


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_no_video(tmp_path, name):
    assert _video.kind(NOISE[name]) is None
    (tmp_path / name).write_bytes(NOISE[name])
    with pytest.raises(InputError, match=r"^((?!a video).)*$"):
        package.read(tmp_path / name)


@pytest.mark.parametrize("command", ["prepare", "show", "demo"])
def test_the_command_line(tmp_path, command):
    (tmp_path / "film.mp4").write_bytes(VIDEOS["take.mp4"])
    words = {
        "prepare": ["prepare", tmp_path / "film.mp4", tmp_path / "s", "--jobs", 1],
        "show": ["show", tmp_path / "film.mp4"],
        "demo": ["demo", "--data", tmp_path, "--out", tmp_path / "d"],
    }[command]
    one_paragraph(kineme(*words, check=False, cwd=tmp_path), "film.mp4", "a video", "Get poses first")


def test_videos_beside_motion_are_skipped_with_the_reason(tmp_path):
    package.synth.write(tmp_path / "mixed", 2, format="bvh", cameras=0)
    (tmp_path / "mixed" / "film.mp4").write_bytes(VIDEOS["take.mp4"])
    done = kineme("prepare", tmp_path / "mixed", tmp_path / "s", "--jobs", 1)
    assert "film.mp4 (a video" in done.stdout


def test_real_videos(data_dir):
    for path in sorted((data_dir / "videos").iterdir()):
        with pytest.raises(InputError, match="a video"):
            package.read(path)
