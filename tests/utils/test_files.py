"""Files are written whole or not at all; arrays from outside are never unpickled."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from kineme.utils import files
from kineme.utils.errors import InputError

WORDS = ("somebody works here", "Wait")
WRITER = """
import sys
from kineme.utils.files import atomic
for number in range(10**6):
    with atomic(sys.argv[1]) as temporary:
        temporary.write_bytes(bytes([number % 256]) * 3_000_000)
    print(number, flush=True)
"""


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file_or_the_new(tmp_path):
    target, rng = tmp_path / "file", random.Random(0)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        content = target.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1


def test_an_exception_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(RuntimeError), files.atomic(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "part").write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755), (0o002, 0o664, 0o775)]
)
def test_the_user_s_umask_decides_who_may_read(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        files.write_json(tmp_path / "card.json", {})
        with files.atomic_folder(tmp_path / "store") as temporary:
            (temporary / "x").write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "card.json").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == folder
    assert stat.S_IMODE((tmp_path / "store" / "x").stat().st_mode) == file


def test_a_folder_is_kept_by_one_at_a_time_and_left_as_it_was(tmp_path):
    folder = tmp_path / "a" / "b"
    with files.locked(folder, "somebody works here", "Wait"):
        with pytest.raises(InputError, match=r"b: somebody works here\. Wait"), files.locked(folder, *WORDS):
            pass
        assert folder.is_dir()  # whoever was refused has removed nothing
        with pytest.raises(InputError), files.locked(folder, *WORDS):
            pass
    assert not (tmp_path / "a").exists()  # nothing was put into it
    with files.locked(folder, *WORDS):
        (folder / "result").write_text("")
    with files.locked(folder, *WORDS):
        pass
    assert [p.name for p in folder.iterdir()] == ["result"]
    with pytest.raises(RuntimeError), files.locked(tmp_path / "c", *WORDS):
        raise RuntimeError
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="a folder"), files.locked(folder / "result", *WORDS):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = "import sys, time; from kineme.utils.files import locked\n"
    code += "with locked(sys.argv[1], 'x'): print(flush=True); time.sleep(1000)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(InputError), files.locked(tmp_path, *WORDS):
        pass
    process.kill()
    process.communicate()
    assert (tmp_path / ".lock").exists()
    with files.locked(tmp_path, *WORDS):
        pass
    assert list(tmp_path.iterdir()) == []


def test_pickled_arrays_are_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "trap.npz", joints=np.array([Trap()], dtype=object))
    with pytest.raises(InputError, match=r"trap\.npz"):
        files.read_npz(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x00" * 100, b"\xff\xfe text"])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(InputError, match="bad"):
        files.read_npz(tmp_path / "bad")
    with pytest.raises(InputError, match="bad"):
        files.read_json(tmp_path / "bad")


def test_a_missing_array_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", joints=np.zeros(3))
    with pytest.raises(InputError, match="'labels' is missing"):
        files.read_npz(tmp_path / "a.npz", ("joints", "labels"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[" + "[]," * 400_000 + "[]]", "400002 lists and objects in 1200004 bytes, almost empty"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deep"),
        ('{"a": 1', "not readable as JSON"),
        ("7" * 5000, "not readable as JSON"),
    ],
)
def test_json_that_is_nothing_but_brackets(text, found, tmp_path):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(InputError, match=found) as caught:
        files.read_json(tmp_path / "bad.json")
    assert "bad.json" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text(json.dumps([[0.25, 0.5, 0.75]] * 60_000))
    np.savez_compressed(tmp_path / "a.npz", joints=np.zeros((1 << 20, 4), np.float32), labels=np.zeros(3))
    content, arrays = files.read_json(tmp_path / "a.json"), files.read_npz(tmp_path / "a.npz")
    assert (len(content), arrays["joints"].shape) == (60_000, (1 << 20, 4))
    monkeypatch.setattr(files, "free_memory", lambda: 24 << 20)
    for read, name in ((files.read_json, "a.json"), (files.read_npz, "a.npz")):
        with pytest.raises(InputError, match=rf"{name}: about 0\.0\d+ GB of memory.*a third of the free memory"):
            read(tmp_path / name)
    assert files.read_npz(tmp_path / "a.npz", ("labels",)).keys() == {"labels"}
