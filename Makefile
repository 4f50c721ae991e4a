# make demo: a search on scikit-learn's digits, watched in NNI's web UI, its front as table, JSON and picture
# make test: lint, types and the tests, as CI runs them; make test-long: those that are left out there, before a release
# make coverage: how much of the package all of them run, which slows them
# make sbom, make audit: what is installed, and published advisories on it
# make test-fast: the tests that start no experiment of NNI's and take no longer than a few seconds
PYTHON ?= python3
PORT ?= 8080
BIN := .venv/bin
# Two at a time, for experiments mostly wait; more of them would wait for each other on two cores.
# A file's tests share experiments, so they stay together; the order is that of tests/conftest.py, the longest first.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-long coverage test-fast install constraints sbom audit clean

demo: install
	$(BIN)/nni-earlyexit run examples/digits/experiment.yml --port $(PORT)

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --any-exprs-report .cache/mypy
	$(BIN)/python tests/typed.py .cache/mypy 90
	$(PYTEST) -m "not long"

test-long: install
	$(PYTEST) -m long

coverage: install
	$(PYTEST) --cov --cov-report=term

test-fast: install
	$(BIN)/ruff check .
	$(PYTEST) -m "not nni and not slow"

install: .venv/.installed

# Touched last: an interrupted installation is taken up again, a finished one is left alone.
.venv/.installed: setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and \
	    "PYTHON: %d.%d is not possible; Python 3.10 to 3.13 is, for example make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "installing into .venv, which takes some minutes and several GB (torch)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(BIN)/nni-earlyexit register
	touch $@

# The versions that are installed now, as the set that CI tests.
constraints: install
	@$(BIN)/python -m pip freeze --exclude-editable > constraints.txt.all
	@{ echo "# The set that CI tests, with Python 3.11; other Python versions take the newest that setup.cfg admits."; \
	   echo "# Written by: make constraints"; \
	   grep -ivE '^(nvidia|cuda|triton)' constraints.txt.all | sed 's/$$/ ; python_version == "3.11"/'; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt && rm constraints.txt.all

# What is installed, as a software bill of materials
sbom: install .venv-audit/.installed
	.venv-audit/bin/cyclonedx-py environment .venv --output-reproducible --output-file sbom.json

# Published advisories on what is installed; one that cannot be looked up counts as a failure
audit: install .venv-audit/.installed
	$(BIN)/python -m pip freeze --exclude-editable > .venv-audit/installed.txt
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv-audit/installed.txt

# In an environment of their own, for they must not be part of what they look at
.venv-audit/.installed:
	test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom
	touch $@

clean:
	rm -rf .venv .venv-audit sbom.json build *.egg-info examples/*/results
