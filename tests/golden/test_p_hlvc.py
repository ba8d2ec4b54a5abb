"""Reference vectors of P-HLVC: assignments and losses, label marginals, FINCH, motion images."""

import re

import numpy as np
import pytest
import torch

from kineme.motion.layout import layout
from kineme.nn.finch import finch, finch_exactly
from kineme.nn.sinkhorn import assign, correct_marginals, sinkhorn
from kineme.nn.swapped import between_views, nt_xent, prediction_loss, swapped
from kineme.views.motion_image import in_image, motion_image, walk


def close(ours, theirs, atol=1e-9):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-7, atol=atol)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def assignment(request, golden):
    data = golden("p_hlvc_assignment")
    return {name: torch.from_numpy(np.asarray(value)).to(request.param) for name, value in data.items()}, (
        1e-9 if request.param == torch.float64 else 1e-5
    )


def test_assignments(assignment):
    data, atol = assignment
    eps = float(data["eps"])
    for name, expected in data.items():
        if (found := re.fullmatch(r"q_(sk|vid)_iter(\d+)", name)) is None:
            continue
        scores = data[f"scores_{found[1]}"]
        views = scores if scores.dim() == 3 else scores[:, None]
        q = sinkhorn(views.transpose(0, 1), eps, int(found[2])).transpose(0, 1).view_as(expected)
        close(q, expected, atol)
    close(sinkhorn(data["scores_sk"], eps, 2000), data["q_sk_converged"], max(atol, 1e-6))
    for name, expected in data.items():
        if found := re.fullmatch(r"q_sk_queue_iter(\d+)", name):
            args = data["z_sk"], data["prototypes"], data["queue_sk"]
            close(assign(*args, eps=eps, rounds=int(found[1])), expected, atol)


def test_swapped_prediction(assignment):
    data, atol = assignment
    video, bodies = (data[f"scores_{name}"].clone().requires_grad_() for name in ("vid", "sk"))
    present, temperature = torch.ones(len(video), 1, dtype=torch.bool), float(data["temperature"])
    q_video, q_bodies = data["q_vid_iter3"], data["q_sk_iter3"][:, None]
    args = q_video, video, q_bodies, bodies[:, None], present, temperature
    loss = swapped(*args)
    loss.backward()
    relaxed = max(atol, 1e-9) * 10
    close(loss.detach(), data["swap_loss"], relaxed)
    close(video.grad, data["grad_scores_vid"], atol)
    close(bodies.grad, data["grad_scores_sk"], atol)
    close(swapped(*args, binary=True).detach(), data["swap_loss_binary"], relaxed)
    each = (
        prediction_loss(q_bodies, video.detach(), temperature),
        prediction_loss(q_video, args[3].detach(), temperature),
    )
    close(each[0].mean(0), data["ce_q_sk_p_vid"], relaxed)
    close(each[1].mean(0), data["ce_q_vid_p_sk"], relaxed)
    close(between_views(q_video, video.detach(), temperature), data["ce_q_vid_p_vid_offdiag_mean"], relaxed)


def test_contrast(assignment):
    data, atol = assignment
    present = torch.ones(len(data["z_sk"]), 1, dtype=torch.bool)
    losses = nt_xent(data["z_vid"][:, 0], data["z_sk"][:, None], present, float(data["ntxent_temperature"]))
    for ours, name in zip(losses, ("ntxent_vid2sk", "ntxent_sk2vid")):
        close(ours, data[name], atol * 10)


def test_label_marginals(golden):
    data = golden("p_hlvc_marginal")
    log_p, target = torch.from_numpy(data["logits"]).log_softmax(1), torch.from_numpy(data["target_marginal"])
    for name, expected in data.items():
        if found := re.fullmatch(r"q_converged(?:_eps(\d+)p(\d+))?", name):
            eps = float(data["eps"]) if found[1] is None else float(f"{found[1]}.{found[2]}")
            close(correct_marginals(log_p, target, eps, tolerance=1e-11), expected)
    corrected = correct_marginals(log_p, target, float(data["eps"]))
    np.testing.assert_allclose(corrected.mean(0), target, atol=1e-6)
    assert np.array_equal(corrected.argmax(1), data["pseudo_label"])
    raw, ours = ((labels == data["labels_true"]).mean() for labels in (data["argmax_raw"], corrected.argmax(1).numpy()))
    assert ours > raw


def same(ours, theirs):
    """Equal up to the numbers of the clusters."""
    return len(set(zip(ours, theirs))) == len(set(ours)) == len(set(theirs))


def test_finch(golden):
    data = golden("p_hlvc_finch")
    levels = finch(data["features"])
    assert (levels.max(0) + 1).tolist() == data["num_clusters"].tolist()
    assert all(same(ours, theirs) for ours, theirs in zip(levels.T, data["partitions"].T, strict=True))
    for name, expected in data.items():
        if found := re.fullmatch(r"partition_req(\d+)", name):
            assert same(finch_exactly(data["features"], int(found[1])), expected)


def test_motion_images(golden):
    data = golden("p_hlvc_skelemotion")
    for name, expected in data.items():
        if (found := re.fullmatch(r"image([23])d(?:_d(\d+))?", name)) is None:
            continue
        coords, distance = int(found[1]), int(found[2] or 1)
        joints = torch.from_numpy(data[f"joints{coords}d"])[None, :, None]
        joints = joints if coords == 3 else in_image(joints, torch.ones(1, 2))
        order = walk(layout("ntu25" if coords == 3 else "openpose18"))
        assert list(order) == data[f"order{coords}d"].tolist()
        for dtype, atol in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
            image = motion_image(joints.to(dtype), torch.ones(joints.shape[:-1]), order, (distance,), faithful=True)
            close(image.values[0, 0], expected, atol)
