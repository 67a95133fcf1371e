"""Tests, in one folder for each package of the program and one file for each module.

What a test is about beside its module is a marker: `pytest -m property` runs the laws.
"""
