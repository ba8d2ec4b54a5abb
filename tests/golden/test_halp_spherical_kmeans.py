"""Spherical k-means against geomstats, from the same start."""

import numpy as np
import pytest
import torch

from kineme.nn import spherical_kmeans


@pytest.mark.parametrize("mean", ["intrinsic", "normalised"])
def test_centres_and_labels(golden, mean):
    arrays = golden("halp_spherical_kmeans")
    points, start = torch.from_numpy(arrays["points"]), torch.from_numpy(arrays["init_centres"])
    centres, labels = spherical_kmeans.kmeans(points, start, mean=mean, tolerance=float(arrays["tolerance"]))
    np.testing.assert_array_equal(labels.numpy(), arrays["labels"])
    np.testing.assert_allclose(centres.numpy(), arrays["centres"], atol=1.5e-2)


def test_inertia_is_not_above_the_references(golden):
    """Sum of squared arc lengths, from the same start: within 2 % of the reference's or lower, also in float32."""
    arrays = golden("halp_spherical_kmeans")

    def inertia(centres):
        nearest = np.clip(arrays["points"] @ centres.T, -1, 1).max(1)
        return np.square(np.arccos(nearest)).sum()

    for dtype in (torch.float64, torch.float32):
        points, start = (torch.from_numpy(arrays[name]).to(dtype) for name in ("points", "init_centres"))
        centres, _ = spherical_kmeans.kmeans(points, start)
        assert inertia(centres.double().numpy()) <= 1.0001 * inertia(arrays["centres"])
