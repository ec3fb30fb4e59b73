"""Tensor product of edge features with the environment of their centre."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from e3nn.util.jit import compile_mode
from nequip.nn import scatter

from spinff.irreps import AnyIrrep, TIrreps, irrep_list, tensor_product_paths
from spinff.irreps._spin_space import coupling_coefficients, slices

# Compiled networks get the entries as the table itself, which an empty ``slot`` says.
# What belongs to an entry has then two leading dimensions, (width, rows), in place of
# one: a compiler needs no index for what belongs together, and no division to find it.
# Rows come last, because neighbours in memory are then of different rows: sums over a
# row and what is the same along it are vectors' work.


def as_table(
    entries: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Entries (E, …), or (width, rows, …) for a compiled network."""
    if slot.size(0) > 0:
        return entries
    return entries.unflatten(0, [table.size(0), table.size(1)])


def as_list(entries: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Entries of ``as_table`` as (E, …)."""
    return entries if slot.size(0) > 0 else entries.flatten(0, 1)


def in_slots(
    entries: torch.Tensor, slot: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """Entries of ``as_table`` as (width, rows, dim), zero where there is none."""
    if slot.size(0) == 0:
        return entries
    width, rows = table.shape
    padded = entries.new_zeros(width * rows, entries.size(1))
    padded = padded.index_copy(0, slot, entries)
    return padded.view(width, rows, entries.size(1))


def sum_of_rows(
    entries: torch.Tensor,
    row: torch.Tensor,
    slot: torch.Tensor,
    table: torch.Tensor,
    dim: int = 0,
) -> torch.Tensor:
    """Sums (rows, …) of entries of ``as_table`` by their row of the table (E,).

    Entries that lie along another axis ``dim`` leave their sums there.
    """
    if slot.size(0) > 0:
        return scatter(entries, row, dim=dim, dim_size=table.size(1))
    return entries.sum(dim)


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
        coefficients = _path_coefficients(left, right, out)
        path, i, j, k = torch.nonzero(coefficients, as_tuple=True)
        dim_left, dim_right = coefficients.shape[1:3]
        self.register_buffer("entry_values", coefficients[path, i, j, k])
        self.register_buffer("entry_path", path)
        self.register_buffer("entry_place", (k * dim_left + i) * dim_right + j)
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
            x1: (E, channels, dim_left), as ``as_table``.
            x2: (num_centres, channels, dim_right).
            slot: (E,) place of each edge in ``table``, of ``topology.slots``.
            table: (width, num_centres) edges of each centre.

        Returns:
            (E, channels, dim_out), as ``as_table``.
        """
        width, num_centres = table.shape
        entries = torch.index_select(self.weights, 1, self.entry_path)
        coefficients = self.weights.new_zeros(
            self.channels, self._dim_right * self._dim_left * self._dim_out
        ).index_add(1, self.entry_place, entries * self.entry_values)
        # one matrix (k, i) per centre and channel
        coefficients = coefficients.view(
            self.channels, self._dim_out * self._dim_left, self._dim_right
        )
        if slot.size(0) == 0:
            return self._of_table(x1, torch.bmm(coefficients, x2.permute(1, 2, 0)))
        environment = torch.bmm(x2.transpose(0, 1), coefficients.transpose(1, 2))
        environment = environment.view(
            self.channels, num_centres, self._dim_out, self._dim_left
        )
        if self._dim_out == 1:
            matrices = environment.permute(1, 0, 2, 3).squeeze(2)  # (n, u, i)
            row = torch.remainder(slot, num_centres)
            return (x1 * torch.index_select(matrices, 0, row)).sum(-1, keepdim=True)
        edges = in_slots(x1.flatten(-2), slot, table)
        edges = edges.unflatten(-1, [self.channels, self._dim_left])
        # edges in columns: libraries are slow where rows of the result are short
        columns = edges.permute(2, 1, 3, 0)  # (u, n, i, s)
        product = torch.matmul(environment, columns)  # (u, n, k, s)
        product = product.permute(3, 1, 0, 2)
        product = product.reshape(width * num_centres, self.channels, self._dim_out)
        return torch.index_select(product, 0, slot)

    def _of_table(self, x1: torch.Tensor, environment: torch.Tensor) -> torch.Tensor:
        """(width, n, u, i) with (u, k·i, n) -> (width, n, u, k), by a compiler."""
        matrices = environment.unflatten(1, [self._dim_out, self._dim_left])
        x1 = x1.permute(2, 3, 0, 1).unsqueeze(1)  # (u, 1, i, width, n)
        return (matrices.unsqueeze(3) * x1).sum(2).permute(2, 3, 0, 1)


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
