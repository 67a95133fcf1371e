"""`python -m cost_analysis` is `parscale-cost`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the program; Ctrl-C while it is still being imported ends it quietly too."""
    try:
        from cost_analysis.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("parscale-cost: error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
