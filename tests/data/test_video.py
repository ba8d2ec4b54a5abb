"""Videos with their poses become a store: every pose beside the picture of its frame, whatever formats and rates."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import films, tracks
from helpers.training import kineme, one_paragraph
from hypothesis import given, settings
from hypothesis import strategies as st

import kineme as package
from kineme.data import splits, video
from kineme.data.prepare import report
from kineme.data.store import Store
from kineme.io import Options, arrays
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

pytest.importorskip("av")
FRAMES = 30


def numbers(store: Store) -> dict[str, list[tuple[int, int]]]:
    """Of every clip what poses and pictures say of themselves."""
    found = {}
    for i, motion in enumerate(store):
        pictures = store.pictures(range(store.offsets[i], store.offsets[i + 1]))
        seen = [bool(each.any()) for each in motion.confidence[:, 0]]
        found[motion.source] = [
            (tracks.number(pose) if there else -1, films.number(picture))
            for pose, picture, there in zip(motion.joints[:, 0], pictures, seen, strict=True)
        ]
    return found


def pairs(frames) -> list[tuple[int, int]]:
    return [(n, n) for n in frames]


def notes(store: Store) -> str:
    return "\n".join(report(store).notes)


def prepared(folder: Path, **options) -> Store:
    return package.prepare(folder / "videos", folder / "store", poses=folder / "poses", **options)


@pytest.fixture
def film(tmp_path):
    return films.write(tmp_path / "videos" / "a.mp4", FRAMES)


FORMATS = {
    "openpose": lambda place: tracks.openpose(place / "a", "a", range(FRAMES)),
    "openpose, several takes": lambda place: [
        tracks.openpose(place / "all", take, range(FRAMES)) for take in ("a", "b")
    ],
    "openpose, folder of the tool": lambda place: tracks.openpose(place / "a" / "keypoints", "", range(FRAMES)),
    "alphapose": lambda place: tracks.alphapose(place / "alphapose-results-a.json", range(FRAMES)),
    "alphapose, in a folder": lambda place: tracks.alphapose(place / "a" / "alphapose-results.json", range(FRAMES)),
    "kinetics": lambda place: tracks.kinetics(place / "a.json", range(FRAMES)),
    "mediapipe": lambda place: tracks.mediapipe(place / "a_landmarks.json", range(FRAMES), 25),
    "named with the ending": lambda place: tracks.mediapipe(place / "a.mp4.json", range(FRAMES)),
    "named by the tool": lambda place: tracks.mediapipe(place / "A_mediapipe_pose.json", range(FRAMES)),
    "arrays": lambda place: tracks.of_arrays(place / "a.npz", {"a": range(FRAMES)}),
    "arrays of many": lambda place: tracks.of_arrays(place / "all.npz", {"b": range(9), "a": range(FRAMES)}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_pose_has_the_picture_of_its_frame(tmp_path, film, name):
    FORMATS[name](tmp_path / "poses")
    store = prepared(tmp_path)
    assert numbers(store) == {"a.mp4": pairs(range(FRAMES))}
    motion = store[0]
    assert motion.image_size == tracks.SIZE
    assert motion.unit == "px"
    assert motion.fps == pytest.approx(25)
    assert store.card["normalise"]["how"] == "none"
    np.testing.assert_allclose(motion.joints[7, 0, 0], tracks.pose(7, 1)[0, :2], atol=1e-4)


def test_several_people_and_frames_without_anybody(tmp_path, film):
    films.write(tmp_path / "videos" / "b.mkv", 20)
    tracks.openpose(tmp_path / "poses" / "a", "a", range(FRAMES), people=2)
    tracks.mediapipe(tmp_path / "poses" / "b.json", range(20), empty=[0, 5, 6, 19])
    store = prepared(tmp_path, layout="coco17")
    assert store.persons == 2
    found = numbers(store)
    assert found["a.mp4"] == pairs(range(FRAMES))
    assert found["b.mkv"] == [(-1 if n in (0, 5, 6, 19) else n, n) for n in range(20)]


# ---- frame rates and lengths


def test_a_track_of_half_the_rate(tmp_path, film):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(15), fps=12.5)
    store = prepared(tmp_path)
    assert [picture - 2 * pose for pose, picture in numbers(store)["a.mp4"]] == [1] * 15  # the middle of its time
    assert store[0].fps == pytest.approx(12.5)
    assert "of another rate" in notes(store)


def test_a_track_of_another_rate_that_is_no_multiple(tmp_path, film):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(12), fps=10)
    assert [round((pose + 0.5) * 2.5 - 0.5) for pose, _ in numbers(prepared(tmp_path))["a.mp4"]] == pytest.approx(
        [picture for _, picture in numbers(prepared(tmp_path))["a.mp4"]], abs=1
    )


@pytest.mark.parametrize(("frames", "share"), [(10, 3), (60, 0.5)])
def test_lengths_tell_a_rate_that_nobody_states(tmp_path, film, frames, share):
    tracks.of_arrays(tmp_path / "poses" / "a.npz", {"a": range(frames)})
    store = prepared(tmp_path)
    assert numbers(store)["a.mp4"] == [(n, int((n + 0.5) * share)) for n in range(frames)]
    assert store[0].fps == pytest.approx(25 / share)


def test_a_stated_rate_that_lengths_contradict(tmp_path, film):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(FRAMES), fps=50)
    store = prepared(tmp_path)
    assert numbers(store)["a.mp4"] == pairs(range(FRAMES))
    assert store[0].fps == pytest.approx(25)
    assert "state another rate" in notes(store)


@pytest.mark.parametrize(("frames", "said"), [(26, "shorter than"), (37, "longer than")])
def test_the_common_part_of_poses_and_video(tmp_path, film, frames, said):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(frames), fps=25)
    store = prepared(tmp_path)
    assert numbers(store)["a.mp4"] == pairs(range(min(frames, FRAMES)))
    assert said in notes(store)
    assert "common part" in notes(store)


def test_poses_that_begin_later_and_those_counted_from_1(tmp_path, film):
    films.write(tmp_path / "videos" / "b.mp4", FRAMES)
    tracks.openpose(tmp_path / "poses" / "a", "a", range(5, 25))
    tracks.openpose(tmp_path / "poses" / "b", "b", range(FRAMES), first=1)
    store = prepared(tmp_path)
    assert numbers(store) == {"a.mp4": pairs(range(5, 25)), "b.mp4": pairs(range(FRAMES))}
    assert "first frame is 1" in notes(store)


def test_poses_that_begin_with_the_second_frame(tmp_path, film):
    """Nobody was found in frame 0, which the detector does not list."""
    tracks.alphapose(tmp_path / "poses" / "a.json", range(1, FRAMES))
    assert numbers(prepared(tmp_path))["a.mp4"] == pairs(range(1, FRAMES))


def test_poses_of_a_larger_or_turned_picture(tmp_path, film):
    films.turn(films.write(tmp_path / "videos" / "b.mp4", FRAMES), 90)
    path = tracks.mediapipe(tmp_path / "poses" / "a.json", range(FRAMES))
    path.write_text(path.read_text().replace('"width": 64, "height": 48', '"width": 640, "height": 480'))
    tracks.mediapipe(tmp_path / "poses" / "b.json", range(FRAMES))
    store = prepared(tmp_path)
    assert store.column("width").tolist() == [640, 64]  # what the coordinates refer to
    assert [picture.shape for picture in store.pictures([0, FRAMES])] == [(48, 64, 3), (64, 48, 3)]
    assert "another shape than their video: was it turned, or cut?: 1 (in b.mp4)" in notes(store)


def test_every_second_frame_has_poses(tmp_path, film):
    tracks.openpose(tmp_path / "poses" / "a", "a", range(0, FRAMES, 2))
    store = prepared(tmp_path)
    assert numbers(store)["a.mp4"] == pairs(range(0, FRAMES, 2))
    assert store[0].fps == pytest.approx(12.5)


def test_uneven_videos_are_taken_at_even_times(tmp_path):
    stamps = [0, 1, 2, 5, 6, 9, 10, 11, 15, 16, 17, 18]
    films.write(tmp_path / "videos" / "a.mkv", 12, stamps=stamps)
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(12))
    store = prepared(tmp_path)
    found = numbers(store)["a.mkv"]
    assert len(found) == 19
    assert all(pose == picture for pose, picture in found)
    assert [stamps[picture] for _, picture in found] == pytest.approx(list(range(19)), abs=2)
    assert "uneven times" in notes(store)
    assert store[0].fps == pytest.approx(25, rel=0.02)


class Shown:
    """What the pairing of frames asks of a video."""

    path = Path("film.mp4")

    def __init__(self, times):
        gaps = np.diff(times)
        self.times, self.fps = np.asarray(times), 1 / float(np.median(gaps))
        self.variable = bool((np.abs(gaps - np.median(gaps)) > 0.3 * np.median(gaps)).any())

    def __len__(self) -> int:
        return len(self.times)


@settings(max_examples=200)
@given(data=st.data())
def test_frames_of_poses_rise_and_are_there(data):
    gaps = data.draw(st.lists(st.sampled_from([0.04, 0.04, 0.04, 0.08, 0.3]), min_size=1, max_size=40))
    shown = Shown(np.cumsum([0, *(gaps if data.draw(st.booleans()) else [0.04] * len(gaps))]))
    many, first, step = data.draw(st.integers(1, 90)), data.draw(st.integers(0, 9)), data.draw(st.integers(1, 3))
    fps = data.draw(st.sampled_from([None, 5.0, 12.5, 24.0, 25.0, 30.0, 50.0]))
    extra = {"first_frame": first, "frame_step": step}
    joints = np.arange(1, many + 1, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 3, 2), np.float32)
    chain = layout.free(["a", "b", "c"], [-1, 0, 1])
    try:
        kept, frames = video.together(Motion(joints, chain, fps=fps, unit="px", extra=extra, source="p"), shown)
    except InputError as error:
        assert "at least 2 of its frames" in str(error)  # noqa: PT017 - either is right
        return
    assert len(kept) == len(frames) >= 2
    assert frames.min() >= 0
    assert frames.max() < len(shown)
    assert (np.diff(frames) >= 0).all()
    assert (np.diff(kept.joints[:, 0, 0, 0]) >= (0 if shown.variable else 1)).all()
    assert kept.fps > 0
    if not shown.variable:  # poses and pictures run at one pace
        pace = np.diff(shown.times[frames])
        assert abs(pace.sum() - len(pace) / kept.fps) <= 1.001 / shown.fps


@pytest.mark.parametrize(
    ("frames", "poses", "fps", "share"), [(4, 2, 12.5, 2), (100, 101, 24.8, 1), (100, 96, 24, 25 / 24)]
)
def test_lengths_and_rates_together(frames, poses, fps, share):
    assert video._share(poses, fps, Shown(np.arange(frames) / 25)) == pytest.approx(share)


# ---- labels, lists, cuts


def write_list(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def test_a_list_with_labels_splits_poses_and_more(tmp_path):
    rows = []
    for i, split in enumerate(["train", "train", "val", "test", "test"]):
        films.write(tmp_path / "films" / f"{i}.mp4", 8)
        tracks.mediapipe(tmp_path / "tracks" / f"track {i}.json", range(8))
        rows.append({"video": f"films/{i}.mp4", "label": f"l{i % 2}", "split": split})
        rows[-1] |= {"poses": f"tracks/track {i}.json", "scene": f"kitchen {i}"}
    rows.append({**rows[0], "video": "films/gone.mp4"})
    rows.append({**rows[0], "video": "films/none.mp4", "poses": "tracks/gone.json"})
    films.write(tmp_path / "films" / "none.mp4", 8)
    store = package.prepare(write_list(tmp_path / "list.csv", rows), tmp_path / "store")
    assert numbers(store) == {f"films/{i}.mp4": pairs(range(8)) for i in range(5)}
    assert store.column("label").tolist() == ["l0", "l1", "l0", "l1", "l0"]
    assert store.column("scene").tolist() == [f"kitchen {i}" for i in range(5)]
    part, val = splits.split(store, "list"), splits.split(store, "list_val")
    assert (part.train.tolist(), part.test.tolist()) == ([0, 1], [3, 4])
    assert (val.train.tolist(), val.test.tolist()) == ([0, 1], [2])
    skipped = dict(report(store).skipped)
    assert skipped["films/none.mp4"] == "no such poses: tracks/gone.json"
    assert "no recording is called films/gone.mp4" in skipped["list.csv, line 7"]


def test_labels_cut_clips_with_their_pictures(tmp_path, film):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(FRAMES))
    labels = write_list(
        tmp_path / "labels.csv",
        [{"file": "a", "label": "x", "start": 3, "end": 9}, {"file": "a", "label": "y", "start": 20, "end": 30}],
    )
    store = prepared(tmp_path, labels=labels)
    assert numbers(store) == {"a.mp4:3-9": pairs(range(3, 9)), "a.mp4:20-30": pairs(range(20, 30))}


def test_windows_have_the_pictures_of_their_frames(tmp_path, film):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(FRAMES), 25)
    store = prepared(tmp_path, window=0.4, step=0.2)
    spans = [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]
    assert numbers(store) == {f"a.mp4:{start}-{end}": pairs(range(start, end)) for start, end in spans}


def test_folders_are_labels_and_tell_tracks_of_one_name_apart(tmp_path):
    for label in ("walk", "sit"):
        films.write(tmp_path / "videos" / label / "1.mp4", 6)
        tracks.mediapipe(tmp_path / "poses" / label / "1.json", range(6))
    store = prepared(tmp_path, labels="folder")
    assert dict(zip(store.ids, store.column("label"))) == {"walk/1.mp4": "walk", "sit/1.mp4": "sit"}
    again = package.prepare(tmp_path / "videos" / "sit", tmp_path / "other", poses=tmp_path / "poses" / "sit")
    assert again.ids == ["1.mp4"]
    with pytest.raises(InputError, match="2 pose tracks are called like it"):
        package.prepare(tmp_path / "videos" / "sit", tmp_path / "third", poses=tmp_path / "poses")


def test_links_that_lead_back_are_followed_once(tmp_path):
    films.write(tmp_path / "films" / "a.mp4", 6)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "linked").symlink_to(tmp_path / "films")
    (tmp_path / "films" / "back").symlink_to(tmp_path / "videos")
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(6))
    assert prepared(tmp_path).ids == ["linked/a.mp4"]


# ---- what is bad costs itself only


def test_bad_videos_cost_themselves(tmp_path, film):
    place = tmp_path / "videos"
    bad = {
        "one.mp4": "a single frame",
        "sound.mp4": "only sound",
        "cut.mp4": "cut short",
        "empty.mp4": "the file is empty",
        "words.mp4": "no video",
    }
    films.write(place / "one.mp4", 1)
    films.write_sound(place / "sound.mp4")
    whole = films.write(place / "cut.mp4", 60, options={"movflags": "faststart"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (place / "empty.mp4").write_bytes(b"")
    (place / "words.mp4").write_text("hello")
    films.write(place / "alone.mp4", 5)
    (tmp_path / "poses").mkdir()
    tracks.mediapipe(tmp_path / "poses" / "nobody's.json", range(4))
    films.write(place / "broken poses.mp4", 5)
    (tmp_path / "poses" / "broken poses.json").write_text("{")
    films.write(place / "empty poses.mp4", 5)
    tracks.mediapipe(tmp_path / "poses" / "empty poses.json", range(5), empty=range(5))
    films.write(place / "elsewhere.mp4", 5)
    tracks.openpose(tmp_path / "poses" / "elsewhere", "elsewhere", range(500, 505))
    for name in ("a", *(name.removesuffix(".mp4") for name in bad)):
        tracks.mediapipe(tmp_path / "poses" / f"{name}.json", range(FRAMES))
    store = prepared(tmp_path)
    assert numbers(store) == {"a.mp4": pairs(range(FRAMES))}
    skipped = dict(report(store).skipped)
    for name, reason in bad.items():
        assert reason in skipped[name]
    assert "no pose track" in skipped["alone.mp4"]
    assert skipped["broken poses.mp4"].startswith("broken poses.json: ")
    assert "nobody" in skipped["empty poses.mp4"]
    assert "poses of frames 500" in skipped["elsewhere.mp4"]
    assert len(skipped) == len(bad) + 4
    assert "1 pose tracks fit no video: nobody's.json" in notes(store)


@pytest.mark.parametrize("bad", ["a", "b"])  # the first and a later one
def test_a_frame_damaged_in_the_middle_costs_its_video(tmp_path, bad):
    for name in "ab":
        path = films.write(tmp_path / "videos" / f"{name}.mp4", 60)
        tracks.mediapipe(tmp_path / "poses" / f"{name}.json", range(60))
        if name == bad:
            data = bytearray(path.read_bytes())
            data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
            path.write_bytes(data)
    store = prepared(tmp_path)
    good = "b" if bad == "a" else "a"
    assert numbers(store) == {f"{good}.mp4": pairs(range(60))}
    assert [file for file, _ in report(store).skipped] == [f"{bad}.mp4"]
    assert report(store).skipped[0][1].startswith(("not decodable", "frame "))
    store.verify()


def test_poses_in_shares_of_the_picture_where_they_are_wanted(tmp_path, film):
    tracks.mediapipe(tmp_path / "poses" / "a.json", range(FRAMES), empty=[3])
    made = prepared(tmp_path, normalise="image")
    assert len(made.frames) == FRAMES
    assert made.card["normalise"]["how"] == "image"


def test_a_clip_that_has_lost_frames_on_its_way_is_refused(tmp_path, film):
    path = tracks.mediapipe(tmp_path / "poses" / "a.json", range(FRAMES))
    motion, shot = video.filmed(film, (str(path), None), None, Options(image=True), side=24)
    assert [films.number(picture) for picture in shot.pictures(motion)] == list(range(FRAMES))
    with pytest.raises(InputError, match="27 poses of 30 pictures") as error:
        list(shot.pictures(motion.slice(0, 27)))
    assert shot.fault is error.value


def test_poses_in_space(tmp_path, film):
    joints = layout.layout("ntu25")
    place = np.random.default_rng(0).normal(size=(FRAMES, 1, 25, 3))
    (tmp_path / "poses").mkdir()
    arrays.write(tmp_path / "poses", [Motion(place, joints, fps=25, up="+y", unit="m", source="a")], "a")
    made = prepared(tmp_path)
    assert made.coords == 3
    np.testing.assert_allclose(made[0].joints, place, rtol=1e-5)
    assert len(made.pictures(None)) == FRAMES


def test_videos_without_poses_are_refused_with_the_hint(tmp_path, film):
    done = kineme("prepare", tmp_path / "videos", tmp_path / "s", "--jobs", 1, check=False)
    one_paragraph(done, "a.mp4", "a video", "Get poses first", "--poses")
    (tmp_path / "poses").mkdir()
    listing = write_list(tmp_path / "list.csv", [{"video": "gone.mp4", "label": "x"}])
    for src, poses, said in (
        (tmp_path / "videos", "poses", "1 videos, none with a pose track.*MediaPipe.*--poses FOLDER"),
        (film, "poses", "1 videos, none with a pose track"),
        (film, "gone", "--poses: no such file or folder"),
        (tmp_path / "poses", "poses", "no video in it"),
        (listing, "poses", "no video that is there"),
    ):
        with pytest.raises(InputError, match=said):
            package.prepare(src, tmp_path / "s", poses=tmp_path / poses)
    with pytest.raises(InputError, match="the list has the labels"):
        package.prepare(listing, tmp_path / "s", poses=tmp_path / "poses", labels="folder")
    assert not (tmp_path / "s").exists()


def test_jobs_and_a_second_call_change_nothing(tmp_path):
    for i in range(4):
        films.write(tmp_path / "videos" / f"{i}.mp4", 6)
        tracks.mediapipe(tmp_path / "poses" / f"{i}.json", range(6))
    one = prepared(tmp_path, picture_side=24)
    words = [tmp_path / "videos", tmp_path / "two", "--poses", tmp_path / "poses", "--picture-side", 24]
    assert "4 clips, 24 frames" in kineme("prepare", *words, "--jobs", 2).stdout
    assert package.open(tmp_path / "two").hash == one.hash
    assert one.pictures([0])[0].shape == (24, 32, 3)
    assert prepared(tmp_path, picture_side=24).hash == one.hash  # opened as it is
    assert "pairs" not in json.dumps(one.card["prepared"])


# ---- real ones


def test_real_videos_with_mediapipe_tracks(tmp_path, data_dir):
    store = package.prepare(data_dir / "videos", tmp_path / "store", poses=data_dir / "formats" / "mediapipe")
    assert store.ids == ["skateboarding.mp4", "ta_chi.mp4"]
    assert store.lengths.tolist() == [300, 300]
    assert len(report(store).skipped) == 7
    for name, seen in (("skateboarding", 246), ("ta_chi", 300)):
        motion = store[f"{name}.mp4"]
        assert motion.image_size == (340, 256)
        assert motion.fps == pytest.approx(29.97, abs=0.01)
        assert int(motion.confidence.any((1, 2)).sum()) == seen
        told = json.loads((data_dir / "formats" / "mediapipe" / f"{name}.json").read_text())
        first = next(i for i, frame in enumerate(told["frames"]) if frame["landmarks"])
        nose = told["frames"][first]["landmarks"][0]
        np.testing.assert_allclose(motion.joints[first, 0, 0], [nose[0] * 340, nose[1] * 256], atol=0.01)
    assert {picture.shape for picture in store.pictures(range(0, 600, 50))} == {(144, 191, 3)}
