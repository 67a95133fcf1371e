"""Prints branch coverage package by package; fails where a module of the core has too little.

python .ci/coverage_floor.py coverage.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

FLOOR = 95.0
HELD = ("inputs", "cost", "law", "compare")
"""Packages of which no module may be covered less."""


def share(covered: int, wanted: int) -> float:
    """Percent of lines and branches that ran."""
    return 100.0 * covered / wanted if wanted else 100.0


def counts(summary: dict[str, Any]) -> tuple[int, int]:
    """Lines and branches that ran, and all of them."""
    covered = summary["covered_lines"] + summary["covered_branches"]
    return covered, summary["num_statements"] + summary["num_branches"]


def main(report: str) -> int:
    """The exit code: 1 where a module of the core is below the floor."""
    packages: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    low = []
    for name, found in sorted(json.loads(Path(report).read_text())["files"].items()):
        parts = Path(name).parts
        package = parts[1] if len(parts) > 2 else "top"
        covered, wanted = counts(found["summary"])
        packages[package][0] += covered
        packages[package][1] += wanted
        if package in HELD and share(covered, wanted) < FLOOR:
            low.append(f"{name}: {share(covered, wanted):.1f} %")
    for package, (covered, wanted) in packages.items():
        print(f"  {package:<10} {share(covered, wanted):5.1f} %")
    print("\n".join([f"below {FLOOR:.0f} %:", *low]) if low else f"all of {', '.join(HELD)} hold")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
