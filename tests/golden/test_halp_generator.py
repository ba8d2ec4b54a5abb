"""Hallucinated positives against the authors' generator, and what happens where its arctangent fails."""

import numpy as np
import pytest
import torch

from kineme.nn import hallucination

T, POINTS = 2e-4, 5e-4  # tolerances of the README: arccos near 1 amplifies rounding


def groups(arrays):
    """The prefixes that the file holds."""
    return [key.removesuffix("anchors") for key in arrays if key.endswith("anchors")]


def stored(arrays, prefix):
    """Anchors, prototypes, the stored draw, and the options."""
    *_, ignore, skip, lam = arrays[f"{prefix}hyper_B_P_D_Ng_ignore_skip_lambda"]
    candidates, target = (
        torch.from_numpy(arrays[prefix + name]) for name in ("candidates_low_to_high_similarity", "selected_target")
    )
    choice = (candidates[:, None] == target[:, :, None]).int().argmax(2)
    u = None if lam == hallucination.FIXED else torch.from_numpy(arrays[f"{prefix}u"])
    anchors, prototypes = (torch.from_numpy(arrays[prefix + name]) for name in ("anchors", "prototypes"))
    return anchors, prototypes, hallucination.Draw(choice, u), int(ignore), int(skip)


def test_generator_as_released(golden):
    arrays = golden("halp_generator")
    assert groups(arrays)
    for prefix in groups(arrays):
        anchors, prototypes, draw, ignore, skip = stored(arrays, prefix)
        plan = hallucination.plan(anchors, prototypes, draw, ignore, skip, faithful=True)
        points = hallucination.positives(anchors, prototypes, plan)
        for name, made in (
            ("nearest_prototype", plan.nearest),
            ("candidates_low_to_high_similarity", plan.candidates),
            ("selected_target", plan.target),
            ("good_mask", plan.kept),
            ("nearest_after", (points @ prototypes.T).argmax(2)),
        ):
            np.testing.assert_array_equal(made.numpy(), arrays[prefix + name], err_msg=prefix + name)
        for name, made in (("t_max_as_released", plan.limit), ("t_used", plan.t), ("omega", plan.omega)):
            np.testing.assert_allclose(made.numpy(), arrays[prefix + name], atol=T, err_msg=prefix + name)
        np.testing.assert_allclose(points.numpy(), arrays[f"{prefix}generated"], atol=POINTS, err_msg=prefix)
        raw = plan.alpha[..., None] * anchors[:, None] + plan.beta[..., None] * prototypes[plan.target]
        np.testing.assert_allclose(raw.numpy(), arrays[f"{prefix}generated_before_normalisation"], atol=POINTS)


def test_the_default_agrees_where_the_arctangent_holds(golden):
    """Two arguments instead of a quotient: the same values here, and the same positives pass the filter."""
    arrays = golden("halp_generator")
    for prefix in groups(arrays):
        if (arrays[f"{prefix}t_used"] < 0).any() or (arrays[f"{prefix}t_max_as_released"] < 0).any():
            continue
        anchors, prototypes, draw, ignore, skip = stored(arrays, prefix)
        plan = hallucination.plan(anchors, prototypes, draw, ignore, skip)
        np.testing.assert_allclose(plan.limit.numpy(), arrays[f"{prefix}t_max_as_released"], atol=T)
        np.testing.assert_array_equal(plan.kept.numpy(), arrays[f"{prefix}good_mask"])


@pytest.mark.parametrize("faithful", [True, False])
def test_the_corner(golden, faithful):
    arrays = golden("halp_generator_corner")
    anchors, prototypes, draw, ignore, skip = stored(arrays, "")
    negative = torch.from_numpy(arrays["atan_negative"])
    plan = hallucination.plan(anchors, prototypes, draw, ignore, skip, faithful)
    points = hallucination.positives(anchors, prototypes, plan)
    released = torch.from_numpy(arrays["t_max_as_released"])
    everywhere = torch.ones_like(negative) if faithful else ~negative
    np.testing.assert_allclose(plan.limit[everywhere], released[everywhere], atol=T)
    np.testing.assert_allclose(points[everywhere], arrays["generated"][everywhere.numpy()], atol=POINTS)
    np.testing.assert_array_equal(plan.kept[everywhere], arrays["good_mask"][everywhere.numpy()])
    if faithful:
        assert bool((plan.limit[negative] < 0).all())
    else:
        expected = released[negative] + torch.pi / plan.omega[negative]
        np.testing.assert_allclose(plan.limit[negative], expected.clamp(0, 1), atol=T)
        assert bool((plan.limit >= 0).all())


def test_the_sum_of_scalars_is_the_sum_of_vectors(golden):
    """What training uses never makes the positives; it must be the sum of those that are kept."""
    for name in ("halp_generator", "halp_generator_corner"):
        arrays = golden(name)
        for prefix in groups(arrays):
            anchors, prototypes, draw, ignore, skip = stored(arrays, prefix)
            plan = hallucination.plan(anchors, prototypes, draw, ignore, skip, faithful=True)
            kept = torch.from_numpy(arrays[f"{prefix}generated"] * arrays[f"{prefix}good_mask"][..., None])
            pulled = hallucination.pull(anchors, prototypes, plan)
            np.testing.assert_allclose(pulled.numpy(), kept.sum(1).numpy(), atol=POINTS * draw.choice.shape[1])
