"""Flags that several commands share, in the published script's spelling and with dashes.

Flags and commands whose help is grouped under headings.

Flags of several devices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from cost_analysis.cli.option_types import DATA_TYPE, DATA_TYPES_HELP, NAMES, Quantity
from cost_analysis.common.checks import FLAGS
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.device import LINKS
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.request import (
    DEFAULT_DEVICE,
    DEFAULT_ENGINES,
    Request,
    make_request,
    make_system,
)
from cost_analysis.inputs.spec import ModelSpec

Command = TypeVar("Command", bound=Callable[..., Any])


class SectionedOption(click.Option):
    """An option that the help lists under a heading."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        """An option of a section of the help."""
        super().__init__(*args, **kwargs)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help groups its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Other"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


def section_option(section: str, *names: str, **kwargs: Any) -> Callable[[Command], Command]:
    """`click.option` under a heading of the help."""
    return click.option(*names, cls=SectionedOption, section=section, **kwargs)


def chain(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several flags as one decorator, listed in this order."""

    def decorate(command: Command) -> Command:
        """Give a command these flags."""
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


MODEL = "Model (defaults hold without --model)"
"""Heading of the flags of an architecture."""

FORMATS = ("table", "csv", "json", "markdown")


def size_option(
    section: str, name: str, default: object, text: str
) -> Callable[[Command], Command]:
    """A flag of a whole number; its help states the default."""
    shown = f"{text} [default: {default}]" if default is not None else text
    return section_option(section, f"--{name}", name, type=int, metavar="N", help=shown)


def _switch(name: str, text: str) -> Callable[[Command], Command]:
    return section_option(MODEL, f"--{name}/--no_{name}", name, default=None, help=text)


def _dtype(name: str, text: str) -> Callable[[Command], Command]:
    return section_option(
        "Precision",
        f"--{name}",
        type=DATA_TYPE,
        default="bf16",
        show_default=True,
        metavar="TYPE",
        help=text,
    )


MODEL_FIELDS = [
    item.name for item in fields(ModelSpec) if item.name not in ("name", "layers", "frame")
]
"""What a user may give of a model; `FLAGS` says how some are called."""

model_options = chain(
    section_option(
        MODEL,
        "--model",
        metavar="NAME|FILE|ID",
        help="A model profile (see `models`), a config.json or a folder with one, or a Hugging "
        "Face id in the local cache.",
    ),
    section_option(
        MODEL,
        "--download",
        is_flag=True,
        help="Fetch the config.json of an id that is not in the cache.",
    ),
    size_option(MODEL, "hidden_size", None, "Width of the residual stream."),
    size_option(MODEL, "intermediate_size", "27/5 of hidden_size", "Width of the MLP."),
    size_option(MODEL, "num_hidden_layers", 36, "Layers."),
    size_option(MODEL, "num_attention_heads", 16, "Query heads."),
    size_option(MODEL, "num_key_value_heads", 2, "Key and value heads."),
    size_option(MODEL, "head_dim", "hidden_size / heads", "Width of a head."),
    size_option(MODEL, "vocab_size", 151936, "Rows of the embedding table."),
    size_option(MODEL, "max_position_embeddings", 2048, "Longest sequence it was made for."),
    _switch("gated_mlp", "MLP with a gate, or plain. [default: gated]"),
    _switch("qkv_bias", "Biases on q, k and v. [default: yes]"),
    _switch("qk_norm", "Norms on q and k heads. [default: no]"),
    _switch("tie_word_embeddings", "LM head is the embedding. [default: tied]"),
    size_option("Streams", "P", 1, "Parallel streams."),
    size_option("Streams", "parscale_prefix_tokens", 48, "Learned prefix tokens of a stream."),
)

workload_options = chain(
    size_option("Workload", "batch_size", 1, "Sequences."),
    size_option("Workload", "input_length", 64, "Prompt tokens of each."),
    size_option("Workload", "output_length", 64, "Generated tokens of each."),
    section_option(
        "Workload",
        "--logits",
        type=click.Choice(["last", "all"]),
        default="last",
        show_default=True,
        help="Prompt positions whose logits the prefill computes and keeps.",
    ),
)


def _devices(
    metavar: str, kind: click.ParamType[Any] | None = None
) -> Callable[[Command], Command]:
    return section_option(
        "Device and engine",
        "--gpu_config",
        type=kind,
        default=DEFAULT_DEVICE,
        show_default=True,
        metavar=metavar,
        help="A device profile (see `hardware`) or your own TOML file.",
    )


_engine_options = chain(
    section_option(
        "Device and engine",
        "--engine",
        metavar="NAME|FILE",
        help="What runs the model: eager, graphs, native, cpu, ideal, llm-analysis, a named engine "
        "such as vllm or hf-transformers-fa2, or a TOML file. "
        f"[default: {DEFAULT_ENGINES['gpu']} on a GPU, {DEFAULT_ENGINES['cpu']} on a CPU, "
        "else ideal]",
    ),
    section_option(
        "Device and engine",
        "--flops_efficiency",
        type=float,
        metavar="SHARE",
        help="Share of the peak FLOP/s that is reached, instead of the engine's.",
    ),
    section_option(
        "Device and engine",
        "--hbm_memory_efficiency",
        "bandwidth_efficiency",
        type=float,
        metavar="SHARE",
        help="Share of the memory bandwidth that is reached, instead of the engine's.",
    ),
)

device_options = chain(_devices("NAME|FILE"), _engine_options)
several_device_options = chain(_devices("NAME|FILE[,…]", NAMES), _engine_options)

storage_options = chain(
    _dtype("activation_dtype", "Format of what goes into matrix products."),
    _dtype("kv_cache_dtype", "Format of cached keys and values."),
)

precision_options = chain(
    _dtype("weight_dtype", f"Format of the matrices of attention and MLP: {DATA_TYPES_HELP}."),
    storage_options,
)

system_options = chain(device_options, precision_options)


def base_option(section: str) -> Callable[[Command], Command]:
    """The model that is scaled."""
    return section_option(
        section, "--base", default="1.6B", show_default=True, help="Model that is scaled."
    )


def baseline_option(section: str, default: str = "law") -> Callable[[Command], Command]:
    """How the parameter-scaled model is chosen."""
    return section_option(
        section,
        "--baseline",
        default=default,
        show_default=True,
        metavar="law|measured|NAME",
        help="Model of equal loss: by the fitted law, by measured losses, or one you name.",
    )


def dataset_option(
    section: str, default: str | None = "stack", text: str = "both, side by side"
) -> Callable[[Command], Command]:
    """Whose losses count; without a default, those of both data sets."""
    return section_option(
        section,
        "--dataset",
        type=click.Choice(["stack", "pile"]),
        default=default,
        show_default=default is not None,
        help="Losses to go by." if default else f"Losses to go by. [default: {text}]",
    )


format_option = section_option(
    "Output",
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How to answer. [default: by the ending of --output, else table]",
)

output_options = chain(
    format_option,
    section_option(
        "Output",
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Write to a file instead of the terminal; - is the terminal.",
    ),
)


def system_from(options: dict[str, Any]) -> dict[str, Any]:
    """What the system flags describe: the fields of `request_costs.System`.

    Takes these flags out of `options`.
    """
    hardware, engine, _ = make_system(
        options.pop("gpu_config"),
        options.pop("engine"),
        flops := options.pop("flops_efficiency"),
        bandwidth := options.pop("bandwidth_efficiency"),
    )
    return {
        "hardware": hardware,
        "engine": engine,
        "precision": Precision(**_precision(options)),
        "flops_efficiency": flops,
        "bandwidth_efficiency": bandwidth,
    }


def _precision(options: dict[str, Any]) -> dict[str, str]:
    return {
        "weights": options.pop("weight_dtype"),
        "activations": options.pop("activation_dtype"),
        "kv_cache": options.pop("kv_cache_dtype"),
    }


MEASUREMENTS_HELP = (
    "CSV file of measurements, a number a row. [default: the cited rows that come along]"
)


def stream_counts(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … up to the largest, which is always among them."""
    powers = (1 << exponent for exponent in range(largest.bit_length()))
    return tuple(sorted({*powers, largest}))


def request_from(options: dict[str, Any]) -> Request:
    """The request that the model, workload and system flags describe.

    Takes these flags out of `options`, so that what is left belongs to the command.
    """
    architecture = {name: options.pop(FLAGS.get(name, name)) for name in MODEL_FIELDS}
    workload = {
        name: options.pop(name)
        for name in ("batch_size", "input_length", "output_length", "logits")
    }
    precision = _precision(options)
    return make_request(
        model=options.pop("model"),
        architecture=_given(architecture),
        workload=_given(workload),
        precision=precision,
        gpu_config=options.pop("gpu_config"),
        engine=options.pop("engine"),
        flops_efficiency=options.pop("flops_efficiency"),
        bandwidth_efficiency=options.pop("bandwidth_efficiency"),
        download=options.pop("download"),
        layout=_given({item.name: options.pop(item.name, None) for item in fields(Layout)}),
        links=_given({name: options.pop(name, None) for name in LINKS}),
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


LAYOUT = "Several devices"
"""Heading of the flags of a layout."""

link_options = chain(
    section_option(
        LAYOUT,
        "--interconnect",
        type=Quantity("B/s"),
        metavar="RATE",
        help="Link between devices, both directions together, like 900GB/s. [default: the "
        "device's]",
    ),
    size_option(LAYOUT, "devices_per_node", "all", "Devices that the interconnect joins."),
    section_option(
        LAYOUT,
        "--network",
        type=Quantity("B/s"),
        metavar="RATE",
        help="Link of each device to other nodes, each direction, like 50GB/s.",
    ),
)

layout_options = chain(
    size_option(LAYOUT, "tensor_parallel", 1, "Devices that share each layer."),
    size_option(LAYOUT, "pipeline_parallel", 1, "Stages of layers, each on devices of its own."),
    size_option(LAYOUT, "expert_parallel", 1, "Groups that share sequences and routed experts."),
    size_option(
        LAYOUT, "stream_parallel", 1, "Groups that share the streams; each has all weights."
    ),
    link_options,
)


def refuse_layout(options: dict[str, Any], command: str) -> None:
    """Refuse several devices where an answer is about one.

    Raises:
        InputError: A flag of a layout is given.
    """
    for item in fields(Layout):
        if options.get(item.name) not in (None, 1):
            raise InputError(f"{command} is about one device; leave --{item.name} out")


PROGRAM = "parscale-cost"
