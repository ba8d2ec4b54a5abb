"""Temporal localisation: overlaps, suppression and precision by hand; joined and whole recordings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import make_store

from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.evaluation import baselines
from kineme.evaluation.protocols import localisation
from kineme.evaluation.protocols.localisation import Settings, Spans, mean_average_precision, overlaps, suppressed
from kineme.evaluation.task import make_task
from kineme.utils.errors import InputError


def spans(*rows) -> Spans:
    """(recording, start, end, label, score)"""
    columns = list(zip(*rows))
    return Spans(*(np.array(column) for column in columns[:4]), np.array(columns[4], float))


def test_overlaps_by_hand():
    one = spans((0, 0, 10, 0, 1), (1, 0, 10, 0, 1))
    other = spans((0, 5, 15, 0, 1), (0, 10, 20, 0, 1), (1, 2, 4, 0, 1))
    np.testing.assert_allclose(overlaps(one, other), [[5 / 15, 0, 0], [0, 0, 2 / 10]])


def test_suppression_by_hand():
    """The surest stays; of the others those that overlap it by more than 0.3, in its class and recording, go."""
    found = suppressed(
        spans(
            (0, 0, 10, 0, 0.5),  # overlaps the surest by 0.43: goes
            (0, 4, 14, 0, 0.9),
            (0, 11, 21, 0, 0.7),  # by 0.18: stays
            (0, 4, 14, 1, 0.6),  # another class
            (1, 4, 14, 0, 0.4),  # another recording
            (0, 13, 23, 0, 0.2),  # overlaps the third by 0.67: goes
        ),
        0.3,
    )
    assert found.score.tolist() == [0.9, 0.7, 0.6, 0.4]


def test_average_precision_by_hand():
    """Class 0 happens three times. Detected, the surest first: right, wrong place, twice the first, right. Precision
    1, 1/2, 1/3, 2/4; interpolated 1 and 1/2 at the two that are right, the third is never found. Class 1: never.
    """
    truth = spans((0, 0, 10, 0, 1), (0, 20, 30, 0, 1), (1, 0, 10, 0, 1), (1, 20, 30, 1, 1))
    found = spans((0, 1, 10, 0, 0.9), (0, 40, 50, 0, 0.8), (0, 0, 10, 0, 0.7), (1, 0, 9, 0, 0.6), (1, 20, 30, 2, 0.5))
    assert mean_average_precision(found, truth, 0.5) == pytest.approx((1 + 1 / 2) / 3 / 2)
    assert mean_average_precision(found, truth, 0.95) == pytest.approx((1 / 3) / 3 / 2)  # only the third is so exact
    nothing = found.pick(np.zeros(5, bool))
    assert mean_average_precision(nothing, truth, 0.1) == 0
    assert mean_average_precision(truth, truth, 1.0) == 1


def test_precision_is_interpolated():
    """Wrong, right, right of two: precision 0, 1/2, 2/3; interpolated 2/3 at both."""
    truth = spans((0, 0, 10, 0, 1), (0, 20, 30, 0, 1))
    found = spans((0, 40, 50, 0, 0.9), (0, 0, 10, 0, 0.8), (0, 20, 30, 0, 0.7))
    assert mean_average_precision(found, truth, 0.5) == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Four kinds, two of which no network is needed to tell: place says which."""
    return make_store(tmp_path_factory.mktemp("localisation") / "swing", clips=48)


def task_of(store, model=None):
    sides = SimpleNamespace(name="mine", train=np.arange(24), test=np.arange(24, 48))
    return make_task(model or baselines.make("positions", store, sides.train), store, sides)


def test_joined_recordings_are_the_clips(store):
    task = task_of(store)
    made = localisation._joined(task, Settings(join=6))
    assert len(made.motions) == 4
    assert sum(map(len, made.motions)) == store.lengths[24:].sum()
    truth = made.truth
    for i in range(24):
        inside = made.motions[truth.recording[i]].joints[truth.start[i] : truth.end[i]]
        rows = [r for r in task.test if len(store[int(r)]) == len(inside) and (store[int(r)].joints == inside).all()]
        assert len(rows) == 1
        assert task.labels[rows[0]] == truth.label[i]
    assert "joined from about 6 test clips" in made.note


def test_windows_cover_a_recording(store):
    task = task_of(store)
    made = localisation._joined(task, Settings())
    found = localisation._windows(task, made, Settings(windows=(1.0,), stride=0.5))
    usual = round(float(np.median(store.lengths[:24])))
    assert set((found.end - found.start).tolist()) == {usual}
    for number, motion in enumerate(made.motions):
        mine = found.pick(found.recording == number)
        assert mine.start[0] == 0
        assert set(np.diff(mine.start).tolist()) == {round(0.5 * usual)}
        assert len(motion) - mine.end[-1] < round(0.5 * usual)


def test_clear_clips_are_found_and_noise_is_not(store):
    """A model that tells the kind of a window by the clips of which most frames are."""

    class Knows:
        def embed(self, what, rows=None, *, crop=None):
            found = np.zeros((len(what), 4), np.float32)
            for i in range(len(what)):
                frames = what.frames[what.offsets[i] : what.offsets[i + 1]].reshape(-1, 60)
                labels = [known[frame[:6].round(3).tobytes()] for frame in frames]
                found[i] = np.bincount(labels, minlength=4) / len(labels)
            return found if rows is None else found[rows]

    kinds = np.unique(store.column("label").astype(str), return_inverse=True)[1]
    frames = np.asarray(store.frames).reshape(-1, 60)
    known = {
        frame[:6].round(3).tobytes(): kinds[clip] for frame, clip in zip(frames, np.repeat(range(48), store.lengths))
    }
    found = localisation.score(task_of(store, Knows()), Settings(C=100.0))
    assert found["mAP@0.1"] > 0.6
    assert list(found) == ["mAP@0.1", "mAP@0.3", "mAP@0.5", "mAP@0.7"]
    low, high = found.more["mAP@0.5"]["interval"]
    assert 0 <= low < found["mAP@0.5"] < high <= 1
    assert sorted(found.values(), reverse=True) == list(found.values())
    noise = SimpleNamespace(embed=lambda what, rows=None: np.random.default_rng(0).normal(size=(len(what), 4)))
    assert localisation.score(task_of(store, noise), Settings())["mAP@0.5"] < found["mAP@0.5"]
    assert "follow each other without a pause" in found.more["mAP@0.5"]["notes"][-1]


def test_whole_recordings(store, tmp_path):
    """Two recordings of which clips are cut out by start and end, with pauses between."""
    gen, pieces = np.random.default_rng(0), []
    with Writer(tmp_path / "long", store.layout, normalise={"how": "none"}) as long:
        for number in range(2):
            clips = [store.motion(24 + 12 * number + i) for i in range(12)]
            parts, at = [], 0
            for clip in clips:
                pause = gen.normal(size=(7, *clip.joints.shape[1:])).astype(np.float32)
                start = at + 7
                pieces.append((clip, f"take{number}", start, start + len(clip)))
                parts += [pause, clip.joints]
                at = start + len(clip)
            long.add(clips[0].with_(joints=np.concatenate(parts), confidence=None, label=None, source=f"take{number}"))
    with Writer(tmp_path / "cut", store.layout, normalise={"how": "none"}) as cut:
        for i in range(24):
            cut.add(store.motion(i))
        for clip, name, start, end in pieces:
            cut.add(clip.with_(extra={"recording": name, "start": start, "end": end}))
    clips = Store(tmp_path / "cut")
    how = Settings(recordings=str(tmp_path / "long"))
    made = localisation._whole(task_of(clips), how)
    assert [len(motion) for motion in made.motions] == Store(tmp_path / "long").lengths.tolist()
    assert made.truth.start.tolist() == [start for *_, start, _ in pieces]
    assert made.truth.recording.tolist() == [0] * 12 + [1] * 12
    found = localisation.score(task_of(clips), how)
    assert found.more["mAP@0.5"]["recordings"] == 2
    assert "2 whole recordings, 24 of 24 test clips happen there" in found.more["mAP@0.5"]["notes"][-1]
    assert not localisation.is_stochastic(how)
    with pytest.raises(InputError, match=r"no test clip of .* names one of them by source"):
        localisation.score(task_of(store), how)
    other = make_store(tmp_path / "ntu", layout="ntu25", clips=4)
    with pytest.raises(InputError, match="kinect20, as the clips"):
        localisation.score(task_of(clips), Settings(recordings=str(other.path)))


@pytest.mark.parametrize(
    "change", [{"join": 1}, {"windows": ()}, {"thresholds": (0.5, 2)}, {"stride": 0}, {"overlap": 1.5}]
)
def test_settings_that_cannot_be(change):
    with pytest.raises(InputError, match=f"localisation.{next(iter(change))}"):
        Settings(**change)


def test_a_single_test_clip_cannot_be_joined(store):
    task = task_of(store)
    task.test = task.test[:1]
    with pytest.raises(InputError, match="1 test clips"):
        localisation.score(task, Settings())
