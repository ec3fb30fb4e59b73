"""TENN: a time-reversal-equivariant network over spins and bonds.

What a bilinear Hamiltonian leaves out — products of three and more spins, any function
of them — is a function of features that know how they turn and whether they change
sign under time reversal (SpinGNN++, Yu et al., Phys. Rev. B 110, 104427, Sec. II C).
The layers are Allegro's over the edges between magnetic atoms, with T-graded irreps in
every product; only scalars even under inversion and time reversal become energy, so
E(r, −s) = E(r, s) to the bit. What ligands do comes through the scalars and tensors
that the network over geometry, which ran before, has for each magnetic edge.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
from collections.abc import Sequence
from typing import Any

import torch
from e3nn import o3
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import ScalarMLPFunction, scatter

from spinff import fields
from spinff.irreps import AnyIrrep, SpinSpaceIrrep, TIrrep, TIrreps
from spinff.irreps._spin_space import coupling_coefficients
from spinff.nn import _keys
from spinff.nn.contraction import as_list, as_table
from spinff.nn.tensor_layers import ChannelWeights, TensorLayers


@compile_mode("script")
class MomentBasis(torch.nn.Module):
    """Smooth, bounded functions of a length: T_k(2x/(1+x) − 1) + (−1)^(k+1), x = s².

    Chebyshev polynomials, k = 1 … count, each zero at s = 0.
    """

    def __init__(self, count: int) -> None:
        """Set up ``count`` functions."""
        super().__init__()
        self.count = count

    def forward(self, spins: torch.Tensor) -> torch.Tensor:
        """Spins (N, 3) -> (N, count)."""
        x = spins.square().sum(-1, keepdim=True)
        y = (x - 1.0) / (x + 1.0)
        before, now = torch.ones_like(y), y
        functions = []
        for k in range(1, self.count + 1):
            functions.append(now - (1.0 if k % 2 == 0 else -1.0))
            before, now = now, 2.0 * y * now - before
        return torch.cat(functions, dim=1)


@compile_mode("script")
class LengthFactors(torch.nn.Module):
    """Factors 1 + f(s_i, s_j) for the scalars of an edge, where lengths vary."""

    def __init__(self, width: int, num_functions: int = 4) -> None:
        """Make ``width`` factors."""
        super().__init__()
        self._dtype = torch.get_default_dtype()
        self.basis = MomentBasis(num_functions)
        self.weights = ScalarMLPFunction(2 * num_functions, width)

    def forward(
        self, spins: torch.Tensor, centre: torch.Tensor, neighbour: torch.Tensor
    ) -> torch.Tensor:
        """(M, width)."""
        functions = self.basis(spins).to(self._dtype)
        of_ends = [
            torch.index_select(functions, 0, centre),
            torch.index_select(functions, 0, neighbour),
        ]
        return 1.0 + self.weights(torch.cat(of_ends, dim=1))


@compile_mode("script")
class TENN(torch.nn.Module):
    """Energies of the magnetic atoms from a T-equivariant Allegro network.

    Edge i→j carries Y_L(r̂_ij) ⊗ 𝒴_l'(s_j), with 𝒴 the solid harmonics, polynomials in
    the spin that are smooth at s = 0; the centre adds 𝒴_l'(s_i) to its environment.
    With spin–orbit coupling the two factors are coupled to irreps (l, p, t) of joint
    rotations, and the 1ee and 2ee edge tensors of the geometry come in too. Without it
    each keeps its own irrep, and a product couples lattice with lattice and spin with
    spin: the energy is invariant when all spins are turned alone.

    Args:
        type_names: all types of the model.
        spin_orbit_coupling: joint or separate rotations.
        lengths: whether |s| varies, and is a feature.
        l_max: degree of bond harmonics and of the tensors.
        spin_l_max: degree of the neighbours' spin harmonics.
        num_layers: tensor products.
        num_scalar_features: width of the scalar track.
        num_tensor_features: channels of the tensor track.
        geometry_irreps: of the geometry's edge tensors; none without spin–orbit
            coupling.
        num_geometry_scalars: width of the geometry's edge scalars.
        num_geometry_channels: channels of the geometry's edge tensors.
        avg_num_neighbors: magnetic neighbours of a magnetic atom.
        scale: eV; size of the energy for weights of order one.
        mlp_kwargs: of ``ScalarMLPFunction``.
    """

    to_basis: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        spin_orbit_coupling: bool,
        lengths: bool,
        l_max: int,
        spin_l_max: int,
        num_layers: int,
        num_scalar_features: int,
        num_tensor_features: int,
        geometry_irreps: TIrreps,
        num_geometry_scalars: int,
        num_geometry_channels: int,
        avg_num_neighbors: float,
        scale: float,
        mlp_kwargs: dict[str, Any],
    ) -> None:
        """Build the network; its energy starts at zero."""
        super().__init__()
        self._dtype = torch.get_default_dtype()
        self.channels = num_tensor_features
        self._norm = float(scale) * float(avg_num_neighbors) ** -0.5

        # === harmonics and the basis of an edge ===
        self.bond_harmonics = o3.SphericalHarmonics(
            list(range(l_max + 1)), normalize=True, normalization="component"
        )
        # of the centre to 2 at least: 𝒴_2(s_i) is two factors of s_i in one product,
        # and costs a few components per atom, not per edge
        centre_l_max = max(2, spin_l_max)
        self.spin_harmonics = o3.SphericalHarmonics(
            list(range(1, centre_l_max + 1)), normalize=False, normalization="component"
        )
        self._neighbour_dim = (spin_l_max + 1) ** 2 - 1
        basis, to_basis = edge_basis(l_max, spin_l_max, spin_orbit_coupling)
        self.register_buffer("to_basis", to_basis.to(self._dtype))
        centre: list[AnyIrrep] = [
            _spin_irrep(degree, spin_orbit_coupling)
            for degree in range(1, centre_l_max + 1)
        ]

        # === the geometry's tensors that only spin–orbit coupling lets in ===
        geometry: list[AnyIrrep] = list(geometry_irreps.irreps())
        self._geometry_dim = geometry_irreps.dim
        self._geometry_channels = num_geometry_channels
        self.geometry_mixing = torch.nn.Parameter(
            torch.randn(num_geometry_channels, num_tensor_features)
            * num_geometry_channels**-0.5
        )

        # === layers ===
        self.lengths = LengthFactors(num_geometry_scalars) if lengths else None
        self.edge_weighter = ChannelWeights(basis, num_tensor_features)
        self.edge_weights = ScalarMLPFunction(
            input_dim=num_geometry_scalars, output_dim=self.edge_weighter.num_weights
        )
        self.centre_weighter = ChannelWeights(centre, num_tensor_features)
        self.centre_weights = torch.nn.Parameter(
            torch.randn(len(type_names), self.centre_weighter.num_weights)
        )
        self.layers = TensorLayers(
            num_layers=num_layers,
            num_scalars_in=num_geometry_scalars,
            num_scalar_features=num_scalar_features,
            num_tensor_features=num_tensor_features,
            tensors=[*basis, *geometry],
            basis=basis,
            centre=centre,
            between=tensor_track(l_max, spin_l_max, spin_orbit_coupling),
            out=[_scalar(spin_orbit_coupling)],
            avg_num_neighbors=avg_num_neighbors,
            mlp_kwargs=mlp_kwargs,
        )
        self.readout = ScalarMLPFunction(
            input_dim=self.layers.num_scalars_out,
            output_dim=num_scalar_features,
            **mlp_kwargs,
        )
        self.readout_weights = torch.nn.Parameter(torch.zeros(num_scalar_features, 1))

    def forward(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """(N, 1) eV."""
        edges = data[fields.MAGNETIC_EDGES_KEY]
        centre = torch.index_select(data[AtomicDataDict.EDGE_INDEX_KEY][0], 0, edges)
        features = self._features(data)
        data[_keys.TENN_SCALARS_KEY] = features
        energies = torch.mm(self.readout(features), self.readout_weights)
        num_atoms = data[fields.SPINS_KEY].size(0)
        return scatter(
            self._norm * energies.to(torch.float64), centre, dim=0, dim_size=num_atoms
        )

    def _features(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """Scalars (M, width) of each magnetic edge."""
        edge_index = data[AtomicDataDict.EDGE_INDEX_KEY]
        edges = data[fields.MAGNETIC_EDGES_KEY]
        neighbour = torch.index_select(edge_index[1], 0, edges)
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
        atoms = data[_keys.MAGNETIC_ATOMS_KEY]

        spins = data[fields.SPINS_KEY]
        harmonics = self.spin_harmonics(spins).to(self._dtype)  # (N, spin dim)
        scalars = data[_keys.PAIR_SCALARS_KEY]
        if self.lengths is not None:
            centre = torch.index_select(edge_index[0], 0, edges)
            scalars = scalars * self.lengths(spins, centre, neighbour)
        slot, table = data[_keys.PAIR_SLOT_KEY], data[_keys.PAIR_TABLE_KEY]
        basis = self._edge_basis(data, edges, neighbour, harmonics)
        basis = as_table(basis, slot, table)
        weights = as_table(self.edge_weights(scalars), slot, table)
        tensors = self.edge_weighter(basis, weights)
        if self._geometry_dim > 0:
            geometry = as_table(self._geometry_tensors(data), slot, table)
            tensors = torch.cat([tensors, geometry], dim=-1)
        centre_tensors = self.centre_weighter(
            torch.index_select(harmonics, 0, atoms),
            torch.index_select(
                self.centre_weights, 0, torch.index_select(types, 0, atoms)
            ),
        )
        by_layer, _ = self.layers(
            scalars,
            tensors,
            basis,
            centre_tensors,
            data[_keys.PAIR_CENTRE_KEY],
            slot,
            table,
        )
        return as_list(torch.cat(by_layer, dim=-1), slot)

    def _edge_basis(
        self,
        data: AtomicDataDict.Type,
        edges: torch.Tensor,
        neighbour: torch.Tensor,
        harmonics: torch.Tensor,
    ) -> torch.Tensor:
        """Y_L(r̂_ij) ⊗ (1, 𝒴_l'(s_j)), coupled (M, dim)."""
        vectors = torch.index_select(data[AtomicDataDict.EDGE_VECTORS_KEY], 0, edges)
        bond = self.bond_harmonics(vectors).to(self._dtype)  # (M, bond dim)
        spin = torch.index_select(harmonics, 0, neighbour)[:, : self._neighbour_dim]
        spin = torch.cat([torch.ones_like(spin[:, :1]), spin], dim=1)
        return torch.mm(
            (bond.unsqueeze(2) * spin.unsqueeze(1)).flatten(1), self.to_basis
        )

    def _geometry_tensors(self, data: AtomicDataDict.Type) -> torch.Tensor:
        """1ee and 2ee of the geometry, mixed to this network's channels (M, u, dim)."""
        tensors = data[_keys.PAIR_TENSORS_KEY].view(
            -1, self._geometry_channels, self._geometry_dim
        )
        return torch.einsum("euk,uv->evk", tensors, self.geometry_mixing)


def _spin_irrep(degree: int, spin_orbit_coupling: bool) -> AnyIrrep:
    """Of 𝒴_l(s): even under inversion, (−1)^l under time reversal."""
    spin = TIrrep(degree, 1, (-1) ** degree)
    return spin if spin_orbit_coupling else SpinSpaceIrrep(TIrrep("0ee"), spin)


def _scalar(spin_orbit_coupling: bool) -> AnyIrrep:
    return _spin_irrep(0, spin_orbit_coupling)


def edge_basis(
    l_max: int, spin_l_max: int, spin_orbit_coupling: bool
) -> tuple[list[AnyIrrep], torch.Tensor]:
    """Irreps of Y_L ⊗ 𝒴_l', and the matrix from the outer product to them.

    Returns:
        Irreps, the scalar first, and a matrix ((l_max+1)²(spin_l_max+1)², dim).
    """
    bonds = [TIrrep(degree, (-1) ** degree) for degree in range(l_max + 1)]
    spins = [TIrrep(degree, 1, (-1) ** degree) for degree in range(spin_l_max + 1)]
    num_bond, num_spin = (l_max + 1) ** 2, (spin_l_max + 1) ** 2
    irreps: list[AnyIrrep] = []
    columns = []
    for bond in bonds:
        for spin in spins:
            pairs: Sequence[tuple[AnyIrrep, torch.Tensor]]
            if spin_orbit_coupling:
                pairs = [
                    (out, coupling_coefficients(bond, spin, out) * out.dim**0.5)
                    for out in bond * spin
                    if out.l <= l_max
                ]
            else:
                identity = torch.eye(bond.dim * spin.dim)
                block = identity.view(bond.dim, spin.dim, -1)
                pairs = [(SpinSpaceIrrep(bond, spin), block)]
            for out, block in pairs:
                irreps.append(out)
                column = torch.zeros(num_bond, num_spin, out.dim)
                b, s = bond.l**2, spin.l**2  # where a degree starts
                column[b : b + bond.dim, s : s + spin.dim] = block
                columns.append(column.flatten(0, 1))
    return irreps, torch.cat(columns, dim=1)


def tensor_track(
    l_max: int, spin_l_max: int, spin_orbit_coupling: bool
) -> list[AnyIrrep]:
    """Every irrep the tensors between layers may have; the scalar first."""
    lattice = [TIrrep(degree, p) for degree in range(l_max + 1) for p in (1, -1)]
    if spin_orbit_coupling:
        return [TIrrep(ir.l, ir.p, t) for ir in lattice for t in (1, -1)]
    spin = [TIrrep(degree, 1, t) for degree in range(spin_l_max + 1) for t in (1, -1)]
    return [SpinSpaceIrrep(a, b) for a in lattice for b in spin]
