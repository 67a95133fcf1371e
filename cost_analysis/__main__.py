"""`python -m cost_analysis` is `parscale-cost`."""

from cost_analysis.commands import main

main()
