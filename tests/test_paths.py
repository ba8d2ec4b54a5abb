"""Wherever the public API wants an object that lies on disk, its path works; what is none is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.training import make_store

import kineme
from kineme.data import splits
from kineme.data.report import report
from kineme.data.store_writer import join
from kineme.motion.joint_map import joint_map
from kineme.utils.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("paths") / "swing", clips=12)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = kineme.synth.write(tmp_path_factory.mktemp("file"), 1, format="bvh", cameras=0)
    return next(folder.glob("*.bvh"))


@pytest.mark.parametrize("path", [str, Path], ids=["text", "path"])
def test_the_path_of_a_store(store, path, tmp_path):
    given = path(store.path)
    assert kineme.open(given).hash == kineme.open(store).hash == store.hash
    assert splits.split(given, "random").train.tolist() == splits.split(store, "random").train.tolist()
    assert report(given).clips == 12
    assert len(join([given, store], tmp_path / "two")) == 24


@pytest.mark.parametrize("path", [str, Path], ids=["text", "path"])
def test_the_path_of_a_motion(file, path, tmp_path):
    given = path(file)
    kineme.draw.strip(given, tmp_path / "a.png")
    assert kineme.read(given).layout == next(kineme.read_all(given)).layout
    assert len(kineme.prepare(given, tmp_path / "s")) == 1


def test_names_of_layouts(store):
    ntu = kineme.layout("ntu25")
    assert kineme.layout(ntu) is ntu
    motion = store[0]
    wanted = motion.to_layout(joint_map(motion.layout, kineme.layout("coco17")))
    for other in (motion.to_layout("coco17"), motion.to_layout(kineme.layout("coco17"))):
        np.testing.assert_array_equal(other.joints, wanted.joints)
    assert joint_map("ntu25", "coco17").missing == joint_map(ntu, kineme.layout("coco17")).missing


@pytest.mark.parametrize("what", [3, None, 2.5, ["a"], {"a": 1}, b"x", np.zeros(3)], ids=str)
@pytest.mark.parametrize(
    "call",
    [
        kineme.open,
        kineme.load,
        kineme.read,
        kineme.read_all,
        kineme.layout,
        lambda what: kineme.prepare(what, "x"),
        lambda what: kineme.evaluate(what, "x"),
        lambda what: kineme.evaluate("x", what),
        lambda what: kineme.pretrain("moco", what, out="x"),
        lambda what: kineme.store(what),
        lambda what: kineme.draw.strip(what, "x.png"),
        lambda what: kineme.import_weights(what, "halp"),
        lambda what: splits.split(what, "random"),
        lambda what: report(what),
        lambda what: kineme.Motion(np.zeros((2, 25, 3)), what),
    ],
)
def test_what_is_no_path_is_one_sentence(call, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        call(what)
    assert len(str(error.value)) < 1500
    assert not list(tmp_path.iterdir())
