"""From raw files to a store: whatever the number of processes, killed and restarted, with bad files among them."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from kineme import io
from kineme.data import plan, store
from kineme.data import prepare as room
from kineme.data.prepare import prepare
from kineme.motion import layout
from kineme.motion.motion import UNSURE, Motion
from kineme.utils import registry
from kineme.utils.errors import InputError

BVH = """HIERARCHY
ROOT Hips
{
 OFFSET 0 0 0
 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
 JOINT Head
 {
  OFFSET 0 60 0
  CHANNELS 3 Zrotation Xrotation Yrotation
 }
 JOINT LeftHand
 {
  OFFSET 30 40 0
  CHANNELS 3 Zrotation Xrotation Yrotation
 }
 JOINT RightHand
 {
  OFFSET -30 40 0
  CHANNELS 3 Zrotation Xrotation Yrotation
 }
}
MOTION
Frames: 6
Frame Time: 0.05
"""


def ntu_file(path: Path, frames: int = 4, seed: int = 0, bodies: int = 1) -> Path:
    rng = np.random.default_rng(seed)
    lines = [str(frames)]
    for _ in range(frames):
        lines.append(str(bodies))
        for body in range(bodies):
            lines += [f"7205759403793110{body} 0 1 1 1 1 0 0.1 -0.2 2", "25"]
            lines += [
                " ".join(f"{x:.6f}" for x in joint) + " 1 2 3 4 0.1 0.2 0.3 0.4 2" for joint in rng.normal(size=(25, 3))
            ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def bvh_file(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BVH + "\n".join(" ".join(f"{x:.4f}" for x in rng.normal(size=15)) for _ in range(6)) + "\n")
    return path


def arrays_set(folder: Path, name: str, joints: list[np.ndarray], **about) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = len(joints)
    np.savez(
        folder / f"{name}.npz",
        joints=np.concatenate(joints).astype(np.float32),
        offsets=np.cumsum([0, *map(len, joints)]),
        labels=np.zeros(count, np.int16),
        subjects=np.ones(count, np.int16),
        views=np.ones(count, np.int16),
        reps=np.zeros(count, np.int16),
        names=np.array([f"{name}_{i}" for i in range(count)]),
    )
    names = [f"joint{i}" for i in range(joints[0].shape[-2])]
    about = {
        "name": name,
        "joint_names": names,
        "parents": [-1] + [0] * (len(names) - 1),
        "units": "m",
        "fps": 30,
        "class_names": ["a"],
        "splits": {},
        "up": "+y",
        "dims": ["x", "y", "z"],
    } | about
    (folder / f"{name}.json").write_text(json.dumps(about))


@pytest.fixture
def raw(tmp_path) -> Path:
    """Two dozen small recordings in two folders."""
    for i in range(24):
        ntu_file(tmp_path / "raw" / f"half{i // 12}" / f"walk{i:02d}.skeleton", 3 + i % 5, i, 1 + i % 2)
    return tmp_path / "raw"


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(plan, "SHARD_FILES", 3)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def skipped(opened: store.Store) -> dict[str, str]:
    return dict(room.report(opened).skipped)


# ------------------------------------------------------------------------------------------------------- real sets


def test_nw_ucla(data_dir, tmp_path):
    begin = time.process_time()
    opened = prepare(data_dir / "nw_ucla", tmp_path / "s", normalise="none")
    assert time.process_time() - begin < 8  # two seconds on an idle machine
    opened.verify()
    about = json.loads((data_dir / "nw_ucla" / "nw_ucla.json").read_bytes())
    assert opened.frames.shape == (about["n_frames_total"], 1, 20, 3)
    assert opened.frames.mean(axis=(0, 1, 2)) == pytest.approx(about["mean_xyz"], abs=2e-4)
    labels = opened.column("label").tolist()
    assert {name: labels.count(name) for name in set(labels)} == about["sequences_per_class"]
    assert opened.layout == layout.layout("kinect20")
    assert len(set(opened.column("performance"))) == about["performances"]
    assert opened.card["normalise"]["how"] == "none"
    assert not (opened.path / "skipped.jsonl").exists()
    assert names(tmp_path) == ["s"]


def test_raw_pku_and_its_labels(data_dir, tmp_path):
    shutil.copytree(data_dir / "formats" / "pku_mmd", tmp_path / "pku")
    opened = prepare(tmp_path / "pku", tmp_path / "a")
    assert len(opened) == 16
    assert opened.persons == 2
    assert set(opened.column("source")) == {"0105-L.txt", "0105-M.txt"}
    (tmp_path / "pku" / "labels").rename(tmp_path / "elsewhere")
    whole = prepare(tmp_path / "pku", tmp_path / "b")
    assert whole.lengths.tolist() == [1266, 1254]
    again = prepare(tmp_path / "pku", tmp_path / "c", labels=tmp_path / "elsewhere")
    assert again.hash == opened.hash
    for name in ("0105-L.txt", "0105-M.txt"):  # labels of the same names, in a folder within
        (tmp_path / "pku" / "sub").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "elsewhere" / name, tmp_path / "pku" / "sub" / name)
    assert prepare(tmp_path / "pku", tmp_path / "d", labels=tmp_path / "pku" / "sub").hash == opened.hash
    with pytest.raises(InputError):  # nothing but the recordings themselves: they are no label files
        prepare(tmp_path / "pku", tmp_path / "e", labels=tmp_path / "pku")


def test_ntu_samples_with_missing_skeletons(data_dir, tmp_path):
    shutil.copytree(data_dir / "formats" / "ntu_skeleton", tmp_path / "ntu")
    ntu_file(tmp_path / "ntu" / "S001C002P005R002A008.skeleton")  # the first on the list
    opened = prepare(tmp_path / "ntu", tmp_path / "s")
    assert skipped(opened) == {"S001C002P005R002A008.skeleton": "listed in samples_with_missing_skeletons.txt"}
    assert opened.lengths.tolist() == [103, 70, 100]
    assert (opened.persons, opened.card["normalise"]["how"], opened.card["up"]) == (2, "general", "+y")
    one = tmp_path / "ntu" / "S001C001P001R001A001.skeleton"
    assert prepare(one, tmp_path / "one").persons == 1
    faithful = prepare(one, tmp_path / "faithful", faithful=True)
    assert (faithful.persons, faithful.card["normalise"]["how"], faithful.card["up"]) == (2, "ntu", "+z")


# --------------------------------------------------------------------------------------- processes, kills, full disks


def test_the_number_of_processes_changes_nothing(raw, tmp_path, small_shards):
    calls = []
    one = prepare(raw, tmp_path / "one", progress=lambda *call: calls.append(call))
    two = prepare(raw, tmp_path / "two", jobs=2)
    assert contents(one.path) == contents(two.path)
    assert one.ids == [f"half{i // 12}/walk{i:02d}.skeleton" for i in range(24)]
    assert names(tmp_path) == ["one", "raw", "two"]
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    assert calls[0][:2] == (0, 24)
    assert calls[-1][:2] == (24, 24)


def test_the_size_of_shards_changes_nothing(raw, tmp_path, monkeypatch):
    whole = prepare(raw, tmp_path / "whole")
    monkeypatch.setattr(plan, "SHARD_BYTES", 30_000)
    assert contents(prepare(raw, tmp_path / "cut").path) == contents(whole.path)


KILL = """
import os, random, signal, sys, time
import pyarrow.parquet, pyarrow.compute
from kineme.data import plan, prepare
from kineme.data import store
from kineme import io as readers
raw, dest, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
readers.readers()
plan.SHARD_FILES = 3
chance = random.Random(0)

def done():
    work = os.listdir(dest + ".partial") if os.path.exists(dest + ".partial") else []
    return len([name for name in work if name.startswith("shard-")])

for k in range(12):
    before, child = done(), os.fork()
    if child == 0:
        prepare.prepare(raw, dest)
        os._exit(0)
    # whatever the speed of the machine: once something was done, and then at a random moment
    until = time.monotonic() + 60
    while done() == before and not os.path.exists(dest) and time.monotonic() < until:
        time.sleep(seconds / 1000)
    time.sleep(chance.uniform(0, seconds / 10))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(done(), flush=True)
    if os.path.exists(dest):
        store.open(dest).verify()
        break
"""


def test_killed_at_random_moments_and_restarted(raw, tmp_path, small_shards):
    """What was done is taken up, and the end is the same, bit for bit."""
    prepare(raw, tmp_path / "warm")
    begin = time.perf_counter()
    whole = prepare(raw, tmp_path / "whole")
    seconds = time.perf_counter() - begin
    ended = subprocess.run(
        [sys.executable, "-c", KILL, raw, tmp_path / "killed", str(seconds)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    shards = list(map(int, ended.stdout.split()))
    assert max(shards) >= 3, "no kill came in the middle"
    assert shards[:-1] == sorted(shards[:-1]), "a restart has thrown work away"
    calls: list[tuple] = []
    again = prepare(raw, tmp_path / "killed", progress=lambda *call: calls.append(call))
    assert contents(again.path) == contents(whole.path)
    assert names(tmp_path) == ["killed", "raw", "warm", "whole"]


JOBS = """
import sys
from kineme.data import plan, prepare
plan.SHARD_FILES = 1
if __name__ == "__main__":
    prepare.prepare(sys.argv[1], sys.argv[2], jobs=2, progress=lambda done, total, note: print(done, flush=True))
"""


def test_killed_with_its_processes_and_restarted(raw, tmp_path, small_shards):
    (tmp_path / "script.py").write_text(JOBS)
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py", raw, tmp_path / "killed"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.readline()
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(process.pid, signal.SIGKILL)
    assert len(workers) >= 2
    assert not (tmp_path / "killed").exists()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "workers outlive their parent"
    done = len([name for name in names(tmp_path / "killed.partial") if name.startswith("shard-")])
    assert done > 0
    whole = prepare(raw, tmp_path / "whole")
    assert prepare(raw, tmp_path / "killed").hash == whole.hash
    assert names(tmp_path) == ["killed", "raw", "script.py", "whole"]


def test_a_worker_that_dies_is_reported(raw, tmp_path, small_shards):
    def murder(done, total, note):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(InputError, match=r"--jobs: a working process ended"):
        prepare(raw, tmp_path / "s", jobs=2, progress=murder)
    assert prepare(raw, tmp_path / "s").hash == prepare(raw, tmp_path / "t").hash


FULL = """
import os, resource, sys
import pyarrow.parquet, pyarrow.compute
from kineme.data import plan, prepare
from kineme import io as readers
from kineme.utils.errors import InputError
readers.readers()
plan.SHARD_FILES = 3
for limit in (10, 3000, 60_000):
    if not os.fork():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            prepare.prepare(sys.argv[1], f"{sys.argv[2]}{limit}")
        except InputError as error:
            print(error, flush=True)
            os._exit(2)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_a_full_disk(raw, tmp_path, small_shards):
    """Files may not grow beyond a limit: at once, in a shard, or (with all shards done) in the store itself."""
    old = prepare(raw / "half0", tmp_path / "old")
    before = contents(old.path)
    command = [sys.executable, "-c", FULL, raw, tmp_path / "s"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert not ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[1::2] == ["2", "2", "2"]
    assert all("cannot be written (File too large)" in line for line in lines[::2])
    assert contents(old.path) == before
    assert names(tmp_path) == ["old", "raw", "s10.partial", "s3000.partial", "s60000.partial"]
    assert len([name for name in names(tmp_path / "s60000.partial") if name.startswith("shard-")]) == 8
    whole = prepare(raw, tmp_path / "whole")
    for limit in (10, 3000, 60_000):  # room again
        assert prepare(raw, tmp_path / f"s{limit}").hash == whole.hash
    assert names(tmp_path) == ["old", "raw", "s10", "s3000", "s60000", "whole"]


def test_the_public_word_and_no_torch(raw, tmp_path):
    code = (
        "import sys, kineme; store = kineme.prepare(sys.argv[1], sys.argv[2]);"
        "assert kineme.prepare(sys.argv[1], sys.argv[2]).hash == kineme.open(sys.argv[2]).hash;"
        "assert not {'torch', 'sklearn', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, raw, tmp_path / "s"], check=True)


def test_reading_files_does_not_gather_them(raw, tmp_path):
    """Files are counted, not held: open files stay few while there are many shards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        plan.SHARD_FILES, before = 1, plan.SHARD_FILES
        assert len(prepare(raw, tmp_path / "s")) == 24
    finally:
        plan.SHARD_FILES = before
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --------------------------------------------------------------------------------------------------------- DEST


def test_a_finished_store_is_opened_as_it_is(raw, tmp_path):
    first = prepare(raw, tmp_path / "s")
    stamp = (first.path / "card.json").stat().st_mtime_ns
    calls: list[tuple] = []
    assert prepare(raw, tmp_path / "s", jobs=7, progress=lambda *call: calls.append(call)).hash == first.hash
    assert (first.path / "card.json").stat().st_mtime_ns == stamp
    assert calls == [(24, 24, "prepared already")]
    with pytest.raises(InputError, match="other files or options"):
        prepare(raw, tmp_path / "s", normalise="none")
    ntu_file(raw / "half1" / "walk99.skeleton")
    with pytest.raises(InputError, match="other files or options"):
        prepare(raw, tmp_path / "s")
    first.verify()


def test_nothing_is_overwritten(raw, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "card.json").write_text('["run"]')
    for dest in ("file", "folder", "run"):
        with pytest.raises(InputError, match="exists already"):
            prepare(raw, tmp_path / dest)
    (tmp_path / "s.partial").mkdir()
    (tmp_path / "s.partial" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="does not come from"):
        prepare(raw, tmp_path / "s")
    assert (tmp_path / "s.partial" / "thesis.tex").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert len(prepare(raw, tmp_path / "empty")) == 24


def test_work_for_other_options_is_not_taken_up(raw, tmp_path, small_shards):
    class Stop(Exception):
        pass

    def stop(done, total, note):
        if done > 20:
            raise Stop

    with pytest.raises(Stop):
        prepare(raw, tmp_path / "s", normalise="none", progress=stop)
    assert len([name for name in names(tmp_path / "s.partial") if name.startswith("shard-")]) == 7
    whole = prepare(raw, tmp_path / "whole")
    assert contents(prepare(raw, tmp_path / "s").path) == contents(whole.path)


def test_a_damaged_shard_is_made_again(raw, tmp_path, small_shards):
    def stop(done, total, note):
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "s", progress=stop)
    shards = sorted((tmp_path / "s.partial").glob("shard-*"))
    frames = shards[1] / "store-0" / "frames.npy"
    frames.write_bytes(frames.read_bytes()[:-8])
    (shards[2] / "summary.json").write_text("{")
    assert prepare(raw, tmp_path / "s").hash == prepare(raw, tmp_path / "whole").hash


def test_one_call_at_a_time(raw, tmp_path):
    refused = []

    def inside(done, total, note):
        with pytest.raises(InputError, match="another process") as error:
            prepare(raw, tmp_path / "s")
        refused.append(error)

    assert len(prepare(raw, tmp_path / "s", progress=inside)) == 24
    assert refused


def test_dest_within_src(raw, tmp_path):
    first = prepare(raw, raw / "store")
    assert len(first) == 24
    assert first.hash == prepare(raw / "half0" / "..", raw / "store").hash
    shutil.copytree(raw, tmp_path / "copy", ignore=lambda *_: ["store"])
    assert first.hash == prepare(tmp_path / "copy", tmp_path / "s").hash


# ---------------------------------------------------------------------------------------------------- bad input


def test_bad_files_are_skipped(raw, tmp_path):
    good = prepare(raw, tmp_path / "good")
    whole = (raw / "half0" / "walk03.skeleton").read_text()
    bad = {
        "a/empty.skeleton": "",
        "a/cut.skeleton": whole[: len(whole) // 2],
        "half0/nul.skeleton": "\0" * 999,
        "a/huge.skeleton": "1000000000\n1\n",
        "half1/notes.txt": "walked twice",
        "photo.jpg": "\x89PNG\r\n",
        "half0/infinite.skeleton": whole.replace(" 1 2 3 4", "e99 1 2 3 4", 9),
    }
    for name, text in bad.items():
        (raw / name).parent.mkdir(exist_ok=True)
        (raw / name).write_text(text)
    (raw / ".hidden.skeleton").write_text("x")
    (raw / ".git").mkdir()
    (raw / ".git" / "x.skeleton").write_text("x")
    opened = prepare(raw, tmp_path / "s")
    assert opened.hash == good.hash
    found = skipped(opened)
    assert found.keys() == bad.keys()
    assert opened.card["skipped"] == len(bad)
    assert not any(str(tmp_path) in reason or not reason for reason in found.values())
    assert "empty" in found["a/empty.skeleton"]
    assert f"{len(bad)} skipped" in str(room.report(opened))
    assert "a/empty.skeleton (" in str(room.report(opened))


def test_what_was_mended_is_counted_once_for_each_file(raw, tmp_path, small_shards, monkeypatch):
    ntu = io.readers()["ntu"]

    def read(path, options, plain=ntu.read):
        number = int(path.stem[-2:])
        for motion in plain(path, options):
            yield motion.with_(notes={"joints mended": 2, "frames mended": int(number == 7)})
        if number == 5:
            raise InputError(path, "torn")  # what was read before counts

    monkeypatch.setattr(ntu, "read", read)
    table = tmp_path / "labels.csv"
    table.write_text("file,label,start,end\n" + "".join(f"walk03.skeleton,{k},{k},{k + 1}\n" for k in range(3)))
    notes = room.report(prepare(raw, tmp_path / "s", labels=table)).notes
    assert "joints mended: 48 (24 files, the first is half0/walk00.skeleton)" in notes  # though one became three clips
    assert "frames mended: 1 (in half0/walk07.skeleton)" in notes


def test_a_clip_at_fault_costs_only_itself(tmp_path):
    """Cases 10 and 13 in a labelled set: NaN is a gap; what is infinite or shows nobody is skipped and named."""
    clips = [np.random.default_rng(k).normal(size=(5, 17, 3)) for k in range(5)]
    clips[0][3, 7] = clips[0][4, 2, 1] = np.nan
    clips[2][1, 4, 0] = np.inf
    clips[3][:] = 0
    arrays_set(tmp_path / "raw", "set", clips, joint_names=list(layout.layout("coco17").joints))
    opened = prepare(tmp_path / "raw", tmp_path / "s", normalise="none")
    assert opened.clips["id"].to_pylist() == ["set_0", "set_1", "set_4"]
    found = skipped(opened)
    assert found.keys() == {"set_2", "set_3"}
    assert "frame 1, person 0, joint right_ear" in found["set_2"]
    assert found["set_3"].startswith("nobody is seen in any of 5 frames")
    assert "joints that are no number (NaN), taken as missing: 2 (in set.npz)" in room.report(opened).notes
    assert np.argwhere(np.asarray(opened.confidence[:, 0]) == 0).tolist() == [[3, 7], [4, 2]]
    table = tmp_path / "labels.csv"  # which cuts out frames in which nobody is
    clips[1][:2] = 0
    arrays_set(tmp_path / "more", "set", clips[:2], joint_names=list(layout.layout("coco17").joints))
    table.write_text("source,label,start,end\nset_0,a,0,5\nset_1,b,0,2\nset_1,c,1,3\n")
    opened = prepare(tmp_path / "more", tmp_path / "t", labels=table)
    assert opened.clips["label"].to_pylist() == ["a", "c"]
    assert [reason for reason in skipped(opened).values() if "nobody is seen in any of 2 frames" in reason]


def test_rows_in_another_number_than_announced(tmp_path):
    """Case 22: read, and told once for many files, with the numbers of the first."""
    for k, announced in enumerate((6, 5, 4, 9)):
        path = bvh_file(tmp_path / "raw" / f"{k}.bvh", k)
        path.write_text(path.read_text().replace("Frames: 6", f"Frames: {announced}"))
    opened = prepare(tmp_path / "raw", tmp_path / "s")
    assert opened.lengths.tolist() == [6] * 4
    assert "announces 5 frames, has 6: 3 (3 files, the first is 1.bvh)" in room.report(opened).notes


def test_what_the_sensor_infers_is_kept_or_dropped(tmp_path):
    """Both facts are in the store; what was done is said, and goes with the normalisation to whatever embeds later."""
    path = ntu_file(tmp_path / "raw" / "a.skeleton")
    lines = path.read_text().split("\n")
    for k in (4, 5, 40):
        lines[k] = lines[k][:-1] + "1"
    path.write_text("\n".join(lines))
    stores = {how: prepare(tmp_path / "raw", tmp_path / how, normalise="none", unsure=how) for how in ("keep", "drop")}
    seen = {how: np.asarray(opened.confidence) for how, opened in stores.items()}
    assert (seen["keep"] == UNSURE).sum() == 3
    np.testing.assert_array_equal(seen["drop"], np.where(seen["keep"] == UNSURE, 0, seen["keep"]))
    assert "3 joints (3.0%) have a place but no confidence: kept" in str(room.report(stores["keep"]))
    assert "3 joints (3.0%) have a place but no confidence: left out" in str(room.report(stores["drop"]))
    assert [opened.card["normalise"].get("unsure") for opened in stores.values()] == [None, "drop"]
    faithful = prepare(tmp_path / "raw", tmp_path / "f", normalise="none", faithful=True)
    assert (np.asarray(faithful.confidence)[:, 0] == 1).all()
    with pytest.raises(InputError, match="unsure: 'perhaps'"):
        prepare(tmp_path / "raw", tmp_path / "p", unsure="perhaps")


def test_bodies_that_differ_in_the_actors_name_are_one(tmp_path):
    """Case 23."""
    for k, name in enumerate(("Robot_", "Bob_", "mixamorig:", "")):
        path = bvh_file(tmp_path / "raw" / f"{k}.bvh", k)
        text = path.read_text().replace("ROOT ", f"ROOT {name}").replace("JOINT ", f"JOINT {name}")
        path.write_text(text)
    opened = prepare(tmp_path / "raw", tmp_path / "s")
    assert len(opened) == 4
    assert opened.layout.joints == ("Hips", "Head", "LeftHand", "RightHand")
    assert opened.layout.canonical_names[0] == "pelvis"


def test_nothing_readable(tmp_path):
    (tmp_path / "raw" / "sub").mkdir(parents=True)
    with pytest.raises(InputError, match="no file in it"):
        prepare(tmp_path / "raw", tmp_path / "s")
    (tmp_path / "raw" / "sub" / "x.skeleton").write_text("nonsense")
    (tmp_path / "raw" / "y.doc").write_text("nonsense")
    with pytest.raises(InputError, match=r"none of 2 files could be read; the first is sub/x.skeleton: "):
        prepare(tmp_path / "raw", tmp_path / "s")
    with pytest.raises(InputError, match="no such file"):
        prepare(tmp_path / "absent", tmp_path / "s")
    assert names(tmp_path) == ["raw"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"format": "nut"}, "Did you mean 'ntu'"),
        ({"layout": "ntu52"}, "Did you mean 'ntu25'"),
        ({"normalise": "nine"}, "Did you mean 'none'"),
        ({"labels": "absent.csv"}, "absent.csv"),
        ({"table": {"hip": "x"}}, "--layout"),
        ({"layout": "coco17", "normalise": "ntu"}, "ntu"),
    ],
)
def test_wrong_arguments(raw, tmp_path, options, hint):
    with pytest.raises(InputError, match=hint):
        prepare(raw, tmp_path / "s", **options)
    assert names(tmp_path) == ["raw"]


def test_layouts_do_not_mix(raw, tmp_path):
    bvh_file(raw / "half1" / "dance.bvh")
    with pytest.raises(InputError) as error:
        prepare(raw, tmp_path / "s")
    for word in ("ntu25 of 25 joints", "24 clips", "free of 4 joints", "half1/dance.bvh", "--layout"):
        assert word in str(error.value)
    assert names(tmp_path) == ["raw"]
    opened = prepare(raw, tmp_path / "s", layout="kinect20")
    assert opened.layout == layout.layout("kinect20")
    assert len(opened) == 25
    maps = {made["source"]: made for made in room.report(opened).maps}
    assert maps.keys() == {"ntu25", "free (4 joints)"}
    assert "left_knee" in maps["free (4 joints)"]["missing"]
    dance = opened.motion(opened.ids.index("half1/dance.bvh"))
    knee, head = layout.layout("kinect20").find("left_knee"), layout.layout("kinect20").find("head")
    assert not dance.confidence[:, :, knee].any()
    assert dance.confidence[:, 0, head].all()
    assert "left_knee" in room.report(opened).joints()


def test_a_map_names_joints(tmp_path):
    bvh_file(tmp_path / "raw" / "dance.bvh")
    (tmp_path / "map.json").write_text(json.dumps({"nose": "Head", "left_ear": ["Head", "LeftHand"]}))
    opened = prepare(tmp_path / "raw", tmp_path / "s", layout="coco17", table=tmp_path / "map.json", normalise="none")
    missing = room.report(opened).maps[0]["missing"]
    assert {"nose", "left_ear"}.isdisjoint(missing)
    assert "left_knee" in missing
    assert (
        opened.hash
        == prepare(
            tmp_path / "raw",
            tmp_path / "t",
            layout="coco17",
            normalise="none",
            table={"nose": "Head", "left_ear": ["Head", "LeftHand"]},
        ).hash
    )


def test_clips_without_any_joint_of_the_layout(tmp_path):
    arrays_set(tmp_path / "raw", "odd", [np.ones((3, 4, 3))])
    bvh_file(tmp_path / "raw" / "dance.bvh")
    opened = prepare(tmp_path / "raw", tmp_path / "s", layout="kinect20")
    assert len(opened) == 1
    assert "none of its joints" in skipped(opened)["odd_0"]


def test_two_and_three_dimensions_do_not_mix(tmp_path):
    flat = {"dims": ["x", "y"], "units": "px"}
    arrays_set(tmp_path / "raw", "flat", [np.ones((3, 4, 2))], **flat)
    arrays_set(tmp_path / "raw", "deep", [np.ones((3, 4, 3))])
    with pytest.raises(InputError, match="Choose with only="):
        prepare(tmp_path / "raw", tmp_path / "s")


def test_lengths_in_metres(tmp_path):
    joints = np.random.default_rng(0).normal(size=(3, 4, 3)) * 1000
    arrays_set(tmp_path / "mm", "x", [joints], units="mm")
    opened = prepare(tmp_path / "mm", tmp_path / "s", normalise="none")
    assert opened.card["unit"] == "m"
    assert opened.frames[:, 0] == pytest.approx(joints / 1000, abs=1e-4)


def test_one_file(raw, tmp_path):
    opened = prepare(raw / "half0" / "walk07.skeleton", tmp_path / "s")
    assert opened.ids == ["walk07.skeleton"]
    assert opened.motion(0).extra == {"followed": "id"}
    arrays_set(tmp_path / "one", "x", [np.random.default_rng(0).normal(size=(3, 4, 3))])
    assert prepare(tmp_path / "one" / "x.npz", tmp_path / "t").ids == ["x_0"]


def test_splits_of_several_sets(tmp_path):
    rng = np.random.default_rng(0)
    rule = {"half": {"train": {"column": "subject", "in": [1]}, "test": {"column": "subject", "in": [2]}}}
    arrays_set(tmp_path / "raw", "one", [rng.normal(size=(3, 4, 3))], splits=rule)
    assert prepare(tmp_path / "raw", tmp_path / "s").card["splits"] == rule
    arrays_set(tmp_path / "raw", "two", [rng.normal(size=(3, 4, 3))])
    train = prepare(tmp_path / "raw", tmp_path / "t").card["splits"]["half"]["train"]
    assert train == {"any": [{"all": [{"column": "dataset", "in": ["one"]}, rule["half"]["train"]]}]}


# -------------------------------------------------------------------------------------------------------- labels


def test_folder_names_as_labels(raw, tmp_path):
    ntu_file(raw / "loose.skeleton")
    opened = prepare(raw, tmp_path / "s", labels="folder")
    assert opened.column("label").tolist() == ["half0"] * 12 + ["half1"] * 12 + [None]
    assert "1 clip in no folder below raw, the first is loose.skeleton" in room.report(opened).notes


def test_a_table_of_labels(raw, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(
        "\ufeffFile;Label;subject;weight;note;start;end\r\n"
        "half0/walk00.skeleton;007;anna;61.5;ruhig, schön;;\r\n"
        "walk01;run;;70;;;\r\n"
        "walk02.skeleton;sit;bob;;;0;2\r\n"
        "walk02.skeleton;stand;bob;;;2;\r\n"
        "\r\n"
        "half1\\walk20.skeleton;jump;;;;;1\r\n"
        "walk21;a;;;;2;99\r\nwalk21;b;;;;3;3\r\n"
        "walk22;a;;;;;\r\nwalk22;b;;;;;\r\n"
        "absent;a;;;;;\r\n",
        encoding="utf-8",
    )
    opened = prepare(raw, tmp_path / "s", labels=table, normalise="none")
    plain = prepare(raw, tmp_path / "plain", normalise="none")
    rows = {row["id"]: row for row in opened.clips.to_pylist()}
    assert rows["half0/walk00.skeleton"]["label"] == "007"
    assert rows["half0/walk00.skeleton"]["subject"] == "anna"
    assert rows["half0/walk00.skeleton"]["weight"] == 61.5
    assert rows["half0/walk00.skeleton"]["note"] == "ruhig, schön"
    assert rows["half0/walk01.skeleton"]["label"] == "run"
    assert rows["half0/walk01.skeleton"]["weight"] == 70
    sit, stand = rows["half0/walk02.skeleton:0-2"], rows["half0/walk02.skeleton:2-5"]
    assert (sit["label"], sit["start"], sit["end"], sit["length"]) == ("sit", 0, 2, 2)
    assert (stand["label"], stand["start"], stand["end"], stand["length"]) == ("stand", 2, 5, 3)
    assert sit["source"] == stand["source"] == "half0/walk02.skeleton"
    assert rows["half1/walk20.skeleton:0-1"]["label"] == "jump"
    whole = plain.motion(plain.ids.index("half0/walk02.skeleton"))
    part = opened.motion(opened.ids.index("half0/walk02.skeleton:2-5"))
    assert np.array_equal(part.joints, whole.joints[2:5])
    assert len(opened) == 24 + 1 - 1  # one recording cut in two, one whose rows are both wrong
    found = skipped(opened)
    assert found.keys() == {f"labels.csv, line {line}" for line in (8, 9, 11, 12)}
    assert "frames 2 to 99" in found["labels.csv, line 8"]
    assert "line 10 describes the whole" in found["labels.csv, line 11"]
    assert found["labels.csv, line 12"] == "no recording is called absent"
    assert any(note.startswith("18 clips without a row in labels.csv") for note in room.report(opened).notes)


def test_labels_by_id_and_rows_that_fit_several_recordings(data_dir, tmp_path):
    shutil.copytree(data_dir / "formats" / "pku_mmd", tmp_path / "pku")
    for folder in ("x", "y"):
        ntu_file(tmp_path / "pku" / folder / "same.skeleton")
    table = tmp_path / "labels.tsv"
    table.write_text(
        "id\tlabel\tstart\tend\n0105-L.txt#1\tbow\t\t\n0105-M\tall\t\t\n0105-L#2\tpart\t5\t9\nx/same\tone\t\t\n"
    )
    opened = prepare(tmp_path / "pku", tmp_path / "s", labels=table)
    labels = dict(zip(opened.ids, opened.column("label")))
    assert labels["0105-L.txt#1"] == "bow"
    assert labels["0105-L.txt#0"] == "A026"  # the reader's own, where the table is silent
    assert {labels[f"0105-M.txt#{k}"] for k in range(8)} == {"all"}
    cut = opened.motion(opened.ids.index("0105-L.txt#2:5-9"))
    before = 395  # the third label line of 0105-L begins in frame 396, counted from 1
    assert (cut.extra["start"], cut.extra["end"], len(cut)) == (before + 5, before + 9, 4)
    assert (labels["x/same.skeleton"], labels["y/same.skeleton"]) == ("one", None)
    table.write_text("id\tlabel\nx/same\tone\nsame\ttwice\n")
    with pytest.raises(InputError, match=r"labels.tsv, line 3: 'same': it fits 2 recordings: x/same.skeleton, y/same"):
        prepare(tmp_path / "pku", tmp_path / "t", labels=table)


NAMES = ("squat_0", "squat_1", "wave_0", "wave_1")


@pytest.mark.parametrize(
    ("cells", "stored"),
    [
        (["007", "7", "010", "10"], ["007", "7", "010", "10"]),
        (["1_1", "11", "1_2", "12"], ["1_1", "11", "1_2", "12"]),
        (["1e1", "10", "nan", "inf"], ["1e1", "10", "nan", "inf"]),
        (["+1", "1", "2", "3"], ["+1", "1", "2", "3"]),
        (["\uff17", "7", "8", "9"], ["\uff17", "7", "8", "9"]),  # a wide 7, of another alphabet
        (["1.1", "1.10", "2", "3"], ["1.1", "1.10", "2", "3"]),  # as numbers two of them would be one
        (["12345678901234567890", "1", "2", "3"], ["12345678901234567890", "1", "2", "3"]),
        (["-3", "0", "12", ""], [-3, 0, 12, None]),
    ],
)
@pytest.mark.parametrize("column", ["subject", "camera", "take"])
def test_names_are_text_unless_they_plainly_are_numbers(tmp_path, column, cells, stored):
    """No table makes two people one, or a recording refuse its subject."""
    for name in NAMES:
        ntu_file(tmp_path / "motion" / f"{name}.skeleton")
    lines = [f"file,label,{column}", *(f"{name}.skeleton,{name[:-2]},{cell}" for name, cell in zip(NAMES, cells))]
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    opened = prepare(tmp_path / "motion", tmp_path / "s", labels=tmp_path / "labels.csv")
    assert not skipped(opened)
    assert opened.column(column).tolist() == stored
    assert opened.column("label").tolist() == ["squat", "squat", "wave", "wave"]


@pytest.mark.parametrize(
    ("column", "cells", "stored"),
    [
        ("weight", ["61.5", "70", "-.5", ""], [61.5, 70.0, -0.5, None]),
        ("weight", ["61.5", "70", "1e1", "3"], ["61.5", "70", "1e1", "3"]),
        ("subject", ["1.5", "2.5", "1", "2"], ["1.5", "2.5", "1", "2"]),
        ("label", ["1", "2", "01", "3"], ["1", "2", "01", "3"]),
    ],
)
def test_decimal_numbers_in_a_table(tmp_path, column, cells, stored):
    for name in NAMES:
        ntu_file(tmp_path / "motion" / f"{name}.skeleton")
    lines = [f"file,{column}", *(f"{name},{cell}" for name, cell in zip(NAMES, cells))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    opened = prepare(tmp_path / "motion", tmp_path / "s", labels=tmp_path / "labels.csv")
    found = [None if value != value else value for value in opened.column(column).tolist()]
    assert found == stored


def test_rows_are_never_given_to_another_recording(tmp_path):
    for name in ("take#0", "take#1", "v.1", "v.2"):
        ntu_file(tmp_path / "motion" / f"{name}.skeleton")
    lines = ["file,label", "take,a", "v,b", "./take#1.skeleton,c", "v.2,d", "takes 0,e", ",f"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    opened = prepare(tmp_path / "motion", tmp_path / "s", labels=tmp_path / "labels.csv")
    labels = dict(zip(opened.ids, opened.column("label")))
    assert [labels[f"{name}.skeleton"] for name in ("take#0", "take#1", "v.1", "v.2")] == [None, "c", None, "d"]
    assert skipped(opened) == {
        "labels.csv, line 2": "no recording is called take",
        "labels.csv, line 3": "no recording is called v",
        "labels.csv, line 6": "no recording is called takes 0; did you mean take#0.skeleton?",
        "labels.csv, line 7": "it names no recording",
    }


def test_a_bad_row_costs_itself(raw, tmp_path):
    (tmp_path / "labels.csv").write_text("file,label,start\nwalk00,a\nwalk01,b,1.5\nwalk02,c,\nno,d,x\n")
    opened = prepare(raw, tmp_path / "s", labels=tmp_path / "labels.csv")
    assert opened.column("label")[:3].tolist().count("c") == 1
    assert skipped(opened) == {
        "labels.csv, line 2": "2 fields, where the header has 3",
        "labels.csv, line 3": "start '1.5', where whole numbers of frames are expected, counted from 0",
        "labels.csv, line 5": "start 'x', where whole numbers of frames are expected, counted from 0",
    }


def test_a_row_for_a_bad_file_is_not_called_unknown(raw, tmp_path):
    (raw / "bad.skeleton").write_text("x")
    (tmp_path / "labels.csv").write_text("file,label\nbad.skeleton,a\nwalk00,b\n")
    assert skipped(prepare(raw, tmp_path / "s", labels=tmp_path / "labels.csv")).keys() == {"bad.skeleton"}


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("", "empty"),
        ("label,subject\nwalk,1\n", "columns label, subject"),
        ("file,label\na\n", "line 2: 1 fields"),
        ("file,label,label\n", "name of its own"),
        ("file,,x\n", "name of its own"),
        ("file,start\na,1.5\n", "whole numbers"),
        ('file,label\n"a,b\n', "not readable as CSV"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_tables_that_are_none(raw, tmp_path, content, hint):
    (tmp_path / "labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=hint):
        prepare(raw, tmp_path / "s", labels=tmp_path / "labels.csv")


def test_changed_labels_are_other_work(raw, tmp_path):
    (raw / "labels.csv").write_text("file,label\nwalk00,b\n")
    first = prepare(raw, tmp_path / "s", labels=raw / "labels.csv")
    assert not skipped(first)  # among the recordings, but known for what it is
    (raw / "labels.csv").write_text("file,label\nwalk00,a\n")
    os.utime(raw / "labels.csv", ns=(1, 1))
    with pytest.raises(InputError, match="other files or options"):
        prepare(raw, tmp_path / "s", labels=raw / "labels.csv")
    assert prepare(raw, tmp_path / "t", labels=raw / "labels.csv").column("label")[0] == "a"


def test_quoted_cells(raw, tmp_path):
    (tmp_path / "labels.csv").write_text('file,label,note\n"walk00","a, b","two\nlines"\nwalk01,"say ""hi""",\nx,,\n')
    opened = prepare(raw, tmp_path / "s", labels=tmp_path / "labels.csv")
    assert opened.column("label")[:2].tolist() == ["a, b", 'say "hi"']
    assert opened.column("note")[:2].tolist() == ["two\nlines", None]
    assert skipped(opened) == {"labels.csv, line 5": "no recording is called x"}


# ------------------------------------------------------------------------- what a format may say, and nobody else knows


@pytest.fixture
def toy(monkeypatch):
    """A format ``.toy``: a line of numbers x per frame of one joint; ``*.leave`` names recordings to leave out."""
    dot = layout.free(["hips"], [-1])

    def read(path, options):
        frames = np.array(path.read_text().split(), np.float32)
        yield Motion(np.repeat(frames[:, None, None, None], 2 if options.image else 3, -1), dot, source=path.name)

    module = types.ModuleType("toy", "Toy (.toy): numbers.")
    vars(module).update(
        __file__=__file__,
        suffixes=(".toy",),
        own=(".toy",),
        sniff=lambda path, head: path.suffix == ".toy",
        read=read,
        side=lambda path, head: path.suffix == ".leave",
        excluded=lambda path: set(path.read_text().split()),
    )
    monkeypatch.setitem(registry._plugins["io"], "toy", module)
    io._readers.cache_clear()
    yield module
    io._readers.cache_clear()


def toy_files(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for k, name in enumerate(names):
        (folder / f"{name}.toy").write_text(f"0 {k} 1")
    return folder


def test_every_format_is_told_that_coordinates_in_the_image_are_wanted(toy, tmp_path):
    folder = toy_files(tmp_path / "raw", "a")
    assert prepare(folder, tmp_path / "space", normalise="none").coords == 3
    assert prepare(folder, tmp_path / "image", normalise="image").coords == 2


def test_a_format_says_which_recordings_its_lists_exclude(toy, tmp_path):
    folder = toy_files(tmp_path / "raw", "a", "b", "c")
    (folder / "bad.leave").write_text("b z")
    opened = prepare(folder, tmp_path / "s", normalise="none")
    assert skipped(opened) == {"b.toy": "listed in bad.leave"}
    assert opened.column("source").tolist() == ["a.toy", "c.toy"]
    del toy.excluded
    assert len(prepare(folder, tmp_path / "all", normalise="none")) == 3
