"""A function and its derivative, traced as one graph, as two that run in turn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.fx import Graph, GraphModule, Node

from spinff.compiled.graphs import (
    Tensors,
    inputs,
    is_constant,
    outputs,
    placeholders,
    restate_sizes,
    with_constants,
)
from spinff.compiled.layout import back, components_first, in_order, permuted

# names that torch's partitioner knows inputs and gradients by
_PRIMAL = "primals_"
_TANGENT = "tangents_"
GRADIENT = "gradient_"
"""Before the name of an output: the gradient of the energy with respect to it."""
SAVED = "saved_"
"""Before the name of what the forward half keeps for the backward half."""


_VIEWS = {
    torch.ops.aten.permute.default,
    torch.ops.aten.select.int,
    torch.ops.aten.slice.Tensor,
    torch.ops.aten.squeeze.dim,
    torch.ops.aten.squeeze.dims,
    torch.ops.aten.unsqueeze.default,
}


@dataclass(frozen=True)
class Half:
    """A graph and the names of what goes in and comes out."""

    graph: GraphModule
    inputs: list[str]
    outputs: list[str]


def split(
    joint: GraphModule, constants: Tensors, num_primals: int, names: list[str]
) -> tuple[Half, Half]:
    """Split a traced function (inputs, gradients) ─► (outputs, derivatives).

    What is saved between the halves is chosen by torch's partitioner, which would
    rather compute a cheap thing again than read it from memory.

    Args:
        joint: of ``trace``: the inputs come first, then a gradient for each output.
        constants: of ``trace``.
        num_primals: number of inputs.
        names: of the outputs, without the derivatives.

    Returns:
        The forward half, inputs to outputs and saved tensors, and the backward half,
        some of the inputs, saved tensors and gradients to derivatives.
    """
    given = [str(node.target) for node in inputs(joint.graph)]
    for node in placeholders(joint.graph):
        gradient = (
            not is_constant(node) and given.index(str(node.target)) >= num_primals
        )
        node.target = node.name = (_TANGENT if gradient else _PRIMAL) + node.name
    joint.recompile()
    forward, backward = min_cut_rematerialization_partition(
        joint, None, num_fwd_outputs=len(names)
    )
    _drop_nothing(backward)
    _save_no_views(forward, backward, len(names))
    _save_edges_last(forward, backward, len(names))
    _add_inputs_for_sizes(backward.graph, joint.graph)
    tensors = [n for n in placeholders(backward.graph) if _is_tensor(n)]
    restate_sizes(backward.graph, [n for n in tensors if not _is_constant(n)])
    wanted = [node.name for node in placeholders(backward.graph)]
    kept = _keep_outputs(forward, len(names), wanted)
    for half in (forward, backward):
        for node in placeholders(half.graph):
            if _is_constant(node):
                node.target = node.name = node.name.removeprefix(_PRIMAL)
        with_constants(half, constants)
    known = {_PRIMAL + name: name for name in given[:num_primals]}
    known |= {
        _TANGENT + name: GRADIENT + output
        for name, output in zip(given[num_primals:], names, strict=True)
    }
    into, back = (
        [known.get(node.name, SAVED + node.name) for node in placeholders(half.graph)]
        for half in (forward, backward)
    )
    out = [*names, *(known.get(name, SAVED + name) for name in kept)]
    return Half(forward, into, out), Half(backward, back, [])


def _is_tensor(node: Node) -> bool:
    return isinstance(node.meta["val"], torch.Tensor)


def _is_constant(node: Node) -> bool:
    return node.name.startswith(_PRIMAL + "constant_")


def _symbols(node: Node) -> set[object]:
    value = node.meta["val"]
    sizes = value.shape if isinstance(value, torch.Tensor) else [value]
    return {
        symbol
        for size in sizes
        if isinstance(size, torch.SymInt)
        for symbol in size.node.expr.free_symbols
    }


def _plain_symbols(node: Node) -> set[object]:
    """Sizes that a tensor has as they are, not in a product."""
    return {
        size.node.expr
        for size in node.meta["val"].shape
        if isinstance(size, torch.SymInt)
    }


def _add_inputs_for_sizes(backward: Graph, joint: Graph) -> None:
    """Inputs of the whole that have sizes which nothing saved has."""
    there = [node for node in placeholders(backward) if not _is_constant(node)]
    missing = set().union(*map(_symbols, there)) - set().union(
        *(_plain_symbols(node) for node in there if _is_tensor(node))
    )
    for node in placeholders(joint):
        if not node.name.startswith(_PRIMAL) or _is_constant(node):
            continue
        if _plain_symbols(node) & missing:
            with backward.inserting_before(next(iter(backward.nodes))):
                added = backward.placeholder(node.name)
            added.meta = dict(node.meta)
            missing -= _plain_symbols(node)


def _save_no_views(forward: GraphModule, backward: GraphModule, count: int) -> None:
    """Saves what views are of, and makes the views again in the backward half.

    The compiler returns a view as it lies in memory, whatever it was told of it.
    """
    nodes = outputs(forward.graph)
    kept = {node.name: node for node in nodes[count:]}
    into = {node.name: node for node in placeholders(backward.graph)}
    first = next(n for n in backward.graph.nodes if n.op != "placeholder")
    for name, node in [*kept.items()]:
        views: list[Node] = []
        while node.target in _VIEWS and not _has_sizes(node):
            views.insert(0, node)
            node = node.all_input_nodes[0]
        if name not in into or not views or node.op == "placeholder":
            continue
        if node.name not in into:
            with backward.graph.inserting_before(into[name]):
                into[node.name] = backward.graph.placeholder(node.name)
            into[node.name].meta["val"] = node.meta["val"]
            kept[node.name] = node
        copied = {node: into[node.name]}
        with backward.graph.inserting_before(first):
            for view in views:
                copied[view] = backward.graph.node_copy(view, copied.__getitem__)
        into[name].replace_all_uses_with(copied[views[-1]])
        backward.graph.erase_node(into.pop(name))
        del kept[name]
    forward.graph.output_node().args = ((*nodes[:count], *kept.values()),)
    for half in (forward, backward):
        half.recompile()


def _has_sizes(node: Node) -> bool:
    return any(not _is_tensor(argument) for argument in node.all_input_nodes)


def _save_edges_last(forward: GraphModule, backward: GraphModule, count: int) -> None:
    """Between the halves lie tensors as within them, and as both say they lie.

    The compiler may return a view, and believes what it is told of an input.
    """
    nodes = outputs(forward.graph)
    into = {node.name: node for node in placeholders(backward.graph)}
    first = next(n for n in backward.graph.nodes if n.op != "placeholder")
    output = forward.graph.output_node()
    for number, node in enumerate(nodes[count:], count):
        if node.op == "placeholder" or not _is_tensor(node) or node.name not in into:
            continue
        order = components_first(node) or [*range(node.meta["val"].ndim)]
        with forward.graph.inserting_before(output):
            nodes[number] = in_order(
                forward.graph, permuted(forward.graph, node, order)
            )
        given = into[node.name]
        with backward.graph.inserting_before(first):
            whole = permuted(backward.graph, given, back(order))
        for user in [user for user in given.users if user is not whole]:
            user.replace_input_with(given, whole)
        nodes[number].name = given.name = given.target = f"{node.name}_edges_last"
        given.meta["val"] = nodes[number].meta["val"]
    output.args = (tuple(nodes),)
    for half in (forward, backward):
        half.recompile()


def _drop_nothing(backward: GraphModule) -> None:
    """Leaves out derivatives that nobody asked for."""
    output = backward.graph.output_node()
    output.args = (tuple(node for node in output.args[0] if node is not None),)  # type: ignore[union-attr]
    backward.recompile()


def _keep_outputs(forward: GraphModule, count: int, wanted: list[str]) -> list[str]:
    """Returns of saved values those that the backward half takes, and their names."""
    nodes = outputs(forward.graph)
    saved = [
        node
        for node in nodes[count:]
        if node.name in wanted and not node.name.startswith(_PRIMAL)
    ]
    forward.graph.output_node().args = ((*nodes[:count], *saved),)
    forward.graph.eliminate_dead_code()
    forward.recompile()
    return [node.name for node in saved]
