"""What a validation runs: the models, the groups they are loaded in, and the plan in a journal.

The base, the base with 2, 4 and 8 streams, and parameter-scaled models. The base is in every group,
so that what slows the machine slows all that is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cost_analysis.baselines import size_of, widened
from cost_analysis.errors import InputError
from cost_analysis.journal_rows import Plan, Row
from cost_analysis.memory import memory
from cost_analysis.profiles import load_model
from cost_analysis.scaling_law import ScalingLaw
from cost_analysis.spec import ModelSpec, Precision, Workload

STREAMS = (2, 4, 8)
PROCESS_BYTES = 0.7e9
"""What a process holds beside its model: the interpreter, PyTorch and transformers [B]."""

TINY = ModelSpec(
    256, 1408, num_hidden_layers=4, num_attention_heads=8, vocab_size=4096, name="tiny"
)
"""The shape of the family, small enough for a first look."""


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a plan.

    Attributes:
        label: "1.6B P=8".
        spec: The architecture.
        role: "base", "streams" or "parameters".
    """

    label: str
    spec: ModelSpec
    role: str


def members(size: str, law: ScalingLaw) -> list[Member]:
    """The models of a validation.

    Args:
        size: "tiny", "small" (the 0.5B family) or "paper" (1.6B, 2.8B and 4.4B as published).
        law: Sizes the parameter-scaled model of "tiny".
    """
    if size == "tiny":
        wide = law.equal_loss_size(size_of(TINY.with_streams(STREAMS[-1])), STREAMS[-1])
        base, wider = TINY, [("wider", widened(TINY, float(wide)))]
    else:
        names = {"small": ("0.5B", "0.7B", "1.1B"), "paper": ("1.6B", "2.8B", "4.4B")}[size]
        base, *rest = (load_model(name).spec for name in names)
        wider = list(zip(names[1:], rest, strict=True))
    name = base.name.upper()
    return [
        Member(f"{name} P=1", base, "base"),
        *(Member(f"{name} P={p}", base.with_streams(p), "streams") for p in reversed(STREAMS)),
        *(Member(f"{label} P=1", spec, "parameters") for label, spec in wider),
    ]


def needed_bytes(member: Member, workload: Workload, dtype: str) -> float:
    """Memory of the process that runs a model [B]."""
    held = memory(member.spec, workload, Precision(dtype, dtype, dtype)).total
    return float(held) + PROCESS_BYTES


def groups(
    plan: Sequence[Member], workload: Workload, dtype: str, available: float, *, force: bool
) -> tuple[list[list[Member]], list[tuple[Member, str]]]:
    """Models that are loaded together, the base in every group, and those that cannot be run.

    Args:
        plan: The models, the base first.
        workload: The request.
        dtype: Type of weights and activations.
        available: Memory that may be used [B].
        force: Run what does not seem to fit too.
    """
    base, *others = plan
    need = {member.label: needed_bytes(member, workload, dtype) for member in plan}
    together: list[list[Member]] = []
    refused = []
    for member in others:
        if need[member.label] > available and not force:
            refused.append((member, too_large(need[member.label], available)))
        elif need[member.label] + need[base.label] > available:
            together.append([member])  # not beside the base: its times are not paired
        else:
            _join(together, base, member, need, available)
    if together and not any(base in group for group in together):
        together.insert(0, [base])  # nothing fits beside it, but all is measured against it
    return together, refused


def _join(
    together: list[list[Member]],
    base: Member,
    member: Member,
    need: dict[str, float],
    available: float,
) -> None:
    """Put a model into the first group with the base that has room, or into a new one."""
    for group in together:
        if group[0] == base and sum(need[m.label] for m in (*group, member)) <= available:
            group.append(member)
            return
    together.append([base, member])


def too_large(need: float, available: float) -> str:
    """What a model needs and what is there, in words."""
    return f"needs {need / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are free"


def plan_of(rows: Sequence[Row]) -> Plan:
    """The first row of a journal: what was to be measured, where, and in which groups.

    Raises:
        InputError: Rows that are not those of a validation.
    """
    plan = next(iter(rows), None)
    if not isinstance(plan, Plan):
        raise InputError("the journal does not begin with the plan of a validation")
    return plan
