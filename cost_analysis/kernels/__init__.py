"""Measured times of kernels: what a shape takes on a device under an engine.

Two sources give a time: tables of timings (`tables`, from the package aiconfigurator-core), and
curves that were fitted to them and ship with the profiles (`curves`). Both take the same shapes and
give seconds of one call on one device.

    shapes         what determines the time of a kernel: sizes and formats, as named tuples
    library        the package of the tables: where it is, and its names of devices and engines
    tables         its tables: lists of them, versions, and the columns that are asked for
    timings        the timings of one kind of kernel as arrays in SI units
    interpolation  ratios of measured time to the roofs, between measured shapes
    families       by what each kind of kernel is interpolated: its sizes and its least work
    lookup         measured times of shapes, and whether they are on the grid of a table
"""
