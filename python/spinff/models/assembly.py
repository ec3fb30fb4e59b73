"""How a model is put together, whatever network sees its geometry.

    geometry ─► lattice energy, couplings of the explicit terms      (``couplings``)
    moments  ─► spins ─► energy of every term, TENN among them       (``spin_terms``)
             ─► total energy ─► forces, stress, magnetic forces ─► labels

``couplings`` never sees a spin: a deployed model whose terms are all explicit evaluates
its network once for any number of spin configurations of one geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from allegro.nn import EdgewiseReduce
from e3nn.o3 import Irreps
from nequip.data import AtomicDataDict
from nequip.nn import (
    AtomwiseReduce,
    ForceStressOutput,
    GraphModuleMixin,
    PerTypeScaleShift,
    ScalarMLP,
    SequentialGraphNetwork,
)

from spinff import fields
from spinff.errors import SpinffError
from spinff.header import MOMENT_MODES, TERMS
from spinff.irreps import TIrreps
from spinff.nn import (
    TENN,
    MagneticForceLabelScale,
    MagneticForces,
    MomentLengths,
    PairPotential,
    SpinsFromMoments,
    SpinTerms,
    ThreeBodyPotential,
    Topology,
    _keys,
)
from spinff.nn.terms import (
    AnisotropyEnergy,
    AnisotropyHead,
    BiquadraticEnergy,
    BiquadraticHead,
    ExchangeEnergy,
    ExchangeHead,
    LongitudinalEnergy,
    LongitudinalHead,
    PairInputs,
    RingEnergy,
    RingHead,
    exchange_irreps,
)

SPIN_TERMS = TERMS[1:]


def check_magnetic_types(
    who: str,
    type_names: Sequence[str],
    magnetic_types: Sequence[str],
    moments: dict[str, float],
) -> None:
    """Raise SpinffError unless each magnetic type is known and has a moment > 0."""
    unknown = [name for name in magnetic_types if name not in type_names]
    if unknown or not magnetic_types:
        raise SpinffError(
            f"{who}: magnetic_types, got {list(magnetic_types)}, expected "
            f"one or more of {', '.join(type_names)}; correct magnetic_types "
            "or type_names"
        )
    if set(moments) != set(magnetic_types) or not all(
        value > 0 for value in moments.values()
    ):
        raise SpinffError(
            f"{who}: moments, got {dict(moments)}, expected a length > 0 "
            f"in µB for each of {', '.join(magnetic_types)}; correct moments"
        )


@dataclass(frozen=True, kw_only=True)
class SpinHamiltonian:
    """Which terms a model has, and where they start. See the model builders."""

    who: str
    type_names: Sequence[str]
    magnetic_types: Sequence[str]
    moments: dict[str, float]
    moment_mode: str
    terms: Sequence[str]
    spin_orbit_coupling: bool
    exchange_baseline: dict[str, list[float]] | None
    exchange_scale: float
    relativistic_scale: float
    anisotropy_scale: float
    biquadratic_baseline: dict[str, list[float]] | None
    biquadratic_scale: float
    ring_channels: int
    ring_scale: float
    longitudinal_baseline: dict[str, list[float]] | None
    longitudinal_scale: float
    tenn_l_max: int
    tenn_spin_l_max: int
    tenn_num_layers: int
    tenn_num_scalar_features: int
    tenn_num_tensor_features: int
    tenn_scale: float
    avg_num_magnetic_neighbors: float
    magnetic_force_scale: list[dict[str, float]]
    magnetic_force_scale_trainable: bool

    def __post_init__(self) -> None:
        """Raise SpinffError for what cannot be built."""
        check_magnetic_types(
            self.who, self.type_names, self.magnetic_types, self.moments
        )
        self._check_terms()
        self._check_moment_mode()

    def _check_terms(self) -> None:
        unknown = [name for name in self.terms if name not in SPIN_TERMS]
        if unknown or len(set(self.terms)) != len(self.terms):
            raise SpinffError(
                f"{self.who}: terms, got {list(self.terms)}, expected different words "
                f"out of {', '.join(SPIN_TERMS)} (the lattice energy is always there); "
                "correct terms"
            )
        if "anisotropy" in self.terms and not self.spin_orbit_coupling:
            raise SpinffError(
                f"{self.who}: terms, got anisotropy with spin_orbit_coupling: false, "
                "expected true, because single-ion anisotropy fixes the spins to the "
                "lattice; set spin_orbit_coupling: true or leave the term out"
            )

    def _check_moment_mode(self) -> None:
        if self.moment_mode not in MOMENT_MODES:
            raise SpinffError(
                f"{self.who}: moment_mode, got {self.moment_mode}, expected one of "
                f"{', '.join(MOMENT_MODES)}; correct moment_mode"
            )
        if "longitudinal" in self.terms and self.moment_mode != "input":
            raise SpinffError(
                f"{self.who}: terms, got longitudinal with moment_mode: "
                f"{self.moment_mode}, expected moment_mode: input, because the energy "
                "depends on directions alone otherwise; change one of the two"
            )
        if self.moment_mode == "predicted" and "tenn" not in self.terms:
            raise SpinffError(
                f"{self.who}: moment_mode, got predicted without the term tenn, "
                "expected it, because its network predicts the lengths; add tenn to "
                "terms"
            )

    @property
    def tensor_irreps(self) -> TIrreps:
        """Irreps of the tensors of magnetic edges, which only D, Γ and a TENN need."""
        reads = bool({"exchange", "tenn"} & {*self.terms})
        irreps = exchange_irreps(self.spin_orbit_coupling and reads).irreps()
        return TIrreps([(1, ir) for ir in irreps if ir.l > 0])

    @property
    def reads_pairs(self) -> bool:
        """Whether a term reads features of the magnetic edges."""
        return bool({*self.terms} - {"anisotropy", "longitudinal"})

    @property
    def has_pair_terms(self) -> bool:
        """Whether there are explicit ones among them."""
        return bool({"exchange", "biquadratic", "ring"} & {*self.terms})

    def topology(
        self, tables: set[str], bond_reach: torch.Tensor, irreps_in: dict[str, Irreps]
    ) -> Topology:
        """The module that makes the tables of a geometry network and of the terms."""
        if {"anisotropy", "longitudinal"} & {*self.terms}:
            tables = tables | {"sites"}
        if "tenn" in self.terms:
            tables = tables | {"pairs", "triangle slots"}
        return Topology(
            type_names=list(self.type_names),
            magnetic_types=list(self.magnetic_types),
            bond_reach=bond_reach,
            tables=tables,
            irreps_in=irreps_in,
        )


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The network over species and positions, as the heads need to know it."""

    modules: dict[str, GraphModuleMixin]
    """In order; the last leaves edge scalars."""
    pair_features: Callable[[dict[str, Irreps]], dict[str, GraphModuleMixin]]
    """Of the irreps before it makes the modules that add the scalars and tensors of the
    magnetic edges, from which couplings and the TENN are read."""
    relativistic: Callable[[dict[str, Irreps]], GraphModuleMixin]
    """Of the irreps before it makes the module that adds D and Γ."""
    num_tensor_features: int
    """Channels of those tensors."""
    avg_num_neighbors: float
    """Of an atom in the training data."""
    polynomial_cutoff_p: float
    """Power of the cutoff polynomial."""
    mlp: dict[str, Any]
    """Depth, width and nonlinearity of every MLP."""


def moment_inputs() -> dict[str, str | None]:
    """Input fields that the first module of a model has to declare.

    ``GraphModel`` drops an input that its first module does not name.
    """
    return {fields.MAGNETIC_MOMENTS_KEY: "1e", fields.LABEL_SET_KEY: None}


def assemble(
    hamiltonian: SpinHamiltonian,
    geometry: Geometry,
    *,
    per_type_energy_shifts: float | dict[str, float],
    per_type_energy_scales: float | dict[str, float],
    lattice_baseline: dict[str, dict[str, list[float]]] | None,
    do_derivatives: bool,
) -> ForceStressOutput:
    """The whole model around a geometry network."""
    modules = dict(geometry.modules)
    if hamiltonian.reads_pairs:
        # before the lattice energy: allegro's sum over edges overwrites node features
        modules |= geometry.pair_features(_last(modules).irreps_out)
    modules |= _lattice_energy(
        hamiltonian,
        geometry,
        per_type_energy_scales,
        per_type_energy_shifts,
        _last(modules).irreps_out,
    )
    for name, coefficients in (lattice_baseline or {}).items():
        modules[f"{name}_potential"] = _lattice_baseline(
            name, coefficients, hamiltonian, geometry, _last(modules).irreps_out
        )
    if hamiltonian.has_pair_terms:
        modules["pair_inputs"] = PairInputs(
            type_names=list(hamiltonian.type_names),
            magnetic_types=list(hamiltonian.magnetic_types),
            width=geometry.mlp["hidden_layers_width"],
            irreps_in=_last(modules).irreps_out,
        )
    if "exchange" in hamiltonian.terms and hamiltonian.spin_orbit_coupling:
        modules["relativistic"] = geometry.relativistic(_last(modules).irreps_out)
    for name in SPIN_TERMS:
        if name in hamiltonian.terms and name != "tenn":
            head = _head(name, hamiltonian, geometry, _last(modules).irreps_out)
            modules[name] = head
    couplings = SequentialGraphNetwork(modules)

    return with_spins(
        couplings,
        lambda irreps_in: _spin_terms(hamiltonian, geometry, irreps_in),
        type_names=list(hamiltonian.type_names),
        moments=hamiltonian.moments,
        directions_only=hamiltonian.moment_mode != "input",
        depends_on_spins=len(hamiltonian.terms) > 0,
        magnetic_force_scale=hamiltonian.magnetic_force_scale,
        magnetic_force_scale_trainable=hamiltonian.magnetic_force_scale_trainable,
        do_derivatives=do_derivatives,
    )


def with_spins(
    couplings: SequentialGraphNetwork,
    spin_terms: Callable[[dict[str, Irreps]], GraphModuleMixin],
    *,
    type_names: list[str],
    moments: dict[str, float],
    directions_only: bool,
    depends_on_spins: bool,
    magnetic_force_scale: list[dict[str, float]],
    magnetic_force_scale_trainable: bool,
    do_derivatives: bool,
) -> ForceStressOutput:
    """The model whose energy is that of ``spin_terms`` after ``couplings``.

    Args:
        couplings: geometry to lattice energy and whatever the terms read.
        spin_terms: of the irreps before it makes the module that adds the energies.
        type_names: all types of the model.
        moments: (magnetic type) -> reference length, µB.
        directions_only: see ``SpinsFromMoments``.
        depends_on_spins: whether there are terms beside the lattice energy.
        magnetic_force_scale: label scale per data set and species.
        magnetic_force_scale_trainable: learn the label scales.
        do_derivatives: forces, stress and magnetic forces as well as energies.
    """
    spins = SpinsFromMoments(
        type_names=type_names,
        moments=moments,
        directions_only=directions_only,
        differentiate=do_derivatives,
        irreps_in=couplings.irreps_out,
    )
    terms = spin_terms(spins.irreps_out)
    total_energy = AtomwiseReduce(
        reduce="sum",
        field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        out_field=AtomicDataDict.TOTAL_ENERGY_KEY,
        irreps_in=terms.irreps_out,
    )
    modules = {
        "couplings": couplings,
        "spins": spins,
        "spin_terms": terms,
        "total_energy": total_energy,
    }
    if do_derivatives:
        magnetic_forces = MagneticForces(
            depends_on_spins, irreps_in=total_energy.irreps_out
        )
        modules["magnetic_forces"] = magnetic_forces
        modules["label_scale"] = MagneticForceLabelScale(
            type_names=type_names,
            scales=magnetic_force_scale,
            trainable=magnetic_force_scale_trainable,
            irreps_in=magnetic_forces.irreps_out,
        )
    return ForceStressOutput(SequentialGraphNetwork(modules), do_derivatives)


def _last(modules: dict[str, GraphModuleMixin]) -> GraphModuleMixin:
    return list(modules.values())[-1]


def _lattice_energy(
    hamiltonian: SpinHamiltonian,
    geometry: Geometry,
    scales: float | dict[str, float],
    shifts: float | dict[str, float],
    irreps_in: dict[str, Irreps],
) -> dict[str, GraphModuleMixin]:
    """Readout of the spin-independent energy of each atom."""
    type_names = list(hamiltonian.type_names)
    readout = ScalarMLP(
        output_dim=1,
        field=AtomicDataDict.EDGE_FEATURES_KEY,
        out_field=AtomicDataDict.EDGE_ENERGY_KEY,
        irreps_in=irreps_in,
        **geometry.mlp,
    )
    edge_sum = EdgewiseReduce(
        field=AtomicDataDict.EDGE_ENERGY_KEY,
        out_field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        avg_num_neighbors=geometry.avg_num_neighbors,
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


def _lattice_baseline(
    name: str,
    coefficients: dict[str, list[float]],
    h: SpinHamiltonian,
    geometry: Geometry,
    irreps_in: dict[str, Irreps],
) -> GraphModuleMixin:
    """A fitted potential under the network's lattice energy."""
    common: dict[str, Any] = {
        "type_names": list(h.type_names),
        "coefficients": coefficients,
        "irreps_in": irreps_in,
    }
    if name == "pair":
        return PairPotential(**common)
    if name == "three_body":
        return ThreeBodyPotential(
            polynomial_cutoff_p=geometry.polynomial_cutoff_p, **common
        )
    raise SpinffError(
        f"lattice_baseline: unknown potential, got {name}, expected pair and "
        "three_body; take it from SpinStatistics"
    )


def _head(
    name: str,
    h: SpinHamiltonian,
    geometry: Geometry,
    irreps_in: dict[str, Irreps],
) -> GraphModuleMixin:
    """The head that makes the couplings of one explicit term."""
    of_pairs: dict[str, Any] = {
        "magnetic_types": list(h.magnetic_types),
        "irreps_in": irreps_in,
    }
    of_sites: dict[str, Any] = {
        "avg_num_neighbors": geometry.avg_num_neighbors,
        "mlp_hidden_layers_width": geometry.mlp["hidden_layers_width"],
        "irreps_in": irreps_in,
    }
    if name == "exchange":
        return ExchangeHead(
            baseline=h.exchange_baseline,
            scale=h.exchange_scale,
            relativistic_scale=h.relativistic_scale,
            **of_pairs,
        )
    if name == "anisotropy":
        return AnisotropyHead(scale=h.anisotropy_scale, **of_sites)
    if name == "biquadratic":
        return BiquadraticHead(
            baseline=h.biquadratic_baseline,
            scale=h.biquadratic_scale,
            **of_pairs,
        )
    if name == "ring":
        return RingHead(
            channels=h.ring_channels, scale=h.ring_scale, irreps_in=irreps_in
        )
    return LongitudinalHead(
        type_names=list(h.type_names),
        baseline=h.longitudinal_baseline,
        scale=h.longitudinal_scale,
        **of_sites,
    )


_ENERGIES = {
    "exchange": ExchangeEnergy,
    "anisotropy": AnisotropyEnergy,
    "biquadratic": BiquadraticEnergy,
    "ring": RingEnergy,
    "longitudinal": LongitudinalEnergy,
}


def _spin_terms(
    h: SpinHamiltonian, geometry: Geometry, irreps_in: dict[str, Irreps]
) -> SequentialGraphNetwork:
    """Energies of all terms, and the moments' lengths where they are predicted."""
    terms: dict[str, torch.nn.Module] = {
        name: _ENERGIES[name]()
        for name in SPIN_TERMS
        if name in h.terms and name != "tenn"
    }
    if "tenn" in h.terms:
        tenn = _tenn(h, geometry, irreps_in)
        terms["tenn"] = tenn
    modules: dict[str, GraphModuleMixin] = {"terms": SpinTerms(terms, irreps_in)}
    if h.moment_mode == "predicted":
        modules["moment_lengths"] = MomentLengths(
            type_names=list(h.type_names),
            moments=h.moments,
            num_scalars=tenn.layers.num_scalars_out,
            avg_num_neighbors=h.avg_num_magnetic_neighbors,
            mlp_hidden_layers_width=geometry.mlp["hidden_layers_width"],
            irreps_in=modules["terms"].irreps_out,
        )
    return SequentialGraphNetwork(modules)


def _tenn(h: SpinHamiltonian, geometry: Geometry, irreps_in: dict[str, Irreps]) -> TENN:
    scalars = irreps_in[_keys.PAIR_SCALARS_KEY]
    return TENN(
        type_names=list(h.type_names),
        spin_orbit_coupling=h.spin_orbit_coupling,
        lengths=h.moment_mode == "input",
        l_max=h.tenn_l_max,
        spin_l_max=h.tenn_spin_l_max,
        num_layers=h.tenn_num_layers,
        num_scalar_features=h.tenn_num_scalar_features,
        num_tensor_features=h.tenn_num_tensor_features,
        geometry_irreps=h.tensor_irreps,
        num_geometry_scalars=scalars.num_irreps,
        num_geometry_channels=geometry.num_tensor_features,
        avg_num_neighbors=h.avg_num_magnetic_neighbors,
        scale=h.tenn_scale,
        mlp_kwargs=geometry.mlp,
    )
