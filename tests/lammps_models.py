"""Small deployed models for the tests of the LAMMPS side: quick, many-body, exact.

They obey the contract of a deployed model (``spinff.export.ScriptableModel``, header
``spinff.json``) and share nothing with the real networks, so that the plugin is tested
before and apart from them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TYPES = ("Ni", "O")
MOMENT = 1.278
"""Moment of Ni, µB."""
R_MAX = 5.0
CUTOFFS = ((5.0, 4.0), (4.2, 3.2))
"""[centre][neighbour], Å; not symmetric on purpose."""
TERMS = ("lattice", "exchange", "anisotropy", "biquadratic")


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
        "model_class": "SpinAllegro",
        "strictly_local": True,
        "terms": list(TERMS),
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
    """Morse pairs in an embedding, and full tensors that depend on both.

    With the smooth cutoff c(r) = (1 − (r/r_c)²)³, density ρ_i = Σ_j c(r_ij) and polar
    vector p_i = Σ_j c(r_ij) r̂_ij:

        E_i = s_i + Σ_j c [(1 − exp(−a (r − r_0)))² − 1]/2 − b √(1 + ρ_i)
        J̃_ij = c [ (1 + κ ρ_i)(1 − r/4) 1 + γ r̂ r̂ᵀ + δ ε·(r̂ × p_i) ],  K̃_ij = η c ρ_i
        A_i = ζ Σ_j c (1 + κ ρ_i) (r̂ r̂ᵀ − 1/3)   on the magnetic atoms
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("cutoffs", torch.tensor(CUTOFFS, dtype=dtype))
        self.register_buffer("shifts", torch.tensor([-1.5, 0.7], dtype=dtype))
        self.register_buffer(
            "depth", torch.tensor([[0.05, 0.3], [0.3, 0.02]], dtype=dtype)
        )
        lengths = torch.tensor([MOMENT, 0.0], dtype=torch.float64)
        self.register_buffer("lengths", lengths)
        levi_civita = torch.zeros(3, 3, 3, dtype=dtype)
        for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            levi_civita[a, b, c] = 1.0
            levi_civita[a, c, b] = -1.0
        self.register_buffer("levi_civita", levi_civita)

    def surroundings(
        self, edge_vectors: Tensor, edge_index: Tensor, types: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Lengths r (E), unit vectors r̂ (E,3), cutoff c (E) and density ρ (N)."""
        vectors = edge_vectors.to(self.dtype)
        r = torch.linalg.vector_norm(vectors, dim=1)
        unit = vectors / r.unsqueeze(1)
        cutoffs = self.cutoffs[types[edge_index[0]], types[edge_index[1]]]
        cut = (1.0 - (r / cutoffs) ** 2) ** 3
        density = torch.zeros(types.size(0), dtype=self.dtype, device=r.device)
        return r, unit, cut, density.index_add(0, edge_index[0], cut)

    @torch.jit.export
    def couplings(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Lattice energy (N), J̃ (M,3,3), K̃ (M,1) and A (N,3,3), eV."""
        r, unit, cut, density = self.surroundings(edge_vectors, edge_index, types)
        centre, neighbour = edge_index[0], edge_index[1]
        kind, other = types[centre], types[neighbour]
        identity = torch.eye(3, dtype=self.dtype, device=r.device)
        polar = torch.zeros(types.size(0), 3, dtype=self.dtype, device=r.device)
        polar = polar.index_add(0, centre, cut.unsqueeze(1) * unit)

        morse = (1.0 - torch.exp(-1.3 * (r - 2.1))) ** 2 - 1.0
        pairs = 0.5 * self.depth[kind, other] * cut * morse
        energy = self.shifts[types] - 0.2 * torch.sqrt(1.0 + density)
        energy = energy.index_add(0, centre, pairs)

        m_centre, m_unit = centre[magnetic_edges], unit[magnetic_edges]
        m_cut, m_r = cut[magnetic_edges], r[magnetic_edges]
        isotropic = 0.03 * (1.0 + 0.1 * density[m_centre]) * (1.0 - 0.25 * m_r)
        axial = torch.linalg.cross(m_unit, polar[m_centre], dim=1)
        tensor = isotropic.view(-1, 1, 1) * identity
        tensor = tensor + 0.004 * m_unit.unsqueeze(2) * m_unit.unsqueeze(1)
        tensor = tensor + 0.003 * torch.einsum("abc,mc->mab", self.levi_civita, axial)
        exchange = m_cut.view(-1, 1, 1) * tensor
        biquadratic = (0.002 * m_cut * density[m_centre]).unsqueeze(1)

        weight = 0.05 * cut * (1.0 + 0.1 * density[centre]) * (kind == 0)
        quadrupole = unit.unsqueeze(2) * unit.unsqueeze(1) - identity / 3.0
        anisotropy = torch.zeros(
            types.size(0), 3, 3, dtype=self.dtype, device=r.device
        ).index_add(0, centre, weight.view(-1, 1, 1) * quadrupole)
        double = torch.float64
        return (
            energy.to(double),
            exchange.to(double),
            biquadratic.to(double),
            anisotropy.to(double),
        )

    def explicit_terms(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> Tensor:
        """The four terms of TERMS, (N,4), eV."""
        lattice, exchange, biquadratic, anisotropy = self.couplings(
            edge_vectors, edge_index, types, magnetic_edges
        )
        i, j = edge_index[0][magnetic_edges], edge_index[1][magnetic_edges]
        bilinear = 0.5 * torch.einsum("ma,mab,mb->m", spins[i], exchange, spins[j])
        square = 0.5 * biquadratic.view(-1) * (spins[i] * spins[j]).sum(1) ** 2
        nothing = torch.zeros_like(lattice)
        columns = [
            lattice,
            nothing.index_add(0, i, bilinear),
            torch.einsum("na,nab,nb->n", spins, anisotropy, spins),
            nothing.index_add(0, i, square),
        ]
        return torch.stack(columns, dim=1)

    def energies(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Terms (N,T), eV, and lengths of the moments (N), µB."""
        terms = self.explicit_terms(
            edge_vectors, edge_index, types, magnetic_edges, spins
        )
        return terms, self.lengths[types]

    def forward(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
        num_owned: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Term energies (N,T), ∂E/∂r_ij (E,3), ∂E/∂spins (N,3) and |m| (N)."""
        edge_vectors = edge_vectors.detach().requires_grad_(True)
        spins = spins.detach().requires_grad_(True)
        terms, lengths = self.energies(
            edge_vectors, edge_index, types, magnetic_edges, spins
        )
        total = terms[:num_owned].sum()
        gradients = torch.autograd.grad([total], [edge_vectors, spins])
        edge_gradient, spin_gradient = gradients[0], gradients[1]
        assert edge_gradient is not None
        assert spin_gradient is not None
        return terms.detach(), edge_gradient, spin_gradient, lengths.detach()

    @torch.jit.export
    def geometry(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
    ) -> dict[str, Tensor]:
        """What spin_energies needs: nothing is worth keeping here."""
        return {
            "edge_vectors": edge_vectors,
            "edge_index": edge_index,
            "types": types,
            "magnetic_edges": magnetic_edges,
        }

    @torch.jit.export
    def spin_energies(
        self, data: dict[str, Tensor], spins: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Term energies (N,T) and |m| (N)."""
        terms, lengths = self.energies(
            data["edge_vectors"],
            data["edge_index"],
            data["types"],
            data["magnetic_edges"],
            spins,
        )
        return terms, lengths.detach()


class ThreeSpins(ToyModel):
    """ToyModel and products of three spins, without couplings.

    With v_i = Σ_j c_ij e_i·e_j and w_i = Σ_j c_ij r̂_ij·e_j over the magnetic edges:

        tenn_i = 0.004 v_i² + 0.003 w_i² + 0.002 v_i w_i (e_i·p_i)
    """

    def sums(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The sums v and w of the docstring, (N) each."""
        _, unit, cut, _ = self.surroundings(edge_vectors, edge_index, types)
        i, j = edge_index[0][magnetic_edges], edge_index[1][magnetic_edges]
        cut, unit = cut[magnetic_edges], unit[magnetic_edges]
        nothing = torch.zeros(types.size(0), dtype=torch.float64)
        v = nothing.index_add(0, i, cut * (spins[i] * spins[j]).sum(1))
        return v, nothing.index_add(0, i, cut * (unit * spins[j]).sum(1))

    def energies(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Terms (N,5), eV, and lengths of the moments (N), µB."""
        terms = self.explicit_terms(
            edge_vectors, edge_index, types, magnetic_edges, spins
        )
        v, w = self.sums(edge_vectors, edge_index, types, magnetic_edges, spins)
        _, unit, cut, _ = self.surroundings(edge_vectors, edge_index, types)
        polar = torch.zeros(types.size(0), 3, dtype=torch.float64)
        polar = polar.index_add(0, edge_index[0], cut.unsqueeze(1) * unit)
        along = (spins * polar).sum(1)
        tenn = 0.004 * v**2 + 0.003 * w**2 + 0.002 * v * w * along
        return torch.cat([terms, tenn.unsqueeze(1)], dim=1), self.lengths[types]


class PredictedMoments(ThreeSpins):
    """ThreeSpins whose moments are |m_i| = 1 + 0.1 ρ_i + 0.02 v_i, µB."""

    def energies(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Terms (N,4), eV, and lengths of the moments (N), µB."""
        terms = self.explicit_terms(
            edge_vectors, edge_index, types, magnetic_edges, spins
        )
        v, _ = self.sums(edge_vectors, edge_index, types, magnetic_edges, spins)
        density = self.surroundings(edge_vectors, edge_index, types)[3]
        return terms, (1.0 + 0.1 * density + 0.02 * v) * (types == 0)


class InputMoments(ToyModel):
    """ToyModel of s = m/1.278 µB and a Landau term that depends on the surroundings.

    longitudinal_i = (−0.3 + 0.02 ρ_i) m_i² + 0.08 m_i⁴   (eV, m in µB)
    """

    def energies(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Terms (N,5), eV, and lengths of the moments (N), µB."""
        terms = self.explicit_terms(
            edge_vectors, edge_index, types, magnetic_edges, spins / self.lengths[0]
        )
        density = self.surroundings(edge_vectors, edge_index, types)[3]
        square = (spins**2).sum(1)
        landau = (0.02 * density - 0.3) * square + 0.08 * square**2
        return torch.cat([terms, landau.unsqueeze(1)], dim=1), square.sqrt()


LANDAU = (-0.05, 0.02)
"""eV/µB² and eV/µB⁴."""


class LandauMoments(ToyModel):
    """Moments that see nothing but their length: −0.05 m² + 0.02 m⁴ eV, m in µB."""

    def energies(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Terms (N,2), eV, and lengths of the moments (N), µB."""
        square = (spins**2).sum(1)
        landau = -0.05 * square + 0.02 * square**2
        return torch.stack([0.0 * landau, landau], dim=1), square.sqrt()


class MessagePassing(ThreeSpins):
    """ToyModel and a product of sums around neighbours: two hops, not strictly local.

    With the v_i of ThreeSpins:  tenn_i = 0.003 v_i Σ_j c_ij v_j  on magnetic edges.
    """

    def energies(
        self,
        edge_vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        magnetic_edges: Tensor,
        spins: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Terms (N,5), eV, and lengths of the moments (N), µB."""
        terms = self.explicit_terms(
            edge_vectors, edge_index, types, magnetic_edges, spins
        )
        v, _ = self.sums(edge_vectors, edge_index, types, magnetic_edges, spins)
        cut = self.surroundings(edge_vectors, edge_index, types)[2][magnetic_edges]
        i, j = edge_index[0][magnetic_edges], edge_index[1][magnetic_edges]
        message = torch.zeros_like(v).index_add(0, i, cut * v[j])
        tenn = (0.003 * v * message).unsqueeze(1)
        return torch.cat([terms, tenn], dim=1), self.lengths[types]


def _save(model: torch.nn.Module, path: Path, **changes: object) -> None:
    text = json.dumps(header(**changes))
    script = torch.jit.script(model.eval())
    torch.jit.save(script, str(path), _extra_files={"spinff.json": text})


def save_model(
    path: Path, dtype: torch.dtype = torch.float64, **changes: object
) -> None:
    """Writes the model that has couplings, with its header."""
    name = str(dtype).removeprefix("torch.")
    _save(ToyModel(dtype), path, **({"dtype": name} | changes))


def save_three_spins(path: Path) -> None:
    """A model whose spin fields need the network."""
    _save(ThreeSpins(), path, model_class="SpinAllegro", terms=[*TERMS, "tenn"])


def save_predicted_moments(path: Path) -> None:
    """A model that gives the lengths of the moments."""
    _save(PredictedMoments(), path, moment_mode="predicted")


def save_input_moments(path: Path) -> None:
    """A model of the whole moments."""
    terms = [*TERMS, "longitudinal"]
    _save(InputMoments(), path, moment_mode="input", terms=terms)


def save_landau_moments(path: Path) -> None:
    """A model of single moments."""
    terms = ["lattice", "longitudinal"]
    _save(LandauMoments(), path, moment_mode="input", terms=terms)


def save_message_passing(path: Path) -> None:
    """A model that depends on the neighbours of neighbours."""
    _save(
        MessagePassing(),
        path,
        model_class="SpinNequIP",
        strictly_local=False,
        terms=[*TERMS, "tenn"],
    )


def save_broken_model(
    path: Path,
    threshold: float = 0.0,
    fails: bool = False,
    quantity: str = "lattice",
) -> None:
    """A model that is NaN once two atoms are closer than ``threshold`` (Å), else zero.

    Or one that raises an error whatever it is given.

    Args:
        path: the file.
        threshold: Å.
        fails: raise the error.
        quantity: what is NaN: ``lattice`` energy, ``exchange``, or ``force`` while the
            energy stays finite.
    """

    class Broken(ToyModel):
        def __init__(self) -> None:
            super().__init__()
            self.threshold = threshold
            self.columns = 4 if fails else 3
            self.quantity = quantity

        @torch.jit.export
        def couplings(
            self,
            edge_vectors: Tensor,
            edge_index: Tensor,
            types: Tensor,
            magnetic_edges: Tensor,
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            edge_vectors = edge_vectors.view(-1, self.columns)
            r = torch.linalg.vector_norm(edge_vectors, dim=1)
            poison = torch.where(r < self.threshold, float("nan"), 0.0) + 0.0 * r
            in_energy = 0.0 * r
            in_exchange = 0.0 * r[magnetic_edges]
            if self.quantity == "lattice":
                in_energy = poison
            if self.quantity == "exchange":
                in_exchange = poison[magnetic_edges]
            if self.quantity == "force":  # the slope of a root at zero
                in_energy = torch.where(r < self.threshold, 0.0 * r, r + 1.0).sqrt()
                in_energy = torch.where(r < self.threshold, in_energy, 0.0 * r)
            energy = torch.zeros(types.size(0), dtype=torch.float64)
            energy = energy.index_add(0, edge_index[0], in_energy)
            exchange = 0.0 * edge_vectors[magnetic_edges].unsqueeze(2)
            exchange = exchange + in_exchange.view(-1, 1, 1)
            anisotropy = torch.zeros(types.size(0), 3, 3, dtype=torch.float64)
            return energy, exchange.expand(-1, 3, 3), exchange[:, 0], anisotropy

    _save(Broken(), path)
