"""MSENN: energies from geometry, plus exchange whose tensors come from geometry.

The magnetic-moment spin equivariant network of SpinGNN++ (Yu et al., Phys. Rev. B 110,
104427) on an Allegro backbone. The network never sees a spin: it maps species and
positions to a lattice energy and to the couplings of an explicit spin Hamiltonian.
"""

from __future__ import annotations

from typing import Any

from allegro.nn import (
    EdgewiseReduce,
    TwoBodyBesselScalarEmbed,
    TwoBodySphericalHarmonicTensorEmbed,
)
from e3nn import o3
from nequip.data import AtomicDataDict
from nequip.model import model_builder
from nequip.nn import (
    AtomwiseReduce,
    ForceStressOutput,
    GraphModuleMixin,
    PerTypeScaleShift,
    ScalarMLP,
    SequentialGraphNetwork,
)
from nequip.nn.embedding import EdgeLengthNormalizer

from spinff import fields
from spinff.errors import SpinffError
from spinff.irreps import TIrrep, TIrreps
from spinff.nn import (
    AllegroLayers,
    ExchangeHead,
    MagneticForceLabelScale,
    SpinEnergy,
    exchange_irreps,
)


@model_builder
def MSENN(
    *,
    # === species and cutoffs ===
    type_names: list[str],
    magnetic_types: list[str],
    moments: dict[str, float],
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None = None,
    # === exchange ===
    spin_orbit_coupling: bool,
    exchange_baseline: dict[str, list[float]],
    exchange_scale: float = 0.02,
    biquadratic_baseline: dict[str, list[float]] | None,
    biquadratic_scale: float = 0.002,
    relativistic_scale: float = 1.0,
    magnetic_force_scale: list[dict[str, float]],
    magnetic_force_scale_trainable: bool,
    # === energy reference ===
    avg_num_neighbors: float,
    per_type_energy_shifts: float | dict[str, float],
    per_type_energy_scales: float | dict[str, float],
    # === network size ===
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
    """Build an MSENN on an Allegro backbone.

    Also takes nequip's ``seed``, ``model_dtype`` and ``compile_mode``.

    Args:
        type_names: species of the model.
        magnetic_types: those of them that carry a moment.
        moments: fixed length of the moment of each magnetic type, µB. The energy
            depends on directions only; the length enters the magnetic force, and it is
            what a deployed model tells the dynamics engine.
        r_max: cutoff, Å.
        per_edge_type_cutoff: nequip's per-pair cutoffs, Å, each ≤ r_max.
        spin_orbit_coupling: full exchange tensor (Heisenberg, Dzyaloshinskii–Moriya and
            symmetric anisotropy), or Heisenberg only: then the energy is exactly
            invariant when spins rotate alone.
        exchange_baseline: coefficients of the linear J(r), from ``SpinStatistics``.
        exchange_scale: eV, size of the network's part of J at the start.
        biquadratic_baseline: coefficients of the linear K(r), from ``SpinStatistics``;
            None for a model without the biquadratic term.
        biquadratic_scale: eV, size of the network's part of K at the start.
        relativistic_scale: eV, multiplies D and Γ; edge tensors are about 1e-3.
        magnetic_force_scale: label scale per data set and species.
        magnetic_force_scale_trainable: learn the label scales.
        avg_num_neighbors: of the training data.
        per_type_energy_shifts: energy of an atom before the network's part, eV.
        per_type_energy_scales: scale of the network's lattice energy, eV.
        l_max: highest degree of spherical harmonics and tensors.
        parity: keep tensors of both parities.
        num_layers: Allegro layers.
        num_scalar_features: width of the scalar track.
        num_tensor_features: channels of the tensor track.
        num_bessels: radial functions, also of the linear J(r).
        polynomial_cutoff_p: power of the cutoff polynomial.
        mlp_hidden_layers_depth: hidden layers of every MLP.
        mlp_hidden_layers_width: their width.
        mlp_nonlinearity: of every MLP.
        do_derivatives: forces, stress and magnetic forces as well as energies.
    """
    check_magnetic_types(type_names, magnetic_types, moments)
    mlp = {
        "hidden_layers_depth": mlp_hidden_layers_depth,
        "hidden_layers_width": mlp_hidden_layers_width,
        "nonlinearity": mlp_nonlinearity,
    }
    backbone = _backbone(
        type_names=type_names,
        r_max=r_max,
        per_edge_type_cutoff=per_edge_type_cutoff,
        tensor_irreps=_tensor_irreps(l_max, parity),
        tensor_irreps_out=exchange_irreps(spin_orbit_coupling),
        l_max=l_max,
        num_layers=num_layers,
        num_scalar_features=num_scalar_features,
        num_tensor_features=num_tensor_features,
        num_bessels=num_bessels,
        polynomial_cutoff_p=polynomial_cutoff_p,
        avg_num_neighbors=avg_num_neighbors,
        mlp=mlp,
    )
    lattice = _lattice_energy(
        type_names=type_names,
        avg_num_neighbors=avg_num_neighbors,
        scales=per_type_energy_scales,
        shifts=per_type_energy_shifts,
        mlp=mlp,
        irreps_in=backbone["layers"].irreps_out,
    )

    # === couplings of the spin Hamiltonian ===
    exchange = ExchangeHead(
        type_names=type_names,
        magnetic_types=magnetic_types,
        exchange_baseline=exchange_baseline,
        exchange_scale=exchange_scale,
        biquadratic_baseline=biquadratic_baseline,
        biquadratic_scale=biquadratic_scale,
        spin_orbit_coupling=spin_orbit_coupling,
        relativistic_scale=relativistic_scale,
        num_tensor_features=num_tensor_features,
        polynomial_cutoff_p=polynomial_cutoff_p,
        mlp_hidden_layers_width=mlp_hidden_layers_width,
        irreps_in=lattice["energy_scale_shift"].irreps_out,
    )
    # geometry -> lattice energy and couplings; what a deployed model keeps
    couplings = SequentialGraphNetwork({**backbone, **lattice, "exchange": exchange})

    # === energy of the spins, sum, derivatives ===
    spin_energy = SpinEnergy(irreps_in=couplings.irreps_out)
    label_scale = MagneticForceLabelScale(
        type_names=type_names,
        scales=magnetic_force_scale,
        trainable=magnetic_force_scale_trainable,
        irreps_in=spin_energy.irreps_out,
    )
    total_energy = AtomwiseReduce(
        reduce="sum",
        field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        out_field=AtomicDataDict.TOTAL_ENERGY_KEY,
        irreps_in=label_scale.irreps_out,
    )
    energy = SequentialGraphNetwork(
        {
            "couplings": couplings,
            "spin_energy": spin_energy,
            "label_scale": label_scale,
            "total_energy": total_energy,
        }
    )
    return ForceStressOutput(energy, do_derivatives)


def check_magnetic_types(
    type_names: list[str], magnetic_types: list[str], moments: dict[str, float]
) -> None:
    """Raise SpinffError unless each magnetic type is known and has a moment > 0."""
    unknown = [name for name in magnetic_types if name not in type_names]
    if unknown or not magnetic_types:
        raise SpinffError(
            f"MSENN: magnetic_types, got {magnetic_types}, expected one or more of "
            f"{', '.join(type_names)}; correct magnetic_types or type_names"
        )
    if set(moments) != set(magnetic_types) or not all(
        value > 0 for value in moments.values()
    ):
        raise SpinffError(
            f"MSENN: moments, got {moments}, expected a length > 0 in µB for each of "
            f"{', '.join(magnetic_types)}; correct moments"
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


def _backbone(
    *,
    type_names: list[str],
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None,
    tensor_irreps: TIrreps,
    tensor_irreps_out: TIrreps,
    l_max: int,
    num_layers: int,
    num_scalar_features: int,
    num_tensor_features: int,
    num_bessels: int,
    polynomial_cutoff_p: float,
    avg_num_neighbors: float,
    mlp: dict[str, Any],
) -> dict[str, GraphModuleMixin]:
    """Embeddings and Allegro layers, over geometry and species only."""
    edge_norm = EdgeLengthNormalizer(
        r_max=r_max,
        type_names=type_names,
        per_edge_type_cutoff=per_edge_type_cutoff,
        # inputs that later modules use are declared by the first one, or
        # GraphModel drops them
        irreps_in={fields.MAGNETIC_MOMENTS_KEY: "1e", fields.LABEL_SET_KEY: None},
    )
    radial = TwoBodyBesselScalarEmbed(
        type_names=type_names,
        num_bessels=num_bessels,
        polynomial_cutoff_p=polynomial_cutoff_p,
        module_output_dim=num_scalar_features,
        irreps_in=edge_norm.irreps_out,
    )
    scalar_embed = ScalarMLP(
        output_dim=num_scalar_features,
        field=AtomicDataDict.EDGE_EMBEDDING_KEY,
        irreps_in=radial.irreps_out,
        **mlp,
    )
    tensor_embed = TwoBodySphericalHarmonicTensorEmbed(
        irreps_edge_sh=repr(o3.Irreps.spherical_harmonics(l_max)),
        num_tensor_features=num_tensor_features,
        irreps_in=scalar_embed.irreps_out,
    )
    layers = AllegroLayers(
        num_layers=num_layers,
        num_scalar_features=num_scalar_features,
        num_tensor_features=num_tensor_features,
        tensor_irreps=tensor_irreps,
        tensor_irreps_out=tensor_irreps_out,
        avg_num_neighbors=avg_num_neighbors,
        mlp_kwargs=mlp,
        irreps_in=tensor_embed.irreps_out,
    )
    return {
        "edge_norm": edge_norm,
        "radial_embed": radial,
        "scalar_embed": scalar_embed,
        "tensor_embed": tensor_embed,
        "layers": layers,
    }


def _lattice_energy(
    *,
    type_names: list[str],
    avg_num_neighbors: float,
    scales: float | dict[str, float],
    shifts: float | dict[str, float],
    mlp: dict[str, Any],
    irreps_in: dict[str, o3.Irreps],
) -> dict[str, GraphModuleMixin]:
    """Readout of the spin-independent energy of each atom."""
    readout = ScalarMLP(
        output_dim=1,
        field=AtomicDataDict.EDGE_FEATURES_KEY,
        out_field=AtomicDataDict.EDGE_ENERGY_KEY,
        irreps_in=irreps_in,
        **mlp,
    )
    edge_sum = EdgewiseReduce(
        field=AtomicDataDict.EDGE_ENERGY_KEY,
        out_field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        avg_num_neighbors=avg_num_neighbors,
        type_names=type_names,
        irreps_in=readout.irreps_out,
    )
    scale_shift = PerTypeScaleShift(
        type_names=type_names,
        field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        out_field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        scales=scales,
        shifts=shifts,
        irreps_in=edge_sum.irreps_out,
    )
    return {
        "energy_readout": readout,
        "energy_sum": edge_sum,
        "energy_scale_shift": scale_shift,
    }
