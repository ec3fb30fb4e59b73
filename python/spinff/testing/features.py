"""Equivariance of a layer whose inputs and outputs are declared as irreps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from spinff.irreps import TIrreps
from spinff.irreps.operations import Operation


def feature_equivariance_error(
    function: Callable[..., torch.Tensor],
    irreps_in: Sequence[TIrreps | str],
    irreps_out: TIrreps | str,
    operation: Operation,
    *,
    count: int = 5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> float:
    """f(D x) against D f(x) on random features x.

    It sees labels that no check of a whole model can: an energy that is even in the
    spins is the same whether spins are axial or polar vectors.

    Args:
        function: takes one tensor (count, dim) for each of ``irreps_in`` and returns
            (count, dim of ``irreps_out``).
        irreps_in: what each argument is declared to be.
        irreps_out: what the result is declared to be.
        operation: rotation, inversion, time reversal.
        count: rows of random features.
        dtype: of the features.
        seed: of the features.

    Returns:
        Largest difference over the largest value.
    """
    generator = torch.Generator().manual_seed(seed)

    def representation(irreps: TIrreps | str) -> torch.Tensor:
        return TIrreps(irreps).D(operation).to(dtype)

    inputs = [
        torch.randn(
            count, TIrreps(irreps).dim, generator=generator, dtype=torch.float64
        ).to(dtype)
        for irreps in irreps_in
    ]
    turned = [
        x @ representation(irreps).T
        for x, irreps in zip(inputs, irreps_in, strict=True)
    ]
    with torch.no_grad():
        expected = function(*inputs) @ representation(irreps_out).T
        got = function(*turned)
    size = expected.abs().max().clamp_min(torch.finfo(dtype).tiny)
    return float((got - expected).abs().max() / size)
