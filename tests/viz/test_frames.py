"""Which frames a strip shows, from where, and what it says of what is not seen."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import kineme
from kineme.data import synth
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError
from kineme.viz import stick_figure, strips
from kineme.viz.stick_figure import UNSEEN, Figures


@pytest.fixture(scope="module")
def wave() -> Motion:
    return next(iter(synth.generate(1, actions=["wave"], cameras=0)))


def still_then(motion: Motion, frames: int) -> Motion:
    """The first frame held for a while, then the motion."""
    index = np.concatenate([np.zeros(frames, int), np.arange(len(motion))])
    return motion.with_(joints=motion.joints[index], confidence=motion.confidence[index])


def turned(motion: Motion, angle: np.ndarray | float) -> Motion:
    """Turned about the upright axis, in each frame by its own angle."""
    angle = np.broadcast_to(angle, len(motion))
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros(len(motion))
    turn = np.stack([cos, zero, sin, zero, zero + 1, zero, -sin, zero, cos], -1).reshape(-1, 3, 3)
    return motion.with_(joints=np.einsum("tmvc,tdc->tmvd", motion.joints, turn))


def texts(motion: Motion, frames: int = 6) -> list[str]:
    strips.strip(motion, axes := Figure().add_subplot(), frames)
    return [text.get_text() for text in axes.texts]


def test_frames_are_where_the_movement_is(wave):
    at = Figures(still_then(wave, 300), 8).at
    assert (at[0], at[-1]) == (0, 300 + len(wave) - 1)
    assert (at > 290).sum() >= 6
    even = np.linspace(0, 300 + len(wave) - 1, 8)
    assert (even > 290).sum() <= 3


@pytest.mark.parametrize("frames", [1, 2, 5, 30, 61, 62, 63, 500])
def test_as_many_different_frames_as_asked(wave, frames):
    at = Figures(wave, frames).at
    assert len(at) == min(frames, len(wave))
    assert (np.diff(at) > 0).all()
    still = wave.with_(joints=np.repeat(wave.joints[:1], len(wave), 0))
    assert len(Figures(still, frames).at) == min(frames, len(wave))


def test_frames_without_anybody_are_counted_and_not_shown(wave):
    seen = wave.confidence.copy()
    seen[:7] = 0
    seen[20:31] = 0
    seen[-3:] = 0
    gap = wave.with_(confidence=seen)
    figures = Figures(gap, 6)
    assert seen[figures.at].any((1, 2)).all()
    assert figures.lost.sum() == 7 + 11 + 3
    assert (figures.lost[0], figures.lost[-1]) == (7, 3)
    said = texts(gap)
    assert {"7 unseen", "11 unseen", "3 unseen"} <= set(said)
    assert not [word for word in texts(wave) if "unseen" in word]
    short = gap[5:9]
    assert texts(short).count("nobody") == 2  # all frames are wanted: those without anybody say so


def test_a_missing_joint_is_grey_where_it_is_seen_shortly_before_or_after(wave):
    wrist = wave.layout.find("left_wrist")
    seen = wave.confidence.copy()
    seen[10:14, 0, wrist] = 0
    figures = Figures(wave.with_(confidence=seen))
    assert np.flatnonzero(figures.guessed[:, 0, wrist]).tolist() == [10, 11, 12, 13]
    whole = Figures(wave)
    assert np.abs(figures.place[12, 0, wrist] - whole.place[12, 0, wrist]).max() < 0.2
    assert UNSEEN in [line.ink for line in figures.lines(12, 0.0)]
    assert UNSEEN not in [line.ink for line in figures.lines(20, 0.0)]
    assert figures.sides() == whole.sides() | {"not seen": UNSEEN}
    seen[:40, 0, wrist] = 0
    late = Figures(wave.with_(confidence=seen)).guessed[:, 0, wrist]
    assert np.flatnonzero(late).tolist() == list(range(40 - stick_figure.NEAR, 40))


def test_the_front_is_the_median_over_the_clip(wave):
    """Somebody who turns away for a moment, also in the first frame, is seen as before."""
    away = np.where(np.arange(len(wave)) < len(wave) // 4, np.pi, 0.0)
    np.testing.assert_allclose(Figures(turned(wave, away)).place[-1], Figures(wave).place[-1], atol=0.02)
    about = Figures(turned(wave, np.linspace(0, 2 * np.pi, len(wave))))  # no front: the first frame's
    assert np.abs(about.place[0] - Figures(wave).place[0]).max() < 0.15


@pytest.mark.parametrize("angle", [10, 20, 25])
@pytest.mark.parametrize("axes", [(1, 2), (0, 1)])
def test_a_straight_body_before_a_tilted_sensor_stands_upright(wave, angle, axes):
    turn = np.eye(3, dtype=np.float32)
    turn[np.ix_(axes, axes)] = [
        [np.cos(np.radians(angle)), -np.sin(np.radians(angle))],
        [np.sin(np.radians(angle)), np.cos(np.radians(angle))],
    ]
    jitter = np.random.default_rng(0).normal(scale=0.003, size=wave.joints.shape).astype(np.float32)
    wave = wave.with_(joints=wave.joints + jitter)  # a sensor's: what stands quite still is taken for normalised
    ends = [[wave.layout.find(word) for word in words] for words in (["neck"], ["left_ankle", "right_ankle"])]

    def lean(motion: Motion) -> float:
        top, feet = (Figures(motion).place[:, 0, joints].mean((0, 1)) for joints in ends)
        return abs(float(np.degrees(np.arctan2(*(top - feet)))))

    assert lean(wave) < 5
    assert lean(wave.with_(joints=wave.joints @ turn.T)) < 7


def test_who_lies_is_left_lying(wave):
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    lying = Figures(wave.with_(joints=wave.joints @ turn.T))
    assert np.ptp(lying.place[0, 0, :, 0]) > np.ptp(lying.place[0, 0, :, 1])


def test_the_legend_names_what_there_is(wave):
    assert set(Figures(wave).sides()) == {"left", "right"}
    middle = kineme.motion.layout.free(["a", "b", "c"], [-1, 0, 1])
    assert Figures(Motion(np.random.default_rng(0).normal(size=(5, 3, 3)), middle)).sides() == {}


def test_paths_in_the_place_of_motions(tmp_path):
    folder = synth.write(tmp_path / "two", 2, format="bvh", cameras=0)
    one, two = sorted(folder.glob("*.bvh"))
    strips.strip(one, tmp_path / "a.png")
    strips.grid([str(one), two], tmp_path / "b.png", titles=["one", ["two", "lines"]])
    strips.neighbours(one, [(two, 0.5)], tmp_path / "c.png")
    strips.gif(one, tmp_path / "d.gif")
    assert len(list(tmp_path.glob("?.*"))) == 4
    for call in (strips.strip, strips.gif):
        with pytest.raises(InputError, match="no such file"):
            call(tmp_path / "none.bvh", tmp_path / "e.gif")
    with pytest.raises(InputError, match="a motion, or the path of a file"):
        strips.strip(3, tmp_path / "e.png")
