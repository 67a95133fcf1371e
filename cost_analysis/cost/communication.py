"""What devices exchange in a forward pass, as operators: bytes that each sends, and messages.

An exchange within a group of one is none; where the group has an array of sizes it is counted, and
costs one device nothing. A ring of n devices takes n − 1 messages, one after another; a reduction
goes round twice.
"""

from __future__ import annotations

from dataclasses import replace

from cost_analysis.common.arrays import Number, as_float, holds, maximum, minimum, where
from cost_analysis.cost.operator import ForwardPass, Operator
from cost_analysis.inputs.dtypes import DType
from cost_analysis.inputs.layout import is_one
from cost_analysis.inputs.spec import Experts


def distinct_groups(number: Number, per_token: Number, groups: Number) -> Number:
    """Groups that hold any of a token-stream's experts: n·(1 − C(E − E/n, k)/C(E, k)) expected.

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        groups: Groups that they are divided among, n.
    """
    elsewhere, missed, taken = number - number / groups, number * 0.0 + 1.0, 0.0
    while not holds(taken >= per_token):
        factor = maximum(elsewhere - taken, 0.0) / (number - taken)
        missed, taken = missed * where(taken < per_token, factor, 1.0), taken + 1.0
    return groups * (1.0 - missed)


def _exchange(
    name: str, part: str, group: Number, spans: Number, sent: Number, messages: Number
) -> list[Operator]:
    """An exchange of a group.

    Args:
        name: Of the operator.
        part: Of the model.
        group: Devices that take part.
        spans: Devices from the first to the last of them.
        sent: What each device sends [B].
        messages: Messages that follow one another.
    """
    if is_one(group):
        return []
    return [
        Operator(
            name,
            part,
            link_bytes=sent,
            messages=messages,
            kernels=minimum(group - 1.0, 1.0),
            kind="exchange",
            spans=spans,
        )
    ]


def all_reduce(step: ForwardPass, part: str) -> list[Operator]:
    """The sum of the residual stream over a tensor-parallel group: 2·(n − 1)/n of it is sent."""
    return _reduction(step, "all-reduce", part, step.residual_bytes)


def sum_embeddings(step: ForwardPass) -> list[Operator]:
    """The rows of a table of which each device has a part; those that it lacks are zeros."""
    values = step.tokens * step.size("hidden_size") * step.precision.accumulate.bytes
    return _reduction(step, "all-reduce", "embedding", values)


def _reduction(step: ForwardPass, name: str, part: str, held: Number) -> list[Operator]:
    group = step.layout.tensor_parallel
    sent = 2.0 * held * (group - 1.0) / group
    return _exchange(name, part, group, group, sent, 2.0 * (group - 1.0))


def gather_logits(step: ForwardPass, values: Number) -> list[Operator]:
    """The logits of all parts of a divided vocabulary, to every device of the group.

    Args:
        step: The pass.
        values: Logits that one device has computed.
    """
    group = step.layout.tensor_parallel
    sent = values * step.precision.accumulate.bytes * (group - 1.0)
    return _exchange("gather logits", "lm head", group, group, sent, group - 1.0)


def gather_streams(step: ForwardPass) -> list[Operator]:
    """The last hidden states of all streams, to every group, each of which then aggregates them.

    Every position's, as the published code aggregates every position.
    """
    groups = step.layout.stream_parallel
    sent = step.residual_bytes * (groups - 1.0)
    return _exchange("gather streams", "aggregator", groups, step.layout.group, sent, groups - 1.0)


def dispatch(step: ForwardPass, kind: Experts) -> list[Operator]:
    """Token-streams to the groups that hold their experts, in the format of activations."""
    return _to_experts(step, kind, "dispatch", step.precision.activation)


def combine(step: ForwardPass, kind: Experts) -> list[Operator]:
    """What the experts made of them, back to their own group, in no less than 16 bits."""
    return _to_experts(step, kind, "combine", step.precision.accumulate)


def _to_experts(step: ForwardPass, kind: Experts, way: str, dtype: DType) -> list[Operator]:
    """One copy for each other group that holds any of a token-stream's experts, to all at once."""
    groups = step.layout.expert_parallel
    if is_one(groups):
        return []
    reached = distinct_groups(as_float(kind.number), as_float(kind.per_token), groups)
    copies = reached * (groups - 1.0) / groups
    sent = step.rows * step.size("hidden_size") * copies * dtype.bytes
    spans = step.layout.tensor_parallel * groups
    return _exchange(f"experts: {way}", "mlp", groups, spans, sent, minimum(groups - 1.0, 1.0))


def to_next_stage(step: ForwardPass) -> list[Operator]:
    """The residual stream from each pipeline stage to the next; tokens back to the first."""
    layout = step.layout
    stages = layout.pipeline_parallel
    hops = stages * minimum(stages - 1.0, 1.0)
    sent = step.residual_bytes * (stages - 1.0) + step.sequences * TOKEN_BYTES * (hops / stages)
    crossing = _exchange("to next stage", "pipeline", stages, layout.devices, sent, hops)
    return [replace(operator, kernels=hops) for operator in crossing]


TOKEN_BYTES = 8.0
"""Width of a token's number [B]."""
