"""An act: curves of all channels for many performances at once, and the ways to draw, time and lay motion on them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .body import CHANNELS, INDEX, Person, ease

DRAWS = 192  # random numbers kept for one performance
HABIT = 0.6  # what a subject keeps of every drawn value: z = 0.6 z_subject + 0.8 z_performance
CIRCLE = np.float32(2 * np.pi)
Pose = Mapping[str, Any]  # channel -> value; "m" and "o" -> the hand's (x, y, z)


class Performance:
    """n performances in the making.

    Values that are drawn have shape ``[n, 1]``, curves ``[n, T]``, all float32.

    Attributes:
        curves: ``[K, n, T]``, one row per channel; methods lay motion over what is there.
        u: ``[n, T]`` progress of the action, 0 at its start and 1 at its end, beyond them before and after it.
        clock: ``[n, T]`` seconds since the clip began.
        length: ``[n, 1]`` seconds of the clip.
        seconds: ``[n, 1]`` how long the action lasts.
        tempo: ``[n, 1]`` the subjects' tempo, near 1.
        posture: ``[16, n, 1]`` the subjects' standing habits, standard normal.
        middle: ``[n, 1]`` the x of the body's middle as the shoulder sees it, in arm lengths (negative).
        restless: how much idle limbs do.
        touch: ``[n, T]`` in actions of two: 1 while they touch.
    """

    def __init__(
        self,
        people: Sequence[Person],
        habits: np.ndarray,
        normals: np.ndarray,
        clock: np.ndarray,
        length: np.ndarray,
        restless: float,
        lead: Performance | None = None,
    ):
        """Start from a body at attention.

        Args:
            people: n subjects.
            habits, normals: ``[n, DRAWS]`` standard normal draws of the subjects and of the performances.
            clock, length, restless: as above.
            lead: the act of the partner who sets the time, if any.
        """
        self.normals = HABIT * habits + np.float32(np.sqrt(1 - HABIT**2)) * normals
        self.used = 0
        self.posture = np.stack([person.habits for person in people]).T[:, :, None]
        self.tempo = np.array([[person.tempo] for person in people], np.float32)
        self.middle = np.array(
            [[-p.lengths["shoulder"] / (p.lengths["upper_arm"] + p.lengths["forearm"])] for p in people], np.float32
        )
        self.clock, self.length, self.restless, self.lead = clock, length, restless, lead
        self.curves = np.zeros((len(CHANNELS), *clock.shape), np.float32)
        self.u, self.seconds = clock / length, length
        self.touch = np.zeros_like(self.u)

    # Drawing

    def vary(self, low: Any, high: Any) -> np.ndarray:
        """A value between low and high, nearly uniform, habits included: [n, 1]."""
        z = self.normals[:, self.used, None]
        self.used += 1
        return low + (high - low) / (1 + np.exp(-1.702 * z))  # the logistic curve for the normal distribution's

    def chance(self, share: float) -> np.ndarray:
        """True for about this share of the performances: [n, 1]."""
        return self.vary(0, 1) < share

    def whole(self, low: int, high: int, least: float = 0.0) -> np.ndarray:
        """A number of repetitions from low to high, fewer where each would last under ``least`` seconds: [n, 1]."""
        number = np.floor(self.vary(low, high + 0.999))
        return np.maximum(np.minimum(number, np.floor(self.seconds / max(least, 1e-3))), 1)

    # Timing

    def lasts(self, low: float, high: float) -> None:
        """Place an action of low..high seconds, in the subject's tempo, somewhere in the clip; u runs over it."""
        if self.lead is not None:
            self.u, self.seconds = self.lead.u, self.lead.seconds
            return
        self.seconds = np.minimum(self.vary(low, high) / self.tempo, 0.97 * self.length)
        start = (self.length - self.seconds) * self.vary(0.02, 0.98)
        u = (self.clock - start) / self.seconds
        warp = self.vary(-0.3, 0.3) / CIRCLE  # early or late in its swing
        self.u = u + warp * np.sin(CIRCLE * np.clip(u, 0, 1))

    def pulse(self, start: float, end: float) -> np.ndarray:
        """0, rising to 1 after ``start`` and falling before ``end``: [n, T]."""
        edge = 0.35 * (end - start)
        return ease((self.u - start) / edge) * ease((end - self.u) / edge)

    def beat(self, times: np.ndarray, start: float, end: float) -> np.ndarray:
        """Angle in radians that goes round ``times`` times from u = start to end: [n, T]."""
        return CIRCLE * times * (self.u - start) / (end - start)

    def again(self, times: np.ndarray, start: float = 0.0, end: float = 1.0) -> np.ndarray:
        """Progress 0..1 within each of ``times`` repetitions from u = start to end, 0 outside: [n, T]."""
        share = (self.u - start) / (end - start)
        return np.where((share > 0) & (share < 1), np.mod(times * np.clip(share, 0, 0.9999), 1), 0)

    # Laying motion over the body

    def get(self, channel: str) -> np.ndarray:
        """The curve of a channel [n, T], to be read or written."""
        return self.curves[INDEX[channel]]

    def add(self, channel: str, values: Any) -> None:
        self.curves[INDEX[channel]] += values

    def blend(self, channel: str, values: Any, weight: Any) -> None:
        """Lead a channel towards values, all the way where weight is 1."""
        row = self.curves[INDEX[channel]]
        row += weight * (values - row)

    def keys(self, *poses: tuple[Any, Pose], u: np.ndarray | None = None, jitter: float = 1.0) -> None:
        """Lead the body through key poses, minimum-jerk from one to the next.

        A channel that a pose does not name is left to what lies beneath, so an empty first and last pose lead out of
        rest and back into it. Hands vary by themselves by 0.06 arm lengths, angles by an eighth.

        Args:
            poses: (time in u, pose), in order of time.
            u: another progress than the action's.
            jitter: how much of that variation.
        """
        u = self.u if u is None else u
        times = [time for time, _ in poses]
        steps: list[Any] = [1]
        for before, after in itertools.pairwise(times):
            overlap = 0.12 * (after - before)  # via points are passed, not stopped at
            steps.append(ease((u - before + overlap) / (after - before + 2 * overlap)))
        steps.append(0)
        beneath = self.curves.copy()
        for (_, pose), entering, leaving in zip(poses, steps, steps[1:]):
            for channel, value in _flat(pose).items():
                wobble = jitter * (0.06 if channel[1:] in ("_x", "_y", "_z") else 0.12 * np.abs(value))
                value = value + self.vary(-wobble, wobble)
                self.curves[INDEX[channel]] += (entering - leaving) * (value - beneath[INDEX[channel]])

    def cycle(self, channel: str, phase: np.ndarray, points: Sequence[tuple[float, Any]]) -> None:
        """Set a channel to a periodic curve through its turning points (phase in 0..1, value)."""
        (first, value), closing = points[0], (points[0][0] + 1, points[0][1])
        phase = np.mod(phase - first, 1) + first
        curve = value + 0 * phase
        for (start, before), (end, after) in zip(points, [*points[1:], closing]):
            curve = curve + (after - before) * ease((phase - start) / (end - start))
        self.curves[INDEX[channel]] = curve

    def sway(self, channel: str, size: float) -> None:
        """Add slow wandering of about this size."""
        for low, high in ((0.1, 0.3), (0.35, 0.8)):
            rate, phase = self.vary(low, high), self.vary(0, CIRCLE)
            self.add(channel, 0.5 * size * np.sin(CIRCLE * rate * self.clock + phase))


def _flat(pose: Pose) -> dict[str, Any]:
    """A pose with its hands as three channels each."""
    hands = {f"{side}_{axis}": value for side in "mo" if side in pose for axis, value in zip("xyz", pose[side])}
    return {name: value for name, value in pose.items() if name not in ("m", "o")} | hands
