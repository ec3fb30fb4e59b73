"""Triangles of a layer of atoms, for its topological charge."""

from __future__ import annotations

from itertools import product
from typing import TypeAlias

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import Delaunay

from spinff.errors import SpinffError

Indices: TypeAlias = NDArray[np.int32]
Corner: TypeAlias = tuple[int, int, int]
"""An atom, and the image that is meant: numbers of cells along the two vectors."""

_TILT = 1e-5
"""A square has two diagonals and Delaunay's rule no preference. In a plane that is
sheared by this much it has one, the same in every cell."""

_IMAGES = 3
"""Cells to each side, at most: enough for one atom in a cell not too oblique."""


def layer_triangles(
    atoms: Atoms, indices: ArrayLike | None = None, axis: int = 2
) -> Indices:
    """Delaunay triangles of a layer, periodic where the atoms are.

    Args:
        atoms: the structure. The layer lies in the plane of two cell vectors, onto
            which positions are projected; between atoms that lie over each other
            (two layers) nothing can be triangulated.
        indices: the atoms of the layer, or a mask (N,); all by default.
        axis: the cell vector that is not in the plane. The normal is the vector
            product of the next two (in the order 0, 1, 2, 0, 1): along z for vectors
            0 and 1 in the xy plane and ``axis`` 2.

    Returns:
        (T, 3) indices into ``atoms``, anticlockwise seen against the normal. With two
        periodic directions T is twice the number of atoms of the layer.

    Raises:
        SpinffError: if the atoms form no layer, or the cell is too small or too
            oblique for a triangulation of distinct atoms.
    """
    chosen = _chosen(atoms, indices)
    in_plane = [(axis + 1) % 3, (axis + 2) % 3]
    periodic = atoms.pbc[in_plane]
    points, vectors = _plane(atoms, chosen, in_plane)
    reason = "no triangulation"
    for images in range(1, _IMAGES + 1):
        x, y = (range(-images, images + 1) if p else range(1) for p in periodic)
        cells = sorted(product(x, y), key=lambda cell: cell != (0, 0))
        triangles = _distinct(_delaunay(points, vectors, cells), len(points), cells)
        reason = _fault(triangles, len(points), bool(periodic.all()))
        if not reason:
            corners = [[atom for atom, *_ in triangle] for triangle in triangles]
            return chosen[np.array(corners)].astype(np.int32)
    raise SpinffError(
        f"layer_triangles: the atoms cannot be triangulated, got {reason} for "
        f"{len(chosen)} atoms, expected the distinct atoms of one layer; choose one "
        "layer by 'indices', or repeat the cell"
    )


def _chosen(atoms: Atoms, indices: ArrayLike | None) -> NDArray[np.intp]:
    if indices is None:
        return np.arange(len(atoms))
    given = np.asarray(indices)
    is_mask = given.dtype == bool and given.shape == (len(atoms),)
    # an empty list is of type float
    chosen = np.flatnonzero(given) if is_mask else given.astype(np.intp)
    is_inside = (chosen >= 0) & (chosen < len(atoms))
    if given.ndim != 1 or not is_inside.all() or is_mask != (given.dtype == bool):
        raise SpinffError(
            f"layer_triangles: 'indices' are wrong, got {given.tolist()}, expected "
            f"numbers of atoms, 0 to {len(atoms) - 1}, or a mask ({len(atoms)},); "
            "correct them"
        )
    return chosen


def _plane(
    atoms: Atoms, chosen: NDArray[np.intp], in_plane: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (n, 2) and the two cell vectors (2, 2) in the plane."""
    a, b = atoms.cell.array[in_plane]
    normal = np.cross(a, b)
    area = np.linalg.norm(normal)
    if len(chosen) == 0 or area < 1e-8:
        raise SpinffError(
            "layer_triangles: there is no layer, got "
            f"{len(chosen)} atoms and an area of {area:g} Å² between the cell vectors "
            f"{in_plane[0]} and {in_plane[1]}, expected both; set the cell or 'axis'"
        )
    x = a / np.linalg.norm(a)
    axes = np.array([x, np.cross(normal / area, x)]).T  # (3, 2), right-handed
    return atoms.positions[chosen] @ axes, np.array([a, b]) @ axes


def _delaunay(
    points: NDArray[np.float64],
    vectors: NDArray[np.float64],
    cells: list[tuple[int, int]],
) -> NDArray[np.intp]:
    """Anticlockwise triangles (T, 3) of all images, cell after cell."""
    shifts = np.array(cells) @ vectors
    plane = (shifts[:, None] + points[None]).reshape(-1, 2)
    if len(plane) < 3:
        return np.zeros((0, 3), dtype=np.intp)
    sheared = plane + _TILT * plane[:, ::-1] * [1.0, -0.3]
    corners = Delaunay(sheared).simplices
    first, second, third = (plane[corners[:, k]] for k in range(3))
    one, two = second - first, third - first
    clockwise = one[:, 0] * two[:, 1] < one[:, 1] * two[:, 0]
    corners[clockwise] = corners[clockwise, ::-1]
    return corners


def _distinct(
    corners: NDArray[np.intp], num_points: int, cells: list[tuple[int, int]]
) -> list[tuple[Corner, ...]]:
    """Triangles with a corner in the home cell (the first), each once.

    Two triangles that differ by a lattice vector are one. Whole numbers decide, so that
    no triangle on the cell's edge is lost or counted twice.
    """
    home = corners[(corners < num_points).any(axis=1)]
    found = {
        _reduced([(int(k % num_points), *cells[k // num_points]) for k in triangle])
        for triangle in home
    }
    return sorted(found)


def _reduced(triangle: list[Corner]) -> tuple[Corner, ...]:
    """The same triangle, moved by lattice vectors and begun at another corner."""
    choices = []
    for start in range(3):
        _, x, y = triangle[start]
        turned = triangle[start:] + triangle[:start]
        choices.append(tuple((atom, i - x, j - y) for atom, i, j in turned))
    return min(choices)


def _fault(triangles: list[tuple[Corner, ...]], num_atoms: int, closed: bool) -> str:
    """Why the triangles are no surface of distinct atoms; empty if they are one."""
    if any(len({atom for atom, *_ in triangle}) < 3 for triangle in triangles):
        return "a triangle with an atom and its own image"
    edges = [
        (a, b, c - x, d - y)
        for t in triangles
        for (a, x, y), (b, c, d) in zip(t, t[1:] + t[:1], strict=True)
    ]
    if not triangles or len(set(edges)) != len(edges):
        return f"{len(triangles)} triangles that overlap"
    back = {(b, a, -x, -y) for a, b, x, y in edges}
    if closed and (len(triangles) != 2 * num_atoms or back != set(edges)):
        return f"{len(triangles)} triangles that do not close"
    return ""
