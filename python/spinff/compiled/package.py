"""The file of a compiled model, from a model and to one that runs."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from nequip.data import AtomicDataDict

from spinff import fields
from spinff.compiled.dense import (
    NARROW_VECTORS,
    SIZES,
    TABLES,
    WIDE_VECTORS,
    DenseGraph,
    dense_graph,
    flat,
    of_table,
)
from spinff.compiled.examples import Graph, example_graph
from spinff.compiled.graphs import (
    Tensors,
    inputs,
    state_layout,
    trace,
    with_constants,
)
from spinff.compiled.split import GRADIENT, Half, split
from spinff.errors import SpinffError
from spinff.header import HEADER_NAME, ModelHeader
from spinff.nn import AllegroLayers, Topology, _keys

SIGNATURES_NAME = "compiled.json"
TABLES_VERSION = 2
"""Of what goes into the graphs, ``spinff.compiled.dense``; 1 had centres first."""
SPINS = "spins"
ENERGY_WEIGHTS = "energy_weights"
"""(N,) 1 for atoms whose energy counts, 0 for others."""
VECTORS = (WIDE_VECTORS, NARROW_VECTORS)
OF_EDGES = (
    AtomicDataDict.EDGE_LENGTH_KEY,
    AtomicDataDict.NORM_LENGTH_KEY,
    AtomicDataDict.EDGE_ENERGY_KEY,
    _keys.EDGE_BASIS_KEY,
    _keys.EDGE_LATENT_KEY,
)
"""Fields of edges that are read after Allegro's layers."""
_MOST_EXAMPLES = 50
EDGE_GRADIENTS = [GRADIENT + name for name in VECTORS]
_TERM_ENERGIES, _LENGTHS = "term_energies", "moment_lengths"


@dataclass(frozen=True)
class Signature:
    """Names of what goes into a graph and comes out of it, in order."""

    inputs: list[str]
    outputs: list[str]


Energies = tuple[torch.Tensor, torch.Tensor]


class _Parts:
    """A model as functions of named tensors."""

    def __init__(self, module: Any, header: ModelHeader) -> None:  # noqa: ANN401
        self.module = module
        self.header = header
        if not isinstance(getattr(module.network, "topology", None), Topology):
            raise SpinffError(
                f"spinff deploy: no compiled form of this model, got "
                f"{header.model_class}, expected SpinAllegro or SpinNequIP; deploy it "
                "with --format torchscript"
            )

    @property
    def bond_reach(self) -> torch.Tensor:
        """(types, types) Å."""
        reach: torch.Tensor = self.module.network.topology.bond_reach
        return reach

    def geometry(self, tables: Tensors) -> Tensors:
        """What the network over geometry adds, edges in tables."""
        given = flat(tables)
        data = dict(given)
        modules = dict(self.module.network.named_children())
        if isinstance(modules.get("layers"), AllegroLayers):
            data |= self._of_edges(given, tables, modules)
        for module in modules.values():
            data = module(data)
        return {key: data[key] for key in data if key not in given}

    def _of_edges(
        self, given: Tensors, tables: Tensors, modules: dict[str, torch.nn.Module]
    ) -> Tensors:
        """What Allegro says of edges, table by table; takes its modules away.

        Neither table has then anything to do with the sizes of the other.
        """
        last = [*modules].index("layers")
        names = [*[*modules][: last + 1], "energy_readout"]
        chain = [modules.pop(name) for name in names]
        found = []
        for number in range(len(VECTORS)):
            data = given | of_table(number, tables)
            for module in chain:
                data = module(data)
            found.append(data)
        return {key: torch.cat([data[key] for data in found]) for key in OF_EDGES}

    def spins(self, tables: Tensors, made: Tensors, spins: torch.Tensor) -> Energies:
        """Energies by term, and lengths."""
        data = {**flat(tables), **made}
        found: Energies = self.module.spin_energies(data, spins)
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


@dataclass(frozen=True)
class TracedModel:
    """A model as graphs, not yet compiled."""

    graphs: dict[str, Half]
    """``geometry``, ``spins`` and ``backward``."""
    bond_reach: torch.Tensor
    """(types, types) Å: how far the triangles among their inputs reach."""


def trace_model(module: Any, header: ModelHeader) -> TracedModel:  # noqa: ANN401
    """The graphs of a model.

    Args:
        module: the deployable part of a model, ``spinff.export.ScriptableModel``.
        header: what it is.

    Raises:
        SpinffError: for a model without a compiled form.
    """
    parts = _Parts(module, header)
    examples = _examples(header, parts.bond_reach)
    interface = _interface(parts, examples[0])
    forward, backward = _geometry(parts, examples, interface)
    spins = _spins(parts, examples, interface, forward)
    graphs = {"geometry": forward, "spins": spins, "backward": backward}
    return TracedModel(graphs, parts.bond_reach)


def _examples(header: ModelHeader, bond_reach: torch.Tensor) -> list[DenseGraph]:
    """Two graphs to trace with: no size is the same in both, nor two sizes in both.

    None is 1, which a compiled network takes for a constant.
    """
    seen: list[DenseGraph] = []
    for seed in range(_MOST_EXAMPLES):
        graph = dense_graph(example_graph(header, seed), header, bond_reach)
        for other in seen:
            if _differ(other, graph):
                return [other, graph]
        seen.append(graph)
    raise SpinffError(
        f"spinff deploy: no graphs to compile with, got {_MOST_EXAMPLES} random ones "
        "in which some sizes are always the same, expected two that differ in all; "
        "deploy with --format torchscript, and report this"
    )


def _differ(one: DenseGraph, other: DenseGraph) -> bool:
    """Whether two graphs are examples of each other's sizes."""
    sizes = {
        name: (a, b)
        for key, names in SIZES.items()
        for name, a, b in zip(
            names, one.tensors[key].shape, other.tensors[key].shape, strict=True
        )
        if name is not None
    }
    pairs = sizes.values()
    return len({*pairs}) == len(sizes) and all(
        a != b and min(a, b) > 1 for a, b in pairs
    )


def write_package(file: BinaryIO, header: ModelHeader, model: TracedModel) -> None:
    """Compile graphs for the processor of this machine and write them; minutes.

    Args:
        file: to write to.
        header: of every deployed model.
        model: of :func:`trace_model`.
    """
    from torch.export.pt2_archive._package import package_pt2

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the graphs are for one thread: ranks use the cores
    try:
        files = {name: _compiled(half) for name, half in model.graphs.items()}
    finally:
        torch.set_num_threads(threads)
    content: dict[str, object] = {
        "tables_version": TABLES_VERSION,
        "processor": processor_features(),
        "bond_reach": model.bond_reach.tolist(),
    }
    for name, half in model.graphs.items():
        content[name] = {"inputs": half.inputs, "outputs": half.outputs}
    text = json.dumps(content, indent=1)
    extra = {HEADER_NAME: header.to_json(), SIGNATURES_NAME: text}
    package_pt2(file, aoti_files=files, extra_files=extra)


@dataclass(frozen=True)
class _Interface:
    """What goes from one graph to another."""

    geometry: list[str]
    """Tables that the network over geometry reads."""
    spins: list[str]
    """Those that the terms of the spins read."""
    made: list[str]
    """What geometry makes and they read."""
    of_pairs: set[str]
    """Those of the latter that belong to the table of magnetic edges, row by row."""


def _interface(parts: _Parts, example: DenseGraph) -> _Interface:
    read: set[str] = set()
    tables = example.tensors
    made = parts.geometry(tables)
    parts.module.spin_energies(_ReadKeys({**flat(tables), **made}, read), example.spins)
    needed = parts.module.network.topology.tables
    table_of = {
        _keys.LEG_EDGES_KEY: "triangles",
        _keys.TRIANGLE_LEG_KEY: "triangles",
        _keys.SITE_EDGES_KEY: "sites",
        _keys.MAGNETIC_ATOMS_KEY: "pairs",
    }
    geometry = [key for key in tables if key not in table_of or table_of[key] in needed]
    for field, two in TABLES.items():
        if field in read:
            read |= {*two}
    names = [key for key in made if key in read]
    pairs = tables[fields.MAGNETIC_EDGES_KEY]
    of_pairs = {name for name in names if made[name].size(0) == pairs.numel()}
    return _Interface(geometry, [k for k in geometry if k in read], names, of_pairs)


def _geometry(
    parts: _Parts, examples: list[DenseGraph], interface: _Interface
) -> tuple[Half, Half]:
    keys = interface.geometry
    vectors = [keys.index(name) for name in VECTORS]

    def forward(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        tables = dict(zip(keys, values, strict=True))
        made = parts.geometry(tables)
        width, rows = tables[fields.MAGNETIC_EDGES_KEY].shape
        for name in interface.of_pairs:  # sizes are then independent
            made[name] = made[name].view(width, rows, *made[name].shape[1:])
        return [made[name] for name in interface.made]

    def joint(*values: torch.Tensor) -> list[torch.Tensor]:
        given = list(values[: len(keys)])
        for number in vectors:
            given[number] = given[number].detach().requires_grad_(True)
        made = forward(given)
        gradients = torch.autograd.grad(
            made, [given[number] for number in vectors], values[len(keys) :]
        )
        return [tensor.detach() for tensor in made] + [*gradients]

    inputs_of = []
    for example in examples:
        given = {key: example.tensors[key] for key in keys}
        made = forward(list(given.values()))
        gradients = {
            GRADIENT + name: torch.ones(tensor.shape, dtype=tensor.dtype)
            for name, tensor in zip(interface.made, made, strict=True)
        }
        inputs_of.append(given | gradients)
    halves = split(*trace(joint, *inputs_of), len(keys), interface.made)
    return halves[0], Half(halves[1].graph, halves[1].inputs, EDGE_GRADIENTS)


def _spins(
    parts: _Parts, examples: list[DenseGraph], interface: _Interface, forward: Half
) -> Half:
    keys = [*interface.spins, *interface.made, SPINS, ENERGY_WEIGHTS]
    wanted = [key for key in (*VECTORS, *interface.made, SPINS) if key in keys]

    def energies(*values: torch.Tensor) -> list[torch.Tensor | None]:
        data = dict(zip(keys, values, strict=True))
        for key in wanted:
            data[key] = data[key].detach().requires_grad_(True)
        made = {
            name: data[name].flatten(0, 1) if name in interface.of_pairs else data[name]
            for name in interface.made
        }
        tables = {key: data[key] for key in interface.spins}
        energy, lengths = parts.spins(tables, made, data[SPINS])
        total = (energy * data[ENERGY_WEIGHTS].unsqueeze(1)).sum()
        gradients = torch.autograd.grad(
            [total], [data[key] for key in wanted], allow_unused=True
        )
        return [energy.detach(), lengths, *gradients]

    inputs_of = []
    for example in examples:
        tensors = example.tensors | _run(forward.graph, forward, example.tensors)
        tensors |= {SPINS: example.spins, ENERGY_WEIGHTS: _energy_weights(example)}
        inputs_of.append({key: tensors[key] for key in keys})
    there = [g is not None for g in energies(*inputs_of[0].values())[2:]]
    gradients = [GRADIENT + key for key, yes in zip(wanted, there, strict=True) if yes]

    def function(*values: torch.Tensor) -> list[torch.Tensor]:
        return [tensor for tensor in energies(*values) if tensor is not None]

    graph, constants = trace(function, *inputs_of)
    given = [str(node.target) for node in inputs(graph.graph)]
    with_constants(graph, constants)
    return Half(graph, given, [_TERM_ENERGIES, _LENGTHS, *gradients])


def _run(
    graph: Callable[..., Sequence[torch.Tensor]],
    signature: Half | Signature,
    tensors: Tensors,
) -> Tensors:
    found = graph(*(tensors[name] for name in signature.inputs))
    return dict(zip(signature.outputs, found, strict=True))


def _energy_weights(graph: DenseGraph) -> torch.Tensor:
    weights = torch.zeros(graph.spins.size(0), dtype=torch.float64)
    weights[graph.atoms[: graph.num_owned]] = 1.0
    return weights


def _compiled(half: Half) -> Any:  # noqa: ANN401 - paths, for torch's packager
    from torch._inductor import aot_compile

    for node in inputs(half.graph.graph):
        state_layout(node)
    examples = tuple(node.meta["val"] for node in inputs(half.graph.graph))
    options = {"aot_inductor.package": True, "cpp.threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about itself
        return aot_compile(half.graph, examples, options=options)


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
    """Three graphs with the ``forward`` of ``spinff.export.ScriptableModel``."""

    def __init__(
        self,
        header: ModelHeader,
        graphs: Mapping[str, Callable[..., Sequence[torch.Tensor]]],
        signatures: Mapping[str, Signature],
        bond_reach: torch.Tensor,
    ) -> None:
        """Put together graphs and what they read and return."""
        self.header = header
        self.signatures = signatures
        self.bond_reach = bond_reach
        self._graphs = graphs

    @classmethod
    def load(cls, path: Path, header: ModelHeader) -> CompiledModel:
        """Load a file whose header has been read.

        Raises:
            SpinffError: if it was compiled by another torch or for another processor.
        """
        who = f"model '{path}'"
        here = torch.__version__.split("+")[0]
        if header.torch_version != here:
            raise SpinffError(
                f"{who}: compiled by another torch, got {header.torch_version}, "
                f"expected {here}, which is here; deploy the model again, or with "
                "--format torchscript"
            )
        content = _read_signatures(path)
        version = content.pop("tables_version", 1)
        if version != TABLES_VERSION:
            raise SpinffError(
                f"{who}: compiled by another spinff, got tables of version {version}, "
                f"expected {TABLES_VERSION}; deploy the model again"
            )
        missing = sorted(set(content.pop("processor")) - {*processor_features()})
        if missing:
            raise SpinffError(
                f"{who}: compiled for another processor, got one without "
                f"{', '.join(missing)}, expected what it was compiled for; deploy the "
                "model on this machine, or with --format torchscript"
            )
        reach = torch.tensor(content.pop("bond_reach"), dtype=torch.float64)
        signatures = {name: Signature(**value) for name, value in content.items()}
        graphs = {name: _loaded(path, name) for name in signatures}
        return cls(header, graphs, signatures, reach)

    def run(self, name: str, tensors: Tensors) -> Tensors:
        """Outputs of one graph by name."""
        return _run(self._graphs[name], self.signatures[name], tensors)

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
        graph = dense_graph(given, self.header, self.bond_reach)
        data = graph.tensors | {
            SPINS: graph.spins,
            ENERGY_WEIGHTS: _energy_weights(graph),
        }
        data |= self.run("geometry", data)
        of_spins = self.run("spins", data)
        for name in self.signatures["backward"].inputs:
            if name.startswith(GRADIENT):  # what the spins do not matter to
                data[name] = torch.zeros_like(data[name.removeprefix(GRADIENT)])
        data |= of_spins
        backward = self.run("backward", data)
        edge_gradient = torch.cat(
            [
                (backward[name] + of_spins.get(name, 0.0)).flatten(1).T
                for name in EDGE_GRADIENTS
            ]
        )
        spin_gradient = of_spins.get(GRADIENT + SPINS, torch.zeros_like(graph.spins))
        return (
            of_spins[_TERM_ENERGIES][graph.atoms],
            edge_gradient[graph.edges],
            spin_gradient[graph.atoms],
            of_spins[_LENGTHS][graph.atoms],
        )


def _loaded(path: Path, name: str) -> Callable[..., list[torch.Tensor]]:
    from torch._inductor.package.package import load_package

    loader = load_package(str(path), name, run_single_threaded=True).loader
    return lambda *inputs: loader.run([*inputs])


def _read_signatures(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        member = next(n for n in archive.namelist() if n.endswith(SIGNATURES_NAME))
        content: dict[str, Any] = json.loads(archive.read(member))
    return content
