"""What a plan is asked: the space, the limits, the goal, and the law behind them."""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.candidates import Space
from cost_analysis.planner import Limits, Plan, plan
from cost_analysis.scaling_law import Fit


@dataclass(frozen=True, slots=True)
class Question:
    """What a plan is asked.

    Attributes:
        space: What to choose from.
        limits: What to keep.
        objective: What to minimise.
        fitted: The law and its runs.
        law: What it was fitted on, in words.
    """

    space: Space
    limits: Limits
    objective: str
    fitted: Fit
    law: str

    def answer(self) -> Plan:
        """The plan.

        Raises:
            InfeasibleError: Nothing keeps the limits.
        """
        return plan(self.space, self.limits, self.objective)
