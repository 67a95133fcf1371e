"""An engine: the software that runs a model, its efficiency, and the spread of measured times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cost_analysis.common.arrays import Number, is_array, maximum, minimum, where
from cost_analysis.common.checks import check_count, check_positive, check_share, check_time
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import DType


@dataclass(frozen=True, slots=True)
class AttentionKernels:
    """How an engine's attention differs from a large read and a large matrix product.

    Attributes:
        flops_share: Share of the matrix products' rate that scores and values reach, in a prefill.
        bandwidth_share: Share of the weights' rate that reading the cache reaches.
        floor: Time beyond the kernel floor that a layer's attention takes at least [s].
        score_bytes: Traffic of each query-key score, where scores are written to memory [B].
        cache_copies: How often keys and values, copied to all query heads, are moved beyond
            reading the cache once: concatenation and expansion of grouped heads.
        filling_blocks: Blocks (`Operator.blocks`) that fill the device, for a kernel that does not
            divide the context; 0 for one that does, which always fills it.
    """

    flops_share: Number = 1.0
    bandwidth_share: Number = 1.0
    floor: Number = 0.0
    score_bytes: Number = 0.0
    cache_copies: Number = 0.0
    filling_blocks: Number = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_positive("attention flops_share", self.flops_share)
        check_positive("attention bandwidth_share", self.bandwidth_share)
        check_time("attention floor", self.floor)
        check_count("score_bytes", self.score_bytes)
        check_count("cache_copies", self.cache_copies)
        check_count("filling_blocks", self.filling_blocks)

    def filled(self, blocks: Number) -> Number:
        """Share of the device that a kernel with a number of blocks keeps busy."""
        if not is_array(self.filling_blocks) and self.filling_blocks == 0:
            return 1.0
        busy = minimum(blocks / maximum(self.filling_blocks, 1.0), 1.0)
        return where(self.filling_blocks > 0, busy, 1.0)


@dataclass(frozen=True, slots=True)
class KernelSources:
    """Whose measured kernels an engine runs: an engine with tables of kernels, or none.

    Attributes:
        products: Of its matrix products: "vllm", "sglang", "tensorrt-llm", or "".
        attention: Of its attention.
        experts: Of its mixtures of experts.
        exchanges: Of its sums over devices.
    """

    products: str = ""
    attention: str = ""
    experts: str = ""
    exchanges: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Measured times as multiples of the predicted ones, and what makes them spread wider.

    A widening is the factor of the logarithms of both ends; those of several things multiply.

    Attributes:
        low: End below which one measured run in ten is expected, in (0, 1]: 16-bit weights, no
            experts, on a device that the engine was measured on, by somebody else.
        high: End above which another is, from 1.
        new_device: Widening on other devices, from 1.
        narrow: Widening for weights below 16 bits.
        experts: Widening for a mixture of experts.
        devices: Devices that the engine was measured on.
        of_class: The ends are those of an engine of the class of which no run was seen.
    """

    low: float = 1.0
    high: float = 1.0
    new_device: float = 1.0
    narrow: float = 1.0
    experts: float = 1.0
    devices: tuple[str, ...] = ()
    of_class: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("low", "high"):
            check_positive(f"spread {name}", getattr(self, name))
        if not self.low <= 1.0 <= self.high:
            raise InputError("a spread's low end must not be above 1, nor its high end below 1")
        for name in WIDENINGS:
            check_positive(f"spread {name}", getattr(self, name))
            if getattr(self, name) < 1.0:
                raise InputError(f"spread {name} must be at least 1: it widens an interval")

    def interval(
        self, seconds: Number, device: str, *, narrow: bool = False, experts: bool = False
    ) -> tuple[Number, Number]:
        """The 80 % interval of a predicted time [s].

        Args:
            seconds: The time; may be an array.
            device: Name of the device.
            narrow: The weights are stored in fewer than 16 bits.
            experts: The model is a mixture of experts.
        """
        widening = 1.0
        for name, _ in self._applied(device, narrow, experts):
            widening *= getattr(self, name)
        return seconds * self.low**widening, seconds * self.high**widening

    def reasons(self, device: str, *, narrow: bool = False, experts: bool = False) -> list[str]:
        """What makes an interval wider than that of a known case, in a few words each."""
        applied = self._applied(device, narrow, experts)
        of_class = ["a new engine"] if self.of_class else []
        return of_class + [words for name, words in applied if getattr(self, name) > 1.0]

    def _applied(self, device: str, narrow: bool, experts: bool) -> list[tuple[str, str]]:
        """The widenings that a request has, and their words."""
        asked = (device not in self.devices, narrow, experts)
        return [item for item, applies in zip(WIDENINGS.items(), asked, strict=True) if applies]


WIDENINGS = {
    "new_device": "a new device",
    "narrow": "weights below 16 bits",
    "experts": "experts",
}
"""Fields of `Spread` that widen an interval, and what each is for."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The software that runs a model: the share of each roof that it reaches, and its overheads.

    With the default values of all fields after the two efficiencies it is a plain roofline.

    Attributes:
        name: Profile name.
        description: What it is.
        flops_efficiency: Share of the peak that a large matrix product reaches, in (0, 1].
        bandwidth_efficiency: Share of the bandwidth that a large read reaches, in (0, 1].
        device_shares: The two efficiencies are shares of what the device's best kernels reach
            (`Hardware.reached_flops`, `reached_bandwidth`), not of its datasheet.
        soft_roofs: Both roofs slow matrix products near the ridge: their time is the root of the
            sum of the squares of the two times, not the larger one. So it is with the host that
            launches layers and the device.
        kernel_floor: Time that every kernel takes at least [s].
        elementwise_share: Share of the weights' rate that norms, activations and sums reach;
            small where they are not fused and pass over their values several times.
        attention: Its attention kernels.
        quantised_flops_share: Share of the products' rate that is left where weights below 16 bits
            are converted to the type that the device multiplies.
        quantised_bandwidth_share: Share of the weights' rate that is left there.
        link_share: Share of the interconnect's bandwidth that a large all-reduce reaches.
        link_latency: Time that every all-reduce takes at least [s].
        layer_host_time: Time the host needs to launch one layer [s]; a pass cannot be faster.
        step_host_time: Time the host adds to every pass, e.g. for sampling [s].
        sequence_host_time: Time that it adds for each sequence of the pass [s].
        kernels: Whose measured kernels it runs, on devices that have them; the shares above are
            those of all other kernels.
        kernel_factor: Time of these kernels in a whole run, over that of the kernel alone.
        kernel_gap: Time from one of these kernels to the next [s].
        source: Where the figures are from, or the measurements that they were fitted on.
        engine_class: "eager", "graphs", "native" or "cpu", where the engine was fitted as one
            of them; the engine of that name is the class itself.
        words: Words of a measurement's `engine_detail` that name this engine.
        spread: Measured times beside predicted ones; None where nothing was measured.
    """

    name: str
    description: str = ""
    flops_efficiency: Number = 1.0
    bandwidth_efficiency: Number = 1.0
    device_shares: bool = False
    soft_roofs: bool = False
    kernel_floor: Number = 0.0
    elementwise_share: Number = 1.0
    attention: AttentionKernels = field(default_factory=AttentionKernels)
    quantised_flops_share: Number = 1.0
    quantised_bandwidth_share: Number = 1.0
    link_share: Number = 1.0
    link_latency: Number = 0.0
    layer_host_time: Number = 0.0
    step_host_time: Number = 0.0
    sequence_host_time: Number = 0.0
    kernels: KernelSources = KernelSources()
    kernel_factor: Number = 1.0
    kernel_gap: Number = 0.0
    source: str = ""
    engine_class: str = ""
    words: tuple[str, ...] = ()
    spread: Spread | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("flops_efficiency", "bandwidth_efficiency"):
            check_share(name, getattr(self, name))
        for name in _SHARES:
            check_positive(name, getattr(self, name))
        for name in ENGINE_TIMES:
            check_time(name, getattr(self, name))

    def flops_rate(self, hardware: Hardware, dtype: DType) -> Number:
        """Rate that large matrix products reach on a device [FLOP/s]."""
        rate = hardware.matmul_peak(dtype) * self.flops_efficiency
        return rate * hardware.reached_flops if self.device_shares else rate

    def bytes_rate(self, hardware: Hardware) -> Number:
        """Rate that large reads reach on a device [B/s]."""
        rate = hardware.bandwidth * self.bandwidth_efficiency
        return rate * hardware.reached_bandwidth if self.device_shares else rate

    def with_efficiency(self, flops: float | None, bandwidth: float | None) -> Engine:
        """The same engine with the user's own shares of the roofs; None keeps the engine's."""
        changed = self
        if flops is not None:
            changed = replace(changed, flops_efficiency=flops)
        if bandwidth is not None:
            changed = replace(changed, bandwidth_efficiency=bandwidth)
        return changed


_SHARES = (
    "elementwise_share",
    "quantised_flops_share",
    "quantised_bandwidth_share",
    "link_share",
    "kernel_factor",
)
ENGINE_SHARES = ("flops_efficiency", "bandwidth_efficiency", *_SHARES)
"""Fields of `Engine` that are shares of a rate."""

ENGINE_TIMES = (
    "kernel_floor",
    "kernel_gap",
    "link_latency",
    "layer_host_time",
    "step_host_time",
    "sequence_host_time",
)
"""Fields of `Engine` that are times [s]."""
