# Everything a contributor runs. Needs Python 3.11+, pip and make; the rest comes into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced

# Every program once more, with its runs unloaded at every wait.
UNLOADING = ONCUE_EVICT_ALWAYS=1 $(BIN)/pytest -n $(WORKERS) -m "not slow and not in_memory" tests/e2e tests/examples

export UV_PROJECT_ENVIRONMENT := $(VENV)

.PHONY: help setup browser demo dev test test-all check fix docs bench

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Make .venv with everything locked in uv.lock
	@:

# --inexact: uv lives in the environment it fills and must not remove itself.
$(STAMP): pyproject.toml uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv sync --quiet --frozen --inexact --all-extras
	@touch $@

browser:  ## Install Chromium, as root on Debian; elsewhere tests use one that is there
	@.ci/browser

demo: setup  ## Run the tour: server, worker and a few tasks, then stop
	@$(BIN)/oncue demo $(ARGS)

dev: setup  ## Run the email example on port 3030 and reload on change
	@$(BIN)/oncue dev examples/email_sequence $(ARGS)

test: setup browser  ## Run the quick tests and say how long they took
	@start=$$(date +%s); status=0; \
	$(BIN)/pytest -n $(WORKERS) -m "not slow" $(ARGS) || status=$$?; \
	$(if $(ARGS),,$(UNLOADING) || status=$$?;) \
	echo "tests took $$(( $$(date +%s) - start )) s"; exit $$status

test-all: setup browser  ## Run every test, the slow ones too
	@start=$$(date +%s); status=0; \
	$(BIN)/pytest -n $(WORKERS) $(ARGS) || status=$$?; \
	$(if $(ARGS),,$(UNLOADING) || status=$$?;) \
	echo "tests took $$(( $$(date +%s) - start )) s"; exit $$status

check: setup  ## Check format, lint, types and floors; change nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

fix: setup  ## Format, and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## Build the documentation into site/
	$(BIN)/python -m mkdocs build --strict

bench: setup  ## Run the benchmarks and print their tables
	@$(BIN)/python -m bench $(ARGS)
