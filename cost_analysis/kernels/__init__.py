"""Measured times of kernels: what a shape takes on a device under an engine.

Two sources give a time: tables of timings (`tables`, from the package aiconfigurator-core), and
curves that were fitted to them and ship with the profiles (`curves`). Both take the same shapes and
give seconds of one call on one device.

    shapes       what determines the time of a kernel: sizes and formats, as named tuples
    attention    curves of attention: decode steps and prompts
"""
