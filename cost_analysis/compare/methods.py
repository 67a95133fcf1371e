"""Methods of spending compute on a request: each as one vector, and what the vector costs.

Parameters, passes over the weights, token-streams in each, cached entries, the prompt's passes,
samples, and tokens: what a method changes of these beside a base with one stream is what it costs.
What it gains is not modelled: no law covers them all, and gains need not grow with the amount
(LoopCoder-v2, arXiv 2606.18023: two loops gain, three lose).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cost_analysis.common.arrays import Number, as_count, as_float, is_real, maximum
from cost_analysis.common.checks import REAL, SWITCH, check_fields, size_from
from cost_analysis.common.errors import InputError, shown
from cost_analysis.cost.activations import activation_bytes
from cost_analysis.cost.estimate import Passes, check_layout, phases
from cost_analysis.cost.forward_pass import context_growth, forward_pass
from cost_analysis.cost.latency import Launched
from cost_analysis.cost.memory import kv_cache_bytes, memory
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layers import Experts, LayerGroup
from cost_analysis.inputs.layout import SINGLE, Layout, Share, is_one
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.inputs.weights import parameters

LARGEST = 1024
"""Upper limit of every amount."""

LARGEST_WINDOW = 1 << 20
"""Upper limit of the entries that a sequence keeps beyond its tokens' own."""

AMOUNT = size_from(1, LARGEST)
"""Metadata of a field that is an amount."""


@dataclass(frozen=True, slots=True)
class Spending:
    """How a method spends compute.

    Attributes:
        name: Its name in reports.
        spec: The model that runs: the base, a larger one, or one with streams.
        source: Where its figures come from.
        passes: Passes over the layers' weights that follow one another for each token.
        streams: Token-streams of a sequence in each pass that share its cache.
        samples: Sequences that answer one request.
        kv_entries: Entries that a token leaves in the cache of each of the base's layers.
        kv_window: Entries that a sequence keeps beyond them, however long it grows.
        prefill: Passes of the prompt through the layers.
        prompt_shared: Samples share the prompt's cache, and its prefill.
        tokens: Generated tokens, over those of the base.
    """

    name: str
    spec: ModelSpec
    source: str
    passes: int = field(default=1, metadata=AMOUNT)
    streams: int = field(default=1, metadata=AMOUNT)
    samples: int = field(default=1, metadata=AMOUNT)
    kv_entries: int = field(default=1, metadata=AMOUNT)
    kv_window: int = field(default=0, metadata=size_from(0, LARGEST_WINDOW))
    prefill: int = field(default=1, metadata=AMOUNT)
    prompt_shared: bool = field(default=True, metadata=SWITCH)
    tokens: float = field(default=1.0, metadata=REAL)

    def __post_init__(self) -> None:
        """Check the amounts."""
        check_fields(self, called={})  # a file states them, not flags
        if not is_real(self.tokens) or not 1 / LARGEST <= self.tokens <= LARGEST:
            raise InputError(
                f"tokens is {shown(self.tokens)}; it must be from 1/{LARGEST} to {LARGEST}"
            )


PARSCALE = "Parallel Scaling Law for Language Models, arXiv 2505.10475, section 2"
SELF_CONSISTENCY = "Self-Consistency, arXiv 2203.11171; the prompt's cache shared as in vLLM"
REASONING = "Large Language Monkeys and s1, arXiv 2407.21787 and 2501.19393: more tokens, in turn"
LOOP = "Universal Transformers, arXiv 1807.03819; recurrent depth, arXiv 2502.05171"
PLT = "Parallel Loop Transformer, arXiv 2510.24824: shared cache, gated window of 64"
PHD = "Efficient Pretraining Length Scaling, arXiv 2504.14992: PHD-CSWA, window of 16"
MOE = "Switch Transformers, arXiv 2101.03961: more experts at equal active parameters"


def base(spec: ModelSpec) -> Spending:
    """The model with one stream."""
    return Spending("base", spec.with_streams(1), "the model itself")


def parscale(spec: ModelSpec, amount: int) -> Spending:
    """P parallel streams, each with a prefix, a cache and a prefill of its own."""
    return Spending(f"parscale P = {amount}", spec.with_streams(amount), PARSCALE)


def best_of_n(spec: ModelSpec, amount: int) -> Spending:
    """N samples, of which one is chosen, or the answer that most agree on."""
    return Spending(f"best of {amount}", spec.with_streams(1), SELF_CONSISTENCY, samples=amount)


def longer(spec: ModelSpec, amount: int) -> Spending:
    """A chain of thought that is T times as long."""
    return Spending(f"{amount} x tokens", spec.with_streams(1), REASONING, tokens=float(amount))


def loop(spec: ModelSpec, amount: int) -> Spending:
    """R passes through the same layers, one after another, each with a cache of its own."""
    return Spending(
        f"loop R = {amount}",
        spec.with_streams(1),
        LOOP,
        passes=amount,
        kv_entries=amount,
        prefill=amount,
    )


def plt(spec: ModelSpec, amount: int, window: int = 64) -> Spending:
    """R loops of R successive tokens in one pass; they share the first loop's cache.

    Later loops keep a window of their own. The prompt goes through its loops in turn; an engine
    might skip later loops of all but the last windows of it, which is not assumed.
    """
    return Spending(
        f"PLT R = {amount}",
        spec.with_streams(1),
        PLT,
        streams=amount,
        kv_window=(amount - 1) * window,
        prefill=amount,
    )


def phd(spec: ModelSpec, amount: int, window: int = 16) -> Spending:
    """Each token runs K times in one pass; only the first leaves its keys and values.

    Repeats see a window of repeats in their own chunk (PHD-CSWA), so that of the prompt only the
    last chunk repeats: its few tokens are not counted.
    """
    return Spending(
        f"PHD K = {amount}",
        spec.with_streams(1),
        PHD,
        streams=amount,
        kv_window=(amount - 1) * window,
    )


def mixture(spec: ModelSpec, amount: int) -> Spending:
    """E times the MLPs as experts of the same width, of which each token-stream passes one.

    Raises:
        InputError: The model has experts already, or layers of several kinds.
    """
    if spec.layers:
        raise InputError(
            "moe makes experts of a dense model's MLPs; this one's layers are not plain"
        )
    experts = (LayerGroup(mlp=Experts(number=amount, per_token=1)),)
    return Spending(f"MoE E = {amount}", replace(spec.with_streams(1), layers=experts), MOE)


METHODS: Mapping[str, Callable[[ModelSpec, int], Spending]] = {
    "parscale": parscale,
    "moe": mixture,
    "best-of-n": best_of_n,
    "longer": longer,
    "loop": loop,
    "plt": plt,
    "phd": phd,
}
"""Methods by name; the amount is P, E, N, T, R, R and K."""


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


def method_cost(spending: Spending, workload: Workload, system: System) -> MethodCost:
    """The cost of a request by a method.

    A decode step runs `passes` times through the layers, with `streams` token-streams of each
    sample against one cache. Samples read the prompt's cache each for itself, also where they
    share its memory: kernels that read it once for all are not assumed. With all amounts at 1 the
    cost is that of `estimate`, to the last bit.

    Args:
        spending: The method.
        workload: The base's request; the method may generate more tokens.
        system: What runs it; its layout has no pipeline.

    Raises:
        InputError: The model cannot be divided so, or the devices have no link.
    """
    precision, layout = system.precision, system.layout
    if not is_one(layout.pipeline_parallel):
        raise InputError("methods are compared without pipelines; leave --pipeline_parallel out")
    check_layout(layout, spending.spec, system.hardware)
    output = maximum(as_float(round(float(workload.output_length) * spending.tokens)), 1.0)
    work = replace(workload, output_length=output)
    samples = work.batch_size * spending.samples
    prompts = work.batch_size if spending.prompt_shared else samples
    asked = _Asked(spending, work, precision, prompts, samples)
    divided = asked.passes(layout)
    prefill, decode = phases(divided, system)
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
            launched=Launched(
                as_float(deep.num_hidden_layers),
                Share(spec, layout).sequences(self.samples),
                Share(spec, layout).sequences(self.prompts),
            ),
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
            step * as_count(work.decode_steps > 0),
        )
