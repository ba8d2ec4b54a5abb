"""HaLP's objective over several steps against the authors' code: loss, gradients, filter, queue, recent window."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

from kineme.encoders.recurrent import Recurrent
from kineme.methods import StepContext
from kineme.methods.halp import HaLP
from kineme.motion.layout import Layout
from kineme.nn import hallucination


def new_encoder():
    return Recurrent(Recurrent.Settings("gru", 4, 1, 1), Layout("free", ("a", "b"), (-1, 0)), 3)


def test_steps(golden):
    arrays = golden("halp_step")
    _, dim, size, count, positives, ignore, skip, lam, temperature, mu, recent = arrays[
        "hyper_N_C_K_P_Ng_ignore_skip_lambda_T_mu_recent"
    ]
    settings = HaLP.Settings(
        dim=int(dim),
        queue=int(size),
        temperature=float(temperature),
        prototypes=int(count),
        recent=int(recent),
        positives=int(positives),
        ignore=int(ignore),
        skip=int(skip),
        lam=float(lam),
        mu=float(mu),
        faithful=True,
    )
    method = HaLP(settings, new_encoder)
    queue = method.branch("joint").queue
    queue.keys.copy_(torch.from_numpy(arrays["queue_init"]).T)
    method.prototypes("joint").copy_(torch.from_numpy(arrays["prototypes"]))
    method.ready = True

    for k in itertools.takewhile(lambda k: f"s{k}_q_raw" in arrays, itertools.count()):
        stored = {n: torch.from_numpy(np.asarray(v)) for n, v in arrays.items() if n.startswith(f"s{k}_")}
        draw = hallucination.Draw(stored[f"s{k}_choice_index_into_candidates"], stored[f"s{k}_u"])
        method.draw = lambda *_, draw=draw: draw
        raw = stored[f"s{k}_q_raw"].requires_grad_()
        query, key = F.normalize(raw, dim=1), F.normalize(stored[f"s{k}_k_raw"], dim=1)
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.keys.T], 1) / settings.temperature
        np.testing.assert_allclose(logits.detach().numpy(), arrays[f"s{k}_logits"], atol=1e-4)

        at = StepContext(number=k + 1, steps=100, epochs=1)  # no step at which prototypes are due
        losses, log = method.objective({"joint": query}, {"joint": key}, at)
        losses["loss"].backward()
        term = settings.mu * float(log["halp"])
        np.testing.assert_allclose(term, arrays[f"s{k}_loss_halp_times_mu"], atol=2e-4)
        np.testing.assert_allclose(float(losses["loss"].detach()) - term, arrays[f"s{k}_loss_ce"], atol=2e-4)
        np.testing.assert_allclose(float(losses["loss"].detach()), arrays[f"s{k}_loss_total"], atol=2e-4)
        np.testing.assert_allclose(raw.grad.numpy(), arrays[f"s{k}_grad_q_raw"], atol=1e-4)
        kept = method.bank("joint").plan(key, draw).kept
        np.testing.assert_array_equal(kept.numpy(), arrays[f"s{k}_good_mask"])
        assert float(log["kept"]) == np.float32(kept.float().mean())

        method.after_step(at)
        assert int(queue.pointer) == int(arrays[f"s{k}_ptr_after"]) % len(queue)
    np.testing.assert_allclose(queue.keys.T.numpy(), arrays["queue_final"], atol=1e-6)
    window = arrays["recent_window_indices_after_last_step"]
    np.testing.assert_allclose(queue.newest(settings.recent).numpy(), arrays["queue_final"].T[window], atol=1e-6)
