"""Engines against published measurements.

measurements  published measurements, one number a row
served_models  which of our models a served one is, and how its checkpoint is stored
serving_runs  measured runs of serving engines: time per token at a batch
predictions   what the model predicts for many of them at once
product_fit   what matrix products reach on a device
expert_loads     how the benchmark of experts routed tokens
expert_curves    curves of routed experts from tables of timings
exchange_curves  curves of sums over devices from tables of timings
engine_fit    the coefficients of engines
accuracy      errors, intervals, and cross-validation
measurements     published measurements, one number a row
predictions      what the model predicts for many of them at once
product_timings  tables of timings of matrix products: what of them is of use
product_curves   curves of matrix products from them, and their errors
product_fit      what matrix products reach on a device
engine_fit       the coefficients of engines
accuracy         errors, intervals, and cross-validation
measurements       published measurements, one number a row
predictions        what the model predicts for many of them at once
product_fit        what matrix products reach on a device
attention_timings  timings of attention kernels, and the parts of them that a fit does not see
attention_curves   curves of attention kernels, and their errors
engine_fit         the coefficients of engines
accuracy           errors, intervals, and cross-validation
"""
