"""Cleaning: doubtful joints dropped, short gaps filled, noise filtered, root and feet held steady, all of it counted.

Nothing is cleaned unless it is asked for: ``kineme.clean(motion)`` in Python, ``kineme prepare SRC DEST --clean`` for a
folder. The steps, in this order, each with its setting in :class:`Cleaning`:

1. joints of low confidence become missing;
2. so do joints that make a bone of impossible length;
3. gaps up to a length are filled, linear in time;
4. every joint is low-pass filtered over the frames in which it is there;
5. on request the body is moved so that its root keeps to a smooth path;
6. on request feet that stand are kept in their place, and knees follow.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..utils import settings
from ..utils.errors import InputError
from .kinematics import leg, sole
from .layout import Layout
from .motion import Motion

ORDER = 2  # of the Butterworth filter, which runs forward and back: fourth order, no delay
TWICE = 0.802  # two passes of that order: each at cutoff / 0.802, so that both together halve the power at the cutoff
PAD = 9  # frames by which runs are continued at both ends, and which they have to exceed
SPEED_CUTOFF = 1.0  # Hz, of the speed that the One-Euro filter looks at, as published
SPREAD = 7.4  # median absolute deviations from the median, five standard deviations of a normal distribution
SHORT = 0.1  # of a body's usual bone: shorter ones are judged as if they had this length
LEAP = (1.0, 10.0)  # sizes of a body, and usual steps of it, beyond which it does not get in one
EASE = 0.1  # seconds in which a foot comes to the place where it is kept, and leaves it
NO_RATE = "recordings without frames per second, cleaned but for gaps and noise, which go by seconds"  # a note


@dataclass(frozen=True)
class Cleaning:
    """How a motion is cleaned. What is 0, ``none`` or false is left out.

    Attributes:
        confidence: joints below it are dropped (1 in motion capture; 2^-10 where a sensor does not vouch for a place).
        bones: joints are dropped that make a bone longer or shorter than its median over the clip by more than this
            share of it, and by more than five standard deviations (in 2-D, where bones foreshorten, the second counts).
        gap: seconds up to which a gap is filled; longer ones, and those at the ends, stay.
        smooth: ``butterworth`` (fourth order, forward and back, without delay), ``one_euro`` (Casiez, Roussel and
            Vogel 2012; causal, for what is live) or ``none``.
        cutoff: Hz at which the filter halves the power; of One-Euro the cutoff at rest.
        beta: of One-Euro: Hz by which the cutoff rises with each unit per second.
        root: Hz above which the root does not move: the whole body is moved to follow a smoothed path.
        feet: keep feet that stand (:meth:`kineme.motion.kinematics.Kinematics.contacts`) where they are.

    Raises:
        InputError: a number below 0, a confidence above 1, an unknown filter, a filter without a cutoff.
    """

    confidence: float = 0.3
    bones: float = 0.5
    gap: float = 0.25
    smooth: Literal["butterworth", "one_euro", "none"] = "butterworth"
    cutoff: float = 6.0
    beta: float = 0.0
    root: float = 0.0
    feet: bool = False

    def __post_init__(self) -> None:
        for name in ("confidence", "bones", "gap", "cutoff", "beta", "root"):
            value = getattr(self, name)
            if not 0 <= value < math.inf or (name == "confidence" and value > 1):
                raise InputError(f"clean.{name}", f"{value!r}", "0 to 1" if name == "confidence" else "0 or more")
        if self.smooth != "none":
            settings.positive(self, "clean", "cutoff")

    @property
    def in_time(self) -> bool:
        """Whether any of it goes by seconds."""
        return self.gap > 0 or self.smooth != "none" or self.root > 0 or self.feet


def asked(words: Mapping[str, Any] | Cleaning | bool | None) -> Cleaning | None:
    """What a user says of cleaning: settings by name, True for the defaults, None or False for none.

    Raises:
        InputError: no such setting, or a value that it cannot have.

    Examples:
        >>> asked({"gap": 0.5}).gap, asked(True).gap, asked(False)
        (0.5, 0.25, None)
    """
    if words is None or isinstance(words, Cleaning):
        return words
    if isinstance(words, bool):
        return Cleaning() if words else None
    if not isinstance(words, Mapping):
        raise InputError("clean", repr(words)[:100], "settings by name, or True for the defaults")
    return settings.make(Cleaning, words, "clean")


def clean(motion: Motion, **how: Any) -> Motion:
    """A motion without noise, outliers and short gaps; see the head of this file for the steps.

    Args:
        motion: of any layout, 2-D or 3-D, of one or more people.
        how: settings of :class:`Cleaning` by name: ``gap=0.5``, ``smooth="none"``, ``feet=True``.

    Returns:
        The motion. Its ``notes`` are the account: what was dropped, filled, filtered and left as it was, and of how
        many joints (one in one frame counts 1).

    Raises:
        InputError: no such setting; no ``fps`` where something goes by seconds.

    Examples:
        >>> cleaned = kineme.clean(motion, gap=0.5, cutoff=8)
        >>> cleaned.joints.shape == motion.joints.shape
        True
        >>> [words for words in cleaned.notes if "filtered" in words]
        ['joints filtered (butterworth, 8 Hz)']
    """
    return apply(motion, settings.make(Cleaning, how, "clean"))


def apply(motion: Motion, how: Cleaning) -> Motion:
    """As :func:`clean`, with settings that are made.

    Raises:
        InputError: no ``fps`` where something goes by seconds.
    """
    if motion.fps is None and how.in_time:
        raise InputError(
            motion.source or "motion",
            "no frames per second are known, and gaps and filters go by seconds",
            "a motion with fps",
            'Give them with motion.with_(fps=30), or leave these out with gap=0, smooth="none"',
        )
    done = Counter(motion.notes)
    shape = motion.joints.shape
    tracks = motion.joints.astype(np.float64).reshape(shape[0], -1, shape[3])  # [T, M * V, C]
    trust = motion.confidence.reshape(shape[0], -1).copy()
    doubtful = (trust > 0) & (trust < how.confidence)
    trust[doubtful] = 0
    done[f"joints of confidence below {how.confidence:g}, dropped"] += int(doubtful.sum())
    if how.bones:
        wrong = _odd_joints(tracks.reshape(shape), trust.reshape(shape[:3]) > 0, motion.layout, how.bones)
        trust[wrong.reshape(trust.shape)] = 0
        done["joints at the end of a bone of impossible length, dropped"] += int(wrong.sum())
    fps = motion.fps
    scenes = _scenes(tracks.reshape(shape), trust.reshape(shape[:3]) > 0)
    if how.in_time:
        done["leaps of a whole body, across which nothing is filled or filtered"] += int(scenes[-1].sum())
    scene = np.repeat(scenes, shape[2], axis=1)  # [T, M * V]
    if fps is not None and how.gap:
        done[f"joints filled in gaps of up to {how.gap:g} s"] += _fill(tracks, trust, scene, how.gap * fps)
    if fps is not None and how.smooth != "none":
        done += _smooth(tracks, trust, scene, fps, how)
    cleaned = motion.with_(joints=tracks.reshape(shape), confidence=trust.reshape(shape[:3]))
    if fps is not None and how.root:
        cleaned, moved = _steady_root(cleaned, scenes, fps, how.root)
        done[f"frames in which the root was moved to a path of up to {how.root:g} Hz"] += moved
    if fps is not None and how.feet:
        cleaned, moved = _steady_feet(cleaned, fps)
        done["frames in which a foot was kept in its place"] += moved
    return cleaned.with_(notes={words: count for words, count in done.items() if count})


def timeless(motion: Motion, how: Cleaning) -> Motion:
    """As :func:`apply`, but a motion without ``fps`` is cleaned by what does not go by seconds; its notes say so."""
    if motion.fps is not None or not how.in_time:
        return apply(motion, how)
    cleaned = apply(motion, dataclasses.replace(how, gap=0.0, smooth="none", root=0.0, feet=False))
    return cleaned.with_(notes={**cleaned.notes, NO_RATE: 1})


# ------------------------------------------------------------------------------------------------------- outliers


def _odd_joints(places: np.ndarray, seen: np.ndarray, layout: Layout, share: float) -> np.ndarray:
    """Joints that make a bone of impossible length, bool ``[T, M, V]``.

    Of the two ends of such a bone the one is to blame that spoils more bones; of two alike the one of which a larger
    share of bones is spoilt, then the one further from the root.

    Args:
        places: ``[T, M, V, C]``.
        seen: bool ``[T, M, V]``.
    """
    if not layout.bones:
        return np.zeros(seen.shape, bool)
    child, parent = np.array(layout.bones).T
    ends = np.zeros((len(child), len(layout)))  # which joints are ends of a bone
    ends[np.arange(len(child)), child] = ends[np.arange(len(child)), parent] = 1
    lengths = np.linalg.norm(places[:, :, child] - places[:, :, parent], axis=-1)
    lengths = np.where(seen[:, :, child] & seen[:, :, parent], lengths, np.nan)
    usual, spread = np.zeros(lengths.shape[1:]), np.zeros(lengths.shape[1:])
    shown = ~np.isnan(lengths).all(0)  # [M, bones]
    usual[shown] = np.nanmedian(lengths[:, shown], axis=0)
    least = SHORT * np.median(usual, axis=1, keepdims=True)  # joints in one place have a bone of length 0
    spread[shown] = np.nanmedian(np.abs(lengths[:, shown] - usual[shown]), axis=0)
    wrong = np.abs(lengths - usual) > np.maximum(
        share * np.maximum(usual, least), SPREAD * spread
    )  # False where there is no bone
    blamed = np.zeros(seen.shape, bool)
    depth = np.zeros(len(layout))
    for joint, up in enumerate(layout.parents):
        while up >= 0:
            depth[joint], up = depth[joint] + 1, layout.parents[up]
    degree = np.maximum(ends.sum(0), 1)
    frames, people = np.nonzero(wrong.any(-1))
    while len(frames):
        spoilt = wrong[frames, people] @ ends  # [n, V]
        joint = (spoilt + 0.5 * spoilt / degree + 1e-6 * depth).argmax(1)
        blamed[frames, people, joint] = True
        wrong[frames, people] &= ends[:, joint].T == 0
        left = wrong[frames, people].any(-1)
        frames, people = frames[left], people[left]
    return blamed


# ------------------------------------------------------------------------------------------------------------ gaps


def _scenes(places: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Numbers of the stretches of frames in which each person moves as a body can, int64 ``[T, M]``.

    A body that leaps is another body, or the same after a cut: detectors give a place that falls free to somebody new.

    Args:
        places: ``[T, M, V, C]``.
        seen: bool ``[T, M, V]``.
    """
    numbers = np.zeros(seen.shape[:2], np.int64)
    for person in range(seen.shape[1]):
        frames = np.flatnonzero(seen[:, person].any(1))
        if len(frames) < 2:
            continue
        body, known = places[frames, person], seen[frames, person]
        low, high = (np.where(known[..., None], body, side * np.inf) for side in (1, -1))
        size = np.median(np.linalg.norm(high.max(1) - low.min(1), axis=1))
        both = known[1:] & known[:-1]
        away = np.where(both, np.linalg.norm(np.diff(body, axis=0), axis=-1), 0).sum(1) / np.maximum(both.sum(1), 1)
        leaps = np.zeros(len(seen), np.int64)
        leaps[frames[1:]] = (away > max(LEAP[0] * size, LEAP[1] * float(np.median(away)))) & (size > 0)
        numbers[:, person] = np.cumsum(leaps)
    return numbers


def _fill(tracks: np.ndarray, trust: np.ndarray, scene: np.ndarray, frames: float) -> int:
    """Fill the gaps of up to so many frames, in place; how many joints were. They have the lower confidence beside."""
    begin, end, track = _runs(trust == 0)
    inner = (begin > 0) & (end < len(trust)) & (end - begin <= frames + 1e-6)
    inner &= scene[begin - 1, track] == scene[np.minimum(end, len(scene) - 1), track]
    begin, end, track = begin[inner], end[inner], track[inner]
    lengths = end - begin
    if not len(lengths):
        return 0
    of = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    late = ((step + 1) / (lengths[of] + 1))[:, None]
    before, after, where = begin[of] - 1, end[of], track[of]
    tracks[begin[of] + step, where] = tracks[before, where] * (1 - late) + tracks[after, where] * late
    trust[begin[of] + step, where] = np.minimum(trust[before, where], trust[after, where])
    return len(of)


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of one value other than 0 in the columns of ``[T, P]``: first frame, frame after the last, column; int64
    ``[n]`` each.
    """
    padded = np.pad(values.T.astype(np.int64), ((0, 0), (1, 1)))
    changes = np.diff(padded, axis=1) != 0
    track, begin = np.nonzero(changes & (padded[:, 1:] != 0))
    return begin, np.nonzero(changes & (padded[:, :-1] != 0))[1], track


def _alike(values: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Such runs, those of the same frames together: first frame, frame after the last, columns."""
    begin, end, track = _runs(values)
    spans, number = np.unique(np.stack([begin, end], 1), axis=0, return_inverse=True)
    order = np.argsort(number, kind="stable")
    parts = np.split(track[order], np.cumsum(np.bincount(number, minlength=len(spans)))[:-1])
    for (start, stop), columns in zip(spans.tolist(), parts):
        yield start, stop, columns


# --------------------------------------------------------------------------------------------------------- filters


def _smooth(tracks: np.ndarray, trust: np.ndarray, scene: np.ndarray, fps: float, how: Cleaning) -> Counter[str]:
    """Filter every run of frames in which a joint is there, in place; what was, and what was too short."""
    done: Counter[str] = Counter()
    filtered = f"joints filtered ({how.smooth}, {how.cutoff:g} Hz)"
    if how.smooth == "butterworth" and how.cutoff >= fps / 2:
        seen = int((trust > 0).sum())
        return Counter(
            {f"joints not filtered: a cutoff of {how.cutoff:g} Hz is no less than half the frame rate": seen}
        )
    for begin, end, columns in _alike((trust > 0) * (scene + 1)):
        run, count = tracks[begin:end, columns], (end - begin) * len(columns)
        if how.smooth == "one_euro":
            tracks[begin:end, columns] = _one_euro(run, fps, how.cutoff, how.beta)
        elif end - begin > _pad(fps, how.cutoff):
            tracks[begin:end, columns] = _butterworth(run, fps, how.cutoff)
        else:
            done["joints not filtered: seen for too few frames on end"] += count
            continue
        done[filtered] += count
    return done


def _pad(fps: float, cutoff: float) -> int:
    """Frames by which a run is continued at both ends, for the filter to settle: a period of the cutoff at least."""
    return max(PAD, math.ceil(fps / cutoff))


def _butterworth(run: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    """``[L, ...]``, L above :func:`_pad`, low-passed along its first axis, forward and back."""
    from scipy import signal

    edge = math.atan(math.tan(math.pi * cutoff / fps) / TWICE) / math.pi * 2  # of half the frame rate
    edge = min(edge, 1 - 1e-9)
    return signal.sosfiltfilt(signal.butter(ORDER, edge, output="sos"), run, axis=0, padlen=_pad(fps, cutoff))


def _one_euro(run: np.ndarray, fps: float, cutoff: float, beta: float) -> np.ndarray:
    """``[L, n, C]`` by the One-Euro filter: the faster a joint, the higher its cutoff (Casiez et al. 2012)."""

    def share(hertz: Any) -> Any:  # of the new value
        return 1 / (1 + fps / (2 * math.pi * hertz))

    out = run.copy()
    speed = np.zeros(run.shape[1:])
    for k in range(1, len(run)):
        speed += share(SPEED_CUTOFF) * ((run[k] - run[k - 1]) * fps - speed)
        hertz = cutoff + beta * np.linalg.norm(speed, axis=-1, keepdims=True)
        out[k] = out[k - 1] + share(hertz) * (run[k] - out[k - 1])
    return out


# --------------------------------------------------------------------------------------------------- root and feet


def _steady_root(motion: Motion, scenes: np.ndarray, fps: float, cutoff: float) -> tuple[Motion, int]:
    """Everybody moved so that the root follows its low-passed path; the frames in which anybody was.

    Where the root is not seen a body is moved as between the frames in which it is.

    Args:
        scenes: as of :func:`_scenes`; each is filtered by itself.
    """
    root = list(motion.layout.root)
    joints, moved = motion.joints.astype(np.float64), np.zeros(len(motion), bool)
    rooted = np.all(motion.confidence[:, :, root] > 0, axis=2)  # [T, M]
    for person, scene in np.unique(np.stack([*np.nonzero(rooted)[1:], scenes[rooted]], 1), axis=0).tolist():
        mine = np.flatnonzero(scenes[:, person] == scene)
        frames = mine[rooted[mine, person]]
        if len(frames) <= _pad(fps, cutoff) or cutoff >= fps / 2:
            continue
        known = joints[frames, person][:, root].mean(1)
        every = np.arange(frames[0], frames[-1] + 1)
        path = np.stack([np.interp(every, frames, axis) for axis in known.T], 1)
        shift = (_butterworth(path, fps, cutoff) - path)[np.clip(mine, frames[0], frames[-1]) - frames[0]]
        joints[mine, person] += shift[:, None]
        moved[mine] |= (motion.confidence[mine, person] > 0).any(1) & (np.linalg.norm(shift, axis=1) > 0)
    return motion.with_(joints=joints), int(moved.sum())


def _steady_feet(motion: Motion, fps: float) -> tuple[Motion, int]:
    """Feet that stand kept in the middle of where they stood; the frames in which any was.

    A foot is moved as a whole, by what the joint of it that rests best is off, within the reach of the leg. The knee
    follows so that thigh and shank keep the lengths that they have in the frame, in the plane in which the leg bends.
    The way there and back is spread over 0.1 s.
    """
    joints, moved = motion.joints.astype(np.float64), np.zeros(len(motion), bool)
    ease, every = max(1, round(EASE * fps)), np.arange(len(motion))
    for side, stands in motion.contacts().items():
        hip, knee, ankle = leg(motion.layout, side)
        foot = sole(motion.layout, side)
        for person in range(motion.persons):
            seen = np.all(motion.confidence[:, person][:, [hip, knee, ankle]] > 0, axis=1)
            shift = np.zeros((len(motion), motion.coords))
            for begin, end, _ in _alike((stands[:, person] & seen)[:, None]):
                still = [joint for joint in foot if (motion.confidence[begin:end, person, joint] > 0).all()]
                rests = min(still, key=lambda joint: float(joints[begin:end, person, joint].std(0).max()))
                track = joints[begin:end, person, rests]
                nearest = np.clip(every, begin, end - 1)
                near = np.clip(1 - np.abs(every - nearest) / ease, 0, 1)[:, None]
                mine = near * (np.median(track, axis=0) - track[nearest - begin])
                larger = np.linalg.norm(mine, axis=1) > np.linalg.norm(shift, axis=1)
                shift[larger] = mine[larger]
            frames = np.flatnonzero(seen & (np.linalg.norm(shift, axis=1) > 0))
            mine = joints[:, person]  # a view
            before = mine[frames, ankle]
            knees, ankles = _reaching(mine[frames, hip], mine[frames, knee], before, before + shift[frames])
            mine[frames, knee] = knees
            for joint in foot:
                mine[frames, joint] += ankles - before
            moved[frames] = True
    return motion.with_(joints=joints), int(moved.sum())


def _reaching(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knees and ankles of legs that reach for a goal, as far as they can; all ``[n, C]``."""
    thigh, shank = (np.linalg.norm(part, axis=1, keepdims=True) for part in (knee - hip, ankle - knee))
    way = goal - hip
    reach = np.linalg.norm(way, axis=1, keepdims=True)
    along = way / np.maximum(reach, 1e-12)
    reach = np.clip(reach, np.abs(thigh - shank), thigh + shank)
    out = (knee - hip) - ((knee - hip) * along).sum(1, keepdims=True) * along  # the side to which the leg bends
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    near = (thigh**2 - shank**2 + reach**2) / np.maximum(2 * reach, 1e-12)
    high = np.sqrt(np.maximum(thigh**2 - near**2, 0))
    return hip + near * along + high * out, hip + reach * along
