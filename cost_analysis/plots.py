"""The figures as PNG, SVG or PDF: each draws what a `…_data` module computes, and nothing else.

Importing it loads matplotlib.
"""

from cost_analysis.accuracy_plot import accuracy
from cost_analysis.breakdown_plot import breakdown
from cost_analysis.cost_plots import crossover, figure4
from cost_analysis.heat_map_plot import heatmap
from cost_analysis.law_plots import figure2, figure3
from cost_analysis.measured_plot import measured
from cost_analysis.plot_style import picture

__all__ = [
    "accuracy",
    "breakdown",
    "crossover",
    "figure2",
    "figure3",
    "figure4",
    "heatmap",
    "measured",
    "picture",
]
