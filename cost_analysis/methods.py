"""Ways of spending compute on a request, all described by the same quantities.

A method is described by how it changes a base model with one stream: parameters, passes over the
weights, token-streams in each, cached entries, passes of the prompt, samples, and tokens. Its cost
follows from these. Its gain in quality is not predicted: gains need not grow with the amount
(LoopCoder-v2, arXiv 2606.18023: two loops gain, three lose).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cost_analysis.arrays import is_real
from cost_analysis.errors import InputError, shown
from cost_analysis.layers import Experts, LayerGroup
from cost_analysis.sizes import REAL, SWITCH, check_fields, size_from
from cost_analysis.spec import ModelSpec

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
