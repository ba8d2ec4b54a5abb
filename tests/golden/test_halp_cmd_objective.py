"""Three streams of MoCo with mutual distillation against the authors' code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kineme.encoders.recurrent import Recurrent
from kineme.methods import StepContext
from kineme.methods.cmd import CMD, STREAMS
from kineme.methods.halp import HaLP
from kineme.motion.layout import Layout


def new_encoder():
    return Recurrent(Recurrent.Settings("gru", 4, 1, 1), Layout("free", ("a", "b"), (-1, 0)), 3)


@pytest.mark.parametrize("cls", [CMD, HaLP])
def test_objective(golden, cls):
    """Also HaLP with CMD, as long as nothing is hallucinated."""
    arrays = golden("halp_cmd_objective")
    _, dim, size, top, temperature, teacher, student = arrays["hyper_N_C_K_topk_T_teacherT_studentT"]
    more = {} if cls is CMD else {"cmd": True, "recent": int(size) // 2, "prototypes": 4}
    settings = cls.Settings(
        dim=int(dim), queue=int(size), temperature=float(temperature), top=int(top), teacher=float(teacher),
        student=float(student), **more,
    )  # fmt: skip
    method = cls(settings, new_encoder)
    assert set(method.streams) == {name for name in STREAMS if f"queue_{name}" in arrays}
    raw, keys = {}, {}
    for name in method.streams:
        method.branch(name).queue.keys.copy_(torch.from_numpy(arrays[f"queue_{name}"]).T)
        raw[name] = torch.from_numpy(arrays[f"q_raw_{name}"]).requires_grad_()
        keys[name] = F.normalize(torch.from_numpy(arrays[f"k_raw_{name}"]), dim=1)
    losses, log = method.objective({n: F.normalize(q, dim=1) for n, q in raw.items()}, keys, StepContext())
    losses["loss"].backward()
    found = [float(log["loss joint"]), float(log["loss motion"]), float(log["loss bone"]), float(log["cmd"])]
    np.testing.assert_allclose(found, arrays["losses_joint_motion_bone_cmd"], atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(float(losses["loss"].detach()), arrays["loss_total"], atol=2e-5, rtol=1e-5)
    method.after_step(StepContext(number=1))
    for name in method.streams:
        np.testing.assert_allclose(raw[name].grad.numpy(), arrays[f"grad_q_raw_{name}"], atol=1e-5)
        after = method.branch(name).queue.keys.T.numpy()
        np.testing.assert_allclose(after, arrays[f"queue_after_{name}"], atol=2e-5, rtol=1e-5)
