"""How long requests are: a distribution of prompt and output lengths, and its means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.errors import InputError
from cost_analysis.spec import Workload

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """How long requests are: kinds of requests and how often each comes.

    Attributes:
        prompts: Prompt tokens of each kind, (kinds,).
        outputs: Generated tokens of each kind, (kinds,).
        weights: Share of each kind, (kinds,); scaled to sum to 1. Left out, all are equal.
    """

    prompts: Any
    outputs: Any
    weights: Any = 1.0

    def __post_init__(self) -> None:
        """Check the numbers and pair them.

        Raises:
            InputError: Lists that do not pair, or something that is no length or weight.
        """
        prompts, outputs = (np.array(x, ndmin=1) for x in (self.prompts, self.outputs))
        work = Workload(1, prompts, outputs)
        weights = np.array(self.weights, np.float64, ndmin=1)
        counts = [work.input_length.size, work.output_length.size, weights.size]
        kinds = max(counts)
        if not all(count in (1, kinds) for count in counts):
            raise InputError(
                f"{counts[0]} input lengths, {counts[1]} output lengths and {counts[2]} weights "
                "cannot be paired; give as many of each, or one"
            )
        if not ((weights >= 0) & np.isfinite(weights)).all() or not weights.sum() > 0:
            raise InputError("weights of lengths must be 0 or positive numbers, not all 0")
        full = [np.broadcast_to(x, kinds) for x in (work.input_length, work.output_length, weights)]
        shares = full[2] / full[2].sum()
        for name, value in zip(("prompts", "outputs", "weights"), (*full[:2], shares), strict=True):
            object.__setattr__(self, name, value)

    def mean(self, values: Array) -> float:
        """The mean of a value of each kind over requests."""
        return float(self.weights @ values)

    @property
    def steps(self) -> float:
        """Decode steps of a request, the mean."""
        return self.mean(self.outputs - 1)

    def decoding_mean(self, values: Array) -> float:
        """The mean over requests that are decoding: longer outputs are there for longer."""
        shares = self.weights * (self.outputs - 1)
        return float(shares @ values / shares.sum()) if shares.any() else self.mean(values)

    @property
    def context(self) -> float:
        """Tokens that a decode step finds in the cache of a request, the mean, at least 1."""
        tokens = self.prompts + np.maximum(self.outputs - 2, 0) / 2
        return max(1.0, round(self.decoding_mean(tokens)))

    @property
    def cached_tokens(self) -> float:
        """Tokens in the cache of a request at its end, the mean over those that are there."""
        return float(np.ceil(self.decoding_mean(self.prompts + self.outputs - 1)))
