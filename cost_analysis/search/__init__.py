"""Many configurations: plans, layouts, serving and sweeps.

candidates       every configuration that a plan chooses from
plan             the best one within limits
layouts          every way to divide a model among devices
queueing         one model under load: waiting, speed, requests in flight
serving          streams against parameters under load
grid             the axes of a sweep, and its pieces
column           one column of a table of estimates
request_columns  columns of what was asked
cost_columns     columns of what it costs
columns          the tables: a sweep's, and that of one estimate
sweep            calculates the pieces, and sums them up
sweep_files      the parts of a sweep, and the file that holds them all
sweep_join       joins the parts into one file while others are calculated
sweep_workers    processes of this machine, or a Dask cluster
"""
