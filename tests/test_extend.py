"""The proof of the interface: a toy method and a toy encoder, dropped into the folders, do everything through the
command line.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from helpers.training import kineme, make_store

import kineme as package

TOY_METHOD = '''"""A toy: two views of a clip must have the same vector, and no two clips one."""
from dataclasses import dataclass, field
import torch
from ..views.augment import ViewSettings, view
from . import Method

class Toy(Method):
    @dataclass(frozen=True)
    class Settings:
        weight: float = 1.0
        views: ViewSettings = field(default_factory=ViewSettings)
        faithful: bool = False
    encoder_name = "toy_mean"
    def __init__(self, settings, new_encoder):
        super().__init__()
        self.settings, self.body = settings, new_encoder()
    def views(self, source, index, gen):
        return tuple(view(source, index, self.settings.views, gen) for _ in range(2))
    def losses(self, views, at):
        a, b = (self.body(v).clip for v in views)
        loss = (a - b).square().mean() + self.settings.weight * (1 - a.std(0)).relu().mean()
        return {"loss": loss}, {"spread": a.detach().std(0).mean()}
    def encoder(self):
        return self.body
'''
TOY_ENCODER = '''"""A toy: one linear layer on the mean pose."""
from dataclasses import dataclass
from torch import nn
from . import Encoder, Features

class ToyMean(Encoder):
    @dataclass(frozen=True)
    class Settings:
        width: int = 6
    def __init__(self, settings, layout, coords):
        super().__init__()
        self.dim = settings.width
        self.linear = nn.Linear(len(layout) * coords, settings.width)
    def forward(self, batch):
        return Features(self.linear((batch.joints * (batch.confidence > 0)[..., None]).mean((1, 2)).flatten(1)))
'''


def test_toys_train_resume_embed_and_evaluate(tmp_path):
    assert len(TOY_METHOD.splitlines()) <= 25
    assert len(TOY_ENCODER.splitlines()) <= 20
    copy = tmp_path / "src" / "kineme"
    shutil.copytree(Path(package.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "methods" / "toy.py").write_text(TOY_METHOD)
    (copy / "encoders" / "toy_mean.py").write_text(TOY_ENCODER)
    store, run = make_store(tmp_path / "swing"), tmp_path / "run"
    env = {"PYTHONPATH": str(tmp_path / "src")}

    def cli(*words):
        return kineme(*words, env=env, cwd=tmp_path)

    listed = cli("methods").stdout
    assert "two views of a clip must have the same vector" in listed
    assert "one linear layer on the mean pose" in listed
    cli(
        "pretrain",
        "toy",
        store.path,
        "--out",
        run,
        "--epochs",
        2,
        "--set",
        "loop.batch=8",
        "--set",
        "method.weight=0.5",
    )
    cli("pretrain", "toy", store.path, "--out", run, "--resume")
    cli("embed", run, store.path, "--out", tmp_path / "vectors")
    features = np.load(tmp_path / "vectors" / "Z.npy", mmap_mode="r")
    assert features.shape == (40, 6)
    scores = cli("evaluate", run, store.path, "--split", "random", "--json", tmp_path / "rows.json")
    assert "trained" in scores.stdout
    assert (tmp_path / "rows.json").exists()
