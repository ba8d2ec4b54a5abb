"""HiCo: its invariants, its queues of any size, and the words that train with it."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from helpers.training import make_store
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

import kineme
from kineme import encoders
from kineme.encoders.hierarchical import Hierarchical
from kineme.encoders.recurrent import Recurrent
from kineme.methods import StepContext
from kineme.methods.hico import LEVELS, HiCo, Projected, ReleasedQueue, unit
from kineme.methods.moco import MoCo
from kineme.motion.layout import Layout, layout
from kineme.training import recipe
from kineme.utils import settings
from kineme.utils.errors import InputError
from kineme.views.batch import Batch

NAMES = ("clip", "part", "temporal", "spatial", "instance")
FREE = Layout("free", tuple(f"j{i}" for i in range(8)), (-1,) + (0,) * 7)


def build(granularities=3, cell="gru", persons=1, seed=0, **more):
    torch.manual_seed(seed)
    shape = Hierarchical.Settings(
        cell, 8, granularities, 8, heads=2, persons=persons, mask_absent=not more.get("faithful")
    )
    table = {"dim": 6, "queue": 12, "momentum": 0.9, **more}
    made = HiCo(settings.make(HiCo.Settings, table), lambda: encoders.build("hierarchical", shape, FREE, 3, persons))
    return made.train()


def clips(rows=4, seed=0, persons=1):
    x = torch.randn(rows, 8, persons, 8, 3, generator=torch.Generator().manual_seed(seed))
    return Batch(x, torch.ones(x.shape[:-1]), torch.arange(rows))


def vectors(method, rows=4, seed=0, granularities=3):
    """Raw projections, as a view gives them."""
    gen = torch.Generator().manual_seed(seed)
    dim = method.settings.dim
    shapes = {name: (rows, granularities, dim) if name in ("clip", "part") else (rows, dim) for name in method.queues}
    return {name: torch.randn(shape, generator=gen) for name, shape in shapes.items()}


def objective(method, queries, keys):
    """Losses by name, of raw projections."""
    losses, log = method.objective(unit(queries), unit(keys), StepContext())
    return losses["loss"], {name: float(log[f"loss {name}"]) for name in method.queues}


def train(method, steps, rows=4, lr=0.05):
    optimiser = torch.optim.SGD(method.groups()["loss"], lr=lr, momentum=0.9)
    for step in range(steps):
        at = StepContext(number=step)
        optimiser.zero_grad()
        method.losses((clips(rows, 2 * step), clips(rows, 2 * step + 1)), at)[0]["loss"].backward()
        optimiser.step()
        yield at
        method.after_step(at)


# ---- the losses


@pytest.mark.parametrize("granularities", [1, 3])
def test_losses_by_hand(granularities):
    method = build(granularities)
    queries, keys = vectors(method, granularities=granularities), vectors(method, seed=1, granularities=granularities)
    total, found = objective(method, queries, keys)
    q, k = unit(queries), unit(keys)
    for name, other in zip(NAMES, ("clip", "part", "spatial", "temporal", "instance")):
        anchor = q[name][:, 0] if q[name].dim() == 3 else q[name]
        positives = k[other] if k[other].dim() == 3 else k[other][:, None]
        each = []
        for n in range(4):
            near = sum(float((anchor[n] @ p / 0.2).exp()) for p in positives[n])
            far = float((method.queue(other).keys @ anchor[n] / 0.2).exp().sum())
            each.append(-torch.tensor(near / (near + far)).log())
        assert found[name] == pytest.approx(float(torch.stack(each).mean()), abs=1e-5)
    assert float(total) == pytest.approx(sum(found.values()), abs=1e-5)


def test_one_granularity_is_plain_cross_entropy():
    method = build(granularities=1)
    queries, keys = vectors(method, granularities=1), vectors(method, seed=1, granularities=1)
    _, found = objective(method, queries, keys)
    q, k = unit(queries)["clip"][:, 0], unit(keys)["clip"][:, 0]
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ method.queue("clip").keys.T], 1) / 0.2
    assert found["clip"] == pytest.approx(float(F.cross_entropy(logits, torch.zeros(4, dtype=torch.long))), abs=1e-5)


@profile(max_examples=20)
@given(scales=st.lists(st.floats(0.01, 100), min_size=10, max_size=10))
def test_lengths_do_not_matter(scales):
    method = build()
    queries, keys = vectors(method), vectors(method, seed=1)
    longer = iter(scales)
    other = [{name: x * next(longer) for name, x in side.items()} for side in (queries, keys)]
    assert objective(method, *other)[1] == pytest.approx(objective(method, queries, keys)[1], abs=2e-5)


@profile(max_examples=20)
@given(order=st.permutations(range(3)), seed=st.integers(0, 1000))
def test_order_of_positives_and_of_the_queue_does_not_matter(order, seed):
    method = build()
    queries, keys = vectors(method), vectors(method, seed=1)
    before = objective(method, queries, keys)[1]
    for name in ("clip", "part"):
        keys[name] = keys[name][:, order]
    for name in NAMES:
        rows = method.queue(name).keys
        rows.copy_(rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))])
    assert objective(method, queries, keys)[1] == pytest.approx(before, abs=1e-5)


def test_only_the_finest_granularity_is_an_anchor():
    method = build()
    queries, keys = vectors(method), vectors(method, seed=1)
    for each in (*queries.values(), *keys.values()):
        each.requires_grad_()
    objective(method, queries, keys)[0].backward()
    for name in ("clip", "part"):
        assert not queries[name].grad[:, 1:].any()
        assert (queries[name].grad[:, 0].abs().sum(1) > 0).all()
    assert all(query.grad.any() for query in queries.values())
    assert all(key.grad is None for key in keys.values())
    assert not any(buffer.requires_grad for buffer in method.buffers())


def test_the_domains_cross():
    """The temporal query meets spatial keys and the spatial queue, and conversely."""
    method = build()
    queries, keys = vectors(method), vectors(method, seed=1)
    before = objective(method, queries, keys)[1]
    method.queue("spatial").keys.copy_(F.normalize(torch.ones(12, 6), dim=1))
    after = objective(method, queries, keys)[1]
    assert {name for name in NAMES if abs(after[name] - before[name]) > 1e-4} == {"temporal"}
    after = objective(method, queries, {**keys, "temporal": -keys["temporal"]})[1]
    assert abs(after["spatial"] - before["spatial"]) > 1e-4


def test_the_same_view_and_the_same_weights_agree():
    """Identical views, key = query: the positive logit of the level instance is 1 / T."""
    method = build(momentum=1.0)
    view = clips()
    query, key = unit(method.query(view)), unit(method.key(view))
    torch.testing.assert_close((query["instance"] * key["instance"]).sum(1), torch.ones(4))
    _, log = method.losses((view, view), StepContext())
    assert float(log["alignment instance"]) == pytest.approx(1, abs=1e-5)


# ---- the step


def test_key_follows_before_its_forward_and_receives_no_gradient():
    method = build()
    query, key = ({n: p.detach().clone() for n, p in m.named_parameters()} for m in (method.query, method.key))
    assert all(torch.equal(query[n], key[n]) for n in query)
    for step, _ in enumerate(train(method, 2)):
        now = dict(method.key.named_parameters())
        for name in key:  # with the query's weights as they were before the optimiser's step
            torch.testing.assert_close(now[name], 0.9 * key[name] + 0.1 * query[name], atol=1e-6, rtol=1e-5)
        assert (step == 0) == all(torch.allclose(now[n], query[n]) for n in query)
        query, key = ({n: p.detach().clone() for n, p in m.named_parameters()} for m in (method.query, method.key))
        assert all(p.grad is None for p in method.key.parameters())


@pytest.mark.parametrize("faithful", [True, False])
def test_everything_contrasted_has_length_one(faithful):
    method = build(faithful=faithful)
    for _ in train(method, 5):
        kept = [method.queue(name).keys for name in NAMES]
        for each in (*kept, *(method.queue(name).staged for name in NAMES), *unit(method.query(clips())).values()):
            torch.testing.assert_close(each.norm(dim=-1), torch.ones(each.shape[:-1]), atol=1e-5, rtol=0)


def test_keys_enter_the_queue_after_the_logits():
    """A step does not meet its own keys as negatives; the next step does."""
    method = build()
    before = {name: method.queue(name).keys.clone() for name in NAMES}
    same = {name: v[:, None].expand(-1, 3, -1) if name in ("clip", "part") else v for name, v in
            dict.fromkeys(NAMES, vectors(method)["instance"]).items()}  # fmt: skip
    first = objective(method, same, same)[1]
    assert all(torch.equal(method.queue(name).keys, before[name]) for name in NAMES)
    method.after_step(StepContext())
    assert all(value > first[name] + 1e-3 for name, value in objective(method, same, same)[1].items())


# ---- the queues


@profile(max_examples=40)
@given(rows=st.integers(1, 9), size=st.integers(1, 20), granularities=st.integers(1, 3), steps=st.integers(1, 6))
def test_queues_are_first_in_first_out_for_any_batch(rows, size, granularities, steps):
    method = build(granularities, queue=size)
    written = {name: method.queue(name).keys.clone() for name in NAMES}
    for step in range(steps):
        keys = unit(vectors(method, rows, step, granularities))
        method.objective(keys, keys, StepContext())
        method.after_step(StepContext())
        # all granularities of a clip, then those of the next
        written = {name: torch.cat([old, keys[name].reshape(-1, 6)]) for name, old in written.items()}
    for name in NAMES:
        queue, long = method.queue(name), granularities * size if name in ("clip", "part") else size
        assert len(queue) == long
        torch.testing.assert_close(queue.newest(long), written[name][-long:], atol=0, rtol=0)
        assert int(queue.pointer) == (len(written[name]) - long) % long


@pytest.mark.parametrize(
    ("rows", "size", "granularities"), [(4, 16, 3), (4, 16, 4), (2, 8, 2), (6, 6, 3), (64, 2048, 4)]
)
def test_released_queues_turn_back_too_early(rows, size, granularities):
    """Finding 8.1: of the G K vectors of clip and part only the first ones are ever written."""
    method = build(granularities, faithful=True, queue=size)
    whole = build(granularities, queue=size)
    start = method.queue("clip").keys.clone()
    expected, pointer, furthest = start.clone(), 0, 0
    for step in range(3 * size // rows):
        keys = unit(vectors(method, rows, step, granularities))
        for each in (method, whole):
            for kind in each.queues:
                each.queue(kind).stage(keys[kind])
            each.after_step(StepContext())
        end = pointer + rows * granularities
        expected[pointer:end] = keys["clip"].flatten(0, 1)
        pointer, furthest = end % size, max(furthest, end)
        for name in NAMES:
            wanted = pointer if name in ("clip", "part") else (step + 1) * rows % size
            assert int(method.queue(name).pointer) == wanted
    assert torch.equal(method.queue("clip").keys, expected)
    assert torch.equal(method.queue("clip").keys[furthest:], start[furthest:])
    assert len(start) == granularities * size
    if (rows, size, granularities) == (64, 2048, 4):
        assert furthest == 2048  # a quarter of 8192
    assert not (whole.queue("clip").keys == start).all(1).any()
    for name in ("temporal", "spatial", "instance"):
        assert torch.equal(method.queue(name).keys, whole.queue(name).keys)


def test_never_written_vectors_lift_the_loss_as_computed():
    """Finding 8.2: at T = 0.2 and 128 dimensions each random vector adds about 1.1 to the denominator."""
    queue, gen = ReleasedQueue(8192, 128, 2048), torch.Generator().manual_seed(0)
    query = F.normalize(torch.randn(64, 128, generator=gen), dim=1)
    assert float((query @ queue.keys[2048:].T / 0.2).exp().mean()) == pytest.approx(1.1, abs=0.01)


# ---- settings


@pytest.mark.parametrize(("cell", "millions"), [("gru", 8.13), ("lstm", 8.92), ("transformer", 8.92)])
def test_published_size_has_the_published_number_of_parameters(cell, millions):
    with torch.device("meta"):
        encoder = Hierarchical(Hierarchical.Settings(cell, persons=2), layout("ntu25"), 3)
        model = Projected(encoder, 128, list(NAMES))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_published_settings():
    table = settings.as_dict(HiCo.Settings())
    assert {k: table[k] for k in ("dim", "queue", "temperature", "momentum", "stream")} == {
        "dim": 128, "queue": 2048, "temperature": 0.2, "momentum": 0.999, "stream": "joint"}  # fmt: skip
    loop = recipe.load("hico", 40_000, recipe="published").loop
    assert (loop.optimiser, loop.lr, loop.epochs, loop.milestones, loop.batch) == ("sgd", 0.01, 451, (351,), 64)
    assert (loop.momentum, loop.weight_decay, loop.gamma) == (0.9, 1e-4, 0.1)
    assert HiCo.sized({}, 300)["queue"] == 150
    assert HiCo.sized({"queue": 7}, 300)["queue"] == 7


@pytest.mark.parametrize("levels", [["clip"], ["clip", "part"], ["domain"], ["instance", "domain"], list(LEVELS)])
def test_levels_can_be_left_out(levels):
    method = build(levels=levels)
    asked = {name for level in levels for name in LEVELS[level]}
    assert set(method.queues) == set(method.query.heads) == asked
    for _ in train(method, 2):
        pass
    whole = build()
    whole.load_state_dict(method.state_dict(), strict=False)
    queries, keys = vectors(whole), vectors(whole, seed=1)
    total, found = objective(method, queries, keys)
    everything = objective(whole, queries, keys)[1]
    assert float(total) == pytest.approx(sum(everything[name] for name in asked), abs=1e-5)
    assert found == pytest.approx({name: everything[name] for name in asked})


@pytest.mark.parametrize(
    ("wrong", "word"), [({"levels": ["clips"]}, "levels"), ({"levels": []}, "levels"), ({"queue": 0}, "queue"),
                        ({"levels": ["clip", "clip"]}, "levels"), ({"temperature": 0}, "temperature")],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong, word):
    with pytest.raises(InputError, match=rf"method\.{word}"):
        build(**wrong)


def test_faithful_refuses_what_the_released_code_cannot_do():
    method = build(faithful=True, queue=10)
    method.losses((clips(), clips(seed=1)), StepContext())
    with pytest.raises(InputError, match="a multiple of those of a batch"):
        method.after_step(StepContext())
    shape = Hierarchical.Settings(hidden=8, granularities=2, frames=8, persons=2)
    with pytest.raises(InputError, match=r"encoder\.mask_absent"):
        HiCo(HiCo.Settings(faithful=True), lambda: encoders.build("hierarchical", shape, FREE, 3, 2))


def test_another_encoder_is_refused():
    with pytest.raises(InputError, match=r"encoder\.name: recurrent"):
        HiCo(HiCo.Settings(), lambda: encoders.build("recurrent", Recurrent.Settings(hidden=4), FREE, 3, 1))


def test_the_encoder_serves_another_method():
    shape = Hierarchical.Settings(hidden=8, granularities=2, frames=8)
    moco = MoCo(MoCo.Settings(dim=6, queue=8), lambda: encoders.build("hierarchical", shape, FREE, 3, 1))
    loss = moco.losses((clips(), clips(seed=1)), StepContext())[0]["loss"]
    loss.backward()
    assert all(p.grad is not None for p in moco.groups()["loss"])


@pytest.mark.parametrize("cell", ["gru", "lstm", "transformer"])
def test_bf16_loss_is_near_and_stays_fp32(cell):
    losses = {}
    for enabled in (False, True):
        method, (one, two) = build(cell=cell, persons=2), (clips(6, s, persons=2) for s in (0, 1))
        one.confidence[:2, :, 1] = two.confidence[:2, :, 1] = 0
        method.eval()  # no dropout: its draws would differ
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses[enabled] = method.losses((one, two), StepContext())[0]["loss"]
        losses[enabled].backward()
        assert all(p.grad.isfinite().all() for p in method.groups()["loss"])
        assert losses[enabled].dtype == torch.float32
    assert losses[True].item() == pytest.approx(losses[False].item(), abs=0.15)


# ---- the words


def test_pretrain_embed_and_streams(tmp_path):
    store = make_store(tmp_path / "swing", clips=24, persons=2)
    small = ["encoder.hidden=8", "encoder.frames=8", "encoder.cell=transformer", "encoder.heads=2",
             "method.views.frames=8", "loop.batch=8", "method.stream=motion"]  # fmt: skip
    run = kineme.pretrain("hico", store, tmp_path / "run", epochs=3, settings=small)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(log) == 3
    assert all(f"loss {name}" in log[0] for name in NAMES)
    assert log[0]["loss"] == pytest.approx(sum(log[0][f"loss {name}"] for name in NAMES), abs=1e-3)
    model = kineme.load(run)
    assert list(model.encoder.encoders) == ["motion"]
    assert model.embed(store).shape == (24, 2 * 4 * 8)
