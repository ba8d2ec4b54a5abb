"""``kineme embed --ray``: the vectors of one process, bit for bit, whatever becomes of the machines that make them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import ray_nodes
from helpers.training import TINY, kineme, make_store, one_paragraph

import kineme as package
from kineme.data import synth
from kineme.inference import embed, model, spread
from kineme.utils import ray_cluster, registry
from kineme.utils.errors import InputError

SLOW = '''"""One linear layer on the mean pose, taking its time."""
import time
from dataclasses import dataclass
from torch import nn
from kineme.encoders import Encoder, Features


class Dawdling(Encoder):
    @dataclass(frozen=True)
    class Settings:
        width: int = 8

    def __init__(self, settings, layout, coords):
        super().__init__()
        self.dim = settings.width
        self.linear = nn.Linear(len(layout) * coords, settings.width)

    def forward(self, batch):
        if not self.training:
            time.sleep(0.2)
        joints = batch.joints * (batch.confidence > 0)[..., None]
        return Features(self.linear(joints.mean((1, 2)).flatten(1)))
'''
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machines():
    with ray_nodes.machines() as both:
        yield both


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of 40 clips and a run on it."""
    folder = tmp_path_factory.mktemp("spread")
    store = make_store(folder / "store")
    settings = dict(word.split("=") for word in TINY if "=" in word)
    package.pretrain("moco", store, folder / "run", epochs=1, settings=settings, device="cpu")
    return folder


@pytest.fixture
def few_at_a_time(monkeypatch):
    monkeypatch.setattr(spread, "TOGETHER", 1)
    for module in (model, spread):
        monkeypatch.setattr(module, "BATCH", 8)
        monkeypatch.setattr(module, "CODES", 50)


def nothing_kept(monkeypatch):
    monkeypatch.setattr(model.Model, "_cache", lambda *_: None)


def test_the_vectors_of_one_process(machines, folder, monkeypatch, few_at_a_time):
    nothing_kept(monkeypatch)
    opened, store = package.load(folder / "run", "cpu"), package.open(folder / "store")
    calls: list[tuple[int, int]] = []
    found, codes = spread.embed(opened, store, machines.address, lambda _, done, total: calls.append((done, total)))
    assert np.array_equal(found, opened.embed(store, batch=8))
    assert codes is None
    assert calls == [(8, 40), (16, 40), (24, 40), (32, 40), (40, 40)]


def test_features_are_kept_and_taken_as_here(machines, folder, few_at_a_time, monkeypatch):
    opened, store = package.load(folder / "run", "cpu"), package.open(folder / "store")
    cache = opened._cache(store, None)
    cache.path.unlink(missing_ok=True)
    found, _ = spread.embed(opened, store, machines.address)
    assert np.array_equal(cache.read(), found)
    monkeypatch.setattr(ray_cluster, "each", lambda give, work, address: iter([]) if not work else pytest.fail("again"))
    assert np.array_equal(spread.embed(opened, store, machines.address)[0], found)


def test_a_machine_that_is_lost_changes_nothing(machines, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {name: dict(known) for name, known in registry._plugins.items()})
    (tmp_path / "dawdling.py").write_text(SLOW)
    registry.add_plugin(tmp_path / "dawdling.py")
    store = package.open(folder / "store")
    settings = {"encoder.name": "dawdling", "method.queue": 20, "method.views.frames": 8, "loop.batch": 8}
    package.pretrain("moco", store, tmp_path / "run", epochs=1, settings=settings, device="cpu")
    nothing_kept(monkeypatch)
    monkeypatch.setattr(spread, "BATCH", 2)
    monkeypatch.setattr(spread, "TOGETHER", 1)
    opened = package.load(tmp_path / "run", "cpu")
    victims: list[int] = []

    def kill(title: str, done: int, total: int) -> None:
        if not victims:
            assert done < total
            victims.extend(machines.kill())

    found, _ = spread.embed(opened, store, machines.address, kill)
    assert victims, "nobody was at work there"
    assert np.array_equal(found, opened.embed(store, batch=2))
    machines.again()


def test_the_command_of_a_store_and_of_files(machines, tmp_path):
    synth.write(tmp_path / "raw", 12, format="bvh", actions=["walk", "kick"])
    kineme("embed", "base", tmp_path / "raw", "--out", tmp_path / "here")
    kineme("embed", "base", tmp_path / "raw", "--out", tmp_path / "there", "--ray", machines.address, env={})
    for name in ("Z.npy", "clips.parquet", "card.json"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert package.open(tmp_path / "there" / "store").hash == package.open(tmp_path / "here" / "store").hash
    words = ("embed", "base", tmp_path / "here" / "store", "--out", tmp_path / "z", "--ray", machines.address)
    again = kineme(*words, env={})  # a new Python: Ray tells processes by their environment how clusters know them
    assert "One vector of" in again.stdout
    assert (tmp_path / "z" / "Z.npy").read_bytes() == (tmp_path / "here" / "Z.npy").read_bytes()


def test_codes_of_single_frames(machines, tmp_path, few_at_a_time, monkeypatch):
    synth.write(tmp_path / "raw", 6, format="bvh", actions=["walk", "kick"])
    store = package.prepare(tmp_path / "raw", tmp_path / "store", normalise="none")
    settings = {"encoder.width": 16, "loop.batch": 32}
    package.pretrain("cv_mim", store, tmp_path / "run", epochs=1, settings=settings, device="cpu")
    (tmp_path / "poses").mkdir()
    opened = package.load(tmp_path / "run", "cpu")
    rng = np.random.default_rng(0)
    for k in range(3):
        np.save(tmp_path / "poses" / f"p{k}.npy", rng.normal(size=(60, 17, 2)).astype(np.float32) * 50 + 200)
    nothing_kept(monkeypatch)
    out = embed.write(opened, tmp_path / "poses", tmp_path / "out", ray=machines.address)
    vectors, codes, offsets = (np.load(out / f"{name}.npy") for name in ("Z", "codes", "offsets"))
    same, places = opened.frames(out / "store", batch=50)
    assert np.array_equal(codes, same)
    assert np.array_equal(offsets, places)
    assert len(codes) == 180
    assert np.array_equal(vectors, opened.embed(out / "store", batch=8))


def test_a_store_of_another_layout(machines, folder, tmp_path, monkeypatch):
    nothing_kept(monkeypatch)
    opened, store = package.load("base", "cpu"), make_store(tmp_path / "other", layout="smpl24")
    monkeypatch.setattr(spread, "BATCH", 8)
    monkeypatch.setattr(spread, "TOGETHER", 2)
    with pytest.warns(UserWarning, match="smpl24 mapped to"):
        here = opened.embed(store, batch=8)
    monkeypatch.setattr(model.Model, "_mapped", lambda *_: pytest.fail("all at once, here"))
    with pytest.warns(UserWarning, match="smpl24 mapped to"):
        found, _ = spread.embed(opened, store, machines.address)
    assert np.array_equal(found, here)


def test_more_threads_here_differ_in_the_last_bits(machines, tmp_path):
    opened, store = package.load("base", "cpu"), make_store(tmp_path / "store", clips=64, layout="ntu25")
    found, _ = spread.embed(opened, store, machines.address)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        difference = np.abs(opened.embed(store) - found).max()
    finally:
        torch.set_num_threads(before)
    assert difference < 1e-5 * np.abs(found).max()


# -------------------------------------------------------------------------------------------------- without a cluster


@pytest.fixture
def checked(monkeypatch):
    """As if Ray were there."""
    monkeypatch.setattr(ray_cluster, "check", lambda address: None)


def opening(folder, **other):
    opened, store = package.load(folder / "run", "cpu"), package.open(folder / "store")
    said = {"run": str(folder / "run"), "weights": opened.hash, "store": str(store.path), "content": store.hash}
    return spread._Opening(**{**said, "way": "torch default", **other})


@pytest.mark.parametrize(("name", "place"), [("weights", "run"), ("content", "store")])
def test_another_run_or_store_on_a_worker(folder, name, place):
    with pytest.raises(InputError, match=rf"{place}: another on a machine of the cluster"):
        opening(folder, **{name: "x"})()


def test_what_a_worker_does(folder, monkeypatch):
    nothing_kept(monkeypatch)
    opened, store = package.load(folder / "run", "cpu"), package.open(folder / "store")
    found = np.frombuffer(opening(folder)()((False, 5, 11, 4)), np.float32)
    assert np.array_equal(found.reshape(6, -1), opened.embed(store, rows=range(5, 11), batch=4))


def test_what_workers_cannot_open(folder, checked):
    opened, store = package.load(folder / "run", "cpu"), package.open(folder / "store")
    opened.path = None
    with pytest.raises(InputError, match="model: no run on disk"):
        spread.embed(opened, store, "local")
    opened.device = type("device", (), {"type": "cuda", "__str__": lambda self: "cuda:0"})()
    with pytest.raises(InputError, match="--ray: a model on cuda:0"):
        spread.embed(opened, store, "local")


def test_nothing_is_left_where_there_is_no_cluster(folder, tmp_path):
    words = ("embed", folder / "run", folder / "store", "--out", tmp_path / "z", "--ray", "nowhere")
    one_paragraph(kineme(*words, check=False), "--ray: 'nowhere'", "local, auto or HOST:PORT")
    assert not list(tmp_path.iterdir())
    assert json.loads((folder / "run" / "card.json").read_text())
