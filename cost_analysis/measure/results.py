"""What a measurement gives: a profile of its phases, and the outcome of a parity check."""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.cost.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase as measured and as predicted.

    Attributes:
        name: "prefill", "decode step" or "request".
        measured: Median time [s].
        low: Lower quartile [s].
        high: Upper quartile [s].
        predicted: By the cost model on the device profile [s]; None without one.
        flops: FLOPs of the phase.
        bytes: Bytes that it moves at least [B].
    """

    name: str
    measured: float
    low: float
    high: float
    predicted: float | None
    flops: float
    bytes: float

    @property
    def flops_rate(self) -> float:
        """FLOP/s that were reached."""
        return self.flops / self.measured

    @property
    def bytes_rate(self) -> float:
        """B/s that were reached, by the least traffic that the phase needs."""
        return self.bytes / self.measured


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile found.

    Attributes:
        cost: The estimate; its device counts only where `on_device` is true.
        on_device: Whether the user named the device that the model ran on.
        phases: Prefill, decode step, request.
        memory: What the process needed for the model [B].
        load_seconds: Building or loading the model [s].
        threads: CPU threads.
        rounds: Runs that count.
        energy: Median energy of a request [J]; None where it could not be read.
        energy_missing: Why not.
        unstable: Sentences on what makes the times doubtful.
    """

    cost: Estimate
    on_device: bool
    phases: tuple[Phase, ...]
    memory: float
    load_seconds: float
    threads: int
    rounds: int
    energy: float | None
    energy_missing: str
    unstable: tuple[str, ...]


TOLERANCE = 1e-4
"""Largest difference of a logit: float32 against float64; logits have a deviation of about 4."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case of one model under one implementation.

    Attributes:
        model: Name of the model.
        case: Name of the case; "greedy" for the continuation.
        attention: "eager" or "sdpa".
        cache: "dynamic" or "static".
        prefill_error: Largest difference of a prefill logit.
        decode_error: Largest difference of a decode logit.
        same_tokens: Whether the greedy tokens are the same; None in other cases.
    """

    model: str
    case: str
    attention: str
    cache: str
    prefill_error: float = 0.0
    decode_error: float = 0.0
    same_tokens: bool | None = None

    @property
    def passed(self) -> bool:
        """Within the tolerance, and the same tokens."""
        within = max(self.prefill_error, self.decode_error) <= TOLERANCE
        return within and self.same_tokens is not False
