"""The figures as PNG, SVG or PDF: each draws what a `…_data` module computes, and nothing else.

Importing it loads matplotlib.
"""

from __future__ import annotations

from cost_analysis.figures.breakdown import breakdown
from cost_analysis.figures.costs import figure4, methods
from cost_analysis.figures.crossover_map import crossover
from cost_analysis.figures.heat_map import heatmap
from cost_analysis.figures.law import figure2, figure3
from cost_analysis.figures.measured import accuracy, measured
from cost_analysis.figures.plan import pareto, throughput
from cost_analysis.figures.style import picture

__all__ = [
    "accuracy",
    "breakdown",
    "crossover",
    "figure2",
    "figure3",
    "figure4",
    "heatmap",
    "measured",
    "methods",
    "pareto",
    "picture",
    "throughput",
]
