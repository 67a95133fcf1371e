"""Measured times of kernels: what a shape takes on a device under an engine.

Two sources give a time: tables of timings (`lookup`, from the package aiconfigurator-core), and
curves that were fitted to them and ship with the profiles (`curves`). Both take the same shapes and
give seconds of one call on one device.

    shapes         what determines the time of a kernel: sizes and formats, as named tuples
    times          what a source of measured kernels gives: seconds, start and origin
    sources        which of them an engine has on a device: curves, tables, or none
    curves         the files of fitted curves in the profiles, and times by them
    products       curves of matrix products
    attention      curves of attention: decode steps and prompts
    quantising     what turning activations into fp8 takes
    experts        curves of routed experts
    exchanges      curves of sums over the devices of a node
    library        the package of the tables: where it is, and its names of devices and engines
    tables         its tables: lists of them, versions, and the columns that are asked for
    timings        the timings of one kind of kernel as arrays in SI units
    interpolation  ratios of measured time to the roofs, between measured shapes
    families       by what each kind of kernel is interpolated: its sizes and its least work
    lookup         measured times of shapes, and whether they are on the grid of a table
"""
