"""The operators of one layer's MLP."""

from __future__ import annotations

from dataclasses import replace

from cost_analysis.arrays import Number, as_float, maximum
from cost_analysis.exchanges import all_reduce, combine, dispatch
from cost_analysis.expert_load import busiest_experts, expected_experts
from cost_analysis.forward import ForwardPass
from cost_analysis.layers import Experts, Mlp
from cost_analysis.layout import is_one
from cost_analysis.ledger import Operator
from cost_analysis.matrices import expert_width


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
