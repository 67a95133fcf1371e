"""Flags in, answer out: the only package that knows click.

main          the program: its commands, errors and exit codes
options       flags that several commands share
option_types  types of flags: quantities, lists, data types
output        prints an answer, or writes it to a file
estimate      `estimate` (the default), `hardware`, `models`, `engines`
compare       `claims`, `compare`, `crossover`, `precision`
fit           `fit`, `accuracy`, `fit-latency`
plan          `plan`, `layouts`
serving       `serving`
sweep         `sweep`
plot          `plot`
measure       `profile`, `validate`, `report`, `calibrate`, `parity`
"""
