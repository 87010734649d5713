# Every target installs what it needs into .venv first; nothing but Python 3.11+ and make has to be there.
.DEFAULT_GOAL := help
.PHONY: help install train smoke test test-full check format gates gates-full bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Rewritten only when the pins or the settings change.
INSTALLED := $(VENV)/.installed
# Tests run side by side; each process uses one thread, or they fight over the cores.
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Options for `mtquant train`, as in `make train ARGS="--data folder --timeframe D1"`.
ARGS ?=

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED) ## Create .venv and install everything at the locked versions

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, %s was found. Name one with: make PYTHON=python3.12" % sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and by itself: it alone brings packages that depend on the machine (CUDA libraries).
	$(BIN)/python -m pip install --quiet --constraint requirements.lock torch
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check
	@touch $@

train: install ## Train all three phases on the embedded market, evaluate, export
	$(BIN)/mtquant train $(ARGS)

smoke: install ## The same with a small profile and without Prefect, about a minute and a half
	$(BIN)/mtquant train --profile smoke --engine direct $(ARGS)

test: install ## Run the tests that are fast
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow and not gpu" -n $(WORKERS) --dist loadfile $(ARGS)

test-full: install ## Run all tests
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: install ## Check formatting, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: install ## Format the code and sort imports
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

gates: install ## Train against known optima, small; write benchmarks/results/gates.json
	$(BIN)/python -m mtquant.gates $(ARGS)

gates-full: install ## The same at full budgets and several seeds
	$(BIN)/python -m mtquant.gates --full $(ARGS)

bench: install ## Measure speed and memory; write benchmarks/results/bench.json
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove .venv and caches; trained models stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
