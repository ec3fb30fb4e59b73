"""Spin-Allegro: a spin Hamiltonian whose couplings come from an Allegro network.

MSENN and TENN of SpinGNN++ (Yu et al., Phys. Rev. B 110, 104427) on one Allegro network
over geometry (Musaelian et al., Nat. Commun. 14, 579 (2023)). With explicit terms alone
it is an MSENN.
"""

from __future__ import annotations

from typing import Any

import torch
from allegro.nn import ProductTypeEmbedding
from e3nn.o3 import Irreps
from nequip.data import AtomicDataDict
from nequip.model import model_builder
from nequip.nn import ForceStressOutput, GraphModuleMixin, ScalarMLP
from nequip.nn.embedding import EdgeLengthNormalizer

from spinff.errors import SpinffError
from spinff.irreps import TIrrep, TIrreps
from spinff.models.assembly import Geometry, SpinHamiltonian, assemble, moment_inputs
from spinff.nn import AllegroLayers, BondEnvironment, BondExchange, BondTensors
from spinff.nn.allegro import EdgeTensors
from spinff.nn.radial import RadialBasis, RadialEncoding


@model_builder
def SpinAllegro(
    *,
    # === species and cutoffs ===
    type_names: list[str],
    magnetic_types: list[str],
    moments: dict[str, float],
    moment_mode: str = "fixed",
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None = None,
    bond_r_max: float | None = None,
    # === spin Hamiltonian ===
    terms: list[str],
    spin_orbit_coupling: bool,
    exchange_baseline: dict[str, list[float]] | None = None,
    exchange_scale: float = 0.02,
    relativistic_scale: float = 0.02,
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
    num_layers: int = 2,
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
    """Build a Spin-Allegro model.

    Also takes nequip's ``seed``, ``model_dtype`` and ``compile_mode``.

    Args:
        type_names: species of the model.
        magnetic_types: those of them that carry a moment.
        moments: length of the moment of each magnetic type, µB: fixed, or the reference
            length s = m / m_ref of the other modes.
        moment_mode: ``fixed``: the energy depends on directions only, the length enters
            the magnetic force and the dynamics; ``input``: it depends on m, smoothly
            down to m = 0, and magnetic forces have a longitudinal part; ``predicted``:
            as fixed, and the TENN predicts lengths, trained on |m| labels.
        r_max: cutoff, Å.
        per_edge_type_cutoff: nequip's per-pair cutoffs, Å, each ≤ r_max.
        bond_r_max: reach of the surroundings of a bond, Å: the atoms within it of both
            magnetic atoms, bridging ligands above all, are seen together; None: r_max,
            which costs several times as much. Edges end at their cutoffs all the same.
        terms: beside the lattice energy, any of ``exchange``, ``anisotropy``,
            ``biquadratic``, ``ring`` (four spins), ``longitudinal`` (Landau expansion
            in |m|, mode input) and ``tenn`` (any order); none for a model that does not
            see spins.
        spin_orbit_coupling: with it exchange has all nine components and the TENN
            couples spins with bonds; without it the energy is exactly invariant when
            all spins turn alone.
        exchange_baseline: coefficients of the linear J(r), from ``SpinStatistics``.
        exchange_scale: eV, size of the network's part of J at the start.
        relativistic_scale: eV, multiplies D and Γ.
        anisotropy_scale: eV, multiplies A.
        biquadratic_baseline: coefficients of the linear K(r), from ``SpinStatistics``.
        biquadratic_scale: eV, size of the network's part of K at the start.
        ring_channels: separable terms of the ring exchange.
        ring_scale: eV, size of the ring exchange at the start.
        longitudinal_baseline: (type) -> a, b, c in eV, from ``SpinStatistics``.
        longitudinal_scale: eV, size of the network's part of a, b, c at the start.
        tenn_l_max: degree of the TENN's bond harmonics and tensors.
        tenn_spin_l_max: degree of its spin harmonics on neighbours.
        tenn_num_layers: its tensor products.
        tenn_num_scalar_features: width of its scalar track.
        tenn_num_tensor_features: channels of its tensor track.
        tenn_scale: eV, size of its energy for weights of order one.
        magnetic_force_scale: label scale per data set and species; None: 1.
        magnetic_force_scale_trainable: learn the label scales.
        avg_num_neighbors: of the training data.
        avg_num_magnetic_neighbors: magnetic neighbours of a magnetic atom; None: as
            avg_num_neighbors.
        per_type_energy_shifts: energy of an atom before the network's part, eV.
        per_type_energy_scales: scale of the network's lattice energy, eV.
        lattice_baseline: coefficients of the pair and three-body potentials under the
            network's lattice energy, from ``SpinStatistics``; the shift that belongs to
            them is ``per_atom_energy_shift``.
        l_max: highest degree of spherical harmonics and tensors.
        parity: keep tensors of both parities.
        num_layers: Allegro layers.
        num_scalar_features: width of the scalar track.
        num_tensor_features: channels of the tensor track.
        num_bessels: radial functions, also of the linear baselines.
        polynomial_cutoff_p: power of the cutoff polynomial.
        mlp_hidden_layers_depth: hidden layers of every MLP.
        mlp_hidden_layers_width: their width.
        mlp_nonlinearity: of every MLP.
        do_derivatives: forces, stress and magnetic forces as well as energies.
    """
    hamiltonian = SpinHamiltonian(
        who="SpinAllegro",
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
    geometry = _allegro(
        hamiltonian,
        r_max=r_max,
        per_edge_type_cutoff=per_edge_type_cutoff,
        bond_r_max=bond_r_max,
        tensor_irreps=_tensor_irreps(l_max, parity),
        l_max=l_max,
        num_layers=num_layers,
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


def _tensor_irreps(l_max: int, parity: bool) -> TIrreps:
    """What the tensor track may carry: all (l, p), or those of the harmonics."""
    parities = (1, -1) if parity else ()
    return TIrreps(
        [
            (1, TIrrep(degree, p))
            for degree in range(l_max + 1)
            for p in (parities or ((-1) ** degree,))
        ]
    )


def _bond_reach(r_max: float, bond_r_max: float | None) -> float:
    """Å."""
    if bond_r_max is None:
        return r_max
    if not 0 < bond_r_max <= r_max:
        raise SpinffError(
            f"SpinAllegro: 'bond_r_max' is out of range, got {bond_r_max}, expected a "
            f"distance above 0 and up to r_max = {r_max}; the distance from a magnetic "
            "atom to its ligands and half of that again is a good one"
        )
    return bond_r_max


def _allegro(
    hamiltonian: SpinHamiltonian,
    *,
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None,
    bond_r_max: float | None,
    tensor_irreps: TIrreps,
    l_max: int,
    num_layers: int,
    num_scalar_features: int,
    num_tensor_features: int,
    num_bessels: int,
    polynomial_cutoff_p: float,
    avg_num_neighbors: float,
    mlp: dict[str, Any],
) -> Geometry:
    """Embeddings and Allegro layers, over geometry and species only."""
    type_names = list(hamiltonian.type_names)
    reach = _bond_reach(r_max, bond_r_max)
    edge_norm = EdgeLengthNormalizer(
        r_max=r_max,
        type_names=type_names,
        per_edge_type_cutoff=per_edge_type_cutoff,
        irreps_in=moment_inputs(),
    )
    topology = hamiltonian.topology(
        {"edges", "triangles"} if hamiltonian.reads_pairs else {"edges"},
        torch.full((len(type_names), len(type_names)), reach),
        edge_norm.irreps_out,
    )
    basis = RadialBasis(
        num_bessels=num_bessels,
        polynomial_cutoff_p=polynomial_cutoff_p,
        irreps_in=topology.irreps_out,
    )
    radial = RadialEncoding(irreps_in=basis.irreps_out)
    type_embed = ProductTypeEmbedding(
        type_names=type_names,
        initial_embedding_dim=num_scalar_features,
        irreps_in=radial.irreps_out,
    )
    scalar_embed = ScalarMLP(
        output_dim=num_scalar_features,
        field=AtomicDataDict.EDGE_EMBEDDING_KEY,
        irreps_in=type_embed.irreps_out,
        **mlp,
    )
    tensor_embed = EdgeTensors(
        l_max=l_max,
        num_tensor_features=num_tensor_features,
        irreps_in=scalar_embed.irreps_out,
    )
    layers = AllegroLayers(
        num_layers=num_layers,
        num_scalar_features=num_scalar_features,
        num_tensor_features=num_tensor_features,
        tensor_irreps=tensor_irreps,
        avg_num_neighbors=avg_num_neighbors,
        mlp_kwargs=mlp,
        irreps_in=tensor_embed.irreps_out,
    )

    def pair_features(irreps_in: dict[str, Irreps]) -> dict[str, GraphModuleMixin]:
        directions = hamiltonian.tensor_irreps.dim > 0
        num_scalars = (num_tensor_features + 1) // 2
        environment = BondEnvironment(
            reach=reach,
            # scalars alone need fewer than tensors to mix
            channels=num_tensor_features if directions else num_scalars,
            directions=directions,
            avg_num_neighbors=avg_num_neighbors,
            irreps_in=irreps_in,
        )
        modules: dict[str, GraphModuleMixin] = {"bond_environment": environment}
        if "tenn" in hamiltonian.terms and directions:
            modules["bond_tensors"] = BondTensors(
                channels=num_tensor_features, irreps_in=environment.irreps_out
            )
        return modules

    return Geometry(
        modules={
            "edge_norm": edge_norm,
            "topology": topology,
            "radial_basis": basis,
            "radial": radial,
            "type_embed": type_embed,
            "scalar_embed": scalar_embed,
            "tensor_embed": tensor_embed,
            "layers": layers,
        },
        pair_features=pair_features,
        relativistic=lambda irreps_in: BondExchange(
            channels=num_tensor_features, irreps_in=irreps_in
        ),
        num_tensor_features=num_tensor_features,
        avg_num_neighbors=avg_num_neighbors,
        polynomial_cutoff_p=polynomial_cutoff_p,
        mlp=mlp,
    )
