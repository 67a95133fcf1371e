"""Engines against published measurements.

measurements  published measurements, one number a row
predictions   what the model predicts for many of them at once
product_fit   what matrix products reach on a device
engine_fit    the coefficients of engines
accuracy      errors, intervals, and cross-validation
"""
