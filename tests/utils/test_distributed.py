"""Two real gloo processes compute what one process computes with the joint batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.processes import Process, python
from helpers.training import TINY, make_store
from safetensors.torch import load_file

import kineme

WORKER = """
import sys
import torch
import torch.distributed as dist
from kineme import encoders
from kineme.training import optim
from kineme.utils import distributed as world
from kineme.views.augment import ViewSettings
from kineme.views.batch import Batch
from kineme.encoders.hierarchical import Hierarchical
from kineme.encoders.recurrent import Recurrent
from kineme.methods import StepContext
from kineme.methods.cmd import CMD
from kineme.methods.halp import HaLP
from kineme.methods.hico import HiCo
from kineme.methods.moco import MoCo
from kineme.motion.layout import layout

cell, kind, out = sys.argv[1:]
torch.set_num_threads(1)
here = world.start()
torch.manual_seed(0)
joints = layout("kinect20")
cls = {"moco": MoCo, "cmd": CMD, "halp": HaLP, "halp with cmd": HaLP, "hico": HiCo}[kind]
name, shape = "recurrent", Recurrent.Settings(cell, 5, 2, 2)
if kind == "hico":
    name, shape = "hierarchical", Hierarchical.Settings(cell, 6, granularities=3, frames=6, persons=2)
more = {"prototypes": 4, "recent": 20, "positives": 6, "every": 1} if cls is HaLP else {}
more |= {"cmd": True} if kind == "halp with cmd" else {}
method = cls(cls.Settings(dim=8, queue=20, temperature=0.2, momentum=0.9, views=ViewSettings(frames=6), **more),
             lambda: encoders.build(name, shape, joints, 3, 2))
optimiser = torch.optim.SGD(method.groups()["loss"], lr=0.1, momentum=0.9)
gen = torch.Generator().manual_seed(1)
log = {}
for step in range(4):
    whole = [torch.randn(12, 6, 2, 20, 3, generator=gen) for _ in range(2)]
    share = 12 // here.size
    mine = slice(here.rank * share, (here.rank + 1) * share)
    views = tuple(Batch(v[mine], torch.ones(v[mine].shape[:-1]), torch.arange(share)) for v in whole)
    method.train()
    at = StepContext(number=step, dist=here)
    loss = method.losses(views, at)[0]["loss"]
    optimiser.zero_grad()
    loss.backward()
    optim.average_gradients(method.groups(), here)
    log[f"loss{step}"] = here.mean_(loss.detach().clone())
    log |= {f"grad{step}.{i}": p.grad.clone() for i, p in enumerate(method.groups()["loss"])}
    optimiser.step()
    method.after_step(at)
log |= {f"state.{k}": v for k, v in method.state_dict().items()}
torch.save(log, f"{out}.{here.rank}")
world.stop()
"""


GATHERED = """
import sys, torch
from kineme.utils import distributed as world
torch.set_num_threads(1)
here = world.start()
whole = torch.arange(12.0).view(6, 2) / 10
mine = whole.tensor_split(here.size)[here.rank].clone().requires_grad_()
rows = here.gather_with_grad(mine)
((rows @ rows.T).exp().log1p().sum() * (rows[:, 0] > 0.5).sum()).backward()  # every process the same loss
grad = mine.grad / here.size  # as average_gradients would do
torch.save({"rows": rows.detach(), "grad": here.gather(grad)}, f"{sys.argv[3]}.{here.rank}")
world.stop()
"""


def launch(tmp_path: Path, size: int, cell: str, kind: str = "moco", worker: str = WORKER) -> dict:
    """Run the worker in `size` processes; what rank 0 saw."""
    script = tmp_path / "worker.py"
    script.write_text(worker)
    out = tmp_path / f"log-{size}"
    port = str(20000 + os.getpid() % 20000 + size)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    ranks = [{**address, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)] if size > 1 else [{}]
    running = [Process(python, script, cell, kind, out, env=rank) for rank in ranks]
    try:
        assert [p.wait(timeout=120) for p in running] == [0] * size
    finally:
        for process in running:
            process.kill()
    logs = [torch.load(f"{out}.{rank}", weights_only=True) for rank in range(size)]
    for log in logs[1:]:  # every process holds the same state
        for name, value in log.items():
            torch.testing.assert_close(value, logs[0][name], msg=name)
    return logs[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "kind"),
    [("gru", "moco"), ("lstm", "moco"), ("gru", "cmd"), ("gru", "halp"), ("gru", "halp with cmd"), ("lstm", "hico")],
)
def test_two_processes_equal_one_with_the_joint_batch(tmp_path, cell, kind):
    one, two = launch(tmp_path, 1, cell, kind), launch(tmp_path, 2, cell, kind)
    assert one.keys() == two.keys()
    if kind != "hico":  # it has no batch norm
        assert sum("running" in name for name in one) == 4 * (3 if "cmd" in kind else 1)
    if "halp" in kind:  # the queue was full in time: the positives took part
        assert all(bool(value.any()) for name, value in one.items() if "prototypes" in name)
    for name in one:
        torch.testing.assert_close(
            two[name], one[name], atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_rows_gathered_with_gradient_from_two_processes_equal_those_of_one(tmp_path):
    one, two = launch(tmp_path, 1, "", worker=GATHERED), launch(tmp_path, 2, "", worker=GATHERED)
    assert two["grad"].abs().min() > 0
    for name in one:
        torch.testing.assert_close(two[name], one[name])


@pytest.mark.slow
def test_torchrun_trains_one_run_with_two_processes(tmp_path):
    """The real launcher and command line: one folder, one log, weights that moved. What the processes see and learn is
    compared with one process in tests/training/test_step.py.
    """
    store, run = make_store(tmp_path / "swing"), tmp_path / "run"
    port = str(30000 + os.getpid() % 20000)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    words = ["-m", "kineme", "pretrain", "moco", str(store.path), "--out", str(run), "--epochs", "2", *TINY]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *words], env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    card = json.loads((run / "card.json").read_text())
    assert (card["processes"], card["status"]) == (2, "done")
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()] == [5, 10]
    before, after = load_file(run / "initial.safetensors"), load_file(run / "model.safetensors")
    assert all(not torch.equal(before[name], after[name]) for name in before if "weight" in name)
    assert kineme.load(run).embed(store).shape == (40, 16)
