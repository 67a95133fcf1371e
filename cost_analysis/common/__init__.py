"""Numbers, errors, units and files; knows no model.

arrays  functions of a number or a NumPy array, and their types
checks  sizes, shares, times and counts within their limits
errors  the one error that a user's input can cause
files   small inputs, CSV tables, whole-file writes
pareto  which rows no other row beats
units   constants, and the only place where a number is scaled
"""
