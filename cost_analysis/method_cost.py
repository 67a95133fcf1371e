"""What a way of spending compute costs on a request: memory, time and FLOPs from its vector."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cost_analysis.activations import activation_bytes
from cost_analysis.arrays import Number, as_float, maximum
from cost_analysis.errors import InputError
from cost_analysis.estimate import Passes, check_layout, phases
from cost_analysis.layout import SINGLE, Layout, is_one
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
    layout: Layout = SINGLE,
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
        layout: How the model is divided among devices; it has no pipeline.

    Raises:
        InputError: The model cannot be divided so, or the devices have no link.
    """
    precision = precision or Precision()
    if not is_one(layout.pipeline_parallel):
        raise InputError("methods are compared without pipelines; leave --pipeline_parallel out")
    check_layout(layout, spending.spec, hardware)
    output = maximum(as_float(round(float(workload.output_length) * spending.tokens)), 1.0)
    work = replace(workload, output_length=output)
    samples = work.batch_size * spending.samples
    prompts = work.batch_size if spending.prompt_shared else samples
    asked = _Asked(spending, work, precision, prompts, samples)
    divided = asked.passes(layout)
    prefill, decode = phases(divided, hardware, engine)
    held = memory(spending.spec, work, precision, layout)
    whole = divided if layout.is_single else asked.passes(SINGLE)
    return MethodCost(
        spending=spending,
        parameters=parameters(spending.spec).total,
        weights=held.weights,
        kv_cache=asked.cached(layout),
        activations=asked.alive(layout),
        ttft=prefill.seconds,
        decode=decode.seconds,
        steps=work.decode_steps,
        flops=whole.prefill_flops + whole.decode_flops,
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request by a method, in the terms of the core.

    Attributes:
        spending: The method.
        work: The request, with the tokens that the method generates.
        precision: Storage formats.
        prompts: Prompts that are prefilled.
        samples: Sequences that are decoded.
    """

    spending: Spending
    work: Workload
    precision: Precision
    prompts: Number
    samples: Number

    def passes(self, layout: Layout) -> Passes:
        """The forward passes: layers repeat as often as a token, or the prompt, passes them."""
        spending, work, precision = self.spending, self.work, self.precision
        spec, past = spending.spec, as_float(spending.spec.prefix) + work.input_length
        deep, streams = _repeated(spec, spending.passes), spending.streams
        return Passes(
            prefill=forward_pass(
                _repeated(spec, spending.prefill),
                self.prompts,
                work.input_length,
                spec.prefix,
                precision,
                logits=work.logits,
                fills_prefix=True,
                layout=layout,
            ),
            first_step=forward_pass(deep, self.samples, streams, past, precision, layout=layout),
            growth=context_growth(
                deep, self.samples, precision, past=past, queries=streams, layout=layout
            ),
            steps=work.decode_steps,
            layers=as_float(deep.num_hidden_layers),
        )

    def cached(self, layout: Layout) -> Number:
        """The cache at the end: prompts as often as they are held, outputs of every sample."""

        def held(sequences: Number, tokens: Number) -> Number:
            return kv_cache_bytes(self.spending.spec, sequences, tokens, self.precision, layout)

        whole = held(self.samples, self.work.cached_tokens)
        spared = held(self.samples - self.prompts, self.work.input_length)
        one = held(self.samples, 1) - held(self.samples, 0)
        return (whole - spared) * self.spending.kv_entries + one * self.spending.kv_window

    def alive(self, layout: Layout) -> Number:
        """The larger of the two activation peaks."""
        spec, work, precision = self.spending.spec, self.work, self.precision
        step = activation_bytes(spec, self.samples, self.spending.streams, precision, layout=layout)
        return maximum(
            activation_bytes(spec, self.prompts, work.input_length, precision, work.logits, layout),
            step * as_float(work.decode_steps > 0),
        )
