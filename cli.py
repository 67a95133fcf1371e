"""`python cli.py …` is `parscale-cost …` without installing."""

from cost_analysis.__main__ import main

main()
