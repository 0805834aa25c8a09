# `make demo` and `make test` work on a fresh machine with Python 3.11 and pip. Nothing is installed twice: the stamps in
# .venv say what is there. The versions are the tested ones of constraints.txt; LATEST=1 takes the newest that fit instead.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q
TESTS_AT_ONCE ?= 2
AT_ONCE := -n $(TESTS_AT_ONCE) --dist worksteal
PIP_FLAGS := --quiet $(if $(LATEST),,--constraint constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-services test-gpu lint format docs bench bench-gpu lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tffd needs Python 3.11 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## search the two lambdas on real pictures and print the table (about 2 minutes on 2 cores)
	$(BIN)/python run.py -m sweep=lambdas
	$(BIN)/python -m analysis table results/lambdas

test: $(VENV)/.installed-dev  ## the fast tests
	$(PYTEST) $(AT_ONCE) -m "not (slow or slurm or postgres)"

test-slow: $(VENV)/.installed-dev  ## the slow tests
	$(PYTEST) $(AT_ONCE) -m slow

test-services: $(VENV)/.installed-dev  ## the tests against SLURM and PostgreSQL, where .ci/slurm and .ci/postgres started them
	$(PYTEST) -m "slurm or postgres"

test-gpu: $(VENV)/.installed-dev  ## the tests that need a CUDA card
	$(PYTEST) -m gpu

lint: $(VENV)/.installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## rewrite the code in ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev  ## write the pages that are made from the code
	$(BIN)/python -m docs.modes

bench: $(VENV)/.installed-dev  ## measure what the README claims about speed (takes long), and write the tables
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks tables
	$(BIN)/python -m benchmarks.scaling

bench-gpu: $(VENV)/.installed-dev  ## the same on one CUDA card
	$(BIN)/python -m benchmarks gpu gpu_limits gpu_trials
	$(BIN)/python -m benchmarks tables

lock: $(VENV)/.installed  ## write requirements.lock, the versions for this machine with their hashes
	$(BIN)/python -m pip install $(PIP_FLAGS) --dry-run --ignore-installed --report - --editable '.[dev]' \
		| $(BIN)/python .ci/lock requirements.lock

clean:  ## remove what `make` installed; results and data stay
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache
