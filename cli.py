"""`python cli.py …` is `parscale-cost …` without installing."""

from cost_analysis.__main__ import main

if __name__ == "__main__":
    main()
