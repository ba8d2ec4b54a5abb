"""The actions of the made people: curves of joint angles and of the hands' paths, with their ways of varying.

An action is a function of an :class:`Act`, n performances of it at once. It lays key poses and cycles over the idle
body; whatever it draws with :meth:`Act.vary` is partly the subject's habit and partly new in every performance.
Hands are given as (outward, up, forward) from the shoulder in arm lengths, legs and feet in degrees against the
vertical and the floor, the trunk in degrees of forward lean, bend, twist (main shoulder forward).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .synth_body import CHANNELS, INDEX, Person, ease

DRAWS = 224  # random numbers set aside for one performance
HABIT = 0.6  # share of every drawn value that is the subject's own: z = 0.6 subject + 0.8 performance
GRAVITY = 9.81

# Where a resting hand may be, (x, y, z, lift): hanging twice, on the hip, held before the body, on the belly, behind
# the back, at the chest, in the pocket.
RESTING = np.array([(0.07, -0.985, 0.06, 0.0), (0.12, -0.94, 0.2, 0.0), (0.05, -0.62, 0.08, 0.95), (-0.1, -0.45, 0.45, 0.1),
                    (-0.3, -0.45, 0.34, 0.3), (-0.15, -0.62, -0.3, 0.4), (-0.3, -0.12, 0.36, 0.2), (0.04, -0.84, 0.1, 0.45)],
                   np.float32)


class Act:
    """n performances in the making.

    Attributes:
        curves: float32 ``[K, n, T]``, one row per channel; methods lay motion over what is there.
        u: ``[n, T]`` progress of the action, 0 at its start and 1 at its end, beyond them before and after it.
        clock: ``[n, T]`` seconds since the clip began.
        seconds: ``[n, 1]`` how long the action lasts.
        posture: ``[16, n, 1]`` the subjects' standing habits, standard normal.
        middle: ``[n, 1]`` the x of the body's middle as the shoulder sees it, in arm lengths (negative).
        touch: ``[n, T]`` in actions of two: 1 while they touch.
    """

    def __init__(self, people: Sequence[Person], habits: np.ndarray, normals: np.ndarray, clock: np.ndarray, length: np.ndarray,
                 restless: float, lead: Act | None = None):
        """``habits`` and ``normals`` are standard normal [n, DRAWS], ``length`` [n, 1] the clips' seconds, ``lead`` sets the time."""
        self.normals = HABIT * habits + np.float32(np.sqrt(1 - HABIT**2)) * normals
        self.used = 0
        self.posture = np.stack([person.habits for person in people]).T[:, :, None]
        self.tempo = np.array([[person.tempo] for person in people], np.float32)
        self.middle = np.array([[-p.lengths["shoulder"] / (p.lengths["upper_arm"] + p.lengths["forearm"])] for p in people], np.float32)
        self.clock, self.length, self.restless, self.lead = clock, length, restless, lead
        self.curves = np.zeros((len(CHANNELS), *clock.shape), np.float32)
        self.u, self.seconds = clock / length, length
        self.touch = np.zeros_like(self.u)

    # Drawing

    def vary(self, low, high) -> np.ndarray:
        """One value per performance ``[n, 1]`` between low and high, near uniform, habits included."""
        z = self.normals[:, self.used, None]
        self.used += 1
        return low + (high - low) / (1 + np.exp(-1.702 * z))

    def chance(self, share: float) -> np.ndarray:
        """True for about this share of the performances, [n, 1]."""
        return self.vary(0, 1) < share

    def whole(self, low: int, high: int, least: float = 0.0) -> np.ndarray:
        """A whole number from low to high, [n, 1]: of repetitions, fewer where each would take under ``least`` seconds."""
        number = np.floor(self.vary(low, high + 0.999))
        return np.maximum(np.minimum(number, np.floor(self.seconds / max(least, 1e-3))), 1).astype(np.float32)

    # Timing

    def lasts(self, low: float, high: float) -> None:
        """Place an action of low..high seconds (times the subject's tempo) somewhere in the clip; u runs over it."""
        if self.lead is not None:
            self.u, self.seconds = self.lead.u, self.lead.seconds
            return
        self.seconds = np.minimum(self.vary(low, high) / self.tempo, 0.97 * self.length)
        start = (self.length - self.seconds) * self.vary(0.02, 0.98)
        u = (self.clock - start) / self.seconds
        warp = self.vary(-0.3, 0.3)  # early or late in its swing
        inside = np.clip(u, 0, 1)
        self.u = u + warp * np.sin(np.float32(2 * np.pi) * inside) / np.float32(2 * np.pi)

    def pulse(self, start, end, u=None) -> np.ndarray:
        """0, rising to 1 around ``start`` and falling around ``end``; [n, T]."""
        u = self.u if u is None else u
        edge = 0.35 * (end - start)
        return ease((u - start) / edge) * ease((end - u) / edge)

    # Laying motion over the body

    def get(self, channel: str) -> np.ndarray:
        return self.curves[INDEX[channel]]

    def add(self, channel: str, values) -> None:
        self.curves[INDEX[channel]] += values

    def keys(self, *poses: tuple[float | np.ndarray, dict], u: np.ndarray | None = None, jitter: float = 1.0) -> None:
        """Lead the body through key poses: (time in u, {channel: value}), minimum-jerk from one to the next.

        ``m`` and ``o`` are the two hands' (x, y, z). A channel that a pose does not name is left to what lies
        beneath, so an empty first and last pose lead out of rest and back into it. Values vary a little by themselves.
        """
        u = self.u if u is None else u
        times = [time for time, _ in poses]
        steps = [np.float32(1)]
        for before, after in zip(times, times[1:]):
            overlap = 0.12 * (after - before)  # via points are passed, not stopped at
            steps.append(ease((u - before + overlap) / (after - before + 2 * overlap)))
        steps.append(np.float32(0))
        beneath = self.curves.copy()
        for i, (_, pose) in enumerate(poses):
            weight = steps[i] - steps[i + 1]
            for channel, value in _spread(pose).items():
                row = INDEX[channel]
                hand = channel[1:] in ("_x", "_y", "_z")
                wobble = 0.06 * jitter if hand else 0.12 * jitter * np.abs(value)
                self.curves[row] += weight * (value + self.vary(-wobble, wobble) - beneath[row])

    def cycle(self, channel: str, phase: np.ndarray, points: Sequence[tuple]) -> None:
        """Replace a channel by a periodic curve through its turning points (phase in 0..1, value)."""
        first = points[0][0]
        phase = np.mod(phase - first, 1)
        curve = points[0][1] + 0 * phase
        for (start, value), (end, after) in zip(points, [*points[1:], (first + 1, points[0][1])]):
            curve = curve + (after - value) * ease((phase - start + first) / (end - start))
        self.curves[INDEX[channel]] = curve

    def sway(self, channel: str, size) -> None:
        """Add slow wandering of about this size."""
        for low, high in ((0.1, 0.3), (0.35, 0.8)):
            rate, phase = self.vary(low, high), self.vary(0, 2 * np.pi)
            self.add(channel, 0.5 * size * np.sin(np.float32(2 * np.pi) * rate * self.clock + phase))


def _spread(pose: dict) -> dict:
    flat = {}
    for name, value in pose.items():
        flat.update({f"{name}_{axis}": v for axis, v in zip("xyz", value)} if name in "mo" else {name: value})
    return flat


def both(**channels) -> dict:
    """The same values for the main and the off side: ``both(thigh=20)``."""
    return {f"{side}_{name}": value for side in "mo" for name, value in channels.items()}


def idle(a: Act) -> None:
    """A standing body with its own posture that sways, shifts weight, looks about, and whose hands do not keep still."""
    own = a.posture
    soft = 5 + 2 * own[0] + a.vary(-2, 4)
    for side in "mo":
        a.add(f"{side}_knee", np.maximum(soft, 1))
        a.add(f"{side}_thigh", np.maximum(soft, 1) / 2)
        a.add(f"{side}_spread", 4 + 1.5 * own[1] + a.vary(-1.5, 2.5))
        a.add(f"{side}_toe", 9 + 4 * own[2] + a.vary(-3, 3))
    a.add("bend", 4 + 4 * own[3] + a.vary(-3, 3))
    a.add("lean", 1.5 * own[4])
    a.add("nod", 3 + 5 * own[5] + a.vary(-4, 4))
    a.add("side", 2 * own[6] + a.vary(-2, 2))
    shift = a.vary(-4, 4) + (a.vary(-4, 4)) * ease((a.clock / a.length - a.vary(0, 0.8)) / 0.3)
    a.add("m_spread", shift)
    a.add("o_spread", -shift)
    a.add("tilt", 0.3 * shift)
    glance = a.vary(-25, 25) * a.restless
    a.add("look", 0.5 * glance + (a.vary(-30, 30) * a.restless - glance) * ease((a.clock / a.length - a.vary(0, 0.9)) / 0.2))
    for channel, size in (("bend", 1.5), ("twist", 3), ("look", 6), ("nod", 3), ("side", 1.5), ("lean", 1)):
        a.sway(channel, size)
    for side, at in (("m", 7), ("o", 11)):
        places = RESTING + 0.04 * own[at : at + 4].transpose(1, 2, 0)  # [n, 8, 4]
        before, after = (_choose(a, places) for _ in range(2))
        moved = ease((a.clock - a.vary(0, 1) * a.length) / a.vary(0.4, 0.9))
        for i, name in enumerate(("x", "y", "z", "lift")):
            a.add(f"{side}_{name}", before[:, i, None] + moved * (after - before)[:, i, None] + a.vary(-0.04, 0.04))
            if name != "lift":
                a.sway(f"{side}_{name}", 0.03)


def _choose(a: Act, places: np.ndarray) -> np.ndarray:
    """[n, 8, 4] resting places -> one of them [n, 4]: hanging, unless the hand is restless."""
    roam = a.chance(0.35 * a.restless)
    pick = np.where(roam, a.whole(0, len(RESTING) - 1), a.whole(0, 1)).astype(int)
    return np.take_along_axis(places, pick[:, :, None], 1)[:, 0]


# Legs that walk: turning points of the angles over one stride that begins when the heel touches down.

def _stride(a: Act, phase: np.ndarray, thigh, stance, swing) -> None:
    """Turning points of a walking leg, fitted so that the standing foot stays and the swinging one clears the floor."""
    for side, offset in (("m", 0.0), ("o", 0.5)):
        p = phase + offset
        a.cycle(f"{side}_thigh", p, [(0.59, -0.72 * thigh), (0.83, thigh)])
        a.cycle(f"{side}_knee", p, [(0.10, stance), (0.38, 3), (0.75, swing), (0.965, 8)])
        a.cycle(f"{side}_foot", p, [(0.12, 0), (0.27, 0), (0.62, -1.9 * thigh), (0.955, 10)])


def _arm_swing(a: Act, phase: np.ndarray, size, elbow) -> None:
    """Arms against the legs: the wrist swings below (or, with bent elbows, before) the shoulder."""
    for side, offset in (("m", 0.5), ("o", 0.0)):
        swing = np.cos(2 * np.pi * (phase + offset - 0.93).astype(np.float32))
        angle = np.radians(size * swing + 0.45 * elbow * (0.6 + 0.2 * swing))
        arm = np.cos(np.radians(elbow / 2))
        for name, value in (("x", 0.1 + 0 * angle), ("y", -arm * np.cos(angle)), ("z", arm * np.sin(angle)), ("lift", 0 * angle)):
            a.get(f"{side}_{name}")[:] = value


def walk(a: Act) -> None:
    rate = a.vary(0.7, 1.05) * a.tempo  # strides a second
    phase = rate * a.clock + a.vary(0, 1)
    size = a.vary(0.75, 1.15)
    carried = a.chance(0.25 * a.restless)  # one hand may keep what it holds
    hold = [a.get(f"o_{name}").copy() for name in ("x", "y", "z", "lift")]
    _stride(a, phase, 25 * size, a.vary(14, 21), a.vary(54, 67))
    _arm_swing(a, phase, a.vary(10, 32), a.vary(15, 50))
    for name, value in zip(("x", "y", "z", "lift"), hold):
        row = a.get(f"o_{name}")
        row += carried * (value - row)
    swing = np.cos(2 * np.pi * (phase - 0.9)).astype(np.float32)
    a.add("twist", -6 * size * swing)
    a.add("yaw", 4 * swing + a.vary(-35, 35) * a.clock)
    a.add("lean", a.vary(0, 6))


def run(a: Act) -> None:
    rate = a.vary(1.15, 1.5) * a.tempo
    phase = rate * a.clock + a.vary(0, 1)
    size = a.vary(0.55, 0.95)
    for side, offset in (("m", 0.0), ("o", 0.5)):
        p = phase + offset
        a.cycle(f"{side}_thigh", p, [(0.42, -15 * size), (0.82, 50 * size)])
        a.cycle(f"{side}_knee", p, [(0.15, 38 * size), (0.36, 16), (0.64, 105 * size), (0.97, 16)])
        a.cycle(f"{side}_foot", p, [(0.08, 0), (0.2, 0), (0.5, -60 * size), (0.92, 6)])
    beat = np.mod(2 * phase - 0.76, 1)  # in the air between one foot's push and the other's landing
    share = beat / 0.24
    a.add("hop", np.where(share < 1, 4 * a.vary(0.03, 0.06) * share * (1 - share), 0))
    _arm_swing(a, phase, a.vary(22, 40), a.vary(75, 105))
    swing = np.cos(2 * np.pi * (phase - 0.9)).astype(np.float32)
    a.add("twist", -10 * size * swing)
    a.add("yaw", a.vary(-70, 70) * a.clock)
    a.add("lean", a.vary(4, 12))


def jump(a: Act) -> None:
    a.lasts(1.3, 1.9)
    height = a.vary(0.10, 0.32)
    flight = np.sqrt(8 * height / GRAVITY) / a.seconds
    rise = 0.46
    depth = a.vary(60, 110)
    arms = a.vary(0.2, 1.0)
    crouch = both(thigh=0.55 * depth, knee=depth, foot=0) | {"lean": 0.32 * depth}
    back, up = (0.2, -0.9, -0.25), (0.15, -0.4 + 1.2 * arms, 0.55 - 0.3 * arms)
    stretch = both(thigh=0, knee=2, foot=-48) | {"lean": 4, "m": up, "o": up}
    air = both(thigh=14, knee=25, foot=-25) | {"lean": 6, "m": up, "o": up}
    touch = both(thigh=14, knee=22, foot=-18) | {"lean": 12}
    soft = both(thigh=0.4 * depth, knee=0.75 * depth, foot=0) | {"lean": 0.25 * depth}
    a.keys((0.0, {}), (0.27, crouch | {"m": back, "o": back}), (rise, stretch), (rise + 0.5 * flight, air), (rise + flight, touch),
           (rise + flight + 0.12, soft), (1.0, {}), jitter=0.5)
    share = (a.u - rise) / flight
    a.add("hop", np.where((share > 0) & (share < 1), 4 * height * share * (1 - share), 0))
    a.add("drive", a.vary(-0.2, 1.0) * (share > -0.2))


def _seat(a: Act) -> dict:
    return both(thigh=a.vary(76, 92), knee=a.vary(78, 102), foot=0) | {"lean": a.vary(-8, 8)}


def _laps(a: Act) -> dict:
    """Hands of somebody who sits: on the thighs, or one of them anywhere."""
    lap = (-0.05, -0.62, a.vary(0.4, 0.6))
    return {"m": lap, "o": (-0.02, -0.6, 0.45)}


def sit_down(a: Act) -> None:
    a.lasts(1.1, 2.0)
    seat, hands = _seat(a), _laps(a)
    half = both(thigh=52, knee=75, foot=0) | {"lean": a.vary(30, 48), "m": (0.1, -0.75, 0.45), "o": (0.1, -0.75, 0.45)}
    a.keys((0.0, {}), (0.5, half), (1.0, seat | hands))


def stand_up(a: Act) -> None:
    a.lasts(1.1, 2.0)
    seat, hands = _seat(a), _laps(a)
    half = both(thigh=55, knee=80, foot=0) | {"lean": a.vary(32, 50), "m": (0.1, -0.75, 0.4), "o": (0.1, -0.75, 0.4)}
    a.keys((0.0, seat | hands), (0.45, half), (1.0, {}))


def wave(a: Act) -> None:
    a.lasts(1.6, 2.6)
    high, wide = a.vary(0.3, 0.78), a.vary(0.1, 0.32)
    place = (a.vary(0.08, 0.34), high, a.vary(0.15, 0.42))
    a.keys((0.0, {}), (0.25, {"m": place, "m_lift": a.vary(0, 0.4)}), (0.78, {"m": place, "m_lift": 0.2}), (1.0, {}))
    beat = np.sin(2 * np.pi * (a.whole(2, 4, 0.6) * (a.u - 0.2) / 0.65)).astype(np.float32) * a.pulse(0.15, 0.88)
    a.add("m_x", wide * beat)
    a.add("m_y", -0.3 * wide * beat * beat)
    a.add("m_wrist", -25 * beat)
    a.add("side", -3 * beat)


def clap(a: Act) -> None:
    a.lasts(1.4, 2.6)
    wide, high = a.vary(0.12, 0.35), a.vary(-0.35, 0.15)
    front = a.vary(0.5, 0.68)
    hands = (a.middle + 0.06 + wide, high, front)
    a.keys((0.0, {}), (0.2, {"m": hands, "o": hands, "nod": 8}), (0.8, {"m": hands, "o": hands}), (1.0, {}), jitter=0.4)
    beat = (0.5 - 0.5 * np.cos(2 * np.pi * (a.whole(3, 6, 0.4) * (a.u - 0.16) / 0.68))).astype(np.float32) * a.pulse(0.12, 0.88)
    for side in "mo":
        a.add(f"{side}_x", -wide * beat)
        a.add(f"{side}_wrist", 12 * beat)


def _stagger(a: Act, ahead: str, size) -> dict:
    """Feet one before the other, both flat, for strength: the given side ahead."""
    behind = "o" if ahead == "m" else "m"
    return {f"{ahead}_thigh": 0.9 * size + 6, f"{ahead}_knee": 0.8 * size + 8, f"{ahead}_foot": 0,
            f"{behind}_thigh": -0.55 * size, f"{behind}_knee": 8, f"{behind}_foot": -0.35 * size, f"{behind}_toe": 25}


def _step(a: Act, side: str, start, end) -> None:
    """Lift a foot on its way to another place."""
    lift = a.pulse(start, end)
    a.add(f"{side}_knee", 42 * lift)
    a.add(f"{side}_thigh", 24 * lift)
    a.add(f"{side}_foot", -8 * lift)


def punch(a: Act) -> None:
    a.lasts(1.5, 2.6)
    guard = {"m": (-0.12, -0.02, 0.42), "o": (-0.14, -0.05, 0.5), "m_lift": 0.1, "o_lift": 0.1, "twist": -12, "bend": 10}
    guard |= _stagger(a, "o", a.vary(6, 22))
    _step(a, "o", 0.0, 0.18)
    _step(a, "o", 0.84, 1.0)
    a.keys((0.0, {}), (0.18, guard), (0.84, guard), (1.0, {}), jitter=0.7)
    times = a.whole(1, 3, 0.8)
    u = np.where((a.u > 0.16) & (a.u < 0.86), np.mod(times * np.clip((a.u - 0.16) / 0.7, 0, 0.9999), 1), 0)
    strike = {"m": (-0.15, a.vary(-0.25, 0.25), 0.97), "m_lift": a.vary(0.1, 0.7), "twist": 28, "lean": 8}
    a.keys((0.08, {}), (0.36, {"m": (0.0, -0.12, 0.2), "twist": -22}), (0.58, strike), (0.96, {}), u=u, jitter=0.7)


def kick(a: Act) -> None:
    a.lasts(1.2, 2.0)
    reach, high = a.vary(0, 35), a.vary(48, 92)
    stance = {"o_thigh": 6, "o_knee": 14, "o_spread": -3}
    swing = {"m_thigh": -28, "m_knee": 62, "m_foot": -45, "lean": 8, "o": (0.25, -0.6, 0.55), "m": (0.3, -0.8, -0.25), "twist": 14}
    chamber = {"m_thigh": high * 0.8, "m_knee": 60 + reach, "m_foot": -20, "lean": -4, "m": (0.35, -0.75, -0.1), "o": (0.3, -0.55, 0.45)}
    hit = {"m_thigh": high, "m_knee": 8, "m_foot": a.vary(0, 40), "lean": -14, "m": (0.35, -0.7, -0.35), "o": (0.3, -0.5, 0.4), "twist": -14}
    land = {"m_thigh": 25, "m_knee": 45, "m_foot": -5}
    a.keys((0.0, {}), (0.28, stance | swing), (0.42, stance | chamber), (0.5, stance | hit), (0.58, stance | hit), (0.76, stance | land), (1.0, {}), jitter=0.8)


def throw(a: Act) -> None:
    a.lasts(1.2, 2.1)
    under = a.chance(0.2)  # some throw from below
    size = a.vary(8, 26)
    _step(a, "o", 0.04, 0.34)
    _step(a, "o", 0.72, 0.98)
    wind = {"m": (0.4 - 0.2 * under, 0.3 - 1.0 * under, -0.42), "m_lift": 0.8 - 0.8 * under, "twist": -34, "lean": -7,
            "o": (0.0, -0.1 - 0.4 * under, 0.6)} | _stagger(a, "o", size)
    release = {"m": (0.1, 0.5 - 0.55 * under, 0.75), "m_lift": 0.5, "twist": 18, "lean": 8} | _stagger(a, "o", size)
    follow = {"m": (-0.4, -0.4 + 0.7 * under, 0.6), "m_lift": 0.2, "twist": 32, "lean": 18} | _stagger(a, "o", size)
    a.keys((0.0, {}), (0.36, wind), (0.56, release), (0.7, follow), (1.0, {}))


def pick_up(a: Act) -> None:
    a.lasts(1.5, 2.6)
    knees = a.vary(0, 1)  # from a stoop with long legs to a deep squat
    down = both(thigh=30 + 62 * knees, knee=32 + 96 * knees, foot=0) | {"lean": 70 - 26 * knees, "bend": 36 - 6 * knees}
    two = a.chance(0.35)
    there = (-0.1, a.vary(-0.97, -0.88), a.vary(0.12, 0.32))
    down |= {"m": there, "nod": 6}
    rise = {"m": (-0.1, -0.5, 0.5)}
    beneath = [a.get(f"o_{axis}").copy() for axis in "xyz"]
    grip = {"o": there} if two.any() else {}
    a.keys((0.0, {}), (0.45, down | grip), (0.58, down | grip), (0.85, rise | ({"o": (-0.1, -0.5, 0.5)} if grip else {})), (1.0, rise), jitter=0.7)
    rest = (0.1, -0.85, 0.15)
    down_share = ease(a.u / 0.4) * ease((0.95 - a.u) / 0.3)
    for axis, old, low in zip("xyz", beneath, rest):
        row = a.get(f"o_{axis}")
        row += (1 - two) * (old + down_share * (low - old) - row)


def squat(a: Act) -> None:
    a.lasts(1.6, 2.8)
    times, depth = a.whole(1, 2, 1.3), a.vary(0.65, 1.0)
    u = np.where((a.u > 0) & (a.u < 1), np.mod(times * np.clip(a.u, 0, 0.9999), 1), 0)
    style = a.chance(0.7)  # arms stretched forward, or hands joined before the chest
    for side in "mo":
        a.add(f"{side}_spread", a.vary(0, 8))
        a.add(f"{side}_toe", a.vary(0, 14))
    hands = (np.where(style, -0.05, a.middle + 0.1), np.where(style, -0.02, -0.25), np.where(style, 0.95, 0.45))
    down = both(thigh=92 * depth, knee=118 * depth, foot=0) | {"lean": a.vary(18, 36), "m": hands, "o": hands}
    a.keys((0.0, {}), (0.45, down), (0.58, down), (1.0, {}), u=u)


def turn(a: Act) -> None:
    a.lasts(1.3, 2.4)
    angle = a.vary(80, 200) * np.where(a.chance(0.5), 1, -1)
    steps = np.ceil(np.abs(angle) / 60)  # of each foot
    feet = {}
    for side, offset in (("m", 0.0), ("o", 0.5)):
        at = a.u * steps - offset
        feet[side] = angle / steps * sum((k < steps) * ease((at - k - 0.08) / 0.34) for k in range(4))
        lift = np.where((at > 0) & (at < steps), np.maximum(np.sin(2 * np.pi * at), 0), 0).astype(np.float32)
        a.add(f"{side}_knee", a.vary(30, 50) * lift * lift)
        a.add(f"{side}_thigh", 20 * lift * lift)
        a.add(f"{side}_foot", -15 * lift * lift)
    yaw = 0.5 * (feet["m"] + feet["o"])  # a foot that stands keeps its direction, the body turns above it
    a.add("yaw", yaw)
    a.add("m_toe", yaw - feet["m"])
    a.add("o_toe", feet["o"] - yaw)
    a.add("look", 22 * np.sign(angle) * a.pulse(0.0, 0.75))
    a.add("twist", 10 * np.sign(angle) * a.pulse(0.0, 0.8))


def point(a: Act) -> None:
    a.lasts(1.4, 2.6)
    aim, rise = np.radians(a.vary(-40, 70)), np.radians(a.vary(-20, 40))
    hand = (0.97 * np.sin(aim) * np.cos(rise), 0.97 * np.sin(rise), 0.97 * np.cos(aim) * np.cos(rise))
    pose = {"m": hand, "m_lift": a.vary(0, 0.4), "look": -np.degrees(0.5 * aim), "twist": 6}
    a.keys((0.0, {}), (0.32, pose), (0.72, pose), (1.0, {}), jitter=0.5)


def drink(a: Act) -> None:
    a.lasts(1.6, 2.8)
    cup = {"m": (a.middle + 0.17, a.vary(0.02, 0.12), 0.38), "m_lift": a.vary(-0.1, 0.35)}
    fetch = {"m": (0.0, a.vary(-0.6, -0.3), a.vary(0.4, 0.7))}
    sip = cup | {"nod": a.vary(-32, -10), "m_lift": a.vary(0.1, 0.5), "bend": -3}
    a.keys((0.0, {}), (0.24, fetch), (0.42, cup), (0.58, sip), (0.7, sip), (0.82, fetch), (1.0, {}), jitter=0.4)


def put_on(a: Act) -> None:
    """A jacket: main arm into its sleeve, off arm behind the back into the other, then the collar is pulled straight."""
    a.lasts(2.0, 3.0)
    hold = {"m": (-0.15, -0.3, 0.55), "o": (-0.15, -0.25, 0.55)}
    first = {"m": (0.55, a.vary(-0.5, 0.1), 0.25), "o": (a.middle - 0.25, -0.02, 0.32), "o_lift": 0.5, "twist": 14}
    cross = {"m": (0.25, -0.75, 0.15), "o": (0.3, a.vary(-0.6, -0.4), -0.42), "o_lift": 0.3, "twist": 16, "side": -5}
    second = {"m": (a.middle + 0.05, a.vary(-0.2, 0.05), 0.35), "o": (0.6, a.vary(-0.5, 0.1), 0.1), "twist": -12}
    collar = {"m": (a.middle + 0.2, a.vary(-0.25, 0.0), 0.36), "o": (a.middle + 0.2, -0.12, 0.36), "nod": 12, **both(lift=0.3)}
    a.keys((0.0, {}), (0.14, hold), (0.32, first), (0.5, cross), (0.66, second), (0.82, collar), (0.9, collar), (1.0, {}), jitter=0.8)


# Two people: the first of the two functions moves the one who begins, the second the other.

def shake_hands(a: Act) -> None:
    a.lasts(1.8, 2.6)
    hand = {"m": (a.middle + 0.3, a.vary(-0.5, -0.35), 0.72), "lean": a.vary(3, 12), "m_lift": 0.1, "nod": a.vary(0, 10)}
    a.keys((0.0, {}), (0.3, hand), (0.78, hand), (1.0, {}), jitter=0.4)
    a.touch = a.pulse(0.2, 0.88)
    a.add("m_y", a.vary(0.03, 0.08) * np.sin(2 * np.pi * a.whole(2, 4, 0.5) * (a.u - 0.3) / 0.45).astype(np.float32) * a.pulse(0.28, 0.8))


def push(a: Act) -> None:
    a.lasts(1.2, 1.9)
    draw = {"m": (-0.1, -0.2, 0.3), "o": (-0.1, -0.2, 0.3), "lean": -4, **both(lift=0.3)}
    _step(a, "o", 0.28, 0.46)
    _step(a, "o", 0.6, 0.95)
    out = {"m": (-0.12, -0.12, 0.9), "o": (-0.12, -0.12, 0.9), "lean": a.vary(10, 22)} | _stagger(a, "o", a.vary(8, 22))
    a.keys((0.0, {}), (0.28, draw), (0.46, out), (0.56, out), (1.0, {}), jitter=0.5)
    a.touch = ease((a.u - 0.36) / 0.1) * ease((0.62 - a.u) / 0.12)


def pushed(a: Act) -> None:
    a.lasts(1.2, 1.9)
    arms = {"m": (0.4, -0.5, 0.45), "o": (0.35, -0.55, 0.5)}
    reel = {"lean": a.vary(-24, -12), "nod": 8, "o_thigh": -24, "o_knee": 14, "o_foot": -18, "m_thigh": 16, "m_knee": 6, "m_foot": 8} | arms
    a.keys((0.44, {}), (0.66, reel), (1.0, {}), jitter=0.8)


def high_five(a: Act) -> None:
    a.lasts(1.2, 2.0)
    raised = {"m": (0.05, a.vary(0.4, 0.6), 0.35), "m_lift": 0.5, "twist": -12}
    slap = {"m": (-0.05, a.vary(0.4, 0.6), 0.68), "lean": a.vary(2, 10), "twist": 10}
    a.keys((0.0, {}), (0.34, raised), (0.5, slap), (0.58, slap), (1.0, {}), jitter=0.4)
    a.touch = a.pulse(0.38, 0.7)


Part = Callable[[Act], None]
SINGLE: dict[str, Part] = {part.__name__: part for part in (
    walk, run, jump, sit_down, stand_up, wave, clap, punch, kick, throw, pick_up, squat, turn, point, drink, put_on)}
PAIRS: dict[str, tuple[Part, Part]] = {"shake_hands": (shake_hands, shake_hands), "push": (push, pushed), "high_five": (high_five, high_five)}
