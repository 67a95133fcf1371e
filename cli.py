"""`python cli.py …` is `parscale-cost …` without installing."""

from cost_analysis.commands import main

main()
