"""Deployed models: one file that LAMMPS, ASE and ``spinff evaluate`` read.

A TorchScript archive with a JSON header (``spinff.header``). It takes edge vectors, not
positions: a strictly local model depends on nothing else, the engine that owns the
neighbour list knows them in float64, and forces and virial are sums of ∂E/∂r_ij.
"""

# no postponed annotations: TorchScript reads those of buffers as they stand
import subprocess
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from nequip.data import AtomicDataDict
from nequip.nn.embedding.utils import cutoff_partialdict_to_tensor

from spinff import fields
from spinff.errors import SpinffError
from spinff.files import whole_file
from spinff.header import (
    HEADER_NAME,
    TERMS,
    ModelHeader,
    archive_kind,
    has_couplings,
    read_header,
)
from spinff.models import Checkpoint, load_checkpoint
from spinff.nn import _keys

# agreement asked of the file that was written with the model it was written from,
# relative to the largest value: a few units in the last place of a sum
_RELOAD_TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
# model classes whose energy of an atom depends on edges within one cutoff of it
_STRICTLY_LOCAL = {"SpinAllegro"}
# what builders of presets do not ask for
_FIXED_BY_CLASS: dict[str, dict[str, Any]] = {
    "MagNet": {
        "terms": ["tenn"],
        "spin_orbit_coupling": True,
        "moment_mode": "input",
    }
}


class ScriptableModel(torch.nn.Module):
    """The entry points of every deployed model.

    Shapes: N atoms (in LAMMPS owned, then ghost), E directed edges i→j with
    r_ij = r_j − r_i and i = edge_index[0], M edges between magnetic types, T terms.
    float64 and int64 at the boundary, whatever the network's type.

    ``forward`` is a whole evaluation. ``geometry`` and ``spin_energies`` are its two
    halves, for callers that have many spin configurations of one geometry.
    """

    reference: torch.Tensor

    def __init__(
        self,
        couplings_network: torch.nn.Module,
        spin_terms: torch.nn.Module,
        moment_mode: str,
        reference: torch.Tensor,
    ) -> None:
        """Wrap the two parts of a model.

        Args:
            couplings_network: geometry to lattice energy and couplings.
            spin_terms: these and the spins to the energy of each term.
            moment_mode: as in the header.
            reference: (types,) length of the moment of each type, µB.
        """
        super().__init__()
        self.network = couplings_network
        self.spin_terms = spin_terms
        self.moment_mode = moment_mode
        self.register_buffer("reference", reference.to(torch.float64))

    def forward(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        types: torch.Tensor,
        magnetic_edges: torch.Tensor,
        spins: torch.Tensor,
        num_owned: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Energies, their derivatives, and the lengths of the moments.

        Args:
            edge_vectors: (E, 3) Å.
            edge_index: (2, E).
            types: (N,) index into the header's type names.
            magnetic_edges: (M,) ascending indices of edges between magnetic types.
            spins: (N, 3) unit vectors, or moments in µB in the moment mode ``input``;
                zero on atoms of other types.
            num_owned: the first atoms, whose energies count.

        Returns:
            Energies (N, T) eV by atom and term, ∂E/∂r_ij (E, 3) eV/Å, ∂E/∂spins (N, 3)
            in eV per unit of the argument, lengths (N,) µB. Rows of energies and
            lengths beyond num_owned mean nothing.
        """
        edge_vectors = edge_vectors.detach().requires_grad_(True)
        spins = spins.detach().requires_grad_(True)
        data = self.geometry(edge_vectors, edge_index, types, magnetic_edges, None)
        energies, lengths = self.spin_energies(data, spins)
        edge_gradient, spin_gradient = torch.autograd.grad(
            [energies[:num_owned].sum()], [edge_vectors, spins], allow_unused=True
        )
        if edge_gradient is None:  # TorchScript: Optional
            edge_gradient = torch.zeros_like(edge_vectors)
        if spin_gradient is None:
            spin_gradient = torch.zeros_like(spins)
        return energies.detach(), edge_gradient, spin_gradient, lengths

    @torch.jit.export
    def geometry(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        types: torch.Tensor,
        magnetic_edges: torch.Tensor,
        triangles: list[torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """All that the network over geometry says, differentiable in edge_vectors.

        Args:
            edge_vectors: as in ``forward``, like the next three.
            edge_index: as there.
            types: as there.
            magnetic_edges: as there.
            triangles: legs, bonds and legs of them, of ``topology.common_neighbours``;
                None: to be found.
        """
        data = {
            AtomicDataDict.EDGE_VECTORS_KEY: edge_vectors,
            AtomicDataDict.EDGE_INDEX_KEY: edge_index,
            AtomicDataDict.ATOM_TYPE_KEY: types,
            fields.MAGNETIC_EDGES_KEY: magnetic_edges,
        }
        if triangles is not None:
            data[_keys.LEG_EDGES_KEY] = triangles[0]
            data[_keys.TRIANGLE_BOND_KEY] = triangles[1]
            data[_keys.TRIANGLE_LEG_KEY] = triangles[2]
        return self.network(data)

    @torch.jit.export
    def spin_energies(
        self, data: dict[str, torch.Tensor], spins: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies (N, T) eV, differentiable, and lengths (N,) µB.

        Args:
            data: of ``geometry``; stays as it is.
            spins: as in ``forward``.
        """
        types = data[AtomicDataDict.ATOM_TYPE_KEY]
        reference = torch.index_select(self.reference, 0, types)
        scaled = spins
        if self.moment_mode == "input":
            # other types have no length; their spins are zero
            safe = torch.where(reference > 0, reference, torch.ones_like(reference))
            scaled = spins / safe.unsqueeze(-1)
        data = data.copy()
        data[fields.SPINS_KEY] = scaled
        data = self.spin_terms(data)
        lengths = reference
        if self.moment_mode == "input":
            lengths = torch.linalg.vector_norm(spins.detach(), dim=-1)
        if self.moment_mode == "predicted":
            lengths = data[fields.MOMENT_LENGTHS_KEY].detach().view(-1)
        return data[fields.TERM_ENERGIES_KEY], lengths


class ScriptableCouplings(ScriptableModel):
    """A deployed model whose explicit terms are all: its couplings can be kept."""

    @torch.jit.export
    def couplings(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        types: torch.Tensor,
        magnetic_edges: torch.Tensor,
        triangles: list[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Lattice energy (N,), J̃ (M, 3, 3), K̃ (M, 1), A (N, 3, 3), eV, differentiable.

        A term that the model lacks is zero. Arguments are those of ``geometry``.
        """
        data = self.geometry(edge_vectors, edge_index, types, magnetic_edges, triangles)
        energy = data[AtomicDataDict.PER_ATOM_ENERGY_KEY].view(-1)
        pairs, atoms = magnetic_edges.size(0), types.size(0)
        exchange = edge_vectors.new_zeros(pairs, 3, 3)
        biquadratic = edge_vectors.new_zeros(pairs, 1)
        anisotropy = edge_vectors.new_zeros(atoms, 3, 3)
        if fields.EXCHANGE_KEY in data:
            exchange = data[fields.EXCHANGE_KEY]
        if fields.BIQUADRATIC_KEY in data:
            biquadratic = data[fields.BIQUADRATIC_KEY]
        if fields.ANISOTROPY_KEY in data:
            anisotropy = data[fields.ANISOTROPY_KEY]
        return energy, exchange, biquadratic, anisotropy


@dataclass(frozen=True)
class RunnableModel:
    """A model ready to evaluate, from a checkpoint or a deployed file."""

    header: ModelHeader
    """What it is."""
    module: Callable[..., tuple[torch.Tensor, ...]]
    """The ``forward`` of :class:`ScriptableModel`."""
    device: torch.device
    """Where its tensors live."""


def load_model(
    path: str | Path, *, device: str = "cpu", dtype: str | None = None
) -> RunnableModel:
    """Load a checkpoint or a deployed file.

    Args:
        path: ``model.pth`` of ``spinff train``, or a file of ``spinff deploy``.
        device: ``cpu`` or ``cuda``.
        dtype: of the network, for a checkpoint only; None keeps the trained one.

    Raises:
        SpinffError: for a file that is missing, truncated, of another kind or newer, or
            a device that is not there.
    """
    target = check_device(device, f"model '{path}'")
    if archive_kind(path) == "checkpoint":
        checkpoint = load_checkpoint(path, dtype)
        module: Any = scriptable(checkpoint).to(target)
        return RunnableModel(make_header(checkpoint), module, target)
    header = read_header(path)
    if dtype not in (None, header.dtype):
        raise SpinffError(
            f"model '{path}': a deployed file has one type of number, got {dtype} "
            f"asked and {header.dtype} inside, expected the same; deploy again with "
            f"--dtype {dtype}"
        )
    return RunnableModel(header, _load_deployed(path, header, target), target)


def check_device(device: str, who: str) -> torch.device:
    """The device, or SpinffError if torch does not see it."""
    if device not in ("cpu", "cuda"):
        raise SpinffError(
            f"{who}: unknown device, got '{device}', expected cpu or cuda; correct it"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise SpinffError(
            f"{who}: a GPU is asked for, got 0 CUDA devices seen by torch "
            f"{torch.__version__}, expected 1 or more; use device cpu, or install a "
            "CUDA build of torch"
        )
    return torch.device(device)


def scriptable(checkpoint: Checkpoint) -> ScriptableModel:
    """The deployable part of a trained model."""
    header = make_header(checkpoint)
    kind = ScriptableCouplings if has_couplings(header) else ScriptableModel
    reference = [header.moments.get(name, 0.0) for name in header.type_names]
    module = kind(
        checkpoint.model.get_submodule("model.func.couplings"),
        checkpoint.model.get_submodule("model.func.spin_terms"),
        header.moment_mode,
        torch.tensor(reference, dtype=torch.float64),
    )
    return module.eval().requires_grad_(False)


FORMATS = {"torchscript": ".pth", "aoti": ".pt2"}
"""Of deployed files: name -> ending."""


def deploy(
    checkpoint_path: Path,
    output: Path,
    *,
    dtype: str | None = None,
    file_format: str = "torchscript",
) -> Path:
    """Write the deployed file of a checkpoint, reload it and compare.

    Args:
        checkpoint_path: ``model.pth`` of ``spinff train``.
        output: file to write; replaced only after the comparison.
        dtype: ``float32`` or ``float64`` network; None keeps the trained one.
        file_format: ``torchscript`` runs anywhere; ``aoti``, compiled by AOTInductor
            for this processor and this torch, is more than twice as fast.

    Returns:
        ``output``.

    Raises:
        SpinffError: for a bad checkpoint, or if the file written does not give the
            numbers of the model it was written from.
    """
    if archive_kind(checkpoint_path) == "deployed":
        raise SpinffError(
            f"'{checkpoint_path}' is deployed already, expected a checkpoint of "
            "spinff train; give it to pair_coeff or SpinCalculator as it is"
        )
    if output.suffix != FORMATS[file_format] and file_format == "aoti":
        raise SpinffError(
            f"spinff deploy: name of the file, got '{output}', expected one that ends "
            "in '.pt2', because torch loads no other; correct -o"
        )
    checkpoint = load_checkpoint(checkpoint_path, dtype)
    header = make_header(checkpoint, _BACKENDS[file_format])
    module = scriptable(checkpoint)
    content = (_compiled if file_format == "aoti" else _scripted)(module, header)
    with whole_file(output) as temporary:
        temporary.write_bytes(content.getbuffer())
        compare_reloaded(temporary, module, header)
    return output


_BACKENDS = {"torchscript": "torchscript", "aoti": "aotinductor"}


def _compiled(module: ScriptableModel, header: ModelHeader) -> BytesIO:
    """The file of the three compiled graphs."""
    from spinff.compiled import trace_model, write_package

    content = BytesIO()
    write_package(content, header, trace_model(module, header))
    return content


def _scripted(module: ScriptableModel, header: ModelHeader) -> BytesIO:
    """The TorchScript file."""
    content = BytesIO()  # torch's own writer has no clear error for a full disk
    with warnings.catch_warnings():
        # torch 2.10 and later call TorchScript deprecated; it is the portable format
        warnings.simplefilter("ignore", DeprecationWarning)
        from e3nn.util.jit import script

        scripted = script(module, in_place=False)
        torch.jit.save(scripted, content, {HEADER_NAME: header.to_json()})
    return content


def compare_reloaded(path: Path, module: ScriptableModel, header: ModelHeader) -> float:
    """Largest relative difference of a written file from its model, on random edges.

    Raises:
        SpinffError: if it is above what rounding explains.
    """
    if read_header(path) != header:
        raise SpinffError(
            f"'{path}': header read back differs from the one written; report this"
        )
    inputs = random_inputs(header)
    expected = module(*inputs)
    got = _load_deployed(path, header, torch.device("cpu"))(*inputs)
    worst = max(
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))
        for a, b in zip(got, expected, strict=True)
    )
    if not worst <= _RELOAD_TOLERANCE[header.dtype]:
        raise SpinffError(
            f"'{path}': reloaded model differs from the checkpoint, got relative "
            f"difference {worst:.1e}, expected at most "
            f"{_RELOAD_TOLERANCE[header.dtype]:.0e}; nothing was written; report this"
        )
    return worst


def random_inputs(header: ModelHeader, seed: int = 0) -> tuple[torch.Tensor | int, ...]:
    """A random cluster as the arguments of ``forward``: every pair within reach."""
    generator = torch.Generator().manual_seed(seed)
    count = 6 * len(header.type_names)
    types = torch.arange(count) % len(header.type_names)
    side = 0.8 * header.r_max
    positions = side * torch.rand(count, 3, generator=generator, dtype=torch.float64)
    vectors = positions.unsqueeze(0) - positions.unsqueeze(1)  # [i, j] = r_j − r_i
    cutoffs = torch.tensor(header.cutoffs, dtype=torch.float64)[types][:, types]
    distance = vectors.norm(dim=-1)
    centre, neighbour = torch.nonzero(
        (distance < cutoffs) & (distance > 0), as_tuple=True
    )
    edge_index = torch.stack([centre, neighbour])
    magnetic = torch.tensor([n in header.magnetic_types for n in header.type_names])
    magnetic_edges = torch.nonzero(
        magnetic[types[centre]] & magnetic[types[neighbour]]
    ).view(-1)
    spins = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    spins = spins / spins.norm(dim=-1, keepdim=True)
    spins = spins * magnetic[types].unsqueeze(-1)
    edges = vectors[centre, neighbour]
    return edges, edge_index, types, magnetic_edges, spins, count


def make_header(checkpoint: Checkpoint, backend: str = "torchscript") -> ModelHeader:
    """The header of a trained model."""
    model_class = str(checkpoint.config["_target_"]).rsplit(".", 1)[-1]
    config = _FIXED_BY_CLASS.get(model_class, {}) | checkpoint.config
    type_names = list(config["type_names"])
    magnetic_types = list(config["magnetic_types"])
    r_max = float(config["r_max"])
    cutoffs = cutoff_partialdict_to_tensor(
        config.get("per_edge_type_cutoff") or {}, type_names, r_max
    )
    return ModelHeader(
        backend=backend,
        spinff_version=version("spinff"),
        torch_version=torch.__version__.split("+")[0],
        nequip_version=version("nequip"),
        allegro_version=version("nequip-allegro"),
        e3nn_version=version("e3nn"),
        model_class=model_class,
        strictly_local=model_class in _STRICTLY_LOCAL,
        terms=tuple(
            name for name in TERMS if name == "lattice" or name in config["terms"]
        ),
        spin_orbit_coupling=bool(config["spin_orbit_coupling"]),
        moment_mode=str(config.get("moment_mode", "fixed")),
        type_names=tuple(type_names),
        magnetic_types=tuple(magnetic_types),
        moments={name: float(config["moments"][name]) for name in magnetic_types},
        r_max=r_max,
        cutoffs=tuple(
            tuple(row)
            for row in cutoffs.view(len(type_names), len(type_names)).tolist()
        ),
        dtype=str(config["model_dtype"]),
        magnetic_force_scale=_label_scale(checkpoint),
        training_data_sha256=checkpoint.training_data_sha256,
        git_revision=_git_revision(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _label_scale(checkpoint: Checkpoint) -> dict[str, float]:
    """Of each magnetic type in the first data set: the one a single-source model has.

    One in a model that was trained on energies alone.
    """
    names = list(checkpoint.config["type_names"])
    tables = dict(checkpoint.model.named_parameters())
    scale = tables.get("model.func.label_scale.table", torch.ones(1, len(names)))
    return {
        name: float(scale[0, names.index(name)].detach())
        for name in checkpoint.config["magnetic_types"]
    }


def _load_deployed(path: str | Path, header: ModelHeader, device: torch.device) -> Any:  # noqa: ANN401
    if header.backend == "torchscript":
        return _load_script(path, device)
    if device.type != "cpu":
        raise SpinffError(
            f"model '{path}': compiled for the processor, got device {device.type}, "
            "expected cpu; deploy it with --format torchscript for a GPU"
        )
    from spinff.compiled import CompiledModel

    _compare_checksums(path)
    return CompiledModel.load(Path(path), header)


def _load_script(path: str | Path, device: torch.device) -> Any:  # noqa: ANN401
    _compare_checksums(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(path, map_location=device).eval()
    except (RuntimeError, UnicodeDecodeError) as error:  # torch quotes raw bytes
        raise SpinffError(
            f"model '{path}': TorchScript cannot be loaded, got "
            f"{str(error).splitlines()[0]}, expected a whole file of spinff deploy; "
            "copy it again or deploy again"
        ) from error


def _compare_checksums(path: str | Path) -> None:
    """TorchScript's reader compares none, and may abort the process instead."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        damaged = str(error)
    if damaged is not None:
        raise SpinffError(
            f"model '{path}': the file is damaged, got another checksum in "
            f"{damaged!r} than the archive names, expected the same; copy the file "
            "again or deploy the model again"
        )


def _git_revision() -> str:
    """Revision of the source tree spinff is run from; ``unknown`` when installed."""
    result = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "unknown"
