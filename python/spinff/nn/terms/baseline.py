"""Linear functions of the distance that are fitted before training."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.util.jit import compile_mode

from spinff.errors import SpinffError


@compile_mode("script")
class LinearBaseline(torch.nn.Module):
    """c(r) = Σ_n c_n B_n(r) of edges, by the types of their ends.

    Fitted to the data before training (``SpinStatistics``) and not trained: the network
    alone starts three orders of magnitude below the exchange of an oxide, because an
    MLP without bias decays with its input at the cutoff, and needs thousands of steps
    to climb; and a step of an optimiser tuned to the network's weights would move the
    baseline at a neighbour's distance by as much as itself.

    Args:
        type_names: of the atoms at the ends of the edges.
        baseline: (type pair, e.g. ``"Ni-Ni"``) -> coefficients of B_n in eV; other
            pairs, or all where there is no baseline, get zero.
        num_functions: of the model's radial basis; coefficients of further ones are
            zero where there are fewer.
    """

    table: torch.Tensor

    def __init__(
        self,
        type_names: list[str],
        baseline: dict[str, list[float]] | None,
        num_functions: int,
    ) -> None:
        """Build the table (types², num_functions).

        Raises:
            SpinffError: for more coefficients than functions, and for other types.
        """
        super().__init__()
        table = _baseline_table(type_names, baseline or {}, num_functions)
        self.register_buffer("table", table)

    def forward(self, basis: torch.Tensor, pair_type: torch.Tensor) -> torch.Tensor:
        """Of edges with radial functions (M, n) and these types (M,): (M, 1) eV."""
        if self.table.size(0) == 1:
            return torch.mm(basis, self.table.t())
        coefficients = torch.index_select(self.table, 0, pair_type)
        return (basis * coefficients).sum(1, keepdim=True)


def pair_types(
    types: torch.Tensor, edge_index: torch.Tensor, num_types: int
) -> torch.Tensor:
    """Row (M,) of a table (types², …) for edges (2, M) of atoms with types (N,)."""
    ends = torch.index_select(types, 0, edge_index.flatten()).view(2, -1)
    return num_types * ends[0] + ends[1]


def _baseline_table(
    type_names: list[str], baseline: dict[str, list[float]], num_functions: int
) -> torch.Tensor:
    """Coefficients (T·T, n) of both orders of each pair; zero for other pairs."""
    table = torch.zeros(
        len(type_names), len(type_names), num_functions, dtype=torch.float64
    )
    for pair, values in baseline.items():
        if len(values) > num_functions:
            raise SpinffError(
                f"baseline of {pair}: too many coefficients, got {len(values)}, "
                f"expected num_bessels = {num_functions}; give SpinStatistics and the "
                "model the same num_bessels"
            )
        names = pair.split("-")
        if len(names) != 2 or not {*names} <= {*type_names}:
            raise SpinffError(
                f"baseline of {pair}: no such pair, got {pair}, expected two of "
                f"{', '.join(type_names)}, as in {type_names[0]}-{type_names[0]}; "
                "correct the baseline"
            )
        a, b = (type_names.index(name) for name in names)
        values_of_pair = torch.tensor(values, dtype=torch.float64)
        table[a, b, : len(values)] = table[b, a, : len(values)] = values_of_pair
    return table.view(len(type_names) ** 2, num_functions)
