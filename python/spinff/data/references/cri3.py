"""``cri3``, ``cri3-pairs`` and ``crte2``: monolayers of CrI3 and 1T-CrTe2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from spinff.data.references.base import Array
from spinff.data.references.layered import LayeredMagnet, LayerParameters
from spinff.data.references.rocksalt import Morse
from spinff.errors import SpinffError

MEV: Final[float] = 1e-3
"""eV."""
SPIN_SQUARED: Final[float] = 2.25
"""S² of the Cr3+ ion, S = 3/2: what turns J S_i·S_j into J S² e_i·e_j."""

CRI3: Final[LayerParameters] = LayerParameters(
    name="cri3",
    magnetic="Cr",
    ligand="I",
    # McGuire et al., Chem. Mater. 27, 612: a, and the ligands of the R-3 structure.
    lattice_constant=6.867,
    magnetic_sites=((1 / 3, 2 / 3), (2 / 3, 1 / 3)),
    ligand_sites=(
        (0.35, 0.0, 1),
        (0.0, 0.35, 1),
        (-0.35, -0.35, 1),
        (-0.35, 0.0, -1),
        (0.0, -0.35, -1),
        (0.35, 0.35, -1),
    ),
    ligand_height=1.56,
    cell_height=24.0,
    moment=3.0,
    bond=Morse(depth=0.8, r0=2.585996366, a=1.4),
    ligand_pair=Morse(depth=0.0142868954, r0=4.6, a=1.2),
    magnetic_pair=Morse(depth=0.1, r0=3.9647, a=1.2),
    octahedron=0.6,
    bridge=1.5,
    bridge_cosine=-0.022171687,
    exchange=(
        -2.01 * SPIN_SQUARED * MEV,
        -0.16 * SPIN_SQUARED * MEV,
        0.08 * SPIN_SQUARED * MEV,
    ),
    direct_exchange=6.0 * MEV,
    direct_decay=0.4,
    angle_slope=-25.0 * MEV,
    kitaev=0.85 * SPIN_SQUARED * MEV,
    dm_near=2.0 * MEV,
    dm_second=0.31 * SPIN_SQUARED * MEV,
    anisotropy=-0.22 * SPIN_SQUARED * MEV,
    ligand_field=8.0 * MEV,
    biquadratic=-1.0 * MEV,
    three_spin=0.4 * MEV,
    ring=0.0,
    bond_decay=0.39,
    decay=0.6,
    many_spin_decay=0.3,
    repeat=(3, 2, 1),
)
CRTE2: Final[LayerParameters] = LayerParameters(
    name="crte2",
    magnetic="Cr",
    ligand="Te",
    lattice_constant=3.70,
    magnetic_sites=((0.0, 0.0),),
    ligand_sites=((1 / 3, 2 / 3, 1), (2 / 3, 1 / 3, -1)),
    ligand_height=1.66,
    cell_height=24.0,
    moment=3.0,
    bond=Morse(depth=0.8, r0=2.667330804, a=1.4),
    ligand_pair=Morse(depth=0.08, r0=3.8, a=1.2),
    magnetic_pair=Morse(depth=0.1, r0=3.7, a=1.2),
    octahedron=0.6,
    bridge=1.5,
    bridge_cosine=0.153770787,
    exchange=(-6.0 * MEV, 1.5 * MEV, 2.5 * MEV),
    direct_exchange=6.0 * MEV,
    direct_decay=0.4,
    angle_slope=-25.0 * MEV,
    kitaev=1.0 * MEV,
    dm_near=2.0 * MEV,
    dm_second=0.0,
    anisotropy=-1.0 * MEV,
    ligand_field=-2.0 * MEV,
    biquadratic=-2.0 * MEV,
    three_spin=0.8 * MEV,
    ring=1.5 * MEV,
    bond_decay=0.39,
    decay=0.6,
    many_spin_decay=0.3,
    repeat=(4, 4, 1),
)


def cri3() -> LayeredMagnet:
    """The CrI3 monolayer."""
    return LayeredMagnet(CRI3)


def cri3_pairs() -> LayeredMagnet:
    """CrI3 without its three-spin term, which pair and single-ion couplings describe.

    A model of such couplings fitted to ``cri3`` shifts them to make up for the term: by
    3 % of J1 and 20 % of J3 with the default frames. Here they can be compared.
    """
    return LayeredMagnet(replace(CRI3, name="cri3-pairs", three_spin=0.0))


def crte2() -> LayeredMagnet:
    """The 1T-CrTe2 monolayer."""
    return LayeredMagnet(CRTE2)


@dataclass(frozen=True)
class NamedCouplings:
    """The couplings of an undisplaced monolayer that have names, in eV.

    The convention is E = ½ Σ eᵀ J e + Σ eᵀ A e with unit vectors.
    """

    j1: float
    """Isotropic exchange of nearest neighbours, a third of the trace."""
    j2: float
    """Of second neighbours."""
    j3: float
    """Of third neighbours."""
    d2: float
    """DM of second neighbours along the normal, seen from i to j by way of the ion
    between them: positive if D points along û_il × û_jl."""
    kitaev: float
    """K in the traceless K (n nᵀ − 1/3), n the normal of the plaquette."""
    anisotropy: float
    """D in D (e·z)², 3/2 of the zz element of A."""


def named_couplings(
    magnet: LayeredMagnet,
    crystal: Atoms,
    pairs: NDArray[np.int64],
    vectors: Array,
    exchange: Array,
    anisotropy: Array,
) -> NamedCouplings:
    """The named constants in any set of couplings of the undisplaced crystal.

    Each is the least-squares amplitude of its pattern over the pairs, or ions, that are
    given, so it is exact for the reference's own couplings; what a model has beyond the
    patterns, and pairs further than the third neighbours, do not enter.

    Args:
        magnet: the reference, ``cri3()`` or ``crte2()``.
        crystal: an undisplaced crystal, as ``magnet.structure`` returns it.
        pairs: (P, 2) atoms i and j; each pair in one direction or in both.
        vectors: (P, 3) r_ij = r_j − r_i + image, Å.
        exchange: (P, 3, 3) J_ij in eV, row for e_i, column for e_j.
        anisotropy: (N, 3, 3) A_i in eV.

    Raises:
        SpinffError: if none of the pairs of a shell are given.
    """
    bare = replace(
        magnet.parameters,
        exchange=(0.0, 0.0, 0.0),
        direct_exchange=0.0,
        angle_slope=0.0,
        kitaev=0.0,
        dm_near=0.0,
        dm_second=0.0,
        anisotropy=0.0,
        ligand_field=0.0,
    )
    one_at_a_time = {
        "j1": replace(bare, exchange=(1.0, 0.0, 0.0)),
        "j2": replace(bare, exchange=(0.0, 1.0, 0.0)),
        "j3": replace(bare, exchange=(0.0, 0.0, 1.0)),
        "d2": replace(bare, dm_second=1.0),
        "kitaev": replace(bare, kitaev=1.0),
    }
    own = magnet.couplings(crystal)
    given, known = _matches(pairs, vectors, own.pairs, own.vectors)
    values = {}
    for name, parameters in one_at_a_time.items():
        pattern = LayeredMagnet(parameters).couplings(crystal).exchange[known]
        values[name] = _amplitude(name, pattern, exchange[given])
    unit = LayeredMagnet(replace(bare, anisotropy=1.0)).couplings(crystal).anisotropy
    values["anisotropy"] = _amplitude("anisotropy", unit, anisotropy)
    return NamedCouplings(**values)


def _amplitude(name: str, pattern: Array, values: Array) -> float:
    size = float(np.sum(pattern**2))
    # crte2 has no DM of the second neighbours: the pattern vanishes by symmetry.
    if name == "d2" and size < 1e-12:
        return 0.0
    if size == 0.0:
        raise SpinffError(
            f"named couplings: no pair for {name}, got pairs that match none of its "
            "shell, expected the pairs of the undisplaced crystal; raise the cutoff"
        )
    return float(np.sum(pattern * values)) / size


def _matches(
    pairs: NDArray[np.int64],
    vectors: Array,
    known_pairs: NDArray[np.int64],
    known_vectors: Array,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which given pair is which known one: (L,) indices into each."""
    images: dict[tuple[int, int], list[int]] = {}
    for k, (i, j) in enumerate(known_pairs.tolist()):
        images.setdefault((i, j), []).append(k)
    found = []
    for k, (i, j) in enumerate(pairs.tolist()):
        for candidate in images.get((i, j), []):
            # Images of one atom are whole cells apart.
            if np.linalg.norm(known_vectors[candidate] - vectors[k]) < 0.1:
                found.append((k, candidate))
    given, known = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return given, known
