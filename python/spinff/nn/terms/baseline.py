"""Linear functions of the distance that are fitted before training."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict

from spinff.nn.radial import BesselBasis


@compile_mode("script")
class LinearBaseline(torch.nn.Module):
    """c(r) = Σ_n c_n B_n(r) of edges, by the types of their ends.

    Fitted to the data before training (``SpinStatistics``) and not trained: the network
    alone starts three orders of magnitude below the exchange of an oxide, because an
    MLP without bias decays with its input at the cutoff, and needs thousands of steps
    to climb; and a step of an optimiser tuned to the network's weights would move the
    baseline at a neighbour's distance by as much as itself.

    Args:
        type_names: all types of the model.
        baseline: (type pair, e.g. ``"Ni-Ni"``) -> coefficients of B_n in eV; other
            pairs, or all where there is no baseline, get zero.
        polynomial_cutoff_p: of the cutoff.
    """

    table: torch.Tensor

    def __init__(
        self,
        type_names: list[str],
        baseline: dict[str, list[float]] | None,
        polynomial_cutoff_p: float,
    ) -> None:
        """Build the table (types², count)."""
        super().__init__()
        self.num_types = len(type_names)
        self.register_buffer("table", _baseline_table(type_names, baseline or {}))
        self.basis = BesselBasis(self.table.size(1), polynomial_cutoff_p)

    def forward(self, data: AtomicDataDict.Type, edges: torch.Tensor) -> torch.Tensor:
        """Of the edges with these indices (M,): (M, 1) eV."""
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        centre = torch.index_select(edge_index[0], 0, edges)
        neighbour = torch.index_select(edge_index[1], 0, edges)
        pair = self.num_types * torch.index_select(types, 0, centre)
        pair = pair + torch.index_select(types, 0, neighbour)
        x = torch.index_select(data[AtomicDataDict.NORM_LENGTH_KEY], 0, edges)
        coefficients = torch.index_select(self.table, 0, pair)
        return (self.basis(x) * coefficients).sum(1, keepdim=True)


def _baseline_table(
    type_names: list[str], baseline: dict[str, list[float]]
) -> torch.Tensor:
    """Coefficients (T·T, count) of both orders of each pair; zero for other pairs."""
    count = max((len(values) for values in baseline.values()), default=1)
    table = torch.zeros(len(type_names), len(type_names), count, dtype=torch.float64)
    for pair, values in baseline.items():
        a, b = (type_names.index(name) for name in pair.split("-"))
        table[a, b] = table[b, a] = torch.tensor(values, dtype=torch.float64)
    return table.view(len(type_names) ** 2, count)
