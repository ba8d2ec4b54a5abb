"""Names of images: which are frames of one video, in which order; which are photographs."""

from __future__ import annotations

import random

import pytest

from kineme.io import _frame_names

CODE = random.Random(0)


def code(length: int = 32) -> str:
    return "".join(CODE.choice("0123456789abcdef") for _ in range(length - 2)) + "a7"


def found(names: list[str]) -> dict[str, list[str]]:
    """The videos of names given in any order, each with its frames; what is left under None."""
    names = random.Random(1).sample(names, len(names))
    videos, alone = _frame_names.videos(names)
    assert sorted([i for v in videos for i in (*v.members, *v.again)] + alone) == list(range(len(names)))
    for video in videos:
        assert video.numbers == sorted(set(video.numbers))
        assert len(video.numbers) == len(video.members)
    return {video.name: [names[i] for i in video.members] for video in videos} | (
        {None: sorted(names[i] for i in alone)} if alone else {}
    )


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("walk/rgb", "walk/{:04d}_rgb.png"),
        ("frame_left", "frame{}_left.jpg"),
        ("walk", "walk_{:012d}.jpg"),
        ("", "{}"),
        ("a/walk-left", "a\\walk-left-{}.JPG"),
        ("clip7_take2", "clip7_take2_{:03d}.png"),
        ("x_right.v2", "x_{}_right.v2.png"),
        ("2024_view_1", "2024_{:05d}_view_1.jpg"),
    ],
)
def test_names_that_differ_in_one_number(name, pattern):
    for first in (0, 1, 95, 998, 1_000_000_000_000):  # the last would be a time, in steps of a millisecond
        names = [pattern.format(k) for k in range(first, first + 12)]
        assert found(names) == {name: names}  # by number, not by text


def test_codes_that_differ_by_chance():
    names = [f"clip_mp4-{k:04d}_jpg.rf.{code()}.jpg" for k in range(12)]
    assert found(names) == {"clip_mp4_jpg": names}
    names = [f"walk_{k}_{code(12)}.jpg" for k in range(12)]
    assert found(names) == {"walk": names}
    several = [f"clip_mp4-{k:04d}_jpg.rf.{code()}.jpg" for k in range(4) for _ in range(3)]  # copies of each frame
    (video,), alone = _frame_names.videos(several)
    assert (video.members, video.again, alone) == ([0, 3, 6, 9], (1, 2, 4, 5, 7, 8, 10, 11), [])


def test_several_videos():
    def names(pattern, *values):
        return [pattern.format(k, value) for value in values for k in range(12)]

    for pattern, values, videos in (
        ("{:05d}_{}.png", ("rgb", "depth"), ["rgb", "depth"]),
        ("{1}/{0}.png", ("a", "b"), ["a", "b"]),
        ("cam{1}_{0:05d}.png", (1, 2), ["cam1", "cam2"]),
        ("{:05d}_cam{}.png", (1, 2), ["cam1", "cam2"]),
        ("frame{}_{}.png", (1, 2), ["frame_1", "frame_2"]),
        ("s{1}_{0:03d}.png", range(30), [f"s{k}" for k in range(30)]),
        ("{}.{}", ("jpg", "png"), [""]),
    ):
        given = names(pattern, *values)
        there = found(given)
        assert set(there) == set(videos)
        assert sum(len(frames) for frames in _frame_names.videos(given)[0] for frames in [frames.members]) == len(given)


@pytest.mark.parametrize(
    ("pattern", "rate"),
    [
        ("{0:.6f}.png", 30),
        ("{1}.png", 30),  # milliseconds
        ("{2}.png", 30),
        ("take_{3:02d}-{4:02d}-{5:02d}_{6:03d}.jpg", 30),
    ],
)
def test_times_in_names(pattern, rate):
    names = []
    for k in range(90):
        time = 1700000000.2 + k / rate
        clock = divmod(k * 1000 // rate, 1000)
        names.append(
            pattern.format(
                time,
                int(time * 1e3),
                int(1e9) * 1700000000 + int(1e9 * k / rate),
                0,
                *divmod(clock[0] + 40, 60),
                clock[1],
            )
        )
    lost = names[:40] + names[43:]
    (video,), alone = _frame_names.videos(random.Random(2).sample(lost, len(lost)))
    assert video.fps == pytest.approx(rate, rel=0.01)
    assert video.numbers == [*range(40), *range(43, 90)]  # what is missing is missing in its place
    assert not alone


def test_times_since_the_start():
    names = [f"{33 * k + k % 2:06d}.jpg" for k in range(20)]
    (video,), _ = _frame_names.videos(names)
    assert (video.numbers, video.fps) == (list(range(20)), None)


def test_every_tenth_frame():
    (video,), _ = _frame_names.videos([f"{300 * k:06d}.jpg" for k in range(20)])
    assert video.numbers == [300 * k for k in range(20)]


def test_photographs():
    chance = random.Random(3)
    for names in (
        ["anna.jpg", "ben.jpg"],
        ["785.jpg", "40083.jpg", "196141.jpg"],
        [f"{k:012d}.jpg" for k in chance.sample(range(600000), 50)],
        [f"{code()}.jpg" for _ in range(9)],
        [f"IMG_202103{k:02d}_{chance.randrange(240000):06d}.jpg" for k in range(1, 25)],
        ["0001.jpg"],
        ["img_1_a.jpg", "img_2_b.jpg", "img_3_c.jpg"],
    ):
        assert found(names) == {None: sorted(names)}
