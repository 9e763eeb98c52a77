# `make` lists the targets. The interpreter is chosen with PYTHON: make setup PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DIST ?= dist

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow lint check format dataset wheel docs clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## create .venv and install the project with the tested versions

# Asking pip rather than for the folder: without ensurepip, `venv` leaves a folder that holds Python and no pip.
$(INSTALLED): pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

train: $(INSTALLED) ## the main job: train on the embedded hopper data, roll out, print the scores
	$(BIN)/decision-minrnn train hopper-medium --updates 3000 --targets 3600 1800 --episodes 20

test: $(INSTALLED) ## the fast tests; ARGS is passed on: make test ARGS="-k scan"
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(INSTALLED) ## the slow tests alone
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(INSTALLED) ## style, format and types, without changing anything
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

check: lint test ## may this change land? style, format, types and the fast tests

format: $(INSTALLED) ## mend style and format where a tool can
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

dataset: $(INSTALLED) ## rebuild the embedded dataset: make dataset SOURCE=recording.hdf5
	@test -n "$(SOURCE)" || { echo "say which recording: make dataset SOURCE=recording.hdf5" >&2; exit 2; }
	$(BIN)/python scripts/make_embedded_dataset.py "$(SOURCE)"

# setuptools packs what an earlier build left in build/, removed modules included.
wheel: $(INSTALLED) ## build the wheel into dist/
	rm -rf build
	$(BIN)/python -m build --wheel --outdir "$(DIST)"

docs: $(INSTALLED) ## build the pages of docs/ into build/docs, without warnings
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

clean: ## remove what builds and tests leave; .venv and runs stay
	rm -rf build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache MUJOCO_LOG.TXT *.egg-info
	find decision_minrnn tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
