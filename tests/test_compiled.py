"""Models compiled ahead of time: their graphs, files, LAMMPS on several ranks."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import test_magnet
from small_models import MODELS, small_checkpoint, structure
from spinff import export
from spinff.calculator import SpinCalculator
from spinff.cli.main import main
from spinff.compiled import CompiledModel, Signature, trace_model
from spinff.compiled.dense import dense_graph, flat
from spinff.compiled.examples import Graph, example_graph
from spinff.compiled.graphs import inputs, outputs, trace, with_constants
from spinff.compiled.layout import aten, components_first
from spinff.compiled.split import SAVED, Half, split
from spinff.errors import SpinffError
from spinff.export import load_model, make_header, random_inputs, scriptable
from spinff.header import ModelHeader, read_header
from spinff.models import Checkpoint
from test_lammps_pair import (
    CUTOFFS,
    MOMENT,
    R_MAX,
    STRUCTURES,
    TYPES,
    assert_agreement,
    evaluate,
    result_of,
    run_structure,
)

ONE_LAYER = {"num_layers": 1, "tenn_num_layers": 1}


def model_and_header(checkpoint: Checkpoint) -> tuple[Any, ModelHeader]:
    return scriptable(checkpoint), make_header(checkpoint)


def lone_atoms() -> Graph:
    """Two atoms that nobody is near."""
    nothing = torch.zeros(0, dtype=torch.long)
    spins = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    vectors = torch.zeros(0, 3, dtype=torch.float64)
    index = torch.zeros(2, 0, dtype=torch.long)
    return Graph(vectors, index, torch.tensor([0, 1]), nothing, spins, 2)


def assert_same(got: tuple[Any, ...], expected: tuple[Any, ...], owned: int) -> None:
    """Energies, gradients of edges and spins, lengths; rows of ghosts mean nothing."""
    for number, (one, two) in enumerate(zip(got, expected, strict=True)):
        rows = owned if number in (0, 3) else len(two)
        scale = two[:rows].abs().max() if rows else 1.0
        torch.testing.assert_close(one[:rows], two[:rows], rtol=0, atol=1e-12 * scale)


def assert_saved_as_stated(forward: Half, backward: Half) -> None:
    """A part of a tensor, which is a view, would come back as it lies in memory."""
    made = dict(zip(forward.outputs, outputs(forward.graph.graph), strict=True))
    read = dict(zip(backward.inputs, inputs(backward.graph.graph), strict=True))
    saved = [name for name in backward.inputs if name.startswith(SAVED)]
    assert saved
    for name in saved:
        assert made[name].target is aten.clone.default
        (turned,) = made[name].all_input_nodes
        assert turned.all_input_nodes[0].target not in {
            aten.select.int,
            aten.slice.Tensor,
        }
        assert made[name].meta["val"].stride() == read[name].meta["val"].stride()
        assert read[name].meta["val"].is_contiguous()


@pytest.mark.parametrize("kind", ["msenn", "ring-tenn", "input", "predicted", "none"])
def test_the_three_graphs_are_the_model(kind: str) -> None:
    """As traced, not compiled: that takes minutes for each of them."""
    changes = MODELS.get(kind, {"terms": [], "spin_orbit_coupling": False})
    module, header = model_and_header(small_checkpoint(**{**changes, **ONE_LAYER}))
    traced = trace_model(module, header)
    halves = traced.graphs
    compiled = CompiledModel(
        header,
        {name: half.graph for name, half in halves.items()},
        {name: Signature(half.inputs, half.outputs) for name, half in halves.items()},
        traced.bond_reach,
    )
    assert_saved_as_stated(halves["geometry"], halves["backward"])
    graphs = [random_inputs(header), example_graph(header, 3), lone_atoms()]
    for graph in graphs:
        assert_same(compiled(*graph), module(*graph), int(graph[-1]))


@pytest.mark.parametrize("bond_r_max", [None, 3.5])
def test_dense_graphs_keep_every_edge_and_triangle(bond_r_max: float | None) -> None:
    checkpoint = small_checkpoint(bond_r_max=bond_r_max, **ONE_LAYER)
    module, header = model_and_header(checkpoint)
    graph = example_graph(header, 2)
    topology = module.network.topology
    dense = dense_graph(graph, header, topology.bond_reach)
    data = flat(dense.tensors)
    kept = data["edge_vectors"][dense.edges]
    torch.testing.assert_close(kept, graph.edge_vectors, rtol=0, atol=0)
    assert torch.equal(
        data["edge_index"][:, dense.edges], dense.atoms[graph.edge_index]
    )
    far = data["edge_vectors"].norm(dim=1) > header.r_max
    num_added = 2 * 12  # edges of the tetrahedra
    assert int((~far).sum()) == len(graph.edge_vectors) + num_added
    tables = topology(
        {
            "edge_vectors": graph.edge_vectors,
            "edge_index": graph.edge_index,
            "atom_types": graph.types,
            "magnetic_edges": graph.magnetic_edges,
        }
    )
    legs = data["leg_edges"][data["triangle_leg"]]
    # of a tetrahedron: 12 magnetic edges with two common neighbours each
    assert int((~far[legs]).sum()) == len(tables["triangle_leg"]) + 2 * 24


def test_a_split_function_gives_the_function_and_its_derivative() -> None:
    """f(x, y) = sum_w sin(x y): of sizes other than those of the examples, too."""

    def joint(x: torch.Tensor, y: torch.Tensor, g: torch.Tensor) -> list[torch.Tensor]:
        x = x.detach().requires_grad_(True)
        value = torch.sin(x * y).sum(1)
        return [value.detach(), *torch.autograd.grad(value, x, g)]

    def numbers(rows: int, width: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(rows)
        x, y = torch.rand(2, rows, width, generator=generator, dtype=torch.float64)
        return {"x": x, "y": y, "gradient_f": torch.rand(rows, generator=generator)}

    examples = [numbers(5, 7), numbers(6, 9)]
    forward, backward = split(*trace(joint, *examples), 2, ["f"])
    assert forward.inputs == ["x", "y"]
    assert forward.outputs[0] == "f"
    given = numbers(11, 4)
    data = given | dict(
        zip(
            forward.outputs,
            forward.graph(*(given[k] for k in forward.inputs)),
            strict=True,
        )
    )
    (derivative,) = backward.graph(*(data[k] for k in backward.inputs))
    expected = joint(*given.values())
    torch.testing.assert_close(data["f"], expected[0])
    torch.testing.assert_close(derivative, expected[1])


def of_components(x: torch.Tensor, y: torch.Tensor, index: torch.Tensor) -> list[Any]:
    """Operators that are restated, of edges (E, 3) and (E, 4)."""
    weights = torch.linspace(-1, 1, 12, dtype=x.dtype).view(3, 4)
    z = torch.cat([x @ weights, y.sin()], dim=-1)
    rows = torch.index_select(z, 0, index) * y[index].sum(-1, keepdim=True)
    summed = torch.zeros_like(z).index_put((index,), rows, accumulate=True)
    table = torch.slice_scatter(summed, 2.0 * y.float().double(), 1, 2, 6)
    return [table, table.view(-1, 2, 4).sum(1), table.sum(0)]


def test_restated_graphs_are_the_function_with_edges_last() -> None:
    def numbers(edges: int) -> dict[str, torch.Tensor]:
        x, y = torch.rand(edges, 7, dtype=torch.float64).split([3, 4], dim=1)
        index = torch.randint(0, edges, (edges,))
        return {"x": x.contiguous(), "y": y.contiguous(), "index": index}

    graph, constants = trace(of_components, numbers(5), numbers(6))
    with_constants(graph, constants)
    given = numbers(9).values()
    for got, expected in zip(graph(*given), of_components(*given), strict=True):
        torch.testing.assert_close(got, expected)
        assert got.is_contiguous()
    computed = [node for node in graph.graph.nodes if "sum" in str(node.target)]
    computed += graph.graph.find_nodes(op="call_function", target=aten.mm.default)
    computed += graph.graph.find_nodes(op="call_function", target=aten.cat.default)
    assert len(computed) == 5
    for node in computed:  # as it lies in memory
        assert components_first(node) is None, node


def test_a_model_without_compiled_form_is_refused() -> None:
    module, header = model_and_header(test_magnet.checkpoint())
    with pytest.raises(SpinffError, match="no compiled form of this model, got MagNet"):
        trace_model(module, header)


# === the file ===


@pytest.fixture(scope="session")
def compiled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled MSENN, by the command; a minute."""
    folder = tmp_path_factory.mktemp("compiled")
    torch.save({"hyper_parameters": {"model": {}}}, folder / "model.pth")
    checkpoint = small_checkpoint(
        moments={"Ni": MOMENT},
        r_max=R_MAX,
        bond_r_max=4.1,
        per_edge_type_cutoff={
            name: dict(zip(TYPES, row, strict=True))
            for name, row in zip(TYPES, CUTOFFS, strict=True)
        },
        num_layers=1,
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(export, "load_checkpoint", lambda *_: checkpoint)
        for name in ("aoti", "torchscript"):
            assert main(["deploy", str(folder / "model.pth"), "--format", name]) == 0
    return folder / "model.deployed.pt2"


def with_member(
    path: Path, name: str, change: Callable[[dict[str, Any]], None]
) -> Path:
    """The same archive with another content of one of its JSON files."""
    target = path.with_name(f"{name}.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith(name):
                values = json.loads(content)
                change(values)
                content = json.dumps(values).encode()
            new.writestr(item, content)
    return target


def test_the_calculator_runs_it(compiled_file: Path) -> None:
    atoms = structure()
    found = []
    for path in (compiled_file, compiled_file.with_suffix(".pth")):
        calculator = SpinCalculator(path)
        atoms.calc = calculator
        atoms.get_potential_energy()
        found.append(calculator.results)
    for name in ("energy", "forces", "stress", "magnetic_forces"):
        scale = np.abs(found[1][name]).max()
        np.testing.assert_allclose(
            found[0][name], found[1][name], rtol=0, atol=1e-12 * scale, err_msg=name
        )


@pytest.mark.parametrize(
    ("name", "nranks"), [("nio", 1), ("nio", 2), ("nio", 4), ("slab", 4)]
)
def test_lammps_agrees_with_python(
    compiled_file: Path, tmp_path: Path, name: str, nranks: int
) -> None:
    path = shutil.copy(compiled_file, tmp_path / "model.pt2")
    assert_agreement(Path(path), STRUCTURES[name](), name, nranks, 1e-12)


def test_lammps_agrees_where_the_spins_have_a_graph_of_their_own(
    compiled_file: Path, tmp_path: Path
) -> None:
    """A model that is not strictly local has no couplings to keep."""

    def not_local(header: dict[str, Any]) -> None:
        header["strictly_local"] = False

    path = tmp_path / "model.pt2"
    shutil.copy(with_member(compiled_file, "spinff.json", not_local), path)
    atoms = STRUCTURES["nio"]()
    expected = evaluate(path, atoms)
    run = run_structure(atoms, tmp_path, 1, model="model.pt2")
    assert "a run of the spins' network for each field" in run.log
    for quantity, deviation in expected.deviation(result_of(run)).items():
        assert deviation < 1e-12, quantity


def other_torch(header: dict[str, Any]) -> None:
    header["torch_version"] = "2.0.0"


def other_tables(content: dict[str, Any]) -> None:
    del content["tables_version"]


def other_processor(content: dict[str, Any]) -> None:
    content["processor"].append("avx1024")


@pytest.mark.parametrize(
    ("member", "change", "sentence"),
    [
        ("spinff.json", other_torch, "compiled by another torch, got 2.0.0"),
        (
            "compiled.json",
            other_tables,
            "another spinff, got tables of version 1, expected 2",
        ),
        (
            "compiled.json",
            other_processor,
            "another processor, got one without avx1024",
        ),
    ],
)
def test_another_torch_spinff_or_processor_is_refused(
    compiled_file: Path,
    tmp_path: Path,
    member: str,
    change: Callable[[dict[str, Any]], None],
    sentence: str,
) -> None:
    path = with_member(compiled_file, member, change)
    with pytest.raises(SpinffError, match=sentence):
        load_model(path)
    shutil.copy(path, tmp_path / "model.pt2")
    atoms = STRUCTURES["nio"]()
    with pytest.raises(AssertionError, match=sentence):  # of run_lmp, with the log
        run_structure(atoms, tmp_path, 1, model="model.pt2")


def test_another_name_is_refused(tmp_path: Path) -> None:
    torch.save({"hyper_parameters": {"model": {}}}, tmp_path / "model.pth")
    with pytest.raises(SpinffError, match=r"expected one that ends in '.pt2'"):
        export.deploy(tmp_path / "model.pth", tmp_path / "out.pth", file_format="aoti")


def test_the_header_says_what_it_is(compiled_file: Path) -> None:
    assert read_header(compiled_file).backend == "aotinductor"
