# Daily commands: `just` lists them. They use the environment that `just install` makes.

bin := ".venv-test/bin"

# List the commands.
default:
    @just --list

# Make the environment, with PyTorch, transformers and the tools.
install:
    python3 -m venv .venv-test
    {{bin}}/pip install -e '.[dev]'

# Tests of a package or a file: `just test tests/cost`; all but the slow ones without.
test *what="tests -m 'not slow'":
    {{bin}}/pytest -n auto {{what}}

# Every test.
test-all:
    {{bin}}/pytest -n auto

# Style, types and the arrows between the packages.
check:
    {{bin}}/ruff check
    {{bin}}/ruff format --check
    {{bin}}/lint-imports
    {{bin}}/mypy

# Branch coverage, package by package.
coverage *what="tests":
    {{bin}}/pytest -n auto --cov=cost_analysis --cov-branch --cov-report=term {{what}}

# Benchmarks of this checkout.
bench:
    {{bin}}/pip install -q -e '.[bench]'
    {{bin}}/asv machine --yes
    {{bin}}/asv run --environment existing:{{bin}}/python --quick --show-stderr

# Everything that CI runs.
ci:
    .ci/run
