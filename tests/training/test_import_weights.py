"""Published checkpoints become runs: exact features, nothing executed, nothing that does not fit is let in."""

from __future__ import annotations

import itertools
import json
import os
import re
import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from helpers.training import kineme, make_store, one_paragraph

import kineme as package
from kineme.apps.cli import main
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion
from kineme.training.import_weights import import_weights, read, report
from kineme.utils.errors import InputError
from kineme.views.batch import Batch

FAULTS = ("missing", "extra", "longer", "another rank")
ROOMS = {"joint": "encoder_q", "motion": "encoder_q_motion", "bone": "encoder_q_bone"}


def released(golden, streams=("joint",), head=1, scales=None) -> dict[str, torch.Tensor]:
    """A state_dict with the released names: query and key encoders, queues, prototypes."""
    arrays = golden("halp_bigru")
    own = {name[2:]: torch.from_numpy(value) for name, value in arrays.items() if name.startswith("w/")}
    if head == 2:
        wide = own["fc.weight"].shape[1]
        own = {name.replace("fc.", "fc.2."): value for name, value in own.items()}
        own |= {"fc.0.weight": torch.zeros(wide, wide), "fc.0.bias": torch.zeros(wide)}
    out = arrays["eval_out"].shape[1]
    state = {}
    for stream, scale in zip(streams, scales or [1.0] * len(streams)):
        end = "" if stream == "joint" else f"_{stream}"
        for side in "qk":
            state |= {
                f"encoder_{side}{end}.{name}": value * scale if value.dim() == 2 else value
                for name, value in own.items()
            }
        state |= {f"queue{end}": torch.zeros(out, 32), f"queue_ptr{end}": torch.zeros(1, dtype=torch.int64)}
    return state | {"prototypes": torch.zeros(20, out)}


def save(path, state, wrapped=True, **options):
    momentum = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    torch.save({"epoch": 451, "state_dict": state, "optimizer": momentum} if wrapped else state, path, **options)
    return path


def layout_for(inputs: int):
    """Joints, coordinates and persons whose product is the stored input size."""
    persons = 2 if inputs % 2 == 0 else 1
    coords = 3 if inputs % (3 * persons) == 0 else 1
    joints = inputs // persons // coords
    names = tuple(f"j{i}" for i in range(joints))
    return skeleton.Layout("free", names, (-1, *range(joints - 1))), coords, persons


def batch_for(x, layout, coords, persons):
    """Stored rows (joint, axis, person) in this package's order."""
    joints = torch.from_numpy(x).unflatten(2, (len(layout), coords, persons)).permute(0, 1, 4, 2, 3)
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(len(x)))


def imported(file, golden, out, kind="halp", **options):
    layout, coords, persons = layout_for(golden("halp_bigru")["x"].shape[2])
    run = import_weights(file, kind, out, layout=layout, coords=coords, normalise="none", **options)
    assert json.loads((run / "card.json").read_text())["persons"] == persons
    return package.load(run, "cpu")


def feature(encoder, golden):
    arrays = golden("halp_bigru")
    x = batch_for(arrays["x"], *layout_for(arrays["x"].shape[2]))
    with torch.inference_mode():
        return encoder(x).clip.numpy()


def hico(golden, cell="gru") -> dict[str, torch.Tensor]:
    """A state_dict of HiCo with the released names: query and key encoder with projectors, five queues."""
    arrays = golden(f"hico_encoder_{cell}")
    own = {name[2:]: torch.from_numpy(value) for name, value in arrays.items() if name.startswith("w/")}
    dim, granularities = arrays["z_clip"].shape[2], arrays["z_clip"].shape[1]
    state = {f"encoder_{side}.{name}": value.clone() for side in "qk" for name, value in own.items()}
    for level in "cptsi":
        state[f"{level}_queue"] = torch.zeros(dim, 32 * (granularities if level in "cp" else 1))
        state[f"{level}_queue_ptr"] = torch.zeros(1, dtype=torch.int64)
    return state


def hico_imported(file, golden, out, cell="gru", **options):
    arrays = golden(f"hico_encoder_{cell}")
    _, joints, persons, _, _, heads, _, _ = arrays["hyper_G_V_M_T_hidden_heads_layers_outdim"].tolist()
    layout = skeleton.Layout("free", tuple(f"j{i}" for i in range(joints)), (-1, *range(joints - 1)))
    coords = arrays["x_time_major"].shape[2] // (persons * joints)
    given = {"layout": layout, "coords": coords, "heads": heads, "normalise": "none", **options}
    return package.load(import_weights(file, "hico", out, **given), "cpu")


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("head", [1, 2])
@pytest.mark.parametrize("form", ["zip", "old", "bare"])
def test_a_single_stream_returns_the_stored_feature(golden, tmp_path, prefix, head, form):
    state = {prefix + name: value for name, value in released(golden, head=head).items()}
    file = save(tmp_path / "a.pth.tar", state, form != "bare", _use_new_zipfile_serialization=form != "old")
    model = imported(file, golden, tmp_path / "run")
    np.testing.assert_allclose(
        feature(model.encoder, golden), golden("halp_bigru")["eval_feature"], atol=2e-5, rtol=1e-5
    )
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["imported"]["epoch"] == (None if form == "bare" else 451)
    assert card["imported"]["aside"]["encoder_k"] == card["imported"]["mapped"] + 2 * head
    assert (card["status"], card["method"], card["recipe"]["encoder_name"]) == ("done", "halp", "recurrent")
    for word in ("a.pth.tar", "encoder_q -> joint", "encoder_k", "prototypes", "queue_ptr"):
        assert word in report(tmp_path / "run")


@pytest.mark.parametrize(("kind", "options"), [("cmd", {}), ("halp", {})])
def test_three_streams(golden, tmp_path, kind, options):
    """Each stream gets its own weights: a scaled copy gives what that copy gives alone."""
    streams, scales = tuple(ROOMS), (1.0, 0.5, -1.0)
    file = save(tmp_path / "three.pth.tar", released(golden, streams, scales=scales))
    model = imported(file, golden, tmp_path / "run", kind, **options)
    assert list(model.streams) == ["joint", "motion", "bone"]
    assert model.card["recipe"]["method"].get("cmd", True) is True
    wanted = golden("halp_bigru")["eval_feature"]
    np.testing.assert_allclose(feature(model.encoder.encoders["joint"], golden), wanted, atol=2e-5, rtol=1e-5)
    whole = feature(model.encoder, golden)
    np.testing.assert_allclose(whole[:, model.streams["joint"]], wanted, atol=2e-5, rtol=1e-5)
    for stream, scale in list(zip(streams, scales))[1:]:
        alone = save(tmp_path / f"{stream}.pth.tar", released(golden, scales=[scale]))
        other = imported(alone, golden, tmp_path / stream, stream=stream)
        assert list(other.streams) == [stream]
        np.testing.assert_allclose(feature(other.encoder, golden), whole[:, model.streams[stream]], atol=1e-6)
        assert np.abs(whole[:, model.streams[stream]] - wanted).max() > 0.01


def test_random_weights_have_the_imported_statistics(golden, tmp_path):
    file = save(tmp_path / "a.pth.tar", released(golden))
    model = imported(file, golden, tmp_path / "run")
    before, after = model.untrained().encoder.state_dict(), model.encoder.state_dict()
    same = {name for name in after if torch.equal(before[name], after[name])}
    assert {"encoders.joint.norm.running_mean", "encoders.joint.norm.running_var"} <= same
    assert not any(".layers." in name for name in same if name.endswith("weight_hh_l0"))


def every_name(golden):
    return [name for name in released(golden) if name.startswith("encoder_q.")]


@pytest.mark.parametrize("form", ["zip", "old", "bare"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "transformer"])
def test_hico_returns_the_stored_vectors_of_a_clip(golden, tmp_path, cell, form):
    """Through the run's own crop and resize: settings, sizes and both branches have to be right."""
    arrays, state = golden(f"hico_encoder_{cell}"), hico(golden, cell)
    prefix = "module." if form == "old" else ""
    file = save(
        tmp_path / "a.pth.tar",
        {prefix + name: value for name, value in state.items()},
        form != "bare",
        _use_new_zipfile_serialization=form != "old",
    )
    model = hico_imported(file, golden, tmp_path / "run", cell, stream="joint")
    granularities, joints, persons, frames, hidden, heads, layers, dim = arrays[
        "hyper_G_V_M_T_hidden_heads_layers_outdim"
    ].tolist()
    x = arrays["x_time_major"].reshape(-1, frames, persons, joints, model.card["coords"])
    wanted = np.concatenate([arrays[f"v_{part}"].reshape(len(x), -1) for part in ("clip", "part")], 1)
    found = model.embed([Motion(clip, model.layout) for clip in x])
    np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=1e-5)
    assert np.abs(model.untrained().embed([Motion(x[0], model.layout)]) - wanted[0]).max() > 0.1
    card, chosen = model.card, model.card["recipe"]
    assert (card["method"], card["encoder"], card["status"]) == ("hico", "hierarchical", "done")
    assert card["persons"] == persons
    told = {"cell": cell, "hidden": hidden, "granularities": granularities, "frames": frames, "layers": layers}
    told |= {"mask_absent": False} | ({"heads": heads} if cell == "transformer" else {})
    assert {name: chosen["encoder"][name] for name in told} == told
    published = {"dim": dim, "faithful": True, "temperature": 0.2, "queue": 2048, "momentum": 0.999}
    assert {name: chosen["method"][name] for name in published} == published
    assert card["crop"]["frames"] == chosen["method"]["views"]["frames"] == frames
    aside = card["imported"]["aside"]
    assert aside["encoder_k"] == card["imported"]["mapped"] + 20  # five projectors of two layers
    assert {"encoder_q.td_proj", "c_queue", "i_queue_ptr"} <= set(aside)
    words = [f"{layers} layers of {cell}", f"{granularities} granularities of {frames} frames", "encoder_q -> joint"]
    for word in [*words, "heads (not in the file)"] if cell == "transformer" else words:
        assert word in report(tmp_path / "run")


def test_hico_of_another_stream(golden, tmp_path):
    model = hico_imported(save(tmp_path / "a.pth.tar", hico(golden)), golden, tmp_path / "run", stream="bone")
    assert list(model.streams) == ["bone"]


@pytest.mark.parametrize(("cell", "shift"), [("gru", 0), ("lstm", 1), ("transformer", 2)])
def test_one_name_of_hico_that_does_not_fit_is_refused_and_named(golden, tmp_path, cell, shift):
    whole = {name: value for name, value in hico(golden, cell).items() if name.startswith("encoder_q.")}
    for name, fault in zip(whole, itertools.islice(itertools.cycle(FAULTS), shift, None)):
        state, wrong = dict(whole), name
        if fault == "missing":
            del state[name]
        elif fault == "extra":
            wrong = f"{name}_more"
            state[wrong] = state[name].clone()
        elif fault == "longer":
            state[name] = torch.cat([state[name], state[name][:1]])
        else:
            state[name] = state[name][None]
        with pytest.raises(InputError) as caught:
            hico_imported(save(tmp_path / "a.pth.tar", state, wrapped=False), golden, tmp_path / "run", cell)
        assert wrong in str(caught.value), (fault, caught.value)
        assert str(caught.value).count("encoder_q.") == 1, caught.value
        assert not (tmp_path / "run").exists()


def test_hico_files_that_do_not_fit(golden, tmp_path):
    """All faults at once; another publication's names; inputs that the layout does not divide; heads; hostile ones."""
    state = hico(golden)
    state["encoder_q.hi_encoder.t_embedding.0.weight"] = torch.zeros(3)
    state["encoder_q.td_proj.0.weight"] = torch.zeros(1, 1)
    state["encoder_q_motion.clip_proj.0.bias"] = state["classifier.weight"] = torch.zeros(3)
    del state["encoder_q.hi_encoder.s_downsample.norm.bias"], state["encoder_q.part_proj.2.bias"]
    with pytest.raises(InputError) as caught:
        hico_imported(save(tmp_path / "a.pth.tar", state), golden, tmp_path / "run")
    for word in (
        "missing: encoder_q.hi_encoder.s_downsample.norm.bias, encoder_q.part_proj.2.bias",
        "classifier.weight",
        "encoder_q_motion.clip_proj.0.bias",
        "t_embedding.0.weight (3,) instead of (16, any)",
        "encoder_q.td_proj.0.weight (1, 1) instead of (16, 48)",
    ):
        assert word in str(caught.value), caught.value
    for name, size in (("t", 31), ("s", 47)):
        odd = hico(golden) | {f"encoder_q.hi_encoder.{name}_embedding.0.weight": torch.zeros(16, size)}
        with pytest.raises(InputError, match=rf"{size} per joint|{size} numbers per frame.*multiple of 15"):
            hico_imported(save(tmp_path / "b.pth.tar", odd), golden, tmp_path / "run")
    with pytest.raises(InputError, match=r"no query encoder of hico.*--as"):
        hico_imported(save(tmp_path / "c.pth.tar", released(golden)), golden, tmp_path / "run")
    with pytest.raises(InputError, match=r"no query encoder of halp.*hico"):
        imported(save(tmp_path / "d.pth.tar", hico(golden)), golden, tmp_path / "run")
    with pytest.raises(InputError, match=r"encoder\.hidden.*multiple of"):
        file = save(tmp_path / "e.pth.tar", hico(golden, "transformer"))
        hico_imported(file, golden, tmp_path / "run", "transformer", heads=5)
    endless = {
        name: value * torch.nan if name.endswith("t_encoder.bias_hh_l0") else value
        for name, value in hico(golden).items()
    }
    with pytest.raises(InputError, match=r"not finite in encoder_q\.hi_encoder\.t_encoder\.bias_hh_l0"):
        hico_imported(save(tmp_path / "f.pth.tar", endless), golden, tmp_path / "run")
    trap = hico(golden) | {"c_queue_ptr": Hostile(tmp_path / "executed")}
    with pytest.raises(InputError, match="nothing was executed"):
        hico_imported(save(tmp_path / "g.pth.tar", trap), golden, tmp_path / "run")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_one_name_that_does_not_fit_is_refused_and_named(golden, tmp_path, fault):
    for number, name in enumerate(every_name(golden)):
        state = released(golden)
        wrong = name
        if fault == "missing":
            del state[name]
        elif fault == "extra":
            wrong = f"{name}_more"
            state[wrong] = state[name]
        elif fault == "longer" and state[name].dim():
            state[name] = torch.cat([state[name], state[name][:1]])
        else:
            state[name] = state[name][None]
        file = save(tmp_path / f"{number}.pth.tar", state, wrapped=False)
        with pytest.raises(InputError) as caught:
            imported(file, golden, tmp_path / "run")
        # a wrong number of outputs cannot tell weight from bias
        assert wrong in str(caught.value) or (".fc." in wrong and ".fc." in str(caught.value)), (wrong, caught.value)
        assert str(caught.value).count("encoder_q.") <= 2, caught.value
        assert not (tmp_path / "run").exists()


def test_all_faults_are_listed_and_the_list_stays_readable(golden, tmp_path):
    state = released(golden)
    state[next(name for name in state if name.endswith("bias_hh_l0"))] = torch.zeros(1)
    state["encoder_q.surprise"] = state["classifier.weight"] = torch.zeros(3)
    del state["encoder_q.input_norm.running_var"]
    with pytest.raises(InputError) as caught:
        imported(save(tmp_path / "a.pth.tar", state), golden, tmp_path / "run")
    for word in (
        "missing: encoder_q.input_norm.running_var",
        "encoder_q.surprise",
        "classifier.weight",
        "bias_hh_l0 (1,) instead of (",
    ):
        assert word in str(caught.value)
    many = released(golden) | {f"layer{i}": torch.zeros(1) for i in range(500)}
    with pytest.raises(InputError, match="476 more"):
        imported(save(tmp_path / "b.pth.tar", many), golden, tmp_path / "run")
    with pytest.raises(InputError, match=r"encoder_q_motion.*--as halp"):
        imported(save(tmp_path / "c.pth.tar", released(golden)), golden, tmp_path / "run", "cmd")
    with pytest.raises(InputError, match="encoder_q_bone"):
        imported(save(tmp_path / "d.pth.tar", released(golden, ("joint", "motion"))), golden, tmp_path / "run")
    with pytest.raises(InputError, match="no query encoder of halp"):
        imported(save(tmp_path / "e.pth.tar", {"conv1.weight": torch.zeros(3, 3)}), golden, tmp_path / "run")
    endless = released(golden)
    endless["encoder_q.input_norm.bias"] = endless["encoder_q.input_norm.bias"].clone().fill_(float("nan"))
    with pytest.raises(InputError, match=r"not finite in encoder_q\.input_norm\.bias"):
        imported(save(tmp_path / "f.pth.tar", endless), golden, tmp_path / "run")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
def test_a_pickle_that_would_run_code_does_not_run(golden, tmp_path, new):
    state = released(golden) | {"encoder_q.fc.bias": Hostile(tmp_path / "executed")}
    file = save(tmp_path / "a.pth.tar", state, _use_new_zipfile_serialization=new)
    with pytest.raises(InputError, match=r"mkdir.*nothing was executed") as caught:
        read(file)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "executed").exists()
    torch.load(file, weights_only=False)  # the trap is a real one
    assert (tmp_path / "executed").exists()


def pickle(*parts: bytes | str) -> bytes:
    return b"\x80\x02" + b"".join(
        p if isinstance(p, bytes) else f"c{p.replace(' ', chr(10))}\n".encode() for p in parts
    )


LARGE = b"\x8a\x05" + (3_000_000_000).to_bytes(5, "little")  # LONG1
CALL, STOP, PERSISTENT = b"\x85R", b".", b"Q"


def text(word: str) -> bytes:
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


BOMBS = {
    "bytes": (pickle("builtins bytearray", LARGE, CALL, STOP), "asks for builtins.bytearray"),
    "an array by its kind": (pickle("torch FloatStorage", LARGE, CALL, STOP), "asks for torch.FloatStorage"),
    "an array by its size": (pickle("torch Tensor", LARGE, CALL, STOP), "asks for torch.Tensor"),
    "an array that the file does not hold": (
        pickle(b"(", text("storage"), "torch DoubleStorage", text("0"), text("cpu"), LARGE, b"t", PERSISTENT, STOP),
        "claims 3000000000 values",
    ),
    "no array": (
        pickle(b"(", text("storage"), text("x"), text("0"), text("cpu"), LARGE, b"t", PERSISTENT, STOP),
        "no storage",
    ),
    "a call of text": (pickle(text("x"), LARGE, CALL, STOP), "asks for a call of a str"),
    "a call through memory": (pickle("torch FloatStorage", b"q\x000h\x00", LARGE, CALL, STOP), "POP"),
    "many": (pickle(b"}" * 600_000, STOP), "more than 500000 operations"),
    "deep": (pickle(b")", b"\x85" * 100_000, STOP), "20 deep"),
    "deep key": (pickle(b"})", b"\x85" * 100_000, b"Ns", STOP), "20 deep"),
    "text that the file does not hold": (b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b"a.", "damaged"),
    "bytes that the file does not hold": (b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"a.", "damaged"),
    "a place in memory": (pickle(b"Nr\xff\xff\xff\x7f0j\xff\xff\xff\x7f", STOP), "POP"),
    "another call": (pickle("os system", text("true"), CALL, STOP), "os.system"),
    "a new object": (pickle("collections OrderedDict", b")\x81", STOP), "NEWOBJ"),
    "a name from the stack": (pickle(text("os"), text("system"), b"\x93", STOP), "STACK_GLOBAL"),
    "nothing": (pickle(STOP), "damaged"),
    "no mark": (pickle(b"NNt", STOP), "no mark"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("form", ["zip", "old"])
def test_what_would_fill_the_memory_does_not_reach_the_reader(tmp_path, name, form, monkeypatch):
    """Not even PyTorch's restricted one, which calls what it knows with any number."""

    def reached(*_, **__):
        pytest.fail("read")

    monkeypatch.setattr(torch, "load", reached)
    data, said = BOMBS[name]
    file = tmp_path / "a.pth.tar"
    if form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3")
    else:
        file.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.pth\.tar.*{re.escape(said)}"):
        read(file)


def test_every_pickle_of_a_file_is_looked_at(tmp_path, monkeypatch):
    """The second of two records of one name, and what follows the first pickle of the old form."""
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read"))
    good, bad = pickle(b"}", STOP), BOMBS["bytes"][0]
    for order in ((good, bad), (bad, good)):
        with zipfile.ZipFile(tmp_path / "two", "w") as archive:
            archive.writestr("archive/data.pkl", order[0])
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("archive/data.pkl", order[1])
        with pytest.raises(InputError, match="bytearray"):
            read(tmp_path / "two")
    (tmp_path / "third").write_bytes(good + good + good + bad + good)
    with pytest.raises(InputError, match="bytearray"):
        read(tmp_path / "third")
    with tarfile.open(tmp_path / "old.tar", "w") as archive:
        archive.add(tmp_path / "third", "storages")
    with pytest.raises(InputError, match="tar archive"):
        read(tmp_path / "old.tar")


def test_all_kinds_of_arrays_pass(tmp_path):
    kinds = (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    )
    state = {str(kind): torch.ones(3, dtype=kind) for kind in kinds}
    state |= {"parameter": torch.nn.Parameter(torch.ones(2)), "half": torch.ones(6).view(2, 3)[:, 1]}
    for new in (True, False):
        torch.save({"state_dict": OrderedDict(state), "epoch": 3}, tmp_path / "a", _use_new_zipfile_serialization=new)
        found, rest = read(tmp_path / "a")
        assert rest == {"epoch": 3}
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)


def test_what_is_no_checkpoint_is_refused(golden, tmp_path):
    whole = save(tmp_path / "a.pth.tar", released(golden)).read_bytes()
    packed = tmp_path / "packed.pth.tar"
    with zipfile.ZipFile(tmp_path / "a.pth.tar") as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))
    with pytest.raises(InputError, match="compressed"):
        read(packed)
    shared = torch.zeros(60_000)
    with pytest.raises(InputError, match="more than it holds"):
        read(save(tmp_path / "shared.pth.tar", {f"l{i}": shared for i in range(50)}))
    repeated = released(golden) | {"queue": torch.zeros(1).expand(1 << 40)}  # a terabyte of one zero
    with pytest.raises(InputError, match="queue"):
        read(save(tmp_path / "view.pth.tar", repeated))
    half = whole[: len(whole) // 2]
    for name, data in (("cut", half), ("text", b"hello\n" * 50), ("none", b""), ("zip", b"PK\3\4ab")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    for value in ([1, 2], {"state_dict": 3}, {"state_dict": {1: torch.zeros(1)}}, {"state_dict": {"a": "b"}}):
        torch.save(value, tmp_path / "odd")
        with pytest.raises(InputError, match="odd"):
            read(tmp_path / "odd")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent")
    with pytest.raises(InputError):
        read(tmp_path)


def published(inputs: int, hidden=4, cell="gru", gates=3) -> dict[str, torch.Tensor]:
    """A small file as if it were the authors' own: 25 joints, 3 coordinates, two persons, one layer."""
    gen, rows = torch.Generator().manual_seed(0), gates * hidden
    own = {
        f"encoder.{cell}.{kind}_l0{end}": torch.randn(shape, generator=gen) / 4
        for end in ("", "_reverse")
        for kind, shape in (
            ("weight_ih", (rows, inputs)),
            ("weight_hh", (rows, hidden)),
            ("bias_ih", (rows,)),
            ("bias_hh", (rows,)),
        )
    }
    own |= {f"input_norm.{name}": torch.ones(inputs) for name in ("weight", "bias", "running_mean", "running_var")}
    own |= {"input_norm.num_batches_tracked": torch.tensor(7)}
    own |= {"fc.weight": torch.zeros(5, 2 * hidden), "fc.bias": torch.zeros(5)}
    return {f"encoder_q.{name}": value for name, value in own.items()}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_cell_and_column_order_on_the_published_input(tmp_path, cell):
    """Against torch's own network, fed with a frame flattened as joint, axis, person."""
    gates = {"gru": 3, "lstm": 4}[cell]
    state = published(150, cell=cell, gates=gates)
    model = package.load(import_weights(save(tmp_path / "a.pth.tar", state), "halp", tmp_path / "run"), "cpu")
    x = torch.randn(2, 6, 2, 25, 3, generator=torch.Generator().manual_seed(1))
    stack = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](150, 4, batch_first=True)
    flat = (x.permute(0, 1, 3, 4, 2).flatten(2) - 1) / (1 + 1e-5) ** 0.5 + 1
    for part, end in zip((slice(0, 4), slice(4, 8)), ("", "_reverse")):
        own = {name.split(".")[-1]: value for name, value in state.items() if f"encoder.{cell}." in name}
        stack.load_state_dict({name: own[name + end] for name in stack.state_dict()})
        with torch.inference_mode():
            wanted = stack(flat)[0][:, -1]
            found = model.encoder(Batch(x, torch.ones(x.shape[:-1]), torch.arange(2))).clip[:, part]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_command_line_from_file_to_scores(golden, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = str(make_store(tmp_path / "swing", 24, "ntu25", persons=2).path)
    file = str(save(tmp_path / "joint.pth.tar", published(150)))

    def said(*words: str, code: int = 0) -> str:
        assert main(words) == code
        return "".join(capsys.readouterr())

    text = said("import-weights", file, "--as", "halp")
    for word in ("joint.pth.tar", "epoch 451", "encoder_q -> joint", "2 persons of 25 joints", "optimizer"):
        assert word in text
    assert "halp" in said("info", "runs/halp-joint")
    # the run knows how its data were prepared
    assert "--normalise ntu" in said("evaluate", "runs/halp-joint", store, "--split", "random", code=2)
    said("import-weights", file, "--as", "halp", "--out", "plain", "--normalise", "none", "--stream", "motion")
    assert "1-NN" in said("evaluate", "plain", store, "--split", "random", "--protocols", "knn")
    said("embed", "plain", store, "--out", "z")
    assert np.load("z/Z.npy").shape == (24, 8)
    assert "exists" in said("import-weights", file, "--as", "halp", "--out", "plain", code=2)
    assert "51" in said("import-weights", file, "--as", "halp", "--layout", "coco17", "--out", "no", code=2)
    one_paragraph(kineme("import-weights", file, "--as", "cmd", "--out", "no", check=False), "encoder_q_motion")
    five = str(save(tmp_path / "five.pth.tar", hico(golden, "transformer")))  # of five joints
    assert "48 per joint" in said("import-weights", five, "--as", "hico", "--heads", "2", "--out", "no", code=2)
    assert not (tmp_path / "no").exists()
