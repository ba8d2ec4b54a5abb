"""Maps, clips, recordings, two encoders, what was taken for what: right values, without a browser."""

from __future__ import annotations

import numpy as np
import pytest

from kineme.apps.explorer import clips, comparing, container, maps, recording
from kineme.apps.explorer.workspace import Workspace, span
from kineme.data import prepare, synth
from kineme.inference import search
from kineme.inference.search import Searcher
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError
from kineme.viz import plots


@pytest.fixture(scope="module")
def work(made):
    return Workspace(Searcher(made.index), "made", "pca")


def test_containers_come_back():
    rng = np.random.default_rng(0)
    given = {name: (100 * rng.random((3, 5))).astype(name) for name in container.DTYPES}
    data = container.write(given, words="é", number=1.5)
    found, fields = container.read(data)
    assert fields == {"words": "é", "number": 1.5}
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        assert (found[name] == array).all()
    assert int.from_bytes(data[4:8], "little") % 8 == 0


# --------------------------------------------------------------------------------------------------------------- maps


def test_axes_and_places():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 8)) * [5, 3, 1, 0.1, 0.1, 0.1, 0.1, 0.1]
    found = maps.principal(vectors).astype(float)
    assert found.min() >= 0
    assert found.max() <= 65535
    for axis in (0, 1):
        assert abs(np.corrcoef(found[:, axis], vectors[:, axis])[0, 1]) > 0.98
    assert maps.principal(vectors[:1]).tolist() == [[32768, 32768]]
    assert len(maps.principal(vectors[:2])) == 2


def test_others_stand_by_their_nearest(monkeypatch):
    monkeypatch.setattr(maps, "LANDMARKS", 60)
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    vectors = np.eye(8)[truth] + 0.05 * rng.normal(size=(300, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = maps.neighbourly(vectors, rng.permutation(300)).astype(float)
    middles = np.array([found[truth == k].mean(0) for k in range(3)])
    assert (np.linalg.norm(found[:, None] - middles, axis=2).argmin(1) == truth).mean() > 0.98


def test_a_map_is_kept(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    first = maps.Maps(vectors, tmp_path)
    first._thread.join()
    assert first.kinds == ["tsne", "pca"]
    again = maps.Maps(vectors, tmp_path)
    assert again.state == "ready"
    assert (again.get("tsne") == first.get("tsne")).all()
    with pytest.raises(InputError):
        again.get("umap")


def test_kept_neighbours_of_a_true_plane():
    points = np.random.default_rng(0).normal(size=(100, 2))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert plots.kept_neighbours(points, maps.places(points), np.arange(100)) > 0.95


# -------------------------------------------------------------------------------------------------------------- clips


def test_packed_clips_are_where_they_were(made):
    motion = made.store[0]
    found, fields = container.read(clips.pack([motion, made.store[1]], 20))
    assert [each["frames"] for each in fields["clips"]] == [20, 20]
    joints = found["root"][:, :, None] + found["local"].astype(np.float32)
    wanted = motion.joints[np.linspace(0, len(motion) - 1, 20).round().astype(int)]
    seen = np.isfinite(joints[:20])
    assert seen.any()
    assert np.abs(joints[:20][seen] - wanted[seen]).max() < 2e-3


def test_up_and_front_are_turned():
    (motion,) = synth.generate(1, actions=["walk"], cameras=0)
    tilted = motion.with_(joints=motion.joints[..., [0, 2, 1]] * [1, -1, 1], up="+z")
    for each in (motion, tilted):
        about, joints = clips.turned(each)
        head, foot = motion.layout.find("head"), motion.layout.find("left_foot")
        assert (joints[..., head, 1] > joints[..., foot, 1]).all()
        assert about["height"] == pytest.approx(np.ptp(joints[0, 0, :, 1]), rel=0.2)
        assert about["floor"] == pytest.approx(np.nanmin(joints[..., 1]), abs=0.05)
        yaw = about["yaw"] - clips.QUARTER
        across = joints[:, 0, motion.layout.find("left_shoulder")] - joints[:, 0, motion.layout.find("right_shoulder")]
        x, z = np.median(across[:, [0, 2]], 0)
        assert -x * np.sin(yaw) + z * np.cos(yaw) == pytest.approx(0, abs=1e-6)
        assert x * np.cos(yaw) + z * np.sin(yaw) > 0


def test_missing_joints_and_people_stay_missing(made):
    joints = np.zeros((4, 2, 25, 3), np.float32)
    confidence = np.ones((4, 2, 25), np.float32)
    confidence[:, 1] = 0
    confidence[2] = 0
    motion = Motion(joints, layout.layout("ntu25"), confidence, up="+y")
    found, fields = container.read(clips.pack([motion]))
    assert np.isnan(found["local"][:, 1]).all()
    assert np.isnan(found["local"][2]).all()
    assert fields["clips"][0]["people"] == 1
    container.read(clips.pack([motion.with_(confidence=np.zeros_like(confidence))]))
    container.read(clips.pack([motion[:1]]))


def test_a_root_that_stays_behind_is_found():
    names, parents = ["world", "pelvis", "knee", "foot", "head"], [-1, 0, 1, 2, 1]
    made = layout.free(names, parents)
    rng = np.random.default_rng(0)
    body = np.array([[0, 0, 0], [0, 1, 0], [0, 0.5, 0], [0, 0.1, 0], [0, 1.7, 0]], float)

    def walking(stays: bool) -> Motion:
        joints = np.repeat(body[None, None], 60, 0) + 0.005 * rng.normal(size=(60, 1, 5, 3))
        joints[:, :, 1 if stays else 0 :, 0] += np.linspace(0, 6, 60)[:, None, None]
        return Motion(joints.astype(np.float32), made, up="+y")

    assert clips.false_root([walking(True), walking(True)]) == 0
    assert clips.false_root([walking(False)]) is None
    assert clips.false_root([next(iter(synth.generate(1, cameras=0)))]) is None


# ---------------------------------------------------------------------------------------------------------- workspace


def test_columns_and_rows(work, made):
    assert work.describe("label")["kind"] == "class"
    assert work.describe("seconds")["kind"] == "number"
    codes, names = work.codes("label"), work.categories("label")
    assert [names[code] for code in codes] == [work.entries[row].label for row in work.maps.order]
    with pytest.raises(InputError):
        work.codes("../x")


@pytest.mark.parametrize("numbers", [[], [-1], [40], list(range(25))])
def test_rows_are_checked(work, numbers):
    with pytest.raises(InputError):
        work.check(numbers, 24)


def test_intervals():
    assert span(100, 25.0, 1.0, 2.0) == (25, 50)
    assert span(100, None, 10, None) == (10, 100)
    for start, end in ((2, 1), (4, 5), (1, 1)):
        with pytest.raises(InputError):
            span(100, 25.0, start, end)


def test_a_clip_is_in_step_with_itself_slower(work):
    motion = work.motion(0)
    slow = motion.resize(2 * len(motion))
    way, cost = work.align(motion, slow)
    assert np.abs(way.astype(int) - 2 * np.arange(len(motion))).max() <= 4
    assert cost < 0.01


# --------------------------------------------------------------------------------------------------------- recordings


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Two minutes of other movements in which a wave is hidden four times; where each begins."""
    folder = tmp_path_factory.mktemp("long")
    wave = next(m for m in synth.generate(1, actions=["wave"], subjects=1, cameras=0))
    others = list(synth.generate(40, actions=["walk", "sit_down", "kick", "jump"], subjects=2, cameras=0))
    pieces, starts, at = [], [], 0
    for number, other in enumerate(others):
        pieces.append(other.joints)
        at += len(other)
        if number % 10 == 4:
            starts.append(at / wave.fps)
            pieces.append(wave.joints)
            at += len(wave)
    joined = Motion(np.concatenate(pieces), wave.layout, fps=wave.fps, up=wave.up, unit=wave.unit, source="long")
    synth.write(folder / "motion", [joined, *others[:2]])
    store = prepare.prepare(folder / "motion", folder / "store", normalise="general")
    found = Workspace(search.opened(store.path), "long", "pca")
    return found, starts, len(wave) / wave.fps


def test_hidden_copies_are_found(long):
    work, starts, length = long
    row = next(i for i, entry in enumerate(work.entries) if "long" in entry.id)
    answer = recording.found(work, row, starts[0], starts[0] + length, [])
    hits = [hit for hit in answer["hits"] if hit["score"] >= answer["threshold"]]
    for start in starts[1:]:
        assert any(hit["from"] < start + length and start < hit["to"] for hit in hits), (start, hits)
    wrong = [h for h in hits if not any(h["from"] < s + length and s < h["to"] for s in starts)]
    assert len(wrong) <= 1
    assert all(hit["to"] <= starts[0] or hit["from"] >= starts[0] + length for hit in answer["hits"])


def test_short_ones_are_not_cut(long):
    work, _, _ = long
    row = next(i for i, entry in enumerate(work.entries) if "long" not in entry.id)
    with pytest.raises(InputError):
        recording.found(work, row, 0, 0.5, [])


def test_activity():
    joints = np.zeros((100, 1, 25, 3), np.float32)
    joints[50:, ..., 0] = np.arange(50)[:, None, None] * 0.1
    speed, there = recording.curve(Motion(joints, layout.layout("ntu25"), fps=20.0))
    assert len(speed) == len(there) == 20
    assert speed[:10].max() == 0
    assert speed[11:].tolist() == pytest.approx([2.0] * 9, rel=1e-4)


def test_the_widest_gap_parts_scores():
    assert recording.threshold(np.array([0.99, 0.97, 0.7, 0.69])) == pytest.approx(0.835)
    assert recording.threshold(np.array([0.9])) == recording.LEAST


# -------------------------------------------------------------------------------------------------------- two encoders


def test_against_itself_all_are_shared(work, made):
    same = comparing.other(work, made.store.path, "base", Searcher(made.index))
    first = comparing.Other("a", work.vectors)
    assert (comparing.shared(first.near, same.near) == 10).all()
    points = work.maps.get("pca")
    turn = np.array([[0, -1], [1, 0]])
    spun = comparing.maps.places(points.astype(float) @ turn * 0.3)
    assert np.abs(comparing.turned(spun, points).astype(int) - points).max() < 30


def test_against_itself_before_training_fewer_are_shared(work, made):
    untrained = comparing.other(work, made.store.path, comparing.UNTRAINED)
    shared = comparing.shared(comparing.neighbours(work.vectors), untrained.near)
    assert shared.mean() < 9.5
    assert set(comparing.facts(work, untrained.near)) == {"label", "subject"}


def test_confusion(work, tmp_path):
    ids = [entry.id for entry in work.entries]
    lines = ["clip,true,predicted,score,protocol,metric,features,run,seed"]
    lines += [f"{ids[i]},walk,{'walk' if i else 'kick'},0.{9 - i},knn,1-NN,trained,r,0" for i in range(5)]
    lines += ["elsewhere,walk,walk,0.5,knn,1-NN,trained,r,0"]
    path = tmp_path / "said.csv"
    path.write_text("\n".join(lines) + "\n")
    found = comparing.Predictions(path, work)
    said = found.matrix("")
    assert said["classes"] == ["kick", "walk"]
    assert said["counts"] == [[0, 0], [1, 4]]
    assert said["missing"] == 1
    assert [each["row"] for each in found.cell("", "walk", "walk")] == [1, 2, 3, 4]
    assert len(found.cell("", "walk", "kick")) == 1
    for bad in ("", "a,b\n1,2\n", "\n".join([lines[0], lines[-1]])):
        path.write_text(bad)
        with pytest.raises(InputError):
            comparing.Predictions(path, work)
    with pytest.raises(InputError):
        comparing.Predictions(tmp_path / "none.csv", work)
