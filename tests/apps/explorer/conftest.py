"""A small set of synthetic motion, indexed once, and the real command serving it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import browser as chromium

from kineme.data import prepare, synth
from kineme.inference import search

pytest.importorskip("fastapi", reason="the extra web is not installed")
ACTIONS = ["walk", "wave", "kick", "sit_down"]


def bomb(path: Path, member: str = "joints.npy", frames: int = 30_000_000) -> Path:
    """A small file that a reader knows, and that says it holds gigabytes."""
    zeros = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.float32))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(member, "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, {**zeros, "shape": (frames, 24, 3)})
            for _ in range(64):
                file.write(b"\0" * (1 << 20))
        for name in ("poses", "betas"):
            held = io.BytesIO()
            np.save(held, np.zeros(10, np.float32))
            archive.writestr(f"{name}.npy", held.getvalue())
    return path


def nested(path: Path, size: int = 60 << 20) -> Path:
    """Much JSON that a reader begins to take: of every byte dozens become objects."""
    piece = b"[[[[[[[[]]]]]]]],"
    path.write_bytes(b'[{"image_id": 1, "keypoints": [' + piece * (size // len(piece)) + b"0]}]")
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder of motion files, its store, and an index of it."""
    folder = tmp_path_factory.mktemp("explorer")
    motions = list(synth.generate(40, actions=ACTIONS, subjects=3, cameras=1))
    synth.write(folder / "motion", motions)
    store = prepare.prepare(folder / "motion", folder / "store", normalise="general")
    walk = next(motion for motion in motions if motion.label == "walk")
    bvh = next(Path(synth.write(folder / "bvh", [walk], format="bvh")).glob("*.bvh"))
    index = search.opened(store.path).index
    return SimpleNamespace(folder=folder, motions=motions, store=store, index=index, bvh=bvh, cache=index.path.parent)


class Served:
    """The command line in a process of its own, serving what it is given."""

    def __init__(self, *words: object, command: str = "explore"):
        number, self.said = tempfile.mkstemp(suffix=".log")
        more = ["--no-browser", "--port", "0"] if command == "explore" else []
        words = [sys.executable, "-m", "kineme", command, *map(str, words), *more]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(words, stdout=number, stderr=subprocess.STDOUT, env=env)
        os.close(number)
        chromium.waited(lambda: "Ctrl-C" in self.text or self.process.poll() is not None, 240)
        found = re.search(r"http://([\w.:]+)/(?:#token=(\w+))?", self.text)
        assert found, self.text
        self.address, self.host, self.token = found[0], found[1], found[2]
        self.port = int(self.host.rpartition(":")[2])

    @property
    def text(self) -> str:
        return Path(self.said).read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.unlink(self.said)


@pytest.fixture(scope="session")
def served(made):
    ids, labels = made.store.ids, made.store.column("label").tolist()
    lines = ["clip,true,predicted,score,protocol,metric,features,run,seed"]
    lines += [
        f"{id},{label},{'walk' if i % 7 == 0 else label},0.5,knn,1-NN,trained,r,0"
        for i, (id, label) in enumerate(zip(ids, labels))
    ]
    said = made.folder / "predictions.csv"
    said.write_text("\n".join(lines))
    words = ["--against", "untrained", "--predictions", said, "--labels", made.folder / "labels"]
    server = Served(made.index.path, *words)
    yield server
    server.stop()


@pytest.fixture
def tab():
    if chromium.program() is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("websockets", reason="a browser is driven over a web socket")
    page = chromium.Browser()
    yield page
    page.close()
