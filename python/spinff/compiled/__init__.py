"""Models compiled ahead of time with AOTInductor, in three graphs.

    geometry   edges, types, tables ─► lattice energy, couplings …, saved activations
    spins      these and the spins  ─► energies by term, their gradients
    backward   saved activations, gradients with respect to couplings … ─► ∂E/∂r_ij

``geometry`` and ``backward`` are the two halves of one traced function, so that a step
of dynamics is one pass of the network, forwards and backwards, whatever the spins do in
between. LAMMPS contracts explicit couplings itself and leaves ``spins`` out.
"""

from spinff.compiled.package import (
    CompiledModel,
    Signature,
    TracedModel,
    trace_model,
    write_package,
)

__all__ = ["CompiledModel", "Signature", "TracedModel", "trace_model", "write_package"]
