"""Calls of the program."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

SEED = ["--hidden_size", "2560", "--P", "2", "--batch_size", "2"]
"""The main command of the documentation."""


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A call of the program in a process of its own."""
    command = [sys.executable, "-m", "cost_analysis", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
