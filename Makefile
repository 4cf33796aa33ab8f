# Each target sets up what it needs in .venv; nothing else is touched.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
SOURCES := sb3_carla callbacks tests examples benchmarks docs
# Training and tests start many processes; where this is set, each of them compiles our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help train test lint type format docs bench wheel sbom clean

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else \
	    "sb3_carla needs Python 3.10 to 3.12 (the carla wheels), this is %d.%d. Say make PYTHON=python3.11 ..." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -c 'import sb3_carla.simulator.server'  # compiles the simulator's kernels into numba's cache, once
	@touch $@

train: $(INSTALLED)  ## Train TD3 on the embedded simulator; leaves a model, logs, a report and a video in runs/
	$(BIN)/sb3-carla train --env CarlaChangingTown-v0 --progress

test: $(INSTALLED)  ## Pass the tests
	$(BIN)/pytest -m "not slow" --numprocesses 2 --dist worksteal

lint: $(INSTALLED)  ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

type: $(INSTALLED)  ## mypy, strict
	$(BIN)/mypy

format: $(INSTALLED)  ## Let ruff put the format right
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(INSTALLED)  ## Build the site in docs/_build; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build

bench: $(INSTALLED)  ## Print the env steps per second that the README shows; other figures name their command
	$(BIN)/python benchmarks/env_steps.py

wheel:  ## Build the wheel in dist/, install it into an empty environment and run the README there
	$(PYTHON) -m venv --clear build/empty
	build/empty/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	build/empty/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    dist/sb3_carla-*.whl pytest pytest-timeout hypothesis
	cd build && empty/bin/sb3-carla doctor
	build/empty/bin/pytest -k README tests/test_docs.py

sbom:  ## List what a plain installation consists of, with licences: dist/sbom.json (CycloneDX)
	$(PYTHON) -m venv --clear build/plain build/cyclonedx
	build/plain/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt .
	build/cyclonedx/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	@mkdir -p dist
	build/cyclonedx/bin/cyclonedx-py environment --output-reproducible --output-file dist/sbom.json build/plain/bin/python

clean:  ## Remove what the targets made, except runs/
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
