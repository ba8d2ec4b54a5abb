"""A store made on a Ray cluster: the same as here, to the last byte, whatever becomes of a machine."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers import ray_nodes
from helpers.training import kineme, one_paragraph

from kineme import io
from kineme.data import plan, workers
from kineme.data.prepare import prepare, prepare_each, report
from kineme.utils import ray_cluster, registry
from kineme.utils.errors import InputError

SLOW = '''"""Slow (.slow): numbers x per frame of one joint, read in a while."""
import os, signal, time
import numpy as np
from kineme.motion import layout
from kineme.motion.motion import Motion

suffixes = own = (".slow",)


def sniff(path, head):
    return path.suffix == ".slow"


def read(path, options):
    time.sleep(0.3)
    if path.read_text() == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    frames = np.array(path.read_text().split(), np.float32)
    yield Motion(np.repeat(frames[:, None, None, None], 3, -1), layout.free(["hips"], [-1]), source=path.name)
'''


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machines():
    with ray_nodes.machines() as both:
        yield both


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(plan, "SHARD_FILES", 3)


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A folder of recordings whose format is a plug-in."""
    monkeypatch.setattr(registry, "_plugins", {name: dict(known) for name, known in registry._plugins.items()})
    (tmp_path / "slow.py").write_text(SLOW)
    registry.add_plugin(tmp_path / "slow.py")
    io._readers.cache_clear()
    folder = tmp_path / "raw"
    folder.mkdir()
    for k in range(36):
        (folder / f"clip{k:02d}.slow").write_text(" ".join(map(str, range(k, k + 3 + k % 4))))
    yield folder
    io._readers.cache_clear()


def bvh(path: Path, seed: int, frames: int = 40) -> None:
    """Four joints that swing."""
    joints = [(name, f"{x} {y} 0") for name, x, y in (("Head", 0, 60), ("LeftHand", 30, 40), ("RightHand", -30, 40))]
    lines = ["HIERARCHY", "ROOT Hips", "{", "OFFSET 0 0 0"]
    lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation")
    for name, offset in joints:
        lines += [f"JOINT {name}", "{", f"OFFSET {offset}", "CHANNELS 3 Zrotation Xrotation Yrotation", "}"]
    lines += ["}", "MOTION", f"Frames: {frames}", "Frame Time: 0.05"]
    numbers = np.random.default_rng(seed).normal(size=(frames, 15))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, *(" ".join(f"{x:.4f}" for x in row) for row in numbers)]) + "\n")


@pytest.fixture
def raw(tmp_path) -> Path:
    """Recordings of two classes, three files that are none, one of which nobody has."""
    for k in range(10):
        bvh(tmp_path / "raw" / ("walk", "wave")[k % 2] / f"S{k % 3}_{k:02d}.bvh", k, 30 + 5 * k)
    (tmp_path / "raw" / "wave" / "bad.bvh").write_text("HIERARCHY\nROOT")
    (tmp_path / "raw" / "empty.skeleton").write_text("")
    (tmp_path / "raw" / "nowhere.bvh").symlink_to(tmp_path / "gone.bvh")
    return tmp_path / "raw"


def contents(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def same(src: Path, tmp_path: Path, address: str, **options) -> Path:
    """The store of a folder, made here and there, compared byte by byte: data, card, notes, what was skipped."""
    here = prepare(src, tmp_path / "here", **options)
    there = prepare(src, tmp_path / "there", ray=address, **options)
    assert there.hash == here.hash
    assert contents(there.path) == contents(here.path)
    assert not (tmp_path / "there.partial").exists()
    return there.path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": "folder", "clean": {"cutoff": 5}, "window": 0.5, "step": 0.25},
        {"layout": "kinect20", "unit": "cm", "up": "+y", "only": "3d"},
        {"labels": "S{subject}_{repetition}", "normalise": "none"},
    ],
    ids=["plain", "clean-window", "layout", "pattern"],
)
def test_the_same_bytes_as_here(machines, raw, tmp_path, options):
    store = same(raw, tmp_path, machines.address, **options)
    skipped = [json.loads(line)["file"] for line in (store / "skipped.jsonl").read_text().splitlines()]
    assert sorted(skipped) == ["empty.skeleton", "nowhere.bvh", "wave/bad.bvh"]


def test_relative_paths_a_plug_in_and_what_it_tells(machines, slow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls: list[tuple[int, int]] = []
    here = prepare("raw", "here")
    there = prepare(
        "raw", "there", ray=machines.address, progress=lambda done, total, note: calls.append((done, total))
    )
    assert contents(there.path) == contents(here.path)
    assert calls == sorted(calls)
    assert (calls[0], calls[-1]) == ((0, 36), (36, 36))


def test_a_machine_that_is_lost_changes_nothing(machines, slow, tmp_path):
    here = prepare(slow, tmp_path / "here")
    victims: list[int] = []

    def kill(done: int, total: int, note: str) -> None:
        if done and not victims:
            assert done < total
            victims.extend(machines.kill())

    there = prepare(slow, tmp_path / "there", ray=machines.address, progress=kill)
    assert victims, "nobody was at work there"
    assert contents(there.path) == contents(here.path)
    machines.again()


def test_a_worker_that_is_lost_changes_nothing(machines, slow, tmp_path):
    here = prepare(slow, tmp_path / "here")
    victims: list[int] = []

    def kill(done: int, total: int, note: str) -> None:
        if done and not victims and (found := machines.at_work()):
            victims.append(found[0])
            os.kill(found[0], signal.SIGKILL)

    there = prepare(slow, tmp_path / "there", ray=machines.address, progress=kill)
    assert victims, "nobody was at work there"
    assert contents(there.path) == contents(here.path)


def test_a_file_that_kills_every_worker_is_named(machines, slow, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_FILES", 1)
    for k in range(6, 36):
        (slow / f"clip{k:02d}.slow").unlink()
    (slow / "clip02.slow").write_text("deadly")
    with pytest.raises(InputError, match=r"clip02\.slow: 4 workers ended all of a sudden while they read"):
        prepare(slow, tmp_path / "s", ray=machines.address)
    (slow / "clip02.slow").write_text("1 2")
    assert prepare(slow, tmp_path / "s", ray=machines.address).hash == prepare(slow, tmp_path / "t").hash


def test_what_was_done_is_taken_up(machines, slow, tmp_path):
    """Stopped by the one who asked for it, here; taken up there, and the other way round."""

    def stop(done: int, total: int, note: str) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    whole = prepare(slow, tmp_path / "whole")
    for name, first, second in (("a", None, machines.address), ("b", machines.address, None)):
        with pytest.raises(KeyboardInterrupt):
            prepare(slow, tmp_path / name, ray=first, progress=stop)
        kept = list((tmp_path / f"{name}.partial").glob("shard-*/summary.json"))
        assert len(kept) >= 2
        for path in kept:  # told by a change that does no harm: work that is done again would not have it
            summary = json.loads(path.read_text())
            path.write_text(json.dumps({**summary, "mended": {"taken up": {"clip00.slow": 1}}}))
        again = prepare(slow, tmp_path / name, ray=second)
        assert again.hash == whole.hash
        assert any("taken up" in note for note in report(again).notes), report(again).notes


def test_several_kinds(machines, raw, tmp_path):
    arrays = raw / "flat.npy"
    np.save(arrays, np.random.default_rng(0).normal(size=(12, 17, 2)).astype(np.float32))
    with pytest.raises(InputError, match="clips of 2 kinds"):
        prepare(raw, tmp_path / "one", ray=machines.address)
    here = prepare_each(raw, tmp_path / "here")
    there = prepare_each(raw, tmp_path / "there", ray=machines.address)
    assert list(there) == list(here)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_the_command(machines, raw, tmp_path):
    kineme("prepare", raw, tmp_path / "here")
    done = kineme("prepare", raw, tmp_path / "there", "--ray", machines.address, "--jobs", 2, env={})
    assert "3 skipped" in done.stdout
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_the_folder_behind_the_option(raw, tmp_path):
    ended = kineme("prepare", "--ray", raw, tmp_path / "s", check=False)
    one_paragraph(ended, "Write --ray behind the files")


# ------------------------------------------------------------------- machines that do not see what this one sees


class _There:
    """A worker whose machine sees another disk: what it is given is changed on its way."""

    def __init__(self, change):
        self.change = change

    def each(self, make, items, address, most):
        do = make()
        for number, (paths, folder) in items.items():
            yield number, do([paths, str(self.change(Path(folder)))])


def test_a_machine_without_the_store(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "check", lambda address: None)
    there = _There(lambda folder: tmp_path / "disk" / folder.name)
    monkeypatch.setattr(ray_cluster, "each", there.each)
    with pytest.raises(InputError, match=r"disk: not to be seen on .*, a machine of the cluster"):
        prepare(raw, tmp_path / "s", ray="local")
    assert not (tmp_path / "disk").exists()


def test_a_machine_without_the_files(raw, tmp_path, monkeypatch):
    made = plan.make(raw, tmp_path / "s", *[None] * 5, False, *[None] * 4, "keep")
    made.partial.mkdir()
    (made.partial / "plan.json").write_text(made.key)
    shutil.copytree(raw / "walk", tmp_path / "part" / "walk")
    elsewhere = dataclasses.replace(made.options, root=tmp_path / "part")
    i = next(i for i, paths in enumerate(made.shards) if any(path.startswith("wave") for path in paths))
    said = workers._shard_there(elsewhere, made.key, (made.shards[i], str(made.folder(i))))
    host, lacking = json.loads(said)
    assert lacking == [path for path in made.shards[i] if not path.startswith("walk")]
    assert not made.folder(i).exists()
    monkeypatch.setattr(ray_cluster, "each", lambda *_: iter([(i, said)]))
    with pytest.raises(InputError, match=f"{lacking[0]}: not to be seen on {host}"):
        list(workers._on_cluster(made, [i], "local", 0))


def test_a_store_that_is_seen_late_or_never(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 0.3)
    with pytest.raises(InputError, match=r"written by far, and not to be seen here after 0\.3 s"):
        workers._await(tmp_path / "s.partial" / "shard-1", "far")
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            (tmp_path / "late").mkdir()
            (tmp_path / "late" / "summary.json").write_text("{}")

    monkeypatch.setattr(workers.time, "sleep", sleep)
    workers._await(tmp_path / "late", "far")
    assert len(looks) == 2
