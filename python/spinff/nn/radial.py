"""Radial functions of distances."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import math

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin

from spinff.errors import SpinffError
from spinff.nn import _keys


def bessel_functions(x: torch.Tensor, count: int) -> torch.Tensor:
    """n sinc(n x) = sin(n π x)/(π x) for n = 1 … count, x (…, 1) > 0 -> (…, count).

    The radial basis of nequip (DimeNet, arXiv 2003.03123). One sine and one cosine a
    distance, by sin (n+1)t = 2 cos t sin nt − sin (n−1)t, instead of ``count``.
    """
    angle = math.pi * x
    twice_cosine = 2.0 * torch.cos(angle)
    before = torch.zeros_like(x)
    now = torch.sin(angle) / angle
    functions = [now]
    for _ in range(count - 1):
        before, now = now, twice_cosine * now - before
        functions.append(now)
    return torch.cat(functions, dim=-1)


@compile_mode("script")
class PolynomialCutoff(torch.nn.Module):
    """1 − (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) − p(p+1)/2 x^(p+2) for x < 1, else 0.

    nequip's (DimeNet, arXiv 2003.03123), for whole p by products: of float64, powers
    cost as much as the rest of the radial functions.
    """

    def __init__(self, p: float) -> None:
        """Set up the powers.

        Raises:
            SpinffError: unless p is a whole number of 2 or more.
        """
        super().__init__()
        if p != int(p) or p < 2:
            raise SpinffError(
                f"radial functions: 'polynomial_cutoff_p' is wrong, got {p}, expected "
                "a whole number of 2 or more; 6 is usual"
            )
        self.p = int(p)
        # of p, without the first: x^p is made by squaring
        self.bits = [digit == "1" for digit in f"{self.p:b}"[1:]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Factors for distances x in cutoffs, of any shape."""
        power = x
        for bit in self.bits:
            power = power * power
            if bit:
                power = power * x
        p = float(self.p)
        first, second, third = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
        polynomial = 1.0 - power * (first - x * (second - third * x))
        return polynomial * (x < 1.0)


@compile_mode("script")
class BesselBasis(torch.nn.Module):
    """B_n(x) = n sinc(n x) times a polynomial cutoff, x = r / r_cut, n = 1 … count."""

    def __init__(self, count: int, polynomial_cutoff_p: float) -> None:
        """Set up ``count`` functions with a cutoff polynomial of power p."""
        super().__init__()
        self.count = count
        self.cutoff = PolynomialCutoff(polynomial_cutoff_p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, 1) -> (…, count)."""
        return bessel_functions(x, self.count) * self.cutoff(x)


@compile_mode("script")
class RadialBasis(GraphModuleMixin, torch.nn.Module):
    """The basis of every edge, once for all that is a function of its length.

    Args:
        num_bessels: radial functions.
        polynomial_cutoff_p: power of the cutoff polynomial.
        irreps_in: of the module before.
    """

    def __init__(
        self,
        *,
        num_bessels: int,
        polynomial_cutoff_p: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Set up the functions."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.NORM_LENGTH_KEY],
            irreps_out={_keys.EDGE_BASIS_KEY: Irreps([(num_bessels, (0, 1))])},
        )
        self.basis = BesselBasis(num_bessels, polynomial_cutoff_p)

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_BASIS (E, num_bessels)."""
        data[_keys.EDGE_BASIS_KEY] = self.basis(data[AtomicDataDict.NORM_LENGTH_KEY])
        return data


@compile_mode("script")
class RadialEncoding(GraphModuleMixin, torch.nn.Module):
    """The basis in the network's type, which Allegro's embedding reads.

    Args:
        irreps_in: of the module before.
    """

    def __init__(self, *, irreps_in: dict[str, Irreps]) -> None:
        """Name the fields."""
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in, required_irreps_in=[_keys.EDGE_BASIS_KEY]
        )
        basis = self.irreps_in[_keys.EDGE_BASIS_KEY]
        self.irreps_out[AtomicDataDict.EDGE_EMBEDDING_KEY] = basis
        self._dtype = torch.get_default_dtype()

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add EDGE_EMBEDDING (E, num_bessels)."""
        basis = data[_keys.EDGE_BASIS_KEY]
        data[AtomicDataDict.EDGE_EMBEDDING_KEY] = basis.to(self._dtype)
        return data
