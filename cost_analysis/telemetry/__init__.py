"""This machine while it runs: NVML, energy, meters.

nvml      readings of the NVIDIA driver: the only module that calls NVML
readings  records of a device at a time, without a driver
machine   processors, memory, and energy counters
energy    energy between two times, and what makes a measurement unsteady
meter     a device watched in the background
"""
