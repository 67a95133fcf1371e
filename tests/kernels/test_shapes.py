"""Shapes of kernels are plain records of sizes."""

from __future__ import annotations

from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.kernels.shapes import FORMATS


def test_formats_are_those_of_models() -> None:
    """Each is a format that a model can be stored in; a block of 128 has its own name there."""
    for name in FORMATS:
        assert dtype_named("fp8-b128" if name == "fp8-block" else name).bits <= 16
