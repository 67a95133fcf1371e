"""The operators of one layer's MLP, and how many experts token-streams reach.

Each token-stream is sent to k different experts of E, each equally likely, and independently of
the others. Routers are trained towards that balance; text of one subject reaches fewer, and so may
the streams of one token, which are alike.
"""

from __future__ import annotations

from dataclasses import replace

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
from cost_analysis.cost.operator import ForwardPass, Operator
from cost_analysis.inputs.layout import is_one
from cost_analysis.inputs.spec import Experts, Mlp
from cost_analysis.inputs.weights import expert_width


def expected_experts(number: Number, per_token: Number, token_streams: Number) -> Number:
    """Distinct experts that token-streams reach, to be expected: E·(1 − (1 − k/E)^M).

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        token_streams: Token-streams of the pass, M = P·B·queries.
    """
    return number * (1.0 - whole_power(1.0 - per_token / number, token_streams))


def busiest_experts(
    number: Number, per_token: Number, token_streams: Number, groups: Number, each: Number
) -> Number:
    """Distinct experts reached on the group of devices with most of them, to be expected.

    All groups wait for that one. How many are reached in each is taken as binomial and independent
    of the others: E[max] is the sum over j of 1 − F(j)^n. That the whole number of experts is given
    makes them slightly dependent; the tests compare it with random routing.

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        token_streams: Token-streams of the pass on all groups, M.
        groups: Groups that the experts are divided among, n.
        each: Experts of a group.
    """
    unreached = whole_power(1.0 - per_token / number, token_streams)
    # The rarer of the two is counted, so that no power underflows.
    rare = minimum(unreached, 1.0 - unreached)
    term = cumulative = whole_power(1.0 - rare, each)
    most = fewest = rare * 0.0
    count = 0.0
    while not holds(count >= each):
        counted = where(count < each, 1.0, 0.0)
        most = most + counted * (1.0 - whole_power(minimum(cumulative, 1.0), groups))
        fewest = fewest + counted * whole_power(maximum(1.0 - cumulative, 0.0), groups)
        term = term * maximum(each - count, 0.0) / (count + 1.0) * (rare / (1.0 - rare))
        cumulative, count = cumulative + term, count + 1.0
    busiest = where(unreached > 0.5, most, each - fewest)
    alone = expected_experts(number, per_token, token_streams)
    return where(groups == 1, alone, maximum(busiest, 1.0))


def mlp_operators(step: ForwardPass, kind: Mlp | Experts) -> list[Operator]:
    """One layer's MLP, its norm and residuals."""
    hidden, rows = step.size("hidden_size"), step.rows
    return [
        step.norm("residual, post norm", "mlp", moved=4.0),
        *(
            _experts(step, kind)
            if isinstance(kind, Experts)
            else _dense(step, step.size("intermediate_size"), bias=kind.bias)
        ),
        *all_reduce(step, "mlp"),
        *step.post_norm("mlp"),
        step.elementwise("residual", "mlp", 3.0 * rows * hidden),
    ]


def _dense(step: ForwardPass, width: Number, *, of: str = "", bias: bool = False) -> list[Operator]:
    """An MLP that every token-stream passes: up (and gate), activation, down.

    Args:
        step: The pass.
        width: Of the MLP, before it is divided among devices.
        of: Whose it is, where a layer has others.
        bias: Whether its projections add one.
    """
    hidden, rows, inner = step.size("hidden_size"), step.rows, step.share.width(width)
    widened, up = _up(step, inner)
    into, out = (f"{of}{up}", f"{of}down") if of else (f"{up} projection", "down projection")
    return [
        step.linear(into, "mlp", rows, hidden, widened, bias=widened if bias else 0.0),
        step.elementwise(f"{of}activation", "mlp", rows * (widened + inner)),
        step.linear(out, "mlp", rows, inner, hidden, bias=hidden if bias else 0.0),
    ]


def _up(step: ForwardPass, inner: Number) -> tuple[Number, str]:
    """How wide the projection into an MLP is, and what it is called."""
    gated = step.spec.gated_mlp
    return inner * (2.0 if gated else 1.0), "gate, up" if gated else "up"


def _experts(step: ForwardPass, kind: Experts) -> list[Operator]:
    """Router, the experts that the token-streams reach, their weighted sum, shared experts.

    FLOPs do not depend on which experts are reached; the weights read do, and are those of the
    distinct experts to be expected, of several devices on the busiest one.
    """
    hidden, rows, number = step.size("hidden_size"), step.rows, as_float(kind.number)
    inner = step.share.width(as_float(expert_width(step.spec, kind)))
    widened, up = _up(step, inner)
    routed, reached = _load(step, kind)
    products = (
        (f"experts: {up}", hidden, widened),
        ("experts: down", inner, hidden),
    )
    into, out = (
        _routed_product(step, name, routed, reached, inputs, outputs, bias=kind.bias)
        for name, inputs, outputs in products
    )
    router_bias = number if kind.router_bias else 0.0
    summed = rows * as_float(kind.per_token) + rows
    return [
        step.linear("router", "mlp", rows, hidden, number, bias=router_bias, quantised=False),
        *dispatch(step, kind),
        into,
        step.elementwise("experts: activation", "mlp", routed * (widened + inner)),
        out,
        *combine(step, kind),
        step.elementwise("experts: weighted sum", "mlp", summed * hidden),
        *(_dense(step, as_float(kind.shared_width), of="shared: ") if kind.shared_width else ()),
    ]


def _load(step: ForwardPass, kind: Experts) -> tuple[Number, Number]:
    """Rows of the experts of one device, and how many of its experts have any."""
    groups = step.layout.expert_parallel
    number, per_token = as_float(kind.number), as_float(kind.per_token)
    if is_one(groups):
        return step.rows * per_token, expected_experts(number, per_token, step.rows)
    everyones = step.batch * step.queries * step.streams
    each = step.share.experts(number)
    reached = busiest_experts(number, per_token, everyones, groups, each)
    return maximum(everyones * per_token / groups, reached), reached


def _routed_product(
    step: ForwardPass,
    name: str,
    routed: Number,
    reached: Number,
    inputs: Number,
    outputs: Number,
    *,
    bias: bool,
) -> Operator:
    """The product of the rows of each reached expert with its matrix, in one grouped kernel.

    Args:
        step: The pass.
        name: Of the operator.
        routed: Rows over all experts.
        reached: Experts that have any.
        inputs: Width that goes in.
        outputs: Width that comes out.
        bias: Whether each expert adds one.
    """
    one = step.linear(name, "mlp", routed, inputs, outputs, bias=outputs if bias else 0.0)
    return replace(one, weight_bytes=one.weight_bytes * reached, rows=routed / reached)
