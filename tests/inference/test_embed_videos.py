"""Videos are embedded by runs that look at pictures, with poses or without."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import films, tracks

from kineme.data.report import report
from kineme.data.store import Store
from kineme.inference import embed, taken
from kineme.inference.model import Model
from kineme.motion import layout, normalise
from kineme.utils.errors import InputError

pytest.importorskip("av")
LAYOUT = layout.layout("coco17")


class Looking(Model):
    """Its vectors tell which frames a clip has, and how many of them have somebody in it."""

    def __init__(self, pictures: bool = True):
        self.encoder = SimpleNamespace(pictures=pictures)  # type: ignore[assignment]
        self.layout, self.path, self.hash = LAYOUT, None, "x"
        self.card = {
            "coords": 2,
            "normalise": normalise.describe("none", LAYOUT, 2),
            "up": "-y",
            "unit": "clip",
            "crop": {"frames": 8, "ratio": 1.0},
            "recipe": {},
        }

    dim = 3

    def embed(self, what: Store, *args, **options) -> np.ndarray:  # type: ignore[override]
        taken.check(what, self.layout, self.card, self.path)
        seen = np.asarray(what.confidence).any((1, 2))
        numbers = np.array([films.number(picture) for picture in what.pictures(None)])
        ends = zip(what.offsets[:-1], what.offsets[1:])
        return np.array([[numbers[a:b].min(), numbers[a:b].max(), seen[a:b].sum()] for a, b in ends], np.float32)


def test_a_video_alone(tmp_path):
    path = films.write(tmp_path / "clip.mp4", 12)
    out = embed.write(Looking(), path, tmp_path / "out")
    assert np.load(out / "Z.npy").tolist() == [[0, 11, 0]]
    store = Store(out / "store")
    assert store.ids == ["clip.mp4"]
    assert (store.layout, store.card["up"]) == (LAYOUT, "-y")
    assert store[0].fps == pytest.approx(25)
    assert "a picture for each frame" in str(report(store))


def test_a_video_with_its_poses(tmp_path):
    path = films.write(tmp_path / "clip.mp4", 12)
    tracks.alphapose(tmp_path / "poses" / "clip.json", range(12))
    out = embed.write(Looking(), path, tmp_path / "out", poses=tmp_path / "poses")
    assert np.load(out / "Z.npy").tolist() == [[0, 11, 12]]


def test_a_folder_and_a_list_with_cuts_bad_ones_left_out(tmp_path):
    films.write(tmp_path / "v" / "a.mp4", 12)
    films.write(tmp_path / "v" / "b.mkv", 9)
    films.write(tmp_path / "v" / "one.mp4", 1)
    damaged = films.write(tmp_path / "v" / "damaged.mp4", 60)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    damaged.write_bytes(data)
    out = embed.write(Looking(), tmp_path / "v", tmp_path / "out")
    assert np.load(out / "Z.npy").tolist() == [[0, 11, 0], [0, 8, 0]]
    assert [file for file, _ in report(Store(out / "store")).skipped] == ["damaged.mp4", "one.mp4"]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["video", "label", "start", "end"], ["v/a.mp4", "x", 2, 7], ["v/b.mkv", "y", "", ""]]
        )
    out = embed.write(Looking(), tmp_path / "list.csv", tmp_path / "listed")
    assert np.load(out / "Z.npy").tolist() == [[2, 6, 0], [0, 8, 0]]
    assert Store(out / "store").column("label").tolist() == ["x", "y"]


def test_uneven_videos_are_taken_at_even_times(tmp_path):
    films.write(tmp_path / "a.mkv", 12, stamps=[0, 1, 2, 5, 6, 9, 10, 11, 15, 16, 17, 18])
    store = Store(embed.write(Looking(), tmp_path / "a.mkv", tmp_path / "out") / "store")
    assert store.lengths.tolist() == [19]


def test_what_cannot_be(tmp_path):
    path = films.write(tmp_path / "clip.mp4", 12)
    with pytest.raises(InputError, match="Get poses first"):
        embed.write(Looking(pictures=False), path, tmp_path / "out")
    with pytest.raises(InputError, match=r"unit='cm'.*said of videos without poses"):
        embed.write(Looking(), path, tmp_path / "out", unit="cm")
    films.write(tmp_path / "one.mp4", 1)
    with pytest.raises(InputError, match=r"one\.mp4: a single frame"):
        embed.write(Looking(), tmp_path / "one.mp4", tmp_path / "out")
    assert not (tmp_path / "out").exists()
