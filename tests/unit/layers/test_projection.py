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
