"""Tensor product of edge features with the environment of their centre."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from e3nn.util.jit import compile_mode
from nequip.nn import scatter

from spinff.irreps import AnyIrrep, TIrreps, irrep_list, tensor_product_paths
from spinff.irreps._spin_space import coupling_coefficients, slices

# Where ``slot`` is empty the entries are the table itself, row by row: compiled
# networks get them so, and need no index for what belongs together.


def in_slots(
    rows: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Rows (E, dim) as (centres, width, dim) by ``slots``, zero where it is empty."""
    num_centres, width = table.shape
    if slot.size(0) > 0:
        padded = rows.new_zeros(num_centres * width, rows.size(1))
        rows = padded.index_copy(0, slot, rows)
    return rows.view(num_centres, width, rows.size(1))


def from_slots(rows: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Rows (centres · width, …) of the entries (E, …)."""
    return torch.index_select(rows, 0, slot) if slot.size(0) > 0 else rows


def sum_of_rows(
    rows: torch.Tensor, row: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Sums (centres, …) of entries (E, …) by their row of the table (E,)."""
    num_centres, width = table.shape
    if slot.size(0) > 0:
        return scatter(rows, row, dim=0, dim_size=num_centres)
    return rows.unflatten(0, [num_centres, width]).sum(1)


def for_entries(
    values: torch.Tensor, row: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Values (centres, dim) repeated for the entries (E, dim) of each row."""
    if slot.size(0) > 0:
        return torch.index_select(values, 0, row)
    num_centres, width = table.shape
    repeated = values.unsqueeze(1).expand(num_centres, width, values.size(1))
    return repeated.reshape(num_centres * width, values.size(1))


@compile_mode("script")
class EnvironmentContraction(torch.nn.Module):
    """Weighted Clebsch–Gordan product x1[e] ⊗ x2[centre(e)], channel by channel.

    out[e, u, k] = Σ_{p, i, j} w[u, p] C_p[i, j, k] x1[e, u, i] x2[centre(e), u, j]

    with Allegro's path-channel weights (Musaelian et al., Nat. Commun. 14, 579). x2
    belongs to the centre, so it is contracted with the coefficients once per atom,
    and the edges of an atom share the resulting matrix in one batched product. The
    result equals allegro's ``Contracter`` to rounding; the time is a tenth and less
    on a CPU, because nothing of size E × i × j × k is ever stored.
    """

    def __init__(
        self,
        left: TIrreps | Sequence[AnyIrrep],
        right: TIrreps | Sequence[AnyIrrep],
        out: TIrreps | Sequence[AnyIrrep],
        channels: int,
    ) -> None:
        """Build the coefficients C_p of every path that (l, p, t) allows."""
        super().__init__()
        left, right, out = irrep_list(left), irrep_list(right), irrep_list(out)
        self._repr = " -> ".join(
            [f"{_text(left)} ⊗ {_text(right)}", f"{_text(out)} | {channels} channels"]
        )
        self.channels = channels
        paths = tensor_product_paths(left, right, out)
        # most coefficients are zero: of a TENN's 1 in 3000 is not
        coefficients = _path_coefficients(left, right, out).transpose(
            1, 2
        )  # p, j, i, k
        path, j, i, k = torch.nonzero(coefficients, as_tuple=True)
        dim_left, dim_out = coefficients.shape[2:]
        self.register_buffer("entry_values", coefficients[path, j, i, k])
        self.register_buffer("entry_path", path)
        self.register_buffer("entry_place", (j * dim_out + k) * dim_left + i)
        self.weights = torch.nn.Parameter(
            torch.empty(channels, len(paths)).uniform_(-math.sqrt(3), math.sqrt(3))
        )
        self._dim_left, self._dim_right, self._dim_out = (
            sum(ir.dim for ir in irreps) for irreps in (left, right, out)
        )

    def extra_repr(self) -> str:
        """Irreps in and out, channels and paths."""
        return f"{self._repr} | {self.weights.size(1)} paths"

    def forward(
        self,
        x1: torch.Tensor,
        x2: torch.Tensor,
        slot: torch.Tensor,
        table: torch.Tensor,
    ) -> torch.Tensor:
        """Contract.

        Args:
            x1: (E, channels, dim_left).
            x2: (num_centres, channels, dim_right).
            slot: (E,) place of each edge in ``table``, of ``topology.slots``.
            table: (num_centres, width) edges of each centre.

        Returns:
            (E, channels, dim_out).
        """
        num_centres, width = table.shape
        entries = torch.index_select(self.weights, 1, self.entry_path)
        coefficients = self.weights.new_zeros(
            self.channels, self._dim_right * self._dim_left * self._dim_out
        ).index_add(1, self.entry_place, entries * self.entry_values)
        # one matrix (k, i) per centre and channel
        environment = torch.bmm(
            x2.transpose(0, 1),  # (u, n, j)
            coefficients.view(
                self.channels, self._dim_right, self._dim_out * self._dim_left
            ),
        ).view(self.channels, num_centres, self._dim_out, self._dim_left)
        if self._dim_out == 1:
            matrices = environment.transpose(0, 1).reshape(num_centres, -1)
            row = torch.div(slot, max(width, 1), rounding_mode="floor")
            of_edges = for_entries(matrices, row, slot, table).view(x1.shape)
            return (x1 * of_edges).sum(2, keepdim=True)
        edges = in_slots(x1.flatten(1), slot, table)
        edges = edges.view(num_centres, width, self.channels, self._dim_left)
        # edges in columns: libraries are slow where rows of the result are short
        columns = edges.permute(2, 0, 3, 1)  # (u, n, i, s)
        product = torch.matmul(environment, columns)  # (u, n, k, s)
        product = product.permute(1, 3, 0, 2).reshape(
            num_centres * width, self.channels, self._dim_out
        )
        return from_slots(product, slot)


def _text(irreps: Sequence[AnyIrrep]) -> str:
    return " + ".join(str(ir) for ir in irreps)


def _path_coefficients(
    left: Sequence[AnyIrrep], right: Sequence[AnyIrrep], out: Sequence[AnyIrrep]
) -> torch.Tensor:
    """Coefficients (paths, dim_left, dim_right, dim_out), unit variance per output.

    Wigner 3j times √(2l+1), as e3nn's "component" normalisation, over the square root
    of the number of paths that share an output irrep.
    """
    paths = tensor_product_paths(left, right, out)
    fan_in = [sum(1 for path in paths if path[2] == k) for k in range(len(out))]
    where = [slices(irreps) for irreps in (left, right, out)]
    dims = [sum(ir.dim for ir in irreps) for irreps in (left, right, out)]
    coefficients = torch.zeros(len(paths), *dims)
    for number, (i, j, k) in enumerate(paths):
        block = coupling_coefficients(left[i], right[j], out[k])
        block = block * math.sqrt(out[k].dim / fan_in[k])
        coefficients[number, where[0][i], where[1][j], where[2][k]] = block
    return coefficients
