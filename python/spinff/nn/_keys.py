"""Fields that pass between modules of one model and never leave it.

A module of their own: TorchScript knows constants only as attributes of a module.
"""

from typing import Final

# (E, functions) radial functions of the edges' lengths, float64
EDGE_BASIS_KEY: Final[str] = "edge_basis"
# (E, features) scalars of the edges that couplings are read from
EDGE_LATENT_KEY: Final[str] = "edge_latent"
# (M, features) scalars of the magnetic edges
PAIR_SCALARS_KEY: Final[str] = "pair_scalars"
# (M, width) a hidden layer over them, which the terms of pairs share
PAIR_HIDDEN_KEY: Final[str] = "pair_hidden"
# (M, functions) their radial functions, and (M,) number of the pair of types
PAIR_BASIS_KEY: Final[str] = "pair_basis"
PAIR_TYPE_KEY: Final[str] = "pair_type"
# (M, channels × dim) tensors of the magnetic edges, channel-major
PAIR_TENSORS_KEY: Final[str] = "pair_tensors"
# (9, M) c(r) r̂ r̂ of the magnetic edges, c their first radial function
PAIR_OUTER_KEY: Final[str] = "pair_outer"
# (M, 9) D and Γ of the magnetic edges, before their scale
RELATIVISTIC_KEY: Final[str] = "relativistic_exchange"
# (channels, T) weights of the triangles i, j, k of magnetic edges i→j
TRIANGLE_WEIGHTS_KEY: Final[str] = "triangle_weights"
# (6, T) r̂_ik and r̂_jk
TRIANGLE_SIDES_KEY: Final[str] = "triangle_sides"
# (M, features) scalars of the TENN's magnetic edges, for heads that read them
TENN_SCALARS_KEY: Final[str] = "tenn_scalars"

# === tables of integers, from spinff.nn.topology ===
# (E,) place of each edge in the next
EDGE_SLOT_KEY: Final[str] = "edge_slot"
# (centres, width) edges of each centre, −1 where it has fewer
EDGE_TABLE_KEY: Final[str] = "edge_table"
# (T,) magnetic edge i→j of each triangle i, j, k; its row among the magnetic edges
TRIANGLE_BOND_KEY: Final[str] = "triangle_bond"
# (L,) edges i→k that are sides of triangles, or could be
LEG_EDGES_KEY: Final[str] = "leg_edges"
# (T,) edge i→k of each triangle, its row among the former
TRIANGLE_LEG_KEY: Final[str] = "triangle_leg"
# (T,) place of each triangle in the next
TRIANGLE_SLOT_KEY: Final[str] = "triangle_slot"
# (M, width) triangles of each magnetic edge, −1 where it has fewer
TRIANGLE_TABLE_KEY: Final[str] = "triangle_table"
# (S,) edges whose centre is magnetic
SITE_EDGES_KEY: Final[str] = "site_edges"
# (A,) ascending indices of the magnetic atoms
MAGNETIC_ATOMS_KEY: Final[str] = "magnetic_atoms"
# (M,) centre of each magnetic edge, its row among the magnetic atoms
PAIR_CENTRE_KEY: Final[str] = "pair_centre"
# (M,) place of each magnetic edge in the next
PAIR_SLOT_KEY: Final[str] = "pair_slot"
# (centres, width) magnetic edges of each magnetic atom, −1 where it has fewer
PAIR_TABLE_KEY: Final[str] = "pair_table"
