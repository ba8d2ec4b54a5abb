"""CV-MIM: invariants, its variants, two processes, and the words that train with it."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from helpers.processes import Process, python
from helpers.training import make_store

import kineme
from kineme import encoders
from kineme.data import prepare, synth
from kineme.data.store_writer import Writer
from kineme.encoders.pose_mlp import PoseMLP
from kineme.encoders.recurrent import Recurrent
from kineme.methods import StepContext
from kineme.methods._cv_mim_variants import Estimator, Side
from kineme.methods.cv_mim import CVMIM
from kineme.motion import joint_map
from kineme.motion.layout import layout
from kineme.nn import mutual_information
from kineme.training import loop, recipe
from kineme.utils import settings
from kineme.utils.distributed import ProcessGroup, gather_together
from kineme.utils.errors import InputError
from kineme.views import keypoints
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader

VARIANTS = {
    "disentangle": ({"encoder", "estimator", "discriminator"}, {"representation", "cross", "prior", "intra", "inter"}),
    "infomax": ({"encoder"}, {"representation", "swap"}),
    "align": ({"encoder"}, {"representation", "cross"}),
    "autoencoder": ({"encoder"}, {"reconstruction"}),
}


def build(seed=0, encoder=None, **table):
    torch.manual_seed(seed)
    shape = {"width": 16, "dim": 4, "dropout": 0.0, "view": table.get("variant") != "align", **(encoder or {})}
    return CVMIM(
        settings.make(CVMIM.Settings, table),
        lambda: encoders.build("pose_mlp", settings.make(PoseMLP.Settings, shape), layout("pose13"), 2, 1),
    ).train()


def views(rows=12, seed=0):
    x = torch.randn(2, rows, 1, 1, 13, 2, generator=torch.Generator().manual_seed(seed))
    return tuple(Batch(side, torch.ones(side.shape[:-1]), torch.arange(rows)) for side in x)


def sides(rows=12, dim=4, seed=0):
    x = torch.randn(2, 3, rows, dim, generator=torch.Generator().manual_seed(seed))
    return [Side(pose, view, torch.zeros(rows), torch.zeros(rows, 26), local) for pose, view, local in x]


def objective(method, a, p, order=slice(None)):
    noise = torch.rand(2, len(a.pose), 8, generator=torch.Generator().manual_seed(1))
    a, p = (Side(*(x[order].requires_grad_() for x in side)) for side in (a, p))
    losses, log = method.objective(a, p, method.guesses(a, p), noise)
    return {name: float(x.detach()) for name, x in (losses | log).items()}


# ---- the losses


def test_order_of_the_pairs_does_not_matter():
    method, (a, p) = build(), sides()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    assert objective(method, a, p, order) == pytest.approx(objective(method, a, p), abs=1e-4)


@pytest.mark.parametrize("faithful", [False, True])
def test_exchanging_anchor_and_positive_changes_one_term_of_the_released_form(faithful):
    method, (a, p) = build(faithful=faithful), sides()
    p = p._replace(view=a.view + 0.3 * p.view)  # so that the bound across views is above its floor
    with torch.no_grad():  # an estimator that has learnt something
        method.inter.mean[3].weight.copy_(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
    one, two = objective(method, a, p), objective(method, p, a)
    for name in ("representation", "cross", "prior", "intra"):
        assert two[name] == pytest.approx(one[name], abs=1e-5)
    assert (two["estimator"] == pytest.approx(one["estimator"], abs=1e-5)) != faithful


def test_terms_add_up_to_the_encoders_loss():
    method, (a, p) = build(w_swap=3.0, w_cross=7.0, w_prior=2.0, w_disentangle=0.25), sides()
    found = objective(method, a, p)
    weights = {"representation": 1, "swap": 3, "cross": 7, "prior": 2, "intra": 0.25, "inter": 0.25}
    assert found["encoder"] == pytest.approx(sum(w * found[name] for name, w in weights.items()), abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fusion", ["moe", "poe", "cat"])
def test_variants(variant, fusion):
    method = build(variant=variant, fusion=fusion)
    losses, log = method.losses(views(), StepContext())
    groups, terms = VARIANTS[variant]
    assert losses.keys() == method.groups().keys() == groups
    assert terms <= log.keys()
    for i, (name, params) in enumerate(method.groups().items()):
        losses[name].backward(inputs=params, retain_graph=i + 1 < len(losses))
        assert all(torch.isfinite(w.grad).all() for w in params)
    trained = {id(w) for params in method.groups().values() for w in params}
    assert trained == {id(w) for w in method.parameters() if w.requires_grad}


def test_a_step_of_one_group_leaves_the_others_bit_identical():
    method = build()
    groups = method.groups()
    for name, params in groups.items():
        before = {key: [w.detach().clone() for w in ws] for key, ws in groups.items()}
        losses, _ = method.losses(views(), StepContext())
        losses[name].backward(inputs=params)
        assert all(w.grad is None for key, ws in groups.items() if key != name for w in ws)
        torch.optim.SGD(params, 0.1).step()
        method.zero_grad()
        for key, ws in groups.items():
            same = all(torch.equal(old, new) for old, new in zip(before[key], ws))
            assert same == (key != name), (name, key)


def test_gradients_of_the_encoder_come_through_estimators_and_discriminator():
    method, (a, p) = build(w_cross=0.0, w_disentangle=0.0), sides()
    a = a._replace(pose=a.pose.requires_grad_())
    losses, log = method.objective(a, p, method.guesses(a, p), torch.rand(2, 12, 8))
    (losses["encoder"] - log["representation"]).backward(inputs=[a.pose])  # the prior is left beside R
    assert a.pose.grad.any()


def test_an_estimator_learns_and_its_bound_sees_it():
    torch.manual_seed(0)
    estimator, x = Estimator(4).train(), torch.randn(64, 4)
    optimiser = torch.optim.Adam(estimator.parameters(), 0.01)
    before = mutual_information.club(*estimator(x)[0], x.flip(1)).detach()
    for _ in range(60):
        optimiser.zero_grad()
        (-mutual_information.log_likelihood(*estimator(x)[0], x.flip(1))).backward()
        optimiser.step()
    assert mutual_information.club(*estimator(x)[0], x.flip(1)).detach() > before + 0.2
    assert bool((estimator(x)[0].logvar.abs() <= 1).all())


def test_fusion():
    """The mean of equal codes is that code."""
    x, y = torch.randn(2, 5, 4)
    torch.testing.assert_close(build(fusion="moe").fuse(x, x), x)
    torch.testing.assert_close(build(fusion="poe").fuse(x, y), x * y)
    torch.testing.assert_close(build(fusion="cat").fuse(x, y), torch.cat([x, y], 1))


def test_gaussian_codes_add_their_divergence():
    method = build(encoder={"embedder": "gaussian"}, w_kl=2.0)
    losses, log = method.losses(views(), StepContext())
    assert float(log["kl"]) > 0
    rest = build(encoder={"embedder": "gaussian"}, w_kl=0.0)
    torch.manual_seed(5)
    one = build(encoder={"embedder": "gaussian"}, w_kl=2.0)
    found = []
    for each in (one, rest):
        torch.manual_seed(7)  # the noise of the codes
        losses, log = each.losses(views(), StepContext())
        found.append(float(losses["encoder"].detach()) - each.settings.w_kl * float(log["kl"]))
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    with pytest.warns(UserWarning, match="Gaussian codes only"):
        build(w_kl=2.0)


def test_poses_that_are_alike_count_as_positives():
    a, p = views()
    a.joints[5], p.joints[5] = a.joints[2], p.joints[2]
    bodies = Batch(torch.randn(12, 1, 1, 13, 3), a.confidence, a.index)
    bodies.joints[4] = 3 * bodies.joints[9] + 1
    flat = build(positive_radius=1e-4)
    (first,), (second,) = flat.sides(a), flat.sides(a)
    found = flat.alike(first, second)
    wanted = torch.eye(12)
    wanted[2, 5] = wanted[5, 2] = 1
    assert torch.equal(found, wanted)
    solid = build(positive_radius=1e-4, positive_metric="3d")
    found = solid.alike(first, second, bodies.joints.flatten(1))
    wanted = torch.eye(12)
    wanted[4, 9] = wanted[9, 4] = 1
    assert torch.equal(found, wanted)
    losses, _ = solid.losses((a, p, bodies), StepContext())
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert build().alike(first, second) is None


def test_max_norm_acts_after_every_step():
    method = build(encoder={"max_norm": 0.5})
    method.after_step(StepContext())
    for part in (method.net, method.sub):
        weights = [w.detach() for name, w in part.named_parameters() if name.endswith(("linear.weight", "head.weight"))]
        assert all(bool((w.norm(dim=1) <= 0.501).all()) for w in weights)


def test_faithful_keeps_biased_variances():
    for faithful in (False, True):
        norms = [m for m in build(faithful=faithful).modules() if hasattr(m, "biased")]
        assert len(norms) == 5 + 4 + 4
        assert all(m.biased == faithful for m in norms)


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"variant": "align", "encoder": {"view": True}}, "align has one code"),
        ({"encoder": {"view": False}}, "two codes"),
        ({"w_cross": -1}, "method.w_cross"),
        ({"p_recorded_view": 2}, "0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(table, word):
    with pytest.raises(InputError, match=word):
        build(**table)


def test_another_encoder_is_refused():
    with pytest.raises(InputError, match="pose_mlp"):
        CVMIM(CVMIM.Settings(), lambda: Recurrent(Recurrent.Settings(hidden=4, layers=1), layout("pose13"), 2))


# ---- the data


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("cvmim") / "swing", clips=12)


def test_any_store_of_3d_poses_makes_2d_views(store):
    side, coords, how = CVMIM.sees(store.layout, store.coords, {})
    assert (side.name, coords, how["how"]) == ("pose13", 2, "image")
    assert CVMIM.sees(side, coords, how) == (side, coords, how)
    method, source = build(), ClipLoader(store)
    items = method.items(source, torch.tensor([3, 1]))
    assert torch.equal(items, source.frame_numbers(torch.tensor([3, 1])))
    anchor, positive = method.views(source, items[:9], torch.Generator())
    assert anchor.joints.shape == positive.joints.shape == (9, 1, 1, 13, 2)
    assert not torch.equal(anchor.joints, positive.joints)
    assert len(build(positive_radius=0.1, positive_metric="3d").views(source, items[:9], torch.Generator())) == 3
    looked = list(method.look(source, torch.arange(12)))
    assert sum(map(len, looked)) == len(store.frames)
    assert all(torch.equal(x.joints, y.joints) for x, y in zip(looked, method.look(source, torch.arange(12))))


def test_a_single_camera_of_2d_poses_cannot_train_it(tmp_path):
    flat = make_store(tmp_path / "flat", clips=6, layout="coco17", coords=2)
    with pytest.raises(InputError, match="2-D poses that no second camera saw") as refused:
        build().items(ClipLoader(flat), torch.arange(6))
    assert "--normalise none" in str(refused.value)
    assert "performance" in str(refused.value)


def test_synchronous_cameras_of_2d_poses_can(tmp_path):
    motions = list(synth.generate(6, actions=["wave"], subjects=2, cameras=3, layout="coco17"))
    with Writer(tmp_path / "flat", motions[0].layout, 1, 2, normalise={"how": "image"}) as writer:
        for motion in motions:
            writer.add(motion)
    source = ClipLoader(kineme.open(tmp_path / "flat"))
    method = build()
    items = method.items(source, torch.arange(6))
    assert len(items) > 100
    losses, _ = method.losses(method.views(source, items[:16], torch.Generator()), StepContext())
    assert all(torch.isfinite(loss) for loss in losses.values())
    with pytest.raises(InputError, match="positive_metric"):
        build(positive_radius=0.1, positive_metric="3d").views(source, items[:4], torch.Generator())


# ---- training


def human36m(path, detections):
    """Arrays as they are made of Human3.6M: 17 joints in mm in the frame of each of four calibrated cameras (x right, y
    down, z away), here with every joint moved in the image to where a detector found it.
    """
    gen = np.random.default_rng(0)
    arrays = {name: [] for name in ("joints", "views", "names", "performance", "labels")}
    for i, motion in enumerate(synth.generate(4, actions=["walk", "wave"], cameras=0, layout="h36m17")):
        for view in range(1, 5):
            turn = np.pi / 2 * view + 0.3
            away = np.array([[np.cos(turn), 0, np.sin(turn)], [0, -1, 0], [np.sin(turn), 0, -np.cos(turn)]])
            body = 1000 * motion.joints[:, 0].astype(np.float64)
            body = (body - body.mean((0, 1))) @ away.T + [0, 0, 4500]
            image = body[..., :2] / body[..., 2:] + gen.normal(0, 0.002, (*body.shape[:2], 2))
            detections.append(image)
            arrays["joints"].append(np.concatenate([image * body[..., 2:], body[..., 2:]], -1))
            arrays["views"].append(view), arrays["labels"].append(i % 2)
            arrays["names"].append(f"S1 {i} {view}"), arrays["performance"].append(f"S1 {i}")
    lengths = [len(x) for x in arrays["joints"]]
    path.mkdir()
    np.savez(
        path / "h36m.npz",
        joints=np.concatenate(arrays.pop("joints")).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        **{k: np.array(v) for k, v in arrays.items()},
    )
    said = {
        "joint_names": layout("h36m17").joints,
        "class_names": ["walk", "wave"],
        "units": "mm",
        "up": "-y",
        "fps": 50,
    }
    (path / "h36m.json").write_text(json.dumps(said))


def test_arrays_of_human36m_with_detections(tmp_path):
    """Detections and projections mixed: a fair coin for each side, detections of another camera where there is one."""
    detections = []
    human36m(tmp_path / "raw", detections)
    store = prepare.prepare(tmp_path / "raw", tmp_path / "store", normalise="none", layout="pose17")
    source = ClipLoader(store)
    assert not joint_map.joint_map(layout("h36m17"), layout("pose17")).virtual
    method = build(p_recorded_view=0.5)
    numbers = method.items(source, torch.arange(16))
    assert len(numbers) == len(store.frames)
    pairs, gen = method._pairs(source), torch.Generator().manual_seed(0)
    draw = pairs.draw(numbers[:400], gen)
    assert 0.45 < draw.own.float().mean() < 0.55
    camera = store.column("camera")[np.searchsorted(store.offsets, draw.numbers.numpy(), "right") - 1]
    assert (camera[:400] != camera[400:]).all()
    seen, own = pairs.views(draw).joints[:, 0, 0], draw.own
    found = torch.from_numpy(np.concatenate(detections)).float()[draw.numbers]
    places = [layout("h36m17").joints.index(name) for name in ("left_wrist", "right_foot")]
    flat = [layout("pose13").joints.index(name) for name in ("left_wrist", "right_ankle")]
    torch.testing.assert_close(seen[own][:, flat], found[own][:, places], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(seen[~own][:, flat], found[~own][:, places], atol=1e-2)
    run = kineme.pretrain("cv_mim", store, tmp_path / "run", epochs=1, settings=[*SMALL, "method.p_recorded_view=0.5"])
    assert json.loads((run / "card.json").read_text())["status"] == "done"


def test_presets_count_steps_over_frames():
    published, small = (recipe.load("cv_mim", 256_000, recipe=name) for name in ("published", "small"))
    assert (published.loop.steps, small.loop.steps) == (200_000, 50_000)
    assert published.loop.epochs is small.loop.epochs is None
    assert (published.encoder["width"], small.encoder["width"]) == (1024, 256)
    for chosen in (published, small):
        assert (chosen.loop.optimiser, chosen.loop.lr, chosen.loop.batch) == ("adagrad", 0.02, 256)
        assert (chosen.loop.weight_decay, chosen.loop.schedule) == (0, "constant")


SMALL = ["encoder.width=16", "encoder.dim=8", "loop.batch=32", "loop.save_seconds=0"]


def test_trained_resumed_and_embedded(store, tmp_path, monkeypatch):
    """Cut in the middle of an epoch, a run ends with the same weights and the same log."""
    whole = kineme.pretrain("cv_mim", store, tmp_path / "whole", epochs=2, settings=SMALL)
    one, count = loop.Training.train_step, 0

    def stop_at_ninth(self, index, at):
        nonlocal count
        count += 1
        if count == 9:
            signal.raise_signal(signal.SIGINT)
        return one(self, index, at)

    monkeypatch.setattr(loop.Training, "train_step", stop_at_ninth)
    with pytest.raises(KeyboardInterrupt):
        kineme.pretrain("cv_mim", store, tmp_path / "cut", epochs=2, settings=SMALL)
    monkeypatch.undo()
    cut = kineme.pretrain("cv_mim", store, tmp_path / "cut", resume=True)
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (whole, cut)]
    for first, second in zip(*logs):
        assert {k: v for k, v in first.items() if "second" not in k} == {
            k: v for k, v in second.items() if "second" not in k
        }
    assert VARIANTS["disentangle"][1] <= logs[0][0].keys()

    model = kineme.load(whole)
    picture = synth.generate(2, actions=["wave"], cameras=1, layout="mediapipe33", coords=2)
    codes, offsets = model.frames(list(picture))
    assert codes.shape == (offsets[-1], 8)
    assert np.isfinite(codes).all()
    assert not np.allclose(
        codes,
        model.untrained().frames(list(synth.generate(2, actions=["wave"], cameras=1, layout="mediapipe33", coords=2)))[
            0
        ],
    )


WORKER = """
import sys
import torch
from kineme import encoders
from kineme.training import optim
from kineme.utils import distributed as world
from kineme.views.batch import Batch
from kineme.encoders.pose_mlp import PoseMLP
from kineme.methods import StepContext
from kineme.methods.cv_mim import CVMIM
from kineme.motion.layout import layout


def trained(variant, **more):
    torch.manual_seed(0)
    shape = PoseMLP.Settings(width=8, dim=4, dropout=0.0, view=variant != "align")
    method = CVMIM(CVMIM.Settings(variant=variant, **more),
                   lambda: encoders.build("pose_mlp", shape, layout("pose13"), 2, 1)).train()
    groups, gen, log = method.groups(), torch.Generator().manual_seed(1), {}
    optimisers = [torch.optim.SGD(params, lr=1e-3) for params in groups.values()]
    for step in range(3):
        share = 12 // here.size
        mine = slice(here.rank * share, (here.rank + 1) * share)
        sizes = (2, 2, 3) if "positive_radius" in more else (2, 2)
        whole = [torch.randn(12, 1, 1, 13, c, generator=gen)[mine] for c in sizes]
        views = tuple(Batch(v, torch.ones(v.shape[:-1]), torch.arange(share)) for v in whole)
        losses, said = method.losses(views, StepContext(number=step, dist=here))
        for i, (name, params) in enumerate(groups.items()):
            losses[name].backward(inputs=params, retain_graph=i + 1 < len(groups))
        optim.average_gradients(groups, here)
        said = {} if variant == "autoencoder" else said  # whose batch is each process' own
        log |= {f"{name} {step}": here.mean_(value.detach().clone()) for name, value in (losses | said).items()}
        log |= {f"grad {name} {step} {i}": p.grad.clone() for name, ps in groups.items() for i, p in enumerate(ps)}
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    log |= {f"state {name}": value for name, value in method.state_dict().items()}
    return {f"{variant} {name}": value for name, value in log.items()}


torch.set_num_threads(1)
here = world.start()
log = trained("disentangle") | trained("autoencoder", faithful=True)
log |= trained("align", positive_radius=0.3, positive_metric="3d")
torch.save(log, f"{sys.argv[1]}.{here.rank}")
world.stop()
"""


def launch(tmp_path, size):
    script, out = tmp_path / "worker.py", tmp_path / f"log-{size}"
    script.write_text(WORKER)
    port = str(24000 + os.getpid() % 20000 + size)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    ranks = [{**address, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)] if size > 1 else [{}]
    running = [Process(python, script, out, env=rank) for rank in ranks]
    try:
        assert [p.wait(timeout=300) for p in running] == [0] * size
    finally:
        for process in running:
            process.kill()
    logs = [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(size)]
    for log in logs[1:]:  # every process holds the same state
        for name, value in log.items():
            torch.testing.assert_close(value, logs[0][name], msg=name)
    return logs[0]


@pytest.mark.slow
def test_two_processes_equal_one_with_the_joint_batch(tmp_path):
    one, two = launch(tmp_path, 1), launch(tmp_path, 2)
    assert one.keys() == two.keys()
    assert sum("running_var" in name for name in one) == 13 + 9 + 10
    for name in one:
        torch.testing.assert_close(
            two[name], one[name], atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_gathering_in_one_process_changes_nothing():
    x, y = torch.randn(4, 3), torch.randn(4)
    (one,), (two,) = gather_together(ProcessGroup(), [x], [y])
    assert one is x
    assert two is y


def test_it_learns(tmp_path):
    """In a hundred steps on made motions: the pose code finds a body before another camera better than before training,
    and better than the view code.
    """
    motions = list(synth.generate(24, subjects=6, cameras=0, layout="ntu25"))
    with Writer(tmp_path / "made", motions[0].layout, 1, 3, normalise={"how": "none"}) as writer:
        for motion in motions:
            writer.add(motion)
    store = kineme.open(tmp_path / "made")
    shape = ["encoder.width=64", "loop.batch=128", "encoder.dropout=0.1"]
    run = kineme.pretrain("cv_mim", store, tmp_path / "run", epochs=10, settings=shape)
    model, source = kineme.load(run, device="cpu"), ClipLoader(store)
    method = build()
    numbers = method.items(source, torch.arange(24))[::8]
    pairs = method._pairs(source)
    one, two = (pairs.views(pairs.draw_views(numbers, torch.Generator().manual_seed(s))) for s in (0, 1))
    body = pairs.bodies(numbers).joints[:, 0, 0]
    apart = keypoints.mpjpe(body[:, None], body)

    @torch.inference_mode()
    def missed(model, part):
        first, second = (model.encoder(view).parts[part][:, 0] for view in (one, two))
        return float(apart[torch.arange(len(numbers)), torch.cdist(first, second).argmin(1)].mean())

    assert missed(model, "pose") < 0.94 * missed(model.untrained(), "pose")
    assert missed(model, "pose") < missed(model, "view")
