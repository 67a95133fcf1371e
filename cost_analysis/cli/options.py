"""Records of flags that several commands share, in the published script's spelling."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import click

from cost_analysis.cli.flags import Flags, flag
from cost_analysis.cli.option_types import DATA_TYPE, DATA_TYPES_HELP, NAMES, Quantity
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.request import ModelAsked, Request, make_request, model_asked
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import (
    DEFAULT_DEVICE,
    DEFAULT_ENGINES,
    KERNELS,
    System,
    named_system,
)

PROGRAM = "parscale-cost"

MODEL = "Model (defaults hold without --model)"
"""Heading of the flags of an architecture."""

DEVICE = "Device and engine"
"""Heading of the flags of the device and the engine."""

LAYOUT = "Several devices"
"""Heading of the flags of a layout."""


def size(section: str, name: str, default: object, text: str) -> Any:
    """A flag of a whole number, its default in words."""
    shown = f"{text} [default: {default}]" if default is not None else text
    return flag(section, f"--{name}", type=int, metavar="N", help=shown)


def _switch(name: str, text: str) -> Any:
    return flag(MODEL, f"--{name}/--no_{name}", default=None, help=text)


def _dtype(name: str, text: str) -> Any:
    return flag(
        "Precision",
        f"--{name}",
        type=DATA_TYPE,
        default="bf16",
        show_default=True,
        metavar="TYPE",
        help=text,
    )


def _devices(metavar: str, kind: click.ParamType[Any] | None = None) -> Any:
    return flag(
        DEVICE,
        "--gpu_config",
        type=kind,
        default=DEFAULT_DEVICE,
        show_default=True,
        metavar=metavar,
        help="A device profile (see `hardware`) or your own TOML file.",
    )


def _rate(name: str, text: str) -> Any:
    return flag(LAYOUT, f"--{name}", type=Quantity("B/s"), metavar="RATE", help=text)


def _given(record: Flags, names: list[str]) -> dict[str, Any]:
    """The fields of a record that the user gave."""
    values = {name: getattr(record, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFlags(Flags):
    """A model by name, and fields of `ModelSpec` that replace those of the named model."""

    model: str | None = flag(
        MODEL,
        "--model",
        metavar="NAME|FILE|ID",
        help="A model profile (see `models`), a config.json or a folder with one, or a Hugging "
        "Face id in the local cache.",
    )
    download: bool = flag(
        MODEL,
        "--download",
        is_flag=True,
        help="Fetch the config.json of an id that is not in the cache.",
    )
    hidden_size: int | None = size(MODEL, "hidden_size", None, "Width of the residual stream.")
    intermediate_size: int | None = size(
        MODEL, "intermediate_size", "27/5 of hidden_size", "Width of the MLP."
    )
    num_hidden_layers: int | None = size(MODEL, "num_hidden_layers", 36, "Layers.")
    num_attention_heads: int | None = size(MODEL, "num_attention_heads", 16, "Query heads.")
    num_key_value_heads: int | None = size(MODEL, "num_key_value_heads", 2, "Key and value heads.")
    head_dim: int | None = size(MODEL, "head_dim", "hidden_size / heads", "Width of a head.")
    vocab_size: int | None = size(MODEL, "vocab_size", 151936, "Rows of the embedding table.")
    max_position_embeddings: int | None = size(
        MODEL, "max_position_embeddings", 2048, "Longest sequence it was made for."
    )
    gated_mlp: bool | None = _switch("gated_mlp", "MLP with a gate, or plain. [default: gated]")
    qkv_bias: bool | None = _switch("qkv_bias", "Biases on q, k and v. [default: yes]")
    qk_norm: bool | None = _switch("qk_norm", "Norms on q and k heads. [default: no]")
    tie_word_embeddings: bool | None = _switch(
        "tie_word_embeddings", "LM head is the embedding. [default: tied]"
    )
    streams: int | None = size("Streams", "P", 1, "Parallel streams.")
    prefix_tokens: int | None = size(
        "Streams", "parscale_prefix_tokens", 48, "Learned prefix tokens of a stream."
    )

    def asked(self) -> ModelAsked:
        """The model that the flags describe.

        Raises:
            InputError: No such model, or a size out of range.
        """
        return model_asked(self.model, _given(self, _SPEC_FIELDS), download=self.download)

    def filled_in(self, spec: ModelSpec) -> ModelFlags:
        """These flags, with a model's own fields where a flag was not given."""
        own = {name: getattr(spec, name) for name in _SPEC_FIELDS if getattr(self, name) is None}
        return replace(self, **own)


_SPEC_FIELDS = [item.name for item in fields(ModelFlags) if item.name not in ("model", "download")]
"""Flags of a model that are fields of `ModelSpec`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFlags(Flags):
    """Batch size and lengths of one request."""

    batch_size: int | None = size("Workload", "batch_size", 1, "Sequences.")
    input_length: int | None = size("Workload", "input_length", 64, "Prompt tokens of each.")
    output_length: int | None = size("Workload", "output_length", 64, "Generated tokens of each.")
    logits: str = flag(
        "Workload",
        "--logits",
        type=click.Choice(["last", "all"]),
        default="last",
        show_default=True,
        help="Prompt positions whose logits the prefill computes and keeps.",
    )

    def workload(self) -> Workload:
        """The workload of the request."""
        return Workload(**_given(self, [item.name for item in fields(self)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFlags(Flags):
    """What runs a model on a device."""

    engine: str | None = flag(
        DEVICE,
        "--engine",
        metavar="NAME|FILE",
        help="What runs the model: eager, graphs, native, cpu, ideal, llm-analysis, a named engine "
        f"such as vllm, or a TOML file. [default: {DEFAULT_ENGINES['gpu']} on a GPU, "
        f"{DEFAULT_ENGINES['cpu']} on a CPU, else ideal]",
    )
    flops_efficiency: float | None = flag(
        DEVICE,
        "--flops_efficiency",
        type=float,
        metavar="SHARE",
        help="Share of the peak FLOP/s that is reached, instead of the engine's.",
    )
    bandwidth_efficiency: float | None = flag(
        DEVICE,
        "--hbm_memory_efficiency",
        type=float,
        metavar="SHARE",
        help="Share of the memory bandwidth that is reached, instead of the engine's.",
    )
    kernels: str | None = flag(
        DEVICE,
        "--kernels",
        type=click.Choice(KERNELS),
        help="Times of kernels: by curves fitted to measured ones, by tables of these (extra "
        "'kernels'), or by roofs alone. [default: fitted where the device was measured]",
    )

    def on(self, device: str) -> System:
        """This engine on a device, in bf16."""
        return self.named(device, self.engine)

    def named(self, device: str, engine: str | None) -> System:
        """Another engine on a device, in bf16."""
        return named_system(
            device,
            engine,
            self.flops_efficiency,
            self.bandwidth_efficiency,
            self.kernels,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFlags(Flags):
    """A device, and what runs models on it."""

    gpu_config: str = _devices("NAME|FILE")
    run_by: EngineFlags

    def system(self) -> System:
        """The device with its engine, in bf16."""
        return self.run_by.on(self.gpu_config)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralDeviceFlags(Flags):
    """Devices, and what runs models on them."""

    gpu_config: tuple[str, ...] = _devices("NAME|FILE[,…]", NAMES)
    run_by: EngineFlags

    def systems(self) -> list[System]:
        """Each of the devices, in bf16."""
        return [self.run_by.on(device) for device in self.gpu_config]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFlags(Flags):
    """Storage formats of activations and cache."""

    activation_dtype: str = _dtype("activation_dtype", "Format of what goes into matrix products.")
    kv_cache_dtype: str = _dtype("kv_cache_dtype", "Format of cached keys and values.")

    def beside(self, weights: str) -> Precision:
        """These formats with a format of weights."""
        return Precision(weights, self.activation_dtype, self.kv_cache_dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionFlags(Flags):
    """Storage formats of weights, activations and cache."""

    weight_dtype: str = _dtype(
        "weight_dtype", f"Format of the matrices of attention and MLP: {DATA_TYPES_HELP}."
    )
    others: StorageFlags

    def precision(self) -> Precision:
        """The formats as a record."""
        return self.others.beside(self.weight_dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFlags(Flags):
    """What runs a model on one device."""

    device: DeviceFlags
    formats: PrecisionFlags

    def system(self) -> System:
        """The device with its engine and formats."""
        return replace(self.device.system(), precision=self.formats.precision())


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFlags(Flags):
    """Links between devices, where they differ from the device's profile."""

    interconnect: float | None = _rate(
        "interconnect",
        "Link between devices, both directions together, like 900GB/s. [default: the device's]",
    )
    devices_per_node: int | None = size(
        LAYOUT, "devices_per_node", "all", "Devices that the interconnect joins."
    )
    network: float | None = _rate(
        "network", "Link of each device to other nodes, each direction, like 50GB/s."
    )

    def applied(self, system: System) -> System:
        """A system whose devices are joined by these links."""
        links = _given(self, [item.name for item in fields(self)])
        return replace(system, hardware=system.hardware.with_links(links))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFlags(Flags):
    """The layout: how a model is divided among devices."""

    tensor_parallel: int | None = size(
        LAYOUT, "tensor_parallel", 1, "Devices that share each layer."
    )
    pipeline_parallel: int | None = size(
        LAYOUT, "pipeline_parallel", 1, "Stages of layers, each on devices of its own."
    )
    expert_parallel: int | None = size(
        LAYOUT, "expert_parallel", 1, "Groups that share sequences and routed experts."
    )
    stream_parallel: int | None = size(
        LAYOUT, "stream_parallel", 1, "Groups that share the streams; each has all weights."
    )
    expert_groups: int | None = size(
        LAYOUT, "expert_groups", 1, "Parts of tensor_parallel that each hold whole experts."
    )
    links: LinkFlags

    def applied(self, system: System) -> System:
        """A system of several devices, divided and joined as the flags say."""
        layout = Layout(**_given(self, [item.name for item in fields(Layout)]))
        return replace(self.links.applied(system), layout=layout)

    def refuse(self, command: str) -> None:
        """Refuse several devices where an answer is about one.

        Raises:
            InputError: A flag of a layout is given.
        """
        for item in fields(Layout):
            if getattr(self, item.name) not in (None, 1):
                raise InputError(f"{command} is about one device; leave --{item.name} out")


def request_from(
    model: ModelFlags,
    workload: WorkloadFlags | None,
    system: SystemFlags,
    layout: LayoutFlags | LinkFlags | None = None,
) -> Request:
    """The request that flags describe.

    Args:
        model: The model.
        workload: Batch size and lengths; None where a command has flags of its own for them.
        system: What runs it.
        layout: How the model is divided among devices, or what joins them; None means one device.

    Raises:
        InputError: A value is out of range, or values contradict each other.
    """
    asked = model.asked()
    chosen = system.system() if layout is None else layout.applied(system.system())
    chosen.layout.check(asked.spec)
    work = Workload() if workload is None else workload.workload()
    by_default = system.device.run_by.engine is None
    return make_request(asked, work, chosen, engine_assumed=by_default)


def base_flag(section: str) -> Any:
    """The model that is scaled."""
    return flag(section, "--base", default="1.6B", show_default=True, help="Model that is scaled.")


def baseline_flag(section: str, default: str = "law") -> Any:
    """How the parameter-scaled model is chosen."""
    return flag(
        section,
        "--baseline",
        default=default,
        show_default=True,
        metavar="law|measured|NAME",
        help="Model of equal loss: by the fitted law, by measured losses, or one you name.",
    )


def dataset_flag(
    section: str, default: str | None = "stack", text: str = "both, side by side"
) -> Any:
    """The data set whose losses count; without a default, both."""
    return flag(
        section,
        "--dataset",
        type=click.Choice(["stack", "pile"]),
        default=default,
        show_default=default is not None,
        help="Losses to go by." if default else f"Losses to go by. [default: {text}]",
    )


MEASUREMENTS_HELP = (
    "CSV file of measurements, a number a row. [default: the cited rows that come along]"
)


def chosen_datasets(dataset: str | None) -> tuple[str, ...]:
    """The data set that was asked for, or all of them."""
    from cost_analysis.law.runs import DATASETS

    return tuple(DATASETS) if dataset is None else (dataset,)


def stream_counts(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … up to the largest, which is always among them."""
    powers = (1 << exponent for exponent in range(largest.bit_length()))
    return tuple(sorted({*powers, largest}))
