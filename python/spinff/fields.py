"""Every data field of spinff, declared once: shape, unit, irreps, T parity and sign.

N atoms, E directed edges, M edges between two atoms of magnetic types, F frames. The
irreps are e3nn's; the time-reversal parity stands beside them, because e3nn has no
label for it. Signs and units follow the conventions page.

The constants stand in a module of their own because TorchScript sees a constant only
as an attribute of an imported module (pytorch issue 52312).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from spinff.errors import SpinffError

# (N, 3) µB      | moment m_i, Cartesian; 1e, T odd; zero = not magnetic here
MAGNETIC_MOMENTS_KEY: Final[str] = "magnetic_moments"
# (N, 3) eV/µB   | f_m = -∂E/∂m; 1e, T odd; output of the model, or the raw label
MAGNETIC_FORCES_KEY: Final[str] = "magnetic_forces"
# (N, 3) eV/µB   | part of the label perpendicular to m; 1e, T odd; NaN = no label
MAGNETIC_FORCE_LABELS_KEY: Final[str] = "magnetic_force_labels"
# (N, 1) µB      | |m_i|; output of a model that predicts it, or label; NaN = none
MOMENT_LENGTHS_KEY: Final[str] = "moment_lengths"
# (N, 3)         | s_i: e_i = m_i/|m_i|, or m_i over the species' reference length
SPINS_KEY: Final[str] = "spins"
# (M, 3, 3) eV   | J̃_ij, E_J = ½ Σ_{i≠j} s_iᵀ J̃_ij s_j; 0e + 1e + 2e, T even
EXCHANGE_KEY: Final[str] = "exchange"
# (N, 3, 3) eV   | A_i, E_A = Σ_i s_iᵀ A_i s_i; 2e, T even
ANISOTROPY_KEY: Final[str] = "anisotropy"
# (M, 1) eV      | K̃_ij, E_K = ½ Σ_{i≠j} K̃_ij (s_i·s_j)²; 0e, T even
BIQUADRATIC_KEY: Final[str] = "biquadratic"
# (M, 2c) eV^⅓   | p and q of the separable ring exchange; 0e, T even
RING_KEY: Final[str] = "ring"
# (N, 3) eV      | a, b, c of E_L = Σ_i (a s_i² + b s_i⁴ + c s_i⁶); 0e, T even
LONGITUDINAL_KEY: Final[str] = "longitudinal"
# (N, T) eV      | energy of each atom by term, lattice first; 0e, T even
TERM_ENERGIES_KEY: Final[str] = "term_energies"
# (M,) index     | ascending indices of the edges with both ends of a magnetic type
MAGNETIC_EDGES_KEY: Final[str] = "magnetic_edges"
# (F, 1) index   | data set a frame came from: selects its label scales; nequip's field
LABEL_SET_KEY: Final[str] = "dataset"


@dataclass(frozen=True)
class FieldSpec:
    """What one field holds."""

    key: str
    """Name in nequip's ``AtomicDataDict``."""
    level: Literal["node", "graph", "magnetic edge", "index"]
    """What its first axis runs over; ``index`` is a list of indices into the edges."""
    shape: str
    """Shape, with N atoms, E directed edges, M magnetic edges, F frames."""
    unit: str
    """Unit of the numbers, empty for indices."""
    irreps: str
    """Irreps under rotation and inversion, empty for indices."""
    time_reversal: Literal["even", "odd"]
    """Behaviour under time reversal."""
    meaning: str
    """Definition with its sign, one line."""


FIELDS: Final[tuple[FieldSpec, ...]] = (
    FieldSpec(
        MAGNETIC_MOMENTS_KEY,
        "node",
        "(N, 3)",
        "µB",
        "1e",
        "odd",
        "magnetic moment m_i, Cartesian; zero means not magnetic here; input",
    ),
    FieldSpec(
        MAGNETIC_FORCES_KEY,
        "node",
        "(N, 3)",
        "eV/µB",
        "1e",
        "odd",
        "f_m = -∂E/∂m_i: output of the model; in data the whole label, NaN = no label",
    ),
    FieldSpec(
        MAGNETIC_FORCE_LABELS_KEY,
        "node",
        "(N, 3)",
        "eV/µB",
        "1e",
        "odd",
        "part of f_m perpendicular to m_i: the data's label, NaN where there is no "
        "moment or no label; the model's output of this name is scale · prediction",
    ),
    FieldSpec(
        MOMENT_LENGTHS_KEY,
        "node",
        "(N, 1)",
        "µB",
        "0e",
        "even",
        "length of m_i: output of a model that predicts it; in data the label, NaN on "
        "atoms without a moment and of types that are not magnetic",
    ),
    FieldSpec(
        EXCHANGE_KEY,
        "magnetic edge",
        "(M, 3, 3)",
        "eV",
        "0e + 1e + 2e",
        "even",
        "J̃_ij of the directed edge i→j, E_J = ½ Σ_{i≠j} s_iᵀ J̃_ij s_j; J_ji = J_ijᵀ "
        "after both directions are averaged",
    ),
    FieldSpec(
        ANISOTROPY_KEY,
        "node",
        "(N, 3, 3)",
        "eV",
        "2e",
        "even",
        "A_i, symmetric and traceless, E_A = Σ_i s_iᵀ A_i s_i",
    ),
    FieldSpec(
        BIQUADRATIC_KEY,
        "magnetic edge",
        "(M, 1)",
        "eV",
        "0e",
        "even",
        "K̃_ij of the directed edge i→j, E_K = ½ Σ_{i≠j} K̃_ij (s_i·s_j)²",
    ),
    FieldSpec(
        RING_KEY,
        "magnetic edge",
        "(M, 2c)",
        "eV^⅓",
        "0e",
        "even",
        "p_c(ij), then q_c(ij) of the separable ring exchange (spinff.nn.terms.ring)",
    ),
    FieldSpec(
        LONGITUDINAL_KEY,
        "node",
        "(N, 3)",
        "eV",
        "0e",
        "even",
        "a, b, c of E_L = Σ_i (a s_i² + b s_i⁴ + c s_i⁶)",
    ),
    FieldSpec(
        SPINS_KEY,
        "node",
        "(N, 3)",
        "",
        "1e",
        "odd",
        "s_i that the terms depend on: the direction of m_i, or, where lengths matter, "
        "m_i over the reference length of the species",
    ),
    FieldSpec(
        TERM_ENERGIES_KEY,
        "node",
        "(N, T)",
        "eV",
        "0e",
        "even",
        "energy of each atom, a column for each term of the model, lattice first",
    ),
    FieldSpec(
        MAGNETIC_EDGES_KEY,
        "index",
        "(M,)",
        "",
        "",
        "even",
        "ascending indices of the edges with both ends of a magnetic type",
    ),
    FieldSpec(
        LABEL_SET_KEY,
        "graph",
        "(F, 1)",
        "",
        "",
        "even",
        "index of the data set the frame came from; selects its label scales",
    ),
)


def field(key: str) -> FieldSpec:
    """The declaration of one field.

    Raises:
        SpinffError: if spinff declares no field of that name.
    """
    for spec in FIELDS:
        if spec.key == key:
            return spec
    known = ", ".join(spec.key for spec in FIELDS)
    raise SpinffError(
        f"spinff.fields: unknown field, got '{key}', expected one of {known}; "
        "use one of these names"
    )


def register() -> None:
    """Tell nequip about the fields; calling it again changes nothing.

    Batching in nequip refuses a field it does not know, and ``GraphModel`` drops one
    that its first module does not name in ``irreps_in``.
    """
    from nequip.data import register_fields

    def keys(level: str) -> list[str]:
        return [spec.key for spec in FIELDS if spec.level == level]

    register_fields(
        node_fields=keys("node"),
        graph_fields=keys("graph"),
        long_fields=[MAGNETIC_EDGES_KEY, LABEL_SET_KEY],
    )


def markdown_table() -> str:
    """The declarations as a Markdown table, for the documentation."""
    head = "| field | shape | unit | irreps | time reversal | meaning |"
    rows = [
        f"| `{s.key}` | {s.shape} | {s.unit or 'none'} | {s.irreps or 'none'} "
        f"| {s.time_reversal} | {s.meaning} |"
        for s in FIELDS
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])
