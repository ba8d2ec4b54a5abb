"""Labels outlive what may happen to their file; what is made of them agrees with what is exported."""

from __future__ import annotations

import csv
import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from helpers.training import kineme

from kineme.apps.explorer import routes
from kineme.apps.explorer.teaching import LabelSet, Operation, Stale, Taught, Teaching
from kineme.apps.explorer.workspace import Workspace
from kineme.inference.recogniser import Recogniser
from kineme.inference.search import Searcher
from kineme.utils.errors import InputError

IDS = [f"clip{i}" for i in range(12)]


@pytest.fixture
def teaching(tmp_path):
    made = Teaching(tmp_path, IDS)
    made.set_kinds("walks", ["clean", "=lean"], 0)
    return made


def test_what_was_said_is_there_again(teaching, tmp_path):
    teaching.label("walks", [([0, 1], "clean", "selection"), ([2], "=lean", "key")], 1)
    teaching.label("walks", [([1], None, "key")], 3)
    again = Teaching(tmp_path, IDS).get("walks")
    assert again.labels() == {0: "clean", 2: "=lean"}
    assert again.rev == 4
    assert again.counts() == {"clean": 1, "=lean": 1}
    assert Teaching(tmp_path, IDS).names() == ["walks"]


def test_undo_and_redo_are_lines_too(teaching, tmp_path):
    teaching.label("walks", [([0], "clean", "key")], 1)
    teaching.label("walks", [([0], "=lean", "key")], 2)
    assert teaching.undo("walks", 3).labels() == {0: "clean"}
    assert teaching.undo("walks", 4).labels() == {}
    with pytest.raises(InputError):
        teaching.undo("walks", 5)
    assert teaching.undo("walks", 5, again=True).labels() == {0: "clean"}
    assert Teaching(tmp_path, IDS).get("walks").labels() == {0: "clean"}


def test_half_a_line_does_not_count_and_is_written_over(teaching, tmp_path):
    teaching.label("walks", [([0], "clean", "key")], 1)
    path = tmp_path / "walks.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole) - 20, len(whole)):
        path.write_bytes(whole[:cut])
        assert Teaching(tmp_path, IDS).get("walks").labels() == {}
    again = Teaching(tmp_path, IDS)
    again.label("walks", [([3], "clean", "key")], 1)
    assert Teaching(tmp_path, IDS).get("walks").labels() == {3: "clean"}


def test_two_pages_do_not_write_over_each_other(teaching):
    teaching.label("walks", [([0], "clean", "key")], 1)
    with pytest.raises(Stale):
        teaching.label("walks", [([1], "clean", "key")], 1)
    assert teaching.get("walks").labels() == {0: "clean"}


def test_a_full_disk_loses_nothing(teaching, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        teaching.label("walks", [([0], "clean", "key")], 1)
    monkeypatch.undo()
    assert teaching.get("walks").labels() == Teaching(tmp_path, IDS).get("walks").labels() == {}
    assert teaching.label("walks", [([0], "clean", "key")], 1).labels() == {0: "clean"}


def test_clips_that_are_gone_are_counted(teaching, tmp_path):
    teaching.label("walks", [([0, 11], "clean", "selection")], 1)
    fewer = Teaching(tmp_path, IDS[:5]).get("walks")
    assert (fewer.labels(), fewer.away) == ({0: "clean"}, 1)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "x" * 41, "-a", "a.b", "\0"])
def test_sets_are_slugs(teaching, name):
    with pytest.raises(InputError):
        teaching.get(name)


@pytest.mark.parametrize("kinds", [["a", "a"], [""], ["x" * 81], ["a\nb"], [str(i) for i in range(65)], []])
def test_bad_kinds(teaching, kinds):
    teaching.label("walks", [([0], "clean", "key")], 1)
    with pytest.raises(InputError):
        teaching.set_kinds("walks", kinds, 2)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "walks.jsonl").write_text('{"kinds": ["a"]}\n{"undo": 7, "undone": true}\n')
    with pytest.raises(InputError, match="line 2"):
        Teaching(tmp_path, IDS).get("walks")


# ------------------------------------------------------------------------------------------------- what is made of it


def labelled(kinds: dict[int, str]) -> LabelSet:
    done = [Operation([row], kind, "key", 0.0) for row, kind in kinds.items()]
    return LabelSet("walks", None, sorted(set(kinds.values())), len(done), done)


@pytest.fixture
def groups():
    """Three groups of vectors that lie apart."""
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    centres = np.eye(5)[:3] * 6
    return centres[truth] + rng.normal(size=(90, 5)), truth


def test_few_labels_colour_all(groups):
    vectors, truth = groups
    taught = Taught(vectors.astype(np.float32), {})
    found = labelled({0: "a", 1: "b", 2: "c", 3: "a", 4: "b", 5: "c"})
    kinds, margins, notices = taught.answer(found)
    assert (kinds == truth).mean() > 0.9
    assert not notices
    assert margins[:6].min() > 0
    assert taught.answer(labelled({0: "a"}))[0].tolist() == [255] * 90


def test_the_estimate_waits_for_three_of_each(groups):
    taught = Taught(groups[0].astype(np.float32), {"subject": [i // 30 for i in range(90)]})
    assert taught.estimate(labelled({0: "a", 3: "a", 6: "a", 1: "b", 4: "b"})) is None
    rows = {i: "abc"[i % 3] for i in (0, 1, 2, 3, 4, 5, 33, 34, 35)}
    said = taught.estimate(labelled(rows))
    assert said["by"] == "subject"
    assert said["labels"] == 9
    assert 0.6 < said["accuracy"] <= 1


def test_nearly_everything_of_one_kind_is_said(groups):
    vectors = np.concatenate([np.repeat(groups[0][:1], 100, 0), groups[0][1:2]]).astype(np.float32)
    notices = Taught(vectors, {}).answer(labelled({0: "a", 100: "b"}))[2]
    assert len(notices) == 1
    assert "'a'" in notices[0]


def test_what_is_asked_is_not_known_yet_and_of_two_sorts(groups):
    taught = Taught(groups[0].astype(np.float32), {})
    first = taught.ask(labelled({}), 4)
    assert len({each["row"] for each in first}) == 4
    found = labelled({0: "a", 1: "b", 2: "c"})
    asked = taught.ask(found, 4)
    assert {each["why"] for each in asked} == {"between", "unseen"}
    assert not {each["row"] for each in asked} & {0, 1, 2}
    assert taught.ask(labelled({i: "ab"[i % 2] for i in range(90)}), 4) == []


def test_asking_teaches_no_worse_than_chance(groups):
    """Mean over five seeds, five labels a class, tolerance 0.02."""
    vectors, truth = groups
    taught = Taught(vectors.astype(np.float32), {})
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        start = [int(rng.choice(np.flatnonzero(truth == k))) for k in range(3)]
        known = {row: "abc"[truth[row]] for row in start}
        while len(known) < 15:
            row = taught.ask(labelled(known), 1)[0]["row"]
            known[row] = "abc"[truth[row]]
        chance = {int(r): "abc"[truth[r]] for k in range(3) for r in rng.choice(np.flatnonzero(truth == k), 5, False)}
        scores = [(taught.answer(labelled(each))[0] == truth).mean() for each in (known, chance)]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) >= -0.02


def test_the_exported_recogniser_says_what_the_page_says(made, tmp_path):
    work = Workspace(Searcher(made.index), "made", "pca")
    teaching = Teaching(tmp_path, [entry.id for entry in work.entries])
    teaching.set_kinds("walks", ["walk", "wave", "other"], 0)
    names = [entry.label if entry.label in ("walk", "wave") else "other" for entry in work.entries]
    found = teaching.label("walks", [([row], names[row], "key") for row in range(0, 40, 2)], 1)
    kinds = Taught(work.raw, work.groups()).answer(found)[0]
    with zipfile.ZipFile(BytesIO(routes.packed(found, work))) as archive:
        assert all(name.startswith("walks/") and ".." not in name for name in archive.namelist())
        archive.extractall(tmp_path / "out")
    answers = Recogniser.open(tmp_path / "out" / "walks").predict(made.store)
    order = [made.store.ids.index(entry.id) for entry in work.entries]
    assert [answers[i].nearest for i in order] == [found.kinds[kind] for kind in kinds]
    kineme("predict", tmp_path / "out" / "walks", made.store.path, "--csv", tmp_path / "said.csv")
    with open(tmp_path / "said.csv", newline="", encoding="utf-8") as file:
        said = [line["nearest"] for line in csv.DictReader(file)]
    assert [said[i] for i in order] == [found.kinds[kind] for kind in kinds]


def test_formulas_are_words_in_the_table(made, tmp_path):
    work = Workspace(Searcher(made.index), "made", "pca")
    teaching = Teaching(tmp_path, [entry.id for entry in work.entries])
    teaching.set_kinds("walks", ["=HYPERLINK(1)", "b"], 0)
    found = teaching.label("walks", [([0, 1], "=HYPERLINK(1)", "selection"), ([2], "b", "key")], 1)
    lines = routes.table(found, work).splitlines()
    assert lines[0] == "id,label,source,time"
    assert lines[1].split(",")[1] == "'=HYPERLINK(1)"
    assert [line.split(",")[2] for line in lines[1:]] == ["bulk", "bulk", "key"]
    assert all(json.dumps(line) for line in lines)
