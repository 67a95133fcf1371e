"""Where the published cost model differs from a real run, each gap with its size.

Every size is the published charge less what a run needs, all else as published: positive where
the paper's model charges too much, negative where it leaves something out. The gaps do not add up
to the difference from our model, which also counts differently elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.common.arrays import Number, as_float, maximum
from cost_analysis.common.units import GIB
from cost_analysis.cost import published
from cost_analysis.cost.activations import activation_moments
from cost_analysis.cost.published import BYTES, Roofs
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layout import Share
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.weights import parameters


@dataclass(frozen=True, slots=True)
class Gap:
    """One difference of the published cost model from a real run.

    Attributes:
        what: What the model does differently, in a sentence.
        memory: Bytes that it charges too much; None if memory is not concerned [B].
        latency: Seconds that it charges too much; None if time is not concerned [s].
    """

    what: str
    memory: Number | None = None
    latency: Number | None = None


def gaps(spec: ModelSpec, workload: Workload, roofs: Roofs) -> list[Gap]:
    """The gaps for one input.

    Args:
        spec: The model.
        workload: Batch size and lengths.
        roofs: FLOP/s and B/s that the published model was given.
    """
    return [
        _device(spec, workload, roofs),
        _aggregator(spec, workload, roofs),
        _prefix_in_prefill(spec, workload, roofs),
        _cache_traffic(spec, workload, roofs),
        _context_free_attention(spec, workload, roofs),
        _head_and_table(spec, workload, roofs),
        Gap("bits are passed where bytes are meant; cancels out on one GPU", 0.0, 0.0),
        _unit(spec, workload, roofs),
        _logits_of_prompt(spec, workload),
        _logits_of_prefix(spec, workload, roofs),
        _steps(spec, workload, roofs),
        _missing_parameters(spec),
        _mlp_activations(spec, workload),
    ]


def _streams(spec: ModelSpec, workload: Workload) -> Number:
    return workload.batch_size * spec.streams


def _prompt(spec: ModelSpec, workload: Workload) -> Number:
    return workload.input_length + spec.prefix


def _device(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    total = published.cost_on(spec, workload, roofs).total_latency
    always = published.cost_on(spec, workload, published.SCRIPT_ROOFS).total_latency
    return Gap("GPU and efficiency flags are parsed and ignored", latency=always - total)


def _aggregator(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    passes = workload.output_length
    once = published.aggregate_parameters(spec) * BYTES / roofs.bandwidth
    charged = published.aggregate_latency(spec, workload, roofs)
    return Gap(
        "the aggregator is charged once, though its weights are read at every step",
        latency=charged - maximum(charged, once * passes),
    )


def _prefix_in_prefill(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    streams = _streams(spec, workload)
    with_prefix = published.pass_latency(spec, streams, _prompt(spec, workload), roofs)
    without = published.pass_latency(spec, streams, workload.input_length, roofs)
    return Gap(
        "prefix tokens go through every linear layer of the prefill", latency=with_prefix - without
    )


def _cache_traffic(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    streams, steps = _streams(spec, workload), workload.output_length
    position = published.kv_cache_memory(spec, streams, as_float(1))
    final = _prompt(spec, workload) + workload.output_length
    positions = steps * _prompt(spec, workload) + steps * (steps + 1.0) / 2.0
    return Gap(
        "the KV cache is charged twice, at its final length, in every step",
        latency=position * (2.0 * final * steps - positions - steps) / roofs.bandwidth,
    )


def _context_free_attention(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    streams, steps = _streams(spec, workload), workload.output_length
    positions = steps * _prompt(spec, workload) + steps * (steps - 1.0) / 2.0
    flops = 4.0 * streams * positions * spec.hidden_size * spec.num_hidden_layers
    return Gap(
        "attention FLOPs of a decode step do not depend on the context (time at the compute roof)",
        latency=-flops / roofs.flops,
    )


def _head_and_table(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    table = published.embedding_latency(spec, roofs)
    head = published.lm_head_latency(spec, workload.batch_size, as_float(1), roofs)
    per_step = table + head - maximum(head, table)
    return Gap(
        "the LM head's weights are never read, but the whole embedding table is",
        latency=per_step * workload.output_length,
    )


def _unit(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    total = published.cost_on(spec, workload, roofs).total_memory
    return Gap("GiB are printed as GB", memory=total * (1e9 / GIB - 1.0))


def _logits_of_prompt(spec: ModelSpec, workload: Workload) -> Gap:
    streams, batch, prompt = _streams(spec, workload), workload.batch_size, _prompt(spec, workload)
    charged = published.prefill_activation_memory(spec, streams, batch, prompt)
    return Gap(
        "the logits of the whole prompt are counted as the peak",
        memory=charged - published.layer_activation_memory(spec, streams, prompt),
    )


def _logits_of_prefix(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    streams, batch = _streams(spec, workload), workload.batch_size
    with_prefix = published.prefill_activation_memory(spec, streams, batch, _prompt(spec, workload))
    without = published.prefill_activation_memory(spec, streams, batch, workload.input_length)
    return Gap(
        "prefix positions stay in the logits term, in time at all P streams",
        memory=with_prefix - without,
        latency=published.lm_head_latency(spec, streams, as_float(spec.prefix), roofs),
    )


def _steps(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Gap:
    cost = published.cost_on(spec, workload, roofs)
    position = published.kv_cache_memory(spec, _streams(spec, workload), as_float(1))
    return Gap(
        "n tokens take n decode steps and cache entries; the first comes from the prefill",
        memory=position,
        latency=cost.decode_latency_per_token,
    )


def _missing_parameters(spec: ModelSpec) -> Gap:
    counted = published.weight_memory(spec) + published.aggregate_parameters(spec) * BYTES
    return Gap(
        "prefixes, biases and the aggregator's second matrix are not in the weights",
        memory=counted - as_float(parameters(spec).total) * BYTES,
    )


def _mlp_activations(spec: ModelSpec, workload: Workload) -> Gap:
    streams, prompt = _streams(spec, workload), _prompt(spec, workload)
    moments = activation_moments(
        Share(spec), workload.batch_size, workload.input_length, Precision(), workload.logits
    )
    kept = "three" if spec.gated_mlp else "two"
    return Gap(
        f"a layer's peak is one tensor; its MLP keeps {kept} of its width alive and the residual",
        memory=published.layer_activation_memory(spec, streams, prompt) - moments["mlp"],
    )
