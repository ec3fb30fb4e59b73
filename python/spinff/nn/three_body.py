"""A three-body potential under the network's lattice energy."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import itertools
import math

import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin, scatter

from spinff.errors import SpinffError
from spinff.nn.radial import BesselBasis

MAX_DEGREE = 4
"""Highest power of the cosine of an angle."""


@compile_mode("script")
class BondMoments(torch.nn.Module):
    """B_n(x) times the monomials of a unit vector û up to degree ``MAX_DEGREE``.

    The monomials of degree d are weighted such that the scalar product of those of two
    vectors is the power of a cosine: Σ_abc w² u_x^a u_y^b u_z^c v_x^a v_y^b v_z^c =
    (û·v̂)^d with a + b + c = d and w² = d!/(a! b! c!).

    Args:
        count: radial functions.
        polynomial_cutoff_p: of their cutoff.
    """

    powers: torch.Tensor
    weights: torch.Tensor

    def __init__(self, count: int, polynomial_cutoff_p: float) -> None:
        """Count the monomials."""
        super().__init__()
        exponents = [
            (a, b, degree - a - b)
            for degree in range(MAX_DEGREE + 1)
            for a in range(degree + 1)
            for b in range(degree - a + 1)
        ]
        squares = [
            math.factorial(sum(abc)) / math.prod(math.factorial(k) for k in abc)
            for abc in exponents
        ]
        self.max_degree = MAX_DEGREE
        self.radial = BesselBasis(count, polynomial_cutoff_p)
        self.register_buffer("powers", torch.tensor(exponents))
        self.register_buffer(
            "weights", torch.tensor(squares, dtype=torch.float64).sqrt()
        )

    def forward(self, direction: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """û (E, 3) and x = r/r_cut (E, 1) -> (E, functions, monomials)."""
        ladder = [torch.ones_like(direction)]
        for _ in range(self.max_degree):
            ladder.append(ladder[-1] * direction)
        of_power = torch.stack(ladder)  # (powers, E, 3)
        monomials = self.weights.unsqueeze(1)
        for axis in range(3):
            along = of_power[:, :, axis]
            monomials = monomials * torch.index_select(along, 0, self.powers[:, axis])
        return self.radial(x).unsqueeze(2) * monomials.t().unsqueeze(1)


def degree_slices() -> list[tuple[int, int]]:
    """Where the monomials of each degree start and end."""
    sizes = [(degree + 1) * (degree + 2) // 2 for degree in range(MAX_DEGREE + 1)]
    return list(itertools.pairwise(itertools.accumulate(sizes, initial=0)))


def num_coefficients(num_types: int, count: int) -> int:
    """Of each species in the centre: pairs of (species, function), times powers."""
    channels = num_types * count
    return channels * (channels + 1) // 2 * (MAX_DEGREE + 1)


@compile_mode("script")
class ThreeBodyPotential(GraphModuleMixin, torch.nn.Module):
    """Adds Σ_{jk} Σ c(n, n', d) B_n(r_ij) B_n'(r_ik) cos^d θ_jik to each atom's energy.

    Linear in c, which depends on the species of i, j and k, and fitted, not trained: as
    for the pair potential. Atoms that stay near the sites of a crystal change every
    angle by a percent or so; a network takes thousands of steps to find the energy in
    so small a part of its features, the fit takes none.

    The sums over j and k are those of a product of moments of the neighbours (Shapeev,
    Multiscale Model. Simul. 14, 1153), so that the cost is that of pairs.

    Args:
        type_names: all types of the model.
        coefficients: species in the centre -> c in eV, in the order of
            ``torch.triu_indices`` over (species, function) of j and of k, then powers.
        polynomial_cutoff_p: of the cutoff.
        irreps_in: of the module before.
    """

    table: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        coefficients: dict[str, list[float]],
        polynomial_cutoff_p: float,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Build the table of coefficients."""
        super().__init__()
        self.num_types = len(type_names)
        count, table = _three_body_table(type_names, coefficients)
        self.register_buffer("table", table)
        self.moments = BondMoments(count, polynomial_cutoff_p)
        self.slices = degree_slices()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.PER_ATOM_ENERGY_KEY],
            irreps_out={AtomicDataDict.PER_ATOM_ENERGY_KEY: Irreps("0e")},
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Atomic energies (N, 1), eV."""
        energies = data[AtomicDataDict.PER_ATOM_ENERGY_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        length = data[AtomicDataDict.EDGE_LENGTH_KEY].view(-1, 1)
        of_edges = self.moments(
            data[AtomicDataDict.EDGE_VECTORS_KEY] / length,
            data[AtomicDataDict.NORM_LENGTH_KEY].view(-1, 1),
        )
        moments = neighbour_moments(
            of_edges, data[AtomicDataDict.EDGE_INDEX_KEY], types, self.num_types
        )
        total = energies
        for degree, (first, last) in enumerate(self.slices):
            part = moments[:, :, first:last]
            mixed = torch.bmm(self.table[degree][types], part)
            total = total + (mixed * part).sum(dim=(1, 2)).unsqueeze(1)
        data[AtomicDataDict.PER_ATOM_ENERGY_KEY] = total
        return data


def neighbour_moments(
    of_edges: torch.Tensor,
    edge_index: torch.Tensor,
    types: torch.Tensor,
    num_types: int,
) -> torch.Tensor:
    """Sums of (E, n, M) over the neighbours of each species, (N, species·n, M)."""
    row = edge_index[0] * num_types + torch.index_select(types, 0, edge_index[1])
    sums = scatter(of_edges, row, dim=0, dim_size=types.size(0) * num_types)
    return sums.view(types.size(0), num_types * of_edges.size(1), of_edges.size(2))


def _three_body_table(
    type_names: list[str], coefficients: dict[str, list[float]]
) -> tuple[int, torch.Tensor]:
    """Number of functions and c as symmetric matrices, (powers, species, ·, ·)."""
    given = max((len(values) for values in coefficients.values()), default=0)
    count = 1
    while num_coefficients(len(type_names), count) < given:
        count += 1
    expected = num_coefficients(len(type_names), count)
    channels = len(type_names) * count
    row, column = torch.triu_indices(channels, channels)
    table = torch.zeros(
        MAX_DEGREE + 1, len(type_names), channels, channels, dtype=torch.float64
    )
    for name, values in coefficients.items():
        if name not in type_names or len(values) != expected:
            raise SpinffError(
                f"ThreeBodyPotential: coefficients of {name}, got {len(values)}, "
                f"expected {expected} for each of {', '.join(type_names)}; take them "
                "from the statistics of the same training set"
            )
        c = torch.tensor(values, dtype=torch.float64).view(len(row), MAX_DEGREE + 1)
        table[:, type_names.index(name), row, column] = c.t()
    return count, 0.5 * (table + table.transpose(2, 3))
