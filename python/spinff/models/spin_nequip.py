"""Spin-NequIP: the spin Hamiltonian of Spin-Allegro on a message-passing network.

The network over geometry is NequIP's (Batzner et al., Nat. Commun. 13, 2453 (2022));
couplings see as far as messages travel. What they depend on does not end at one cutoff,
so in LAMMPS the model runs on one rank.
"""

from __future__ import annotations

from typing import Any

from e3nn import o3
from nequip.model import model_builder
from nequip.nn import ConvNetLayer, ForceStressOutput, GraphModuleMixin
from nequip.nn.embedding import (
    BesselEdgeLengthEncoding,
    EdgeLengthNormalizer,
    NodeTypeEmbed,
    PolynomialCutoff,
    SphericalHarmonicEdgeAttrs,
)
from nequip.nn.embedding.utils import cutoff_partialdict_to_tensor

from spinff.models.assembly import Geometry, SpinHamiltonian, assemble, moment_inputs
from spinff.nn import (
    EdgesFromNodes,
    ExchangeFromTensors,
    PairsFromNodes,
    PairTensorsFromNodes,
)
from spinff.nn.radial import RadialBasis


@model_builder
def SpinNequIP(
    *,
    # === species and cutoffs ===
    type_names: list[str],
    magnetic_types: list[str],
    moments: dict[str, float],
    moment_mode: str = "fixed",
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None = None,
    # === spin Hamiltonian ===
    terms: list[str],
    spin_orbit_coupling: bool,
    exchange_baseline: dict[str, list[float]] | None = None,
    exchange_scale: float = 0.02,
    relativistic_scale: float = 1.0,
    anisotropy_scale: float = 0.01,
    biquadratic_baseline: dict[str, list[float]] | None = None,
    biquadratic_scale: float = 0.002,
    ring_channels: int = 4,
    ring_scale: float = 0.002,
    longitudinal_baseline: dict[str, list[float]] | None = None,
    longitudinal_scale: float = 0.1,
    tenn_l_max: int = 2,
    tenn_spin_l_max: int = 1,
    tenn_num_layers: int = 2,
    tenn_num_scalar_features: int = 32,
    tenn_num_tensor_features: int = 4,
    tenn_scale: float = 0.02,
    magnetic_force_scale: list[dict[str, float]] | None = None,
    magnetic_force_scale_trainable: bool = False,
    # === energy reference ===
    avg_num_neighbors: float,
    avg_num_magnetic_neighbors: float | None = None,
    per_type_energy_shifts: float | dict[str, float],
    per_type_energy_scales: float | dict[str, float],
    lattice_baseline: dict[str, dict[str, list[float]]] | None = None,
    # === size of the network over geometry ===
    l_max: int = 2,
    parity: bool = True,
    num_layers: int = 3,
    num_features: int = 16,
    radial_mlp_depth: int = 1,
    radial_mlp_width: int = 32,
    num_scalar_features: int = 32,
    num_tensor_features: int = 8,
    num_bessels: int = 8,
    polynomial_cutoff_p: float = 6,
    mlp_hidden_layers_depth: int = 1,
    mlp_hidden_layers_width: int = 32,
    mlp_nonlinearity: str = "silu",
    # === derivatives ===
    do_derivatives: bool = True,
) -> ForceStressOutput:
    """Build a Spin-NequIP model.

    Also takes nequip's ``seed``, ``model_dtype`` and ``compile_mode``. The arguments of
    species, spin Hamiltonian and energy reference are those of ``SpinAllegro``.

    Args:
        type_names: species of the model.
        magnetic_types: those of them that carry a moment.
        moments: length of the moment of each magnetic type, µB.
        moment_mode: see ``SpinAllegro``.
        r_max: cutoff of one message, Å.
        per_edge_type_cutoff: nequip's per-pair cutoffs, Å, each ≤ r_max.
        terms: see ``SpinAllegro``, as everything up to
            ``magnetic_force_scale_trainable``.
        spin_orbit_coupling: see ``SpinAllegro``.
        exchange_baseline: see ``SpinAllegro``.
        exchange_scale: see ``SpinAllegro``.
        relativistic_scale: eV, multiplies D and Γ; the tensors are about 1e-3.
        anisotropy_scale: see ``SpinAllegro``.
        biquadratic_baseline: see ``SpinAllegro``.
        biquadratic_scale: see ``SpinAllegro``.
        ring_channels: see ``SpinAllegro``.
        ring_scale: see ``SpinAllegro``.
        longitudinal_baseline: see ``SpinAllegro``.
        longitudinal_scale: see ``SpinAllegro``.
        tenn_l_max: see ``SpinAllegro``.
        tenn_spin_l_max: see ``SpinAllegro``.
        tenn_num_layers: see ``SpinAllegro``.
        tenn_num_scalar_features: see ``SpinAllegro``.
        tenn_num_tensor_features: see ``SpinAllegro``.
        tenn_scale: see ``SpinAllegro``.
        magnetic_force_scale: see ``SpinAllegro``.
        magnetic_force_scale_trainable: see ``SpinAllegro``.
        avg_num_neighbors: of the training data.
        avg_num_magnetic_neighbors: of a magnetic atom; None: as avg_num_neighbors.
        per_type_energy_shifts: energy of an atom before the network's part, eV.
        per_type_energy_scales: scale of the network's lattice energy, eV.
        lattice_baseline: coefficients of the pair and three-body potentials under the
            network's lattice energy, from ``SpinStatistics``; the shift that belongs to
            them is ``per_atom_energy_shift``.
        l_max: highest degree of spherical harmonics and node features.
        parity: keep node features of both parities.
        num_layers: message-passing layers; couplings see num_layers · r_max far.
        num_features: copies of each irrep in the node features.
        radial_mlp_depth: hidden layers of the radial MLP of a message.
        radial_mlp_width: their width.
        num_scalar_features: width of the edge scalars that the heads read.
        num_tensor_features: channels of the edge tensors that they read.
        num_bessels: radial functions, also of the linear baselines.
        polynomial_cutoff_p: power of the cutoff polynomial.
        mlp_hidden_layers_depth: hidden layers of every other MLP.
        mlp_hidden_layers_width: their width.
        mlp_nonlinearity: of every other MLP.
        do_derivatives: forces, stress and magnetic forces as well as energies.
    """
    hamiltonian = SpinHamiltonian(
        who="SpinNequIP",
        type_names=type_names,
        magnetic_types=magnetic_types,
        moments=moments,
        moment_mode=moment_mode,
        terms=terms,
        spin_orbit_coupling=spin_orbit_coupling,
        exchange_baseline=exchange_baseline,
        exchange_scale=exchange_scale,
        relativistic_scale=relativistic_scale,
        anisotropy_scale=anisotropy_scale,
        biquadratic_baseline=biquadratic_baseline,
        biquadratic_scale=biquadratic_scale,
        ring_channels=ring_channels,
        ring_scale=ring_scale,
        longitudinal_baseline=longitudinal_baseline,
        longitudinal_scale=longitudinal_scale,
        tenn_l_max=tenn_l_max,
        tenn_spin_l_max=tenn_spin_l_max,
        tenn_num_layers=tenn_num_layers,
        tenn_num_scalar_features=tenn_num_scalar_features,
        tenn_num_tensor_features=tenn_num_tensor_features,
        tenn_scale=tenn_scale,
        avg_num_magnetic_neighbors=avg_num_magnetic_neighbors or avg_num_neighbors,
        magnetic_force_scale=magnetic_force_scale or [{}],
        magnetic_force_scale_trainable=magnetic_force_scale_trainable,
    )
    geometry = _nequip(
        hamiltonian,
        r_max=r_max,
        per_edge_type_cutoff=per_edge_type_cutoff,
        l_max=l_max,
        parity=parity,
        num_layers=num_layers,
        num_features=num_features,
        radial_mlp_depth=radial_mlp_depth,
        radial_mlp_width=radial_mlp_width,
        num_scalar_features=num_scalar_features,
        num_tensor_features=num_tensor_features,
        num_bessels=num_bessels,
        polynomial_cutoff_p=polynomial_cutoff_p,
        avg_num_neighbors=avg_num_neighbors,
        mlp={
            "hidden_layers_depth": mlp_hidden_layers_depth,
            "hidden_layers_width": mlp_hidden_layers_width,
            "nonlinearity": mlp_nonlinearity,
        },
    )
    return assemble(
        hamiltonian,
        geometry,
        per_type_energy_shifts=per_type_energy_shifts,
        per_type_energy_scales=per_type_energy_scales,
        lattice_baseline=lattice_baseline,
        do_derivatives=do_derivatives,
    )


def _nequip(
    hamiltonian: SpinHamiltonian,
    *,
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None,
    l_max: int,
    parity: bool,
    num_layers: int,
    num_features: int,
    radial_mlp_depth: int,
    radial_mlp_width: int,
    num_scalar_features: int,
    num_tensor_features: int,
    num_bessels: int,
    polynomial_cutoff_p: float,
    avg_num_neighbors: float,
    mlp: dict[str, Any],
) -> Geometry:
    """Embeddings and NequIP layers over geometry and species, read off on the edges."""
    type_names = list(hamiltonian.type_names)
    edge_norm = EdgeLengthNormalizer(
        r_max=r_max,
        type_names=type_names,
        per_edge_type_cutoff=per_edge_type_cutoff,
        irreps_in=moment_inputs(),
    )
    bessel = BesselEdgeLengthEncoding(
        num_bessels=num_bessels,
        cutoff=PolynomialCutoff(polynomial_cutoff_p),
        irreps_in=edge_norm.irreps_out,
    )
    cutoffs = cutoff_partialdict_to_tensor(
        per_edge_type_cutoff or {}, type_names, r_max
    )
    topology = hamiltonian.topology(
        set(), cutoffs.view(len(type_names), len(type_names)), bessel.irreps_out
    )
    basis = RadialBasis(
        num_bessels=num_bessels,
        polynomial_cutoff_p=polynomial_cutoff_p,
        irreps_in=topology.irreps_out,
    )
    modules: dict[str, GraphModuleMixin] = {
        "edge_norm": edge_norm,
        "bessel": bessel,
        "topology": topology,
        "radial_basis": basis,
    }
    modules |= convolutions(
        features=[_node_irreps(l_max, parity, num_features)] * num_layers,
        bonds=o3.Irreps.spherical_harmonics(l_max),
        num_type_features=num_features,
        type_names=type_names,
        radial_mlp_depth=radial_mlp_depth,
        radial_mlp_width=radial_mlp_width,
        avg_num_neighbors=avg_num_neighbors,
        irreps_in=basis.irreps_out,
    )
    modules["edges"] = EdgesFromNodes(
        num_scalar_features=num_scalar_features,
        mlp_kwargs=mlp,
        irreps_in=modules[f"layer_{num_layers}"].irreps_out,
    )

    def pair_features(irreps_in: dict[str, o3.Irreps]) -> dict[str, GraphModuleMixin]:
        pairs = PairsFromNodes(irreps_in=irreps_in)
        modules: dict[str, GraphModuleMixin] = {"pairs": pairs}
        if hamiltonian.tensor_irreps.dim > 0:
            modules["pair_tensors"] = PairTensorsFromNodes(
                num_tensor_features=num_tensor_features,
                tensor_irreps=hamiltonian.tensor_irreps,
                irreps_in=pairs.irreps_out,
            )
        return modules

    return Geometry(
        modules=modules,
        pair_features=pair_features,
        relativistic=lambda irreps_in: ExchangeFromTensors(
            channels=num_tensor_features,
            tensor_irreps=hamiltonian.tensor_irreps,
            irreps_in=irreps_in,
        ),
        num_tensor_features=num_tensor_features,
        avg_num_neighbors=avg_num_neighbors,
        polynomial_cutoff_p=polynomial_cutoff_p,
        mlp=mlp,
    )


def _node_irreps(l_max: int, parity: bool, num_features: int) -> o3.Irreps:
    """All (l, p) up to l_max, or those of the harmonics."""
    return o3.Irreps(
        [
            (num_features, (degree, p))
            for degree in range(l_max + 1)
            for p in ((1, -1) if parity else ((-1) ** degree,))
        ]
    )


def convolutions(
    *,
    features: list[o3.Irreps],
    bonds: o3.Irreps,
    num_type_features: int,
    type_names: list[str],
    radial_mlp_depth: int,
    radial_mlp_width: int,
    avg_num_neighbors: float,
    irreps_in: dict[str, o3.Irreps],
) -> dict[str, GraphModuleMixin]:
    """NequIP's layers after an encoding of the distances.

    Args:
        features: irreps of the node features after each layer.
        bonds: irreps of the bond harmonics.
        num_type_features: width of the embedding of the species.
        type_names: species.
        radial_mlp_depth: hidden layers of the radial MLP of a message.
        radial_mlp_width: their width.
        avg_num_neighbors: normalises sums of messages.
        irreps_in: of the module before.

    Returns:
        Modules by name, ``layer_1`` … for the layers.
    """
    type_embed = NodeTypeEmbed(
        type_names=type_names, num_features=num_type_features, irreps_in=irreps_in
    )
    harmonics = SphericalHarmonicEdgeAttrs(
        irreps_edge_sh=bonds, irreps_in=type_embed.irreps_out
    )
    modules: dict[str, Any] = {"type_embed": type_embed, "harmonics": harmonics}
    last = harmonics
    for number, irreps in enumerate(features, start=1):
        last = modules[f"layer_{number}"] = ConvNetLayer(
            irreps_in=last.irreps_out,
            feature_irreps_hidden=irreps,
            convolution_kwargs={
                "radial_mlp_depth": radial_mlp_depth,
                "radial_mlp_width": radial_mlp_width,
                # nequip's choice: an isolated atom has the energy of its species
                "use_sc": number > 1,
                "is_first_layer": number == 1,
                "avg_num_neighbors": avg_num_neighbors,
                "type_names": type_names,
            },
        )
    return modules
