"""How a model is divided among devices, and the part of it on one device.

Four ways to divide it, which may be combined; the devices are their product:

- tensor: the devices of a group share each layer and sum their activations twice a layer. Heads,
  columns of the MLP and the vocabulary are divided; norms, routers, latents and the aggregator are
  copied, and so is a KV head where there are fewer than devices (Shoeybi et al., "Megatron-LM",
  arXiv 1909.08053, section 3; the copies as in vLLM and TensorRT-LLM).
- expert: groups that each take some of the sequences, and hold some of the routed experts for all
  of them; token-streams are sent to their experts and back (GShard, arXiv 2006.16668, section 3.1).
  The devices of a tensor group may also hold whole experts instead of a part of each
  (`expert_groups`; vLLM's `--enable-expert-parallel`): all have the activations, and the results
  are summed.
- stream: each group runs some of the P streams with all of the weights, and exchanges activations
  only before the aggregation. Parallel streams allow this; a wider model does not.
- pipeline: each stage holds some of the layers and passes its activations on; a batch is divided
  into micro-batches, at most one a stage (GPipe, arXiv 1811.06965, section 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from cost_analysis.common.arrays import (
    Condition,
    Number,
    as_float,
    ceil,
    floor,
    holds,
    is_array,
    maximum,
    minimum,
)
from cost_analysis.common.checks import whole_number
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.layers import Experts
from cost_analysis.inputs.spec import ModelSpec

MOST_DEVICES = 65536
"""Devices of a layout at most."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of devices for each way to divide a model; 1 each is a single device.

    Attributes:
        tensor_parallel: Devices that share each layer.
        pipeline_parallel: Stages of layers.
        expert_parallel: Groups among which sequences and routed experts are divided.
        stream_parallel: Groups among which the streams are divided.
        expert_groups: Parts of the devices that share each layer, among which whole experts are
            divided; 1 divides every expert among all of these devices.
    """

    tensor_parallel: Number = 1
    pipeline_parallel: Number = 1
    expert_parallel: Number = 1
    stream_parallel: Number = 1
    expert_groups: Number = 1

    def __post_init__(self) -> None:
        """Check the counts."""
        for item in fields(self):
            value = whole_number(item.name, getattr(self, item.name), 1)
            object.__setattr__(self, item.name, as_float(value))
        if not holds(self.devices <= MOST_DEVICES):
            raise InputError(f"a layout of more than {MOST_DEVICES:,} devices is not allowed")

    @property
    def group(self) -> Number:
        """Devices of one pipeline stage."""
        return self.tensor_parallel * self.expert_parallel * self.stream_parallel

    @property
    def devices(self) -> Number:
        """All devices."""
        return self.group * self.pipeline_parallel

    @property
    def holders(self) -> Number:
        """Parts of the devices of a stage that hold different routed experts."""
        return self.expert_parallel * self.expert_groups

    @property
    def is_single(self) -> bool:
        """Whether everything is on one device."""
        return (
            is_one(self.tensor_parallel)
            and is_one(self.pipeline_parallel)
            and is_one(self.expert_parallel)
            and is_one(self.stream_parallel)
        )

    def of_streams(self, streams: Number) -> Layout:
        """The layout for a number of streams, which may be smaller than that of stream groups."""
        if is_one(self.stream_parallel):
            return self
        return replace(self, stream_parallel=minimum(self.stream_parallel, as_float(streams)))

    def check(self, spec: ModelSpec) -> None:
        """Refuse a layout that does not fit a model.

        Raises:
            InputError: It divides a head or an expert, or has more parts than there are.
        """
        heads, kept, group = (
            as_float(size)
            for size in (spec.num_attention_heads, spec.num_key_value_heads, self.tensor_parallel)
        )
        _refuse_unless(
            heads % group == 0,
            "tensor_parallel is {}; it must divide the {} query heads",
            group,
            heads,
        )
        _refuse_unless(
            (kept % group == 0) | (group % kept == 0),
            "tensor_parallel is {}; it must divide the {} KV heads, or be a multiple of them",
            group,
            kept,
        )
        _refuse_unless(
            group % self.expert_groups == 0,
            "expert_groups is {}; it must divide the {} devices that share each layer",
            self.expert_groups,
            group,
        )
        limits = {
            "pipeline_parallel": (spec.num_hidden_layers, "layers"),
            "stream_parallel": (spec.streams, "streams (P)"),
            "expert_parallel": (_fewest_experts(spec), "routed experts"),
            "expert_groups": (_fewest_experts(spec), "routed experts"),
        }
        for name, (most, what) in limits.items():
            asked = getattr(self, name)
            _refuse_unless(
                asked <= maximum(as_float(most), 1.0),
                name + " is {}; the model has {} " + what,
                asked,
                as_float(most),
            )


def _refuse_unless(condition: Condition, sentence: str, *numbers: Number) -> None:
    """Refuse numbers that break a condition; of arrays, the message shows the first such row.

    Raises:
        InputError: The condition does not hold.
    """
    if holds(condition):
        return
    if is_array(condition):
        place = int(condition.argmin())
        rows = condition * 0.0
        numbers = tuple(float((rows + number).flat[place]) for number in numbers)
    raise InputError(sentence.format(*(f"{number:.0f}" for number in numbers)))


def _fewest_experts(spec: ModelSpec) -> Number:
    """The smallest number of routed experts of a layer; 0 where no layer has any."""
    numbers = [group.mlp.number for group in spec.groups if isinstance(group.mlp, Experts)]
    if not numbers:
        return 0
    fewest = numbers[0]
    for number in numbers[1:]:
        fewest = minimum(fewest, number)
    return fewest


SINGLE = Layout()
"""Everything on one device."""


def is_one(count: Number) -> bool:
    """Whether a count is the plain number 1; an array of ones is not."""
    return type(count) is float and count == 1.0


def divided(size: Number, parts: Number) -> Number:
    """The largest part of a size that is divided: ⌈size / parts⌉."""
    return size if is_one(parts) else ceil(size / parts)


class Share:
    """The sizes of a model on the device that has most of it.

    Attributes:
        spec: The model.
        layout: How it is laid out.
        groups: Its kinds of layers.
        streams: Streams that run on the device.
        prefix: Prefix positions that every query may attend to.
        query_heads: Query heads.
        query: Width of the query heads.
        key_value: Width of the KV heads, of which there is at least one.
        vocabulary: Rows of the embedding table and of the LM head.
    """

    def __init__(self, spec: ModelSpec, layout: Layout = SINGLE) -> None:
        """The sizes on a device of a layout."""
        self.spec, self.layout = spec, layout
        self.groups, self.prefix = spec.groups, spec.prefix
        group = layout.tensor_parallel
        self.streams = divided(spec.streams, layout.stream_parallel)
        self.query_heads = divided(spec.num_attention_heads, group)
        self.query = self.query_heads * spec.head_dim
        self.key_value = divided(spec.num_key_value_heads, group) * spec.head_dim
        self.vocabulary = divided(spec.vocab_size, group)

    def sequences(self, batch: Number) -> Number:
        """Sequences of a batch whose attention runs on the device."""
        return divided(batch, self.layout.expert_parallel)

    def width(self, inner: Number) -> Number:
        """Intermediate size of an MLP or of an expert."""
        return divided(inner, self.layout.tensor_parallel)

    def expert_width(self, inner: Number) -> Number:
        """Intermediate size of a routed expert."""
        layout = self.layout
        if is_one(layout.expert_groups):
            return self.width(inner)
        return divided(inner, layout.tensor_parallel / layout.expert_groups)

    def experts(self, number: Number) -> Number:
        """Routed experts."""
        return divided(number, self.layout.holders)


@dataclass(frozen=True, slots=True)
class Stage:
    """Consecutive layers of a model on the devices of one pipeline stage.

    Attributes:
        first: Its first layer, counted from 0.
        end: The layer after its last; a stage that does not exist ends where it begins.
        has_embedding: 1 for the first stage, else 0.
        has_head: 1 for the last stage, which has the final norm, aggregator and LM head.
    """

    first: Number
    end: Number
    has_embedding: Number
    has_head: Number

    @property
    def layers(self) -> Number:
        """How many layers it has."""
        return self.end - self.first

    def counts(self, spec: ModelSpec) -> tuple[Number, ...]:
        """How many layers of each kind it has, in the order of `spec.groups`.

        Kinds that differ in their MLP follow one another in the order of `spec.layers` (DeepSeek's
        first layers are dense); kinds of attention alternate, so a stage has the same proportion of
        each.

        Args:
            spec: The model.
        """
        groups = spec.groups
        if len({type(group.mlp) for group in groups}) == 1:
            share = self.layers / as_float(spec.num_hidden_layers)
            return tuple(group.count * share for group in groups)
        found: list[Number] = []
        before: Number = 0.0
        for group in groups:
            low, high = maximum(self.first, before), minimum(self.end, before + group.count)
            found.append(maximum(high - low, 0.0))
            before = before + as_float(group.count)
        return tuple(found)


def stages(spec: ModelSpec, layout: Layout) -> Iterator[Stage]:
    """The stages that can need most memory or time: the first, the one before the last, the last.

    Remaining layers of the division go to the stages just before the last one, one each, as in vLLM
    (vllm/distributed/utils.py, `get_pp_indices`): the last stage has the LM head.
    """
    count, layers = layout.pipeline_parallel, as_float(spec.num_hidden_layers)
    if is_one(count):
        yield Stage(0.0, layers, 1.0, 1.0)
        return
    fewest = floor(layers / count)
    rest = layers - fewest * count
    several = as_float(count > 1)
    first = fewest + as_float((rest > 0) & (rest == count - 1.0))
    middle = (fewest + as_float(rest > 0)) * as_float(count > 2)
    last = fewest * several
    yield Stage(0.0, first, 1.0, 1.0 - several)
    yield Stage(layers - last - middle, layers - last, 0.0, 0.0)
    yield Stage(layers - last, layers, 0.0, several)


def micro_batches(layout: Layout, batch: Number) -> Number:
    """The parts of a batch, which let the stages work at the same time."""
    if is_one(layout.pipeline_parallel):
        return 1.0
    return minimum(layout.pipeline_parallel, divided(batch, layout.expert_parallel))
