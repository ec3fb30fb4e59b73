"""From functions of tensors to graphs with sizes that may change.

A graph here is a ``torch.fx.GraphModule`` whose placeholders have the names of what
goes in, those of its constants (weights, tables) among them until ``with_constants``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sympy
import torch
from nequip.utils.fx import fx_duck_shape, nequip_decomp_table
from torch.export import Dim
from torch.export.graph_signature import InputKind
from torch.fx import Graph, GraphModule, Node, Proxy
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.proxy import GraphAppendingTracer
from torch.utils._sympy.functions import Min
from torch.utils._sympy.interp import sympy_interp
from torch.utils._sympy.reference import PythonReferenceAnalysis

from spinff.compiled.layout import edges_last

Tensors = dict[str, torch.Tensor]
Function = Callable[..., Sequence[torch.Tensor]]

_CONSTANT = "constant_"
_LARGEST_FOLDED = 1_000_000
"""Numbers; more are computed at run time."""


def trace(
    function: Function, example: Tensors, other: Tensors
) -> tuple[GraphModule, Tensors]:
    """A function, which may differentiate inside, as one graph of plain operators.

    Args:
        function: of the tensors in the order of ``example``, to a list of tensors.
        example: name -> tensor.
        other: the same of another size: two dimensions that are equal in both are one.

    Returns:
        The graph, and the constants among its placeholders by name.
    """
    tensors = [tensor.clone() for tensor in example.values()]
    with fx_duck_shape(False):
        traced = make_fx(
            function,
            decomposition_table=nequip_decomp_table(),
            tracing_mode="symbolic",
            _allow_non_fake_inputs=True,
            _error_on_data_dependent_ops=True,
        )(*tensors)
    dims: dict[tuple[int, int], Dim] = {}
    shapes = [
        {
            axis: dims.setdefault((one, two), Dim(f"size{len(dims)}", min=2))
            for axis, (one, two) in enumerate(
                zip(tensor.shape, other[name].shape, strict=True)
            )
            if one != two
        }
        for name, tensor in example.items()
    ]
    exported = torch.export.export(traced, tuple(tensors), dynamic_shapes=shapes)
    graph = exported.graph_module
    values = {**exported.state_dict, **exported.constants}
    given = iter(example)
    constants: Tensors = {}
    for spec, node in zip(
        exported.graph_signature.input_specs, placeholders(graph.graph), strict=True
    ):
        if spec.kind == InputKind.USER_INPUT:
            name = next(given)
        else:
            name = f"{_CONSTANT}{len(constants)}"
            constants[name] = values[str(spec.target)]
        node.target = name
        node.name = name
    edges_last(graph.graph)
    _fold_constants(graph.graph, constants)
    restate_sizes(graph.graph, [n for n in inputs(graph.graph) if _is_tensor(n)])
    graph.recompile()
    return graph, constants


def placeholders(graph: Graph) -> list[Node]:
    """Inputs and constants, in order."""
    return [node for node in graph.nodes if node.op == "placeholder"]


def inputs(graph: Graph) -> list[Node]:
    """The placeholders that are no constants."""
    return [node for node in placeholders(graph) if not is_constant(node)]


def is_constant(node: Node) -> bool:
    """Whether a placeholder stands for a constant."""
    return str(node.target).startswith(_CONSTANT)


def outputs(graph: Graph) -> list[Node]:
    """What a graph returns."""
    return list(graph.output_node().args[0])  # type: ignore[arg-type]


def _is_tensor(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.Tensor)


def _is_size(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.SymInt)


def _fold_constants(graph: Graph, constants: Tensors) -> None:
    """Computes once what depends on constants alone."""
    known: dict[Node, torch.Tensor] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            if is_constant(node):
                known[node] = constants[node.name]
            continue
        if (
            node.op == "call_function"
            and _is_tensor(node)
            and all(isinstance(size, int) for size in node.meta["val"].shape)
            and all(argument in known for argument in node.all_input_nodes)
        ):
            args, kwargs = torch.fx.node.map_arg(
                (node.args, node.kwargs), lambda argument: known[argument]
            )
            value = node.target(*args, **kwargs)
            if value.numel() <= _LARGEST_FOLDED:
                known[node] = value
    first = next(iter(graph.nodes))
    for node, value in known.items():
        # a node without arguments is a number, which a kernel has better in itself
        if not node.all_input_nodes or all(user in known for user in node.users):
            continue
        name = f"{_CONSTANT}{len(constants)}"
        constants[name] = value
        with graph.inserting_before(first):
            folded = graph.placeholder(name)
        folded.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(folded)
    graph.eliminate_dead_code()
    for node in placeholders(graph):
        if is_constant(node) and not node.users:
            graph.erase_node(node)


def restate_sizes(graph: Graph, sources: Iterable[Node]) -> None:
    """Computes every size from the sizes of given inputs.

    Tracing writes a size as that of any tensor that has it, a gradient for instance.
    """
    first = next(
        node for node in graph.nodes if node.op != "placeholder" and not _is_size(node)
    )
    tracer = GraphAppendingTracer(graph)
    symbols: dict[sympy.Symbol, Proxy] = {}
    for source in sources:
        for axis, size in enumerate(source.meta["val"].shape):
            symbol = size.node.expr if isinstance(size, torch.SymInt) else None
            if isinstance(symbol, sympy.Symbol) and symbol not in symbols:
                with graph.inserting_before(first):
                    node = graph.call_function(
                        torch.ops.aten.sym_size.int, (source, axis)
                    )
                node.meta["val"] = size
                symbols[symbol] = Proxy(node, tracer)
    ours = {proxy.node for proxy in symbols.values()}
    restated: dict[sympy.Expr, Any] = {}
    for node in list(graph.nodes):
        if not _is_size(node) or node in ours:
            continue
        expression = node.meta["val"].node.expr
        if expression not in restated:
            before = set(graph.nodes)
            with graph.inserting_before(first):
                restated[expression] = sympy_interp(
                    PythonReferenceAnalysis, symbols, expression
                )
            for new in set(graph.nodes) - before:
                ours.add(new)
            _add_values(graph, before)
        _replace(node, restated[expression])
    graph.eliminate_dead_code()


def state_layout(source: Node) -> None:
    """Says plainly that a tensor lies in memory row by row.

    Of the view (rows · width, …) of a table (rows, width, …) torch says so only for
    widths above 0, in words that its compiler does not take for an input.
    """
    value = source.meta["val"]
    strides = [s.node.expr for s in value.stride() if isinstance(s, torch.SymInt)]
    if any(stride.has(Min) for stride in strides):
        source.meta["val"] = value.new_empty(value.shape)


def _add_values(graph: Graph, before: set[Node]) -> None:
    """What new nodes of size arithmetic are worth, for the compiler."""
    for node in graph.nodes:
        if node not in before:
            args = torch.fx.node.map_arg(node.args, lambda other: other.meta["val"])
            node.meta["val"] = node.target(*args)


def _replace(node: Node, by: Any) -> None:  # noqa: ANN401 - a Proxy or a number
    if isinstance(by, Proxy):
        node.replace_all_uses_with(by.node)
    else:
        for user in list(node.users):
            user.args, user.kwargs = torch.fx.node.map_arg(
                (user.args, user.kwargs),
                lambda argument: int(by) if argument is node else argument,
            )
    node.graph.erase_node(node)


def with_constants(graph: GraphModule, constants: Tensors) -> GraphModule:
    """Constants as buffers instead of placeholders."""
    first = next(node for node in graph.graph.nodes if node.op != "placeholder")
    for node in placeholders(graph.graph):
        if not is_constant(node):
            continue
        graph.register_buffer(node.name, constants[node.name].detach().clone())
        with graph.graph.inserting_before(first):
            buffer = graph.graph.get_attr(str(node.name))
        buffer.meta = dict(node.meta)
        node.replace_all_uses_with(buffer)
        graph.graph.erase_node(node)
    graph.recompile()
    return graph
