"""Products by either way: values and gradients are torch's, and one decision holds."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from kineme.nn import matmul

needs_onednn = pytest.mark.skipif(not matmul._has_onednn(), reason="this torch has no product of oneDNN")


@pytest.fixture(params=[matmul.DEFAULT, pytest.param(matmul.ONEDNN, marks=needs_onednn)])
def way(request, monkeypatch):
    """Each way, taken for small products too."""
    monkeypatch.setattr(matmul, "LARGE", 0)
    with matmul.taking(request.param):
        yield request.param


@pytest.mark.parametrize("shape", [(9,), (5, 9), (4, 3, 9), (2, 3, 4, 9), (0, 9)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [4, 31])
def test_linear_equals_torch(way, shape, bias, outputs):
    torch.manual_seed(0)
    x, weight = torch.randn(shape, requires_grad=True), torch.randn(outputs, 9, requires_grad=True)
    given = [x, weight, torch.randn(outputs, requires_grad=True)] if bias else [x, weight]
    found, wanted = matmul.linear(*given), F.linear(*given)
    torch.testing.assert_close(found, wanted)
    slope = torch.randn(wanted.shape)
    made = torch.autograd.grad(found, given, slope), torch.autograd.grad(wanted, given, slope)
    torch.testing.assert_close(*made)


def test_however_the_matrices_lie(way):
    torch.manual_seed(0)
    x, weight = torch.randn(12, 40), torch.randn(30, 40)
    lying = [
        (x.T.contiguous().T, weight.T.contiguous().T),
        (torch.randn(12, 80)[:, ::2], torch.randn(30, 50)[:, 5:45]),
        (torch.randn(40).expand(12, 40), torch.randn(1, 40).expand(30, 40)),
        (x.view(3, 4, 40).transpose(0, 1), weight[::3]),
    ]
    for a, b in lying:
        torch.testing.assert_close(matmul.linear(a, b), F.linear(a, b))
        if a.dim() == 2:
            torch.testing.assert_close(matmul.product(a, b.T), a @ b.T)
    weight.requires_grad_()
    (found,) = torch.autograd.grad(matmul.linear(x, weight).sum(), weight)  # a gradient that is one number, expanded
    torch.testing.assert_close(found, x.sum(0).expand(30, 40))


def test_a_penalty_on_gradients(way):
    """Gradients of gradients, as the critics of adversarial training need them."""
    torch.manual_seed(0)
    net = nn.Sequential(matmul.Linear(6, 8), nn.Tanh(), matmul.Linear(8, 1))
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    plain.load_state_dict(net.state_dict())
    x, found = torch.randn(5, 6, requires_grad=True), []
    for side in (net, plain):
        (slope,) = torch.autograd.grad(side(x).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.norm(), list(side.parameters())[:3]))
    torch.testing.assert_close(*found)


@needs_onednn
def test_gradients_are_those_of_the_product(monkeypatch):
    monkeypatch.setattr(matmul, "_by_onednn", F.linear)  # in double precision, in which oneDNN does not multiply
    given = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((3, 4), (5, 4), (5,))]
    assert gradcheck(matmul._Linear.apply, given)
    assert gradgradcheck(matmul._Linear.apply, given)


def test_left_to_torch(monkeypatch):
    """Small products, other types and devices, autocast, exported programs."""
    if matmul._has_onednn():
        with matmul.taking(matmul.ONEDNN):
            a, b = torch.zeros(1024, 64), torch.zeros(64, 64)
            assert matmul.onednn(a, b)
            assert not matmul.onednn(a[:8], b)
            assert not matmul.onednn(a.double(), b.double())
            assert not matmul.onednn(a.to("meta"), b.to("meta"))
            with torch.autocast("cpu", torch.bfloat16):
                assert not matmul.onednn(a, b)
                assert matmul.linear(a, b).dtype == torch.bfloat16
            program = torch.export.export(matmul.Linear(64, 64), (a,))
            assert not any("mkldnn" in str(node.target) for node in program.graph.nodes)
    monkeypatch.setattr(matmul, "_has_onednn", lambda: False)
    matmul._faster.cache_clear()
    assert matmul.path() == matmul.DEFAULT
    with matmul.taking(matmul.ONEDNN):  # recorded on a machine that has it, resumed on one that has not
        assert matmul.path() == matmul.DEFAULT
    matmul._faster.cache_clear()


def test_decided_once_and_only_when_clear(monkeypatch):
    seconds = {"torch": 1.0, "onednn": 0.9}
    now = [0.0]

    class Ones:
        T = None

        def __matmul__(self, other):
            now[0] += seconds["torch"]

    def multiply(a, b):
        now[0] += seconds["onednn"]

    monkeypatch.setattr(matmul, "_has_onednn", lambda: True)
    monkeypatch.setattr(matmul, "_by_onednn", multiply)
    monkeypatch.setattr(matmul.torch, "ones", lambda *size: Ones())
    monkeypatch.setattr(matmul.time, "process_time", lambda: now[0])
    for share, wanted in ((0.9, matmul.DEFAULT), (0.5, matmul.ONEDNN), (2.0, matmul.DEFAULT)):
        seconds["onednn"] = share
        matmul._faster.cache_clear()
        assert matmul.path() == wanted
        seconds["onednn"] = 0.1
        assert matmul.path() == wanted  # it is not asked again
    matmul._faster.cache_clear()


def test_a_recorded_way_holds_in_its_block():
    before = matmul.path()
    with matmul.taking(matmul.DEFAULT):
        assert matmul.path() == matmul.DEFAULT
        with matmul.taking(None), matmul.taking("cuBLAS"), matmul.taking("torch default; recurrences: MKL, packed"):
            assert matmul.path() == matmul.DEFAULT
    assert matmul.path() == before


def test_a_processor_that_cannot_pack_bf16_multiplies_plainly(monkeypatch):
    """On AVX2 alone oneDNN raises where bf16 weights are to be packed."""
    monkeypatch.setattr(matmul, "arranges_bf16", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda weight: pytest.fail("packed"), raising=False)
    weight, x, out = torch.randn(6, 4), torch.randn(3, 6), torch.zeros(3, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        matmul.adding(weight)(out, x)
    torch.testing.assert_close(out, (x.bfloat16() @ weight.bfloat16()))
