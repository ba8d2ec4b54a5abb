"""A table names the clips of a store: by id or file, whole or some frames."""

from __future__ import annotations

import pytest
from helpers.training import make_store

import kineme
from kineme.data import labels
from kineme.utils.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("labels") / "store", clips=8)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_clips_with_a_label_in_the_order_of_the_store(store, table):
    found = labels.examples(store, table("id;note;label\nclip003;x;wave\nclip001;;\nclip000;;sit\n"))
    assert [(each.clip, each.label, each.line) for each in found] == [(0, "sit", 4), (3, "wave", 2)]
    assert all(each.start is each.end is None for each in found)


def test_frames_of_a_clip(store, table):
    found = labels.examples(store, table("id,start,end,label\nclip000,1,4,sit\nclip000,4,,wave\nclip001,,,sit\n"))
    assert [(each.clip, each.start, each.end, each.label) for each in found] == [
        (0, 1, 4, "sit"),
        (0, 4, store.lengths[0], "wave"),
        (1, None, None, "sit"),
    ]


def test_frames_are_those_of_the_recording(tmp_path, table):
    """A store that was cut by a table takes labels by the same numbers."""
    kineme.synth.write(tmp_path / "raw", 1, format="bvh", cameras=0)
    name = next((tmp_path / "raw").glob("*.bvh")).stem
    cuts = table(f"file,start,end,label\n{name},0,20,one\n{name},20,45,two\n{name},45,60,one\n")
    store = kineme.prepare(tmp_path / "raw", tmp_path / "store", labels=cuts)
    found = labels.examples(store, cuts)
    assert [(each.clip, each.label, each.start) for each in found] == [
        (0, "one", None),
        (1, "two", None),
        (2, "one", None),
    ]
    inside = labels.examples(store, table(f"file,start,end,label\n{name},25,30,part\n"))
    assert [(each.clip, each.start, each.end) for each in inside] == [(1, 5, 10)]
    with pytest.raises(InputError, match=r"line 2: frames 10 to 30 .* in no clip"):
        labels.examples(store, table(f"file,start,end,label\n{name},10,30,part\n"))


def test_the_id_goes_before_the_file(tmp_path, table):
    kineme.synth.write(tmp_path / "raw", 3)
    store = kineme.prepare(tmp_path / "raw", tmp_path / "store")
    found = labels.examples(store, table(f"id,label\n{store.ids[1]},other\nsynth.npz,all\n"))
    assert [each.label for each in found] == ["all", "other", "all"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("id,label\n", "no label in it"),
        ("id,label\nclip000,\nclip001,\n", "no label in it"),
        ("id,name\nclip000,wave\n", "no label in it"),
        ("name,label\nclip000,wave\n", "columns name, label"),
        ("id,label\nclip000,wave\nclip900,wave\n", "line 3: no clip is called 'clip900'"),
        ("id,label\nclop001,wave\n", "Did you mean 'clip001'"),
        ("id,label\nclip000,wave\nclip000,sit\n", "lines 2 and 3: one clip is 'wave' and 'sit'"),
        ("id,start,label\nclip000,500,wave\n", "line 2: frames 500 to the end of clip000, in no clip"),
        ("id,start,label\nclip000,one,wave\nclip001,,sit\n", "line 2: start 'one'"),
    ],
)
def test_tables_that_cannot_be_used(store, table, text, said):
    with pytest.raises(InputError) as caught:
        labels.examples(store, table(text))
    assert said in str(caught.value)


def test_one_label_twice_is_one_example(store, table):
    assert len(labels.examples(store, table("id,label\nclip000,wave\nclip000,wave\n"))) == 1
