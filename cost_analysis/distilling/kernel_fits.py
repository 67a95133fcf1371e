"""All tables of kernels boiled down to curves: which there are, their fits, and what is shipped.

A format that an engine has no table of on a device, or one whose table times the host, takes the
curve of another engine there: block-wise fp8 is the same library's kernel in vLLM and in SGLang.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.distilling import attention_curves, exchange_curves, expert_curves
from cost_analysis.distilling import product_curves as products
from cost_analysis.distilling.attention_timings import timings_of
from cost_analysis.distilling.expert_loads import certain_loads
from cost_analysis.distilling.product_noise import product_noise
from cost_analysis.distilling.product_timings import (
    ProductFacts,
    ProductTimings,
    clean_timings,
)
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.profiles import load_hardware
from cost_analysis.kernels import timings as tables
from cost_analysis.kernels.curves import Curve, Curves, FittedCurve
from cost_analysis.kernels.library import PACKAGE, find_library
from cost_analysis.kernels.quantising import QuantiseCurve
from cost_analysis.kernels.shapes import FORMATS, Attention, LatentAttention
from cost_analysis.kernels.tables import Table

ENGINES = ("vllm", "sglang", "tensorrt-llm")
"""Engines with tables."""

CHIPS = {
    "a100-sxm-80gb": (108.0, 40e6),
    "h100-sxm-80gb": (132.0, 50e6),
    "h200": (132.0, 50e6),
    "b200": (148.0, 126e6),
    "gb200": (152.0, 126e6),
    "b300": (148.0, 126e6),
    "gb300": (152.0, 126e6),
    "l40s": (142.0, 96e6),
    "rtx-pro-6000": (188.0, 134e6),
    "b60": (20.0, 18e6),
}
"""Multiprocessors of a device and the size of its L2 cache [B], by NVIDIA's architecture papers of
Ampere, Hopper, Ada and Blackwell, and Intel's specifications of the B60 (its Xe cores)."""

FORMATS_OF = {
    "product": FORMATS,
    "quantise": ("fp8",),
    "decode": ("bf16", "fp8"),
    "prompt": ("bf16", "fp8"),
    "latent_decode": ("bf16", "fp8"),
    "latent_prompt": ("bf16", "fp8"),
    "experts": FORMATS,
    "all_reduce": ("bf16",),
}
"""Formats that a family may have."""

UNTUNED = {(device, "vllm", "experts", "fp8") for device in ("h100-sxm-80gb", "h200")}
"""Tables of kernels that nobody runs: vLLM's experts with a scale for a whole tensor take two to
three times as long as in bf16 on Hopper, whose tuned kernels have scales for blocks."""

OTHERS = {("tensorrt-llm", "product", "nvfp4"): "vllm"}
"""Whose curve is taken although there is an own one: TensorRT-LLM's call of an nvfp4 product
quantises its input, which in whole runs the kernel before does, and no table says what of it."""

BLACKWELL_OTHERS = {
    ("tensorrt-llm", "experts", "nvfp4"): "sglang",
    ("tensorrt-llm", "experts", "fp8-block"): "sglang",
}
"""The same on devices of that generation: SGLang calls TensorRT-LLM's own kernels of experts there,
of which its own table has others, up to three times as slow at few tokens."""

LENDERS = ("sglang", "tensorrt-llm", "vllm")
"""Engines whose curve is taken where an engine has none, the first one that has it."""

LARGEST_ERROR = 0.15
"""Median error of a curve above which that of another engine is taken, if there is a better one."""

OLD_ROUTERS = ("a100-sxm-80gb",)
"""Devices whose tables of experts routed tokens in another way, of which only some loads are
known."""


class Job(NamedTuple):
    """A table to fit.

    Attributes:
        device: Our name of the device.
        engine: Our name of the engine.
        family: Kind of kernels.
        format: Format of weights or cache.
    """

    device: str
    engine: str
    family: str
    format: str


class Bucket(NamedTuple):
    """Errors of a part of the timings that a fit had not seen, |predicted / measured - 1|.

    Attributes:
        name: Of the part: "rows 17-64".
        rows: Timings.
        median: Of the errors.
        ninety: Their 90th percentile.
    """

    name: str
    rows: int
    median: float
    ninety: float


UNKNOWN = Bucket("all", 0, float("nan"), float("nan"))
"""Errors where there are no timings."""


@dataclass(frozen=True, slots=True)
class KernelFit:
    """A fitted table.

    Attributes:
        job: Which table.
        curve: The curve, fitted to all its timings; None where it cannot be used.
        source: The file in the package.
        rows: Timings that were fitted.
        dropped: Timings that were not: beyond a roof, of the host, of badly chosen kernels.
        held_out: Errors on timings that a fit of the others had not seen.
        buckets: The same by rows, sequences and context, or tokens.
        eight: Median error of the time at 8 rows over that at 1, of those; nan without any.
        noise: Share within which the ratio of two such times repeats (`product_noise`); nan where
            it is not known.
        reason: Why there is no curve.
    """

    job: Job
    curve: Curve | None = None
    source: str = ""
    rows: int = 0
    dropped: int = 0
    held_out: Bucket = UNKNOWN
    buckets: tuple[Bucket, ...] = ()
    eight: float = float("nan")
    noise: float = float("nan")
    reason: str = ""


def jobs_of(tables_found: Iterable[Table]) -> list[Job]:
    """The curves that there may be of the devices and engines of some tables."""
    pairs = dict.fromkeys((table.device, table.engine) for table in tables_found)
    return [
        Job(device, engine, family, name)
        for device, engine in pairs
        if engine in ENGINES and device in CHIPS
        for family, names in FORMATS_OF.items()
        for name in names
    ]


def fitted(job: Job) -> KernelFit:
    """The fit of a table, with its errors; without a curve where there is none to be had."""
    if job in UNTUNED:
        return KernelFit(job, reason="kernels that are not tuned")
    try:
        return _FITS[job.family](job)
    except InputError as error:
        return KernelFit(job, reason=str(error))


def fit_all(
    jobs: Sequence[Job],
    executor: Executor,
    tell: Callable[[KernelFit], None] = lambda _: None,
) -> list[KernelFit]:
    """The fits of many tables, in their order.

    Args:
        jobs: Which.
        executor: Runs the fits.
        tell: Called with each fit, in their order, when it is done.
    """
    found = []
    for waiting in [executor.submit(fitted, job) for job in jobs]:
        found.append(waiting.result())
        tell(found[-1])
    return found


def shipped(fits: Iterable[KernelFit]) -> dict[tuple[str, str], Curves]:
    """The curves of each device and engine, those of others where it has none."""
    usable = {fit.job: fit for fit in fits if fit.curve is not None}
    found: dict[tuple[str, str], Curves] = {}
    for device in dict.fromkeys(job.device for job in usable):
        for engine in dict.fromkeys(job.engine for job in usable if job.device == device):
            curves = {}
            for family, names in (FORMATS_OF | {"quantise": ("fp8", "nvfp4")}).items():
                for name in names:
                    lent = _lent(Job(device, engine, family, name), usable)
                    if lent is not None:
                        curves[family, name] = lent
            found[device, engine] = curves
    return found


def _lent(job: Job, usable: dict[Job, KernelFit]) -> FittedCurve | None:
    """The curve of a table, or of the same of another engine."""
    is_blackwell = "Blackwell" in load_hardware(job.device).architecture
    others = OTHERS | BLACKWELL_OTHERS if is_blackwell else OTHERS
    preferred = others.get((job.engine, job.family, job.format), job.engine)
    lenders: tuple[str, ...] = (preferred, job.engine, *LENDERS)
    if job.family == "quantise":
        # What quantising takes belongs to the product that includes it. Four bits or eight: it is
        # a pass over the same 16-bit values.
        lenders = () if job.format == "nvfp4" and job.engine != "vllm" else (job.engine,)
        job = job._replace(format="fp8")
    found = [usable[job._replace(engine=e)] for e in lenders if job._replace(engine=e) in usable]
    if not found:
        return None
    good = [fit for fit in found if fit.held_out.median <= LARGEST_ERROR]
    fit = good[0] if good else min(found, key=lambda each: each.held_out.median)
    if fit.curve is None:
        return None
    errors = {"median": fit.held_out.median, "ninety": fit.held_out.ninety}
    known = {"eight": fit.eight, "noise": fit.noise}
    errors |= {name: error for name, error in known.items() if not np.isnan(error)}
    lender = "" if fit.job.engine == job.engine else fit.job.engine
    source = f"{fit.source}, {fit.rows:,} timings"
    return FittedCurve(fit.curve, source, errors, lender=lender)


def _source(table: Table) -> str:
    return f"{PACKAGE} {find_library().version}, {table.source}"


def _rates(job: Job) -> tuple[Hardware, float, float]:
    """The device, the peak of products in the format [FLOP/s], and the bytes of a weight [B]."""
    device = load_hardware(job.device)
    stored = dtype_named("fp8-b128" if job.format == "fp8-block" else job.format)
    # Weights of int8 and int4 are multiplied as 16-bit values.
    computed = dtype_named("bf16") if job.format in ("int8", "int4") else stored
    return device, float(device.matmul_peak(computed)), float(stored.bytes)


def _product(job: Job) -> KernelFit:
    table = tables.product_table(job.device, job.engine, job.format)
    device, peak, weight = _rates(job)
    inputs = {"bf16": 2.0, "int8": 2.0, "int4": 2.0, "nvfp4": 0.5625, "mxfp4": 0.53}
    chip = CHIPS[job.device]
    facts = ProductFacts(*chip, float(device.bandwidth), peak, weight, inputs.get(job.format, 1.0))
    clean = clean_timings(ProductTimings(*table[:4]), facts)
    dropped = clean.beyond_roofs + clean.host_bound
    if clean.host_bound > len(table.seconds) / 2:
        raise InputError("its timings are those of the host that launches it")
    errors = products.held_out_errors(clean.timings, facts)
    return KernelFit(
        job,
        products.fit_product_curve(clean.timings, facts),
        _source(table.table),
        len(clean.timings.seconds),
        dropped,
        _bucket("all", errors.whole),
        tuple(_bucket(_named("rows", part.first, part.last), part) for part in errors.buckets),
        errors.ratios.median,
        product_noise(clean.timings),
    )


def _bucket(name: str, errors: products.BucketErrors) -> Bucket:
    return Bucket(name, errors.count, errors.median, errors.ninth_decile)


def _named(what: str, first: float, last: float) -> str:
    if last > 1e9:
        return f"{what} {first:,.0f} and more"
    return f"{what} {first:,.0f}" + (f"-{last:,.0f}" if last > first else "")


def _quantise(job: Job) -> KernelFit:
    table = tables.quantise_table(job.device, job.engine)
    rows, inputs, seconds = table.rows, table.inputs, table.seconds
    good = seconds > 0
    values, seconds = (rows * inputs)[good], seconds[good]
    curve = _fit_quantise(values, seconds)
    predicted = curve.start + np.maximum(values * curve.value_seconds - curve.step, 0.0)
    off = np.abs(predicted / seconds - 1.0)
    whole = Bucket("all", len(off), float(np.median(off)), float(np.quantile(off, 0.9)))
    return KernelFit(job, curve, _source(table.table), len(seconds), 0, whole)


def _fit_quantise(values: Array, seconds: Array) -> QuantiseCurve:
    """Three numbers by robust least squares of the logarithm of the ratio."""
    from scipy.optimize import least_squares

    def residuals(logs: Any) -> Array:
        start, step, each = np.exp(logs)
        return np.log((start + np.maximum(values * each - step, 0.0)) / seconds)

    few = float(np.median(seconds[values <= 1e5]))
    slope = float(np.median((seconds / values)[values >= np.quantile(values, 0.95)]))
    guess = np.log([few, 1e-6, slope])
    found = np.exp(least_squares(residuals, guess, loss="soft_l1", f_scale=0.1).x)
    return QuantiseCurve(*(float(f"{number:.4g}") for number in found))


def _attention(job: Job, *, decodes: bool) -> KernelFit:
    table = tables.attention_table(job.device, job.engine, job.format, decodes=decodes)
    shape = Attention(*table[:7], job.format, decodes)
    return _attention_fit(job, shape, table.seconds, table.table, decodes=decodes)


def _latent(job: Job, *, decodes: bool) -> KernelFit:
    table = tables.latent_table(job.device, job.engine, job.format, decodes=decodes)
    shape = LatentAttention(*table[:4], np.full_like(table.heads, 576.0), job.format, decodes)
    return _attention_fit(job, shape, table.seconds, table.table, decodes=decodes)


def _attention_fit(
    job: Job,
    shape: Attention | LatentAttention,
    seconds: Array,
    table: Table,
    *,
    decodes: bool,
) -> KernelFit:
    device = load_hardware(job.device)
    bandwidth, peak = float(device.bandwidth), float(device.matmul_peak(dtype_named("bf16")))
    timings = timings_of(shape, seconds, bandwidth)
    kind = attention_curves.fit_decode if decodes else attention_curves.fit_prompt
    fit = partial(kind, bandwidth=bandwidth, peak=peak)
    errors = attention_curves.held_out_errors(timings, fit)
    parts = {
        name: Bucket(name, each.rows, each.median, each.ninety) for name, each in errors.items()
    }
    whole = parts.pop("all")
    return KernelFit(
        job,
        fit(timings),
        _source(table),
        timings.seconds.size,
        timings.dropped,
        whole,
        tuple(parts.values()),
        errors["all"].ratio if decodes else float("nan"),
    )


def _experts(job: Job) -> KernelFit:
    table = tables.expert_table(job.device, job.engine, job.format)
    device, peak, weight = _rates(job)
    facts = expert_curves.ExpertFacts(CHIPS[job.device][1], float(device.bandwidth), peak, weight)
    timings = expert_curves.ExpertTimings(*table[:8])
    if job.device in OLD_ROUTERS:
        sizes = (timings.tokens, timings.per_token, timings.experts, timings.held)
        timings = timings.part(certain_loads(*sizes))
    clean = expert_curves.clean_timings(timings, facts)
    errors = expert_curves.held_out_errors(clean.timings, facts)
    buckets = tuple(
        Bucket(_named("tokens", first, last), each.rows, each.median, each.ninety)
        for (first, last), each in zip(expert_curves.BUCKETS, errors.buckets, strict=True)
        if each is not None
    )
    return KernelFit(
        job,
        expert_curves.rounded(expert_curves.fit_expert_curve(clean.timings, facts)),
        _source(table.table),
        len(clean.timings.seconds),
        clean.unaligned + clean.beyond_roof + clean.slower,
        Bucket("all", errors.all.rows, errors.all.median, errors.all.ninety),
        buckets,
        errors.eight.median if errors.eight else float("nan"),
    )


def _all_reduce(job: Job) -> KernelFit:
    table = tables.all_reduce_table(job.device, job.engine)
    timings = exchange_curves.ExchangeTimings(table.bytes, table.devices, table.seconds)
    errors = exchange_curves.held_out_errors(timings)
    whole = Bucket("all", errors.rows, errors.median, errors.ninety)
    curve = exchange_curves.fit_reduce_curve(timings)
    return KernelFit(job, curve, _source(table.table), len(table.seconds), 0, whole)


_FITS: dict[str, Callable[[Job], KernelFit]] = {
    "product": _product,
    "quantise": _quantise,
    "decode": partial(_attention, decodes=True),
    "prompt": partial(_attention, decodes=False),
    "latent_decode": partial(_latent, decodes=True),
    "latent_prompt": partial(_latent, decodes=False),
    "experts": _experts,
    "all_reduce": _all_reduce,
}
