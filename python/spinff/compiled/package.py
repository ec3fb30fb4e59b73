"""The file of a compiled model, from a model and to one that runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from nequip.data import AtomicDataDict

from spinff import fields
from spinff.compiled.examples import FEW_ROWS, Graph, example_graph, padded
from spinff.compiled.graphs import Tensors, inputs, trace, with_constants
from spinff.compiled.split import GRADIENT, Half, split
from spinff.errors import SpinffError
from spinff.header import HEADER_NAME, ModelHeader
from spinff.nn.topology import Topology

SIGNATURES_NAME = "compiled.json"
SPINS = "spins"
ENERGY_WEIGHTS = "energy_weights"
"""(N,) 1 for atoms whose energy counts, 0 for others."""
EDGE_GRADIENT = GRADIENT + AtomicDataDict.EDGE_VECTORS_KEY
_TERM_ENERGIES, _LENGTHS = "term_energies", "moment_lengths"

_INPUTS = (
    AtomicDataDict.EDGE_VECTORS_KEY,
    AtomicDataDict.EDGE_INDEX_KEY,
    AtomicDataDict.ATOM_TYPE_KEY,
    fields.MAGNETIC_EDGES_KEY,
)


@dataclass(frozen=True)
class Signature:
    """Names of what goes into a graph and comes out of it, in order."""

    inputs: list[str]
    outputs: list[str]


class _Parts:
    """A model as functions of named tensors."""

    def __init__(self, module: Any, header: ModelHeader) -> None:  # noqa: ANN401
        self.module = module
        self.header = header
        topology = getattr(module.network, "topology", None)
        if not isinstance(topology, Topology):
            raise SpinffError(
                f"spinff deploy: no compiled form of this model, got "
                f"{header.model_class}, expected SpinAllegro or SpinNequIP; deploy it "
                "with --format torchscript"
            )
        self.topology = topology

    def tensors(self, graph: Graph) -> Tensors:
        """The inputs of ``geometry``."""
        data = dict(zip(_INPUTS, graph, strict=False))
        return dict(self.topology(data))

    def geometry(self, given: Tensors) -> Tensors:
        """What the network over geometry adds."""
        data = self.module.network(dict(given))
        return {key: data[key] for key in data if key not in given}

    def spins(self, data: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies by term, and lengths."""
        spins = data[SPINS]
        found: tuple[torch.Tensor, torch.Tensor] = self.module.spin_energies(
            {k: v for k, v in data.items() if k not in (SPINS, ENERGY_WEIGHTS)}, spins
        )
        return found


class _ReadKeys(dict[str, torch.Tensor]):
    """Remembers which of its tensors are read."""

    def __init__(self, tensors: Tensors, seen: set[str]) -> None:
        super().__init__(tensors)
        self.seen = seen

    def __getitem__(self, key: str) -> torch.Tensor:
        self.seen.add(key)
        return super().__getitem__(key)

    def copy(self) -> _ReadKeys:
        return _ReadKeys(self, self.seen)


def compile_model(
    module: Any,  # noqa: ANN401 - spinff.export.ScriptableModel
    header: ModelHeader,
) -> tuple[dict[str, Any], dict[str, Signature]]:
    """Compile the three graphs for the processor of this machine; minutes.

    Args:
        module: the deployable part of a model.
        header: what it is.

    Returns:
        Files and signatures of ``geometry``, ``spins`` and ``backward``.

    Raises:
        SpinffError: for a model without a compiled form.
    """
    parts = _Parts(module, header)
    one, two = (_numbers(parts, seed) for seed in (0, 1))
    names, read = _interface(parts, one)
    forward, backward = _geometry(parts, one, two, names)
    spins = _spins(parts, one, two, names, read)
    halves = {"geometry": forward, "spins": spins, "backward": backward}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the graphs are for one thread: ranks use the cores
    try:
        files = {name: _compiled(half) for name, half in halves.items()}
    finally:
        torch.set_num_threads(threads)
    return files, {
        name: Signature(half.inputs, half.outputs) for name, half in halves.items()
    }


def _numbers(parts: _Parts, seed: int) -> Tensors:
    """All inputs of an example."""
    graph = example_graph(parts.header, seed)
    tensors = parts.tensors(graph)
    weights = torch.zeros(graph.types.size(0), dtype=torch.float64)
    weights[: graph.num_owned] = 1.0
    return tensors | {SPINS: graph.spins, ENERGY_WEIGHTS: weights}


def _interface(parts: _Parts, example: Tensors) -> tuple[list[str], list[str]]:
    """Outputs of geometry that the spins read, and all tensors that they read."""
    given = _without_spins(example)
    made = parts.geometry(given)
    seen: set[str] = set()
    data = _ReadKeys({**given, **made}, seen)
    parts.module.spin_energies(data, example[SPINS])
    return [key for key in made if key in seen], [k for k in data if k in seen]


def _without_spins(tensors: Tensors) -> Tensors:
    return {k: v for k, v in tensors.items() if k not in (SPINS, ENERGY_WEIGHTS)}


def _geometry(
    parts: _Parts, one: Tensors, two: Tensors, names: list[str]
) -> tuple[Half, Half]:
    keys = list(_without_spins(one))

    def forward(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        made = parts.geometry(dict(zip(keys, values, strict=True)))
        return [made[name] for name in names]

    def joint(*values: torch.Tensor) -> list[torch.Tensor]:
        given = list(values[: len(keys)])
        given[0] = given[0].detach().requires_grad_(True)
        made = forward(given)
        gradient = torch.autograd.grad(made, given[:1], values[len(keys) :])
        return [tensor.detach() for tensor in made] + [*gradient]

    examples = []
    for tensors in (one, two):
        given = [tensors[key] for key in keys]
        gradients = {
            GRADIENT + name: torch.ones_like(made)
            for name, made in zip(names, forward(given), strict=True)
        }
        examples.append(dict(zip(keys, given, strict=True)) | gradients)
    halves = split(*trace(joint, *examples), len(keys), names)
    return halves[0], Half(halves[1].graph, halves[1].inputs, [EDGE_GRADIENT])


def _spins(
    parts: _Parts, one: Tensors, two: Tensors, names: list[str], read: list[str]
) -> Half:
    keys = [*read, SPINS, ENERGY_WEIGHTS]
    wanted = [AtomicDataDict.EDGE_VECTORS_KEY, *names, SPINS]
    examples = [
        {key: value for key, value in (t | parts.geometry(_without_spins(t))).items()}
        for t in (one, two)
    ]
    examples = [{key: example[key].detach() for key in keys} for example in examples]
    wanted = [key for key in wanted if key in keys]

    def energies(*values: torch.Tensor) -> list[torch.Tensor | None]:
        data = dict(zip(keys, values, strict=True))
        for key in wanted:
            data[key] = data[key].detach().requires_grad_(True)
        table, lengths = parts.spins(data)
        total = (table * data[ENERGY_WEIGHTS].unsqueeze(1)).sum()
        gradients = torch.autograd.grad(
            [total], [data[key] for key in wanted], allow_unused=True
        )
        return [table.detach(), lengths, *gradients]

    there = [g is not None for g in energies(*examples[0].values())[2:]]
    gradients = [GRADIENT + key for key, yes in zip(wanted, there, strict=True) if yes]

    def function(*values: torch.Tensor) -> list[torch.Tensor]:
        return [tensor for tensor in energies(*values) if tensor is not None]

    graph, constants = trace(function, *examples)
    given = [str(node.target) for node in inputs(graph.graph)]
    with_constants(graph, constants)
    return Half(graph, given, [_TERM_ENERGIES, _LENGTHS, *gradients])


def _compiled(half: Half) -> Any:  # noqa: ANN401 - paths, for torch's packager
    from torch._inductor import aot_compile

    examples = tuple(node.meta["val"] for node in inputs(half.graph.graph))
    return aot_compile(
        half.graph, examples, options={"aot_inductor.package": True, "cpp.threads": 1}
    )


def write_package(
    file: BinaryIO,
    header: ModelHeader,
    files: dict[str, Any],
    signatures: dict[str, Signature],
) -> None:
    """Write compiled graphs as one file, with the header of every deployed model."""
    from torch.export.pt2_archive._package import package_pt2

    content = {name: asdict(signature) for name, signature in signatures.items()}
    text = json.dumps({"processor": processor_features(), **content}, indent=1)
    extra = {HEADER_NAME: header.to_json(), SIGNATURES_NAME: text}
    package_pt2(file, aoti_files=files, extra_files=extra)


def processor_features() -> list[str]:
    """Instruction sets of this processor that a compiler may have used.

    Empty where the system does not tell.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    families = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "popcnt", "movbe")
    return sorted({flag for flag in flags if flag.startswith(families)})


class CompiledModel:
    """A compiled model with the ``forward`` of ``spinff.export.ScriptableModel``."""

    def __init__(self, path: Path, header: ModelHeader) -> None:
        """Load a file whose header has been read.

        Raises:
            SpinffError: if it was compiled by another torch or for another processor.
        """
        who = f"model '{path}'"
        if header.torch_version != torch.__version__.split("+")[0]:
            raise SpinffError(
                f"{who}: compiled by another torch, got {header.torch_version}, "
                f"expected {torch.__version__.split('+')[0]}, which is here; deploy "
                "the model again, or with --format torchscript"
            )
        content = _read_signatures(path)
        missing = sorted(set(content.pop("processor")) - {*processor_features()})
        if missing:
            raise SpinffError(
                f"{who}: compiled for another processor, got one without "
                f"{', '.join(missing)}, expected what it was compiled for; deploy the "
                "model on this machine, or with --format torchscript"
            )
        from torch._inductor.package import load_package  # type: ignore[attr-defined]

        self.header = header
        self.signatures = {n: Signature(**value) for n, value in content.items()}
        self._graphs = {n: load_package(str(path), n).loader for n in self.signatures}
        self._topology = Topology(
            type_names=list(header.type_names),
            magnetic_types=list(header.magnetic_types),
            cutoffs=torch.tensor(header.cutoffs, dtype=torch.float64),
            tables=Topology.tables_with(self.signatures["geometry"].inputs)
            | Topology.tables_with(self.signatures["spins"].inputs),
            irreps_in={},
        )

    def _run(self, name: str, data: Tensors) -> Tensors:
        signature = self.signatures[name]
        found = self._graphs[name].run([data[key] for key in signature.inputs])
        return dict(zip(signature.outputs, found, strict=True))

    def __call__(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        types: torch.Tensor,
        magnetic_edges: torch.Tensor,
        spins: torch.Tensor,
        num_owned: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """As ``ScriptableModel.forward``."""
        given = Graph(edge_vectors, edge_index, types, magnetic_edges, spins, num_owned)
        graph = padded(given, self.header)
        weights = torch.zeros(graph.types.size(0), dtype=torch.float64)
        weights[:num_owned] = 1.0
        data = dict(self._topology(dict(zip(_INPUTS, graph, strict=False))))
        data |= {SPINS: graph.spins, ENERGY_WEIGHTS: weights}
        data |= self._run("geometry", data)
        of_spins = self._run("spins", data)
        for name in self.signatures["backward"].inputs:
            if name.startswith(GRADIENT):
                data[name] = torch.zeros_like(data[name.removeprefix(GRADIENT)])
        data |= of_spins
        edge_gradient = self._run("backward", data)[EDGE_GRADIENT]
        edge_gradient = edge_gradient + of_spins.get(EDGE_GRADIENT, 0.0)
        spin_gradient = of_spins.get(GRADIENT + SPINS, torch.zeros_like(graph.spins))
        keep = torch.arange(graph.types.size(0))
        keep = torch.cat([keep[:num_owned], keep[num_owned + FEW_ROWS :]])
        return (
            of_spins[_TERM_ENERGIES][keep],
            edge_gradient[: edge_vectors.size(0)],
            spin_gradient[keep],
            of_spins[_LENGTHS][keep],
        )


def _read_signatures(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        member = next(n for n in archive.namelist() if n.endswith(SIGNATURES_NAME))
        content: dict[str, Any] = json.loads(archive.read(member))
    return content
