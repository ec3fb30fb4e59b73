"""MagNet: atomic interaction blocks, then magnetic ones.

The network of Yuan et al., Quantum Front. 3, 8 (2024), arXiv:2402.04864, on nequip's
layers: messages over species and positions first, then over features that know of the
moments. Moments are an input of any length. Unlike the published one it is exactly even
under time reversal (its features carry that parity) and smooth where a moment vanishes.
"""

from __future__ import annotations

from typing import Any

from e3nn import o3
from nequip.data import AtomicDataDict
from nequip.model import model_builder
from nequip.nn import (
    AtomwiseLinear,
    ForceStressOutput,
    GraphModuleMixin,
    PerTypeScaleShift,
    ScalarMLP,
    SequentialGraphNetwork,
)
from nequip.nn.embedding import EdgeLengthNormalizer

from spinff.errors import SpinffError
from spinff.irreps import TIrreps
from spinff.models.assembly import check_magnetic_types, moment_inputs, with_spins
from spinff.models.spin_nequip import convolutions
from spinff.nn import GaussianEdgeEncoding, MagneticInteractions, SpinTerms


@model_builder
def MagNet(
    *,
    # === species and cutoffs ===
    type_names: list[str],
    magnetic_types: list[str],
    moments: dict[str, float],
    r_max: float,
    per_edge_type_cutoff: dict[str, Any] | None = None,
    # === energy reference ===
    avg_num_neighbors: float,
    per_type_energy_shifts: float | dict[str, float],
    per_type_energy_scales: float | dict[str, float],
    magnetic_energy_scale: float = 0.02,
    magnetic_force_scale: list[dict[str, float]] | None = None,
    magnetic_force_scale_trainable: bool = False,
    # === size of the network ===
    num_atomic_blocks: int = 4,
    num_magnetic_blocks: int = 2,
    atomic_irreps: str = "32x0e + 16x1o",
    magnetic_irreps: str = "32x0ee + 16x1oe + 16x1eo + 16x1ee + 16x1oo",
    l_max: int = 2,
    spin_l_max: int = 2,
    num_gaussians: int = 16,
    num_moment_gaussians: int = 8,
    largest_moment: float = 2.0,
    polynomial_cutoff_p: float = 6,
    radial_mlp_depth: int = 1,
    radial_mlp_width: int = 32,
    # === derivatives ===
    do_derivatives: bool = True,
) -> ForceStressOutput:
    """Build a MagNet model.

    Its term energies are ``lattice``, read from the atomic blocks, and ``tenn``, read
    from the magnetic ones. Also takes nequip's ``seed``, ``model_dtype`` and
    ``compile_mode``.

    Args:
        type_names: species of the model.
        magnetic_types: those of them that carry a moment.
        moments: reference length of the moment of each magnetic type, µB; the network
            sees s = m / m_ref.
        r_max: cutoff of one message, Å.
        per_edge_type_cutoff: nequip's per-pair cutoffs, Å, each ≤ r_max.
        avg_num_neighbors: of the training data.
        per_type_energy_shifts: energy of an atom before the network's part, eV.
        per_type_energy_scales: scale of the network's lattice energy, eV.
        magnetic_energy_scale: eV, size of the energy of the magnetic blocks for
            features of order one.
        magnetic_force_scale: label scale per data set and species; None: 1.
        magnetic_force_scale_trainable: learn the label scales.
        num_atomic_blocks: message-passing layers over geometry.
        num_magnetic_blocks: layers over features with moments.
        atomic_irreps: features after an atomic block, (l, p).
        magnetic_irreps: features after a magnetic block, (l, p, t); the published
            32×0e + 16×1o with 1o in every pair of parities.
        l_max: degree of the bond harmonics.
        spin_l_max: degree of the moments' harmonics.
        num_gaussians: radial functions of a distance.
        num_moment_gaussians: functions of |s|.
        largest_moment: centre of the last of them, in units of the reference length.
        polynomial_cutoff_p: power of the cutoff polynomial.
        radial_mlp_depth: hidden layers of the MLP over distances.
        radial_mlp_width: their width, and that of the MLP over |s|.
        do_derivatives: forces, stress and magnetic forces as well as energies.
    """
    check_magnetic_types("MagNet", type_names, magnetic_types, moments)
    _check_irreps(atomic_irreps, magnetic_irreps)
    _check_blocks(num_atomic_blocks, num_magnetic_blocks)

    # === atomic interaction blocks ===
    edge_norm = EdgeLengthNormalizer(
        r_max=r_max,
        type_names=type_names,
        per_edge_type_cutoff=per_edge_type_cutoff,
        irreps_in=moment_inputs(),
    )
    gaussians = GaussianEdgeEncoding(
        count=num_gaussians,
        polynomial_cutoff_p=polynomial_cutoff_p,
        irreps_in=edge_norm.irreps_out,
    )
    modules: dict[str, GraphModuleMixin] = {
        "edge_norm": edge_norm,
        "gaussians": gaussians,
    }
    modules |= convolutions(
        features=[o3.Irreps(atomic_irreps)] * num_atomic_blocks,
        bonds=o3.Irreps.spherical_harmonics(l_max),
        num_type_features=TIrreps(atomic_irreps).count("0ee"),
        type_names=type_names,
        radial_mlp_depth=radial_mlp_depth,
        radial_mlp_width=radial_mlp_width,
        avg_num_neighbors=avg_num_neighbors,
        irreps_in=gaussians.irreps_out,
    )
    modules |= _lattice_energy(
        type_names=type_names,
        num_scalars=TIrreps(atomic_irreps).count("0ee"),
        scales=per_type_energy_scales,
        shifts=per_type_energy_shifts,
        irreps_in=modules[f"layer_{num_atomic_blocks}"].irreps_out,
    )

    # === magnetic interaction blocks ===
    def spin_terms(irreps_in: dict[str, o3.Irreps]) -> GraphModuleMixin:
        blocks = MagneticInteractions(
            type_names=type_names,
            magnetic_types=magnetic_types,
            hidden=TIrreps(magnetic_irreps),
            num_blocks=num_magnetic_blocks,
            spin_l_max=spin_l_max,
            num_gaussians=num_moment_gaussians,
            largest_moment=largest_moment,
            radial_mlp_depth=radial_mlp_depth,
            radial_mlp_width=radial_mlp_width,
            avg_num_neighbors=avg_num_neighbors,
            scale=magnetic_energy_scale,
            irreps_in=irreps_in,
        )
        return SpinTerms({"tenn": blocks}, irreps_in)

    return with_spins(
        SequentialGraphNetwork(modules),
        spin_terms,
        type_names=type_names,
        moments=moments,
        directions_only=False,
        depends_on_spins=True,
        magnetic_force_scale=magnetic_force_scale or [{}],
        magnetic_force_scale_trainable=magnetic_force_scale_trainable,
        do_derivatives=do_derivatives,
    )


def _check_irreps(atomic: str, magnetic: str) -> None:
    for name, text in (("atomic_irreps", atomic), ("magnetic_irreps", magnetic)):
        if TIrreps(text).count("0ee") == 0:
            raise SpinffError(
                f"MagNet: {name} without a scalar, got {text}, expected some 0ee among "
                "them, which the energy is read from; add them"
            )
    if any(ir.t < 0 for ir in TIrreps(atomic).irreps()):
        raise SpinffError(
            f"MagNet: atomic_irreps odd under time reversal, got {atomic}, expected "
            "two letters such as 32x0e + 16x1o, because no moment comes in there; "
            "move them to magnetic_irreps"
        )


def _check_blocks(num_atomic: int, num_magnetic: int) -> None:
    if num_atomic < 1 or num_magnetic < 1:
        raise SpinffError(
            f"MagNet: too few blocks, got {num_atomic} atomic and {num_magnetic} "
            "magnetic ones, expected 1 or more of each; raise num_atomic_blocks or "
            "num_magnetic_blocks"
        )


def _lattice_energy(
    *,
    type_names: list[str],
    num_scalars: int,
    scales: float | dict[str, float],
    shifts: float | dict[str, float],
    irreps_in: dict[str, o3.Irreps],
) -> dict[str, GraphModuleMixin]:
    """Energy of each atom from the scalars of the atomic blocks."""
    scalars = AtomwiseLinear(
        field=AtomicDataDict.NODE_FEATURES_KEY,
        out_field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        irreps_out=o3.Irreps([(num_scalars, (0, 1))]),
        irreps_in=irreps_in,
    )
    readout = ScalarMLP(
        output_dim=1,
        hidden_layers_depth=1,
        hidden_layers_width=num_scalars,
        field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        irreps_in=scalars.irreps_out,
    )
    scale_shift = PerTypeScaleShift(
        type_names=type_names,
        field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        out_field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        scales=scales,
        shifts=shifts,
        irreps_in=readout.irreps_out,
    )
    return {
        "energy_scalars": scalars,
        "energy_readout": readout,
        "energy_scale_shift": scale_shift,
    }
