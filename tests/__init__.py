"""Tests, in one folder for each package of the program and one file for each module.

`tests/cost/test_memory.py` tests `cost_analysis/cost/memory.py`. A second file is called
`test_<module>_<subject>.py`, where one would be too long, and `test_<module>_torch.py`, where its
tests need PyTorch. What kind a test is of is a marker, as `pyproject.toml` lists them:
`pytest -m property` runs the laws.
"""
