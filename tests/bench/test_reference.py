"""The plain references of the benchmark compute what the papers say, and what the package computes."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kineme import io
from kineme.motion import normalise

BENCH = Path(__file__).parents[2] / "bench"


def load(name):
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference, reference_step, reference_hico = load("reference"), load("reference_step"), load("reference_hico")


def test_parser_agrees_with_the_reader(golden, golden_dir):
    for name in [key.removeprefix("raw_") for key in golden("hico_ntu_preprocess") if key.startswith("raw_")]:
        path = golden_dir / f"ntu_{name}.skeleton"
        slots, motion = reference.read_skeleton(path), io.read(path)
        persons = min(motion.persons, len(slots))
        np.testing.assert_array_equal(slots[:persons].swapaxes(0, 1), motion.joints[:, :persons])
        assert not slots[persons:].any()


def test_preprocessing_agrees_with_the_stored_output_and_the_package(golden, golden_dir):
    arrays = golden("hico_ntu_preprocess")
    for name in [key.removeprefix("raw_") for key in arrays if key.startswith("raw_")]:
        bodies = reference.select_bodies(reference.read_skeleton(golden_dir / f"ntu_{name}.skeleton"))
        np.testing.assert_allclose(bodies, arrays[f"raw_{name}"].transpose(3, 1, 2, 0), atol=1e-5)
        out = reference.normalise(bodies)
        np.testing.assert_allclose(out, arrays[f"out_{name}"].transpose(3, 1, 2, 0), atol=1e-5)
        np.testing.assert_allclose(normalise.ntu_preprocess(bodies.swapaxes(0, 1), 300), out.swapaxes(0, 1), atol=1e-5)


def test_crops_and_augmentations(golden):
    arrays = golden("hico_augment")
    cases = zip(arrays["crop_start"], arrays["crop_length"], arrays["crop_out_every6th_joint"], strict=True)
    for start, length, out in cases:
        made = reference.crop_resize(arrays["sequence"], int(start), int(length), out.shape[1])
        np.testing.assert_allclose(made[:, :, ::6], out, atol=1e-5)
    matrix = np.eye(3)
    matrix[~np.eye(3, dtype=bool)] = arrays["shear_offdiag_rowmajor"]
    x, joints = arrays["shear_in"], arrays["corrupt_joints"]
    np.testing.assert_allclose(reference.shear(x, matrix), arrays["shear_out"], atol=2e-6)
    np.testing.assert_array_equal(reference.corrupt(x, joints, None), arrays["corrupt_zero_out"])
    linear = arrays["corrupt_matrix_rowmajor"].reshape(3, 3)
    np.testing.assert_allclose(reference.corrupt(x, joints, linear), arrays["corrupt_linear_out"], atol=2e-6)


@pytest.mark.parametrize("stream", ["joint", "bone", "motion"])
def test_streams_and_orders(golden, stream):
    arrays = golden("hico_streams")
    made = reference.to_stream(arrays["cropped64"], stream)
    np.testing.assert_allclose(reference.time_major(made), arrays[f"{stream}_time_major"], atol=2e-6)
    np.testing.assert_allclose(reference.space_major(made), arrays[f"{stream}_space_major"], atol=2e-6)
    arrays = golden("halp_stream_layout")
    made = reference_step.flatten(torch.from_numpy(arrays["x_NCTVM"]), stream)
    np.testing.assert_allclose(made.numpy(), arrays[f"flat_{stream}"], atol=1e-6)


def test_draws_are_the_published_ones():
    rng = np.random.default_rng(0)
    draws = [reference.draw_view(200, rng) for _ in range(2000)]
    assert all(64 <= draw.length < 200 and 0 <= draw.start <= 200 - draw.length for draw in draws)
    assert np.mean([draw.shear is not None for draw in draws]) == pytest.approx(0.5, abs=0.05)
    corrupted = [draw for draw in draws if draw.shear is None]
    assert all(len(set(draw.joints)) == 15 for draw in corrupted)
    assert np.mean([draw.linear is None for draw in corrupted]) == pytest.approx(0.5, abs=0.05)
    assert {(d.start, d.length) for d in (reference.draw_view(50, rng) for _ in range(50))} == {(0, 50)}
    sequence = rng.normal(size=(3, 300, 25, 2)).astype(np.float32)
    assert [x.shape for x in reference.hico_item(sequence, 200, rng)] == [(64, 150), (50, 192)] * 2
    assert [x.shape for x in reference.halp_item(sequence, 200, rng)] == [(3, 64, 25, 2)] * 2


def test_training_steps(golden):
    arrays = {key: torch.from_numpy(np.asarray(value)) for key, value in golden("halp_moco_train_steps").items()}
    lr, momentum, decay, key_momentum, temperature = arrays["hyper_lr_sgdmomentum_weightdecay_keymomentum_T"].tolist()
    before = {key.removeprefix("before/"): value for key, value in arrays.items() if key.startswith("before/")}
    recurrent = before["encoder_q.encoder.gru.weight_hh_l0"]
    if recurrent.shape[0] != 3 * recurrent.shape[1]:
        pytest.skip("the reference step has a GRU, these vectors are of another cell")
    layers = sum(key.startswith("encoder_q.encoder.gru.weight_hh_l") and "reverse" not in key for key in before)
    out, queue = before["queue"].shape
    inputs = before["encoder_q.input_norm.weight"].shape[0]
    model = reference_step.Moco(inputs, recurrent.shape[1], layers, out, queue, key_momentum, temperature)
    model.load_state_dict(before)
    sgd = reference_step.optimiser(model, lr, momentum, decay)
    steps = itertools.takewhile(lambda k: f"s{k}_view1" in arrays, itertools.count())
    losses = [reference_step.step(model, sgd, arrays[f"s{k}_view1"], arrays[f"s{k}_view2"])[0] for k in steps]
    np.testing.assert_allclose(losses, arrays["losses"], atol=1e-3)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, arrays[f"after/{name}"], atol=1e-3, err_msg=name)


def hico_views(x):
    """``[B, T, M, V, C]`` -> time-major and space-major, as the released loaders give them."""
    return x.flatten(2), x.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)


@pytest.mark.parametrize("cell", ["gru", "lstm", "transformer"])
def test_hico_encoder(golden, cell):
    arrays = {key: torch.from_numpy(np.asarray(value)) for key, value in golden(f"hico_encoder_{cell}").items()}
    granularities, _, _, _, hidden, heads, layers, out = arrays["hyper_G_V_M_T_hidden_heads_layers_outdim"].tolist()
    if layers != 1:
        pytest.skip("the reference step has one layer, as published")
    views = arrays["x_time_major"], arrays["x_space_major"]
    model = reference_hico.Projected(
        hidden, granularities, out, cell=cell, time=views[0].shape[2], space=views[1].shape[2], heads=heads, dropout=0.1
    ).eval()
    model.load_state_dict({key[2:]: value for key, value in arrays.items() if key.startswith("w/")})
    with torch.no_grad():
        made = dict(zip(("v_clip", "v_part"), model.hi_encoder(views)))
        levels = ("clip", "part", "temporal", "spatial", "instance")
        made |= {f"z_{name}": z for name, z in zip(levels, model(views).values())}
    for name, value in made.items():
        np.testing.assert_allclose(value, arrays[name], atol=2e-5, rtol=1e-5, err_msg=name)


def test_hico_training_steps(golden):
    """The released step to the last weight and pointer: losses, queues as released, both encoders."""
    arrays = {key: torch.from_numpy(np.asarray(value)) for key, value in golden("hico_train_steps").items()}
    lr, momentum, decay, key_momentum, temperature = arrays["hyper_lr_sgdmomentum_weightdecay_keymomentum_T"].tolist()
    _, _, _, hidden, granularities, out, queue = arrays["hyper_N_T_V_hidden_G_C_K"].tolist()
    before = {key.removeprefix("before/"): value for key, value in arrays.items() if key.startswith("before/")}
    recurrent = before["encoder_q.hi_encoder.t_encoder.weight_hh_l0"]
    cell = {3: "gru", 4: "lstm"}[recurrent.shape[0] // recurrent.shape[1]]
    time, space = (before[f"encoder_q.hi_encoder.{end}_embedding.0.weight"].shape[1] for end in "ts")
    model = reference_hico.HiCo(cell, time, space, hidden, granularities, out, queue, key_momentum, temperature)
    model.load_state_dict(before)
    sgd = reference_step.optimiser(model, lr, momentum, decay)
    losses = []
    for k in itertools.takewhile(lambda k: f"s{k}_view1_NTMVC" in arrays, itertools.count()):
        views = (hico_views(arrays[f"s{k}_view{i}_NTMVC"]) for i in (1, 2))
        losses.append(reference_hico.step(model, sgd, *views)[0])
    np.testing.assert_allclose(losses, arrays["losses_cptsi"], atol=1e-4)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, arrays[f"after/{name}"], atol=1e-4, err_msg=name)
