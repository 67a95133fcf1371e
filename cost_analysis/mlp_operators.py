"""The operators of one layer's MLP."""

from __future__ import annotations

from cost_analysis.arrays import Number, as_float, maximum
from cost_analysis.exchanges import all_reduce, combine, dispatch
from cost_analysis.expert_load import busiest_experts, expected_experts
from cost_analysis.forward import Kernels
from cost_analysis.layers import Experts, Mlp
from cost_analysis.layout import is_one
from cost_analysis.ledger import Operator
from cost_analysis.matrices import expert_width


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
    """An MLP that every token-stream passes: up (and gate), activation, down.

    Args:
        layers: The layers in the pass.
        width: Of the MLP, before it is divided among devices.
        of: Whose it is, where a layer has others.
        bias: Whether its projections add one.
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
    """How wide the projection into an MLP is, and what it is called."""
    gated = layers.model.spec.gated_mlp
    return (inner * 2.0, "gate, up") if gated else (inner, "up")


def _experts(layers: Kernels, kind: Experts) -> list[Operator]:
    """Router, the experts that the token-streams reach, their weighted sum, shared experts.

    FLOPs do not depend on which experts are reached; the weights read do, and are those of the
    distinct experts to be expected, of several devices on the busiest one.
    """
    model, rows, number = layers.model, layers.step.rows, as_float(kind.number)
    hidden, inner = model.hidden, model.share.width(as_float(expert_width(model.spec, kind)))
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
    summed = (as_float(kind.per_token) + 1.0) * hidden
    return [
        router.over(rows),
        *dispatch(layers, kind),
        into.of_several(routed, reached),
        layers.elementwise("experts: activation", "mlp", widened + inner).over(routed),
        out.of_several(routed, reached),
        *combine(layers, kind),
        layers.elementwise("experts: weighted sum", "mlp", summed).over(rows),
        *(_dense(layers, as_float(kind.shared_width), of="shared: ") if kind.shared_width else ()),
    ]


def _load(layers: Kernels, kind: Experts) -> tuple[Number, Number]:
    """Rows of the experts of one device, and how many of its experts have any."""
    model, rows = layers.model, layers.step.rows
    groups = model.layout.expert_parallel
    number, per_token = as_float(kind.number), as_float(kind.per_token)
    if is_one(groups):
        return rows * per_token, expected_experts(number, per_token, rows)
    everyones = model.batch * layers.step.queries * model.streams
    each = model.share.experts(number)
    reached = busiest_experts(number, per_token, everyones, groups, each)
    return maximum(everyones * per_token / groups, reached), reached
