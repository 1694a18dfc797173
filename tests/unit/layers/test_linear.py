"""The packed linear layer against the plain one."""

from __future__ import annotations

import pytest
import torch
from rhapsode_server.layers import linear
from rhapsode_server.layers.linear import INVARIANT_ROWS, Activation, Linear, pad_rows
from torch.nn import functional as F

ACTIVATIONS = {"none": lambda y: y, "relu": torch.relu, "gelu": F.gelu}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(24,), (1, 24), (5, 24), (2, 3, 24)])
def test_it_is_an_affine_map(
    monkeypatch: pytest.MonkeyPatch, packed: bool, activation: Activation, shape: tuple[int, ...]
) -> None:
    if not packed:
        monkeypatch.setattr(linear, "packable", lambda weight: False)
    weight, bias, x = drawn(10, 24), drawn(10, seed=1), drawn(*shape, seed=2)
    layer = Linear(weight, bias, activation)
    assert (layer.inputs, layer.outputs) == (24, 10)
    torch.testing.assert_close(
        layer(x), ACTIVATIONS[activation](F.linear(x, weight, bias)), atol=1e-5, rtol=1e-5
    )


def test_the_bias_may_be_missing_and_the_input_a_view() -> None:
    weight, x = drawn(10, 24), drawn(7, 48, seed=2)[:, ::2]
    torch.testing.assert_close(Linear(weight)(x), x @ weight.T, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), [(768, 3072), (3072, 768), (80, 256)])
def test_a_row_does_not_see_how_many_are_beside_it(inputs: int, outputs: int) -> None:
    layer, x = Linear(drawn(outputs, inputs) / inputs**0.5), drawn(40, inputs, seed=1)
    whole = layer(x)
    for rows in (1, 2, 3, INVARIANT_ROWS, 7, 16, 33):
        assert (layer(pad_rows(x[:rows]))[:rows] - whole[:rows]).abs().max() <= 1e-6


def test_padding_adds_rows_of_zeros_where_there_are_few() -> None:
    x = drawn(2, 3)
    padded = pad_rows(x)
    assert padded.shape == (INVARIANT_ROWS, 3)
    assert torch.equal(padded[:2], x)
    assert not padded[2:].any()
    assert pad_rows(padded) is padded
    assert pad_rows(torch.ones(1, dtype=torch.int64)).dtype == torch.int64
