"""Engines against published measurements.

measurements       published measurements, one number a row
predictions        what the model predicts for many of them at once
product_fit        what matrix products reach on a device
attention_timings  timings of attention kernels, and the parts of them that a fit does not see
attention_curves   curves of attention kernels, and their errors
engine_fit         the coefficients of engines
accuracy           errors, intervals, and cross-validation
"""
