"""The Transformers' layers: torch's values and gradients, in every type; dropout in its places."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from kineme.nn import matmul
from kineme.nn.transformer import PreNormBlock, TransformerLayer, attention


def sides(width=24, heads=3, hidden=40, share=0.0):
    torch.manual_seed(0)
    plain = nn.TransformerEncoderLayer(width, heads, hidden, share, batch_first=True)
    own = TransformerLayer(width, heads, hidden, share)
    assert list(own.state_dict()) == list(plain.state_dict())
    own.load_state_dict(plain.state_dict())
    return own, plain


def results(layer, x, slope):
    x = x.clone().requires_grad_()
    out = layer(x)
    return [out.detach().float(), *torch.autograd.grad(out, [x, *layer.parameters()], slope)]


@pytest.mark.parametrize("way", [matmul.DEFAULT, matmul.ONEDNN])
@pytest.mark.parametrize("shape", [(3, 7, 24), (1, 1, 24), (5, 64, 24)], ids=str)
def test_equals_torch(way, shape, monkeypatch):
    monkeypatch.setattr(matmul, "LARGE", 0)
    own, plain = sides()
    x, slope = torch.randn(shape), torch.randn(shape)
    exact = copy.deepcopy(plain).double()
    wanted = results(exact, x.double(), slope.double())
    with matmul.taking(way):
        found = results(own, x, slope)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-4, atol=2e-5)
    with torch.inference_mode(), matmul.taking(way):
        torch.testing.assert_close(own.eval()(x), plain.eval()(x), rtol=1e-4, atol=2e-5)


def test_inside_torchs_encoder_on_tokens_that_lie_otherwise():
    own, plain = sides()
    x = torch.randn(4, 24, 6).mT
    stacks = [nn.TransformerEncoder(layer, 2, enable_nested_tensor=False) for layer in (own, plain)]
    torch.testing.assert_close(*(stack(x) for stack in stacks), rtol=1e-4, atol=2e-5)


def test_bf16_stays_near():
    own, plain = sides(64, 4, 64)
    x, slope = torch.randn(8, 20, 64), torch.randn(8, 20, 64)
    wanted, off = results(plain, x, slope), []
    with torch.autocast("cpu", torch.bfloat16):
        for layer in (own, plain):
            found = results(layer, x, slope)
            off.append(max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)))
    assert 1e-4 < off[0] < 1.2 * off[1] < 0.1


def test_gradients_of_attention():
    made = torch.randn(2, 5, 3 * 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: attention(x, 2), made)

    def dropped(x):
        torch.manual_seed(1)
        return attention(x, 2, 0.4)

    assert gradcheck(dropped, made)
    assert not torch.equal(dropped(made), attention(made, 2))


def test_dropout_in_its_four_places():
    """Each alone changes what comes out while training, none of them afterwards."""
    own, _ = sides(share=0.3)
    x = torch.randn(4, 6, 24)
    places = {"dropout": own.dropout, "dropout1": own.dropout1, "dropout2": own.dropout2}
    for name in [*places, "attention"]:
        for part in places.values():
            part.p = 0.0
        own.self_attn.dropout = 0.3 if name == "attention" else 0.0
        if name in places:
            places[name].p = 0.3
        own.eval()
        wanted = own(x)
        own.train()
        torch.manual_seed(0)
        one, two = own(x), own(x)
        torch.manual_seed(0)
        assert torch.equal(own(x), one), name
        assert not torch.allclose(one, two), name
        many = torch.stack([own(x) for _ in range(400)]).mean(0)
        assert float((many - wanted).detach().abs().mean()) < 0.15, name


def test_torchs_own_elsewhere_and_in_exported_programs():
    own, plain = sides()
    x = torch.randn(2, 6, 24)
    program = torch.export.export(own.eval(), (x,))
    assert not any("_Attention" in str(node.target) or "mkldnn" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), plain.eval()(x), rtol=1e-4, atol=2e-5)
    assert own.to("meta")(x.to("meta")).shape == x.shape


def test_pre_norm_block_against_torch():
    """``nn.TransformerEncoderLayer`` with its norms first and GELU, values and gradients, with and without a mask."""
    torch.manual_seed(0)
    block = PreNormBlock(24, 3, 40)
    plain = nn.TransformerEncoderLayer(24, 3, 40, 0.0, "gelu", batch_first=True, norm_first=True)
    names = {"qkv.weight": "self_attn.in_proj_weight", "qkv.bias": "self_attn.in_proj_bias"}
    names |= {f"proj.{end}": f"self_attn.out_proj.{end}" for end in ("weight", "bias")}
    names |= {f"fc{i}.{end}": f"linear{i}.{end}" for i in (1, 2) for end in ("weight", "bias")}
    with torch.no_grad():
        for weight in block.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    plain.load_state_dict({names.get(name, name): value for name, value in block.state_dict().items()})
    x, slope = torch.randn(3, 7, 24), torch.randn(3, 7, 24)
    seen = torch.rand(3, 7) > 0.4
    seen[:, 0] = True
    for mask in (None, seen):
        one, two = (x.clone().requires_grad_() for _ in range(2))
        found = block(one, mask)
        wanted = plain(two, src_key_padding_mask=None if mask is None else ~mask)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)
        gradients = [torch.autograd.grad(out, y, slope)[0] for out, y in ((found, one), (wanted, two))]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=2e-5)


def test_masked_tokens_do_not_reach_the_others():
    block, x = PreNormBlock(24, 3, 40), torch.randn(2, 5, 24)
    seen = torch.tensor([[True, True, False, True, False]]).expand(2, 5)
    other = torch.where(seen[..., None], x, 9.0)
    assert torch.equal(block(x, seen)[seen], block(other, seen)[seen])
    assert not torch.allclose(block(x)[seen], block(other)[seen])
