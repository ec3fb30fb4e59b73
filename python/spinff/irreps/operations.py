"""Symmetry operations as values, and their matrices.

An operation is a proper rotation with two independent signs beside it. Time reversal is
never inferred from a determinant: it is part of the value.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from e3nn.o3 import wigner_3j

from spinff.errors import SpinffError

_ORTHOGONALITY = 1e-10


@dataclass(frozen=True, eq=False)
class Operation:
    """A rotation, then inversion, then time reversal; they commute.

    ``first`` followed by ``second`` is ``second @ first``, as with matrices.
    """

    rotation: torch.Tensor
    """(3, 3) proper rotation R, float64."""
    inversion: bool = False
    """r → −r; leaves moments alone."""
    time_reversal: bool = False
    """m → −m; leaves positions alone."""

    def __post_init__(self) -> None:
        """Convert to float64 and check; SpinffError unless R is a proper rotation."""
        rotation = torch.as_tensor(self.rotation, dtype=torch.float64)
        object.__setattr__(self, "rotation", rotation)
        if rotation.shape != (3, 3):
            raise SpinffError(
                f"Operation: rotation of another shape, got {tuple(rotation.shape)}, "
                "expected (3, 3); pass one matrix"
            )
        identity = torch.eye(3, dtype=torch.float64)
        error = float((rotation @ rotation.T - identity).abs().max())
        if not error < _ORTHOGONALITY or torch.linalg.det(rotation) < 0:
            raise SpinffError(
                f"Operation: no proper rotation, got R Rᵀ − 1 of {error:.1e} and "
                f"det R = {float(torch.linalg.det(rotation)):.3f}, expected 0 and 1; "
                "pass the proper part, and inversion=True for an improper rotation"
            )

    @classmethod
    def random(cls, seed: int) -> Operation:
        """Rotation uniform over SO(3), each sign with probability one half."""
        generator = torch.Generator().manual_seed(seed)
        quaternion = torch.randn(4, generator=generator, dtype=torch.float64)
        inversion, time_reversal = torch.randint(2, (2,), generator=generator).tolist()
        return cls(_rotation(quaternion), bool(inversion), bool(time_reversal))

    @property
    def on_polar(self) -> torch.Tensor:
        """(3, 3) on positions, forces: 1oe."""
        return -self.rotation if self.inversion else self.rotation

    @property
    def on_axial_odd(self) -> torch.Tensor:
        """(3, 3) on moments, magnetic forces: 1eo."""
        return -self.rotation if self.time_reversal else self.rotation

    def __matmul__(self, first: Operation) -> Operation:
        """This operation after ``first``."""
        return Operation(
            self.rotation @ first.rotation,
            self.inversion != first.inversion,
            self.time_reversal != first.time_reversal,
        )


def _rotation(quaternion: torch.Tensor) -> torch.Tensor:
    """(3, 3) rotation of a quaternion (w, x, y, z) of any length but 0."""
    w, x, y, z = (quaternion / quaternion.norm()).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + 2 * w * cross + 2 * cross @ cross


def wigner_D(degree: int, rotation: torch.Tensor) -> torch.Tensor:
    """D^l(R) in e3nn's real basis, (2l+1, 2l+1) float64.

    D^l is the part of D^{l−1} ⊗ R that Wigner 3j picks out, and e3nn orders l = 1 as
    x, y, z, so D^1 = R. e3nn goes through Euler angles instead, which cost half of the
    digits where two of the axes coincide.
    """
    if degree == 0:
        return torch.ones(1, 1, dtype=torch.float64)
    matrix = rotation.to(torch.float64)
    for l in range(2, degree + 1):
        w3j = wigner_3j(l - 1, 1, l, dtype=torch.float64)
        matrix = (2 * l + 1) * torch.einsum(
            "ijm,ia,jb,abn->mn", w3j, matrix, rotation.to(torch.float64), w3j
        )
    return matrix
