"""Engines against published measurements.

measurements   published measurements, one number a row
served_models  which of our models a served one is, and how its checkpoint is stored
serving_runs   measured runs of serving engines: time per token at a batch
predictions    what the model predicts for many of them at once
product_fit    what matrix products reach on a device
engine_fit     the coefficients of engines
served_rows    what the model predicts for serving runs
served_fit     the coefficients of serving engines
held_out       errors on rows that a fit had not seen, and what was new about them
intervals      intervals that hold for sources nobody has seen
coverage       how many rows of sources, engines and devices left out they hold
accuracy       errors and cross-validation
"""
