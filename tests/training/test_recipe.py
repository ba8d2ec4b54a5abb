"""Settings from tables, recipes and overrides; wrong words are answered with the right ones."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest

from kineme.training import recipe
from kineme.utils import registry, settings
from kineme.utils.errors import InputError
from kineme.views.video_clips import VideoViewSettings


@dataclass(frozen=True)
class Inner:
    shear: float = 1.0
    count: int = 2


@dataclass(frozen=True)
class Outer:
    size: int = 3
    rate: float = 0.5
    on: bool = False
    kind: Literal["a", "b"] = "a"
    persons: int | None = None
    steps: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)


def test_a_settings_class_survives_plain_containers():
    value = Outer(4, 0.25, True, "b", 2, (1, 2), Inner(0.1))
    assert settings.make(Outer, settings.as_dict(value)) == value


@dataclass(frozen=True)
class Sheared:
    inner: Inner = field(default_factory=lambda: Inner(0.2, 7))


def test_settings_inside_others_keep_the_values_that_these_give_them():
    assert settings.make(Sheared, {"inner": {"shear": 0.3}}).inner == Inner(0.3, 7)
    assert settings.make(Sheared, {"inner": {}}).inner == settings.make(Sheared, {}).inner == Inner(0.2, 7)
    assert settings.make(Outer, {"inner": {"count": 4}}).inner == Inner(1.0, 4)
    made = recipe.load("simclr", 1000, settings=["method.views.mirror=0"]).method["views"]
    assert made == {**recipe.load("simclr", 1000).method["views"], "mirror": 0.0}


def test_overrides_reach_nested_tables_and_leave_the_rest():
    tables = {"method": {"rate": 1, "inner": {"shear": 0.3}}}
    made = settings.override(
        tables, ["method.inner.shear=0.5", "method.kind=b", "method.steps=[3,4]", "method.on=true"]
    )
    assert settings.make(Outer, made["method"]) == Outer(rate=1.0, on=True, kind="b", steps=(3, 4), inner=Inner(0.5))
    assert tables == {"method": {"rate": 1, "inner": {"shear": 0.3}}}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"sise": 3}, ["sise", "Did you mean 'size'?"]),
        ({"size": 2.5}, ["size", "whole number"]),
        ({"size": True}, ["size", "whole number"]),
        ({"rate": "fast"}, ["rate", "a number"]),
        ({"on": 1}, ["on", "true or false"]),
        ({"kind": "c"}, ["kind", "a, b"]),
        ({"inner": 3}, ["inner", "table"]),
        ({"inner": {"sheer": 1}}, ["inner.sheer", "shear"]),
    ],
)
def test_wrong_values_are_named_with_what_was_expected(table, words):
    with pytest.raises(InputError) as caught:
        settings.make(Outer, table, "method")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["method.rate", "=3", "method.rate.deep=1"])
def test_assignments_that_cannot_be(text):
    with pytest.raises(InputError, match="--set"):
        settings.override({"method": {"rate": 1}}, [text])


@pytest.mark.parametrize("value", [-1, 2**63, 10**20, 1.0, "3", None, True])
def test_what_is_no_seed(value):
    with pytest.raises(InputError, match=r"seed: .* from 0 to 2\*\*63 - 1"):
        settings.seed(value)


def test_the_seeds_that_there_are():
    assert [settings.seed(value) for value in (0, np.int64(7), 2**63 - 1)] == [0, 7, 2**63 - 1]


@pytest.mark.parametrize("path", recipe.known().values(), ids=lambda p: p.stem)
def test_every_recipe_loads_and_its_header_says_what_it_gives(path):
    text = path.read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert all(any(word in line.lower() for line in header) for word in ("score", "spread", "time", "device"))
    tables = tomllib.loads(text)
    made = recipe.load(tables["method"]["name"], 1000, recipe=path.stem)
    assert made.preset == path.stem
    assert path.stem.startswith(made.method_name)


VIEWS = {
    "frames": 64,
    "crop_low": 0.1,
    "crop_high": 1.0,
    "min_frames": 64,
    "shear": 1.0,
    "joint_jitter": 0.6,
    "mirror": 0.0,
    "rotate": 0.0,
    "noise": 0.0,
    "scale": 0.0,
    "tilt": 0.0,
    "rotate_xyz": 0.0,
}
MOCO = {"dim": 128, "queue": 16384, "temperature": 0.07, "momentum": 0.999, "views": VIEWS, "faithful": False}
NTU = {
    "epochs": 451,
    "batch": 64,
    "optimiser": "sgd",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "step",
    "milestones": (351,),
    "gamma": 0.1,
    "warmup": 0.0,
    "clip": 0.0,
    "precision": "fp32",
}
GRU = {"cell": "gru", "hidden": 1024, "layers": 3}
DISTIL = {"top": None, "teacher": 0.05, "student": 0.1, "weight": 1.0}
PUBLISHED = {  # method -> settings, encoder, loop of `--recipe published`: the papers' (see each method's page in docs)
    "moco": ({**MOCO, "stream": "joint"}, GRU, NTU),
    "cmd": ({**MOCO, **DISTIL}, GRU, NTU),
    "halp": (
        {**MOCO, **DISTIL, "stream": "joint", "cmd": False, "prototypes": 20, "recent": 256, "every": 10}
        | {"positives": 100, "ignore": 20, "skip": 1, "lam": 0.8, "mu": 2.0, "mean": "intrinsic"},
        GRU,
        NTU,
    ),
    "hico": (
        {**MOCO, "queue": 2048, "temperature": 0.2, "stream": "joint"}
        | {"levels": ["clip", "part", "domain", "instance"]},
        {"cell": "gru", "hidden": 512, "granularities": 4, "frames": 64, "layers": 1, "heads": 4, "dropout": 0.1},
        NTU,
    ),
    "cv_mim": (
        {"variant": "disentangle", "fusion": "moe", "divergence": "JSD", "w_cross": 10.0, "w_prior": 1.0}
        | {"w_disentangle": 0.5, "w_swap": None, "w_kl": 1.0, "positive_radius": 0.0, "positive_metric": "2d"}
        | {"p_recorded_view": 0.0},
        {"width": 1024, "blocks": 2, "dim": 32, "dropout": 0.25, "norm": True, "embedder": "point"},
        {"steps": 200_000, "batch": 256, "optimiser": "adagrad", "lr": 0.02, "weight_decay": 0.0}
        | {"schedule": "constant", "clip": 0.0, "precision": "fp32"},
    ),
    "simclr": (  # no publication: its defaults
        {"dim": 128, "width": 512, "temperature": 0.2, "same": ["performance"]}
        | {
            "views": VIEWS
            | {"frames": 32, "crop_low": 0.4, "min_frames": 8, "shear": 0.3, "joint_jitter": 0.0}
            | {"mirror": 0.5, "noise": 0.01, "scale": 0.15, "tilt": 0.2}
        },
        {"hidden": 128, "blocks": 3, "frames": 32, "joint_mask": 0.2, "frame_mask": 0.3, "turn": 0.4},
        {"epochs": 100, "batch": 64, "optimiser": "sgd", "lr": 0.01},
    ),
    "p_hlvc": (
        {"dim": 256, "prototypes": 1600, "eps": 0.05, "rounds": 3, "temperature": 0.1, "loss": "cross"}
        | {"queue": 3840, "queue_start": 2000, "against": "pose", "contrast": 0.05, "ramp": 0.01}
        | {"contrast_temperature": 0.1, "contrast_left": 0.0, "frozen": 1000, "w_video": 0.0}
        | {"within": ["dataset", "domain"]}
        | {"pose": {"distances": [1], "scale_by_torso": None, "batch_norm": False, "faithful": False}}
        | {"views": settings.as_dict(VideoViewSettings())},
        {"dim": 512, "multiplier": 1.0, "momentum": 0.001},
        {"epochs": 100, "batch": 128, "optimiser": "adamw", "lr": 5e-4, "weight_decay": 1e-5}
        | {"schedule": "cosine", "warmup": 10, "clip": 1.0, "precision": "fp32"},
    ),
    "mamp": (
        {"ratio": 0.9, "tau": 0.8, "target": "motion", "stride": 1, "normaliser": "segment"}
        | {"decoder_layers": 3, "decoder_width": 256}
        | {"views": VIEWS | {"frames": 120, "crop_low": 0.5, "shear": 0.0, "joint_jitter": 0.0, "rotate_xyz": 0.3}},
        {"hidden": 256, "layers": 8, "heads": 8, "mlp": 4, "frames": 120, "segment": 4, "pool": "mean"},
        {"epochs": 400, "batch": 128, "optimiser": "adamw", "lr": 0.001, "lr_end": 0.0005, "betas": (0.9, 0.95)}
        | {"weight_decay": 0.05, "decay_vectors": False, "schedule": "cosine", "warmup": 20.0, "clip": 0.0}
        | {"precision": "fp32"},
    ),
}


@pytest.mark.parametrize("name", registry.names("methods"))
def test_published_values(name):
    """Of every method, the whole table; each value by itself is one that a change of defaults could lose."""
    made = recipe.load(name, 40_000, recipe="published")
    method, encoder, loop = PUBLISHED[name]
    assert {key: made.method.get(key) for key in method} == method
    assert {key: made.encoder.get(key) for key in encoder} == encoder
    assert {key: getattr(made.loop, key) for key in loop} == loop
    assert made.method.keys() - method.keys() <= {"cameras", "faithful"}  # of CV-MIM: see its golden tests
    assert (made.loop.epochs is None) == ("steps" in loop)


def test_defaults_of_the_loop():
    """A recipe that leaves them away means these."""
    pinned = {name: NTU[name] for name in ("optimiser", "lr", "momentum", "weight_decay", "gamma", "warmup", "clip")}
    assert {name: getattr(recipe.Loop(), name) for name in pinned} == pinned
    assert recipe.Loop().precision == "fp32"
    assert (recipe.Loop().lr_end, recipe.Loop().betas, recipe.Loop().decay_vectors) == (0.0, (0.9, 0.999), True)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"lr_end": 0.02}, "loop.lr_end"),
        ({"lr_end": -0.1}, "loop.lr_end"),
        ({"betas": (0.9,)}, "loop.betas"),
        ({"betas": (0.9, 1.0)}, "loop.betas"),
    ],
)
def test_settings_of_the_loop_that_do_not_fit(settings, word):
    with pytest.raises(InputError, match=word):
        recipe.Loop(**settings)


def test_a_recipe_file_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[method]\ntemperature = 0.2\n[encoder]\nname = "bidirectional"\n[loop]\nepochs = 3\n'
    )
    made = recipe.load("moco", 100, recipe=str(tmp_path / "mine.toml"), settings=["loop.batch=10"])
    assert (made.method["temperature"], made.encoder_name, made.loop.epochs, made.loop.batch) == (
        0.2,
        "bidirectional",
        3,
        10,
    )
    (tmp_path / "bad.toml").write_text("[method\n")
    with pytest.raises(InputError, match=r"bad\.toml"):
        recipe.load("moco", 100, recipe=str(tmp_path / "bad.toml"))
    (tmp_path / "odd.toml").write_text("[train]\nepochs = 3\n")
    with pytest.raises(InputError, match="'train'"):
        recipe.load("moco", 100, recipe=str(tmp_path / "odd.toml"))


def test_names_are_read_without_importing(tmp_path):
    assert registry.names("methods")["moco"].startswith("MoCo")
    assert registry.entry("methods", "moco").__name__ == "MoCo"
    with pytest.raises(InputError, match="Did you mean 'moco'"):
        registry.entry("methods", "mocco")
