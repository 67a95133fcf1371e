"""The operators of one layer's MLP, and how many experts the token-streams of a pass use.

The router sends each token-stream to k different experts of E, each equally likely, and
independently of other token-streams. Routers are trained towards that balance; text on one subject
uses fewer experts, and so may the streams of one token, which are similar.
"""

from __future__ import annotations

from cost_analysis.common.arrays import (
    Number,
    as_float,
    holds,
    maximum,
    minimum,
    where,
    whole_power,
)
from cost_analysis.cost.communication import all_reduce, combine, dispatch
from cost_analysis.cost.kernels import Kernels, kernel_format
from cost_analysis.cost.operator import Operator
from cost_analysis.inputs.layers import Experts, Mlp
from cost_analysis.inputs.layout import is_one
from cost_analysis.inputs.weights import expert_width
from cost_analysis.kernels import shapes


def expected_experts(number: Number, per_token: Number, token_streams: Number) -> Number:
    """Expected number of distinct experts that token-streams use: E·(1 − (1 − k/E)^M).

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        token_streams: Token-streams of the pass, M = P·B·queries.
    """
    return number * (1.0 - whole_power(1.0 - per_token / number, token_streams))


def busiest_experts(
    number: Number, per_token: Number, token_streams: Number, groups: Number, each: Number
) -> Number:
    """Expected number of distinct experts in use on the group of devices with most of them.

    All groups wait for that one. The number in each is taken as binomial and independent of the
    others: E[max] is the sum over j of 1 − F(j)^n. The fixed number of experts makes the groups
    slightly dependent; the tests compare the result with random routing.

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        token_streams: Token-streams of the pass on all groups, M.
        groups: Groups that the experts are divided among, n.
        each: Experts of a group.
    """
    unused = whole_power(1.0 - per_token / number, token_streams)
    # The rarer of the two is counted, so that no power underflows.
    rare = minimum(unused, 1.0 - unused)
    term = cumulative = whole_power(1.0 - rare, each)
    most = fewest = rare * 0.0
    count = 0.0
    while not holds(count >= each):
        counted = where(count < each, 1.0, 0.0)
        most = most + counted * (1.0 - whole_power(minimum(cumulative, 1.0), groups))
        fewest = fewest + counted * whole_power(maximum(1.0 - cumulative, 0.0), groups)
        term = term * maximum(each - count, 0.0) / (count + 1.0) * (rare / (1.0 - rare))
        cumulative, count = cumulative + term, count + 1.0
    busiest = where(unused > 0.5, most, each - fewest)
    alone = expected_experts(number, per_token, token_streams)
    return where(groups == 1, alone, maximum(busiest, 1.0))


def mlp_operators(layers: Kernels, kind: Mlp | Experts) -> list[Operator]:
    """The MLP of some layers, its norm and residuals."""
    residual = layers.elementwise("residual", "mlp", 3.0 * layers.model.hidden)
    return [
        layers.norm("residual, post norm", "mlp", moved=4.0),
        *(
            _experts(layers, kind)
            if isinstance(kind, Experts)
            else _dense(layers, as_float(layers.model.spec.intermediate_size), bias=kind.bias)
        ),
        *all_reduce(layers, "mlp"),
        *layers.post_norm("mlp"),
        residual.over(layers.step.rows),
    ]


def _dense(layers: Kernels, width: Number, *, of: str = "", bias: bool = False) -> list[Operator]:
    """An MLP for every token-stream: up (and gate), activation, down.

    Args:
        layers: The layers in the pass.
        width: Intermediate size, before it is divided among devices.
        of: Prefix of the operators' names, where a layer has other MLPs.
        bias: Whether its projections add a bias.
    """
    hidden, rows, inner = layers.model.hidden, layers.step.rows, layers.model.share.width(width)
    widened, up = _up(layers, inner)
    into, out = (f"{of}{up}", f"{of}down") if of else (f"{up} projection", "down projection")
    up_bias, down_bias = (widened, hidden) if bias else (0.0, 0.0)
    return [
        layers.product(into, "mlp", hidden, widened, bias=up_bias).over(rows),
        layers.elementwise(f"{of}activation", "mlp", widened + inner).over(rows),
        layers.product(out, "mlp", inner, hidden, bias=down_bias).over(rows),
    ]


def _up(layers: Kernels, inner: Number) -> tuple[Number, str]:
    """Width and name of the projection into an MLP."""
    gated = layers.model.spec.gated_mlp
    return (inner * 2.0, "gate, up") if gated else (inner, "up")


ROUTING_KERNELS = 2.0
"""Kernels between the router and the experts: the largest scores and their softmax, and rows put in
the order of their experts. Timed calls of experts begin with what these give."""


def _experts(layers: Kernels, kind: Experts) -> list[Operator]:
    """Router, the experts in use, their weighted sum, shared experts.

    FLOPs do not depend on which experts are in use; the weights that are read do, and are those of
    the expected number of distinct experts, of several devices on the busiest one.
    """
    model, rows, number = layers.model, layers.step.rows, as_float(kind.number)
    width = as_float(expert_width(model.spec, kind))
    hidden, inner = model.hidden, model.share.expert_width(width)
    widened, up = _up(layers, inner)
    routed, reached = _load(layers, kind)
    up_bias, down_bias = (widened, hidden) if kind.bias else (0.0, 0.0)
    into = layers.product(f"experts: {up}", "mlp", hidden, widened, bias=up_bias)
    out = layers.product("experts: down", "mlp", inner, hidden, bias=down_bias)
    router = layers.product(
        "router",
        "mlp",
        hidden,
        number,
        bias=number if kind.router_bias else 0.0,
        quantised=False,
    )
    scores = number + 2.0 * as_float(kind.per_token)
    routing = layers.elementwise("experts: routing", "mlp", scores, kernels=ROUTING_KERNELS)
    whole = _shape(layers, kind, inner, routed, reached)
    summed = (as_float(kind.per_token) + 1.0) * hidden
    activation = layers.elementwise("experts: activation", "mlp", widened + inner)
    weighted = layers.elementwise("experts: weighted sum", "mlp", summed)
    return [
        router.over(rows),
        routing.over(rows),
        *dispatch(layers, kind),
        into.of_several(routed, reached, whole),
        activation.over(routed).inside(whole),
        out.of_several(routed, reached).inside(whole),
        *combine(layers, kind),
        weighted.over(rows).inside(whole),
        *(operator.inside(whole) for operator in _shared(layers, kind)),
    ]


def _shared(layers: Kernels, kind: Experts) -> list[Operator]:
    """The shared experts, which every token-stream uses; none where their width is 0."""
    if not kind.shared_width:
        return []
    return _dense(layers, as_float(kind.shared_width), of="shared: ")


def _shape(
    layers: Kernels, kind: Experts, inner: Number, routed: Number, reached: Number
) -> shapes.Experts | None:
    """The sizes by which measured kernels of experts are found; None in a format without any.

    Shared experts count as further ones that every token-stream reaches: engines fuse them with the
    routed ones (SGLang), or run both at a time (vLLM, TensorRT-LLM), so that they start nothing.
    """
    model, number = layers.model, as_float(kind.number)
    name = kernel_format(model.formats.matrix, model.formats.compute)
    if not name:
        return None
    everyones = layers.step.rows * model.layout.expert_parallel
    held, per_token = number / model.layout.holders, as_float(kind.per_token)
    matrices = 3.0 if model.spec.gated_mlp else 2.0
    if kind.shared_width:
        shared = model.share.width(as_float(kind.shared_width)) / inner
        routed, reached = routed + layers.step.rows * shared, reached + shared
    return shapes.Experts(
        everyones, model.hidden, inner, number, held, per_token, name, matrices, routed, reached
    )


def _load(layers: Kernels, kind: Experts) -> tuple[Number, Number]:
    """Rows of the experts of one device, and how many of its experts have any rows."""
    model, rows = layers.model, layers.step.rows
    groups = model.layout.holders
    number, per_token = as_float(kind.number), as_float(kind.per_token)
    if is_one(groups):
        return rows * per_token, expected_experts(number, per_token, rows)
    everyones = model.batch * layers.step.queries * model.streams
    each = model.share.experts(number)
    reached = busiest_experts(number, per_token, everyones, groups, each)
    return maximum(everyones * per_token / groups, reached), reached
