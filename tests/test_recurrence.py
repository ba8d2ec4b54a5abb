"""The recurrence with its own backward: torch's cells, values and gradients, whatever the kind of product."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from kineme.batch import Memory
from kineme.encoders import _products, _recurrence

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


def stacks(cell, inputs, hidden, count=2, dtype=torch.float32):
    torch.manual_seed(0)
    return [CELLS[cell](inputs, hidden, batch_first=True).to(dtype) for _ in range(count)]


def plain(layer, x):
    return torch.cat([stack(x)[0] for stack in layer], 2)


def results(run, layer, x, slope):
    """The output, and the gradients of the input and of all weights."""
    x = x.clone().requires_grad_()
    out = run(layer, x)
    weights = [p for stack in layer for p in stack.parameters()]
    return [out.detach(), *torch.autograd.grad(out, [x, *weights], slope)]


def off(found, wanted):
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=True))


def own(layer, x, memory=None):
    return _recurrence.run(layer, x, memory or Memory())


@pytest.fixture(params=["mkl", "onednn", "plain"])
def product(request, monkeypatch):
    """Each kind of product that this machine has."""
    if request.param == "mkl" and not hasattr(torch.ops.mkl, "_mkl_linear"):
        pytest.skip("this torch has no packed product of MKL")
    if request.param == "onednn" and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no packed product of oneDNN")
    monkeypatch.setattr(_products, "_mkl", lambda: request.param == "mkl")
    if request.param == "plain":
        monkeypatch.setattr(_products, "_onednn", lambda w, _: lambda x, bias=None: nn.functional.linear(x, w, bias))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("batch", "frames", "inputs", "hidden"), [(64, 16, 150, 96), (1, 5, 7, 33), (3, 1, 8, 16)])
@pytest.mark.usefixtures("product")
def test_equals_torch(cell, batch, frames, inputs, hidden):
    layer, x = stacks(cell, inputs, hidden), torch.randn(batch, frames, inputs)
    slope = torch.randn(batch, frames, 2 * hidden)
    wanted = results(plain, [copy.deepcopy(s).double() for s in layer], x.double(), slope.double())
    assert off(results(own, layer, x, slope), wanted) < 2e-6
    last = torch.zeros_like(slope)  # what training asks for: the last frame only
    last[:, -1] = slope[:, -1]
    wanted = results(plain, [copy.deepcopy(s).double() for s in layer], x.double(), last.double())
    assert off(results(own, layer, x, last)[:2], wanted[:2]) < 2e-6


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_those_of_the_output(cell, count):
    layer, x = stacks(cell, 4, 3, count, torch.float64), torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    names = [(s, name) for s in range(count) for name in _recurrence.WEIGHTS]

    def run(x, *weights):
        made = [nn.Module() for _ in layer]
        for (s, name), weight in zip(names, weights):
            setattr(made[s], name, weight)
        return _recurrence._Layer.apply(getattr(_recurrence, f"_{cell.upper()}"), Memory(), True, x, *weights)

    assert gradcheck(run, (x.transpose(0, 1), *(getattr(layer[s], name) for s, name in names)))


@pytest.mark.parametrize("cell", CELLS)
def test_bf16_products_stay_near_and_sums_stay_fp32(cell):
    layer, x = stacks(cell, 40, 32), torch.randn(8, 12, 40)
    slope = torch.randn(8, 12, 64)
    wanted = results(plain, layer, x, slope)
    with torch.autocast("cpu", torch.bfloat16):
        found = results(own, layer, x, slope)
    assert {t.dtype for t in found} == {torch.float32}
    assert 1e-5 < off(found, wanted) < 0.03


@pytest.mark.parametrize("cell", CELLS)
def test_memory_is_used_again_only_when_nobody_needs_it(cell):
    layer, memory = stacks(cell, 6, 8), Memory()
    x, other = torch.randn(2, 3, 5, 6)
    slope = torch.randn(3, 5, 16)
    wanted = [results(plain, layer, v, slope) for v in (x, other)]
    for _ in range(3):  # two graphs alive at once, and one of them walked twice
        outs = [own(layer, v, memory) for v in (x, other)]
        weights = [p for stack in layer for p in stack.parameters()]
        for out, want in [*zip(outs, wanted), (outs[0], wanted[0])]:
            found = torch.autograd.grad(out, weights, slope, retain_graph=True)
            assert off([out.detach(), *found], [want[0], *want[2:]]) < 2e-6


def test_without_gradient_nothing_is_kept():
    layer, x = stacks("gru", 6, 8), torch.randn(3, 5, 6)
    with torch.no_grad():
        assert own(layer, x).grad_fn is None
    for stack in layer:
        stack.requires_grad_(False)
    assert not own(layer, x).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(own(layer, x), plain(layer, x))


def test_a_copy_has_memory_of_its_own():
    memory = Memory(3)
    for copied in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        assert copied is not memory
        assert copied.empty(2, 3).shape == (2, 3)


def test_left_to_torch_on_other_devices_and_in_exported_programs():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stacks = nn.ModuleList(stacks("gru", 4, 5))

        def forward(self, x):
            return own(self.stacks, x) if _recurrence.suits(x) else plain(self.stacks, x)

    assert not _recurrence.suits(torch.zeros(1, 1, 2, device="meta"))
    layer, x = Layer().eval(), torch.randn(2, 3, 4)
    program = torch.export.export(layer, (x,))
    assert not any("mkl" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), layer(x))
