"""The recurrence with its own backward: torch's cells, values and gradients, whatever the kind of product."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from kineme.nn import matmul, rnn
from kineme.utils.buffers import BufferPool

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
    return rnn.run(layer, x, memory or BufferPool())


def replaced(module, name, weight):
    """A tensor in the place of a parameter."""
    module._parameters.pop(name, None)
    module.__dict__[name] = weight


def both_ways(cell, inputs, hidden, layers=1, dtype=torch.float32):
    torch.manual_seed(0)
    network = CELLS[cell](inputs, hidden, layers, batch_first=True, bidirectional=True)
    for p in network.parameters():
        nn.init.uniform_(p, -0.5, 0.5)  # biases too, and large enough for the states to remember
    return network.to(dtype)


def ragged(batch, lengths, inputs, dtype=torch.float32):
    return [torch.randn(batch, n, inputs, dtype=dtype) for n in lengths]


def together(network, sequences):
    return rnn.bidirectional(network, sequences, BufferPool())


def one_by_one(network, sequences):
    return [network(x)[0] for x in sequences]


def all_results(run, network, sequences, slopes):
    """The outputs, and the gradients of all inputs and weights."""
    sequences = [x.clone().requires_grad_() for x in sequences]
    outs = run(network, sequences)
    return [o.detach() for o in outs] + list(
        torch.autograd.grad(outs, [*sequences, *network.parameters()], slopes, materialize_grads=True)
    )


@pytest.fixture(params=["mkl", "mkl small", "onednn", "plain"])
def product(request, monkeypatch):
    """Each kind of product that this machine has."""
    if request.param.startswith("mkl") and not hasattr(torch.ops.mkl, "_mkl_linear"):
        pytest.skip("this torch has no packed product of MKL")
    if request.param == "onednn" and not matmul._has_onednn():
        pytest.skip("this torch has no product of oneDNN")
    monkeypatch.setattr(matmul, "_has_mkl", lambda: request.param.startswith("mkl"))
    monkeypatch.setattr(matmul, "LARGE", 0)
    if request.param == "mkl":
        monkeypatch.setattr(matmul, "SMALL", 0)
    with matmul.taking(matmul.ONEDNN if request.param == "onednn" else matmul.DEFAULT):
        yield


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
    names = [(s, name) for s, stack in enumerate(layer) for name, _ in stack.named_parameters()]

    def run(x, *weights):
        for (s, name), weight in zip(names, weights):
            replaced(layer[s], name, weight)
        return own(layer, x)

    assert gradcheck(run, (x, *(getattr(layer[s], name).detach().requires_grad_() for s, name in names)))


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
    layer, memory = stacks(cell, 6, 8), BufferPool()
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
    memory = BufferPool(3)
    for copied in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        assert copied is not memory
        assert copied.empty(2, 3).shape == (2, 3)


def test_left_to_torch_on_other_devices_and_in_exported_programs():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stacks = nn.ModuleList(stacks("gru", 4, 5))

        def forward(self, x):
            return own(self.stacks, x) if rnn.suits(x) else plain(self.stacks, x)

    assert not rnn.suits(torch.zeros(1, 1, 2, device="meta"))
    layer, x = Layer().eval(), torch.randn(2, 3, 4)
    program = torch.export.export(layer, (x,))
    assert not any("mkl" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), layer(x))


# ---- sequences of several lengths, both ways through time


LENGTHS = [[1], [5], [1, 1], [8, 4], [9, 4, 2], [7, 3, 1], [17, 8, 4, 2], [13, 6, 3, 1], [6, 6, 5, 5, 1]]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_several_lengths_equal_torch_one_by_one(cell, lengths):
    network, sequences = both_ways(cell, 6, 5, dtype=torch.float64), ragged(3, lengths, 6, torch.float64)
    slopes = [torch.randn(3, n, 10, dtype=torch.float64) for n in lengths]
    wanted = all_results(one_by_one, network, sequences, slopes)
    found = all_results(together, network, sequences, slopes)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("batch", "lengths", "inputs", "hidden", "layers"),
    [(64, [20, 10, 5, 2], 40, 32, 1), (1, [9, 4], 7, 33, 2), (4, [11, 5, 2], 70, 64, 3)],
)
@pytest.mark.usefixtures("product")
def test_several_lengths_by_every_product(cell, batch, lengths, inputs, hidden, layers):
    network, sequences = both_ways(cell, inputs, hidden, layers), ragged(batch, lengths, inputs)
    slopes = [torch.randn(batch, n, 2 * hidden) for n in lengths]
    exact = copy.deepcopy(network).double()
    wanted = all_results(one_by_one, exact, [x.double() for x in sequences], [g.double() for g in slopes])
    by_torch = off(all_results(one_by_one, network, sequences, slopes), wanted)
    assert off(all_results(together, network, sequences, slopes), wanted) < max(5e-6, 2 * by_torch)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_over_several_lengths_are_those_of_the_outputs(cell):
    network = both_ways(cell, 3, 2, dtype=torch.float64)
    sequences = [x.requires_grad_() for x in ragged(2, [5, 2, 1], 3, torch.float64)]
    names, weights = zip(*[(name, p.detach().requires_grad_()) for name, p in network.named_parameters()])

    def run(*given):
        for name, weight in zip(names, given):
            replaced(network, name, weight)
        return tuple(together(network, given[len(names) :]))

    assert gradcheck(run, (*weights, *sequences))


@pytest.mark.parametrize("cell", CELLS)
def test_several_lengths_where_only_one_output_is_used(cell):
    network, sequences = both_ways(cell, 4, 3, dtype=torch.float64), ragged(2, [7, 3, 1], 4, torch.float64)
    found, wanted = (
        torch.autograd.grad(run(network, sequences)[1].square().sum(), list(network.parameters()))
        for run in (together, one_by_one)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("cell", CELLS)
def test_several_lengths_without_gradient(cell):
    network, sequences = both_ways(cell, 6, 8), ragged(5, [6, 3, 1], 6)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = together(network, sequences)
            assert not any(out.requires_grad for out in found)
            torch.testing.assert_close(found, one_by_one(network, sequences))
    empty = together(network, ragged(0, [6, 3], 6))
    assert [out.shape for out in empty] == [(0, 6, 16), (0, 3, 16)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_several_lengths_under_autocast(cell, given):
    """bf16 products of sequences of either type; what is summed, and what comes out, is fp32."""
    network, sequences = both_ways(cell, 40, 32), [x.to(given) for x in ragged(8, [12, 6, 3], 40)]
    slopes = [torch.randn(8, n, 64) for n in (12, 6, 3)]
    wanted = all_results(one_by_one, network, [x.float() for x in sequences], slopes)
    with torch.autocast("cpu", torch.bfloat16):
        found = all_results(together, network, sequences, slopes)
    assert [t.dtype for t in found] == 3 * [torch.float32] + 3 * [given] + 8 * [torch.float32]
    assert 1e-5 < off(found, wanted) < 0.05


def test_several_lengths_are_joined_where_that_is_faster():
    x, gru = torch.zeros(1, 1, 4), nn.GRU(4, 2)
    lstm, wide = nn.LSTM(4, 2), nn.LSTM(4, rnn.FUSED)
    joined = [rnn.joins(network, x) for network in (gru, lstm, wide, nn.Linear(4, 4))]
    assert joined == [True, False, True, False]
    with torch.no_grad():
        assert [rnn.joins(network, x) for network in (gru, wide)] == [True, False]
    assert not rnn.joins(gru, x.to("meta"))


def test_a_processor_without_bf16_networks_runs_them_plainly(monkeypatch):
    """On AVX2 alone oneDNN has no LSTM in bf16."""
    network, x = torch.nn.LSTM(4, 3, batch_first=True), torch.randn(2, 5, 4)
    monkeypatch.setattr(rnn, "arranges_bf16", lambda: False)
    before = torch.backends.mkldnn.enabled
    with torch.autocast("cpu", torch.bfloat16):
        low = rnn.by_torch(network, x)
    torch.testing.assert_close(low.float(), network(x)[0], atol=0.05, rtol=0.05)
    assert torch.backends.mkldnn.enabled == before
