"""Answers as records and pages: one module for each subject.

render           pages as a terminal, a pipe, Markdown, JSON or CSV shows them
estimate         one request as a page
estimate_record  one request as a record and a row
profiles         devices, models and engines
kernels          tables of kernel timings
layouts          every way to divide a model
claims           claims, crossovers, claims by storage format
claims_on_gpus   claims on measured devices and engines
comparison       streams with parameters, and methods side by side
law              a fitted law and its intervals
accuracy         errors of predictions, and fits of the latency model
plan             a plan and its runners-up
serving          streams against parameters under load
sweep            the summary of a sweep
measured         verdicts, a profiled configuration, parity
"""
