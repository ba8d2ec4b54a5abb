"""Units and their labels: which files are a recording, and what the folder they lie in says."""

from __future__ import annotations

import pytest
from helpers.takes import frames

from kineme import synth
from kineme.data.prepare import prepare, report


def recordings(folder, count=1):
    """BVH files."""
    synth.write(folder, count, cameras=0, format="bvh")


def labels(store):
    return dict(zip(store.clips["id"].to_pylist(), store.clips["label"].to_pylist()))


def test_takes_in_the_folder_of_a_class_are_labelled_by_it(tmp_path):
    # case 02-takes-in-class-folders of the public reports
    for name in ("idle", "wave"):
        for take in ("a", "b"):
            frames(tmp_path / "src" / name, f"{name}{take}")
    found = labels(prepare(tmp_path / "src", tmp_path / "store", labels="folder"))
    assert found == {"idle#idlea": "idle", "idle#idleb": "idle", "wave#wavea": "wave", "wave#waveb": "wave"}


def test_a_take_alone_in_its_folder_is_labelled_by_the_folder_above_if_there_is_one(tmp_path):
    frames(tmp_path / "src" / "wave" / "take1")
    frames(tmp_path / "src" / "idle")
    found = labels(prepare(tmp_path / "src", tmp_path / "store", labels="folder"))
    assert found == {"idle": "idle", "wave/take1": "wave"}


def test_a_take_beside_other_recordings_is_one_of_the_folder_that_all_lie_in(tmp_path):
    frames(tmp_path / "src" / "day1" / "wave")
    (tmp_path / "src" / "day1" / "wave" / "notes.txt").write_text("no recording")
    frames(tmp_path / "src" / "day1" / "idle")
    frames(tmp_path / "src" / "day1" / "idle" / "another")
    found = labels(prepare(tmp_path / "src", tmp_path / "store", labels="folder"))
    assert found == {"day1/wave": "day1", "day1/idle": "idle", "day1/idle/another": "idle"}


@pytest.mark.parametrize("takes", [1, 2])
def test_the_prepared_folder_itself_is_no_label(takes, tmp_path):
    for k in range(takes):
        frames(tmp_path / "src", f"take{k}")
    store = prepare(tmp_path / "src", tmp_path / "store", labels="folder")
    assert set(labels(store)) == ({"src"} if takes == 1 else {"src#take0", "src#take1"})
    assert set(labels(store).values()) == {None}
    assert any(" in no folder below src, the first is src" in note for note in report(store).notes)


def test_what_stands_beside_frames_is_prepared_or_reported(tmp_path):
    # case 01-one-frame-file-hides-a-folder of the public reports
    frames(tmp_path / "src", "walk")
    frames(tmp_path / "src" / "below" / "deeper", "run")
    (tmp_path / "src" / "clip.xyz").write_text("no recording")
    store = prepare(tmp_path / "src", tmp_path / "store")
    assert store.clips["id"].to_pylist() == ["src", "below/deeper"]
    assert store.clips["source"].to_pylist() == ["src", "below/deeper"]
    assert [name for name, _ in report(store).skipped] == ["clip.xyz"]


def test_what_links_lead_to_is_read_once_and_said(tmp_path):
    for name in ("first", "second"):
        recordings(tmp_path / "src" / name)
    (tmp_path / "src" / "first" / "other").symlink_to("../second", target_is_directory=True)
    (tmp_path / "src" / "second" / "other").symlink_to("../first", target_is_directory=True)
    store = prepare(tmp_path / "src", tmp_path / "store", labels="folder")
    assert sorted(store.clips["label"].to_pylist()) == ["first", "second"]
    note = report(store).notes[0]
    assert note.startswith("2 links")
    assert "first/other (second)" in note
    assert "second/other (first)" in note


def test_files_behind_a_link_that_changed_are_prepared_again(tmp_path):
    recordings(tmp_path / "elsewhere", 1)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(prepare(tmp_path / "src", tmp_path / "store")) == 1
    file = next((tmp_path / "elsewhere").glob("*.bvh"))
    file.write_text(file.read_text() + "\n")
    with pytest.raises(Exception, match="a store of other files"):
        prepare(tmp_path / "src", tmp_path / "store")
