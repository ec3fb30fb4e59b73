"""From moments to the spins that energies depend on, and back to magnetic forces."""

# no postponed annotations: TorchScript reads those of buffers as they stand
import torch
from e3nn.o3 import Irreps
from e3nn.util.jit import compile_mode
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin

from spinff import fields


@compile_mode("script")
class SpinsFromMoments(GraphModuleMixin, torch.nn.Module):
    """m_i -> s_i: the direction m/|m|, or m over the reference length of the species.

    Directions where the energy depends on nothing else; an atom with |m| = 0 then has
    s = 0: it neither feels nor exerts. Scaled moments where lengths matter, so that
    couplings are energies of the reference length; smooth at zero.

    Args:
        type_names: all types of the model.
        moments: (magnetic type) -> reference length, µB.
        directions_only: which of the two.
        differentiate: let magnetic forces be taken later.
        irreps_in: of the module before.
    """

    reference: torch.Tensor

    def __init__(
        self,
        *,
        type_names: list[str],
        moments: dict[str, float],
        directions_only: bool,
        differentiate: bool,
        irreps_in: dict[str, Irreps],
    ) -> None:
        """Declare the moments as an input of the model."""
        super().__init__()
        self.directions_only = directions_only
        self.differentiate = differentiate
        self._init_irreps(
            irreps_in=irreps_in, irreps_out={fields.SPINS_KEY: Irreps("1e")}
        )
        # other types do not appear with a moment; 1 keeps them finite
        reference = [moments.get(name, 1.0) for name in type_names]
        self.register_buffer("reference", torch.tensor(reference, dtype=torch.float64))

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Moments (N, 3) µB -> spins (N, 3)."""
        moments = data[fields.MAGNETIC_MOMENTS_KEY]
        if self.differentiate:
            moments = moments.detach().requires_grad_(True)
            data[fields.MAGNETIC_MOMENTS_KEY] = moments
        if self.directions_only:
            square = moments.square().sum(-1, keepdim=True)
            has_moment = square > 0
            # 1 under the root where there is no moment: its derivative is finite
            length = torch.where(has_moment, square, torch.ones_like(square)).sqrt()
            spins = torch.where(has_moment, moments / length, torch.zeros_like(moments))
        else:
            types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)
            length = torch.index_select(self.reference, 0, types).unsqueeze(-1)
            spins = moments / length
        data[fields.SPINS_KEY] = spins
        return data


@compile_mode("script")
class MagneticForces(GraphModuleMixin, torch.nn.Module):
    """f_m = −∂E/∂m by automatic differentiation.

    Stands inside nequip's ``ForceStressOutput``. The spins enter after the geometry's
    network, so this backward pass visits the terms of the spins only.
    """

    def __init__(self, depends_on_spins: bool, irreps_in: dict[str, Irreps]) -> None:
        """Prepare; without terms that see spins the forces are zero."""
        super().__init__()
        self.depends_on_spins = depends_on_spins
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.TOTAL_ENERGY_KEY],
            irreps_out={fields.MAGNETIC_FORCES_KEY: Irreps("1e")},
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Add MAGNETIC_FORCES (N, 3) eV/µB."""
        moments = data[fields.MAGNETIC_MOMENTS_KEY]
        forces = torch.zeros_like(moments)
        if self.depends_on_spins:
            gradient = torch.autograd.grad(
                [data[AtomicDataDict.TOTAL_ENERGY_KEY].sum()],
                [moments],
                retain_graph=True,
                create_graph=self.training,
            )[0]
            assert gradient is not None  # TorchScript: Optional
            forces = -gradient
        data[fields.MAGNETIC_FORCES_KEY] = forces
        return data
