# Each target makes .venv by itself; all it needs is Python 3.11 or later with pip. Without make: see README, "Without make".
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= auto
CODE := src tests bench scripts examples

.PHONY: demo test test-fast check format coverage docs bench results clean

demo: .venv/ready
	$(BIN)/kineme demo

# One process per core, each with one torch thread; tests that start processes of their own stay together in one of them.
test: .venv/ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

test-fast: .venv/ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not slow"

check: .venv/ready
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

format: .venv/ready
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

coverage: .venv/ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term

docs: .venv/docs
	$(BIN)/mkdocs build --strict

bench: .venv/ready
	$(BIN)/kineme bench

# What is left to run of bench/results.toml; it says the hours first. make results ARGS="--only moco --dry-run"
results: .venv/ready
	$(BIN)/python scripts/results.py $(ARGS)

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed: make PYTHON=python3.12 ..."'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[test]' -c constraints.txt
	touch .venv/ready

.venv/docs: .venv/ready
	$(BIN)/python -m pip install --quiet -e '.[docs]' -c constraints.txt
	touch .venv/docs

clean:
	rm -rf .venv kineme-demo site
