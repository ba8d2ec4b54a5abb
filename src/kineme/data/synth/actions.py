"""The actions of the made people: curves of joint angles and of the hands' paths, with their ways of varying.

An action is a function of an :class:`~kineme.data.synth.performance.Performance`,
n performances of it at once. It lays key poses and
cycles over the idle body; whatever it draws is partly the subject's habit and partly new in every performance. Hands
are given as (outward, up, forward) from the shoulder in arm lengths, legs and feet in degrees against the vertical and
the floor, the trunk in degrees of forward lean, bend and twist (main shoulder forward); ``m`` is the main side, ``o``
the off side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .body import ease
from .performance import CIRCLE, Performance

GRAVITY = 9.81
HAND = ("x", "y", "z", "lift")
RESTING = np.array(
    [  # where a resting hand may be, (x, y, z, lift)
        (0.07, -0.985, 0.06, 0.0),
        (0.12, -0.94, 0.20, 0.0),  # hanging
        (0.05, -0.62, 0.08, 0.95),
        (0.04, -0.84, 0.10, 0.45),  # on the hip, in the pocket
        (-0.10, -0.45, 0.45, 0.1),
        (-0.30, -0.45, 0.34, 0.3),  # held before the body, on the belly
        (-0.15, -0.62, -0.30, 0.4),
        (-0.30, -0.12, 0.36, 0.2),  # behind the back, at the chest
    ],
    np.float32,
)


def idle(a: Performance) -> None:
    """A standing body of its own posture, which sways, shifts weight, looks about and moves its hands now and then."""
    own = a.posture
    soft = np.maximum(5 + 2 * own[0] + a.vary(-2, 4), 1)
    aside, out = 4 + 1.5 * own[1] + a.vary(-1.5, 2.5), 9 + 4 * own[2] + a.vary(-3, 3)
    for side in "mo":
        for channel, value in (("knee", soft), ("thigh", soft / 2), ("spread", aside), ("toe", out)):
            a.add(f"{side}_{channel}", value)
    for channel, value in (
        ("bend", 4 + 4 * own[3] + a.vary(-3, 3)),
        ("lean", 1.5 * own[4]),
        ("nod", 3 + 5 * own[5] + a.vary(-4, 4)),
        ("side", 2 * own[6] + a.vary(-2, 2)),
    ):
        a.add(channel, value)
    shift = a.vary(-4, 4) + a.vary(-4, 4) * _once(a, 0.3)
    for channel, share in (("m_spread", 1), ("o_spread", -1), ("tilt", 0.3)):
        a.add(channel, share * shift)
    glance, other = a.restless * a.vary(-12, 12), a.restless * a.vary(-30, 30)
    a.add("look", glance + (other - glance) * _once(a, 0.2))
    for channel, size in {"bend": 1.5, "twist": 3, "look": 6, "nod": 3, "side": 1.5, "lean": 1, "cock": 2}.items():
        a.sway(channel, size)
    for side, at in (("m", 7), ("o", 11)):
        places = RESTING + 0.04 * own[at : at + 4].transpose(1, 2, 0)  # [n, 8, 4]
        before, after = (_choose(a, places) for _ in range(2))
        moved = ease((a.clock - a.vary(0, 1) * a.length) / a.vary(0.4, 0.9))
        for i, name in enumerate(HAND):
            a.add(f"{side}_{name}", before[:, i] + moved * (after - before)[:, i] + a.vary(-0.04, 0.04))
        for name in "xyz":
            a.sway(f"{side}_{name}", 0.03)


def _once(a: Performance, share: float) -> np.ndarray:
    """A change from 0 to 1 at any time of the clip, which takes this share of it."""
    return ease((a.clock / a.length - a.vary(-0.1, 0.9)) / share)


def _choose(a: Performance, places: np.ndarray) -> np.ndarray:
    """[n, 8, 4] resting places -> one of them [n, 4, 1]: hanging, unless the hand is restless."""
    roam = a.chance(0.45 * a.restless)
    pick = np.where(roam, np.floor(a.vary(0, 7.999)), np.floor(a.vary(0, 1.999))).astype(int)
    return np.take_along_axis(places, pick[:, :, None], 1)[:, 0, :, None]


def _both(**channels: Any) -> dict[str, Any]:
    """The same values for the main and the off side: ``_both(thigh=20)``."""
    return {f"{side}_{name}": value for side in "mo" for name, value in channels.items()}


def _either(which: np.ndarray, first: tuple, second: tuple) -> tuple:
    """A hand's place that depends on the performance."""
    return tuple(np.where(which, one, other).astype(np.float32) for one, other in zip(first, second))


# Locomotion. Phase 0 is the main heel's touch-down.


def _arm_swing(a: Performance, phase: np.ndarray, size: Any, elbow: Any, free: Any = 1.0) -> None:
    """Arms against the legs: the wrist swings below (or, with bent elbows, before) the shoulder.

    ``free``: 0 where the off hand keeps what it does.
    """
    for side, offset, weight in (("m", 0.5, 1.0), ("o", 0.0, free)):
        swing = np.cos(CIRCLE * (phase + offset - 0.93))
        angle = np.radians(size * swing + 0.45 * elbow * (0.6 + 0.2 * swing))
        arm = np.cos(np.radians(elbow / 2))
        for name, value in zip(HAND, (0.1, -arm * np.cos(angle), arm * np.sin(angle), 0.0)):
            a.blend(f"{side}_{name}", value, weight)


def walk(a: Performance) -> None:
    phase = a.vary(0.7, 1.05) * a.tempo * a.clock + a.vary(0, 1)
    size = a.vary(0.75, 1.15)
    stance, swing = a.vary(14, 21), a.vary(54, 67)
    for side, offset in (("m", 0.0), ("o", 0.5)):  # fitted: the standing foot stays, the other clears the floor
        p = phase + offset
        a.cycle(f"{side}_thigh", p, [(0.59, -18 * size), (0.83, 25 * size)])
        a.cycle(f"{side}_knee", p, [(0.10, stance), (0.38, 3), (0.75, swing), (0.965, 8)])
        a.cycle(f"{side}_foot", p, [(0.12, 0), (0.27, 0), (0.62, -47 * size), (0.955, 10)])
    carries = a.chance(0.25 * a.restless)
    _arm_swing(a, phase, a.vary(10, 32), a.vary(15, 50), 1 - carries)
    swing = np.cos(CIRCLE * (phase - 0.9))
    a.add("twist", -6 * size * swing)
    a.add("yaw", 4 * swing + a.vary(-35, 35) * a.clock)
    a.add("lean", a.vary(0, 6))


def run(a: Performance) -> None:
    phase = a.vary(1.15, 1.5) * a.tempo * a.clock + a.vary(0, 1)
    size = a.vary(0.55, 0.95)
    for side, offset in (("m", 0.0), ("o", 0.5)):
        p = phase + offset
        a.cycle(f"{side}_thigh", p, [(0.42, -15 * size), (0.82, 50 * size)])
        a.cycle(f"{side}_knee", p, [(0.15, 38 * size), (0.36, 16), (0.64, 105 * size), (0.97, 16)])
        a.cycle(f"{side}_foot", p, [(0.08, 0), (0.2, 0), (0.5, -60 * size), (0.92, 6)])
    share = np.mod(2 * phase - 0.76, 1) / 0.24  # in the air between one foot's push and the other's landing
    a.add("hop", a.vary(0.03, 0.06) * np.maximum(4 * share * (1 - share), 0))
    _arm_swing(a, phase, a.vary(22, 40), a.vary(75, 105))
    a.add("twist", -10 * size * np.cos(CIRCLE * (phase - 0.9)))
    a.add("yaw", a.vary(-70, 70) * a.clock)
    a.add("lean", a.vary(4, 12))


def jump(a: Performance) -> None:
    a.lasts(1.2, 1.9)
    height, depth, arms = a.vary(0.10, 0.32), a.vary(60, 110), a.vary(0.2, 1.0)
    flight = np.sqrt(8 * height / GRAVITY) / a.seconds
    off, down = 0.46, 0.46 + flight  # leaving the floor, landing
    back, up = (0.2, -0.9, -0.25), (0.15, -0.4 + 1.2 * arms, 0.55 - 0.3 * arms)
    crouch = {**_both(thigh=0.55 * depth, knee=depth, foot=0), "lean": 0.32 * depth, "m": back, "o": back}
    stretch = {**_both(thigh=0, knee=2, foot=-48), "lean": 4, "m": up, "o": up}
    air = {**_both(thigh=14, knee=25, foot=-25), "lean": 6, "m": up, "o": up}
    land = {**_both(thigh=14, knee=22, foot=-18), "lean": 12}
    soft = {**_both(thigh=0.4 * depth, knee=0.75 * depth, foot=0), "lean": 0.25 * depth}
    a.keys(
        (0.0, {}),
        (0.27, crouch),
        (off, stretch),
        (off + 0.5 * flight, air),
        (down, land),
        (down + 0.12, soft),
        (1.0, {}),
        jitter=0.5,
    )
    share = (a.u - off) / flight
    a.add("hop", height * np.maximum(4 * share * (1 - share), 0))
    a.add("drive", a.vary(-0.2, 1.0) * (share > -0.2))


def turn(a: Performance) -> None:
    a.lasts(1.1, 2.5)
    angle = a.vary(80, 200) * np.where(a.chance(0.5), np.float32(1), np.float32(-1))
    steps = np.ceil(np.abs(angle) / 60)  # of each foot
    feet = {}
    for side, offset in (("m", 0.0), ("o", 0.5)):
        at = a.u * steps - offset
        feet[side] = angle / steps * sum((k < steps) * ease((at - k - 0.08) / 0.34) for k in range(4))
        lift = np.where((at > 0) & (at < steps), np.maximum(np.sin(CIRCLE * at), 0), 0) ** 2
        for channel, size in (("knee", a.vary(38, 58)), ("thigh", 27), ("foot", -3)):
            a.add(f"{side}_{channel}", size * lift)
    yaw = 0.5 * (feet["m"] + feet["o"])  # a foot that stands keeps its direction, the body turns above it
    for channel, value in (
        ("yaw", yaw),
        ("m_toe", yaw - feet["m"]),
        ("o_toe", feet["o"] - yaw),
        ("look", 22 * np.sign(angle) * a.pulse(0.0, 0.75)),
        ("twist", 10 * np.sign(angle) * a.pulse(0.0, 0.8)),
    ):
        a.add(channel, value)


# Up and down


def _seat(a: Performance) -> dict[str, Any]:
    return {
        **_both(thigh=a.vary(76, 92), knee=a.vary(78, 102), foot=0),
        "lean": a.vary(-8, 8),
        "m": (-0.05, -0.62, a.vary(0.4, 0.6)),
        "o": (-0.02, -0.6, 0.45),
    }


def _rise(a: Performance) -> dict[str, Any]:
    """Half way between sitting and standing: the trunk far forward, above the feet."""
    hand = (0.1, -0.75, 0.42)
    return {**_both(thigh=a.vary(50, 56), knee=a.vary(73, 82), foot=0), "lean": a.vary(30, 50), "m": hand, "o": hand}


def sit_down(a: Performance) -> None:
    a.lasts(0.9, 2.2)
    a.keys((0.0, {}), (0.5, _rise(a)), (1.0, _seat(a)))


def stand_up(a: Performance) -> None:
    a.lasts(0.9, 2.2)
    a.keys((0.0, _seat(a)), (0.45, _rise(a)), (1.0, {}))


def squat(a: Performance) -> None:
    a.lasts(1.2, 2.8)
    times, depth, wide, out = a.whole(1, 2, 1.3), a.vary(0.5, 1.0), a.vary(0, 8), a.vary(0, 14)
    for side in "mo":
        a.add(f"{side}_spread", wide)
        a.add(f"{side}_toe", out)
    stretched = a.chance(0.7)  # arms stretched forward, or hands joined before the chest
    hands = _either(stretched, (-0.05, -0.02, 0.95), (a.middle + 0.1, -0.25, 0.45))
    down = {**_both(thigh=92 * depth, knee=118 * depth, foot=0), "lean": a.vary(18, 36), "m": hands, "o": hands}
    a.keys((0.0, {}), (0.45, down), (0.58, down), (1.0, {}), u=a.again(times))


def pick_up(a: Performance) -> None:
    a.lasts(1.1, 2.7)
    knees, two, aside = a.vary(0, 1), a.chance(0.35), a.vary(-35, 35)  # stoop to squat; both hands; not straight ahead
    there, held = (-0.1, a.vary(-0.97, -0.88), a.vary(0.12, 0.32)), (-0.1, -0.5, 0.5)
    down = {
        **_both(thigh=30 + 62 * knees, knee=32 + 96 * knees, foot=0),
        "lean": 70 - 26 * knees,
        "nod": 6,
        "bend": 36 - 6 * knees,
        "twist": aside,
        "m": there,
        "o": _either(two, there, (0.1, -0.85, 0.15)),
    }
    rise = {"m": held, "o": _either(two, held, (0.1, -0.95, 0.1))}
    a.keys((0.0, {}), (0.45, down), (0.58, down), (0.85, rise), (1.0, rise), jitter=0.7)


# Strength


def _stagger(size: Any) -> dict[str, Any]:
    """Feet one before the other for strength, the off foot ahead."""
    return {
        "o_thigh": 0.9 * size + 6,
        "o_knee": 0.8 * size + 8,
        "o_foot": 0,
        "m_thigh": -0.55 * size,
        "m_knee": 8,
        "m_foot": -0.35 * size,
        "m_toe": 25,
    }


def _step(a: Performance, start: float, end: float) -> None:
    """Lift the off foot on its way to another place."""
    lift = a.pulse(start, end)
    for channel, size in (("o_knee", 46), ("o_thigh", 27), ("o_foot", -3)):
        a.add(channel, size * lift)


def punch(a: Performance) -> None:
    a.lasts(1.1, 2.6)
    guard = {
        "m": (-0.12, -0.02, 0.42),
        "o": (-0.14, -0.05, 0.5),
        **_both(lift=0.1),
        "twist": -12,
        "bend": 10,
        **_stagger(a.vary(6, 22)),
    }
    _step(a, 0.0, 0.18)
    _step(a, 0.84, 1.0)
    a.keys((0.0, {}), (0.18, guard), (0.84, guard), (1.0, {}), jitter=0.7)
    draw = {"m": (0.0, -0.12, 0.2), "twist": -22}
    strike = {"m": (-0.15, a.vary(-0.25, 0.25), 0.97), "m_lift": a.vary(0.1, 0.7), "twist": 28, "lean": 8}
    a.keys((0.08, {}), (0.36, draw), (0.58, strike), (0.96, {}), u=a.again(a.whole(1, 3, 0.8), 0.16, 0.86), jitter=0.7)


def kick(a: Performance) -> None:
    a.lasts(1.1, 1.9)
    high, bent = a.vary(48, 92), a.vary(60, 95)
    stance = {"o_thigh": 6, "o_knee": 14, "o_spread": -3}
    swing = {
        "m_thigh": -28,
        "m_knee": 62,
        "m_foot": -45,
        "lean": 8,
        "twist": 14,
        "m": (0.3, -0.8, -0.25),
        "o": (0.25, -0.6, 0.55),
    }
    chamber = {
        "m_thigh": 0.8 * high,
        "m_knee": bent,
        "m_foot": -20,
        "lean": -4,
        "m": (0.35, -0.75, -0.1),
        "o": (0.3, -0.55, 0.45),
    }
    hit = {
        "m_thigh": high,
        "m_knee": 8,
        "m_foot": a.vary(0, 40),
        "lean": -14,
        "twist": -14,
        "m": (0.35, -0.7, -0.35),
        "o": (0.3, -0.5, 0.4),
    }
    land = {"m_thigh": 25, "m_knee": 45, "m_foot": -5}
    a.keys(
        (0.0, {}),
        (0.28, stance | swing),
        (0.4, stance | chamber),
        (0.5, stance | hit),
        (0.58, stance | hit),
        (0.76, stance | land),
        (1.0, {}),
        jitter=0.8,
    )


def throw(a: Performance) -> None:
    a.lasts(0.9, 2.1)
    under, feet = a.chance(0.2), _stagger(a.vary(8, 26))  # some throw from below
    _step(a, 0.04, 0.34)
    _step(a, 0.72, 0.98)
    wind = {
        "m": (0.4 - 0.2 * under, 0.3 - 1.0 * under, -0.42),
        "m_lift": 0.8 - 0.8 * under,
        "o": (0.0, -0.1 - 0.4 * under, 0.6),
        "twist": -34,
        "lean": -7,
    }
    release = {"m": (0.1, 0.5 - 0.55 * under, 0.75), "m_lift": 0.5, "twist": 18, "lean": 8}
    follow = {"m": (-0.4, -0.4 + 0.7 * under, 0.6), "m_lift": 0.2, "twist": 32, "lean": 18}
    a.keys((0.0, {}), (0.36, wind | feet), (0.56, release | feet), (0.7, follow | feet), (1.0, {}))


# Hands


def wave(a: Performance) -> None:
    a.lasts(1.3, 2.7)
    wide, place = a.vary(0.1, 0.32), (a.vary(0.08, 0.34), a.vary(0.3, 0.78), a.vary(0.15, 0.42))
    raised = {"m": place, "m_lift": a.vary(0, 0.4)}
    a.keys((0.0, {}), (0.25, raised), (0.78, raised), (1.0, {}))
    swing = np.sin(a.beat(a.whole(2, 4, 0.6), 0.2, 0.85)) * a.pulse(0.15, 0.88)
    for channel, value in (
        ("m_x", wide * swing),
        ("m_y", -0.3 * wide * swing * swing),
        ("m_wrist", -25 * swing),
        ("side", -3 * swing),
    ):
        a.add(channel, value)


def clap(a: Performance) -> None:
    a.lasts(1.1, 2.7)
    wide = a.vary(0.12, 0.35)
    hands = (a.middle + 0.06 + wide, a.vary(-0.35, 0.15), a.vary(0.5, 0.68))
    apart = {"m": hands, "o": hands, "nod": 8}
    a.keys((0.0, {}), (0.2, apart), (0.8, apart), (1.0, {}), jitter=0.4)
    close = (0.5 - 0.5 * np.cos(a.beat(a.whole(3, 6, 0.4), 0.16, 0.84))) * a.pulse(0.12, 0.88)
    for side in "mo":
        a.add(f"{side}_x", -wide * close)
        a.add(f"{side}_wrist", 12 * close)


def point(a: Performance) -> None:
    a.lasts(1.1, 2.7)
    aim, rise = np.radians(a.vary(-40, 70)), np.radians(a.vary(-20, 40))
    hand = (0.97 * np.sin(aim) * np.cos(rise), 0.97 * np.sin(rise), 0.97 * np.cos(aim) * np.cos(rise))
    pose = {"m": hand, "m_lift": a.vary(0, 0.4), "look": -np.degrees(0.5 * aim), "twist": 6}
    a.keys((0.0, {}), (0.32, pose), (0.72, pose), (1.0, {}), jitter=0.5)


def drink(a: Performance) -> None:
    a.lasts(1.3, 2.8)
    fetch = {"m": (0.0, a.vary(-0.6, -0.3), a.vary(0.4, 0.7))}
    cup = {"m": (a.middle + 0.17, a.vary(0.02, 0.12), 0.38), "m_lift": a.vary(-0.1, 0.35)}
    sip = cup | {"nod": a.vary(-32, -10), "m_lift": a.vary(0.1, 0.5), "bend": -3}
    a.keys((0.0, {}), (0.24, fetch), (0.42, cup), (0.58, sip), (0.7, sip), (0.82, fetch), (1.0, {}), jitter=0.4)


def put_on(a: Performance) -> None:
    """A jacket: main arm into its sleeve, off arm behind the back into the other, the collar pulled straight."""
    a.lasts(1.6, 3.0)
    hold = {"m": (-0.15, -0.3, 0.55), "o": (-0.15, -0.25, 0.55)}
    first = {"m": (0.55, a.vary(-0.5, 0.1), 0.25), "o": (a.middle - 0.25, -0.02, 0.32), "o_lift": 0.5, "twist": 14}
    cross = {"m": (0.25, -0.75, 0.15), "o": (0.3, a.vary(-0.6, -0.4), -0.42), "o_lift": 0.3, "twist": 16, "side": -5}
    second = {"m": (a.middle + 0.05, a.vary(-0.2, 0.05), 0.35), "o": (0.6, a.vary(-0.5, 0.1), 0.1), "twist": -12}
    collar = {
        "m": (a.middle + 0.2, a.vary(-0.25, 0.0), 0.36),
        "o": (a.middle + 0.2, -0.12, 0.36),
        "nod": 12,
        **_both(lift=0.3),
    }
    a.keys(
        (0.0, {}),
        (0.14, hold),
        (0.32, first),
        (0.5, cross),
        (0.66, second),
        (0.82, collar),
        (0.9, collar),
        (1.0, {}),
        jitter=0.8,
    )


# Two people. The first function moves the one who begins, the second the other; the first sets the time of both.


def shake_hands(a: Performance) -> None:
    a.lasts(1.8, 2.6)
    place = (a.middle + 0.3, a.vary(-0.5, -0.35), 0.72)
    hand = {"m": place, "m_lift": 0.1, "lean": a.vary(3, 12), "nod": a.vary(0, 10)}
    a.keys((0.0, {}), (0.3, hand), (0.78, hand), (1.0, {}), jitter=0.4)
    a.touch = a.pulse(0.2, 0.88)
    a.add("m_y", a.vary(0.03, 0.08) * np.sin(a.beat(a.whole(2, 4, 0.5), 0.3, 0.75)) * a.pulse(0.28, 0.8))


def push(a: Performance) -> None:
    a.lasts(1.2, 1.9)
    _step(a, 0.28, 0.46)
    _step(a, 0.6, 0.95)
    near, far = (-0.1, -0.2, 0.3), (-0.12, -0.12, 0.9)
    draw = {"m": near, "o": near, "lean": -4, **_both(lift=0.3)}
    out = {"m": far, "o": far, "lean": a.vary(10, 22), **_stagger(a.vary(8, 22))}
    a.keys((0.0, {}), (0.28, draw), (0.46, out), (0.56, out), (1.0, {}), jitter=0.5)
    a.touch = ease((a.u - 0.36) / 0.1) * ease((0.62 - a.u) / 0.12)


def pushed(a: Performance) -> None:
    a.lasts(1.2, 1.9)
    reel = {
        "lean": a.vary(-24, -12),
        "nod": 8,
        "m": (0.4, -0.5, 0.45),
        "o": (0.35, -0.55, 0.5),
        "o_thigh": -24,
        "o_knee": 14,
        "o_foot": -18,
        "m_thigh": 16,
        "m_knee": 6,
        "m_foot": 8,
    }
    a.keys((0.44, {}), (0.66, reel), (1.0, {}), jitter=0.8)


def high_five(a: Performance) -> None:
    a.lasts(1.2, 2.0)
    high = a.vary(0.4, 0.6)
    raised = {"m": (0.05, high, 0.35), "m_lift": 0.5, "twist": -12}
    slap = {"m": (-0.05, high, 0.68), "lean": a.vary(2, 10), "twist": 10}
    a.keys((0.0, {}), (0.34, raised), (0.5, slap), (0.58, slap), (1.0, {}), jitter=0.4)
    a.touch = a.pulse(0.38, 0.7)


Part = Callable[[Performance], None]
SINGLE: dict[str, Part] = {
    part.__name__: part
    for part in (
        walk,
        run,
        jump,
        sit_down,
        stand_up,
        wave,
        clap,
        punch,
        kick,
        throw,
        pick_up,
        squat,
        turn,
        point,
        drink,
        put_on,
    )
}
PAIRS: dict[str, tuple[Part, Part]] = {
    "shake_hands": (shake_hands, shake_hands),
    "push": (push, pushed),
    "high_five": (high_five, high_five),
}


def action_names(persons: int | None = None) -> tuple[str, ...]:
    """Names of the actions: those of one person, then those of two; ``persons`` = 1 or 2 gives one kind only."""
    return (tuple(SINGLE) if persons != 2 else ()) + (tuple(PAIRS) if persons != 1 else ())
