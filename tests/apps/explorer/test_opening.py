"""From a command to a page: the demo's last line, a folder that is still prepared, what cannot be opened."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest
from helpers import browser as chromium
from helpers.training import kineme, one_paragraph

from kineme.apps import demo
from kineme.apps.explorer import launch
from kineme.apps.explorer.server import Site
from kineme.apps.explorer.workspace import Workspace
from kineme.inference.search import Searcher

from .conftest import Served
from .test_page import CARDS, READY, lit


@pytest.mark.slow
@pytest.mark.parametrize(("more", "store"), [((), "store"), (("--video",), "real")], ids=["demo", "demo of videos"])
def test_the_demo_ends_with_an_address(tab, tmp_path, more, store):
    out = tmp_path / "demo"
    served = Served("--quick", "--serve", "--out", out, *more, command="demo")
    try:
        assert f"kineme explore {out}/{store} --run {out}/runs/seed-0" in served.text
        tab.open(served.address)
        tab.until(READY)
        assert tab.run("performance.getEntriesByName('ready')[0].startTime") < 10_000  # twice what is promised
        tab.until(f"{CARDS} === 12")
        before = lit(tab, "#player")
        chromium.waited(lambda: lit(tab, "#player") != before, 5)
        assert tab.hosts == {served.host}  # nothing of another machine is asked for
        assert not tab.errors
    finally:
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(20) == 0
    assert (out / "result.json").is_file()


def test_without_the_packages_the_demo_says_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "lacking", lambda: "fastapi")
    shown = demo.Demo(tmp_path / "demo", 1, True)
    shown.look(type("Store", (), {"path": tmp_path / "store"})(), serve=True)
    said = capsys.readouterr().out
    assert "it needs fastapi: pip install 'kineme[web]'" in said
    assert f"kineme explore {tmp_path}/store" in said


def test_a_folder_is_prepared_while_the_page_is_there(made, tmp_path):
    served = Served(made.folder / "motion", "--cache", tmp_path / "kept", "--labels", tmp_path / "labels")
    try:
        assert served.text.index("Open http") < served.text.index("motion: 40 clips")
        assert list((tmp_path / "kept").glob("*/index/card.json"))
    finally:
        served.stop()


@contextlib.contextmanager
def served_here(site, bound):
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(site.app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)


def test_the_page_says_how_much_is_ready(tab, made):
    bound = launch.bind("127.0.0.1", 0)
    site = Site("mine", {f"127.0.0.1:{bound.getsockname()[1]}"}, None)
    with served_here(site, bound) as address:
        tab.open(address)
        tab.until("!document.querySelector('#opening').hidden")
        assert tab.text("#opening p") == "Opening mine"
        site.opening("prepare", 3, 40)
        tab.until("document.querySelector('#opening p').textContent === 'Preparing mine: 3 of 40'")
        assert tab.run("document.querySelector('#opening progress').value") == 3
        site.show(Workspace(Searcher(made.index), "mine", "pca"))
        tab.until(READY)
        assert tab.run("document.querySelector('#opening').hidden")
        tab.until(f"{CARDS} === 12")
        assert not tab.errors


def test_the_page_says_why_nothing_is_shown(tab):
    bound = launch.bind("127.0.0.1", 0)
    site = Site("mine", {f"127.0.0.1:{bound.getsockname()[1]}"}, None)
    site.fail("walk.bvh: no motion. Expected a motion file.")
    with served_here(site, bound) as address:
        tab.open(address)
        tab.until("document.querySelector('#problem').textContent.includes('walk.bvh: no motion')")
        assert site.told.is_set()


def test_what_cannot_be_opened_is_a_paragraph(tmp_path):
    one_paragraph(kineme("explore", tmp_path / "nowhere", "--port", "0", check=False), "nowhere", "no such file")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text.txt").write_text("no motion")
    words = ("--port", "0", "--no-browser", "--cache", tmp_path / "kept")
    one_paragraph(kineme("explore", tmp_path / "notes", *words, check=False), "text.txt")
