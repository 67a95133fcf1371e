"""The paper's own cost model, term by term, as published.

Source: QwenLM/ParScale `cost_analysis.py` (cd6acb4), which runs cli99/llm-analysis (d841e40) with
batch size P·B and corrects the embedding and the aggregation afterwards. Every function here is
one term and says what it counts and where it differs from a real run; the tests compare all terms
with 240 recorded runs of the script. Sizes are in bytes and seconds: the script prints GiB as GB.

The script ignores `--gpu_config` and the efficiency flags and always takes an A100's 312 TFLOP/s
and 2,039 GB/s at 0.7 and 0.9; here they are parameters with those values.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.common.arrays import Number, as_float, maximum
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.layers import Experts, LatentAttention
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System

BYTES = 2.0
"""Width of weights, activations and cache: the script has 16 bits only [B]."""

FLOPS_EFFICIENCY, BANDWIDTH_EFFICIENCY = 0.7, 0.9
"""Shares of the roofs that the script takes, as llm-analysis recommends."""


@dataclass(frozen=True, slots=True)
class PublishedCost:
    """What the published script computes for one input.

    Attributes:
        weight_memory: Weights, without prefixes, biases and aggregator [B].
        kv_cache_memory: KV cache at its final length [B].
        prefill_activation_memory: Largest activation of the prefill [B].
        aggregate_memory: First matrix of the aggregator [B].
        prefill_latency: One pass over prefix and prompt at batch P·B [s].
        decode_latency_per_token: One decode step at batch P·B, at the final length [s].
        aggregate_latency: The aggregator, once a request [s].
        embedding_correction: Time that the script subtracts for the embedding at batch P·B [s].
        output_length: Decode steps that the script charges: one for each output token.
    """

    weight_memory: Number
    kv_cache_memory: Number
    prefill_activation_memory: Number
    aggregate_memory: Number
    prefill_latency: Number
    decode_latency_per_token: Number
    aggregate_latency: Number
    embedding_correction: Number
    output_length: Number

    @property
    def total_memory(self) -> Number:
        """The script's "Memory" [B]."""
        return (
            self.kv_cache_memory
            + self.weight_memory
            + self.aggregate_memory
            + self.prefill_activation_memory
        )

    @property
    def total_latency(self) -> Number:
        """The script's "Latency" [s]."""
        decode = self.decode_latency_per_token * self.output_length
        return self.prefill_latency + decode + self.aggregate_latency - self.embedding_correction


@dataclass(frozen=True, slots=True)
class Roofs:
    """The two roofs of a device in the script.

    Attributes:
        flops: Rate of matrix products that is reached [FLOP/s].
        bandwidth: Rate of traffic that is reached [B/s].
    """

    flops: Number
    bandwidth: Number


SCRIPT_ROOFS = Roofs(312e12 * FLOPS_EFFICIENCY, 2039e9 * BANDWIDTH_EFFICIENCY)
"""The roofs that the script always takes: an A100 SXM 80 GB at 0.7 and 0.9."""


def roofs_of(
    hardware: Hardware, flops_efficiency: Number | None, bandwidth_efficiency: Number | None
) -> Roofs:
    """A device's 16-bit peak and bandwidth at shares of them; None means the script's own."""
    sixteen = "bf16" if "fp16" not in hardware.peak and "bf16" in hardware.peak else "fp16"
    peak = hardware.matmul_peak(dtype_named(sixteen))
    flops = FLOPS_EFFICIENCY if flops_efficiency is None else flops_efficiency
    bandwidth = BANDWIDTH_EFFICIENCY if bandwidth_efficiency is None else bandwidth_efficiency
    return Roofs(peak * flops, hardware.bandwidth * bandwidth)


def published_cost(
    spec: ModelSpec,
    workload: Workload,
    hardware: Hardware,
    flops_efficiency: Number | None = None,
    bandwidth_efficiency: Number | None = None,
) -> PublishedCost:
    """The published cost of a request.

    Head width, biases, head norms, untied embeddings and precision have no effect: the script takes
    head_dim as hidden/heads, a gated MLP, no biases, tied embeddings and 16 bits.

    Args:
        spec: The model.
        workload: Batch size and lengths.
        hardware: The device; the script always takes an A100 SXM 80 GB.
        flops_efficiency: Share of the 16-bit peak that is reached; None means 0.7.
        bandwidth_efficiency: Share of the bandwidth that is reached; None means 0.9.

    Raises:
        InputError: As for `cost_on`.
    """
    return cost_on(spec, workload, roofs_of(hardware, flops_efficiency, bandwidth_efficiency))


def published_on(spec: ModelSpec, workload: Workload, system: System) -> PublishedCost:
    """The published cost of a request on a system, whose engine and formats have no effect.

    Raises:
        InputError: As for `cost_on`.
    """
    return cost_on(spec, workload, system_roofs(system))


def system_roofs(system: System) -> Roofs:
    """The roofs of a system's device, at efficiencies that the user gave, if any."""
    return roofs_of(system.hardware, system.flops_efficiency, system.bandwidth_efficiency)


def cost_on(spec: ModelSpec, workload: Workload, roofs: Roofs) -> PublishedCost:
    """The published cost of a request at given roofs.

    Raises:
        InputError: A model with experts or latent attention, for which there are no terms.
    """
    if any(
        isinstance(group.mlp, Experts) or isinstance(group.attention, LatentAttention)
        for group in spec.layers
    ):
        raise InputError(
            "the published cost model covers dense layers only; this model has "
            f"{spec.layers_in_words}"
        )
    streams = as_float(workload.batch_size) * spec.streams
    prompt = workload.input_length + spec.prefix
    generated = workload.output_length
    cache = kv_cache_memory(spec, streams, prompt + generated)
    step = pass_latency(spec, streams, as_float(1), roofs)
    return PublishedCost(
        weight_memory=weight_memory(spec),
        kv_cache_memory=cache,
        prefill_activation_memory=prefill_activation_memory(
            spec, streams, workload.batch_size, prompt
        ),
        aggregate_memory=aggregate_parameters(spec) * BYTES,
        prefill_latency=pass_latency(spec, streams, prompt, roofs),
        decode_latency_per_token=step + cache_latency(cache, roofs),
        aggregate_latency=aggregate_latency(spec, workload, roofs),
        embedding_correction=embedding_correction(spec, workload, roofs),
        output_length=generated,
    )


def attention_parameters(spec: ModelSpec) -> Number:
    """q, k, v and o of one layer. Differs: head_dim is hidden/heads; no biases."""
    hidden = as_float(spec.hidden_size)
    key_value = hidden * spec.num_key_value_heads / spec.num_attention_heads
    return 2.0 * hidden * hidden + 2.0 * hidden * key_value


def mlp_parameters(spec: ModelSpec) -> Number:
    """The gated MLP of one layer."""
    return 3.0 * as_float(spec.hidden_size) * spec.intermediate_size


def weight_memory(spec: ModelSpec) -> Number:
    """All weights [B]. Differs: the learned prefixes and biases are missing, always tied."""
    hidden = as_float(spec.hidden_size)
    layer = attention_parameters(spec) + mlp_parameters(spec) + 2.0 * hidden
    return (layer * spec.num_hidden_layers + hidden * spec.vocab_size + hidden) * BYTES


def kv_cache_memory(spec: ModelSpec, streams: Number, tokens: Number) -> Number:
    """Keys and values of `tokens` positions for `streams` rows [B].

    Differs: counts a position for the last generated token, which never enters the cache.
    """
    head_dim = as_float(spec.hidden_size) / spec.num_attention_heads
    per_position = 2.0 * head_dim * spec.num_key_value_heads * BYTES
    return streams * tokens * per_position * spec.num_hidden_layers


def attention_activation_memory(spec: ModelSpec, streams: Number, tokens: Number) -> Number:
    """Activations of one layer's attention [B]: q, k and v, or output and softmax statistics."""
    rows, hidden = streams * tokens, as_float(spec.hidden_size)
    compute = (2.0 * rows * hidden + 4.0 * spec.num_attention_heads * rows) * BYTES
    return maximum(3.0 * BYTES * rows * hidden, compute)


def mlp_activation_memory(spec: ModelSpec, streams: Number, tokens: Number) -> Number:
    """Activations of one layer's MLP [B].

    Differs: one tensor of the intermediate width, where a gated MLP keeps three alive.
    """
    width = maximum(1.0, as_float(spec.intermediate_size) / spec.hidden_size)
    return width * BYTES * streams * tokens * spec.hidden_size


def layer_activation_memory(spec: ModelSpec, streams: Number, tokens: Number) -> Number:
    """Activations of a layer [B]: the largest single term of attention, MLP and norm."""
    norm = streams * tokens * spec.hidden_size * BYTES
    attention = attention_activation_memory(spec, streams, tokens)
    return maximum(attention, maximum(mlp_activation_memory(spec, streams, tokens), norm))


def prefill_activation_memory(
    spec: ModelSpec, streams: Number, batch_size: Number, tokens: Number
) -> Number:
    """Peak activations of the prefill [B]: a layer, or the logits.

    Differs: the logits of the whole prompt are counted, where generation keeps one position; and
    the prefix positions are counted among them, though no logits are computed there.
    """
    logits = as_float(spec.vocab_size) * batch_size * tokens * BYTES
    return maximum(layer_activation_memory(spec, streams, tokens), logits)


def attention_latency(spec: ModelSpec, streams: Number, tokens: Number, roofs: Roofs) -> Number:
    """One layer's attention [s].

    Differs: attends to the `tokens` of this pass only (full square), so that the FLOPs of a decode
    step do not depend on the context; prefix tokens go through the projections of the prefill.
    """
    hidden, rows = as_float(spec.hidden_size), streams * tokens
    groups = as_float(spec.num_attention_heads) / spec.num_key_value_heads
    products = 4.0 * rows * hidden * hidden + 4.0 * rows * hidden * hidden / groups
    compute = (products + 4.0 * rows * tokens * hidden) / roofs.flops
    moved = attention_parameters(spec) * BYTES + attention_activation_memory(spec, streams, tokens)
    return maximum(compute, moved / roofs.bandwidth)


def mlp_latency(spec: ModelSpec, streams: Number, tokens: Number, roofs: Roofs) -> Number:
    """One layer's MLP [s]. Differs: prefix tokens go through it in the prefill."""
    compute = 6.0 * streams * tokens * as_float(spec.hidden_size) * spec.intermediate_size
    moved = mlp_parameters(spec) * BYTES + mlp_activation_memory(spec, streams, tokens)
    return maximum(compute / roofs.flops, moved / roofs.bandwidth)


def norm_latency(spec: ModelSpec, streams: Number, tokens: Number, roofs: Roofs) -> Number:
    """One norm [s]. Differs: charged in float32, whatever the activations are."""
    values = streams * tokens * as_float(spec.hidden_size)
    return maximum(values * 5.0 / roofs.flops, values * 4.0 / roofs.bandwidth)


def embedding_latency(spec: ModelSpec, roofs: Roofs) -> Number:
    """Reading the embedding [s].

    Differs: the whole table is read, where a look-up reads one row a token.
    """
    return as_float(spec.vocab_size) * spec.hidden_size * BYTES / roofs.bandwidth


def lm_head_latency(spec: ModelSpec, streams: Number, tokens: Number, roofs: Roofs) -> Number:
    """The LM head [s]. Differs: its weights are never read; it runs at every position."""
    return 2.0 * tokens * streams * spec.vocab_size * spec.hidden_size / roofs.flops


def pass_latency(spec: ModelSpec, streams: Number, tokens: Number, roofs: Roofs) -> Number:
    """One forward pass of `tokens` positions for `streams` rows [s]."""
    layer = (
        attention_latency(spec, streams, tokens, roofs)
        + mlp_latency(spec, streams, tokens, roofs)
        + 2.0 * norm_latency(spec, streams, tokens, roofs)
    )
    ends = embedding_latency(spec, roofs) + lm_head_latency(spec, streams, tokens, roofs)
    return layer * spec.num_hidden_layers + ends


def cache_latency(cache_memory: Number, roofs: Roofs) -> Number:
    """Reading and writing the KV cache in a decode step [s].

    Differs: charged twice, and at its final length in every step.
    """
    return 2.0 * cache_memory / roofs.bandwidth


def aggregate_parameters(spec: ModelSpec) -> Number:
    """(h + 1)·h·P at P > 1.

    Differs: the second matrix is missing, and a bias is counted h·P times.
    """
    hidden = as_float(spec.hidden_size)
    return (hidden + 1.0) * hidden * spec.streams * as_float(as_float(spec.streams) > 1)


def aggregate_latency(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Number:
    """The aggregator [s]: an MLP's time over prompt and output, scaled by parameters.

    Differs: charged once a request, so its weights are read once and not at each step.
    """
    share = aggregate_parameters(spec) / mlp_parameters(spec)
    tokens = workload.input_length + workload.output_length
    return share * mlp_latency(spec, workload.batch_size, tokens, roofs)


def embedding_correction(spec: ModelSpec, workload: Workload, roofs: Roofs) -> Number:
    """LM head at batch P·B less that at batch B, over prompt and output [s].

    Differs: the prefix positions of the prefill stay in, at all P streams.
    """
    tokens = workload.input_length + workload.output_length
    streams = workload.batch_size * spec.streams
    streamed = lm_head_latency(spec, streams, tokens, roofs)
    return streamed - lm_head_latency(spec, workload.batch_size, tokens, roofs)
