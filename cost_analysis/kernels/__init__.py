"""Measured times of kernels: what a shape takes on a device under an engine.

Two sources give a time: tables of timings (`tables`, from the package aiconfigurator-core), and
curves that were fitted to them and ship with the profiles (`curves`). Both take the same shapes and
give seconds of one call on one device.

    shapes       what determines the time of a kernel: sizes and formats, as named tuples
    experts      curves of routed experts
    exchanges    curves of sums over the devices of a node
"""
