"""What a way of spending compute costs on a request: memory, time and FLOPs from its vector."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cost_analysis.activations import activation_bytes
from cost_analysis.arrays import Number, as_float, maximum
from cost_analysis.estimate import Passes, phases
from cost_analysis.memory import kv_cache_bytes, memory
from cost_analysis.methods import Spending
from cost_analysis.operators import context_growth, forward_pass
from cost_analysis.parameters import parameters
from cost_analysis.spec import ModelSpec, Precision, Workload
from cost_analysis.system import Engine, Hardware


@dataclass(frozen=True, slots=True)
class MethodCost:
    """What a request costs by a method.

    Attributes:
        spending: The method.
        parameters: Every parameter.
        weights: All parameters [B].
        kv_cache: Cached entries at the end [B].
        activations: Peak of the activations [B].
        ttft: Time to the first token [s].
        decode: Time of all decode steps [s].
        steps: Decode steps.
        flops: FLOPs of the request.
    """

    spending: Spending
    parameters: Number
    weights: Number
    kv_cache: Number
    activations: Number
    ttft: Number
    decode: Number
    steps: Number
    flops: Number

    @property
    def memory(self) -> Number:
        """Weights, cache and activations [B]."""
        return self.weights + self.kv_cache + self.activations

    @property
    def tpot(self) -> Number:
        """Time per output token after the first [s]; 0 where there is none."""
        return self.decode / maximum(self.steps, 1.0)

    @property
    def latency(self) -> Number:
        """Time of the request [s]."""
        return self.ttft + self.decode


def method_cost(
    spending: Spending,
    workload: Workload,
    hardware: Hardware,
    engine: Engine,
    precision: Precision | None = None,
) -> MethodCost:
    """The cost of a request by a method.

    A decode step runs `passes` times through the layers, with `streams` token-streams of each
    sample against one cache. Samples read the prompt's cache each for itself, also where they
    share its memory: kernels that read it once for all are not assumed. A base with all amounts
    at 1 costs what `estimate` says, to the last bit.

    Args:
        spending: The method.
        workload: The base's request; the method may generate more tokens.
        hardware: The device.
        engine: What runs the model on it.
        precision: Storage formats; bf16 throughout if None.
    """
    precision = precision or Precision()
    output = maximum(as_float(round(float(workload.output_length) * spending.tokens)), 1.0)
    work = replace(workload, output_length=output)
    samples = work.batch_size * spending.samples
    prompts = work.batch_size if spending.prompt_shared else samples
    prefill, decode = phases(_passes(spending, work, precision, prompts, samples), hardware, engine)
    held = memory(spending.spec, work, precision)
    return MethodCost(
        spending=spending,
        parameters=parameters(spending.spec).total,
        weights=held.weights,
        kv_cache=_cached(spending, work, precision, prompts, samples),
        activations=_alive(spending, work, precision, prompts, samples),
        ttft=prefill.seconds,
        decode=decode.seconds,
        steps=work.decode_steps,
        flops=prefill.flops + decode.flops,
    )


def _passes(
    spending: Spending, work: Workload, precision: Precision, prompts: Number, samples: Number
) -> Passes:
    """The forward passes: layers repeat as often as a token, or the prompt, passes them."""
    spec, past = spending.spec, as_float(spending.spec.prefix) + work.input_length
    deep = _repeated(spec, spending.passes)
    return Passes(
        prefill=forward_pass(
            _repeated(spec, spending.prefill),
            prompts,
            work.input_length,
            spec.prefix,
            precision,
            logits=work.logits,
            fills_prefix=True,
        ),
        first_step=forward_pass(deep, samples, spending.streams, past, precision),
        growth=context_growth(deep, samples, precision, past=past, queries=spending.streams),
        steps=work.decode_steps,
        layers=as_float(deep.num_hidden_layers),
    )


def _repeated(spec: ModelSpec, times: int) -> ModelSpec:
    """A model whose layers run several times; their weights are read each time."""
    if times == 1:
        return spec
    layers = tuple(
        group if group.count is None else replace(group, count=group.count * times)
        for group in spec.layers
    )
    return replace(spec, num_hidden_layers=spec.num_hidden_layers * times, layers=layers)


def _cached(
    spending: Spending, work: Workload, precision: Precision, prompts: Number, samples: Number
) -> Number:
    """The cache at the end: prompts as often as they are held, outputs of every sample."""
    spec, prompt = spending.spec, work.input_length
    whole = kv_cache_bytes(spec, samples, work.cached_tokens, precision)
    spared = kv_cache_bytes(spec, samples - prompts, prompt, precision)
    one = kv_cache_bytes(spec, samples, 1, precision) - kv_cache_bytes(spec, samples, 0, precision)
    return (whole - spared) * spending.kv_entries + one * spending.kv_window


def _alive(
    spending: Spending, work: Workload, precision: Precision, prompts: Number, samples: Number
) -> Number:
    """The larger of the two activation peaks."""
    spec = spending.spec
    step = activation_bytes(spec, samples, spending.streams, precision)
    return maximum(
        activation_bytes(spec, prompts, work.input_length, precision, work.logits),
        step * as_float(work.decode_steps > 0),
    )
