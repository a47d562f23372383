# Two commands set everything up on a machine with Python and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup

.PHONY: demo test test-fast test-long check lint benchmarks clean

demo: $(READY)  ## the quickstart: teacher, rationales, students, report; under 5 minutes on 2 cores
	$(BIN)/teacherlm run quickstart --jobs 2
	@echo "Open runs/quickstart/report/report.html"

test: $(READY)  ## everything but what takes many minutes
	$(PYTEST) -m "not long"

test-fast: $(READY)  ## the part to run while working
	$(PYTEST) -m "not long and not slow"

test-long: $(READY)  ## whole pipelines on real data, long series of kills
	$(PYTEST) -m long --timeout 2700

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test  ## what has to pass before a change is merged

benchmarks: $(READY)  ## each prints ratios measured in one run
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# The constraints pin what the tests ran with; torch first, so that its pinned build is taken.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
