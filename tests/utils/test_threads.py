"""Threads: how they wait, how many cores may be used and are free; what users say holds."""

import os
import subprocess
import sys

import pytest
import torch
from helpers.training import kineme

from kineme.utils import threads


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}),
        ({"OMP_NUM_THREADS": "3"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {}),
        ({"GOMP_SPINCOUNT": "INFINITE"}, {}),
        ({"KMP_BLOCKTIME": "200"}, {}),
    ],
)
def test_users_words_hold(given, added):
    environ = dict(given)
    threads.wait_quietly(environ)
    assert environ == given | added


def test_openmp_reads_it_before_it_is_loaded():
    """What torch's OpenMP says of itself, in the command line and under another wish."""
    env = {"OMP_DISPLAY_ENV": "verbose"}
    said = kineme("doctor", env=env).stderr
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("this torch has another OpenMP")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
    assert "GOMP_SPINCOUNT = '1000'" in said
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in kineme("doctor", env=env | {"OMP_WAIT_POLICY": "ACTIVE"}).stderr


def test_importing_changes_nothing():
    code = (
        "import os, torch; before = dict(os.environ), torch.get_num_threads();"
        "import kineme, kineme.apps.cli, kineme.training.loop, kineme.evaluation.run;"
        "assert before == (dict(os.environ), torch.get_num_threads())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def machine(tmp_path, idle, files=None):
    """A root folder whose cores have been idle for so many ticks each."""
    lines = ["cpu  1 2 3 4 5", *(f"cpu{i} 9 9 9 {n - 7} 7 0 0 0 0 0" for i, n in enumerate(idle)), "intr 1 2"]
    for name, text in {"proc/stat": "\n".join(lines), **(files or {})}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


V1 = "sys/fs/cgroup/cpu/cpu.cfs_"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, 4),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 4),
        ({"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "900000 100000\n"}, 4),
        ({V1 + "quota_us": "-1\n", V1 + "period_us": "100000\n"}, 4),
        ({V1 + "quota_us": "300000\n", V1 + "period_us": "100000\n"}, 3),
        ({V1 + "quota_us": "nonsense", V1 + "period_us": "100000"}, 4),
    ],
)
def test_cores_that_may_be_used(tmp_path, monkeypatch, files, wanted):
    monkeypatch.setattr(threads, "_cores", lambda: {0, 1, 2, 3})
    assert threads.usable(machine(tmp_path, [7] * 4, files)) == wanted


@pytest.mark.parametrize(
    ("cores", "idle", "own", "wanted"),  # of two seconds
    [
        ({0, 1}, [0, 200], 2.0, 2),  # alone: this process has one, the other rests
        ({0, 1}, [0, 0], 2.0, 1),  # another process on the other core
        ({0, 1}, [0, 0], 1.0, 1),  # and on this one as well
        ({0, 1}, [0, 0], 0.2, 1),
        ({0, 1}, [0, 150], 2.0, 2),
        ({0, 1}, [0, 50], 2.0, 1),
        ({1}, [200, 0, 200], 2.0, 1),  # what others may use does not count
        ({0, 1, 2, 3}, [200, 0, 200, 0], 2.0, 3),
        ({0, 1}, [200, 200], 2.0, 2),
    ],
)
def test_cores_that_are_free(tmp_path, monkeypatch, cores, idle, own, wanted):
    now = {"clock": 5.0, "own": 1.0}
    monkeypatch.setattr(threads, "_cores", lambda: cores)
    monkeypatch.setattr(threads.time, "monotonic", lambda: now["clock"])
    monkeypatch.setattr(threads.time, "process_time", lambda: now["own"])
    monkeypatch.setattr(threads.os, "sysconf", lambda name: 100)
    load = threads.Load(machine(tmp_path, [1000] * 4))
    assert load.free() is None  # too soon to tell
    now.update(clock=7.0, own=1.0 + own)
    machine(tmp_path, [1000 + n for n in [*idle, 0, 0, 0][:4]])
    assert load.free() == wanted


def test_where_nobody_can_tell(tmp_path):
    assert threads.Load(tmp_path).free() is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu0 what\n")
    assert threads.Load(tmp_path).free() is None
    assert threads.usable(tmp_path) == len(threads._cores())


CHOOSE = """
import os, sys
from kineme.apps.cli import _shared
from kineme.utils import threads
threads.Load.free = lambda self: 3
_shared.choose_threads(*sys.argv[1:])
import torch
from threadpoolctl import threadpool_info
print(torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"))
print(*{pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
"""


def chosen(*words, **env):
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", CHOOSE, *words], env=clean | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers, _, blas = done.stdout.partition("\n")
    assert blas.split() in ([], numbers.split()[:1])  # one number for every library
    return numbers.split()


def test_the_number_is_that_of_free_cores_unless_said_or_recorded(tmp_path):
    assert chosen() == ["3", "3"]
    assert chosen(OMP_NUM_THREADS="2") == ["2", "2"]
    assert chosen(str(tmp_path)) == ["3", "3"]  # nothing to resume
    (tmp_path / "card.json").write_text('{"threads": 5}')
    assert chosen(str(tmp_path)) == ["5", "5"]
    assert chosen(str(tmp_path), OMP_NUM_THREADS="2") == ["2", "2"]


def test_where_torch_is_loaded_its_number_stays(monkeypatch):
    from kineme.apps.cli import _shared

    for name in threads.NUMBER:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    _shared.choose_threads()
    assert torch.get_num_threads() == before
