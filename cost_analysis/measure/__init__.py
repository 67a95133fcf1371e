"""Real models on this machine: sessions, journals, validation, calibration.

parallel_model  parallel streams around a stock transformers model
checkpoints     published weights, and parity with the published code
session         times and memory of real forward passes
runner          runs jobs in turn, each in a process of its own
journal         the record of measurements, and the plan at its beginning
journal_rows    the lines of a journal as typed records
results         what a measurement gives
profiling       one configuration beside its prediction
validation      carries out a validation
verdicts        whether a claim holds here
benchmarks      short benchmarks of this machine
calibration     this machine as a device profile and an engine
"""
