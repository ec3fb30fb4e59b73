"""Where numbers lie in memory: those of different edges side by side.

A vector of a processor holds 16 numbers. The components of a tensor, 1, 3 or 5, fill it
badly; edges are many. In a graph here the sizes that may change are those of edges and
atoms, and all others count components. Operators are restated such that the former come
last: x -> f(x) as x -> f(xᵀ)ᵀ, of which the transpositions are views, and those between
two operators annihilate each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, Node

aten = torch.ops.aten


def edges_last(graph: Graph) -> None:
    """Restates a graph; what it returns lies in memory in the order of its axes."""
    for node in list(graph.nodes):
        if node.target is aten.view.default:  # of what lies elsewhere now
            node.target = aten.reshape.default
        restate = _restatement(node)
        if restate is None or components_first(node) is None:
            continue
        with graph.inserting_before(node):
            result = restate(graph, node, node.args)
        if result is not None:
            node.replace_all_uses_with(result)
            graph.erase_node(node)
    output: Any = graph.output_node()
    with graph.inserting_before(output):
        output.args = ([in_order(graph, node) for node in output.args[0]],)


def components_first(node: Node) -> list[int] | None:
    """The order of axes with components first, unless that is the order there is."""
    shape = node.meta["val"].shape
    order = sorted(range(len(shape)), key=lambda axis: _may_change(shape[axis]))
    return None if order == [*range(len(shape))] else order


def call(graph: Graph, operator: Any, *args: Any, **kwargs: Any) -> Node:  # noqa: ANN401
    """A new node, and what it is worth for the compiler."""
    node = graph.call_function(operator, args, kwargs)
    values: Any = torch.fx.node.map_arg(args, lambda argument: argument.meta["val"])
    node.meta["val"] = operator(*values, **kwargs)
    return node


def permuted(graph: Graph, node: Node, order: list[int]) -> Node:
    """A view with the axes in another order."""
    return call(graph, aten.permute.default, node, order)


def back(order: list[int]) -> list[int]:
    """The permutation that undoes another."""
    return [order.index(axis) for axis in range(len(order))]


def in_order(graph: Graph, node: Node) -> Node:
    """A tensor that lies in memory in the order of its axes."""
    return call(graph, aten.clone.default, node, memory_format=torch.contiguous_format)


def _may_change(size: int | torch.SymInt) -> bool:
    return isinstance(size, torch.SymInt)


def _order(node: Node) -> list[int]:
    return components_first(node) or [*range(node.meta["val"].ndim)]


Restatement = Callable[[Graph, Node, Any], Node | None]
"""Of a graph, a node in it and its arguments: the node instead of it, if any."""


def _restatement(node: Node) -> Restatement | None:
    if not isinstance(node.meta.get("val"), torch.Tensor):
        return None
    if torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return _number_by_number
    return _RESTATEMENTS.get(node.target)


def _number_by_number(graph: Graph, node: Node, args: Any) -> Node:  # noqa: ANN401
    order = _order(node)

    def turned(argument: Node) -> Node:
        if not isinstance(argument.meta["val"], torch.Tensor):
            return argument
        for _ in range(len(order) - argument.meta["val"].ndim):
            argument = call(graph, aten.unsqueeze.default, argument, 0)
        return permuted(graph, argument, order)

    args = torch.fx.node.map_arg(args, turned)
    result = call(graph, node.target, *args, **node.kwargs)
    return permuted(graph, result, back(order))


def _slice_scatter(graph: Graph, node: Node, args: Any) -> Node:  # noqa: ANN401
    order = _order(node)
    into, part = (permuted(graph, tensor, order) for tensor in args[:2])
    axis = order.index(args[2] % len(order))
    result = call(graph, aten.slice_scatter.default, into, part, axis, *args[3:])
    return permuted(graph, result, back(order))


def _product(graph: Graph, node: Node, args: Any) -> Node:  # noqa: ANN401
    """X W as (Wᵀ Xᵀ)ᵀ."""
    x, w = (permuted(graph, factor, [1, 0]) for factor in args)
    return permuted(graph, call(graph, aten.mm.default, w, x), [1, 0])


def _concatenation(graph: Graph, node: Node, args: Any) -> Node | None:  # noqa: ANN401
    """Of components, which then come first of all."""
    order = _order(node)
    axis = (args[1] if len(args) > 1 else 0) % len(order)
    if _may_change(node.meta["val"].shape[axis]):
        return None
    order.remove(axis)
    order = [axis, *order]
    parts = [permuted(graph, part, order) for part in args[0]]
    return permuted(graph, call(graph, aten.cat.default, parts, 0), back(order))


def _sum(graph: Graph, node: Node, args: Any) -> Node:  # noqa: ANN401
    order = _order(args[0])
    axes = [axis % len(order) for axis in args[1]]
    turned = [order.index(axis) for axis in axes]
    x = permuted(graph, args[0], order)
    total = call(graph, aten.sum.dim_IntList, x, turned, True)
    total = permuted(graph, total, back(order))
    keep = len(args) > 2 and args[2]
    return total if keep else call(graph, aten.squeeze.dims, total, axes)


def _rows(graph: Graph, x: Node, index: Node) -> Node | None:
    """Rows of a list (R, components …) at an index (…)."""
    rest, taken = x.meta["val"].ndim - 1, index.meta["val"].ndim
    if rest == 0:
        return None
    x = permuted(graph, x, [*range(1, rest + 1), 0])
    result = call(graph, aten.index.Tensor, x, [*[None] * rest, index])
    return permuted(graph, result, [*range(rest, rest + taken), *range(rest)])


def _index_select(graph: Graph, node: Node, args: Any) -> Node | None:  # noqa: ANN401
    x, axis, index = args
    return _rows(graph, x, index) if axis == 0 else None


def _index(graph: Graph, node: Node, args: Any) -> Node | None:  # noqa: ANN401
    x, indices = args
    return _rows(graph, x, indices[0]) if len(indices) == 1 else None


def _embedding(graph: Graph, node: Node, args: Any) -> Node | None:  # noqa: ANN401
    return _rows(graph, args[0], args[1])


def _index_put(graph: Graph, node: Node, args: Any) -> Node | None:  # noqa: ANN401
    x, indices, values, accumulate = args
    if len(indices) != 1:
        return None
    rest = x.meta["val"].ndim - 1
    taken = values.meta["val"].ndim - rest
    x = permuted(graph, x, [*range(1, rest + 1), 0])
    values = permuted(graph, values, [*range(taken, taken + rest), *range(taken)])
    indices = [*[None] * rest, indices[0]]
    result = call(graph, aten.index_put.default, x, indices, values, accumulate)
    return permuted(graph, result, [rest, *range(rest)])


_RESTATEMENTS: dict[Any, Restatement] = {
    aten._to_copy.default: _number_by_number,
    aten.slice_scatter.default: _slice_scatter,
    aten.mm.default: _product,
    aten.cat.default: _concatenation,
    aten.sum.dim_IntList: _sum,
    aten.index_select.default: _index_select,
    aten.index.Tensor: _index,
    aten.embedding.default: _embedding,
    aten.index_put.default: _index_put,
}
