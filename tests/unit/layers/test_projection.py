"""Packed layers multiply like plain ones, and like themselves whatever stands beside a row."""

from __future__ import annotations

import pytest
import torch
from rhapsode_server.layers.projection import Projection, pack
from torch import nn


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 24), (3, 24), (7, 24), (2, 3, 24), (1, 1, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_products(dtype: torch.dtype, shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(24, 40, bias=bias).to(dtype).requires_grad_(False)
    x = torch.randn(shape).to(dtype)
    got = Projection(plain.weight, plain.bias)(x)
    assert got.shape == (*shape[:-1], 40)
    tolerance = 1e-6 if dtype is torch.float32 else 2e-2
    assert (got.float() - plain(x).float()).abs().max() < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_never_depends_on_the_others(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    packed = Projection(torch.randn(96, 64).to(dtype))
    x = torch.randn(17, 64).to(dtype)
    together = packed(x)
    for rows in (1, 2, 3, 4, 5, 9, 16):
        assert torch.equal(packed(x[:rows]), together[:rows])


def test_every_linear_layer_below_a_module_is_packed() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 8), nn.ModuleList([nn.Linear(8, 8), nn.Conv1d(8, 8, 1)]))
    module.requires_grad_(False)
    pack(module)
    kinds = [type(child) for child in module.modules()]
    assert kinds.count(Projection) == 2
    assert nn.Linear not in kinds
    assert nn.Conv1d in kinds


def test_a_packed_network_gives_each_row_the_same_bits_whatever_is_beside_it() -> None:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Linear(192, 576), nn.Sequential(nn.GELU(), nn.Linear(576, 192, bias=False)))
    network.requires_grad_(False)
    x = torch.randn(50, 2, 192)
    plain = network(x)
    pack(network)
    assert isinstance(network[0], Projection)
    whole = network(x)
    torch.testing.assert_close(whole, plain, atol=1e-5, rtol=1e-5)
    for rows in (1, 2, 3, 7, 16, 33):
        assert torch.equal(network(x[:rows]), whole[:rows])


def test_a_part_that_is_named_stays_as_it_is() -> None:
    module = nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(8, 8)), "head": nn.Linear(8, 8)})
    module.requires_grad_(False)
    pack(module, leave=("encoder",))
    assert [type(part) for part in module.modules()][1:] == [nn.Sequential, nn.Linear, Projection]
