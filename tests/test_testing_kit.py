"""The testing kit: sound potentials pass, and every planted fault is caught.

The potentials are a few lines each, with derivatives by automatic differentiation, so
that what is tested is the kit. A fault is planted by name, and the test says by which
check it must be seen.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

from small_models import MODELS, small_checkpoint, small_model, structure
from spinff.calculator import SpinCalculator
from spinff.cli.main import main
from spinff.errors import SpinffError
from spinff.irreps.operations import Operation
from spinff.testing import (
    Check,
    Couplings,
    Report,
    Steps,
    check_model,
    coupling_errors,
    cross_frame_errors,
    cutoff_errors,
    derivative_errors,
    equivariance_errors,
    errors_between,
    evaluate,
    feature_equivariance_error,
    graph_frame,
    has_lengths,
    model_couplings,
    permutation,
    random_structure,
    rattled,
    size_errors,
    spins_alone,
    standard_transformations,
    translation,
    zero_moment_errors,
)

NIO = Path(__file__).parents[1] / "potentials" / "NiO" / "NiO.pth"
CUTOFF = 3.0
MOMENTS = {"Fe": 2.0, "Co": 1.5}
OPERATION = Operation(Operation.random(3).rotation, inversion=True, time_reversal=True)

Tensor = torch.Tensor
Pairs = tuple[Tensor, Tensor, Tensor, Tensor]
"""r (E, 3) of directed edges, centre, neighbour, moments (N, 3)."""
Energies = Callable[[Pairs], Tensor]
"""Energies (N,) of the atoms."""


# === sound potentials ===


def envelope(r: Tensor) -> Tensor:
    """(E,) with two continuous derivatives at the cutoff."""
    return (1 - (r.norm(dim=-1) / CUTOFF) ** 2).clamp(min=0) ** 3


def summed(values: Tensor, centre: Tensor, moments: Tensor) -> Tensor:
    """Σ over the neighbours of each centre."""
    shape = (moments.size(0), *values.shape[1:])
    return values.new_zeros(shape).index_add(0, centre, values)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def heisenberg(pairs: Pairs) -> Tensor:
    """Repulsion, exchange s·s and a Landau term: spins may turn alone."""
    r, i, j, m = pairs
    f = envelope(r)
    pair = f * (0.4 + 0.05 * dot(m[i], m[j]))
    square = dot(m, m)
    return 0.5 * summed(pair, i, m) - 0.03 * square + 0.004 * square**2


def with_spin_orbit_coupling(pairs: Pairs) -> Tensor:
    """Pseudo-dipolar exchange and a Dzyaloshinskii–Moriya vector of the environment."""
    r, i, j, m = pairs
    f = envelope(r)
    polar = summed(f.unsqueeze(-1) * r, i, m)
    axial = torch.linalg.cross(r, polar[i])
    relativistic = 0.02 * dot(m[i], r) * dot(m[j], r)
    relativistic = relativistic + 0.01 * dot(axial, torch.linalg.cross(m[i], m[j]))
    return heisenberg(pairs) + summed(f * relativistic, i, m)


def of_directions(pairs: Pairs) -> Tensor:
    """The same of unit vectors; an atom without a moment has none."""
    r, i, j, m = pairs
    length = m.norm(dim=-1, keepdim=True)
    safe = torch.where(length > 0, length, 1.0)
    return with_spin_orbit_coupling((r, i, j, torch.where(length > 0, m / safe, 0.0)))


class Toy(Calculator):
    """A potential from the energies of atoms, with exact derivatives."""

    implemented_properties = [  # noqa: RUF012 - declared so by ASE
        "energy",
        "energies",
        "forces",
        "stress",
        "magnetic_forces",
    ]

    def __init__(self, energies: Energies, reach: float = CUTOFF) -> None:
        super().__init__()
        self.energies = energies
        self.reach = reach

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        i, j, cells = (
            torch.from_numpy(x) for x in neighbor_list("ijS", self.atoms, self.reach)
        )
        moments = self.atoms.get_initial_magnetic_moments()
        positions, moments, strain = (
            torch.tensor(x, dtype=torch.float64, requires_grad=True)
            for x in (self.atoms.positions, moments, np.zeros((3, 3)))
        )
        cell = torch.from_numpy(self.atoms.cell.array)
        r = positions[j] - positions[i] + cells.double() @ cell
        r = r + r @ (strain + strain.T) / 2
        energies = self.energies((r, i, j, moments))
        gradients = torch.autograd.grad(
            energies.sum(), [positions, moments, strain], allow_unused=True
        )
        forces, magnetic_forces, virial = (
            np.zeros(x.shape) if g is None else g.numpy()
            for g, x in zip(gradients, (positions, moments, strain), strict=True)
        )
        self.results = {
            "energy": float(energies.detach().sum()),
            "energies": energies.detach().numpy(),
            "forces": -forces,
            "magnetic_forces": -magnetic_forces,
        }
        if self.atoms.cell.rank == 3:
            stress = virial / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    return random_structure(["Fe", "Co"], MOMENTS, seed=4)


SOUND: dict[str, tuple[Energies, bool]] = {
    "heisenberg": (heisenberg, False),
    "with spin-orbit coupling": (with_spin_orbit_coupling, True),
    "of directions": (of_directions, True),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_potential_passes_every_check(name: str, atoms: Atoms) -> None:
    energies, spin_orbit_coupling = SOUND[name]
    report = check_model(
        Toy(energies),
        atoms,
        spin_orbit_coupling=spin_orbit_coupling,
        cutoffs={("Fe", "Co"): CUTOFF, ("Fe", "Fe"): CUTOFF},
    )
    assert report.passed, str(report)
    assert not any(check.skipped for check in report.checks)
    assert ("spins alone" in str(report)) is not spin_orbit_coupling


def test_a_molecule_is_checked_without_a_cell() -> None:
    cluster = Atoms("FeCoFe", positions=[[0, 0, 0], [2, 0.3, 0], [0.2, 1.9, 0.4]])
    cluster.set_initial_magnetic_moments([[0, 0, 2], [1, 0, 0], [0, 1, 1.5]])
    report = check_model(Toy(with_spin_orbit_coupling), cluster)
    assert report.passed, str(report)
    assert "stress" not in report["finite differences"].errors


def test_our_own_models_pass_in_both_precisions() -> None:
    for dtype in ("float64", "float32"):
        model = small_model(**MODELS["msenn-no-soc"], model_dtype=dtype)
        calculator = SpinCalculator(model)
        errors = derivative_errors(calculator, structure(), steps=Steps.of(dtype))
        assert max(errors.values()) < {"float64": 1e-7, "float32": 1e-3}[dtype]
        moves = [spins_alone(), permutation()]
        for name, of_move in equivariance_errors(
            calculator, structure(), moves
        ).items():
            worst = max(of_move.values())
            assert worst < {"float64": 1e-12, "float32": 1e-5}[dtype], name


def test_couplings_of_our_own_model_are_symmetric() -> None:
    model = small_model()
    errors = coupling_errors(
        lambda atoms: model_couplings(model, atoms), structure(), OPERATION
    )
    assert max(errors.values()) < 1e-12
    couplings = model_couplings(model, structure())
    assert np.abs(couplings.anisotropy).max() > 1e-3
    with pytest.raises(SpinffError, match=r"terms lattice.*ring.*a file with"):
        model_couplings(small_model(**MODELS["ring-tenn"]), structure())


# === faults in an energy ===


def product_of_sums(pairs: Pairs) -> Tensor:
    """s_i·s_j computed as (Σ_a s_ia)(Σ_b s_jb)."""
    r, i, j, m = pairs
    wrong = m[i].sum(-1) * m[j].sum(-1)
    return heisenberg(pairs) + 0.01 * summed(envelope(r) * wrong, i, m)


def quadrupole(v: Tensor, norm_of_z: float) -> Tensor:
    """Real l = 2 harmonics (…, 5); orthogonal for norm_of_z = 1/√12."""
    x, y, z = v.unbind(-1)
    z2 = norm_of_z * (2 * z * z - x * x - y * y)
    return torch.stack([x * y, y * z, z2, x * z, 0.5 * (x * x - y * y)], dim=-1)


def non_orthogonal_l2(pairs: Pairs) -> Tensor:
    """Y_2(r)·Y_2(s) in a basis of which one function has another norm."""
    r, i, _, m = pairs
    y_r, y_s = quadrupole(r, 0.5), quadrupole(m[i], 0.5)
    return heisenberg(pairs) + 0.01 * summed(envelope(r) * dot(y_r, y_s), i, m)


def missing_t_filter(pairs: Pairs) -> Tensor:
    """Linear in the spin: 1eo of the spin times an axial vector, 1ee, of the bonds."""
    r, i, _, m = pairs
    f = envelope(r).unsqueeze(-1)
    axial = torch.linalg.cross(summed(f * r, i, m), summed(f**2 * r, i, m))
    return heisenberg(pairs) + 0.01 * dot(axial, m)


def pseudoscalar(pairs: Pairs) -> Tensor:
    """r·(s_i × s_j): even in the spins and under rotations, odd under inversion."""
    r, i, j, m = pairs
    wrong = dot(r, torch.linalg.cross(m[i], m[j]))
    return heisenberg(pairs) + 0.01 * summed(envelope(r) * wrong, i, m)


def intensive(pairs: Pairs) -> Tensor:
    """An energy for each atom that knows how many there are."""
    energies = heisenberg(pairs)
    return energies + 0.01 * energies.mean() * len(energies)


def by_index(pairs: Pairs) -> Tensor:
    """An energy that depends on an atom's place in the file."""
    energies = heisenberg(pairs)
    return energies * (1 + 0.01 * torch.arange(len(energies)))


@pytest.mark.parametrize(
    ("energies", "seen_by", "not_seen_by"),
    [
        (product_of_sums, "rotation", "inversion"),
        (non_orthogonal_l2, "rotation", "time reversal"),
        (missing_t_filter, "time reversal", "rotation"),
        (pseudoscalar, "inversion", "time reversal"),
        (by_index, "permutation", "rotation"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_planted_symmetry_fault_is_caught(
    energies: Energies, seen_by: str, not_seen_by: str, atoms: Atoms
) -> None:
    moves = standard_transformations(spin_orbit_coupling=True)
    errors = equivariance_errors(Toy(energies), atoms, moves)
    assert max(errors[seen_by].values()) > 1e-4
    # the control of the control: the fault is the one that was meant
    assert max(errors[not_seen_by].values()) < 1e-12


def test_spin_orbit_coupling_in_a_model_that_claims_none_is_caught(
    atoms: Atoms,
) -> None:
    report = check_model(
        Toy(with_spin_orbit_coupling), atoms, spin_orbit_coupling=False
    )
    failed = [check.name for check in report.checks if not check.passed]
    assert failed == ["spins alone"]


def test_an_energy_that_is_not_extensive_is_caught(atoms: Atoms) -> None:
    assert max(size_errors(Toy(intensive), atoms).values()) > 1e-4
    assert max(size_errors(Toy(heisenberg), atoms).values()) < 1e-12


def test_an_absolute_position_is_caught(atoms: Atoms) -> None:
    class Tethered(Toy):
        def calculate(self, *arguments: object) -> None:
            super().calculate(*arguments)  # type: ignore[arg-type]
            self.results["energy"] += 1e-3 * float(self.atoms.positions[0, 0])

    errors = equivariance_errors(Tethered(heisenberg), atoms, [translation()])
    assert errors["translation"]["energy"] > 1e-4


# === faults in a derivative ===


def one_sided_spin(pairs: Pairs) -> Tensor:
    """Forgets that an edge acts on the neighbour's spin, too."""
    r, i, j, m = pairs
    half = 0.05 * envelope(r) * dot(m[i], m[j].detach())
    return 0.5 * summed(0.4 * envelope(r) + half, i, m)


def frozen_environment(pairs: Pairs) -> Tensor:
    """A coupling whose dependence on the positions is left out of the forces."""
    r, i, j, m = pairs
    pair = 0.4 * envelope(r) + 0.05 * envelope(r.detach()) * dot(m[i], m[j])
    return 0.5 * summed(pair, i, m)


def no_longitudinal_part(pairs: Pairs) -> Tensor:
    """A Landau term whose field is forgotten."""
    *_, m = pairs
    return heisenberg(pairs) + 0.01 * dot(m, m).detach()


@pytest.mark.parametrize(
    ("energies", "quantity"),
    [
        (one_sided_spin, "magnetic_forces"),
        (no_longitudinal_part, "magnetic_forces"),
        (frozen_environment, "forces"),
        (frozen_environment, "stress"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_one_sided_gradient_is_caught_by_finite_differences(
    energies: Energies, quantity: str, atoms: Atoms
) -> None:
    errors = derivative_errors(Toy(energies), atoms)
    assert errors[quantity] > 0.01
    others = {"forces", "magnetic_forces"} - {quantity}
    assert quantity == "stress" or all(errors[name] < 1e-8 for name in others)


def test_a_stress_of_the_other_sign_is_caught(atoms: Atoms) -> None:
    class Pressure(Toy):
        def calculate(self, *arguments: object) -> None:
            super().calculate(*arguments)  # type: ignore[arg-type]
            self.results["stress"] *= -1

    errors = derivative_errors(Pressure(heisenberg), atoms)
    assert errors["stress"] > 1.0
    assert errors["forces"] < 1e-8


def stiff(pairs: Pairs) -> Tensor:
    """With waves of 6 mÅ, which one step of the differences does not resolve."""
    r, i, _, m = pairs
    wave = 1e-3 * envelope(r) * torch.sin(1000 * r.norm(dim=-1))
    return heisenberg(pairs) + summed(wave, i, m)


def test_a_stiff_potential_is_no_fault_and_hides_none(
    atoms: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(Toy):
        def calculate(self, *arguments: object) -> None:
            super().calculate(*arguments)  # type: ignore[arg-type]
            self.results["forces"] *= 1 + 1e-5

    assert derivative_errors(Toy(stiff), atoms)["forces"] < 1e-6
    assert derivative_errors(Scaled(stiff), atoms)["forces"] > 3e-6
    monkeypatch.setattr("spinff.testing.derivatives.FINER", 1.0)
    assert derivative_errors(Toy(stiff), atoms)["forces"] > 3e-6


# === faults at a cutoff and at a vanishing moment ===


def without_envelope(pairs: Pairs) -> Tensor:
    r, i, j, m = pairs
    return 0.5 * summed((0.4 + 0.05 * dot(m[i], m[j])) / r.norm(dim=-1), i, m)


def spins_without_envelope(pairs: Pairs) -> Tensor:
    r, i, j, m = pairs
    return 0.5 * summed(0.4 * envelope(r) + 0.05 * dot(m[i], m[j]), i, m)


def linear_envelope(pairs: Pairs) -> Tensor:
    """Continuous, with a slope that is not."""
    r, i, j, m = pairs
    f = 1 - r.norm(dim=-1) / CUTOFF
    return 0.5 * summed(f * (0.4 + 0.05 * dot(m[i], m[j])), i, m)


@pytest.mark.parametrize(
    ("energies", "jumps"),
    [
        (without_envelope, {"energy", "forces", "magnetic_forces"}),
        (spins_without_envelope, {"energy", "magnetic_forces"}),
        (linear_envelope, {"forces"}),
        (with_spin_orbit_coupling, set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_cutoff_without_envelope_is_caught(
    energies: Energies, jumps: set[str]
) -> None:
    errors = cutoff_errors(Toy(energies), "Fe", "Co", CUTOFF, moments=MOMENTS)
    assert {name for name, error in errors.items() if error > 1e-6} == jumps


def test_a_wrong_cutoff_in_the_header_is_no_jump_elsewhere() -> None:
    errors = cutoff_errors(Toy(without_envelope), "Fe", "Co", 2.5, moments=MOMENTS)
    assert max(errors.values()) < 1e-6


def kinked(pairs: Pairs) -> Tensor:
    """|m|, which has no derivative at zero."""
    *_, m = pairs
    length = torch.sqrt(dot(m, m))
    return heisenberg(pairs) + 0.01 * length


def remembers_a_field(pairs: Pairs) -> Tensor:
    """A magnetic force on an atom whose moment is zero, from nowhere."""
    *_, m = pairs
    return of_directions(pairs) + 1e-3 * (m - m.detach()).sum(-1)


@pytest.mark.parametrize(
    ("energies", "wrong"),
    [
        (heisenberg, set()),
        (of_directions, set()),
        (kinked, {"all moments zero", "one moment zero"}),
        (remembers_a_field, {"all moments zero", "one moment zero"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_happens_at_a_vanishing_moment(
    energies: Energies, wrong: set[str], atoms: Atoms
) -> None:
    errors = zero_moment_errors(Toy(energies), atoms)
    assert {name for name, error in errors.items() if not error < 1e-6} == wrong


def test_energies_of_directions_and_of_lengths_are_told_apart(atoms: Atoms) -> None:
    assert has_lengths(Toy(heisenberg), atoms)
    assert not has_lengths(Toy(of_directions), atoms)


def test_a_refused_zero_moment_is_skipped_with_its_sentence() -> None:
    report = check_model(SpinCalculator(small_model()), structure())
    check = report["moments of zero"]
    assert check.skipped and check.passed
    assert "a magnetic atom has no usable moment" in check.note
    assert report.passed, str(report)


# === frames of a batch ===


class Leaky(torch.nn.Module):
    """A graph model that normalises by a mean over the whole batch."""

    def __init__(self, model: torch.nn.Module, key: str) -> None:
        super().__init__()
        self.model = model
        self.key = key

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        out = self.model(data)
        leak = 1e-9 * data[self.key].square().mean()
        return out | {"total_energy": out["total_energy"] + leak}


def two_frames() -> list[dict[str, Tensor]]:
    return [graph_frame(structure(seed), ["Ni", "O"], 4.0) for seed in (0, 1)]


def test_frames_of_a_batch_do_not_see_each_other() -> None:
    for name in ("msenn", "input"):
        model = small_checkpoint(**MODELS[name]).model
        errors = cross_frame_errors(model, *two_frames())
        assert errors == {"positions": 0.0, "moments": 0.0}
        assert not model.training


@pytest.mark.parametrize(
    ("key", "seen"), [("pos", "positions"), ("magnetic_moments", "moments")]
)
def test_a_cross_frame_leak_is_caught(key: str, seen: str) -> None:
    leaky = Leaky(small_checkpoint().model, key)
    errors = cross_frame_errors(leaky, *two_frames())  # type: ignore[arg-type]
    assert [name for name, error in errors.items() if error > 0] == [seen]


# === features ===


def test_a_layer_with_the_right_labels_is_equivariant() -> None:
    error = feature_equivariance_error(
        lambda r, s: torch.linalg.cross(r, s), ["1oe", "1eo"], "1oo", OPERATION
    )
    assert error < 1e-12


@pytest.mark.parametrize(
    ("layer", "irreps_in", "irreps_out"),
    [
        # a spin handled as a polar vector: r·s is said to be even under inversion
        (dot, ["1oe", "1eo"], "1x0eo"),
        # a spin without its t: s·c, c axial and even, is said to be a true scalar
        (dot, ["1eo", "1ee"], "1x0ee"),
        # a product of sums
        (lambda a, b: a.sum(-1) * b.sum(-1), ["1eo", "1eo"], "1x0ee"),
        # a basis of l = 2 that is not orthogonal, and one with two functions swapped
        (lambda v: quadrupole(v, 0.5), ["1oe"], "1x2ee"),
        (
            lambda v: quadrupole(v, 12**-0.5)[..., [1, 0, 2, 3, 4]],
            ["1oe"],
            "1x2ee",
        ),
    ],
    ids=[
        "polar spin",
        "missing t",
        "product of sums",
        "norm of l = 2",
        "order of l = 2",
    ],
)
def test_a_wrong_label_or_basis_is_caught_on_features(
    layer: Callable[..., Tensor], irreps_in: list[str], irreps_out: str
) -> None:
    def function(*inputs: Tensor) -> Tensor:
        out = layer(*inputs)
        return out.unsqueeze(-1) if out.dim() == 1 else out

    operations = {
        "rotation": Operation(OPERATION.rotation),
        "inversion": Operation(torch.eye(3), inversion=True),
        "time reversal": Operation(torch.eye(3), time_reversal=True),
    }
    worst = max(
        feature_equivariance_error(function, irreps_in, irreps_out, operation)
        for operation in operations.values()
    )
    assert worst > 0.01


def test_a_polar_spin_cannot_be_seen_in_an_energy(atoms: Atoms) -> None:
    """Why features are tested: even powers of the spins forget the sign."""
    polar = Operation(torch.eye(3), inversion=True, time_reversal=True)
    errors = equivariance_errors(Toy(with_spin_orbit_coupling), atoms, [polar])
    assert max(max(of_move.values()) for of_move in errors.values()) < 1e-12


# === couplings ===


def toy_couplings(change: Callable[[Couplings], Couplings]) -> Callable[..., Couplings]:
    def of(atoms: Atoms) -> Couplings:
        return change(model_couplings(small_model(), atoms))

    return of


def changed(couplings: Couplings, fault: str) -> Couplings:
    exchange, anisotropy = dict(couplings.exchange), couplings.anisotropy
    if fault == "exchange":  # a column of the tensor basis is doubled
        exchange = {k: t * [1.0, 1.0, 2.0] for k, t in exchange.items()}
    if fault == "transpose":  # one direction of a pair alone
        exchange = {k: t + 1e-3 * (k[0] < k[1]) for k, t in exchange.items()}
    if fault == "anisotropy":  # the axis of every atom is z
        anisotropy = anisotropy + 1e-3 * np.diag([-1.0, -1.0, 2.0])
    if fault == "trace":
        anisotropy = anisotropy + 1e-3 * np.eye(3)
    if fault == "symmetric":
        anisotropy = anisotropy + 1e-3 * np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0]])
    return Couplings(
        couplings.lattice_energy, exchange, couplings.biquadratic, anisotropy
    )


@pytest.mark.parametrize(
    "fault", ["exchange", "transpose", "anisotropy", "trace", "symmetric"]
)
def test_a_planted_fault_of_the_couplings_is_caught(fault: str) -> None:
    of = toy_couplings(lambda couplings: changed(couplings, fault))
    assert coupling_errors(of, structure(), OPERATION)[fault] > 1e-4


# === report, structures, sentences ===


def test_a_report_is_a_table_and_json() -> None:
    report = Report(
        (
            Check("rotation", {"energy": 1e-15, "forces": 2e-14}, 1e-12),
            Check("two copies", {"energy": float("inf")}, 1e-12),
            Check("moments of zero", {}, 1e-6, note="not taken", skipped=True),
            Check("inversion", {}, 1e-12, note="ValueError: no"),
        ),
        {"dtype": "float64"},
    )
    assert not report.passed
    lines = str(report).splitlines()
    assert lines[1].split() == ["rotation", "forces", "2.0e-14", "1.0e-12", "ok"]
    assert lines[2].endswith("FAILED")
    assert lines[3].endswith("skipped: not taken")
    assert lines[4].endswith("FAILED: ValueError: no")
    assert lines[5] == "1 passed, 2 failed, 1 skipped"
    loaded = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert loaded["passed"] is False
    assert loaded["checks"][1]["errors"] == {"energy": None}


def test_nan_is_an_infinite_error(atoms: Atoms) -> None:
    results = evaluate(Toy(heisenberg), atoms)
    broken = results | {"forces": results["forces"] * np.nan}
    assert errors_between(broken, results)["forces"] == np.inf


def test_a_calculator_that_breaks_off_fails_with_its_message(atoms: Atoms) -> None:
    def breaks(pairs: Pairs) -> Tensor:
        if len(pairs[3]) > 8:
            raise RuntimeError("too many atoms")
        return heisenberg(pairs)

    report = check_model(Toy(breaks), atoms)
    failed = [check for check in report.checks if not check.passed]
    assert [check.name for check in failed] == ["two copies"]
    assert failed[0].note == "RuntimeError: too many atoms"


def test_random_structures_hold_every_species() -> None:
    species = ["Fe", "Co", "Ni", "O", "Cr", "I", "Te", "Mn", "Ge"]
    atoms = random_structure(species, MOMENTS)
    assert set(atoms.symbols) == set(species)
    lengths = np.linalg.norm(atoms.get_initial_magnetic_moments(), axis=1)
    magnetic = np.isin(atoms.get_chemical_symbols(), list(MOMENTS))
    assert ((lengths > 0) == magnetic).all()
    assert atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)].min() > 1.5


def test_rattling_keeps_the_lengths_of_moments(atoms: Atoms) -> None:
    moved = rattled(atoms, position=0.1, angle=0.3)
    before, after = (x.get_initial_magnetic_moments() for x in (atoms, moved))
    np.testing.assert_allclose(*(np.linalg.norm(m, axis=1) for m in (before, after)))
    assert np.abs(before - after).max() > 0.1


def test_bad_input_is_a_sentence(atoms: Atoms) -> None:
    toy = Toy(heisenberg)
    bare = atoms.copy()
    bare.set_initial_magnetic_moments(np.zeros((8, 3)))
    with pytest.raises(SpinffError, match="the structure has no moments"):
        check_model(toy, bare)
    bare.set_initial_magnetic_moments(None)
    bare.set_initial_magnetic_moments(np.ones(8))
    with pytest.raises(SpinffError, match=r"wrong shape, got \(8,\)"):
        check_model(toy, bare)
    with pytest.raises(SpinffError, match="unknown dtype, got 'double'"):
        check_model(toy, atoms, dtype="double")
    toy.implemented_properties = ["energy", "forces"]
    with pytest.raises(SpinffError, match="gives no magnetic_forces, got Toy"):
        check_model(toy, atoms)


# === command ===


def test_the_command_checks_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(NIO)]) == 0
    shown = capsys.readouterr()
    assert "finite differences" in shown.out and "0 failed" in shown.out
    assert "check/s" in shown.err or "s/check" in shown.err  # progress


def test_the_command_takes_a_structure_and_fails_with_status_1(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        __import__("spinff.testing.suite").testing.suite.TOLERANCES,
        "size",
        {"float32": -1.0},
    )
    dimer = Atoms("NiO", positions=[[0, 0, 0], [0, 0, 2.1]], cell=[4] * 3, pbc=True)
    dimer.write(tmp_path / "dimer.vasp")  # no moments in it: random ones are given
    assert main(["check", str(NIO), str(tmp_path / "dimer.vasp"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = [check["name"] for check in report["checks"] if not check["passed"]]
    assert failed == ["two copies"]
    assert report["atoms"].startswith("NiO (")


def test_the_command_says_what_is_wrong_with_a_structure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "POSCAR").write_text("nothing")
    assert main(["check", str(NIO), str(tmp_path / "POSCAR")]) == 2
    assert "cannot be read" in capsys.readouterr().err
