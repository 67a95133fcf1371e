"""Exchanges between devices in a forward pass, as operators: bytes that each sends, and messages.

A group of one device has no exchange; with an array of group sizes there is one, at no cost for
a single device. A ring of n devices takes n − 1 messages, one after another; a reduction takes two
rounds.
"""

from __future__ import annotations

from cost_analysis.common.arrays import Number, as_float, holds, maximum, minimum, where
from cost_analysis.cost.kernels import Kernels
from cost_analysis.cost.operator import Operator
from cost_analysis.inputs.dtypes import DType
from cost_analysis.inputs.layers import Experts
from cost_analysis.inputs.layout import is_one
from cost_analysis.kernels.shapes import AllReduce


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
    layers: Kernels,
    name: str,
    part: str,
    group: Number,
    *,
    sent: Number,
    messages: Number,
    spans: Number | None = None,
    shape: AllReduce | None = None,
) -> list[Operator]:
    """An exchange of a group, in each of some layers.

    Args:
        layers: The layers in the pass.
        name: Name of the operator.
        part: Part of the model.
        group: Devices that take part.
        sent: Bytes that each device sends [B].
        messages: Messages, one after another.
        spans: Devices from the first to the last of the group; None where they are neighbours.
        shape: Of a sum, its sizes.
    """
    launched = minimum(group - 1.0, 1.0)  # one if the group has several devices
    return [
        Operator(
            name,
            part,
            link_bytes=sent * layers.count,
            messages=messages * layers.count,
            kernels=launched * layers.count,
            kind="exchange",
            spans=group if spans is None else spans,
            shape=shape,
        )
    ]


def all_reduce(layers: Kernels, part: str) -> list[Operator]:
    """The sum of the residual stream over a tensor-parallel group; 2·(n − 1)/n of it is sent."""
    if is_one(layers.model.layout.tensor_parallel):
        return []
    return _reduction(layers, part, layers.step.residual_bytes)


def sum_embeddings(layers: Kernels) -> list[Operator]:
    """The sum of embeddings of a divided table: each device has zeros for rows of the others."""
    if is_one(layers.model.layout.tensor_parallel):
        return []
    values = layers.step.tokens * layers.model.hidden * layers.model.wide
    return _reduction(layers, "embedding", values)


def _reduction(layers: Kernels, part: str, held: Number) -> list[Operator]:
    group = layers.model.layout.tensor_parallel
    sent, messages = 2.0 * held * (group - 1.0) / group, 2.0 * (group - 1.0)
    shape = AllReduce(held, group)
    return _exchange(layers, "all-reduce", part, group, sent=sent, messages=messages, shape=shape)


def gather_logits(layers: Kernels, values: Number) -> list[Operator]:
    """The logits of all parts of a divided vocabulary, sent to every device of the group.

    Args:
        layers: The head in the pass.
        values: Logits that one device has computed.
    """
    group = layers.model.layout.tensor_parallel
    if is_one(group):
        return []
    others = group - 1.0
    sent = values * layers.model.wide * others
    return _exchange(layers, "gather logits", "lm head", group, sent=sent, messages=others)


def gather_streams(layers: Kernels) -> list[Operator]:
    """The last hidden states of all streams, sent to every group, each of which aggregates them.

    They are those of every position, because the published code aggregates every position.
    """
    layout = layers.model.layout
    groups = layout.stream_parallel
    if is_one(groups):
        return []
    others = groups - 1.0
    return _exchange(
        layers,
        "gather streams",
        "aggregator",
        groups,
        sent=layers.step.residual_bytes * others,
        messages=others,
        spans=layout.group,
    )


def dispatch(layers: Kernels, kind: Experts) -> list[Operator]:
    """Token-streams sent to the groups that hold their experts, in the format of activations."""
    return _to_experts(layers, kind, "dispatch", layers.model.formats.activation)


def combine(layers: Kernels, kind: Experts) -> list[Operator]:
    """Results of the experts, sent back in 16 bits or more."""
    return _to_experts(layers, kind, "combine", layers.model.formats.accumulate)


def _to_experts(layers: Kernels, kind: Experts, way: str, dtype: DType) -> list[Operator]:
    """One copy for each other group that holds any of a token-stream's experts, to all at once."""
    model, layout = layers.model, layers.model.layout
    groups = layout.expert_parallel
    if is_one(groups):
        return []
    reached = distinct_groups(as_float(kind.number), as_float(kind.per_token), groups)
    copies = reached * (groups - 1.0) / groups
    return _exchange(
        layers,
        f"experts: {way}",
        "mlp",
        groups,
        sent=layers.step.rows * model.hidden * copies * dtype.bytes,
        messages=minimum(groups - 1.0, 1.0),
        spans=layout.tensor_parallel * groups,
    )


def to_next_stage(layers: Kernels) -> list[Operator]:
    """The residual stream sent from each pipeline stage to the next; tokens back to the first."""
    step, layout = layers.step, layers.model.layout
    stages = layout.pipeline_parallel
    if is_one(stages):
        return []
    hops = stages * minimum(stages - 1.0, 1.0)
    tokens = layers.model.sequences * TOKEN_BYTES * (hops / stages)
    return [
        Operator(
            "to next stage",
            "pipeline",
            link_bytes=step.residual_bytes * (stages - 1.0) + tokens,
            messages=hops,
            kernels=hops,
            kind="exchange",
            spans=layout.devices,
        )
    ]


TOKEN_BYTES = 8.0
"""Width of a token id [B]."""
