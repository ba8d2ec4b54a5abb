"""The global batch norm in one process is torch's batch norm; its averaging mode is a cumulative mean."""

import torch

from kineme.nn.batch_norm import BatchNorm


def test_equals_torch_in_training_and_evaluation():
    gen = torch.Generator().manual_seed(0)
    own, reference = BatchNorm(5), torch.nn.BatchNorm1d(5)
    reference.load_state_dict(own.state_dict())
    for _ in range(3):
        x = torch.randn(4, 7, 5, generator=gen)
        torch.testing.assert_close(own(x), reference(x.flatten(0, 1)).view_as(x))
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value)
    own.eval(), reference.eval()
    torch.testing.assert_close(own(x), reference(x.flatten(0, 1)).view_as(x))


def test_without_momentum_statistics_are_the_mean_over_batches():
    gen = torch.Generator().manual_seed(0)
    own, reference = BatchNorm(3, momentum=None), torch.nn.BatchNorm1d(3, momentum=None)
    for _ in range(4):
        x = torch.randn(6, 3, generator=gen)
        torch.testing.assert_close(own(x), reference(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.running_mean, reference.running_mean)
    torch.testing.assert_close(own.running_var, reference.running_var)


def test_the_biased_variance_is_that_of_the_batch():
    """As Keras keeps it: (1 - momentum) of what was, momentum of the batch's own."""
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    own = BatchNorm(3, momentum=0.25, biased=True)
    for _ in range(2):
        before = own.running_var.clone()
        own(x).sum().backward()
        torch.testing.assert_close(own.running_var, 0.75 * before + 0.25 * x.var(0, correction=0))


def test_far_from_the_origin():
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0)) + 1e4
    exact = (x.double() - x.double().mean(0)) / (x.double().var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(BatchNorm(4)(x).double(), exact, atol=1e-5, rtol=0)


def test_one_row_is_no_statistics():
    own = BatchNorm(3)
    assert torch.isfinite(own(torch.randn(1, 3))).all()
    assert torch.isfinite(own.running_var).all()
