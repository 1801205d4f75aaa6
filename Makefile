# The front door: `make` lists the targets. Everything that needs .venv makes it first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

export PYTHON

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test lint format bench docs run-agent run-agent-release clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Make .venv with attune, attune-agent and attune-worker in .venv/bin

install-dev: $(VENV)/.installed-dev

demo: install ## Run one action in every language of this machine: embedded PostgreSQL, one agent, nothing left behind
	@$(BIN)/attune demo

# A complaint about style must not hide what the tests say: both run, either fails.
test: install-dev ## Run all tests and checks; installs what they need where it can
	@scripts/services.sh
	@status=0; $(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/python -m pytest $(ARGS) || status=1; exit $$status

lint: install-dev ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev ## Bring the code into the common form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install-dev ## Measure, and print the ratios of one run
	@$(BIN)/python -m tests.bench $(ARGS)

docs: install ## Write the pages that are made of the code
	$(BIN)/attune settings --page > docs/reference/settings.md

run-agent: install ## Run the agent from source; ARGS="--name x" goes to it
	$(BIN)/attune-agent $(ARGS)

run-agent-release: ## Run the one-file agent; builds it when it is missing
	@test -x dist/attune-agent || $(MAKE) build-agent
	dist/attune-agent $(ARGS)

# build-agent, docker-build-agent
-include build/build.mk

clean: ## Remove what was made here
	rm -rf $(VENV) dist var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.installed: pyproject.toml requirements.lock scripts/venv.sh
	@scripts/venv.sh $(VENV) demo
	@touch $@

$(VENV)/.installed-dev: pyproject.toml requirements.lock scripts/venv.sh
	@scripts/venv.sh $(VENV) demo test lint
	@touch $@ $(VENV)/.installed
