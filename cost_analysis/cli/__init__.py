"""Flags in, answer out: the only package that knows click.

main          the program: its commands, errors and exit codes
flags         flags as typed records, and commands that take them
options       records of flags that several commands share, and the request they describe
option_types  types of flags: quantities, lists, data types
output        prints an answer, or writes it to a file
estimate      `estimate` (the default), `hardware`, `models`, `engines`
compare       `claims`, `compare`, `crossover`, `precision`
fit           `fit`, `accuracy`, `fit-latency`
kernels       `kernels`
plan          `plan`, `layouts`
serving       `serving`
sweep         `sweep`
plot          `plot`
figure_flags  records of the flags of the figures
measure       `profile`, `validate`, `report`, `calibrate`, `parity`
"""
