"""Numbers, errors, units and files, without anything about models.

arrays  functions of a number or a NumPy array, and their types
checks  sizes, shares, times and counts within their limits
errors  the one error that a user's input can cause
files   small inputs, CSV tables, whole-file writes
pareto  the rows that no other row dominates
units   constants, and conversion from and to the units that people read
"""
