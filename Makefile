# make train | test | lint | docs | sbom | audit | clean | help. Each sets up $(VENV) first if necessary.
#
# Whatever exit code a command ends with, make itself ends with 2 and prints the code ("Error 75").

PYTHON ?= python3
VENV ?= .venv
# Not taken from the environment, where these names may mean something else; given as `make train CONFIG=...`.
CONFIG = configs/cnn_nadam.py
ARGS =

BIN = $(VENV)/bin
# The environment is up to date if this file is newer than the files that say what to install.
STAMP = $(VENV)/.installed
DOCS_STAMP = $(VENV)/.installed-docs
AUDIT_STAMP = $(VENV)-audit/.installed
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

.PHONY: help train test lint docs sbom audit clean

help:
	@echo 'make train [CONFIG=configs/cnn_nadam.py] [ARGS="--config.epochs=2 ..."]   train one model'
	@echo 'make test  [ARGS="-k name ..."]                                           run the tests'
	@echo 'make lint                                                                 ruff, mypy and import-linter'
	@echo 'make docs                                                                 the pages of docs/ as a site'
	@echo 'make sbom                         dist/sbom.json: what the pinned requirements are, as CycloneDX'
	@echo 'make audit                        known vulnerabilities of the pinned requirements (needs the internet)'
	@echo 'make clean                        remove environments, builds and caches; runs/ stays'
	@echo 'All but clean install into VENV=$(VENV) when needed, with PYTHON=$(PYTHON) (3.11 or newer).'

train: $(STAMP)
	@$(BIN)/python -m trainer.main --config="$(CONFIG)" $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n 2 --dist=worksteal $(ARGS)

lint: $(STAMP)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-logo >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }

# Strict: a dead link or a docstring that cannot be shown ends it.
docs: $(DOCS_STAMP)
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

$(DOCS_STAMP): $(STAMP) requirements-docs.txt
	@$(PIP) install -r requirements-docs.txt
	@touch $@

# The tools are not part of what they look at: they have an environment of their own.
sbom: $(AUDIT_STAMP)
	@mkdir -p dist
	@$(VENV)-audit/bin/cyclonedx-py requirements requirements.txt --output-file dist/sbom.json
	@echo 'dist/sbom.json'

# Strict: if its database cannot be reached, or does not know a package, that is no clean bill.
audit: $(AUDIT_STAMP)
	@$(VENV)-audit/bin/pip-audit --requirement requirements.txt --disable-pip --no-deps --strict

$(AUDIT_STAMP): requirements-audit.txt
	@"$(PYTHON)" -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip --disable-pip-version-check --no-input -qq install -r requirements-audit.txt
	@touch $@

# If an environment lost its pip half-way through, it is made again in the same place.
$(STAMP): requirements.txt setup.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'error: $(PYTHON) is not Python 3.11 or newer: name one that is, such as PYTHON=python3.12' >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo 'error: $(PYTHON) lacks the venv module: install it (Debian, Ubuntu: the package python3-venv)' >&2; exit 1; }
	@echo 'Installing into $(VENV) (once, about a minute)...'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv $(VENV)
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

clean:
	@rm -rf .venv .venv-audit .ci-venv build dist docs/_build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find benchmarks configs data_pipeline docs examples launch seedwise tests trainer -name __pycache__ -prune -exec rm -rf {} +
