"""Searches that come at once are answered together, each as if it were alone."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import Future

import pytest

from kineme.apps.explorer.gathering import Gathering
from kineme.apps.explorer.workspace import Sought, Workspace
from kineme.inference.search import Searcher
from kineme.utils.errors import InputError


@pytest.fixture(scope="module")
def work(made):
    return Workspace(Searcher(made.index), "made", "pca")


def same(found: dict, other: dict) -> bool:
    """Whether two answers are equal, but for the time that they took."""
    return {**found, "ms": 0} == {**other, "ms": 0}


def test_searches_that_wait_read_the_vectors_once(work, monkeypatch):
    clip = work.entries[7]
    sought = [
        *(Sought(entry) for entry in work.entries[:12]),
        Sought(clip, k=3, where={"label": "walk"}),
        Sought(clip, k=200, where={"subject": {"not": clip.subject}}),
        Sought(clip, plus=[1, 2], minus=[9], k=5),
        Sought(work.part(7, 0.2, 0.9), windows=True),
        Sought(work.motion(3), mirror=True),
    ]
    alone = [work.search(each.query, **dict(zip(Sought._fields[1:], each[1:]))) for each in sought]

    read = []
    blocks = work.searcher.index.blocks
    monkeypatch.setattr(work.searcher.index, "blocks", lambda *how: read.append(1) or blocks(*how))
    with work._lock:  # whoever comes meanwhile waits
        futures = [work.searches.ask(each) for each in sought]
        wrong = work.searches.ask(Sought(clip, where={"label": "no such class"}))
    together = [each.result(60) for each in futures]
    assert all(map(same, together, alone))
    with pytest.raises(InputError, match="no entry has this label"):
        wrong.result(60)
    assert len(read) < len(sought) / 3  # the first one alone, those that waited together; more rows for a few


def test_who_asks_alone_does_not_wait(work, monkeypatch):
    asked = []
    answer = work.searcher.answer
    monkeypatch.setattr(work.searcher, "answer", lambda searches: asked.append(len(searches)) or answer(searches))
    for entry in work.entries[:3]:
        work.search(entry)
    assert asked == [1, 1, 1]


def test_an_error_and_a_hang_up_concern_only_their_own():
    go, taken = threading.Event(), []

    def answer(questions):
        taken.append(list(questions))
        go.wait(10)
        if "all fail" in questions:
            raise OSError("the disk")
        return [ValueError(each) if each == "bad" else each.upper() for each in questions]

    asking = Gathering(answer)
    first = asking.ask("a")
    while not taken:
        pass
    late: list[Future] = [asking.ask(each) for each in ("b", "bad", "gone", "c")]
    assert late[2].cancel()
    go.set()
    assert [first.result(5), late[0].result(5), late[3].result(5)] == ["A", "B", "C"]
    with pytest.raises(ValueError, match="bad"):
        late[1].result(5)
    assert taken == [["a"], ["b", "bad", "c"]]
    with pytest.raises(OSError, match="the disk"):
        asking.ask("all fail").result(5)
    assert asking.ask("d").result(5) == "D"


def test_fifty_clients_are_answered_as_one(served):
    """Over the wire, all at once: the same answers as one after the other."""

    def ask(row: int) -> dict:
        link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        head = {"Host": served.host, "X-Kineme-Token": served.token, "Content-Type": "application/json"}
        where = {"label": "walk"} if row % 3 == 0 else {}
        link.request("POST", "/api/search", json.dumps({"query": {"row": row % 40}, "where": where}), head)
        answer = link.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())

    alone = [ask(row) for row in range(50)]
    found: dict[int, dict] = {}
    threads = [threading.Thread(target=lambda row=row: found.update({row: ask(row)})) for row in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 50
    assert all(same(found[row], alone[row]) for row in range(50))
