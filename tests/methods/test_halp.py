"""HaLP: warm-up, prototypes, the term it adds, and a run that begins with another."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.training import kineme, make_store, one_paragraph

from kineme import encoders
from kineme.data.splits import Split
from kineme.encoders.recurrent import Recurrent
from kineme.evaluation.run import evaluate
from kineme.inference import model as embed
from kineme.methods import StepContext
from kineme.methods.halp import HaLP
from kineme.methods.moco import MoCo
from kineme.motion.layout import layout
from kineme.nn import hallucination
from kineme.training import checkpoint, loop
from kineme.utils import settings
from kineme.utils.distributed import ProcessGroup
from kineme.utils.errors import InputError

SMALL = {"dim": 6, "queue": 20, "recent": 12, "prototypes": 4, "positives": 9, "every": 3}
TINY = [
    *("encoder.hidden=8", "encoder.layers=1", "method.views.frames=8", "method.queue=20", "method.dim=8"),
    *("loop.batch=8", "loop.save_seconds=0", "loop.schedule=constant", "loop.optimiser=sgd", "loop.lr=0.05"),
]
HALP = [*TINY, "method.recent=16", "method.prototypes=4", "method.positives=6", "method.every=2"]


def new_encoder():
    return encoders.build("recurrent", Recurrent.Settings(hidden=4, layers=1), layout("kinect20"), 3, 1)


def method(cls=HaLP, **more):
    torch.manual_seed(0)
    table = {k: v for k, v in {**SMALL, **more}.items() if k in cls.Settings.__dataclass_fields__}
    return cls(settings.make(cls.Settings, table), new_encoder)


def unit(*shape, seed):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def run(halp, steps, rows=6, per_epoch=100, first=0):
    """Steps on given vectors; what was logged at each."""
    logs = []
    for step in range(first, first + steps):
        at = StepContext(step, step // per_epoch, 4 * per_epoch, 4)
        query, key = (
            {n: unit(rows, 6, seed=100 * side + step + 1000 * i) for i, n in enumerate(halp.streams)} for side in (1, 2)
        )
        logs.append(halp.objective(query, key, at)[1])
        halp.after_step(at)
    return logs


def test_nothing_is_hallucinated_until_the_queue_is_full_of_keys():
    halp = method()
    logs = run(halp, 6)
    full = [number for number, log in enumerate(logs) if float(log["halp"]) != 0]
    assert full == [4, 5]  # 4 steps of 6 fill a queue of 20
    again = method()
    again.load_state_dict(halp.state_dict())  # a full queue that was saved is full: no waiting
    assert float(run(again, 1, first=6)[0]["halp"]) != 0


def test_released_warm_up_counts_samples_of_the_process():
    """2K + 1 samples: of a queue of 18 and batches of 6 that is after 7 steps; a resumed run waits again."""
    halp = method(queue=18, faithful=True)
    logs = run(halp, 9)
    assert [number for number, log in enumerate(logs) if float(log["halp"]) != 0] == [7, 8]
    again = method(queue=18, faithful=True)
    again.load_state_dict(halp.state_dict())
    assert float(run(again, 1, first=9)[0]["halp"]) == 0


@pytest.mark.parametrize("faithful", [False, True])
def test_when_prototypes_are_made(faithful):
    """Every third step of all (released: of the epoch), at its end; before that once when the warm-up ends, and at the
    end of that step.
    """
    halp = method(queue=18, faithful=faithful)
    made = []
    for step in range(18):
        before = halp.prototypes("joint").clone()
        run(halp, 1, per_epoch=4, first=step)
        if not torch.equal(before, halp.prototypes("joint")):
            made.append(step)
    due = [step for step in range(18) if (step % 4 if faithful else step) % 3 == 0]
    begun = 7 if faithful else 3
    assert made == sorted({begun, *(step for step in due if step > begun)})
    centres = halp.prototypes("joint")
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(4))
    assert not centres.requires_grad


def test_prototypes_are_of_the_newest_keys():
    halp = method(prototypes=2, recent=6)
    run(halp, 5)  # the last batch of 6 is the window, whatever stood in the queue before
    old = halp.prototypes("joint").clone()
    halp.branch("joint").queue.keys[:] = unit(20, 6, seed=9)
    halp.branch("joint").queue.push(unit(2, 6, seed=3).repeat(3, 1))
    halp.cluster(StepContext(number=5))
    near = unit(2, 6, seed=3) @ halp.prototypes("joint").T
    torch.testing.assert_close(near.amax(1), torch.ones(2))
    assert not torch.allclose(old, halp.prototypes("joint"))


def test_off_it_is_moco_bit_for_bit():
    halp, moco = method(mu=0.0), method(MoCo)
    assert all(torch.equal(halp.state_dict()[name], value) for name, value in moco.state_dict().items())
    for step in range(6):
        query, key = unit(6, 6, seed=step), unit(6, 6, seed=50 + step)
        at = StepContext(step, 0, 10, 1)
        a, b = (m.objective({"joint": query}, {"joint": key}, at)[0]["loss"] for m in (halp, moco))
        assert torch.equal(a, b)
        halp.after_step(at), moco.after_step(at)
    assert torch.equal(halp.branch("joint").queue.keys, moco.branch("joint").queue.keys)


def test_the_term_by_hand():
    """Mean over the kept positives of -q.g / T, from the positives themselves; bounded by 1 / T; 0 with none kept."""
    halp = method()
    run(halp, 5)
    query, key, at = unit(6, 6, seed=1), unit(6, 6, seed=2), StepContext(number=5)
    centres = halp.prototypes("joint")
    bank = halp.bank("joint")
    plan = bank.plan(key, halp.draw("joint", 6, at))
    points = hallucination.positives(key, centres, plan)
    by_hand = -((query[:, None] * points).sum(2) * plan.kept).sum() / plan.kept.sum() / 0.07
    term = halp.hallucinated(query, bank.pull(key, plan), plan, at)
    torch.testing.assert_close(term, by_hand, atol=1e-4, rtol=1e-5)
    assert abs(float(term)) <= 1 / 0.07
    none = plan._replace(kept=torch.zeros_like(plan.kept))
    assert float(halp.hallucinated(query, bank.pull(key, none), none, at)) == 0
    order = torch.tensor([3, 1, 0, 2, 5, 4])
    shuffled = hallucination.Plan(*(part[order] for part in plan))
    torch.testing.assert_close(halp.hallucinated(query[order], bank.pull(key[order], shuffled), shuffled, at), term)


def test_draws_of_two_processes_are_those_of_one():
    halp = method()
    whole = halp.draw("joint", 6, StepContext(number=3))
    parts = [halp.draw("joint", 3, StepContext(number=3, dist=ProcessGroup(rank, 2))) for rank in (0, 1)]
    assert all(torch.equal(torch.cat(pair), one) for pair, one in zip(zip(*parts), whole))


def test_three_streams_have_prototypes_of_their_own():
    halp = method(cmd=True)
    logs = run(halp, 6)
    assert {name for name in logs[-1] if name.startswith("loss ")} == {"loss joint", "loss motion", "loss bone"}
    assert float(logs[-1]["cmd"]) > 0
    centres = [halp.prototypes(name) for name in ("joint", "motion", "bone")]
    assert not torch.allclose(centres[0], centres[1])
    assert not torch.allclose(centres[1], centres[2])


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"recent": 21}, "method.recent"),
        ({"prototypes": 1}, "method.prototypes"),
        ({"prototypes": 13}, "method.prototypes"),
        ({"lam": 1.5}, "method.lam"),
        ({"mu": -1.0}, "method.mu"),
        ({"positives": 0}, "method.positives"),
        ({"skip": 0}, "method.skip"),
    ],
)
def test_impossible_settings_are_refused_by_name(table, word):
    with pytest.raises(InputError, match=re.escape(word)):
        settings.make(HaLP.Settings, {**SMALL, **table})


@pytest.mark.parametrize("clips", [1, 5, 8, 30, 100, 2000])
def test_settings_are_sized_to_a_small_set(clips):
    made = HaLP.sized({}, clips)
    assert made["recent"] <= made["queue"] <= max(4, clips // 2)
    assert 2 <= made["prototypes"] <= made["recent"]
    settings.make(HaLP.Settings, made)


def test_settings_of_a_large_set_are_the_published_ones():
    assert HaLP.sized({}, 100_000) == {"queue": 16384, "recent": 256, "prototypes": 20}


# ---- a run that begins with another


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("halp") / "swing")


@pytest.fixture(scope="module")
def baseline(store, tmp_path_factory):
    return loop.pretrain("moco", store, tmp_path_factory.mktemp("runs") / "moco", epochs=2, settings=TINY)


def state(run):
    return checkpoint.load(run / "resume" / "state.safetensors")[0]


def test_moco_then_halp(store, baseline, tmp_path):
    """Weights, queue, optimiser and epochs are taken over; a killed and resumed run ends in the same weights."""
    run = loop.pretrain("halp", store, tmp_path / "halp", epochs=6, settings=HALP, init_from=baseline)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [2, 3, 4, 5]
    assert lines[0]["halp"] != 0  # the queue was full of keys
    assert {"kept", "t", "angle", "in use"} <= lines[0].keys()
    card = json.loads((run / "card.json").read_text())
    assert card["init"]["epochs"] == 2
    assert (run / "initial.safetensors").read_bytes() == (baseline / "initial.safetensors").read_bytes()
    assert embed.load(run).untrained().embed(store).shape == (40, 16)


def test_without_positives_it_is_a_longer_moco(store, baseline, tmp_path):
    """With a constant rate, MoCo for 2 epochs and 2 more as HaLP with mu 0 is MoCo for 4."""
    whole = loop.pretrain("moco", store, tmp_path / "moco", epochs=4, settings=TINY)
    parts = loop.pretrain(
        "halp", store, tmp_path / "halp", epochs=4, settings=[*HALP, "method.mu=0"], init_from=baseline
    )
    wanted, found = state(whole), state(parts)
    for name, value in wanted.items():
        if name.startswith(("method/", "optimiser/")):
            assert torch.equal(found[name], value), name


def test_resumed_in_the_middle(store, baseline, tmp_path, monkeypatch):
    whole = loop.pretrain("halp", store, tmp_path / "whole", epochs=5, settings=HALP, init_from=baseline)
    one = loop.Training.train_step
    left = [7]

    def interrupted(self, index, at):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("power cut")
        return one(self, index, at)

    monkeypatch.setattr(loop.Training, "train_step", interrupted)
    with pytest.raises(RuntimeError):
        loop.pretrain("halp", store, tmp_path / "cut", epochs=5, settings=HALP, init_from=baseline)
    monkeypatch.undo()
    cut = loop.pretrain("halp", store, tmp_path / "cut", resume=True)
    assert all(torch.equal(state(cut)[name], value) for name, value in state(whole).items())
    assert len((cut / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("changed", "epochs", "word"),
    [
        ([], 2, "more than 2"),
        (["encoder.hidden=9"], 5, "of another shape"),
        (["method.cmd=true"], 5, "missing"),
        (["loop.optimiser=adamw"], 5, "loop.optimiser"),
    ],
)
def test_what_cannot_begin_a_run(store, baseline, tmp_path, changed, epochs, word):
    with pytest.raises(InputError, match=re.escape(word)):
        loop.pretrain("halp", store, tmp_path / "no", epochs=epochs, settings=[*HALP, *changed], init_from=baseline)
    assert not (tmp_path / "no").exists()


def test_the_command_line_says_what_is_no_run(store, tmp_path):
    words = ("pretrain", "halp", store.path, "--out", tmp_path / "no", "--init-from", store.path, "--epochs", 5)
    one_paragraph(kineme(*words, check=False), "swing", "a 'store'", "Expected a run")


def test_a_clip_is_its_own_nearest_neighbour(store, baseline):
    """Retrieval with k = 1 on the training clips themselves finds every one (section 11, item 17)."""
    rows = np.arange(len(store))
    found = evaluate(embed.load(baseline), store, ["knn"], Split("all", rows, rows), settings={"knn": {"k": [1]}})
    assert {row["score"] for row in found} == {1.0}


@pytest.mark.parametrize("probe", ["halp", "cmd", "logistic"])
def test_a_probe_leaves_the_encoder_as_it_was(store, baseline, probe):
    """Weights and batch-norm statistics, bit for bit (section 11, item 18)."""
    model = embed.load(baseline)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    evaluate(model, store, ["linear"], "random", settings={"linear": {"probe": probe, "epochs": 3}}, untrained=False)
    after = model.encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
