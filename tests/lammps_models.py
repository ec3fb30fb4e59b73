"""Small deployed models for the tests of the LAMMPS side: quick, many-body, exact.

They obey the contract of a deployed model (methods ``couplings`` and ``forward``,
header ``spinff.json``) and share nothing with the real network, so that the plugin is
tested before and apart from it.
"""

import json
from pathlib import Path
from typing import Any

import torch

TYPES = ("Ni", "O")
MOMENT = 1.278
"""Moment of Ni, µB."""
R_MAX = 5.0
CUTOFFS = ((5.0, 4.0), (4.2, 3.2))
"""[centre][neighbour], Å; not symmetric on purpose."""


def header(**changes: object) -> dict[str, Any]:
    """The header of the model, with some fields changed."""
    fields: dict[str, Any] = {
        "format": "spinff-deployed-model",
        "format_version": 2,
        "backend": "torchscript",
        "spinff_version": "0.1.0",
        "torch_version": "2.13.0",
        "nequip_version": "0.19.1",
        "allegro_version": "0.8.3",
        "e3nn_version": "0.6.0",
        "model_class": "MSENN",
        "strictly_local": True,
        "terms": ["lattice", "exchange", "biquadratic"],
        "spin_orbit_coupling": True,
        "moment_mode": "fixed",
        "type_names": list(TYPES),
        "magnetic_types": ["Ni"],
        "moments": {"Ni": MOMENT},
        "r_max": R_MAX,
        "cutoffs": [list(row) for row in CUTOFFS],
        "dtype": "float64",
        "units": {"energy": "eV", "length": "angstrom", "moment": "bohr_magneton"},
        "magnetic_force_scale": {"Ni": 1.0},
        "training_data_sha256": "00" * 32,
        "git_revision": "none",
        "created": "2026-11-22T08:00:00+00:00",
    }
    return fields | changes


class ToyModel(torch.nn.Module):
    """Morse pairs in an embedding, and a full exchange tensor that depends on both.

    With the smooth cutoff c(r) = (1 − (r/r_c)²)³, density ρ_i = Σ_j c(r_ij) and polar
    vector p_i = Σ_j c(r_ij) r̂_ij:

        E_i = s_i + Σ_j c [(1 − exp(−a (r − r_0)))² − 1]/2 − b √(1 + ρ_i)
        J̃_ij = c [ (1 + κ ρ_i)(1 − r/4) 1 + γ r̂ r̂ᵀ + δ ε·(r̂ × p_i) ],  K̃_ij = η c ρ_i
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("cutoffs", torch.tensor(CUTOFFS, dtype=dtype))
        self.register_buffer("shifts", torch.tensor([-1.5, 0.7], dtype=dtype))
        self.register_buffer(
            "depth", torch.tensor([[0.05, 0.3], [0.3, 0.02]], dtype=dtype)
        )
        levi_civita = torch.zeros(3, 3, 3, dtype=dtype)
        for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            levi_civita[a, b, c] = 1.0
            levi_civita[a, c, b] = -1.0
        self.register_buffer("levi_civita", levi_civita)

    @torch.jit.export
    def couplings(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        types: torch.Tensor,
        magnetic_edges: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Lattice energy (N), J̃ (M,3,3) and K̃ (M,1), eV."""
        vectors = edge_vectors.to(self.dtype)
        centre, neighbour = edge_index[0], edge_index[1]
        kind, other = types[centre], types[neighbour]
        r = torch.linalg.vector_norm(vectors, dim=1)
        unit = vectors / r.unsqueeze(1)
        cut = (1.0 - (r / self.cutoffs[kind, other]) ** 2) ** 3
        n = types.size(0)
        density = torch.zeros(n, dtype=self.dtype, device=r.device)
        density = density.index_add(0, centre, cut)
        polar = torch.zeros(n, 3, dtype=self.dtype, device=r.device)
        polar = polar.index_add(0, centre, cut.unsqueeze(1) * unit)

        morse = (1.0 - torch.exp(-1.3 * (r - 2.1))) ** 2 - 1.0
        pairs = 0.5 * self.depth[kind, other] * cut * morse
        energy = self.shifts[types] - 0.2 * torch.sqrt(1.0 + density)
        energy = energy.index_add(0, centre, pairs)

        m_centre, m_unit = centre[magnetic_edges], unit[magnetic_edges]
        m_cut, m_r = cut[magnetic_edges], r[magnetic_edges]
        isotropic = 0.03 * (1.0 + 0.1 * density[m_centre]) * (1.0 - 0.25 * m_r)
        identity = torch.eye(3, dtype=self.dtype, device=r.device)
        axial = torch.linalg.cross(m_unit, polar[m_centre], dim=1)
        tensor = isotropic.view(-1, 1, 1) * identity
        tensor = tensor + 0.004 * m_unit.unsqueeze(2) * m_unit.unsqueeze(1)
        tensor = tensor + 0.003 * torch.einsum("abc,mc->mab", self.levi_civita, axial)
        exchange = m_cut.view(-1, 1, 1) * tensor
        biquadratic = (0.002 * m_cut * density[m_centre]).unsqueeze(1)
        double = torch.float64
        return energy.to(double), exchange.to(double), biquadratic.to(double)

    def forward(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        types: torch.Tensor,
        magnetic_edges: torch.Tensor,
        directions: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Energies (N), ∂E/∂r_ij (E,3) and ∂E/∂e (N,3), eV."""
        edge_vectors = edge_vectors.detach().requires_grad_(True)
        directions = directions.detach().requires_grad_(True)
        energy, exchange, biquadratic = self.couplings(
            edge_vectors, edge_index, types, magnetic_edges
        )
        i, j = edge_index[0][magnetic_edges], edge_index[1][magnetic_edges]
        e_i, e_j = directions[i], directions[j]
        halves = 0.5 * torch.einsum("ma,mab,mb->m", e_i, exchange, e_j)
        halves = halves + 0.5 * biquadratic.view(-1) * (e_i * e_j).sum(1) ** 2
        total = energy.index_add(0, i, halves)
        gradients = torch.autograd.grad([total.sum()], [edge_vectors, directions])
        edge_gradient, spin_gradient = gradients[0], gradients[1]
        assert edge_gradient is not None
        assert spin_gradient is not None
        return total.detach(), edge_gradient, spin_gradient


def save_model(
    path: Path, dtype: torch.dtype = torch.float64, **changes: object
) -> torch.jit.ScriptModule:
    """Writes the model with its header and returns it."""
    name = str(dtype).removeprefix("torch.")
    model = torch.jit.script(ToyModel(dtype).eval())
    text = json.dumps(header(**({"dtype": name} | changes)))
    torch.jit.save(model, str(path), _extra_files={"spinff.json": text})
    return model


def save_broken_model(path: Path, threshold: float = 0.0, fails: bool = False) -> None:
    """A model whose energy is NaN once two atoms are closer than ``threshold`` (Å).

    Or one that raises an error whatever it is given.
    """

    class Broken(ToyModel):
        def __init__(self) -> None:
            super().__init__(torch.float64)
            self.threshold = threshold
            self.columns = 4 if fails else 3

        @torch.jit.export
        def couplings(
            self,
            edge_vectors: torch.Tensor,
            edge_index: torch.Tensor,
            types: torch.Tensor,
            magnetic_edges: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            edge_vectors = edge_vectors.view(-1, self.columns)
            r = torch.linalg.vector_norm(edge_vectors, dim=1)
            poison = torch.where(r < self.threshold, float("nan"), 0.0)
            energy = torch.zeros(types.size(0), dtype=torch.float64)
            energy = energy.index_add(0, edge_index[0], poison + 0.0 * r)
            exchange = 0.0 * edge_vectors[magnetic_edges].unsqueeze(2)
            return energy, exchange.expand(-1, 3, 3), exchange[:, 0]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    model = torch.jit.script(Broken().eval())
    text = json.dumps(header())
    torch.jit.save(model, str(path), _extra_files={"spinff.json": text})
