"""Published weights of video networks: taken by name, or refused in a sentence."""

import json
import pickle

import pytest
import torch
from helpers.training import make_store
from safetensors.torch import save_file

import kineme
from kineme import encoders
from kineme.motion.layout import layout
from kineme.training import public_weights
from kineme.utils import registry
from kineme.utils.errors import InputError


def made(name, **settings):
    torch.manual_seed(len(settings))
    return encoders.build(
        name, registry.entry("encoders", name).Settings(multiplier=0.05, **settings), layout("ntu25"), 3, 1
    )


def published(name):
    """What a file holds: the network without what is our own, and a classifier."""
    state = {n: torch.randn(v.shape) if v.is_floating_point() else v for n, v in made(name).state_dict().items()}
    head = {"s3d": "classifier.1", "r2plus1d": "fc"}[name]
    state = {n: v for n, v in state.items() if not n.startswith("head.")}
    return state | {f"{head}.weight": torch.zeros(4, 2), f"{head}.bias": torch.zeros(4)}


def write(path, state):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["s3d", "r2plus1d"])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_taken_by_name(tmp_path, name, ending):
    state, encoder = published(name), made(name)
    before = {n: v.clone() for n, v in encoder.state_dict().items()}
    found = public_weights.load(encoder, write(tmp_path / f"weights.{ending}", state))
    for n, value in encoder.state_dict().items():
        assert torch.equal(value, before[n] if n.startswith("head.") else state[n]), n
    assert found["mapped"] == len(state) - 2
    assert len(found["aside"]) == 2
    assert found["kept"] == (["head.bias", "head.weight"] if name == "s3d" else [])


def test_files_without_counters_will_do(tmp_path):
    state = {n: v for n, v in published("r2plus1d").items() if not n.endswith("num_batches_tracked")}
    public_weights.load(made("r2plus1d"), write(tmp_path / "w.pth", state))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("stem.0.weight"), "missing: stem.0.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "not expected: extra"),
        (lambda s: s.update({"stem.0.weight": torch.zeros(5, 3, 1, 7, 7)}), "of another shape: stem.0.weight"),
    ],
)
def test_what_does_not_fit_costs_a_sentence(tmp_path, change, words):
    state = published("r2plus1d")
    change(state)
    with pytest.raises(InputError, match=words):
        public_weights.load(made("r2plus1d"), write(tmp_path / "w.pth", state))


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_no_pickle_is_executed(tmp_path, capsys):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"stem.0.weight": Evil()}))
    with pytest.raises(InputError):
        public_weights.load(made("r2plus1d"), tmp_path / "w.pth")
    assert "executed" not in capsys.readouterr().out


def test_encoders_without_published_weights(tmp_path):
    recurrent = encoders.build(
        "recurrent", registry.entry("encoders", "recurrent").Settings(hidden=4), layout("ntu25"), 3, 1
    )
    with pytest.raises(InputError, match="one of r2plus1d, s3d"):
        public_weights.load(recurrent, tmp_path / "w.pth")
    store = make_store(tmp_path / "store", clips=8)
    with pytest.raises(InputError, match="no published weights"):
        kineme.pretrain("moco", store, tmp_path / "run", epochs=1, init_video=tmp_path / "w.pth", device="cpu")
    assert not (tmp_path / "run" / "card.json").exists()
    json.dumps(public_weights.having())


def test_missing_file(tmp_path):
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(InputError, match="no such file"):
            public_weights.load(made("s3d"), tmp_path / name)
