"""Published measurements of inference, one number a row, and what each of them is made of.

The schema is that of `profiles/measurements.csv`; the README lists its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cost_analysis.common.errors import InputError
from cost_analysis.common.files import CsvTable, read_table
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import DTYPES, Precision
from cost_analysis.inputs.profiles import load_hardware, profiles_folder

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
)
LENGTHS = ("batch_size", "input_length", "output_length")
TEXTS = (
    "id",
    "source_id",
    "model",
    "weight_dtype",
    "engine",
    "engine_detail",
    "hardware",
    "hardware_detail",
    "metric",
    "note",
)
SWITCHES = ("gated_mlp", "tie_word_embeddings")

PREFILL_METRICS = ("prefill_ms", "prefill_tokens_per_s")
DECODE_METRICS = ("decode_tokens_per_s", "decode_ms_per_step")
REQUEST_METRICS = ("output_tokens_per_s", "total_latency_s")
MEMORY_METRIC = "peak_memory_gib"
METRICS = (*PREFILL_METRICS, *DECODE_METRICS, *REQUEST_METRICS, MEMORY_METRIC)

PCIE = 64e9
"""A PCIe 4.0 x16 slot, both directions together [B/s]: the link of the devices of a row that names
it, whatever link the profile of the device states."""

MOST_DEVICES = 8
"""Devices of one node; beyond it the link between nodes counts, which no profile states."""

FORMATS = {"q4": "int4", "4-bit": "int4", "int4": "int4", "q8": "int8", "8-bit": "int8"} | {
    name: name for name in DTYPES
}
"""How sources begin the name of a weight format, and which of ours it is."""


SHARE_OF_MEMORY = 0.9
"""Of a device, that engines give to weights and cache (vLLM's `gpu_memory_utilization`)."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One published number.

    Attributes:
        texts: The columns of `TEXTS`.
        sizes: The columns of `SIZES`; 0 where the source leaves one out.
        lengths: Batch size and lengths, as published: 0 for a phase that was not run.
        switches: The columns of `SWITCHES`.
        tensor_parallel: Devices that share each layer.
        value: What was measured, in the metric's own unit.
    """

    texts: Mapping[str, str]
    sizes: Mapping[str, int]
    lengths: Mapping[str, int]
    switches: Mapping[str, bool]
    tensor_parallel: int
    value: float

    @property
    def metric(self) -> str:
        """What was measured, one of `METRICS`."""
        return self.texts["metric"]

    @property
    def is_rate(self) -> bool:
        """The number is tokens per second, so that a larger one is faster."""
        return self.metric.endswith("per_s")

    @property
    def precision(self) -> Precision:
        """The storage formats; activations and cache are 16-bit where the weights are narrower.

        Raises:
            InputError: A weight format that the model does not know.
        """
        stated = self.texts["weight_dtype"].strip().lower()
        for start, name in FORMATS.items():
            if stated.startswith(start):
                wide = name if DTYPES[name].bits >= 16 else "fp16"
                return Precision(name, wide, wide)
        raise InputError(f"weight format {self.texts['weight_dtype']!r} is not known")

    @property
    def logits(self) -> str:
        """Prompt positions whose logits the prefill computed, as the note says."""
        return "all" if "all positions" in self.texts["note"] else "last"

    @property
    def device(self) -> Hardware:
        """The device, with the link that the row names.

        Raises:
            InputError: No such device.
        """
        device = _device(self.texts["hardware"])
        slots = "PCIe interconnect" in self.texts["hardware_detail"]
        return device.with_links({"interconnect": PCIE}) if slots else device

    @property
    def engine_class(self) -> str:
        """The class of engines that the row belongs to: its own, or "cpu" on a CPU."""
        return "cpu" if self.device.kind == "cpu" else self.texts["engine"]

    @property
    def fits(self) -> bool:
        """Weights and cache of all sequences at once fit in the memory of the devices.

        Where they do not, a server runs some sequences after others; a batch of 64 of Llama-2-7B
        with 4,096 tokens each has a cache of 137 GB.
        """
        size, length = self.sizes, self.lengths
        heads = size["num_key_value_heads"] * size["head_dim"]
        tokens = length["batch_size"] * (length["input_length"] + length["output_length"])
        cache = 4.0 * tokens * size["num_hidden_layers"] * heads
        inner = (3.0 if self.switches["gated_mlp"] else 2.0) * size["intermediate_size"]
        query = size["num_attention_heads"] * size["head_dim"]
        layer = size["hidden_size"] * (inner + 2.0 * query + 2.0 * heads)
        weights = self.precision.matrix.bytes * layer * size["num_hidden_layers"]
        room = SHARE_OF_MEMORY * float(self.device.memory) * self.tensor_parallel
        return weights + cache <= room

    @property
    def refusal(self) -> str:
        """Why the model cannot represent the row, or nothing."""
        if self.metric not in METRICS:
            return f"metric {self.metric!r} is not known"
        missing = [name for name, size in self.sizes.items() if size < 1]
        if missing or self.lengths["batch_size"] < 1:
            return f"no {', '.join(missing) or 'batch_size'}"
        if self.tensor_parallel > MOST_DEVICES:
            return f"more than {MOST_DEVICES} devices: the link between nodes is not known"
        if self.metric in DECODE_METRICS and self.lengths["output_length"] < 2:
            return "a decode step needs an output of two tokens"
        try:
            self.device.matmul_peak(self.precision.accumulate)
        except InputError as error:
            return str(error)
        return "" if self.fits else "more memory than the devices have: it ran in parts"


@cache
def _device(name: str) -> Hardware:
    """A device, read once for all rows that name it."""
    return load_hardware(name)


def read_measurements(path: Path | None = None) -> tuple[Measurement, ...]:
    """The rows of a CSV file; without a path, those that come with the package.

    Raises:
        InputError: A file that cannot be read, a missing column, or a value that is no number.
    """
    return _measurements(read_table(path or profiles_folder() / "measurements.csv"))


def _measurements(table: CsvTable) -> tuple[Measurement, ...]:
    texts = {name: table.texts(table.column(name)) for name in TEXTS}
    counted = (*SIZES, *LENGTHS, *SWITCHES, "tensor_parallel")
    counts = {name: [_count(cell) for cell in table.texts(table.column(name))] for name in counted}
    return tuple(
        Measurement(
            texts={name: texts[name][row] for name in TEXTS},
            sizes={name: counts[name][row] for name in SIZES},
            lengths={name: counts[name][row] for name in LENGTHS},
            switches={name: bool(counts[name][row]) for name in SWITCHES},
            tensor_parallel=max(counts["tensor_parallel"][row], 1),
            value=value,
        )
        for row, value in enumerate(table.positive_numbers(table.column("value")))
    )


def _count(cell: str) -> int:
    """A whole number; 0 for what is none, such as an empty cell."""
    try:
        return int(float(cell))
    except (ValueError, OverflowError):
        return 0
