"""Engines against published measurements.

measurements     published measurements, one number a row
predictions      what the model predicts for many of them at once
product_timings  tables of timings of matrix products: what of them is of use
product_curves   curves of matrix products from them, and their errors
product_fit      what matrix products reach on a device
engine_fit       the coefficients of engines
accuracy         errors, intervals, and cross-validation
"""
